// Dray — file lists of a sending server: the worked ones, and those of the real program for the same tree.
// Layer: Tests. Wire format: chapter 02 §9.5, §10, §14.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Testing

extension Interop {
    /// Owners are root in the examples. The order of entries is that of the directory, which a test arranges.
    @Suite(.enabled(if: Interop.isRoot, "the examples belong to root")) struct GoldenListTests {
        private static let programs: [Cell.Program] = [.rsync, .dray]
        static let fileTime: Int64 = 0x6593_7d25
        static let directoryTime: Int64 = 0x6593_7d26

        /// Fills `tree` so that the file system lists `names` in this order: newest first, or else oldest first.
        static func arrange(_ tree: FileTree, _ names: [String], _ make: (String) throws -> Void) throws {
            for order in [Array(names.reversed()), names] {
                for name in names { tree.remove(name) }
                for name in order { try make(name) }
                if GoldenTransferTests.directoryOrder(tree.root) == names { return }
            }
            throw TestProblem(description: "the directory does not keep the order \(names)")
        }

        struct TestProblem: Error, CustomStringConvertible { var description: String }

        static func file(_ tree: FileTree, _ name: String, _ text: String, mode: UInt32 = 0o644) throws {
            try tree.file(
                bytes: Array(name.utf8), Array(text.utf8), mode: mode, time: Self.fileTime, nanoseconds: 0)
        }

        /// What a server sends after its seed, frames removed, to a client that sends `filters` and then closes.
        static func list(
            _ program: Cell.Program, _ flags: [String], in directory: String, version: UInt8 = 32,
            paths: [String] = ["src/"], then more: String = "", through wrapper: [String] = []
        ) throws -> [UInt8] {
            var input: [UInt8] = [version, 0, 0, 0]
            let negotiates = version >= 30 && flags[0].contains("v")
            if negotiates { input += hex("03 \"md5\"") }
            input += version >= 30 ? hex("04 00 00 07 00 00 00 00") : hex("00 00 00 00")
            input += hex(more)
            let words = ["--sender"] + flags + ["--checksum-seed=1", "."] + paths
            let result = try serve(program, words, input, in: directory, through: wrapper)
            let setUp = version < 30 ? 8 : negotiates ? 46 : flags[0].contains("u") ? 10 : 9
            return stream(frames(result.output.dropFirst(setUp)))
        }

        // MARK: - §14.1, §14.2

        private func simpleTree(_ tap: WireTap) throws -> FileTree {
            let tree = try tap.tree("src")
            try Self.arrange(tree, ["link", "sub", "a.txt"]) { name in
                switch name {
                case "link": try tree.symlink(name, to: "a.txt")
                case "sub": try tree.directory(name)
                default: try Self.file(tree, name, "a text")
                }
            }
            try tree.file(
                bytes: Array("sub/b.bin".utf8), Array("0123456789".utf8), mode: 0o600, time: Self.fileTime,
                nanoseconds: 500_000_000)
            try tree.setTime("link", Self.fileTime, nanoseconds: 0)
            for name in ["sub", ""] { try tree.setTime(name, Self.directoryTime, nanoseconds: 0) }
            return tree
        }

        /// Entries below the top directory, up to the file in `sub`.
        private func simpleEntries(_ tap: WireTap) throws -> String {
            """
            18 04 "link" 00 05 00 65 25 7d 93 ff a1 00 00 05 "a.txt"
            18 03 "sub" \(try GoldenSetUpTests.directorySize(tap, "src/sub")) 65 26 7d 93 ed 41 00 00
            18 05 "a.txt" 00 06 00 65 25 7d 93 a4 81 00 00
            """
        }
        private static let simpleFile = "a0 98 09 \"sub/b.bin\" 00 0a 00 f0 00 65 cd 1d 80 81 00 00 00 00"

        @Test(arguments: programs) func simpleTreeInPieces(_ program: Cell.Program) throws {
            let tap = try WireTap()
            _ = try simpleTree(tap)
            let top = try GoldenSetUpTests.directorySize(tap, "src")
            let expected = """
                8c 01 01 2e \(top) 65 26 7d 93 ed 41 00 00 00 04 "root" 00 04 "root"
                \(try simpleEntries(tap)) 00 00 ff 65 \(Self.simpleFile) ff fe 80 02 00 00
                """
            let bytes = try Self.list(program, ["-logDtpre.iLsfxCIvu"], in: tap.scratch.path)
            #expect(dump(bytes) == dump(hex(expected)))
        }

        @Test(arguments: programs) func simpleTreeAtOnce(_ program: Cell.Program) throws {
            let tap = try WireTap()
            _ = try simpleTree(tap)
            let top = try GoldenSetUpTests.directorySize(tap, "src")
            let expected = """
                01 01 2e \(top) 65 26 7d 93 ed 41 00 00 00 00
                \(try simpleEntries(tap)) \(Self.simpleFile) 00 04 "root" 00 04 "root"
                """
            let bytes = try Self.list(program, ["-logDtpre.LsfxCIvu"], in: tap.scratch.path)
            #expect(dump(bytes) == dump(hex(expected)))
        }

        /// §14.2: id lists, the id that was met last first; the unnamed id 1234 is in none.
        @Test(arguments: programs) func idListsNameWhatWasMetLastFirst(_ program: Cell.Program) throws {
            let tap = try WireTap()
            let tree = try tap.tree("src")
            let owners: [String: (UInt32, UInt32)] = [
                "d": (1, 7), "a": (1, 1), "c": (3, 2), "b": (2, 3), "e": (1234, 1234),
            ]
            try Self.arrange(tree, ["b", "c", "a", "d", "e"]) { name in
                try Self.file(tree, name, "x")
                try tree.owner(name, owners[name]!.0, owners[name]!.1)
            }
            let users = "01 06 \"daemon\" 03 03 \"sys\" 02 03 \"bin\" 00"
            let groups = "07 02 \"lp\" 01 06 \"daemon\" 02 03 \"bin\" 03 03 \"sys\" 00"
            let named = try Self.list(program, ["-logDtpre.LsfxCIvu"], in: tap.scratch.path)
            #expect(dump(named).hasSuffix(dump(hex("00 00 \(users) 04 \"root\" \(groups) 04 \"root\""))))
            let bare = try Self.list(program, ["-logDtpre.LsfxCIv"], in: tap.scratch.path)
            #expect(dump(bare).hasSuffix(dump(hex("00 00 \(users) \(groups)"))))
        }

        // MARK: - §14.3

        private func linkedTree(_ tap: WireTap) throws -> FileTree {
            let tree = try tap.tree("src")
            let outside = try tap.tree("outside")
            try Self.file(outside, "inode", "linked")
            try Self.arrange(tree, ["b", "z", "a", "d"]) { name in
                switch name {
                case "d":
                    try tree.directory("d")
                    try tree.hardLink("d/c", to: "../outside/inode")
                case "z": try Self.file(tree, name, "z")
                default: try tree.hardLink(name, to: "../outside/inode")
                }
            }
            outside.remove("inode")
            for name in ["d", ""] { try tree.setTime(name, Self.directoryTime, nanoseconds: 0) }
            return tree
        }

        @Test(arguments: programs) func hardLinksReferToWirePositions(_ program: Cell.Program) throws {
            let tap = try WireTap()
            let tree = try linkedTree(tap)
            let top = try GoldenSetUpTests.directorySize(tap, "src")
            let below = try GoldenSetUpTests.directorySize(tap, "src/d")
            let first = "92 18 01 62 00 06 00 65 25 7d 93 a4 81 00 00 | 80 9a 01 7a 00 01 00"
            let directory = "18 01 64 \(below) 65 26 7d 93 ed 41 00 00"
            let pieces = """
                8c 01 01 2e \(top) 65 26 7d 93 ed 41 00 00 00 04 "root" 00 04 "root"
                \(first) 82 9a 01 61 02 \(directory) 00 00
                ff 65 82 38 01 02 "/c" 02 00 06 00 65 25 7d 93 a4 81 00 00 00 00 ff fe 80 02 00 00
                """
            let inPieces = try Self.list(program, ["-logDtprHe.iLsfxCIvu"], in: tap.scratch.path)
            #expect(dump(inPieces) == dump(hex(pieces)))
            // At once the references are 1, and `d/c` is abbreviated too.
            let whole = """
                01 01 2e \(top) 65 26 7d 93 ed 41 00 00 00 00
                \(first) 82 9a 01 61 01 \(directory) 82 38 01 02 "/c" 01 00 00 00 04 "root" 00 04 "root"
                """
            let atOnce = try Self.list(program, ["-logDtprHe.LsfxCIvu"], in: tap.scratch.path)
            #expect(dump(atOnce) == dump(hex(whole)))
            // Protocol 29 has device (plus one) and inode.
            let status = try run(["/usr/bin/stat", "-c", "%d %i", tree.path("a")]).outputText
            let numbers = status.split(whereSeparator: \.isWhitespace).compactMap { Int32($0) }
            try #require(numbers.count == 2)
            let old = dump(try Self.list(program, ["-logDtprH"], in: tap.scratch.path, version: 29))
            let inode = dump(withUnsafeBytes(of: numbers[1].littleEndian) { Array($0) })
            let device = dump(withUnsafeBytes(of: (numbers[0] + 1).littleEndian) { Array($0) })
            #expect(old.contains("1c 02 01 62 06 00 00 00 25 7d 93 65 a4 81 00 00 \(device) \(inode)"), "\(old)")
            #expect(old.contains("9e 06 01 61 06 00 00 00 \(inode)"), "\(old)")
        }

        // MARK: - §9.5, §10

        @Test(arguments: programs) func missingArgumentIsAnEntryWithoutMode(_ program: Cell.Program) throws {
            let tap = try WireTap()
            let tree = try tap.tree("src")
            try Self.file(tree, "a", "x")
            let bytes = try Self.list(
                program, ["-logDtpre.LsfxCIvu", "--delete-missing-args"], in: tap.scratch.path,
                paths: ["src/a", "src/nonexist"])
            let entry = "18 08 \"nonexist\" 00 00 00 | 00 00 00 00 | 00 00 00 00"
            #expect(dump(bytes).contains(dump(hex(entry))), "\(dump(bytes))")
        }

        @Test(arguments: programs) func namesOfTheClientAreTheList(_ program: Cell.Program) throws {
            let tap = try WireTap()
            let tree = try tap.tree("src")
            for name in ["x", "x/y", "w"] { try tree.directory(name) }
            for name in ["x/y/f", "w/g"] { try Self.file(tree, name, "data") }
            for name in ["x/y", "x", "w"] { try tree.setTime(name, Self.fileTime, nanoseconds: 0) }
            let bytes = try Self.list(
                program, ["-tpRe.LsfxCIvu", "--files-from=-", "--from0"], in: tap.scratch.path + "/src",
                paths: ["."], then: "0b 00 00 07 \"x/y/f\" 00 \"w/g\" 00 00")
            // Flags 0x0119, 0x01bb, 0x0199: directories that only lead to a name.
            let size = try GoldenSetUpTests.directorySize(tap, "src/x")
            #expect(
                dump(bytes).hasPrefix(dump(hex("81 19 01 \"x\" \(size) 65 25 7d 93 ed 41 00 00"))), "\(dump(bytes))")
            #expect(dump(bytes).contains(dump(hex("81 bb 01 02 \"/y\""))), "\(dump(bytes))")
            #expect(dump(bytes).contains(dump(hex("81 99 01 \"w\""))), "\(dump(bytes))")
            #expect(dump(bytes).hasSuffix("00 00"))
            #expect(
                try Self.list(
                    .rsync, ["-tpRe.LsfxCIvu", "--files-from=-", "--from0"],
                    in: tap.scratch.path + "/src", paths: ["."], then: "0b 00 00 07 \"x/y/f\" 00 \"w/g\" 00 00")
                    == bytes)
        }

        // MARK: - Every form of a list

        /// §14.5 and §17 item 1: a tree with devices, FIFO and links, with every set of letters and every protocol.
        @Test(
            arguments: [
                (32, "e.iLsfxCIvu"), (32, "e.LsfxCIvu"), (31, "e.iLsfxCIvu"), (31, "e.LsfxCIvu"), (32, "e.iLsfx"),
                (32, "e.iLsf"), (31, "e.Lsfx"), (30, "e.iLsfxCIvu"), (30, "e.LsfxCIvu"), (30, "e.Lsf"), (29, ""),
                (28, ""), (27, ""),
            ] as [(UInt8, String)], ["-logDtpr", "-logDtprH", "-r", "-ogDtprc", "-ltprc"])
        func listsAreThoseOfRsync(_ form: (UInt8, String), _ letters: String) throws {
            let tap = try WireTap()
            let tree = try simpleTree(tap)
            try tree.fifo("fifo")
            try tree.node("zero", 0o020644, device: 0x105)
            try tree.node("null", 0o020644, device: 0x103)
            try tree.node("big", 0o060644, device: UInt64(259) << 8 | UInt64(70000 & 0xff) | UInt64(70000 >> 8) << 20)
            try tree.hardLink("sub/again", to: "a.txt")
            try tree.directory("sub/deep")
            try tree.symlink("sub/deep/up", to: "../b.bin")
            for name in ["fifo", "zero", "null", "big"] { try tree.setTime(name, Self.fileTime, nanoseconds: 0) }
            try tree.owner("sub/again", 1, 2)
            let flags = [letters + form.1]
            let theirs = try Self.list(.rsync, flags, in: tap.scratch.path, version: form.0)
            let ours = try Self.list(.dray, flags, in: tap.scratch.path, version: form.0)
            #expect(theirs.count > 40)
            #expect(dump(ours) == dump(theirs))
        }
    }
}
