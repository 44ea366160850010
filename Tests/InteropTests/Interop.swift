import DrayTestSupport
import Glibc
import Testing

/// Everything that starts the real rsync; one test at a time, since each keeps several processes busy.
@Suite(.serialized, .enabled(if: PeerRsync.isAvailable, Comment(rawValue: PeerRsync.skipReason)))
enum Interop {
    /// The whole matrix instead of the part for every change.
    static let isFull = getenv("DRAY_FULL_MATRIX") != nil
    static let isRoot = geteuid() == 0
    /// `DRAY_MATRIX_PROTOCOLS=27,32` runs only those.
    static let protocols: [Int] =
        getenv("DRAY_MATRIX_PROTOCOLS").map { String(cString: $0).split(separator: ",").compactMap { Int($0) } }
        ?? Array(27...32)

    /// `DRAY_MATRIX_SHARD=1/3` runs every third option set, beginning with the second.
    /// `DRAY_MATRIX_SETS='-aX;-av --delete'` runs only the sets that are named so.
    static func isInShard(_ set: OptionSet) -> Bool {
        if let text = getenv("DRAY_MATRIX_SETS") {
            return String(cString: text).split(separator: ";").contains { $0 == set.description }
        }
        guard let text = getenv("DRAY_MATRIX_SHARD") else { return true }
        let parts = String(cString: text).split(separator: "/").compactMap { Int($0) }
        guard parts.count == 2, parts[1] > 0 else { return true }
        return set.description.utf8.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xffff } % parts[1] == parts[0]
    }
}

/// Which program is on which side, which way the data goes, and over what.
struct Cell: Sendable, CustomStringConvertible {
    enum Direction: String, Sendable { case push, pull, local }
    enum Connection: String, Sendable { case shell, daemon }
    var client: Program
    var server: Program
    var direction: Direction
    var connection = Connection.shell

    enum Program: String, Sendable {
        case dray, rsync
        var path: String { self == .dray ? DrayPrograms.dray : PeerRsync.path! }
    }

    /// Every pair of programs with Dray in it, both ways, over both kinds of connection.
    static let all: [Cell] =
        [Cell(client: .dray, server: .dray, direction: .local)]
        + [Connection.shell, .daemon].flatMap { connection in
            [Direction.push, .pull].flatMap { direction in
                [(Program.dray, Program.rsync), (.rsync, .dray), (.dray, .dray)].map {
                    Cell(client: $0, server: $1, direction: direction, connection: connection)
                }
            }
        }

    /// What a change is tested with by default: each program on each side once.
    static let few = [
        Cell(client: .dray, server: .dray, direction: .local), Cell(client: .dray, server: .rsync, direction: .push),
        Cell(client: .dray, server: .rsync, direction: .pull), Cell(client: .rsync, server: .dray, direction: .push),
        Cell(client: .rsync, server: .dray, direction: .pull, connection: .daemon),
    ]

    var reference: Cell {
        Cell(client: .rsync, server: .rsync, direction: direction, connection: connection)
    }

    var description: String {
        "\(client.rawValue)→\(server.rawValue) \(direction.rawValue)"
            + (direction == .local ? "" : " \(connection.rawValue)")
    }

    /// The command line that copies `source` to `destination`.
    func words(_ options: [String], peers: MatrixPeers, source: String, destination: String) -> [String] {
        let remote: (String) -> String
        var head = [client.path]
        switch connection {
        case .shell:
            if direction != .local { head += ["-e", peers.shell, "--rsync-path=\(server.path)"] }
            remote = { "host:" + $0 }
        case .daemon:
            let url = peers.url(of: server)
            remote = { url + $0.dropFirst() }
        }
        switch direction {
        case .local: return head + options + [source, destination]
        case .push: return head + options + [source, remote(destination)]
        case .pull: return head + options + [remote(source), destination]
        }
    }
}

/// What the cells of one test connect to: a remote shell, and a daemon of each program that serves everything.
final class MatrixPeers {
    let shell: String
    private let lab = DaemonLab()
    private var daemons: [Cell.Program: LabDaemon] = [:]

    init(in directory: String) throws {
        shell = try makeShell(in: directory)
    }

    /// `rsync://…` of the module that is the whole file system.
    func url(of program: Cell.Program) -> String {
        if daemons[program] == nil {
            let module = """
                [all]
                path = /
                use chroot = yes
                read only = no
                uid = 0
                gid = 0
                munge symlinks = no
                reverse lookup = no

                """
            daemons[program] = lab.daemon(program == .dray ? .dray : .rsync, module)
        }
        return daemons[program]!.url("all/")
    }
}

/// Writes a remote shell that runs its command here, as ssh would on another machine.
func makeShell(in directory: String) throws -> String {
    let tree = try FileTree(directory)
    try tree.file("shell", Array("#!/bin/sh\nshift\nexec /bin/sh -c \"$*\"\n".utf8), mode: 0o755)
    return tree.path("shell")
}
