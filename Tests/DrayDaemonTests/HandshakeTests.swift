// Dray — tests of the text phase between both halves, and with the reference client.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayTransport
import Glibc
import Testing

@testable import DrayDaemon

/// A daemon on one end of a channel; ends with what the handshake came to.
private final class Server: Sendable {
    let log = Monitor<[String]>([])
    let outcome = Monitor<(granted: GrantedModule?, end: HandshakeEnd?)>((nil, nil))
    private let thread = Monitor<RoleThread?>(nil)

    init(_ text: String, _ channel: any ByteChannel) {
        let configuration = load(text).configuration!
        let started = RoleThread { [self] in
            let daemonLog = DaemonLog(capture: { line in self.log.withLock { $0.append(line.displayText) } })
            var connection = ClientConnection(address: Bytes("127.0.0.1"))
            connection.exportsEnvironment = false
            var handshake = ServerHandshake(
                configuration: configuration, connection: connection, lines: HandshakeLines(channel), log: daemonLog)
            handshake.lookUp = { _, _ in Bytes("localhost") }
            do throws(HandshakeEnd) {
                let granted = try handshake.run()
                outcome.withLock { $0.granted = granted }
                try? channel.write(Bytes("@RSYNCD: OK\n"))
            } catch {
                outcome.withLock { $0.end = error }
            }
            channel.closeWriting()
        }
        thread.withLock { $0 = started }
    }

    func join() { thread.withLock { $0 }?.join() }
}

@Suite struct HandshakeTests {
    private func secrets() -> (ScratchDirectory, String) {
        let scratch = ScratchDirectory()
        let file = scratch.write("secrets", "joe:secret\n")
        return (scratch, file.displayText)
    }

    /// What a raw client that sends `input` gets.
    private func talk(_ text: String, _ input: String) -> (answer: String, server: Server) {
        let (near, far) = MemoryChannel.pair()
        let server = Server(text, far)
        try? near.write(Bytes(text: input))
        near.closeWriting()
        let lines = HandshakeLines(near)
        var answer: Bytes = []
        while let byte = try? lines.byte() { answer.append(byte) }
        server.join()
        return (answer.displayText, server)
    }

    private static let greeting = "@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4\n"
    private static let modules =
        "reverse lookup=no\n[m1]\npath=/\ncomment=first module\n[den]\nhosts deny=*\n[hid]\nlist=no\nhosts deny=*\n[hook]\npre-xfer exec=x\n[full]\nmax connections=-1\n"

    @Test(arguments: [
        ("hello\n", "@ERROR: protocol startup error\n"),
        ("@RSYNCD: 30\n", "@ERROR: your client omitted the subprotocol value: @RSYNCD: 30\n"),
        ("@RSYNCD: 32.0\n", "@ERROR: your client omitted the digest name list: @RSYNCD: 32.0\n"),
        ("@RSYNCD: 31.0\n#foo\n", "@ERROR: Unknown command '#foo'\n"),
        ("@RSYNCD: 31.0\nnosuch\n", "@ERROR: Unknown module 'nosuch'\n"),
        ("@RSYNCD: 31.0\nM1\n", "@ERROR: Unknown module 'M1'\n"),
        ("@RSYNCD: 31.0\nden\n", "@ERROR: access denied to den from UNDETERMINED (127.0.0.1)\n"),
        ("@RSYNCD: 31.0\nhid\n", "@ERROR: Unknown module 'hid'\n"),
        ("@RSYNCD: 31.0\nfull\n", "@ERROR: max connections (-1) reached -- try again later\n"),
        ("@RSYNCD: 31.0\nhook\n", "@ERROR: module hook needs 'pre-xfer exec', which this server lacks\n"),
        ("@RSYNCD: 31.0\n#early_input=0\n", "@ERROR: invalid early_input length\n"),
        ("@RSYNCD: 31.0\n#early_input=5121\n", "@ERROR: invalid early_input length\n"),
        ("@RSYNCD: 31.0\n#early_input=3\nabcm1\n", "@RSYNCD: OK\n"),
        ("@RSYNCD: 99.0 md5\nm1\n", "@RSYNCD: OK\n"),
        (
            "@RSYNCD: 31.0\n#list\n",
            "m1             \tfirst module\nden            \t\nhook           \t\nfull           \t\n@RSYNCD: EXIT\n"
        ),
        ("", ""),
        ("@RSYNCD: 31.0\nm1\0\n", ""),
    ])
    func answersEveryRequest(_ input: String, _ answer: String) {
        let (text, server) = talk(Self.modules, input)
        #expect(text == Self.greeting + answer)
        if input.isEmpty { #expect(server.log.withLock { $0 }.isEmpty) }
    }

    @Test func dropsOverlongLines() {
        #expect(
            talk(Self.modules, "@RSYNCD: 31.0 " + String(repeating: "x", count: 1100) + "\nm1\n").answer
                == Self.greeting)
    }

