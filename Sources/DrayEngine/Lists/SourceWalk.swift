// Dray — the sender's walk over the source arguments: stat, filter, encode.
// Layer: Engine. Behaviour: chapter 02 §8, §9.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayFiles
import DrayFilters
import DrayWire
import Glibc

/// A directory that source arguments start in.
struct SourceRoot {
    let descriptor: Int32
    /// As it was given.
    let display: Bytes
    /// As messages show it: absolute and without `..` if there was one.
    var shown: Bytes
    /// Its text without `..` names another directory, because a symlink stands before one.
    var isElsewhere = false
}

/// Builds and sends file lists. One thread.
final class SourceWalk {
    let session: Session
    let lists: LiveLists
    let paths: PathTable
    let attributes: AttributeTable
    let encoder: FileEntryEncoder
    let filters: FilterWalk
    let options: TransferOptions
    let format: FileListFormat
    let chmod: ModeChanges?
    let hasher: StrongHasher?
    let metadata: LocalMetadata
    let scan = DirectoryScan()
    let nameBuffer = NameBuffer()
    let metadataName = NameBuffer()
    var digestBuffer: UnsafeMutableRawBufferPointer?
    var roots: [SourceRoot] = []
    var rootIndex: [Bytes: Int32] = [:]
    let cache: DirectoryCache
    /// Next directory to send a list for (incremental), as dir_ndx; −1 when all were sent.
    @exclusivity(unchecked) var nextDirectory: Int32 = -1
    @exclusivity(unchecked) var reportedIOError: IOErrorBits = []
    @exclusivity(unchecked) var statistics = TransferStatistics()
    var rootDevice: UInt64 = 0
    /// The argument before, whose parents need not be sent again.
    var lastRelative: RelativeItem?
    /// Arguments of `--relative` on their way down, by the directory whose list brings their next component.
    var relativeItems: [Int32: [RelativeItem]] = [:]
    var sentImpliedRoot = false
    /// Names come from `--files-from`: others than the operator may have written the list.
    var isNamedByList = false
    /// The directory of the last such name that was found to be reached by trustworthy links only.
    var trustedDirectory: (root: Int32, path: Bytes)?
    /// Rules of the directory whose contents came first are loaded (incremental).
    var hasTopRules = false
    /// Contents of an argument's directory are being sent, rather than arguments.
    var isSendingContents = false
    /// Transfer indices of the list that the receiver was at when enough lists lay ahead of it.
    @exclusivity(unchecked) private var satisfied: ClosedRange<Int32> = -2 ... -2

    init(session: Session) {
        self.session = session
        options = session.options
        paths = PathTable()
        attributes = AttributeTable()
        lists = LiveLists(paths: paths, attributes: attributes, incremental: session.incremental)
        format = FileListFormat(
            options: session.options, protocolVersion: session.protocolVersion, flags: session.flags,
            checksumLength: session.fileChecksum.digestLength)
        // A daemon with numeric ids has no names to tell but that of id 0, and that only at the end of a list.
        let hidesNames = session.environment.numericIDs
        let hidesZero = hidesNames && session.incremental
        encoder = FileEntryEncoder(
            writer: session.writer, format: format,
            userName: { hidesNames && $0 != 0 || hidesZero ? nil : IDNames.userName($0) },
            groupName: { hidesNames && $0 != 0 || hidesZero ? nil : IDNames.groupName($0) })
        if let conversion = session.conversion { encoder.convertPath = { (try? conversion.toWire($0)) ?? $0 } }
        if session.options.debug[.hlink] >= 3 { encoder.onFirstLink = session.linkTrace() }
        filters = FilterWalk(session: session, side: .sender)
        chmod = ModeChanges(
            session.options.chmod + (session.environment.moduleChmod.map { [$0] } ?? []), mask: FileSystem.creationMask)
        metadata = LocalMetadata(session: session, side: .sender)
        hasher = session.options.checksum ? StrongHasher(session.fileChecksum) : nil
        final class Roots { var list: [(descriptor: Int32, path: Bytes)] = [] }
        let roots = Roots()
        noteRoot = { roots.list.append(($0, $1)) }
        // What links point to is asked for, also by parents of --relative.
        let follows = options.copyLinks || options.copyDirlinks || options.copyUnsafeLinks
        if session.environment.sanitizesPaths {
            // Without chroot, links lead as far as the module goes, parents of --relative only below their start.
            let module = session.environment.workingDirectory
            cache = DirectoryCache(
                paths: paths, prefix: follows ? { Self.withoutLeadingSlashes(roots.list[Int($0)].path) } : nil
            ) { follows ? module : roots.list[Int($0)].descriptor }
        } else {
            cache = DirectoryCache(paths: paths, followsLinks: follows || options.relative && !options.amDaemon) {
                roots.list[Int($0)].descriptor
            }
        }
    }

