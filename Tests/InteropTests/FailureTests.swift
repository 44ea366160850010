import DrayTestSupport
import Glibc
import Testing

extension Interop {
    /// What is left behind, and which exit code tells so, when something goes wrong.
    @Suite struct FailureTests {
        let scratch: ScratchDirectory
        let source: FileTree
        let destination: FileTree
        let peers: MatrixPeers

        init() throws {
            scratch = try ScratchDirectory()
            peers = try MatrixPeers(in: scratch.path)
            source = try FileTree(scratch.path + "/source")
            destination = try FileTree(scratch.path + "/destination")
        }

        static let pairs = Cell.all.filter { $0.direction != .local && $0.connection == .shell }
        static let oneOfEach = Cell.few.filter { $0.connection == .shell }

        private func words(_ cell: Cell, _ options: [String]) -> [String] {
            cell.words(options, peers: peers, source: source.root + "/", destination: destination.root + "/")
        }

        private func writeScript(_ text: String) throws -> String {
            try source.file("../script", Array(("#!/bin/sh\n" + text + "\n").utf8), mode: 0o755)
            return scratch.path + "/script"
        }

        private func item(_ name: String) -> TreeItem? { TreeSnapshot(destination.root).items[name] }

        /// Waits until more than `bytes` of a file have arrived under any name.
        private func awaitData(_ process: RunningProcess, moreThan bytes: Int64) {
            for _ in 0..<2_000 where process.isRunning {
                if TreeSnapshot(destination.root).items.values.contains(where: { $0.length > bytes }) { return }
                usleep(5_000)
            }
        }

        // MARK: - Sources

        @Test(arguments: oneOfEach)
        func missingOperandIsPartial(_ cell: Cell) throws {
            try source.file("a", [1])
            var command = words(cell, ["-r"])
            let place = command.firstIndex { $0.hasSuffix(source.root + "/") }!
            command.insert(command[place].dropLast() + "-missing", at: place)
            let result = try run(command)
            #expect(result.exitCode == 23)
            #expect(result.errorText.contains("No such file or directory (2)"), "\(result.errorText)")
            #expect(item("a") != nil)
        }

        /// The directory of backups is the destination by another path: the old file was removed as its own old backup.
        @Test(arguments: [[], ["--inplace"], ["--delay-updates"]])
        func fileIsNotItsOwnBackup(_ options: [String]) throws {
            try source.file("a", [1, 2])
            try source.directory("d")
            try source.file("d/b", [1, 2])
            try destination.file("a", [3])
            try destination.directory("d")
            try destination.file("d/b", [3])
            let command = ["-r", "--suffix=", "--backup-dir=" + destination.root] + options
            let result = try run([DrayPrograms.dray] + command + [source.root + "/", destination.root + "/"])
            #expect(result.exitCode != 0)
            #expect(item("a")?.length == 1)
            #expect(item("d/b")?.length == 1)
        }

        @Test(.enabled(if: Interop.isRoot, "needs root to become somebody else"))
        func unreadableFileIsPartialAndOthersArrive() throws {
            try source.file("a", [1])
            try source.file("secret", [2], mode: 0)
            try source.file("z", [3])
            try destination.owner("", 65534, 65534)
            let program = scratch.path + "/dray"
            #expect(try run(["/bin/cp", DrayPrograms.dray, program]).exitCode == 0)
            let result = try run([
                "/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "-rt",
                source.root + "/", destination.root + "/",
            ])
            #expect(result.exitCode == 23)
            #expect(result.errorText.contains("Permission denied (13)"), "\(result.errorText)")
            #expect(item("a") != nil && item("z") != nil && item("secret") == nil)
            #expect(TreeSnapshot(destination.root).items.count == 3)
        }

        @Test(.enabled(if: Interop.isRoot, "needs root to become somebody else"))
        func unreadableDirectorySuppressesDeletion() throws {
            try source.directory("closed", mode: 0)
            try source.file("a", [1])
            try destination.file("extra", [2])
            try destination.owner("", 65534, 65534)
            let program = scratch.path + "/dray"
            #expect(try run(["/bin/cp", DrayPrograms.dray, program]).exitCode == 0)
            let result = try run([
                "/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "-r",
                "--delete-after", source.root + "/", destination.root + "/",
            ])
            #expect(result.exitCode == 23)
            #expect((result.outputText + result.errorText).contains("IO error encountered -- skipping file deletion"))
            #expect(item("extra") != nil)
        }

        // MARK: - Destinations

