// Dray — ACLs and extended attributes on the wire, exactly as the worked examples have them.
// Layer: Tests. Wire format: chapter 02 §6.3, §14.4.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Testing

extension Interop {
    @Suite(.enabled(if: Interop.isRoot, "the examples belong to root")) struct GoldenMetadataTests {
        private static let digits = Array(String(repeating: "0123456789", count: 4).utf8)
        private static let longDigest = "9f 0a e0 38 0e d2 7d bf 6b 85 28 43 d2 ee ce 1f"

        /// §6.3: three values, of which the two long ones are asked for.
        @Test(arguments: GoldenSetUpTests.pairs) func longValuesAreSentOnRequest(_ pair: [Cell.Program]) throws {
            let values = Array(String(repeating: "0123456789", count: 5).utf8) + Array("ab".utf8)
            for direction in [Cell.Direction.push, .pull] {
                let tap = try WireTap()
                let source = try tap.tree("src")
                try source.file(bytes: Array("f".utf8), Array("x".utf8), time: 1_000_000_000, nanoseconds: 0)
                try source.attribute("f", "user.aaa", Array("short".utf8))
                try source.attribute("f", "user.long", Self.digits)
                try source.attribute("f", "user.zlong", values)
                _ = try tap.tree("dst")
                let capture = try tap.record(
                    pair[0], pair[1], direction, ["-X", "--cc=md5", "--checksum-seed=1"], source: "src/f",
                    destination: "dst/")
                #expect(capture.result.exitCode == 0, "\(capture.result.errorText)")
                let item = """
                    00 03 | 09 05 "user.aaa" 00 "short" | 0a 28 "user.long" 00 \(Self.longDigest)
                    0b 34 "user.zlong" 00 2036625c05dcb276fe701ac6fdbada1f | 00 00
                    """
                let answer = """
                    01 00 a1 | 02 28 \(dump(Self.digits)) | 01 34 \(dump(values)) | 00 | \(GoldenTransfer.zero)
                    01 00 00 00 "x" 00 00 00 00 9dd4e461268c8034f5c8564e155c67a6 \(GoldenTransfer.done4)
                    """
                #expect(dump(capture.sender).contains(dump(hex(item))), "\(dump(capture.sender))")
                #expect(dump(capture.sender).hasSuffix(dump(hex(answer))), "\(dump(capture.sender))")
                let request = "01 00 a1 | 02 01 00 | \(GoldenTransfer.zero) | \(GoldenTransfer.done5)"
                #expect(dump(capture.generator) == dump(hex(request)))
            }
        }

        /// §14.4: literals and references of both tables.
        @Test(arguments: [Cell.Program.rsync, .dray]) func listWithACLsAndAttributes(_ program: Cell.Program) throws {
            let tap = try WireTap()
            let tree = try tap.tree("src")
            try GoldenListTests.arrange(tree, ["sl", "z", "a", "plain", "d"]) { name in
                switch name {
                case "sl": try tree.symlink(name, to: "a")
                case "d": try tree.directory(name)
                default: try GoldenListTests.file(tree, name, name == "a" ? "a text" : "x")
                }
            }
            for name in ["z", "a"] {
                try tree.acl(
                    name, [.init(1, 6), .init(2, 4, 1), .init(4, 4), .init(8, 6, 2), .init(16, 6), .init(32, 4)])
                try tree.attribute(name, "user.short", Array("val".utf8))
                try tree.attribute(name, "user.long", Self.digits)
            }
            try tree.acl(
                "d", isDefault: true, [.init(1, 7), .init(2, 7, 1), .init(4, 5), .init(16, 7), .init(32, 5)])
            try tree.attribute("d", "user.x", [])
            try tree.setTime("sl", GoldenListTests.fileTime, nanoseconds: 0)
            for name in ["d", ""] { try tree.setTime(name, GoldenListTests.directoryTime, nanoseconds: 0) }
            let top = try GoldenSetUpTests.directorySize(tap, "src")
            let below = try GoldenSetUpTests.directorySize(tap, "src/d")
            let expected = """
                8c 01 01 2e \(top) 65 26 7d 93 ed 41 00 00 00 04 "root" 00 04 "root" | 00 00 | 00 00 | 00 00
                18 02 "sl" 00 01 00 65 25 7d 93 ff a1 00 00 01 61 | 01
                80 98 01 "z" 00 01 00 b4 81 00 00
                00 12 04 02 01 13 06 "daemon" 02 19 03 "bin"
                00 02 0a 28 "user.long" 00 \(Self.longDigest) 0b 03 "user.short" 00 "val"
                80 9a 01 61 00 06 00 | 02 02
                80 98 05 "plain" 00 01 00 a4 81 00 00 | 01 01
                18 01 64 \(below) 65 26 7d 93 ed 41 00 00 | 01
                00 1f 07 05 07 05 01 01 1e | 00 01 07 00 "user.x" 00
                00 00 | ff 65 00 00 | ff fe 80 02 00 00
                """
            let bytes = try GoldenListTests.list(program, ["-logDtprAXe.iLsfxCIvu"], in: tap.scratch.path)
            #expect(dump(bytes) == dump(hex(expected)))
        }

        private func attribute(_ tree: FileTree, _ name: String) -> [UInt8] {
            TreeSnapshot(tree.root).items["f"]?.attributes[name] ?? []
        }

        /// §5.4: what `--fake-super` keeps of the ACL of §14.4, and that it comes back as one.
        @Test(arguments: [Cell.Program.rsync, .dray]) func keptAccessListOfFakeSuper(_ program: Cell.Program) throws {
            let tap = try WireTap()
            let source = try tap.tree("src")
            try source.file("f", Array("x".utf8))
            try source.acl(
                "f", [.init(1, 6), .init(2, 4, 1), .init(4, 4), .init(8, 6, 2), .init(16, 6), .init(32, 4)])
            let kept = try tap.tree("kept")
            let back = try tap.tree("back")
            for (from, to, option) in [("src", "kept", "-M--fake-super"), ("kept", "back", "--rsync-path=")] {
                let isBack = to == "back"
                // A local copy has the option on both sides; only one of them shall keep or read the attribute.
                let server = isBack ? "\(program.path) --fake-super" : program.path
                let words =
                    [program.path, "-aA", "-e", try makeShell(in: tap.scratch.path), "--rsync-path=\(server)"]
                    + (isBack
                        ? ["host:\(source.root)/../\(from)/", back.root]
                        : [option, source.root + "/", "host:\(kept.root)"])
                let result = try run(words, in: tap.scratch.path, seconds: 20)
                #expect(result.exitCode == 0, "\(result.errorText)")
                guard to == "kept" else { continue }
                let expected = """
                    80 00 00 00 04 00 00 00 06 00 00 00 80 00 00 00
                    01 00 00 00 04 00 00 80 02 00 00 00 06 00 00 00
                    """
                #expect(dump(attribute(kept, "user.rsync.%aacl")) == dump(hex(expected)))
            }
            let list = "system.posix_acl_access"
            #expect(!attribute(source, list).isEmpty)
            #expect(attribute(back, list) == attribute(source, list))
        }
    }
}
