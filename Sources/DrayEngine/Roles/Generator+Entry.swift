// Dray — what the generator does with each entry.
// Layer: Engine. Behaviour: chapter 04 §2, §3, §11–§13; chapter 03 §2.5, §4.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayFiles
import DrayWire
import Glibc

extension Generator {
    /// Decides about one entry and acts.
    func handle(
        _ ndx: Int32, _ list: FileSegment, _ entry: UnsafeMutablePointer<FileEntry>, directoryIndex: Int32
    ) throws(TransferFailure) {
        let flags = entry.pointee.flags
        if flags.contains(.cleared) { return }
        let mode = list.mode(entry.pointee)
        let type = mode & FileType.mask
        if options.listOnly {
            var item = list.report(
                entry.pointee, flags: [], xname: [], sending: false, protocolVersion: session.protocolVersion)
            item.name = list.path(entry.pointee)
            return tell(item, atime: options.atimes > 0 ? list.extra(entry.pointee)?.pointee.atime : nil)
        }
        if let skippedPath {
            if Self.isBelow(list.path(entry.pointee), skippedPath) {
                if type == FileType.directory { entry.pointee.flags.insert(.missingDirectory) }
                return
            }
            self.skippedPath = nil
        }
        // A name of the client's choice was judged with the destination.
        if destination.localName == nil, let daemon = session.daemonFilters,
            FilterWalk.excludes(daemon, list.path(entry.pointee), isDirectory: type == FileType.directory)
        {
            let kind = type == FileType.directory ? "directory" : "file"
            session.reporter.errorTransfer(
                Bytes(text: "ERROR: daemon refused to receive \(kind) ") + Bytes("\"") + list.path(entry.pointee)
                    + Bytes("\""))
            if type == FileType.directory { skip(list, entry) }
            return
        }
        try checkParent(list, entry.pointee)
        var status = FileStatus()
        let isMissing = destination.root < 0 || assumedMissing.contains(entry.pointee.directory)
        let parent = isMissing ? -ENOENT : cache.descriptor(entry.pointee.directory)
        var code = parent < 0 ? -parent : 0
        if code == ENOENT && mode != 0 && options.relative && !options.impliedDirs && !options.dryRun
            && destination.root >= 0
        {
            makeParents(entry.pointee.directory)
            return try handleAgain(ndx, list, entry, directoryIndex)
        }
        let cName = destination.name(list, entry.pointee, name)
        if parent >= 0 && entry.pointee.directory == freshDirectory && type == FileType.regular {
            code = ENOENT
        } else if parent >= 0 {
            code = try ahead.measure { () throws(TransferFailure) in
                try destination.status(parent, cName, &status, role: .generator)
            }
            if code == 0 && status.isSymlink && type == FileType.directory && options.keepDirlinks {
                var followed = FileStatus()
                if FileSystem.status(parent, cName, follow: true, &followed) == 0 && followed.isDirectory {
                    status = followed
                }
            }
        }
        // A dry run leaves what a directory would replace.
        if code == ENOTDIR && options.dryRun && !options.ignoreExisting { code = ENOENT }
        // Only a file has to be compared: anything else is made, which tells why it cannot be.
        if code != 0 && code != ENOENT && type == FileType.regular {
            session.reporter.systemError(
                .generator, Bytes("recv_generator: failed to stat ") + destination.display(list, entry.pointee), code)
            return
        }
        var exists = code == 0
        if mode == 0 {
            if exists { try deleteMissingArgument(list, entry.pointee, parent, status) }
            return
        }
        let isRootDot = type == FileType.directory && list.name(entry.pointee).elementsEqual([UInt8(ascii: ".")])
        if options.existingOnly && !exists {
            if options.info[.skip] >= 1 {
                let kind = type == FileType.directory ? "directory" : "file"
                session.reporter.info(
                    Bytes(text: "not creating new \(kind) \"") + destination.ownPath(list, entry.pointee) + Bytes("\""))
            }
            if type == FileType.directory { skip(list, entry, silently: true) }
            return
        }
        if options.ignoreExisting && exists && !(status.isDirectory && type == FileType.directory) && !isRootDot {
            if options.info[.skip] >= 1 {
                let detail = options.info[.skip] > 1 ? howItExists(list, entry.pointee, parent, status) : ""
                session.reporter.info(destination.ownPath(list, entry.pointee) + Bytes(text: " exists" + detail))
            }
            if type == FileType.directory { try deleteDuring(list, entry.pointee) }
            return try skipHardLink(ndx, list, entry.pointee)
        }
        if type == FileType.directory {
            if directoryIndex >= 0 && createdEarly.contains(directoryIndex)
                || isRootDot && destination.wasCreated && isFirstOfList
            {
                exists = false
            }
            // Compatibility: directories in the first one get what it gave before its own ACL came.
            if isRootDot { destination.keepNewPermissions((parent, entry.pointee.directory)) }
            return try handleDirectory(ndx, list, entry, parent, exists, status, directoryIndex)
        }
        if options.hardLinks > 0 && flags.contains(.hardLinked) {
            if try joinHardLink(ndx, list, entry.pointee, parent, exists, status) { return }
        }
        switch type {
        case FileType.symlink where options.links:
            try handleSymlink(ndx, list, entry.pointee, parent, exists, status)
        case FileType.regular: try handleRegular(ndx, list, entry, parent, exists, status)
        default:
            if (type == FileType.characterDevice || type == FileType.blockDevice || type == FileType.fifo
                || type == FileType.socket),
                isHandledNode(type)
            {
                try handleNode(ndx, list, entry.pointee, parent, exists, status)
            } else if options.info[.nonreg] >= 1 {
                session.reporter.info(Bytes("skipping non-regular file \"") + list.path(entry.pointee) + Bytes("\""))
            }
        }
    }

