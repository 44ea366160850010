// Dray — file-list entries in compact form, one object per list or incremental segment.
// Layer: Core. Wire format: chapter 02 §7, §8, §15.
// SPDX-License-Identifier: Apache-2.0

/// State bits of one entry.
public struct FileEntryFlags: OptionSet, BitwiseCopyable, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    /// Source argument or root of a delete hierarchy.
    public static let topDirectory = Self(rawValue: 0x0001)
    /// Directory whose contents are in the transfer.
    public static let contentDirectory = Self(rawValue: 0x0002)
    /// Parent sent only because of `--relative`.
    public static let impliedDirectory = Self(rawValue: 0x0004)
    /// Dropped: duplicate, pruned or unusable. Its number stays taken.
    public static let cleared = Self(rawValue: 0x0008)
    public static let hardLinked = Self(rawValue: 0x0010)
    public static let hardLinkFirst = Self(rawValue: 0x0020)
    /// A duplicate directory on the sender: its contents were sent with the first one.
    public static let duplicate = Self(rawValue: 0x0040)
    /// The directory is a mount point that is not entered.
    public static let mountPoint = Self(rawValue: 0x0080)
    /// Sender: data was sent once.
    public static let sent = Self(rawValue: 0x0100)
    /// The directory could not be made or must not be touched; its contents are skipped.
    public static let missingDirectory = Self(rawValue: 0x0200)
    /// nanoseconds were transmitted.
    public static let hasNanoseconds = Self(rawValue: 0x0400)
}

/// One entry: 40 bytes plus its name.
public struct FileEntry: BitwiseCopyable, Sendable {
    /// Place of the last path component in the list's arena; a `-c` digest follows the name there.
    public var nameOffset: UInt32
    public var nameLength: UInt16
    public var flags: FileEntryFlags
    /// Path-table id of the directory part.
    public var directory: Int32
    /// Attribute-table index of mode, owner, group, ACLs and xattrs.
    public var attributes: UInt32
    /// Bytes; symlinks: length of the target; devices: 0.
    public var length: Int64
    /// Seconds since 1970.
    public var mtime: Int64
    public var nanoseconds: UInt32
    /// Index of the rare fields, or −1.
    public var extra: Int32

    public init(
        nameOffset: UInt32, nameLength: UInt16, flags: FileEntryFlags, directory: Int32, attributes: UInt32,
        length: Int64, mtime: Int64, nanoseconds: UInt32, extra: Int32
    ) {
        self.nameOffset = nameOffset
        self.nameLength = nameLength
        self.flags = flags
        self.directory = directory
        self.attributes = attributes
        self.length = length
        self.mtime = mtime
        self.nanoseconds = nanoseconds
        self.extra = extra
    }
}

/// Fields that few entries have.
public struct FileExtra: BitwiseCopyable, Sendable {
    public var linkOffset: UInt32 = 0
    public var linkLength: UInt16 = 0
    /// Device numbers of a device entry.
    public var deviceMajor: UInt32 = 0
    public var deviceMinor: UInt32 = 0
    /// Hard-link group: wire index of its first member; −1 is none.
    public var hardLinkGroup: Int32 = -1
    public var atime: Int64 = 0
    public init() {}
}

/// One list (or incremental segment) with its own names. Entries are numbered in wire order while it grows; `sort()`
/// fixes the transfer order.
public final class FileSegment: @unchecked Sendable {
    // Safe: filled by one thread, published through a lock, read-only afterwards except for flag bits that one role owns.
    public let paths: PathTable
    public let attributeTable: AttributeTable
    /// Transfer index of the first sorted entry.
    @exclusivity(unchecked) public var ndxStart: Int32
    /// Directory-table index of the directory whose contents these are; −1 for a list without one.
    @exclusivity(unchecked) public var parentDirectory: Int32 = -1
    /// Directory-table index of the first directory among the sorted entries (incremental lists).
    @exclusivity(unchecked) public var firstDirectory: Int32 = -1
    /// Digest bytes stored behind each regular file's name.
    public let checksumLength: Int
    private let entries: ChunkedStore<FileEntry>
    private let extras: ChunkedStore<FileExtra>
    private let arena: ByteArena
    /// Entry numbers in transfer order; empty until sorted.
    @exclusivity(unchecked) private var order: [UInt32] = []
    /// Transfer indices follow the wire, not the order.
    @exclusivity(unchecked) public private(set) var indexesByWire = false
    /// Receiving side: entries at whose places nothing stood when they were asked for, by index from `ndxStart`. The
    /// generator marks, the receiver asks; a peer that sends before it is asked makes them do both at once.
    @exclusivity(unchecked) public private(set) var absentPlaces = AtomicBits.none

