// Dray — from a granted module to the engine: identity, root directory, arguments, transfer.
// Layer: Daemon. Behaviour: chapter 07 §9, §12, §15.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayEngine
import DrayFiles
import DrayFilters
import DrayTransport
import Glibc

/// Serves one transfer of a module. Changes root directory, working directory and identity of this process.
struct ModuleSession {
    let granted: GrantedModule
    let settings: DaemonSettings
    let connection: ClientConnection
    let lines: HandshakeLines
    let log: DaemonLog
    let parser: ServerParser

    /// What the module turned out to be once its directory was entered.
    private struct Place {
        var root: ModuleRoot
        var descriptor: Int32
        var munges: Bool
        var filters: FilterList
    }

    func run() -> ExitCode {
        do throws(TransferFailure) {
            var module = granted.parameters
            try expand(&module)
            let place: Place
            do throws(ModuleRefusal) {
                place = try enter(module)
            } catch {
                refuse(error)
                return ExitCode(rawValue: 255)
            }
            return try serve(module, place)
        } catch {
            for line in error.lines { log.line(line, level: .warning) }
            if !error.quiet { log.line(Reporter.errorLine(error.code, role: .unsplitReceiver), level: .warning) }
            return error.code
        }
    }

    private func refuse(_ refusal: ModuleRefusal) {
        if !refusal.log.isEmpty {
            if let code = refusal.code {
                log.systemError(refusal.log, code)
            } else {
                log.line(refusal.log, level: .warning)
            }
        }
        lines.write(Bytes("@ERROR: ") + refusal.client + Bytes("\n"))
    }

    private func expand(_ module: inout ModuleParameters) throws(TransferFailure) {
        let members: [WritableKeyPath<ModuleParameters, Bytes>] = [
            \.path, \.uid, \.gid, \.filter, \.includeFrom, \.include, \.excludeFrom, \.exclude, \.logFile, \.syslogTag,
            \.logFormat, \.tempDir, \.refuseOptions, \.incomingChmod, \.outgoingChmod,
        ]
        for member in members { module[keyPath: member] = try Variables.expand(module[keyPath: member]) }
    }

    // MARK: - Entering the module

    private func enter(_ module: ModuleParameters) throws(ModuleRefusal) -> Place {
        let isRoot = getuid() == 0
        let identity = try SessionIdentity.resolve(uid: module.uid, gid: module.gid, isRoot: isRoot)
        if module.path.isEmpty {
            throw ModuleRefusal(
                client: Bytes("no path setting."), log: Bytes("No path specified for module ") + module.name)
        }
        let root = ModuleRoot.decide(
            path: module.path, useChroot: module.useChroot, startDirectory: settings.startDirectory,
            probe: { Bytes("/").withCString { dray_chroot($0) } == 0 ? nil : errno }, log: { log.line($0) })
        Variables.set("RSYNC_MODULE_PATH", root.outerPath)
        let filters = try daemonFilters(module, root)
        var destination = DaemonLog.Destination()
        destination.file = settings.logFile ?? module.logFile
        destination.tag = module.syslogTag
        destination.facility = module.syslogFacility
        log.redirect(to: destination)
        log.open()
        let descriptor = try root.enter(insecureLinks: module.insecureLinks)
        let munges = module.mungeSymlinks ?? (!root.isChrooted || root.hasInnerBoundary)
        var status = stat()
        if munges, stat("/rsyncd-munged", &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            throw ModuleRefusal(
                client: Bytes("daemon security issue -- contact admin"),
                log: Bytes("Symlink munging is unsafe when a /rsyncd-munged directory exists."))
        }
        try identity.assume()
        return Place(root: root, descriptor: descriptor, munges: munges, filters: filters)
    }

