// Dray — partial data that a killed run left behind under temporary names.
// Layer: Engine. Extends `--partial` (chapter 04 §7.2) to receivers that could not clean up.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayFiles
import Glibc

extension Generator {
    /// Smaller leftovers are not worth a look.
    private static let smallestLeftover: Int64 = 64 * 1024

    /// Gives temporary files of a dead run the place that `--partial` would have given them, so that their bytes serve
    /// as the basis: the final name if nothing stands there, or the partial directory.
    ///
    /// A file that another run may still be writing is left alone: it is locked (Dray) or newer than this run (rsync).
    func adoptLeftovers(_ list: FileSegment, _ directory: FileEntry) {
        guard options.partial || destination.partialDirectory != nil, !options.updatesInPlace, !options.dryRun,
            !options.listOnly, destination.root >= 0, destination.localName == nil,
            directory.flags.contains(.contentDirectory)
        else { return }
        let isDot = list.name(directory).elementsEqual([UInt8(ascii: ".")])
        let path = isDot ? Bytes() : list.path(directory)
        guard let id = path.withUnsafeBytes({ list.paths.find($0, root: 0) }),
            let members = memberList(list, directory, id)
        else { return }
        let descriptor = path.withCString { ConfinedPath.openDirectory(destination.root, $0) }
        if descriptor < 0 { return }
        defer { _ = FileSystem.close(descriptor) }
        var found: [(temporary: Bytes, base: Bytes)] = []
        _ = DirectoryScan(bufferBytes: 32 * 1024).forEach(descriptor) { name, _ in
            guard let base = TemporaryName.base(of: name) else { return }
            // A dot that the name began with is not repeated in its temporary name.
            for candidate in [base, Bytes(".") + base] {
                let position = candidate.withUnsafeBytes {
                    members.find(directory: id, name: $0, protocolVersion: session.protocolVersion)
                }
                if let position, !members.isDirectory(members.entry(position).pointee) {
                    found.append((Bytes(name), candidate))
                    return
                }
            }
        }
        for leftover in found { adopt(leftover.temporary, leftover.base, descriptor) }
    }

    private func adopt(_ temporary: Bytes, _ base: Bytes, _ parent: Int32) {
        let file = FileSystem.open(parent, name.cString(temporary), O_RDWR | O_NOFOLLOW | O_NONBLOCK)
        if file < 0 { return }
        defer { _ = FileSystem.close(file) }
        var status = FileStatus()
        guard FileSystem.status(descriptor: file, &status) == 0, status.isRegular, status.linkCount == 1,
            status.length >= Self.smallestLeftover, status.mtime < session.startSeconds, dray_try_flock(file) == 0
        else { return }
        var place: (directory: Int32, name: Bytes) = (parent, base)
        var held: PartialPlace.Held?
        defer { held?.close() }
        if let directory = destination.partialDirectory {
            let spot = PartialPlace(root: destination, parent: parent, directory: directory, name: base)
            held = spot.open(create: true)
            guard let held else { return }
            place = (held.descriptor, spot.name)
        }
        var existing = FileStatus()
        if FileSystem.status(place.directory, otherName.cString(place.name), follow: false, &existing) != ENOENT {
            return
        }
        // The epoch tells every quick check that the content is not complete.
        _ = FileSystem.setTimes(descriptor: file, mtime: 0, nanoseconds: 0, atime: nil)
        _ = FileSystem.rename(parent, name.cString(temporary), place.directory, otherName.cString(place.name))
    }
}
