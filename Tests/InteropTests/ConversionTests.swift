import DrayTestSupport
import Glibc
import Testing

extension Interop {
    /// `--iconv` and what two Drays agree on beyond the protocol.
    @Suite struct ConversionTests {
        private let scratch: ScratchDirectory
        private let peers: MatrixPeers

        init() throws {
            scratch = try ScratchDirectory()
            peers = try MatrixPeers(in: scratch.path)
        }

        private func command(_ client: Cell.Program, _ server: Cell.Program) -> [String] {
            [client.path, "-e", peers.shell, "--rsync-path=\(server.path)"]
        }

        /// UTF-8 names whose order is another one in Latin-1, in two directories.
        private func makeNames() throws -> FileTree {
            let tree = try FileTree(scratch.path + "/utf8")
            try tree.directory("\u{e9}t\u{e9}")
            for (index, name) in ["z\u{e9}", "m\u{e8}", "c", "a", "\u{e9}t\u{e9}/\u{fc}", "\u{e9}t\u{e9}/b", "z~"]
                .enumerated()
            {
                try tree.file(name, FileTree.noise(700 + index, seed: UInt64(index)))
            }
            try tree.symlink("l", to: "m\u{e8}")
            try tree.hardLink("\u{e9}t\u{e9}/link", to: "z\u{e9}")
            try tree.setTime("\u{e9}t\u{e9}", 1_450_000_000)
            try tree.setTime("", 1_450_000_000)
            return tree
        }

        /// Length of the file with these bytes as its name; nil if there is none.
        private func length(_ directory: String, _ name: [UInt8]) -> Int? {
            var status = stat()
            let path = (Array(directory.utf8) + [0x2f] + name).map { CChar(bitPattern: $0) } + [0]
            return lstat(path, &status) == 0 ? Int(status.st_size) : nil
        }

        @Test(arguments: [["-aH"], ["-aH", "--no-i-r"], ["-aH", "--protocol=29"], ["-aHs", "--delete"]])
        func namesAreConverted(_ options: [String]) throws {
            let tree = try makeNames()
            for (client, server) in [(Cell.Program.dray, Cell.Program.rsync), (.rsync, .dray), (.dray, .dray)] {
                let (there, back) = (scratch.path + "/latin1", scratch.path + "/back")
                removeTree(there)
                removeTree(back)
                let push = try run(
                    command(client, server) + options + ["--iconv=utf8,latin1", tree.root + "/", "h:" + there],
                    seconds: 20)
                #expect(push.exitCode == 0, "\(client)→\(server): \(push.errorText)")
                #expect(length(there, [0x7a, 0xe9]) == 700)
                #expect(length(there, [0xe9, 0x74, 0xe9, 0x2f, 0xfc]) == 704)
                let pull = try run(
                    command(client, server) + options + ["--iconv=utf8,latin1", "h:" + there + "/", back], seconds: 20)
                #expect(pull.exitCode == 0, "\(client)→\(server): \(pull.errorText)")
                var differences = TreeSnapshot(back).differences(from: TreeSnapshot(tree.root), now: Int64(time(nil)))
                // Targets are converted from protocol 30 on.
                if options.contains("--protocol=29") {
                    differences.removeAll {
                        $0.hasPrefix("l:") || $0.contains("000.0 instead of ") || $0.contains(".0 ")
                    }
                }
                #expect(differences == [], "\(client)→\(server)")
            }
        }

        /// With secluded arguments the words and the names of a list are converted too.
        @Test func argumentsAreConverted() throws {
            let tree = try makeNames()
            let there = scratch.path + "/latin1"
            let made = try run(
                [DrayPrograms.dray, "-aH", "--iconv=utf8,latin1", tree.root + "/", there + "/"], seconds: 20)
            #expect(made.exitCode == 0, "\(made.errorText)")
            try FileTree(scratch.path).file("list", Array("m\u{e8}\n\u{e9}t\u{e9}/\u{fc}\n".utf8))
            for (client, server) in [(Cell.Program.dray, Cell.Program.rsync), (.rsync, .dray), (.dray, .dray)] {
                let back = scratch.path + "/back"
                removeTree(back)
                let words = command(client, server) + ["-as", "--iconv=utf8,latin1"]
                let one = try run(words + ["h:" + there + "/z\u{e9}", back + "/"], seconds: 20)
                #expect(one.exitCode == 0, "\(client)→\(server): \(one.errorText)")
                let listed = try run(
                    words + ["--files-from=" + scratch.path + "/list", "h:" + there, back + "/"], seconds: 20)
                #expect(listed.exitCode == 0, "\(client)→\(server): \(listed.errorText)")
                for name in ["z\u{e9}", "m\u{e8}", "\u{e9}t\u{e9}/\u{fc}"] {
                    #expect(length(back, Array(name.utf8)) != nil, "\(client)→\(server): \(name)")
                }
            }
        }

        @Test func unconvertibleNamesAreLeftOut() throws {
            let tree = try makeNames()
            try tree.file(bytes: [0x62, 0xff], FileTree.noise(10, seed: 1))
            try tree.file("\u{65e5}", FileTree.noise(11, seed: 2))
            for (client, server) in [(Cell.Program.dray, Cell.Program.rsync), (.rsync, .dray), (.dray, .dray)] {
                let there = scratch.path + "/latin1"
                removeTree(there)
                let result = try run(
                    command(client, server) + ["-a", "--iconv=utf8,latin1", tree.root + "/", "h:" + there], seconds: 20)
                #expect(result.exitCode == 23)
                #expect(result.errorText.contains("[sender] cannot convert filename: b\\#377 ("), "\(result.errorText)")
                #expect(result.errorText.contains("[Receiver] cannot convert filename: "), "\(result.errorText)")
                #expect(length(there, [0x7a, 0xe9]) == 700)
                #expect(length(there, [0x6d, 0xe8]) == 701)
                #expect(length(there, Array("z~".utf8)) == 706)
            }
        }

        @Test func unknownCharacterSet() throws {
            let result = try run([DrayPrograms.dray, "-a", "--iconv=nonsense", scratch.path + "/", scratch.path + "/x"])
            #expect(result.exitCode == 4)
            #expect(result.errorText.hasPrefix("iconv_open(\"UTF-8\", \"nonsense\") failed\n"), "\(result.errorText)")
        }

        /// A client that announces extensions is not noticed by rsync, and nothing changes for it.
        @Test func extensionsAreInvisibleToRsync() throws {
            let tree = try makeNames()
            for server in [Cell.Program.rsync, .dray] {
                for direction in ["push", "pull", "daemon"] {
                    let target = scratch.path + "/target"
                    removeTree(target)
                    let source = tree.root + "/"
                    let words =
                        switch direction {
                        case "push": command(.dray, server) + ["-aH", source, "h:" + target]
                        case "pull": command(.dray, server) + ["-aH", "h:" + source, target]
                        default: [DrayPrograms.dray, "-aH", peers.url(of: server) + source.dropFirst(), target]
                        }
                    let result = try run(["/usr/bin/env", "DRAY_EXTENSIONS=1"] + words, seconds: 20)
                    #expect(result.exitCode == 0, "\(direction) \(server): \(result.errorText)")
                    #expect(result.errorText == "")
                    #expect(TreeSnapshot(target).differences(from: TreeSnapshot(tree.root), now: 0) == [])
                }
            }
        }
    }
}
