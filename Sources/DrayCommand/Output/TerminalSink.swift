// Dray — prints what the engine reports, byte for byte like rsync.
// Layer: Command. Behaviour: chapter 05 §3–§6.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayEngine
import Glibc

/// The consumer of engine events behind a command line. Thread-safe.
public final class TerminalSink: TransferEventSink {
    /// How this sink differs from rsync's client on a terminal.
    public struct Configuration: Sendable {
        public var standardOutput: Int32 = STDOUT_FILENO
        public var standardError: Int32 = STDERR_FILENO
        /// Environment `DRAY_PROGRESS=lines`.
        public var progressLines = false
        /// Overrides the locale's character set (tests).
        public var escapesAsUTF8: Bool?
        public init() {}
    }

    private struct State {
        var pending: Bytes = []
        /// A progress line without newline stands on the screen.
        var lineIsOpen = false
        var listLineIsOpen = false
        /// The announcement of a list stands on a line that the next message ends, wherever that goes.
        var listLineIsBare = false
        /// Numbers of files stand on the line below.
        var listCountIsShown = false
        var progress: ProgressMeterText?
        var lastError: Bytes = []
        var headerPrinted = false
        var hasErrorLine = false
        var hasEntries = true
        var hasLostMessages = false
        var exitIsTold = false
        var givenExit = ExitCode.ok
    }

    private let options: TransferOptions
    private let client: ClientOptions
    private let configuration: Configuration
    private let charset: OutputEscaping.Charset
    private let format: ItemFormat?
    private let logFormat: ItemFormat?
    private let log: LogFile?
    /// Changes of attributes alone are told, on the screen and in the log.
    private let showsAttributes: Bool
    private let itemContext: ItemFormat.Context
    private let buffering: OutputBuffering
    private let state: Monitor<State>

    /// - Parameters:
    ///   - options: resolved options of the client, with `amSender` and `isLocal` set.
    public init(_ options: TransferOptions, _ client: ClientOptions, _ configuration: Configuration = Configuration()) {
        self.options = options
        self.client = client
        self.configuration = configuration
        if options.eightBitOutput {
            charset = .raw
        } else if let utf8 = configuration.escapesAsUTF8 {
            charset = utf8 ? .utf8 : .ascii
        } else {
            charset = OutputEscaping.localeCharset()
        }
        format = options.amServer ? nil : client.outFormat.map(ItemFormat.init)
        showsAttributes = client.outFormat.map { ItemFormat($0).showsItemize } ?? false
        logFormat = client.logFile == nil ? nil : client.logFormat.map(ItemFormat.init)
        var context = ItemFormat.Context()
        context.setsTimes = options.times
        context.isLocal = options.isLocal
        context.isDryRun = options.dryRun
        context.amSender = options.amSender
        context.setsOwner = options.owner
        context.setsGroup = options.group
        if let choice = options.checksumChoice?.displayText.lowercased() {
            let last = choice.split(separator: ",").last.map(String.init) ?? choice
            context.checksumDigits = ["xxh64": 16, "xxhash": 16, "xxh3": 16, "sha1": 40, "none": 2][last] ?? 32
        }
        itemContext = context
        if options.amServer {
            // What a server says is not for a screen of its own.
            buffering = .none
        } else {
            buffering = client.outputBuffering ?? (isatty(configuration.standardOutput) != 0 ? .line : .block)
        }
        var state = State()
        if options.info[.progress] > 0 && !options.amServer && !options.quiet {
            let style: ProgressMeterText.Style
            let isTerminal = isatty(configuration.standardOutput) != 0
            if client.progressJSON {
                style = .json
            } else if isTerminal && (client.progressBar || client.barForTotal && options.info[.progress] > 1) {
                style = .bar
            } else if options.info[.progress] > 1 {
                style = configuration.progressLines && !isTerminal ? .lines : .total
            } else {
                style = .perFile
            }
            state.progress = ProgressMeterText(
                style: style, level: options.humanReadable, columns: Self.columns(configuration.standardOutput))
        }
        wantsProgress = state.progress != nil
        var failure: Bytes?
        var isUntrusted = false
        if let path = client.logFile {
            let file = LogFile(path, options)
            let reason = errno
            log = file ?? LogFile()
            if file == nil {
                let role = options.amServer ? (options.isLocal ? "Receiver" : "server") : "client"
                failure = Bytes(text: "rsync: [\(role)] failed to open log-file ") + path
                failure! += Bytes(text: withErrno("", reason)) + Bytes("\n")
                isUntrusted = reason == ELOOP && !options.insecureLinks && options.confinement == nil
            }
        } else {
            log = nil
        }
        self.state = Monitor(state)
        if let failure {
            if isUntrusted { handle(.message(.error, Bytes(untrustedLinkText) + Bytes("\n"))) }
            handle(.message(.error, failure))
            handle(.message(.info, Bytes("Ignoring \"log file\" setting.\n")))
            finish()
        }
    }

