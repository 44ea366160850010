// Dray — deletion of what the sender does not have.
// Layer: Engine. Behaviour: chapter 04 §10.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayFilters
import DrayWire
import Glibc

extension Generator {
    /// One pass over all content directories (`--delete-before`, `--delete-after`).
    func deletePass() throws(TransferFailure) {
        guard destination.root >= 0, destination.localName == nil,
            let segment = lists.state.withLock({ $0.segments.first })
        else { return }
        for position in 0..<segment.count {
            let entry = segment.entry(position).pointee
            if entry.flags.contains(.cleared) { continue }
            guard segment.isDirectory(entry), entry.flags.contains(.contentDirectory) else {
                // Compatibility: rsync looks for rules of every entry, as if all were directories.
                try filters.change(to: segment.path(entry), root: session.displayDirectory)
                continue
            }
            if entry.flags.contains(.topDirectory) {
                session.debug(.del, line: Bytes("deleting in ") + segment.path(entry))
            }
            if isDirectory(segment, entry) { try deleteIn(segment, entry) }
        }
        try filters.changeToNothing()
    }

    /// Whether a listed directory is one here too: a symlink in its place leads to what is no part of it.
    private func isDirectory(_ list: FileSegment, _ entry: FileEntry) -> Bool {
        let parent = cache.descriptor(entry.directory)
        if parent < 0 { return !options.dryRun }
        var status = FileStatus()
        let cName = destination.name(list, entry, name)
        return FileSystem.status(parent, cName, follow: options.keepDirlinks, &status) != 0 || status.isDirectory
    }

    /// Deletes what stands in one directory but not in its list.
    func deleteIn(_ list: FileSegment, _ directory: FileEntry) throws(TransferFailure) {
        guard destination.root >= 0, destination.localName == nil else { return }
        if session.reporter.ioError.contains(.general) && !options.ignoreErrors {
            if !saidIOError {
                saidIOError = true
                session.reporter.info("IO error encountered -- skipping file deletion")
            }
            return
        }
        let isDot = list.name(directory).elementsEqual([UInt8(ascii: ".")])
        let path = isDot && list.paths.path(directory.directory).count == 0 ? Bytes() : list.path(directory)
        guard let id = path.withUnsafeBytes({ list.paths.find($0, root: 0) }) ?? (path.isEmpty ? 0 : nil),
            let members = memberList(list, directory, id)
        else {
            // No entry lies in it: everything there is extra.
            return try deleteExtras(path, id: nil, members: nil)
        }
        try deleteExtras(path, id: id, members: members)
    }

    /// The list in which the contents of a directory are named.
    func memberList(_ list: FileSegment, _ directory: FileEntry, _ id: Int32) -> FileSegment? {
        if !session.incremental { return list }
        return lists.list(of: id)
    }

    struct Extra {
        var name: Bytes
        var status: FileStatus
    }

