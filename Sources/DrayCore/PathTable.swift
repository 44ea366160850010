// Dray — directory paths of a connection, stored once each.
// Layer: Core.
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Interned directory paths. Path 0 is the empty path (the transfer root).
///
/// On the sender a path belongs to one source root (the directory that a source argument is relative to), so that equal
/// relative directories of two arguments stay apart. One thread interns; others read published ids.
public final class PathTable: @unchecked Sendable {
    // Safe: see ChunkedStore; the hash table is only touched under its lock.
    private struct Record: BitwiseCopyable {
        var offset: UInt32
        var length: UInt32
        var root: Int32
        var hash: UInt32
    }
    private let records = ChunkedStore<Record>(chunkShift: 10, directoryShift: 16, sharedWhileGrowing: true)
    private let arena = ByteArena(sharedWhileGrowing: true)
    /// One thread interns, but any may look for a path meanwhile.
    private let slots = Monitor([Int32](repeating: -1, count: 64))
    @exclusivity(unchecked) private var lastID: Int32 = 0

    public init() {
        _ = intern(UnsafeRawBufferPointer(start: nil, count: 0), root: 0)
    }

    private static func hash(_ path: UnsafeRawBufferPointer, _ root: Int32) -> UInt32 {
        var hash: UInt32 = 2_166_136_261 ^ UInt32(bitPattern: root)
        for byte in path { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        return hash
    }

    private func matches(_ id: Int32, _ path: UnsafeRawBufferPointer, _ root: Int32) -> Bool {
        let record = records[Int(id)]
        return Int(record.length) == path.count && record.root == root
            && (path.count == 0 || memcmp(arena.pointer(record.offset), path.baseAddress!, path.count) == 0)
    }

    /// The id of `path`, which is added if it is new; nil when the table is full.
    public func intern(_ path: UnsafeRawBufferPointer, root: Int32) -> Int32? {
        if records.count > 0 && matches(lastID, path, root) { return lastID }
        let hash = Self.hash(path, root)
        return slots.withLock { slots in
            var slot = Int(hash) & (slots.count - 1)
            while slots[slot] >= 0 {
                if records[Int(slots[slot])].hash == hash && matches(slots[slot], path, root) {
                    lastID = slots[slot]
                    return lastID
                }
                slot = (slot + 1) & (slots.count - 1)
            }
            guard records.count < records.limit, let offset = arena.store(path) else { return nil }
            let id = Int32(records.append(Record(offset: offset, length: UInt32(path.count), root: root, hash: hash)))
            slots[slot] = id
            lastID = id
            if records.count * 2 > slots.count { grow(&slots) }
            return id
        }
    }

    private func grow(_ slots: inout [Int32]) {
        slots = [Int32](repeating: -1, count: slots.count * 2)
        for id in 0..<records.count {
            var slot = Int(records[id].hash) & (slots.count - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = Int32(id)
        }
    }

    /// The id of `path` without adding it. Any thread.
    public func find(_ path: UnsafeRawBufferPointer, root: Int32) -> Int32? {
        let hash = Self.hash(path, root)
        return slots.withLock { slots in
            var slot = Int(hash) & (slots.count - 1)
            while slots[slot] >= 0 {
                if matches(slots[slot], path, root) { return slots[slot] }
                slot = (slot + 1) & (slots.count - 1)
            }
            return nil
        }
    }

    /// The bytes of path `id`, valid for the life of the table.
    @inline(__always)
    public func path(_ id: Int32) -> UnsafeRawBufferPointer {
        let record = records[Int(id)]
        return arena.buffer(record.offset, Int(record.length))
    }

    /// The source root that path `id` belongs to.
    public func root(_ id: Int32) -> Int32 { records[Int(id)].root }
    public var count: Int { records.count }
}

/// Distinct combinations of mode, owner, group, ACLs and extended attributes; entries hold an index.
public final class AttributeTable: @unchecked Sendable {
    // Safe: see ChunkedStore; the dictionary is only touched by the adding thread.
    public struct Attributes: BitwiseCopyable, Hashable, Sendable {
        public var mode: UInt32
        public var uid: UInt32
        public var gid: UInt32
        /// The receiver may not or need not set the group.
        public var skipGroup: Bool
        /// Numbers in the connection's tables of access ACLs, default ACLs and xattr lists; −1 is none.
        public var accessACL: Int32 = -1
        public var defaultACL: Int32 = -1
        public var xattrs: Int32 = -1

        public init(mode: UInt32, uid: UInt32, gid: UInt32, skipGroup: Bool = false) {
            self.mode = mode
            self.uid = uid
            self.gid = gid
            self.skipGroup = skipGroup
        }
    }
    private let store = ChunkedStore<Attributes>(chunkShift: 8, directoryShift: 20, sharedWhileGrowing: true)
    @exclusivity(unchecked) private var index: [Attributes: UInt32] = [:]
    @exclusivity(unchecked) private var last: (Attributes, UInt32)?

    public init() {}

    @inline(__always)
    public func intern(_ attributes: Attributes) -> UInt32 {
        if let last, last.0 == attributes { return last.1 }
        if let known = index[attributes] {
            last = (attributes, known)
            return known
        }
        let new = UInt32(store.append(attributes))
        index[attributes] = new
        last = (attributes, new)
        return new
    }

    @inline(__always)
    public subscript(position: UInt32) -> Attributes { store[Int(position)] }
    public var count: Int { store.count }

    /// Rewrites every combination (ownership mapping after the id lists have arrived). Later lookups intern anew.
    public func mapAll(_ transform: (inout Attributes) -> Void) {
        for position in 0..<store.count { transform(&store.pointer(position).pointee) }
        index.removeAll()
        last = nil
    }
}
