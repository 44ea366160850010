// Dray — compression between clients and daemons.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Testing

@Suite(.enabled(if: DaemonLab.isUsable)) struct DaemonCompressionTests {
    private static let config = """
        uid = 0
        gid = 0
        use chroot = yes
        read only = no
        [m]
        path = @/module
        [lazy]
        path = @/module
        dont compress = *
        [picky]
        path = @/module
        dont compress = *.gz *.txt
        [refuse]
        path = @/module
        refuse options = compress
        """

    private func received(_ result: LabResult) -> Int? {
        let line = result.out.split(separator: "\n").first { $0.hasPrefix("Total bytes received: ") }
        return line.flatMap { Int($0.dropFirst(22).filter { $0 != "," }) }
    }

    @Test(arguments: DaemonTransferTests.pairs) func modulesDecideOnCompression(
        _ client: DaemonClient, _ kind: DaemonKind
    ) {
        let lab = DaemonLab()
        let module = lab.make("module")
        lab.shell("yes 'some words that repeat' | head -c 400000 > \(module)/f.txt; touch -d @1500000000 \(module)")
        let daemon = lab.daemon(kind, Self.config)
        func pull(_ name: String, _ options: String...) -> LabResult {
            let target = lab.make("target-" + name)
            let result = lab.run([client.program, "-a", "--stats"] + options + [daemon.url(name + "/"), target + "/"])
            if result.code == 0 { #expect(DaemonLab.difference(module, target) == [], "\(name) \(options)") }
            return result
        }
        for options in ["-z", "--zc=zlib", "-zz"] {
            let small = pull("m", options)
            #expect(small.code == 0 && received(small) ?? .max < 40_000, "\(small)")
            lab.shell("rm -r \(lab.root)/target-m")
        }
        let picky = pull("picky", "--zc=zlib")
        #expect(picky.code == 0 && received(picky) ?? .max < 40_000, "\(picky)")
        let lazy = pull("lazy", "--zc=zlib")
        #expect(lazy.code == 0 && received(lazy) ?? 0 > 400_000, "\(lazy)")
        for options in ["-z", "--zc=zlib", "--zl=3"] {
            let refused = pull("refuse", options)
            // The connection is reset after the refusal, so the code of it is lost.
            #expect(refused.code == 10, "\(refused)")
            #expect((refused.err + refused.out).contains("configured to refuse --compress (-z)"), "\(refused)")
        }
    }
}
