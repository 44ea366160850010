// Dray — the option table: one row per option of rsync's command line.
// Layer: Command. Behaviour: chapter 05 §1.2.
// SPDX-License-Identifier: Apache-2.0

/// What an option does; its effect is in `OptionState.apply`.
enum OptionID: UInt8, Sendable {
    case help, version, verbose, info, debug, stderrMode, messagesToStandardError, quiet, motd, stats, humanReadable
    case dryRun, archive, recursive, incrementalRecursion, dirs, oldDirs, perms, executability, acls, xattrs, times
    case atimes, openNoatime, crtimes, omitDirTimes, omitLinkTimes, modifyWindow, superUser, fakeSuper, owner, group
    case devicesAndSpecials, devices, specials, copyDevices, writeDevices, dropDevices, links, copyLinks
    case copyUnsafeLinks, safeLinks, mungeLinks, insecureLinks, confineRoot, copyDirlinks, keepDirlinks, hardLinks
    case relative, impliedDirs, chmod, ignoreTimes, sizeOnly, oneFileSystem, update, existing, ignoreExisting, maxSize
    case minSize, maxAlloc, sparse, preallocate, inplace, append, appendVerify, noAppend, deleteDuring, delete
    case deleteBefore, deleteAfter, deleteDelay, deleteExcluded, deleteMissingArgs, ignoreMissingArgs
    case removeSourceFiles, removeSentFiles, force, ignoreErrors, maxDelete, perDirectoryFilter, filter, exclude
    case include, excludeFrom, includeFrom, cvsExclude, wholeFile, checksum, checksumChoice, blockSize, compareDest
    case copyDest, linkDest, fuzzy, compress, oldCompress, newCompress, compressChoice, compressLevel
    case compressThreads, skipCompress, progressAndPartial, progress, partial, partialDir, delayUpdates
    case pruneEmptyDirs, logFile, logFileFormat, outFormat, itemize, bwlimit, backup, backupDir, suffix, listOnly
    case readBatch, writeBatch, onlyWriteBatch, filesFrom, from0, oldArgs, secludedArgs, trustSender, numericIDs
    case userMap, groupMap, chown, timeout, contimeout, fsync, stopAfter, stopAt, rsh, rsyncPath, tempDir, iconv, ipv4
    case ipv6, eightBit, mkpath, qsort, copyAs, address, port, sockopts, passwordFile, earlyInput, blockingIO, outbuf
    case remoteOption, protocolVersion, checksumSeed, server, sender, daemon, config, dparam, detach
    case tlsCA, tlsCertificate, tlsKey, tlsServerName, tlsPin, retries, progressBar, progressFormat
}

/// What follows an option.
enum ArgumentKind: Sendable { case none, integer, string }

/// One option: its spellings, its argument, its effect and its line in `--help`.
struct OptionRow: Sendable {
    let id: OptionID
    /// Long names without dashes; the first one names the option in messages.
    let names: [String]
    let short: UInt8?
    let argument: ArgumentKind
    /// Long names that mean the opposite.
    let negations: [String]
    /// Argument word and text of the help line; nil hides the option.
    let helpArgument: String?
    let help: String?

    /// `--NAME (-S)`, as refusals show it.
    var description: String { description(as: names.first ?? "") }

    /// The same for one of several names; the letter belongs to the first one.
    func description(as name: String) -> String {
        guard let short, name == names.first || names.isEmpty else { return "--" + name }
        let letter = String(Unicode.Scalar(short))
        // Compatibility: rsync has no long name to print either.
        return "--\(names.first ?? "(null)") (-\(letter))"
    }
}

/// The options of the transfer grammar, of the daemon grammar and of Dray's own client.
enum OptionTable {
    private static func on(
        _ id: OptionID, _ names: String, _ short: Unicode.Scalar, no: String = "", _ help: String
    ) -> OptionRow {
        make(id, names, short, .none, no, nil, help)
    }

    private static func on(_ id: OptionID, _ names: String, no: String = "", _ help: String? = nil) -> OptionRow {
        make(id, names, nil, .none, no, nil, help)
    }

    private static func text(
        _ id: OptionID, _ names: String, _ short: Unicode.Scalar, _ word: String, _ help: String
    ) -> OptionRow {
        make(id, names, short, .string, "", word, help)
    }

    private static func text(
        _ id: OptionID, _ names: String, no: String = "", _ word: String? = nil, _ help: String? = nil
    ) -> OptionRow {
        make(id, names, nil, .string, no, word, help)
    }

