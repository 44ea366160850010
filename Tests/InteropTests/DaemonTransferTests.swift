// Dray — whole trees through every pair of client and daemon.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc
import Testing

@Suite(.enabled(if: DaemonLab.isUsable)) struct DaemonTransferTests {
    static let pairs: [(DaemonClient, DaemonKind)] = [
        (.dray, .rsyncServer), (.dray, .rsync), (.dray, .dray), (.rsync, .rsyncServer), (.rsync, .dray),
    ]
    static let both = """
        uid = 0
        gid = 0
        use chroot = yes
        read only = no
        [m]
        path = @/module
        comment = the module
        """

    @Test(arguments: pairs) func pushDeletesAndKeepsEverything(_ client: DaemonClient, _ kind: DaemonKind) {
        let lab = DaemonLab()
        let source = lab.sampleTree("source")
        let module = lab.make("module")
        lab.shell("mkdir \(module)/extra; echo old > \(module)/extra/f; echo old > \(module)/a")
        let daemon = lab.daemon(kind, Self.both)
        let options = ["-aH", "--numeric-ids", "--delete"]
        for _ in 0..<2 {
            let result = lab.run([client.program] + options + [source + "/", daemon.url("m/")])
            #expect(result.code == 0, "\(result)\n\(daemon.log)")
            #expect(result.err.isEmpty, "\(result)")
            #expect(DaemonLab.difference(source, module) == [])
        }
    }

    @Test(arguments: pairs) func pullDeletesAndKeepsEverything(_ client: DaemonClient, _ kind: DaemonKind) {
        let lab = DaemonLab()
        let module = lab.sampleTree("module")
        let target = lab.make("target")
        lab.shell("mkdir \(target)/extra; echo old > \(target)/extra/f; echo old > \(target)/a")
        let daemon = lab.daemon(kind, Self.both)
        let options = ["-aH", "--numeric-ids", "--delete"]
        for source in [daemon.url("m/"), "localhost::m/"] {
            let port = source.hasPrefix("localhost") ? ["--port=\(daemon.port)"] : []
            let result = lab.run([client.program] + options + port + [source, target])
            #expect(result.code == 0, "\(result)\n\(daemon.log)")
            #expect(result.err.isEmpty, "\(result)")
            #expect(DaemonLab.difference(module, target) == [])
        }
    }

    @Test(arguments: pairs) func listingsLookAlike(_ client: DaemonClient, _ kind: DaemonKind) {
        let lab = DaemonLab()
        _ = lab.sampleTree("module")
        let daemon = lab.daemon(kind, "motd file = @/motd\n" + Self.both + "\n[hidden]\nlist = no\npath = @\n")
        lab.write("motd", "be kind\n")
        let list = lab.run([client.program, "rsync://localhost:\(daemon.port)/"])
        #expect(list.code == 0 && list.out == "be kind\n\nm              \tthe module\n", "\(list)")
        let quiet = lab.run([client.program, "--no-motd", "rsync://localhost:\(daemon.port)/"])
        // As rsync has it, the list goes away with the message.
        #expect(quiet.code == 0 && quiet.out.isEmpty, "\(quiet)")
        let names = lab.run([client.program, "--no-motd", daemon.url("m/sub/")])
        let expected = lab.run([DaemonLab.rsync, lab.path("module/sub/")])
        #expect(names.code == 0 && names.out == expected.out, "\(names)")
    }

    @Test(arguments: pairs, [30, 31]) func olderProtocols(_ pair: (DaemonClient, DaemonKind), _ version: Int) {
        let lab = DaemonLab()
        let source = lab.sampleTree("source")
        let module = lab.make("module")
        let target = lab.make("target")
        let daemon = lab.daemon(pair.1, Self.both)
        let options = ["-aH", "--numeric-ids", "--delete", "--protocol=\(version)"]
        let push = lab.run([pair.0.program] + options + [source + "/", daemon.url("m")])
        #expect(push.code == 0, "\(push)\n\(daemon.log)")
        let pull = lab.run([pair.0.program] + options + [daemon.url("m/"), target])
        #expect(pull.code == 0, "\(pull)\n\(daemon.log)")
        #expect(DaemonLab.difference(source, module, wholeSeconds: version < 31) == [])
        #expect(DaemonLab.difference(source, target, wholeSeconds: version < 31) == [])
    }

    @Test(arguments: pairs) func secludedArguments(_ client: DaemonClient, _ kind: DaemonKind) {
        let lab = DaemonLab()
        let source = lab.sampleTree("source")
        let module = lab.make("module")
        let target = lab.make("target")
        let daemon = lab.daemon(kind, Self.both)
        let push = lab.run([client.program, "-aHs", "--numeric-ids", source + "/", daemon.url("m/new dir/")])
        #expect(push.code == 0, "\(push)\n\(daemon.log)")
        #expect(DaemonLab.difference(source, module + "/new dir") == [])
        let pull = lab.run([client.program, "-aHs", "--numeric-ids", daemon.url("m/new dir/"), target])
        #expect(pull.code == 0, "\(pull)\n\(daemon.log)")
        #expect(DaemonLab.difference(source, target) == [])
    }
}
