// Dray — whole-file strong checksums.
// Layer: Delta. Wire format: chapter 03 §6.
// SPDX-License-Identifier: Apache-2.0

import CXXHash
import DrayCore

/// Owner of one xxHash state.
final class XXHState {
    let pointer: OpaquePointer
    init() {
        guard let pointer = dray_xxh_new() else { fatalError("out of memory") }
        self.pointer = pointer
    }
    deinit { dray_xxh_free(pointer) }
}

/// Hashes whole files, one after another; allocates nothing once it exists.
public final class StrongHasher {
    /// What is computed.
    public let algorithm: ChecksumAlgorithm
    private let seed: Int32
    private let context: DigestContext?
    private let xxh: XXHState?
    private var md4 = MD4()

    /// Makes a hasher ready for its first file.
    ///
    /// - Parameter seed: the checksum seed; only `md4Old` uses it (whole-file sums of the others are unseeded).
    public init(_ algorithm: ChecksumAlgorithm, seed: Int32 = 0) {
        self.algorithm = algorithm
        self.seed = seed
        if let kind = DigestKind.of(algorithm) { context = DigestContext(kind) } else { context = nil }
        switch algorithm {
        case .xxh64, .xxh3, .xxh128: xxh = XXHState()
        default: xxh = nil
        }
        reset()
    }

    /// Forgets everything hashed so far and starts the next file.
    public func reset() {
        switch algorithm {
        case .none: break
        case .md4: md4 = MD4()
        case .md4Old:
            md4 = MD4()
            withUnsafeBytes(of: seed.littleEndian) { unsafe md4.update($0.baseAddress!, count: 4) }
        case .md5, .sha1, .sha256, .sha512: context!.reset()
        // Safe: the initialiser makes a state for each xxh algorithm.
        case .xxh64: unsafe dray_xxh64_reset(xxh!.pointer, 0)
        case .xxh3: unsafe dray_xxh3_reset(xxh!.pointer, 0)
        case .xxh128: unsafe dray_xxh128_reset(xxh!.pointer, 0)
        }
    }

    /// Hashes `bytes`, borrowed for the call.
    public func update(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count > 0, let base = bytes.baseAddress else { return }
        switch algorithm {
        case .none: break
        case .md4, .md4Old: unsafe md4.update(base, count: bytes.count)
        case .md5, .sha1, .sha256, .sha512: unsafe context!.update(bytes)
        case .xxh64: unsafe dray_xxh64_update(xxh!.pointer, base, bytes.count)
        case .xxh3: unsafe dray_xxh3_update(xxh!.pointer, base, bytes.count)
        case .xxh128: unsafe dray_xxh128_update(xxh!.pointer, base, bytes.count)
        }
    }

    /// Writes the digest in wire order to `digest` (`algorithm.digestLength` bytes) and starts the next file.
    public func finish(into digest: UnsafeMutableRawPointer) {
        switch algorithm {
        case .none: unsafe digest.storeBytes(of: 0, as: UInt8.self)
        case .md4, .md4Old: unsafe md4.finish(into: digest)
        case .md5, .sha1, .sha256, .sha512: unsafe context!.finish(into: digest)
        case .xxh64: unsafe digest.storeBytes(of: dray_xxh64_digest(xxh!.pointer).littleEndian, as: UInt64.self)
        case .xxh3: unsafe digest.storeBytes(of: dray_xxh3_64_digest(xxh!.pointer).littleEndian, as: UInt64.self)
        case .xxh128: unsafe dray_xxh3_128_digest(xxh!.pointer, digest.assumingMemoryBound(to: UInt8.self))
        }
        reset()
    }

    /// Returns the digest in wire order and starts the next file.
    public func finish() -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: algorithm.digestLength) { buffer, count in
            // Safe: the capacity is the digest length.
            unsafe finish(into: UnsafeMutableRawPointer(buffer.baseAddress!))
            count = algorithm.digestLength
        }
    }
}
