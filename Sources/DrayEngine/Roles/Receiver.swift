// Dray — the receiver: reads replies, stores files, verifies them.
// Layer: Engine. Behaviour: chapter 03 §8, §10; chapter 04 §6, §7.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayDelta
import DrayFiles
import DrayWire
import Glibc

/// Runs on its own thread, which is the only reader of the connection.
final class Receiver {
    let session: Session
    let destination: Destination
    let listReceiver: ListReceiver
    let lists: LiveLists
    let events: ReceiverEvents
    let options: TransferOptions
    let reader: WireReader
    let cache: DirectoryCache
    let alternates: AlternateBases
    let name = NameBuffer()
    let otherName = NameBuffer()
    @exclusivity(unchecked) var temporaryNames = TemporaryName()
    /// Name of the running file's temporary file, and of a copy of it.
    let temporaryName = UnsafeMutablePointer<CChar>.allocate(capacity: TemporaryName.capacity)
    let copyName = UnsafeMutablePointer<CChar>.allocate(capacity: TemporaryName.capacity)
    let output = OutputFile()
    let basis = BasisWindow()
    let hasher: StrongHasher
    let tokens: TokenReader
    @exclusivity(unchecked) var statistics = TransferStatistics()
    let progress: ProgressMeter
    /// Sum of the file that was received last.
    let lastSum: FileSum
    /// Sum of what came of it.
    let ownSum: FileSum
    @exclusivity(unchecked) private(set) var phase = 0
    /// Files of a batch that failed verification and have not come again.
    var resendWanted: Set<Int32> = []
    /// Files that came out wrong and are asked for once more.
    @exclusivity(unchecked) var redoAsked: Set<Int32> = []
    private let maxPhase: Int
    private let reportsItems: Bool
    /// Finished files that wait in the partial directory (`--delay-updates`), by index.
    var delayed: [Int32] = []
    /// The open basis of the file being concluded if it is another one: abbreviated attributes are taken from it.
    @exclusivity(unchecked) var attributeBasis: Int32 = -1
    /// A file could not be saved before it was to be replaced.
    @exclusivity(unchecked) var backupIsMissing = false
    /// The running file, open, when the sending half of a local copy has handed it over; else −1.
    @exclusivity(unchecked) var offered: Int32 = -1
    /// The running file has a place for its data: only then is it mentioned.
    @exclusivity(unchecked) var hasTarget = false
    /// Mode that the file under way is to get, which reports of it show; nil between files.
    @exclusivity(unchecked) var newMode: UInt32?
    /// Literal data of the running file has arrived.
    @exclusivity(unchecked) var literalSeen = false
    /// Outcomes that the generator has not been told yet: it is woken for many at once.
    @exclusivity(unchecked) private var unposted: [ReceiverEvents.Event] = []
    private static let eventGroup = 32
    /// Puts files in place beside this thread, once there have been some; only where a rename is all that it takes.
    @exclusivity(unchecked) var lane: CommitLane?
    @exclusivity(unchecked) var mayCommitLater: Bool
    /// The list that the last record was about.
    @exclusivity(unchecked) private var recent = RecentList()

    init(session: Session, destination: Destination, listReceiver: ListReceiver, events: ReceiverEvents) {
        self.session = session
        self.destination = destination
        self.listReceiver = listReceiver
        self.events = events
        lists = listReceiver.lists
        options = session.options
        reader = session.reader
        // More directories than there are files in the lane.
        cache = destination.makeCache(capacity: 96)
        alternates = destination.makeAlternates()
        hasher = StrongHasher(session.transferChecksum, seed: session.checksumSeed)
        lastSum = FileSum(session.transferChecksum)
        ownSum = FileSum(session.transferChecksum)
        tokens = TokenReader(reader, session.compression.method)
        progress = ProgressMeter(session: session, lists: lists)
        maxPhase = session.protocolVersion >= 29 ? 2 : 1
        mayCommitLater =
            !options.updatesInPlace && !options.backup && !options.delayUpdates && !options.acls && !options.fakeSuper
            && options.xattrs == 0 && options.tempDirectory == nil && session.wishes == nil
            && options.debug[.recv] == 0 && options.debug[.own] == 0
        reader.beforeRefill = { [output] in output.release() }
        reportsItems = options.logsItems
    }

    deinit {
        temporaryName.deallocate()
        copyName.deallocate()
    }

    /// Reads until the goodbye; posts what the generator must know. Never throws: failures become events.
    func run() {
        reader.beforeWaiting = { [unowned self] () throws(TransferFailure) in
            self.lane?.publish()
            self.postAll()
        }
        do throws(TransferFailure) {
            try loop()
            try finish()
        } catch {
            lane?.drain()
            publish()
            var failure = error
            failure.role = failure.role ?? .receiver
            post(.ended(failure))
            postAll()
        }
        reader.beforeWaiting = nil
        lane?.finish()
    }

