// Dray — the sender's search for blocks of the basis in the source.
// Layer: Delta. Wire format: chapter 03 §7, §12.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Searches one source after another; owns the window buffer and allocates nothing once it is large enough.
public final class DeltaMatcher {
    private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    /// Positions in `buffer`: end of the data read, first byte not handed to the sink, search position.
    private var available = 0
    private var literalStart = 0
    private var position = 0
    /// File offset of `buffer[0]`, and the file length (lowered when the source ends early).
    private var base: Int64 = 0
    private var length: Int64 = 0
    private var updatingBasis = false
    /// Block that follows the last match.
    private var wanted: Int32 = 0
    private let scanner = DeltaScanner()
    private let mayUseHelper: Bool
    private var helper: ScanHelper?
    /// The stretch that is being searched together with the helper.
    private struct SharedStretch {
        /// Last position of the caller's part, last position of all.
        var middle: Int
        var limit: Int
        /// Candidates of the helper's part that have been looked at, and where its search ended once that is known.
        var taken = 0
        var end: ScanHelper.Window?
    }
    private var shared: SharedStretch?
    /// File offset where the last match ended.
    private var lastMatchEnd: Int64 = 0
    /// A search is shared with the helper in stretches of this length, after as many bytes without a match: where blocks
    /// match, what the helper finds would be of no use.
    private static let sharedStretch = 128 * 1024
    private let digest = UnsafeMutablePointer<UInt8>.allocate(capacity: ChecksumAlgorithm.maxDigestLength)
    /// Effort that is left for this file, against tables made to waste time.
    private var comparisonsLeft = 0
    private var wastedBytesLeft = 0
    /// Blocks matched, and windows whose rolling sum led to a block that they were not, of all runs.
    public private(set) var matchCount = 0
    public private(set) var falseAlarmCount = 0
    /// Windows whose slot of rsync's table holds some block, of all runs; counted only where `countsHashHits` is set, which
    /// makes the search slower.
    public private(set) var hashHitCount = 0
    public var countsHashHits = false
    private var slots: RsyncSlots?

    /// What a search does, step by step (`--debug=deltasum2` and more).
    public enum Step: Sendable {
        /// The search begins, with the sum of the first `count` bytes.
        case begins(sum: UInt32, count: Int)
        case looksAt(offset: Int64, sum: UInt32)
        /// The sum is that of a block.
        case mayMatch(offset: Int64, block: Int, sum: UInt32)
        case matches(offset: Int64, lastMatch: Int64, block: Int32, count: Int)
    }
    /// Takes every step; nil costs nothing.
    public var trace: ((Step) -> Void)?
    /// Whether each offset is told: the search then goes byte by byte.
    public var tracesOffsets = false
    private var lastMatch: Int64 = 0

    /// - Parameter mayUseHelper: whether a second thread can run beside the caller's.
    public init(mayUseHelper: Bool = false) { self.mayUseHelper = mayUseHelper }

    deinit {
        helper?.end()
        buffer.deallocate()
        digest.deallocate()
    }

    /// Searches all of `source` for the blocks of `table` and reports literals and matches to `sink`.
    ///
    /// - Parameters:
    ///   - length: source length when it was opened, bytes; an earlier end of the source is the end.
    ///   - table: built sums; its marks of blocks in place are used up by the call.
    ///   - updatingBasis: the receiver writes over the basis, so that only blocks at or after the current offset count.
    /// - Complexity: O(length) expected; total effort is bounded for any table.
    public func run<S: DeltaSource, K: DeltaSink>(
        length: Int64, table: BlockSumTable, hasher: BlockHasher, updatingBasis: Bool, source: inout S, sink: inout K
    ) throws {
        let block = Int(table.head.blockLength)
        prepare(length: length, block: table.count > 0 ? block : 0, count: table.count)
        defer { leaveShared() }
        slots = countsHashHits && table.count > 0 ? RsyncSlots(table) : nil
        self.updatingBasis = updatingBasis
        if table.count == 0 || length <= 0 {
            try copyRest(from: &source, to: &sink)
            return
        }
        try searchFullBlocks(block, table, hasher, &source, &sink)
        try searchLastBlock(table, hasher, &source, &sink)
        try copyRest(from: &source, to: &sink)
    }

