// Dray — tests of host access, passwords, refused options, paths and log lines.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayTransport
import Glibc
import Testing

@testable import DrayDaemon

@Suite struct AccessTests {
    /// Chapter 07 §8 and its check D7.
    @Test(arguments: [
        ("127.0.0.1", true), ("127.0.0.0/8", true), ("127.0.0.0/255.0.0.0", true), ("9.9.9.9/0", true),
        ("127.1", true), ("127", false), ("127.0.0.1/33", false), ("127.0.0.1/", false), ("LOCAL*", true),
        ("::1/128", false), ("*", true), ("nowhere.invalid", false), ("10.0.0.1, 127.0.0.1", true),
    ])
    func allowsByToken(_ list: String, _ expected: Bool) {
        var name = Bytes("localhost")
        var access = HostAccess(allow: Bytes(text: list), deny: [], forwardLookup: true)
        access.resolve = { _ in nil }
        #expect(access.permits(address: Bytes("127.0.0.1"), hostName: &name) == expected)
    }

    @Test func unresolvableDenyTokenDeniesEveryone() {
        var name = Bytes("UNDETERMINED")
        var access = HostAccess(allow: [], deny: Bytes("nowhere.invalid"), forwardLookup: true)
        access.resolve = { _ in nil }
        #expect(!access.permits(address: Bytes("10.0.0.1"), hostName: &name))
        access.resolve = { _ in [Bytes("1.2.3.4")] }
        #expect(access.permits(address: Bytes("10.0.0.1"), hostName: &name))
        access.allow = Bytes("10.0.0.2")
        #expect(access.permits(address: Bytes("10.0.0.1"), hostName: &name))
        access.deny = []
        #expect(!access.permits(address: Bytes("10.0.0.1"), hostName: &name))
    }

    /// Vectors computed with an independent implementation of the digests.
    @Test func responsesMatchGoldenVectors() {
        // Chapter 01 §3.4: `printf pwT | openssl dgst -DIGEST -binary | base64` without `=`; the seed is four zero bytes.
        let vectors: [(AuthenticationScheme, String)] = [
            (
                .init(digest: .sha512, isSeeded: false),
                "kbf57Um2iUE98ZF+JgCGZ0VA+NEOCIMXWT2P35Q+yQl7kAEM4mfqs0O3aLddwbSyaXaD2R0MOMHrHO+mHIa19g"
            ),
            (.init(digest: .sha256, isSeeded: false), "I/b0/mTezR6eraquJ3vppstVB7wXaD7q629h2xXgAEI"),
            (.init(digest: .sha1, isSeeded: false), "AtYHHcar5jfVw5agPQLONZKQOBA"),
            (.init(digest: .md5, isSeeded: false), "v3rZJ6dhd/bieuYlbFGk+g"),
            (.init(digest: .md4, isSeeded: false), "ofBfYWqKtezhgZcOsQNXLQ"),
            (.init(digest: .md4, isSeeded: true), "a+Y4ydWjTKiZIPk41LdAsw"),
        ]
        for (scheme, expected) in vectors {
            #expect(scheme.response(secret: Bytes("pw"), challenge: Bytes("T")) == Bytes(text: expected))
        }
        // "abc" in the standards: FIPS 180-4, RFC 1321, RFC 1320.
        let abc = [
            (1, "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0"), (3, "kAFQmDzST7DWlj99KOF/cg"),
            (4, "pEgBeq8h2FJfwQroeqZynQ"),
        ]
        for (index, expected) in abc {
            #expect(vectors[index].0.response(secret: Bytes("ab"), challenge: Bytes("c")) == Bytes(text: expected))
        }
        #expect(AuthenticationScheme.choose(peerList: nil, protocolVersion: 29)?.isSeeded == true)
        #expect(AuthenticationScheme.choose(peerList: Bytes("md4 SHA1 new"), protocolVersion: 32)?.digest == .sha1)
        #expect(AuthenticationScheme.choose(peerList: Bytes("new"), protocolVersion: 32) == nil)
    }

