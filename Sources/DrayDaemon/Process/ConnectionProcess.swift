// Dray — one connection of a daemon, in its own process.
// Layer: Daemon. Behaviour: chapter 07 §5; chapter 10 §10.1.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayTransport
import Glibc

/// How the client is connected.
enum ConnectionKind: String, Sendable {
    case plain, tls
}

/// Serves the client at the other end of a connection, from the configuration to the end of the transfer.
struct ConnectionProcess {
    let settings: DaemonSettings
    let parser: ServerParser
    let log: DaemonLog

    init(_ settings: DaemonSettings, _ parser: @escaping ServerParser) {
        self.settings = settings
        self.parser = parser
        log = DaemonLog()
    }

    /// A socket on standard input.
    func serveSocket(_ kind: ConnectionKind) -> ExitCode {
        guard let configuration = load() else { return .syntax }
        let descriptor = dray_fcntl_int(0, F_DUPFD_CLOEXEC, 3)
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        dup2(null, 0)
        let socket = SocketChannel(descriptor: descriptor)
        let address = socket.peerAddress?.address ?? Bytes("0.0.0.0")
        guard kind == .tls else { return serve(socket, configuration, ClientConnection(address: address)) }
        var tls = TLSConfiguration(.server)
        tls.certificateFile = settings.certificateFile
        tls.keyFile = settings.keyFile
        if let authority = settings.clientAuthorityFile {
            tls.trust = .file(authority)
            tls.peerVerification = .required
        }
        do throws(TLSError) {
            let channel = try TLSChannel(try TLSContext(tls), over: socket)
            if let subject = channel.session.peerSubject {
                log.line("TLS client certificate of \(address.displayText): \(subject)")
            }
            return serve(channel, configuration, ClientConnection(address: address))
        } catch {
            log.line("TLS handshake with \(address.displayText) failed: \(error.reason)", level: .warning)
            return .socketIO
        }
    }

    /// Standard input and output of a remote shell.
    func serveStandardStreams() -> ExitCode {
        guard let configuration = load() else { return .syntax }
        var connection = ClientConnection(address: Self.remoteShellAddress)
        connection.isRemoteShell = true
        return serve(PipeChannel.standardStreams(), configuration, connection)
    }

    private func load() -> DaemonConfiguration? {
        var destination = DaemonLog.Destination()
        destination.file = settings.logFile ?? []
        var problems: [Bytes] = []
        let configuration = DaemonConfiguration.load(
            settings.effectiveConfigFile, .complete, overrides: settings.overrides, log: { problems.append($0) })
        if let configuration {
            destination.tag = configuration.defaults.syslogTag
            destination.facility = configuration.defaults.syslogFacility
            if settings.logFile == nil {
                destination.file = (try? Variables.expand(configuration.defaults.logFile)) ?? []
            }
        }
        log.redirect(to: destination)
        for line in problems { log.line(line, level: .warning) }
        return configuration
    }

    private func serve(
        _ channel: any ByteChannel, _ configuration: DaemonConfiguration, _ client: ClientConnection
    ) -> ExitCode {
        var client = client
        client.protocolVersion = settings.protocolVersion
        let lines = HandshakeLines(channel)
        defer { if !lines.isAbandoned { channel.closeWriting() } }
        if configuration.global.proxyProtocol {
            // Without the header the client's address would be the proxy's: nobody may pass on that.
            log.line("proxy protocol is not supported by this server: connection closed", level: .warning)
            return ExitCode(rawValue: 255)
        }
        guard enterDaemonRoot(configuration.global) else { return ExitCode(rawValue: 255) }
        do throws(HandshakeEnd) {
            let granted = try ServerHandshake(
                configuration: configuration, connection: client, lines: lines, log: log
            ).run()
            return ModuleSession(
                granted: granted, settings: settings, connection: client, lines: lines, log: log, parser: parser
            ).run()
        } catch {
            return error.code
        }
    }

    /// `daemon chroot`, `daemon gid` and `daemon uid`.
    private func enterDaemonRoot(_ global: GlobalParameters) -> Bool {
        func expanded(_ text: Bytes) -> Bytes { (try? Variables.expand(text)) ?? [] }
        let root = expanded(global.daemonChroot)
        if !root.isEmpty {
            log.open()
            guard root.withCString({ dray_chroot($0) }) == 0 else {
                log.systemError(Bytes("daemon chroot(\"") + root + Bytes("\") failed"), errno)
                return false
            }
            guard chdir("/") == 0 else {
                log.systemError(Bytes("daemon chdir(\"/\") failed"), errno)
                return false
            }
        }
        let group = expanded(global.daemonGid)
        if !group.isEmpty {
            guard let number = SystemAccounts.group(group) else {
                log.line(Bytes("Invalid daemon gid: ") + group, level: .warning)
                return false
            }
            guard dray_setresgid(number) == 0 else {
                log.systemError(Bytes(text: "Unable to set group to daemon gid \(number)"), errno)
                return false
            }
        }
        let user = expanded(global.daemonUid)
        if !user.isEmpty {
            guard let number = SystemAccounts.user(user) else {
                log.line(Bytes("Invalid daemon uid: ") + user, level: .warning)
                return false
            }
            guard dray_setresuid(number) == 0 else {
                log.systemError(Bytes(text: "Unable to set user to daemon uid \(number)"), errno)
                return false
            }
        }
        return true
    }

    /// The address that the remote shell tells, if it is one.
    private static var remoteShellAddress: Bytes {
        let names: [StaticString] = ["REMOTE_HOST", "SSH_CONNECTION", "SSH_CLIENT", "SSH2_CLIENT"]
        guard let text = names.lazy.compactMap({ Variables.value(Bytes($0)) }).first else { return Bytes("0.0.0.0") }
        let address = Bytes(text.prefix { $0 != 0x20 })
        return SocketAddress.resolve(address, family: AF_UNSPEC, flags: AI_NUMERICHOST) == nil
            ? Bytes("0.0.0.0") : address
    }
}
