// Dray — requests, sums, tokens and reports of one transfer, exactly as the worked examples have them.
// Layer: Tests. Wire format: chapter 03 §19.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Testing

/// One worked example: what is copied with which options, and what the two roles say.
struct GoldenTransfer: Sendable, CustomStringConvertible {
    var description: String
    var options: [String]
    /// Content of the destination's file; nil when there is none.
    var basis: [UInt8]?
    var source: [UInt8]
    var basisName = "f"
    /// All the generator says.
    var generator: String
    /// What the sender says after the file list.
    var sender: String

    static let b: [UInt8] = (0..<2200).map { UInt8((7 * $0 + 3) % 251) }
    static let n: [UInt8] = Array(b[..<900]) + Array("HELLO".utf8) + Array(b[900...])
    static let head = "04 00 00 00 bc 02 00 00 02 00 00 00 64 00 00 00"
    static let zero = "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
    static let done5 = "00 00 00 00 00"
    static let done4 = "00 00 00 00"
    static let hello = Array("hello hello hello hello hello\n".utf8)
    static let delta = ["-t", "--no-W"]

    /// Head, rolling sums with the four strong sums, as a generator sends them.
    static func sums(_ strong: String) -> String {
        let rolling = ["8d 03 06 13", "ba f9 18 0b", "37 02 d0 f2", "d8 fe 9e 2a"]
        return head + zip(rolling, strong.split(separator: " ")).map { " \($0) \($1) " }.joined()
    }

    /// The tokens of N over B.
    static let tokens = dump(
        hex("ff ff ff ff 00 01 00 00") + n[700..<956] + hex("fe ff ff ff c1 01 00 00") + n[1656..<2105]
            + hex("fc ff ff ff 00 00 00 00"))

    /// N over B with every checksum.
    static let algorithms: [GoldenTransfer] = [
        ("md5", "d0e2 ca90 f557 a550", "7b2811e18918d4c7dc745498c18bed22"),
        ("md4", "ee3a f323 915a b4b5", "cd012118d476f6ae532adf7fde1bb4e0"),
        ("sha1", "974f 8e12 4c56 3aa6", "5d783ff9dbb1fcc5d10da7f2544475011d85545a"),
        ("xxh64", "61e1 51ca c645 dc71", "cfa413ea5c4d5c6f"), ("xxh3", "321e b3e6 65a4 8bf7", "67ca3d88d7a3c8c8"),
        ("xxh128", "321e b3e6 65a4 4ae5", "67ca3d88d7a3c8c874a99fa0ba404784"),
    ].map { name, strong, whole in
        GoldenTransfer(
            description: "delta \(name)", options: delta + ["--cc=\(name)"], basis: b, source: n,
            generator: "01 0c 80 \(sums(strong)) \(done5)", sender: "01 0c 80 \(head) \(tokens) \(whole) \(done4)")
    }

    /// Protocol 29: plain indexes, the older MD4.
    static let old = GoldenTransfer(
        description: "delta at 29", options: delta + ["--protocol=29"], basis: b, source: n,
        generator: "00 00 00 00 0c 80 \(sums("ee3a f323 915a b4b5")) ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff",
        sender: "00 00 00 00 0c 80 \(head) \(tokens) 99c2cac6056494d4979ea43bc5a939e2 "
            + "ff ff ff ff ff ff ff ff ff ff ff ff")

    /// The new file with every compressor.
    static let fresh: [GoldenTransfer] = [
        ("none", "1e 00 00 00 \"hello hello hello hello hello\" 0a 00 00 00 00"),
        ("zlib", "40 0c ca 48 cd c9 c9 57 c8 c0 4e 72 01 00 00"),
        ("zlibx", "40 0c ca 48 cd c9 c9 57 c8 c0 4e 72 01 00 00"),
        ("zstd", "40 16 28 b5 2f fd 00 58 6c 00 00 38 68 65 6c 6c 6f 20 0a 01 00 a9 4b 11 00"),
        ("lz4", "40 10 6f 68 65 6c 6c 6f 20 06 00 00 50 65 6c 6c 6f 0a 00"),
    ].map { name, bytes in
        GoldenTransfer(
            description: "new \(name)", options: ["-t", "--cc=md5"] + (name == "none" ? [] : ["-z", "--zc=\(name)"]),
            source: hello, generator: "01 00 a0 \(zero) \(done5)",
            sender: "01 00 a0 \(zero) \(bytes) e9 ca fa 15 7b 46 b9 a0 db db bb df 43 89 92 62 \(done4)")
    }

