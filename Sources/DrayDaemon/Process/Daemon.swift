// Dray — the listening daemon: accepts, and starts a process for each connection.
// Layer: Daemon. Behaviour: chapter 07 §4.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayEngine
import DrayTransport
import Glibc

/// The hidden first word of a process that a daemon starts from itself: `--dray-connection KIND FLAVOUR ARGUMENTS…`.
public let daemonConnectionMark = Bytes("--dray-connection")

/// Runs `--daemon` in whatever form the circumstances ask for.
///
/// - Parameters:
///   - arguments: the command line after the program's name.
///   - parser: knows the option table that a client's arguments are read with.
/// - Returns: the exit status.
public func daemonMain(_ arguments: [Bytes], parser: @escaping ServerParser) -> Int32 {
    DaemonProgram(flavour: "daemon", parser: parser, parse: DaemonSettings.parse).main(arguments)
}

/// Runs a process that begins with `daemonConnectionMark`; `arguments` is what follows the mark.
public func daemonConnectionMain(_ arguments: [Bytes], parser: @escaping ServerParser) -> Int32 {
    guard arguments.count >= 2 else { return 1 }
    let rest = Array(arguments[2...])
    let program =
        arguments[1] == Bytes("server")
        ? DaemonProgram(flavour: "server", parser: parser, parse: DaemonSettings.parseServer)
        : DaemonProgram(flavour: "daemon", parser: parser, parse: DaemonSettings.parse)
    return program.child(arguments[0], rest)
}

/// Runs the `rsync-server` program.
public func rsyncServerMain(_ arguments: [Bytes], parser: @escaping ServerParser) -> Int32 {
    if arguments.first == daemonConnectionMark {
        return daemonConnectionMain(Array(arguments.dropFirst()), parser: parser)
    }
    return DaemonProgram(flavour: "server", parser: parser, parse: DaemonSettings.parseServer).main(arguments)
}

/// A program that can be a daemon.
struct DaemonProgram {
    let flavour: StaticString
    let parser: ServerParser
    let parse: ([Bytes]) throws(TransferFailure) -> DaemonSettings

    func main(_ arguments: [Bytes]) -> Int32 {
        report { () throws(TransferFailure) in
            let settings = try parse(arguments)
            Self.prepareProcess()
            if settings.isRemoteShell { return ConnectionProcess(settings, parser).serveStandardStreams() }
            var type: Int32 = 0
            var length = socklen_t(MemoryLayout<Int32>.size)
            if getsockopt(0, SOL_SOCKET, SO_TYPE, &type, &length) == 0 {
                let null = open("/dev/null", O_RDWR)
                dup2(null, 1)
                dup2(null, 2)
                if null > 2 { close(null) }
                return ConnectionProcess(settings, parser).serveSocket(.plain)
            }
            return try Daemon(settings: settings, flavour: flavour, arguments: arguments).run()
        }
    }

    /// A process that the daemon started: a connection, or the daemon itself, detached.
    func child(_ kind: Bytes, _ arguments: [Bytes]) -> Int32 {
        report { () throws(TransferFailure) in
            var settings = try parse(arguments)
            Self.prepareProcess()
            if let kind = ConnectionKind(rawValue: kind.displayText) {
                return ConnectionProcess(settings, parser).serveSocket(kind)
            }
            settings.detaches = false
            return try Daemon(settings: settings, flavour: flavour, arguments: arguments, isDetached: true).run()
        }
    }

    private static func prepareProcess() {
        ignoreSIGPIPE()
        signal(SIGXFSZ, SIG_IGN)
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            let wanted = min(4096, limit.rlim_max)
            if limit.rlim_cur < wanted {
                limit.rlim_cur = wanted
                setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            }
        }
    }

    private func report(_ body: () throws(TransferFailure) -> ExitCode) -> Int32 {
        do throws(TransferFailure) {
            return try body().rawValue & 0xff
        } catch {
            let target: Int32 = error.code == .ok ? 1 : 2
            var lines = error.lines
            if error.code != .ok && !error.quiet { lines.append(Reporter.errorLine(error.code, role: .client)) }
            for line in lines { Self.print(line, target) }
            return error.code.rawValue
        }
    }

    static func print(_ line: Bytes, _ descriptor: Int32) {
        (line + Bytes("\n")).withUnsafeBytes { _ = write(descriptor, $0.baseAddress, $0.count) }
    }
}

/// The listening process.
struct Daemon {
    let settings: DaemonSettings
    let flavour: StaticString
    /// The command line, handed on to every process.
    let arguments: [Bytes]
    var isDetached = false

    func run() throws(TransferFailure) -> ExitCode {
        let problems = Monitor<[Bytes]>([])
        let file = settings.effectiveConfigFile
        let loaded = DaemonConfiguration.load(
            file, .globalsOnly, overrides: settings.overrides, log: { line in problems.withLock { $0.append(line) } })
        guard let configuration = loaded else {
            // As rsync's daemon, whose reasons go to the system's log.
            let isPlain = !flavourUsesTLS
            let reasons = isPlain ? [] : problems.withLock { $0 }
            var failure = TransferFailure(.syntax, lines: reasons + [Bytes("Failed to parse config file: ") + file])
            failure.quiet = isPlain
            throw failure
        }
        if settings.detaches { return try detach() }
        let pidPath = try Variables.expand(configuration.global.pidFile)
        let pidFile = pidPath.isEmpty ? nil : try PidFile(creating: pidPath)
        if isDetached { leaveTerminal() }
        let log = try openLog(configuration)
        for line in problems.withLock({ $0 }) { log.line(line, level: .warning) }
        StopSignals.watch { number in stop(number, pidFile, log) }
        do throws(TransferFailure) {
            try listen(configuration, log)
        } catch {
            for line in error.lines { log.line(line, level: .warning) }
            log.line(Reporter.errorLine(error.code, role: .unsplitReceiver), level: .warning)
            pidFile?.remove()
            throw error
        }
        return .ok
    }

