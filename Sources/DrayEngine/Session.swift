// Dray — one connection between two sides: agreed protocol, algorithms and the streams the roles share.
// Layer: Engine. Wire format: chapter 01 §5, §6.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayFiles
import DrayFilters
import DrayWire
import Glibc
import Synchronization

/// What a session gets from its surroundings besides options.
public struct SessionEnvironment: Sendable {
    /// `RSYNC_CHECKSUM_LIST`, `RSYNC_COMPRESS_LIST`.
    public var checksumList: Bytes?
    public var compressList: Bytes?
    /// Negotiated in the daemon text handshake; nil exchanges version integers first.
    public var handshakeVersion: Int32?
    /// The connection is a daemon's socket (errors need an answered notice).
    public var isDaemonSocket = false
    /// A daemon's refusal ends a plain connection at once.
    public var resetsOnRefusal = false
    /// Name of the module, for messages, and the length of its directory in them.
    public var moduleName: Bytes?
    public var modulePath: Bytes?
    /// Directory descriptor that transfer paths are confined to and relative to.
    public var workingDirectory: Int32 = -100
    /// Incoming or outgoing `--chmod` of a daemon module.
    public var moduleChmod: Bytes?
    /// Character set of a daemon module, whatever the client says about it.
    public var charset: Bytes?
    public var sanitizesPaths = false
    public var mungesSymlinks = false
    public var numericIDs = false
    public var ignoresNonreadable = false
    public var readOnly = false
    public var writeOnly = false
    /// File that `--write-batch` records into; −1 for none. Stays the owner's.
    public var batchDescriptor: Int32 = -1
    /// Called when what is recorded begins.
    public var beforeRecording: (@Sendable () -> Void)?
    /// Names of `--files-from`, already read by the sending side's command line.
    public var filesFrom: [Bytes]?
    /// Content of a `--files-from` list that the receiving side has and the sender needs.
    public var filesFromForPeer: Bytes?
    /// What a failure's code becomes by the end of the program that is the connection, before it is told.
    public var shellExit: (@Sendable (ExitCode) -> ExitCode)?

    public init() {}
}

/// State shared by the roles of one side. Set up by one thread, read-only afterwards but for thread-safe members.
public final class Session: @unchecked Sendable {
    // Safe: mutable members are written during set-up, before role threads exist.
    @exclusivity(unchecked) public internal(set) var options: TransferOptions
    public let environment: SessionEnvironment
    public let channel: any ByteChannel
    public let reader: WireReader
    public let writer: WireWriter
    public let reporter: Reporter
    @exclusivity(unchecked) public internal(set) var protocolVersion: Int32 = ProtocolVersion.newest
    public internal(set) var remoteVersion: Int32 = 0
    @exclusivity(unchecked) public internal(set) var flags: CompatibilityFlags = []
    public internal(set) var checksumSeed: Int32 = 0
    /// `--iconv`: names of this side and of the wire.
    public internal(set) var conversion: CharacterConversion?
    /// Names of the extensions that both sides have; see `agreeOnExtensions`.
    public internal(set) var extensions: Set<Bytes> = []
    @exclusivity(unchecked) public internal(set) var transferChecksum = ChecksumAlgorithm.md5
    @exclusivity(unchecked) public internal(set) var fileChecksum = ChecksumAlgorithm.md5
    public internal(set) var compression = Compression()
    /// `--write-batch`: where the stream is recorded.
    var recorder: BatchRecorder?
    /// `--read-batch`: what the generator wants of the file.
    let wishes: BatchWishes?
    /// Filters of the user; a role may change its per-directory state, so only the role that needs it touches it.
    public let filters: FilterList
    public let daemonFilters: FilterList?
    public let statistics = Monitor(TransferStatistics())
    let stopRequest = Atomic<Int32>(0)
    /// This half of a local copy ends because of something that it has said itself.
    let hasFailed = Atomic<Bool>(false)
    /// The receiving half of a local copy, which ends when the sending half does.
    weak var companion: Session?
    /// A local copy: files that its halves hand over instead of data.
    @exclusivity(unchecked) var offers: FileOffers?
    /// Lowest-numbered signal or limit that ends the run: set by `interrupt`.
    let startNanoseconds = monotonicNanoseconds()
    /// Wall clock when the session began, seconds since 1970.
    let startSeconds = Int64(time(nil))

