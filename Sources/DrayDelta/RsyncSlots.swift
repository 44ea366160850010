// Dray — which slots of rsync's table of block sums are taken.
// Layer: Delta. Behaviour: chapter 03 §7; chapter 05 §5.
// SPDX-License-Identifier: Apache-2.0

/// Tells whether a rolling sum leads to a taken slot of the table that rsync would have made: what `hash_hits` counts.
final class RsyncSlots {
    private let size: UInt32
    private let words: UnsafeMutablePointer<UInt64>

    /// - Complexity: O(count) time, at least 8 KiB of memory.
    init(_ table: BlockSumTable) {
        size = UInt32(clamping: max(65_536, 10 * (table.count / 8) + 11))
        let count = Int(size) / 64 + 1
        words = .allocate(capacity: count)
        words.initialize(repeating: 0, count: count)
        for index in 0..<table.count {
            let slot = self.slot(table.rolling[index])
            // Safe: slots are below `size`.
            words[slot / 64] |= 1 &<< UInt64(slot % 64)
        }
    }

    deinit { words.deallocate() }

    @inline(__always)
    private func slot(_ sum: UInt32) -> Int {
        size == 65_536 ? Int(((sum & 0xffff) &+ (sum &>> 16)) & 0xffff) : Int(sum % size)
    }

    @inline(__always)
    func holds(_ sum: UInt32) -> Bool {
        let slot = slot(sum)
        // Safe: slots are below `size`.
        return words[slot / 64] & (1 &<< UInt64(slot % 64)) != 0
    }
}
