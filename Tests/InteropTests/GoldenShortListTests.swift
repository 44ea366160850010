// Dray — short pieces of file lists: devices, FIFOs and relative names, exactly as the examples have them.
// Layer: Tests. Wire format: chapter 02 §14.5.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc
import Testing

extension Interop {
    @Suite(.enabled(if: Interop.isRoot, "the examples belong to root")) struct GoldenShortListTests {
        private static let programs: [Cell.Program] = [.rsync, .dray]

        @Test(
            arguments: [
                (
                    32, "-logDtpre.LsfxCIvu",
                    [
                        "18 04 \"fifo\" 00 00 00 65 25 7d 93 a4 11 00 00",
                        "80 98 04 \"zero\" 00 00 00 a4 21 00 00 01 05", "81 98 04 \"null\" 00 00 00 a4 21 00 00 03",
                        "03 \"big\" 00 00 00 a4 61 00 00 81 03 c1 70 11",
                    ]
                ),
                (30, "-logDtpre.LsfxCIu", ["1c 01 04 \"fifo\" 00 00 00 65 25 7d 93 a4 11 00 00 00"]),
                (
                    29, "-logDtpr",
                    [
                        "1c 09 04 \"fifo\" 00 00 00 00 25 7d 93 65 a4 11 00 00 00",
                        "98 03 \"big\" 00 00 00 00 a4 61 00 00 03 01 00 00 70 11 01 00",
                    ]
                ),
            ] as [(UInt8, String, [String])], programs)
        func devicesAndFIFOs(_ example: (UInt8, String, [String]), _ program: Cell.Program) throws {
            let tap = try WireTap()
            let tree = try tap.tree("src")
            let nodes: [String: (UInt32, UInt64)] = [
                "fifo": (0o010644, 0), "zero": (0o020644, 0x105), "null": (0o020644, 0x103),
                "big": (0o060644, UInt64(259) << 8 | UInt64(70000 & 0xff) | UInt64(70000 >> 8) << 20),
            ]
            // A file between the two devices keeps the mode from being the same.
            try GoldenListTests.arrange(tree, ["fifo", "zero", "plain", "null", "big"]) { name in
                guard let (mode, device) = nodes[name] else { return try GoldenListTests.file(tree, name, "x") }
                try tree.node(name, mode, device: device)
                try tree.setTime(name, GoldenListTests.fileTime, nanoseconds: 0)
            }
            try tree.setTime("", GoldenListTests.directoryTime, nanoseconds: 0)
            let bytes = try GoldenListTests.list(
                program, [example.1], in: tap.scratch.path, version: example.0)
            for entry in example.2 { #expect(dump(bytes).contains(dump(hex(entry))), "\(dump(bytes))") }
        }

        /// `-R x/y/f`, and `-R x x/y/f`, whose two entries `x` share one list.
        @Test(arguments: programs) func relativeNamesInPieces(_ program: Cell.Program) throws {
            let tap = try WireTap()
            let tree = try tap.tree("src")
            for name in ["x", "x/y"] { try tree.directory(name) }
            try GoldenListTests.file(tree, "x/y/f", "data")
            for name in ["x/y", "x"] { try tree.setTime(name, GoldenListTests.fileTime, nanoseconds: 0) }
            let sizes = try ["x", "x/y"].map { try GoldenSetUpTests.directorySize(tap, "src/" + $0) }
            let root = tap.scratch.path + "/src"
            let one = try GoldenListTests.list(program, ["-rRe.iLsfxCIvu"], in: root, paths: ["x/y/f"])
            let expected = """
                81 19 01 78 \(sizes[0]) 65 25 7d 93 ed 41 00 00 00 00
                ff 64 81 bb 01 02 2f 79 \(sizes[1]) 00 00
                ff 01 80 b8 03 02 2f 66 00 04 00 a4 81 00 00 00 00 | ff fe 80 02 00 00
                """
            #expect(dump(one) == dump(hex(expected)))
            let two = dump(try GoldenListTests.list(program, ["-rRe.iLsfxCIvu"], in: root, paths: ["x", "x/y/f"]))
            let double = "19 01 78 \(sizes[0]) 65 25 7d 93 ed 41 00 00 81 bb 01 00 \(sizes[0]) 00 00 ff 64"
            #expect(two.hasPrefix(dump(hex(double))), "\(two)")
            #expect(two.contains(dump(hex("00 00 ff 02"))), "\(two)")
        }

        /// `-d` with a slash: the directory below is listed without what it holds.
        @Test(arguments: programs) func directoriesAreListedWithoutContents(_ program: Cell.Program) throws {
            let tap = try WireTap()
            let tree = try tap.tree("src")
            try GoldenListTests.arrange(tree, ["f", "sub"]) { name in
                if name == "sub" { return try tree.directory(name) }
                try GoldenListTests.file(tree, name, "x")
            }
            try GoldenListTests.file(tree, "sub/hidden", "x")
            try tree.setTime("sub", GoldenListTests.fileTime, nanoseconds: 0)
            try tree.setTime("", GoldenListTests.directoryTime, nanoseconds: 0)
            let size = try GoldenSetUpTests.directorySize(tap, "src/sub")
            let bytes = dump(try GoldenListTests.list(program, ["-dlogDtpe.LsfxCIvu"], in: tap.scratch.path))
            let entries = "18 01 \"f\" 00 01 00 65 25 7d 93 a4 81 00 00 | 81 98 03 \"sub\" \(size) ed 41 00 00 | 00 00"
            #expect(bytes.contains(dump(hex(entries))), "\(bytes)")
            #expect(!bytes.contains(dump(Array("hidden".utf8))))
        }

        /// The segment of a directory that cannot be read: the error before protocol 32 as a flag of the list, then
        /// as the ordinary end, because the message MSG_IO_ERROR tells of it.
        @Test(arguments: [(31, "ff 65 04 10 01"), (32, "ff 65 00 01")] as [(UInt8, String)], programs)
        func unreadableDirectoriesAreEmptySegments(_ example: (UInt8, String), _ program: Cell.Program) throws {
            let tap = try WireTap()
            let tree = try tap.tree("src")
            try tree.directory("sub")
            try GoldenListTests.file(tree, "sub/hidden", "x")
            chmod(tree.path("sub"), 0)
            defer { chmod(tree.path("sub"), 0o755) }
            let letters = example.0 == 32 ? "-logDtpre.iLsfxCIvu" : "-logDtpre.iLsfxCIu"
            // Root without capabilities owns the directory but may not read it.
            let bytes = try GoldenListTests.list(
                program, [letters], in: tap.scratch.path, version: example.0,
                through: ["/usr/bin/setpriv", "--bounding-set=-all"])
            #expect(dump(bytes).contains(dump(hex(example.1))), "\(dump(bytes))")
            #expect(!dump(bytes).contains(dump(Array("hidden".utf8))))
        }

        /// §13: with conversion the numbers are the places on the wire, and the order is that of the receiver.
        @Test(arguments: GoldenSetUpTests.pairs) func numbersUnderConversionAreWirePositions(
            _ pair: [Cell.Program]
        ) throws {
            let tap = try WireTap()
            let tree = try tap.tree("src")
            let names: [[UInt8]] = [[0x7a, 0xe9], [0x6d, 0xe8], [0x63], [0x6c], [0x61]]
            let wanted = "z\\351\nm\\350\nc\nl\na\n"
            let listing = { try? run(["/bin/ls", "-Ub", tree.root], environment: ["LC_ALL": "C"]).outputText }
            // Newest first or oldest first: what the file system does.
            for order in [Array(names.reversed()), names] {
                tree.remove("")
                _ = try FileTree(tree.root)
                for name in order {
                    if name == [0x6c] { try tree.symlink("l", to: "c") } else { try tree.file(bytes: name, [0x78]) }
                }
                if listing() == wanted { break }
            }
            try #require(listing() == wanted)
            let capture = try tap.record(
                pair[0], pair[1], .pull, ["-rlt", "--cc=md5", "--checksum-seed=1", "--iconv=utf8,latin1"],
                source: "src/", destination: "dst/")
            #expect(capture.result.exitCode == 0, "\(capture.result.errorText)")
            let head = "00 a0 \(String(repeating: "00", count: 16))"
            let requests = """
                01 00 60 | 06 \(head) | fe 80 04 00 00 \(head) | 01 02 60 | fe 80 03 00 00 \(head)
                fe 80 02 00 00 \(head) | 00
                """
            #expect(dump(capture.generator).hasPrefix(dump(hex(requests))), "\(dump(capture.generator))")
        }
    }
}
