// Dray — receives file lists, checks them, makes them ready for the roles.
// Layer: Engine. Wire format: chapter 02 §3.2, §7, §8, §11.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayFiles
import DrayFilters
import DrayWire

/// Decodes lists on the thread that reads the connection and publishes them.
final class ListReceiver {
    private let session: Session
    private let format: FileListFormat
    private let decoder: FileEntryDecoder
    private let owners: OwnerMap
    let paths = PathTable()
    let attributes = AttributeTable()
    let lists: LiveLists
    /// ACLs and xattr lists that entries refer to.
    let received: ReceivedMetadata
    @exclusivity(unchecked) private var statistics = TransferStatistics()
    private var finalListFreed = false
    /// What `--debug=dup` tells of the list that has been prepared.
    private var droppedLines: [Bytes] = []

    init(session: Session, judge: (any NameJudge)?) throws(TransferFailure) {
        self.session = session
        format = FileListFormat(
            options: session.options, protocolVersion: session.protocolVersion, flags: session.flags,
            checksumLength: session.fileChecksum.digestLength)
        lists = LiveLists(
            paths: paths, attributes: attributes, incremental: session.incremental, findsByDirectory: true)
        decoder = FileEntryDecoder(reader: session.reader, format: format)
        received = decoder.metadata
        owners = try OwnerMap(session: session)
        if session.options.xattrs > 0 {
            let policy = XattrPolicy(session: session, side: .receiver)
            decoder.localXattrName = { policy.localName($0) }
        }
        if let conversion = session.conversion {
            decoder.convertPath = { [session] wire in
                do throws(CharacterConversion.Failure) { return try conversion.fromWire(wire) } catch {
                    let line = Bytes(text: "[\(session.reader.role.rawValue)] cannot convert filename: ") + wire
                    session.reporter.error(line + Bytes(text: " (\(errnoText(error.code)))"))
                    session.reporter.noteIOError(.general)
                    return nil
                }
            }
            if session.convertsTargets {
                decoder.convertTarget = { [session] target, path in
                    do throws(CharacterConversion.Failure) { return try conversion.fromWire(target) } catch {
                        let line = Bytes(text: "[\(session.reader.role.rawValue)] cannot convert symlink data for: ")
                        let name = session.fullName(path)
                        session.reporter.error(line + name + Bytes(text: " (\(errnoText(error.code)))"))
                        session.reporter.noteIOError(.general)
                        return nil
                    }
                }
            }
        }
        decoder.mapUser = { [owners] id, name in owners.user(id, name) }
        decoder.mapAccessUser = { [owners] id, name in owners.accessUser(id, name) }
        decoder.mapAccessGroup = { [owners] id, name in owners.accessGroup(id, name) }
        decoder.mapGroup = { [owners] id, name in owners.group(id, name) }
        let chmod = ModeChanges(
            (session.options.amServer ? [] : session.options.chmod)
                + (session.environment.moduleChmod.map { [$0] } ?? []), mask: FileSystem.creationMask)
        if let chmod { decoder.changeMode = { chmod.apply($0) } }
        if let judge {
            decoder.judge = { (name, mode, flags) throws(TransferFailure) in try judge.check(name, mode, &flags) }
        }
        if session.environment.mungesSymlinks
            || session.options.mungeLinks && !session.options.isLocal
        {
            decoder.changeTarget = { _, target in SymlinkMunging.munged(target) }
        } else if session.environment.sanitizesPaths {
            decoder.changeTarget = { path, target in PathSanitizing.target(target, at: path) }
        }
        if session.environment.sanitizesPaths { decoder.sanitizeName = { PathSanitizing.name($0) } }
    }