    let noteRoot: (Int32, Bytes) -> Void

    deinit {
        for root in roots { _ = FileSystem.close(root.descriptor) }
        digestBuffer?.deallocate()
    }

    // MARK: - First list

    /// `--files-from`: each name is an argument relative to `base`, confined to it.
    func sendFirstList(_ names: NameSource, base: Bytes) throws(TransferFailure) {
        let base = Self.withoutDots(base)
        try sendFirstList { (segment) throws(TransferFailure) in
            self.isNamedByList = true
            while let name = try names.next() {
                let path = PathSanitizing.argument(name, keepsDots: self.options.relative)
                if self.options.relative {
                    if let marker = Self.dotMarker(path) {
                        let directory = base.appendingComponent(Bytes(path[..<marker]))
                        try self.sendRelative(directory: directory, path: Bytes(path[(marker + 3)...]), path, segment)
                    } else {
                        try self.sendRelative(directory: base, path: path, path, segment)
                    }
                } else {
                    try self.sendArgument(base.appendingComponent(path), segment)
                }
            }
        }
    }

    /// Walks `arguments`, sends the first (or only) list and publishes it.
    func sendFirstList(_ arguments: [Bytes]) throws(TransferFailure) {
        try sendFirstList { (segment) throws(TransferFailure) in
            for argument in arguments { try self.sendArgument(argument, segment) }
        }
    }

    private func sendFirstList(
        _ fill: (FileSegment) throws(TransferFailure) -> Void
    ) throws(TransferFailure) {
        let startBytes = session.writer.streamBytes
        let startTime = monotonicNanoseconds()
        session.reporter.event(.fileListStarted(incremental: session.incremental))
        let segment = FileSegment(
            paths: paths, attributes: attributes, ndxStart: lists.nextStart, checksumLength: format.checksumLength,
            use: session.incremental ? .segment : .wholeTransfer)
        try fill(segment)
        try finish(segment, isFirst: true)
        if session.incremental {
            for index in try lists.directories.addDirectories(of: segment, parent: -1) where nextDirectory < 0 {
                nextDirectory = firstListed(Int32(index))
            }
            // Number 0 denotes the root when its entry leads the list.
            if segment.count > 0, isRootEntry(segment, segment.entry(0).pointee) {
                segment.parentDirectory = segment.directoryIndices()[0]
            }
            lists.add(segment)
            session.debug(.flist, 2, words: "send_file_list done")
            if nextDirectory < 0 { try sendEOF() }
            // A receiver that sees exactly one entry waits for one more list before it chooses the destination.
            if segment.count == 1 && !lists.isComplete { try sendNextList() }
        } else {
            try encoder.writeIDLists()
            if session.protocolVersion < 30 {
                try session.writer.int32(options.ignoreErrors ? 0 : session.reporter.ioError.rawValue)
            }
            lists.add(segment)
            lists.finish()
            session.debug(.flist, 2, words: "send_file_list done")
            session.debug(.flist, 3, words: "[sender] flist_eof=1")
        }
        if !options.amServer { session.debug(.flist, 3, words: "file list sent") }
        reportedIOError = session.reporter.ioError
        let elapsed = Int64((monotonicNanoseconds() - startTime) / 1_000_000)
        statistics.fileListBuildMilliseconds = max(1, elapsed)
        statistics.fileListSize += session.writer.streamBytes - startBytes
        publishStatistics()
        if !session.incremental { session.reporter.event(.fileListFinished(count: lists.knownCount)) }
    }

