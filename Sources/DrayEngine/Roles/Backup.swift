// Dray — backups: where they go, and how an item gets there.
// Layer: Engine. Behaviour: chapter 04 §13.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import Glibc

/// Backups of what is about to be replaced or deleted.
enum Backup {
    struct Location {
        let directory: Int32
        let name: Bytes
        let owned: Bool
        func close() { if owned { _ = FileSystem.close(directory) } }
    }

    /// Where the backup of `path` goes; directories of `--backup-dir` are made. Nil and errno on failure.
    static func location(
        _ destination: Destination, _ parent: Int32, _ path: Bytes, _ name: Bytes, code reason: inout Int32
    ) -> Location? {
        let options = destination.options
        guard let backupDirectory = options.backupDirectory else {
            return Location(directory: parent, name: name + options.backupSuffix, owned: false)
        }
        let (sub, last) = path.splitLastComponent
        var current: Int32
        let confined = destination.options.amDaemon
        // An absolute directory of a daemon's client begins at the module's top.
        var (base, start, area) = (destination.root, Bytes("."), backupDirectory)
        if backupDirectory.first == UInt8(ascii: "/") {
            let environment = destination.session.environment
            if !confined {
                (base, start) = (FileSystem.workingDirectory, Bytes("/"))
            } else {
                base = environment.workingDirectory
                if let module = environment.modulePath, area.hasPrefix(module) { area.removeFirst(module.count) }
            }
        }
        current = start.withCString { FileSystem.open(base, $0, O_RDONLY | O_DIRECTORY) }
        if current < 0 {
            reason = -current
            return nil
        }
        let components = area.appendingComponent(sub).fields { $0 == UInt8(ascii: "/") }
        let own = area.fields { $0 == UInt8(ascii: "/") }.count
        for (position, component) in components.enumerated() where component != Bytes(".") {
            if !confined && position < own && isUntrusted(current, component, options) {
                _ = FileSystem.close(current)
                reason = ELOOP
                tellUntrusted(destination, backupDirectory, path, isLast: position == components.count - 1)
                return nil
            }
            var next = component.withCString { name -> Int32 in
                let flags = O_RDONLY | O_DIRECTORY | (confined ? O_NOFOLLOW : 0)
                var descriptor = FileSystem.open(current, name, flags)
                if descriptor == -ENOTDIR { _ = FileSystem.unlink(current, name) }
                if descriptor < 0 {
                    let code = FileSystem.makeDirectory(current, name, mode: 0o777)
                    if code != 0 && code != EEXIST { return -code }
                    descriptor = FileSystem.open(current, name, flags)
                    if code == 0 && descriptor >= 0 && position >= own {
                        let real = Bytes(components[own...position].joined(separator: [UInt8(ascii: "/")]))
                        copyAttributes(destination, ofDirectory: real, to: descriptor)
                    }
                }
                return descriptor
            }
            _ = FileSystem.close(current)
            if next >= 0, position + 1 >= own, let confinement = options.confinement,
                !OperatorFile.isInside(next, confinement)
            {
                _ = FileSystem.close(next)
                next = -ELOOP
                destination.session.reporter.systemError(
                    .receiver,
                    Bytes("mkdir ") + destination.session.fullName(backupDirectory.appendingComponent(sub))
                        + Bytes(" failed"), ELOOP)
            }
            if next < 0 {
                reason = -next
                return nil
            }
            current = next
        }
        if options.backupSuffix.isEmpty && isSame(current, parent) {
            // The directory of backups is the destination itself by some other path: the file would be its own backup.
            _ = FileSystem.close(current)
            reason = EEXIST
            return nil
        }
        return Location(directory: current, name: last + options.backupSuffix, owned: true)
    }

    private static func isSame(_ a: Int32, _ b: Int32) -> Bool {
        var first = FileStatus()
        var second = FileStatus()
        return FileSystem.status(descriptor: a, &first) == 0 && FileSystem.status(descriptor: b, &second) == 0
            && first.isSameItem(as: second)
    }

    /// Whether a component is a link that belongs to somebody else and must not be followed.
    private static func isUntrusted(_ directory: Int32, _ component: Bytes, _ options: TransferOptions) -> Bool {
        if options.insecureLinks || options.amDaemon { return false }
        var status = FileStatus()
        return component.withCString { FileSystem.status(directory, $0, follow: false, &status) } == 0
            && status.isSymlink && status.uid != 0 && status.uid != geteuid()
    }

    /// - Parameter isLast: rsync meets the link when it stores the file, not when it makes the way to it.
    private static func tellUntrusted(_ destination: Destination, _ area: Bytes, _ path: Bytes, isLast: Bool) {
        let reporter = destination.session.reporter
        for _ in 0..<(isLast ? 3 : 1) { reporter.warning(Bytes(untrustedLinkText)) }
        guard isLast else { return }
        let shown = area.appendingComponent(path) + destination.options.backupSuffix
        tellKept(destination, path, shown, .receiver, "unlink ", ELOOP)
    }