    /// A line of a listing; a server itself writes it for its client.
    private func tell(_ item: ItemReport, atime: Int64?) {
        if !options.amServer || options.isLocal {
            return session.reporter.event(.listEntry(item, atime: atime))
        }
        session.reporter.info(
            ListLine.line(
                item, atime: item.isDirectory ? nil : atime, showsAtime: options.atimes > 0, showsTarget: options.links,
                level: options.humanReadable))
    }

    /// How an item that `--ignore-existing` leaves alone compares with the list's.
    private func howItExists(_ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ status: FileStatus) -> String {
        let type = list.mode(entry) & FileType.mask
        if status.type != type { return " (type change)" }
        switch type {
        case FileType.regular:
            if !isUnchanged(list, entry, parent, status) {
                return options.checksum && entry.length == status.length ? " (sum change)" : " (file change)"
            }
        case FileType.symlink:
            var code: Int32 = 0
            let target = FileSystem.readLink(parent, destination.name(list, entry, name), code: &code) ?? []
            if !target.elementsEqual(list.linkTarget(entry)) { return " (file change)" }
        case FileType.characterDevice, FileType.blockDevice:
            let extra = list.extra(entry)?.pointee ?? FileExtra()
            if status.deviceMajor != extra.deviceMajor || status.deviceMinor != extra.deviceMinor {
                return " (file change)"
            }
        default: break
        }
        let differs = differences(list, entry, exists: true, status: status, base: []).isSignificant
        return differs ? " (attr change)" : " (uptodate)"
    }

    private func isHandledNode(_ type: UInt32) -> Bool {
        if options.dropDevices { return false }
        if type == FileType.fifo || type == FileType.socket { return options.specials }
        return options.devices && destination.actsLikeRoot
    }

    private func handleAgain(
        _ ndx: Int32, _ list: FileSegment, _ entry: UnsafeMutablePointer<FileEntry>, _ directoryIndex: Int32
    ) throws(TransferFailure) {
        if cache.descriptor(entry.pointee.directory) >= 0 {
            try handle(ndx, list, entry, directoryIndex: directoryIndex)
        }
    }

    /// Makes missing parents with default modes (`--relative --no-implied-dirs`).
    private func makeParents(_ directory: Int32) {
        var path = Bytes()
        for component in Bytes(destination.paths.path(directory)).fields(separatedBy: { $0 == UInt8(ascii: "/") }) {
            path = path.appendingComponent(component)
            let (parent, last) = path.splitLastComponent
            let descriptor = parent.withCString { ConfinedPath.openDirectory(destination.root, $0) }
            if descriptor < 0 { return }
            _ = last.withCString { FileSystem.makeDirectory(descriptor, $0, mode: 0o777) }
            _ = FileSystem.close(descriptor)
        }
    }

    static func isBelow(_ path: Bytes, _ parent: Bytes) -> Bool {
        path.count > parent.count && path[parent.count] == UInt8(ascii: "/") && path.hasPrefix(parent)
    }

    /// The directory's contents are not to be touched.
    func skip(_ list: FileSegment, _ entry: UnsafeMutablePointer<FileEntry>, silently: Bool = false) {
        entry.pointee.flags.insert(.missingDirectory)
        skippedPath = list.path(entry.pointee)
        if session.incremental { skippedPath = nil }
        if !silently && !options.dryRun {
            session.reporter.errorTransfer(Bytes("*** Skipping any contents from this failed directory ***"))
        }
    }

