// Dray — the effect of each option, and the state while a command line is read.
// Layer: Command. Behaviour: chapter 05 §1.2, §1.3.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Options as typed so far; `finish` (OptionState+Finish.swift) resolves what they imply.
struct OptionState: Sendable {
    var options = TransferOptions()
    var client = ClientOptions()
    let context: ParseContext
    var versionCount = 0
    /// 0 no, 1 through `-a`, 2 by name.
    var recursion = 0
    var dirs: Bool?
    var relative: Bool?
    var secluded: Bool?
    var oldArgs: Int?
    var compressCount = 0
    var compressMethod: Bytes?
    var partialDir: Bytes?
    var suffix: Bytes?
    var backupDir: Bytes?
    var omitDirTimes: Bool?
    var deleteTimes: Set<OptionID> = []
    var progress = false
    var perDirectoryCount = 0
    var fuzzyCount = 0
    var userMapFromChown = false
    var groupMapFromChown = false
    var info = WordLevels<InfoLevels.Flag>()
    var debug = WordLevels<DebugLevels.Flag>()
    var filesFrom: Bytes?
    var iconv: Bytes?
    private var environmentIconv: Bytes?
    var outFormatGiven: Bytes?
    var outbuf: Bytes?
    var missingArgsDelete = false
    var stopRequested = false
    /// The operands are so few or many that only the whole help says what is wrong.
    var wantsUsage = false

    init(context: ParseContext) {
        self.context = context
        guard !context.fromNetwork else { return }
        client.maxAllocText = context.environment("RSYNC_MAX_ALLOC").flatMap { $0.isEmpty ? nil : $0 }
        environmentIconv = context.environment("RSYNC_ICONV").flatMap { $0.isEmpty ? nil : $0 }
        iconv = environmentIconv
    }

    // MARK: - Errors

    /// `rsync: WORD: REASON`
    func wordError(_ word: Bytes, _ reason: String) -> TransferFailure {
        let place = options.amServer ? Bytes("on remote machine: ") : []
        return complaint(place + word + Bytes(text: ": " + reason))
    }

    func complaint(_ text: String) -> TransferFailure { complaint(Bytes(text: text)) }

    func complaint(_ text: Bytes) -> TransferFailure {
        TransferFailure(.syntax, lines: [Bytes("rsync: ") + text], role: options.amServer ? .server : .client)
    }

    // MARK: - Effects

    mutating func apply(_ row: OptionRow, isOn: Bool, value: Bytes, number: Int32) throws(TransferFailure) {
        let name = row.names.first ?? row.short.map { String(Unicode.Scalar($0)) } ?? ""
        if isOn { client.given.insert(name) } else { client.given.remove(name) }
        if applyFlag(row.id, isOn) { return }
        if applyNumber(row.id, isOn, Int(number)) { return }
        if applyText(row.id, value) { return }
        try applyOther(row.id, isOn, value)
    }

