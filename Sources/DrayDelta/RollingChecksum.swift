// Dray — the rolling checksum of a block.
// Layer: Delta. Wire format: chapter 03 §5.
// SPDX-License-Identifier: Apache-2.0

/// The weak checksum that can slide along a file byte by byte. Bytes count as signed numbers.
public struct RollingChecksum: Equatable, Sendable {
    /// Σ x and Σ weight·x; only the low 16 bits mean anything.
    public var s1: UInt32
    public var s2: UInt32

    /// Splits a sum as it stands on the wire.
    @inlinable
    public init(_ sum: UInt32 = 0) {
        s1 = sum & 0xffff
        s2 = sum &>> 16
    }

    /// The sum as it stands on the wire: s1 in the low half, s2 in the high half.
    @inlinable
    public var value: UInt32 { (s1 & 0xffff) | (s2 &<< 16) }

    /// Slides a window of `length` bytes by one: `old` leaves, `new` enters.
    @inlinable
    public mutating func slide(old: UInt8, new: UInt8, length: UInt32) {
        let leaving = UInt32(truncatingIfNeeded: Int8(bitPattern: old))
        s1 = s1 &- leaving &+ UInt32(truncatingIfNeeded: Int8(bitPattern: new))
        s2 = s2 &- length &* leaving &+ s1
    }

    /// Drops the first byte of a window of `length` bytes, at the end of a file.
    @inlinable
    public mutating func drop(old: UInt8, length: UInt32) {
        let leaving = UInt32(truncatingIfNeeded: Int8(bitPattern: old))
        s1 = s1 &- leaving
        s2 = s2 &- length &* leaving
    }

    /// Returns the sum of `block`.
    ///
    /// - Complexity: O(n); 16-bit lanes that wrap are exact for any length because the sums are taken mod 2^16.
    public static func sum(_ block: UnsafeRawBufferPointer) -> UInt32 {
        guard let base = block.baseAddress else { return 0 }
        typealias Lanes = SIMD8<Int16>
        let count = block.count
        let steps = count &>> 5
        var s1: UInt32 = 0
        var s2: UInt32 = 0
        if steps > 0 {
            // Each step takes 32 bytes as two vectors of 8 pairs. `plain*` is Σ x per lane, `rising*` adds the plain
            // sum once per later step; position weights inside a step follow at the end.
            var plainEven0 = Lanes(), plainOdd0 = Lanes(), risingEven0 = Lanes(), risingOdd0 = Lanes()
            var plainEven1 = Lanes(), plainOdd1 = Lanes(), risingEven1 = Lanes(), risingOdd1 = Lanes()
            var source = base
            for _ in 0..<steps {
                // Safe: steps · 32 <= count.
                let pairs0 = unsafe source.loadUnaligned(as: Lanes.self)
                let pairs1 = unsafe source.loadUnaligned(fromByteOffset: 16, as: Lanes.self)
                risingEven0 &+= plainEven0
                risingOdd0 &+= plainOdd0
                risingEven1 &+= plainEven1
                risingOdd1 &+= plainOdd1
                plainEven0 &+= (pairs0 &<< 8) &>> 8
                plainOdd0 &+= pairs0 &>> 8
                plainEven1 &+= (pairs1 &<< 8) &>> 8
                plainOdd1 &+= pairs1 &>> 8
                source += 32
            }
            let weights = Lanes(0, 2, 4, 6, 8, 10, 12, 14)
            let rising = (risingEven0 &+ risingOdd0 &+ risingEven1 &+ risingOdd1) &* 32
            let weighted =
                plainEven0 &* (32 &- weights) &+ plainOdd0 &* (31 &- weights)
                &+ plainEven1 &* (16 &- weights) &+ plainOdd1 &* (15 &- weights)
            s1 = UInt32(UInt16(bitPattern: (plainEven0 &+ plainOdd0 &+ plainEven1 &+ plainOdd1).wrappedSum()))
            s2 = UInt32(UInt16(bitPattern: (rising &+ weighted).wrappedSum()))
        }
        var index = steps &<< 5
        while index < count {
            // Safe: index < count.
            s1 = s1 &+ UInt32(truncatingIfNeeded: unsafe base.load(fromByteOffset: index, as: Int8.self))
            s2 = s2 &+ s1
            index &+= 1
        }
        return (s1 & 0xffff) | (s2 &<< 16)
    }
}
