// Dray — how the generator cuts a basis file into blocks.
// Layer: Delta. Wire format: chapter 03 §4.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

extension SumHead {
    /// Describes a basis file of `length` bytes.
    ///
    /// - Parameters:
    ///   - length: basis length in bytes; 0 gives the all-zero head.
    ///   - blockSizeOption: `--block-size`, 0 chooses by length.
    ///   - digestLength: full digest of the transfer checksum, bytes.
    ///   - redo: the file failed verification once: the strong sums are sent as long as possible.
    /// - Returns: nil if the block count does not fit 31 bits or the length is negative: the file then goes whole.
    public static func forBasis(
        length: Int64, protocolVersion: Int32, blockSizeOption: Int32, digestLength: Int, redo: Bool
    ) -> SumHead? {
        if length < 0 { return nil }
        if length == 0 { return SumHead() }
        let limit = Int64(protocolVersion < 30 ? Limits.oldBlockLength : Limits.blockLength)
        let block = blockSizeOption > 0 ? Int64(blockSizeOption) : automaticBlockLength(length, limit: limit)
        let remainder = length % block
        let count = length / block + (remainder != 0 ? 1 : 0)
        guard count <= Int64(Int32.max), block <= Int64(Int32.max) else { return nil }
        return SumHead(
            count: Int32(count), blockLength: Int32(block),
            strongLength: strongLength(length, block: block, digestLength: digestLength, redo: redo),
            remainder: Int32(remainder))
    }

    /// About the square root of the length, a multiple of 8, 700…limit.
    private static func automaticBlockLength(_ length: Int64, limit: Int64) -> Int64 {
        if length <= 700 * 700 { return 700 }
        var bit: Int64 = 1
        var left = length / 4
        while left != 0 {
            bit *= 2
            left /= 4
        }
        if bit >= limit { return limit }
        var block: Int64 = 0
        repeat {
            block |= bit
            if length < block * block { block &= ~bit }
            bit /= 2
        } while bit >= 8
        return max(block, 700)
    }

    private static func strongLength(_ length: Int64, block: Int64, digestLength: Int, redo: Bool) -> Int32 {
        let longest = Int32(min(16, digestLength))
        if redo { return longest }
        var bits: Int32 = 10
        var left = length / 2
        while left != 0 {
            bits += 2
            left /= 2
        }
        left = block / 2
        while left != 0 && bits != 0 {
            bits -= 1
            left /= 2
        }
        return min(max((bits + 1 - 32 + 7) / 8, 2), longest)
    }
}
