// Dray — the block sums of one basis file, searchable by rolling checksum.
// Layer: Delta. Wire format: chapter 03 §3, §7.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Holds the block sums that a generator sent and finds blocks by their rolling sum.
///
/// Sums are appended in block order as they arrive; `build()` makes the table searchable. Memory grows with the sums that
/// really arrived, never with a claimed count.
public final class BlockSumTable {
    /// How the basis is cut; already checked against `Limits`.
    public let head: SumHead
    /// Blocks appended so far, at most `head.count`.
    public private(set) var count = 0

    private let strongLength: Int
    private var capacity = 0
    private(set) var rolling: UnsafeMutablePointer<UInt32>
    private(set) var strong: UnsafeMutablePointer<UInt8>
    /// Per block the next lower block with the same rolling sum, or -1. Valid once built.
    private(set) var next: UnsafeMutablePointer<Int32>
    /// One byte per block: 1 once the block is known to lie at its own offset in the source. Valid once built.
    private(set) var isAtSameOffset: UnsafeMutablePointer<UInt8>

    /// Buckets of two marks of seven bits, 0 for none; a sum whose mark is not in its bucket belongs to no block. A byte
    /// with its top bit set stands in a bucket that overflowed: it passes every sum.
    private(set) var filter: UnsafeMutablePointer<UInt16>
    /// What leaves the number of a bucket of a 32-bit hash.
    private(set) var filterShift: UInt32 = 22
    @inline(__always) static var bucketMultipliers: (UInt16, UInt16) { (0x9E37, 0x79B1) }
    @inline(__always) static var markMultipliers: (UInt16, UInt16) { (0x85EB, 0xCA6B) }

    private struct Slot {
        var sum: UInt32
        var head: Int32
    }
    private var slots: UnsafeMutablePointer<Slot>
    private var slotMask = 0
    /// A secret that keeps a peer from choosing sums that collide.
    private let key = UInt64.random(in: .min ... .max)

    /// Makes an empty table for the blocks described by `head`.
    public init(head: SumHead) {
        self.head = head
        strongLength = max(0, Int(head.strongLength))
        rolling = .allocate(capacity: 1)
        strong = .allocate(capacity: 1)
        next = .allocate(capacity: 1)
        isAtSameOffset = .allocate(capacity: 1)
        filter = .allocate(capacity: 1)
        slots = .allocate(capacity: 1)
    }

    deinit {
        rolling.deallocate()
        strong.deallocate()
        next.deallocate()
        isAtSameOffset.deallocate()
        filter.deallocate()
        slots.deallocate()
    }

    /// Adds the sums of the next block.
    ///
    /// - Parameter strong: `head.strongLength` bytes, copied.
    public func append(rolling sum: UInt32, strong bytes: UnsafeRawPointer) {
        precondition(count < Int(head.count), "more sums than the head announced")
        if count == capacity { grow() }
        // Safe: count < capacity.
        rolling[count] = sum
        UnsafeMutableRawPointer(strong + count &* strongLength).copyMemory(from: bytes, byteCount: strongLength)
        count += 1
    }

    private func grow() {
        let larger = min(max(1024, capacity * 2), max(1, Int(head.count)))
        let newRolling = UnsafeMutablePointer<UInt32>.allocate(capacity: larger)
        newRolling.update(from: rolling, count: count)
        rolling.deallocate()
        rolling = newRolling
        let newStrong = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, larger * strongLength))
        newStrong.update(from: strong, count: count * strongLength)
        strong.deallocate()
        strong = newStrong
        capacity = larger
    }

    /// Makes the table searchable after the last sum.
    ///
    /// - Complexity: O(count) expected.
    public func build() {
        next.deallocate()
        next = .allocate(capacity: max(1, count))
        isAtSameOffset.deallocate()
        isAtSameOffset = .allocate(capacity: max(1, count))
        isAtSameOffset.initialize(repeating: 0, count: max(1, count))
        // 4–8 buckets (64–128 bits) per block; a smaller filter lets too many positions through.
        var filterBits = 10
        while filterBits < 20, 1 << filterBits < count * 4 { filterBits += 1 }
        filterShift = UInt32(32 - filterBits)
        filter.deallocate()
        filter = .allocate(capacity: 1 << filterBits)
        filter.initialize(repeating: 0, count: 1 << filterBits)
        var slotCount = 16
        while slotCount < count * 2 { slotCount *= 2 }
        slotMask = slotCount - 1
        slots.deallocate()
        slots = .allocate(capacity: slotCount)
        slots.initialize(repeating: Slot(sum: 0, head: -1), count: slotCount)
        // Ascending order with insertion in front: a chain begins with the highest block.
        for index in 0..<count {
            let sum = rolling[index]
            let slot = slotIndex(of: sum)
            next[index] = slots[slot].head
            slots[slot] = Slot(sum: sum, head: Int32(index))
            addToFilter(RollingChecksum(sum))
        }
    }

    /// The bucket and the mark, 1…127, of a sum.
    @inline(__always)
    private func place(of sum: RollingChecksum) -> (bucket: Int, mark: UInt16) {
        let s1 = UInt16(truncatingIfNeeded: sum.s1)
        let s2 = UInt16(truncatingIfNeeded: sum.s2)
        let upper = s1 &* Self.bucketMultipliers.0 &+ s2 &* Self.bucketMultipliers.1
        let mixed = s1 &* Self.markMultipliers.0 &+ s2 &* Self.markMultipliers.1
        let hash = UInt32(upper) &<< 16 | UInt32(mixed &<< 7)
        return (Int(hash &>> filterShift), max(1, mixed &>> 9))
    }

    private func addToFilter(_ sum: RollingChecksum) {
        let (bucket, mark) = place(of: sum)
        // Safe: the shift leaves as many bits as the filter has buckets.
        let held = filter[bucket]
        if held & 0xff == mark || held &>> 8 == mark { return }
        if held == 0 {
            filter[bucket] = mark
        } else if held < 0x100 {
            filter[bucket] = held | mark &<< 8
        } else {
            filter[bucket] = 0x8080
        }
    }

    /// Whether a block may have the rolling sum `sum`; false is certain.
    @inline(__always)
    func mayHold(_ sum: RollingChecksum) -> Bool {
        let (bucket, mark) = place(of: sum)
        let held = filter[bucket]
        return held & 0xff == mark || held &>> 8 == mark || held & 0x8080 != 0
    }

    /// The slot that holds `sum` or is free for it.
    private func slotIndex(of sum: UInt32) -> Int {
        var mixed = (UInt64(sum) ^ key) &* 0xff51_afd7_ed55_8ccd
        mixed = (mixed ^ (mixed &>> 32)) &* (key | 1)
        mixed ^= mixed &>> 29
        var slot = Int(truncatingIfNeeded: mixed) & slotMask
        // Safe: masked, and at most half of the slots are in use, so that a free one ends the search.
        while slots[slot].head >= 0, slots[slot].sum != sum { slot = (slot + 1) & slotMask }
        return slot
    }

    /// The highest block whose rolling sum is `sum`, or -1.
    func firstBlock(withSum sum: UInt32) -> Int32 {
        slots[slotIndex(of: sum)].head
    }

    /// Whether `digest` begins with the strong sum of `block`.
    func matches(_ block: Int, digest: UnsafePointer<UInt8>) -> Bool {
        // Safe: block < count; a digest has at least strongLength bytes (checked by the reader of the head).
        let sum = strong + block &* strongLength
        var index = 0
        while index < strongLength {
            if sum[index] != digest[index] { return false }
            index &+= 1
        }
        return true
    }
}
