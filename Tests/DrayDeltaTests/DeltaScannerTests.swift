// Dray — the scanner against plain sliding.
// Layer: Tests.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Testing

@testable import DrayDelta

@Suite struct DeltaScannerTests {
    /// Positions whose rolling sum is one of `sums`, found by sliding byte by byte.
    static func reference(_ data: Bytes, block: Int, _ sums: Set<UInt32>) -> [Int] {
        (0...(data.count - block)).filter { start in
            data.withUnsafeBytes { raw in
                sums.contains(RollingChecksum.sum(UnsafeRawBufferPointer(rebasing: raw[start..<(start + block)])))
            }
        }
    }

    static func scanned(_ data: Bytes, block: Int, _ table: BlockSumTable) -> [Int] {
        let scanner = DeltaScanner()
        let limit = data.count - block
        var found: [Int] = []
        data.withUnsafeBytes { raw in
            let bytes = raw.baseAddress!.assumingMemoryBound(to: UInt8.self)
            var position = 0
            var sum = RollingChecksum(RollingChecksum.sum(UnsafeRawBufferPointer(rebasing: raw[..<block])))
            while scanner.scan(bytes, &position, limit: limit, &sum, block: block, table: table) {
                found.append(position)
                if position == limit { return }
                sum.slide(old: bytes[position], new: bytes[position + block], length: UInt32(block))
                position += 1
            }
        }
        return found
    }

    /// Random bytes, two kinds of bytes only, extremes that let the sums wrap; tables that are small and overfull.
    @Test(arguments: [(255, 0), (1, 127), (1, 128), (7, 0)], [3, 40, 9000])
    func findsEveryPositionWhoseSumIsInTheTable(_ kind: (last: Int, first: Int), _ count: Int) {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededRandom(state: seed)
        for block in [1, 5, 127, 700, 1200] {
            let data: Bytes = (0..<(block + Int.random(in: 0...1500, using: &random))).map { _ in
                UInt8(truncatingIfNeeded: kind.first + Int.random(in: 0...kind.last, using: &random))
            }
            let table = BlockSumTable(
                head: SumHead(count: Int32(count), blockLength: Int32(block), strongLength: 2, remainder: 0))
            var sums: Set<UInt32> = []
            for index in 0..<count {
                var sum = UInt32.random(in: .min ... .max, using: &random)
                if index < 4 {
                    let start = Int.random(in: 0...(data.count - block), using: &random)
                    sum = data.withUnsafeBytes {
                        RollingChecksum.sum(UnsafeRawBufferPointer(rebasing: $0[start..<(start + block)]))
                    }
                }
                sums.insert(sum)
                withUnsafeBytes(of: UInt16(0)) { table.append(rolling: sum, strong: $0.baseAddress!) }
            }
            table.build()
            #expect(
                Self.scanned(data, block: block, table) == Self.reference(data, block: block, sums),
                "seed \(seed) block \(block)")
        }
    }
}
