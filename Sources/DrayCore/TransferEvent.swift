// Dray — what the engine tells the outside: messages, items, progress, statistics. Roles print nothing.
// Layer: Core.
// SPDX-License-Identifier: Apache-2.0

/// Class of a text message; decides stream, frame code and exit code.
public enum MessageLevel: Sendable, Equatable {
    /// Standard output; silenced by `--quiet`.
    case info
    /// As `info`, but for the client's screen only: no log has it.
    case notice
    /// Standard error.
    case warning
    /// Standard error.
    case error
    /// Standard error, and the run ends with code 23.
    case errorTransfer
    /// Log file only.
    case log
}

/// One file-list entry as reports show it. Values are copies: a sink may keep them.
public struct ItemReport: Sendable {
    public var name: Bytes
    public var linkTarget: Bytes
    /// Wire mode (type and permission bits).
    public var mode: UInt32
    public var length: Int64
    public var mtime: Int64
    public var uid: UInt32
    public var gid: UInt32
    public var flags: ItemFlags
    /// Hard-link or basis name that came with the record.
    public var xname: Bytes
    /// Whether this side sends (`send`, `<`) or receives (`recv`, `>`).
    public var sending: Bool
    /// Bytes of data moved for this file in the data direction, and in the other one; 0 before the transfer.
    public var dataBytes: Int64 = 0
    public var checksumBytes: Int64 = 0
    /// Whole-file checksum if known.
    public var checksum: Bytes = []
    /// Source directory the sender found the file in (for `%f`), empty on a receiver.
    public var sourceDirectory: Bytes = []

    public init(
        name: Bytes, linkTarget: Bytes = [], mode: UInt32, length: Int64, mtime: Int64, uid: UInt32 = 0,
        gid: UInt32 = 0, flags: ItemFlags, xname: Bytes = [], sending: Bool
    ) {
        self.name = name
        self.linkTarget = linkTarget
        self.mode = mode
        self.length = length
        self.mtime = mtime
        self.uid = uid
        self.gid = gid
        self.flags = flags
        self.xname = xname
        self.sending = sending
    }

    public var isDirectory: Bool { mode & FileType.mask == FileType.directory }
}

/// State of the running file for progress output.
public struct FileProgress: Sendable {
    public var name: Bytes
    /// Bytes done of this file, and its size.
    public var offset: Int64
    public var size: Int64
    /// Set on the last report of a file.
    public var isLast: Bool
    /// Regular files whose data moved so far (including this one when `isLast`).
    public var transferredFiles: Int
    /// Entries not looked at yet, and entries known, of the lists so far.
    public var toCheck: Int
    public var known: Int
    /// Whether all lists are complete (`to-chk` against `ir-chk`).
    public var listComplete: Bool
    /// Bytes of all files so far and total size known (for whole-transfer progress).
    public var totalOffset: Int64
    public var totalSize: Int64
    /// No file has ended but a list: only whole-transfer progress has something to show.
    public var isListEnd = false

    public init(
        name: Bytes, offset: Int64, size: Int64, isLast: Bool, transferredFiles: Int, toCheck: Int, known: Int,
        listComplete: Bool, totalOffset: Int64, totalSize: Int64
    ) {
        self.name = name
        self.offset = offset
        self.size = size
        self.isLast = isLast
        self.transferredFiles = transferredFiles
        self.toCheck = toCheck
        self.known = known
        self.listComplete = listComplete
        self.totalOffset = totalOffset
        self.totalSize = totalSize
    }
}

/// What roles report while they run.
public enum TransferEvent: Sendable {
    /// A message of this side: complete text with its newline(s).
    case message(MessageLevel, Bytes)
    /// A text that the peer sent in a frame of the given code.
    case remoteMessage(MessageCode, Bytes)
    /// The file list begins (`incremental` lists are announced differently) / has so many entries / is complete.
    case fileListStarted(incremental: Bool)
    case fileListProgress(count: Int)
    case fileListFinished(count: Int)
    /// The destination directory had to be made.
    case createdDirectory(Bytes)
    case createdPath(count: Int, path: Bytes)
    /// One record was handled. `before` is set when the data of the file is still to come.
    case item(ItemReport, before: Bool)
    /// One entry of a listing (`--list-only`), in order.
    case listEntry(ItemReport, atime: Int64?)
    /// A destination entry was removed (or would be).
    case deleted(name: Bytes, mode: UInt32)
    case progress(FileProgress)
    /// The sender removed a source file.
    case removedSource(Bytes)
    case statistics(TransferStatistics)
}

/// Consumer of engine events. Called from role threads, one call at a time per role; must be quick and thread-safe.
public protocol TransferEventSink: AnyObject, Sendable {
    func handle(_ event: TransferEvent)
    /// Whether `.progress` events are wanted (they cost a clock reading per buffer).
    var wantsProgress: Bool { get }
}

/// Counters of one run (`--stats`).
public struct TransferStatistics: Sendable, Equatable {
    /// Entries per kind.
    public struct Kinds: Sendable, Equatable {
        public var regular = 0
        public var directories = 0
        public var symlinks = 0
        public var devices = 0
        public var specials = 0
        public init() {}
        public var total: Int { regular + directories + symlinks + devices + specials }

        /// Counts one entry of the given wire mode.
        public mutating func count(mode: UInt32) {
            switch mode & FileType.mask {
            case FileType.regular: regular += 1
            case FileType.directory: directories += 1
            case FileType.symlink: symlinks += 1
            case FileType.characterDevice, FileType.blockDevice: devices += 1
            default: specials += 1
            }
        }
    }
    public var files = Kinds()
    public var created = Kinds()
    public var deleted = Kinds()
    public var transferredFiles = 0
    public var totalSize: Int64 = 0
    public var transferredSize: Int64 = 0
    public var literalData: Int64 = 0
    public var matchedData: Int64 = 0
    public var fileListSize: Int64 = 0
    public var fileListBuildMilliseconds: Int64 = 0
    public var fileListTransferMilliseconds: Int64 = 0
    public var bytesRead: Int64 = 0
    public var bytesWritten: Int64 = 0
    public var deletionsSkipped = 0
    /// Protocol of the run; decides which lines are shown.
    public var protocolVersion: Int32 = 0
    public var startNanoseconds: UInt64 = 0
    public init() {}
}