    /// Starts a file: resets the positions and makes the window large enough for blocks of `block` bytes.
    private func prepare(length: Int64, block: Int, count: Int) {
        let wantedSize = max(1 << 20, 2 * block + (1 << 18))
        if buffer.count < wantedSize {
            buffer.deallocate()
            buffer = .allocate(byteCount: (wantedSize + 4095) & ~4095, alignment: 4096)
        }
        (available, literalStart, position, base, wanted) = (0, 0, 0, 0, 0)
        lastMatchEnd = 0
        self.length = max(0, length)
        lastMatch = 0
        let bounded = Int(min(self.length, 1 << 46))
        comparisonsLeft = 16 * (bounded / 64 + count) + (1 << 20)
        wastedBytesLeft = 32 * bounded + (64 << 20)
    }

    // MARK: - Window

    /// Makes `need` bytes available from `position` on, as far as the source has them; may move the window.
    private func fill<S: DeltaSource, K: DeltaSink>(
        _ need: Int, _ source: inout S, _ sink: inout K
    ) throws -> Bool {
        if position + need <= available { return true }
        leaveShared()
        try handWholePieces(&sink)
        if literalStart > 0 {
            let start = unsafe buffer.baseAddress!
            // Safe: literalStart <= available <= buffer.count.
            unsafe start.copyMemory(from: start + literalStart, byteCount: available - literalStart)
            base += Int64(literalStart)
            available -= literalStart
            position -= literalStart
            literalStart = 0
        }
        precondition(position + need <= buffer.count, "delta window too small")
        while available < position + need {
            let left = length - (base + Int64(available))
            if left <= 0 { return false }
            let room = min(Int64(buffer.count - available), left)
            let got = try source.read(into: .init(rebasing: buffer[available..<(available + Int(room))]))
            if got <= 0 {
                length = base + Int64(available)
                return false
            }
            available += min(got, Int(room))
        }
        return true
    }

    /// Hands over the literals before `position`, but whole pieces only, so that the cuts on the wire are those of one
    /// long run.
    private func handWholePieces<K: DeltaSink>(_ sink: inout K) throws {
        let pieces = (position - literalStart) / Limits.literalPiece
        if pieces > 0 { try hand(literalsUpTo: literalStart + pieces * Limits.literalPiece, &sink) }
    }

    private func hand<K: DeltaSink>(literalsUpTo end: Int, _ sink: inout K) throws {
        if end > literalStart { try sink.literal(.init(rebasing: buffer[literalStart..<end])) }
        literalStart = end
    }

    /// Hands over everything that is left as literals.
    private func copyRest<S: DeltaSource, K: DeltaSink>(from source: inout S, to sink: inout K) throws {
        while true {
            position = available
            if try !fill(1, &source, &sink) { break }
        }
        try hand(literalsUpTo: available, &sink)
    }

    // MARK: - Search

