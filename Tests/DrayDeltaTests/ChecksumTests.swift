// Dray — golden sums. Origin: chapter 03 §4–6 and §19 of the specification, RFC 1320 for MD4.
// Layer: Tests.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Testing

@testable import DrayDelta

@Suite struct ChecksumTests {
    static let basis: Bytes = (0..<2200).map { UInt8((7 * $0 + 3) % 251) }
    static let source: Bytes = Bytes(basis[..<900]) + Bytes("HELLO") + basis[900...]

    static func sum(_ hasher: BlockHasher, _ block: some Collection<UInt8>) -> Bytes {
        var digest = Bytes(repeating: 0, count: hasher.algorithm.digestLength)
        digest.withUnsafeMutableBytes { out in
            Bytes(block).withUnsafeBytes { hasher.sum($0, into: out.baseAddress!) }
        }
        return digest
    }

    static func file(_ algorithm: ChecksumAlgorithm, _ bytes: Bytes, seed: Int32 = 0, piece: Int = 1 << 20) -> String {
        let hasher = StrongHasher(algorithm, seed: seed)
        // The second round proves that a hasher can be used again.
        for round in 0..<2 {
            var at = 0
            while at < bytes.count {
                let end = min(bytes.count, at + piece)
                Bytes(bytes[at..<end]).withUnsafeBytes { hasher.update($0) }
                at = end
            }
            if round == 0 { _ = hasher.finish() }
        }
        return hex(hasher.finish())
    }

    @Test(arguments: [
        (ChecksumAlgorithm.md5, "d0e2 ca90 f557 a550", "7b2811e18918d4c7dc745498c18bed22"),
        (.md4, "ee3a f323 915a b4b5", "cd012118d476f6ae532adf7fde1bb4e0"),
        (.md4Old, "ee3a f323 915a b4b5", "99c2cac6056494d4979ea43bc5a939e2"),
        (.sha1, "974f 8e12 4c56 3aa6", "5d783ff9dbb1fcc5d10da7f2544475011d85545a"),
        (.xxh64, "61e1 51ca c645 dc71", "cfa413ea5c4d5c6f"),
        (.xxh3, "321e b3e6 65a4 8bf7", "67ca3d88d7a3c8c8"),
        (.xxh128, "321e b3e6 65a4 4ae5", "67ca3d88d7a3c8c874a99fa0ba404784"),
    ])
    func goldenSums(algorithm: ChecksumAlgorithm, blocks: String, whole: String) {
        let hasher = BlockHasher(algorithm, seed: 1, seedFirst: true)
        let sums = [0..<700, 700..<1400, 1400..<2100, 2100..<2200].map { hex(Self.sum(hasher, Self.basis[$0])[..<2]) }
        #expect(sums.joined(separator: " ") == blocks)
        for piece in [1, 63, 64, 65, 100_000] {
            #expect(Self.file(algorithm, Self.source, seed: 1, piece: piece) == whole)
        }
    }

    @Test func xxhSeedIsSignExtended() {
        let hasher = BlockHasher(.xxh64, seed: -5, seedFirst: false)
        #expect(hex(Self.sum(hasher, Self.basis[..<700])[..<2]) == "3834")
    }

    @Test func seedPositionMattersOnlyForMD5() {
        let block = Self.basis[..<700]
        for algorithm in ChecksumAlgorithm.allCases {
            let first = Self.sum(BlockHasher(algorithm, seed: 7, seedFirst: true), block)
            let last = Self.sum(BlockHasher(algorithm, seed: 7, seedFirst: false), block)
            #expect((first != last) == (algorithm == .md5))
            #expect(first.count == algorithm.digestLength)
            // Seed 0 leaves the four bytes out.
            let plain = hex(Self.sum(BlockHasher(algorithm, seed: 0, seedFirst: true), block))
            if algorithm != .md4Old { #expect(plain == Self.file(algorithm, Bytes(block))) }
        }
    }

    @Test(arguments: [
        ("", "31d6cfe0d16ae931b73c59d7e0c089c0"), ("a", "bde52cb31de33e46245e05fbdbd6fb24"),
        ("abc", "a448017aaf21d8525fc10ae87aa6729d"), ("message digest", "d9130a8164549fe818874806e1c7014b"),
        ("abcdefghijklmnopqrstuvwxyz", "d79e1c308aa5bbcdeea8ed63df412da9"),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "043f8582f241db351ce627e153e7f0e4"),
        (
            "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
            "e33b4ddc9c38f2199c3e7b164fcc0536"
        ),
    ])
    func md4Vectors(text: String, digest: String) {
        #expect(Self.file(.md4, Bytes(text: text)) == digest)
    }

