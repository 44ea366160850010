import DrayTestSupport
import Testing

extension Interop {
    /// The same member of each group is transferred, and the others are linked in the same order.
    @Suite struct HardLinkTests {
        /// Groups over directories, whole, and with members that exist, differ or are equal.
        private func prepare(_ work: String) throws {
            removeTree(work)
            let tree = try FileTree(work)
            for name in ["source", "source/a", "source/b", "source/c", "destination", "destination/a"] {
                try tree.directory(name)
            }
            for (group, members) in [
                ("w", ["a/w1", "a/w2", "b/w3", "c/w4"]), ("x", ["a/x1", "b/x2", "b/x3", "c/x4"]),
                ("y", ["a/y1", "a/y2", "c/y3"]), ("z", ["a/z1", "a/z2", "a/z3"]),
            ] {
                try tree.file("source/" + members[0], Array("group \(group)\n".utf8))
                for other in members.dropFirst() {
                    try tree.hardLink("source/" + other, to: "source/" + members[0])
                }
            }
            try tree.file("destination/a/y2", Array("old\n".utf8))
            try tree.file("destination/a/z2", Array("group z\n".utf8))
            for name in ["source/a", "source/b", "source/c", "source", "destination/a", "destination"] {
                try tree.setTime(name, 1_500_000_000)
            }
        }

        @Test(arguments: ["-aHii", "-aHii --no-i-r", "-aHn", "-aHi --ignore-existing", "-aHi --link-dest=../source"])
        func printsWhatRsyncPrints(_ text: String) throws {
            let scratch = try ScratchDirectory()
            let work = scratch.path + "/work"
            let words = text.split(separator: " ").map(String.init) + [work + "/source/", work + "/destination/"]
            try prepare(work)
            let wanted = try DrayTestSupport.run([PeerRsync.path!] + words, in: scratch.path, seconds: 20)
            try prepare(work)
            let result = try DrayTestSupport.run([DrayPrograms.dray] + words, in: scratch.path, seconds: 20)
            #expect(result.exitCode == wanted.exitCode, "\(result.errorText)")
            #expect(result.outputText == wanted.outputText)
        }
    }
}
