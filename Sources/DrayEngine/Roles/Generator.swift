// Dray — the generator: walks the lists, compares, requests.
// Layer: Engine. Behaviour: chapter 03 §1.2, §2; chapter 04 §2, §11.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayFiles
import DrayFilters
import DrayWire
import Glibc

/// Runs on the thread that writes the connection of the receiving side.
final class Generator {
    let session: Session
    let destination: Destination
    let lists: LiveLists
    let events: ReceiverEvents
    let options: TransferOptions
    let writer: WireWriter
    let cache: DirectoryCache
    let name = NameBuffer()
    let otherName = NameBuffer()
    let metadataName = NameBuffer()
    /// Compatibility: a root that was made counts as new only where it is its list's first entry. The plain byte order of
    /// old protocols has names like `-x` before it, and entries that could not be converted come first of all.
    @exclusivity(unchecked) var isFirstOfList = false
    /// Numbers of long attribute values that the entry being looked at lacks.
    @exclusivity(unchecked) var wantedXattrs: [Int32] = []
    var temporaryNames = TemporaryName()
    /// Temporary name that the last link or node was made under; nil if there was none.
    var attemptedName: Bytes?
    let blockHasher: BlockHasher
    let wholeHasher: StrongHasher
    let sumBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * 1024, alignment: 4096)
    let filters: FilterWalk
    @exclusivity(unchecked) var links = HardLinkGroups()
    let alternates: AlternateBases
    var similarNames = SimilarNames()
    /// Directory of the alternate item that is being compared in place of the destination's.
    @exclusivity(unchecked) var alternateDirectory: Int32?

    @exclusivity(unchecked) private var open = OpenLists()
    @exclusivity(unchecked) private var taken = 0
    @exclusivity(unchecked) private var inFlight = 0
    /// When the oldest request that has not been flushed was written; 0 if there is none.
    @exclusivity(unchecked) private var waitingSince: UInt64 = 0
    @exclusivity(unchecked) private var sinceLook = 0
    private static let longestDelayNanoseconds: UInt64 = 20_000_000
    private var phasesDone = 0
    @exclusivity(unchecked) private var redoQueue: [Int32] = []
    @exclusivity(unchecked) private var requestsAllowed = true
    /// Directories made before their own list arrived, by directory index.
    @exclusivity(unchecked) var createdEarly: Set<Int32> = []
    /// Path-table id of the directory whose list is being walked when this run made it: nothing can be in it.
    @exclusivity(unchecked) var freshDirectory: Int32 = -1
    /// Where answers about existing files take long, they are asked for early, up to this entry of this list.
    let ahead = StatusAhead()
    @exclusivity(unchecked) var aheadEnd = 0
    @exclusivity(unchecked) var aheadList: Int32 = -1
    /// The last directory that was made just before its own list.
    var lastMade: Int32 = -1
    /// In a dry run, path-table ids of directories that would be made: what stands there now is not looked into.
    @exclusivity(unchecked) var assumedMissing: Set<Int32> = []
    /// A directory (path) that could not be made: everything below is skipped (one list for everything).
    @exclusivity(unchecked) var skippedPath: Bytes?
    /// Modes of directories that were made writable for us meanwhile, by path.
    var openedModes: [Bytes: UInt32] = [:]
    /// Every file is in place.
    var isFinishing = false
    var deletedKinds = TransferStatistics.Kinds()
    var deletionCount = 0
    var deletionsSkipped = 0
    var saidIOError = false
    var delayedDeletions: [(path: Bytes, mode: UInt32)] = []
    @exclusivity(unchecked) var lastParent: Int32 = -1

    init(session: Session, destination: Destination, lists: LiveLists, events: ReceiverEvents) {
        self.session = session
        self.destination = destination
        self.lists = lists
        self.events = events
        options = session.options
        writer = session.writer
        cache = destination.makeCache()
        alternates = destination.makeAlternates()
        blockHasher = BlockHasher(
            session.transferChecksum, seed: session.checksumSeed,
            seedFirst: session.hashesSeedFirst)
        wholeHasher = StrongHasher(session.fileChecksum)
        filters = FilterWalk(session: session, side: .receiver)
    }

    deinit { sumBuffer.deallocate() }

    private var deletesLate: Bool { options.deleteMode == .after || options.deleteMode == .delay }

    // MARK: - The run

    func run() throws(TransferFailure) {
        if options.debug[.flist] >= 1 {
            session.reporter.info(
                session.transfersWhole
                    ? "delta-transmission disabled for local transfer or --whole-file" : "delta-transmission enabled")
        }
        session.debug(.genr, words: "generator starting pid=\(getpid())")
        if options.deleteMode == .before && !options.listOnly { try deletePass() }
        while let segment = try nextList() {
            try walk(segment)
            if !session.incremental { break }
        }
        if options.deleteMode == .during || options.deleteMode == .delay { try filters.changeToNothing() }
        if session.incremental {
            // The last list counts as the end of phase 0.
            while !open.isEmpty || phasesDone == 0 {
                try finishLists(includingLast: true)
                if phasesDone > 0 && open.isEmpty { break }
                try waitForReceiver()
            }
        } else {
            try sendDone()
            requestsAllowed = true
            try drainRedo()
            while phasesDone < 1 { try waitForReceiver() }
        }
        try drainRedo()
        while open.redoCount > 0 { try waitForReceiver() }
        try finishPhases()
    }

    private func finishPhases() throws(TransferFailure) {
        let version = session.protocolVersion
        let counts = options.deletes || options.force
        session.debug(.genr, words: "generate_files phase=1")
        session.debug(.genr, words: "generate_files phase=2")
        try sendDone()
        if version >= 29 && !options.delayUpdates { try sendDone() }
        if version >= 31 && !deletesLate {
            if counts { try DeletionStatistics.write(deletedKinds, to: writer) }
            if !options.delayUpdates { try sendDone() }
        }
        while phasesDone < 2 { try waitForReceiver() }
        if version >= 29 {
            if options.delayUpdates {
                try sendDone()
                if version >= 31 && !deletesLate { try sendDone() }
            }
            while phasesDone < 3 { try waitForReceiver() }
        }
        if deletesLate && !options.listOnly {
            if options.deleteMode == .delay { try performDelayedDeletions() } else { try deletePass() }
        }
        if version >= 31 {
            if deletesLate {
                if counts { try DeletionStatistics.write(deletedKinds, to: writer) }
                try sendDone()
            }
            while phasesDone < 4 { try waitForReceiver() }
        }
        if version >= 29 { session.debug(.genr, words: "generate_files phase=3") }
        touchUpAll()
        if deletionsSkipped > 0 {
            session.reporter.warning(
                Bytes(text: "Deletions stopped due to --max-delete limit (\(deletionsSkipped) skipped)"))
            session.reporter.noteIOError(.deleteLimit)
        }
        session.statistics.withLock { all in
            all.deleted = deletedKinds
            all.deletionsSkipped = deletionsSkipped
        }
        session.tellHeap(.generator)
        // Before the goodbye: nothing may follow that.
        session.debug(.genr, words: "generate_files finished")
        try sendDone()
        try writer.flush()
    }

    /// Ends a list or a phase.
    private func sendDone() throws(TransferFailure) {
        try writer.ndx(Ndx.done)
        session.wishes?.ending()
    }

    // MARK: - Lists

    private func nextList() throws(TransferFailure) -> FileSegment? {
        while true {
            // Only hard links look further than the next list.
            let count = options.hardLinks > 0 && links.looksAhead ? Int.max : 1
            let (ready, complete) = lists.state.withLock { state -> ([FileSegment], Bool) in
                // A peer that ends lists before they were walked has them no more.
                taken = max(taken, state.dropped)
                return (Array(state.segments.dropFirst(taken - state.dropped).prefix(count)), state.complete)
            }
            if options.hardLinks > 0 { try checkHardLinks() }
            if let segment = ready.first, try prepareHardLinks(ready, complete) {
                taken += 1
                open.append(segment)
                return segment
            }
            if complete { return nil }
            try process(events.take())
            try finishLists(includingLast: false)
            try waitForReceiver()
        }
    }

    private func checkHardLinks() throws(TransferFailure) {
        let (new, first) = lists.state.withLock { state -> ([FileSegment], Int) in
            let first = max(links.checkedLists, taken)
            return (Array(state.segments.dropFirst(first - state.dropped)), first)
        }
        try links.check(new, first: first)
    }

    /// Finds the last members of groups in the lists that are to be walked next; false while more lists are needed.
    private func prepareHardLinks(_ ready: [FileSegment], _ complete: Bool) throws(TransferFailure) -> Bool {
        if options.hardLinks == 0 { return true }
        guard session.incremental else {
            links.prepare(ready[0], dropsSingles: true)
            return true
        }
        return links.takeNext(ready, complete: complete)
    }

    private func walk(_ segment: FileSegment) throws(TransferFailure) {
        defer { session.wishes?.decided(below: segment.ndxStart + Int32(segment.count)) }
        requestsAllowed = session.incremental
        let directoryIndices = session.incremental ? segment.directoryIndices() : []
        var nextDirectory = 0
        if segment.parentDirectory >= 0 {
            let index = Int(segment.parentDirectory)
            let entry = lists.directories.entry(index)
            if options.debug[.genr] >= 1 {
                let path = lists.directories.entries.path(entry.pointee)
                session.reporter.info(Bytes("recv_generator(") + path + Bytes(text: ",\(segment.ndxStart - 1))"))
            }
            let isRoot =
                lists.directories.node(index).pointee.parent < 0 && isDot(lists.directories.entries, entry.pointee)
            // It cannot be made where its parent could not.
            if entry.pointee.flags.contains(.missingDirectory) { return skipContents(segment) }
            if !isRoot {
                try handle(
                    segment.ndxStart - 1, lists.directories.entries, entry, directoryIndex: segment.parentDirectory)
            }
            if entry.pointee.flags.contains(.missingDirectory) {
                return skipContents(segment)
            }
        }
        freshDirectory = freshPath(segment)
        for position in 0..<segment.count {
            let entry = segment.entry(position)
            isFirstOfList = position == 0
            let isDirectory = segment.isDirectory(entry.pointee)
            let ndx = segment.ndx(position)
            if options.debug[.genr] >= 1, !entry.pointee.flags.contains(.cleared) {
                let path = segment.path(entry.pointee)
                session.reporter.info(Bytes("recv_generator(") + path + Bytes(text: ",\(ndx))"))
            }
            if isDirectory && session.incremental {
                let index = directoryIndices[nextDirectory]
                nextDirectory += 1
                if entry.pointee.flags.contains(.cleared) { continue }
                if index == segment.parentDirectory && isDot(segment, entry.pointee) {
                    // The root's own entry is handled here; its number is that of the list's directory.
                    try handle(
                        segment.ndxStart - 1, lists.directories.entries, lists.directories.entry(Int(index)),
                        directoryIndex: index)
                    if lists.directories.entry(Int(index)).pointee.flags.contains(.missingDirectory) {
                        return skipContents(segment)
                    }
                } else {
                    createEarly(segment, entry.pointee, index)
                }
                continue
            }
            lookAhead(segment, position)
            try handle(ndx, segment, entry, directoryIndex: -1)
            try breathe()
        }
        try finishLists(includingLast: false)
    }

    /// The directory of a list if it was made for it and nobody else puts files there that options look at.
    private func freshPath(_ segment: FileSegment) -> Int32 {
        let index = segment.parentDirectory
        guard index >= 0, index == lastMade || createdEarly.contains(index), !options.backup, !options.ignoreExisting,
            !options.update, !options.existingOnly, !options.fakeSuper, options.partialDirectory == nil
        else { return -1 }
        return lists.directories.node(Int(index)).pointee.path
    }

    private func isDot(_ list: FileSegment, _ entry: FileEntry) -> Bool {
        let name = list.name(entry)
        return name.count == 1 && name[0] == UInt8(ascii: ".") && list.paths.path(entry.directory).count == 0
    }

    private func skipContents(_ segment: FileSegment) {
        for index in segment.directoryIndices() {
            lists.directories.entry(Int(index)).pointee.flags.insert(.missingDirectory)
        }
    }

    /// Looks at what the receiver says and lets requests out, every so often.
    func breathe() throws(TransferFailure) {
        sinceLook += 1
        if sinceLook >= 16 {
            sinceLook = 0
            // Links to finished leaders are made when nothing else is left to do, as rsync does.
            if options.hardLinks == 0 { try process(events.take()) }
            if writer.hasQueuedMessages { try flush() }
        }
        try flushIfDue()
        if options.removeSourceFiles > 0 { while inFlight >= 50 { try waitForReceiver() } }
        // Bounded memory for events and for what the peer must remember.
        while inFlight >= 20_000 { try waitForReceiver() }
    }

    /// Requests leave when the buffer is full, as rsync's do (numbers of bytes count the frames), but none waits long.
    private func flushIfDue() throws(TransferFailure) {
        guard writer.hasPendingData else { return }
        let now = monotonicNanoseconds()
        if waitingSince == 0 {
            waitingSince = now
        } else if now &- waitingSince > Self.longestDelayNanoseconds {
            try flush()
        }
    }

    func flush() throws(TransferFailure) {
        waitingSince = 0
        try writer.flush()
    }

    /// Finishes the oldest lists that have nothing outstanding.
    private func finishLists(includingLast: Bool) throws(TransferFailure) {
        guard session.incremental else { return }
        if options.hardLinks == 0 { try process(events.take()) }
        while open.count > 1 || includingLast, let first = open.finished {
            open.removeFirst()
            links.forget(first)
            if first.parentDirectory >= 0 {
                let index = first.parentDirectory
                if options.debug[.time] >= 2 {
                    tellTouchUp(lists.directories.entries, lists.directories.entry(Int(index)).pointee, index)
                }
                touchUp(Int(index))
            }
            try sendDone()
        }
    }

    private func waitForReceiver() throws(TransferFailure) {
        try flush()
        let pending = events.wait(milliseconds: 250)
        try process(pending)
        if pending.isEmpty {
            try session.checkGeneratorTimeout()
            if writer.hasQueuedMessages { try writer.flush() }
        }
    }

    private func process(_ list: [ReceiverEvents.Event]) throws(TransferFailure) {
        for event in list {
            switch event {
            case .phaseDone: phasesDone += 1
            case .ended(let failure): throw failure
            case .attributes(let list, let entry): applyReceivedXattrs(list, entry)
            case .success(let ndx):
                settle(ndx)
                try finishedTransfer(ndx)
            // Nothing more is to come for it but its name, at the very end: it must not hold up other requests.
            case .delayed: inFlight -= 1
            case .published(let ndx, let isInPlace):
                open.addOutstanding(-1, for: ndx)
                // The source of what was given up stays.
                try finishedTransfer(ndx, removesSource: isInPlace)
            case .noSend(let ndx), .failed(let ndx):
                if lists.entry(ndx) == nil { throw lists.badIndex(ndx, "got_flist_entry_status", "generator") }
                settle(ndx)
                try abandonedTransfer(ndx)
            case .redo(let ndx):
                inFlight -= 1
                open.addOutstanding(-1, for: ndx)
                open.addRedo(1, for: ndx)
                redoQueue.append(ndx)
            }
        }
        if requestsAllowed { try drainRedo() }
    }

    private func settle(_ ndx: Int32) {
        inFlight -= 1
        open.addOutstanding(-1, for: ndx)
    }

    func noteRequested(_ ndx: Int32) {
        if !options.requestsData { return }
        inFlight += 1
        open.addOutstanding(1, for: ndx)
    }

    /// A member of a hard-link group waits for its leader: its list is not finished.
    func noteWaiting(_ ndx: Int32) { open.addOutstanding(1, for: ndx) }
    func noteNoLongerWaiting(_ ndx: Int32) { open.addOutstanding(-1, for: ndx) }

    private func drainRedo() throws(TransferFailure) {
        while !redoQueue.isEmpty {
            let ndx = redoQueue.removeFirst()
            open.addRedo(-1, for: ndx)
            guard let (list, entry) = lists.entry(ndx) else { continue }
            try requestAgain(ndx, list, entry)
        }
    }

    private func finishedTransfer(_ ndx: Int32, removesSource: Bool = true) throws(TransferFailure) {
        if removesSource && options.removeSourceFiles > 0 { announceSuccess(ndx) }
        guard options.hardLinks > 0, let (list, entry) = lists.entry(ndx), entry.pointee.flags.contains(.hardLinked)
        else { return }
        try finishHardLinks(ndx, list, entry.pointee)
    }

    private func abandonedTransfer(_ ndx: Int32) throws(TransferFailure) {
        guard options.hardLinks > 0, let (list, entry) = lists.entry(ndx), entry.pointee.flags.contains(.hardLinked)
        else { return }
        try replaceHardLinkLeader(ndx, list, entry.pointee)
    }
}

extension Session {
    /// The generator decides on time-outs of the receiving side and keeps the connection alive.
    func checkGeneratorTimeout() throws(TransferFailure) {
        if let code = interruption { throw TransferFailure(code) }
        let seconds = options.timeoutSeconds
        guard seconds > 0, writer.isFramed else { return }
        if monotonicNanoseconds() &- writer.lastWriteNanoseconds >= UInt64((seconds + 1) / 2) * 1_000_000_000 {
            try writer.keepAlive()
        }
    }
}