    /// Receives the first (or only) list, and the second one when the first has a single entry.
    func receiveFirst() throws(TransferFailure) {
        let startBytes = session.reader.bytesReceived
        session.reporter.event(.fileListStarted(incremental: session.incremental))
        let segment = FileSegment(
            paths: paths, attributes: attributes, ndxStart: lists.nextStart, checksumLength: format.checksumLength,
            use: session.incremental ? .segment : .wholeTransfer)
        try receiveEntries(segment)
        if !session.incremental {
            let (users, groups) = try decoder.readIDLists()
            owners.mapAll(attributes, received, users: users, groups: groups)
            if session.protocolVersion < 30 {
                session.reporter.noteIOError(IOErrorBits(rawValue: try session.reader.int32()), fromPeer: true)
            }
        }
        if session.protocolVersion < 30 && session.options.recursive { markContents(segment) }
        prepare(segment)
        if session.incremental {
            _ = try lists.directories.addDirectories(of: segment, parent: -1)
            if let first = firstEntry(segment), isRoot(segment, first) {
                segment.parentDirectory = segment.directoryIndices()[0]
            }
        }
        if session.options.debug[.flist] >= 2 {
            tell(segment, [.unsplitReceiver], isFirst: true)
        } else {
            tellDropped(1)
        }
        if session.options.debug[.hlink] >= 1 { session.tellLinks(segment, [.unsplitReceiver]) }
        lists.add(segment)
        if !session.incremental { lists.finish() }
        count(segment, bytes: session.reader.bytesReceived - startBytes)
        if session.incremental && segment.count == 1 {
            _ = try receiveControl(try session.reader.ndx(), isFirst: true)
        }
        session.reporter.event(.fileListFinished(count: lists.knownCount))
    }

    private func firstEntry(_ segment: FileSegment) -> FileEntry? {
        for position in 0..<segment.count where !segment.entry(position).pointee.flags.contains(.cleared) {
            return segment.entry(position).pointee
        }
        return nil
    }

    private func isRoot(_ segment: FileSegment, _ entry: FileEntry) -> Bool {
        let name = segment.name(entry)
        return paths.path(entry.directory).count == 0 && name.count == 1 && name[0] == UInt8(ascii: ".")
    }

    private func receiveEntries(_ segment: FileSegment) throws(TransferFailure) {
        while true {
            switch try decoder.next(into: segment) {
            case .end(let ioError):
                if !session.options.ignoreErrors {
                    session.reporter.noteIOError(IOErrorBits(rawValue: ioError), fromPeer: true)
                }
                return
            case .entry(let number):
                if session.incremental {
                    let entry = segment.wireEntry(number).pointee
                    let directory = withoutLeadingSlash(entry.directory)
                    let expected =
                        segment.parentDirectory < 0
                        ? 0 : lists.directories.node(Int(segment.parentDirectory)).pointee.path
                    if !entry.flags.contains(.cleared) && directory != expected
                        && !(segment.parentDirectory < 0 && format.relativeNames)
                    {
                        throw TransferFailure(
                            .unsupported,
                            lines: [Bytes("ABORTING due to invalid path from sender: ") + segment.path(entry)])
                    }
                }
                if session.options.info[.flist] >= 2 && segment.count % 100 == 0 {
                    session.reporter.event(.fileListProgress(count: statistics.files.total + segment.count))
                }
            }
        }
    }

    /// Protocols below 30 mark only the tops of hierarchies: what lies below one has its contents in the transfer.
    private func markContents(_ segment: FileSegment) {
        let slash = UInt8(ascii: "/")
        var top: Bytes?
        for number in 0..<segment.count where segment.isDirectory(segment.wireEntry(number).pointee) {
            let entry = segment.wireEntry(number)
            if entry.pointee.flags.contains(.topDirectory) {
                top = segment.path(entry.pointee)
                continue
            }
            guard let root = top else { continue }
            let path = segment.path(entry.pointee)
            let isBelow = root == Bytes(".") || !format.relativeNames || path.hasPrefix(root + [slash])
            if isBelow {
                if !entry.pointee.flags.contains(.impliedDirectory) { entry.pointee.flags.insert(.contentDirectory) }
            } else {
                top = nil
            }
        }
    }

    private func withoutLeadingSlash(_ directory: Int32) -> Int32 {
        if directory == 0 { return 0 }
        let path = paths.path(directory)
        guard path.first == UInt8(ascii: "/") else { return directory }
        // Never full: the path with the slash went in already.
        return paths.intern(UnsafeRawBufferPointer(rebasing: path.dropFirst()), root: 0) ?? 0
    }