    @Test func sendsTheMotdBeforeTheClientSpeaks() {
        let scratch = ScratchDirectory()
        let motd = scratch.write("motd", "welcome here\n")
        let text = "motd file=\(motd.displayText)\n" + Self.modules
        #expect(talk(text, "").answer == Self.greeting + "welcome here\n\n")
        #expect(talk("motd file=/nonexistent\n" + Self.modules, "").answer == Self.greeting + "\n")
    }

    private func connect(
        _ text: String, _ change: (inout DaemonClientHandshake.Request) -> Void
    ) -> (Result<DaemonClientHandshake.Outcome, TransferFailure>, printed: String, Server) {
        let (near, far) = MemoryChannel.pair()
        let server = Server(text, far)
        var request = DaemonClientHandshake.Request()
        request.user = Bytes("joe")
        request.password.environment = Bytes("secret")
        change(&request)
        var printed: Bytes = []
        let result: Result<DaemonClientHandshake.Outcome, TransferFailure>
        do throws(TransferFailure) {
            result = .success(try DaemonClientHandshake.run(request, over: near) { printed += $0 })
        } catch {
            result = .failure(error)
        }
        near.closeWriting()
        server.join()
        return (result, printed.displayText, server)
    }

    @Test func listsModules() {
        let (result, printed, _) = connect(Self.modules) { _ in }
        #expect(result == .success(.listed))
        #expect(printed.hasPrefix("m1             \tfirst module\n"))
    }

