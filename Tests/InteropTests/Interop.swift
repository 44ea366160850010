import DrayTestSupport
import Glibc
import Testing

/// Everything that starts the real rsync; one test at a time, since each keeps several processes busy.
@Suite(.serialized, .enabled(if: PeerRsync.isAvailable, Comment(rawValue: PeerRsync.skipReason)))
enum Interop {
    /// The whole matrix instead of the part for every change.
    static let isFull = getenv("DRAY_FULL_MATRIX") != nil
    static let isRoot = geteuid() == 0
}

/// Which program is on which side, and which way the data goes.
struct Cell: Sendable, CustomStringConvertible {
    enum Direction: String, Sendable { case push, pull, local }
    var client: Program
    var server: Program
    var direction: Direction

    enum Program: String, Sendable {
        case dray, rsync
        var path: String { self == .dray ? DrayPrograms.dray : PeerRsync.path! }
    }

    static let all: [Cell] =
        [Cell(client: .dray, server: .dray, direction: .local)]
        + [Direction.push, .pull].flatMap { direction in
            [(Program.dray, Program.rsync), (.rsync, .dray), (.dray, .dray)].map {
                Cell(client: $0, server: $1, direction: direction)
            }
        }

    /// What a change is tested with by default: each program on each side once.
    static let few = [
        Cell(client: .dray, server: .dray, direction: .local), Cell(client: .dray, server: .rsync, direction: .push),
        Cell(client: .dray, server: .rsync, direction: .pull), Cell(client: .rsync, server: .dray, direction: .push),
    ]

    var reference: Cell { Cell(client: .rsync, server: .rsync, direction: direction) }

    var description: String { "\(client.rawValue)→\(server.rawValue) \(direction.rawValue)" }

    /// The command line that copies `source` to `destination`.
    func words(_ options: [String], shell: String, source: String, destination: String) -> [String] {
        switch direction {
        case .local: return [client.path] + options + [source, destination]
        case .push:
            return [client.path, "-e", shell, "--rsync-path=\(server.path)"] + options + [
                source, "host:" + destination,
            ]
        case .pull:
            return [client.path, "-e", shell, "--rsync-path=\(server.path)"] + options + [
                "host:" + source, destination,
            ]
        }
    }
}

/// Writes a remote shell that runs its command here, as ssh would on another machine.
func makeShell(in directory: String) throws -> String {
    let tree = try FileTree(directory)
    try tree.file("shell", Array("#!/bin/sh\nshift\nexec /bin/sh -c \"$*\"\n".utf8), mode: 0o755)
    return tree.path("shell")
}