    // MARK: - Itemizing

    /// Flags of what differs between an entry and what stands at the destination.
    func differences(
        _ list: FileSegment, _ entry: FileEntry, exists: Bool, status before: FileStatus, base: ItemFlags,
        xname: Bytes? = nil
    ) -> ItemFlags {
        var flags = base
        let status = reportedStatus(list, entry, before, base)
        let compared = addMetadataDifferences(&flags, list, entry, exists: exists, status: status)
        guard exists else {
            flags.insert(.isNew)
            return flags
        }
        let attributes = list.attributes(entry)
        let type = attributes.mode & FileType.mask
        let keepsTime =
            options.times && !(type == FileType.directory && options.omitDirTimes)
            && !(type == FileType.symlink && options.omitLinkTimes)
        if type == FileType.regular && entry.length != status.length { flags.insert(.reportSize) }
        if keepsTime {
            if !destination.sameTime(entry.mtime, entry.nanoseconds, status.mtime, status.mtimeNanoseconds) {
                flags.insert(.reportTime)
            }
        } else if !flags.intersection([.transfer, .localChange]).isEmpty && !flags.contains(.matched)
            && (xname == nil || xname?.isEmpty == false)
        {
            flags.insert(.reportTime)
        }
        if options.atimes > 0 && type != FileType.directory && type != FileType.symlink,
            let extra = list.extra(entry), extra.pointee.atime != status.atime
        {
            flags.insert(.reportAtime)
        }
        if type != FileType.symlink {
            if options.perms {
                if (attributes.mode ^ status.mode) & compared != 0 { flags.insert(.reportPermissions) }
            } else if options.executability && type == FileType.regular
                && (attributes.mode & 0o111 != 0) != (status.mode & 0o111 != 0)
            {
                flags.insert(.reportPermissions)
            }
        }
        if options.owner && destination.actsLikeRoot && attributes.uid != status.uid { flags.insert(.reportOwner) }
        if options.group && !attributes.skipGroup && attributes.gid != status.gid { flags.insert(.reportGroup) }
        return flags
    }

    /// Sends an itemize-only record if anybody wants it.
    func report(_ ndx: Int32, _ flags: ItemFlags, xname: Bytes? = nil) throws(TransferFailure) {
        if session.protocolVersion < 29 {
            return reportHere(ndx, xname == nil ? flags : flags.union(.xnameFollows), xname ?? [])
        }
        var record = ItemRecord(flags: flags)
        if let xname {
            record.flags.insert(.xnameFollows)
            record.xname = xname
        }
        // What has become a link is named with what it is a link of.
        if options.info[.name] >= 2 && record.xname.isEmpty && sayUpToDate(ndx, record.flags) { return }
        if flags.isSignificant || options.info[.name] >= 2 || options.itemize > 1 || xname?.isEmpty == false {
            record.flags.remove([.missingData, .deleted, .matched])
            try record.write(ndx, to: writer)
            try requestXattrs(record, ndx)
        }
    }

    /// Names an item without new content where the format does not tell what about it has changed; true if the sender
    /// need not hear of it.
    private func sayUpToDate(_ ndx: Int32, _ flags: ItemFlags) -> Bool {
        guard options.itemize == 0, let (list, entry) = lists.entry(ndx) else { return false }
        let isDirectory = list.isDirectory(entry.pointee)
        if flags.contains(.localChange) {
            // Taken over from another directory as it is.
            if flags.isSignificant || flags.isDisjoint(with: [.xnameFollows, .matched]) { return false }
        } else if isDirectory || flags.contains(.transfer) {
            return false
        }
        sayKept(list, entry.pointee, flags)
        // Compatibility: only a file that was copied whole is reported although nothing about it is new.
        let isFile = list.mode(entry.pointee) & FileType.mask == FileType.regular
        return flags.contains(.localChange) && (!isFile || flags.contains(.xnameFollows))
    }

    /// Names an item whose content stays as it is.
    private func sayKept(_ list: FileSegment, _ entry: FileEntry, _ flags: ItemFlags) {
        var line = destination.ownPath(list, entry)
        if list.isDirectory(entry) { line.append(UInt8(ascii: "/")) }
        if !flags.isSignificant { line += Bytes(" is uptodate") }
        session.reporter.message(.notice, line)
    }

