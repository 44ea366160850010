// Dray — nothing outside of a module is read or written, with or without a chroot.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc
import Testing

@Suite(.enabled(if: DaemonLab.isUsable)) struct DaemonConfinementTests {
    static let pairs = DaemonTransferTests.pairs.filter { $0.1 != .rsync }
    static let config = """
        use chroot = no
        munge symlinks = no
        read only = no
        path = @/module
        [m]
        uid = 0
        gid = 0
        [nobody]
        uid = nobody
        path = @/nobody

        """

    private func prepare(_ lab: DaemonLab) -> String {
        let module = lab.make("module")
        lab.shell(
            """
            mkdir \(lab.root)/outside; echo secret > \(lab.root)/outside/s; chmod 700 \(lab.root)/outside
            ln -s ../outside \(module)/up; ln -s \(lab.root)/outside \(module)/abs; ln -s ../outside/s \(module)/file
            """)
        return lab.path("outside")
    }

    @Test(arguments: pairs) func linksOutOfTheModuleAreNotFollowed(_ client: DaemonClient, _ kind: DaemonKind) {
        let lab = DaemonLab()
        let outside = prepare(lab)
        let before = DaemonLab.manifest(outside)
        let daemon = lab.daemon(kind, Self.config)
        let source = lab.make("source")
        lab.write("source/s", "overwritten")
        for link in ["up/", "abs/", "up/s", "../outside/", "sub/../../outside/s"] {
            let target = lab.path("target")
            let pull = lab.run([client.program, "-r", daemon.url("m/" + link), target + "/"])
            // `..` is cut off at the module's top, so that later names may mean what an earlier push made inside.
            #expect(DaemonLab.text(target + "/s") != "secret\n", "\(link): \(pull)")
            let list = lab.run([client.program, "-r", daemon.url("m/" + link)])
            if !link.contains("..") { #expect(!list.out.contains(" s\n"), "\(link): \(list)") }
            _ = lab.run([client.program, "-r", source + "/", daemon.url("m/" + link)])
            #expect(DaemonLab.manifest(outside) == before, "\(link)")
        }
        let followed = lab.run([client.program, "-rL", daemon.url("m/"), lab.path("all/")])
        #expect(DaemonLab.text(lab.path("all/file")) == nil, "\(followed)")
        #expect(DaemonLab.text(lab.path("all/up/s")) == nil, "\(followed)")
    }

    @Test(arguments: pairs) func helperDirectoriesStayInside(_ client: DaemonClient, _ kind: DaemonKind) {
        let lab = DaemonLab()
        let outside = prepare(lab)
        let before = DaemonLab.manifest(outside)
        let daemon = lab.daemon(kind, Self.config)
        let source = lab.make("source")
        for option in ["--temp-dir", "--backup --backup-dir", "--partial-dir", "--compare-dest", "--link-dest"] {
            lab.write("source/s", "text of \(option)")
            lab.write("module/s", "old")
            for place in ["../outside", "up", "abs", "../../../../../../../..\(outside)", outside] {
                let words = "\(option)=\(place)".split(separator: " ").map(String.init)
                _ = lab.run([client.program, "-r", "--ignore-times"] + words + [source + "/", daemon.url("m/")])
                #expect(DaemonLab.manifest(outside) == before, "\(option) \(place)")
            }
        }
    }

    @Test(arguments: pairs) func filesBelongToTheModulesUser(_ client: DaemonClient, _ kind: DaemonKind) {
        let lab = DaemonLab()
        let module = lab.make("nobody", mode: 0o777)
        let source = lab.make("source", mode: 0o777)
        lab.write("source/f", "data")
        let daemon = lab.daemon(kind, Self.config)
        let push = lab.run([client.program, "-r", source + "/", daemon.url("nobody/")])
        #expect(push.code == 0, "\(push)\n\(daemon.log)")
        var status = stat()
        #expect(stat(module + "/f", &status) == 0 && status.st_uid == 65534)
    }

    @Test func detachedDaemonRemovesItsPidFile() {
        let lab = DaemonLab()
        _ = lab.make("module")
        let port = DaemonLab.freePort()
        let file = lab.write(
            "d.conf", "pid file = \(lab.root)/pid\nlog file = \(lab.root)/log\n[m]\npath = \(lab.root)/module\n")
        let start = lab.run(
            [DaemonLab.built("dray"), "--daemon", "--config=\(file)", "--port=\(port)", "--address=127.0.0.1"])
        #expect(start.code == 0, "\(start)")
        #expect(DaemonLab.eventually { DaemonLab.answers(port) })
        let pid = pid_t(DaemonLab.text(lab.path("pid"))?.split(separator: "\n").first ?? "") ?? 0
        #expect(pid > 1)
        if pid > 1 { kill(pid, SIGTERM) }
        #expect(DaemonLab.eventually { DaemonLab.text(lab.path("pid")) == nil })
        #expect(
            DaemonLab.eventually { (DaemonLab.text(lab.path("log")) ?? "").contains("sent 0 bytes  received 0 bytes") })
    }

    @Test(arguments: [(DaemonClient.dray, DaemonClient.rsync), (.rsync, .dray), (.dray, .dray)])
    func overARemoteShell(_ client: DaemonClient, _ server: DaemonClient) {
        let lab = DaemonLab()
        let source = lab.sampleTree("source")
        let module = lab.make("module")
        let target = lab.make("target")
        let config = lab.write(
            "rsh.conf",
            "log file = \(lab.root)/log\nuid = 0\ngid = 0\nuse chroot = yes\nread only = no\n[m]\npath = \(module)\n")
        let shell = lab.write(
            "rsh", "#!/bin/sh\nshift\nshift\nexec \(server.program) \"$@\" --config=\(config)\n", mode: 0o755)
        let options = [client.program, "-aH", "--numeric-ids", "-e", shell]
        let push = lab.run(options + [source + "/", "host::m"])
        #expect(push.code == 0, "\(push)")
        let pull = lab.run(options + ["host::m/", target])
        #expect(pull.code == 0, "\(pull)")
        #expect(DaemonLab.difference(source, module) == [])
        #expect(DaemonLab.difference(source, target) == [])
    }
}