    /// An empty new file: MD5 of nothing.
    static let empty: [GoldenTransfer] = [([], "00 00 00 00"), (["-z", "--zc=zlib"], "00")].map { extra, end in
        GoldenTransfer(
            description: "empty \(extra)", options: ["-t", "--cc=md5"] + extra, source: [],
            generator: "01 00 a0 \(zero) \(done5)",
            sender: "01 00 a0 \(zero) \(end) d41d8cd98f00b204e9800998ecf8427e \(done4)")
    }

    /// Four full blocks, all found; the block sums are not part of the example.
    static let same: [GoldenTransfer] = [
        ([], "ff ff ff ff fe ff ff ff fd ff ff ff fc ff ff ff 00 00 00 00"), (["-z", "--zc=zlib"], "c0 03 00 00"),
    ].map { extra, tokens in
        let data = (0..<2800).map { UInt8((7 * $0 + 3) % 251) }
        return GoldenTransfer(
            description: "identical \(extra)", options: ["-tI", "--no-W", "--cc=md5"] + extra, basis: data,
            source: data, generator: "",
            sender: "01 00 80 04 00 00 00 bc 02 00 00 02 00 00 00 00 00 00 00 \(tokens) "
                + "27dbbcde91e88ea748e6700778e61d8e \(done4)")
    }

    static let others: [GoldenTransfer] = [
        GoldenTransfer(
            description: "delta zlib", options: delta + ["--cc=md5", "-z", "--zc=zlib"], basis: b, source: n,
            generator: "01 0c 80 \(sums("d0e2 ca90 f557 a550")) \(done5)",
            sender: "01 0c 80 \(head) 80 40 0d 1a 2e 5e f7 70 f5 f1 f1 27 c3 ff 00 00 81 40 07 1a f5 fa 10 f7 3a 00 "
                + "82 00 7b2811e18918d4c7dc745498c18bed22 \(done4)"),
        GoldenTransfer(
            description: "append", options: ["-t", "--append", "--cc=md5"], basis: b, source: b + Array("TAIL".utf8),
            generator: "01 0c 80 \(head) \(done5)",
            sender: "01 0c 80 \(head) 04 00 00 00 54 41 49 4c 00 00 00 00 026ba6d3d7dd81197fee244bb8c7fc6d \(done4)"),
        GoldenTransfer(
            description: "append-verify", options: ["-t", "--append-verify", "--cc=md5"], basis: b,
            source: b + Array("TAIL".utf8), generator: "01 0c 80 \(head) \(done5)",
            sender: "01 0c 80 \(head) 04 00 00 00 54 41 49 4c 00 00 00 00 2345dd1aeaf39740606b5398eeee579b \(done4)"),
        GoldenTransfer(
            description: "dry run", options: delta + ["--cc=md5", "-n"], basis: b, source: n,
            generator: "01 0c 80 \(done5)", sender: "01 0c 80 \(done4)"),
        GoldenTransfer(
            description: "fuzzy", options: delta + ["--cc=md5", "--fuzzy"], basis: b, source: n, basisName: "f.old",
            generator: "01 00 b8 83 05 66 2e 6f 6c 64 \(sums("d0e2 ca90 f557 a550")) \(done5)",
            sender: "01 00 b8 83 05 66 2e 6f 6c 64 \(head) \(tokens) 7b2811e18918d4c7dc745498c18bed22 \(done4)"),
    ]

    static let all = algorithms + [old] + fresh + empty + same + others
}

extension Interop {
    @Suite struct GoldenTransferTests {
        private static let pairs = GoldenSetUpTests.pairs

        @Test(arguments: GoldenTransfer.all, pairs)
        func rolesSayTheWorkedBytes(_ example: GoldenTransfer, _ pair: [Cell.Program]) throws {
            let tap = try WireTap()
            let source = try tap.tree("src")
            try source.file(bytes: Array("f".utf8), example.source, time: 1_000_000_000, nanoseconds: 0)
            for direction in [Cell.Direction.push, .pull] {
                let destination = try tap.tree("dst")
                if let basis = example.basis {
                    // Another time, except where the times are to be the same.
                    let time: Int64 = example.basis == example.source ? 1_000_000_000 : 900_000_000
                    try destination.file(bytes: Array(example.basisName.utf8), basis, time: time, nanoseconds: 0)
                }
                let capture = try tap.record(
                    pair[0], pair[1], direction, ["--checksum-seed=1", "--no-i-r"] + example.options, source: "src/f",
                    destination: "dst/")
                #expect(capture.result.exitCode == 0, "\(capture.result.errorText)")
                if !example.generator.isEmpty {
                    #expect(dump(capture.generator) == dump(hex(example.generator)), "\(direction)")
                }
                #expect(dump(capture.sender).hasSuffix(dump(hex(example.sender))), "\(direction)")
                let isDry = example.options.contains("-n")
                #expect(try tap.contents("dst/f") == (isDry ? example.basis! : example.source))
            }
        }

