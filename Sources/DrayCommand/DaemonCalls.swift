// Dray — where the command meets the daemon module: connecting to a daemon, and being one.
// Layer: Command. Behaviour: chapter 01 §2.4, §3; chapter 07.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayEngine
import DrayTransport
import Glibc

/// Call sites of the daemon's client handshake and of the daemon itself.
enum DaemonCalls {
    /// `--daemon`: serves until it is told to stop.
    static func serve(_ options: DaemonOptions) throws(TransferFailure) -> ExitCode {
        throw TransferFailure(.unsupported, "rsync: --daemon is not supported by this version of dray")
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
        let (channel, child) = try connect(command, remote, sink)
        let environment = try handshake(channel, command, remote, vector)
        let code = try runner.runSession(command, operands, channel, environment, sink, signals)
        channel.closeWriting()
        guard let child else { return code }
        return ExitCode(rawValue: max(code.rawValue, child.wait().exitCode.rawValue))
    }

    /// The text handshake, arguments included; returns what the session has to know of it.
    private static func handshake(
        _ channel: any ByteChannel, _ command: ParsedCommand, _ remote: RemoteOperand, _ vector: ServerArguments
    ) throws(TransferFailure) -> SessionEnvironment {
        channel.cancel()
        throw TransferFailure(.unsupported, "rsync: a daemon connection is not supported by this version of dray")
    }

    // MARK: - Connections

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
                arguments: words, environment: [Bytes(text: "RSYNC_PORT=\(remote.port)")])
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
        if let program = environmentValue("RSYNC_CONNECT_PROG"), !program.isEmpty {
            let (channel, child) = try RemoteShell.connectProgram(
                program, host: remote.host, shell: environmentValue("RSYNC_SHELL"))
            return (channel, child)
        }
        let port = remote.port > 0 ? remote.port : (remote.usesTLS ? RemoteOperand.tlsPort : RemoteOperand.daemonPort)
        let channel = try TCPConnector.connect(
            host: remote.host, port: port, family: client.family.transport, bindAddress: client.address,
            timeoutSeconds: max(0, client.contimeout ?? 0),
            socketOptions: client.sockopts.map { SocketOptions($0) } ?? SocketOptions(),
            proxy: environmentValue("RSYNC_PROXY"), report: { sink.handle(.message(.error, $0 + [0x0a])) })
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
