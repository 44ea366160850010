// Dray — the words that start the server on the other side.
// Layer: Command. Wire format: chapter 01 §9.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayEngine
import DrayFiles

/// Builds `--server …` from the client's options.
public struct ServerArguments: Sendable, Equatable {
    /// Words on the command line of the server.
    public private(set) var visible: [Bytes] = []
    /// Words sent through the connection (`--secluded-args`); nil if everything is visible.
    public private(set) var secluded: [Bytes]?

    private enum Escape { case path, option, remoteOption }

    /// - Parameters:
    ///   - paths: the sources (pull) or the one destination (push).
    ///   - toDaemon: paths are then not escaped for a shell.
    public init(
        _ options: TransferOptions, _ client: ClientOptions, pushing: Bool, paths: [Bytes], toDaemon: Bool = false
    ) throws(TransferFailure) {
        var builder = Builder(options: options, client: client, pushing: pushing, toDaemon: toDaemon)
        builder.head()
        visible = builder.words
        if options.secludedArguments {
            builder.words = []
            builder.long()
            builder.tail(paths)
            secluded = builder.words
        } else {
            builder.long()
            builder.tail(paths)
            visible = builder.words
        }
        if builder.optionCount > 140 { throw TransferFailure(.syntax, "too many remote options specified.") }
    }

    /// The bytes that carry the secluded words: program name, words, an empty one, all NUL-terminated.
    ///
    /// - Parameter conversion: `--iconv`: the words travel in the character set of the wire.
    public func secludedBytes(_ conversion: CharacterConversion? = nil) -> Bytes? {
        guard let secluded else { return nil }
        var bytes = Bytes("rsync") + [0]
        for word in secluded {
            let wire = conversion?.toWire(message: word) ?? word
            bytes += (wire.isEmpty ? Bytes(".") : wire) + [0]
        }
        return bytes + [0]
    }

    // MARK: - Builder

    private struct Builder {
        let options: TransferOptions
        let client: ClientOptions
        let pushing: Bool
        let toDaemon: Bool
        var words: [Bytes] = []
        var optionCount = 0

        mutating func add(_ text: String) { words.append(Bytes(text: text)) }

        mutating func head() {
            add("--server")
            if !pushing { add("--sender") }
            let letters = self.letters()
            if letters.count > 1 { words.append(letters) }
            if let charset = options.iconv {
                let comma = charset.firstIndex(of: UInt8(ascii: ","))
                let remote = comma.map { Bytes(charset[($0 + 1)...]) } ?? charset
                words.append(Bytes("--iconv=") + escape(remote, .option))
            }
        }

        private func letters() -> Bytes {
            var letters = Bytes("-")
            func put(_ condition: Bool, _ text: StaticString) -> Bytes { condition ? Bytes(text) : [] }
            func repeated(_ count: Int, _ letter: Unicode.Scalar) -> Bytes {
                Bytes(repeating: UInt8(ascii: letter), count: max(0, count))
            }
            let isClientMode = options.standardErrorMode == .client
            let directories = options.dirs && !options.recursive
            letters += put(options.secludedArguments, "s") + repeated(min(9, options.verbosity), "v")
            letters += put(options.quiet && !isClientMode, "q") + put(options.backup, "b")
            letters +=
                put(options.update, "u") + put(options.dryRun && !options.onlyWritesBatch, "n")
                + put(options.links, "l")
            letters += put(
                directories && (client.dirsGiven || options.listOnly || (pushing && options.deletes)), "d")
            if pushing {
                letters += put(options.keepDirlinks, "K") + put(options.pruneEmptyDirs, "m")
                letters += put(client.omitDirTimesGiven, "O") + put(options.omitLinkTimes, "J")
                letters += put(options.fuzzy > 0, "y")
                letters += put(options.fuzzy > 1 && !options.alternateDirectories.isEmpty, "y")
            } else {
                letters += put(options.copyLinks, "L") + put(options.copyDirlinks, "k")
            }
            letters += put(options.wholeFile == true, "W") + repeated(min(2, options.hardLinks), "H")
            letters += put(options.owner, "o") + put(options.group, "g") + put(options.devices, "D")
            letters += put(options.times, "t") + repeated(min(2, options.atimes), "U")
            letters += options.perms ? Bytes("p") : put(pushing && options.executability, "E")
            letters += put(options.acls, "A") + repeated(min(2, options.xattrs), "X")
            letters += put(options.recursive, "r") + put(options.checksum, "c") + put(options.cvsExclude, "C")
            letters += put(options.ignoreTimes, "I") + put(options.relative, "R")
            letters += repeated(min(2, options.oneFileSystem), "x") + put(options.sparse, "S")
            letters += put(client.compressLetter, "z")
            if options.protocolVersion >= 30 {
                letters += Bytes("e.") + put(allowsIncremental, "i") + Bytes("LsfxCIvu")
                letters += put(options.announcesExtensions, "Y")
            }
            return letters
        }