    func isRootEntry(_ segment: FileSegment, _ entry: FileEntry) -> Bool {
        let name = segment.name(entry)
        return paths.path(entry.directory).count == 0 && name.count == 1 && name[0] == UInt8(ascii: ".")
    }

    func publishStatistics() {
        session.statistics.withLock { all in
            all.files = statistics.files
            all.totalSize = statistics.totalSize
            // Compatibility: rsync's sender counts what its buffer has let out by then.
            all.fileListSize = statistics.fileListSize / 65_535 * 65_535
            all.fileListBuildMilliseconds = statistics.fileListBuildMilliseconds
        }
        lists.state.withLock { $0.knownSize = statistics.totalSize }
    }

    func finish(_ segment: FileSegment, isFirst: Bool) throws(TransferFailure) {
        let errors = session.reporter.ioError
        let report = isFirst ? errors != [] : errors != reportedIOError
        try encoder.end(ioError: report && !options.ignoreErrors ? errors.rawValue : 0)
        segment.sort(protocolVersion: session.protocolVersion, indexesByWire: session.conversion != nil)
        segment.markDuplicates(onSender: true, protocolVersion: session.protocolVersion)
        if options.debug[.hlink] >= 1 { session.tellLinks(segment, [.sender]) }
        if options.debug[.flist] >= 3 {
            session.tellList(segment, .sender) { roots[Int(paths.root($0.directory))].display }
        }
        if session.protocolVersion == 30 && report && !(isFirst && format.safeList) {
            session.writer.queueMessage(.ioError, value: errors.rawValue)
        }
    }

    // MARK: - Incremental lists

    /// Sends lists until the receiver has `ahead` entries behind its current one, or none are left.
    func sendAhead(current: Int32, ahead: Int) throws(TransferFailure) {
        guard session.incremental, !satisfied.contains(current), !lists.isComplete else { return }
        while !lists.isComplete && lists.pendingAfter(current) < ahead { try sendNextList() }
        reportedIOError = session.reporter.ioError
        if let (segment, _) = lists.find(current) {
            satisfied = segment.ndxStart - 1...max(segment.ndxStart - 1, segment.ndxEnd)
        }
    }

    /// Sends lists instead of waiting for requests, up to a far larger number of entries.
    func sendWhileIdle(current: Int32) throws(TransferFailure) {
        guard session.incremental else { return }
        while nextDirectory >= 0, !session.reader.hasBufferedInput, lists.pendingAfter(current) < Self.farthestAhead,
            try !session.reader.hasInput()
        {
            try session.writer.flush()
            try sendNextList()
        }
    }

    private static let farthestAhead = 10_000

    /// The receiver has finished a list: fewer lie ahead of it.
    func noteListDropped() { satisfied = -2 ... -2 }

