// Dray — directories that entries lie in: made early, or missing.
// Layer: Engine. Behaviour: chapter 04 §11, chapter 02 §11.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import Glibc

extension Generator {
    /// Makes a directory before its own list is handled, so that the parent's time can be set soon.
    func createEarly(_ list: FileSegment, _ entry: FileEntry, _ index: Int32) {
        guard options.times, !options.omitDirTimes, !options.dryRun, !options.listOnly,
            destination.root >= 0, !lists.directories.entry(Int(index)).pointee.flags.contains(.missingDirectory),
            options.impliedDirs || !entry.flags.contains(.impliedDirectory)
        else { return }
        let parent = cache.descriptor(entry.directory)
        guard parent >= 0 else { return }
        if let daemon = session.daemonFilters, FilterWalk.excludes(daemon, list.path(entry), isDirectory: true) {
            return
        }
        var status = FileStatus()
        let cName = destination.name(list, entry, name)
        var code = FileSystem.status(parent, cName, follow: false, &status)
        if code == 0 && status.isSymlink && options.keepDirlinks {
            // One that leads nowhere is replaced like anything else.
            _ = FileSystem.status(parent, cName, follow: true, &status)
        }
        if code == 0 && !status.isDirectory && !options.ignoreExisting {
            // Replaced now for the same reason: later it would change the parent's time.
            if makeRoom(list, entry, parent, status, "directory") { code = ENOENT }
        } else if code == ENOENT && options.existingOnly {
            return
        }
        if code == ENOENT {
            if FileSystem.makeDirectory(parent, cName, mode: list.mode(entry) & 0o700 | 0o700) == 0 {
                createdEarly.insert(index)
            }
        }
    }

    // MARK: - Parents

    /// Every entry's directory must itself be in the (only) list.
    func checkParent(_ list: FileSegment, _ entry: FileEntry) throws(TransferFailure) {
        guard !session.incremental, entry.directory != 0, entry.directory != lastParent else { return }
        if list.mode(entry) == 0 && options.missingArgs == .delete { return noteMissingParent(list, entry) }
        guard list.hasParent(entry, isDirectory: true, protocolVersion: session.protocolVersion) else {
            if list.paths.path(entry.directory).elementsEqual([UInt8(ascii: "/")]) { return }
            throw TransferFailure(
                .protocolIncompatible, lines: [Bytes("ABORTING due to invalid path from sender: ") + list.path(entry)])
        }
        lastParent = entry.directory
    }

    /// What is only to be removed may come without the directories that hold it.
    private func noteMissingParent(_ list: FileSegment, _ entry: FileEntry) {
        lastParent = entry.directory
        let path = Bytes(list.paths.path(entry.directory))
        if !list.hasParent(entry, protocolVersion: session.protocolVersion) {
            session.reporter.warning(Bytes("WARNING: parent dir is absent in the file list: ") + path)
        }
        // Compatibility: rsync has asked for the permissions of new items in there.
        if !options.perms && destination.root >= 0 && cache.descriptor(entry.directory) == -ENOENT {
            session.reporter.error(
                Bytes("default_perms_for_dir: sys_acl_get_file(") + path
                    + Bytes(text: ", ACL_TYPE_DEFAULT): \(errnoText(ENOENT)), falling back on umask"))
        }
    }
}