    public init(
        options: TransferOptions, channel: any ByteChannel, filters: FilterList, daemonFilters: FilterList? = nil,
        environment: SessionEnvironment, sink: any TransferEventSink
    ) {
        self.options = options
        self.channel = channel
        wishes = (channel as? BatchChannel)?.wishes
        self.filters = filters
        self.daemonFilters = daemonFilters
        self.environment = environment
        reporter = Reporter(sink: sink, options: options, isDaemonSocket: environment.isDaemonSocket)
        let role: RoleName = options.amSender ? .sender : .unsplitReceiver
        reader = WireReader(channel: channel, role: role)
        writer = WireWriter(channel: channel, role: role)
        statistics.withLock { $0.startNanoseconds = startNanoseconds }
    }

    public var role: RoleName { options.amSender ? .sender : .unsplitReceiver }
    public var incremental: Bool { flags.contains(.incrementalRecursion) }

    /// Ends the run from outside (a signal): every blocked role returns and the run ends with `code`.
    public func interrupt(_ code: ExitCode) {
        stopRequest.store(code.rawValue, ordering: .relaxed)
        // As if each half were a process: the sending one stops the other by another signal.
        companion?.stopRequest.store(ExitCode.userSignal1.rawValue, ordering: .relaxed)
        channel.cancel()
    }

    /// `--stop-after`, `--stop-at`: ends the run at that moment, like a silent connection would.
    func startStopClock() {
        guard let moment = options.stopAt, !(options.isLocal && options.amServer) else { return }
        // Not joined: it looks at the clock and goes with the session.
        _ = RoleThread(stackBytes: 128 * 1024) { [weak self] in
            while Int64(time(nil)) < moment {
                if self == nil { return }
                usleep(200_000)
            }
            guard let self else { return }
            self.reporter.error(Bytes("stopping at requested limit"))
            self.interrupt(.timeout)
        }
    }

    /// The client was told of a refusal and is to find the connection reset.
    public internal(set) var hasRefused = false
    /// `--debug=exit`: the end was told, and by the code of which process the client learns how it went.
    public internal(set) var hasToldExit = false
    public internal(set) var givenExit = ExitCode.ok

    /// The peer has said why it ends, so its user knows.
    public private(set) var peerHasEnded = false

    var interruption: ExitCode? {
        let code = stopRequest.load(ordering: .relaxed)
        return code == 0 ? nil : ExitCode(rawValue: code)
    }

    func fail(_ code: ExitCode, _ lines: String...) -> TransferFailure {
        TransferFailure(code, lines: lines.map { Bytes(text: $0) })
    }

    // MARK: - Version

    /// Writes our version and reads the peer's (not for daemon connections), then checks the range.
    func exchangeVersions() throws(TransferFailure) {
        try openConversion()
        let own = options.protocolVersion
        try refuseForcedChoices()
        if let known = environment.handshakeVersion {
            remoteVersion = known
        } else {
            installTimeout()
            try writer.int32(advertisedVersion(own))
            remoteVersion = try readVersion()
        }
        protocolVersion = min(advertisedVersion(own), remoteVersion)
        try checkProtocolVersion()
        if options.debug[.proto] >= 1 {
            let side = options.amServer ? "Server" : "Client"
            let line = "(\(side)) Protocol versions: remote=\(remoteVersion), negotiated=\(protocolVersion)"
            // A server's connection is no place for messages yet.
            reporter.message(options.amServer ? .warning : .info, Bytes(text: line))
        }
    }

    /// Sends our version and reads the peer's. What a peer said before it left explains more than the failed write.
    private func readVersion() throws(TransferFailure) -> Int32 {
        do throws(TransferFailure) {
            try writer.flush()
        } catch {
            if error.code == .timeout || error.code == .signal { throw error }
            // The writer would fail again before every wait.
            reader.beforeWaiting = nil
        }
        return try reader.int32()
    }

    /// Checks the version agreed on and makes it known to the streams.
    func checkProtocolVersion() throws(TransferFailure) {
        if remoteVersion < ProtocolVersion.oldest || remoteVersion > 40 {
            throw fail(
                .protocolIncompatible, "protocol version mismatch -- is your shell clean?",
                "(see the rsync manpage for an explanation)")
        }
        let side = options.amServer ? "Server" : "Client"
        if protocolVersion < ProtocolVersion.oldest {
            throw fail(.protocolIncompatible, "--protocol must be at least \(ProtocolVersion.oldest) on the \(side).")
        }
        if protocolVersion > ProtocolVersion.newest {
            throw fail(
                .protocolIncompatible, "--protocol must be no more than \(ProtocolVersion.newest) on the \(side).")
        }
        reader.protocolVersion = protocolVersion
        writer.protocolVersion = protocolVersion
    }

