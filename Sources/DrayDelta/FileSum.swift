// Dray — the sum of one whole file, in memory that is used again for the next one.
// Layer: Delta.
// SPDX-License-Identifier: Apache-2.0

/// Room for a digest of at most `ChecksumAlgorithm.maxDigestLength` bytes, in wire order.
public final class FileSum {
    // Safe: allocated for the life of the object; one role owns it.
    private let memory = UnsafeMutableRawPointer.allocate(
        byteCount: ChecksumAlgorithm.maxDigestLength, alignment: 8)
    /// Bytes of the digest; all zero until one is stored.
    public let bytes: UnsafeMutableRawBufferPointer

    public init(_ algorithm: ChecksumAlgorithm) {
        bytes = UnsafeMutableRawBufferPointer(start: memory, count: algorithm.digestLength)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: ChecksumAlgorithm.maxDigestLength)
    }

    deinit { memory.deallocate() }

    /// Takes the digest of everything that `hasher` has seen, which starts its next file.
    public func take(from hasher: StrongHasher) {
        precondition(hasher.algorithm.digestLength == bytes.count)
        unsafe hasher.finish(into: memory)
    }

    /// Makes it the sum of no data: all zero, or one bit beside that if it was.
    public func spoil() {
        let wasZero = bytes.allSatisfy { $0 == 0 }
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
        if wasZero, let last = bytes.indices.last { bytes[last] = 1 }
    }

    /// Whether both hold the same digest.
    public func matches(_ other: FileSum) -> Bool {
        bytes.elementsEqual(other.bytes)
    }
}