        private var allowsIncremental: Bool {
            var own = options
            own.amSender = pushing
            return Session.allowsIncremental(own)
        }

        mutating func long() {
            let start = words.count
            outputOptions()
            dataOptions()
            if pushing { pushLimits() }
            if !pushing, let list = options.skipCompress { value("--skip-compress=", list) }
            if let text = client.maxAllocText, options.maxAllocation != Limits.defaultMaxAllocation {
                value("--max-alloc=", text)
            }
            if options.missingArgs == .delete {
                add("--delete-missing-args")
            } else if !pushing && options.missingArgs == .ignore {
                add("--ignore-missing-args")
            }
            if pushing && client.modifyWindowGiven {
                add(options.modifyWindow < 0 ? "-@\(options.modifyWindow)" : "--modify-window=\(options.modifyWindow)")
            }
            if options.checksumSeed != 0 { add("--checksum-seed=\(options.checksumSeed)") }
            if pushing {
                if let directory = options.partialDirectory, client.partialDirGiven { pair("--partial-dir", directory) }
                if options.delayUpdates {
                    add("--delay-updates")
                } else if options.partial && !client.partialDirGiven {
                    add("--partial")
                }
            }
            if options.ignoreErrors { add("--ignore-errors") }
            if options.copyUnsafeLinks { add("--copy-unsafe-links") }
            if options.safeLinks { add("--safe-links") }
            if options.numericIDs { add("--numeric-ids") }
            if options.qsort { add("--use-qsort") }
            if pushing { pushSettings() }
            if let info = pushing ? client.infoForReceiver : client.infoForSender { add("--info=" + info) }
            updateOptions()
            remainder()
            optionCount += words.count - start
        }

        private mutating func outputOptions() {
            if client.listOnlyGiven { add("--list-only") }
            if pushing && options.dirs && !options.recursive && options.deletes { add("--no-r") }
            if let level = options.compressLevel { add("--compress-level=\(level)") }
            if options.devices && !options.specials { add("--no-specials") }
            if options.specials && !options.devices { add("--specials") }
            if pushing, let format = client.outFormat {
                if client.itemizeGiven > 1 {
                    add("--log-format=%i%I")
                } else if ItemFormat.contains(format, "i") {
                    add("--log-format=%i")
                } else if ItemFormat.contains(format, "o") {
                    add("--log-format=%o")
                } else if options.verbosity == 0 {
                    add("--log-format=X")
                }
            }
            if options.standardErrorMode == .all { add("--msgs2stderr") }
            if options.standardErrorMode == .client { add("--no-msgs2stderr") }
        }

        private mutating func dataOptions() {
            if options.blockSize > 0 { add("-B\(options.blockSize)") }
            if options.timeoutSeconds > 0 { add("--timeout=\(options.timeoutSeconds)") }
            if options.bandwidthLimit > 0 { add("--bwlimit=\(options.bandwidthLimit)") }
            if let directory = options.backupDirectory { pair("--backup-dir", directory) }
            if options.backupSuffix != (options.backupDirectory == nil ? Bytes("~") : []) {
                value("--suffix=", options.backupSuffix)
            }
            if let choice = options.checksumChoice { value("--checksum-choice=", choice) }
            if let choice = options.compressChoice {
                switch choice.displayText.lowercased() {
                case "zlibx": add("--new-compress")
                case "zlib": add("--old-compress")
                default: value("--compress-choice=", choice)
                }
            }
        }

