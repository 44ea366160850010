// Dray — what the token streams ask of a compressor.
// Layer: Wire. Wire format: chapter 03 §9.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// The compressing half: turns literal data into DEFLATED_DATA pieces.
protocol LiteralEncoder: AnyObject {
    /// A new file begins.
    func begin() throws(TransferFailure)
    /// Compresses `bytes` and writes the pieces that come out; with `flushing` everything so far can be decoded then.
    func encode(_ bytes: UnsafeRawBufferPointer, flushing: Bool, to writer: WireWriter) throws(TransferFailure)
    /// Adds at most 65535 bytes of a matched block to the dictionary; called between flushed runs only.
    func insert(_ bytes: UnsafeRawBufferPointer) throws(TransferFailure)
    /// Whether matched blocks belong into the dictionary.
    var wantsMatches: Bool { get }
}

/// The decompressing half. A piece is supplied whole and its bytes stay valid until `output` returned nil.
protocol LiteralDecoder: AnyObject {
    func begin() throws(TransferFailure)
    func supply(_ piece: UnsafeRawBufferPointer)
    /// The next decompressed bytes (valid until the next call; none if the whole piece stands for nothing), nil when the
    /// piece is used up.
    func output() throws(TransferFailure) -> UnsafeRawBufferPointer?
    /// A run of literal data is complete: something other than a piece follows.
    func endOfRun() throws(TransferFailure)
    /// Adds at most 65535 bytes of a matched block to the dictionary.
    func insert(_ bytes: UnsafeRawBufferPointer) throws(TransferFailure)
    var wantsMatches: Bool { get }
}

extension WireWriter {
    /// Writes one DEFLATED_DATA piece of 1…16383 bytes.
    func compressedPiece(_ piece: UnsafeRawBufferPointer) throws(TransferFailure) {
        try byte(0x40 | UInt8(piece.count >> 8))
        try byte(UInt8(truncatingIfNeeded: piece.count))
        try bytes(piece)
    }
}

/// Makes the coders of a method; nil for plain tokens and for methods that are not part of this build.
enum LiteralCoders {
    static func encoder(_ compression: Compression) -> (any LiteralEncoder)? {
        switch compression.method {
        case .zlib:
            // The fast levels do not build their history alike: there the bytes of rsync need its way of making it.
            let isFast = (1...3).contains(compression.level)
            return ZlibEncoder(
                level: compression.level, insertsMatches: true,
                compressesMatches: compression.compressesMatches || isFast)
        case .zlibx: return ZlibEncoder(level: compression.level, insertsMatches: false)
        case .zstd:
            #if Zstd
                return ZstdEncoder(level: compression.level, threads: compression.threads)
            #else
                return nil
            #endif
        case .lz4:
            #if LZ4
                return LZ4Encoder()
            #else
                return nil
            #endif
        case .none: return nil
        }
    }

    static func decoder(_ method: CompressionMethod, role: @escaping () -> RoleName) -> (any LiteralDecoder)? {
        switch method {
        case .zlib: return ZlibDecoder(insertsMatches: true, role: role)
        case .zlibx: return ZlibDecoder(insertsMatches: false, role: role)
        case .zstd:
            #if Zstd
                return ZstdDecoder(role: role)
            #else
                return nil
            #endif
        case .lz4:
            #if LZ4
                return LZ4Decoder(role: role)
            #else
                return nil
            #endif
        case .none: return nil
        }
    }
}
