// Dray — a daemon that a remote shell starts: what travels in the connection and what through standard error.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Testing

/// The shell keeps the daemon's two outputs apart, so that both can be compared with rsync's.
@Suite(.enabled(if: DaemonLab.isUsable)) struct DaemonShellTests {
    struct Line: Sendable, CustomStringConvertible {
        var words: String
        var code: Int32
        /// A line of the daemon's standard error.
        var error: String
        var description: String { words }
    }

    static let lines = [
        Line(words: "-r h::m/missing h::m/f @/to/", code: 23, error: #"missing" (in m) failed"#),
        Line(words: "-rv --stderr=all h::m/missing h::m/f @/to/", code: 23, error: #"missing" (in m) failed"#),
        Line(words: "-r --protocol=29 h::m/missing h::m/f @/to/", code: 23, error: #"missing" (in m) failed"#),
        Line(words: "-r @/x h::m/", code: 23, error: "could not make way for new regular file: x"),
        Line(words: "-rz h::m/ @/to/", code: 12, error: "The server is configured to refuse --compress (-z)"),
        Line(words: "-rz @/x h::m/", code: 4, error: "The server is configured to refuse --compress (-z)"),
        // The client expects the lists that follow from the words before the fault.
        Line(words: "-rz -M--bogus h::n/ @/to/", code: 12, error: "--bogus: unknown option"),
        Line(words: "-rzz -M--bogus h::n/ @/to/", code: 12, error: "--bogus: unknown option"),
        Line(words: "-r --zc=zstd -M--bogus h::n/ @/to/", code: 12, error: "--bogus: unknown option"),
        Line(words: "-rz --cc=md5 -M--bogus @/x h::n/", code: 4, error: "--bogus: unknown option"),
    ]

    @Test(arguments: lines) func errorsTakeTheShellsWay(_ line: Line) throws {
        var runs: [(code: Int32, errors: String, connection: String, out: String)] = []
        for program in [PeerRsync.path!, DrayPrograms.dray] {
            let lab = DaemonLab()
            _ = lab.make("m")
            _ = lab.make("m/x")
            lab.write("m/f", "text")
            lab.write("m/x/kept", "")
            lab.write("x", "file")
            let module = "path = \(lab.path("m"))\nread only = no\nuid = 0\ngid = 0\n"
            lab.write("c", "[m]\n\(module)refuse options = compress\n[n]\n\(module)")
            let daemon = "\(program) --server --daemon --config=\(lab.path("c")) ."
            lab.write(
                "shell",
                "#!/bin/bash\n\(daemon) 2>\(lab.path("errors")) | tee \(lab.path("connection"))\nexit ${PIPESTATUS[0]}\n"
            )
            lab.shell("chmod +x \(lab.path("shell"))")
            let words = line.words.replacing("@", with: lab.root).split(separator: " ").map(String.init)
            let run = lab.run([PeerRsync.path!, "-e", lab.path("shell")] + words)
            lab.shell("tr -cd '[:print:]\\n' < \(lab.path("connection")) > \(lab.path("text"))")
            runs.append(
                (run.code, DaemonLab.text(lab.path("errors")) ?? "", DaemonLab.text(lab.path("text")) ?? "", run.out))
        }
        func withoutPlaces(_ text: String) -> String { text.replacing(#/ at \S+\(\d+\) /#, with: " ") }
        #expect(runs[1].code == line.code)
        #expect(runs[1].errors.contains(line.error))
        #expect(!runs[1].connection.contains(line.error))
        #expect(runs[0].code == runs[1].code)
        #expect(withoutPlaces(runs[0].errors) == withoutPlaces(runs[1].errors))
        #expect(!runs[0].connection.contains(line.error))
    }
}