    /// Searches from the start up to the last offset where a full block fits.
    private func searchFullBlocks<S: DeltaSource, K: DeltaSink>(
        _ block: Int, _ table: BlockSumTable, _ hasher: BlockHasher, _ source: inout S, _ sink: inout K
    ) throws {
        if trace != nil { try traceStart(block, &source, &sink) }
        // A basis of one short block has no full block to look for.
        if table.count == 1, table.head.remainder != 0, slots == nil || tracesOffsets {
            traceTail(block, table)
            return
        }
        guard try fill(block, &source, &sink) else {
            traceTail(block, table)
            return
        }
        var sum = RollingChecksum(rollingSum(block))
        while true {
            let isCandidate =
                tracesOffsets
                ? looksPromising(sum.value, table)
                : slots == nil ? try scan(block, &sum, table, &sink) : scanCounting(block, &sum, table)
            if isCandidate,
                let found = try findBlock(sum.value, block, table, hasher, &source, &sink)
            {
                try accept(found, block, &sink)
                repeat {
                    guard try fill(block, &source, &sink) else {
                        traceTail(block, table)
                        return
                    }
                    sum = RollingChecksum(rollingSum(block))
                    // Each look-up is told.
                    if trace != nil { break }
                    // A run of wanted blocks needs no look-up.
                    guard let more = try findWanted(sum.value, block, table, hasher, &source, &sink) else { break }
                    hashHitCount += 1
                    try accept(more, block, &sink)
                } while true
                continue
            }
            if comparisonsLeft <= 0 || wastedBytesLeft <= 0 { return }
            guard try fill(block + 1, &source, &sink) else {
                // The window shrinks from here on: only the short last block may still match.
                position += 1
                traceTail(block, table)
                return
            }
            let window = unsafe buffer.baseAddress! + position
            // Safe: block + 1 bytes are available.
            unsafe sum.slide(
                old: window.load(as: UInt8.self), new: window.load(fromByteOffset: block, as: UInt8.self),
                length: UInt32(truncatingIfNeeded: block))
            position += 1
        }
    }

    /// Slides the window until some block of `table` has its sum (true) or no full block fits behind it (false).
    private func scan<K: DeltaSink>(
        _ block: Int, _ sum: inout RollingChecksum, _ table: BlockSumTable, _ sink: inout K
    ) throws -> Bool {
        let start = UnsafePointer(unsafe buffer.baseAddress!.assumingMemoryBound(to: UInt8.self))
        let limit = available - block
        if shared == nil, mayUseHelper, limit - position >= Self.sharedStretch,
            base + Int64(position) - lastMatchEnd >= Self.sharedStretch, let helper = startedHelper()
        {
            // The smaller part is the caller's, who also sends what has been searched.
            let middle = position + (limit - position) * 2 / 5
            helper.start(start, first: middle + 1, limit: limit, block: block, table: table)
            shared = SharedStretch(middle: middle, limit: limit)
        }
        guard let stretch = shared, let helper else {
            return scanner.scan(start, &position, limit: limit, &sum, block: block, table: table)
        }
        if position <= stretch.middle {
            if scanner.scan(start, &position, limit: stretch.middle, &sum, block: block, table: table) { return true }
            try handWholePieces(&sink)
        }
        return takeCandidate(helper, stretch, &sum)
    }

    /// Moves the window to the next candidate that the helper has met, or to the end of its search (false).
    private func takeCandidate(
        _ helper: ScanHelper, _ stretch: SharedStretch, _ sum: inout RollingChecksum
    ) -> Bool {
        var end = stretch.end ?? helper.finish()
        let isCandidate = stretch.taken < helper.candidates.count
        if isCandidate {
            shared = SharedStretch(
                middle: stretch.middle, limit: stretch.limit, taken: stretch.taken + 1, end: end)
            end = helper.candidates[stretch.taken]
        }
        position = end.position
        sum = end.sum
        // Nothing is left to find, and the window may move on.
        if !isCandidate || end.position == stretch.limit { shared = nil }
        return isCandidate
    }

    /// Gives up what the helper has found or is finding: the window jumps, or the buffer moves.
    private func leaveShared() {
        guard let stretch = shared else { return }
        if stretch.end == nil { helper?.cancel() }
        shared = nil
    }

    private func startedHelper() -> ScanHelper? {
        if helper == nil { helper = ScanHelper() }
        return helper
    }

    /// Tries the short last block at the only place where it may lie: the end of the source.
    private func searchLastBlock<S: DeltaSource, K: DeltaSink>(
        _ table: BlockSumTable, _ hasher: BlockHasher, _ source: inout S, _ sink: inout K
    ) throws {
        let short = Int(table.head.remainder)
        guard short != 0, table.count == Int(table.head.count), comparisonsLeft > 0, wastedBytesLeft > 0 else { return }
        // Find the true end; the source may be shorter than announced.
        while try fill(short + 1, &source, &sink) { position = available - short }
        let offset = length - Int64(short)
        guard offset >= base + Int64(position) else { return }
        position = Int(offset - base)
        guard position + short == available else { return }
        let sum = rollingSum(short)
        guard table.rolling[table.count - 1] == sum else { return }
        if let found = try findBlock(sum, short, table, hasher, &source, &sink) { try accept(found, short, &sink) }
    }