    private mutating func applyFlag(_ id: OptionID, _ isOn: Bool) -> Bool {
        func counted(_ current: Int) -> Int { isOn ? current + 1 : 0 }
        switch id {
        case .version: versionCount += 1
        case .verbose: options.verbosity = counted(options.verbosity)
        case .messagesToStandardError: setStandardError(isOn ? .all : .client)
        case .quiet: options.quiet = true
        case .motd: client.motd = isOn
        case .stats: options.statistics = true
        case .humanReadable: options.humanReadable = counted(options.humanReadable)
        case .dryRun: options.dryRun = true
        case .archive: applyArchive()
        case .recursive: recursion = isOn ? 2 : 0
        case .incrementalRecursion: options.incrementalRecursion = isOn
        case .dirs:
            dirs = isOn
            client.dirsGiven = isOn
            client.oldDirs = false
        case .oldDirs: client.oldDirs = true
        case .perms: options.perms = isOn
        case .executability: options.executability = true
        case .acls:
            options.acls = isOn
            if isOn { options.perms = true }
        case .xattrs: options.xattrs = counted(options.xattrs)
        case .times: options.times = isOn
        case .atimes: options.atimes = counted(options.atimes)
        case .openNoatime: options.openNoatime = isOn
        case .omitDirTimes: omitDirTimes = isOn
        case .omitLinkTimes: options.omitLinkTimes = isOn
        case .superUser:
            options.superUser = isOn
            options.fakeSuper = false
        case .fakeSuper:
            options.fakeSuper = true
            options.superUser = nil
        case .owner: options.owner = isOn
        case .group: options.group = isOn
        case .devicesAndSpecials:
            options.devices = isOn
            options.specials = isOn
        case .devices: options.devices = isOn
        case .specials: options.specials = isOn
        case .copyDevices: options.copyDevices = true
        case .writeDevices: options.writeDevices = isOn
        case .dropDevices: options.dropDevices = isOn
        case .links: options.links = isOn
        case .copyLinks: options.copyLinks = true
        case .copyUnsafeLinks: options.copyUnsafeLinks = true
        case .safeLinks: options.safeLinks = true
        case .mungeLinks: options.mungeLinks = isOn
        case .insecureLinks:
            client.insecureLinks = isOn
            options.insecureLinks = isOn
        case .copyDirlinks: options.copyDirlinks = true
        case .keepDirlinks: options.keepDirlinks = true
        case .hardLinks: options.hardLinks = counted(options.hardLinks)
        case .relative: relative = isOn
        case .impliedDirs: options.impliedDirs = isOn
        case .ignoreTimes: options.ignoreTimes = true
        case .sizeOnly: options.sizeOnly = true
        case .oneFileSystem: options.oneFileSystem = counted(options.oneFileSystem)
        case .update: options.update = true
        case .existing: options.existingOnly = true
        case .ignoreExisting: options.ignoreExisting = true
        case .sparse: options.sparse = isOn
        case .preallocate: options.preallocate = true
        case .inplace: options.inplace = isOn
        case .append:
            // A client sends the word twice for --append-verify.
            options.append = options.amServer && options.append != .off ? .verify : .append
        case .appendVerify: options.append = .verify
        case .noAppend: options.append = .off
        case .delete, .deleteDuring, .deleteBefore, .deleteAfter, .deleteDelay: deleteTimes.insert(id)
        case .deleteExcluded:
            options.deleteExcluded = true
            client.filters.append(.deleteExcluded)
        case .ignoreMissingArgs: options.missingArgs = .ignore
        case .deleteMissingArgs: missingArgsDelete = true
        case .removeSourceFiles: options.removeSourceFiles = 1
        case .removeSentFiles: options.removeSourceFiles = 2
        case .force: options.force = isOn
        case .ignoreErrors: options.ignoreErrors = isOn
        case .cvsExclude:
            options.cvsExclude = true
            client.filters.append(.cvsExclude)
        case .perDirectoryFilter:
            perDirectoryCount += 1
            if perDirectoryCount <= 2 { client.filters.append(.perDirectory(perDirectoryCount)) }
        case .wholeFile: options.wholeFile = isOn
        case .checksum: options.checksum = isOn
        case .fuzzy: fuzzyCount = counted(fuzzyCount)
        case .compress:
            compressCount = counted(compressCount)
            if compressCount > 1 { compressMethod = Bytes("zlibx") }
            if !isOn { compressMethod = nil }
        case .oldCompress: compressMethod = Bytes("zlib")
        case .newCompress: compressMethod = Bytes("zlibx")
        case .progressAndPartial:
            progress = true
            options.partial = true
        case .progress: progress = isOn
        case .partial: options.partial = isOn
        case .delayUpdates: options.delayUpdates = isOn
        case .pruneEmptyDirs: options.pruneEmptyDirs = isOn
        case .itemize: options.itemize = counted(options.itemize)
        case .backup: options.backup = isOn
        case .listOnly: client.listOnlyGiven = true
        case .from0:
            options.fromZero = isOn
            client.filters.append(.fromZero(isOn))
        case .oldArgs: oldArgs = counted(oldArgs ?? 0)
        case .secludedArgs: secluded = isOn
        case .trustSender: options.trustSender = true
        case .numericIDs: options.numericIDs = isOn
        case .fsync: options.fsync = true
        case .ipv4: client.family = .ipv4
        case .ipv6: client.family = .ipv6
        case .eightBit: options.eightBitOutput = isOn
        case .mkpath: options.mkpath = isOn
        case .qsort: options.qsort = true
        case .blockingIO: client.blockingIO = isOn
        case .server:
            // What this machine's environment says of character sets is for its clients.
            if iconv == environmentIconv { iconv = nil }
            options.amServer = true
        case .sender: options.amSender = true
        case .progressBar:
            client.progressBar = true
            progress = false
        default: return false
        }
        return true
    }

    private mutating func applyArchive() {
        if recursion == 0 { recursion = 1 }
        options.links = true
        options.perms = true
        options.times = true
        options.group = true
        options.owner = true
        options.devices = true
        options.specials = true
    }

    mutating func setStandardError(_ mode: TransferOptions.StandardErrorMode) {
        options.standardErrorMode = mode
        options.standardErrorGiven = true
    }