    private func prepare(_ segment: FileSegment) {
        segment.sort(protocolVersion: session.protocolVersion, indexesByWire: session.conversion != nil)
        var dropped: [Int] = []
        let tells = session.options.debug[.dup] >= 1
        segment.markDuplicates(
            onSender: false, protocolVersion: session.protocolVersion,
            onDrop: tells ? { dropped.append($0) } : nil)
        droppedLines = dropped.map { position in
            Bytes("removing duplicate name ") + segment.path(segment.entry(position).pointee)
                + Bytes(text: " from file list (\(segment.ndx(position)))")
        }
        if format.relativeNames {
            // Names of absolute sources sort with their slash, but below the destination they are like any other.
            for number in 0..<segment.count {
                let entry = segment.wireEntry(number)
                entry.pointee.directory = withoutLeadingSlash(entry.pointee.directory)
            }
        }
        if session.options.pruneEmptyDirs { PruneEmptyDirectories.run(segment) }
        segment.prepareForReceiving()
    }

    private func count(_ segment: FileSegment, bytes: Int64) {
        for number in 0..<segment.count {
            let entry = segment.wireEntry(number).pointee
            let mode = segment.mode(entry)
            statistics.files.count(mode: mode)
            let type = mode & FileType.mask
            if type == FileType.regular || type == FileType.symlink { statistics.totalSize += entry.length }
        }
        statistics.fileListSize += bytes
        session.statistics.withLock { all in
            all.files = statistics.files
            all.totalSize = statistics.totalSize
            all.fileListSize = statistics.fileListSize
        }
        lists.state.withLock { $0.knownSize = statistics.totalSize }
    }

    /// Acts on a negative index that is neither NDX_DONE nor statistics; false if it has no meaning here.
    ///
    /// - Parameter isFirst: the one list that is read before the roles split.
    func receiveControl(_ ndx: Int32, isFirst: Bool = false) throws(TransferFailure) -> Bool {
        let who = session.reader.who
        if !session.incremental { return false }
        if ndx == Ndx.fileListEOF {
            for role in isFirst ? [.unsplitReceiver] : Self.split {
                session.debug(.flist, 3, words: "[\(role.rawValue)] flist_eof=1")
            }
            lists.finish()
            return true
        }
        let index = Ndx.fileListOffset - ndx
        let known = lists.directories.count
        if ndx > Ndx.fileListOffset || Int(index) >= known || index < 0 {
            let complaint = "Invalid dir index: \(ndx) (-101 - \(Int(Ndx.fileListOffset) - known + 1))"
            throw session.fail(
                .protocolIncompatible, isFirst ? "[\(who)] \(complaint)" : "\(complaint) [\(who)]")
        }
        if finalListFreed {
            throw session.fail(.protocolIncompatible, "rsync: refusing sub-flist after final flist was freed")
        }
        let node = lists.directories.node(Int(index))
        if lists.directories.entry(Int(index)).pointee.flags.contains(.cleared) {
            throw session.fail(.protocolIncompatible, "rsync: refusing flist for cleared dir_ndx \(index)")
        }
        if node.pointee.listed {
            throw session.fail(.protocolIncompatible, "rsync: refusing malicious duplicate flist for dir \(index)")
        }
        node.pointee.listed = true
        let startBytes = session.reader.bytesReceived
        let segment = FileSegment(
            paths: paths, attributes: attributes, ndxStart: lists.nextStart, checksumLength: format.checksumLength,
            use: .segment)
        segment.parentDirectory = index
        owners.repeats = !isFirst
        try receiveEntries(segment)
        prepare(segment)
        if session.options.debug[.hlink] >= 1 {
            session.tellLinks(segment, isFirst ? [.unsplitReceiver] : Self.split)
        }
        if session.options.debug[.flist] >= 2 {
            // Compatibility: of the list that is read before the roles split, rsync says whose it is from level 3 on.
            let isSilent = isFirst && session.options.debug[.flist] < 3
            tell(segment, isFirst ? [.unsplitReceiver] : Self.split, isFirst: isSilent)
        } else {
            tellDropped(isFirst ? 1 : Self.split.count)
        }
        _ = try lists.directories.addDirectories(of: segment, parent: index)
        lists.add(segment)
        count(segment, bytes: session.reader.bytesReceived - startBytes)
        return true
    }

    private static let split: [RoleName] = [.receiver, .generator]

    /// Both roles of a split side tell of equal names.
    private func tellDropped(_ count: Int) {
        for _ in 0..<count { for line in droppedLines { session.reporter.info(line) } }
    }