    private static func number(
        _ id: OptionID, _ names: String, _ short: Unicode.Scalar, _ word: String, _ help: String
    ) -> OptionRow {
        make(id, names, short, .integer, "", word, help)
    }

    private static func number(
        _ id: OptionID, _ names: String, no: String = "", _ word: String? = nil, _ help: String? = nil
    ) -> OptionRow {
        make(id, names, nil, .integer, no, word, help)
    }

    private static func make(
        _ id: OptionID, _ names: String, _ short: Unicode.Scalar?, _ kind: ArgumentKind, _ no: String, _ word: String?,
        _ help: String?
    ) -> OptionRow {
        OptionRow(
            id: id, names: names.split(separator: " ").map(String.init), short: short.map { UInt8(ascii: $0) },
            argument: kind, negations: no.split(separator: " ").map(String.init), helpArgument: word, help: help)
    }

    /// Rows of client and server mode, in the order of `--help`.
    static let transfer: [OptionRow] = output + selection + links + attributes + updating + deletion + data + rest

    private static let output: [OptionRow] = [
        on(.verbose, "verbose", "v", no: "no-verbose no-v", "say more"),
        text(.info, "info", "FLAGS", "choose informational output by word"),
        text(.debug, "debug", "FLAGS", "choose debugging output by word"),
        text(.stderrMode, "stderr", "e|a|c", "where messages go: errors, all or client"),
        on(.messagesToStandardError, "msgs2stderr", no: "no-msgs2stderr"),
        on(.quiet, "quiet", "q", "print errors only"),
        on(.motd, "motd", no: "no-motd", "show the daemon's greeting (--no-motd hides it)"),
        on(.checksum, "checksum", "c", no: "no-checksum no-c", "compare files by checksum, not by size and time"),
        on(.archive, "archive", "a", "same as -rlptgoD"),
    ]

    private static let selection: [OptionRow] = [
        on(.recursive, "recursive", "r", no: "no-recursive no-r", "descend into directories"),
        on(
            .incrementalRecursion, "inc-recursive i-r", no: "no-inc-recursive no-i-r",
            "build the file list while transferring (default)"),
        on(.relative, "relative", "R", no: "no-relative no-R", "keep the whole source path"),
        on(
            .impliedDirs, "implied-dirs i-d", no: "no-implied-dirs no-i-d",
            "with -R: send attributes of parent directories (default)"),
        on(.backup, "backup", "b", no: "no-backup", "keep replaced and deleted files"),
        text(.backupDir, "backup-dir", "DIR", "put backups below DIR"),
        text(.suffix, "suffix", "SUFFIX", "suffix of backups (~, or none with --backup-dir)"),
        on(.update, "update", "u", "skip files that are newer at the destination"),
        on(.inplace, "inplace", no: "no-inplace", "write into the destination file itself"),
        on(.append, "append", "add missing data at the end of shorter files"),
        on(.appendVerify, "append-verify", "--append, checking the old data too"),
        on(.noAppend, "no-append"),
        on(.dirs, "dirs", "d", no: "no-dirs no-d", "transfer directories without their contents"),
        on(.oldDirs, "old-dirs old-d", "--dirs for very old servers"),
        on(.mkpath, "mkpath", no: "no-mkpath", "create missing parents of the destination"),
    ]

    private static let links: [OptionRow] = [
        on(.links, "links", "l", no: "no-links no-l", "copy symlinks as symlinks"),
        on(.copyLinks, "copy-links", "L", "copy what symlinks point to"),
        on(.copyUnsafeLinks, "copy-unsafe-links", "copy what symlinks leading outside point to"),
        on(.safeLinks, "safe-links", "leave out symlinks leading outside"),
        on(.insecureLinks, "insecure-links", no: "no-insecure-links", "follow anybody's symlinks in given paths"),
        text(.confineRoot, "confine-root", "DIR", "given paths must lie inside DIR"),
        on(.mungeLinks, "munge-links", no: "no-munge-links", "make symlinks unusable but restorable"),
        on(.copyDirlinks, "copy-dirlinks", "k", "copy directories that symlinks point to"),
        on(.keepDirlinks, "keep-dirlinks", "K", "accept a symlink to a directory as the directory"),
        on(.hardLinks, "hard-links", "H", no: "no-hard-links no-H", "keep hard links"),
    ]