    @Test func logsInWithTheRightPasswordOnly() {
        let (scratch, file) = secrets()
        let text =
            "reverse lookup=no\n[a]\nauth users=joe:rw\nsecrets file=\(file)\n[floor]\nauth users=joe\nauth digest=sha256\nsecrets file=\(file)\n"
        let (good, _, server) = connect(text) { $0.path = Bytes("a/x") }
        #expect(good == .success(.connected(remoteVersion: 32)))
        #expect(server.outcome.withLock { $0.granted?.user } == Bytes("joe"))
        #expect(server.outcome.withLock { $0.granted?.parameters.readOnly } == false)
        let (bad, _, other) = connect(text) {
            $0.path = Bytes("a/x")
            $0.password.environment = Bytes("wrong")
        }
        #expect(bad == .failure(TransferFailure(.startClientServer, "@ERROR: auth failed on module a")))
        #expect(
            other.log.withLock { $0.last }
                == "auth failed on module a from UNDETERMINED (127.0.0.1) for joe: password mismatch")
        let weak = talk(text, "@RSYNCD: 31.0\nfloor\n")
        #expect(weak.answer.hasSuffix("@ERROR: auth failed on module floor\n"))
        #expect(
            weak.server.log.withLock { $0.last }?.contains(
                "digest md5 is weaker than the required 'auth digest = sha256'") == true)
        withExtendedLifetime(scratch) {}
    }

    @Test(arguments: [
        ("", "rsync: did not see server greeting"),
        ("SSH-2.0\n", "rsync: server sent \"SSH-2.0\" rather than greeting"),
        ("@RSYNCD: 31\n", "rsync: the server omitted the subprotocol value: @RSYNCD: 31"),
        ("@RSYNCD: 32.0\n", "rsync: the server omitted the digest name list: @RSYNCD: 32.0"),
        ("@RSYNCD: 31.0\n", "rsync: didn't get server startup line"),
        ("@RSYNCD: 31.0\n@ERROR: no\n", "@ERROR: no"),
    ])
    func clientReportsBadServers(_ input: String, _ line: String) {
        let (near, far) = MemoryChannel.pair()
        try? far.write(Bytes(text: input))
        far.closeWriting()
        var request = DaemonClientHandshake.Request()
        request.path = Bytes("m")
        #expect(throws: TransferFailure(.startClientServer, line)) {
            try DaemonClientHandshake.run(request, over: near) { _ in }
        }
    }

    @Test func leavesTheBinaryPhaseAlone() throws {
        let (near, far) = MemoryChannel.pair()
        try far.write(Bytes("@RSYNCD: 31.0\n@RSYNCD: OK\nXYZ"))
        var request = DaemonClientHandshake.Request()
        request.path = Bytes("m")
        request.arguments = [Bytes("--server"), Bytes("-r")]
        request.paths = [Bytes("m"), Bytes("a m/b")]
        #expect(try DaemonClientHandshake.run(request, over: near) { _ in } == .connected(remoteVersion: 31))
        #expect(try HandshakeLines(near).block(3) == Bytes("XYZ"))
        let lines = HandshakeLines(far)
        #expect(try lines.line(limit: 100) == Bytes("@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4"))
        #expect(try lines.line(limit: 100) == Bytes("m"))
        let list = try ClientArguments.read(from: lines, nulTerminated: true, removesBackslashes: true)
        #expect(list.options == [Bytes("--server"), Bytes("-r"), Bytes(".")])
        #expect(list.paths == [Bytes("m/"), Bytes("a[ ]m/b")])
        #expect(list.request == Bytes("m/ a[ ]m/b"))
    }

    // MARK: - The reference client

    private func reference(_ text: String, _ arguments: String) throws -> (status: Int32, output: String) {
        let listener = try Listener([.init(address: Bytes("127.0.0.1"), port: 0)])
        let port = listener.endpoints[0].address.port
        let scratch = ScratchDirectory()
        let output = scratch.path.displayText + "/out"
        let client = RoleThread(stackBytes: 1 << 20) {
            system(
                "RSYNC_PASSWORD=secret timeout 20 rsync \(arguments.replacing("PORT", with: String(port))) >\(output) 2>&1; echo $? >>\(output)"
            )
        }
        let accepted = try listener.accept(timeoutMilliseconds: 20_000)
        let channel = SocketChannel(descriptor: accepted.descriptor)
        let server = Server(text, channel)
        server.join()
        channel.cancel()
        client?.join()
        var code: Int32 = 0
        let printed = (OperatorFile.read(Bytes(text: output), code: &code) ?? []).displayText
        return (0, printed)
    }

    @Test(.enabled(if: access("/usr/bin/rsync", X_OK) == 0))
    func referenceClientUnderstandsTheTextPhase() throws {
        #expect(
            try reference(Self.modules, "rsync://127.0.0.1:PORT/").output.hasPrefix("m1             \tfirst module\n"))
        let unknown = try reference(Self.modules, "rsync://127.0.0.1:PORT/zip/").output
        #expect(unknown.contains("@ERROR: Unknown module 'zip'") && unknown.hasSuffix("5\n"))
        let (scratch, file) = secrets()
        let text = "reverse lookup=no\n[a]\nauth users=joe\nsecrets file=\(file)\n"
        let wrong = try reference(text, "rsync://ann@127.0.0.1:PORT/a/").output
        #expect(wrong.contains("@ERROR: auth failed on module a") && wrong.hasSuffix("5\n"))
        let right = try reference(text, "rsync://joe@127.0.0.1:PORT/a/").output
        #expect(!right.contains("@ERROR"))
        withExtendedLifetime(scratch) {}
    }
}