    /// Tells what a list has brought; both roles of a split side take it.
    private func tell(_ segment: FileSegment, _ roles: [RoleName], isFirst: Bool) {
        let reporter = session.reporter
        for role in roles {
            if !isFirst {
                reporter.info("[\(role.rawValue)] receiving flist for dir \(segment.parentDirectory)")
            }
            for number in 0..<segment.count {
                reporter.info(Bytes("recv_file_name(") + segment.path(segment.wireEntry(number).pointee) + Bytes(")"))
            }
            reporter.info("received \(segment.count) names")
            for line in droppedLines { reporter.info(line) }
            if !session.incremental { session.debug(.flist, 3, words: "[\(role.rawValue)] flist_eof=1") }
            if session.options.debug[.flist] >= 3 { session.tellList(segment, role) { Self.depth(segment.path($0)) } }
            reporter.info("recv_file_list done")
        }
    }

    /// How deep a name lies, as rsync counts.
    private static func depth(_ path: Bytes) -> Bytes {
        if path == Bytes(".") { return Bytes("0") }
        return Bytes(text: "\(path.count { $0 == UInt8(ascii: "/") } + 1)")
    }

    func noteFinalListFreed() { finalListFreed = true }
}

/// Names a malicious sender must not slip in; see chapter 06 §11.
protocol NameJudge {
    func check(_ name: Bytes, _ mode: UInt32, _ flags: inout FileEntryFlags) throws(TransferFailure)
}

/// `--prune-empty-dirs`: drops directories without non-directories below them.
enum PruneEmptyDirectories {
    static func run(_ segment: FileSegment) {
        var kept: Set<Bytes> = []
        for position in stride(from: segment.count - 1, through: 0, by: -1) {
            let entry = segment.entry(position)
            if entry.pointee.flags.contains(.cleared) { continue }
            let path = segment.path(entry.pointee)
            if segment.isDirectory(entry.pointee) {
                if path == Bytes(".") { continue }
                if !kept.contains(path) {
                    entry.pointee.flags.insert(.cleared)
                    continue
                }
            }
            let (parent, _) = path.splitLastComponent
            if !parent.isEmpty { kept.insert(parent) }
        }
    }
}

/// Makes names and link targets harmless for a module without chroot.
enum PathSanitizing {
    /// Drops leading slashes and resolves `..` without climbing above the start.
    static func name(_ name: Bytes) -> Bytes { argument(name, keepsDots: false, keepsSlash: false) }

    /// The same for a name that is a source argument.
    ///
    /// - Parameters:
    ///   - keepsDots: `.` components may mark where transmitted names begin.
    ///   - keepsSlash: a trailing slash asks for the contents of a directory.
    static func argument(_ name: Bytes, keepsDots: Bool, keepsSlash: Bool = true) -> Bytes {
        let slash = UInt8(ascii: "/")
        var parts: [Bytes] = []
        for part in name.fields(separatedBy: { $0 == slash }) {
            if part == Bytes("..") {
                _ = parts.popLast()
            } else if part != Bytes(".") || keepsDots {
                parts.append(part)
            }
        }
        if parts.isEmpty { return Bytes(".") }
        let joined = Bytes(parts.joined(separator: Bytes("/")))
        return keepsSlash && name.last == slash ? joined + [slash] : joined
    }

    /// A link target without leading slash, `.` and what `..` takes back, that does not climb above the depth of the
    /// link's directory.
    static func target(_ target: Bytes, at path: Bytes) -> Bytes {
        let slash = UInt8(ascii: "/")
        var depth = path.fields { $0 == slash }.count - 1
        // What stays keeps the slash behind it, also where `..` has taken back what followed.
        let last = target.last == slash ? [slash] : []
        var kept: [Bytes] = []
        // Components in front that climb.
        var climbing = 0
        let parts = target.fields { $0 == slash }
        for (index, part) in parts.enumerated() where part != Bytes(".") {
            let whole = part + (index + 1 < parts.count ? [slash] : last)
            if part != Bytes("..") {
                kept.append(whole)
            } else if kept.count > climbing {
                kept.removeLast()
            } else if depth > 0 {
                depth -= 1
                kept.append(whole)
                climbing = kept.count
            }
        }
        return kept.isEmpty ? Bytes(".") : Bytes(kept.joined())
    }
}