    // MARK: - Tracing

    private func traceStart<S: DeltaSource, K: DeltaSink>(
        _ block: Int, _ source: inout S, _ sink: inout K
    ) throws {
        let count = Int(min(Int64(block), length))
        _ = try fill(count, &source, &sink)
        trace?(.begins(sum: rollingSum(min(count, available - position)), count: count))
    }

    private func looksPromising(_ sum: UInt32, _ table: BlockSumTable) -> Bool {
        trace?(.looksAt(offset: base + Int64(position), sum: sum))
        if slots?.holds(sum) == true { hashHitCount += 1 }
        return table.firstBlock(withSum: sum) >= 0
    }

    /// Offsets near the end, where what is left is shorter than a block.
    private func traceTail(_ block: Int, _ table: BlockSumTable) {
        let short = Int(table.head.remainder)
        guard short > 0, tracesOffsets || slots != nil else { return }
        var start = position
        // The first offset is looked at whatever the length.
        while available - start >= short || base == 0 && start == 0 && available > 0 {
            let end = min(available, start + block)
            let sum = RollingChecksum.sum(UnsafeRawBufferPointer(rebasing: buffer[start..<end]))
            if tracesOffsets { trace?(.looksAt(offset: base + Int64(start), sum: sum)) }
            if slots?.holds(sum) == true { hashHitCount += 1 }
            start += 1
        }
    }

    /// `scan` one position after another, looking into rsync's slots at each.
    private func scanCounting(_ block: Int, _ sum: inout RollingChecksum, _ table: BlockSumTable) -> Bool {
        guard let slots else { return false }
        let start = unsafe UnsafePointer(buffer.baseAddress!.assumingMemoryBound(to: UInt8.self))
        let limit = available - block
        let length = UInt32(truncatingIfNeeded: block)
        var (at, rolling, hits) = (position, sum, 0)
        defer {
            position = at
            sum = rolling
            hashHitCount += hits
        }
        while true {
            let value = rolling.value
            if slots.holds(value) {
                hits += 1
                if table.firstBlock(withSum: value) >= 0 { return true }
            }
            if at >= limit { return false }
            // Safe: `limit` + `block` bytes are available.
            unsafe rolling.slide(old: start[at], new: start[at + block], length: length)
            at += 1
        }
    }

    /// Compatibility: rsync lets long literals go before it has found the match that ends them.
    private func noteLiterals(before offset: Int64, block: Int) {
        let piece = Int64(Limits.literalPiece)
        while lastMatch + Int64(block) + piece < offset, length - (lastMatch + Int64(block) + piece) > piece {
            lastMatch += piece
        }
    }

    /// Compatibility: of blocks with equal sums rsync meets the last one first.
    private func tracePotential(_ first: Int32, _ sum: UInt32, _ count: Int, _ table: BlockSumTable) {
        var (candidate, found) = (first, Int32(-1))
        while candidate >= 0 {
            let index = Int(candidate)
            if table.head.length(ofBlock: candidate) == count, isUsable(index, table) { found = candidate }
            candidate = table.next[index]
        }
        if found >= 0 { trace?(.mayMatch(offset: base + Int64(position), block: Int(found), sum: sum)) }
    }

    private func rollingSum(_ count: Int) -> UInt32 {
        RollingChecksum.sum(.init(rebasing: buffer[position..<(position + count)]))
    }

    private func accept<K: DeltaSink>(_ block: Int32, _ count: Int, _ sink: inout K) throws {
        leaveShared()
        matchCount += 1
        if let trace {
            let offset = base + Int64(position)
            noteLiterals(before: offset, block: count)
            trace(.matches(offset: offset, lastMatch: lastMatch, block: block, count: count))
            lastMatch = offset + Int64(count)
        }
        try hand(literalsUpTo: position, &sink)
        try sink.match(block: block, length: count)
        try sink.matchedData(.init(rebasing: buffer[position..<(position + count)]))
        position += count
        literalStart = position
        lastMatchEnd = base + Int64(position)
        wanted = block &+ 1
    }

