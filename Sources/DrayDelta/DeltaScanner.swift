// Dray — slides the rolling checksum along the source until a block of the basis may begin.
// Layer: Delta. Wire format: chapter 03 §5, §7.
// SPDX-License-Identifier: Apache-2.0

/// Looks for positions whose rolling sum is in a table, 128 positions at a time.
///
/// A batch runs in three passes, so that none waits for another: the sums and hashes of all positions in vectors, one
/// filter bucket per position, then the comparison of the buckets with the marks. Sums are 16-bit lanes, exact because
/// both halves of a rolling sum are taken mod 2^16.
final class DeltaScanner {
    private typealias Lanes = SIMD8<UInt16>
    private typealias Pairs = SIMD4<UInt32>

    private static let batch = 128
    private static let laneBytes = 2 * batch
    /// Both halves of the sums, marks and buckets (16 bits per position), then bucket numbers (32 bits).
    private let scratch = UnsafeMutableRawPointer.allocate(byteCount: 6 * laneBytes, alignment: 64)
    private let firstHalves: UnsafeMutableRawPointer
    private let secondHalves: UnsafeMutableRawPointer
    private let marks: UnsafeMutableRawPointer
    private let buckets: UnsafeMutableRawPointer
    private let numbers: UnsafeMutableRawPointer

    init() {
        firstHalves = scratch
        secondHalves = scratch + Self.laneBytes
        marks = scratch + 2 * Self.laneBytes
        buckets = scratch + 3 * Self.laneBytes
        numbers = scratch + 4 * Self.laneBytes
    }

    deinit { scratch.deallocate() }

    /// Slides until some block of `table` has the window's sum (true) or the window is at `limit` (false).
    ///
    /// - Parameters:
    ///   - data: source bytes; `limit + block` of them are readable.
    ///   - position: window start, at most `limit`; moved to where the search ends.
    ///   - rolling: sum of the window at `position`; moved along.
    ///   - block: window length in bytes, at least 1.
    /// - Complexity: O(limit − position); allocates nothing.
    func scan(
        _ data: UnsafePointer<UInt8>, _ position: inout Int, limit: Int, _ rolling: inout RollingChecksum, block: Int,
        table: BlockSumTable
    ) -> Bool {
        while true {
            if table.mayHold(rolling), table.firstBlock(withSum: rolling.value) >= 0 { return true }
            // Safe: `position` ≤ `limit` − batch, and `limit` + `block` bytes are readable.
            while limit - position >= Self.batch {
                compute(data + position, &rolling, block: block, table)
                collect(table)
                if let lane = firstHit(table, &rolling) {
                    position += lane + 1
                    return true
                }
                position += Self.batch
            }
            if position >= limit { return false }
            rolling.slide(
                old: data[position], new: data[position + block], length: UInt32(truncatingIfNeeded: block))
            position += 1
        }
    }

    // MARK: - Passes

    /// Computes sums, bucket numbers and marks of the batch of positions after `start`, whose own sum is `rolling`.
    @inline(__always)
    private func compute(
        _ start: UnsafePointer<UInt8>, _ rolling: inout RollingChecksum, block: Int, _ table: BlockSumTable
    ) {
        let weight = Lanes(repeating: UInt16(truncatingIfNeeded: block))
        let steps = Lanes(1, 2, 3, 4, 5, 6, 7, 8)
        let multipliers = (
            Lanes(repeating: BlockSumTable.bucketMultipliers.0), Lanes(repeating: BlockSumTable.bucketMultipliers.1),
            Lanes(repeating: BlockSumTable.markMultipliers.0), Lanes(repeating: BlockSumTable.markMultipliers.1)
        )
        let (low, high) = (Pairs(repeating: 0xffff), Pairs(repeating: 0xffff_0000))
        let shift = Pairs(repeating: table.filterShift)
        var before1 = Lanes(repeating: UInt16(truncatingIfNeeded: rolling.s1))
        var before2 = Lanes(repeating: UInt16(truncatingIfNeeded: rolling.s2))
        var leaving = UnsafeRawPointer(start)
        var at = 0
        while at < Self.laneBytes {
            // Safe: the caller vouches for batch + block bytes; `at` stays below the size of each region.
            let old = Self.signedLanes(leaving)
            let change = Self.runningSums(Self.signedLanes(leaving + block) &- old)
            let s1 = change &+ before1
            let s2 = Self.runningSums(change &- old &* weight) &+ before1 &* steps &+ before2
            firstHalves.storeBytes(of: s1, toByteOffset: at, as: Lanes.self)
            secondHalves.storeBytes(of: s2, toByteOffset: at, as: Lanes.self)
            // Two positions share a 32-bit lane, the earlier one in its low half.
            let upper = unsafeBitCast(s1 &* multipliers.0 &+ s2 &* multipliers.1, to: Pairs.self)
            let mixed = s1 &* multipliers.2 &+ s2 &* multipliers.3
            let lower = unsafeBitCast(mixed &<< 7, to: Pairs.self)
            numbers.storeBytes(
                of: ((upper &<< 16) | (lower & low)) &>> shift, toByteOffset: 2 * at, as: Pairs.self)
            numbers.storeBytes(
                of: ((upper & high) | (lower &>> 16)) &>> shift, toByteOffset: 2 * at + 16, as: Pairs.self)
            let mark = pointwiseMax(unsafeBitCast(mixed &>> 9, to: SIMD8<Int16>.self), SIMD8<Int16>(repeating: 1))
            marks.storeBytes(of: mark | (mark &<< 8), toByteOffset: at, as: SIMD8<Int16>.self)
            before1 = Lanes(repeating: s1[7])
            before2 = Lanes(repeating: s2[7])
            leaving += 8
            at += 16
        }
        rolling.s1 = UInt32(before1[0])
        rolling.s2 = UInt32(before2[0])
    }

