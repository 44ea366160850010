// Dray — shared pieces of the delta tests.
// Layer: Tests.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

@testable import DrayDelta

func hex(_ bytes: some Collection<UInt8>) -> String {
    bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
}

/// A small generator with a seed that failing tests can print.
struct SeededRandom: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

enum Token: Equatable { case literal(Bytes), match(Int32) }

/// Hands out bytes in pieces of at most `piece`.
struct MemorySource: DeltaSource {
    var bytes: Bytes
    var piece = 1 << 30
    var at = 0
    mutating func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = min(buffer.count, bytes.count - at, piece)
        if count > 0 { buffer.copyBytes(from: bytes[at..<(at + count)]) }
        at += count
        return count
    }
}

/// Collects tokens; adjacent literal runs are joined.
struct TokenSink: DeltaSink {
    var tokens: [Token] = []
    mutating func literal(_ bytes: UnsafeRawBufferPointer) throws {
        if case .literal(let before) = tokens.last {
            tokens[tokens.count - 1] = .literal(before + Bytes(bytes))
        } else {
            tokens.append(.literal(Bytes(bytes)))
        }
    }
    mutating func match(block: Int32, length: Int) throws { tokens.append(.match(block)) }
}

extension BlockSumTable {
    /// The table of `basis` as a generator would send it.
    static func make(
        _ basis: Bytes, blockLength: Int32, hasher: BlockHasher, strongLength: Int32 = 8
    ) -> BlockSumTable {
        let head = SumHead(
            count: (Int32(basis.count) + blockLength - 1) / blockLength, blockLength: blockLength,
            strongLength: strongLength, remainder: Int32(basis.count) % blockLength)
        let table = BlockSumTable(head: head)
        var digest = Bytes(repeating: 0, count: 64)
        basis.withUnsafeBytes { raw in
            for index in 0..<Int(head.count) {
                let start = index * Int(blockLength)
                let block = UnsafeRawBufferPointer(
                    rebasing: raw[start..<(start + head.length(ofBlock: Int32(index)))])
                digest.withUnsafeMutableBytes { out in
                    hasher.sum(block, into: out.baseAddress!)
                    table.append(rolling: RollingChecksum.sum(block), strong: out.baseAddress!)
                }
            }
        }
        table.build()
        return table
    }
}