    private static let attributes: [OptionRow] = [
        on(.perms, "perms", "p", no: "no-perms no-p", "keep permissions"),
        on(.executability, "executability", "E", "keep only the executable bits"),
        text(.chmod, "chmod", "CHMOD", "change permissions on the way"),
        on(.acls, "acls", "A", no: "no-acls no-A", "keep ACLs (implies --perms)"),
        on(.xattrs, "xattrs", "X", no: "no-xattrs no-X", "keep extended attributes"),
        on(.owner, "owner", "o", no: "no-owner no-o", "keep the owner (root only)"),
        on(.group, "group", "g", no: "no-group no-g", "keep the group"),
        on(.devices, "devices", no: "no-devices", "keep device files (root only)"),
        on(.copyDevices, "copy-devices", "copy the contents of devices"),
        on(.writeDevices, "write-devices", no: "no-write-devices", "write into devices (implies --inplace)"),
        on(.specials, "specials", no: "no-specials", "keep sockets and FIFOs"),
        on(.dropDevices, "drop-D", no: "no-drop-D", "never create devices or special files here"),
        on(.devicesAndSpecials, "", "D", no: "no-D", "same as --devices --specials"),
        on(.times, "times", "t", no: "no-times no-t", "keep modification times"),
        on(.atimes, "atimes", "U", no: "no-atimes no-U", "keep access times"),
        on(.openNoatime, "open-noatime", no: "no-open-noatime", "do not touch access times while reading"),
        on(.crtimes, "crtimes", "N", no: "no-crtimes no-N", "keep creation times"),
        on(.omitDirTimes, "omit-dir-times", "O", no: "no-omit-dir-times no-O", "leave out directories from --times"),
        on(.omitLinkTimes, "omit-link-times", "J", no: "no-omit-link-times no-J", "leave out symlinks from --times"),
        on(.superUser, "super", no: "no-super", "try what only root may do"),
        on(.fakeSuper, "fake-super", "keep root's attributes in extended attributes"),
    ]

    private static let updating: [OptionRow] = [
        on(.sparse, "sparse", "S", no: "no-sparse no-S", "write runs of zeros as holes"),
        on(.preallocate, "preallocate", "reserve space before writing"),
        on(.dryRun, "dry-run", "n", "change nothing, show what would be done"),
        on(.wholeFile, "whole-file", "W", no: "no-whole-file no-W", "send whole files, no differences"),
        text(.checksumChoice, "checksum-choice cc", "STR", "checksum algorithm"),
        on(.oneFileSystem, "one-file-system", "x", no: "no-one-file-system no-x", "stay on one file system"),
        text(.blockSize, "block-size", "B", "SIZE", "fixed block length for differences"),
        text(.rsh, "rsh", "e", "COMMAND", "remote shell"),
        text(.rsyncPath, "rsync-path", "PROGRAM", "program to run on the remote machine"),
        on(.existing, "existing ignore-non-existing", "create no new files"),
        on(.ignoreExisting, "ignore-existing", "skip files that exist"),
        on(.removeSourceFiles, "remove-source-files", "delete source files that were transferred"),
        on(.removeSentFiles, "remove-sent-files"),
    ]

    private static let deletion: [OptionRow] = [
        on(.deleteDuring, "delete-during del", "delete extra files during the transfer"),
        on(.delete, "delete", "delete extra files at the destination"),
        on(.deleteBefore, "delete-before", "delete before the transfer"),
        on(.deleteDelay, "delete-delay", "find during, delete after the transfer"),
        on(.deleteAfter, "delete-after", "delete after the transfer"),
        on(.deleteExcluded, "delete-excluded", "delete excluded files too"),
        on(.ignoreMissingArgs, "ignore-missing-args", "no error for missing sources"),
        on(.deleteMissingArgs, "delete-missing-args", "delete missing sources at the destination"),
        on(.ignoreErrors, "ignore-errors", no: "no-ignore-errors", "delete in spite of read errors"),
        on(.force, "force", no: "no-force", "delete full directories that are in the way"),
        number(.maxDelete, "max-delete", "NUM", "delete at most NUM files"),
    ]

