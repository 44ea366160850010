// Dray — whatever side Dray is on, each direction of a connection carries the bytes that two real programs exchange.
// Layer: Tests. Wire format: chapter 01 §12.2; chapter 03 §16.1, §19.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Testing

extension Interop {
    @Suite struct GoldenIdentityTests {
        private static let options = [
            "-r", "-t", "-rt --no-W", "-a --no-i-r", "-r -z", "-r --delete", "-r --delete-after", "-r --delay-updates",
            "-rtn", "-rc --cc=md5", "-ri", "-rt --remove-source-files",
        ]

        private func trees(_ tap: WireTap) throws {
            let source = try tap.tree("src")
            try source.file(bytes: Array("f".utf8), GoldenTransfer.n, time: 1_000_000_000, nanoseconds: 0)
            try source.setTime("", 1_000_000_000, nanoseconds: 0)
            let destination = try tap.tree("dst")
            try destination.file(bytes: Array("f".utf8), GoldenTransfer.b, time: 900_000_000, nanoseconds: 0)
            try destination.file("extra", [1])
            try destination.setTime("", 900_000_000, nanoseconds: 0)
        }

        /// Set-up bytes, both streams without frames, and the messages of both directions.
        @Test(arguments: options, 27...32)
        func everyByteIsThatOfRsync(_ text: String, _ version: Int) throws {
            let tap = try WireTap()
            let options = text.split(separator: " ").map(String.init) + ["--protocol=\(version)", "--checksum-seed=1"]
            for direction in [Cell.Direction.push, .pull] {
                var captures: [WireCapture] = []
                for pair in GoldenSetUpTests.pairs {
                    try trees(tap)
                    // One file as argument where no recursion is wanted.
                    let source = text == "-t" ? "src/f" : "src/"
                    captures.append(
                        try tap.record(pair[0], pair[1], direction, options, source: source, destination: "dst/"))
                }
                let model = captures[0]
                #expect(model.result.exitCode == 0, "\(model.result.errorText)")
                for (capture, pair) in zip(captures, GoldenSetUpTests.pairs).dropFirst() {
                    let name = Comment(rawValue: "\(pair) \(direction)")
                    #expect(capture.result.exitCode == model.result.exitCode, name)
                    #expect(dump(capture.toServer.setUp) == dump(model.toServer.setUp), name)
                    #expect(dump(capture.toClient.setUp) == dump(model.toClient.setUp), name)
                    #expect(dump(capture.generator) == dump(model.generator), name)
                    #expect(dump(capture.sender) == dump(model.sender), name)
                    #expect(capture.result.outputText == model.result.outputText, name)
                    #expect(messages(capture.toClient) == messages(model.toClient), name)
                    if capture.isClientFramed { #expect(messages(capture.toServer) == messages(model.toServer), name) }
                }
            }
        }

        /// Literal and matched runs in turn: what matched enters the compressor's history, at every level its own way.
        @Test(arguments: [1, 2, 3, 4, 6, 9], ["zlib", "zlibx"])
        func compressedBytesAreThoseOfRsync(_ level: Int, _ method: String) throws {
            let tap = try WireTap()
            let source = try tap.tree("src")
            let words = (0..<9_000).map { "line \($0 % 300) of \($0 / 7) " }.joined()
            let noise = FileTree.noise(30_000, seed: 91)
            try source.file("f", noise + Array("inserted".utf8) + Array(words.utf8) + noise.prefix(9_000))
            var sent: [[UInt8]] = []
            for pair in GoldenSetUpTests.pairs {
                let destination = try tap.tree("dst")
                try destination.file("f", noise.prefix(12_000) + Array(words.utf8.suffix(60_000)), time: 900_000_000)
                let options = ["--no-W", "-t", "--cc=md5", "--zc=\(method)", "--zl=\(level)", "--checksum-seed=1"]
                let capture = try tap.record(
                    pair[0], pair[1], .push, options, source: "src/f", destination: "dst/")
                #expect(capture.result.exitCode == 0, "\(pair): \(capture.result.errorText)")
                sent.append(capture.sender)
            }
            #expect(sent[0].count > 1000)
            for (bytes, pair) in zip(sent, GoldenSetUpTests.pairs).dropFirst() {
                #expect(bytes == sent[0], "\(pair): \(bytes.count) bytes")
            }
        }

        private func messages(_ direction: WireDirection) -> [WireFrame] { direction.frames.filter { $0.code != 0 } }

        /// A batch file of one copied file.
        @Test(arguments: [Cell.Program.rsync, .dray], [false, true])
        func batchFileIsTheWorkedOne(_ program: Cell.Program, _ compressed: Bool) throws {
            let tap = try WireTap()
            let source = try tap.tree("src")
            try source.file(bytes: Array("a".utf8), Array("hello\n".utf8), time: 1_000_000_000, nanoseconds: 0)
            try source.setTime("", 900_000_000, nanoseconds: 0)
            _ = try tap.tree("dst")
            let words = ["-a", "--checksum-seed=1", "--cc=md5"] + (compressed ? ["-z"] : [])
            let result = try run(
                [program.path] + words + ["--write-batch=B", "src/", "dst/"], in: tap.scratch.path, seconds: 20)
            #expect(result.exitCode == 0, "\(result.errorText)")
            let bytes = dump(try tap.contents("B"))
            let flags = compressed ? "9f 01 00 00" : "9f 00 00 00"
            #expect(bytes.hasPrefix(dump(hex("\(flags) 20 00 00 00 81 ff 01 00 00 00"))), "\(bytes)")
            let zero = "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
            let tokens = compressed ? "40 08 ca 48 cd c9 c9 e7 02 00 00" : "06 00 00 00 \"hello\" 0a 00 00 00 00"
            let records = """
                00 00 ff 01 | 01 08 00 | 02 00 a0 \(zero) \(tokens)
                b1 94 6a c9 24 92 d2 34 7c 62 35 b4 d2 61 11 84 | 00 00 00
                """
            #expect(bytes.contains(dump(hex(records))), "\(bytes)")
            // Bytes read and written vary, then the size of all files; times vary; the goodbye.
            let tail = try tap.contents("B").suffix(16)
            #expect(dump(tail.dropFirst(6).prefix(3)) == "00 06 00")
            #expect(dump(tail.dropFirst(12)) == "00 00 00 00", "\(dump(tail))")
        }
    }
}
