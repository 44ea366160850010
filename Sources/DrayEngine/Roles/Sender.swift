// Dray — the sender: answers the generator's requests in order.
// Layer: Engine. Wire format: chapter 03 §1.2, §7, §8, §14.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayFiles
import DrayWire
import Glibc

/// Runs on one thread from the first request to the end of sending.
final class Sender {
    let session: Session
    let walk: SourceWalk
    let options: TransferOptions
    let reader: WireReader
    let writer: WireWriter
    let lists: LiveLists
    @exclusivity(unchecked) private var phase = 0
    private let maxPhase: Int
    private let wholeHasher: StrongHasher
    private let blockHasher: BlockHasher
    let matcher = DeltaMatcher(mayUseHelper: Processors.usable > 1)
    /// Matches and false alarms of the files before (`--debug=deltasum2`).
    var searchedBefore = (matches: 0, alarms: 0, hits: 0)
    private let tokens: TokenWriter
    /// Where sum heads, data and file sums go: with `--only-write-batch` into the file alone.
    private let dataWriter: WireWriter
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * 1024, alignment: 4096)
    let name = NameBuffer()
    /// Long values delivered so far, by list and number.
    var deliveredXattrs: Set<Int64> = []
    @exclusivity(unchecked) private var statistics = TransferStatistics()
    @exclusivity(unchecked) private var current: Int32 = 0
    @exclusivity(unchecked) private var recent = RecentList()
    @exclusivity(unchecked) private var progress: ProgressMeter
    /// Sum of the file that was sent last.
    private let lastSum: FileSum
    private let sharesFiles: Bool

    init(session: Session, walk: SourceWalk) {
        self.session = session
        self.walk = walk
        options = session.options
        reader = session.reader
        writer = session.writer
        lists = walk.lists
        maxPhase = session.protocolVersion >= 29 ? 2 : 1
        wholeHasher = StrongHasher(session.transferChecksum, seed: session.checksumSeed)
        lastSum = FileSum(session.transferChecksum)
        blockHasher = BlockHasher(
            session.transferChecksum, seed: session.checksumSeed,
            seedFirst: session.hashesSeedFirst)
        dataWriter = session.options.onlyWritesBatch ? session.recorder?.writer ?? writer : writer
        tokens = TokenWriter(dataWriter, session.outgoingCompression)
        progress = ProgressMeter(session: session, lists: lists)
        sharesFiles = session.mayShareFiles
        matcher.countsHashHits = options.debug[.deltasum] >= 1
    }

    deinit { buffer.deallocate() }

    /// Serves requests until the last phase, then the goodbye.
    func run() throws(TransferFailure) {
        session.onIndexMessage = { [unowned self] (code, ndx, written) throws(TransferFailure) in
            if code == .success { try self.removeSource(ndx, written: written) }
        }
        let bitsBefore = session.reporter.ioError
        session.debug(.send, words: "send_files starting")
        while true {
            try walk.sendAhead(current: current, ahead: 1000)
            try walk.sendWhileIdle(current: current)
            let ndx = try reader.ndx()
            if ndx == Ndx.done {
                if try finishList() { continue }
                break
            }
            if ndx == Ndx.deletionStatistics {
                try receiveDeletionStatistics()
                continue
            }
            try serve(ndx)
        }
        if session.protocolVersion >= 30 && session.reporter.ioError != bitsBefore {
            writer.queueMessage(.ioError, value: session.reporter.ioError.rawValue)
        }
        session.debug(.send, words: "send files finished")
        if options.debug[.deltasum] >= 1 {
            let (matches, alarms) = (matcher.matchCount, matcher.falseAlarmCount)
            session.reporter.info(
                "total: matches=\(matches)  hash_hits=\(matcher.hashHitCount)  false_alarms=\(alarms) "
                    + "data=\(statistics.literalData)")
        }
        session.tellHeap(.sender)
        try writer.ndx(Ndx.done)
        // The numbers of bytes are those of this moment: with the last answer, without the goodbye.
        try writer.flush()
        publish()
        if options.amServer {
            try writeStatistics(to: writer)
        } else if let recorder = session.recorder {
            try writeStatistics(to: recorder.writer)
        }
        try goodbye()
    }

    /// Handles NDX_DONE; false at the end of the last phase.
    private func finishList() throws(TransferFailure) -> Bool {
        recent.forget()
        walk.noteListDropped()
        if !session.incremental || !lists.isEmpty { progress.listEnded() }
        if session.incremental && !lists.isEmpty {
            if lists.dropFirst() {
                try writer.ndx(Ndx.done)
                return true
            }
        }
        phase += 1
        if phase > maxPhase { return false }
        session.debug(.send, words: "send_files phase=\(phase)")
        try writer.ndx(Ndx.done)
        return true
    }

    private func receiveDeletionStatistics() throws(TransferFailure) {
        let kinds = try DeletionStatistics.read(from: reader)
        session.statistics.withLock { $0.deleted = kinds }
        if options.amServer { try DeletionStatistics.write(kinds, to: writer) }
    }

    private func writeStatistics(to target: WireWriter) throws(TransferFailure) {
        let all = session.statistics.withLock { $0 }
        try target.varlong30(all.bytesRead, 3)
        try target.varlong30(all.bytesWritten, 3)
        try target.varlong30(all.totalSize, 3)
        if session.protocolVersion >= 29 {
            try target.varlong30(all.fileListBuildMilliseconds, 3)
            try target.varlong30(all.fileListTransferMilliseconds, 3)
        }
    }

    private func goodbye() throws(TransferFailure) {
        var value = try goodbyeIndex()
        if session.protocolVersion >= 31 && value == Ndx.done {
            try writer.ndx(Ndx.done)
            try writer.flush()
            value = try goodbyeIndex()
        }
        if value != Ndx.done {
            throw session.fail(.protocolIncompatible, "Invalid packet at end of run (\(value)) [\(reader.who)]")
        }
    }

    private func goodbyeIndex() throws(TransferFailure) -> Int32 {
        while true {
            let value = try reader.ndx()
            if value == Ndx.deletionStatistics && session.protocolVersion >= 31 {
                try receiveDeletionStatistics()
                continue
            }
            if value == Ndx.done || session.protocolVersion < 29 { return value }
            // Read like any request, so that a bad one gets the text it would have got before.
            try refuseControl(value)
            var record = try ItemRecord(flagsFrom: reader)
            if lists.entry(value) == nil { throw lists.badIndex(value, "read_ndx_and_attrs", reader.who) }
            try record.readDetails(from: reader)
            return value
        }
    }

    private func publish() {
        session.statistics.withLock { all in
            all.created = statistics.created
            all.transferredFiles = statistics.transferredFiles
            all.transferredSize = statistics.transferredSize
            all.literalData = statistics.literalData
            all.matchedData = statistics.matchedData
            all.bytesRead = reader.bytesReceived
            all.bytesWritten = writer.bytesSent
        }
    }

    // MARK: - One request

    /// A number that can only be an item's.
    private func refuseControl(_ ndx: Int32) throws(TransferFailure) {
        if ndx < 0 {
            throw session.fail(
                .protocolIncompatible, "Invalid file index: \(ndx) (-1 - \(lists.bounds.1)) [\(reader.who)]")
        }
    }

    private func serve(_ ndx: Int32) throws(TransferFailure) {
        try refuseControl(ndx)
        var record = try ItemRecord(flagsFrom: reader)
        if session.protocolVersion < 30 && record.flags == .isNew && ndx == Int32(lists.knownCount) {
            // The keep-alive of protocol 29.
            return
        }
        guard let (list, entry) = recent.entry(ndx, in: lists) else {
            throw lists.badIndex(ndx, "read_ndx_and_attrs", reader.who, record)
        }
        try record.readDetails(from: reader)
        try lists.checkTransfer(record, ndx, list, entry.pointee, reader.who)
        current = ndx
        if entry.pointee.flags.contains(.cleared) {
            throw session.fail(.protocolIncompatible, "rsync: refusing transfer of cleared file index \(ndx)")
        }
        let wanted = record.carriesXattrs(session) ? try receiveXattrRequests(list, entry.pointee) : nil
        try walk.sendAhead(current: current, ahead: 1000)
        tell("send_files(\(ndx), ", list, entry.pointee, ")")
        guard record.flags.contains(.transfer) else {
            if record.flags.contains(.isNew) { statistics.created.count(mode: list.mode(entry.pointee)) }
            report(list, entry.pointee, record, before: false)
            try record.write(ndx, to: writer)
            if let wanted { try sendXattrs(wanted, list, entry.pointee) }
            return
        }
        if phase == 2 {
            throw session.fail(.protocolIncompatible, "got transfer request in phase 2 [\(reader.who)]")
        }
        if record.flags.contains(.isNew) { statistics.created.count(mode: list.mode(entry.pointee)) }
        statistics.transferredFiles += 1
        statistics.transferredSize += entry.pointee.length
        if !options.requestsData {
            report(list, entry.pointee, record, before: false)
            try record.write(ndx, to: writer)
            return
        }
        try transfer(ndx, list, entry, record, wanted)
    }

    private func report(
        _ list: FileSegment, _ entry: FileEntry, _ record: ItemRecord, before: Bool, data: Int64 = 0, sums: Int64 = 0
    ) {
        guard options.logsItems else { return }
        var item = list.report(
            entry, flags: record.flags, xname: record.xname, sending: true, protocolVersion: session.protocolVersion)
        if session.convertsTargets, let conversion = session.conversion {
            // The list holds what travels; people read what is on the disk.
            item.linkTarget = conversion.fromWire(message: item.linkTarget)
        }
        item.dataBytes = data
        item.checksumBytes = sums
        item.checksum = session.shownChecksum(
            list, entry, transferred: !before && data > 0 ? Bytes(lastSum.bytes) : nil)
        if entry.directory < walk.paths.count {
            item.sourceDirectory = walk.roots[Int(walk.paths.root(entry.directory))].display
        }
        session.reporter.event(.item(item, before: before))
    }

    private func transfer(
        _ ndx: Int32, _ list: FileSegment, _ entry: UnsafeMutablePointer<FileEntry>, _ record: ItemRecord,
        _ wantedXattrs: [Int32]?
    ) throws(TransferFailure) {
        let redo = entry.pointee.flags.contains(.sent)
        let sumStart = reader.streamBytes
        let head = try SumHead.read(from: reader, digestLength: session.transferChecksum.digestLength)
        let appending = options.append != .off && !redo
        session.debug(
            .deltasum, 3, words: "count=\(head.count) n=\(head.blockLength) rem=\(head.remainder)")
        let table = appending ? nil : try receiveSums(head)
        let sumBytes = reader.streamBytes - sumStart

        let descriptor = open(list, entry.pointee)
        if descriptor < 0 { return try refuse(ndx, list, entry.pointee, -descriptor) }
        defer { _ = FileSystem.close(descriptor) }
        var status = FileStatus()
        let code = FileSystem.status(descriptor: descriptor, &status)
        if code != 0 {
            throw TransferFailure(
                .fileIO, lines: [Bytes(text: withErrno("rsync: [sender] fstat failed", code))], role: .sender)
        }
        if status.isDevice {
            guard options.copyDevices else {
                throw session.fail(
                    .protocolIncompatible, "attempt to copy device contents without --copy-devices")
            }
            status.length = FileSystem.deviceLength(descriptor)
        }
        if appending && head.basisLength > status.length && status.length < entry.pointee.length {
            session.reporter.warning(Bytes("skipped diminished file: ") + displayName(list, entry.pointee))
            if session.protocolVersion >= 30 { writer.queueMessage(.noSend, value: ndx) }
            return
        }
        if options.debug[.deltasum] >= 2 { tellMapped(list, entry.pointee, status.length) }
        report(list, entry.pointee, record, before: true)
        // What a report calls moved begins with the record.
        let startBytes = dataWriter.streamBytes
        try record.write(ndx, to: writer)
        if let wantedXattrs { try sendXattrs(wantedXattrs, list, entry.pointee) }
        try head.write(to: dataWriter)
        session.debug(.deltasum, 2, line: Bytes("calling match_sums ") + typedPath(list, entry.pointee))
        progress.begin(ndx, list, entry.pointee, size: status.length)
        if !redo && head.count == 0 && handsOver(ndx, descriptor, status) {
            try sendNothing(status.length)
        } else {
            try sendData(descriptor, status.length, head, table, record, appending: appending, list, entry.pointee)
        }
        progress.end()
        entry.pointee.flags.insert(.sent)
        tell("sender finished ", list, entry.pointee, "")
        report(list, entry.pointee, record, before: false, data: dataWriter.streamBytes - startBytes, sums: sumBytes)
    }

    private func receiveSums(_ head: SumHead) throws(TransferFailure) -> BlockSumTable? {
        guard head.count > 0 else { return nil }
        let tells = options.debug[.deltasum] >= 3
        if Int64(head.count) >= options.maxAllocation / Limits.blockSumRecord {
            throw TransferFailure(
                .outOfMemory,
                "[sender] exceeded --max-alloc=\(options.maxAllocation) setting (file=\(#fileID), line=\(#line))"
            )
        }
        let table = BlockSumTable(head: head)
        let length = Int(head.strongLength)
        let strong = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 8)
        defer { strong.deallocate() }
        let place = UnsafeMutableRawBufferPointer(rebasing: strong[..<length])
        for _ in 0..<head.count {
            let rolling = UInt32(bitPattern: try reader.int32())
            try reader.bytes(into: place)
            table.append(rolling: rolling, strong: strong.baseAddress!)
            if tells { tellSum(Int32(table.count) - 1, head, rolling) }
        }
        table.build()
        return table
    }

    // MARK: - Data

    /// Source bytes hashed as they are read; a file that shrinks is padded with zeros.
    private struct FileSource: DeltaSource {
        let descriptor: Int32
        var left: Int64
        let hasher: StrongHasher
        var errorCode: Int32 = 0
        var shrank = false

        mutating func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
            let wanted = Int(min(Int64(buffer.count), left))
            if wanted == 0 { return 0 }
            var count =
                shrank || errorCode != 0
                ? 0 : FileSystem.read(descriptor, UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted]))
            if count <= 0 {
                if count < 0 { errorCode = Int32(-count) } else { shrank = true }
                buffer.baseAddress!.initializeMemory(as: UInt8.self, repeating: 0, count: wanted)
                count = wanted
            }
            left -= Int64(count)
            hasher.update(UnsafeRawBufferPointer(start: buffer.baseAddress, count: count))
            return count
        }
    }

    private struct TokenSink: DeltaSink {
        let tokens: TokenWriter
        var literal: Int64 = 0
        var matched: Int64 = 0
        var meter: ProgressMeter

        mutating func literal(_ bytes: UnsafeRawBufferPointer) throws {
            literal += Int64(bytes.count)
            try tokens.literals(bytes)
            meter.advance(literal + matched)
        }
        mutating func match(block: Int32, length: Int) throws {
            matched += Int64(length)
            try tokens.match(block: block, length: length)
            meter.advance(literal + matched)
        }
        mutating func matchedData(_ bytes: UnsafeRawBufferPointer) throws {
            if tokens.wantsMatches { try tokens.insert(bytes) }
        }
    }

    private func sendData(
        _ descriptor: Int32, _ length: Int64, _ head: SumHead, _ table: BlockSumTable?, _ record: ItemRecord,
        appending: Bool, _ list: FileSegment, _ entry: FileEntry
    ) throws(TransferFailure) {
        wholeHasher.reset()
        var source = FileSource(descriptor: descriptor, left: length, hasher: wholeHasher)
        var offset: Int64 = 0
        if appending && head.basisLength > 0 {
            offset = min(head.basisLength, length)
            if options.append == .verify {
                while length - source.left < offset {
                    let room = Int(min(Int64(buffer.count), offset - (length - source.left)))
                    _ = source.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<room]))
                }
            } else {
                _ = FileSystem.seek(descriptor, to: offset)
                source.left = length - offset
            }
        }
        try tokens.begin(
            blockLength: table == nil || length == 0 ? 0 : Int(head.blockLength), length: length,
            lastBlockLength: head.count > 0 ? head.length(ofBlock: head.count - 1) : 0)
        if let table, length > 0 {
            let updating =
                (record.basisType == BasisType.partialDirectory && session.flags.contains(.inplacePartialDirectory))
                || (options.updatesInPlace
                    && (session.protocolVersion >= 29
                        ? record.basisType == BasisType.destination : !options.backup))
            var sink = TokenSink(tokens: tokens, meter: progress)
            if options.debug[.deltasum] >= 2 { traceSearch(length, table) }
            do {
                try matcher.run(
                    length: length, table: table, hasher: blockHasher, updatingBasis: updating, source: &source,
                    sink: &sink)
            } catch {
                throw error as? TransferFailure ?? TransferFailure(.ipc)
            }
            statistics.literalData += sink.literal
            statistics.matchedData += sink.matched
            progress = sink.meter
            session.debug(.deltasum, 2, words: "done hash search")
        } else {
            while source.left > 0 {
                let count = source.read(into: buffer)
                try tokens.literals(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]))
                statistics.literalData += Int64(count)
                // The first update is due after rsync's first piece.
                progress.advance(length - source.left, startingAt: 32_768)
            }
        }
        try tokens.end()
        try sendWholeSum(source, list, entry)
    }

    /// Whether the receiving half of a local copy takes the open file itself.
    private func handsOver(_ ndx: Int32, _ descriptor: Int32, _ status: FileStatus) -> Bool {
        guard let offers = session.offers, status.length >= FileOffers.smallest, status.isRegular, sharesFiles else {
            return false
        }
        return offers.offer(ndx, descriptor)
    }

    /// The stream of a file that was handed over. Its sum is not looked at.
    private func sendNothing(_ length: Int64) throws(TransferFailure) {
        try tokens.begin(blockLength: 0, length: 0, lastBlockLength: 0)
        try tokens.end()
        writer.countLiterals(length)
        statistics.literalData += length
        progress.advance(length, startingAt: 32_768)
        try dataWriter.bytes(Bytes(repeating: 0, count: session.transferChecksum.digestLength))
    }

    private func sendWholeSum(_ source: FileSource, _ list: FileSegment, _ entry: FileEntry) throws(TransferFailure) {
        lastSum.take(from: wholeHasher)
        if source.errorCode != 0 || source.shrank {
            // The receiver must not accept padding as content.
            lastSum.spoil()
            let full = displayName(list, entry)
            session.reporter.noteIOError(.general)
            session.reporter.systemError(
                .sender, Bytes("read errors mapping ") + full, source.errorCode == 0 ? ENODATA : source.errorCode)
        }
        if options.debug[.deltasum] >= 2 { tellSearched() }
        try dataWriter.bytes(UnsafeRawBufferPointer(lastSum.bytes))
    }
}
