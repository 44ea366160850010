// Dray — symlinks, devices and specials: compared, made, replaced.
// Layer: Engine. Behaviour: chapter 04 §12, §13.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayWire
import Glibc

extension Generator {
    func handleSymlink(
        _ ndx: Int32, _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ exists: Bool, _ before: FileStatus
    ) throws(TransferFailure) {
        var status = before
        let target = Bytes(list.linkTarget(entry))
        if options.safeLinks && SymlinkSafety.isUnsafe(target: target, at: list.path(entry)) {
            if options.info[.name] >= 1 {
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
        var flags = differences(
            list, entry, exists: exists && status.isSymlink, status: status, base: [.localChange, .reportChange])
        let match =
            exists
            ? nil
            : alternateItem(list, entry) { directory, _ in
                var code: Int32 = 0
                return FileSystem.readLink(directory, destination.name(list, entry, otherName), code: &code) == target
            }
        if let match {
            switch try useAlternateItem(ndx, list, entry, parent, match) {
            case .done: return
            case .create(let found): flags = found
            }
        }
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
                Bytes("symlink ") + shownAttempt(list, entry) + Bytes(" -> \"") + target + Bytes("\" failed"), code)
            return
        }
        finishNode(list, entry, parent)
        try report(ndx, flags)
        try finishedLocally(ndx, list, entry, isSent: true)
    }

    func handleNode(
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
        // Devices of both kinds, and fifos and sockets, are new versions of each other.
        let isNewVersion =
            exists
            && (isDevice ? status.isDevice : status.type == FileType.fifo || status.type == FileType.socket)
        var old: FileStatus?
        if isNewVersion {
            old = status
            old?.mode = status.mode & 0o7777 | type
        }
        var flags = differences(
            list, entry, exists: isNewVersion, status: old ?? status, base: [.localChange, .reportChange])
        let match =
            exists
            ? nil
            : alternateItem(list, entry) { _, found in
                !isDevice || (found.deviceMajor == extra.deviceMajor && found.deviceMinor == extra.deviceMinor)
            }
        if let match {
            switch try useAlternateItem(ndx, list, entry, parent, match) {
            case .done: return
            case .create(let found): flags = found
            }
        }
        if options.dryRun {
            try report(ndx, flags)
            return try finishedLocally(ndx, list, entry)
        }
        let created = destination.finalMode(mode, existing: old, parent: (parent, entry.directory))
        let code = replaceAtomically(list, entry, parent, exists && !status.isDirectory) { directory, name in
            if options.fakeSuper { return FileSystem.makeFile(directory, name, content: []) }
            return FileSystem.makeNode(
                directory, name, mode: created, major: extra.deviceMajor, minor: extra.deviceMinor)
        }
        if code != 0 {
            session.reporter.systemError(
                .generator, Bytes("mknod ") + shownAttempt(list, entry) + Bytes(" failed"), code)
            return
        }
        finishNode(list, entry, parent, replacing: old)
        try report(ndx, flags)
        try finishedLocally(ndx, list, entry)
    }

    /// Sets attributes of a freshly made symlink or node.
    private func finishNode(
        _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, replacing old: FileStatus? = nil
    ) {
        var status = FileStatus()
        let cName = destination.name(list, entry, name)
        guard FileSystem.status(parent, cName, follow: false, &status) == 0 else { return }
        let isLink = list.mode(entry) & FileType.mask == FileType.symlink
        let mode =
            isLink
            ? list.mode(entry)
            : destination.finalMode(list.mode(entry), existing: old, parent: (parent, entry.directory))
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
            return Backup.make(
                destination, parent, destination.ownName(list, entry), destination.ownPath(list, entry),
                keepsOriginal: true, role: .generator)
                == 0
        }
        return true
    }

    /// The name that could not be made, for messages.
    private func shownAttempt(_ list: FileSegment, _ entry: FileEntry) -> Bytes {
        guard let attemptedName else { return destination.display(list, entry) }
        let directory = destination.localName == nil ? list.path(entry).splitLastComponent.directory : []
        return session.fullName(directory.appendingComponent(attemptedName))
    }

    /// Makes something under a temporary name and renames it over what is there.
    func replaceAtomically(
        _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ replaces: Bool,
        make: (Int32, UnsafePointer<CChar>) -> Int32
    ) -> Int32 {
        let base = destination.ownName(list, entry)
        attemptedName = nil
        if parent < 0 { return -parent }
        let cName = destination.name(list, entry, name)
        guard replaces else { return make(parent, cName) }
        guard let temporary = base.withUnsafeBytes({ temporaryNames.unused(parent, base: $0) }) else {
            _ = FileSystem.unlink(parent, cName)
            return make(parent, cName)
        }
        attemptedName = Bytes(temporary.dropLast().map(UInt8.init(bitPattern:)))
        return temporary.withUnsafeBufferPointer { pointer in
            var code = make(parent, pointer.baseAddress!)
            if code == 0 {
                code = FileSystem.rename(parent, pointer.baseAddress!, parent, cName)
                if code != 0 { _ = FileSystem.unlink(parent, pointer.baseAddress!) }
            }
            return code
        }
    }

    /// Lets the sender remove its file. In a local copy that may be this very one: it gets the number of the inode too.
    func announceSuccess(_ ndx: Int32) {
        guard options.isLocal, let (list, entry) = lists.entry(ndx) else {
            return writer.queueMessage(.success, value: ndx)
        }
        var status = FileStatus()
        let parent = cache.descriptor(entry.pointee.directory)
        if parent >= 0 {
            _ = FileSystem.status(parent, destination.name(list, entry.pointee, name), follow: false, &status)
        }
        var payload = Bytes()
        func append(_ value: UInt64, _ count: Int) {
            for index in 0..<count { payload.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
        }
        append(UInt64(UInt32(bitPattern: ndx)), 4)
        append(status.device, 8)
        append(status.inode, 8)
        writer.queueMessage(.success, payload)
    }

    /// Something was handled without the sender's data.
    ///
    /// - Parameter isSent: a new symlink counts as sent, which `--remove-sent-files` wants.
    func finishedLocally(
        _ ndx: Int32, _ list: FileSegment, _ entry: FileEntry, isSent: Bool = false, removesSource: Bool = true
    ) throws(TransferFailure) {
        let removes = options.removeSourceFiles == 1 || isSent && options.removeSourceFiles > 0
        if removes && removesSource && !options.dryRun { announceSuccess(ndx) }
        if options.hardLinks > 0 && entry.flags.contains(.hardLinked) { try finishHardLinks(ndx, list, entry) }
    }
}
