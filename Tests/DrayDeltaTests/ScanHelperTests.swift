// Dray — searches shared by two threads find what one thread finds.
// Layer: Tests.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Testing

@testable import DrayDelta

@Suite struct ScanHelperTests {
    static func noise(_ count: Int, _ random: inout SeededRandom) -> Bytes {
        var bytes = Bytes()
        bytes.reserveCapacity(count + 8)
        while bytes.count < count { withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) } }
        return Bytes(bytes.prefix(count))
    }

    static func tokens(_ source: Bytes, _ table: BlockSumTable, _ hasher: BlockHasher, shared: Bool) throws -> [Token] {
        let matcher = DeltaMatcher(mayUseHelper: shared)
        var input = MemorySource(bytes: source, piece: 300_000)
        var sink = TokenSink()
        try matcher.run(
            length: Int64(source.count), table: table, hasher: hasher, updatingBasis: false, source: &input, sink: &sink
        )
        return sink.tokens
    }

    /// Blocks of the basis between long stretches of other bytes: at the start of a stretch, in the owner's part, at the
    /// border and in the helper's part.
    @Test(arguments: [700, 4096, 33_000])
    func findsTheSameMatches(_ block: Int) throws {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededRandom(state: seed)
        let basis = Self.noise(40 * block, &random)
        var source = Self.noise(200_000, &random)
        for _ in 0..<12 {
            source += Self.noise(Int.random(in: 1...700_000, using: &random), &random)
            let first = Int.random(in: 0..<38, using: &random)
            source += basis[(first * block)..<((first + 2) * block)]
        }
        source += Self.noise(400_000, &random)
        let hasher = BlockHasher(.xxh128, seed: 1, seedFirst: false)
        let expected = try Self.tokens(
            source, .make(basis, blockLength: Int32(block), hasher: hasher), hasher, shared: false)
        let found = try Self.tokens(
            source, .make(basis, blockLength: Int32(block), hasher: hasher), hasher, shared: true)
        #expect(found == expected, "seed \(seed)")
        #expect(expected.filter { if case .match = $0 { true } else { false } }.count == 24, "seed \(seed)")
    }

    /// Sums that are in the table but of other blocks: each is a candidate that leads nowhere.
    @Test func survivesFalseAlarms() throws {
        var random = SeededRandom(state: 5)
        let source = Self.noise(3_000_000, &random)
        let hasher = BlockHasher(.xxh128, seed: 1, seedFirst: false)
        func table() -> BlockSumTable {
            let table = BlockSumTable(head: SumHead(count: 3000, blockLength: 700, strongLength: 8, remainder: 0))
            for index in 0..<3000 {
                let start = index * 900
                let sum = source.withUnsafeBytes {
                    RollingChecksum.sum(UnsafeRawBufferPointer(rebasing: $0[start..<(start + 700)]))
                }
                withUnsafeBytes(of: UInt64(0)) { table.append(rolling: sum, strong: $0.baseAddress!) }
            }
            table.build()
            return table
        }
        #expect(try Self.tokens(source, table(), hasher, shared: true) == [.literal(source)])
    }

    struct Refusal: Error {}

    /// Refuses the literals after the first megabyte.
    struct RefusingSink: DeltaSink {
        var taken = 0
        mutating func literal(_ bytes: UnsafeRawBufferPointer) throws {
            taken += bytes.count
            if taken > 1 << 20 { throw Refusal() }
        }
        mutating func match(block: Int32, length: Int) throws {}
    }

    /// The owner gives up while the helper searches: the next search is not disturbed.
    @Test func aBrokenConnectionLeavesNothingRunning() throws {
        var random = SeededRandom(state: 9)
        let hasher = BlockHasher(.xxh128, seed: 1, seedFirst: false)
        let basis = Self.noise(70_000, &random)
        let matcher = DeltaMatcher(mayUseHelper: true)
        for _ in 0..<3 {
            var source = MemorySource(bytes: Self.noise(4_000_000, &random))
            var refusing = RefusingSink()
            #expect(throws: Refusal.self) {
                try matcher.run(
                    length: 4_000_000, table: .make(basis, blockLength: 700, hasher: hasher), hasher: hasher,
                    updatingBasis: false, source: &source, sink: &refusing)
            }
        }
        let bytes = Self.noise(600_000, &random) + basis[700..<1400] + Self.noise(10, &random)
        var source = MemorySource(bytes: bytes)
        var sink = TokenSink()
        try matcher.run(
            length: Int64(bytes.count), table: .make(basis, blockLength: 700, hasher: hasher), hasher: hasher,
            updatingBasis: false, source: &source, sink: &sink)
        #expect(sink.tokens.contains(.match(1)))
    }
}