    /// A pre-release client (`-e32.5…`) lowers what a server advertises.
    private func advertisedVersion(_ own: Int32) -> Int32 {
        guard options.amServer, let info = options.clientInfo, let dot = info.firstIndex(of: UInt8(ascii: ".")),
            dot > 0,
            let version = parseDecimal(info[..<dot])
        else { return own }
        let rest = info[(dot + 1)...].prefix { $0.isASCIIDigit }
        guard let sub = parseDecimal(rest), sub != 0 else { return own }
        if version < own { return Int32(version) - 1 }
        return version == own ? own - 1 : own
    }

    // MARK: - Compatibility

    /// Whether this side's options permit incremental file lists.
    public static func allowsIncremental(_ options: TransferOptions) -> Bool {
        guard options.recursive, options.incrementalRecursion, !options.qsort else { return false }
        if options.amSender { return true }
        return options.deleteMode != .before && options.deleteMode != .after && !options.delayUpdates
            && !options.pruneEmptyDirs
    }

    /// Sets up `--iconv`.
    func openConversion() throws(TransferFailure) {
        guard let charset = options.iconv else { return }
        let parts = charset.split(separator: UInt8(ascii: ","), maxSplits: 1, omittingEmptySubsequences: false)
        // A server is told its own set alone; the halves of a local copy know both.
        let own = options.amServer ? parts[parts.count - 1] : parts[0]
        let conversion = try CharacterConversion(local: environment.charset ?? Bytes(own))
        // With `-s` rsync's server has opened it before it knew of debug words.
        let isSilent = options.amDaemon || options.amServer && options.secludedArguments
        if !isSilent { debug(.iconv, words: "[\(role.rawValue)] charset: \(conversion.localName)") }
        self.conversion = conversion
        reporter.convert(with: conversion)
    }

    /// For the names of `--files-from`: converted when arguments are (`--secluded-args`).
    var nameListConversion: CharacterConversion? { options.secludedArguments ? conversion : nil }

    /// Whether symlink targets are converted: both sides must be able to.
    var convertsTargets: Bool {
        guard conversion != nil else { return false }
        return options.amServer
            ? (options.clientInfo ?? []).contains(UInt8(ascii: "s")) : flags.contains(.symlinkIconv)
    }

    /// Everything from the compat flags to the seed, then framing (chapter 01 §5.2–5.3, §6.2).
    func negotiate() throws(TransferFailure) {
        try checkOptionsAgainstProtocol()
        if protocolVersion >= 30 {
            if options.amServer {
                flags = serverFlags()
                try writeFlags()
            } else {
                flags = CompatibilityFlags(rawValue: try reader.varint())
                if incremental && !Self.allowsIncremental(options) {
                    throw fail(.syntax, "Incompatible options specified for inc-recursive connection.")
                }
            }
        }
        reader.incremental = incremental
        try chooseAlgorithms()
        try agreeOnExtensions()
        if options.amServer {
            checksumSeed = options.checksumSeed
            if checksumSeed == 0 {
                checksumSeed = Int32(truncatingIfNeeded: time(nil)) ^ (getpid() << 6)
                if checksumSeed == 0 { checksumSeed = 1 }
            }
            try writer.int32(checksumSeed)
        } else {
            checksumSeed = try reader.int32()
        }
        try startFraming()
    }

    func checkOptionsAgainstProtocol() throws(TransferFailure) {
        let version = protocolVersion
        if version < 30 && options.append == .append { options.append = .verify }
        if options.deleteMode == .unspecified { options.deleteMode = version < 30 ? .before : .during }
        if version < 30 && !options.isLocal {
            if options.acls { throw tooOld("--acls", 30) }
            if options.xattrs > 0 { throw tooOld("--xattrs", 30) }
        }
        guard version < 29 else { return }
        if options.fuzzy > 0 { throw tooOld("--fuzzy", 29) }
        if !options.alternateDirectories.isEmpty {
            let name =
                switch options.alternateKind {
                case .copy: "--copy-dest"
                case .link: "--link-dest"
                default: "--compare-dest"
                }
            if options.updatesInPlace { throw tooOld("\(name) with --inplace", 29) }
            if options.alternateDirectories.count > 1 { throw tooOld("Using more than one \(name) option", 29) }
        }
        if options.pruneEmptyDirs { throw tooOld("--prune-empty-dirs", 29) }
    }