    private func daemonFilters(_ module: ModuleParameters, _ root: ModuleRoot) throws(ModuleRefusal) -> FilterList {
        var filterSettings = FilterList.Settings()
        filterSettings.amServer = true
        filterSettings.isDaemonList = true
        filterSettings.role = .unsplitReceiver
        filterSettings.moduleDirectory = root.directory
        filterSettings.workingDirectory = root.directory
        let list = FilterList(settings: filterSettings, reader: OperatorFilterFiles())
        do throws(TransferFailure) {
            if !module.filter.isEmpty { try list.addDaemonFilter(module.filter) }
            if !module.includeFrom.isEmpty { try list.addDaemonFile(module.includeFrom, isInclude: true) }
            if !module.include.isEmpty { try list.addDaemonPatterns(module.include, isInclude: true) }
            if !module.excludeFrom.isEmpty { try list.addDaemonFile(module.excludeFrom, isInclude: false) }
            if !module.exclude.isEmpty { try list.addDaemonPatterns(module.exclude, isInclude: false) }
        } catch {
            for line in error.lines { log.line(line, level: .warning) }
            throw ModuleRefusal(client: Bytes("daemon filter rules cannot be read"), log: [])
        }
        return list
    }

    // MARK: - Arguments

    private func serve(_ module: ModuleParameters, _ place: Place) throws(TransferFailure) -> ExitCode {
        // Without its character set a module cannot be served at all.
        if !module.charset.isEmpty { _ = try CharacterConversion(local: module.charset) }
        if !connection.isRemoteShell { lines.arm(seconds: ServerHandshake.deadline(module.timeout)) }
        lines.write(Bytes("@RSYNCD: OK\n"))
        var arguments = try readArguments(nulTerminated: granted.protocolVersion >= 30, removesBackslashes: true)
        var outcome = parse(arguments, module, place, isComplete: false)
        var splits = true
        if case .success(let parsed) = outcome, parsed.options.secludedArguments {
            var second = try readArguments(nulTerminated: true, removesBackslashes: false)
            // The first word is a program name.
            if !second.options.isEmpty { second.options.removeFirst() }
            if parsed.options.iconv != nil, let conversion = try? CharacterConversion(local: module.charset) {
                second.options = second.options.map { conversion.fromWire(message: $0) }
                second.paths = second.paths.map { conversion.fromWire(message: $0) }
            }
            second.options = arguments.options + second.options
            arguments = second
            splits = false
            outcome = parse(arguments, module, place, isComplete: true)
        } else if case .failure = outcome, Self.announcesSecondList(arguments.options) {
            // It must not be taken for the beginning of the protocol.
            arguments.paths += try readArguments(nulTerminated: true, removesBackslashes: false).paths
        }
        lines.arm(seconds: nil)
        switch outcome {
        case .success(let parsed): return try transfer(parsed, arguments, module, place, splits: splits)
        case .failure(let failure):
            logRequest(arguments, failure.options)
            return rejected(failure, module, place)
        }
    }

    /// Whether refused options hold `-s`.
    private static func announcesSecondList(_ words: [Bytes]) -> Bool {
        words.contains { word in
            if word == Bytes("--secluded-args") || word == Bytes("--protect-args") { return true }
            guard word.first == UInt8(ascii: "-"), word.dropFirst().first != UInt8(ascii: "-") else { return false }
            return word.prefix { $0 != UInt8(ascii: "e") }.contains(UInt8(ascii: "s"))
        }
    }

    private func readArguments(nulTerminated: Bool, removesBackslashes: Bool) throws(TransferFailure) -> ClientArguments
    {
        do throws(ClientArguments.Failure) {
            return try ClientArguments.read(
                from: lines, nulTerminated: nulTerminated, removesBackslashes: removesBackslashes)
        } catch {
            switch error {
            case .tooMany: throw ModulePaths.tooMany
            case .read(.timedOut): throw TransferFailure(.timeout, "[Receiver] daemon handshake timeout -- exiting")
            case .read: throw TransferFailure(.protocolStream)
            }
        }
    }

