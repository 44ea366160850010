// Dray — protocol numbers, flags and small wire structures.
// Layer: Core. Wire format: chapters 01 §5–6, 02 §2, 03 §2–3.
// SPDX-License-Identifier: Apache-2.0

/// Protocol versions that this engine speaks.
public enum ProtocolVersion {
    public static let newest: Int32 = 32
    public static let oldest: Int32 = 27
}

/// Compatibility flags, sent by the server as one varint (protocol ≥ 30).
public struct CompatibilityFlags: OptionSet, Sendable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }
    public static let incrementalRecursion = Self(rawValue: 0x001)
    public static let symlinkTimes = Self(rawValue: 0x002)
    public static let symlinkIconv = Self(rawValue: 0x004)
    public static let safeFileList = Self(rawValue: 0x008)
    public static let avoidXattrOptimization = Self(rawValue: 0x010)
    public static let checksumSeedFix = Self(rawValue: 0x020)
    public static let inplacePartialDirectory = Self(rawValue: 0x040)
    public static let varintFlistFlags = Self(rawValue: 0x080)
    public static let idZeroNames = Self(rawValue: 0x100)
    /// Dray's own: names of extensions follow the algorithm lists.
    public static let extensions = Self(rawValue: 0x10000)
}

/// Special file-index values.
public enum Ndx {
    public static let done: Int32 = -1
    public static let fileListEOF: Int32 = -2
    public static let deletionStatistics: Int32 = -3
    public static let fileListOffset: Int32 = -101
}

/// Multiplexed message codes; the header byte on the wire is 7 + code.
public enum MessageCode: UInt8, Sendable {
    case data = 0
    case errorTransfer = 1
    case info = 2
    case error = 3
    case warning = 4
    case errorSocket = 5
    case log = 6
    case client = 7
    case errorUTF8 = 8
    case redo = 9
    case statistics = 10
    case ioError = 22
    case ioTimeout = 33
    case noop = 42
    case errorExit = 86
    case success = 100
    case deleted = 101
    case noSend = 102
}

/// Item flags of a request record (16 bits on the wire; the higher ones are ours only).
public struct ItemFlags: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let reportAtime = Self(rawValue: 0x0001)
    public static let reportChange = Self(rawValue: 0x0002)
    /// Regular files: size differs. Symlinks: setting the time failed.
    public static let reportSize = Self(rawValue: 0x0004)
    public static let reportTimeFail = Self(rawValue: 0x0004)
    public static let reportTime = Self(rawValue: 0x0008)
    public static let reportPermissions = Self(rawValue: 0x0010)
    public static let reportOwner = Self(rawValue: 0x0020)
    public static let reportGroup = Self(rawValue: 0x0040)
    public static let reportACL = Self(rawValue: 0x0080)
    public static let reportXattr = Self(rawValue: 0x0100)
    public static let reportCrtime = Self(rawValue: 0x0400)
    public static let basisTypeFollows = Self(rawValue: 0x0800)
    public static let xnameFollows = Self(rawValue: 0x1000)
    public static let isNew = Self(rawValue: 0x2000)
    public static let localChange = Self(rawValue: 0x4000)
    public static let transfer = Self(rawValue: 0x8000)
    public static let missingData = Self(rawValue: 0x10000)
    public static let deleted = Self(rawValue: 0x20000)
    public static let matched = Self(rawValue: 0x40000)

    /// Bits that make a record worth sending and showing.
    public static let significant = Self(rawValue: 0xFFFF & ~(0x0800 | 0x1000 | 0x4000))
    public var isSignificant: Bool { !intersection(.significant).isEmpty }
}

/// Which file on the receiving side the delta refers to.
public enum BasisType {
    public static let alternateLimit: UInt8 = 0x7F
    public static let destination: UInt8 = 0x80
    public static let partialDirectory: UInt8 = 0x81
    public static let backup: UInt8 = 0x82
    public static let fuzzy: UInt8 = 0x83
}

/// I/O error bits, accumulated on both sides.
public struct IOErrorBits: OptionSet, Sendable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }
    public static let general = Self(rawValue: 1)
    public static let vanished = Self(rawValue: 2)
    public static let deleteLimit = Self(rawValue: 4)
    public static let mask = Self(rawValue: 7)
}

/// Describes how a basis file is cut into blocks.
public struct SumHead: Equatable, Sendable {
    /// Number of blocks, ≥ 0.
    public var count: Int32
    /// Bytes per block, 0 only when `count` is 0.
    public var blockLength: Int32
    /// Bytes of strong sum sent per block.
    public var strongLength: Int32
    /// Length of the last block if it is short, else 0.
    public var remainder: Int32

    public init(count: Int32 = 0, blockLength: Int32 = 0, strongLength: Int32 = 0, remainder: Int32 = 0) {
        self.count = count
        self.blockLength = blockLength
        self.strongLength = strongLength
        self.remainder = remainder
    }

    /// Length of the basis that the head describes, bytes.
    public var basisLength: Int64 {
        Int64(count) * Int64(blockLength) - (remainder != 0 ? Int64(blockLength - remainder) : 0)
    }

    /// Length of block `index` (0-based), bytes.
    public func length(ofBlock index: Int32) -> Int {
        index == count - 1 && remainder != 0 ? Int(remainder) : Int(blockLength)
    }
}

/// Unix file types as they stand in the mode on the wire.
public enum FileType {
    public static let mask: UInt32 = 0o170000
    public static let regular: UInt32 = 0o100000
    public static let directory: UInt32 = 0o040000
    public static let symlink: UInt32 = 0o120000
    public static let characterDevice: UInt32 = 0o020000
    public static let blockDevice: UInt32 = 0o060000
    public static let fifo: UInt32 = 0o010000
    public static let socket: UInt32 = 0o140000
}