    private static let data: [OptionRow] = [
        text(.maxSize, "max-size", "SIZE", "skip larger files"),
        text(.minSize, "min-size", "SIZE", "skip smaller files"),
        text(.maxAlloc, "max-alloc", "SIZE", "limit of one memory allocation"),
        on(.partial, "partial", no: "no-partial", "keep partly transferred files"),
        text(.partialDir, "partial-dir", "DIR", "keep partly transferred files in DIR"),
        on(.delayUpdates, "delay-updates", no: "no-delay-updates", "put all files in place at the end"),
        on(.pruneEmptyDirs, "prune-empty-dirs", "m", no: "no-prune-empty-dirs no-m", "leave out empty directories"),
        on(.numericIDs, "numeric-ids", no: "no-numeric-ids", "keep numbers of owners, not names"),
        text(.userMap, "usermap", "STRING", "change owners"),
        text(.groupMap, "groupmap", "STRING", "change groups"),
        text(.chown, "chown", "USER:GROUP", "give everything to USER and GROUP"),
        number(.timeout, "timeout", no: "no-timeout", "SECONDS", "give up after silence"),
        number(.contimeout, "contimeout", no: "no-contimeout", "SECONDS", "give up connecting to a daemon"),
        on(.ignoreTimes, "ignore-times", "I", "look into files of equal size and time too"),
        on(.sizeOnly, "size-only", "compare sizes only"),
        number(.modifyWindow, "modify-window", "@", "NUM", "tolerance of time comparisons"),
        text(.tempDir, "temp-dir", "T", "DIR", "directory of temporary files"),
        on(.fuzzy, "fuzzy", "y", no: "no-fuzzy no-y", "look for a similar file as basis"),
        text(.compareDest, "compare-dest", "DIR", "compare with files in DIR too"),
        text(.copyDest, "copy-dest", "DIR", "... and copy unchanged files from there"),
        text(.linkDest, "link-dest", "DIR", "... and hard-link unchanged files"),
        on(.compress, "compress", "z", no: "no-compress no-z", "compress data on the way"),
        on(.oldCompress, "old-compress"), on(.newCompress, "new-compress"),
        text(.compressChoice, "compress-choice zc", "STR", "compression algorithm"),
        number(.compressLevel, "compress-level zl", "NUM", "compression level"),
        number(.compressThreads, "compress-threads zt", "NUM", "compression threads"),
        text(.skipCompress, "skip-compress", "LIST", "suffixes of files not worth compressing"),
        on(.cvsExclude, "cvs-exclude", "C", "ignore what CVS ignores"),
        text(.filter, "filter", "f", "RULE", "add a filter rule"),
        on(.perDirectoryFilter, "", "F", "read .rsync-filter files (-FF: and leave them out)"),
        text(.exclude, "exclude", "PATTERN", "leave out what matches"),
        text(.excludeFrom, "exclude-from", "FILE", "read exclude patterns from FILE"),
        text(.include, "include", "PATTERN", "do not leave out what matches"),
        text(.includeFrom, "include-from", "FILE", "read include patterns from FILE"),
        text(.filesFrom, "files-from", "FILE", "read the names to transfer from FILE"),
        on(.from0, "from0", "0", no: "no-from0", "names in files end with a zero byte"),
    ]

    private static let rest: [OptionRow] = [
        on(.oldArgs, "old-args", no: "no-old-args", "let the remote shell split arguments"),
        on(
            .secludedArgs, "secluded-args protect-args", "s", no: "no-secluded-args no-protect-args no-s",
            "send arguments through the protocol"),
        on(.trustSender, "trust-sender", "do not check the sender's names"),
        text(.copyAs, "copy-as", "USER[:GROUP]", "copy as this user and group"),
        text(.address, "address", "ADDRESS", "local address of the connection to a daemon"),
        number(.port, "port", "PORT", "port of the daemon"),
        text(.sockopts, "sockopts", "OPTIONS", "TCP options"),
        on(.blockingIO, "blocking-io", no: "no-blocking-io", "blocking I/O with the remote shell"),
        text(.outbuf, "outbuf", "N|L|B", "output buffering: none, line or block"),
        on(.stats, "stats", "print statistics"),
        on(.eightBit, "8-bit-output", "8", no: "no-8-bit-output no-8", "print bytes of names as they are"),
        on(.humanReadable, "human-readable", "h", no: "no-human-readable no-h", "print large numbers with units"),
        on(.progress, "progress", no: "no-progress", "show progress"),
        on(.progressAndPartial, "", "P", "same as --partial --progress"),
        on(.itemize, "itemize-changes", "i", no: "no-itemize-changes no-i", "show what changed for each file"),
        text(.remoteOption, "remote-option", "M", "OPT", "option for the remote side only"),
        text(.outFormat, "out-format log-format", "FORMAT", "format of the lines for files"),
        text(.logFile, "log-file", "FILE", "write a log to FILE"),
        text(.logFileFormat, "log-file-format", "FMT", "format of the log's lines"),
        text(.passwordFile, "password-file", "FILE", "read the daemon password from FILE"),
        text(.earlyInput, "early-input", "FILE", "FILE is input of the daemon's early exec"),
        on(.listOnly, "list-only", "list files, copy nothing"),
        text(.bwlimit, "bwlimit", no: "no-bwlimit", "RATE", "limit the bandwidth"),
        text(.stopAfter, "stop-after time-limit", "MINS", "stop after MINS minutes"),
        text(.stopAt, "stop-at", "y-m-dTh:m", "stop at this time"),
        on(.fsync, "fsync", "force every file to disk"),
        text(.writeBatch, "write-batch", "FILE", "record the update in FILE"),
        text(.onlyWriteBatch, "only-write-batch", "FILE", "... without updating"),
        text(.readBatch, "read-batch", "FILE", "apply the update recorded in FILE"),
        number(.protocolVersion, "protocol", "NUM", "use an older protocol"),
        text(.iconv, "iconv", no: "no-iconv", "CONVERT_SPEC", "convert character sets of names"),
        number(.checksumSeed, "checksum-seed", "NUM", "seed of checksums"),
        on(.ipv4, "ipv4", "4", "prefer IPv4"), on(.ipv6, "ipv6", "6", "prefer IPv6"),
        on(.version, "version", "V", "print version and capabilities"),
        on(.help, "help", "print this text (-h alone too)"),
        on(.qsort, "qsort use-qsort"), on(.server, "server"), on(.sender, "sender"),
        text(.config, "config"), on(.daemon, "daemon"), text(.dparam, "dparam"), on(.detach, "detach", no: "no-detach"),
    ]

