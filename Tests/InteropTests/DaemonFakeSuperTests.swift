// Dray — modules that keep root's attributes in extended attributes.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc
import Testing

@Suite(.enabled(if: DaemonLab.isUsable)) struct DaemonFakeSuperTests {
    static let module = """
        uid = nobody
        gid = nogroup
        use chroot = no
        read only = no
        fake super = yes
        [m]
        path = @/module
        """

    /// An ordinary user's daemon stores owners, devices and ACLs, and gives them back.
    @Test(arguments: DaemonTransferTests.pairs)
    func keepsRootsAttributes(_ client: DaemonClient, _ kind: DaemonKind) throws {
        let lab = DaemonLab()
        let module = lab.make("module", mode: 0o777)
        let source = lab.path("source")
        let tree = try FileTree(source)
        try tree.file("setuid", [1, 2, 3], mode: 0o4750)
        try tree.owner("setuid", 1234, 55)
        chmod(tree.path("setuid"), 0o4750)
        try tree.node("null", S_IFCHR | 0o600, device: 0x103)
        try tree.symlink("link", to: "setuid")
        try tree.file("acl", [4])
        try tree.acl("acl", [.init(1, 6), .init(2, 4, 1), .init(4, 4), .init(16, 6), .init(32, 4)])
        try tree.attribute("acl", "user.long", FileTree.noise(100, seed: 1))
        try tree.setTime("", 1_450_000_000)
        let daemon = lab.daemon(kind, Self.module)
        let push = lab.run([client.program, "-aHAX", source + "/", daemon.url("m/in/")])
        #expect(push.code == 0 && push.err.isEmpty, "\(push)\n\(daemon.log)")
        let stored = TreeSnapshot(module + "/in").items
        #expect(stored["setuid"]?.uid == 65534)
        #expect(stored["setuid"]?.attributes["user.rsync.%stat"] == Array("104750 0,0 1234:55".utf8))
        #expect(stored["null"]?.attributes["user.rsync.%stat"] == Array("20600 1,3 0:0".utf8))
        #expect(stored["link"]?.attributes["user.rsync.%stat"] == Array("120777 0,0 0:0".utf8))
        #expect(stored["acl"]?.attributes["user.rsync.%aacl"]?.count == 24)
        let back = lab.path("back")
        let pull = lab.run([client.program, "-aHAX", daemon.url("m/in/"), back])
        #expect(pull.code == 0 && pull.err.isEmpty, "\(pull)\n\(daemon.log)")
        #expect(TreeSnapshot(back).differences(from: TreeSnapshot(source)) == [])
        let again = lab.run([client.program, "-aHAXi", "--delete", source + "/", daemon.url("m/in/")])
        #expect(again.code == 0 && again.out.isEmpty, "\(again)")
    }
}
