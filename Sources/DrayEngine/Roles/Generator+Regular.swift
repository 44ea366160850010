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
        _ before: FileStatus, mayDefer: Bool = true
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
            && entry.pointee.mtime &- status.mtime < Int64(options.modifyWindow)
        {
            let name = options.info[.skip] >= 1 ? destination.ownPath(list, entry.pointee) : nil
            return try skipSize(list, entry.pointee, " is newer", ndx, named: name)
        }
        if exists && status.isDevice && options.writeDevices {
            status.length = FileSystem.deviceLength(parent, destination.name(list, entry.pointee, name))
        } else if exists && !status.isRegular {
            if !makeRoom(list, entry.pointee, parent, status, "regular file") { return }
            exists = false
        }
        var match: AlternateBases.Match?
        switch try tryAlternates(ndx, list, entry.pointee, parent, exists: exists, status) {
        case .done: return
        case .basis(let found): match = found
        case .nothing: break
        }
        var partial: PartialPlace.Held?
        defer { partial?.close() }
        var partialStatus = FileStatus()
        if parent >= 0, let directory = destination.partialDirectory, !options.dryRun {
            let place = PartialPlace(
                root: destination, parent: parent, directory: directory, name: destination.ownName(list, entry.pointee))
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
                _ = FileSystem.unlink(partial.descriptor, otherName.cString(destination.ownName(list, entry.pointee)))
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
        let basis = chooseBasis(list, entry.pointee, exists: exists, partial: partial, match)
        if case .none = basis, mayDefer, deferHardLink(ndx, list, entry.pointee) { return }
        let isKnown = exists || match != nil
        if !isKnown, case .none = basis { list.absentPlaces.insert(Int(ndx - list.ndxStart)) }
        alternateDirectory = match?.directory
        defer { alternateDirectory = nil }
        let flags = differences(
            list, entry.pointee, exists: isKnown, status: match?.status ?? status,
            base: options.checksum && isKnown ? [.transfer, .reportChange] : .transfer)
        links.lead(ndx, list, entry.pointee)
        if exists && options.fuzzy > 0 { similarNames.noteUpdated(list, entry.pointee) }
        try request(ndx, list, entry.pointee, parent, flags, basis, redo: false)
    }

    /// What a difference is to be made against.
    enum Basis {
        case none, destination
        case partial(PartialPlace.Held)
        case alternate(AlternateBases.Match)
        case similar(SimilarNames.Found)

        var type: UInt8 {
            switch self {
            case .none, .destination: BasisType.destination
            case .partial: BasisType.partialDirectory
            case .alternate(let match): UInt8(match.index)
            case .similar(let found): BasisType.fuzzy + UInt8(found.place)
            }
        }
    }

    private func chooseBasis(
        _ list: FileSegment, _ entry: FileEntry, exists: Bool, partial: PartialPlace.Held?,
        _ match: AlternateBases.Match?
    ) -> Basis {
        if let partial, options.append == .off { return .partial(partial) }
        if exists { return .destination }
        if options.append != .off { return .none }
        if let match { return .alternate(match) }
        if options.fuzzy > 0, let found = findSimilar(list, entry) { return .similar(found) }
        return .none
    }

    private func skipSize(
        _ list: FileSegment, _ entry: FileEntry, _ what: StaticString, _ ndx: Int32, named: Bytes? = nil
    ) throws(TransferFailure) {
        if options.info[.skip] >= 1 { session.reporter.info((named ?? list.path(entry)) + Bytes(what)) }
        try skipHardLink(ndx, list, entry)
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
            try destination.status(
                parent, destination.name(list, entry.pointee, name), &status, role: .generator) == 0
            && (status.isRegular || status.isDevice && options.writeDevices)
        var partial: PartialPlace.Held?
        defer { partial?.close() }
        let match = exists ? nil : alternate(list, entry.pointee, basisOnly: true)
        alternateDirectory = match?.directory
        defer { alternateDirectory = nil }
        let flags = differences(
            list, entry.pointee, exists: exists || match != nil, status: match?.status ?? status, base: .transfer)
        if let directory = destination.partialDirectory {
            let place = PartialPlace(
                root: destination, parent: parent, directory: directory, name: destination.ownName(list, entry.pointee))
            if let held = place.open(create: false) {
                var partialStatus = FileStatus()
                if FileSystem.status(held.descriptor, otherName.cString(place.name), follow: false, &partialStatus) == 0
                {
                    partial = held
                } else {
                    held.close()
                }
            }
        }
        let basis = chooseBasis(list, entry.pointee, exists: exists, partial: partial, match)
        try request(ndx, list, entry.pointee, parent, flags, basis, redo: true)
    }

    private func request(
        _ ndx: Int32, _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ wanted: ItemFlags, _ basis: Basis,
        redo: Bool
    ) throws(TransferFailure) {
        var record = ItemRecord(flags: wanted, basisType: basis.type)
        if case .similar(let found) = basis {
            record.xname = found.name
            record.flags.insert(.xnameFollows)
        }
        if record.basisType != BasisType.destination { record.flags.insert(.basisTypeFollows) }
        if !redo { session.wishes?.request(ndx) }
        if !options.requestsData {
            try record.write(ndx, to: writer)
            if options.hardLinks > 0 && entry.flags.contains(.hardLinked) { try finishHardLinks(ndx, list, entry) }
            return
        }
        if case .destination = basis, options.backup, options.updatesInPlace, !redo, !options.dryRun {
            // What cannot be saved is not overwritten.
            guard backupInPlace(list, entry, parent) else { return session.reporter.noteTransferError() }
            record.basisType = BasisType.backup
            record.flags.insert(.basisTypeFollows)
        }
        let descriptor = openBasis(basis, list, entry, parent)
        defer { if descriptor >= 0 { _ = FileSystem.close(descriptor) } }
        noteRequested(ndx)
        try record.write(ndx, to: writer)
        try requestXattrs(record, ndx)
        // Nobody reads the sums when the data comes from a batch file.
        let whole = options.readsBatch || session.transfersWhole
        var status = FileStatus()
        guard descriptor >= 0, !whole || options.append != .off,
            FileSystem.status(descriptor: descriptor, &status) == 0,
            status.isRegular || isWrittenDevice(descriptor, &status)
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
        if options.debug[.deltasum] >= 2 { tellSums(ndx, basis, list, entry, head, status.length) }
        try head.write(to: writer)
        if options.append != .off && !redo { return }
        // Earlier requests must not wait for the sums of a large file.
        if status.length > 1 << 20 { try flush() }
        try sendSums(descriptor, head)
    }

    /// A device whose contents are replaced; its length is what it holds.
    private func isWrittenDevice(_ descriptor: Int32, _ status: inout FileStatus) -> Bool {
        guard status.isDevice && options.writeDevices else { return false }
        status.length = FileSystem.deviceLength(descriptor)
        return true
    }

    /// Opens what block sums are to be made of; negative if there is nothing.
    private func openBasis(_ basis: Basis, _ list: FileSegment, _ entry: FileEntry, _ parent: Int32) -> Int32 {
        let flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK
        switch basis {
        case .none: return -1
        case .partial(let held):
            return FileSystem.open(held.descriptor, otherName.cString(destination.ownName(list, entry)), flags)
        case .alternate(let match):
            return FileSystem.open(match.directory, destination.name(list, entry, otherName), flags)
        case .similar(let found):
            let directory = found.place == 0 ? parent : alternates.descriptor(found.place - 1, entry.directory)
            return directory < 0 ? directory : FileSystem.open(directory, otherName.cString(found.name), flags)
        case .destination:
            let descriptor = FileSystem.open(parent, destination.name(list, entry, name), flags)
            if descriptor < 0 {
                session.reporter.systemError(
                    .generator, Bytes("failed to open ") + destination.display(list, entry) + Bytes(", continuing"),
                    -descriptor, level: .error)
            }
            return descriptor
        }
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
        let tells = options.debug[.deltasum] >= 3
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
                let sum = RollingChecksum.sum(bytes)
                if tells { tellSum(index, offset + Int64(start), length, sum) }
                try writer.int32(Int32(bitPattern: sum))
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
        let path = destination.ownPath(list, entry)
        var code: Int32 = 0
        guard
            let place = Backup.location(destination, parent, path, destination.ownName(list, entry), code: &code)
        else { return false }
        defer { place.close() }
        let source = FileSystem.open(parent, destination.name(list, entry, name), O_RDONLY | O_NOFOLLOW)
        if source < 0 { return false }
        defer { _ = FileSystem.close(source) }
        code = place.name.withCString { FileSystem.unlink(place.directory, $0) }
        if code != 0 && code != ENOENT {
            let shown = (options.backupDirectory ?? []).appendingComponent(path) + options.backupSuffix
            session.reporter.systemError(.generator, Bytes("unlink ") + session.fullName(shown), code)
            return false
        }
        return place.name.withCString { new in
            Backup.copyFile(destination, source, place.directory, new, keepsAll: false) == 0
        }
    }
}
