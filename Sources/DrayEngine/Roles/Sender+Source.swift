// Dray — source files: opened, named, refused, removed.
// Layer: Engine. Behaviour: chapter 03 §2, chapter 04 §14.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayFiles
import DrayWire
import Glibc

/// Which file a name stands for.
struct FileIdentity {
    var device: UInt64
    var inode: UInt64
}

extension Sender {
    /// Opens a source file; a link as last component is followed only in the modes that send what links point at, and in
    /// a module without chroot only as far as it stays inside.
    func open(_ list: FileSegment, _ entry: FileEntry) -> Int32 {
        let follows = options.copyLinks || options.copyUnsafeLinks || options.copyDirlinks
        if follows && session.environment.sanitizesPaths {
            let root = walk.roots[Int(walk.paths.root(entry.directory))].display
            let path = root.appendingComponent(list.path(entry)).drop { $0 == UInt8(ascii: "/") }
            return ConfinedPath.openFile(session.environment.workingDirectory, Bytes(path))
        }
        let directory = walk.cache.descriptor(entry.directory)
        if directory < 0 { return directory }
        let flags = O_RDONLY | (follows ? 0 : O_NOFOLLOW)
        let cName = name.cString(list.name(entry))
        if options.openNoatime || options.atimes > 1 {
            let descriptor = FileSystem.open(directory, cName, flags | FileSystem.noAtime)
            // Only the owner may ask for that; others read like everybody.
            if descriptor != -EPERM { return descriptor }
        }
        return FileSystem.open(directory, cName, flags)
    }

    func displayName(_ list: FileSegment, _ entry: FileEntry) -> Bytes {
        walk.fullName(list.path(entry), entry.directory)
    }

    /// Says what happens to an entry (`--debug=send`).
    func tell(_ before: @autoclosure () -> String, _ list: FileSegment, _ entry: FileEntry, _ after: String) {
        guard options.debug[.send] >= 1 else { return }
        session.reporter.info(Bytes(text: before()) + typedPath(list, entry) + Bytes(text: after))
    }

    /// The path that begins with the argument.
    func typedPath(_ list: FileSegment, _ entry: FileEntry) -> Bytes {
        walk.roots[Int(walk.paths.root(entry.directory))].display.appendingComponent(list.path(entry))
    }

    func refuse(_ ndx: Int32, _ list: FileSegment, _ entry: FileEntry, _ code: Int32) throws(TransferFailure) {
        let full = displayName(list, entry)
        if code == ENOENT {
            session.reporter.noteIOError(.vanished)
            session.reporter.warning(Bytes("file has vanished: ") + full)
        } else {
            session.reporter.noteIOError(.general)
            session.reporter.systemError(.sender, Bytes("send_files failed to open ") + full, code)
        }
        if session.protocolVersion >= 30 { writer.queueMessage(.noSend, value: ndx) }
    }

    /// - Parameter written: the inode that the receiving half of a local copy has for it.
    func removeSource(_ ndx: Int32, written: FileIdentity?) throws(TransferFailure) {
        guard options.removeSourceFiles > 0, !options.dryRun else { return }
        guard let (list, entry) = lists.entry(ndx) else {
            throw lists.badIndex(ndx, "successful_send", reader.who)
        }
        let directory = walk.cache.descriptor(entry.pointee.directory)
        let full = displayName(list, entry.pointee)
        guard directory >= 0 else {
            return session.reporter.systemError(
                .sender, Bytes("sender failed to secure-open-parent ") + full, -directory)
        }
        let cName = name.cString(list.name(entry.pointee))
        var status = FileStatus()
        var code = FileSystem.status(directory, cName, follow: options.copyLinks, &status)
        if code != 0 {
            if code == ENOENT {
                return session.reporter.info(Bytes("sender file already removed: ") + list.path(entry.pointee))
            }
            return session.reporter.systemError(.sender, Bytes("sender failed to re-lstat ") + full, code)
        }
        if status.length != entry.pointee.length && status.isRegular || status.mtime != entry.pointee.mtime
            || status.mtimeNanoseconds != entry.pointee.nanoseconds
        {
            return session.reporter.errorTransfer(
                Bytes("ERROR: Skipping sender remove for changed file: ") + list.path(entry.pointee))
        }
        if let written, written.inode == status.inode && written.device == status.device {
            return session.reporter.errorTransfer(
                Bytes("ERROR: Skipping sender remove of destination file: ") + list.path(entry.pointee))
        }
        code = FileSystem.unlink(directory, cName)
        if code == ENOENT {
            session.reporter.info(Bytes("sender file already removed: ") + list.path(entry.pointee))
        } else if code != 0 {
            session.reporter.systemError(.sender, Bytes("sender failed to remove ") + list.path(entry.pointee), code)
        } else if options.info[.remove] >= 1 {
            session.reporter.info(Bytes("sender removed ") + list.path(entry.pointee))
        }
    }
}
