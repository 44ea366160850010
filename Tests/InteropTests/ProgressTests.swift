// Dray — forms of progress: what each prints, on a terminal and elsewhere.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc
import Testing

extension Interop {
    /// Dray's own forms of progress: a bar for people, JSON for programs; rsync's forms stay rsync's.
    @Suite struct ProgressTests {
        let scratch: ScratchDirectory
        let source: FileTree

        init() throws {
            scratch = try ScratchDirectory()
            source = try FileTree(scratch.path + "/source")
            try source.file("first", FileTree.noise(200_000, seed: 1))
            try source.file("second", FileTree.noise(100_000, seed: 2))
        }

        private func copy(_ program: String, _ options: [String], _ name: String) throws -> ProcessResult {
            try run([program] + options + [source.root + "/", scratch.path + "/" + name + "/"])
        }

        /// Runs a command with a pseudo-terminal of 100 columns as its screen.
        private func onTerminal(_ program: String, _ options: [String], _ name: String) throws -> String {
            let words = [program] + options + [source.root + "/", scratch.path + "/" + name + "/"]
            let command = "stty cols 100 rows 24; exec " + words.joined(separator: " ")
            let result = try run(["/usr/bin/script", "-qec", command, "/dev/null"], seconds: 20)
            #expect(result.exitCode == 0, "\(result.outputText)")
            return result.outputText
        }

        private func masked(_ result: ProcessResult) -> String { DifferentialText.masked(result.output) }

        @Test(arguments: [["--info=progress2"], ["--progress"], ["-P"], ["--info=progress2", "-h"], ["--no-progress"]])
        func rsyncsFormsStay(_ options: [String]) throws {
            let theirs = try copy(PeerRsync.path!, ["-a"] + options, "copy")
            removeTree(scratch.path + "/copy")
            let mine = try copy(DrayPrograms.dray, ["-a"] + options, "copy")
            #expect(masked(mine) == masked(theirs))
        }

        @Test func barOutsideATerminalIsWhatProgress2Prints() throws {
            let theirs = try copy(PeerRsync.path!, ["-a", "--info=progress2"], "theirs")
            let mine = try copy(DrayPrograms.dray, ["-a", "--progress=bar"], "mine")
            #expect(masked(mine) == masked(theirs))
            #expect(!mine.output.contains(0x1b))
        }

        @Test(arguments: [["--progress=bar"], ["--info=progress2"], ["--progress-bar", "-P"]])
        func barOnATerminal(_ options: [String]) throws {
            let text = try onTerminal(DrayPrograms.dray, ["-a", "--bwlimit=200"] + options, "bar")
            #expect(text.contains("\r["), "\(text)")
            #expect(text.contains("B/s ETA"), "\(text)")
            let last = text.split(whereSeparator: { $0 == "\r" || $0 == "\n" || $0 == "\r\n" }).last ?? ""
            #expect(last.contains("] 100% 300.00K/300.00K ") && last.contains(" in   0:0"), "\(text)")
            #expect(text.hasSuffix("\r\n") && !text.contains("\u{1b}"))
            for line in text.split(whereSeparator: { $0 == "\r" || $0 == "\n" || $0 == "\r\n" }) {
                #expect(line.utf8.count < 100, "\(line)")
            }
        }

        /// Called by rsync's name the screen is rsync's, on a terminal too.
        @Test func linkNamedRsyncKeepsProgress2() throws {
            let link = scratch.path + "/rsync"
            #expect(symlink(DrayPrograms.dray, link) == 0)
            let mine = try onTerminal(link, ["-a", "--info=progress2"], "mine")
            #expect(!mine.contains("[#") && mine.contains("(xfr#2, to-chk=0/3)"), "\(mine)")
        }

        @Test func jsonRecordsAreObjectsWithTheSchema() throws {
            try source.file(bytes: [0x62, 0xff, 0x22, 0x5c, 0x09, 0x01, 0xc3, 0xa9], FileTree.noise(50, seed: 3))
            let result = try copy(DrayPrograms.dray, ["-a", "--progress-format=json"], "json")
            #expect(result.exitCode == 0, "\(result.errorText)")
            let lines = result.outputText.split(separator: "\n").map(String.init)
            #expect(lines.count >= 2)
            for line in lines.dropLast() {
                #expect(line.hasPrefix("{\"type\":\"progress\",\"bytes\":") && line.hasSuffix("\"}"), "\(line)")
                for key in [
                    "total", "files", "toCheck", "known", "listComplete", "elapsed", "fileBytes", "fileTotal", "rate",
                    "eta", "path",
                ] { #expect(line.contains(",\"\(key)\":"), "\(key): \(line)") }
            }
            let end = lines.last ?? ""
            #expect(end.hasPrefix("{\"type\":\"end\",\"bytes\":300050,\"total\":300050,\"files\":3,"), "\(end)")
            #expect(end.contains("\"exitCode\":0,\"statistics\":{\"files\":4,\"created\":4,\"deleted\":0"), "\(end)")
            #expect(end.contains("\"literalData\":300050,\"matchedData\":0"), "\(end)")
            // The first file in the list is the oddly named one: its record comes first.
            #expect(lines[0].contains(##""path":"b\\#377\"\\\u0009\\#001é"}"##), "\(lines[0])")
            let check = try run([
                "/bin/sh", "-c",
                "\(DrayPrograms.dray) -a --progress-format=json \(source.root)/ \(scratch.path)/parsed/ | "
                    + "python3 -c 'import sys,json; [json.loads(l) for l in sys.stdin]'",
            ])
            // Without the interpreter nothing is checked here.
            if access("/usr/bin/python3", X_OK) == 0 { #expect(check.exitCode == 0, "\(check.errorText)") }
        }

        @Test func jsonTellsHowARunFailed() throws {
            let result = try run([
                DrayPrograms.dray, "-a", "--progress-format=json", source.root + "/missing", scratch.path + "/x/",
            ])
            #expect(result.exitCode == 23)
            #expect(result.outputText.contains("\"exitCode\":23"), "\(result.outputText)")
            let refused = try run([DrayPrograms.dray, "--progress-format=json", "rsync://127.0.0.1:1/x", scratch.path])
            #expect(refused.exitCode == 10)
            #expect(refused.outputText.hasPrefix("{\"type\":\"end\",\"elapsed\":"), "\(refused.outputText)")
            #expect(refused.outputText.hasSuffix("\"exitCode\":10,\"statistics\":null}\n"))
            let unknown = try run([DrayPrograms.dray, "--progress-format=xml", "a", "b"])
            #expect(unknown.exitCode == 1 && unknown.output.isEmpty)
        }

        @Test(arguments: ["--progress=bar", "--progress-format=json"])
        func serverHearsNothingOfIt(_ option: String) throws {
            let script = scratch.path + "/shell"
            try source.file("../shell", Array("#!/bin/sh\necho \"$@\" >&2\n".utf8), mode: 0o755)
            let plain = try run([DrayPrograms.dray, "-a", "-e", script, source.root, "host:x"])
            let asked = try run([DrayPrograms.dray, "-a", option, "-e", script, source.root, "host:x"])
            #expect(plain.errorText.split(separator: "\n").first == asked.errorText.split(separator: "\n").first)
            let server = try run([DrayPrograms.dray, "--server", "-r", option, ".", "x"])
            #expect(server.exitCode == 1 && server.errorText.contains("on remote machine: \(option)"))
        }
    }
}
