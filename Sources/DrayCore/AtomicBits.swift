// Dray — a fixed set of bits that threads may set and read at the same time.
// Layer: Core.
// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Bits, all clear at first. Places outside 0..<count read as clear and cannot be set.
///
/// Relaxed order: a bit says nothing about other memory; who depends on it learns of it through a lock or a channel.
public final class AtomicBits: Sendable {
    // Safe: allocated for the life of the object, and words are only touched atomically.
    private nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<UInt>>
    public let count: Int
    private let wordCount: Int
    private static let width = UInt.bitWidth

    /// No bits at all.
    public static let none = AtomicBits(count: 0)

    /// - Parameter count: ≥ 0; an eighth of a byte is used for each.
    public init(count: Int) {
        self.count = count
        wordCount = (count + Self.width - 1) / Self.width
        words = .allocate(capacity: wordCount)
        for index in 0..<wordCount { (words + index).initialize(to: Atomic(0)) }
    }

    deinit {
        words.deinitialize(count: wordCount)
        words.deallocate()
    }

    @inline(__always)
    public func insert(_ place: Int) {
        guard place >= 0 && place < count else { return }
        words[place / Self.width].bitwiseOr(1 << UInt(place % Self.width), ordering: .relaxed)
    }

    @inline(__always)
    public func contains(_ place: Int) -> Bool {
        guard place >= 0 && place < count else { return false }
        return words[place / Self.width].load(ordering: .relaxed) & (1 << UInt(place % Self.width)) != 0
    }
}