    /// Sends the list of the next directory, or the end mark.
    func sendNextList() throws(TransferFailure) {
        let index = nextDirectory
        guard index >= 0 else { return try sendEOF() }
        let startBytes = session.writer.streamBytes
        try session.writer.ndx(Ndx.fileListOffset - index)
        let segment = FileSegment(
            paths: paths, attributes: attributes, ndxStart: lists.nextStart, checksumLength: format.checksumLength,
            use: .segment)
        segment.parentDirectory = index
        try sendDirectory(Int(index), segment)
        // Duplicate directories of other arguments share this list; the same one twice in a row is looked at once.
        var previous = contentPath(index)
        var twin = lists.directories.node(Int(index)).pointee.nextSibling
        while twin >= 0 {
            let isTwin = isTwin(Int(twin), of: Int(index))
            let path = lists.directories.node(Int(twin)).pointee.path
            if isTwin && path != previous { try sendDirectory(Int(twin), segment) }
            if isTwin { previous = contentPath(twin) }
            // In sorted order they are neighbours.
            if !isTwin && session.conversion == nil { break }
            twin = lists.directories.node(Int(twin)).pointee.nextSibling
        }
        try finish(segment, isFirst: false)
        _ = try lists.directories.addDirectories(of: segment, parent: index)
        lists.add(segment)
        statistics.fileListSize += session.writer.streamBytes - startBytes
        publishStatistics()
        nextDirectory = following(index)
        if nextDirectory < 0 {
            try filters.changeToNothing()
            try sendEOF()
        }
    }

    /// Path of a directory whose contents are sent; −1 for one that is only on the way to something.
    private func contentPath(_ index: Int32) -> Int32 {
        lists.directories.entry(Int(index)).pointee.flags.contains(.contentDirectory)
            ? lists.directories.node(Int(index)).pointee.path : -1
    }

    private func isTwin(_ other: Int, of index: Int) -> Bool {
        let entries = lists.directories.entries
        let entry = lists.directories.entry(other).pointee
        return entry.flags.contains(.duplicate)
            && entries.name(entry).elementsEqual(entries.name(lists.directories.entry(index).pointee))
    }

    func sendDirectory(_ index: Int, _ segment: FileSegment) throws(TransferFailure) {
        let entry = lists.directories.entry(index).pointee
        let directory = lists.directories.node(index).pointee.path
        try filters.change(to: Bytes(paths.path(directory)), root: roots[Int(paths.root(directory))].display)
        guard entry.flags.contains(.contentDirectory), !entry.flags.contains(.mountPoint) else {
            return try sendRelativeItems(below: directory, segment)
        }
        let descriptor = openForListing(directory)
        if descriptor < 0 { return try sendRelativeItems(below: directory, segment) }
        if options.oneFileSystem > 0 {
            var status = FileStatus()
            if FileSystem.status(descriptor: descriptor, &status) == 0 { rootDevice = status.device }
        }
        _ = try sendContents(directory, descriptor, segment)
        try sendRelativeItems(below: directory, segment)
    }

    func sendEOF() throws(TransferFailure) {
        nextDirectory = -1
        session.debug(.flist, 3, words: "[sender] flist_eof=1")
        try session.writer.ndx(Ndx.fileListEOF)
        lists.finish()
    }

    /// The root `.` has its contents in the first list; skip it.
    func firstListed(_ start: Int32) -> Int32 {
        var index = start
        while index >= 0 && !hasList(index) { index = following(index) }
        return index
    }

    func hasList(_ index: Int32) -> Bool {
        let entry = lists.directories.entry(Int(index)).pointee
        let name = lists.directories.entries.name(entry)
        let isDot = name.count == 1 && name[0] == UInt8(ascii: ".")
        return !isDot && !entry.flags.contains(.duplicate)
    }

    /// Pre-order, depth first over the directory table.
    func following(_ index: Int32) -> Int32 {
        var node = lists.directories.node(Int(index)).pointee
        var next = node.firstChild
        if next < 0 {
            while true {
                next = node.nextSibling
                if next >= 0 || node.parent < 0 { break }
                node = lists.directories.node(Int(node.parent)).pointee
            }
        }
        if next < 0 {
            return -1
        }
        return hasList(next) ? next : following(next)
    }
}

extension Bytes {
    /// Calls `body` with the raw bytes, keeping the error type.
    func withRaw<R>(_ body: (UnsafeRawBufferPointer) throws(TransferFailure) -> R) throws(TransferFailure) -> R {
        var result: Result<R, TransferFailure>?
        withUnsafeBytes { raw in
            do throws(TransferFailure) { result = .success(try body(raw)) } catch { result = .failure(error) }
        }
        return try result!.get()
    }
}