    /// Gives a new directory of the backup area owner and mode of the real one.
    private static func copyAttributes(_ destination: Destination, ofDirectory path: Bytes, to descriptor: Int32) {
        let real = path.withCString { ConfinedPath.openDirectory(destination.root, $0) }
        guard real >= 0 else { return }
        defer { _ = FileSystem.close(real) }
        var status = FileStatus()
        guard FileSystem.status(descriptor: real, &status) == 0 else { return }
        if destination.isRoot { _ = FileSystem.setOwner(descriptor: descriptor, uid: status.uid, gid: status.gid) }
        if destination.options.times {
            _ = FileSystem.setTimes(
                descriptor: descriptor, mtime: status.mtime, nanoseconds: status.mtimeNanoseconds, atime: nil)
        }
        _ = FileSystem.setMode(descriptor: descriptor, status.permissions)
        guard destination.options.acls || destination.options.xattrs > 0 || destination.options.fakeSuper else {
            return
        }
        destination.backupMetadata.withLock { helper in
            helper.copy(
                from: AttributeTarget(descriptor: real), isDirectory: true, to: AttributeTarget(descriptor: descriptor))
        }
    }

    /// Makes the backup of `name` in `parent`.
    ///
    /// - Parameter keepsOriginal: prefer a hard link, so that the name never vanishes; otherwise prefer a rename.
    /// - Returns: 0 if nothing stands there or it was saved, else an errno value (reported).
    static func make(
        _ destination: Destination, _ parent: Int32, _ name: Bytes, _ path: Bytes, keepsOriginal: Bool,
        role: RoleName = .receiver
    ) -> Int32 {
        var status = FileStatus()
        if name.withCString({ FileSystem.status(parent, $0, follow: false, &status) }) == ENOENT { return 0 }
        if status.isDirectory { return 0 }
        var code: Int32 = 0
        let options = destination.options
        let reporter = destination.session.reporter
        let shown = (options.backupDirectory ?? []).appendingComponent(path) + options.backupSuffix
        guard let place = location(destination, parent, path, name, code: &code) else {
            // Of links in the way `location` has told.
            if code != ELOOP { tellFailure(destination, path, shown, role, code, isOnTheWay: true) }
            return code
        }
        defer { place.close() }
        var method = "RENAME"
        code = name.withCString { old in
            place.name.withCString { new in
                var code = move(parent, old, place.directory, new, keepsOriginal: keepsOriginal, &method)
                if code == EISDIR || code == EEXIST || code == ENOTEMPTY {
                    // A directory stands where the backup is to go.
                    code = removeAll(place.directory, new)
                    if code == 0 {
                        code = move(parent, old, place.directory, new, keepsOriginal: keepsOriginal, &method)
                    } else {
                        reporter.error(Bytes("could not make way for backup directory: ") + shown)
                        return code
                    }
                }
                if code == EXDEV {
                    method = "COPY"
                    code = copy(destination, parent, old, status, place.directory, new)
                    if code == 0 && !keepsOriginal { code = FileSystem.unlink(parent, old) }
                }
                if code == 0 { return 0 }
                tellFailure(destination, path, shown, role, code)
                return code
            }
        }
        if code != 0 { return code }
        if options.debug[.backup] >= 1 {
            reporter.info(Bytes(text: "make_backup: \(method) ") + path + Bytes(" successful."))
        }
        if options.info[.backup] >= 1 { reporter.info(Bytes("backed up ") + path + Bytes(" to ") + shown) }
        return 0
    }

    /// - Parameter isOnTheWay: the directory of the backup could not be entered.
    private static func tellFailure(
        _ destination: Destination, _ path: Bytes, _ shown: Bytes, _ role: RoleName, _ code: Int32,
        isOnTheWay: Bool = false
    ) {
        let session = destination.session
        if isOnTheWay, code == EACCES, let area = destination.options.backupDirectory,
            let slash = path.firstIndex(of: 0x2f)
        {
            // rsync looks at the directories on the way first.
            let first = area.appendingComponent(Bytes(path[..<slash]))
            return session.reporter.systemError(role, Bytes("backup lstat ") + first + Bytes(" failed"), code)
        }
        // rsync has tried to copy last.
        let call = code == ENAMETOOLONG || isOnTheWay && code == EACCES ? "unlink " : "open "
        tellKept(destination, path, shown, role, call, code)
    }

    /// - Parameter call: what failed for the backup `shown` of `path`.
    private static func tellKept(
        _ destination: Destination, _ path: Bytes, _ shown: Bytes, _ role: RoleName, _ call: String, _ code: Int32
    ) {
        let session = destination.session
        session.reporter.systemError(role, Bytes(text: call) + session.fullName(shown), code)
        session.reporter.systemError(
            role,
            Bytes("keep_backup failed: ") + session.fullName(path) + Bytes(" -> \"") + shown + Bytes("\""), code)
    }

