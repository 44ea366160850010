// Dray — TLS: who is accepted, who is refused, and with which words.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayTransport
import Glibc
import Testing

/// Certificates in a temporary directory, made once.
struct TLSFixture: Sendable {
    static let shared = try! TLSFixture()
    let directory: Bytes
    let ca: CertificateAuthority

    init() throws {
        var template = Array("/tmp/dray-tls-XXXXXX".utf8CString)
        let made = try #require(mkdtemp(&template))
        directory = Bytes(text: String(cString: made))
        ca = try CertificateAuthority.create(commonName: "Test CA", validDays: 2)
        let other = try CertificateAuthority.create(commonName: "Other CA", validDays: 2)
        try CertificateAuthority.writePrivate(ca.pem, to: path("ca"))
        try CertificateAuthority.writePrivate(other.pem, to: path("other-ca"))
        try save(
            "server",
            ca.issue(commonName: "s", dnsNames: ["localhost"], ipAddresses: ["127.0.0.1", "::1"], isServer: true))
        try save(
            "expired",
            ca.issue(
                commonName: "s", dnsNames: ["localhost"], isServer: true, notBeforeSeconds: -9000, notAfterSeconds: -60)
        )
        try save("client", ca.issue(commonName: "alice", dnsNames: ["alice.example"], isServer: false))
        try save("stranger", other.issue(commonName: "mallory", isServer: false))
        try CertificateAuthority.writePrivate(
            Bytes("volsync:00112233445566778899aabbccddeeff\n"), to: path("psk"))
        try CertificateAuthority.writePrivate(Bytes("volsync:another key, as plain text"), to: path("psk-wrong"))
    }

    func path(_ name: String) -> Bytes { directory + Bytes(text: "/\(name).pem") }

    private func save(_ name: String, _ issued: CertificateAuthority.Issued) throws {
        try CertificateAuthority.writePrivate(issued.certificatePEM, to: path(name))
        try CertificateAuthority.writePrivate(issued.keyPEM, to: path(name + "-key"))
    }

    func server(_ certificate: String = "server") -> TLSConfiguration {
        var configuration = TLSConfiguration(.server)
        configuration.certificateFile = path(certificate)
        configuration.keyFile = path(certificate + "-key")
        return configuration
    }

    func client(_ certificate: String? = nil) -> TLSConfiguration {
        var configuration = TLSConfiguration(.client)
        configuration.trust = .file(path("ca"))
        if let certificate {
            configuration.certificateFile = path(certificate)
            configuration.keyFile = path(certificate + "-key")
        }
        return configuration
    }

    /// Server side of a handshake on its own thread, client side here.
    func handshake(
        server: TLSConfiguration, client: TLSConfiguration, host: String = "localhost",
        _ a: any ByteChannel, _ b: any ByteChannel
    ) throws -> (client: Result<TLSChannel, TLSError>, server: Result<TLSChannel, TLSError>) {
        let serverContext = try TLSContext(server)
        let clientContext = try TLSContext(client)
        let accepting = Background {
            Result { () throws(TLSError) in try TLSChannel(serverContext, over: b) }
        }
        let connected = Result { () throws(TLSError) in
            try TLSChannel(clientContext, over: a, hostName: Bytes(text: host))
        }
        return (connected, accepting.wait())
    }

    func connect(_ a: any ByteChannel, _ b: any ByteChannel) throws -> (any ByteChannel, any ByteChannel) {
        let (client, server) = try handshake(server: server(), client: client(), a, b)
        return (try client.get(), try server.get())
    }
}