    private mutating func applyNumber(_ id: OptionID, _ isOn: Bool, _ number: Int) -> Bool {
        switch id {
        case .modifyWindow:
            options.modifyWindow = number
            client.modifyWindowGiven = true
        case .maxDelete: options.maxDelete = max(0, number)
        case .timeout: options.timeoutSeconds = isOn ? max(0, number) : 0
        case .contimeout: client.contimeout = isOn ? number : nil
        case .port: client.port = number
        case .protocolVersion: options.protocolVersion = Int32(clamping: number)
        case .checksumSeed: options.checksumSeed = Int32(clamping: number)
        case .compressLevel: options.compressLevel = number
        case .compressThreads: options.compressThreads = max(0, number)
        case .retries: client.retries = max(0, number)
        default: return false
        }
        return true
    }

    private mutating func applyText(_ id: OptionID, _ value: Bytes) -> Bool {
        switch id {
        case .checksumChoice: options.checksumChoice = value
        case .compressChoice: compressMethod = value
        case .skipCompress: options.skipCompress = value
        case .partialDir: partialDir = value
        case .logFile: client.logFile = value
        case .logFileFormat: client.logFormat = value
        case .outFormat: outFormatGiven = value
        case .outbuf: outbuf = value
        case .backupDir: backupDir = value
        case .suffix: suffix = value
        case .readBatch: client.readBatch = value
        case .writeBatch: client.writeBatch = value
        case .onlyWriteBatch:
            client.writeBatch = value
            client.onlyWriteBatch = true
        case .filesFrom: filesFrom = value
        case .tempDir: options.tempDirectory = value
        case .rsyncPath: client.rsyncPath = value
        case .copyAs: options.copyAs = value
        case .address: client.address = value
        case .sockopts: client.sockopts = value
        case .passwordFile: client.passwordFile = value
        case .earlyInput: client.earlyInput = value
        case .filter: client.filters.append(.filter(value))
        case .exclude: client.filters.append(.exclude(value))
        case .include: client.filters.append(.include(value))
        case .excludeFrom: client.filters.append(.excludeFrom(value))
        case .includeFrom: client.filters.append(.includeFrom(value))
        case .confineRoot:
            client.confineRoot = value
            options.confineRoot = value
        case .rsh: if options.amServer { options.clientInfo = value } else { client.rsh = value }
        case .tlsCA: client.tlsCA = value
        case .tlsCertificate: client.tlsCertificate = value
        case .tlsKey: client.tlsKey = value
        case .tlsServerName: client.tlsServerName = value
        case .tlsPin: client.tlsPin = value
        default: return false
        }
        return true
    }

    private mutating func applyOther(_ id: OptionID, _ isOn: Bool, _ value: Bytes) throws(TransferFailure) {
        switch id {
        case .stderrMode: try setStandardErrorMode(value)
        case .crtimes:
            if isOn { throw complaint(unsupportedHere("--crtimes (-N)")) }
        case .chmod:
            if !ModeChanges.isValid(value) {
                throw complaint(Bytes("Invalid argument passed to --chmod (") + value + Bytes(")"))
            }
            options.chmod.append(value)
        case .maxSize: options.maxSize = try size(value, "max-size")
        case .minSize: options.minSize = try size(value, "min-size")
        case .maxAlloc: client.maxAllocText = value
        case .blockSize:
            let limit = options.protocolVersion < 30 ? Limits.oldBlockLength : Limits.blockLength
            options.blockSize = Int32(try size(value, "block-size", maximum: Int64(limit)))
        case .bwlimit:
            if !isOn {
                options.bandwidthLimit = 0
                return
            }
            options.bandwidthLimit = try kibibytes(value)
        case .compareDest: try alternate(.compare, value)
        case .copyDest: try alternate(.copy, value)
        case .linkDest: try alternate(.link, value)
        case .userMap: try setMap(user: true, value)
        case .groupMap: try setMap(user: false, value)
        case .chown: try applyChown(value)
        case .stopAfter:
            let number = value.drop { $0.isASCIISpace }
            let sign = number.first == UInt8(ascii: "+") ? 1 : 0
            guard let minutes = parseDecimal(number.dropFirst(sign).prefix { $0.isASCIIDigit }), minutes > 0,
                minutes < 1 << 50
            else {
                throw complaint(Bytes("invalid --stop-after value: ") + value)
            }
            options.stopAt = StopTime.now + Int64(minutes) * 60
        case .stopAt:
            guard let moment = StopTime.parse(value, now: StopTime.now) else {
                throw complaint(Bytes("invalid --stop-at format: ") + value)
            }
            if moment <= StopTime.now { throw complaint(Bytes("--stop-at time is not in the future: ") + value) }
            options.stopAt = moment
        case .remoteOption:
            if value.first != UInt8(ascii: "-") {
                throw complaint(Bytes("Remote option must start with a dash: ") + value)
            }
            options.remoteOptions.append(value)
        case .iconv: iconv = isOn ? value : nil
        case .progressFormat:
            guard value == Bytes("json") else {
                throw complaint(Bytes("Invalid --progress-format (only json is known): ") + value)
            }
            client.progressJSON = true
        default: break
        }
    }

