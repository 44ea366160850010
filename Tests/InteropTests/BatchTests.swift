import DrayTestSupport
import Glibc
import Testing

extension Interop {
    /// Batch files of every writer are those of rsync, and every reader makes the same tree of them.
    @Suite struct BatchTests {
        static let options = [
            "-a --no-i-r", "-a", "-az --no-i-r", "-aH --no-i-r --delete", "-aH", "-a --inplace --no-i-r -z",
            "-az --no-i-r --zl=1 --no-W", "-aX --no-i-r --no-W", "-aX",
        ]

        /// A writer of `cell` with the batch option `word`; returns the bytes of the file.
        private func write(_ cell: Cell, _ word: String, _ options: [String], in work: String, peers: MatrixPeers)
            throws
            -> (bytes: [UInt8], script: [UInt8], result: ProcessResult)
        {
            try prepare(work)
            let file = work + "/batch"
            let result = try DrayTestSupport.run(
                cell.words(
                    options + ["-i", "--checksum-seed=1", "--\(word)=\(file)"], peers: peers,
                    source: work + "/source/", destination: work + "/destination/"), in: work, seconds: 30)
            return (contents(file), contents(file + ".sh"), result)
        }

        private func prepare(_ work: String) throws {
            removeTree(work)
            _ = try FileTree(work)
            try FileTree.odd(work + "/source")
            try FileTree.outdated(work + "/destination")
        }

        private func contents(_ path: String) -> [UInt8] {
            guard let file = fopen(path, "r") else { return [] }
            defer { fclose(file) }
            var bytes: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
            return bytes
        }

        /// Without what may differ: the server's compatibility flags, and the numbers of bytes in the statistics.
        private func comparable(_ bytes: [UInt8]) -> [UInt8] {
            bytes.count < 100 ? bytes : Array(bytes[..<8] + bytes[10...].dropLast(17))
        }

        /// Without the program's name, and the remote program's.
        private func comparable(script: [UInt8]) -> [Substring] {
            String(decoding: script, as: UTF8.self).split(separator: " ").dropFirst().filter {
                !$0.hasPrefix("--rsync-path=")
            }
        }

        @Test(arguments: options, ["write-batch", "only-write-batch"])
        func everyWriterAndReaderAgrees(_ text: String, _ word: String) throws {
            let scratch = try ScratchDirectory()
            let peers = try MatrixPeers(in: scratch.path)
            let work = scratch.path + "/work"
            let options = text.split(separator: " ").map(String.init)
            // The order of requests is a matter of timing with incremental lists and with hard links.
            let isOrdered = text.contains("no-i-r") && !text.contains("H")
            for cell in (Interop.isFull ? Cell.all : Cell.few) where cell.connection == .shell {
                // Compatibility: rsync loses its decompressor when a pull that only writes a batch skips matched data.
                if word == "only-write-batch" && cell.direction == .pull && text.contains("z") { continue }
                let wanted = try write(cell.reference, word, options, in: work, peers: peers)
                let tree = TreeSnapshot(work + "/destination")
                let written = try write(cell, word, options, in: work, peers: peers)
                #expect(written.result.exitCode == wanted.result.exitCode, "\(cell): \(written.result.errorText)")
                #expect(written.result.outputText == wanted.result.outputText || !isOrdered, "\(cell)")
                #expect(TreeSnapshot(work + "/destination").differences(from: tree, now: Int64(time(nil))) == [])
                // In place, a few deflate bytes differ (equal lengths, both decode to the same).
                if isOrdered && !text.contains("inplace") {
                    let (mine, theirs) = (comparable(written.bytes), comparable(wanted.bytes))
                    let place = zip(mine, theirs).enumerated().first { $0.element.0 != $0.element.1 }?.offset
                    #expect(mine.count == theirs.count && place == nil, "\(cell): byte \(place ?? -1) of \(mine.count)")
                }
                #expect(comparable(script: written.script) == comparable(script: wanted.script), "\(cell)")
                for reader in [Cell.Program.dray, .rsync] {
                    try replay(reader, written.bytes, options, in: work, "\(cell), read by \(reader)")
                }
            }
        }

        /// Applies a batch to a fresh destination, which then must be as the direct copy is.
        private func replay(
            _ program: Cell.Program, _ bytes: [UInt8], _ options: [String], in work: String, _ what: String
        ) throws {
            try prepare(work)
            _ = try DrayTestSupport.run(
                [PeerRsync.path!] + options + [work + "/source/", work + "/destination/"], in: work)
            let wanted = TreeSnapshot(work + "/destination")
            try prepare(work)
            try FileTree(work).file("batch", bytes)
            let result = try DrayTestSupport.run(
                [program.path] + options + ["--read-batch=\(work)/batch", work + "/destination/"], in: work, seconds: 20
            )
            #expect(result.exitCode == 0 && !result.timedOut, "\(what): \(result.errorText)")
            let differences = TreeSnapshot(work + "/destination").differences(from: wanted, now: Int64(time(nil)))
            #expect(differences == [], "\(what)")
        }

        @Test func readerSaysWhatItSkipsAndMisses() throws {
            let scratch = try ScratchDirectory()
            let tree = try FileTree(scratch.path + "/work")
            try tree.directory("source")
            for name in ["a", "b", "c"] { try tree.file("source/" + name, Array("text of \(name)\n".utf8)) }
            try tree.directory("one")
            try tree.file("one/b", Array("text of b\n".utf8))
            try tree.directory("two")
            try tree.file("two/c", Array("text of c\n".utf8))
            let dray = DrayPrograms.dray
            let written = try DrayTestSupport.run(
                [dray, "-a", "--write-batch=batch", "source/", "one/"], in: tree.root)
            #expect(written.exitCode == 0)
            let read = try DrayTestSupport.run([dray, "-ac", "--read-batch=batch", "two/"], in: tree.root)
            #expect(read.exitCode == 23)
            #expect(
                read.outputText == """
                    (Skipping batched update for "c")

                    """)
            #expect(read.errorText.hasPrefix("(No batched update for \"b\")\n"))
            for cut in [1, 17, 40, 100] {
                let bytes = contents(tree.path("batch"))
                try tree.file("short", Array(bytes.dropLast(cut)))
                let result = try DrayTestSupport.run(
                    [dray, "-a", "--read-batch=short", "one/"], in: tree.root, seconds: 10)
                #expect(result.exitCode == 12 && !result.timedOut, "\(cut): \(result.errorText)")
            }
        }
    }
}
