// Dray — what two programs say to each other, byte for byte, and what a server answers to bytes prepared in advance.
// Layer: Tests. Wire format: chapter 01 §5–§7.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc
import Testing

/// One multiplex frame; code −7 and below stands for bytes that are no whole frame.
struct WireFrame: Equatable, CustomStringConvertible {
    var code: Int
    var payload: [UInt8]
    var description: String { "\(code):\(dump(payload))" }
}

/// Hexadecimal text of bytes, for messages of tests.
func dump(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
}

/// Cuts a framed stream.
func frames(_ bytes: some Collection<UInt8>) -> [WireFrame] {
    let bytes = Array(bytes)
    var result: [WireFrame] = []
    var position = 0
    while position < bytes.count {
        guard position + 4 <= bytes.count else { break }
        let length = Int(bytes[position]) | Int(bytes[position + 1]) << 8 | Int(bytes[position + 2]) << 16
        guard position + 4 + length <= bytes.count else { break }
        let payload = Array(bytes[(position + 4)..<(position + 4 + length)])
        result.append(WireFrame(code: Int(bytes[position + 3]) - 7, payload: payload))
        position += 4 + length
    }
    if position < bytes.count { result.append(WireFrame(code: -99, payload: Array(bytes[position...]))) }
    return result
}

/// The stream inside frames: all MSG_DATA bodies joined.
func stream(_ frames: [WireFrame]) -> [UInt8] { frames.filter { $0.code == 0 }.flatMap(\.payload) }

/// One direction of a connection over a remote shell.
struct WireDirection {
    var bytes: [UInt8]
    /// How many bytes come before the first frame.
    var setUpLength: Int

    var setUp: [UInt8] { Array(bytes.prefix(setUpLength)) }
    var frames: [WireFrame] { InteropTests.frames(bytes.dropFirst(setUpLength)) }
}

/// Both directions of a run over a remote shell.
struct WireCapture {
    var toServer: WireDirection
    var toClient: WireDirection
    var result: ProcessResult
    var version: Int
    var isPush: Bool
    /// Whether the client's bytes are framed at all (chapter 01 §6.2).
    var isClientFramed: Bool

    var clientStream: [UInt8] {
        isClientFramed ? stream(toServer.frames) : Array(toServer.bytes[toServer.setUpLength...])
    }
    var serverStream: [UInt8] { stream(toClient.frames) }

    /// What the generator says, without the filter list of a pull.
    var generator: [UInt8] {
        if isPush { return serverStream }
        let filters: [UInt8] = [0, 0, 0, 0]
        return clientStream.starts(with: filters) ? Array(clientStream.dropFirst(4)) : clientStream
    }

    /// Bytes of the sender after the statistics of a pull: the numbers of deletions, if there are any, and the end.
    private var tailLength: Int {
        if version < 31 { return 0 }
        let repeated = serverStream.suffix(8)
        return repeated.count == 8 && repeated.first == 0xff ? 8 : 1
    }

    private var statisticsLength: Int { version >= 30 ? 15 : version == 29 ? 20 : 12 }

    /// What the sender says, without the statistics of a pull, whose first two and last two values vary.
    var sender: [UInt8] {
        if isPush { return clientStream }
        return Array(serverStream.dropLast(statisticsLength + tailLength)) + Array(serverStream.suffix(tailLength))
    }

    /// The statistics that a pull ends with.
    var statistics: [UInt8] { Array(serverStream.dropLast(tailLength).suffix(statisticsLength)) }
}

/// Runs programs with a remote shell that keeps a copy of both directions.
final class WireTap {
    let scratch: ScratchDirectory
    private let shell: String

    /// A byte is in its file before the other program sees it, so that nothing is missing when the run has ended.
    private static let script = """
        #!/bin/sh
        d=${0%/*}
        shift
        rm -f "$d/gate" "$d/to-server" "$d/to-client"
        mkfifo "$d/gate"
        exec 3<&0
        tee "$d/gate" <&3 >"$d/to-server" 2>/dev/null &
        /bin/sh -c "$*" <"$d/gate" 3<&- | tee "$d/to-client" 3<&-

        """