    private static func move(
        _ parent: Int32, _ old: UnsafePointer<CChar>, _ directory: Int32, _ new: UnsafePointer<CChar>,
        keepsOriginal: Bool, _ method: inout String
    ) -> Int32 {
        if keepsOriginal {
            var code = FileSystem.link(parent, old, directory, new)
            if code == EEXIST {
                code = FileSystem.unlink(directory, new)
                if code == EISDIR { return code }
                code = FileSystem.link(parent, old, directory, new)
            }
            if code == 0 {
                method = "HLINK"
                return 0
            }
            // The original stays where it is while it can be copied.
            if code == EXDEV { return code }
        }
        return FileSystem.rename(parent, old, directory, new)
    }

    /// Removes an item with everything in it; 0 or the errno value of what stands in the way.
    private static func removeAll(_ parent: Int32, _ name: UnsafePointer<CChar>) -> Int32 {
        var code = FileSystem.unlink(parent, name)
        guard code == EISDIR || code == EPERM else { return code }
        let directory = FileSystem.open(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        if directory < 0 { return -directory }
        let names = DirectoryScan(bufferBytes: 4096).names(directory, code: &code)
        for entry in names where code == 0 { code = entry.withCString { removeAll(directory, $0) } }
        _ = FileSystem.close(directory)
        return code == 0 ? FileSystem.unlink(parent, name, isDirectory: true) : code
    }

    // MARK: - Copies

    /// Copies an item to another file system, with everything that is known of it.
    private static func copy(
        _ destination: Destination, _ parent: Int32, _ old: UnsafePointer<CChar>, _ status: FileStatus,
        _ directory: Int32, _ new: UnsafePointer<CChar>
    ) -> Int32 {
        var code = FileSystem.unlink(directory, new)
        guard code == 0 || code == ENOENT else { return code }
        if status.isRegular {
            let source = FileSystem.open(parent, old, O_RDONLY | O_NOFOLLOW)
            if source < 0 { return -source }
            defer { _ = FileSystem.close(source) }
            return copyFile(destination, source, directory, new)
        }
        if status.type == FileType.symlink {
            let target = FileSystem.readLink(parent, old, code: &code)
            guard let target else { return code }
            code = target.withCString { FileSystem.makeSymlink($0, directory, new) }
        } else {
            code = FileSystem.makeNode(
                directory, new, mode: status.mode, major: status.deviceMajor, minor: status.deviceMinor)
        }
        if code != 0 { return code }
        if destination.isRoot { _ = FileSystem.setOwner(directory, new, uid: status.uid, gid: status.gid) }
        _ = FileSystem.setTimes(
            directory, new, mtime: status.mtime, nanoseconds: status.mtimeNanoseconds, atime: nil)
        if status.type != FileType.symlink { _ = FileSystem.setMode(directory, new, status.permissions) }
        return 0
    }

    /// Copies an open file's content and attributes to a new name; 0 or errno.
    ///
    /// - Parameter keepsAll: owner, group and ACL too, whether the transfer preserves them or not. Compatibility: rsync
    ///   leaves them out where it copies because a file is written in place.
    static func copyFile(
        _ destination: Destination, _ source: Int32, _ directory: Int32, _ new: UnsafePointer<CChar>,
        keepsAll: Bool = true
    ) -> Int32 {
        let copy = FileSystem.open(directory, new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
        if copy < 0 { return -copy }
        defer { _ = FileSystem.close(copy) }
        let code = FileCopy.contents(source, copy)
        if code != 0 {
            _ = FileSystem.unlink(directory, new)
            return code
        }
        var old = FileStatus()
        _ = FileSystem.status(descriptor: source, &old)
        let options = destination.options
        if destination.isRoot {
            _ = FileSystem.setOwner(
                descriptor: copy, uid: keepsAll || options.owner ? old.uid : .max,
                gid: keepsAll || options.group ? old.gid : .max)
        }
        let nanoseconds = destination.session.protocolVersion < 31 ? 0 : old.mtimeNanoseconds
        if keepsAll || options.times {
            _ = FileSystem.setTimes(descriptor: copy, mtime: old.mtime, nanoseconds: nanoseconds, atime: nil)
        }
        _ = FileSystem.setMode(descriptor: copy, old.permissions)
        destination.backupMetadata.withLock { helper in
            let (from, to) = (AttributeTarget(descriptor: source), AttributeTarget(descriptor: copy))
            if keepsAll {
                helper.copy(from: from, isDirectory: false, to: to)
            } else {
                helper.copyAttributes(from: from, to: to)
            }
        }
        return 0
    }
}
