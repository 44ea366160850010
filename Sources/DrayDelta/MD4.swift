// Dray — MD4 (RFC 1320): the crypto library no longer offers it by default.
// Layer: Delta.
// SPDX-License-Identifier: Apache-2.0

/// Incremental MD4 of raw bytes; a plain value without heap storage.
struct MD4 {
    private var a: UInt32 = 0x6745_2301
    private var b: UInt32 = 0xefcd_ab89
    private var c: UInt32 = 0x98ba_dcfe
    private var d: UInt32 = 0x1032_5476
    private var byteCount: UInt64 = 0
    /// Bytes that do not fill a block yet, the first `byteCount % 64` are valid.
    private var pending = SIMD64<UInt8>(repeating: 0)

    /// Hashes `count` bytes at `data`.
    mutating func update(_ data: UnsafeRawPointer, count: Int) {
        var source = data
        var left = count
        let filled = Int(byteCount & 63)
        byteCount &+= UInt64(count)
        if filled > 0 {
            let taken = min(64 - filled, left)
            let isFull = withUnsafeMutableBytes(of: &pending) { buffer -> Bool in
                // Safe: filled + taken <= 64, the size of `pending`; the caller provides `count` >= taken bytes.
                unsafe (buffer.baseAddress! + filled).copyMemory(from: source, byteCount: taken)
                return filled + taken == 64
            }
            source += taken
            left -= taken
            if isFull {
                let block = pending
                withUnsafeBytes(of: block) { unsafe compress($0.baseAddress!, blocks: 1) }
            }
            if left == 0 { return }
        }
        let blocks = left >> 6
        if blocks > 0 {
            unsafe compress(source, blocks: blocks)
            source += blocks << 6
            left &= 63
        }
        if left > 0 {
            withUnsafeMutableBytes(of: &pending) { buffer in
                // Safe: left < 64.
                unsafe buffer.baseAddress!.copyMemory(from: source, byteCount: left)
            }
        }
    }

    /// Pads, hashes the length and writes the 16 digest bytes to `digest`. The value is used up afterwards.
    mutating func finish(into digest: UnsafeMutableRawPointer) {
        let bits = byteCount &<< 3
        let filled = Int(byteCount & 63)
        var tail: (SIMD64<UInt8>, SIMD64<UInt8>) = (pending, SIMD64(repeating: 0))
        let isLong = filled >= 56
        withUnsafeMutableBytes(of: &tail) { buffer in
            let base = buffer.baseAddress!
            // Safe: all offsets below 128, the size of `tail`.
            unsafe (base + filled).initializeMemory(as: UInt8.self, repeating: 0, count: 128 - filled)
            unsafe base.storeBytes(of: 0x80, toByteOffset: filled, as: UInt8.self)
            let lengthOffset = isLong ? 120 : 56
            unsafe base.storeBytes(of: bits.littleEndian, toByteOffset: lengthOffset, as: UInt64.self)
            unsafe compress(UnsafeRawPointer(base), blocks: isLong ? 2 : 1)
        }
        unsafe digest.storeBytes(of: a.littleEndian, as: UInt32.self)
        unsafe digest.storeBytes(of: b.littleEndian, toByteOffset: 4, as: UInt32.self)
        unsafe digest.storeBytes(of: c.littleEndian, toByteOffset: 8, as: UInt32.self)
        unsafe digest.storeBytes(of: d.littleEndian, toByteOffset: 12, as: UInt32.self)
    }

    @inline(__always)
    private static func rotate(_ value: UInt32, _ bits: UInt32) -> UInt32 {
        (value &<< bits) | (value &>> (32 &- bits))
    }

    /// Runs the three rounds over `blocks` blocks of 64 bytes at `data`.
    private mutating func compress(_ data: UnsafeRawPointer, blocks: Int) {
        var (a, b, c, d) = (self.a, self.b, self.c, self.d)
        var source = data
        for _ in 0..<blocks {
            let (a0, b0, c0, d0) = (a, b, c, d)
            let block = source
            @inline(__always) func word(_ index: Int) -> UInt32 {
                // Safe: index < 16 and the block has 64 bytes.
                unsafe UInt32(littleEndian: block.loadUnaligned(fromByteOffset: index &* 4, as: UInt32.self))
            }
            @inline(__always) func first(
                _ a: inout UInt32, _ b: UInt32, _ c: UInt32, _ d: UInt32, _ k: Int, _ s: UInt32
            ) {
                a = Self.rotate(a &+ (d ^ (b & (c ^ d))) &+ word(k), s)
            }
            @inline(__always) func second(
                _ a: inout UInt32, _ b: UInt32, _ c: UInt32, _ d: UInt32, _ k: Int, _ s: UInt32
            ) {
                a = Self.rotate(a &+ ((b & c) | (d & (b | c))) &+ word(k) &+ 0x5a82_7999, s)
            }
            @inline(__always) func third(
                _ a: inout UInt32, _ b: UInt32, _ c: UInt32, _ d: UInt32, _ k: Int, _ s: UInt32
            ) {
                a = Self.rotate(a &+ (b ^ c ^ d) &+ word(k) &+ 0x6ed9_eba1, s)
            }
            first(&a, b, c, d, 0, 3)
            first(&d, a, b, c, 1, 7)
            first(&c, d, a, b, 2, 11)
            first(&b, c, d, a, 3, 19)
            first(&a, b, c, d, 4, 3)
            first(&d, a, b, c, 5, 7)
            first(&c, d, a, b, 6, 11)
            first(&b, c, d, a, 7, 19)
            first(&a, b, c, d, 8, 3)
            first(&d, a, b, c, 9, 7)
            first(&c, d, a, b, 10, 11)
            first(&b, c, d, a, 11, 19)
            first(&a, b, c, d, 12, 3)
            first(&d, a, b, c, 13, 7)
            first(&c, d, a, b, 14, 11)
            first(&b, c, d, a, 15, 19)

            second(&a, b, c, d, 0, 3)
            second(&d, a, b, c, 4, 5)
            second(&c, d, a, b, 8, 9)
            second(&b, c, d, a, 12, 13)
            second(&a, b, c, d, 1, 3)
            second(&d, a, b, c, 5, 5)
            second(&c, d, a, b, 9, 9)
            second(&b, c, d, a, 13, 13)
            second(&a, b, c, d, 2, 3)
            second(&d, a, b, c, 6, 5)
            second(&c, d, a, b, 10, 9)
            second(&b, c, d, a, 14, 13)
            second(&a, b, c, d, 3, 3)
            second(&d, a, b, c, 7, 5)
            second(&c, d, a, b, 11, 9)
            second(&b, c, d, a, 15, 13)

            third(&a, b, c, d, 0, 3)
            third(&d, a, b, c, 8, 9)
            third(&c, d, a, b, 4, 11)
            third(&b, c, d, a, 12, 15)
            third(&a, b, c, d, 2, 3)
            third(&d, a, b, c, 10, 9)
            third(&c, d, a, b, 6, 11)
            third(&b, c, d, a, 14, 15)
            third(&a, b, c, d, 1, 3)
            third(&d, a, b, c, 9, 9)
            third(&c, d, a, b, 5, 11)
            third(&b, c, d, a, 13, 15)
            third(&a, b, c, d, 3, 3)
            third(&d, a, b, c, 11, 9)
            third(&c, d, a, b, 7, 11)
            third(&b, c, d, a, 15, 15)
            a = a &+ a0
            b = b &+ b0
            c = c &+ c0
            d = d &+ d0
            source += 64
        }
        (self.a, self.b, self.c, self.d) = (a, b, c, d)
    }
}
