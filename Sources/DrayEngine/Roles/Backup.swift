// Dray — backups of what is about to be replaced or deleted.
// Layer: Engine. Behaviour: chapter 04 §9.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import Glibc

/// Makes backups for one role.
struct Backup {
    let destination: Destination
    let role: RoleName

    init(_ destination: Destination, _ role: RoleName) {
        self.destination = destination
        self.role = role
    }

    struct Location {
        let directory: Int32
        let name: Bytes
        let owned: Bool
        /// The whole path, as messages show it.
        let shown: Bytes
        func close() { if owned { _ = FileSystem.close(directory) } }
    }

    private struct Failure: Error { var code: Int32 }
    enum Outcome {
        case success(Location)
        /// An errno value, already reported where rsync does.
        case failure(Int32)
    }

    private var options: TransferOptions { destination.options }
    private var session: Session { destination.session }

    /// Where the backup of `path` goes; directories of `--backup-dir` are made.
    func location(_ parent: Int32, _ path: Bytes, _ name: Bytes) -> Outcome {
        let shown = (options.backupDirectory ?? []).appendingComponent(path) + options.backupSuffix
        guard let area = options.backupDirectory else {
            return .success(
                Location(directory: parent, name: name + options.backupSuffix, owned: false, shown: shown))
        }
        let (sub, last) = path.splitLastComponent
        switch directory(area, sub) {
        case .success(let descriptor):
            return .success(
                Location(directory: descriptor, name: last + options.backupSuffix, owned: true, shown: shown))
        case .failure(let failure): return .failure(failure.code)
        }
    }

    private func directory(_ backupDirectory: Bytes, _ sub: Bytes) -> Result<Int32, Failure> {
        let slash = UInt8(ascii: "/")
        let confined = options.amDaemon
        // An absolute directory of a daemon's client begins at the module's top.
        var (base, start, area) = (destination.root, Bytes("."), backupDirectory)
        if backupDirectory.first == slash {
            let environment = session.environment
            if !confined {
                (base, start) = (FileSystem.workingDirectory, Bytes("/"))
            } else {
                base = environment.workingDirectory
                if let module = environment.modulePath, area.hasPrefix(module) { area.removeFirst(module.count) }
            }
        }
        var current = start.withCString { FileSystem.open(base, $0, O_RDONLY | O_DIRECTORY) }
        if current < 0 { return .failure(Failure(code: -current)) }
        let components = area.appendingComponent(sub).fields { $0 == slash }
        let own = area.fields { $0 == slash }.count
        for (position, component) in components.enumerated() where component != Bytes(".") {
            var (next, verb) = open(component, in: current, confined, components, own, position)
            _ = FileSystem.close(current)
            if next >= 0, position + 1 >= own, let confinement = options.confinement,
                !OperatorFile.isInside(next, confinement)
            {
                _ = FileSystem.close(next)
                next = -ELOOP
            }
            if next < 0 {
                // Compatibility: of the directory that the option names rsync says nothing here.
                if position >= own {
                    let place = backupDirectory.appendingComponent(
                        Bytes(components[own...position].joined(separator: [slash])))
                    session.reporter.systemError(
                        role, Bytes(text: "backup \(verb) ") + place + Bytes(" failed"), -next)
                }
                return .failure(Failure(code: -next))
            }
            current = next
        }
        return .success(current)
    }

    /// Opens one directory on the way, making it if it is missing; also tells what has failed.
    private func open(
        _ component: Bytes, in current: Int32, _ confined: Bool, _ components: [Bytes], _ own: Int, _ position: Int
    ) -> (Int32, String) {
        component.withCString { name in
            let flags = O_RDONLY | O_DIRECTORY | (confined ? O_NOFOLLOW : 0)
            var descriptor = FileSystem.open(current, name, flags)
            if descriptor >= 0 || descriptor == -EACCES { return (descriptor, "lstat") }
            if descriptor == -ENOTDIR { _ = FileSystem.unlink(current, name) }
            let code = FileSystem.makeDirectory(current, name, mode: 0o777)
            if code != 0 && code != EEXIST { return (-code, "mkdir") }
            descriptor = FileSystem.open(current, name, flags)
            if code == 0 && descriptor >= 0 && position >= own {
                let real = Bytes(components[own...position].joined(separator: [UInt8(ascii: "/")]))
                copyAttributes(ofDirectory: real, to: descriptor)
            }
            return (descriptor, "mkdir")
        }
    }

    /// Gives a new directory of the backup area owner and mode of the real one.
    private func copyAttributes(ofDirectory path: Bytes, to descriptor: Int32) {
        let real = path.withCString { ConfinedPath.openDirectory(destination.root, $0) }
        guard real >= 0 else { return }
        defer { _ = FileSystem.close(real) }
        var status = FileStatus()
        guard FileSystem.status(descriptor: real, &status) == 0 else { return }
        if destination.isRoot { _ = FileSystem.setOwner(descriptor: descriptor, uid: status.uid, gid: status.gid) }
        if options.times {
            _ = FileSystem.setTimes(
                descriptor: descriptor, mtime: status.mtime, nanoseconds: status.mtimeNanoseconds, atime: nil)
        }
        _ = FileSystem.setMode(descriptor: descriptor, status.permissions)
        copyMetadata(from: real, isDirectory: true, to: descriptor)
    }

    private func copyMetadata(from source: Int32, isDirectory: Bool, to copy: Int32) {
        guard options.acls || options.xattrs > 0 || options.fakeSuper else { return }
        destination.backupMetadata.withLock { helper in
            helper.copy(
                from: AttributeTarget(descriptor: source), isDirectory: isDirectory,
                to: AttributeTarget(descriptor: copy))
        }
    }

