// Dray — regular files: quick check, basis, request with block sums.
// Layer: Engine. Behaviour: chapter 04 §2–§3, §7.3; chapter 03 §4.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayFiles
import DrayWire
import Glibc

extension Generator {
    func handleRegular(
        _ ndx: Int32, _ list: FileSegment, _ entry: UnsafeMutablePointer<FileEntry>, _ parent: Int32, _ isThere: Bool,
        _ before: FileStatus
    ) throws(TransferFailure) {
        var exists = isThere
        var status = before
        if let limit = options.maxSize, entry.pointee.length > limit {
            return try skipSize(list, entry.pointee, " is over max-size", ndx)
        }
        if let limit = options.minSize, entry.pointee.length < limit {
            return try skipSize(list, entry.pointee, " is under min-size", ndx)
        }
        if options.update && exists && status.isRegular
            && entry.pointee.mtime - status.mtime < Int64(max(0, options.modifyWindow))
            && entry.pointee.mtime != status.mtime
        {
            return try skipSize(list, entry.pointee, " is newer", ndx)
        }
        if exists && !status.isRegular {
            if !makeRoom(list, entry.pointee, parent, status, "regular file") { return }
            exists = false
        }
        var basisType = BasisType.destination
        var partial: PartialPlace.Held?
        defer { partial?.close() }
        var partialStatus = FileStatus()
        if parent >= 0, let directory = destination.partialDirectory, !options.dryRun {
            let place = PartialPlace(
                root: destination, parent: parent, directory: directory, name: Bytes(list.name(entry.pointee)))
            if let held = place.open(create: false) {
                if FileSystem.status(held.descriptor, otherName.cString(place.name), follow: false, &partialStatus)
                    == 0,
                    partialStatus.isRegular
                {
                    partial = held
                } else {
                    held.close()
                }
            }
        }
        if exists && isUnchanged(list, entry.pointee, parent, status) {
            if let partial {
                _ = FileSystem.unlink(partial.descriptor, otherName.cString(Bytes(list.name(entry.pointee))))
                partial.removeIfEmpty()
            }
            try report(ndx, differences(list, entry.pointee, exists: true, status: status, base: []))
            if !options.dryRun {
                destination.setAttributes(
                    directory: parent, name: destination.name(list, entry.pointee, name), list: list,
                    entry: entry.pointee, mode: destination.finalMode(list.mode(entry.pointee), existing: status),
                    status: &status, choice: options.checksum ? .exactTime : [], role: .generator)
            }
            return try finishedLocally(ndx, list, entry.pointee)
        }
        if options.append != .off && exists && status.length >= entry.pointee.length { return }
        var flags = differences(
            list, entry.pointee, exists: exists, status: status,
            base: options.checksum && exists ? [.transfer, .reportChange] : .transfer)
        if partial != nil && options.append == .off {
            basisType = BasisType.partialDirectory
            flags.insert(.basisTypeFollows)
        }
        links.lead(ndx, list, entry.pointee)
        try request(ndx, list, entry.pointee, parent, flags, basisType, exists: exists, partial: partial, redo: false)
    }

    private func skipSize(_ list: FileSegment, _ entry: FileEntry, _ what: StaticString, _ ndx: Int32)
        throws(TransferFailure)
    {
        if options.info[.skip] >= 1 { session.reporter.info(list.path(entry) + Bytes(what)) }
        if options.hardLinks > 0 && entry.flags.contains(.hardLinked) { try replaceHardLinkLeader(ndx, list, entry) }
    }

