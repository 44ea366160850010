// Dray — the delta search against a naive reference.
// Layer: Tests.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Testing

@testable import DrayDelta

@Suite struct DeltaMatcherTests {
    static func makeHasher() -> BlockHasher { BlockHasher(.xxh64, seed: 3, seedFirst: true) }

    static func tokens(
        _ source: Bytes, _ basis: Bytes, block: Int32, updating: Bool = false, piece: Int = 1 << 30,
        claimed: Int64? = nil, hasher: BlockHasher = makeHasher(), matcher: DeltaMatcher = DeltaMatcher()
    ) throws -> [Token] {
        var from = MemorySource(bytes: source, piece: piece)
        var sink = TokenSink()
        try matcher.run(
            length: claimed ?? Int64(source.count), table: .make(basis, blockLength: block, hasher: hasher),
            hasher: hasher, updatingBasis: updating, source: &from, sink: &sink)
        return sink.tokens
    }

    /// The search of chapter 03 §7 by comparing bytes (not updating).
    static func reference(_ source: Bytes, _ basis: Bytes, block: Int) -> [Token] {
        let count = (basis.count + block - 1) / block
        let blocks = (0..<count).map { Bytes(basis[($0 * block)..<min(basis.count, ($0 + 1) * block)]) }
        var tokens: [Token] = []
        var literal: Bytes = []
        var offset = 0
        var wanted = 0
        while offset < source.count {
            let window = Bytes(source[offset..<min(source.count, offset + block)])
            var found = blocks.lastIndex(of: window)
            if found != nil, wanted < count, blocks[wanted] == window { found = wanted }
            if let found {
                if !literal.isEmpty { tokens.append(.literal(literal)) }
                literal = []
                tokens.append(.match(Int32(found)))
                offset += window.count
                wanted = found + 1
            } else {
                literal.append(source[offset])
                offset += 1
            }
        }
        if !literal.isEmpty { tokens.append(.literal(literal)) }
        return tokens
    }

    /// A basis over a small alphabet and a source made of its pieces.
    static func pair(_ random: inout SeededRandom) -> (basis: Bytes, source: Bytes) {
        let alphabet = UInt8.random(in: 0...3, using: &random)
        let basis: Bytes = (0..<Int.random(in: 0...400, using: &random)).map { _ in
            UInt8.random(in: 0...alphabet, using: &random) &* 83
        }
        var source: Bytes = []
        for _ in 0..<Int.random(in: 0...12, using: &random) {
            if Bool.random(using: &random), !basis.isEmpty {
                let start = Int.random(in: 0..<basis.count, using: &random)
                source += basis[start..<min(basis.count, start + Int.random(in: 1...90, using: &random))]
            } else {
                source += (0..<Int.random(in: 0...9, using: &random)).map { _ in
                    UInt8.random(in: 0...3, using: &random)
                }
            }
        }
        if Bool.random(using: &random) { source += basis.suffix(30) }
        return (basis, source)
    }

    @Test func goldenSequence() throws {
        let source = ChecksumTests.source
        let tokens = try Self.tokens(
            source, ChecksumTests.basis, block: 700, hasher: BlockHasher(.md5, seed: 1, seedFirst: true))
        #expect(
            tokens == [
                .match(0), .literal(Bytes(source[700..<956])), .match(1), .literal(Bytes(source[1656..<2105])),
                .match(3),
            ])
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func agreesWithNaiveSearch(seed: UInt64) throws {
        var random = SeededRandom(state: seed)
        let matcher = DeltaMatcher()
        for _ in 0..<40 {
            let (basis, source) = Self.pair(&random)
            let block = Int32.random(in: 1...24, using: &random)
            let piece = Int.random(in: 1...100, using: &random)
            let found = try Self.tokens(source, basis, block: block, piece: piece, matcher: matcher)
            #expect(found == Self.reference(source, basis, block: Int(block)), "seed \(seed), block \(block)")
        }
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func updatingBasisReconstructsInPlace(seed: UInt64) throws {
        var random = SeededRandom(state: seed &+ 1000)
        for round in 0..<40 {
            var (basis, source) = Self.pair(&random)
            if round % 4 == 0 {
                // Mostly zeros: the aligned rule.
                basis = basis.map { $0 < 200 ? 0 : $0 }
                source = source.map { $0 < 200 ? 0 : $0 }
            }
            let block = Int32.random(in: 1...24, using: &random)
            let tokens = try Self.tokens(source, basis, block: block, updating: true)
            var file = basis
            var output = 0
            for token in tokens {
                var bytes: Bytes
                switch token {
                case .literal(let literal): bytes = literal
                case .match(let index):
                    let start = Int(index) * Int(block)
                    bytes = Bytes(file[start..<min(basis.count, start + Int(block))])
                }
                for byte in bytes {
                    if output < file.count { file[output] = byte } else { file.append(byte) }
                    output += 1
                }
            }
            file.removeLast(file.count - output)
            #expect(file == source, "seed \(seed), round \(round), block \(block)")
        }
    }

    @Test func updatingSkipsBlocksAlreadyOverwritten() throws {
        let first = Bytes(repeating: 1, count: 8), second = Bytes(repeating: 2, count: 8)
        // The source swaps both blocks; the first one is gone when it is wanted.
        #expect(try Self.tokens(second + first, first + second, block: 8) == [.match(1), .match(0)])
        #expect(
            try Self.tokens(second + first, first + second, block: 8, updating: true) == [.match(1), .literal(first)])
    }

