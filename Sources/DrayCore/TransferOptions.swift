// Dray — everything the user asked of one transfer, resolved: what the roles obey.
// Layer: Core.
// SPDX-License-Identifier: Apache-2.0

/// When deletions happen on the receiving side.
public enum DeleteMode: Sendable, Equatable {
    case none
    /// `--delete` without a time: `before` below protocol 30, else `during`.
    case unspecified
    case before, during, delay, after
}

/// How `--append` was given.
public enum AppendMode: Sendable, Equatable { case off, append, verify }

/// One of the alternate basis directory kinds.
public enum AlternateKind: Sendable, Equatable { case compare, copy, link }

/// Info categories with their level (`--info`); 0 is silent.
public struct InfoLevels: Sendable, Equatable {
    public enum Flag: Int, CaseIterable, Sendable {
        case backup, copy, del, flist, misc, mount, name, nonreg, progress, remove, skip, stats, symsafe
        /// The word as typed in `--info`.
        public var word: String { String(describing: self).uppercased() }
    }
    private var levels = [UInt8](repeating: 0, count: Flag.allCases.count)
    public init() { self[.nonreg] = 1 }
    public subscript(flag: Flag) -> Int {
        get { Int(levels[flag.rawValue]) }
        set { levels[flag.rawValue] = UInt8(clamping: newValue) }
    }
}

/// Debug categories with their level (`--debug`).
public struct DebugLevels: Sendable, Equatable {
    public enum Flag: Int, CaseIterable, Sendable {
        case acl, backup, bind, chdir, connect, cmd, del, deltasum, dup, exit, filter, flist, fuzzy, genr, hash, hlink
        case iconv, io, nstr, own, proto, recv, send, time
        public var word: String { String(describing: self).uppercased() }
    }
    private var levels = [UInt8](repeating: 0, count: Flag.allCases.count)
    public init() {}
    public subscript(flag: Flag) -> Int {
        get { Int(levels[flag.rawValue]) }
        set { levels[flag.rawValue] = UInt8(clamping: newValue) }
    }
}

/// Resolved options of one side of a transfer. A plain value: roles read it, nobody writes it after start-up, except
/// that protocol negotiation fixes `deleteMode` and similar defaults once.
///
/// Names follow the long options of rsync(1). Sizes are bytes unless said.
public struct TransferOptions: Sendable {
    // MARK: Role
    public var amServer = false
    public var amSender = false
    public var amDaemon = false
    /// Both halves run in this process.
    public var isLocal = false

    // MARK: What is transferred
    public var recursive = false
    /// `-d` / implied; directories are entries although their contents are not walked.
    public var dirs = false
    public var relative = false
    public var impliedDirs = true
    public var links = false
    public var copyLinks = false
    public var copyUnsafeLinks = false
    public var safeLinks = false
    public var mungeLinks = false
    public var copyDirlinks = false
    public var keepDirlinks = false
    /// 0, 1 (`-H`) or 2 (`-HH`).
    public var hardLinks = 0
    public var perms = false
    public var executability = false
    public var acls = false
    /// 0, 1 (`-X`) or 2 (`-XX`).
    public var xattrs = 0
    public var owner = false
    public var group = false
    public var devices = false
    public var specials = false
    public var dropDevices = false
    public var copyDevices = false
    public var writeDevices = false
    public var times = false
    /// 0, 1 (`-U`) or 2 (`-UU`).
    public var atimes = 0
    public var openNoatime = false
    public var omitDirTimes = false
    public var omitLinkTimes = false
    public var numericIDs = false
    public var chmod: [Bytes] = []
    public var userMap: Bytes?
    public var groupMap: Bytes?
    /// nil: decide by uid 0; true `--super`; false `--no-super`.
    public var superUser: Bool?
    public var fakeSuper = false
    /// 0, 1 (`-x`) or 2 (`-xx`).
    public var oneFileSystem = 0
    public var pruneEmptyDirs = false
    public var minSize: Int64?
    public var maxSize: Int64?
    public var missingArgs: MissingArguments = .error
    public enum MissingArguments: Sendable, Equatable { case error, ignore, delete }