    /// Fetches the bucket of each position of the batch.
    @inline(__always)
    private func collect(_ table: BlockSumTable) {
        let filter = UnsafePointer(table.filter)
        var target = buckets.assumingMemoryBound(to: UInt16.self)
        var number = UnsafePointer(numbers.assumingMemoryBound(to: UInt32.self))
        let end = target + Self.batch
        while target < end {
            // Safe: bucket numbers have as many bits as the filter's size; even positions come before odd ones.
            target[0] = filter[Int(number[0])]
            target[1] = filter[Int(number[4])]
            target[2] = filter[Int(number[1])]
            target[3] = filter[Int(number[5])]
            target[4] = filter[Int(number[2])]
            target[5] = filter[Int(number[6])]
            target[6] = filter[Int(number[3])]
            target[7] = filter[Int(number[7])]
            target += 8
            number += 8
        }
    }

    /// The first position of the batch whose sum is in the table, counted from 0; sets `rolling` to its sum.
    @inline(__always)
    private func firstHit(_ table: BlockSumTable, _ rolling: inout RollingChecksum) -> Int? {
        var at = 0
        while at < Self.laneBytes {
            // Safe: `at` stays below the size of the regions.
            let bucket = buckets.load(fromByteOffset: at, as: SIMD16<UInt8>.self)
            let mark = marks.load(fromByteOffset: at, as: SIMD16<UInt8>.self)
            // A bucket byte with its top bit set passes everything.
            let passed = bucket.replacing(with: 0x80, where: bucket .== mark)
            let words = unsafeBitCast(passed, to: SIMD2<UInt64>.self)
            if (words[0] | words[1]) & 0x8080_8080_8080_8080 != 0,
                let lane = exactHit(words[0], at / 2, table, &rolling)
                    ?? exactHit(words[1], at / 2 + 4, table, &rolling)
            {
                return lane
            }
            at += 16
        }
        return nil
    }

    /// Looks up those of the four positions from `first` on that have a top bit set in `passed`.
    @inline(__always)
    private func exactHit(
        _ passed: UInt64, _ first: Int, _ table: BlockSumTable, _ rolling: inout RollingChecksum
    ) -> Int? {
        var left = passed & 0x8080_8080_8080_8080
        while left != 0 {
            // Safe: four lanes of 16 bits, and `first` + 3 is below the batch.
            let lane = first + left.trailingZeroBitCount / 16
            let s1 = UInt32(firstHalves.load(fromByteOffset: 2 * lane, as: UInt16.self))
            let s2 = UInt32(secondHalves.load(fromByteOffset: 2 * lane, as: UInt16.self))
            if table.firstBlock(withSum: s1 | s2 &<< 16) >= 0 {
                rolling = RollingChecksum(s1 | s2 &<< 16)
                return lane
            }
            left &= left &- 1
        }
        return nil
    }

    // MARK: - Lanes

    /// Eight bytes as signed numbers.
    @inline(__always)
    private static func signedLanes(_ bytes: UnsafeRawPointer) -> Lanes {
        let signed = SIMD8<Int16>(truncatingIfNeeded: bytes.loadUnaligned(as: SIMD8<Int8>.self))
        return unsafeBitCast(signed, to: Lanes.self)
    }

    /// Each lane plus all lanes before it.
    @inline(__always)
    private static func runningSums(_ lanes: Lanes) -> Lanes {
        var sums = lanes
        sums &+= Lanes(0, sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6])
        sums &+= Lanes(0, 0, sums[0], sums[1], sums[2], sums[3], sums[4], sums[5])
        sums &+= Lanes(0, 0, 0, 0, sums[0], sums[1], sums[2], sums[3])
        return sums
    }
}