    /// Tells the generator of an event, at the latest when this role waits for input.
    func post(_ event: ReceiverEvents.Event) {
        // Otherwise rsync's generator does not need to know.
        if options.debug[.io] >= 1, case .success(let ndx) = event,
            session.incremental || options.removeSourceFiles > 0
        {
            tellSuccess(ndx)
        }
        unposted.append(event)
        // The generator of a batch is waited for, so nothing may be kept from it.
        if unposted.count >= Self.eventGroup || session.wishes != nil { postAll() }
    }

    private func postAll() {
        if unposted.isEmpty { return }
        events.post(contentsOf: unposted)
        unposted.removeAll(keepingCapacity: true)
    }

    private func loop() throws(TransferFailure) {
        session.onIndexMessage = { [unowned self] (code, ndx, _) throws(TransferFailure) in
            if code == .noSend { self.post(.noSend(ndx)) }
        }
        session.debug(.recv, words: "recv_files(\(lists.firstCount)) starting")
        defer { session.debug(.recv, words: "recv_files finished") }
        while true {
            let ndx = try reader.ndx()
            if ndx == Ndx.done {
                lane?.drain()
                try awaitGenerator()
                if !session.incremental || !lists.isEmpty { progress.listEnded() }
                if session.incremental && !lists.isEmpty {
                    recent.forget()
                    let remaining = lists.dropFirst()
                    if remaining { continue }
                    listReceiver.noteFinalListFreed()
                }
                phase += 1
                if phase <= maxPhase { session.debug(.recv, words: "recv_files phase=\(phase)") }
                if phase == 2 && options.delayUpdates { publishDelayed() }
                post(.phaseDone)
                postAll()
                if phase > maxPhase { return }
                continue
            }
            if ndx == Ndx.deletionStatistics && session.protocolVersion >= 31 {
                _ = try DeletionStatistics.read(from: reader)
                continue
            }
            if ndx < 0 {
                if try listReceiver.receiveControl(ndx) {
                    events.wake()
                    continue
                }
                throw session.fail(
                    .protocolIncompatible, "Invalid file index: \(ndx) (-1 - \(lists.bounds.1)) [\(reader.who)]")
            }
            try handle(ndx)
        }
    }

    /// After the last phase: statistics of a server sender, then the answer to the goodbye.
    private func finish() throws(TransferFailure) {
        publish()
        session.tellHeap(.receiver)
        if options.debug[.io] >= 1 { tellCount() }
        if !options.amServer && session.environment.handshakeVersion != -2 {
            let received = try reader.varlong30(3)
            let sent = try reader.varlong30(3)
            let total = try reader.varlong30(3)
            var build: Int64 = 0
            var transferTime: Int64 = 0
            if session.protocolVersion >= 29 {
                build = try reader.varlong30(3)
                transferTime = try reader.varlong30(3)
            }
            session.statistics.withLock { all in
                // What the peer read is what we wrote.
                all.bytesWritten = received
                all.bytesRead = sent
                all.totalSize = total
                all.fileListBuildMilliseconds = build
                all.fileListTransferMilliseconds = transferTime
            }
        }
        if session.protocolVersion >= 31 {
            while true {
                let ndx = try reader.ndx()
                if ndx == Ndx.deletionStatistics {
                    _ = try DeletionStatistics.read(from: reader)
                    continue
                }
                if ndx != Ndx.done {
                    try checkRecord(ndx)
                    throw session.fail(.protocolIncompatible, "Invalid packet at end of run (\(ndx)) [\(reader.who)]")
                }
                break
            }
            if session.wishes == nil && reader.hasBufferedStream {
                throw session.fail(.protocolStream, "Invalid packet at end of run [\(reader.who)]")
            }
            post(.phaseDone)
            postAll()
        }
    }

    /// Reads the record of an index that has no business here like any other: it may be bad in itself.
    private func checkRecord(_ ndx: Int32) throws(TransferFailure) {
        if ndx < 0 {
            throw session.fail(
                .protocolIncompatible, "Invalid file index: \(ndx) (-1 - \(lists.bounds.1)) [\(reader.who)]")
        }
        var record = try ItemRecord(flagsFrom: reader)
        if lists.entry(ndx) == nil { throw lists.badIndex(ndx, "read_ndx_and_attrs", reader.who, record) }
        try record.readDetails(from: reader)
    }

    private func publish() {
        session.statistics.withLock { all in
            all.transferredFiles = statistics.transferredFiles
            all.transferredSize = statistics.transferredSize
            all.literalData = statistics.literalData
            all.matchedData = statistics.matchedData
            all.created = statistics.created
        }
    }

    // MARK: - One reply

