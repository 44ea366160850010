import DrayTestSupport
import Testing

extension Interop {
    /// Directories with more entries than the sender lets lie ahead of the receiver.
    @Suite struct LargeDirectoryTests {
        /// Nothing is asked for of unchanged lists, so only their ends tell the sender how far the receiver is.
        @Test(arguments: ["local", "push", "pull"]) func unchangedDirectoriesKeepListsComing(_ kind: String) throws {
            let scratch = try ScratchDirectory()
            let tree = try FileTree(scratch.path + "/source")
            for (name, count) in [("a", 1_100), ("b", 10_200), ("c", 1_000), ("d", 1)] {
                try tree.directory(name)
                for number in 0..<count { try tree.file("\(name)/\(number)", []) }
            }
            let shell = try FileTree(scratch.path + "/bin")
            try shell.file("shell", Array("#!/bin/sh\nshift\nexec \"$@\"\n".utf8), mode: 0o755)
            var words = [DrayPrograms.dray, "-ai"]
            let remote = ["-e", scratch.path + "/bin/shell"]
            switch kind {
            case "push": words += remote + ["--rsync-path=" + PeerRsync.path!]
            case "pull": words = [PeerRsync.path!, "-ai"] + remote + ["--rsync-path=" + DrayPrograms.dray]
            default: break
            }
            words.append((kind == "pull" ? "host:" : "") + scratch.path + "/source/")
            words.append((kind == "push" ? "host:" : "") + scratch.path + "/destination/")
            let first = try DrayTestSupport.run(words, in: scratch.path, seconds: 60)
            #expect(first.exitCode == 0, "\(first.errorText)")
            let second = try DrayTestSupport.run(words, in: scratch.path, seconds: 60)
            #expect(second.exitCode == 0, "\(second.errorText)")
            #expect(second.outputText == "")
        }
    }
}