    func unsupportedHere(_ description: String) -> String {
        (options.amServer ? "The server does not support " : "This rsync does not support ") + description
    }

    private mutating func setStandardErrorMode(_ value: Bytes) throws(TransferFailure) {
        let word = value.displayText
        if !word.isEmpty && "errors".hasPrefix(word) {
            setStandardError(.errors)
        } else if !word.isEmpty && "all".hasPrefix(word) {
            setStandardError(.all)
        } else if !word.isEmpty && "client".hasPrefix(word) {
            setStandardError(.client)
        } else {
            throw complaint(Bytes("--stderr mode \"") + value + Bytes("\" is not one of errors, all, or client"))
        }
    }

    // MARK: - Values

    func size(
        _ text: Bytes, _ name: String, unit: Unicode.Scalar = "b", minimum: Int64? = nil, maximum: Int64? = nil
    ) throws(TransferFailure) -> Int64 {
        let subject = Bytes(text: "--\(name)=") + text
        let value: Int64
        do throws(SizeArgument.Failure) {
            value = try SizeArgument.parse(text, defaultUnit: UInt8(ascii: unit), maximum: maximum)
        } catch {
            if error == .invalid { throw complaint(subject + Bytes(" is invalid")) }
            throw complaint(subject + Bytes(" is too large") + limitText(maximum))
        }
        if let maximum, value > maximum { throw complaint(subject + Bytes(" is too large") + limitText(maximum)) }
        if let minimum, value != 0, value < minimum {
            let text = HumanNumber.format(minimum, level: 3)
            throw complaint(subject + Bytes(text: " is too small (min: \(text) or 0 for unlimited)"))
        }
        return value
    }

    private func limitText(_ maximum: Int64?) -> Bytes {
        guard let maximum else { return [] }
        return Bytes(text: " (max: \(HumanNumber.format(maximum, level: 3)))")
    }

    func kibibytes(_ text: Bytes) throws(TransferFailure) -> Int {
        let bytes = try size(text, "bwlimit", unit: "K", minimum: 512)
        // Compatibility: rsync keeps 32 bits of it.
        return max(0, Int(Int32(truncatingIfNeeded: (bytes + 512) / 1024)))
    }

    private mutating func alternate(_ kind: AlternateKind, _ directory: Bytes) throws(TransferFailure) {
        func name(_ kind: AlternateKind) -> String {
            switch kind {
            case .compare: "--compare-dest"
            case .copy: "--copy-dest"
            case .link: "--link-dest"
            }
        }
        if let other = options.alternateKind, other != kind {
            throw complaint("ERROR: the \(name(kind)) option conflicts with the \(name(other)) option")
        }
        options.alternateKind = kind
        if options.alternateDirectories.count >= Limits.alternateDirectories {
            throw complaint("ERROR: at most \(Limits.alternateDirectories) \(name(kind)) args may be specified")
        }
        options.alternateDirectories.append(directory)
    }

    private mutating func setMap(user: Bool, _ value: Bytes) throws(TransferFailure) {
        let name = user ? "--usermap" : "--groupmap"
        if (user ? options.userMap : options.groupMap) != nil {
            if user ? userMapFromChown : groupMapFromChown { throw complaint("\(name) conflicts with prior --chown.") }
            throw complaint("You can only specify \(name) once.")
        }
        if user { options.userMap = value } else { options.groupMap = value }
        noteMap(user: user)
    }

    /// Maps need owners; a later `--no-owner` still has its say.
    private mutating func noteMap(user: Bool) {
        if user { options.owner = true } else { options.group = true }
    }

    private mutating func applyChown(_ value: Bytes) throws(TransferFailure) {
        let colon = value.firstIndex(of: UInt8(ascii: ":"))
        let user = Bytes(value[..<(colon ?? value.count)])
        let group = colon.map { Bytes(value[($0 + 1)...]) } ?? []
        if !user.isEmpty {
            if options.userMap != nil {
                throw complaint(
                    userMapFromChown
                        ? "You can only specify a user-affecting --chown once."
                        : "--chown conflicts with prior --usermap.")
            }
            options.userMap = Bytes("*:") + user
            noteMap(user: true)
            userMapFromChown = true
        }
        if !group.isEmpty {
            if options.groupMap != nil {
                throw complaint(
                    groupMapFromChown
                        ? "You can only specify a group-affecting --chown once."
                        : "--chown conflicts with prior --groupmap.")
            }
            options.groupMap = Bytes("*:") + group
            noteMap(user: false)
            groupMapFromChown = true
        }
    }
}
