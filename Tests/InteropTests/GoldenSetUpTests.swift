// Dray — set-up bytes and endings of a session, exactly as chapter 01 has them and as the real program sends them.
// Layer: Tests. Wire format: chapter 01 §5.2, §5.3, §7.1, §12.2, §12.3.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Testing

extension Interop {
    @Suite struct GoldenSetUpTests {
        private static let clientSums = "1e \"xxh128 xxh3 xxh64 md5 md4 sha1\""
        private static let serverSums = "23 \"xxh128 xxh3 xxh64 md5 md4 sha1 none\""
        private static let clientCompressors = "13 \"zstd lz4 zlibx zlib\""
        private static let serverCompressors = "18 \"zstd lz4 zlibx zlib none\""

        /// Every pair with Dray in it; the real pair comes first, so that a wrong example shows.
        static let pairs: [[Cell.Program]] = [[.rsync, .rsync], [.dray, .rsync], [.rsync, .dray], [.dray, .dray]]

        private static func sourceTree(_ tap: WireTap) throws {
            let tree = try tap.tree("src")
            try tree.file(bytes: Array("f".utf8), Array("hello\n".utf8), time: 1_000_000_000, nanoseconds: 0)
            try tree.setTime("", 1_000_000_000, nanoseconds: 0)
        }

        // MARK: - Compatibility flags

        /// §5.2 "Verified bytes": the flags a server answers each letter with; a version that is lowered by `-e`.
        @Test(
            arguments: [
                ("-re.", "20", "06 | 01 00 00 00"), ("-re.i", "20", "07 | 01 00 00 00"),
                ("-re.f", "20", "0e | 01 00 00 00"), ("-re.x", "20", "16 | 01 00 00 00"),
                ("-re.C", "20", "26 | 01 00 00 00"), ("-re.I", "20", "46 | 01 00 00 00"),
                ("-re.u", "20", "81 06 | 01 00 00 00"), ("-re.V", "20", "86 | 01 00 00 00"),
                ("-re.v", "20", "80 86 \(serverSums)"), ("-re.LsfxCIvu", "20", "81 fe \(serverSums)"),
                ("-re.iLsfxCIvu", "20", "81 ff \(serverSums)"), ("-r", "20", "06 | 01 00 00 00"),
                ("-re32.5v", "1f", "80 86 \(serverSums)"), ("-re31.2v", "1e", "80 86 \(serverSums)"),
            ], [Cell.Program.rsync, .dray])
        func serverAnswersEachLetter(_ example: (String, String, String), _ program: Cell.Program) throws {
            let tap = try WireTap()
            try Self.sourceTree(tap)
            let words = ["--sender", example.0, "--checksum-seed=1", ".", "src"]
            let result = try serve(program, words, hex("20 00 00 00"), in: tap.scratch.path)
            #expect(dump(result.output) == dump(hex("\(example.1) 00 00 00 \(example.2)")))
        }

        // MARK: - The worked set-up

        /// §5.3: push and pull, with and without `-z`.
        @Test(arguments: pairs, [[], ["-z"]])
        func setUpIsTheWorkedOne(_ pair: [Cell.Program], _ extra: [String]) throws {
            let tap = try WireTap()
            try Self.sourceTree(tap)
            let compressed = !extra.isEmpty
            for direction in [Cell.Direction.push, .pull] {
                _ = try tap.tree("dst")
                let capture = try tap.record(
                    pair[0], pair[1], direction, ["-r", "--checksum-seed=1"] + extra, source: "src/",
                    destination: "dst/")
                #expect(capture.result.exitCode == 0, "\(capture.result.errorText)")
                let client = "20 00 00 00" + Self.clientSums + (compressed ? Self.clientCompressors : "")
                let server = "20 00 00 00 81 ff" + Self.serverSums + (compressed ? Self.serverCompressors : "")
                #expect(dump(capture.toServer.setUp) == dump(hex(client)))
                #expect(dump(capture.toClient.setUp) == dump(hex(server + "01 00 00 00")))
                // The list of 29 bytes: top directory, file `f` of the same time, end, no more lists.
                let size = try Self.directorySize(tap, "src")
                let list = hex(
                    "19 01 2e \(size) 3b 00 ca 9a ed 41 00 00 | 80 98 01 66 00 06 00 a4 81 00 00 | 00 00 ff 01")
                #expect(list.count == 29)
                let first = direction == .push ? capture.toServer.frames.first : capture.toClient.frames.first
                #expect(first == WireFrame(code: 0, payload: list))
                if direction == .pull {
                    #expect(capture.toServer.frames.first == WireFrame(code: 0, payload: [0, 0, 0, 0]))
                }
            }
        }

