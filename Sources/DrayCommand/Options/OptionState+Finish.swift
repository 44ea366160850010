// Dray — what options imply, and which contradict each other.
// Layer: Command. Behaviour: chapter 05 §1.1, §1.3, §4.1; chapter 04 on implied options.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayWire
import Glibc

extension OptionState {
    /// Checks and resolves everything that was typed.
    mutating func finish(operands: [Bytes]) throws(TransferFailure) -> ParsedCommand {
        if client.oldDirs {
            recursion = max(recursion, 2)
            client.filters.append(.filter(Bytes("- /*/*")))
        }
        // In the order in which rsync finds fault with a line.
        try resolveAllocation()
        try resolveArguments()
        try resolveAlgorithms()
        try resolveBuffering()
        try checkConflicts()
        try resolveFilesFrom(operands)
        try resolveDeletion(operands)
        try checkConfinement()
        try resolveBackup()
        try resolvePartial()
        try checkFilesFrom()
        resolveBatch()
        resolveLevels()
        resolveFormats()
        options.omitDirTimes = omitDirTimes == true || (options.backup && options.backupDirectory == nil)
        client.omitDirTimesGiven = omitDirTimes == true && (!options.backup || options.backupDirectory != nil)
        options.fuzzy = fuzzyCount
        options.iconv = iconv == Bytes("-") && !options.amServer ? nil : iconv
        if options.iconv != nil { client.given.insert("iconv") }
        options.connectTimeoutSeconds = max(0, client.contimeout ?? 0)
        var command = ParsedCommand()
        command.options = options
        command.client = client
        command.operands = operands
        return command
    }

    // MARK: - Arguments of the far side

    private mutating func resolveArguments() throws(TransferFailure) {
        guard !options.amServer else { return }
        if oldArgs == nil && secluded != true, let text = context.environment("RSYNC_OLD_ARGS"), !text.isEmpty {
            let isNegative = text.first == UInt8(ascii: "-")
            let level = Int(parseDecimal(text.dropFirst(isNegative ? 1 : 0).prefix { $0.isASCIIDigit }) ?? 0)
            oldArgs = isNegative ? min(level, 1) : level
            // Whatever the variable says, RSYNC_PROTECT_ARGS is not asked.
            secluded = false
        }
        if let level = oldArgs, level > 0 {
            if secluded == true { throw complaint("--secluded-args conflicts with --old-args.") }
            secluded = false
        }
        if secluded == nil, let text = context.environment("RSYNC_PROTECT_ARGS"), !text.isEmpty {
            let digits = text.first == UInt8(ascii: "-") ? text.dropFirst() : text[...]
            secluded = (parseDecimal(digits.prefix { $0.isASCIIDigit }) ?? 0) != 0
        }
        options.secludedArguments = secluded == true
        options.oldArguments = oldArgs ?? 0
    }

    private mutating func resolveAllocation() throws(TransferFailure) {
        guard let text = client.maxAllocText else { return }
        let value = try size(text, "max-alloc", minimum: 1 << 20)
        options.maxAllocation = value == 0 ? .max : value
    }

    private mutating func resolveBuffering() throws(TransferFailure) {
        guard let outbuf else { return }
        switch outbuf.first?.asciiLowercased {
        case UInt8(ascii: "n"), UInt8(ascii: "u"): client.outputBuffering = OutputBuffering.none
        case UInt8(ascii: "l"): client.outputBuffering = .line
        case UInt8(ascii: "b"), UInt8(ascii: "f"): client.outputBuffering = .block
        default: throw complaint("Invalid --outbuf setting -- specify N, L, or B.")
        }
    }

    // MARK: - Conflicts

    private func checkConflicts() throws(TransferFailure) {
        if options.fakeSuper && options.xattrs > 1 { throw complaint("--fake-super conflicts with -XX") }
        if client.writeBatch != nil && client.readBatch != nil {
            throw complaint("--write-batch and --read-batch can not be used together")
        }
        if client.readBatch != nil {
            if filesFrom != nil { throw complaint("--read-batch cannot be used with --files-from") }
            if options.removeSourceFiles > 0 {
                let word = options.removeSourceFiles == 1 ? "source" : "sent"
                throw complaint("--read-batch cannot be used with --remove-\(word)-files")
            }
        }
        if let batch = client.writeBatch ?? client.readBatch, batch.count > 256 {
            throw complaint("the batch-file name must be 256 characters or less.")
        }
        if let temporary = options.tempDirectory, temporary.count >= Limits.maxPath - 10 {
            throw complaint("the --temp-dir path is WAY too long.")
        }
    }

    private func checkConfinement() throws(TransferFailure) {
        if let root = client.confineRoot, root.first != UInt8(ascii: "/") {
            throw complaint("--confine-root must be an absolute path")
        }
        if client.insecureLinks && client.confineRoot != nil {
            throw complaint("--insecure-links cannot be combined with --confine-root")
        }
    }

    // MARK: - Recursion and deletion