    /// How a list is used, which decides its storage.
    public enum Use { case wholeTransfer, segment, growingDirectoryTable }

    public init(
        paths: PathTable, attributes: AttributeTable, ndxStart: Int32, checksumLength: Int = 0, use: Use
    ) {
        let isLarge = use != .segment
        let shared = use == .growingDirectoryTable
        self.paths = paths
        self.attributeTable = attributes
        self.ndxStart = ndxStart
        self.checksumLength = checksumLength
        entries = ChunkedStore(
            chunkShift: isLarge ? 12 : 5, directoryShift: isLarge ? 17 : 18, sharedWhileGrowing: shared)
        extras = ChunkedStore(
            chunkShift: isLarge ? 10 : 4, directoryShift: isLarge ? 19 : 18, sharedWhileGrowing: shared)
        arena = ByteArena(sharedWhileGrowing: shared)
    }

    public var count: Int { entries.count }
    public var ndxEnd: Int32 { ndxStart + Int32(entries.count) - 1 }
    public var isSorted: Bool { order.count == entries.count }

    // MARK: - Growing

    /// Stores a name (last component); nil when full.
    public func storeName(_ name: UnsafeRawBufferPointer) -> UInt32? {
        guard let offset = arena.reserve(name.count + checksumLength) else { return nil }
        if name.count > 0 {
            UnsafeMutableRawPointer(arena.pointer(offset)).copyMemory(from: name.baseAddress!, byteCount: name.count)
        }
        return offset
    }

    /// Stores other bytes (a symlink target).
    public func storeBytes(_ bytes: UnsafeRawBufferPointer) -> UInt32? { arena.store(bytes) }

    public func bytes(_ offset: UInt32, _ count: Int) -> UnsafeRawBufferPointer { arena.buffer(offset, count) }

    /// Adds an entry and returns its number in wire order.
    @discardableResult
    public func append(_ entry: FileEntry) -> Int { entries.append(entry) }

    public func appendExtra(_ extra: FileExtra) -> Int32 { Int32(extras.append(extra)) }

    // MARK: - Reading

    /// Entry `number` in wire order.
    @inline(__always)
    public func wireEntry(_ number: Int) -> UnsafeMutablePointer<FileEntry> { entries.pointer(number) }

    /// Wire number of the entry at sorted position `position`.
    @inline(__always)
    public func wireNumber(_ position: Int) -> Int { Int(order[position]) }

    /// Entry at sorted position `position`.
    @inline(__always)
    public func entry(_ position: Int) -> UnsafeMutablePointer<FileEntry> { entries.pointer(Int(order[position])) }

    /// Entry `place` places behind the segment's first transfer index.
    @inline(__always)
    public func indexedEntry(_ place: Int) -> UnsafeMutablePointer<FileEntry> {
        entries.pointer(indexesByWire ? place : Int(order[place]))
    }

    /// Transfer index of the entry at sorted position `position`.
    @inline(__always)
    public func ndx(_ position: Int) -> Int32 {
        ndxStart + (indexesByWire ? Int32(order[position]) : Int32(position))
    }

