// Dray — entries that an alternate directory has already.
// Layer: Engine. Behaviour: chapter 04 §4.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayFiles
import DrayWire
import Glibc

extension Generator {
    /// What the alternate directories did for a regular file.
    enum AlternateOutcome {
        case nothing
        /// A basis for the difference.
        case basis(AlternateBases.Match)
        /// The entry needs nothing more.
        case done
    }

    /// The best match for a regular file; `basisOnly` saves the comparison.
    func alternate(
        _ list: FileSegment, _ entry: FileEntry, basisOnly: Bool = false
    ) -> AlternateBases.Match? {
        if alternates.isEmpty { return nil }
        return alternates.best(entry.directory, destination.name(list, entry, otherName)) { parent, status in
            guard status.isRegular else { return .none }
            if basisOnly || !isUnchanged(list, entry, parent, status) { return .sameKind }
            return hasSameAttributes(list, entry, parent, status) ? .same : .sameContent
        }
    }

    /// Whether everything that is to be preserved (but the access time) is equal already.
    private func hasSameAttributes(
        _ list: FileSegment, _ entry: FileEntry, _ directory: Int32, _ status: FileStatus
    ) -> Bool {
        alternateDirectory = directory
        defer { alternateDirectory = nil }
        if status.isDirectory && options.times && options.omitDirTimes
            && !destination.sameTime(entry.mtime, entry.nanoseconds, status.mtime, status.mtimeNanoseconds)
        {
            // Compatibility: times of directories that are not to be set are compared here all the same.
            return false
        }
        let flags = differences(list, entry, exists: true, status: status, base: [])
        return flags.subtracting(.reportAtime).intersection(.significant).isEmpty
    }

    /// Flags of what differs between an entry and an alternate item.
    private func differences(
        _ list: FileSegment, _ entry: FileEntry, _ match: AlternateBases.Match, base: ItemFlags, xname: Bytes? = nil
    ) -> ItemFlags {
        alternateDirectory = match.directory
        defer { alternateDirectory = nil }
        return differences(list, entry, exists: true, status: match.status, base: base, xname: xname)
    }

    /// Looks for a regular file in the alternate directories and uses it locally if it is complete.
    func tryAlternates(
        _ ndx: Int32, _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, exists: Bool, _ status: FileStatus
    ) throws(TransferFailure) -> AlternateOutcome {
        if exists && alternates.kind == .copy { return .nothing }
        guard let match = alternate(list, entry) else { return .nothing }
        if exists {
            if match.level != .same { return .nothing }
            let isSame = match.status.isSameItem(as: status)
            if alternates.kind == .link && isSame { return .nothing }
        }
        switch (match.level, alternates.kind) {
        case (.same, .compare):
            if exists && !options.dryRun {
                let code = FileSystem.unlink(parent, destination.name(list, entry, name))
                if code != 0 { return .nothing }
            }
            try report(ndx, differences(list, entry, match, base: []))
            if options.removeSourceFiles == 1 && !options.dryRun { announceSuccess(ndx) }
            // It stays absent, so nothing can be linked to it: members that were passed over for it go on without it.
            try skipHardLink(ndx, list, entry)
            return .done
        case (.same, .link) where options.dryRun || linkAlternate(list, entry, parent, match, replaces: exists):
            try reportLinked(ndx, list, entry, match)
            try finishLinked(ndx, list, entry, match)
            return .done
        case (.same, _), (.sameContent, _):
            if exists { return .nothing }
            if options.dryRun || copyLocally(list, entry, parent, match) {
                let flags = differences(list, entry, match, base: .localChange)
                try report(ndx, match.level == .same ? flags.union(.matched) : flags)
                try finishedLocally(ndx, list, entry)
                return .done
            }
            return .nothing
        default: return .basis(match)
        }
    }

    private func reportLinked(
        _ ndx: Int32, _ list: FileSegment, _ entry: FileEntry, _ match: AlternateBases.Match
    ) throws(TransferFailure) {
        let flags = differences(list, entry, match, base: .localChange, xname: [])
        try report(ndx, flags, xname: [])
    }

    /// An entry is a link of an alternate item, or would be one: links the rest of its group.
    private func finishLinked(
        _ ndx: Int32, _ list: FileSegment, _ entry: FileEntry, _ match: AlternateBases.Match,
        removesSource: Bool = true
    ) throws(TransferFailure) {
        if options.dryRun && list.mode(entry) & FileType.mask == FileType.regular {
            let path = alternates.places[match.index].shown.appendingComponent(list.path(entry))
            links.dryAlternate = (match.status, path)
        }
        links.alternateIndex = match.index
        defer {
            links.dryAlternate = nil
            links.alternateIndex = -1
        }
        try finishedLocally(ndx, list, entry, removesSource: removesSource)
    }