    @Test func rulesAreTriedInOrder() {
        let scratch = ScratchDirectory()
        let file = scratch.write("secrets", "#x:1\njoe:pw:with colon\r\n@staff:gp\nann:a\n")
        let scheme = AuthenticationScheme(digest: .sha512, isSeeded: false)
        func check(_ rules: String, _ user: String, _ secret: String, groups: [Bytes]? = nil) -> AuthorizedUsers.Outcome
        {
            var users = AuthorizedUsers(users: Bytes(text: rules), secretsFile: file, strictModes: true)
            users.groups = { _ in groups }
            let response = scheme.response(secret: Bytes(text: secret), challenge: Bytes("C"))
            return users.check(user: Bytes(text: user), response: response, challenge: Bytes("C"), scheme: scheme)
        }
        #expect(check("joe", "joe", "pw:with colon") == .accepted(readOnly: nil))
        #expect(check("j*:ro", "joe", "pw:with colon") == .accepted(readOnly: true))
        #expect(check("ann:rw,joe", "ann", "a") == .accepted(readOnly: false))
        #expect(check("joe", "joe", "x") == .refused("password mismatch"))
        #expect(check("joe:deny *", "joe", "pw:with colon") == .refused("denied by rule"))
        #expect(check("ann", "joe", "x") == .refused("no matching rule"))
        #expect(check("*", "bob", "x") == .refused("secret not found"))
        #expect(check("*", "#x", "1") == .refused("invalid username"))
        #expect(check("@staff", "bob", "gp", groups: [Bytes("staff")]) == .accepted(readOnly: nil))
        #expect(check("@staff", "bob", "gp", groups: nil) == .refused("no matching rule"))
        #expect(check(", Big Group:deny, joe", "joe", "pw:with colon") == .accepted(readOnly: nil))
        chmod(String(decoding: file, as: UTF8.self), 0o644)
        #expect(check("joe", "joe", "pw:with colon") == .refused("ignoring secrets file"))
    }

    private static let rows: [OptionRow] = {
        let names: [(String, Character?, Int)] = [
            ("verbose", "v", 1), ("archive", "a", 2), ("recursive", "r", 3), ("links", "l", 4), ("perms", "p", 5),
            ("times", "t", 6), ("group", "g", 7), ("owner", "o", 8), ("D", "D", 9), ("delete", nil, 10),
            ("delete-during", nil, 11), ("del", nil, 11), ("delete-before", nil, 12), ("compress", "z", 13),
            ("compress-level", nil, 14), ("hard-links", "H", 15), ("dry-run", "n", 16), ("iconv", nil, 17),
            ("log-file", nil, 18), ("insecure-links", nil, 19), ("write-devices", nil, 20), ("server", nil, 21),
            ("checksum", "c", 22),
        ]
        return names.map { OptionRow(long: Bytes(text: $0.0), letter: $0.1?.asciiValue, meaning: $0.2) }
    }()