        /// The seed of xxh64 is extended with its sign.
        @Test(arguments: pairs)
        func negativeSeedsOfXXHAreExtended(_ pair: [Cell.Program]) throws {
            let tap = try WireTap()
            try tap.tree("src").file(bytes: Array("f".utf8), GoldenTransfer.n, time: 1_000_000_000, nanoseconds: 0)
            try tap.tree("dst").file(bytes: Array("f".utf8), GoldenTransfer.b, time: 900_000_000, nanoseconds: 0)
            let capture = try tap.record(
                pair[0], pair[1], .push, ["--checksum-seed=-5", "-t", "--no-W", "--cc=xxh64"], source: "src/f",
                destination: "dst/")
            let first = "01 0c 80 \(GoldenTransfer.head) 8d 03 06 13 38 34"
            #expect(dump(capture.generator).hasPrefix(dump(hex(first))))
        }

        // MARK: - Reports and deletions

        /// A hard link made by the receiving side: index 2 after 3, flags, name of what it was linked to.
        @Test(arguments: pairs)
        func hardLinkIsReported(_ pair: [Cell.Program]) throws {
            for direction in [Cell.Direction.push, .pull] {
                let tap = try WireTap()
                let source = try tap.tree("src")
                // Of two links the first in the directory's order is the one that is sent: try both orders.
                try source.file("b", Array("linked".utf8))
                try source.hardLink("a", to: "b")
                let names = Self.directoryOrder(source.root)
                if names.first != "b" {
                    source.remove("b")
                    try source.hardLink("b", to: "a")
                }
                try #require(Self.directoryOrder(source.root) == ["b", "a"])
                _ = try tap.tree("dst")
                let capture = try tap.record(
                    pair[0], pair[1], direction, ["-aH", "--cc=md5", "--checksum-seed=1"], source: "src/",
                    destination: "dst/")
                #expect(capture.result.exitCode == 0, "\(capture.result.errorText)")
                // The top directory is 1, so `a` is 2 and `b` is 3.
                let report = dump(hex("fe 80 02 00 00 00 70 01 62"))
                #expect(dump(capture.generator).contains(report), "\(dump(capture.generator))")
                #expect(dump(capture.sender).contains(report))
            }
        }

        /// Names of a directory as the file system lists them.
        static func directoryOrder(_ path: String) -> [String] {
            let result = try? run(["/bin/ls", "-U", path])
            return result?.outputText.split(separator: "\n").map(String.init) ?? []
        }

        /// Two files and a directory are deleted: the generator's tail, early and late, and who repeats it.
        @Test(arguments: pairs, ["--delete", "--delete-before", "--delete-after", "--delete-delay"])
        func deletionsAreCounted(_ pair: [Cell.Program], _ option: String) throws {
            for (direction, version) in [(Cell.Direction.push, 31), (.push, 32), (.pull, 32)] {
                let tap = try WireTap()
                let source = try tap.tree("src")
                try source.file(bytes: Array("f".utf8), Array("hello\n".utf8), time: 1_000_000_000, nanoseconds: 0)
                let destination = try tap.tree("dst")
                for tree in [source, destination] { try tree.setTime("", 1_000_000_000) }
                try destination.directory("ed")
                try destination.file("ed/x", [1])
                try destination.file("extra", [2])
                let capture = try tap.record(
                    pair[0], pair[1], direction, ["-r", "-i", "--no-i-r", option, "--protocol=\(version)"],
                    source: "src/", destination: "dst/")
                #expect(capture.result.exitCode == 0, "\(capture.result.errorText)")
                #expect(dump(capture.generator).hasSuffix(dump(hex("00 00 00 | ff 02 02 01 00 00 00 | 00 | 00"))))
                if direction == .push {
                    #expect(dump(capture.sender).hasSuffix(dump(hex("00 00 00 00"))))
                    // §6.3: each deletion is told to the client, a directory with a trailing NUL.
                    let told = capture.toClient.frames.filter { $0.code == 101 }.map(\.payload)
                    #expect(told.count == 3)
                    #expect(told.contains(hex("65 64 00")))
                    #expect(told.contains(hex("65 78 74 72 61")))
                    #expect(told.contains(Array("ed/x".utf8)))
                } else {
                    // A server that sends repeats the numbers: after the statistics, or before when they came early.
                    #expect(dump(capture.serverStream).contains(dump(hex("ff 02 02 01 00 00 00 00"))))
                }
            }
        }
    }
}