    private func parse(
        _ arguments: ClientArguments, _ module: ModuleParameters, _ place: Place, isComplete: Bool
    ) -> Result<ParsedServer, ServerParseFailure> {
        let given = arguments.options
        let words = given.indices.filter { index in
            given[index] != Bytes(".") || index > 0 && ClientArguments.takesNextWord(given[index - 1])
        }.map { given[$0] }
        if words.contains(Bytes("--daemon")) {
            var options = TransferOptions()
            options.amServer = true
            return .failure(ServerParseFailure(Bytes("Attempt to hack rsync thwarted!"), options: options))
        }
        let temp = module.tempDir.isEmpty ? settings.tempDirectory : module.tempDir
        return parser(
            ServerParseRequest(
                arguments: words, isComplete: isComplete, refuseOptions: module.refuseOptions,
                hasCharset: !module.charset.isEmpty, verbosity: settings.verbosity, tempDirectory: temp,
                log: { [log] in log.line($0) })
        ).map { parsed in
            var parsed = parsed
            adjust(&parsed.options, module, place.root)
            return parsed
        }
    }

    /// The module's own limits on what the client asked for.
    private func adjust(_ options: inout TransferOptions, _ module: ModuleParameters, _ root: ModuleRoot) {
        options.amServer = true
        options.amDaemon = true
        options.quiet = false
        options.protocolVersion = connection.protocolVersion
        options.mungeLinks = false
        if module.timeout > 0, options.timeoutSeconds <= 0 || options.timeoutSeconds > module.timeout {
            options.timeoutSeconds = module.timeout
        }
        if let limit = settings.bandwidthLimit, limit > 0, options.bandwidthLimit == 0 || options.bandwidthLimit > limit
        {
            options.bandwidthLimit = limit
        }
        // A client cannot switch on what the administrator did not.
        if module.fakeSuper {
            options.fakeSuper = true
            options.superUser = nil
            options.xattrs = min(options.xattrs, 1)
        } else if options.fakeSuper {
            options.fakeSuper = false
            options.superUser = true
        }
        if module.ignoreErrors { options.ignoreErrors = true }
        if let noatime = module.openNoatime { options.openNoatime = noatime }
        if module.dontCompress == Bytes("*") { options.compressesLeast = true }
        options.compressThreads = min(options.compressThreads, Limits.daemonCompressThreads)
        if module.transferLogging || settings.logFormat != nil { options.logsItems = true }
        VerbosityCaps.apply(module.maxVerbosity, to: &options)
        guard root.hasInnerBoundary else { return }
        func inside(_ path: Bytes) -> Bytes { ModulePaths.sanitize(path, root: root.directory) }
        options.tempDirectory = options.tempDirectory.map(inside)
        options.backupDirectory = options.backupDirectory.map(inside)
        // What stands in a partial directory's place may be removed: it must not be named from below with `..`.
        options.partialDirectory = options.partialDirectory.map(inside)
        // Relative ones may climb as far as the module's top; the engine resolves them below its pinned root.
        func insideIfAbsolute(_ path: Bytes) -> Bytes { path.first == UInt8(ascii: "/") ? inside(path) : path }
        options.alternateDirectories = options.alternateDirectories.map(insideIfAbsolute)
    }

    /// Whether an option names a directory that the daemon's filters hide.
    private func namesHiddenPath(_ options: TransferOptions, _ place: Place) -> Bool {
        let paths = [options.tempDirectory, options.backupDirectory, options.partialDirectory].compactMap { $0 }
        return paths.contains { path in
            let name = inModule(path, place)
            return name != Bytes(".") && place.filters.excludesPath(name, isDirectory: true)
        }
    }

    private func inModule(_ path: Bytes, _ place: Place) -> Bytes {
        var name = path
        if name.hasPrefix(place.root.directory) { name.removeFirst(place.root.directory.count) }
        return ModulePaths.sanitize(name)
    }

    private func logRequest(_ arguments: ClientArguments, _ options: TransferOptions) {
        let request = arguments.request
        if request.isEmpty { return }
        var line = Bytes("rsync ") + (options.amSender ? Bytes("on ") : Bytes("to ")) + request + Bytes(" from ")
        if !granted.user.isEmpty { line += granted.user + Bytes("@") }
        log.line(line + granted.hostName + Bytes(" (") + granted.address + Bytes(")"))
    }