    public let wantsProgress: Bool

    /// The last error text, for a termination message.
    public var lastError: Bytes { state.withLock { $0.lastError } }

    /// Whether the closing `rsync error:` line was printed.
    public var hasErrorLine: Bool { state.withLock { $0.hasErrorLine } }

    /// Whether there was anything to transfer, as far as the statistics have told.
    public var hasEntries: Bool { state.withLock { $0.hasEntries } }

    /// What `--debug=exit` is to tell of the end: whether the session has told it, and with which code it began.
    var exit: (isTold: Bool, given: ExitCode) { state.withLock { ($0.exitIsTold, $0.givenExit) } }

    func note(exitOf session: Session) {
        state.withLock { ($0.exitIsTold, $0.givenExit) = (session.hasToldExit, session.givenExit) }
    }

    /// The program that is the other side has ended.
    func note(exitOf code: ExitCode) { state.withLock { $0.givenExit = code } }

    /// Whether standard error did not take what was to be said there.
    var hasLostMessages: Bool { state.withLock { $0.hasLostMessages } }

    /// The other side has said why it ends: there is nothing to add.
    func peerHasExplained() { state.withLock { $0.hasErrorLine = true } }

    /// Whether there is a log to write to.
    var hasLog: Bool { log != nil }

    // MARK: - Events

    public func handle(_ event: TransferEvent) {
        state.withLock { state in
            switch event {
            case .message(let level, let text): message(level, text, &state)
            case .remoteMessage(let code, let text):
                message(
                    Self.level(code), text, &state,
                    isFromOtherHalf: options.isLocal && options.standardErrorMode != .client)
            case .fileListStarted(let incremental): listStarted(incremental, &state)
            case .fileListProgress(let count): listProgress(count, &state)
            case .fileListFinished(let count): listFinished(count, &state)
            case .createdDirectory(let path):
                if options.info[.name] > 0 || showsAttributes {
                    info(Bytes("created directory ") + path + [0x0a], &state)
                }
            case .createdPath(let count, let path):
                if options.info[.name] > 0 || showsAttributes {
                    let word = count == 1 ? "directory" : "directories"
                    info(Bytes(text: "created \(count) \(word) for ") + path + [0x0a], &state)
                }
            case .item(let report, let before): item(report, before, &state)
            case .listEntry(let report, let atime):
                let line = ListLine.line(
                    report, atime: report.isDirectory ? nil : atime, showsAtime: options.atimes > 0,
                    showsTarget: options.links, level: options.humanReadable)
                info(line + [0x0a], &state, isOneLine: true)
            case .deleted(let name, let mode): deleted(name, mode, &state)
            case .progress(let progress): self.progress(progress, &state)
            case .removedSource(let name):
                if options.info[.remove] > 0 { info(Bytes("sender removed ") + name + [0x0a], &state) }
            case .statistics(let statistics): self.statistics(statistics, &state)
            }
        }
    }

    /// Writes out what is buffered and closes an open progress line.
    public func finish() {
        state.withLock { state in
            closeLine(&state)
            flush(&state)
        }
    }

    /// Tells how the run ended (`--progress-format=json`).
    public func ended(_ code: ExitCode) {
        state.withLock { state in
            guard let record = state.progress?.json?.end(code, now: monotonicNanoseconds()) else { return }
            closeLine(&state)
            state.pending += record
            flush(&state)
        }
    }

    /// Width of a terminal.
    private static func columns(_ descriptor: Int32) -> Int {
        var size = winsize()
        return ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    }

    private static func level(_ code: MessageCode) -> MessageLevel {
        switch code {
        case .info, .client: .info
        case .warning: .warning
        case .log: .log
        case .errorTransfer: .errorTransfer
        default: .error
        }
    }

    // MARK: - Texts

