// Dray — receiving the data of one file and putting it in place.
// Layer: Engine. Behaviour: chapter 03 §8, §10–§12; chapter 04 §6, §7, §8.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayDelta
import DrayFiles
import DrayWire
import Glibc

extension Receiver {
    /// Where the bytes of the running file go.
    private struct Target {
        var descriptor: Int32
        /// Name of the temporary file in `directory`, in the receiver's buffer; nil when there is none.
        var temporary: UnsafePointer<CChar>?
        var directory: Int32
        var isInPlace = false
        /// The partial file itself is being completed.
        var isPartialFile = false
        /// `--write-devices`: never truncated.
        var isDevice = false
    }

    private func opened(_ directory: Int32, _ name: UnsafePointer<CChar>, _ status: inout FileStatus) -> Int32 {
        let descriptor = FileSystem.open(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        if descriptor < 0 { return descriptor }
        let code = FileSystem.status(descriptor: descriptor, &status)
        if code == 0 && status.isDevice && options.writeDevices {
            status.length = FileSystem.deviceLength(descriptor)
        } else if code != 0 || !(status.isRegular || status.isDirectory) {
            _ = FileSystem.close(descriptor)
            return -ENOENT
        }
        return descriptor
    }

    /// A client said that a partial file is there: a daemon that was to write into it writes no other file instead.
    private func refusePartialBasis(_ list: FileSegment, _ entry: FileEntry) throws(TransferFailure) {
        guard options.amDaemon, session.flags.contains(.inplacePartialDirectory) else { return }
        throw TransferFailure(
            .protocolIncompatible,
            lines: [Bytes("rsync: refusing unconfined partial basis for ") + list.path(entry)])
    }

    /// Reads one reply's data; returns what the generator is to be told, nil if somebody else will tell it.
    func receiveFile(
        _ ndx: Int32, _ list: FileSegment, _ entry: UnsafeMutablePointer<FileEntry>, _ given: ItemRecord
    ) throws(TransferFailure) -> ReceiverEvents.Event? {
        var record = given
        if session.protocolVersion < 29 { record.basisType = guessedBasis }
        let isRedo = !redoAsked.isEmpty && redoAsked.contains(ndx)
        let parent = cache.descriptor(entry.pointee.directory)
        if parent < 0 {
            if record.basisType == BasisType.partialDirectory { try refusePartialBasis(list, entry.pointee) }
            reportParent(list, entry.pointee, -parent)
            try discard()
            return .failed(ndx)
        }
        // The generator has looked: nothing is to be opened, compared or replaced.
        let isNew =
            list.absentPlaces.contains(Int(ndx - list.ndxStart)) && !isRedo && record.basisType == BasisType.destination
            && !options.updatesInPlace && session.protocolVersion >= 29
        var basisStatus = FileStatus()
        var basisDescriptor: Int32 = -1
        let cName = destination.name(list, entry.pointee, name)
        var partialHold: PartialPlace.Held?
        defer {
            if basisDescriptor >= 0 { _ = FileSystem.close(basisDescriptor) }
            partialHold?.close()
        }
        switch record.basisType {
        case BasisType.partialDirectory:
            if let directory = destination.partialDirectory {
                let place = PartialPlace(
                    root: destination, parent: parent, directory: directory,
                    name: destination.ownName(list, entry.pointee))
                partialHold = place.open(create: false)
                if let held = partialHold {
                    basisDescriptor = opened(held.descriptor, otherName.cString(place.name), &basisStatus)
                    if basisDescriptor < 0 {
                        held.close()
                        partialHold = nil
                    }
                }
            }
            if basisDescriptor < 0 || basisStatus.isDirectory { try refusePartialBasis(list, entry.pointee) }
        case BasisType.backup:
            var code: Int32 = 0
            let backup = Backup.location(
                destination, parent, destination.ownPath(list, entry.pointee), destination.ownName(list, entry.pointee),
                code: &code)
            if let backup {
                basisDescriptor = opened(backup.directory, otherName.cString(backup.name), &basisStatus)
                backup.close()
            }
        case BasisType.destination: break
        default:
            basisDescriptor = try openOtherBasis(list, entry.pointee, record, parent, &basisStatus)
            if basisDescriptor >= 0 && basisStatus.isDirectory {
                // The file that was chosen has made room for a directory meanwhile.
                _ = FileSystem.close(basisDescriptor)
                basisDescriptor = -ENOENT
            }
        }
        if session.protocolVersion < 29 && basisDescriptor < 0 {
            record.basisType = BasisType.destination
            basisDescriptor = opened(parent, cName, &basisStatus)
            if basisDescriptor < 0 && !alternates.isEmpty {
                record.basisType = 0
                basisDescriptor = try openOtherBasis(list, entry.pointee, record, parent, &basisStatus)
            }
        }
        let isOther =
            basisDescriptor >= 0 && record.basisType != BasisType.destination
            && record.basisType != BasisType.partialDirectory
            && record.basisType != BasisType.backup
        if basisDescriptor < 0 && record.basisType != BasisType.backup && !isNew {
            basisDescriptor = opened(parent, cName, &basisStatus)
        }
        if basisDescriptor >= 0 && basisStatus.isDirectory {
            session.reporter.errorTransfer(
                Bytes("recv_files: ") + destination.display(list, entry.pointee) + Bytes(" is a directory"))
            try discard()
            return .failed(ndx)
        }
        var existing = FileStatus()
        var exists = false
        if !isNew {
            exists = try destination.status(parent, cName, &existing, role: .receiver) == 0 && existing.isRegular
        }
        // Without --perms a new version keeps the mode of what it is made from, wherever that lies.
        let mode = destination.finalMode(
            list.mode(entry.pointee), existing: basisDescriptor >= 0 ? basisStatus : exists ? existing : nil,
            parent: (parent, entry.pointee.directory),
            role: .receiver)

        let completesPartial =
            partialHold != nil && basisDescriptor >= 0 && session.flags.contains(.inplacePartialDirectory)
            && record.basisType == BasisType.partialDirectory
        guard
            var target = openTarget(
                list, entry.pointee, parent, cName, completesPartial ? partialHold : nil, existing, exists)
        else {
            try discard()
            return .failed(ndx)
        }
        hasTarget = true
        newMode = mode
        report(list, entry.pointee, given, before: true)
        let outcome: Verification
        do throws(TransferFailure) {
            outcome = try receiveData(
                target.descriptor, basisDescriptor, basisStatus.length, list, entry.pointee, record,
                inPlace: target.isInPlace || target.isPartialFile, basisIsOther: isOther, isDevice: target.isDevice,
                isRedo: isRedo, preallocateOld: existing.length)
        } catch {
            keepInterrupted(&target, list, entry.pointee, parent, mode)
            throw error
        }
        if options.fsync {
            let code = FileSystem.synchronize(descriptor: target.descriptor)
            if code != 0 {
                throw fatal(Bytes("fsync failed on ") + destination.display(list, entry.pointee), code)
            }
        }
        attributeBasis = isOther ? basisDescriptor : -1
        defer { attributeBasis = -1 }
        return try conclude(outcome, &target, ndx, list, entry, parent, mode, existing, exists, isRedo, partialHold)
    }

    /// What the generator has used, where records of old protocols do not tell.
    private var guessedBasis: UInt8 {
        if options.updatesInPlace && options.backup { return BasisType.backup }
        return destination.partialDirectory == nil ? BasisType.destination : BasisType.partialDirectory
    }

    /// Opens a basis outside of the destination file's own places: in an alternate directory, or one of similar name.
    private func openOtherBasis(
        _ list: FileSegment, _ entry: FileEntry, _ record: ItemRecord, _ parent: Int32, _ status: inout FileStatus
    ) throws(TransferFailure) -> Int32 {
        let type = record.basisType
        let isSimilar = type >= BasisType.fuzzy
        if isSimilar && options.fuzzy == 0 {
            throw session.fail(
                .protocolIncompatible, "rsync: refusing malicious fuzzy operation for \(record.xname.displayText)")
        }
        var directory = parent
        if type != BasisType.fuzzy {
            let index = Int(isSimilar ? type - BasisType.fuzzy - 1 : type)
            if index >= alternates.places.count {
                throw session.fail(.protocolIncompatible, "invalid basis_dir index: \(type).")
            }
            directory = alternates.descriptor(index, entry.directory)
        }
        if directory < 0 { return directory }
        let own = destination.ownName(list, entry)
        let wanted = isSimilar ? Destination.lexicallyClean(record.xname, keepsParents: false) : own
        if let daemon = session.daemonFilters, isSimilar {
            let shown = list.path(entry).splitLastComponent.directory.appendingComponent(wanted)
            if FilterWalk.excludes(daemon, shown, isDirectory: false) { return -ENOENT }
        }
        let (sub, last) = wanted.splitLastComponent
        if sub.isEmpty { return opened(directory, otherName.cString(last), &status) }
        let held = otherName.cString(sub.drop { $0 == UInt8(ascii: "/") }.map(\.self))
        let inner = ConfinedPath.openDirectory(directory, held)
        if inner < 0 { return inner }
        defer { _ = FileSystem.close(inner) }
        return opened(inner, otherName.cString(last), &status)
    }

    func fatal(_ text: Bytes, _ code: Int32) -> TransferFailure {
        TransferFailure(
            .fileIO, lines: [Bytes("rsync: [receiver] ") + text + Bytes(text: ": \(errnoText(code)) (\(code))")],
            role: .receiver)
    }

    private func openTarget(
        _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ cName: UnsafePointer<CChar>,
        _ partial: PartialPlace.Held?, _ existing: FileStatus, _ exists: Bool
    ) -> Target? {
        if let partial {
            let descriptor = FileSystem.open(
                partial.descriptor, otherName.cString(destination.ownName(list, entry)), O_RDWR | O_NOFOLLOW)
            if descriptor >= 0 {
                return Target(descriptor: descriptor, directory: partial.descriptor, isPartialFile: true)
            }
        }
        if options.updatesInPlace {
            var descriptor = FileSystem.open(parent, cName, O_WRONLY | O_CREAT | O_NOFOLLOW, mode: 0o600)
            if descriptor == -EACCES { descriptor = FileSystem.open(parent, cName, O_WRONLY | O_NOFOLLOW) }
            if descriptor == -EACCES && exists && existing.mode & 0o200 == 0 {
                _ = FileSystem.setMode(parent, cName, existing.mode & 0o7777 | 0o200)
                descriptor = FileSystem.open(parent, cName, O_WRONLY | O_NOFOLLOW)
                _ = FileSystem.setMode(parent, cName, existing.mode & 0o7777)
            }
            if descriptor < 0 {
                session.reporter.systemError(
                    .receiver, Bytes("open ") + destination.display(list, entry) + Bytes(" failed"), -descriptor)
                return nil
            }
            var target = Target(descriptor: descriptor, directory: parent, isInPlace: true)
            var now = FileStatus()
            target.isDevice = FileSystem.status(descriptor: descriptor, &now) == 0 && now.isDevice
            return target
        }
        var directory = parent
        var hidden = true
        if let temp = options.tempDirectory {
            directory = destination.tempDescriptor(temp)
            hidden = false
            // Compatibility: rsync 3.5.0 makes no file in a directory whose path goes up.
            let goesUp = temp.fields { $0 == UInt8(ascii: "/") }.contains(Bytes(".."))
            let isRefused = goesUp && !options.insecureLinks && !session.environment.sanitizesPaths
            if isRefused || directory < 0 {
                if !isRefused { session.reporter.warning(Bytes(untrustedLinkText)) }
                let base = destination.localName ?? destination.ownName(list, entry)
                let shown = temp.appendingComponent(base.withUnsafeBytes { TemporaryName.stem($0, hidden: false) })
                session.reporter.systemError(
                    .receiver, Bytes("mkstemp ") + session.fullName(shown + Bytes("XXXXXX")) + Bytes(" failed"),
                    isRefused ? EINVAL : -directory)
                return nil
            }
        }
        let mode = (list.mode(entry) | (options.fakeSuper ? 0o600 : 0o200)) & 0o700
        let descriptor = createTemporary(directory, list, entry, hidden: hidden, mode: mode, into: temporaryName)
        if descriptor < 0 {
            var shown = list.path(entry).splitLastComponent.directory
            shown = shown.appendingComponent(Bytes(cString: temporaryName))
            session.reporter.systemError(
                .receiver, Bytes("mkstemp ") + destination.fullName(shown) + Bytes(" failed"), -descriptor)
            return nil
        }
        // A later run adopts the temporary file of a dead one: the lock tells that this one lives.
        if entry.length >= 1 << 20 && (options.partial || destination.partialDirectory != nil) {
            _ = dray_try_flock(descriptor)
        }
        return Target(descriptor: descriptor, temporary: UnsafePointer(temporaryName), directory: directory)
    }

    private func createTemporary(
        _ directory: Int32, _ list: FileSegment, _ entry: FileEntry, hidden: Bool, mode: UInt32,
        into name: UnsafeMutablePointer<CChar>
    ) -> Int32 {
        if let localName = destination.localName {
            return localName.withUnsafeBytes {
                temporaryNames.create(directory, base: $0, hidden: hidden, mode: mode, into: name)
            }
        }
        return temporaryNames.create(directory, base: list.name(entry), hidden: hidden, mode: mode, into: name)
    }

    // MARK: - Putting in place

    private func conclude(
        _ outcome: Verification, _ target: inout Target, _ ndx: Int32, _ list: FileSegment,
        _ entry: UnsafeMutablePointer<FileEntry>, _ parent: Int32, _ mode: UInt32, _ existing: FileStatus,
        _ exists: Bool,
        _ isRedo: Bool, _ partialHold: PartialPlace.Held?
    ) throws(TransferFailure) -> ReceiverEvents.Event? {
        var kept = "discarded"
        if outcome == .good {
            if partialHold == nil, let temporary = target.temporary, let lane = lane(for: entry.pointee) {
                let job = CommitLane.Job(
                    ndx: ndx, list: list, entry: entry.pointee, mode: mode, parent: parent,
                    descriptor: target.descriptor)
                lane.put(job, temporary: temporary)
                return nil
            }
            let stored = store(&target, list, entry.pointee, parent, mode, choice: .exactTime, to: .final)
            // Nothing more is to be overwritten that cannot be saved.
            if backupIsMissing { throw TransferFailure(.fileIO, role: .receiver) }
            // A delayed file now stands in the partial file's place.
            let isDelayed = options.delayUpdates && destination.localName == nil
            if !target.isInPlace, !isDelayed, let partialHold {
                _ = FileSystem.unlink(
                    partialHold.descriptor, otherName.cString(destination.ownName(list, entry.pointee)))
                partialHold.removeIfEmpty()
            }
            if !stored { return .failed(ndx) }
            if options.delayUpdates && destination.localName == nil && !target.isInPlace {
                delayed.append(ndx)
                return .delayed
            }
            return .success(ndx)
        }
        if target.isInPlace {
            _ = store(&target, list, entry.pointee, parent, mode, choice: .skipTime, to: .final)
            kept = "retained"
        } else if destination.partialDirectory != nil {
            kept =
                store(&target, list, entry.pointee, parent, mode, choice: .skipTime, to: .partial)
                ? "put into partial-dir" : kept
        } else if options.partial {
            kept = store(&target, list, entry.pointee, parent, mode, choice: .skipTime, to: .final) ? "retained" : kept
        } else {
            dropTarget(&target)
        }
        let shown = destination.localName ?? list.path(entry.pointee)
        if isRedo {
            session.reporter.errorTransfer(
                Bytes("ERROR: ") + shown + Bytes(text: " failed verification -- update \(kept)."))
            return .failed(ndx)
        }
        redoAsked.insert(ndx)
        if options.readsBatch { resendWanted.insert(ndx) }
        let outlook = options.readsBatch ? "may" : "will"
        if options.info[.name] >= 1 || options.itemize > 0 {
            session.reporter.warning(
                Bytes("WARNING: ") + shown
                    + Bytes(text: " failed verification -- update \(kept) (\(outlook) try again)."))
        }
        return .redo(ndx)
    }

    /// The thread that puts a file in place; nil for large files, where it would gain nothing, and for the first few.
    private func lane(for entry: FileEntry) -> CommitLane? {
        guard mayCommitLater, entry.length <= 1 << 18 else { return nil }
        if lane == nil && statistics.transferredFiles > 32 {
            lane = CommitLane(destination: destination, events: events)
            mayCommitLater = lane != nil
        }
        return lane
    }

    private enum Place { case final, partial }

    private func dropTarget(_ target: inout Target) {
        if target.descriptor >= 0 { _ = FileSystem.close(target.descriptor) }
        target.descriptor = -1
        if let temporary = target.temporary { _ = FileSystem.unlink(target.directory, temporary) }
    }

    /// Backup, attributes, close, rename; false if the file did not reach its place (reported).
    private func store(
        _ target: inout Target, _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ mode: UInt32,
        choice: Destination.AttributeChoice, to wanted: Place
    ) -> Bool {
        var place = wanted
        if place == .final && options.delayUpdates && !target.isInPlace && destination.localName == nil {
            place = .partial
        }
        let takesOld = options.xattrs > 0 && attributeBasis < 0 && !target.isInPlace
        let old = takesOld ? heldOld(parent, destination.name(list, entry, name)) : -1
        let held = attributeBasis >= 0 ? attributeBasis : old
        defer { if old >= 0 { _ = FileSystem.close(old) } }
        if place == .final && options.backup && !target.isInPlace {
            if Backup.make(
                destination, parent, destination.ownName(list, entry), destination.ownPath(list, entry),
                keepsOriginal: true) != 0
            {
                dropTarget(&target)
                backupIsMissing = true
                return false
            }
        }
        var status = FileStatus()
        _ = FileSystem.status(descriptor: target.descriptor, &status)
        let cName = destination.name(list, entry, name)
        destination.setAttributes(
            directory: target.directory, name: cName, descriptor: target.descriptor, list: list, entry: entry,
            mode: mode, status: &status, choice: choice,
            basis: held >= 0 ? AttributeTarget(descriptor: held) : nil,
            shown: shownTarget(target, list, entry), role: .receiver)
        let code = FileSystem.close(target.descriptor)
        target.descriptor = -1
        if code != 0 {
            session.reporter.systemError(
                .receiver, Bytes("close failed on ") + destination.display(list, entry), code)
        }
        if target.isInPlace { return code == 0 }
        if target.isPartialFile {
            if place == .partial { return true }
            return finishRename(
                FileSystem.rename(target.directory, otherName.cString(destination.ownName(list, entry)), parent, cName),
                target, list, entry, (parent, cName), mode, choice)
        }
        guard let temporary = target.temporary else { return false }
        if place == .partial, let directory = destination.partialDirectory {
            let spot = PartialPlace(
                root: destination, parent: parent, directory: directory, name: destination.ownName(list, entry))
            guard let held = spot.open(create: true) else {
                session.reporter.errorTransfer(
                    Bytes("Unable to create partial-dir for ") + list.path(entry) + Bytes(" -- discarding ")
                        + Bytes(options.delayUpdates && choice == .exactTime ? "completed file." : "partial file."))
                dropTarget(&target)
                return false
            }
            defer { held.close() }
            let kept = otherName.cString(spot.name)
            return finishRename(
                FileSystem.rename(target.directory, temporary, held.descriptor, kept), target, list, entry,
                (held.descriptor, kept), mode, choice)
        }
        if options.debug[.recv] >= 1 {
            let path = list.path(entry)
            let shown = Bytes(
                UnsafeBufferPointer(start: temporary, count: strlen(temporary)).map(UInt8.init(bitPattern:)))
            session.reporter.info(
                Bytes("renaming ") + path.splitLastComponent.directory.appendingComponent(shown) + Bytes(" to ") + path)
        }
        return finishRename(
            FileSystem.rename(target.directory, temporary, parent, cName), target, list, entry, (parent, cName), mode,
            choice)
    }

    /// The file that is being replaced, whose long attribute values serve where they are the same; −1 if there is none.
    private func heldOld(_ parent: Int32, _ name: UnsafePointer<CChar>) -> Int32 {
        FileSystem.open(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    }

    /// Path of the file whose attributes are being set, for messages.
    private func shownTarget(_ target: Target, _ list: FileSegment, _ entry: FileEntry) -> Bytes? {
        guard let temporary = target.temporary,
            options.xattrs > 0 || options.acls || options.debug[.own] > 0 || options.userMap != nil
                || options.groupMap != nil
        else { return nil }
        return list.path(entry).splitLastComponent.directory.appendingComponent(Bytes(cString: temporary))
    }

    private func finishRename(
        _ code: Int32, _ target: Target, _ list: FileSegment, _ entry: FileEntry,
        _ place: (directory: Int32, name: UnsafePointer<CChar>), _ mode: UInt32, _ choice: Destination.AttributeChoice
    ) -> Bool {
        if code == 0 { return true }
        var result = code
        if code == EXDEV, let temporary = target.temporary {
            result = copyAcross(target.directory, temporary, list, entry, place, mode, choice)
            if result == 0 { return true }
        }
        destination.reportRename(list, entry, target.temporary, result, verb: code == EXDEV ? "copy " : "rename ")
        if let temporary = target.temporary { _ = FileSystem.unlink(target.directory, temporary) }
        return false
    }

    /// The run is ending in the middle of a file: keeps what the options ask to keep.
    private func keepInterrupted(
        _ target: inout Target, _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ mode: UInt32
    ) {
        _ = output.flush()
        if target.isInPlace || target.isPartialFile {
            if target.isPartialFile {
                _ = output.finish(truncate: true)
            }
            _ = FileSystem.close(target.descriptor)
            target.descriptor = -1
            return
        }
        guard literalSeen && (options.partial || destination.partialDirectory != nil) else {
            return dropTarget(&target)
        }
        _ = output.finish(truncate: options.preallocate)
        if destination.partialDirectory != nil {
            _ = store(&target, list, entry, parent, mode, choice: .skipTime, to: .partial)
        } else {
            _ = store(&target, list, entry, parent, mode, choice: .epochTime, to: .final)
        }
    }
}