    private func openLog(_ configuration: DaemonConfiguration) throws(TransferFailure) -> DaemonLog {
        var destination = DaemonLog.Destination()
        destination.file = try chosen(settings.logFile, configuration.defaults.logFile)
        destination.tag = configuration.defaults.syslogTag
        destination.facility = configuration.defaults.syslogFacility
        return DaemonLog(destination)
    }

    private func stop(_ signal: Int32, _ pidFile: PidFile?, _ log: DaemonLog) {
        usleep(400_000)
        if signal == SIGTERM {
            log.line("sent 0 bytes  received 0 bytes  total size 0")
        } else {
            log.line(Reporter.errorLine(.signal, role: .unsplitReceiver), level: .warning)
        }
        pidFile?.remove()
        _exit(signal == SIGTERM ? 0 : ExitCode.signal.rawValue)
    }

    // MARK: - Detaching

    private func detach() throws(TransferFailure) -> ExitCode {
        let code = spawn(Bytes("detached"), input: 0)
        if code != 0 { throw TransferFailure(.fileIO, "failed to fork: \(errnoText(code))") }
        return .ok
    }

    private func leaveTerminal() {
        setsid()
        let null = open("/dev/null", O_RDWR)
        for descriptor in Int32(0)...2 { dup2(null, descriptor) }
        if null > 2 { close(null) }
    }

    /// Starts this program again; returns 0 or an errno value.
    private func spawn(_ kind: Bytes, input: Int32) -> Int32 {
        let name = CommandLine.unsafeArgv[0].map { Bytes(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
        let words = [name ?? Bytes("rsync"), daemonConnectionMark, kind, Bytes(flavour)] + arguments
        var argv = words.map { word in word.withCString { strdup($0) } }
        argv.append(nil)
        defer { for pointer in argv { free(pointer) } }
        var identifier: pid_t = 0
        return dray_spawn_self(argv, environ, input, &identifier)
    }

    // MARK: - Accepting

    private func listen(_ configuration: DaemonConfiguration, _ log: DaemonLog) throws(TransferFailure) {
        let global = configuration.global
        let usesTLS = settings.certificateFile != nil && flavourUsesTLS
        let port = settings.port ?? (global.port > 0 ? global.port : (usesTLS ? 874 : 873))
        var places = settings.listeners
        if places.isEmpty {
            let address = try chosen(settings.address, global.address)
            guard var place = DaemonListener(Bytes("*"), usesTLS: usesTLS) else { return }
            place.binding = Listener.Binding(address: address.isEmpty ? nil : address, port: port)
            places = [place]
        }
        let ports = places.map { String($0.binding.port) }.joined(separator: ", ")
        log.line("rsyncd version \(DrayVersion.rsync) starting, listening on port \(ports)")
        let options = SocketOptions(try chosen(settings.socketOptions, global.socketOptions))
        let listener = try Listener(
            places.map(\.binding), family: settings.family, backlog: Int32(clamping: global.listenBacklog),
            socketOptions: options, report: { log.line($0, level: .warning) })
        let connections = Monitor(0)
        guard let reaper = RoleThread(stackBytes: 64 * 1024, { Self.reap(connections) }) else {
            throw TransferFailure(.ipc)
        }
        defer { withExtendedLifetime(reaper) {} }
        while true {
            log.close()
            let accepted: Listener.Connection
            do throws(ChannelError) {
                accepted = try listener.accept(timeoutMilliseconds: -1)
            } catch {
                if error == .cancelled { return }
                // Out of descriptors or memory: connections that end will free some.
                usleep(100_000)
                continue
            }
            let kind: ConnectionKind = places[accepted.binding].usesTLS ? .tls : .plain
            let code = spawn(Bytes(text: kind.rawValue), input: accepted.descriptor)
            close(accepted.descriptor)
            if code == 0 {
                connections.notifying { $0 += 1 }
            } else {
                log.systemError(Bytes("could not create child server process"), code)
                sleep(2)
            }
        }
    }

    /// Collects connection processes as they end; sleeps while there are none. Their CPU time is counted to ours.
    private static func reap(_ connections: Monitor<Int>) {
        while true {
            connections.wait { $0 > 0 ? () : nil }
            var status: Int32 = 0
            if waitpid(-1, &status, 0) > 0 || errno == ECHILD { connections.withLock { $0 -= 1 } }
        }
    }

    /// The option if there is one, else the parameter.
    private func chosen(_ option: Bytes?, _ parameter: Bytes) throws(TransferFailure) -> Bytes {
        if let option { return option }
        return try Variables.expand(parameter)
    }

    private var flavourUsesTLS: Bool { Bytes(flavour) == Bytes("server") }
}