    /// Each message is one line, of this side or the other: line ends inside belong to a name.
    ///
    /// - Parameter isFromOtherHalf: what rsync's other process would print itself, and in ASCII.
    private func message(
        _ level: MessageLevel, _ text: Bytes, _ state: inout State, isFromOtherHalf: Bool = false
    ) {
        switch level {
        case .info: info(text, &state, isOneLine: true)
        case .notice: info(text, &state, logging: false, isOneLine: true)
        case .log: log?.write(text)
        case .warning, .error, .errorTransfer:
            if level != .warning { state.lastError = text }
            if text.hasPrefix(Bytes("rsync error:")) || text.hasPrefix(Bytes("rsync warning:")) {
                state.hasErrorLine = true
            }
            closeLine(&state)
            flush(&state)
            let start = state.listLineIsBare ? Bytes("\n") : []
            state.listLineIsBare = false
            let charset = (isFromOtherHalf || options.amServer) && !options.eightBitOutput ? .ascii : charset
            if !writeAll(configuration.standardError, start + OutputEscaping.escape(text, charset)) {
                lose(&state)
            }
            log?.write(text, isWarning: true)
        }
    }

    /// Nobody learns of errors any more: the run ends.
    private func lose(_ state: inout State) {
        if state.hasLostMessages { return }
        state.hasLostMessages = true
        SignalWatch.interrupt(.messages)
    }

    /// - Parameter isOneLine: line ends inside belong to a name and are escaped.
    private func info(_ text: Bytes, _ state: inout State, logging: Bool = true, isOneLine: Bool = false) {
        if logging { log?.write(text, isOneLine: isOneLine) }
        if options.quiet && !options.amServer { return }
        closeLine(&state)
        if state.listLineIsBare { output([0x0a], &state) }
        state.listLineIsBare = false
        output(isOneLine ? OutputEscaping.escape(text, charset) : escaped(text), &state)
    }

    /// Escapes each line of a text.
    private func escaped(_ text: Bytes) -> Bytes {
        var result: Bytes = []
        var rest = text[...]
        while let end = rest.firstIndex(of: 0x0a) {
            result += OutputEscaping.escape(Bytes(rest[...end]), charset)
            rest = rest[(end + 1)...]
        }
        return rest.isEmpty ? result : result + OutputEscaping.escape(Bytes(rest), charset)
    }

    private func output(_ bytes: Bytes, _ state: inout State) {
        state.pending += bytes
        switch buffering {
        case .none: flush(&state)
        case .line: if state.pending.last == 0x0a || state.lineIsOpen { flush(&state) }
        case .block: if state.pending.count >= 8192 { flush(&state) }
        }
    }

    private func flush(_ state: inout State) {
        guard !state.pending.isEmpty else { return }
        // On a server standard output is the connection.
        let toError = options.amServer || options.standardErrorMode == .all
        let isWritten = writeAll(
            toError ? configuration.standardError : configuration.standardOutput, state.pending)
        state.pending.removeAll(keepingCapacity: true)
        // What is buffered in blocks may be lost without a word, as with rsync.
        if !isWritten && (toError || buffering != .block) { lose(&state) }
    }

    private func closeLine(_ state: inout State) {
        guard state.lineIsOpen else { return }
        state.lineIsOpen = false
        state.pending.append(0x0a)
    }

    // MARK: - File list

    private var showsList: Bool { options.info[.flist] > 0 && options.transfersDirectories && !options.amServer }

    private func listStarted(_ incremental: Bool, _ state: inout State) {
        if state.headerPrinted { return }
        state.headerPrinted = true
        log?.write(options.amSender ? Bytes("building file list") : Bytes("receiving file list"))
        guard showsList else { return }
        if incremental {
            let verb = options.amSender ? "sending" : "receiving"
            info(Bytes(text: "\(verb) incremental file list\n"), &state, logging: false)
        } else {
            let verb = options.amSender ? "building" : "receiving"
            info(Bytes(text: "\(verb) file list ... "), &state, logging: false)
            // A receiver begins a line of its own only when there is a number to show.
            if options.info[.flist] > 1 && !options.quiet && options.amSender {
                output(Bytes("\n 0 files...\r"), &state)
            }
            state.listCountIsShown = options.amSender
            state.listLineIsOpen = true
            state.listLineIsBare = !options.quiet
            flush(&state)
        }
    }

    private func listProgress(_ count: Int, _ state: inout State) {
        guard showsList, state.listLineIsOpen, options.info[.flist] > 1, count % 100 == 0, !options.quiet else {
            return
        }
        let start = state.listCountIsShown ? "" : "\n"
        state.listCountIsShown = true
        output(
            Bytes(text: "\(start) \(HumanNumber.count(Int64(count), level: options.humanReadable)) files...\r"), &state)
        flush(&state)
    }

    private func listFinished(_ count: Int, _ state: inout State) {
        guard state.listLineIsOpen else { return }
        state.listLineIsOpen = false
        state.listLineIsBare = false
        if options.info[.flist] > 1 {
            let number = HumanNumber.count(Int64(count), level: options.humanReadable)
            info(Bytes(text: "\(number) file\(count == 1 ? "" : "s") to consider\n"), &state)
        } else {
            info(Bytes("done\n"), &state)
        }
    }

