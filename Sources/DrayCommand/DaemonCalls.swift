// Dray — where the command meets the daemon module: connecting to a daemon, and being one.
// Layer: Command. Behaviour: chapter 01 §2.4, §3; chapter 07.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDaemon
import DrayEngine
import DrayFiles
import DrayTransport
import Glibc

/// Call sites of the daemon's client handshake and of the daemon itself.
enum DaemonCalls {
    /// `--daemon`: serves until it is told to stop.
    static func serve(_ arguments: [Bytes]) -> ExitCode {
        ExitCode(rawValue: daemonMain(arguments, parser: DaemonParser.parse))
    }

    /// Runs a transfer with a daemon: connects, shakes hands, runs the session.
    static func run(
        _ command: ParsedCommand, _ operands: Operands, _ sink: TerminalSink, _ signals: SignalWatch,
        _ runner: RsyncCommand
    ) throws(TransferFailure) -> ExitCode {
        guard let remote = operands.remote else { return .syntax }
        let isPush = operands.direction == .push
        let paths = isPush ? [operands.destination ?? []] : operands.sources
        let vector = try ServerArguments(
            command.options, command.client, pushing: isPush, paths: paths, toDaemon: true)
        let overShell = command.client.rsh != nil && !remote.usesTLS
        try DaemonClientHandshake.checkPath(remote.path, isRemoteShell: overShell)
        let (channel, child) = try connect(command, remote, sink)
        let outcome: DaemonClientHandshake.Outcome
        do throws(TransferFailure) {
            outcome = try DaemonClientHandshake.run(
                try request(command, remote, vector, paths, overShell: overShell, sink), over: channel
            ) { line in sink.handle(.message(.info, line)) }
        } catch {
            channel.cancel()
            throw error
        }
        guard case .connected(let version) = outcome else {
            channel.cancel()
            return .ok
        }
        var environment = SessionEnvironment()
        environment.handshakeVersion = version
        environment.isDaemonSocket = !overShell
        var code = try runner.runSession(command, operands, channel, environment, sink, signals)
        channel.closeWriting()
        if let child, overShell { code = RsyncCommand.finalCode(code, child) }
        return code
    }

    private static func request(
        _ command: ParsedCommand, _ remote: RemoteOperand, _ vector: ServerArguments, _ paths: [Bytes], overShell: Bool,
        _ sink: TerminalSink
    ) throws(TransferFailure) -> DaemonClientHandshake.Request {
        var request = DaemonClientHandshake.Request()
        request.host = remote.host
        request.user = remote.user
        request.password = .standard(file: command.client.passwordFile, who: who(command))
        request.path = remote.path
        // Paths and the `.` before them are the handshake's to send.
        request.arguments = Self.options(of: vector.visible)
        if command.options.debug[.cmd] >= 1 {
            request.showArguments = { line in sink.handle(.message(.notice, line)) }
        }
        if let secluded = vector.secluded { request.secludedArguments = Self.options(of: secluded) }
        request.paths = paths
        if request.secludedArguments != nil, let conversion = try RsyncCommand.conversion(command) {
            request.secludedArguments = request.secludedArguments?.map { conversion.toWire(message: $0) }
            request.paths = paths.map { conversion.toWire(message: $0) }
        }
        request.protocolVersion = command.options.protocolVersion
        request.showsMotd = command.client.motd
        if let file = command.client.earlyInput {
            request.earlyInput = try DaemonClientHandshake.readEarlyInput(file, who: who(command))
        }
        request.oldArguments = command.options.oldArguments > 0
        request.isRemoteShell = overShell
        if command.options.timeoutSeconds > 0 { request.timeoutSeconds = command.options.timeoutSeconds }
        return request
    }

    /// The option words of a vector: what stands before the `.` that begins the paths.
    private static func options(of words: [Bytes]) -> [Bytes] {
        guard let dot = words.lastIndex(of: Bytes(".")) else { return words }
        return Array(words[..<dot])
    }

    // MARK: - Connections

    private static func who(_ command: ParsedCommand) -> RoleName {
        command.options.amSender ? .sender : .unsplitReceiver
    }

