// Dray — runs of zeros in data: where a sparse file has its holes.
// Layer: Files.
// SPDX-License-Identifier: Apache-2.0

/// Looks for zeros by machine words, and for long runs by looking at few bytes of other data.
public enum ZeroRuns {
    /// Index of the first byte at or after `start` that is not zero; `bytes.count` if there is none.
    ///
    /// - Parameter start: at most `bytes.count`.
    public static func end(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        var index = start
        // Safe: each load ends within the buffer.
        while index + 32 <= bytes.count {
            let first = base.loadUnaligned(fromByteOffset: index, as: SIMD4<UInt64>.self)
            if first != .zero { break }
            index += 32
        }
        while index < bytes.count && base.load(fromByteOffset: index, as: UInt8.self) == 0 { index += 1 }
        return index
    }

    /// Start of the first run of at least `length` zeros at or after `start`; nil if there is none.
    ///
    /// - Parameter length: at least 1.
    public static func first(_ bytes: UnsafeRawBufferPointer, from start: Int, length: Int) -> Int? {
        var candidate = start
        // Bytes candidate..<known are zero.
        var known = start
        while candidate + length <= bytes.count {
            // From the end of the window: data there rules out every run that covers it.
            var index = candidate + length - 1
            // Safe: known ≥ 0 and the window ends within the buffer.
            while index >= known && bytes[index] == 0 { index -= 1 }
            if index < known { return candidate }
            known = candidate + length
            candidate = index + 1
        }
        return nil
    }

    /// Number of zeros at the end of `bytes`, not counting any before `start`.
    public static func atEnd(_ bytes: UnsafeRawBufferPointer, notBefore start: Int) -> Int {
        var index = bytes.count
        while index > start && bytes[index - 1] == 0 { index -= 1 }
        return bytes.count - index
    }
}