    @Test func updatingKeepsZerosInPlace() throws {
        let zeros = Bytes(repeating: 0, count: 32)
        #expect(
            try Self.tokens([9] + zeros.dropFirst(), zeros, block: 8, updating: true)
                == [.literal([9] + Bytes(repeating: 0, count: 7)), .match(1), .match(2), .match(3)])
    }

    @Test func identicalRunsStaySequential() throws {
        // Block 0 is unlike the rest and sets the wanted block, the others are all alike.
        let basis = Bytes(repeating: 7, count: 100) + Bytes(repeating: 0, count: 900)
        #expect(try Self.tokens(basis, basis, block: 100) == (0..<10).map { .match($0) })
    }

    @Test func earlyEndOfSourceIsTheEnd() throws {
        var random = SeededRandom(state: 77)
        for _ in 0..<50 {
            let (basis, source) = Self.pair(&random)
            let found = try Self.tokens(source, basis, block: 7, piece: 13, claimed: Int64(source.count + 5000))
            #expect(found == Self.reference(source, basis, block: 7))
        }
    }

    @Test func grownSourceIsCutAtItsLength() throws {
        let bytes = Bytes(repeating: 5, count: 100)
        #expect(try Self.tokens(bytes, [], block: 8, claimed: 60) == [.literal(Bytes(bytes[..<60]))])
    }

    @Test func longSourcesPassThroughTheWindow() throws {
        var random = SeededRandom(state: 9)
        let basis: Bytes = (0..<3_000_000).map { _ in UInt8.random(in: 0...255, using: &random) }
        var source = basis
        source.insert(contentsOf: [1, 2, 3], at: 1_500_000)
        source.replaceSubrange(2_500_000..<2_700_000, with: basis[..<200_000].reversed())
        let found = try Self.tokens(source, basis, block: 5000, piece: 100_001)
        var rebuilt: Bytes = []
        var matches = 0
        for token in found {
            switch token {
            case .literal(let bytes): rebuilt += bytes
            case .match(let index):
                rebuilt += basis[(Int(index) * 5000)..<(Int(index) * 5000 + 5000)]
                matches += 1
            }
        }
        #expect(rebuilt == source)
        #expect(matches == 600 - 41)
    }

    @Test func hostileSumsFinishQuickly() throws {
        let head = SumHead(count: 40_000, blockLength: 131_072, strongLength: 16, remainder: 0)
        let table = BlockSumTable(head: head)
        // Every sum is that of zeros, no strong sum fits.
        let wrong = Bytes(repeating: 0xAA, count: 16)
        for _ in 0..<40_000 { wrong.withUnsafeBytes { table.append(rolling: 0, strong: $0.baseAddress!) } }
        table.build()
        let source = Bytes(repeating: 0, count: 16 << 20)
        var from = MemorySource(bytes: source)
        var sink = CountingSink()
        let start = ContinuousClock.now
        try DeltaMatcher().run(
            length: Int64(source.count), table: table, hasher: BlockHasher(.xxh128, seed: 1, seedFirst: true),
            updatingBasis: false, source: &from, sink: &sink)
        #expect(sink.literals == source.count)
        #expect(ContinuousClock.now - start < .seconds(20))
    }

    struct CountingSink: DeltaSink {
        var literals = 0
        var matched = 0
        mutating func literal(_ bytes: UnsafeRawBufferPointer) throws { literals += bytes.count }
        mutating func match(block: Int32, length: Int) throws { matched += length }
    }
}
