// Dray — the receiver's token stream: literal data and block numbers, plain or compressed.
// Layer: Wire. Wire format: chapter 03 §8, §9.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Reads the tokens of one file after another. One per session: zstd keeps its state from file to file, also through
/// files whose data nobody wants.
public final class TokenReader {
    /// One token.
    public enum Token {
        /// The file's stream is complete.
        case end
        /// Literal bytes, at least one; valid until the next call.
        case literal(UnsafeRawBufferPointer)
        /// A block number ≥ 0; the caller checks it against the sum head.
        case block(Int32)
    }

    private let reader: WireReader
    private let decoder: (any LiteralDecoder)?
    private let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: Limits.compressedPiece, alignment: 16)
    /// Bytes left of a plain literal.
    @exclusivity(unchecked) private var literalLeft = 0
    /// Last block number, and how many blocks of a run follow it.
    @exclusivity(unchecked) private var block: Int32 = 0
    @exclusivity(unchecked) private var runLeft = 0
    /// Pieces have come since the last other token.
    @exclusivity(unchecked) private var isInRun = false
    /// The decoder may have output for the last piece.
    @exclusivity(unchecked) private var isDecoding = false
    /// Start of the running block (protocols below 31 insert nothing else of it).
    private var blockStart: Bytes = []

    /// - Parameter method: one of `CompressionMethod.available`.
    public init(_ reader: WireReader, _ method: CompressionMethod) {
        self.reader = reader
        decoder = LiteralCoders.decoder(method) { [unowned reader] in reader.role }
    }

    deinit { piece.deallocate() }

    /// Whether `insert` has any effect.
    public var wantsMatches: Bool { decoder?.wantsMatches ?? false }

    /// Whether literal bytes lie in the reader's own buffer.
    public var isPlain: Bool { decoder == nil }

    /// Whether the literal bytes that came last end a token.
    public var isAtTokenEnd: Bool { literalLeft == 0 }

    /// Starts a file.
    public func begin() throws(TransferFailure) {
        (literalLeft, block, runLeft, isInRun, isDecoding) = (0, 0, 0, false, false)
        try decoder?.begin()
    }

    /// The next token of the file.
    public func next() throws(TransferFailure) -> Token {
        guard let decoder else { return try nextPlain() }
        while true {
            if isDecoding {
                if let bytes = try decoder.output() {
                    if !bytes.isEmpty { return .literal(bytes) }
                    // Compatibility: rsync takes an lz4 piece of nothing, which no sender makes, for the end of the file.
                    return .end
                }
                isDecoding = false
            }
            if runLeft > 0 {
                runLeft -= 1
                block += 1
                return .block(block)
            }
            let flag = try reader.byte()
            if flag & 0xC0 == 0x40 {
                try readPiece(Int(flag & 0x3F) << 8 | Int(try reader.byte()), decoder)
                continue
            }
            if isInRun {
                isInRun = false
                try decoder.endOfRun()
            }
            if flag == 0 { return .end }
            try readBlock(flag)
            return .block(block)
        }
    }

    private func nextPlain() throws(TransferFailure) -> Token {
        if literalLeft == 0 {
            let value = try reader.int32()
            if value == 0 { return .end }
            if value < 0 { return .block(-(value + 1)) }
            literalLeft = Int(value)
        }
        let bytes = try reader.chunk(limit: literalLeft)
        literalLeft -= bytes.count
        return .literal(bytes)
    }

    private func readPiece(_ count: Int, _ decoder: any LiteralDecoder) throws(TransferFailure) {
        // Safe: count ≤ 0x3FFF, the size of `piece`.
        let target = UnsafeMutableRawBufferPointer(rebasing: piece[..<count])
        try reader.bytes(into: target)
        decoder.supply(UnsafeRawBufferPointer(target))
        isInRun = true
        isDecoding = true
    }

    private func readBlock(_ flag: UInt8) throws(TransferFailure) {
        let isRelative = flag & 0x80 != 0
        let first = isRelative ? Int64(block) + Int64(flag & 0x3F) : Int64(try reader.int32())
        let hasRun = isRelative ? flag & 0x40 != 0 : flag & 1 != 0
        let count = hasRun ? Int64(try reader.shortint()) : 0
        if first < 0 || first + count > Limits.blockNumber || hasRun && count == 0 {
            throw TransferFailure(
                .protocolIncompatible, "invalid token number in compressed stream", role: reader.role)
        }
        block = Int32(first)
        runLeft = Int(count)
    }

    /// Tells bytes `offset..<offset + bytes.count` of the block of `length` bytes whose number came last.
    public func insert(_ bytes: UnsafeRawBufferPointer, at offset: Int, of length: Int) throws(TransferFailure) {
        guard let decoder, decoder.wantsMatches else { return }
        if reader.protocolVersion >= 31 || length <= MatchedPieces.longest {
            return try MatchedPieces.forEach(of: bytes.count, 31) { (piece) throws(TransferFailure) in
                try decoder.insert(UnsafeRawBufferPointer(rebasing: bytes[piece]))
            }
        }
        if offset == 0 { blockStart.removeAll(keepingCapacity: true) }
        blockStart.append(contentsOf: bytes.prefix(MatchedPieces.longest - blockStart.count))
        guard offset + bytes.count == length else { return }
        try MatchedPieces.forEach(of: length, reader.protocolVersion) { (piece) throws(TransferFailure) in
            var failure: TransferFailure?
            blockStart.withUnsafeBytes { raw in
                do throws(TransferFailure) {
                    try decoder.insert(UnsafeRawBufferPointer(rebasing: raw[piece]))
                } catch { failure = error }
            }
            if let failure { throw failure }
        }
    }

    /// Stands in for a block whose bytes nobody has: history of the right length, so that the stream stays decodable.
    public func insertUnknown(length: Int) throws(TransferFailure) {
        guard wantsMatches else { return }
        var left = length
        let zeros = UnsafeMutableRawBufferPointer.allocate(byteCount: 32 * 1024, alignment: 16)
        defer { zeros.deallocate() }
        zeros.initializeMemory(as: UInt8.self, repeating: 0)
        // Only the last 32 KiB can be referred to.
        left = min(left, zeros.count)
        try decoder?.insert(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(zeros)[..<left]))
    }
}
