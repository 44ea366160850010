import DrayTestSupport
import Glibc
import Testing

extension Interop {
    /// `--relative` with several arguments, and `--files-from` on either side: output, tree and exit code are rsync's.
    @Suite struct NameListTests {
        private let scratch: ScratchDirectory
        private let peers: MatrixPeers
        private let source: FileTree

        init() throws {
            scratch = try ScratchDirectory()
            peers = try MatrixPeers(in: scratch.path)
            source = try FileTree(scratch.path + "/source")
            for directory in ["a", "a/b", "a/b/c", "a/f", "a/f/g", "d", "d/e"] { try source.directory(directory) }
            for (name, seed) in [("a/b/c/x", 1), ("d/e/y", 2), ("a/f/g/z", 3), ("a/top", 4), ("#c", 5)] {
                try source.file(name, FileTree.noise(900, seed: UInt64(seed)))
            }
            try source.symlink("link", to: "a/f")
            for directory in ["a/b/c", "a/b", "a/f/g", "a/f", "a", "d/e", "d", ""] {
                try source.setTime(directory, 1_450_000_000)
            }
        }

        static let versions = Interop.isFull ? Array(27...32) : [29, 30, 32]
        static let pairs: [(Cell.Program, Cell.Program)] = [(.dray, .rsync), (.rsync, .dray), (.dray, .dray)]

        /// Runs one command with another client and server; the destination is made anew.
        private func outcome(_ words: [String]) throws -> (lines: [String], errors: [String], tree: TreeSnapshot) {
            removeTree(scratch.path + "/destination")
            _ = try FileTree(scratch.path + "/destination")
            let result = try run(words, in: source.root, seconds: 30)
            let errors = result.errorText.split(separator: "\n").map { line in
                line.firstRange(of: ") at ").map { String(line[..<$0.lowerBound]) } ?? String(line)
            }
            let lines = result.outputText.split(separator: "\n").map(String.init) + ["exit \(result.exitCode)"]
            return (
                lines, errors.filter { !$0.contains("Broken pipe") }.sorted(),
                TreeSnapshot(scratch.path + "/destination")
            )
        }

        /// Compares every pair of programs with rsync on both sides.
        private func compare(
            _ label: String, ordered: Bool, now: Int64 = Int64(time(nil)),
            _ words: (Cell.Program, Cell.Program) -> [String]
        ) throws {
            let wanted = try outcome(words(.rsync, .rsync))
            for (client, server) in Self.pairs {
                let found = try outcome(words(client, server))
                let place: Comment = "\(label): \(client.rawValue)→\(server.rawValue)"
                #expect(ordered ? found.lines == wanted.lines : found.lines.sorted() == wanted.lines.sorted(), place)
                #expect(found.errors == wanted.errors, place)
                #expect(found.tree.differences(from: wanted.tree, now: now) == [], place)
            }
        }

        private func shell(_ client: Cell.Program, _ server: Cell.Program) -> [String] {
            [client.path, "-e", peers.shell, "--rsync-path=\(server.path)"]
        }

        @Test(arguments: [
            "a/b d/e a/f", "./a/b ./d", "a/b/./c a/b/c", "a a/b/c", "a/b/ a/f/.", "link/g link", "a/b/c a/nothing a/f",
            "a/b/c/x a/f/g/z a/b/c/x",
        ])
        func relativeArguments(_ text: String) throws {
            let names = text.split(separator: " ").map(String.init)
            for options in [["-rltRi"], ["-rltRi", "--no-i-r"], ["-dltRi"], ["-rltRi", "--no-implied-dirs"]] {
                let destination = scratch.path + "/destination/"
                try compare("push \(options) \(text)", ordered: true) {
                    shell($0, $1) + options + names + ["h:" + destination]
                }
                try compare("pull \(options) \(text)", ordered: true) {
                    shell($0, $1) + options + names.map { "h:\(source.root)/./\($0)" } + [destination]
                }
            }
            let absolute = names.map { source.root + "/" + $0 }
            try compare("absolute \(text)", ordered: true) {
                shell($0, $1) + ["-rltRi"] + absolute + ["h:\(scratch.path)/destination/"]
            }
        }

        /// Links that lead out of the source, relative and absolute: what they point to is copied when it is asked for.
        @Test(arguments: [["-rtL"], ["-rtk"], ["-rlt", "--copy-unsafe-links"], ["-rltR"]])
        func linksThatLeadOut(_ options: [String]) throws {
            let outside = try FileTree(scratch.path + "/outside")
            try outside.file("f", FileTree.noise(300, seed: 6))
            try outside.setTime("", 1_450_000_000)
            try source.symlink("a/out", to: "../../outside")
            try source.symlink("a/absolute", to: outside.root)
            let names =
                options == ["-rltR"] ? ["a/out/f", source.root + "/a/absolute/f"] : [source.root + "/"]
            try compare("push \(options)", ordered: true) {
                shell($0, $1) + options + ["-i"] + names + ["h:\(scratch.path)/destination/"]
            }
            try compare("local \(options)", ordered: true) { client, _ in
                [client.path] + options + ["-i"] + names + [scratch.path + "/destination/"]
            }
        }

        @Test(arguments: versions)
        func filesFrom(_ version: Int) throws {
            let list = scratch.path + "/list"
            let names = "a/b/c/x\nd/\n#c\n\na/f/./g\r\nlink/g/z\nnone/such\n./a/top\n../escape\n/a/b"
            try FileTree(scratch.path).file("list", Array(names.utf8))
            try FileTree(scratch.path).file("list0", names.utf8.map { $0 == 0x0a ? 0 : $0 })
            let destination = scratch.path + "/destination/"
            for extra in [[], ["--no-R"], ["-r"], ["-s"], ["--from0"]] {
                let options = ["-lti", "--protocol=\(version)"] + extra
                let file = list + (extra == ["--from0"] ? "0" : "")
                // Below protocol 29 both processes of a pulling client print.
                let ordered = version >= 29
                try compare("push, own list, \(options)", ordered: true) {
                    shell($0, $1) + options + ["--files-from=\(file)", ".", "h:" + destination]
                }
                try compare("push, remote list, \(options)", ordered: true) {
                    shell($0, $1) + options + ["--files-from=:\(file)", ".", "h:" + destination]
                }
                try compare("pull, own list, \(options)", ordered: ordered) {
                    shell($0, $1) + options + ["--files-from=\(file)", "h:\(source.root)/", destination]
                }
                try compare("pull, remote list, \(options)", ordered: ordered) {
                    shell($0, $1) + options + ["--files-from=:\(file)", "h:\(source.root)/", destination]
                }
                try compare("daemon, own list, \(options)", ordered: ordered) {
                    [$0.path] + options + [
                        "--files-from=\(file)", peers.url(of: $1) + source.root.dropFirst(), destination,
                    ]
                }
            }
        }
    }
}