@Suite(.timeLimit(.minutes(2))) struct TLSTests {
    let fixture = TLSFixture.shared

    private func run(
        _ server: TLSConfiguration, _ client: TLSConfiguration, host: String = "localhost"
    ) throws -> (client: Result<TLSChannel, TLSError>, server: Result<TLSChannel, TLSError>) {
        let (a, b) = try #require(SocketChannel.pair())
        return try fixture.handshake(server: server, client: client, host: host, a, b)
    }

    private func reason(_ result: Result<TLSChannel, TLSError>) -> String {
        switch result {
        case .success: "accepted"
        case .failure(let error): error.description
        }
    }

    @Test func bothSidesKnowEachOtherWithMutualCertificates() throws {
        var server = fixture.server()
        server.peerVerification = .required
        server.trust = .file(fixture.path("ca"))
        let (client, accepted) = try run(server, fixture.client("client"))
        let session = try #require(try accepted.get().session)
        #expect(session.peerCommonName == "alice")
        #expect(session.peerAlternativeNames == ["DNS:alice.example"])
        #expect(session.version == "TLSv1.3")
        #expect(session.cipherSuite == "TLS_AES_128_GCM_SHA256")
        #expect(session.serverName == "localhost")
        #expect(try client.get().session.peerAlternativeNames.contains("IP:127.0.0.1"))
    }

    @Test func refusesAServerOfAnotherAuthority() throws {
        var client = fixture.client()
        client.trust = .file(fixture.path("other-ca"))
        let result = try run(fixture.server(), client)
        #expect(reason(result.client) == "TLS: certificate verify failed: unable to get local issuer certificate")
        #expect(reason(result.server) == "TLS: the peer refused the connection: alert unknown CA")
        guard case .failure(let error) = result.client else { return }
        #expect(error.transferFailure.code == .socketIO)
    }

    @Test func refusesAnExpiredCertificate() throws {
        let result = try run(fixture.server("expired"), fixture.client())
        #expect(reason(result.client) == "TLS: certificate verify failed: certificate has expired")
    }

    @Test(arguments: ["example.org", "127.0.0.2", "::2"])
    func refusesAnotherName(_ host: String) throws {
        let result = try run(fixture.server(), fixture.client(), host: host)
        #expect(
            reason(result.client)
                == "TLS: certificate verify failed: hostname mismatch: certificate is not valid for \(host)")
    }

    @Test(arguments: ["127.0.0.1", "::1", "localhost.", "LOCALHOST"])
    func acceptsEveryNameOfTheCertificate(_ host: String) throws {
        #expect(reason(try run(fixture.server(), fixture.client(), host: host).client) == "accepted")
    }

    @Test func clientWithoutCertificateLearnsWhy() throws {
        var server = fixture.server()
        server.peerVerification = .required
        server.trust = .file(fixture.path("ca"))
        let (client, accepted) = try run(server, fixture.client())
        #expect(reason(accepted) == "TLS: handshake failed: peer did not return a certificate")
        // In TLS 1.3 the client is done before the server has decided.
        let channel = try client.get()
        #expect(throws: ChannelError.tls(reason: "the peer refused the connection: alert certificate required")) {
            try channel.receive(1)
        }
    }

    @Test func refusesAStrangersCertificate() throws {
        var server = fixture.server()
        server.peerVerification = .optional
        server.trust = .file(fixture.path("ca"))
        #expect(
            reason(try run(server, fixture.client("stranger")).server).hasPrefix("TLS: certificate verify failed: "))
        #expect(reason(try run(server, fixture.client()).server) == "accepted")
    }

    @Test func oldestPeerSpeaks12() throws {
        var server = fixture.server()
        server.maximumVersion = .tls12
        let (client, _) = try run(server, fixture.client())
        #expect(try client.get().session.version == "TLSv1.2")
        #expect(try client.get().session.cipherSuite == "ECDHE-ECDSA-AES128-GCM-SHA256")
        var strict = fixture.client()
        strict.minimumVersion = .tls13
        #expect(
            reason(try run(server, strict).client) == "TLS: the peer refused the connection: alert protocol version")
    }

    @Test func pinReplacesAuthorityAndName() throws {
        let (client, _) = try run(fixture.server(), fixture.client())
        let hash = try #require(try client.get().session.peerPublicKeyHash)
        var pinned = TLSConfiguration(.client)
        pinned.publicKeyPin = hash
        #expect(reason(try run(fixture.server(), pinned, host: "any.example").client) == "accepted")
        pinned.publicKeyPin = Bytes(repeating: 0, count: 32)
        #expect(reason(try run(fixture.server(), pinned).client).contains("not the pinned one"))
    }

    @Test(arguments: [TLSConfiguration.Version.tls12, .tls13])
    func preSharedKeysNeedNoCertificate(_ version: TLSConfiguration.Version) throws {
        var server = TLSConfiguration(.server)
        server.preSharedKeyFile = fixture.path("psk")
        server.maximumVersion = version
        var client = TLSConfiguration(.client)
        client.preSharedKeyFile = fixture.path("psk")
        let good = try run(server, client)
        #expect(try good.client.get().session.peerSubject == nil)
        #expect(try good.server.get().session.preSharedKeyIdentity == Bytes("volsync"))
        client.preSharedKeyFile = fixture.path("psk-wrong")
        let bad = try run(server, client)
        #expect(throws: TLSError.self) { try bad.client.get() }
        #expect(throws: TLSError.self) { try bad.server.get() }
    }

    @Test func preSharedKeyFileHasBothForms() throws {
        let keys = try PreSharedKeys(Bytes("a:00112233445566778899AABBCCDDEEFF\nroot:c2l4dGVlbiBieXRlcyBvciBzbw==\n"))
        #expect(keys.key(of: Bytes("a"))?.count == 16)
        #expect(keys.key(of: Bytes("root")) == Bytes("c2l4dGVlbiBieXRlcyBvciBzbw=="))
        #expect(keys.key(of: Bytes("b")) == nil)
        #expect(throws: TLSError.self) { try PreSharedKeys(Bytes("a:0011223344")) }
        #expect(throws: TLSError.self) { try PreSharedKeys(Bytes("no key here")) }
    }

    @Test func endWithoutGoodbyeIsTruncation() throws {
        for isExpected in [false, true] {
            let (a, b) = try #require(SocketChannel.pair())
            let (client, server) = try fixture.handshake(server: fixture.server(), client: fixture.client(), a, b)
            let channel = try client.get()
            try server.get().write(Bytes("data"))
            b.closeWriting()
            #expect(try channel.receive(100) == Bytes("data"))
            if isExpected {
                channel.expectEnd()
                #expect(try channel.receive(100).isEmpty)
            } else {
                let expected = ChannelError.tls(reason: "connection truncated: the peer closed it without close_notify")
                #expect(throws: expected) { try channel.receive(100) }
            }
        }
    }

    @Test func garbageIsNoHandshake() throws {
        for garbage in [Bytes("@RSYNCD: 31.0\n"), Bytes("HTTP/1.0 400 Bad Request\r\n\r\n"), pattern(4000)] {
            let (a, b) = try #require(SocketChannel.pair())
            try b.write(garbage)
            b.closeWriting()
            let context = try TLSContext(fixture.client())
            let result = Result { () throws(TLSError) in try TLSChannel(context, over: a, hostName: Bytes("localhost"))
            }
            #expect(reason(result).hasPrefix("TLS: handshake failed: "))
        }
    }

    @Test func silenceEndsTheHandshake() throws {
        let (a, b) = try #require(SocketChannel.pair())
        var configuration = fixture.client()
        configuration.handshakeTimeoutMilliseconds = 30
        let context = try TLSContext(configuration)
        let result = Result { () throws(TLSError) in try TLSChannel(context, over: a, hostName: Bytes("localhost")) }
        #expect(reason(result) == "TLS: handshake timed out")
        b.cancel()
    }

    @Test func badFilesAreNamed() throws {
        var configuration = fixture.server()
        configuration.keyFile = fixture.path("client-key")
        #expect(throws: TLSError.self) { try TLSContext(configuration) }
        do { _ = try TLSContext(configuration) } catch { #expect(error.reason.contains("does not belong to")) }
        configuration.certificateFile = Bytes("/nonexistent")
        do { _ = try TLSContext(configuration) } catch {
            #expect(error.reason == "cannot read certificate file /nonexistent: No such file or directory")
        }
        configuration = fixture.client()
        configuration.trust = .file(fixture.path("psk"))
        #expect(throws: TLSError.self) { try TLSContext(configuration) }
        let context = try TLSContext(fixture.server())
        try context.reload()
    }
}
