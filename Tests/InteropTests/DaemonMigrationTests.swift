// Dray — the migration product's configuration and command line, word for word.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc
import Testing

@Suite(.enabled(if: DaemonLab.isUsable)) struct DaemonMigrationTests {
    static let module = "0cc175b9c0f1b6a831c399e269772661"

    private func config(chroot: Bool, munge: Bool = false) -> String {
        """
        syslog facility = local7

        read only = no
        list = yes
        max verbosity = 4
        auth users = root
        hosts allow = ::1, 127.0.0.1, localhost
        uid = root
        gid = root

        use chroot = \(chroot ? "yes" : "no")
        munge symlinks = \(munge ? "yes" : "no")

        [\(Self.module)]
            comment = archive for ns/pvc
            path = @/mnt/\(Self.module)
            list = yes
            read only = false
            auth users = root
            secrets file = @/rsyncd.secrets

        """
    }

    private func prepare(_ lab: DaemonLab) -> (source: String, target: String) {
        _ = lab.make("mnt")
        lab.write("rsyncd.secrets", "root:AbCdEf", mode: 0o640)
        let source = lab.sampleTree("source")
        lab.shell(
            """
            mkdir \(source)/lost+found; ln -s /abs/x \(source)/absolute; touch -h -d '2002-02-03' \(source)/absolute
            touch -d '2004-04-04 04:04:04.5' \(source)
            """)
        return (source, lab.make("mnt/\(Self.module)"))
    }

    private func words(_ client: DaemonClient, _ source: String, _ port: Int, _ module: String = module) -> [String] {
        [
            client.program, "--recursive", "--links", "--perms", "--devices", "--specials", "--times", "--owner",
            "--group", "--hard-links", "--delete", "--partial", "--human-readable", "--log-file=/dev/stdout",
            "--info=COPY2,DEL2,REMOVE2,SKIP2,FLIST2,PROGRESS2,STATS2", "--exclude=lost+found", source + "/",
            "rsync://root@localhost/\(module)", "--port", "\(port)",
        ]
    }

    @Test(arguments: DaemonTransferTests.pairs, [false, true])
    func commandReplay(_ pair: (DaemonClient, DaemonKind), _ chroot: Bool) {
        let lab = DaemonLab()
        let (source, target) = prepare(lab)
        lab.shell("echo old > \(target)/stale; mkdir \(target)/old; echo x > \(target)/old/f")
        let daemon = lab.daemon(pair.1, config(chroot: chroot), extra: ["-vvv"])
        for _ in 0..<100 { _ = DaemonLab.answers(daemon.port) }
        let result = lab.run(
            words(pair.0, source, daemon.port), environment: ["RSYNC_PASSWORD": "AbCdEf"])
        #expect(result.code == 0, "\(result)\n\(daemon.log)")
        #expect(result.out.contains("%") && result.out.contains("/s"), "\(result)")
        #expect(result.out.contains("Number of files: "), "\(result)")
        // Only the absolute link may differ: without a chroot it loses its slash.
        lab.shell("rmdir \(source)/lost+found; touch -d '2004-04-04 04:04:04.5' \(source)")
        #expect(DaemonLab.target(target + "/absolute") == (chroot ? "/abs/x" : "abs/x"))
        let difference = DaemonLab.difference(source, target).filter { !$0.contains(" absolute ") }
        #expect(difference == [], "\(result)")
        #expect(daemon.isAlive)
    }

    @Test(arguments: DaemonTransferTests.pairs) func mungedLinks(_ client: DaemonClient, _ kind: DaemonKind) {
        let lab = DaemonLab()
        let (source, target) = prepare(lab)
        let daemon = lab.daemon(kind, config(chroot: false, munge: true))
        let environment = ["RSYNC_PASSWORD": "AbCdEf"]
        let push = lab.run(words(client, source, daemon.port), environment: environment)
        #expect(push.code == 0, "\(push)\n\(daemon.log)")
        #expect(DaemonLab.target(target + "/absolute") == "/rsyncd-munged//abs/x")
        let back = lab.make("back")
        let pull = lab.run(
            [client.program, "-aH", "--port=\(daemon.port)", "root@localhost::\(Self.module)/", back],
            environment: environment)
        #expect(pull.code == 0, "\(pull)\n\(daemon.log)")
        #expect(DaemonLab.target(back + "/absolute") == "/abs/x")
    }

    @Test(arguments: DaemonTransferTests.pairs) func mistakes(_ client: DaemonClient, _ kind: DaemonKind) {
        let lab = DaemonLab()
        let (source, target) = prepare(lab)
        let daemon = lab.daemon(kind, config(chroot: false))
        let wrong = lab.run(words(client, source, daemon.port), environment: ["RSYNC_PASSWORD": "wrong"])
        #expect(wrong.code == 5 && wrong.err.contains("@ERROR: auth failed on module \(Self.module)\n"), "\(wrong)")
        let unknown = lab.run(words(client, source, daemon.port, "nosuch"), environment: ["RSYNC_PASSWORD": "AbCdEf"])
        #expect(unknown.code == 5 && unknown.err.contains("@ERROR: Unknown module 'nosuch'\n"), "\(unknown)")
        let refused = lab.run(words(client, source, DaemonLab.freePort()), environment: ["RSYNC_PASSWORD": "x"])
        #expect(
            refused.code == 10
                && refused.err.contains("failed to connect to localhost (127.0.0.1): Connection refused (111)"),
            "\(refused)")
        let flat = lab.run([client.program, "--delete", source + "/", "rsync://root@localhost/m", "--port", "1"])
        #expect(
            flat.code == 1
                && flat.err.contains("rsync: --delete does not work without --recursive (-r) or --dirs (-d)."),
            "\(flat)")
        #expect(DaemonLab.names(target).isEmpty)
        #expect(daemon.logs("auth failed on module \(Self.module) from"))
        #expect(daemon.log.contains("for root: password mismatch"), "\(daemon.log)")
        #expect(daemon.isAlive)
    }
}
