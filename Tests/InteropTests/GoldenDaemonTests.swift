// Dray — what goes over the socket of a daemon: arguments, time-out, and how an error ends.
// Layer: Tests. Wire format: chapter 01 §3.1, §3.5, §4, §6.3, §7.4.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Testing

extension Interop {
    @Suite(.enabled(if: Interop.isRoot, "the module belongs to root")) struct GoldenDaemonTests {
        private static let greeting = "@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4\n"
        private static let serverSums = hex("81 ff 23 \"xxh128 xxh3 xxh64 md5 md4 sha1 none\" 01 00 00 00")

        private struct Socket {
            var toServer: [UInt8]
            var toClient: [UInt8]
            var result: ProcessResult
        }

        /// Runs a client with `options` against a daemon of `server`, through a program that copies both directions.
        private func record(
            _ pair: [Cell.Program], _ tap: WireTap, _ options: [String], to path: String,
            until isWhole: ([UInt8]) -> Bool = { _ in true }
        ) throws -> Socket {
            let lab = DaemonLab()
            let config = """
                [m]
                path = \(tap.scratch.path)/module
                use chroot = no
                read only = no
                uid = 0
                gid = 0
                timeout = 33
                reverse lookup = no

                """
            let daemon = lab.daemon(pair[1] == .dray ? .dray : .rsync, config)
            let script = """
                exec 5<>/dev/tcp/127.0.0.1/\(daemon.port) 3<&0
                tee \(tap.scratch.path)/to-server <&3 >&5 2>/dev/null &
                tee \(tap.scratch.path)/to-client <&5 3<&-

                """
            let tree = try FileTree(tap.scratch.path)
            try tree.file("relay", Array(script.utf8))
            let environment = ["RSYNC_CONNECT_PROG": "/bin/bash \(tree.path("relay"))"]
            let result = try run(
                [pair[0].path] + options + ["src/", "rsync://host/" + path], in: tap.scratch.path,
                environment: environment, seconds: 20)
            #expect(!result.timedOut)
            // The copy of what the client said last may still be on its way to the file.
            _ = DaemonLab.eventually(3) { isWhole((try? tap.contents("to-server")) ?? []) }
            withExtendedLifetime(lab) {}
            return Socket(
                toServer: try tap.contents("to-server"), toClient: try tap.contents("to-client"), result: result)
        }

        private func prepare(_ tap: WireTap) throws {
            let source = try tap.tree("src")
            for name in ["f", "g"] { try source.file(name, Array("hello\n".utf8)) }
            let module = try tap.tree("module")
            try module.directory("sub")
            try module.file("plain", [1])
        }

        /// §3.5: options with backslashes, the path without; §4: nothing escaped, after the visible part.
        @Test(
            arguments: GoldenSetUpTests.pairs,
            [
                (
                    "", "m/sub/",
                    "--server\0-bre.iLsfxCIvu\0--suffix=a\\*b\\ c\0--checksum-seed=1\0.\0m/sub/\0\0"
                ),
                (
                    "-s", "m/f",
                    "--server\0-sbre.iLsfxCIvu\0\0rsync\0--suffix=a*b c\0--checksum-seed=1\0.\0m/f\0\0"
                ),
            ])
        func argumentsAreTheWorkedOnes(_ pair: [Cell.Program], _ example: (String, String, String)) throws {
            let tap = try WireTap()
            try prepare(tap)
            let options = ["-r", "--checksum-seed=1", "--suffix=a*b c", "-b"] + (example.0.isEmpty ? [] : [example.0])
            let socket = try record(pair, tap, options, to: example.1)
            #expect(socket.result.exitCode == 0, "\(socket.result.errorText)")
            let expected = Self.greeting + "m\n" + example.2
            #expect(String(decoding: socket.toServer.prefix(expected.utf8.count), as: UTF8.self) == expected)
            // No version numbers follow, and the module's time-out is the first frame.
            let lists = hex("1e \"xxh128 xxh3 xxh64 md5 md4 sha1\"")
            #expect(socket.toServer.dropFirst(expected.utf8.count).starts(with: lists))
            let answer =
                Array((Self.greeting + "@RSYNCD: OK\n").utf8) + Self.serverSums + hex("04 00 00 28 21 00 00 00")
            #expect(dump(socket.toClient.prefix(answer.count)) == dump(answer))
        }

        /// §7.4: the text, the code, and the empty notice from side to side.
        @Test(arguments: GoldenSetUpTests.pairs)
        func errorExitIsAnswered(_ pair: [Cell.Program]) throws {
            let tap = try WireTap()
            try prepare(tap)
            let goodbye = hex("00 00 00 5d")
            let socket = try record(pair, tap, ["-r", "--checksum-seed=1"], to: "m/plain") {
                $0.suffix(4) == goodbye[...]
            }
            #expect(socket.result.exitCode == 3, "\(socket.result.errorText)")
            #expect(dump(socket.toServer.suffix(4)) == dump(goodbye))
            let start = (Self.greeting + "@RSYNCD: OK\n").utf8.count + Self.serverSums.count
            let answer = frames(socket.toClient.dropFirst(start)).filter { $0.code != 0 }
            #expect(answer.map(\.code) == [33, 3, 3, 86, 86])
            guard answer.count == 5 else { return }
            let lines = answer[1...2].map { String(decoding: $0.payload, as: UTF8.self) }
            #expect(lines[0] == "ERROR: destination must be a directory when copying more than 1 file\n")
            let text = "rsync error: errors selecting input/output files, dirs (code 3) at "
            #expect(lines[1].hasPrefix(text) && lines[1].hasSuffix(" [Receiver=3.5.0]\n"), "\(lines[1])")
            #expect(dump(answer[3].payload) == "03 00 00 00")
            #expect(answer[4].payload.isEmpty)
        }
    }
}
