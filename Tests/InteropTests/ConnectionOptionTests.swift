// Dray — options about the connection to a daemon, whose effect no table of command lines shows.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc
import Testing

extension Interop {
    @Suite(.enabled(if: DaemonLab.isUsable, "needs root and rsync")) struct ConnectionOptionTests {
        static let pairs = [(DaemonClient.dray, DaemonKind.rsync), (.rsync, .dray), (.dray, .dray)]

        private func module(_ lab: DaemonLab, _ more: String) -> String {
            let directory = lab.make("module")
            lab.write("module/file", "content\n")
            return "use chroot = no\nuid = 0\ngid = 0\nreverse lookup = no\n[m]\npath = \(directory)\n\(more)"
        }

        @Test(arguments: pairs)
        func passwordFileIsRead(_ client: DaemonClient, _ server: DaemonKind) {
            let lab = DaemonLab()
            lab.write("secrets", "joe:word\n", mode: 0o600)
            let daemon = lab.daemon(server, module(lab, "auth users = joe\nsecrets file = @/secrets\n"))
            let right = lab.write("right", "word\nmore\n", mode: 0o600)
            let wrong = lab.write("wrong", "other\n", mode: 0o600)
            let open = lab.write("open", "word\n", mode: 0o644)
            for (file, code, text) in [
                (right, Int32(0), ""), (wrong, 5, "@ERROR: auth failed on module m"),
                (open, 1, "ERROR: password file must not be other-accessible"),
                (lab.path("missing"), 1, "could not open password file"),
            ] {
                let result = lab.run(
                    [client.program, "--password-file=\(file)", daemon.url("m/file", user: "joe"), lab.path("copy")])
                #expect(result.code == code, "\(file): \(result)")
                #expect(text.isEmpty || result.err.contains(text), "\(file): \(result)")
            }
        }

        @Test(arguments: DaemonClient.allCases)
        func earlyInputReachesTheDaemon(_ client: DaemonClient) {
            let lab = DaemonLab()
            let daemon = lab.daemon(.rsync, module(lab, "early exec = /bin/cat >@/seen\n"))
            let input = lab.write("input", "early words\n")
            let result = lab.run(
                [client.program, "--early-input=\(input)", daemon.url("m/file"), lab.path("copy")])
            #expect(result.code == 0, "\(result)")
            #expect(DaemonLab.text(lab.path("seen")) == "early words\n")
            let missing = lab.run(
                [client.program, "--early-input=\(lab.path("none"))", daemon.url("m/file"), lab.path("copy")])
            #expect(missing.code == 5 && missing.err.contains("[Receiver] failed to open"), "\(missing)")
        }

        /// What scripts read of `--version`: the first line and the capabilities are rsync's, also as JSON.
        @Test func versionTellsRsyncsCapabilities() throws {
            func capabilities(_ text: String) -> String {
                let start = text.firstRange(of: "apabilities")?.lowerBound ?? text.endIndex
                let end = text.firstRange(of: "ptimizations")?.lowerBound ?? text.endIndex
                return text[start..<end].split(whereSeparator: \.isWhitespace).joined(separator: " ")
            }
            for word in ["--version", "-V", "-VV"] {
                let theirs = try run([DaemonLab.rsync, word]).outputText
                let mine = try run([DaemonLab.built("dray"), word]).outputText
                #expect(word == "-VV" || theirs.split(separator: "\n").first == mine.split(separator: "\n").first)
                #expect(capabilities(mine) == capabilities(theirs))
            }
        }
    }
}