    private func handle(_ ndx: Int32) throws(TransferFailure) {
        var record = try ItemRecord(flagsFrom: reader)
        guard let (list, entry) = recent.entry(ndx, in: lists) else {
            throw lists.badIndex(ndx, "read_ndx_and_attrs", reader.who, record)
        }
        try record.readDetails(from: reader)
        try lists.checkTransfer(record, ndx, list, entry.pointee, reader.who)
        if options.listOnly {
            // Nothing was asked for; rsync would write it into the working directory.
            throw session.fail(
                .protocolIncompatible, "rsync: refusing an item that a listing did not ask for: \(ndx) [\(reader.who)]")
        }
        if options.debug[.recv] >= 1 {
            session.reporter.info(Bytes("recv_files(") + list.path(entry.pointee) + Bytes(")"))
        }
        // Flags of a batch's entry are the generator's until it has decided, which this waits for.
        let isUnwanted =
            session.wishes != nil && record.flags.contains(.transfer) ? try !isWanted(ndx, list, entry) : false
        if entry.pointee.flags.contains(.cleared) {
            throw session.fail(.protocolIncompatible, "rsync: refusing transfer of cleared file index \(ndx)")
        }
        if record.carriesXattrs(session) {
            try receiveXattrs(list, entry.pointee)
            let isLink = record.flags.isSuperset(of: [.xnameFollows, .localChange])
            if !record.flags.contains(.transfer) && !isLink { post(.attributes(list, entry.pointee)) }
        }
        if record.flags.contains(.isNew) { statistics.created.count(mode: list.mode(entry.pointee)) }
        guard record.flags.contains(.transfer) else {
            report(list, entry.pointee, record, before: false)
            return
        }
        if phase == 2 {
            throw session.fail(.protocolIncompatible, "got transfer request in phase 2 [\(reader.who)]")
        }
        if destination.localName == nil, let daemon = session.daemonFilters,
            FilterWalk.excludes(daemon, list.path(entry.pointee), isDirectory: false)
        {
            throw TransferFailure(
                .protocolIncompatible,
                lines: [
                    Bytes("ERROR: rejecting file transfer request for daemon excluded file: ")
                        + list.path(entry.pointee)
                ])
        }
        statistics.transferredFiles += 1
        statistics.transferredSize += entry.pointee.length
        if isUnwanted { return try discard() }
        if options.dryRun {
            report(list, entry.pointee, record, before: false)
            return try takeDryData(ndx)
        }
        let start = reader.streamBytes
        hasTarget = false
        progress.begin(ndx, list, entry.pointee, size: entry.pointee.length)
        offered = session.offers?.take(ndx) ?? -1
        defer {
            if offered >= 0 { _ = FileSystem.close(offered) }
            offered = -1
        }
        let outcome = try receiveFile(ndx, list, entry, record)
        progress.end()
        if hasTarget { report(list, entry.pointee, record, before: false, data: reader.streamBytes - start) }
        newMode = nil
        if let outcome { post(outcome) }
    }

    func report(_ list: FileSegment, _ entry: FileEntry, _ record: ItemRecord, before: Bool, data: Int64 = 0) {
        guard reportsItems else { return }
        var item = list.report(
            entry, flags: record.flags, xname: record.xname, sending: false, protocolVersion: session.protocolVersion)
        item.dataBytes = data
        item.checksum = session.shownChecksum(
            list, entry, transferred: !before && data > 0 ? Bytes(lastSum.bytes) : nil)
        if let newMode { item.mode = item.mode & FileType.mask | newMode & 0o7777 }
        session.reporter.event(.item(item, before: before))
    }

    /// `--delay-updates`: moves finished files to their final names, in list order.
    private func publishDelayed() {
        guard let directory = destination.partialDirectory else { return }
        for ndx in delayed {
            guard let (list, entry) = lists.entry(ndx) else { continue }
            post(.published(ndx, isInPlace: renameDelayed(list, entry.pointee, directory)))
        }
        delayed.removeAll()
    }

    private func renameDelayed(_ list: FileSegment, _ entry: FileEntry, _ partial: Bytes) -> Bool {
        let parent = cache.descriptor(entry.directory)
        guard parent >= 0 else { return false }
        let place = PartialPlace(
            root: destination, parent: parent, directory: partial, name: destination.ownName(list, entry))
        guard let held = place.open(create: false) else { return false }
        defer { held.close() }
        if options.backup,
            Backup.make(
                destination, parent, destination.ownName(list, entry), destination.ownPath(list, entry),
                keepsOriginal: true) != 0
        {
            return false
        }
        let code = FileSystem.rename(
            held.descriptor, otherName.cString(place.name), parent, destination.name(list, entry, name))
        if code != 0 {
            session.reporter.systemError(
                .receiver,
                Bytes("rename failed for ") + destination.display(list, entry) + Bytes(" (from ")
                    + destination.fullName(partial.appendingComponent(place.name)) + Bytes(")"), code)
        }
        held.removeIfEmpty()
        return code == 0
    }
}