    /// Directory-table indices of the directories, in sorted order.
    public func directoryIndices() -> [Int32] {
        if !indexesByWire {
            var next = firstDirectory
            return (0..<count).compactMap { position in
                guard isDirectory(entry(position).pointee) else { return nil }
                defer { next += 1 }
                return next
            }
        }
        var byWire: [Int: Int32] = [:]
        for number in 0..<count where isDirectory(wireEntry(number).pointee) {
            byWire[number] = firstDirectory + Int32(byWire.count)
        }
        return (0..<count).compactMap { byWire[Int(order[$0])] }
    }

    @inline(__always)
    public func extra(_ entry: FileEntry) -> UnsafeMutablePointer<FileExtra>? {
        entry.extra < 0 ? nil : extras.pointer(Int(entry.extra))
    }

    @inline(__always)
    public func name(_ entry: FileEntry) -> UnsafeRawBufferPointer {
        arena.buffer(entry.nameOffset, Int(entry.nameLength))
    }

    /// Place of the digest of a regular file's content (only when lists carry digests).
    public func checksum(_ entry: FileEntry) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            start: arena.pointer(entry.nameOffset) + Int(entry.nameLength), count: checksumLength)
    }

    @inline(__always)
    public func attributes(_ entry: FileEntry) -> AttributeTable.Attributes { attributeTable[entry.attributes] }

    @inline(__always)
    public func mode(_ entry: FileEntry) -> UInt32 { attributeTable[entry.attributes].mode }

    @inline(__always)
    public func isDirectory(_ entry: FileEntry) -> Bool {
        mode(entry) & FileType.mask == FileType.directory
    }

    /// Target of a symlink entry.
    public func linkTarget(_ entry: FileEntry) -> UnsafeRawBufferPointer {
        guard let extra = extra(entry) else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return arena.buffer(extra.pointee.linkOffset, Int(extra.pointee.linkLength))
    }

    /// The whole path relative to the transfer root.
    public func path(_ entry: FileEntry) -> Bytes {
        let directory = paths.path(entry.directory)
        let name = name(entry)
        var path = Bytes()
        path.reserveCapacity(directory.count + name.count + 1)
        if directory.count > 0 {
            path.append(contentsOf: directory)
            // An absolute name (`--relative`) directly below the root keeps its one leading slash.
            if directory.count > 1 || directory[0] != UInt8(ascii: "/") { path.append(UInt8(ascii: "/")) }
        }
        path.append(contentsOf: name)
        return path
    }

    // MARK: - Order

    /// Sorts for the given protocol (stable). See `FileOrder`.
    ///
    /// - Parameter indexesByWire: names sort differently on the two sides (`--iconv`): transfer indices are wire numbers.
    public func sort(protocolVersion: Int32, indexesByWire: Bool = false) {
        self.indexesByWire = indexesByWire
        order = [UInt32](unsafeUninitializedCapacity: count) { buffer, initialized in
            for index in 0..<count { buffer[index] = UInt32(index) }
            initialized = count
        }
        if count < 2 { return }
        FileOrder(segment: self, protocolVersion: protocolVersion).sort(&order)
    }

    /// Makes room for `absentPlaces`; called once the list is complete and before others see it.
    public func prepareForReceiving() { absentPlaces = AtomicBits(count: count) }

    /// Sorted position of the live entry called `name` in directory `directory` (a path-table id), of any type; nil if
    /// there is none. The list must be sorted for protocol ≥ 29 or older as given.
    public func find(directory: Int32, name: UnsafeRawBufferPointer, protocolVersion: Int32) -> Int? {
        if protocolVersion < 29 { return findPlain(directory, name) }
        return find(directory, name, asDirectory: false) ?? find(directory, name, asDirectory: true)
    }

    /// Whether the directory that `entry` is in has an entry of its own here.
    ///
    /// - Parameter isDirectory: that entry must be a directory.
    public func hasParent(_ entry: FileEntry, isDirectory: Bool = false, protocolVersion: Int32) -> Bool {
        let (parent, last) = Bytes(paths.path(entry.directory)).splitLastComponent
        guard let parentID = parent.withUnsafeBytes({ paths.find($0, root: 0) }),
            let position = last.withUnsafeBytes({
                find(directory: parentID, name: $0, protocolVersion: protocolVersion)
            })
        else { return false }
        return !isDirectory || self.isDirectory(self.entry(position).pointee)
    }

    private func find(_ directory: Int32, _ name: UnsafeRawBufferPointer, asDirectory: Bool) -> Int? {
        let path = paths.path(directory)
        return search { other in
            let isDirectory = isDirectory(other)
            if other.directory == directory {
                return FileOrder.compareLast(name, asDirectory, self.name(other), isDirectory, inRoot: path.count == 0)
            }
            return FileOrder.comparePaths(
                PathPieces(directory: path, name: name), asDirectory,
                PathPieces(directory: paths.path(other.directory), name: self.name(other)), isDirectory)
        }
    }

    private func findPlain(_ directory: Int32, _ name: UnsafeRawBufferPointer) -> Int? {
        let wanted = Bytes(paths.path(directory)).appendingComponent(Bytes(name))
        return search { other in
            let path = self.path(other)
            return wanted.withUnsafeBytes { a in path.withUnsafeBytes { b in FileOrder.compareBytes(a, b) } }
        }
    }

    private func search(_ compare: (FileEntry) -> Int) -> Int? {
        var low = 0
        var high = order.count
        while low < high {
            let middle = (low + high) / 2
            if compare(entry(middle).pointee) > 0 { low = middle + 1 } else { high = middle }
        }
        // Duplicates follow each other: the live one is among the equals.
        while low < order.count {
            let candidate = entry(low).pointee
            if compare(candidate) != 0 { return nil }
            if !candidate.flags.contains(.cleared) { return low }
            low += 1
        }
        return nil
    }

    /// Handles equal neighbours of the sorted list (chapter 02 §7.3). The receiver clears the dropped entry; the sender
    /// only marks duplicate directories, whose contents travel with the first one.
    ///
    /// - Parameter onDrop: takes the sorted position of each entry that is cleared because of an equal one.
    public func markDuplicates(onSender: Bool, protocolVersion: Int32, onDrop: ((Int) -> Void)? = nil) {
        if count < 2 { return }
        let fileOrder = FileOrder(segment: self, protocolVersion: protocolVersion)
        var kept = 0
        for position in 1..<count {
            let previous = entry(kept)
            let current = entry(position)
            guard fileOrder.compare(previous.pointee, current.pointee) == 0 else {
                kept = position
                continue
            }
            let previousIsDirectory = isDirectory(previous.pointee)
            let currentIsDirectory = isDirectory(current.pointee)
            if onSender {
                if previousIsDirectory && currentIsDirectory { current.pointee.flags.insert(.duplicate) }
                continue
            }
            if protocolVersion < 29 && currentIsDirectory && !previousIsDirectory {
                onDrop?(kept)
                previous.pointee.flags.insert(.cleared)
                kept = position
                continue
            }
            onDrop?(position)
            if previousIsDirectory && currentIsDirectory {
                previous.pointee.flags.formUnion(
                    current.pointee.flags.intersection([.topDirectory, .contentDirectory]))
                if !current.pointee.flags.contains(.impliedDirectory) {
                    previous.pointee.flags.remove(.impliedDirectory)
                }
            }
            current.pointee.flags.insert(.cleared)
        }
        if !onSender && protocolVersion >= 29 { clearFilesHiddenByDirectories(fileOrder, onDrop) }
    }

    /// A directory with the name of a non-directory wins (protocol ≥ 29, where the two sort far apart).
    private func clearFilesHiddenByDirectories(_ fileOrder: FileOrder, _ onDrop: ((Int) -> Void)?) {
        for position in 0..<count {
            let directory = entry(position).pointee
            guard isDirectory(directory), !directory.flags.contains(.cleared) else { continue }
            let name = name(directory)
            if name.count == 1 && name[0] == UInt8(ascii: ".") { continue }
            if let other = find(directory.directory, name, asDirectory: false) {
                onDrop?(other)
                entry(other).pointee.flags.insert(.cleared)
            }
        }
    }
}