    // MARK: - Candidates

    /// Whether the receiver still has the basis bytes of `block` when it writes at the current offset.
    private func isUsable(_ block: Int, _ table: BlockSumTable) -> Bool {
        !updatingBasis || table.isAtSameOffset[block] != 0
            || Int64(block) * Int64(table.head.blockLength) >= base + Int64(position)
    }

    /// Finds the block to use for the window of `count` bytes at `position`; may move `position` forward.
    private func findBlock<S: DeltaSource, K: DeltaSink>(
        _ sum: UInt32, _ count: Int, _ table: BlockSumTable, _ hasher: BlockHasher, _ source: inout S,
        _ sink: inout K
    ) throws -> Int32? {
        var candidate = table.firstBlock(withSum: sum)
        if candidate < 0 { return nil }
        if trace != nil { tracePotential(candidate, sum, count, table) }
        if let found = try findWanted(sum, count, table, hasher, &source, &sink) { return found }
        hasher.sum(.init(rebasing: buffer[position..<(position + count)]), into: digest)
        var previous: Int32 = -1
        var examined = 0
        while candidate >= 0 {
            let index = Int(candidate)
            let following = table.next[index]
            if !isUsable(index, table), previous >= 0 {
                // Offsets only grow: the block is of no use again.
                table.next[Int(previous)] = following
                candidate = following
                comparisonsLeft -= 1
                continue
            }
            previous = candidate
            candidate = following
            comparisonsLeft -= 1
            if !isUsable(index, table) { continue }
            examined += 1
            if examined > Limits.matchCandidates || comparisonsLeft <= 0 { break }
            if table.head.length(ofBlock: Int32(index)) == count, table.matches(index, digest: digest) {
                return Int32(index)
            }
        }
        wastedBytesLeft -= count
        falseAlarmCount += 1
        return nil
    }

    /// Tries the two preferred blocks: the one at the same offset (updating a basis) and the one after the last match.
    private func findWanted<S: DeltaSource, K: DeltaSink>(
        _ sum: UInt32, _ count: Int, _ table: BlockSumTable, _ hasher: BlockHasher, _ source: inout S,
        _ sink: inout K
    ) throws -> Int32? {
        var hashed = false
        func has(_ block: Int) -> Bool {
            guard table.rolling[block] == sum, table.head.length(ofBlock: Int32(block)) == count else { return false }
            if !hashed {
                hasher.sum(.init(rebasing: buffer[position..<(position + count)]), into: digest)
                hashed = true
            }
            return table.matches(block, digest: digest)
        }
        if updatingBasis {
            let blockLength = Int64(table.head.blockLength)
            let offset = base + Int64(position)
            let aligned = (offset + blockLength - 1) / blockLength
            let ahead = Int(aligned * blockLength - offset)
            if aligned < Int64(table.count) {
                let block = Int(aligned)
                if ahead == 0 {
                    if has(block) { return markInPlace(block, table) }
                } else if sum == 0, count == Int(blockLength), aligned * blockLength + blockLength <= length,
                    has(block),
                    try fill(ahead + count, &source, &sink)
                {
                    position += ahead
                    if rollingSum(count) == sum {
                        hasher.sum(.init(rebasing: buffer[position..<(position + count)]), into: digest)
                        if table.matches(block, digest: digest) { return markInPlace(block, table) }
                    }
                    position -= ahead
                    hashed = false
                    wastedBytesLeft -= 2 * count
                }
            }
        }
        let next = Int(wanted)
        if next < table.count, isUsable(next, table), has(next) { return wanted }
        if hashed { wastedBytesLeft -= count }
        return nil
    }

    private func markInPlace(_ block: Int, _ table: BlockSumTable) -> Int32 {
        table.isAtSameOffset[block] = 1
        return Int32(block)
    }
}
