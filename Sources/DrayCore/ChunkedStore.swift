// Dray — append-only storage with stable addresses, for file lists of any size.
// Layer: Core.
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Zeroed pointer array; large ones are untouched pages until written.
private func zeroedPointers<T>(_ count: Int) -> UnsafeMutablePointer<UnsafeMutablePointer<T>?> {
    guard let memory = calloc(count, MemoryLayout<UnsafeMutablePointer<T>?>.stride) else { fatalError("out of memory") }
    return memory.bindMemory(to: UnsafeMutablePointer<T>?.self, capacity: count)
}

/// Elements in fixed-size chunks that never move.
///
/// One thread appends; others may read elements whose index they learnt through a lock after they were appended.
/// Growing never copies and wastes at most one chunk; the chunk directory is reserved address space that costs memory
/// only where it is used.
public final class ChunkedStore<Element: BitwiseCopyable>: @unchecked Sendable {
    // Safe: chunk pointers are written once, before the index that needs them is published through a lock. A growing
    // directory is only allowed for stores that nobody else reads until they are complete.
    @exclusivity(unchecked) private var directory: UnsafeMutablePointer<UnsafeMutablePointer<Element>?>
    private let shift: Int
    private let mask: Int
    private var directoryCount: Int
    private let directoryLimit: Int
    @exclusivity(unchecked) private var chunkCount = 0
    @exclusivity(unchecked) public private(set) var count = 0

    /// - Parameters:
    ///   - chunkShift: chunks hold 2^chunkShift elements.
    ///   - directoryShift: at most 2^directoryShift chunks.
    ///   - sharedWhileGrowing: others read published elements while this grows, so the directory may not move: it is
    ///     reserved at once (address space; memory is used page by page).
    public init(chunkShift: Int, directoryShift: Int, sharedWhileGrowing: Bool = false) {
        shift = chunkShift
        mask = (1 << chunkShift) - 1
        directoryLimit = 1 << directoryShift
        directoryCount = sharedWhileGrowing ? directoryLimit : 4
        directory = zeroedPointers(directoryCount)
    }

    deinit {
        for index in 0..<chunkCount { directory[index]?.deallocate() }
        free(directory)
    }

    /// The most elements that fit.
    public var limit: Int { directoryLimit << shift }

    /// Appends one element and returns its index; `count` must be below `limit`.
    @inline(__always)
    public func append(_ element: Element) -> Int {
        let index = count
        precondition(index < limit)
        if index >> shift == chunkCount { addChunk() }
        // Safe: the chunk of `index` exists now.
        directory[index >> shift].unsafelyUnwrapped[index & mask] = element
        count = index + 1
        return index
    }

    private func addChunk() {
        if chunkCount == directoryCount {
            let larger = zeroedPointers(directoryCount * 2) as UnsafeMutablePointer<UnsafeMutablePointer<Element>?>
            larger.update(from: directory, count: chunkCount)
            free(directory)
            directory = larger
            directoryCount *= 2
        }
        directory[chunkCount] = .allocate(capacity: mask + 1)
        chunkCount += 1
    }

    /// The place of element `index`, valid for the life of the store.
    @inline(__always)
    public func pointer(_ index: Int) -> UnsafeMutablePointer<Element> {
        // Safe: every index below `count` has its chunk; callers only hold such indices.
        directory[index >> shift].unsafelyUnwrapped + (index & mask)
    }

    @inline(__always)
    public subscript(index: Int) -> Element {
        get { pointer(index).pointee }
        set { pointer(index).pointee = newValue }
    }
}

/// Byte strings packed into chunks that never move; a string never spans two chunks.
///
/// The same one-writer, published-reads rule as `ChunkedStore` applies.
public final class ByteArena: @unchecked Sendable {
    // Safe: as for ChunkedStore.
    @exclusivity(unchecked) private var chunks: UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>
    private static let shift = 16
    private static let largestChunk = 1 << shift
    private static let directoryLimit = 1 << 16
    private var directoryCount: Int
    private var chunkCount = 0
    @exclusivity(unchecked) private var chunkSize = 0
    @exclusivity(unchecked) private var used = 0

    public init(sharedWhileGrowing: Bool = false) {
        directoryCount = sharedWhileGrowing ? Self.directoryLimit : 4
        chunks = zeroedPointers(directoryCount)
    }

    deinit {
        for index in 0..<chunkCount { chunks[index]?.deallocate() }
        free(chunks)
    }

    /// Stores `bytes` (≤ 64 KiB) and returns where; nil when the arena is full.
    @inline(__always)
    public func store(_ bytes: UnsafeRawBufferPointer) -> UInt32? {
        guard let offset = reserve(bytes.count) else { return nil }
        if bytes.count > 0 {
            UnsafeMutableRawPointer(pointer(offset)).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
        }
        return offset
    }

    /// Makes room for `count` bytes (≤ 64 KiB); nil when the arena is full.
    @inline(__always)
    public func reserve(_ count: Int) -> UInt32? {
        precondition(count <= Self.largestChunk)
        if chunkCount == 0 || used + count > chunkSize {
            if chunkCount == Self.directoryLimit { return nil }
            addChunk(atLeast: count)
        }
        let offset = UInt32((chunkCount - 1) << Self.shift | used)
        used += count
        return offset
    }

    /// Chunks start small, so that a short list costs little, and grow to 64 KiB.
    private func addChunk(atLeast count: Int) {
        if chunkCount == directoryCount {
            let larger = zeroedPointers(directoryCount * 2) as UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>
            larger.update(from: chunks, count: chunkCount)
            free(chunks)
            chunks = larger
            directoryCount *= 2
        }
        chunkSize = max(count, min(Self.largestChunk, chunkSize == 0 ? 512 : chunkSize * 4))
        chunks[chunkCount] = .allocate(capacity: chunkSize)
        chunkCount += 1
        used = 0
    }

    /// Where the string stored at `offset` lies, valid for the life of the arena.
    @inline(__always)
    public func pointer(_ offset: UInt32) -> UnsafeMutablePointer<UInt8> {
        // Safe: offsets come from `store`/`reserve`, so the chunk exists.
        chunks[Int(offset) >> Self.shift].unsafelyUnwrapped + (Int(offset) & (Self.largestChunk - 1))
    }

    @inline(__always)
    public func buffer(_ offset: UInt32, _ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: pointer(offset), count: count)
    }
}
