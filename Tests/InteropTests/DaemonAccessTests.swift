// Dray — clients that may not, must not or do not know how to.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc
import Testing

@Suite(.enabled(if: DaemonLab.isUsable)) struct DaemonAccessTests {
    static let pairs = DaemonTransferTests.pairs
    static let config = """
        uid = 0
        gid = 0
        use chroot = yes
        lock file = @/lock
        path = @/module
        [rw]
        read only = no
        [ro]
        [wo]
        read only = no
        write only = yes
        [denied]
        hosts deny = *
        [secret]
        list = no
        hosts allow = 10.0.0.0/8
        [one]
        max connections = 1
        [refuse]
        read only = no
        refuse options = checksum delete* compress
        [missing]
        path = @/nowhere
        [missing-flat]
        path = @/nowhere
        use chroot = no
        [auth]
        auth users = joe, jane:ro
        secrets file = @/secrets
        read only = no
        [open-secrets]
        auth users = joe
        secrets file = @/open-secrets
        [filtered]
        read only = no
        exclude = hidden *.key /sub/private
        [wordy]
        comment = words

        """

    private func prepare(_ lab: DaemonLab) -> (source: String, module: String) {
        let source = lab.make("source")
        lab.write("source/f", "new data\n")
        let module = lab.make("module")
        lab.write("module/old", "old data\n")
        lab.write("secrets", "joe:pass word\njane:other\n", mode: 0o600)
        lab.write("open-secrets", "joe:pass word\n", mode: 0o644)
        return (source, module)
    }

    @Test(arguments: pairs) func refusalsNameTheReason(_ client: DaemonClient, _ kind: DaemonKind) {
        let lab = DaemonLab()
        let (source, module) = prepare(lab)
        let target = lab.make("target")
        let daemon = lab.daemon(kind, Self.config)
        func pull(_ name: String, _ options: String..., password: String? = nil) -> LabResult {
            lab.run(
                [client.program, "-r"] + options + [daemon.url(name), target],
                environment: password.map { ["RSYNC_PASSWORD": $0] } ?? [:])
        }
        func push(_ name: String, _ options: String..., password: String? = nil) -> LabResult {
            lab.run(
                [client.program, "-r"] + options + [source + "/", daemon.url(name)],
                environment: password.map { ["RSYNC_PASSWORD": $0] } ?? [:])
        }
        func expect(_ result: LabResult, _ code: Int32, _ text: String) {
            #expect(
                result.code == code && (result.err + result.out).contains(text) && !result.timedOut,
                "wanted \(text): \(result)\n\(daemon.log)")
        }
        expect(pull("nosuch/"), 5, "@ERROR: Unknown module 'nosuch'\n")
        expect(pull("denied/"), 5, "@ERROR: access denied to denied from localhost (127.0.0.1)\n")
        expect(pull("secret/"), 5, "@ERROR: Unknown module 'secret'\n")
        expect(push("ro/"), 1, "ERROR: module is read only\n")
        expect(pull("wo/"), 1, "ERROR: module is write only\n")
        expect(pull("missing/"), 5, "@ERROR: chroot failed\n")
        expect(pull("missing-flat/"), 5, "@ERROR: chdir failed\n")
        let open = lab.run(
            [client.program, "-r", daemon.url("open-secrets/", user: "joe"), target],
            environment: ["RSYNC_PASSWORD": "pass word"])
        expect(open, 5, "@ERROR: auth failed on module open-secrets\n")
        #expect(daemon.logs("secrets file must not be other-accessible (see strict modes"), "\(daemon.log)")
        for (user, password) in [("joe", "wrong"), ("jo", "pass word"), ("", "pass word"), ("jim", "pass word")] {
            let result = lab.run(
                [client.program, "-r", daemon.url("auth/", user: user), target],
                environment: ["RSYNC_PASSWORD": password])
            expect(result, 5, "@ERROR: auth failed on module auth\n")
        }
        let joe = lab.run(
            [client.program, "-r", source + "/", daemon.url("auth/", user: "joe")],
            environment: ["RSYNC_PASSWORD": "pass word"])
        #expect(joe.code == 0, "\(joe)\n\(daemon.log)")
        #expect(DaemonLab.text(module + "/f") == "new data\n")
        let jane = lab.run(
            [client.program, "-r", source + "/", daemon.url("auth/", user: "jane")],
            environment: ["RSYNC_PASSWORD": "other"])
        expect(jane, 1, "ERROR: module is read only\n")
        #expect(DaemonLab.names(target).isEmpty)
        #expect(daemon.isAlive)
    }

    @Test(arguments: pairs) func refusedOptions(_ client: DaemonClient, _ kind: DaemonKind) {
        let lab = DaemonLab()
        let (source, module) = prepare(lab)
        let daemon = lab.daemon(kind, Self.config)
        for (option, text) in [
            ("-c", "The server is configured to refuse --checksum (-c)"), ("--delete", "refuse --delete"),
            ("-sc", "The server is configured to refuse --checksum (-c)"),
        ] {
            for path in [[source + "/", daemon.url("refuse/")], [daemon.url("refuse/"), lab.path("target/")]] {
                if option == "--delete" && path[1].hasPrefix("/") { continue }
                let result = lab.run([client.program, "-r", option] + path, seconds: 8)
                #expect(result.code != 0 && !result.timedOut && result.err.contains(text), "\(option): \(result)")
            }
        }
        let bad = lab.run([client.program, "-r", "-M--no-such-thing", source + "/", daemon.url("refuse/")], seconds: 8)
        #expect(bad.code != 0 && bad.err.contains("--no-such-thing: unknown option"), "\(bad)")
        #expect(DaemonLab.names(module) == ["old"])
        let fine = lab.run([client.program, "-r", source + "/", daemon.url("refuse/")])
        #expect(fine.code == 0, "\(fine)")
    }

    @Test(arguments: pairs) func connectionSlots(_ client: DaemonClient, _ kind: DaemonKind) {
        let lab = DaemonLab()
        _ = prepare(lab)
        let target = lab.make("target")
        let daemon = lab.daemon(kind, Self.config)
        let holder = DaemonLab.dial(daemon.port)
        let words = "@RSYNCD: 31.0 md5\none\n"
        _ = words.withCString { send(holder, $0, strlen($0), Int32(MSG_NOSIGNAL)) }
        #expect(DaemonLab.read(holder, 8_000, until: "@RSYNCD: OK").contains("@RSYNCD: OK"))
        let second = lab.run([client.program, "-r", daemon.url("one/"), target])
        #expect(
            second.code == 5
                && second.err.contains("@ERROR: max connections (1) reached -- try again later\n"), "\(second)")
        close(holder)
        let third = DaemonLab.eventually { lab.run([client.program, "-r", daemon.url("one/"), target]).code == 0 }
        #expect(third, "\(daemon.log)")
    }

    @Test(arguments: [DaemonKind.rsyncServer, .dray]) func garbageIsAnswered(_ kind: DaemonKind) {
        let lab = DaemonLab()
        _ = prepare(lab)
        let daemon = lab.daemon(kind, Self.config)
        func answer(_ text: String) -> String {
            let all = DaemonLab.talk(daemon.port, Array(text.utf8), milliseconds: 4_000, until: "@RSYNCD: OK\n")
            return all.split(separator: "\n", omittingEmptySubsequences: false).dropFirst().joined(separator: "\n")
        }
        let hello = "@RSYNCD: 31.0 md5\n"
        #expect(answer("GET / HTTP/1.0\r\n\r\n") == "@ERROR: protocol startup error\n")
        #expect(answer("@RSYNCD: 31\n").hasPrefix("@ERROR: your client omitted the subprotocol value: @RSYNCD: 31"))
        #expect(answer("@RSYNCD: 32.0\n").hasPrefix("@ERROR: your client omitted the digest name list: "))
        #expect(answer(hello + "#bogus\n") == "@ERROR: Unknown command '#bogus'\n")
        #expect(answer(hello + "#early_input=99999\n") == "@ERROR: invalid early_input length\n")
        #expect(answer(hello + "\u{1b}[31m\n").hasPrefix("@ERROR: Unknown module '"))
        #expect(answer(String(repeating: "x", count: 100_000) + "\n") == "")
        #expect(answer(hello + String(repeating: "m", count: 100_000) + "\n") == "")
        #expect(answer(hello + "rw\u{0}\n") == "")
        #expect(answer(hello + "#list\n").contains("wordy          \twords\n@RSYNCD: EXIT\n"))
        // No control byte of a client reaches the log.
        #expect(daemon.logs("unknown module '\\#033[31m' tried from"), "\(daemon.log)")
        #expect(answer("@RSYNCD: 99.0 md5\nro\n") == "@RSYNCD: OK\n")
        #expect(daemon.isAlive)
    }

    /// The client goes away after each prefix of a conversation.
    @Test(arguments: [DaemonKind.rsyncServer, .dray]) func earlyEndsLeaveTheServerAlive(_ kind: DaemonKind) {
        let lab = DaemonLab()
        let (_, module) = prepare(lab)
        let target = lab.make("target")
        let daemon = lab.daemon(kind, Self.config)
        let push = Array("@RSYNCD: 31.0 md5\nrw\n--server\u{0}-re.LsfxCIvu\u{0}.\u{0}rw/\u{0}\u{0}".utf8)
        let pull = Array("@RSYNCD: 31.0 md5\nrw\n--server\u{0}--sender\u{0}-re.LsfxCIvu\u{0}.\u{0}rw/\u{0}\u{0}".utf8)
        let auth = Array("@RSYNCD: 31.0 md5\nauth\njoe AAAA\n".utf8)
        let junk = [UInt8](repeating: 0xff, count: 3000)
        for talk in [push, pull, auth, push + junk, pull + junk, push + [0, 0, 0, 7], push + [4, 0, 0, 7, 0xff]] {
            for length in Set([0, 5, 17, 18, 20, 21, 25, 31, 40, 50, talk.count]).filter({ $0 <= talk.count }) {
                _ = DaemonLab.talk(daemon.port, Array(talk[..<length]), milliseconds: 2)
            }
        }
        #expect(daemon.isAlive)
        let result = lab.run([DaemonLab.rsync, "-r", daemon.url("rw/"), target])
        #expect(result.code == 0 && DaemonLab.text(target + "/old") == "old data\n", "\(result)")
        #expect(DaemonLab.names(module) == ["old"])
        // Nobody may hang on after the client is gone.
        let children = DaemonLab.eventually(6) {
            lab.shell("ps -o pid= --ppid \(daemon.process.pid) -o stat= | grep -v Z || true").out.isEmpty
        }
        #expect(children)
        #expect(!daemon.log.contains("Fatal error"))
    }

    @Test(arguments: pairs) func moduleFilters(_ client: DaemonClient, _ kind: DaemonKind) {
        let lab = DaemonLab()
        let (_, module) = prepare(lab)
        let target = lab.make("target")
        let daemon = lab.daemon(kind, Self.config)
        lab.shell(
            """
            cd \(module); mkdir -p hidden sub/private sub/open
            echo 1 > hidden/f; echo 2 > a.key; echo 3 > sub/private/g; echo 4 > sub/open/h; echo 5 > sub/b.key
            """)
        let pull = lab.run([client.program, "-r", daemon.url("filtered/"), target])
        #expect(pull.code == 0, "\(pull)")
        #expect(DaemonLab.names(target) == ["old", "sub"])
        #expect(DaemonLab.names(target + "/sub") == ["open"])
        for name in ["a.key", "hidden/f", "sub/private/g"] {
            let named = lab.run([client.program, "-r", daemon.url("filtered/\(name)"), lab.path("one")])
            #expect(named.code == 23 && named.err.contains("No such file or directory (2)"), "\(name): \(named)")
            #expect(DaemonLab.text(lab.path("one")) == nil)
        }
        _ = lab.make("up")
        lab.write("up/x.key", "bad")
        lab.write("up/fine", "good")
        let push = lab.run([client.program, "-r", "--delete", lab.path("up") + "/", daemon.url("filtered/")])
        #expect(push.code == 23, "\(push)")
        #expect(push.err.contains("ERROR: daemon refused to receive file \"x.key\""), "\(push)")
        // What is hidden is neither written nor deleted.
        #expect(DaemonLab.text(module + "/fine") == "good")
        #expect(DaemonLab.text(module + "/x.key") == nil)
        #expect(DaemonLab.text(module + "/a.key") == "2\n" && DaemonLab.text(module + "/hidden/f") == "1\n")
        let into = lab.run([client.program, "-r", lab.path("up") + "/fine", daemon.url("filtered/hidden/")])
        #expect(into.code != 0 && into.err.contains("daemon has excluded destination"), "\(into)")
        #expect(DaemonLab.names(module + "/hidden") == ["f"])
    }

    @Test(arguments: DaemonClient.allCases) func badURLs(_ client: DaemonClient) {
        let lab = DaemonLab()
        for (url, code) in [
            ("rsync://localhost:99999999/m", Int32(10)), ("rsync://localhost:1/m", 10), ("rsync:///m", 1),
            ("rsync://no.such.host.invalid/m", 10),
        ] {
            let reference = lab.run([DaemonLab.rsync, "-r", url, lab.path("target/")], seconds: 8)
            let result = lab.run([client.program, "-r", url, lab.path("target/")], seconds: 8)
            #expect(result.code != 0 && !result.timedOut && !result.err.isEmpty, "\(url): \(result)")
            #expect(result.code == reference.code, "\(url), wanted \(code): \(result)\nreference: \(reference)")
        }
    }
}
