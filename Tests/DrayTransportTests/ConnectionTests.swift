// Dray — listening, connecting, proxies, remote shells and the rate limit.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc
import Testing

@testable import DrayTransport

@Suite(.timeLimit(.minutes(2))) struct ConnectionTests {
    private let loopback = Bytes("127.0.0.1")

    // MARK: - Listener and connector

    @Test func listensOnBothFamiliesAndNamesThePeer() throws {
        let listener = try Listener([
            .init(address: loopback, port: 0), .init(address: Bytes("::1"), port: 0),
        ])
        #expect(listener.endpoints.map(\.binding) == [0, 1])
        for (endpoint, binding) in listener.endpoints {
            let client = try TCPConnector.connect(host: endpoint.address, port: Int(endpoint.port), timeoutSeconds: 20)
            let connection = try listener.accept(timeoutMilliseconds: 20_000)
            let server = SocketChannel(descriptor: connection.descriptor)
            #expect(connection.binding == binding)
            #expect(connection.peer == client.localAddress)
            try client.write(Bytes("hi"))
            #expect(try server.receive(10) == Bytes("hi"))
        }
        #expect(throws: ChannelError.timedOut) { try listener.accept(timeoutMilliseconds: 0) }
        let accepting = Background {
            outcome { () throws(ChannelError) in try listener.accept(timeoutMilliseconds: -1).binding }
        }
        listener.cancel()
        #expect(accepting.wait() == .failure(.cancelled))
    }

    @Test func saysWhyItCannotListen() throws {
        let first = try Listener([.init(address: loopback, port: 0)])
        let port = Int(first.endpoints[0].address.port)
        do {
            _ = try Listener([.init(address: loopback, port: port)])
            Issue.record("bound twice")
        } catch {
            #expect(error.code == .socketIO)
            #expect(
                error.lines.map(\.displayText) == [
                    "bind() failed: Address already in use (address-family 2)",
                    "unable to bind any inbound sockets on port \(port)",
                ])
        }
    }

    @Test func refusedConnectionHasALinePerAddress() throws {
        let listener = try Listener([.init(address: loopback, port: 0)])
        let port = Int(listener.endpoints[0].address.port)
        listener.cancel()
        withExtendedLifetime(listener) {}
        let closed = try freePort()
        do {
            _ = try TCPConnector.connect(host: loopback, port: closed, who: .unsplitReceiver)
            Issue.record("connected")
        } catch {
            #expect(error.code == .socketIO)
            #expect(
                error.lines.map(\.displayText) == [
                    "rsync: [Receiver] failed to connect to 127.0.0.1 (127.0.0.1): Connection refused (111)"
                ])
        }
        #expect(port != 0)
    }

    private func freePort() throws -> Int {
        let listener = try Listener([.init(address: loopback, port: 0)])
        return Int(listener.endpoints[0].address.port)
    }

    @Test func socketOptionFaultsAreMessages() {
        let options = SocketOptions(Bytes("foo,SO_KEEPALIVE TCP_NODELAY=1\tIPTOS_LOWDELAY=2"))
        #expect(
            options.messages.map(\.displayText) == [
                "Unknown socket option foo", "syntax error -- IPTOS_LOWDELAY does not take a value",
            ])
    }

    // MARK: - Proxy

    @Test(arguments: [
        ("HTTP/1.0 200 OK\r\nVia: x\r\n\r\nafter", nil),
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "bad response from proxy -- HTTP/1.1 407 Proxy Authentication Required"
        ),
        (String(repeating: "x", count: 5000), "proxy response line too long"),
    ])
    func talksToAProxy(_ reply: String, _ failure: String?) throws {
        let listener = try Listener([.init(address: loopback, port: 0)])
        let port = Int(listener.endpoints[0].address.port)
        let proxy = Background { () -> String in
            guard let connection = try? listener.accept(timeoutMilliseconds: 20_000) else { return "" }
            let channel = SocketChannel(descriptor: connection.descriptor)
            var request: Bytes = []
            while !request.hasSuffix(Bytes("\r\n\r\n")) {
                guard let part = try? channel.receive(1000), !part.isEmpty else { break }
                request += part
            }
            try? channel.write(Bytes(text: reply))
            channel.closeWriting()
            return request.displayText
        }
        do {
            let channel = try TCPConnector.connect(
                host: Bytes("target.example"), port: 873, proxy: Bytes(text: "user:p@ss@127.0.0.1:\(port)"))
            #expect(failure == nil)
            #expect(try channel.receiveAll() == Bytes("after"))
        } catch let error as TransferFailure {
            #expect(error.lines.map(\.displayText) == [failure])
            #expect(error.code == .socketIO)
        }
        #expect(
            proxy.wait()
                == "CONNECT target.example:873 HTTP/1.0\r\nProxy-Authorization: Basic dXNlcjpwQHNz\r\n\r\n")
    }

    @Test func refusesBadProxySpecifications() throws {
        #expect(throws: TransferFailure(.socketIO, "invalid proxy specification: should be HOST:PORT")) {
            try HTTPProxy(Bytes("abc"))
        }
        #expect(throws: TransferFailure(.socketIO, "invalid proxy specification: should be USER:PASS@HOST:PORT")) {
            try HTTPProxy(Bytes("a@b:1"))
        }
        for (text, service) in [("h:80", "80"), ("h:http", "http"), ("h:", ""), ("h:abcdefghijkl", "abcdefghi")] {
            #expect(try HTTPProxy(Bytes(text: text)).service == Bytes(text: service))
        }
    }

    // MARK: - Remote shell

    @Test(arguments: [
        ("a \"b c\" d'e f'g 'x''y'", ["a", "b c", "de fg", "x'y"]), ("  ssh   -p 22 ", ["ssh", "-p", "22"]),
        ("a\tb\\ c", ["a\tb\\", "c"]), ("'' \"\"", ["", ""]), ("", []), ("x\"a\"\"b\"", ["xa\"b"]),
    ])
    func splitsShellCommands(_ command: String, _ words: [String]) throws {
        #expect(try RemoteShell.split(Bytes(text: command)) == words.map { Bytes(text: $0) })
    }

    @Test func unterminatedQuoteIsASyntaxError() {
        #expect(throws: TransferFailure(.syntax, "Missing trailing-' in remote-shell command.")) {
            try RemoteShell.split(Bytes("ssh 'a"))
        }
    }

    @Test func buildsShellArguments() throws {
        func words(_ bytes: [Bytes]) -> String { bytes.map(\.displayText).joined(separator: "|") }
        let server = [Bytes("--server"), Bytes("."), Bytes("p")]
        #expect(
            words(
                try RemoteShell.arguments(
                    shell: [Bytes("/usr/bin/ssh")], user: Bytes("u"), host: Bytes("h"), family: .ipv6,
                    serverArguments: server)) == "/usr/bin/ssh|-l|u|-6|h|rsync|--server|.|p")
        #expect(
            words(
                try RemoteShell.arguments(
                    shell: [Bytes("rsh"), Bytes("-l"), Bytes("x")], user: Bytes("u"), host: Bytes("h"), family: .ipv4,
                    daemonOverShell: true, serverArguments: [])) == "rsh|-l|x|h|rsync|--server|--daemon|.")
        #expect(throws: TransferFailure.self) {
            try RemoteShell.arguments(shell: [Bytes("ssh")], user: nil, host: Bytes("-h"), serverArguments: [])
        }
    }

    @Test func talksToAProgram() throws {
        let (channel, child) = try RemoteShell.spawn(
            arguments: [Bytes("sh"), Bytes("-c"), Bytes("cat; echo $DRAY_TEST; exit 7")],
            environment: [Bytes("DRAY_TEST=yes")])
        let data = pattern(300_001)
        let writer = Background {
            outcome { () throws(ChannelError) in
                try channel.sendAll(data); channel.closeWriting(); return true
            }
        }
        #expect(try channel.receiveAll() == data + Bytes("yes\n"))
        #expect(try writer.wait().get())
        #expect(child.wait() == .exited(7))
        #expect(child.wait().exitCode.rawValue == 7)
    }

    @Test func reportsSignalsAndMissingPrograms() throws {
        let (_, child) = try RemoteShell.spawn(arguments: [Bytes("sh"), Bytes("-c"), Bytes("kill -9 $$")])
        #expect(child.wait().exitCode == .commandKilled)
        do {
            _ = try RemoteShell.spawn(arguments: [Bytes("/nonexistent/ssh")], who: .unsplitReceiver)
            Issue.record("started")
        } catch {
            #expect(error.code == .ipc)
            #expect(
                error.lines.map(\.displayText) == [
                    "rsync: [Receiver] Failed to exec /nonexistent/ssh: No such file or directory (2)"
                ])
        }
    }

    @Test func connectProgramGetsASafeHost() throws {
        #expect(try RemoteShell.expand(Bytes("nc %H 873 %% %x"), host: Bytes("a.b")) == Bytes("nc 'a.b' 873 % %x"))
        for host in ["", "-x", "a$b", "a'b", "%a"] {
            #expect(throws: TransferFailure(.socketIO, "unsafe host characters for RSYNC_CONNECT_PROG")) {
                try RemoteShell.expand(Bytes("nc %H"), host: Bytes(text: host))
            }
        }
        let (channel, child) = try RemoteShell.connectProgram(Bytes("echo %H; cat"), host: Bytes("h"))
        try channel.write(Bytes("x"))
        channel.closeWriting()
        #expect(try channel.receiveAll() == Bytes("h\nx"))
        #expect(child?.wait() == .exited(0))
    }

    // MARK: - Rate

    @Test func limiterFollowsTheRule() {
        var limiter = RateLimiter(kibibytesPerSecond: 100)
        #expect(limiter.largestWrite == 12_800)
        #expect(limiter.wrote(5120, at: 1_000_000_000) == 0)  // 0.05 s of debt
        let pause = limiter.wrote(10_240, at: 1_000_000_000)
        #expect(pause == 150_000_000)
        limiter.slept(requested: pause, from: 1_000_000_000, until: 1_200_000_000)  // 0.05 s too long
        #expect(limiter.wrote(10_240, at: 1_200_000_000) == 0)
        #expect(limiter.wrote(10_240, at: 1_200_000_000) > 100_000_000)
        #expect(RateLimiter(kibibytesPerSecond: 1).largestWrite == 512)
    }
}