    /// Rows of daemon mode.
    static let daemon: [OptionRow] = [
        text(.address, "address", "ADDRESS", "bind to this address"),
        number(.bwlimit, "bwlimit", "RATE", "limit the bandwidth"),
        text(.config, "config", "FILE", "configuration file"),
        on(.daemon, "daemon", "run as a daemon"),
        text(.dparam, "dparam", "M", "OVERRIDE", "override a global parameter"),
        on(.ipv4, "ipv4", "4", "prefer IPv4"), on(.ipv6, "ipv6", "6", "prefer IPv6"),
        on(.detach, "detach", no: "no-detach", "leave the terminal (--no-detach does not)"),
        text(.logFile, "log-file", "FILE", "override the log file"),
        text(.logFileFormat, "log-file-format", "FMT", "override the log format"),
        number(.port, "port", "PORT", "listen on this port"),
        text(.sockopts, "sockopts", "OPTIONS", "TCP options"),
        number(.protocolVersion, "protocol"), on(.server, "server"),
        text(.tempDir, "temp-dir", "T", "DIR", "directory of temporary files"),
        on(.verbose, "verbose", "v", no: "no-verbose no-v", "say more"),
        on(.help, "help", "h", "print this text"),
    ]

    /// Additional rows of `rsync-client`.
    static let client: [OptionRow] = [
        text(.tlsCA, "tls-ca", "FILE", "certificates to trust"),
        text(.tlsCertificate, "tls-cert", "FILE", "own certificate"),
        text(.tlsKey, "tls-key", "FILE", "private key"),
        text(.tlsServerName, "tls-server-name", "NAME", "name in the server's certificate"),
        text(.tlsPin, "tls-pin", "SHA256", "hash of the server's public key, in hex"),
        number(.retries, "retries", "N", "repeat broken transfers (default 20)"),
    ]

    /// Dray's own rows in every client.
    static let own: [OptionRow] = [
        on(.progressBar, "progress-bar", "show a progress bar (also --progress=bar)"),
        text(.progressFormat, "progress-format", "json", "progress as JSON lines"),
    ]
}

/// Look-up by spelling.
struct OptionIndex: Sendable {
    struct Match: Sendable {
        var row: OptionRow
        var isNegation: Bool
        /// The name that was found, without dashes.
        var name: String
    }
    private var long: [String: Match] = [:]
    private var short: [UInt8: OptionRow] = [:]

    init(_ rows: [OptionRow]) {
        for row in rows {
            for name in row.names { long[name] = Match(row: row, isNegation: false, name: name) }
            for name in row.negations { long[name] = Match(row: row, isNegation: true, name: name) }
            if let letter = row.short { short[letter] = row }
        }
    }

    func long(_ name: String) -> Match? { long[name] }
    func short(_ letter: UInt8) -> OptionRow? { short[letter] }

    static let transfer = OptionIndex(OptionTable.transfer + OptionTable.own)
    static let daemon = OptionIndex(OptionTable.daemon)
    static let client = OptionIndex(OptionTable.transfer + OptionTable.own + OptionTable.client)
}