    /// Records of older protocols carry no flags: the receiving side itself tells what it did.
    private func reportHere(_ ndx: Int32, _ flags: ItemFlags, _ xname: Bytes) {
        guard let (list, entry) = lists.entry(ndx) else { return }
        guard flags.isSignificant || options.info[.name] >= 2 || options.itemize > 1 || !xname.isEmpty else { return }
        let isDirectory = list.isDirectory(entry.pointee)
        let keepsContent = xname.isEmpty && flags.isDisjoint(with: [.localChange, .transfer])
        if keepsContent && !isDirectory && options.info[.name] >= 2 && (options.amServer || options.itemize == 0) {
            sayKept(list, entry.pointee, flags)
        }
        let item = list.report(
            entry.pointee, flags: flags.subtracting([.missingData, .deleted, .matched]), xname: xname, sending: false,
            protocolVersion: session.protocolVersion)
        let isNamed = isNamed(item, list, entry.pointee)
        if options.logsItems && (options.amDaemon || !options.amServer && (isNamed || options.itemize > 0)) {
            session.reporter.event(.item(item, before: false))
        }
        let isSilent = keepsContent && (!isDirectory || !flags.isSignificant)
        guard options.amServer, !isSilent, isNamed, options.info[.name] >= 1 else { return }
        var line = item.name
        if item.isDirectory { line.append(UInt8(ascii: "/")) }
        if !xname.isEmpty {
            line += Bytes(" => ") + xname
        } else if !item.linkTarget.isEmpty {
            line += Bytes(" -> ") + item.linkTarget
        }
        session.reporter.info(line)
    }

    /// Whether a verbose receiving side of an old protocol names what it did: items that it made, directories that it
    /// changed.
    private func isNamed(_ item: ItemReport, _ list: FileSegment, _ entry: FileEntry) -> Bool {
        guard item.isDirectory else { return true }
        // Attributes that a directory has when it is made need no change; its time is that of this second.
        guard item.flags.contains(.isNew), !options.dryRun else { return true }
        let wanted = list.attributes(entry)
        return options.times && !options.omitDirTimes && entry.mtime != Int64(time(nil))
            || options.perms && wanted.mode & (FileSystem.creationMask | 0o7000) != 0
            || options.owner && destination.actsLikeRoot && wanted.uid != geteuid()
            || options.group && !wanted.skipGroup && wanted.gid != getegid()
    }

    // MARK: - Directories

    private func handleDirectory(
        _ ndx: Int32, _ list: FileSegment, _ entry: UnsafeMutablePointer<FileEntry>, _ parent: Int32, _ wasThere: Bool,
        _ before: FileStatus, _ directoryIndex: Int32
    ) throws(TransferFailure) {
        var exists = wasThere
        var status = before
        // Parents that are not to be copied are made with default modes when something needs them.
        if !exists && entry.pointee.flags.contains(.impliedDirectory) && !options.impliedDirs { return }
        if exists && !status.isDirectory {
            if !makeRoom(list, entry.pointee, parent, status, "directory") { return skip(list, entry) }
            exists = false
        }
        let implied = entry.pointee.flags.contains(.impliedDirectory) && !options.impliedDirs
        var match: AlternateBases.Match?
        if !(implied && exists) {
            match = exists ? nil : alternateItem(list, entry.pointee) { _, _ in true }
            alternateDirectory = match?.directory
            defer { alternateDirectory = nil }
            try report(
                ndx,
                differences(
                    list, entry.pointee, exists: exists || match != nil, status: match?.status ?? status,
                    base: exists ? [] : match?.level == .same ? [.localChange, .matched] : .localChange))
        }
        if options.dryRun {
            if exists { return try deleteDuring(list, entry.pointee) }
            let id = list.path(entry.pointee).withUnsafeBytes { list.paths.find($0, root: 0) }
            if let id { assumedMissing.insert(id) }
            return
        }
        let cName = destination.name(list, entry.pointee, name)
        if !exists {
            let code =
                parent < 0
                ? -parent
                : FileSystem.makeDirectory(
                    parent, cName, mode: list.mode(entry.pointee) & 0o7777 | (options.fakeSuper ? 0o700 : 0))
            if code != 0 && code != EEXIST {
                session.reporter.systemError(
                    .generator,
                    Bytes("recv_generator: mkdir ") + destination.display(list, entry.pointee) + Bytes(" failed"), code)
                return skip(list, entry)
            }
            if code == 0 && directoryIndex >= 0 { lastMade = directoryIndex }
            _ = FileSystem.status(parent, cName, follow: false, &status)
            // What does not differ there is not asked for.
            if let match, options.xattrs > 0 {
                destination.generatorMetadata.copyAttributes(
                    from: AttributeTarget(directory: match.directory, name: cName),
                    to: AttributeTarget(directory: parent, name: cName))
            }
        }
        if !(implied && exists) {
            var mode = destination.finalMode(
                list.mode(entry.pointee), existing: wasThere && before.isDirectory ? before : nil,
                parent: (parent, entry.pointee.directory))
            // What a new directory inherits from a set-gid parent stays.
            if !options.perms && !exists { mode |= status.mode & 0o2000 }
            destination.setAttributes(
                directory: parent, name: destination.name(list, entry.pointee, name), list: list, entry: entry.pointee,
                mode: mode, status: &status, role: .generator)
            if !destination.actsLikeRoot && status.mode & 0o700 != 0o700 {
                openedModes[list.path(entry.pointee)] = status.mode & 0o7777
                _ = FileSystem.setMode(
                    parent, destination.name(list, entry.pointee, name), status.mode & 0o7777 | 0o700)
            }
        }
        if wasThere { adoptLeftovers(list, entry.pointee) }
        try deleteDuring(list, entry.pointee)
    }