    private static func connect(
        _ command: ParsedCommand, _ remote: RemoteOperand, _ sink: TerminalSink
    ) throws(TransferFailure) -> (any ByteChannel, ChildProcess?) {
        let client = command.client
        if client.rsh != nil && !remote.usesTLS {
            let words = try RemoteShell.arguments(
                shell: try RsyncCommand.shellWords(client), user: remote.user, host: remote.host,
                family: client.family.transport, rsyncPath: client.rsyncPath, daemonOverShell: true, serverArguments: []
            )
            let (channel, child) = try RemoteShell.spawn(
                arguments: words, environment: [Bytes(text: "RSYNC_PORT=\(remote.port)")],
                who: who(command))
            return (channel, child)
        }
        let (channel, child) = try connectSocket(command, remote, sink)
        guard remote.usesTLS else { return (channel, child) }
        do throws(TLSError) {
            let context = try TLSContext(tlsConfiguration(client))
            return (try TLSChannel(context, over: channel, hostName: client.tlsServerName ?? remote.host), child)
        } catch {
            throw error.transferFailure
        }
    }

    private static func connectSocket(
        _ command: ParsedCommand, _ remote: RemoteOperand, _ sink: TerminalSink
    ) throws(TransferFailure) -> (SocketChannel, ChildProcess?) {
        let client = command.client
        if let program = environmentValue("RSYNC_CONNECT_PROG") {
            if command.options.debug[.connect] >= 1 {
                sink.handle(
                    .message(
                        .info,
                        Bytes("Using RSYNC_CONNECT_PROG instead of opening tcp connection to ") + remote.host
                            + Bytes(text: " port \(remote.port > 0 ? remote.port : RemoteOperand.daemonPort)\n")))
            }
            if command.options.debug[.cmd] >= 1 {
                let line = Bytes("Running socket program: \"") + program + Bytes("\"\n")
                sink.handle(.message(.info, line))
            }
            let (channel, child) = try RemoteShell.connectProgram(
                program, host: remote.host, shell: environmentValue("RSYNC_SHELL"), who: who(command))
            return (channel, child)
        }
        let port = remote.port > 0 ? remote.port : (remote.usesTLS ? RemoteOperand.tlsPort : RemoteOperand.daemonPort)
        let channel = try TCPConnector.connect(
            host: remote.host, port: port, family: client.family.transport, bindAddress: client.address,
            timeoutSeconds: max(0, client.contimeout ?? 0),
            socketOptions: client.sockopts.map { SocketOptions($0) } ?? SocketOptions(), who: who(command),
            proxy: environmentValue("RSYNC_PROXY").flatMap { $0.isEmpty ? nil : $0 },
            report: { sink.handle(.message(.error, $0 + [0x0a])) })
        return (channel, nil)
    }

    private static func tlsConfiguration(_ client: ClientOptions) throws(TLSError) -> TLSConfiguration {
        var configuration = TLSConfiguration(.client)
        if let file = client.tlsCA {
            var status = stat()
            let isDirectory = file.withCString { stat($0, &status) } == 0 && status.st_mode & S_IFMT == S_IFDIR
            configuration.trust = isDirectory ? .directory(file) : .file(file)
        }
        configuration.certificateFile = client.tlsCertificate
        configuration.keyFile = client.tlsKey
        if let pin = client.tlsPin {
            guard let bytes = hexBytes(pin), bytes.count == 32 else {
                throw TLSError("--tls-pin needs 64 hexadecimal digits")
            }
            configuration.publicKeyPin = bytes
        }
        return configuration
    }

    /// Bytes of a hexadecimal text; colons are ignored.
    static func hexBytes(_ text: Bytes) -> Bytes? {
        let digits = text.filter { $0 != UInt8(ascii: ":") }
        guard digits.count % 2 == 0 else { return nil }
        var bytes: Bytes = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let byte = UInt8(String(decoding: digits[index...(index + 1)], as: UTF8.self), radix: 16) else {
                return nil
            }
            bytes.append(byte)
        }
        return bytes
    }
}