    private mutating func resolveFilesFrom(_ operands: [Bytes]) throws(TransferFailure) {
        if let list = filesFrom {
            client.filesFromGiven = list
            if !options.amServer && operands.count != 2 && !operands.isEmpty {
                wantsUsage = true
                throw TransferFailure(.syntax)
            }
            if options.amServer {
                if list != Bytes("-") && hostPart(list) != nil {
                    throw complaint("The --files-from sent to the server cannot specify a host.")
                }
                options.filesFrom = list
            } else if let (host, path) = hostPart(list) {
                options.filesFrom = path
                options.filesFromHost = host
            } else {
                options.filesFrom = list
            }
            // Recursion by -a is given up; by name it stays.
            if recursion == 1 { recursion = 0 }
        }
        options.recursive = recursion > 0
        options.relative = relative ?? (filesFrom != nil)
        let isListing = client.listOnlyGiven || (!options.amServer && operands.count == 1 && client.readBatch == nil)
        options.listOnly = isListing
        options.dirs = dirs ?? (options.recursive || isListing || filesFrom != nil)
        if options.recursive { options.dirs = true }
    }

    private func checkFilesFrom() throws(TransferFailure) {
        guard !options.amServer, options.filesFromHost == nil, let list = options.filesFrom, list != Bytes("-") else {
            return
        }
        var status = stat()
        // What can be read only once is left alone.
        let isPipe = list.withCString { stat($0, &status) } == 0 && status.st_mode & S_IFMT == S_IFIFO
        if isPipe && list.withCString({ access($0, R_OK) }) == 0 { return }
        let descriptor = FilesFromList.open(list, options)
        if descriptor < 0 { throw FilesFromList.refusal(list, -descriptor, options) }
        close(descriptor)
    }

    private func hostPart(_ list: Bytes) -> (Bytes, Bytes)? {
        guard let colon = list.firstIndex(of: UInt8(ascii: ":"), from: 0) else { return nil }
        if list[..<colon].contains(UInt8(ascii: "/")) { return nil }
        var path = Bytes(list[(colon + 1)...])
        if path.first == UInt8(ascii: ":") { path.removeFirst() }
        return (Bytes(list[..<colon]), path)
    }

    private mutating func resolveDeletion(_ operands: [Bytes]) throws(TransferFailure) {
        let timed = deleteTimes.subtracting([.delete])
        if timed.count > 1 { throw complaint("You may not combine multiple --delete-WHEN options.") }
        switch timed.first {
        case .deleteBefore: options.deleteMode = .before
        case .deleteDuring: options.deleteMode = .during
        case .deleteDelay: options.deleteMode = .delay
        case .deleteAfter: options.deleteMode = .after
        default:
            if deleteTimes.contains(.delete) || options.deleteExcluded { options.deleteMode = .unspecified }
        }
        if options.deletes && !options.transfersDirectories {
            throw complaint("--delete does not work without --recursive (-r) or --dirs (-d).")
        }
        if missingArgsDelete { options.missingArgs = .delete }
    }

    // MARK: - Backup and partial files

    private mutating func resolveBackup() throws(TransferFailure) {
        if let suffix, suffix.contains(UInt8(ascii: "/")) {
            throw complaint(Bytes("--suffix cannot contain slashes: ") + suffix)
        }
        if let directory = backupDir {
            var clean = directory
            while clean.hasPrefix(Bytes("./")) && clean.count > 2 { clean.removeFirst(2) }
            if clean.count > 3968 { throw complaint("the --backup-dir path is WAY too long.") }
            options.backup = true
            options.backupDirectory = clean
            options.backupSuffix = suffix ?? []
            let isDestination =
                clean.first != UInt8(ascii: "/")
                && clean.fields { $0 == UInt8(ascii: "/") }.allSatisfy { $0 == Bytes(".") }
            if options.backupSuffix.isEmpty && isDestination {
                throw complaint("--suffix cannot be empty when --backup-dir is the same as the dest dir")
            }
            return
        }
        options.backupSuffix = suffix ?? Bytes("~")
        if options.backupSuffix.isEmpty { throw complaint("--suffix cannot be empty without a --backup-dir") }
    }

    private mutating func resolvePartial() throws(TransferFailure) {
        if options.append != .off {
            if options.wholeFile == true { throw complaint("--append cannot be used with --whole-file") }
            options.inplace = true
        }
        if options.writeDevices { options.inplace = true }
        if options.inplace {
            let name = options.append != .off ? "--append" : "--inplace"
            if partialDir != nil { throw complaint("\(name) cannot be used with --partial-dir") }
            if options.delayUpdates { throw complaint("\(name) cannot be used with --delay-updates") }
            options.partial = false
            return
        }
        if partialDir == nil && options.partial && !options.delayUpdates && !options.amServer,
            let directory = context.environment("RSYNC_PARTIAL_DIR"), !directory.isEmpty
        {
            partialDir = directory
        }
        if var directory = partialDir {
            while directory.count > 1 && directory.last == UInt8(ascii: "/") { directory.removeLast() }
            options.partial = true
            if !directory.isEmpty && directory != Bytes(".") {
                options.partialDirectory = directory
                client.partialDirGiven = true
            }
        }
        if options.delayUpdates && options.partialDirectory == nil {
            options.partialDirectory = Bytes(".~tmp~")
        }
        if options.delayUpdates { options.partial = true }
    }