    // MARK: - Items

    private func item(_ report: ItemReport, _ before: Bool, _ state: inout State) {
        if let format, isDue(format, report, before), isShown(report) {
            info(format.line(report, itemContext) + [0x0a], &state, logging: false, isOneLine: true)
            // The name has to be there before the transfer takes its time.
            if before && buffering != .block { flush(&state) }
        }
        if options.dryRun && (options.amServer || report.flags.contains(.transfer)) { return }
        guard let logFormat, isDue(logFormat, report, before) else { return }
        if options.amServer ? isLogged(report, logFormat) : isShown(report) {
            log?.write(logFormat.line(report, itemContext))
        }
    }

    private func isDue(_ format: ItemFormat, _ report: ItemReport, _ before: Bool) -> Bool {
        if options.dryRun || !report.flags.contains(.transfer) { return !before }
        return before != format.needsData
    }

    /// A server logs files with data, and other changes where the format says what they are.
    private func isLogged(_ report: ItemReport, _ format: ItemFormat) -> Bool {
        let isSeen =
            report.flags.isSignificant || report.flags.contains(.xnameFollows) && !report.xname.isEmpty
            || options.itemize > 1 || (options.info[.name] > 1 && showsAttributes)
        return isSeen && (report.flags.contains(.transfer) || format.showsItemize)
    }

    private func isShown(_ report: ItemReport) -> Bool {
        if report.flags.isSignificant {
            // Names alone tell of data and of what was made; other changes only where the format says what they are.
            if showsAttributes || report.isDirectory || !report.flags.isDisjoint(with: [.transfer, .localChange]) {
                return true
            }
        }
        if report.flags.contains(.xnameFollows) && !report.xname.isEmpty { return true }
        return showsAttributes && (options.itemize > 1 || options.info[.name] > 1)
    }

    private func deleted(_ name: Bytes, _ mode: UInt32, _ state: inout State) {
        var report = ItemReport(name: name, mode: mode, length: 0, mtime: 0, flags: [.deleted], sending: false)
        report.flags = .deleted
        let plain = Bytes("deleting ") + name + (report.isDirectory ? Bytes("/") : [])
        if !options.amServer && (options.info[.del] > 0 || format != nil) {
            let line = format.map { $0.showsDeletions ? $0.line(report, itemContext) : plain } ?? plain
            info(line + [0x0a], &state, logging: false, isOneLine: true)
        }
        if let logFormat, !options.dryRun {
            log?.write(logFormat.showsDeletions ? logFormat.line(report, itemContext) : plain)
        }
    }

    // MARK: - Progress and summary

    private func progress(_ progress: FileProgress, _ state: inout State) {
        guard !options.dryRun, let (text, endsLine) = state.progress?.text(progress, now: monotonicNanoseconds()) else {
            return
        }
        if !progress.isLast && !isForeground { return }
        state.lineIsOpen = !endsLine
        state.pending += text
        flush(&state)
    }

    /// Running updates stay away while another process group has the terminal.
    private var isForeground: Bool {
        let group = tcgetpgrp(configuration.standardOutput)
        return group < 0 || group == getpgrp()
    }

    private func statistics(_ statistics: TransferStatistics, _ state: inout State) {
        state.progress?.json?.note(statistics)
        guard !options.amServer else {
            log?.write(
                Bytes(
                    text: "sent \(statistics.bytesWritten) bytes  received \(statistics.bytesRead) bytes  "
                        + "total size \(statistics.totalSize)"))
            return
        }
        state.hasEntries = statistics.files.total > 0
        let level = options.humanReadable
        if options.info[.stats] > 1 {
            info(Bytes("\n"), &state)
            info(Bytes(text: SummaryText.block(statistics, level: level)), &state)
        }
        if options.info[.stats] > 0 {
            let suffix = client.onlyWriteBatch ? " (BATCH ONLY)" : (options.dryRun ? " (DRY RUN)" : "")
            info(Bytes("\n"), &state)
            let text = SummaryText.summary(statistics, now: monotonicNanoseconds(), suffix: suffix, level: level)
            info(Bytes(text: text), &state)
        } else {
            log?.write(
                Bytes(
                    text: "sent \(statistics.bytesWritten) bytes  received \(statistics.bytesRead) bytes  "
                        + "total size \(statistics.totalSize)"))
        }
        closeLine(&state)
        flush(&state)
    }
}