        /// A directory's size as the list carries it; it depends on the file system.
        static func directorySize(_ tap: WireTap, _ name: String) throws -> String {
            let result = try run(["/usr/bin/stat", "-c", "%s", tap.scratch.path + "/" + name])
            let size = try #require(Int(result.outputText.dropLast()))
            try #require(size < 65536)
            return dump([0, UInt8(size & 0xff), UInt8(size >> 8)])
        }

        // MARK: - Endings

        /// §7.1: what follows the file's data, with the statistics of a pull.
        @Test(
            arguments: pairs,
            [
                (32, "00 | 00 00 00 | 00", "00 | 00 00", "00", "00 2e 00 00 64 00 00 06 00"),
                (31, "00 | 00 00 00 | 00", "00 | 00 00", "00", "00 2e 00 00 64 00 00 06 00"),
                (30, "00 | 00 00 | 00", "00 | 00 00", "", "00 2d 00 00 64 00 00 06 00"),
                (29, wide(4), wide(3), "", ""),
                (28, wide(3), wide(2), "", ""), (27, wide(3), wide(2), "", ""),
            ] as [(Int, String, String, String, String)])
        func endingIsTheWorkedOne(_ pair: [Cell.Program], _ example: (Int, String, String, String, String)) throws {
            let (version, generator, sender, goodbye, statistics) = example
            let tap = try WireTap()
            try Self.sourceTree(tap)
            for direction in [Cell.Direction.pull, .push] {
                _ = try tap.tree("dst")
                let capture = try tap.record(
                    pair[0], pair[1], direction,
                    ["-rt", "--checksum-seed=1", "--protocol=\(version)"] + (version >= 30 ? ["--cc=md5"] : []),
                    source: "src/", destination: "dst/")
                #expect(capture.result.exitCode == 0, "\(capture.result.errorText)")
                // No block sums before it: the head of a file without a basis is zero.
                let zero = "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
                #expect(dump(capture.generator).hasSuffix(dump(hex(zero + generator))))
                let md5 = "b1 94 6a c9 24 92 d2 34 7c 62 35 b4 d2 61 11 84"
                let data = "06 00 00 00 \"hello\" 0a 00 00 00 00"
                // The golden transfers have the older sum.
                let file = version >= 30 ? data + md5 : ""
                #expect(dump(capture.sender).hasSuffix(dump(hex(file + sender + goodbye))))
                if direction == .pull {
                    try checkStatistics(capture, pair[1] == .rsync ? statistics : "")
                }
            }
        }

        private static func wide(_ count: Int) -> String {
            Array(repeating: "ff ff ff ff", count: count).joined(separator: " ")
        }

        /// The first two values count every byte after the set-up, frame headers included, so they follow from the
        /// capture: all but the goodbye, and all but the frame they stand in.
        private func checkStatistics(_ capture: WireCapture, _ expected: String) throws {
            let bytes = capture.statistics
            let width = capture.version >= 30 ? 3 : 4
            let values = stride(from: 0, to: bytes.count, by: width).map { start in
                capture.version >= 30
                    ? Int(bytes[start]) << 16 | Int(bytes[start + 1]) | Int(bytes[start + 2]) << 8
                    : Int(bytes[start]) | Int(bytes[start + 1]) << 8
            }
            let goodbye = capture.version >= 30 ? 5 : 4
            #expect(values[0] == capture.toServer.bytes.count - capture.toServer.setUpLength - goodbye)
            let last = try #require(capture.toClient.frames.last)
            let received = capture.toClient.bytes.count - capture.toClient.setUpLength
            #expect(values[1] == received - last.payload.count - 4)
            #expect(values[2] == 6)
            #expect(values.count == (capture.version >= 29 ? 5 : 3))
            // How a sender cuts its frames shows in these numbers.
            if !expected.isEmpty { #expect(dump(bytes).hasPrefix(dump(hex(expected)))) }
        }
    }
}