    private func tooOld(_ option: String, _ needed: Int32) -> TransferFailure {
        fail(
            .protocolIncompatible,
            "\(option) requires protocol \(needed) or higher (negotiated \(protocolVersion)).")
    }

    private func clientSent(_ letter: Unicode.Scalar) -> Bool {
        (options.clientInfo ?? []).contains(UInt8(ascii: letter))
    }

    /// Whether both sides send lists of algorithm names.
    var negotiatesStrings: Bool {
        flags.contains(.varintFlistFlags) && (!options.amServer || clientSent("v"))
    }

    /// Compatibility: `V`, from before the letter `v`, takes the flags as one byte (chapter 01 §5.2).
    private func writeFlags() throws(TransferFailure) {
        if clientSent("V") {
            try writer.byte(UInt8(truncatingIfNeeded: flags.rawValue))
        } else {
            try writer.varint(flags.rawValue)
        }
    }

    private func serverFlags() -> CompatibilityFlags {
        let has = clientSent
        var flags: CompatibilityFlags = [.symlinkTimes, .symlinkIconv]
        if has("i") && Self.allowsIncremental(options) { flags.insert(.incrementalRecursion) }
        if has("f") { flags.insert(.safeFileList) }
        if has("x") { flags.insert(.avoidXattrOptimization) }
        if has("C") { flags.insert(.checksumSeedFix) }
        if has("I") { flags.insert(.inplacePartialDirectory) }
        if has("v") || has("V") { flags.insert(.varintFlistFlags) }
        if has("u") { flags.insert(.idZeroNames) }
        if has("Y") { flags.insert(.extensions) }
        return flags
    }

    private func startFraming() throws(TransferFailure) {
        try writer.flush()
        traceFrames()
        // Statistics begin here: the set-up is not part of them (chapter 01 §7.3).
        reader.startCounting()
        writer.startCounting()
        writer.timeoutSeconds = options.timeoutSeconds
        if options.amServer {
            try writer.startFraming()
            reporter.attach(
                writer, throughConnection: protocolVersion <= 28 && !options.standardErrorGiven)
            if protocolVersion >= 31 && options.amDaemon && options.timeoutSeconds > 0 {
                writer.queueMessage(.ioTimeout, value: Int32(options.timeoutSeconds))
            }
            if clientFrames { reader.startFraming() }
        } else {
            reader.allowsIOTimeoutMessage = true
            reader.startFraming()
            if clientFrames { try writer.startFraming() }
        }
        reader.messages = { [unowned self] (code, payload) throws(TransferFailure) in try self.receive(code, payload) }
        installTimeout()
    }

    /// Whether the client's output is framed: always since protocol 30; before only to confirm files of a pull.
    var clientFrames: Bool {
        let isPull = options.amServer == options.amSender
        return protocolVersion >= 30 || isPull && options.removeSourceFiles > 0
    }

    /// Where the seed goes in MD5 block sums. Old protocols use MD5 only when it is asked for, and then seed first.
    var hashesSeedFirst: Bool { flags.contains(.checksumSeedFix) || protocolVersion < 30 }

    /// Whether the receiving side streams the names of `--files-from` to this sender.
    var takesNamesFromPeer: Bool {
        guard options.amSender, let list = options.filesFrom else { return false }
        return options.amServer ? list == Bytes("-") : options.filesFromHost != nil
    }

    // MARK: - Messages and time-outs

    /// Called for indices of MSG_SUCCESS and MSG_NO_SEND; a local copy adds which inode was written.
    var onIndexMessage: ((MessageCode, Int32, FileIdentity?) throws(TransferFailure) -> Void)?