    // MARK: - Saving

    /// Makes the backup of `name` in `parent`; 0 if nothing stands there or it was saved, else an errno value.
    ///
    /// - Parameter keepsOriginal: prefer a hard link, so that the name never vanishes; otherwise prefer a rename.
    func make(_ parent: Int32, _ name: Bytes, _ path: Bytes, keepsOriginal: Bool) -> Int32 {
        var status = FileStatus()
        if name.withCString({ FileSystem.status(parent, $0, follow: false, &status) }) == ENOENT { return 0 }
        if status.isDirectory { return 0 }
        let place: Location
        switch location(parent, path, name) {
        case .success(let found): place = found
        case .failure(let code): return code
        }
        defer { place.close() }
        var method = "RENAME"
        var code = name.withCString { old in
            place.name.withCString { new -> Int32 in
                if keepsOriginal {
                    var code = FileSystem.link(parent, old, place.directory, new)
                    if code == EEXIST {
                        _ = FileSystem.unlink(place.directory, new)
                        code = FileSystem.link(parent, old, place.directory, new)
                    }
                    if code == 0 {
                        method = "HLINK"
                        return 0
                    }
                }
                return FileSystem.rename(parent, old, place.directory, new)
            }
        }
        if code != 0 {
            method = "COPY"
            code = save(parent, name, path, status, place)
            if code == 0 && !keepsOriginal { code = name.withCString { FileSystem.unlink(parent, $0) } }
            if code != 0 { return code }
        }
        if options.debug[.backup] >= 1 {
            session.reporter.info(Bytes(text: "make_backup: \(method) ") + path + Bytes(" successful."))
        }
        if options.info[.backup] >= 1 {
            session.reporter.info(Bytes("backed up ") + path + Bytes(" to ") + place.shown)
        }
        return 0
    }

    /// What can be neither linked nor moved is made again in the other place.
    private func save(
        _ parent: Int32, _ name: Bytes, _ path: Bytes, _ status: FileStatus, _ place: Location
    ) -> Int32 {
        if status.isRegular {
            let code = copy(parent, name, path, place)
            if code == 0 { return 0 }
            let original = session.fullName(path)
            session.reporter.systemError(
                role, Bytes("keep_backup failed: ") + original + Bytes(" -> \"") + place.shown + Bytes("\""), code)
            return code
        }
        var code: Int32 = 0
        if status.isSymlink {
            let target = name.withCString { FileSystem.readLink(parent, $0, code: &code) } ?? []
            code = place.name.withCString { new in
                _ = FileSystem.unlink(place.directory, new)
                return target.withCString { FileSystem.makeSymlink($0, place.directory, new) }
            }
            if code != 0 {
                // Compatibility: rsync goes on without this backup.
                session.reporter.systemError(
                    role, Bytes("link ") + session.fullName(place.shown) + Bytes(" -> \"") + target + Bytes("\""), code)
                var now = FileStatus()
                let missing = place.name.withCString {
                    FileSystem.status(place.directory, $0, follow: false, &now)
                }
                session.reporter.systemError(
                    role, Bytes("stat ") + session.fullName(place.shown) + Bytes(" failed"), missing)
                return 0
            }
        } else {
            code = place.name.withCString { new in
                _ = FileSystem.unlink(place.directory, new)
                return FileSystem.makeNode(
                    place.directory, new, mode: status.mode, major: status.deviceMajor, minor: status.deviceMinor)
            }
            if code != 0 {
                session.reporter.systemError(
                    role, Bytes("mknod ") + session.fullName(place.shown) + Bytes(" failed"), code)
                return code
            }
        }
        place.name.withCString { new in
            if destination.isRoot { _ = FileSystem.setOwner(place.directory, new, uid: status.uid, gid: status.gid) }
            _ = FileSystem.setTimes(
                place.directory, new, mtime: status.mtime, nanoseconds: status.mtimeNanoseconds, atime: nil)
        }
        return 0
    }

    /// Copies a regular file with its attributes; 0 or an errno value, reported unless the copying itself failed.
    func copy(_ parent: Int32, _ name: Bytes, _ path: Bytes, _ place: Location) -> Int32 {
        let source = name.withCString { FileSystem.open(parent, $0, O_RDONLY | O_NOFOLLOW) }
        if source < 0 {
            session.reporter.systemError(role, Bytes("open ") + session.fullName(path), -source)
            return -source
        }
        defer { _ = FileSystem.close(source) }
        return place.name.withCString { new -> Int32 in
            let gone = FileSystem.unlink(place.directory, new)
            if gone != 0 && gone != ENOENT {
                session.reporter.systemError(role, Bytes("unlink ") + session.fullName(place.shown), gone)
                return gone
            }
            let copy = FileSystem.open(place.directory, new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
            if copy < 0 {
                session.reporter.systemError(role, Bytes("open ") + session.fullName(place.shown), -copy)
                return -copy
            }
            defer { _ = FileSystem.close(copy) }
            let code = Receiver.copyByHand(source, copy)
            if code != 0 { return code }
            var old = FileStatus()
            _ = FileSystem.status(descriptor: source, &old)
            if destination.isRoot { _ = FileSystem.setOwner(descriptor: copy, uid: old.uid, gid: old.gid) }
            let nanoseconds = session.protocolVersion < 31 ? 0 : old.mtimeNanoseconds
            _ = FileSystem.setTimes(descriptor: copy, mtime: old.mtime, nanoseconds: nanoseconds, atime: nil)
            _ = FileSystem.setMode(descriptor: copy, old.permissions)
            copyMetadata(from: source, isDirectory: false, to: copy)
            return 0
        }
    }
}