    // MARK: - Algorithms

    private mutating func resolveAlgorithms() throws(TransferFailure) {
        if var choice = options.checksumChoice {
            let known = ["xxh128", "xxh3", "xxh64", "xxhash", "md5", "md4", "sha1", "none", "auto"]
            let parts = choice.split(separator: UInt8(ascii: ","), maxSplits: 1, omittingEmptySubsequences: false)
            for (index, part) in parts.enumerated() {
                let name = String(decoding: part, as: UTF8.self)
                // The first is complained of with all that follows it.
                if !known.contains(name.lowercased()) {
                    throw unknown("checksum", index == 0 ? choice.displayText : name)
                }
            }
            if parts.first.map({ String(decoding: $0, as: UTF8.self).lowercased() }) == "none" {
                options.wholeFile = true
            }
            if parts.allSatisfy({ $0.map(\.asciiLowercased) == Bytes("auto") }) { choice = [] }
            options.checksumChoice = choice.isEmpty ? nil : choice
        }
        if let method = compressMethod {
            let name = method.displayText.lowercased()
            if name != "auto" && CompressionMethod(name: method) == nil {
                throw unknown("compress", method.displayText)
            }
            options.compressChoice = name == "auto" ? nil : method
        }
        if let choice = options.compressChoice {
            options.compress = CompressionMethod(name: choice) != CompressionMethod.none
        } else {
            options.compress = compressCount > 0 || options.compressLevel != nil
        }
        if options.compress { client.given.insert("compress") }
        // The letter goes only where -z itself was typed, and with forced zlib.
        client.compressLetter =
            options.compressChoice.map { CompressionMethod(name: $0) == .zlib } ?? (compressCount > 0)
    }

    private func unknown(_ kind: String, _ name: String) -> TransferFailure {
        TransferFailure(.unsupported, lines: [Bytes(text: "unknown \(kind) name: \(name)")])
    }

    /// A dry run writes no batch, and a server takes only the word that its client writes one instead of the tree.
    private mutating func resolveBatch() {
        if options.dryRun {
            client.writeBatch = nil
            client.onlyWriteBatch = false
        }
        options.writesBatch = client.writeBatch != nil && !options.amServer
        options.onlyWritesBatch = client.onlyWriteBatch
        options.readsBatch = client.readBatch != nil && !options.amServer
        // Nothing is to change but the batch file.
        if client.onlyWriteBatch { options.dryRun = true }
    }

    // MARK: - Output

    private mutating func resolveLevels() {
        // The forms for people and programs replace rsync's, and the names that come with it.
        if client.progressBar || client.progressJSON { progress = false }
        for flag in InfoLevels.Flag.allCases {
            var implied = WordLevels<InfoLevels.Flag>.implied(flag, verbosity: options.verbosity)
            if options.statistics && flag == .stats { implied = max(implied, options.verbosity > 1 ? 3 : 2) }
            if progress && !options.amServer {
                switch flag {
                case .name, .progress: implied = max(implied, 1)
                case .flist: implied = 2
                default: break
                }
            }
            options.info[flag] = info[flag] ?? implied
        }
        for flag in DebugLevels.Flag.allCases {
            options.debug[flag] = debug.level(flag, verbosity: options.verbosity)
        }
        client.infoWords = info.explicit
        client.infoForReceiver = info.forwarded(toReceiver: true)
        client.infoForSender = info.forwarded(toReceiver: false)
        if client.progressBar || client.progressJSON { options.info[.progress] = max(2, options.info[.progress]) }
    }

    private mutating func resolveFormats() {
        if let format = outFormatGiven {
            client.outFormat = format
        } else if options.itemize > 0 {
            client.outFormat = Bytes("%i %n%L")
        } else if options.info[.name] > 0 && !options.amServer {
            client.outFormat = Bytes("%n%L")
        }
        if client.logFile?.isEmpty == true { client.logFile = nil }
        if client.logFile != nil && client.logFormat == nil { client.logFormat = Bytes("%i %n%L") }
        client.itemizeGiven = options.itemize
        options.outputFormat = client.outFormat
        if options.amServer, let format = client.outFormat {
            // A client says by its format which records it wants.
            if ItemFormat.contains(format, "I") { options.itemize = 2 }
        }
        let formats = [client.outFormat, client.logFile == nil ? nil : client.logFormat].compactMap(\.self)
        options.logsItems = !formats.isEmpty
        options.showsSums = formats.contains { ItemFormat.contains($0, "C") }
        // The log's own format changes nothing of what is said about a file.
        if options.itemize == 0, let format = client.outFormat, ItemFormat.contains(format, "i") { options.itemize = 1 }
    }
}
