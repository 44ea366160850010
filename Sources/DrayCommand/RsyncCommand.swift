// Dray — rsync's command: from arguments to exit code. The only file of this module that drives the engine.
// Layer: Command. Behaviour: chapter 01 §2, §4, §8; chapter 04 §19; chapter 05 §2.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDaemon
import DrayEngine
import DrayFiles
import DrayFilters
import DrayTransport
import Glibc

/// Runs rsync's command line (program name excluded) as client, server or daemon.
///
/// Under the name `rsync` the screen is rsync's; under Dray's own name `--info=progress2` draws a bar on a terminal.
public func rsyncMain(_ arguments: [Bytes]) -> Int32 {
    ignoreSIGPIPE()
    StandardDescriptors.occupy()
    var command = RsyncCommand(withClientExtensions: false)
    command.barForTotal = programName() == Bytes("dray")
    return command.run(arguments).rawValue
}

/// Last component of the name that this process was started by.
private func programName() -> Bytes {
    // Safe: argv[0] is a C string for the life of the process, or missing.
    guard CommandLine.argc > 0, let text = CommandLine.unsafeArgv[0] else { return [] }
    return Bytes(UnsafeRawBufferPointer(start: text, count: strlen(text))).splitLastComponent.name
}

/// The arguments of this process as bytes, program name excluded.
public func processArguments() -> [Bytes] {
    let count = Int(CommandLine.argc)
    return (1..<max(1, count)).compactMap { index in
        // Safe: argv holds argc pointers for the life of the process.
        CommandLine.unsafeArgv[index].map { Bytes(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
    }
}

/// One run of the command.
struct RsyncCommand {
    var withClientExtensions: Bool
    /// `--info=progress2` is a bar on a terminal.
    var barForTotal = false
    /// Receives the text that decided a failure.
    var onLastError: (Bytes) -> Void = { _ in }
    /// Called when another attempt would fail in the same way.
    var onPermanentFailure: () -> Void = {}
    /// Rules from standard input, which both halves of a local copy need.
    let standardInput = StandardInputTexts()

    init(withClientExtensions: Bool) { self.withClientExtensions = withClientExtensions }

    func run(_ arguments: [Bytes]) -> ExitCode {
        if arguments.first == daemonConnectionMark {
            return ExitCode(
                rawValue: daemonConnectionMain(Array(arguments.dropFirst()), parser: DaemonParser.parse))
        }
        var context = ParseContext()
        context.withClientExtensions = withClientExtensions
        var parser = OptionParser(context)
        checkRules(of: &parser)
        var role = RoleName.client
        var exitDebug = 0
        do throws(TransferFailure) {
            switch try parser.parse(arguments) {
            case .text(let text, let toStandardError, let code, let textRole):
                let isWritten = writeAll(toStandardError ? STDERR_FILENO : STDOUT_FILENO, text)
                if toStandardError && !isWritten { return .messages }
                return code == .ok ? code : printFailure(TransferFailure(code), role: textRole)
            case .execute(let words, let lastWord): throw PoptProgram.execute(words, lastWord: lastWord)
            case .run(let command):
                switch command.mode {
                case .daemon: return DaemonCalls.serve(arguments)
                case .client:
                    exitDebug = command.options.debug[.exit]
                    role = Self.clientRole(command)
                    return try runClient(command)
                case .server:
                    role = .server
                    return try runServer(command, &parser)
                }
            }
        } catch {
            if error.isPermanent { onPermanentFailure() }
            if role == .client { role = parser.role }
            return printFailure(
                error, role: error.role ?? role, exitDebug: max(exitDebug, parser.exitDebug),
                charset: parser.printsEightBits ? .raw : .unknown)
        }
    }

    /// Prints why the run ends; the code is another one if that cannot be told.
    ///
    /// - Parameter exitDebug: level of `--debug=exit`, as far as it is known.
    private func printFailure(
        _ failure: TransferFailure, role: RoleName, exitDebug: Int = 0, charset: OutputEscaping.Charset = .unknown
    ) -> ExitCode {
        // Nothing is known yet about the charset of the terminal, unless `-8` has been read.
        for line in failure.lines {
            if !writeAll(STDERR_FILENO, OutputEscaping.escape(line, charset) + [0x0a]) { return .messages }
        }
        if failure.quiet { return failure.code }
        func tell(_ lines: [String]) {
            for line in lines { _ = writeAll(STDOUT_FILENO, Bytes(text: line + "\n")) }
        }
        let exit = ExitLines(role, failure.code)
        tell(exit.entered(exitDebug))
        defer { tell(exit.leaving(exitDebug, failure.code, announces: true)) }
        let closing = Reporter.errorLine(failure.code, role: role)
        onLastError(closing)
        return writeAll(STDERR_FILENO, closing + [0x0a]) ? failure.code : .messages
    }

    // MARK: - Client

    /// Who complains once the operands are looked at.
    private static func clientRole(_ command: ParsedCommand) -> RoleName {
        guard let first = command.operands.first, command.client.readBatch == nil else { return .unsplitReceiver }
        return RemoteOperand(first) == nil ? .sender : .unsplitReceiver
    }

    func runClient(_ command: ParsedCommand) throws(TransferFailure) -> ExitCode {
        if command.client.readBatch != nil { return try runReplay(command) }
        let operands = try Operands(command)
        var command = command
        command.options.isLocal = operands.direction == .local
        command.options.amSender = operands.direction != .pull
        if operands.destination == nil { command.options.listOnly = true }
        if operands.direction == .local {
            command.options.wholeFile =
                command.options.wholeFile ?? (command.options.append == .off && !command.options.writesBatch)
        }
        let formats = [command.client.outFormat, command.client.logFile == nil ? nil : command.client.logFormat]
        if formats.contains(where: { ($0?.count ?? 0) >= 4096 }) {
            throw TransferFailure(.messages, "log-format string is WAY too long!")
        }
        // Nothing is started for names that cannot be converted.
        _ = try Self.conversion(command)
        command.options.announcesExtensions =
            withClientExtensions || !(environmentValue("DRAY_EXTENSIONS") ?? []).isEmpty
        try openBatch(&command, operands)
        defer { if command.client.batchDescriptor >= 0 { close(command.client.batchDescriptor) } }
        let sink = makeSink(command)
        defer { sink.finish() }
        if command.options.debug[.iconv] >= 2, !command.options.eightBitOutput {
            let name = OutputEscaping.localeCharset() == .utf8 ? "UTF-8" : "ANSI_X3.4-1968"
            sink.handle(.message(.info, Bytes(text: "msg checking charset: \(name)\n")))
        }
        let signals = SignalWatch()
        let code: ExitCode
        do throws(TransferFailure) {
            switch operands.remote?.kind {
            case nil: code = try runLocal(command, operands, sink, signals)
            case .shell: code = try runShell(command, operands, sink, signals)
            case .daemon: code = try DaemonCalls.run(command, operands, sink, signals, self)
            }
        } catch {
            sink.ended(error.code)
            throw error
        }
        finishClient(code, command, sink)
        // Who cannot be told of an error is to see it by the code.
        return sink.hasLostMessages ? .messages : code
    }

    /// The end of a client that got as far as a transfer (`--debug=exit`).
    private static func tellExit(
        _ code: ExitCode, _ command: ParsedCommand, _ sink: TerminalSink, line: Int = #line
    ) {
        if sink.exit.isTold { return }
        let options = command.options
        let role: RoleName = options.amSender ? .sender : sink.hasEntries ? .generator : .unsplitReceiver
        // What only some files suffered from is found out on the way out.
        let isLate = code == .partial || code == .vanished || code == .deleteLimit
        let given = isLate && (options.amSender || sink.hasEntries) ? sink.exit.given : code
        let (exit, level) = (ExitLines(role, given, line: line), options.debug[.exit])
        for line in exit.entered(level) + exit.leaving(level, code, announces: false) {
            sink.handle(.message(.info, Bytes(text: line + "\n")))
        }
    }

    /// `--iconv` of a client; nil without.
    static func conversion(_ command: ParsedCommand) throws(TransferFailure) -> CharacterConversion? {
        guard let charset = command.options.iconv else { return nil }
        let own = charset.split(separator: UInt8(ascii: ","), maxSplits: 1, omittingEmptySubsequences: false)[0]
        return try CharacterConversion(local: Bytes(own))
    }

    func makeSink(_ command: ParsedCommand) -> TerminalSink {
        var configuration = TerminalSink.Configuration()
        configuration.progressLines = environmentValue("DRAY_PROGRESS") == Bytes("lines")
        var client = command.client
        client.barForTotal = barForTotal
        return TerminalSink(command.options, client, configuration)
    }

    /// Prints the closing line that the engine leaves to the command (a run that ended, but not cleanly).
    func finishClient(_ code: ExitCode, _ command: ParsedCommand, _ sink: TerminalSink) {
        if command.options.debug[.exit] > 0 { Self.tellExit(code, command, sink) }
        if code != .ok && !sink.hasErrorLine {
            // A receiver splits in two when it has got something.
            let role: RoleName =
                command.options.amSender ? .sender : sink.hasEntries ? .generator : .unsplitReceiver
            sink.handle(.message(.error, Reporter.errorLine(code, role: role) + [0x0a]))
        }
        if code != .ok { onLastError(sink.lastError) }
        sink.ended(code)
    }

    private func runLocal(
        _ command: ParsedCommand, _ operands: Operands, _ sink: TerminalSink, _ signals: SignalWatch
    ) throws(TransferFailure) -> ExitCode {
        if StandardDescriptors.breakPipes {
            let closed = "rsync: connection unexpectedly closed (0 bytes received so far) [sender]"
            let other = Reporter.errorLine(.protocolStream, role: .unsplitReceiver)
            let lines = [StandardDescriptors.brokenPipe(.unsplitReceiver), other, Bytes(text: closed)]
            throw TransferFailure(.protocolStream, lines: lines, role: .sender)
        }
        let (near, far) = MemoryChannel.pair()
        let (receiving, serverClient) = try Self.receivingOptions(command)
        var serverOptions = receiving
        serverOptions.amServer = true
        serverOptions.amSender = false
        let incremental = Session.allowsIncremental(command.options) ? "i" : ""
        serverOptions.clientInfo = Bytes(text: ".\(incremental)LsfxCIvu")
        let filters = try makeFilters(command, command.options, sink)
        // Both halves have the same rules; standard input can be read only once.
        let serverFilters = filters.copy(side: .receiver, role: .generator)
        serverFilters.settings.amServer = true
        let client = Session(
            options: command.options, channel: limited(near, command), filters: filters,
            environment: try makeEnvironment(command), sink: sink)
        serverOptions.logsItems = serverClient.logFile != nil
        let serverSink = ServerSink(TerminalSink(serverOptions, serverClient), serverOptions, client: sink)
        let server = Session(
            options: serverOptions, channel: far, filters: serverFilters,
            environment: try makeEnvironment(command, readsList: false), sink: serverSink)
        serverSink.attach(server)
        signals.attach(client)
        if command.options.debug[.cmd] > 1 {
            let path = operands.destination ?? Bytes(".")
            for line in Self.commandDetails(nil, path, [Bytes("."), path]) { sink.handle(.message(.info, line)) }
        }
        // As the server's command line would have it.
        let dash = UInt8(ascii: "-")
        let destination = operands.destination.map { $0.first == dash ? Bytes("./") + $0 : $0 }
        let code = EngineLocal.run(
            client: client, server: server, sources: operands.sources, destination: destination)
        sink.note(exitOf: client)
        if command.options.debug[.exit] >= 2, !sink.exit.isTold {
            // The other half is no process to be waited for: it has this one's number.
            sink.handle(.message(.info, Bytes(text: "client_run waiting on \(getpid())\n")))
        }
        return code
    }

    /// Options of the receiving half of a local copy: the same ones, unless `--remote-option` adds to them.
    private static func receivingOptions(_ command: ParsedCommand) throws(TransferFailure)
        -> (TransferOptions, ClientOptions)
    {
        guard !command.options.remoteOptions.isEmpty else { return (command.options, ClientOptions()) }
        var plain = command.options
        plain.secludedArguments = false
        // No shell takes part that words would have to be protected from.
        plain.oldArguments = 2
        let words = try ServerArguments(plain, command.client, pushing: true, paths: [Bytes(".")]).visible
        let result: ParseResult
        do throws(TransferFailure) {
            result = try OptionParser.parse(words)
        } catch {
            // The other half ends, and this one loses its connection.
            let closed = Bytes("rsync: connection unexpectedly closed (0 bytes received so far) [sender]")
            let level = command.options.debug[.exit]
            let exit = ExitLines(.unsplitReceiver, error.code)
            var lines = error.lines + exit.entered(level).map { Bytes(text: $0) }
            lines.append(Reporter.errorLine(error.code, role: .unsplitReceiver))
            lines += exit.leaving(level, error.code, announces: true).map { Bytes(text: $0) }
            throw TransferFailure(.protocolStream, lines: lines + [closed])
        }
        guard case .run(let parsed) = result else { return (command.options, ClientOptions()) }
        var options = parsed.options
        options.isLocal = true
        options.wholeFile = command.options.wholeFile
        options.protocolVersion = command.options.protocolVersion
        // Of what concerns a screen only the log is the other half's own.
        var client = ClientOptions()
        client.logFile = parsed.client.logFile
        client.logFormat = parsed.client.logFormat
        return (options, client)
    }

    /// Runs the client's side on a connection whose server was started (and, for a daemon, greeted).
    func runSession(
        _ command: ParsedCommand, _ operands: Operands, _ channel: any ByteChannel, _ environment: SessionEnvironment,
        _ sink: TerminalSink, _ signals: SignalWatch
    ) throws(TransferFailure) -> ExitCode {
        var surroundings = try makeEnvironment(command)
        surroundings.handshakeVersion = environment.handshakeVersion
        surroundings.shellExit = environment.shellExit
        surroundings.isDaemonSocket = environment.isDaemonSocket
        let session = Session(
            options: command.options, channel: limited(channel, command),
            filters: try makeFilters(command, command.options, sink), environment: surroundings, sink: sink)
        signals.attach(session)
        let code = EngineClient.run(session, sources: operands.sources, destination: operands.destination)
        if session.peerHasEnded { sink.peerHasExplained() }
        sink.note(exitOf: session)
        return code
    }

    private func limited(_ channel: any ByteChannel, _ command: ParsedCommand) -> any ByteChannel {
        guard command.options.bandwidthLimit > 0 else { return channel }
        return RateLimitedChannel(channel, kibibytesPerSecond: command.options.bandwidthLimit)
    }

    // MARK: - Server

    private func runServer(_ parsed: ParsedCommand, _ parser: inout OptionParser) throws(TransferFailure) -> ExitCode {
        if StandardDescriptors.breakPipes {
            let role: RoleName = parsed.options.amSender ? .sender : .unsplitReceiver
            throw TransferFailure(.protocolStream, lines: [StandardDescriptors.brokenPipe(role)], role: role)
        }
        let channel = PipeChannel.standardStreams()
        var command = parsed
        if parsed.awaitsSecludedArguments {
            var words = try SecludedArguments.read(from: channel)
            if let conversion = try Self.conversion(parsed) {
                words = words.map { conversion.fromWire(message: $0) }
            }
            guard case .run(let complete) = try parser.parseSecluded(words) else { return .syntax }
            command = complete
            command.options.secludedArguments = true
            command.operands = SecludedArguments.cleaned(command.operands)
            if command.options.amSender { command.operands = SecludedArguments.expanded(command.operands) }
        }
        let options = command.options
        BatchFiles.reportIgnored(command.client)
        var paths = command.operands
        let directory = paths.isEmpty ? Bytes(".") : paths.removeFirst()
        if options.amSender && paths.isEmpty && parsed.operands.isEmpty && !parsed.awaitsSecludedArguments {
            throw TransferFailure(.syntax, lines: [Bytes("ERROR: do_server_sender called without args")], role: .server)
        }
        if !(options.amSender && options.relative), directory.withCString({ chdir($0) }) != 0 {
            let line = Bytes("rsync: [server] change_dir#3 \"") + directory + Bytes(text: withErrno("\" failed", errno))
            throw TransferFailure(.fileSelection, lines: [line], role: .server)
        }
        let terminal = TerminalSink(options, command.client)
        let sink = ServerSink(terminal, options)
        let session = Session(
            options: options, channel: limited(channel, command), filters: try makeFilters(command, options, nil),
            environment: try makeEnvironment(command), sink: sink)
        sink.attach(session)
        let signals = SignalWatch()
        signals.attach(session)
        let code = EngineServer.run(session, paths: paths)
        channel.closeWriting()
        terminal.finish()
        return terminal.hasLostMessages ? .messages : code
    }

    // MARK: - Surroundings of a session

    func makeEnvironment(
        _ command: ParsedCommand, readsList: Bool = true
    ) throws(TransferFailure) -> SessionEnvironment {
        var environment = SessionEnvironment()
        environment.checksumList = environmentValue("RSYNC_CHECKSUM_LIST")
        environment.compressList = environmentValue("RSYNC_COMPRESS_LIST")
        environment.batchDescriptor = command.client.batchDescriptor
        environment.beforeRecording = command.client.beginScript
        let options = command.options
        guard readsList, let path = options.filesFrom else { return environment }
        let isHere = options.filesFromHost == nil && !(options.amServer && path == Bytes("-"))
        if isHere && options.amSender {
            environment.filesFrom = NameList.names(
                try FilesFromList.read(path, options, forPeer: false), nulSeparated: options.fromZero)
        } else if isHere {
            environment.filesFromForPeer = try FilesFromList.read(path, options, forPeer: true)
        }
        return environment
    }
}

extension FamilyChoice {
    var transport: AddressFamily {
        switch self {
        case .any: .any
        case .ipv4: .ipv4
        case .ipv6: .ipv6
        }
    }
}
