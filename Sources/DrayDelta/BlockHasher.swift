// Dray — strong checksums of single blocks.
// Layer: Delta. Wire format: chapter 03 §6.
// SPDX-License-Identifier: Apache-2.0

import CXXHash
import DrayCore

/// Computes seeded per-block sums; allocates nothing once it exists.
public final class BlockHasher {
    /// What is computed.
    public let algorithm: ChecksumAlgorithm
    private let seed: Int32
    private let seedFirst: Bool
    private let context: DigestContext?

    /// Makes a hasher for one session.
    ///
    /// - Parameters:
    ///   - seed: the session's checksum seed; 0 leaves the four seed bytes out.
    ///   - seedFirst: CHKSUM_SEED_FIX was agreed; decides only for md5.
    public init(_ algorithm: ChecksumAlgorithm, seed: Int32, seedFirst: Bool) {
        self.algorithm = algorithm
        self.seed = seed
        self.seedFirst = algorithm == .md5 ? seedFirst : true
        if let kind = DigestKind.of(algorithm) { context = DigestContext(kind) } else { context = nil }
    }

    /// Writes the full digest of `block` in wire order to `digest` (`algorithm.digestLength` bytes).
    public func sum(_ block: UnsafeRawBufferPointer, into digest: UnsafeMutableRawPointer) {
        let xxhSeed = UInt64(bitPattern: Int64(seed))
        switch algorithm {
        case .none: unsafe digest.storeBytes(of: 0, as: UInt8.self)
        case .md4, .md4Old:
            var md4 = MD4()
            if let base = block.baseAddress { unsafe md4.update(base, count: block.count) }
            if seed != 0 { withUnsafeBytes(of: seed.littleEndian) { unsafe md4.update($0.baseAddress!, count: 4) } }
            unsafe md4.finish(into: digest)
        case .md5, .sha1, .sha256, .sha512:
            context!.reset()
            if seed != 0, seedFirst { withUnsafeBytes(of: seed.littleEndian) { unsafe context!.update($0) } }
            unsafe context!.update(block)
            if seed != 0, !seedFirst { withUnsafeBytes(of: seed.littleEndian) { unsafe context!.update($0) } }
            unsafe context!.finish(into: digest)
        case .xxh64:
            let value = unsafe dray_xxh64(block.baseAddress, block.count, xxhSeed)
            unsafe digest.storeBytes(of: value.littleEndian, as: UInt64.self)
        case .xxh3:
            let value = unsafe dray_xxh3_64(block.baseAddress, block.count, xxhSeed)
            unsafe digest.storeBytes(of: value.littleEndian, as: UInt64.self)
        case .xxh128:
            unsafe dray_xxh3_128(block.baseAddress, block.count, xxhSeed, digest.assumingMemoryBound(to: UInt8.self))
        }
    }
}
