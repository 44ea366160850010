import DrayTestSupport
import Glibc
import Testing

extension Interop {
    /// A log that cannot be opened: the system's log gets its lines.
    @Suite(.enabled(if: Interop.isRoot, "needs root to stand in for the system's log")) struct LogFallbackTests {
        /// Everything sent to `/dev/log` while a program runs.
        private func systemLog(_ words: [String], in directory: String) throws -> [String] {
            let listener = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
            defer {
                close(listener)
                unlink("/dev/log")
            }
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: "/dev/log".utf8) }
            let bound = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            guard bound == 0 else { throw SystemCallError(call: "bind /dev/log", code: errno) }
            _ = try run(words, in: directory)
            var lines: [String] = []
            var buffer = [UInt8](repeating: 0, count: 8192)
            while true {
                let count = recv(listener, &buffer, buffer.count, Int32(MSG_DONTWAIT))
                if count <= 0 { return lines }
                // `<priority>time identity[process]: text`, with a line end from rsync.
                let line = String(decoding: buffer[..<count], as: UTF8.self).split(separator: "\n").first ?? ""
                let priority = line.prefix { $0 != ">" }
                let text = line.firstRange(of: "]: ").map { line[$0.upperBound...] } ?? line
                let identity = line.contains(" rsyncd[") ? "rsyncd" : "another"
                lines.append(DifferentialText.masked(Array("\(priority) \(identity) \(text)".utf8)))
            }
        }

        @Test(
            .enabled(if: access("/dev/log", F_OK) != 0, "the machine has a log of its own"),
            arguments: [
                ["-ai", "--log-file=no/where", "src/", "dst/"], ["-a", "--log-file=no/where", "src/missing", "dst/"],
                ["-ai", "-M--log-file=no/where", "src/", "dst/"],
            ])
        func unopenedLogGoesToTheSystem(_ words: [String]) throws {
            let scratch = try ScratchDirectory()
            func lines(_ program: String) throws -> [String] {
                removeTree(scratch.path + "/dst")
                try FileTree(scratch.path + "/src").file("file", [1, 2, 3])
                return try systemLog([program] + words, in: scratch.path)
            }
            let theirs = try lines(PeerRsync.path!)
            #expect(theirs.count > 3)
            #expect(try lines(DrayPrograms.dray) == theirs)
        }
    }
}