        @Test(.enabled(if: Interop.isRoot, "needs root to mount a small disk"))
        func fullDiskKeepsTheOldFile() throws {
            let mounted = try run([
                "/bin/mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", destination.root,
            ])
            if mounted.exitCode != 0 { return }
            defer { _ = try? run(["/bin/umount", "-l", destination.root]) }
            try source.file("file", FileTree.noise(200_000, seed: 1))
            try destination.file("file", [1, 2, 3], time: 1_000_000_000)
            let before = TreeSnapshot(destination.root)
            let result = try run(words(Cell.few[0], ["-rt"]))
            #expect(result.exitCode == 11)
            #expect(result.errorText.contains("No space left on device (28)"), "\(result.errorText)")
            #expect(item("file") == before.items["file"])
            #expect(TreeSnapshot(destination.root).items.count == 2)
        }

        @Test(.enabled(if: Interop.isRoot, "needs root to become somebody else"))
        func destinationWithoutPermissionIsPartial() throws {
            try source.file("a", [1])
            let program = scratch.path + "/dray"
            #expect(try run(["/bin/cp", DrayPrograms.dray, program]).exitCode == 0)
            let result = try run([
                "/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "-r",
                source.root + "/", destination.root + "/",
            ])
            #expect(result.exitCode == 23)
            #expect(result.errorText.contains("mkstemp "), "\(result.errorText)")
        }

        @Test(arguments: oneOfEach)
        func deletionLimitIsCode25(_ cell: Cell) throws {
            for name in ["a", "b", "c"] { try destination.file(name, [1]) }
            let result = try run(words(cell, ["-r", "--delete", "--max-delete=1"]))
            #expect(result.exitCode == 25)
            #expect(TreeSnapshot(destination.root).items.count == 3)
        }

        // MARK: - Interruptions

        @Test(arguments: ["", "--partial", "--partial-dir=.part", "--inplace"])
        func interruptionKeepsWhatTheOptionSays(_ option: String) throws {
            try source.file("file", FileTree.noise(1_500_000, seed: 2))
            for cell in [Cell.few[1], Cell.few[2]] {
                destination.remove("")
                _ = try FileTree(destination.root)
                let options = ["-rt", "--bwlimit=300"] + (option.isEmpty ? [] : [option])
                let process = try RunningProcess(words(cell, options))
                awaitData(process, moreThan: 200_000)
                process.signal(SIGINT)
                let result = process.wait(seconds: 20)
                #expect(result.exitCode == 20, "\(cell): \(result.errorText)")
                // A remote receiver notices the end a moment later.
                for _ in 0..<200
                where TreeSnapshot(destination.root).items.keys.contains(where: { $0.hasPrefix(".file.") }) {
                    usleep(10_000)
                }
                let names = TreeSnapshot(destination.root).items.keys.sorted()
                switch option {
                case "": #expect(names == ["."], "\(cell)")
                case "--partial-dir=.part": #expect(names == [".", ".part", ".part/file"], "\(cell)")
                default: #expect(names == [".", "file"], "\(cell)")
                }
                guard !option.isEmpty else { continue }
                let again = try run(words(cell, ["-rt", "--stats", "--no-W", option]))
                #expect(again.exitCode == 0, "\(cell): \(again.errorText)")
                #expect(!again.outputText.contains("Matched data: 0 bytes"), "\(cell)")
                #expect(item("file")?.digest == TreeSnapshot(source.root).items["file"]?.digest, "\(cell)")
            }
        }

        @Test(arguments: pairs)
        func killedSenderLeavesAPartialFileToContinue(_ cell: Cell) throws {
            try source.file("file", FileTree.noise(1_500_000, seed: 3))
            let process = try RunningProcess(words(cell, ["-rt", "--partial", "--bwlimit=300"]))
            awaitData(process, moreThan: 200_000)
            // Pushing, the client sends; pulling, its end makes the server's writes fail.
            kill(-process.pid, cell.direction == .push ? SIGTERM : SIGINT)
            _ = process.wait(seconds: 20)
            for _ in 0..<200 where item("file") == nil { usleep(10_000) }
            let again = try run(words(cell, ["-rt", "--partial", "--stats", "--no-W"]))
            #expect(again.exitCode == 0, "\(again.errorText)")
            #expect(!again.outputText.contains("Matched data: 0 bytes"), "\(again.outputText)")
            #expect(item("file")?.digest == TreeSnapshot(source.root).items["file"]?.digest)
        }

