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

    /// One bit per hashed sum; a clear bit means that no block has this sum.
    private(set) var filter: UnsafeMutablePointer<UInt64>
    private(set) var filterShift: UInt32 = 16
    static let filterMultiplier: UInt32 = 0x9E37_79B1

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
        // 64–128 filter bits per block; a smaller filter lets too many positions through.
        var filterBits = 16
        while filterBits < 23, 1 << filterBits < count * 64 { filterBits += 1 }
        filterShift = UInt32(32 - filterBits)
        filter.deallocate()
        filter = .allocate(capacity: 1 << (filterBits - 6))
        filter.initialize(repeating: 0, count: 1 << (filterBits - 6))
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
            let hash = (sum &* Self.filterMultiplier) &>> filterShift
            filter[Int(hash &>> 6)] |= 1 &<< UInt64(hash & 63)
        }
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