        private mutating func pushLimits() {
            if let limit = options.maxDelete { add(limit > 0 ? "--max-delete=\(limit)" : "--max-delete=-1") }
            if let size = options.minSize { add("--min-size=\(size)") }
            if let size = options.maxSize { add("--max-size=\(size)") }
            switch options.deleteMode {
            case .none: break
            case .before: add("--delete-before")
            case .delay: add("--delete-delay")
            case .during: add("--delete-during")
            case .after: add("--delete-after")
            case .unspecified: if !options.deleteExcluded { add("--delete") }
            }
            if options.deleteExcluded { add("--delete-excluded") }
            if options.force { add("--force") }
            if client.onlyWriteBatch { add("--only-write-batch=X") }
            if options.superUser == true { add("--super") }
            if options.sizeOnly { add("--size-only") }
            if options.statistics { add("--stats") }
        }

        private mutating func pushSettings() {
            if let map = options.userMap { value("--usermap=", map) }
            if let map = options.groupMap { value("--groupmap=", map) }
            if options.ignoreExisting { add("--ignore-existing") }
            if options.existingOnly { add("--existing") }
            if let directory = options.tempDirectory { pair("--temp-dir", directory) }
            if options.fsync { add("--fsync") }
            let name: StaticString =
                switch options.alternateKind {
                case .copy: "--copy-dest"
                case .link: "--link-dest"
                default: "--compare-dest"
                }
            for directory in options.alternateDirectories { pair(name, directory) }
        }

        private mutating func updateOptions() {
            if options.append != .off {
                add("--append")
                if options.append == .verify { add("--append") }
            } else if options.inplace {
                add("--inplace")
                if pushing && options.sparse && options.wholeFile == false { add("--no-W") }
            }
            guard let list = options.filesFrom else { return }
            if options.filesFromHost != nil {
                pair("--files-from", list)
                if options.fromZero { add("--from0") }
            } else if pushing {
                return
            } else {
                add("--files-from=-")
                add("--from0")
            }
            if !options.relative { add("--no-relative") }
        }

        private mutating func remainder() {
            if options.relative && !options.impliedDirs && (!pushing || options.protocolVersion >= 30) {
                add("--no-implied-dirs")
            }
            if pushing && options.writeDevices { add("--write-devices") }
            if options.removeSourceFiles == 1 { add("--remove-source-files") }
            if options.removeSourceFiles == 2 { add("--remove-sent-files") }
            if !pushing && options.copyDevices { add("--copy-devices") }
            if pushing && options.preallocate { add("--preallocate") }
            if options.openNoatime && options.atimes < 2 { add("--open-noatime") }
            if pushing && options.mkpath { add("--mkpath") }
            for option in options.remoteOptions { words.append(escape(option, .remoteOption)) }
        }

        mutating func tail(_ paths: [Bytes]) {
            words.append(Bytes("."))
            for path in paths { words.append(toDaemon ? path : escape(path, .path)) }
        }

        private mutating func value(_ name: StaticString, _ text: Bytes) {
            words.append(Bytes(name) + escape(text, .option))
        }

        private mutating func pair(_ name: StaticString, _ text: Bytes) {
            words.append(Bytes(name))
            words.append(escape(text, .option))
        }

        // MARK: - Escaping

        private func escape(_ text: Bytes, _ mode: Escape) -> Bytes {
            var text = text
            if mode == .path && text.first == UInt8(ascii: "-") { text = Bytes("./") + text }
            if options.secludedArguments || options.oldArguments >= 2 { return text }
            if options.oldArguments == 1 && mode != .option { return text }
            let special = Bytes("!#$&;|<>(){}\"'` \t\n\r")
            let wild = Bytes("*?[]")
            var result: Bytes = []
            if mode == .path && protectsTilde(text) { result.append(UInt8(ascii: "\\")) }
            for (index, byte) in text.enumerated() {
                let next = index + 1 < text.count ? text[index + 1] : 0
                if byte == UInt8(ascii: "\\") {
                    if mode != .path || !wild.contains(next) { result.append(byte) }
                } else if special.contains(byte) || (mode != .path && wild.contains(byte)) {
                    result.append(UInt8(ascii: "\\"))
                }
                result.append(byte)
            }
            return result
        }

        private func protectsTilde(_ path: Bytes) -> Bool {
            guard path.first == UInt8(ascii: "~"), !pushing, !options.trustSender, options.filesFromHost == nil else {
                return false
            }
            if options.relative {
                let marker = Bytes("/./")
                return !path.indices.contains { path[$0...].starts(with: marker) }
            }
            return !path.contains(UInt8(ascii: "/"))
        }
    }
}
