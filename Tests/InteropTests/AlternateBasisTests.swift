import DrayTestSupport
import Glibc
import Testing

extension Interop {
    /// `--compare-dest`, `--copy-dest`, `--link-dest` and `--fuzzy` against rsync.
    @Suite struct AlternateBasisTests {
        static let kinds = ["compare", "copy", "link"]
        static let options = ["-a -ii", "-a -i", "-ac -ii", "-rlt -ii", "-an -ii"]

        /// Files whose names tell how they stand: one letter per alternate directory, then one for the destination.
        /// `-` missing, `E` equal, `A` other mode, `S` other time, `C` other content.
        private func build(_ root: String, alternates: Int) throws {
            let tree = try FileTree(root)
            for name in ["s", "d", "a0", "a1"] { try tree.directory(name) }
            var rows = [""]
            for _ in 0..<alternates { rows = rows.flatMap { row in "-EASC".map { row + String($0) } } }
            for row in rows {
                for last in "-EAC" {
                    let name = row + String(last)
                    try put(tree, "s/" + name, "E")
                    for (index, state) in row.enumerated() { try put(tree, "a\(index)/" + name, state) }
                    try put(tree, "d/" + name, last)
                }
            }
            for (name, link) in [("s", "x"), ("a0", "x")] { try tree.symlink(name + "/link", to: link) }
            try tree.symlink("s/other", to: "x")
            try tree.symlink("a0/other", to: "y")
            for name in ["s", "a0"] {
                try tree.fifo(name + "/fifo")
                try tree.directory(name + "/sub")
                try tree.file(name + "/sub/file", Array("deep".utf8))
            }
            for name in ["s/sub", "a0/sub", "s", "d", "a0", "a1"] { try tree.setTime(name, 1_600_000_000) }
        }

        private func put(_ tree: FileTree, _ name: String, _ state: Character) throws {
            if state == "-" { return }
            let last = name.split(separator: "/").last!
            let content = Array(String(repeating: "content of \(last) ", count: 60).utf8)
            try tree.file(
                name, state == "C" ? content + [1, 2, 3] : content, mode: state == "A" ? 0o600 : 0o644,
                time: state == "S" || state == "C" ? 1_550_000_000 : 1_500_000_000)
        }

        /// Which files of the destination are hard links of files in an alternate directory.
        private func links(_ root: String) -> [String] {
            var owners: [UInt64: String] = [:]
            func names(_ directory: String) -> [(String, UInt64)] {
                TreeSnapshot(directory).items.keys.compactMap { name in
                    var status = stat()
                    guard lstat(directory + "/" + name, &status) == 0, status.st_mode & S_IFMT != S_IFDIR else {
                        return nil
                    }
                    return (name, UInt64(status.st_ino))
                }
            }
            for alternate in ["a0", "a1"] {
                for (name, inode) in names(root + "/" + alternate) { owners[inode] = alternate + "/" + name }
            }
            return names(root + "/d").compactMap { name, inode in owners[inode].map { "\(name) = \($0)" } }.sorted()
        }

        @Test(arguments: kinds, options)
        func matchesRsync(_ kind: String, _ options: String) throws {
            let scratch = try ScratchDirectory()
            let peers = try MatrixPeers(in: scratch.path)
            let root = scratch.path + "/work"
            for alternates in 1...2 {
                let words =
                    options.split(separator: " ").map(String.init)
                    + (0..<alternates).map { "--\(kind)-dest=../a\($0)" }
                for cell in Cell.few {
                    var outcomes: [([String], TreeSnapshot, [String], Int32)] = []
                    for each in [cell.reference, cell] {
                        removeTree(root)
                        try build(root, alternates: alternates)
                        let result = try run(
                            each.words(words, peers: peers, source: root + "/s/", destination: root + "/d/"),
                            seconds: 20)
                        let lines = result.outputText.split(separator: "\n").map(String.init)
                            .filter { !$0.hasPrefix("skipping") }
                        outcomes.append((lines, TreeSnapshot(root + "/d"), links(root), result.exitCode))
                    }
                    let (expected, found) = (outcomes[0], outcomes[1])
                    let name: Comment = "\(cell) \(words)"
                    #expect(found.0 == expected.0, name)
                    #expect(found.1.differences(from: expected.1, now: Int64(time(nil)) - 60) == [], name)
                    #expect(found.2 == expected.2, name)
                    #expect(found.3 == expected.3, name)
                }
            }
        }

        /// Thirty daily backups, each against the one before.
        @Test func rotationSharesWhatRsyncShares() throws {
            let scratch = try ScratchDirectory()
            let tree = try FileTree(scratch.path + "/r")
            for name in ["s", "s/sub", "rsync", "dray"] { try tree.directory(name) }
            for index in 0..<20 { try tree.file("s/sub/f\(index)", FileTree.noise(300, seed: UInt64(index))) }
            for day in 0..<30 {
                let changed = "s/sub/f\(day * 7 % 20)"
                try tree.file(changed, FileTree.noise(300, seed: UInt64(100 + day)), time: Int64(1_500_000_100 + day))
                if day % 10 == 4 { tree.remove("s/sub/f\(day % 20)") }
                for (name, program) in [("rsync", Cell.Program.rsync.path), ("dray", Cell.Program.dray.path)] {
                    let last = day == 0 ? [] : ["--link-dest=../day\(day - 1)"]
                    let result = try run(
                        [program, "-a"] + last + [tree.path("s/"), tree.path("\(name)/day\(day)")], seconds: 20)
                    #expect(result.exitCode == 0, "\(result.errorText)")
                }
            }
            let found = TreeSnapshot(tree.path("dray"))
            #expect(found.differences(from: TreeSnapshot(tree.path("rsync")), now: Int64(time(nil)) - 600) == [])
        }

        @Test func similarNamesAreChosenAsByRsync() throws {
            let scratch = try ScratchDirectory()
            let tree = try FileTree(scratch.path + "/f")
            var random = SystemRandomNumberGenerator()
            let seed = UInt64.random(in: 0...UInt64.max, using: &random)
            var state = seed
            func pick(_ choices: [String]) -> String {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return choices[Int(state >> 33) % choices.count]
            }
            func word() -> String {
                pick(["", "", ".", ".."]) + pick(["foo", "report", "x", "2024", "bar"]) + pick(["", "v1", "-2"])
                    + pick(["", ".tar", ".c", ".1", ".~1"]) + pick(["", ".gz", ".bak", ".old", ".22", ".", ".orig"])
                    + pick(["", "", "~"])
            }
            for _ in 0..<60 {
                for name in ["s", "d", "a"] {
                    tree.remove(name)
                    try tree.directory(name)
                }
                let target = word()
                try tree.file("s/" + target, FileTree.noise(100, seed: 1))
                for _ in 0..<8 {
                    let other = word()
                    if other == target { continue }
                    try tree.file(
                        pick(["d/", "d/", "a/"]) + other, FileTree.noise(Int(pick(["50", "100", "0"]))!, seed: 2),
                        time: Int64(pick(["1500000000", "1400000000", "1300000000"]))!)
                }
                let words = ["-an", pick(["-y", "-yy"]), "--debug=FUZZY2", "--copy-dest=../a"]
                let outputs = try [Cell.Program.rsync, .dray].map { program in
                    try run([program.path] + words + [tree.path("s/"), tree.path("d/")], seconds: 20).outputText
                        .split(separator: "\n").filter { $0.hasPrefix("fuzzy basis") }
                }
                #expect(outputs[0] == outputs[1], "seed \(seed), target \(target)")
            }
        }
    }
}
