// Dray — partial files and backups: the places next to a file.
// Layer: Engine. Behaviour: chapter 04 §7.3, §9.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import Glibc

/// `D/base` of `--partial-dir=D`, for one file.
struct PartialPlace {
    let root: Destination
    let parent: Int32
    let directory: Bytes
    let name: Bytes

    /// An opened partial directory.
    struct Held {
        let descriptor: Int32
        let parent: Int32
        let directory: Bytes
        let removable: Bool

        func close() { _ = FileSystem.close(descriptor) }

        func removeIfEmpty() {
            guard removable else { return }
            _ = directory.withCString { FileSystem.unlink(parent, $0, isDirectory: true) }
        }
    }

    private var climbs: Bool { directory.fields { $0 == UInt8(ascii: "/") }.contains(Bytes("..")) }

    /// Opens the directory; makes a relative one when asked.
    func open(create: Bool) -> Held? {
        let isAbsolute = directory.first == UInt8(ascii: "/")
        // Compatibility: what climbs out of the file's directory is neither used nor removed.
        if !isAbsolute && !root.options.insecureLinks && climbs { return nil }
        let base = isAbsolute ? FileSystem.workingDirectory : parent
        return directory.withCString { path -> Held? in
            var descriptor = FileSystem.open(base, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            if descriptor < 0 && create && !isAbsolute {
                if descriptor == -ENOTDIR || descriptor == -ELOOP { _ = FileSystem.unlink(base, path) }
                _ = FileSystem.makeDirectory(base, path, mode: 0o700)
                descriptor = FileSystem.open(base, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            }
            if descriptor < 0 { return nil }
            if let confinement = root.options.confinement, !OperatorFile.isInside(descriptor, confinement) {
                _ = FileSystem.close(descriptor)
                return nil
            }
            return Held(descriptor: descriptor, parent: parent, directory: directory, removable: !isAbsolute)
        }
    }
}

/// Backups of what is about to be replaced or deleted.
enum Backup {
    struct Location {
        let directory: Int32
        let name: Bytes
        let owned: Bool
        func close() { if owned { _ = FileSystem.close(directory) } }
    }

    /// Where the backup of `path` goes; directories of `--backup-dir` are made.
    static func location(_ destination: Destination, _ parent: Int32, _ path: Bytes, _ name: Bytes) -> Location? {
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
        if current < 0 { return nil }
        let components = area.appendingComponent(sub).fields { $0 == UInt8(ascii: "/") }
        let own = area.fields { $0 == UInt8(ascii: "/") }.count
        for (position, component) in components.enumerated() where component != Bytes(".") {
            var next = component.withCString { name -> Int32 in
                let flags = O_RDONLY | O_DIRECTORY | (confined ? O_NOFOLLOW : 0)
                var descriptor = FileSystem.open(current, name, flags)
                if descriptor == -ENOTDIR { _ = FileSystem.unlink(current, name) }
                if descriptor < 0 {
                    let code = FileSystem.makeDirectory(current, name, mode: 0o777)
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
            }
            if next < 0 {
                destination.session.reporter.systemError(
                    .receiver,
                    Bytes("mkdir ") + destination.session.fullName(backupDirectory.appendingComponent(sub))
                        + Bytes(" failed"), -next)
                return nil
            }
            current = next
        }
        return Location(directory: current, name: last + options.backupSuffix, owned: true)
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

    /// Makes the backup of `name` in `parent`; true if nothing stands there or it was saved.
    ///
    /// - Parameter keepsOriginal: prefer a hard link, so that the name never vanishes; otherwise prefer a rename.
    static func make(
        _ destination: Destination, _ parent: Int32, _ name: Bytes, _ path: Bytes, keepsOriginal: Bool
    ) -> Bool {
        var status = FileStatus()
        if name.withCString({ FileSystem.status(parent, $0, follow: false, &status) }) == ENOENT { return true }
        if status.isDirectory { return true }
        guard let place = location(destination, parent, path, name) else { return false }
        defer { place.close() }
        let reporter = destination.session.reporter
        var method = "RENAME"
        let code = name.withCString { old in
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
            reporter.systemError(
                .receiver, Bytes("make_backup: rename ") + destination.fullName(path) + Bytes(" failed"), code)
            return false
        }
        if destination.options.debug[.backup] >= 1 {
            reporter.info(Bytes(text: "make_backup: \(method) ") + path + Bytes(" successful."))
        }
        if destination.options.info[.backup] >= 1 {
            let shown =
                (destination.options.backupDirectory ?? []).appendingComponent(path) + destination.options.backupSuffix
            reporter.info(Bytes("backed up ") + path + Bytes(" to ") + shown)
        }
        return true
    }
}