    // MARK: - Transfer

    private func environment(_ module: ModuleParameters, _ place: Place, _ options: TransferOptions)
        -> SessionEnvironment
    {
        var environment = SessionEnvironment()
        environment.checksumList = Variables.value(Bytes("RSYNC_CHECKSUM_LIST"))
        environment.compressList = Variables.value(Bytes("RSYNC_COMPRESS_LIST"))
        environment.handshakeVersion = granted.protocolVersion
        environment.isDaemonSocket = !connection.isRemoteShell
        // A TLS connection has to be closed in order.
        environment.resetsOnRefusal = !connection.isRemoteShell && !(lines.channel is TLSChannel)
        environment.moduleName = module.name
        environment.modulePath = place.root.directory
        environment.workingDirectory = place.descriptor
        environment.sanitizesPaths = place.root.hasInnerBoundary
        environment.mungesSymlinks = place.munges
        environment.numericIDs = module.numericIDs ?? place.root.isChrooted
        environment.ignoresNonreadable = module.ignoreNonreadable
        environment.readOnly = module.readOnly
        if !module.charset.isEmpty { environment.charset = module.charset }
        environment.writeOnly = module.writeOnly
        let (chmod, word): (Bytes, StaticString) =
            options.amSender ? (module.outgoingChmod, "outgo") : (module.incomingChmod, "incom")
        if !chmod.isEmpty {
            if ModeChanges.isValid(chmod) {
                environment.moduleChmod = chmod
            } else {
                log.line(Bytes("Invalid \"") + Bytes(word) + Bytes("ing chmod\" directive: ") + chmod, level: .warning)
            }
        }
        return environment
    }

    private func makeSession(
        _ options: TransferOptions, _ module: ModuleParameters, _ place: Place, names: Bytes? = nil
    ) -> (session: Session, sink: TransferLog) {
        var logging = TransferLog.Settings()
        if module.transferLogging || settings.logFormat != nil {
            logging.format = settings.logFormat ?? module.logFormat
        }
        logging.hostName = granted.hostName
        logging.address = granted.address
        logging.user = granted.user
        logging.module = module.name
        logging.modulePath = place.root.outerPath
        logging.isDryRun = options.dryRun
        logging.usesStandardError = connection.isRemoteShell
        let sink = TransferLog(log, logging, amSender: options.amSender)
        var filterSettings = FilterList.Settings()
        filterSettings.side = options.amSender ? .sender : .receiver
        filterSettings.amServer = true
        filterSettings.deleteExcluded = options.deleteExcluded
        filterSettings.nulSeparated = options.fromZero
        filterSettings.role = options.amSender ? .sender : .unsplitReceiver
        filterSettings.workingDirectory = place.root.directory
        filterSettings.moduleDirectory = place.root.directory
        let reader = ModuleFilterFiles(
            root: place.descriptor, directory: place.root.directory, filters: place.filters,
            followsLinks: module.insecureLinks)
        let filters = FilterList(settings: filterSettings, reader: reader)
        var channel = lines.channel
        if options.bandwidthLimit > 0 {
            channel = RateLimitedChannel(channel, kibibytesPerSecond: options.bandwidthLimit)
        }
        var surroundings = environment(module, place, options)
        if let names, options.amSender {
            surroundings.filesFrom = NameList.names(names, nulSeparated: options.fromZero)
        } else {
            surroundings.filesFromForPeer = names
        }
        let session = Session(
            options: options, channel: channel, filters: filters,
            daemonFilters: place.filters.isEmpty ? nil : place.filters, environment: surroundings, sink: sink)
        return (session, sink)
    }

