// Dray — the file lists that are alive on one side, and all directories of the connection.
// Layer: Engine. Wire format: chapter 02 §7.3, §8.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Every directory of an incremental transfer, numbered by dir_ndx; never freed. Without incremental recursion empty.
final class DirectoryTable: @unchecked Sendable {
    // Safe: one thread appends; readers learn indices through the lock of LiveLists.
    let entries: FileSegment
    /// Path-table id of each directory's own path, and its place in the walk.
    struct Node: BitwiseCopyable {
        var path: Int32
        var parent: Int32
        var firstChild: Int32 = -1
        var nextSibling: Int32 = -1
        /// A list for this directory was sent or received.
        var listed = false
    }
    private let nodes = ChunkedStore<Node>(chunkShift: 8, directoryShift: 18, sharedWhileGrowing: true)
    private let paths: PathTable

    init(paths: PathTable, attributes: AttributeTable) {
        self.paths = paths
        entries = FileSegment(paths: paths, attributes: attributes, ndxStart: 0, use: .growingDirectoryTable)
    }

    var count: Int { nodes.count }
    func node(_ index: Int) -> UnsafeMutablePointer<Node> { nodes.pointer(index) }
    func entry(_ index: Int) -> UnsafeMutablePointer<FileEntry> { entries.wireEntry(index) }

    /// Adds the directories of a sorted segment in the order of its indices; returns the range of new indices.
    func addDirectories(of segment: FileSegment, parent: Int32) throws(TransferFailure) -> Range<Int> {
        let start = nodes.count
        segment.firstDirectory = Int32(start)
        for position in 0..<segment.count {
            let source = segment.indexedEntry(position).pointee
            guard segment.isDirectory(source) else { continue }
            var copy = source
            let name = segment.name(source)
            guard let offset = entries.storeName(name) else { throw TransferFailure(.outOfMemory) }
            copy.nameOffset = offset
            copy.extra = -1
            entries.append(copy)
            let path: Int32?
            if name.count == 1 && name[0] == UInt8(ascii: ".") {
                path = source.directory
            } else {
                var full = Bytes(paths.path(source.directory))
                full = full.appendingComponent(Bytes(name))
                let root = paths.root(source.directory)
                path = full.withUnsafeBytes { paths.intern($0, root: root) }
            }
            guard let path else { throw TransferFailure(.outOfMemory) }
            _ = nodes.append(Node(path: path, parent: parent))
        }
        // Numbers follow the order in which directories travel; their lists come in sorted order all the same.
        var previous: Int32 = -1
        for index in segment.directoryIndices() {
            if previous >= 0 {
                nodes.pointer(Int(previous)).pointee.nextSibling = index
            } else if parent >= 0 {
                nodes.pointer(Int(parent)).pointee.firstChild = index
            }
            previous = index
        }
        return start..<nodes.count
    }
}

/// Live segments in order. Thread-safe; entries inside a segment follow the rules of FileSegment.
final class LiveLists: Sendable {
    struct State {
        var segments = RollingQueue<FileSegment>()
        /// `known` when each of the segments had come.
        var knownThrough = RollingQueue<Int>()
        /// The newest list of each directory, by its path-table id; kept where somebody asks for it.
        var byDirectory: [Int32: FileSegment] = [:]
        /// Number of segments ever dropped from the front.
        var dropped = 0
        /// No further segment will come.
        var complete = false
        /// ndx of the next segment's first entry.
        var nextStart: Int32
        var known = 0
        var knownSize: Int64 = 0
        var failure: TransferFailure?
    }
    let state: Monitor<State>
    let directories: DirectoryTable
    let incremental: Bool
    private let findsByDirectory: Bool

    /// - Parameter findsByDirectory: `list(of:)` will be asked.
    init(paths: PathTable, attributes: AttributeTable, incremental: Bool, findsByDirectory: Bool = false) {
        state = Monitor(State(nextStart: incremental ? 1 : 0))
        directories = DirectoryTable(paths: paths, attributes: attributes)
        self.incremental = incremental
        self.findsByDirectory = findsByDirectory
    }

    /// Path-table id of the directory whose contents a list holds.
    private func directoryPath(_ segment: FileSegment) -> Int32? {
        guard findsByDirectory, segment.parentDirectory >= 0 else { return nil }
        return directories.node(Int(segment.parentDirectory)).pointee.path
    }

    /// The newest list with the contents of the directory whose path-table id is `path`.
    func list(of path: Int32) -> FileSegment? { state.withLock { $0.byDirectory[path] } }

    /// Entries of the oldest list that is left.
    var firstCount: Int { state.withLock { $0.segments.first?.count ?? 0 } }

    var nextStart: Int32 { state.withLock { $0.nextStart } }