    init() throws {
        scratch = try ScratchDirectory()
        let tree = try FileTree(scratch.path)
        try tree.directory("tap")
        try tree.file("tap/shell", Array(Self.script.utf8), mode: 0o755)
        shell = tree.path("tap/shell")
    }

    /// A tree below the scratch directory, made anew.
    func tree(_ name: String) throws -> FileTree {
        removeTree(scratch.path + "/" + name)
        return try FileTree(scratch.path + "/" + name)
    }

    /// Copies `source` to `destination`, both names below the scratch directory.
    func record(
        _ client: Cell.Program, _ server: Cell.Program, _ direction: Cell.Direction, _ options: [String],
        source: String, destination: String
    ) throws -> WireCapture {
        let isPush = direction == .push
        let from = (isPush ? "" : "host:") + scratch.path + "/" + source
        let to = (isPush ? "host:" : "") + scratch.path + "/" + destination
        let words = [client.path, "-e", shell, "--rsync-path=\(server.path)"] + options + [from, to]
        let result = try run(words, in: scratch.path, seconds: 30)
        #expect(!result.timedOut, "\(words)")
        let option = options.last { $0.hasPrefix("--protocol=") }
        let version = option.flatMap { Int($0.dropFirst("--protocol=".count)) } ?? 32
        let toServer = try contents("tap/to-server")
        let toClient = try contents("tap/to-client")
        return WireCapture(
            toServer: WireDirection(bytes: toServer, setUpLength: Self.clientSetUp(toServer, version, options)),
            toClient: WireDirection(bytes: toClient, setUpLength: Self.serverSetUp(toClient, version, options)),
            result: result, version: version, isPush: isPush,
            isClientFramed: version >= 30 || !isPush && options.contains("--remove-source-files"))
    }

    func contents(_ name: String) throws -> [UInt8] {
        let path = scratch.path + "/" + name
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemCallError(call: "open \(name)", code: errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count <= 0 { return bytes }
            bytes += buffer[..<count]
        }
    }

    /// Number of strings negotiated: checksum unless forced, compression if wanted and not forced.
    private static func strings(_ options: [String]) -> Int {
        let forced = options.contains { $0.hasPrefix("--cc=") }
        let compressed = options.contains("-z") && !options.contains { $0.hasPrefix("--zc=") }
        return (forced ? 0 : 1) + (compressed ? 1 : 0)
    }

    private static func clientSetUp(_ bytes: [UInt8], _ version: Int, _ options: [String]) -> Int {
        var position = 4
        if version < 30 { return position }
        for _ in 0..<strings(options) where position < bytes.count { position += 1 + Int(bytes[position]) }
        return min(position, bytes.count)
    }

    private static func serverSetUp(_ bytes: [UInt8], _ version: Int, _ options: [String]) -> Int {
        var position = 4
        if version >= 30 {
            // The flags are one varint of two bytes with the letters of this version.
            position += 2
            for _ in 0..<strings(options) where position < bytes.count { position += 1 + Int(bytes[position]) }
        }
        return min(position + 4, bytes.count)
    }
}

/// Runs a server with everything it will ever read prepared, and gives back what it wrote.
/// `wrapper` is a command that starts the server.
func serve(
    _ program: Cell.Program, _ words: [String], _ input: [UInt8], in directory: String, through wrapper: [String] = []
) throws -> ProcessResult {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw SystemCallError(call: "pipe", code: errno) }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    defer { close(ends[0]) }
    // Fits into the buffer of a pipe.
    precondition(input.count <= 65536)
    _ = input.withUnsafeBytes { write(ends[1], $0.baseAddress, $0.count) }
    let process = try RunningProcess(wrapper + [program.path, "--server"] + words, in: directory, input: ends[0])
    close(ends[1])
    return process.wait(seconds: 30)
}