        @Test func damagedBasisIsRepairedByARedo() throws {
            var content = FileTree.noise(1_200_000, seed: 4)
            try destination.file("file", content, time: 1_000_000_000)
            content.replaceSubrange(0..<300_000, with: FileTree.noise(300_000, seed: 5))
            try source.file("file", content)
            let process = try RunningProcess(words(Cell.few[2], ["-rtv", "--no-W", "--bwlimit=200"]))
            // A temporary file is there: the sums of the basis are with the sender, its blocks are not wanted yet.
            #expect(
                DaemonLab.eventually(8) {
                    TreeSnapshot(destination.root).items.keys.contains { $0.hasPrefix(".file.") }
                })
            let basis = open(destination.path("file"), O_WRONLY)
            _ = pwrite(basis, [UInt8](repeating: 9, count: 5_000), 5_000, 900_000)
            close(basis)
            let result = process.wait(seconds: 30)
            #expect(result.exitCode == 0, "\(result.errorText)")
            #expect((result.outputText + result.errorText).contains("failed verification"))
            #expect(item("file")?.digest == TreeSnapshot(source.root).items["file"]?.digest)
        }

        @Test(arguments: oneOfEach.filter { $0.client == .dray })
        func shrinkingSourceIsAnError(_ cell: Cell) throws {
            try source.file("file", FileTree.noise(1_500_000, seed: 6))
            let process = try RunningProcess(words(cell, ["-rt", "--bwlimit=1000"]))
            awaitData(process, moreThan: 100_000)
            #expect(truncate(source.path("file"), 400_000) == 0)
            let result = process.wait(seconds: 30)
            #expect(!result.timedOut)
            #expect([0, 23].contains(result.exitCode), "\(result.errorText)")
        }

        // MARK: - Peers

        @Test func greetingOfALoginScriptIsExplained() throws {
            let script = try writeScript("echo Welcome to this machine")
            let result = try run([DrayPrograms.dray, "-r", "-e", script, "host:/tmp/", destination.root])
            #expect(result.exitCode == 2)
            #expect(result.errorText.contains("protocol version mismatch -- is your shell clean?"))
        }

        @Test func serverThatEndsAtOnceIsAStreamError() throws {
            let script = try writeScript("exit 0")
            let result = try run([DrayPrograms.dray, "-r", "-e", script, "host:/tmp/", destination.root])
            #expect(result.exitCode == 12, "\(result.errorText)")
        }

        @Test func truncatedStreamIsAStreamError() throws {
            try source.file("file", FileTree.noise(100_000, seed: 7))
            // The shell itself must not keep the stream open behind the last program of the pipe.
            let script = try writeScript(
                "shift; exec 3<&0; /bin/sh -c \"$*\" <&3 | dd bs=1 count=30000 status=none &\nexec sleep 1 >&- 2>&- 3<&-"
            )
            let result = try run([
                DrayPrograms.dray, "-r", "-e", script, "--rsync-path=\(DrayPrograms.dray)", "host:" + source.root + "/",
                destination.root,
            ])
            #expect(result.exitCode == 12, "\(result.errorText)")
            #expect(result.errorText.contains("connection unexpectedly closed ("))
            #expect(TreeSnapshot(destination.root).items.count == 1)
        }

        @Test func silentPeerTimesOut() throws {
            let script = try writeScript("exec sleep 20")
            let result = try run(
                [DrayPrograms.dray, "-r", "--timeout=1", "-e", script, "host:/tmp/", destination.root], seconds: 10)
            #expect(!result.timedOut && result.exitCode == 30)
            #expect(result.errorText.contains("io timeout after 1 seconds -- exiting"), "\(result.errorText)")
        }

        /// What an interrupted run left in the directory of delayed updates serves as basis and must not cost the file.
        @Test(arguments: [28, 29, 32])
        func delayedUpdatesSurviveLeftovers(_ version: Int) throws {
            for cell in [Cell.few[0]] + Self.pairs {
                for name in ["a", "b", "c"] {
                    try source.file(name, FileTree.noise(3_000, seed: UInt64(version)))
                    try destination.file(name, FileTree.noise(2_900, seed: 1), time: 1_400_000_000)
                }
                try destination.directory(".~tmp~")
                try destination.file(".~tmp~/b", FileTree.noise(1_000, seed: 2))
                let result = try run(
                    words(cell, ["-rt", "--no-W", "--delay-updates", "--protocol=\(version)"]), seconds: 20)
                #expect(result.exitCode == 0, "\(cell): \(result.errorText)")
                for name in ["a", "b", "c"] {
                    #expect(item(name)?.digest == TreeSnapshot(source.root).items[name]?.digest, "\(cell): \(name)")
                }
                #expect(item(".~tmp~") == nil, "\(cell)")
            }
        }
    }
}