    @Test func refuseTermsWorkAsDocumented() {
        var log: [String] = []
        func refused(_ terms: String) -> RefusedOptions {
            RefusedOptions(Bytes(text: terms), rows: Self.rows, hasCharset: false) { log.append($0.displayText) }
        }
        let many = refused("* !a !v !compress*")
        #expect(many.refusal(Bytes("hard-links")) == Bytes("The server is configured to refuse --hard-links (-H)"))
        #expect(
            !many.refuses(Bytes("recursive")) && !many.refuses(Bytes("verbose"))
                && !many.refuses(Bytes("compress-level")))
        #expect(!many.refuses(Bytes("server")) && !many.refuses(Bytes("dry-run")))
        #expect(refused("delete-during").refuses(Bytes("del")))
        #expect(refused("!write-devices").refuses(Bytes("write-devices")) == false)
        #expect(refused("!insecure-links !log-file !iconv").refuses(Bytes("insecure-links")))
        #expect(refused("c").refusal(Bytes("checksum")) == Bytes("The server is configured to refuse --checksum (-c)"))
        _ = refused("nothing,here")
        #expect(log == ["No match for refuse-options string \"nothing,here\""])
        var options = TransferOptions()
        options.deleteMode = .unspecified
        #expect(
            refused("delete-*").checkImplied(.init(), &options)
                == Bytes("The server is configured to refuse --delete-before"))
        #expect(
            refused("checksum delete").checkImplied(.init(), &options)
                == Bytes("The server is configured to refuse --delete"))
    }

    @Test(arguments: [
        ("/etc/passwd", "etc/passwd"), ("../../x", "x"), ("a/../../b", "b"), ("./", "."), ("a//b/", "a/b/"),
        ("..", "."),
    ])
    func sanitizesPaths(_ path: String, _ expected: String) {
        #expect(ModulePaths.sanitize(Bytes(text: path)) == Bytes(text: expected))
    }

    @Test func splitsAndExpandsModulePaths() throws {
        #expect(ModulePaths.sanitize(Bytes("/bk"), root: Bytes("/srv/m")) == Bytes("/srv/m/bk"))
        var paths = ModulePaths(moduleName: Bytes("m"), sanitizes: true)
        #expect(
            try paths.expand([Bytes("m/a m/b"), Bytes("m/"), Bytes("m/../../etc"), []])
                == ["a", "b", ".", "etc"].map { Bytes(text: $0) })
        paths.splits = false
        #expect(paths.pieces(Bytes("m/a m/b")) == [Bytes("/a m/b")])
        #expect(try paths.expand([Bytes("m/no*such")]) == [Bytes("no*such")])
        #expect(ClientArguments.unescaped(Bytes("--suffix=a\\*b\\ c\\")) == Bytes("--suffix=a*b c\\"))
    }

    @Test func escapesLogLines() {
        #expect(DaemonLog.escaped([0x41, 0x1b, 0x09, 0x9f, 0x0a]) == Bytes("A\\#033\t\\#237\n"))
        #expect(DaemonLog.escaped(Bytes("a\\#012b")) == Bytes("a\\#134#012b"))
        var item = ItemReport(
            name: Bytes("c.txt"), mode: 0o100644, length: 2, mtime: 0, flags: .transfer, sending: true)
        item.sourceDirectory = Bytes("sub")
        var settings = TransferLog.Settings()
        settings.hostName = Bytes("localhost")
        settings.address = Bytes("127.0.0.1")
        settings.module = Bytes("log")
        let line = LogFormat.expand(ModuleParameters().logFormat, item, settings, deletes: false)
        #expect(line == Bytes("send localhost [127.0.0.1] log () sub/c.txt 2"))
        #expect(
            LogFormat.expand(Bytes("%z%%%5l|%-4l|%B"), item, settings, deletes: false)
                == Bytes("%z%    2|2   |rw-r--r--"))
    }

    @Test func decidesTheChroot() {
        func decide(_ path: String, _ chroots: Bool?, _ code: Int32? = nil) -> ModuleRoot {
            ModuleRoot.decide(
                path: Bytes(text: path), useChroot: chroots, startDirectory: Bytes("/start"), probe: { code },
                log: { _ in })
        }
        #expect(
            decide("/a/./b/", nil, 1)
                == ModuleRoot(outerPath: Bytes("/a/b"), chroot: Bytes("/a"), directory: Bytes("/b")))
        #expect(decide("/a", nil) == ModuleRoot(outerPath: Bytes("/a"), chroot: Bytes("/a"), directory: Bytes("/")))
        #expect(decide("/a", nil, EPERM) == ModuleRoot(outerPath: Bytes("/a"), chroot: nil, directory: Bytes("/a")))
        #expect(decide("x/./y/..", false).directory == Bytes("/start/x"))
    }

    @Test func slotsAreTakenByProcesses() {
        let scratch = ScratchDirectory()
        let file = scratch.path.appendingComponent(Bytes("lock"))
        #expect(ConnectionSlots.claim(lockFile: file, limit: 0) == .unlimited)
        #expect(ConnectionSlots.claim(lockFile: file, limit: -1) == .full)
        guard case .claimed(let held) = ConnectionSlots.claim(lockFile: file, limit: 1) else {
            Issue.record("no slot")
            return
        }
        var status = stat()
        fstat(held, &status)
        #expect(status.st_mode & 0o777 == 0o600 && status.st_size == 0)
        close(held)
        #expect(ConnectionSlots.claim(lockFile: Bytes("/nonexistent/x"), limit: 1) == .failed(ENOENT))
    }

    @Test func listenAddressesAreParsed() {
        #expect(
            DaemonListener(Bytes("[::1]:2222"), usesTLS: false)?.binding == .init(address: Bytes("::1"), port: 2222))
        #expect(DaemonListener(Bytes(":8730"), usesTLS: false)?.binding == .init(address: nil, port: 8730))
        #expect(
            DaemonListener(Bytes("10.0.0.1"), usesTLS: true)?.binding == .init(address: Bytes("10.0.0.1"), port: 874))
        #expect(DaemonListener(Bytes("h:99999"), usesTLS: false) == nil)
        #expect(throws: TransferFailure.self) { try DaemonSettings.parse([Bytes("--daemon"), Bytes("--bwlimit=1m")]) }
        #expect(throws: TransferFailure.self) { try DaemonSettings.parse([Bytes("-vv")]) }
    }
}