    private func deleteExtras(_ path: Bytes, id: Int32?, members: FileSegment?) throws(TransferFailure) {
        let descriptor = path.withCString { ConfinedPath.openDirectory(destination.root, $0) }
        if descriptor < 0 {
            // A file that --ignore-existing has left in a directory's place.
            if descriptor == -ENOTDIR && options.ignoreExisting {
                session.reporter.systemError(
                    .generator, Bytes("opendir ") + destination.fullName(path) + Bytes(" failed"), ENOTDIR,
                    level: .error)
            }
            return
        }
        defer { _ = FileSystem.close(descriptor) }
        var own = FileStatus()
        _ = FileSystem.status(descriptor: descriptor, &own)
        if options.debug[.del] >= 2 {
            session.reporter.info(Bytes("delete_in_dir(") + (path.isEmpty ? Bytes(".") : path) + Bytes(")"))
        }
        try filters.change(to: path, root: session.displayDirectory)
        var extras: [Extra] = []
        var scanned: [Extra] = []
        let version = session.protocolVersion
        let code = DirectoryScan(bufferBytes: 32 * 1024).forEach(descriptor) { name, _ in
            if options.debug[.flist] >= 2, let item = tellScanned(path, name, descriptor) { scanned.append(item) }
            let isListed =
                id.flatMap { members?.find(directory: $0, name: name, protocolVersion: version) } != nil
            // Compatibility: a mount point is mentioned even if it is in the list.
            if isListed && options.oneFileSystem == 0 { return }
            var status = FileStatus()
            let cName = name.baseAddress!.assumingMemoryBound(to: CChar.self)
            guard FileSystem.status(descriptor, cName, follow: false, &status) == 0 else { return }
            if isListed && !(status.isDirectory && status.device != own.device) { return }
            let full = path.appendingComponent(Bytes(name))
            if filters.isActive && filters.excludes(full, isDirectory: status.isDirectory) { return }
            if options.oneFileSystem > 0 && status.isDirectory && status.device != own.device {
                if options.info[.mount] >= 1 { session.reporter.info(Bytes("cannot delete mount point: ") + full) }
                return
            }
            extras.append(Extra(name: Bytes(name), status: status))
        }
        if code != 0 {
            session.reporter.noteIOError(.general)
            session.reporter.systemError(.generator, Bytes("readdir(") + destination.fullName(path) + Bytes(")"), code)
            return
        }
        if options.debug[.flist] >= 3 {
            sortBackwards(&scanned)
            tellScannedList(path, scanned)
        }
        // The sorted list backwards: sub-directories first, last name first.
        sortBackwards(&extras)
        for extra in extras {
            let full = path.appendingComponent(extra.name)
            if options.deleteMode == .delay {
                delayedDeletions.append((full, extra.status.mode))
            } else {
                _ = try deleteItem(descriptor, extra.name, full, extra.status, device: own.device)
            }
        }
    }

    private func sortBackwards(_ extras: inout [Extra]) {
        // Protocols below 29 sort by name alone.
        if session.protocolVersion < 29 { return extras.sort { $1.name.lexicographicallyPrecedes($0.name) } }
        extras.sort { a, b in
            a.status.isDirectory != b.status.isDirectory ? a.status.isDirectory : Self.follows(a, b)
        }
    }

    private static func follows(_ a: Extra, _ b: Extra) -> Bool {
        a.name.withUnsafeBytes { x in
            b.name.withUnsafeBytes { y in
                let empty = UnsafeRawBufferPointer(start: nil, count: 0)
                return FileOrder.comparePaths(
                    PathPieces(directory: empty, name: x), a.status.isDirectory, PathPieces(directory: empty, name: y),
                    b.status.isDirectory) > 0
            }
        }
    }

    /// `--delete-delay`: removes what was noted, after all updates.
    func performDelayedDeletions() throws(TransferFailure) {
        for (path, _) in delayedDeletions {
            let (parentPath, last) = path.splitLastComponent
            let parent = parentPath.withCString { ConfinedPath.openDirectory(destination.root, $0) }
            if parent < 0 { continue }
            defer { _ = FileSystem.close(parent) }
            var status = FileStatus()
            if last.withCString({ FileSystem.status(parent, $0, follow: false, &status) }) != 0 { continue }
            _ = try deleteItem(parent, last, path, status, device: status.device)
        }
        delayedDeletions.removeAll()
    }