    /// Links the alternate item under the entry's name.
    private func linkAlternate(
        _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ match: AlternateBases.Match, replaces: Bool
    ) -> Bool {
        if parent < 0 { return false }
        let original = destination.ownName(list, entry)
        let code = replaceAtomically(list, entry, parent, replaces) { directory, new in
            FileSystem.link(match.directory, self.otherName.cString(original), directory, new)
        }
        if code != 0 { return false }
        if options.atimes > 0, let extra = list.extra(entry), extra.pointee.atime != match.status.atime {
            var status = match.status
            destination.setAttributes(
                directory: parent, name: destination.name(list, entry, name), list: list, entry: entry,
                mode: status.mode, status: &status, role: .generator)
        }
        return true
    }

    /// Copies an alternate file to the entry's place and gives it the entry's attributes.
    private func copyLocally(
        _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ match: AlternateBases.Match
    ) -> Bool {
        if parent < 0 { return false }
        let source = FileSystem.open(
            match.directory, destination.name(list, entry, otherName), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        if source < 0 { return false }
        defer { _ = FileSystem.close(source) }
        let base = destination.ownName(list, entry)
        let cName = destination.name(list, entry, name)
        let temporary = UnsafeMutablePointer<CChar>.allocate(capacity: TemporaryName.capacity)
        defer { temporary.deallocate() }
        var copy: Int32 = -1
        if options.updatesInPlace {
            copy = FileSystem.open(parent, cName, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
        } else {
            copy = base.withUnsafeBytes {
                temporaryNames.create(
                    parent, base: $0, hidden: true, mode: (list.mode(entry) | 0o200) & 0o700, into: temporary)
            }
        }
        if copy < 0 { return copyFailed(list, entry, match, -copy) }
        var code = FileCopy.contents(source, copy)
        if code == 0 && options.fsync { code = FileSystem.synchronize(descriptor: copy) }
        if code == 0 {
            // The values of long attributes may be nowhere else on this side.
            destination.generatorMetadata.copy(
                from: AttributeTarget(descriptor: source), isDirectory: false, to: AttributeTarget(descriptor: copy))
            var status = FileStatus()
            _ = FileSystem.status(descriptor: copy, &status)
            destination.setAttributes(
                directory: parent, name: cName, descriptor: copy, list: list, entry: entry,
                mode: destination.finalMode(list.mode(entry), existing: nil), status: &status, choice: .exactTime,
                role: .generator)
        }
        _ = FileSystem.close(copy)
        if options.updatesInPlace {
            if code != 0 { _ = FileSystem.unlink(parent, cName) }
        } else {
            if code == 0 { code = FileSystem.rename(parent, temporary, parent, cName) }
            if code != 0 { _ = FileSystem.unlink(parent, temporary) }
        }
        return code == 0 || copyFailed(list, entry, match, code)
    }

    private func copyFailed(
        _ list: FileSegment, _ entry: FileEntry, _ match: AlternateBases.Match, _ code: Int32
    ) -> Bool {
        if options.info[.copy] >= 1 {
            let path = destination.localName ?? list.path(entry)
            session.reporter.systemError(
                .generator,
                Bytes("copy_file ") + alternates.places[match.index].shown.appendingComponent(path)
                    + Bytes(" => ") + destination.display(list, entry), code, level: .info)
        }
        return false
    }

    // MARK: - Symlinks, devices, specials, directories

    /// The best match for an item that is no regular file.
    ///
    /// - Parameter isEqual: whether the item in the given directory has the entry's content.
    func alternateItem(
        _ list: FileSegment, _ entry: FileEntry, isEqual: (Int32, FileStatus) -> Bool
    ) -> AlternateBases.Match? {
        if alternates.isEmpty { return nil }
        let type = list.mode(entry) & FileType.mask
        return alternates.best(entry.directory, destination.name(list, entry, otherName)) { parent, status in
            guard status.type == type else { return .none }
            if !isEqual(parent, status) { return .sameKind }
            return hasSameAttributes(list, entry, parent, status) ? .same : .sameContent
        }
    }

    /// What is left to do for a missing item that an alternate directory has.
    enum AlternateItem {
        case done
        /// Create it; `flags` are what to report.
        case create(ItemFlags)
    }

    func useAlternateItem(
        _ ndx: Int32, _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ match: AlternateBases.Match
    ) throws(TransferFailure) -> AlternateItem {
        let base: ItemFlags = [.localChange, match.level == .same ? .matched : .reportChange]
        let flags = differences(list, entry, match, base: base)
        guard match.level == .same else { return .create(flags) }
        switch alternates.kind {
        case .compare:
            // Compatibility: of what is no regular file the source stays.
            try report(ndx, differences(list, entry, match, base: []))
            return .done
        case .copy: return .create(flags)
        case .link:
            guard options.dryRun || linkAlternate(list, entry, parent, match, replaces: false) else {
                return .create([])
            }
            try reportLinked(ndx, list, entry, match)
            try finishLinked(ndx, list, entry, match, removesSource: false)
            return .done
        }
    }
}