    /// The quick check of a regular file.
    func isUnchanged(_ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ status: FileStatus) -> Bool {
        if entry.length != status.length { return false }
        if options.checksum {
            let descriptor = FileSystem.open(
                parent, destination.name(list, entry, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
            if descriptor < 0 { return false }
            defer { _ = FileSystem.close(descriptor) }
            wholeHasher.reset()
            while true {
                let count = FileSystem.read(descriptor, sumBuffer)
                if count < 0 { return false }
                if count == 0 { break }
                wholeHasher.update(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(sumBuffer)[..<count]))
            }
            return wholeHasher.finish().elementsEqual(list.checksum(entry))
        }
        if options.sizeOnly { return true }
        if options.ignoreTimes { return false }
        return destination.sameTime(entry.mtime, entry.nanoseconds, status.mtime, status.mtimeNanoseconds)
    }

    /// A file that failed verification is asked for once more, with full-length sums.
    func requestAgain(_ ndx: Int32, _ list: FileSegment, _ entry: UnsafeMutablePointer<FileEntry>)
        throws(TransferFailure)
    {
        let parent = cache.descriptor(entry.pointee.directory)
        guard parent >= 0 else { return }
        var status = FileStatus()
        let exists =
            FileSystem.status(parent, destination.name(list, entry.pointee, name), follow: false, &status) == 0
            && status.isRegular
        var partial: PartialPlace.Held?
        defer { partial?.close() }
        var flags = differences(list, entry.pointee, exists: exists, status: status, base: .transfer)
        var basisType = BasisType.destination
        if let directory = destination.partialDirectory {
            let place = PartialPlace(
                root: destination, parent: parent, directory: directory, name: Bytes(list.name(entry.pointee)))
            if let held = place.open(create: false) {
                var partialStatus = FileStatus()
                if FileSystem.status(held.descriptor, otherName.cString(place.name), follow: false, &partialStatus) == 0
                {
                    partial = held
                    basisType = BasisType.partialDirectory
                    flags.insert(.basisTypeFollows)
                } else {
                    held.close()
                }
            }
        }
        try request(ndx, list, entry.pointee, parent, flags, basisType, exists: exists, partial: partial, redo: true)
    }

    private func request(
        _ ndx: Int32, _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ wanted: ItemFlags, _ basis: UInt8,
        exists: Bool, partial: PartialPlace.Held?, redo: Bool
    ) throws(TransferFailure) {
        var flags = wanted
        var basisType = basis
        if !redo { session.wishes?.request(ndx) }
        if !options.requestsData {
            try ItemRecord(flags: flags, basisType: basisType).write(ndx, to: writer)
            if options.hardLinks > 0 && entry.flags.contains(.hardLinked) { try finishHardLinks(ndx, list, entry) }
            return
        }
        var descriptor: Int32 = -1
        if let partial {
            descriptor = FileSystem.open(
                partial.descriptor, otherName.cString(Bytes(list.name(entry))), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        } else if exists {
            if options.backup && options.updatesInPlace && !redo && !options.dryRun {
                if backupInPlace(list, entry, parent) {
                    basisType = BasisType.backup
                    flags.insert(.basisTypeFollows)
                }
            }
            descriptor = FileSystem.open(
                parent, destination.name(list, entry, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
            if descriptor < 0 {
                session.reporter.systemError(
                    .generator, Bytes("failed to open ") + destination.display(list, entry) + Bytes(", continuing"),
                    -descriptor,
                    level: .error)
            }
        }
        defer { if descriptor >= 0 { _ = FileSystem.close(descriptor) } }
        noteRequested(ndx)
        try ItemRecord(flags: flags, basisType: basisType).write(ndx, to: writer)
        // Nobody reads the sums when the data comes from a batch file.
        let whole = options.readsBatch || (options.wholeFile ?? (options.isLocal && options.append == .off))
        var status = FileStatus()
        guard descriptor >= 0, !whole || options.append != .off,
            FileSystem.status(descriptor: descriptor, &status) == 0,
            status.isRegular
        else { return try SumHead().write(to: writer) }
        guard
            let head = SumHead.forBasis(
                length: status.length, protocolVersion: session.protocolVersion, blockSizeOption: options.blockSize,
                digestLength: session.transferChecksum.digestLength, redo: redo)
        else {
            session.reporter.warning(
                Bytes("WARNING: file is too large for checksum sending: ") + destination.display(list, entry))
            return try SumHead().write(to: writer)
        }
        try head.write(to: writer)
        if options.append != .off && !redo { return }
        // Earlier requests must not wait for the sums of a large file.
        if status.length > 1 << 20 { try flush() }
        try sendSums(descriptor, head)
    }

    /// Reads the basis and sends its block sums.
    private func sendSums(_ descriptor: Int32, _ head: SumHead) throws(TransferFailure) {
        if head.count == 0 { return }
        let block = Int(head.blockLength)
        var buffer = sumBuffer
        var temporary: UnsafeMutableRawBufferPointer?
        if block > sumBuffer.count {
            let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: block, alignment: 4096)
            temporary = larger
            buffer = larger
        }
        defer { temporary?.deallocate() }
        let perRead = max(1, buffer.count / block)
        let digest = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 16)
        defer { digest.deallocate() }
        let strong = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(digest)[..<Int(head.strongLength)])
        var index: Int32 = 0
        var offset: Int64 = 0
        while index < head.count {
            let blocks = min(perRead, Int(head.count - index))
            let wanted = (blocks - 1) * block + head.length(ofBlock: index + Int32(blocks) - 1)
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted])
            let count = max(0, FileSystem.readFully(descriptor, room, at: offset))
            if count < wanted {
                // The file shrank meanwhile: zeros will simply not match.
                (room.baseAddress! + count).initializeMemory(as: UInt8.self, repeating: 0, count: wanted - count)
            }
            var start = 0
            for _ in 0..<blocks {
                let length = head.length(ofBlock: index)
                let bytes = UnsafeRawBufferPointer(start: buffer.baseAddress! + start, count: length)
                try writer.int32(Int32(bitPattern: RollingChecksum.sum(bytes)))
                blockHasher.sum(bytes, into: digest.baseAddress!)
                try writer.bytes(strong)
                start += length
                index += 1
            }
            offset += Int64(wanted)
        }
    }

    /// `--inplace --backup`: copies the old content before it is overwritten.
    private func backupInPlace(_ list: FileSegment, _ entry: FileEntry, _ parent: Int32) -> Bool {
        guard let place = Backup.location(destination, parent, list.path(entry), Bytes(list.name(entry))) else {
            return false
        }
        defer { place.close() }
        let source = FileSystem.open(parent, destination.name(list, entry, name), O_RDONLY | O_NOFOLLOW)
        if source < 0 { return false }
        defer { _ = FileSystem.close(source) }
        return place.name.withCString { new -> Bool in
            _ = FileSystem.unlink(place.directory, new)
            let copy = FileSystem.open(place.directory, new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
            if copy < 0 { return false }
            defer { _ = FileSystem.close(copy) }
            guard Receiver.copyByHand(source, copy) == 0 else { return false }
            var old = FileStatus()
            _ = FileSystem.status(descriptor: source, &old)
            if destination.isRoot { _ = FileSystem.setOwner(descriptor: copy, uid: old.uid, gid: old.gid) }
            _ = FileSystem.setTimes(descriptor: copy, mtime: old.mtime, nanoseconds: old.mtimeNanoseconds, atime: nil)
            _ = FileSystem.setMode(descriptor: copy, old.permissions)
            return true
        }
    }
}