    /// Removes one item with everything in it.
    ///
    /// - Parameters:
    ///   - isMakingRoom: the item itself is replaced, which is no deletion to report.
    ///   - isLimited: `--max-delete` counts.
    /// - Returns: whether it is gone.
    @discardableResult
    func deleteItem(
        _ parent: Int32, _ itemName: Bytes, _ path: Bytes, _ status: FileStatus, device: UInt64,
        isMakingRoom: Bool = false, isLimited: Bool = true, isNested: Bool = false
    ) throws(TransferFailure) -> Bool {
        if options.debug[.del] >= 2 { tellDeletion(path, status, isMakingRoom, isNested) }
        // What its owner may not write in cannot be emptied.
        if !destination.actsLikeRoot && !options.dryRun && !status.isSymlink && status.mode & 0o200 == 0
            && status.uid == geteuid()
        {
            _ = itemName.withCString { FileSystem.setMode(parent, $0, status.mode & 0o7777 | 0o200) }
        }
        var stays = false
        if status.isDirectory {
            stays = !(try emptyDirectory(parent, itemName, path, device: device, isMakingRoom: isMakingRoom))
            if stays {
                session.reporter.info(Bytes("cannot delete non-empty directory: ") + path)
                // Compatibility: of a directory inside, rsync tries to remove it all the same (and says so again; a dry
                // run takes it for gone), unless no more may go: then it counts as skipped, for itself and for its parent.
                let isLimitReached = isLimited && options.maxDelete.map { deletionCount >= max(0, $0) } ?? false
                if isNested && isLimitReached { deletionsSkipped += 1 }
                if !isNested || isLimitReached { return false }
            }
        }
        if isLimited, let limit = options.maxDelete, deletionCount >= max(0, limit) {
            deletionsSkipped += 1
            return false
        }
        var code: Int32 = 0
        var verb = "unlink"
        if !options.dryRun {
            let isOwnBackup = options.backupDirectory == nil && itemName.hasSuffix(options.backupSuffix)
            if status.isDirectory {
                verb = "rmdir"
                code = itemName.withCString { FileSystem.unlink(parent, $0, isDirectory: true) }
                if code == ENOTEMPTY || code == EEXIST {
                    session.reporter.info(Bytes("cannot delete non-empty directory: ") + path)
                    return false
                }
            } else if options.backup && !isOwnBackup {
                verb = "make_backup"
                code = Backup.make(destination, parent, itemName, path, keepsOriginal: false, role: .generator)
            } else {
                code = itemName.withCString { FileSystem.unlink(parent, $0) }
            }
        }
        if code != 0 && code != ENOENT {
            session.reporter.systemError(
                .generator, Bytes(text: "delete_file: \(verb)(") + path + Bytes(") failed"), code)
            return false
        }
        // What makes room is replaced rather than deleted; what was in it is deleted.
        if code == 0 && !isMakingRoom {
            if isLimited { deletionCount += 1 }
            deletedKinds.count(mode: status.mode)
            announceDeletion(path, status.mode)
        }
        return !(stays && options.dryRun)
    }

    /// Says what is about to go; the flags are those of rsync for the same purposes.
    private func tellDeletion(_ path: Bytes, _ status: FileStatus, _ isMakingRoom: Bool, _ isNested: Bool) {
        let recursive = options.deletes || options.force ? 2 : 0
        let purpose = isNested ? 4 : isMakingRoom ? (status.isDirectory ? 8 : 16) + recursive : 2
        let mode = String(status.mode & 0o177777, radix: 8)
        session.reporter.info(Bytes("delete_item(") + path + Bytes(text: ") mode=\(mode) flags=\(purpose)"))
        if status.isDirectory && options.debug[.del] >= 3 {
            let inside = isNested ? 6 : purpose
            session.reporter.info(Bytes("delete_dir_contents(") + path + Bytes(text: ") flags=\(inside)"))
        }
    }

    private func announceDeletion(_ path: Bytes, _ mode: UInt32) {
        let isDirectory = mode & FileType.mask == FileType.directory
        if options.amServer && session.protocolVersion < 29 && !options.isLocal {
            announceInWords(path)
        } else if options.amServer {
            let shown = session.reporter.wireText(path)
            if shown.count < Limits.lineBuffer - 1 { writer.queueMessage(.deleted, isDirectory ? shown + [0] : shown) }
            if options.amDaemon || options.logsItems { session.reporter.event(.deleted(name: path, mode: mode)) }
        } else {
            session.reporter.event(.deleted(name: path, mode: mode))
        }
    }

    /// Older clients know no message for deletions: they get the line that the format they asked for makes of one.
    private func announceInWords(_ path: Bytes) {
        let format = options.outputFormat.map { String(decoding: $0, as: UTF8.self) } ?? ""
        if let place = format.firstRange(of: "%i") {
            // Compatibility: nothing else of the format is filled in.
            session.reporter.info(
                Bytes(text: format[..<place.lowerBound] + "*deleting  " + format[place.upperBound...]))
        } else if format.contains("%o") {
            session.reporter.info(Bytes("del."))
        } else if options.info[.del] >= 1 {
            session.reporter.info(Bytes("deleting ") + path)
        }
    }