    private func receive(_ code: MessageCode, _ payload: UnsafeRawBufferPointer) throws(TransferFailure) {
        func value() -> Int32 { Int32(littleEndian: payload.loadUnaligned(as: Int32.self)) }
        switch code {
        case .ioError: reporter.noteIOError(IOErrorBits(rawValue: value()), fromPeer: true)
        case .ioTimeout:
            let seconds = Int(value())
            if Limits.ioTimeout.contains(seconds) && (options.timeoutSeconds == 0 || seconds < options.timeoutSeconds) {
                options.timeoutSeconds = seconds
                writer.timeoutSeconds = seconds
                installTimeout()
                if options.info[.misc] >= 2 { reporter.info("Setting --timeout=\(seconds) to match server") }
            }
        case .errorExit:
            tellErrorExit(payload.count)
            var failure = TransferFailure(payload.count == 4 ? ExitCode(rawValue: value()) : .ok)
            failure.cameFromPeer = true
            peerHasEnded = failure.code != .ok
            throw failure
        case .success, .noSend:
            var written: FileIdentity?
            if payload.count == 20 && options.isLocal {
                written = FileIdentity(
                    device: UInt64(littleEndian: payload.loadUnaligned(fromByteOffset: 4, as: UInt64.self)),
                    inode: UInt64(littleEndian: payload.loadUnaligned(fromByteOffset: 12, as: UInt64.self)))
            }
            try onIndexMessage?(code, value(), written)
        case .deleted:
            let isDirectory = payload.last == 0
            let name = isDirectory ? UnsafeRawBufferPointer(rebasing: payload.dropLast()) : payload
            reporter.event(
                .deleted(
                    name: conversion?.fromWire(message: Bytes(name)) ?? Bytes(name),
                    mode: isDirectory ? FileType.directory : FileType.regular))
        case .noop: try keepAliveIfDue()
        default:
            if code == .errorTransfer {
                reporter.noteTransferError()
                reporter.noteOtherTrouble()
            }
            if options.amServer {
                reporter.message(code == .info ? .info : .error, Bytes(payload))
            } else {
                reporter.event(.remoteMessage(code, conversion?.fromWire(message: Bytes(payload)) ?? Bytes(payload)))
            }
        }
    }

    private func installTimeout() {
        let seconds = options.timeoutSeconds
        guard seconds > 0 else { return }
        let lull = (seconds + 1) / 2
        reader.idleMilliseconds = min(60, lull) * 1000
        reader.whileIdle = { [unowned self] () throws(TransferFailure) in try self.checkTimeout() }
    }

    /// Throws when neither direction has moved for the time limit.
    func checkTimeout() throws(TransferFailure) {
        if let code = interruption { throw TransferFailure(code) }
        let seconds = options.timeoutSeconds
        guard seconds > 0 else { return }
        let last = max(reader.lastReadNanoseconds, writer.lastWriteNanoseconds)
        let silent = (monotonicNanoseconds() &- last) / 1_000_000_000
        if silent >= UInt64(seconds) {
            throw TransferFailure(
                .timeout, "[\(reader.role.rawValue)] io timeout after \(silent) seconds -- exiting", role: reader.role)
        }
        try keepAliveIfDue()
    }

    /// Sends a keep-alive when half the time limit has passed in silence; a peer cannot ask for more of them.
    private func keepAliveIfDue() throws(TransferFailure) {
        let seconds = options.timeoutSeconds
        guard seconds > 0, options.amSender, writer.isFramed else { return }
        if monotonicNanoseconds() &- writer.lastWriteNanoseconds >= UInt64((seconds + 1) / 2) * 1_000_000_000 {
            try writer.keepAlive()
        }
    }

    // MARK: - Names in messages

    /// `"PATH"`, absolute, or relative to the module with ` (in MODULE)`.
    func fullName(_ path: Bytes, directory: Bytes? = nil) -> Bytes {
        var full = Bytes("\"")
        if let module = environment.moduleName {
            let text = (directory ?? []).appendingComponent(path)
            full += text
            full += Bytes("\" (in ") + module + Bytes(")")
            return full
        }
        if path.first != UInt8(ascii: "/") {
            let base = directory ?? displayDirectory
            full += base.appendingComponent(path)
        } else {
            full += path
        }
        full.append(UInt8(ascii: "\""))
        return full
    }

    /// Directory that relative names are shown below: the process's, or the destination once it is known.
    var displayDirectory: Bytes = Session.currentDirectory()

    static func currentDirectory() -> Bytes {
        guard let text = getcwd(nil, 0) else { return [] }
        defer { free(text) }
        return Bytes(UnsafeRawBufferPointer(start: text, count: strlen(text)))
    }
}