    private func transfer(
        _ parsed: ParsedServer, _ arguments: ClientArguments, _ module: ModuleParameters, _ place: Place, splits: Bool
    ) throws(TransferFailure) -> ExitCode {
        let options = parsed.options
        logRequest(arguments, options)
        if namesHiddenPath(options, place) || ModuleNameList.isHidden(options.filesFrom, place.filters) {
            return rejected(
                ServerParseFailure(Bytes("Your options have been rejected by the server."), options: options), module,
                place)
        }
        var names: Bytes?
        if let list = options.filesFrom, list != Bytes("-") {
            names = ModuleNameList.read(list, place.descriptor, filters: place.filters)
            guard names != nil else {
                // A relative name is shown as the client has it.
                let isAbsolute = list.first == UInt8(ascii: "/")
                let shown = isAbsolute ? place.root.directory.appendingComponent(ModulePaths.sanitize(list)) : list
                let text = Bytes("failed to open files-from file ") + shown + Bytes(text: ": \(errnoText(ENOENT))")
                return rejected(ServerParseFailure(text, options: options), module, place)
            }
        }
        let expander = ModulePaths(
            moduleName: module.name, sanitizes: place.root.hasInnerBoundary, relative: options.relative, splits: splits,
            daemonFilters: place.filters.isEmpty ? nil : place.filters)
        let paths = try expander.expand(arguments.paths)
        if !options.amSender, let target = paths.first, !place.filters.isEmpty {
            let name = ModulePaths.sanitize(Bytes(target.drop { $0 == UInt8(ascii: "/") }))
            if name != Bytes("."), place.filters.excludesPath(name, isDirectory: true) {
                let text = Bytes("ERROR: daemon has excluded destination \"") + name + Bytes("\"")
                return refused(
                    TransferFailure(.fileSelection, lines: [text]), options, module, place, hearsOut: true)
            }
            // Relative alternates count from the destination.
            let hides = options.alternateDirectories.contains { path in
                let isAbsolute = path.first == UInt8(ascii: "/")
                let whole = isAbsolute ? inModule(path, place) : ModulePaths.sanitize(name.appendingComponent(path))
                return whole != Bytes(".") && place.filters.excludesPath(whole, isDirectory: true)
            }
            if hides {
                let text = Bytes("Your options have been rejected by the server.")
                return refused(TransferFailure(.syntax, lines: [text]), options, module, place)
            }
            // From here on names are relative to the destination; the module's rules begin at its top.
            place.filters.settings.workingDirectory =
                name == Bytes(".") ? place.root.directory : place.root.directory.appendingComponent(name)
        }
        let (session, sink) = makeSession(options, module, place, names: names)
        do throws(TransferFailure) {
            try parsed.addFilters?(session.filters)
        } catch {
            let code = EngineServer.refuse(session, error)
            linger(session)
            return code
        }
        StopSignals.attach(session)
        let code = EngineServer.run(session, paths: paths)
        sink.finish(code)
        linger(session)
        return code
    }

    /// Leaves a client that was refused the time to read why; what it has sent stays unread.
    private func linger(_ session: Session) {
        guard session.hasRefused else { return session.channel.closeWriting() }
        lines.isAbandoned = true
        usleep(400_000)
    }

    /// Tells the client inside the protocol why its arguments are not accepted.
    private func rejected(_ failure: ServerParseFailure, _ module: ModuleParameters, _ place: Place) -> ExitCode {
        refused(
            TransferFailure(.unsupported, lines: [Bytes("rsync: ") + failure.message]), failure.options, module, place)
    }

    /// - Parameter hearsOut: what the client has sent is read first, so that the connection is not reset.
    private func refused(
        _ failure: TransferFailure, _ options: TransferOptions, _ module: ModuleParameters, _ place: Place,
        hearsOut: Bool = false
    ) -> ExitCode {
        var options = options
        options.amServer = true
        options.amDaemon = true
        options.protocolVersion = connection.protocolVersion
        let (session, _) = makeSession(options, module, place)
        _ = EngineServer.refuse(session, failure, hearsOut: hearsOut)
        linger(session)
        return failure.code
    }
}
