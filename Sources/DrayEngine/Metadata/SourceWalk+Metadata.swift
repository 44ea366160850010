// Dray — ACLs and extended attributes of the entries being sent.
// Layer: Engine. Behaviour: chapter 02 §5.2, §6.2, §9.6.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayWire
import Glibc

extension SourceWalk {
    /// Descriptor of the directory that holds an entry; −errno if it cannot be opened.
    func place(of directory: Int32, _ anchor: Int32) -> Int32 {
        // With `--relative` the anchor is the source root, not the entry's own directory.
        options.relative ? cache.descriptor(directory) : anchor
    }

    func shownPath(_ directory: Int32, _ name: UnsafeRawBufferPointer) -> Bytes {
        displayPath(Bytes(paths.path(directory)).appendingComponent(Bytes(name)), directory)
    }

    /// Compatibility: what stands directly in a directory whose contents were asked for is `DIR/./NAME` here.
    private func shownXattrPath(_ directory: Int32, _ name: UnsafeRawBufferPointer) -> Bytes {
        let path = Bytes(paths.path(directory))
        let isDirectlyBelow = isSendingContents && path.isEmpty
        return (isDirectlyBelow ? Bytes(".") : path).appendingComponent(Bytes(name))
    }

    /// Reads ACLs and attributes into `entry`; false if the entry must be left out (reported).
    ///
    /// - Parameters:
    ///   - found: what stat told.
    ///   - status: the same with attributes that `--fake-super` stored.
    func readMetadata(
        _ entry: inout SourceEntry, _ found: FileStatus, _ status: FileStatus, place: Int32, directory: Int32,
        _ name: UnsafeRawBufferPointer
    ) -> Bool {
        let target = AttributeTarget(directory: place, name: metadataName.cString(name))
        do throws(MetadataFailure) {
            if options.acls && !status.isSymlink { try readACLs(&entry, found, status, target, directory, name) }
            if options.xattrs > 0 && hasXattrs(status) {
                entry.xattrs = try metadata.sendableXattrs(
                    target, shown: fullName(shownXattrPath(directory, name), directory))
            }
            return true
        } catch {
            session.reporter.noteIOError(.general)
            session.reporter.systemError(.sender, error.text, error.code)
            return false
        }
    }

    private func readACLs(
        _ entry: inout SourceEntry, _ found: FileStatus, _ status: FileStatus, _ target: AttributeTarget,
        _ directory: Int32, _ name: UnsafeRawBufferPointer
    ) throws(MetadataFailure) {
        let shown = { self.shownPath(directory, name) }
        // Compatibility: ACLs of a symlink that is sent as what it points at are those of its target.
        let followed = followedDescriptor(found, target, name)
        defer { if followed >= 0 { _ = FileSystem.close(followed) } }
        let actual = followed >= 0 ? AttributeTarget(descriptor: followed) : target
        entry.accessACL = try metadata.accessACL(actual, mode: status.mode, shown: shown()).stripped(mode: status.mode)
        if status.isDirectory { entry.defaultACL = try metadata.defaultACL(actual, shown: shown()) }
    }

    /// An open target of a followed symlink; −1 if the entry is no such thing.
    private func followedDescriptor(
        _ found: FileStatus, _ target: AttributeTarget, _ name: UnsafeRawBufferPointer
    ) -> Int32 {
        guard options.copyLinks || options.copyUnsafeLinks || options.copyDirlinks,
            found.isRegular || found.isDirectory, !session.environment.sanitizesPaths
        else { return -1 }
        let descriptor = FileSystem.open(
            target.directory, nameBuffer.cString(name), O_RDONLY | O_NONBLOCK | (found.isDirectory ? O_DIRECTORY : 0))
        return max(-1, descriptor)
    }

    /// Whether the type of an item is transferred with its attributes.
    private func hasXattrs(_ status: FileStatus) -> Bool {
        switch status.type {
        case FileType.symlink: options.links
        case FileType.characterDevice, FileType.blockDevice: options.devices
        case FileType.fifo, FileType.socket: options.specials
        default: true
        }
    }
}