    // MARK: Which files are updated
    public var checksum = false
    public var sizeOnly = false
    public var ignoreTimes = false
    public var modifyWindow = 0
    public var update = false
    public var existingOnly = false
    public var ignoreExisting = false
    public var wholeFile: Bool?
    public var blockSize: Int32 = 0
    public var fuzzy = 0
    public var alternateKind: AlternateKind?
    public var alternateDirectories: [Bytes] = []
    /// `--insecure-links`: symlinks of anybody are followed in paths that the operator named.
    public var insecureLinks = false
    /// `--copy-as`: `USER[:GROUP]` that this side works as.
    public var copyAs: Bytes?
    /// `--stop-after`, `--stop-at`: seconds of the epoch at which the run ends.
    public var stopAt: Int64?
    /// `--confine-root`: those paths must lead inside this directory.
    public var confineRoot: Bytes?
    /// The directory of `--confine-root` where it applies: a daemon has bounds of its own.
    public var confinement: Bytes? { amDaemon || confineRoot == Bytes("/") ? nil : confineRoot }

    // MARK: How they are written
    public var dryRun = false
    public var listOnly = false
    public var inplace = false
    public var append = AppendMode.off
    public var partial = false
    public var partialDirectory: Bytes?
    public var delayUpdates = false
    public var tempDirectory: Bytes?
    public var sparse = false
    public var preallocate = false
    public var fsync = false
    public var backup = false
    public var backupDirectory: Bytes?
    public var backupSuffix: Bytes = Bytes("~")
    public var mkpath = false

    // MARK: Batch files
    /// `--write-batch`, `--only-write-batch`: the stream to the receiver is recorded.
    public var writesBatch = false
    /// Nothing is changed but the batch file; a server hears of it as well.
    public var onlyWritesBatch = false
    /// `--read-batch`: a recorded stream takes the place of the sender.
    public var readsBatch = false

    // MARK: Deletion
    public var deleteMode = DeleteMode.none
    public var deleteExcluded = false
    public var force = false
    public var ignoreErrors = false
    public var maxDelete: Int?
    /// 0, 1 (`--remove-source-files`) or 2 (`--remove-sent-files`).
    public var removeSourceFiles = 0

    // MARK: Connection
    public var protocolVersion: Int32 = ProtocolVersion.newest
    public var incrementalRecursion = true
    public var qsort = false
    public var checksumSeed: Int32 = 0
    /// `--checksum-choice` as given: transfer and file name; nil negotiates.
    public var checksumChoice: Bytes?
    public var compress = false
    public var compressChoice: Bytes?
    public var compressLevel: Int?
    /// zstd worker threads.
    public var compressThreads = 0
    /// A daemon's `dont compress = *`: outgoing data is compressed with the least effort.
    public var compressesLeast = false
    /// Forwarded to a remote sender; no algorithm changes its level from file to file.
    public var skipCompress: Bytes?
    public var timeoutSeconds = 0
    public var connectTimeoutSeconds = 0
    /// KiB per second; 0 is unlimited.
    public var bandwidthLimit = 0
    public var maxAllocation = Limits.defaultMaxAllocation
    public var trustSender = false
    public var secludedArguments = false
    public var oldArguments = 0
    public var iconv: Bytes?
    public var remoteOptions: [Bytes] = []
    public var filesFrom: Bytes?
    public var filesFromHost: Bytes?
    public var fromZero = false
    public var cvsExclude = false
    /// Contents of the `e` option letter that a client sent (server only); nil if there was none.
    public var clientInfo: Bytes?

    // MARK: Output
    public var verbosity = 0
    public var quiet = false
    /// Tell the server that this client knows extensions (`rsync-client` does; a drop-in client only when asked).
    public var announcesExtensions = false
    /// Names of extensions on offer.
    public var extensions: [Bytes] = []
    public var info = InfoLevels()
    public var debug = DebugLevels()
    /// 0 off; 1 `-i`; 2 `-ii` (unchanged items too).
    public var itemize = 0
    /// An output or log format is in effect, so items are to be reported.
    public var logsItems = false
    public var outputFormat: Bytes?
    /// A format tells the sums of transferred files (`%C`).
    public var showsSums = false
    public var humanReadable = 1
    public var eightBitOutput = false
    public var statistics = false

    /// `--stderr`: where a server's messages go.
    public enum StandardErrorMode: Sendable, Equatable { case errors, all, client }
    public var standardErrorMode = StandardErrorMode.errors
    public var standardErrorGiven = false

    public init() {}

    /// Whether sums and data are asked for: always but in a dry run that writes no batch.
    public var requestsData: Bool { !dryRun || onlyWritesBatch }
    /// Whether the delete machinery runs at all.
    public var deletes: Bool { deleteMode != .none }
    /// Whether regular-file data is written straight into the destination.
    public var updatesInPlace: Bool { inplace || append != .off || writeDevices }
    /// Whether directories are transferred as entries or walked.
    public var transfersDirectories: Bool { recursive || dirs }
}