    /// Publishes a sorted segment.
    func add(_ segment: FileSegment) {
        state.notifying { state in
            state.segments.append(segment)
            state.nextStart = segment.ndxStart + Int32(segment.count) + 1
            state.known += segment.count
            state.knownThrough.append(state.known)
            if let path = directoryPath(segment) { state.byDirectory[path] = segment }
        }
    }

    func finish() { state.notifying { $0.complete = true } }

    /// Drops the oldest segment; returns whether others remain.
    func dropFirst() -> Bool {
        state.notifying { state in
            if !state.segments.isEmpty {
                let segment = state.segments.removeFirst()
                if let path = directoryPath(segment), state.byDirectory[path] === segment {
                    state.byDirectory[path] = nil
                }
                state.knownThrough.removeFirst()
                state.dropped += 1
            }
            return !state.segments.isEmpty
        }
    }

    var isEmpty: Bool { state.withLock { $0.segments.isEmpty } }
    var isComplete: Bool { state.withLock { $0.complete } }
    var knownCount: Int { state.withLock { $0.known } }

    /// The segment that contains `ndx`, or whose directory it denotes (then `position` is −1).
    func find(_ ndx: Int32) -> (segment: FileSegment, position: Int)? {
        state.withLock { state in
            let first: Int32 = incremental ? 1 : 0
            let behind = state.segments.firstIndex(whereSorted: { $0.ndxStart - first > ndx })
            guard behind > 0 else { return nil }
            let segment = state.segments[behind - 1]
            let position = Int(ndx - segment.ndxStart)
            if position >= segment.count { return nil }
            if position < 0 && segment.parentDirectory < 0 { return nil }
            return (segment, position)
        }
    }

    /// Entries in segments behind the one that holds `ndx`, or behind the oldest: the peer is there at least, whatever
    /// it asked for last.
    func pendingAfter(_ ndx: Int32) -> Int {
        state.withLock { state in
            guard let known = state.knownThrough.last else { return 0 }
            let behind = ndx < 0 ? 1 : state.segments.firstIndex(whereSorted: { $0.ndxStart - 1 > ndx })
            return known - state.knownThrough[max(behind, 1) - 1]
        }
    }

    /// Text bounds for `File-list index N not in A - B`.
    var bounds: (Int32, Int32) {
        state.withLock { state in
            guard let first = state.segments.first, let last = state.segments.last else { return (0, -1) }
            return (first.ndxStart - 1, last.ndxEnd)
        }
    }

    func badIndex(_ ndx: Int32, _ place: String, _ who: String, _ record: ItemRecord? = nil) -> TransferFailure {
        let (low, high) = bounds
        if !isEmpty && ndx == low, let record, record.flags.contains(.transfer) { return notRegular(ndx, who) }
        // The number before the first entry could be a directory's; that this list has none is not worth a word.
        if !isEmpty && ndx == low { return TransferFailure(.protocolIncompatible) }
        return TransferFailure(
            .protocolIncompatible, "File-list index \(ndx) not in \(low) - \(high) (\(place)) [\(who)]")
    }

    /// Data can be asked for and sent for regular files only; a removed duplicate is none.
    func checkTransfer(
        _ record: ItemRecord, _ ndx: Int32, _ list: FileSegment, _ entry: FileEntry, _ who: String
    ) throws(TransferFailure) {
        guard record.flags.contains(.transfer) else { return }
        if entry.flags.contains(.cleared) || list.mode(entry) & FileType.mask != FileType.regular {
            throw notRegular(ndx, who)
        }
    }

    private func notRegular(_ ndx: Int32, _ who: String) -> TransferFailure {
        TransferFailure(.protocolIncompatible, "received request to transfer non-regular file: \(ndx) [\(who)]")
    }

    /// The entry that `ndx` stands for and the list it is stored in.
    func entry(_ ndx: Int32) -> (list: FileSegment, entry: UnsafeMutablePointer<FileEntry>)? {
        guard let (segment, position) = find(ndx) else { return nil }
        if position >= 0 { return (segment, segment.indexedEntry(position)) }
        return (directories.entries, directories.entry(Int(segment.parentDirectory)))
    }
}

/// Finds entries one after the other: most are in the list of the one before, which is found without a lock.
struct RecentList {
    private var list: FileSegment?

    /// Must be called when a list is dropped, so that nothing is found in it any more.
    mutating func forget() { list = nil }

    /// The entry that `ndx` stands for and the list it is stored in.
    mutating func entry(
        _ ndx: Int32, in lists: LiveLists
    ) -> (list: FileSegment, entry: UnsafeMutablePointer<FileEntry>)? {
        if let list, ndx >= list.ndxStart, ndx <= list.ndxEnd {
            return (list, list.indexedEntry(Int(ndx - list.ndxStart)))
        }
        guard let (segment, position) = lists.find(ndx), position >= 0 else { return lists.entry(ndx) }
        list = segment
        return (segment, segment.indexedEntry(position))
    }
}
