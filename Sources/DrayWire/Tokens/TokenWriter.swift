// Dray — the sender's token stream: literal data and block numbers, plain or compressed.
// Layer: Wire. Wire format: chapter 03 §7, §8, §9.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Writes the tokens of one file after another. One per session: zstd keeps its state from file to file.
public final class TokenWriter {
    private let writer: WireWriter
    private let encoder: (any LiteralEncoder)?
    private let protocolVersion: Int32
    private var run = BlockRun()
    /// Literal data not yet given to the encoder: `pending[pendingStart..<pendingEnd]`.
    private var pending = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var pendingStart = 0
    private var pendingEnd = 0
    /// The encoder has taken literal data since its last flush.
    private var isOpen = false
    /// How much pending data is kept back, since a block may still be found in it.
    private var held = 0
    /// File offset of the pending data, and the offset from which nothing is given to the encoder early.
    private var offset: Int64 = 0
    private var earlyEnd = Int64.max

    /// - Parameter writer: where tokens go; its protocol version must be known.
    public init(_ writer: WireWriter, _ compression: Compression) {
        self.writer = writer
        encoder = LiteralCoders.encoder(compression)
        protocolVersion = writer.protocolVersion
    }

    deinit { pending.deallocate() }

    /// Whether `insert` has any effect, so that callers may save themselves the trouble.
    public var wantsMatches: Bool { encoder?.wantsMatches ?? false }

    /// Starts a file.
    ///
    /// - Parameters:
    ///   - blockLength: of the block sums; 0 if there are none. Decides, with the two lengths, where long literal runs
    ///     are cut, so that the pieces are those of rsync.
    ///   - length: of the source.
    ///   - lastBlockLength: of the last block.
    public func begin(blockLength: Int, length: Int64, lastBlockLength: Int) throws(TransferFailure) {
        guard let encoder else { return }
        try encoder.begin()
        run = BlockRun()
        (pendingStart, pendingEnd, isOpen, offset) = (0, 0, false, 0)
        held = min(blockLength, Limits.blockLength)
        earlyEnd = blockLength > 0 ? length + 1 - Int64(lastBlockLength) - Int64(Limits.literalPiece) : .max
        let wanted = 4 * Limits.literalPiece + 2 * held + lastBlockLength.clamped(to: 0...Limits.blockLength)
        if pending.count < wanted {
            pending.deallocate()
            pending = .allocate(byteCount: wanted, alignment: 16)
        }
    }

    /// Adds literal data.
    public func literals(_ bytes: UnsafeRawBufferPointer) throws(TransferFailure) {
        guard let encoder else { return try writer.literals(bytes) }
        if bytes.isEmpty { return }
        try run.write(to: writer)
        var done = 0
        while done < bytes.count {
            if pendingEnd == pending.count { compact() }
            if pendingEnd == pending.count { try encodePiece(encoder) }
            let count = min(pending.count - pendingEnd, bytes.count - done)
            // Safe: `count` bytes fit behind pendingEnd and are left in `bytes`.
            (pending.baseAddress! + pendingEnd).copyMemory(from: bytes.baseAddress! + done, byteCount: count)
            pendingEnd += count
            done += count
            while pendingEnd - pendingStart > Limits.literalPiece + held
                && offset + Int64(held + Limits.literalPiece) < earlyEnd
            {
                try encodePiece(encoder)
            }
        }
    }

    private func compact() {
        if pendingStart == 0 { return }
        // Safe: the ranges lie within `pending` and may overlap.
        pending.baseAddress!.copyMemory(
            from: pending.baseAddress! + pendingStart, byteCount: pendingEnd - pendingStart)
        pendingEnd -= pendingStart
        pendingStart = 0
    }

    private func encodePiece(_ encoder: any LiteralEncoder) throws(TransferFailure) {
        let count = min(Limits.literalPiece, pendingEnd - pendingStart)
        try encode(count, flushing: false, encoder)
    }

    private func encode(
        _ count: Int, flushing: Bool, _ encoder: any LiteralEncoder
    ) throws(TransferFailure) {
        let piece = UnsafeRawBufferPointer(
            rebasing: UnsafeRawBufferPointer(pending)[pendingStart..<pendingStart + count])
        try encoder.encode(piece, flushing: flushing, to: writer)
        pendingStart += count
        offset += Int64(count)
        isOpen = !flushing
        if pendingStart == pendingEnd { (pendingStart, pendingEnd) = (0, 0) }
    }

    private func flushLiterals() throws(TransferFailure) {
        guard let encoder, isOpen || pendingEnd > pendingStart else { return }
        try encode(pendingEnd - pendingStart, flushing: true, encoder)
    }

    /// Adds a reference to block `block`, `length` bytes long.
    public func match(block: Int32, length: Int) throws(TransferFailure) {
        guard encoder != nil else { return try writer.int32(-(block + 1)) }
        try flushLiterals()
        try run.add(block, writer)
        offset += Int64(length)
    }

    /// Tells the source bytes of the match just added.
    public func insert(_ bytes: UnsafeRawBufferPointer) throws(TransferFailure) {
        guard let encoder, encoder.wantsMatches else { return }
        try MatchedPieces.forEach(of: bytes.count, protocolVersion) { (piece) throws(TransferFailure) in
            try encoder.insert(UnsafeRawBufferPointer(rebasing: bytes[piece]))
        }
    }

    /// Ends the file's stream.
    public func end() throws(TransferFailure) {
        guard encoder != nil else { return try writer.int32(0) }
        try flushLiterals()
        try run.write(to: writer)
        try writer.byte(0)
    }
}

/// Consecutive block numbers, collected until something else has to be written.
private struct BlockRun {
    private var first: Int32 = -1
    private var last: Int32 = 0
    /// Last block of the run before this one.
    private var previous: Int32 = 0
    private static let longest: Int32 = 65_536

    mutating func add(_ block: Int32, _ writer: WireWriter) throws(TransferFailure) {
        if first >= 0 && block == last &+ 1 && block - first < Self.longest {
            last = block
            return
        }
        try write(to: writer)
        first = block
        last = block
    }

    mutating func write(to writer: WireWriter) throws(TransferFailure) {
        guard first >= 0 else { return }
        let count = last - first
        let distance = Int64(first) - Int64(previous)
        if (0...63).contains(distance) {
            try writer.byte((count > 0 ? 0xC0 : 0x80) | UInt8(distance))
        } else {
            try writer.byte(count > 0 ? 0x21 : 0x20)
            try writer.int32(first)
        }
        if count > 0 { try writer.shortint(UInt16(count)) }
        previous = last
        first = -1
    }
}

/// How a matched block is cut for the dictionary.
enum MatchedPieces {
    static let longest = 65_535

    /// Calls `body` with each range of a block of `length` bytes.
    ///
    /// Compatibility: below protocol 31 both sides take every piece from the start of the block.
    static func forEach(
        of length: Int, _ protocolVersion: Int32, _ body: (Range<Int>) throws(TransferFailure) -> Void
    ) throws(TransferFailure) {
        var done = 0
        while done < length {
            let count = min(longest, length - done)
            let start = protocolVersion >= 31 ? done : 0
            try body(start..<start + count)
            done += count
        }
    }
}

extension Int {
    fileprivate func clamped(to range: ClosedRange<Int>) -> Int {
        Swift.min(range.upperBound, Swift.max(range.lowerBound, self))
    }
}