    private func deleteDuring(_ list: FileSegment, _ entry: FileEntry) throws(TransferFailure) {
        guard options.deleteMode == .during || options.deleteMode == .delay else { return }
        if entry.flags.contains(.contentDirectory) { return try deleteIn(list, entry) }
        // What is in it stays, but its rules hold for what lies deeper.
        try filters.change(to: list.path(entry), root: session.displayDirectory)
    }

    /// Sets a directory's mode and time once nothing in it changes any more.
    func touchUp(_ index: Int) {
        let entries = lists.directories.entries
        let entry = lists.directories.entry(index).pointee
        // The way to what lies deeper leads through a directory that was opened: it closes last.
        if !isFinishing && !openedModes.isEmpty && openedModes[entries.path(entry)] != nil { return }
        touchUp(entries, entry)
    }

    private func touchUp(_ list: FileSegment, _ entry: FileEntry) {
        guard !options.dryRun, !options.listOnly, destination.localName == nil, destination.root >= 0,
            entry.flags.intersection([.missingDirectory, .cleared]).isEmpty, list.isDirectory(entry),
            !(entry.flags.contains(.impliedDirectory) && !options.impliedDirs)
        else { return }
        let opened = openedModes.isEmpty ? nil : openedModes[list.path(entry)]
        // Compatibility: what was opened for us alone stays open if the owner could write there anyway.
        let staysOpen = opened.map { $0 & 0o200 != 0 } ?? false
        let restoresMode = !destination.actsLikeRoot && !staysOpen && (options.perms || opened != nil)
        let setsTime = options.times && !options.omitDirTimes
        guard restoresMode || setsTime else { return }
        let parent = cache.descriptor(entry.directory)
        guard parent >= 0 else { return }
        let cName = destination.name(list, entry, name)
        var status = FileStatus()
        guard FileSystem.status(parent, cName, follow: options.keepDirlinks, &status) == 0, status.isDirectory else {
            return
        }
        let mode = opened ?? list.mode(entry)
        if restoresMode && (status.mode ^ mode) & 0o7777 != 0 { _ = FileSystem.setMode(parent, cName, mode & 0o7777) }
        // Exact, nanoseconds too: entries made meanwhile may have moved the time within the same second.
        let differs =
            options.modifyWindow > 0
            ? !destination.sameTime(entry.mtime, entry.nanoseconds, status.mtime, status.mtimeNanoseconds)
            : status.mtime != entry.mtime
                || session.protocolVersion >= 31 && status.mtimeNanoseconds != entry.nanoseconds
        if setsTime && differs {
            // Compatibility: rsync says nothing of a failure here; the first attempt was reported.
            _ = FileSystem.setTimes(parent, cName, mtime: entry.mtime, nanoseconds: entry.nanoseconds, atime: nil)
        }
    }

    /// Late touch-up: all directories of the only list, or of all lists when deletions came last.
    func touchUpAll() {
        isFinishing = true
        if session.incremental {
            guard options.deleteMode == .delay || options.hardLinks > 0 || !openedModes.isEmpty else { return }
            for index in stride(from: lists.directories.count - 1, through: 0, by: -1) { touchUp(index) }
            return
        }
        guard let segment = lists.state.withLock({ $0.segments.first }) else { return }
        for position in stride(from: segment.count - 1, through: 0, by: -1) {
            let entry = segment.entry(position).pointee
            guard segment.isDirectory(entry) else { continue }
            if options.debug[.time] >= 2 { tellTouchUp(segment, entry, segment.ndx(position)) }
            touchUp(segment, entry)
        }
    }

}
