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
            var item = list.report(entry.pointee, flags: [], xname: [], sending: false)
            item.name = list.path(entry.pointee)
            session.reporter.event(
                .listEntry(item, atime: options.atimes > 0 ? list.extra(entry.pointee)?.pointee.atime : nil))
            return
        }
        if let skippedPath {
            if Self.isBelow(list.path(entry.pointee), skippedPath) {
                if type == FileType.directory { entry.pointee.flags.insert(.missingDirectory) }
                return
            }
            self.skippedPath = nil
        }
        if let daemon = session.daemonFilters,
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
        let parent = destination.root < 0 ? -ENOENT : cache.descriptor(entry.pointee.directory)
        var code = parent < 0 ? -parent : 0
        if code == ENOENT && options.relative && !options.impliedDirs && !options.dryRun && destination.root >= 0 {
            makeParents(entry.pointee.directory)
            return try handleAgain(ndx, list, entry, directoryIndex)
        }
        let cName = destination.name(list, entry.pointee, name)
        if parent >= 0 {
            code = try destination.status(parent, cName, &status, role: .generator)
            if code == 0 && status.isSymlink && type == FileType.directory && options.keepDirlinks {
                var followed = FileStatus()
                if FileSystem.status(parent, cName, follow: true, &followed) == 0 && followed.isDirectory {
                    status = followed
                }
            }
        }
        if code != 0 && code != ENOENT {
            session.reporter.systemError(
                .generator, Bytes("recv_generator: failed to stat ") + destination.display(list, entry.pointee), code)
            if type == FileType.directory { skip(list, entry) }
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
                    Bytes(text: "not creating new \(kind) \"") + list.path(entry.pointee) + Bytes("\""))
            }
            if type == FileType.directory { skip(list, entry, silently: true) }
            return
        }
        if options.ignoreExisting && exists && !(status.isDirectory && type == FileType.directory) && !isRootDot {
            if options.info[.skip] >= 1 { session.reporter.info(list.path(entry.pointee) + Bytes(" exists")) }
            return
        }
        if type == FileType.directory {
            if directoryIndex >= 0 && createdEarly.contains(directoryIndex) || isRootDot && destination.wasCreated {
                exists = false
            }
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

    private func isHandledNode(_ type: UInt32) -> Bool {
        if options.dropDevices { return false }
        if type == FileType.fifo || type == FileType.socket { return options.specials }
        return options.devices && options.actsLikeRoot
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
        if options.owner && options.actsLikeRoot && attributes.uid != status.uid { flags.insert(.reportOwner) }
        if options.group && !attributes.skipGroup && attributes.gid != status.gid { flags.insert(.reportGroup) }
        return flags
    }

    /// Sends an itemize-only record if anybody wants it.
    func report(_ ndx: Int32, _ flags: ItemFlags, xname: Bytes? = nil) throws(TransferFailure) {
        guard session.protocolVersion >= 29 else { return }
        var record = ItemRecord(flags: flags)
        if let xname {
            record.flags.insert(.xnameFollows)
            record.xname = xname
        }
        if flags.isSignificant || options.info[.name] >= 2 || options.itemize > 1 || xname?.isEmpty == false {
            record.flags.remove([.missingData, .deleted, .matched])
            try record.write(ndx, to: writer)
            try requestXattrs(record, ndx)
        }
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
        if !(implied && exists) {
            try report(
                ndx, differences(list, entry.pointee, exists: exists, status: status, base: exists ? [] : .localChange))
        }
        if options.dryRun {
            if exists { try deleteDuring(list, entry.pointee) }
            return
        }
        let cName = destination.name(list, entry.pointee, name)
        if !exists {
            let code = FileSystem.makeDirectory(
                parent, cName, mode: list.mode(entry.pointee) & 0o7777 | (options.fakeSuper ? 0o700 : 0))
            if code != 0 && code != EEXIST {
                session.reporter.systemError(
                    .generator,
                    Bytes("recv_generator: mkdir ") + destination.display(list, entry.pointee) + Bytes(" failed"), code)
                return skip(list, entry)
            }
            _ = FileSystem.status(parent, cName, follow: false, &status)
        }
        if !(implied && exists) {
            let mode = destination.finalMode(
                list.mode(entry.pointee), existing: wasThere && before.isDirectory ? before : nil,
                parent: (parent, entry.pointee.directory))
            destination.setAttributes(
                directory: parent, name: destination.name(list, entry.pointee, name), list: list, entry: entry.pointee,
                mode: mode, status: &status, role: .generator)
            if !options.actsLikeRoot && status.mode & 0o700 != 0o700 {
                _ = FileSystem.setMode(
                    parent, destination.name(list, entry.pointee, name), status.mode & 0o7777 | 0o700)
            }
        }
        if wasThere { adoptLeftovers(list, entry.pointee) }
        try deleteDuring(list, entry.pointee)
    }

    private func deleteDuring(_ list: FileSegment, _ entry: FileEntry) throws(TransferFailure) {
        guard options.deleteMode == .during || options.deleteMode == .delay, entry.flags.contains(.contentDirectory)
        else { return }
        try deleteIn(list, entry)
    }

    /// Sets a directory's mode and time once nothing in it changes any more.
    func touchUp(_ index: Int) {
        let entries = lists.directories.entries
        touchUp(entries, lists.directories.entry(index).pointee)
    }

    private func touchUp(_ list: FileSegment, _ entry: FileEntry) {
        guard !options.dryRun, !options.listOnly, destination.localName == nil, destination.root >= 0,
            entry.flags.intersection([.missingDirectory, .cleared]).isEmpty, list.isDirectory(entry),
            !(entry.flags.contains(.impliedDirectory) && !options.impliedDirs)
        else { return }
        let restoresMode = !options.actsLikeRoot && options.perms
        let setsTime = options.times && !options.omitDirTimes
        guard restoresMode || setsTime else { return }
        let parent = cache.descriptor(entry.directory)
        guard parent >= 0 else { return }
        let cName = destination.name(list, entry, name)
        var status = FileStatus()
        guard FileSystem.status(parent, cName, follow: options.keepDirlinks, &status) == 0, status.isDirectory else {
            return
        }
        let mode = list.mode(entry)
        if restoresMode && (status.mode ^ mode) & 0o7777 != 0 { _ = FileSystem.setMode(parent, cName, mode & 0o7777) }
        // Exact, nanoseconds too: entries made meanwhile may have moved the time within the same second.
        let differs =
            options.modifyWindow > 0
            ? !destination.sameTime(entry.mtime, entry.nanoseconds, status.mtime, status.mtimeNanoseconds)
            : status.mtime != entry.mtime
                || session.protocolVersion >= 31 && status.mtimeNanoseconds != entry.nanoseconds
        if setsTime && differs {
            let code = FileSystem.setTimes(
                parent, cName, mtime: entry.mtime, nanoseconds: entry.nanoseconds, atime: nil)
            if code != 0 {
                session.reporter.systemError(
                    .generator, Bytes("failed to set times on ") + destination.display(list, entry), code)
            }
        }
    }

    /// Late touch-up: all directories of the only list, or of all lists when deletions came last.
    func touchUpAll() {
        if session.incremental {
            guard options.deleteMode == .delay || options.hardLinks > 0 else { return }
            for index in stride(from: lists.directories.count - 1, through: 0, by: -1) { touchUp(index) }
            return
        }
        guard let segment = lists.state.withLock({ $0.segments.first }) ?? lastSegment else { return }
        for position in stride(from: segment.count - 1, through: 0, by: -1) {
            let entry = segment.entry(position).pointee
            if segment.isDirectory(entry) { touchUp(segment, entry) }
        }
    }

    private var lastSegment: FileSegment? { nil }

    // MARK: - Symlinks, devices, specials

    private func handleSymlink(
        _ ndx: Int32, _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ exists: Bool, _ before: FileStatus
    ) throws(TransferFailure) {
        var status = before
        let target = Bytes(list.linkTarget(entry))
        if options.safeLinks && SymlinkSafety.isUnsafe(target: target, at: list.path(entry)) {
            if options.info[.symsafe] >= 1 || options.info[.name] >= 1 {
                session.reporter.info(
                    Bytes("ignoring unsafe symlink \"") + list.path(entry) + Bytes("\" -> \"") + target + Bytes("\""))
            }
            return
        }
        let cName = destination.name(list, entry, name)
        if exists && status.isSymlink {
            var code: Int32 = 0
            if FileSystem.readLink(
                parent, cName, storedIn: options.fakeSuper, onlyStored: options.fakeSuper, code: &code) == target
            {
                try report(ndx, differences(list, entry, exists: true, status: status, base: []))
                if !options.dryRun {
                    destination.setAttributes(
                        directory: parent, name: cName, list: list, entry: entry, mode: list.mode(entry),
                        status: &status,
                        role: .generator)
                }
                try finishedLocally(ndx, list, entry)
                return
            }
        }
        if exists && !clearWay(list, entry, parent, status, "symlink") { return }
        let flags = differences(
            list, entry, exists: exists && status.isSymlink, status: status, base: [.localChange, .reportChange])
        if options.dryRun {
            try report(ndx, flags)
            return try finishedLocally(ndx, list, entry)
        }
        let code = replaceAtomically(list, entry, parent, exists && !status.isDirectory) { directory, name in
            if options.fakeSuper { return FileSystem.makeFile(directory, name, content: target) }
            return target.withCString { FileSystem.makeSymlink($0, directory, name) }
        }
        if code != 0 {
            session.reporter.systemError(
                .generator,
                Bytes("symlink ") + destination.display(list, entry) + Bytes(" -> \"") + target + Bytes("\" failed"),
                code)
            return
        }
        finishNode(list, entry, parent)
        try report(ndx, flags)
        try finishedLocally(ndx, list, entry)
    }

    private func handleNode(
        _ ndx: Int32, _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ exists: Bool, _ before: FileStatus
    ) throws(TransferFailure) {
        var status = before
        let mode = list.mode(entry)
        let type = mode & FileType.mask
        let extra = list.extra(entry)?.pointee ?? FileExtra()
        let isDevice = type == FileType.characterDevice || type == FileType.blockDevice
        let same =
            exists && status.type == type
            && (!isDevice || (status.deviceMajor == extra.deviceMajor && status.deviceMinor == extra.deviceMinor))
        let cName = destination.name(list, entry, name)
        if same {
            try report(ndx, differences(list, entry, exists: true, status: status, base: []))
            if !options.dryRun {
                destination.setAttributes(
                    directory: parent, name: cName, list: list, entry: entry,
                    mode: destination.finalMode(mode, existing: status), status: &status, role: .generator)
            }
            try finishedLocally(ndx, list, entry)
            return
        }
        if exists && !clearWay(list, entry, parent, status, isDevice ? "device file" : "special file") { return }
        let flags = differences(
            list, entry, exists: exists && status.type == type, status: status, base: [.localChange, .reportChange])
        if options.dryRun {
            try report(ndx, flags)
            return try finishedLocally(ndx, list, entry)
        }
        let created = destination.finalMode(mode, existing: nil, parent: (parent, entry.directory))
        let code = replaceAtomically(list, entry, parent, exists && !status.isDirectory) { directory, name in
            if options.fakeSuper { return FileSystem.makeFile(directory, name, content: []) }
            return FileSystem.makeNode(
                directory, name, mode: created, major: extra.deviceMajor, minor: extra.deviceMinor)
        }
        if code != 0 {
            session.reporter.systemError(
                .generator, Bytes("mknod ") + destination.display(list, entry) + Bytes(" failed"), code)
            return
        }
        finishNode(list, entry, parent)
        try report(ndx, flags)
        try finishedLocally(ndx, list, entry)
    }

    /// Sets attributes of a freshly made symlink or node.
    private func finishNode(_ list: FileSegment, _ entry: FileEntry, _ parent: Int32) {
        var status = FileStatus()
        let cName = destination.name(list, entry, name)
        guard FileSystem.status(parent, cName, follow: false, &status) == 0 else { return }
        let isLink = list.mode(entry) & FileType.mask == FileType.symlink
        let mode =
            isLink
            ? list.mode(entry)
            : destination.finalMode(list.mode(entry), existing: nil, parent: (parent, entry.directory))
        destination.setAttributes(
            directory: parent, name: cName, list: list, entry: entry, mode: mode, status: &status, choice: .exactTime,
            role: .generator)
    }

    /// An existing item of another kind: a directory must go first, anything else is replaced by the rename.
    private func clearWay(
        _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ status: FileStatus, _ what: StaticString
    ) -> Bool {
        if status.isDirectory { return makeRoom(list, entry, parent, status, what) }
        if options.backup && !options.dryRun {
            return Backup.make(destination, parent, Bytes(list.name(entry)), list.path(entry), keepsOriginal: true)
        }
        return true
    }

    /// Makes something under a temporary name and renames it over what is there.
    func replaceAtomically(
        _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ replaces: Bool,
        make: (Int32, UnsafePointer<CChar>) -> Int32
    ) -> Int32 {
        let base = destination.localName ?? Bytes(list.name(entry))
        let cName = destination.name(list, entry, name)
        guard replaces else { return make(parent, cName) }
        guard let temporary = base.withUnsafeBytes({ temporaryNames.unused(parent, base: $0) }) else {
            _ = FileSystem.unlink(parent, cName)
            return make(parent, cName)
        }
        return temporary.withUnsafeBufferPointer { pointer in
            var code = make(parent, pointer.baseAddress!)
            if code == 0 {
                code = FileSystem.rename(parent, pointer.baseAddress!, parent, cName)
                if code != 0 { _ = FileSystem.unlink(parent, pointer.baseAddress!) }
            }
            return code
        }
    }

    /// Something was handled without the sender's data.
    func finishedLocally(_ ndx: Int32, _ list: FileSegment, _ entry: FileEntry) throws(TransferFailure) {
        if options.removeSourceFiles == 1 && !options.dryRun { writer.queueMessage(.success, value: ndx) }
        if options.hardLinks > 0 && entry.flags.contains(.hardLinked) { try finishHardLinks(ndx, list, entry) }
    }
}