    /// Deletes a directory's contents; false if something had to stay.
    private func emptyDirectory(
        _ parent: Int32, _ itemName: Bytes, _ path: Bytes, device: UInt64, isMakingRoom: Bool
    ) throws(TransferFailure) -> Bool {
        let descriptor = itemName.withCString { FileSystem.open(parent, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) }
        if descriptor < 0 {
            if descriptor != -ENOENT {
                session.reporter.noteIOError(.general)
                session.reporter.systemError(
                    .generator, Bytes("opendir ") + destination.fullName(path) + Bytes(" failed"), -descriptor)
            }
            return true
        }
        defer { _ = FileSystem.close(descriptor) }
        var code: Int32 = 0
        let names = DirectoryScan(bufferBytes: 32 * 1024).names(descriptor, code: &code)
        var isEmpty = true
        var extras: [Extra] = []
        // Rules that are not inherited do not hold in here, and the directory may have its own.
        try filters.enter(directory: path, root: session.displayDirectory)
        defer { filters.leave() }
        filters.ignoresPerishable = true
        for item in names {
            var status = FileStatus()
            if item.withCString({ FileSystem.status(descriptor, $0, follow: false, &status) }) != 0 { continue }
            let full = path.appendingComponent(item)
            if filters.isActive && filters.excludes(full, isDirectory: status.isDirectory) {
                isEmpty = false
                continue
            }
            // Compatibility: only the parent that stays is mentioned; without -x nothing stops at a mount point.
            if options.oneFileSystem > 0 && status.isDirectory && status.device != device {
                isEmpty = false
                continue
            }
            session.debug(.flist, 2, line: Bytes("[generator] make_file(") + full + Bytes(",*,2)"))
            extras.append(Extra(name: item, status: status))
        }
        filters.ignoresPerishable = false
        if isMakingRoom && !extras.isEmpty && !(options.deletes || options.force) { return false }
        sortBackwards(&extras)
        for extra in extras {
            if !(try deleteItem(
                descriptor, extra.name, path.appendingComponent(extra.name), extra.status, device: device,
                isNested: true))
            {
                isEmpty = false
            }
            try breathe()
        }
        return isEmpty
    }

    /// Deletes an item of another kind so that an entry can take its place.
    func makeRoom(
        _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ status: FileStatus, _ what: StaticString
    ) -> Bool {
        let itemName = destination.ownName(list, entry)
        do throws(TransferFailure) {
            if try deleteItem(
                parent, itemName, list.path(entry), status, device: status.device, isMakingRoom: true, isLimited: false)
            {
                if status.isDirectory || status.isSymlink { cache.removeAll(keeping: entry.directory) }
                return true
            }
        } catch {
            return false
        }
        session.reporter.errorTransfer(
            Bytes("could not make way for new ") + Bytes(what) + Bytes(": ") + list.path(entry))
        return false
    }

    private func hasContents(_ parent: Int32, _ name: Bytes) -> Bool {
        let descriptor = name.withCString { FileSystem.open(parent, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) }
        if descriptor < 0 { return false }
        defer { _ = FileSystem.close(descriptor) }
        var code: Int32 = 0
        return !DirectoryScan(bufferBytes: 32 * 1024).names(descriptor, code: &code).isEmpty
    }

    /// `--delete-missing-args`
    func deleteMissingArgument(
        _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ status: FileStatus
    ) throws(TransferFailure) {
        // A single missing source may be named like nothing here: what the destination names goes.
        let name = destination.ownName(list, entry)
        let path = destination.localName ?? list.path(entry)
        if filters.excludes(path, isDirectory: status.isDirectory) { return }
        // A directory with something in it goes only where deletions are wanted anyway.
        if status.isDirectory && !options.deletes && !options.force && hasContents(parent, name) {
            return session.reporter.info(Bytes("cannot delete non-empty directory: ") + path)
        }
        _ = try deleteItem(parent, name, path, status, device: status.device)
    }
}