    @Test func namesAreFoundInAnyCase() {
        #expect(ChecksumAlgorithm(name: Bytes("XXHash")) == .xxh64)
        #expect(ChecksumAlgorithm(name: Bytes("Md5")) == .md5)
        #expect(ChecksumAlgorithm(name: Bytes("md6")) == nil)
        for algorithm in ChecksumAlgorithm.allCases where algorithm != .md4Old {
            #expect(ChecksumAlgorithm(name: Bytes(algorithm.name)) == algorithm)
        }
        #expect(Self.file(.none, Self.basis) == "00")
    }

    @Test func goldenRollingSums() {
        let sums: [UInt32] = [0..<700, 700..<1400, 1400..<2100, 2100..<2200].map { range in
            Bytes(Self.basis[range]).withUnsafeBytes { RollingChecksum.sum($0) }
        }
        #expect(sums == [0x1306_038d, 0x0b18_f9ba, 0xf2d0_0237, 0x2a9e_fed8])
    }

    static func reference(_ bytes: some Collection<UInt8>) -> UInt32 {
        var s1: UInt32 = 0
        var s2: UInt32 = 0
        for byte in bytes {
            s1 = s1 &+ UInt32(bitPattern: Int32(Int8(bitPattern: byte)))
            s2 = s2 &+ s1
        }
        return (s1 & 0xffff) | (s2 << 16)
    }

    @Test func vectorSumEqualsScalarSum() {
        var random = SeededRandom(state: 11)
        let bytes: Bytes = (0..<140_000).map { _ in UInt8.random(in: 0...255, using: &random) }
        let extreme = Bytes(repeating: 0x80, count: 131_072)
        let lengths = Array(0...130) + [700, 1000, 4095, 4096, 4097, 65_535, 131_072, 139_999]
        for length in lengths {
            bytes.withUnsafeBytes { raw in
                let sum = RollingChecksum.sum(.init(rebasing: raw[1..<(1 + length)]))
                #expect(sum == Self.reference(bytes[1..<(1 + length)]), "length \(length)")
            }
        }
        #expect(extreme.withUnsafeBytes { RollingChecksum.sum($0) } == Self.reference(extreme))
    }

    @Test func slidingEqualsFreshSum() {
        var random = SeededRandom(state: 5)
        let bytes: Bytes = (0..<3000).map { _ in UInt8.random(in: 0...255, using: &random) }
        var sum = RollingChecksum(Self.reference(bytes[..<700]))
        for start in 1...2300 {
            sum.slide(old: bytes[start - 1], new: bytes[start + 699], length: 700)
            #expect(sum.value == Self.reference(bytes[start..<(start + 700)]))
        }
        sum.drop(old: bytes[2300], length: 700)
        #expect(sum.value == Self.reference(bytes[2301...]))
    }

    @Test(
        arguments: [
            (Int64(1), 700, 2, 1, 1, 700), (490_000, 700, 2, 0, 700, 700), (490_001, 700, 2, 1, 701, 700),
            (1_000_000, 1000, 2, 0, 1000, 1000), (10_000_000, 3160, 2, 1760, 3165, 3160),
            (100_000_000, 10_000, 3, 0, 10_000, 10_000), (1_000_000_000, 31_616, 3, 17_536, 31_630, 31_616),
            (10_000_000_000, 100_000, 4, 0, 100_000, 100_000), ((1 << 34) + 1, 131_072, 4, 1, 131_073, 131_072),
            (100_000_000_000, 131_072, 5, 59_392, 762_940, 316_224),
        ] as [(Int64, Int32, Int32, Int32, Int32, Int32)])
    func sumHeads(length: Int64, block: Int32, strong: Int32, remainder: Int32, count: Int32, oldBlock: Int32) {
        let head = SumHead.forBasis(
            length: length, protocolVersion: 32, blockSizeOption: 0, digestLength: 16, redo: false)
        #expect(
            head == SumHead(count: count, blockLength: block, strongLength: strong, remainder: remainder))
        #expect(head?.basisLength == length)
        let old = SumHead.forBasis(
            length: length, protocolVersion: 29, blockSizeOption: 0, digestLength: 16, redo: false)
        #expect(old?.blockLength == oldBlock)
        let redo = SumHead.forBasis(
            length: length, protocolVersion: 32, blockSizeOption: 0, digestLength: 8, redo: true)
        #expect(redo?.strongLength == 8)
    }

    @Test func unfitLengthsHaveNoHead() {
        func head(_ length: Int64, _ option: Int32) -> SumHead? {
            SumHead.forBasis(
                length: length, protocolVersion: 32, blockSizeOption: option, digestLength: 16, redo: false)
        }
        #expect(head(0, 0) == SumHead())
        #expect(head(-1, 0) == nil)
        #expect(head(.max, 0) == nil)
        #expect(head(1 << 31, 1) == nil)
        #expect(head(1 << 30, 1)?.count == 1 << 30)
        #expect(head(1000, 600) == SumHead(count: 2, blockLength: 600, strongLength: 2, remainder: 400))
    }
}
