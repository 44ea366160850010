// Dray — every bound on a value that a peer controls.
// Layer: Core. Wire format: chapters 01, 02, 03, 08 of the specification.
// SPDX-License-Identifier: Apache-2.0

/// Bounds on peer-controlled sizes, in one place.
public enum Limits {
    /// Longest path or name buffer including its NUL (Linux PATH_MAX).
    public static let maxPath = 4096
    /// Line, message, rule and argument buffer: path limit + 1024.
    public static let lineBuffer = 5120
    /// Longest negotiated algorithm list, bytes.
    /// Bytes of a list of extension names.
    public static let extensionList = 4096
    public static let negotiationString = 255
    /// Longest vstring a writer may send.
    public static let vstring = 0x7FFF
    /// Largest frame payload (24-bit length).
    public static let framePayload = 0xFF_FFFF
    /// Largest block length for protocol ≥ 30, and for older ones.
    public static let blockLength = 131_072
    public static let oldBlockLength = 1 << 29
    /// Literal piece length that rsync sends.
    public static let literalPiece = 32 * 1024
    /// Largest compressed piece.
    public static let compressedPiece = 16_383
    /// Largest output of one lz4 piece (the library's bound for 32 KiB).
    public static let lz4Output = 32_896
    /// History that a zstd stream may ask for, as a power of two (the library's default limit).
    public static let zstdWindowLog: Int32 = 27
    /// Largest block number of a compressed token stream.
    public static let blockNumber: Int64 = 0x7FFF_FFFE
    /// Deletion statistics: each of the five numbers.
    public static let deletionCount: Int64 = 1 << 28
    public static let aclEntries = 65_536
    public static let xattrCount = 65_536
    public static let xattrNameLength = 4096
    public static let xattrValueLength: Int64 = 128 << 20
    public static let xattrListTotal: Int64 = 512 << 20
    /// Default of --max-alloc: the largest single allocation.
    public static let defaultMaxAllocation: Int64 = 1 << 30
    /// Bytes of memory that rsync accounts per received block sum.
    public static let blockSumRecord: Int64 = 24
    public static let daemonArguments = 15_999
    public static let earlyInput = 5120
    /// Handshake line (greeting, module, command) limit in the daemon; longer lines drop the session.
    public static let handshakeLine = 1022
    /// Handshake line limit in the client and for the authentication reply.
    public static let clientHandshakeLine = 5118
    /// Block-sum candidates examined at one source offset before it counts as no match.
    public static let matchCandidates = 1024
    /// Entries of one file list (rsync's pointer list must fit an int).
    public static let fileListEntries = Int(Int32.max)
    /// Values of MSG_IO_TIMEOUT that a client adopts, seconds.
    public static let ioTimeout = 1...86_400
    /// zstd threads that a daemon's client may ask for.
    public static let daemonCompressThreads = 8
    public static let mergeDepth = 32
    public static let alternateDirectories = 20
}
