// Dray — hard-link groups on the receiving side.
// Layer: Engine. Behaviour: chapter 04 §14.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayWire
import Glibc

/// What is known of each group. Owned by the generator.
struct HardLinkGroups {
    struct Group {
        /// Where a finished member lies.
        var finished: Finished?
        /// Index of the member whose data was asked for.
        var leader: Int32?
        /// Members that wait for the leader, in list order.
        var waiting: [Int32] = []
        /// Members without a destination that were passed over, in list order.
        var deferred: [Int32] = []
    }
    struct Finished {
        /// Directory path id.
        var directory: Int32
        var name: Bytes
        var path: Bytes
        /// Its index, and the number of the alternate directory it was linked from (−1 for none).
        var ndx: Int32
        var alternateIndex = -1
        /// In a dry run, the alternate file that it would be a link of, and that file's path.
        var alternate: (status: FileStatus, path: Bytes)?
    }
    var groups: [Int32: Group] = [:]
    /// The alternate file that the entry being finished would be a link of.
    var dryAlternate: (status: FileStatus, path: Bytes)?
    /// The alternate directory that the entry being finished was linked from.
    var alternateIndex = -1
    /// Last member of each group in the lists that are known.
    private var last: [Int32: Int32] = [:]
    /// Lists whose groups are known but that have not been walked.
    private var preparedLists = 0
    /// Entries of the lists walked since lists were last waited for; nil at the start.
    private var walkedEntries: Int?
    /// Entries that must be known before the walk goes on, and after how many a sender pauses.
    private static let (enough, pause) = (500, 1000)
    /// Numbers of all groups so far: a list may continue those of earlier lists.
    private var known: Set<Int32> = []
    /// Lists that `check` has seen since the start of the connection.
    private(set) var checkedLists = 0
    /// The next call of `takeNext` looks at more lists than the one that is walked next.
    var looksAhead: Bool { preparedLists == 0 }

    static func group(_ list: FileSegment, _ entry: FileEntry) -> Int32? {
        guard entry.flags.contains(.hardLinked), let extra = list.extra(entry), extra.pointee.hardLinkGroup >= 0 else {
            return nil
        }
        return extra.pointee.hardLinkGroup
    }

    /// Checks the groups of lists that were not looked at yet: a list may only continue those of earlier lists.
    ///
    /// - Parameter first: number of the first of `lists` in the connection.
    mutating func check(_ lists: [FileSegment], first: Int) throws(TransferFailure) {
        checkedLists = first + lists.count
        for segment in lists {
            for position in 0..<segment.count {
                guard let group = Self.group(segment, segment.entry(position).pointee) else { continue }
                if group >= segment.ndxStart {
                    known.insert(group)
                } else if !known.contains(group) {
                    throw TransferFailure(
                        .protocolIncompatible, "hard-link gnum \(group) precedes flist start \(segment.ndxStart)")
                }
            }
        }
    }

    /// Finds the last member of every group of a list; in a complete list a group of one is an ordinary file.
    mutating func prepare(_ segment: FileSegment, dropsSingles: Bool) {
        var counts: [Int32: Int] = [:]
        for position in 0..<segment.count {
            let entry = segment.entry(position).pointee
            if entry.flags.contains(.cleared) { continue }
            guard let group = Self.group(segment, entry) else { continue }
            last[group] = segment.ndx(position)
            counts[group, default: 0] += 1
        }
        guard dropsSingles else { return }
        for position in 0..<segment.count {
            let entry = segment.entry(position)
            if let group = Self.group(segment, entry.pointee), counts[group] == 1 {
                entry.pointee.flags.remove(.hardLinked)
            }
        }
    }

    /// Prepares the list that is walked next; false if lists must be waited for.
    ///
    /// The walk begins when 500 entries are known, and goes on list by list until the sender has paused (at 1000
    /// entries): so both ends agree about the last member of a group.
    mutating func takeNext(_ ready: [FileSegment], complete: Bool) -> Bool {
        if preparedLists == 0 {
            let isPause = walkedEntries == nil || walkedEntries! >= Self.pause
            // What the sender has sent of its own accord follows the first list.
            var known = walkedEntries == nil ? -ready[0].count : 0
            var wanted = 0
            while wanted < ready.count && (wanted == 0 || isPause && known < Self.enough) {
                known += ready[wanted].count
                wanted += 1
            }
            if isPause && known < Self.enough && !complete { return false }
            for segment in ready[..<wanted] { prepare(segment, dropsSingles: false) }
            preparedLists = wanted
            if isPause { walkedEntries = walkedEntries == nil ? -ready[0].count : 0 }
        }
        preparedLists -= 1
        walkedEntries = (walkedEntries ?? 0) + ready[0].count
        return true
    }

    mutating func forget(_ segment: FileSegment) {
        if last.isEmpty { return }
        for position in 0..<segment.count {
            guard let group = Self.group(segment, segment.entry(position).pointee) else { continue }
            if last[group] == segment.ndx(position) { last[group] = nil }
        }
    }

    func isLast(_ group: Int32, _ ndx: Int32) -> Bool { last[group] == ndx }

    /// `ndx` is being transferred for its group.
    mutating func lead(_ ndx: Int32, _ list: FileSegment, _ entry: FileEntry) {
        guard let group = Self.group(list, entry) else { return }
        groups[group, default: Group()].leader = ndx
    }
}

extension Generator {
    /// Handles a member of a group when another member decides about it; true if there is nothing more to do.
    func joinHardLink(
        _ ndx: Int32, _ list: FileSegment, _ entry: FileEntry, _ parent: Int32, _ exists: Bool, _ status: FileStatus
    ) throws(TransferFailure) -> Bool {
        guard let number = HardLinkGroups.group(list, entry) else { return false }
        var group = links.groups[number] ?? HardLinkGroups.Group()
        defer { links.groups[number] = group }
        if let finished = group.finished {
            if options.debug[.hlink] >= 2 { tellLeader(ndx, list, entry, number, finished) }
            try link(ndx, list, entry, to: finished)
            return true
        }
        // The first member looks for nobody.
        if options.debug[.hlink] >= 2 && links.groups[number] != nil {
            let state = group.leader == nil ? "looking for a leader" : "waiting for -1"
            session.reporter.info(hlinkPlace(ndx, list, entry, number) + Bytes(text: state))
        }
        if group.leader != nil {
            group.waiting.append(ndx)
            if !options.dryRun { noteWaiting(ndx) }
            return true
        }
        return false
    }

    private func hlinkPlace(_ ndx: Int32, _ list: FileSegment, _ entry: FileEntry, _ group: Int32) -> Bytes {
        // The first member of a list for everything has no number of its own.
        let first = session.incremental ? group : -1
        return Bytes(text: "hlink for \(ndx) (") + list.path(entry) + Bytes(text: ",\(first)): ")
    }

    /// A member finds one that is in place (`--debug=hlink2`).
    private func tellLeader(
        _ ndx: Int32, _ list: FileSegment, _ entry: FileEntry, _ group: Int32, _ finished: HardLinkGroups.Finished
    ) {
        let place = hlinkPlace(ndx, list, entry, group)
        session.reporter.info(place + Bytes(text: "found flist match (alt \(finished.alternateIndex))"))
        session.reporter.info(place + Bytes(text: "leader is \(finished.ndx) (") + finished.path + Bytes(")"))
    }

    /// A member without any basis is passed over for a later one; true if that happened.
    func deferHardLink(_ ndx: Int32, _ list: FileSegment, _ entry: FileEntry) -> Bool {
        guard options.hardLinks > 0, let number = HardLinkGroups.group(list, entry), !links.isLast(number, ndx) else {
            return false
        }
        links.groups[number, default: HardLinkGroups.Group()].deferred.append(ndx)
        noteWaiting(ndx)
        return true
    }

    /// A member is complete: links the others to it.
    func finishHardLinks(_ ndx: Int32, _ list: FileSegment, _ entry: FileEntry) throws(TransferFailure) {
        guard let number = HardLinkGroups.group(list, entry) else { return }
        var group = links.groups[number] ?? HardLinkGroups.Group()
        if group.finished != nil { return }
        let finished = HardLinkGroups.Finished(
            directory: entry.directory, name: destination.ownName(list, entry), path: list.path(entry), ndx: ndx,
            alternateIndex: links.alternateIndex, alternate: links.dryAlternate)
        group.finished = finished
        // Those that wait were appended to the leader; from it the way goes back to the beginning.
        let others = group.waiting + group.deferred.reversed()
        let waitingCounted = !options.dryRun
        let waitingCount = group.waiting.count
        group.deferred = []
        group.waiting = []
        group.leader = nil
        links.groups[number] = group
        for (position, other) in others.enumerated() {
            if position >= waitingCount || waitingCounted { noteNoLongerWaiting(other) }
            guard other != ndx, let (otherList, otherEntry) = lists.entry(other) else { continue }
            try link(other, otherList, otherEntry.pointee, to: finished, hasWaited: position < waitingCount)
        }
    }

    /// The leader could not be had: another member takes its place.
    func replaceHardLinkLeader(_ ndx: Int32, _ list: FileSegment, _ entry: FileEntry) throws(TransferFailure) {
        guard let number = HardLinkGroups.group(list, entry), var group = links.groups[number], group.finished == nil
        else { return }
        group.leader = nil
        let next = group.waiting.popLast() ?? group.deferred.popLast()
        links.groups[number] = group
        guard let next, let (otherList, otherEntry) = lists.entry(next) else { return }
        noteNoLongerWaiting(next)
        let parent = cache.descriptor(otherEntry.pointee.directory)
        var status = FileStatus()
        let exists =
            try parent >= 0
            ? destination.status(
                parent, destination.name(otherList, otherEntry.pointee, name), &status, role: .generator) == 0 : false
        try handleRegular(next, otherList, otherEntry, parent, exists, status, mayDefer: false)
    }

    /// A member was skipped: if it was the last one, a member that was passed over for it is requested.
    func skipHardLink(_ ndx: Int32, _ list: FileSegment, _ entry: FileEntry) throws(TransferFailure) {
        guard options.hardLinks > 0, let number = HardLinkGroups.group(list, entry), links.isLast(number, ndx),
            links.groups[number]?.leader == nil
        else { return }
        try replaceHardLinkLeader(ndx, list, entry)
    }

    /// Makes one member a link of a finished one.
    private func link(
        _ ndx: Int32, _ list: FileSegment, _ entry: FileEntry, to finished: HardLinkGroups.Finished,
        hasWaited: Bool = false
    ) throws(TransferFailure) {
        let parent = destination.root < 0 ? -ENOENT : cache.descriptor(entry.directory)
        let source = destination.root < 0 ? -ENOENT : cache.descriptor(finished.directory)
        var status = FileStatus()
        let exists =
            try parent >= 0
            ? destination.status(parent, destination.name(list, entry, name), &status, role: .generator) == 0 : false
        var leader = FileStatus()
        if source >= 0 { _ = FileSystem.status(source, otherName.cString(finished.name), follow: false, &leader) }
        if let alternate = finished.alternate { leader = alternate.status }
        if exists && leader.inode != 0 && status.isSameItem(as: leader) {
            // Already the same file: only mentioned when unchanged items are wished.
            var flags = differences(list, entry, exists: true, status: status, base: .localChange, xname: [])
            flags.insert(.localChange)
            try report(ndx, flags, xname: [])
            if options.removeSourceFiles == 1 && !options.dryRun { announceSuccess(ndx) }
            return
        }
        // A member that an alternate directory has under its own name is compared with that, unless it had to wait for
        // the leader's data.
        let isRegular = list.mode(entry) & FileType.mask == FileType.regular
        let match =
            exists || hasWaited || !isRegular && (options.dryRun || alternates.kind != .link)
            ? nil : isRegular ? alternate(list, entry) : alternateItem(list, entry) { _, _ in true }
        // Compatibility: a dry run of rsync names the alternate file to members in later lists that have one as well.
        let isLater = session.incremental && entry.directory != finished.directory && match != nil
        let shownPath = isLater ? finished.alternate?.path ?? finished.path : finished.path
        func reportLink(_ isKnown: Bool, _ status: FileStatus) throws(TransferFailure) {
            var known = isKnown
            var shown = status
            if let match,
                alternates.kind == .link
                    ? match.status.isSameItem(as: leader)
                    : match.level >= .sameContent
            {
                known = true
                shown = match.status
                // A link of what the alternate directory has is an unchanged item.
                if alternates.kind == .link && options.itemize < 2 && options.info[.name] < 2 { return }
            }
            let flags = differences(
                list, entry, exists: known, status: shown, base: .localChange, xname: shownPath)
            try report(ndx, flags, xname: shownPath)
        }
        let sameKind = exists && status.type == list.mode(entry) & FileType.mask
        if options.dryRun {
            return try reportLink(sameKind, status)
        }
        if parent < 0 || source < 0 { return }
        if exists && status.isDirectory && !makeRoom(list, entry, parent, status, "hard link") { return }
        if exists && options.backup && !status.isDirectory {
            _ = Backup.make(
                destination, parent, destination.ownName(list, entry), destination.ownPath(list, entry),
                keepsOriginal: true, role: .generator)
        }
        let code = replaceAtomically(list, entry, parent, exists && !status.isDirectory) {
            directory, new in
            FileSystem.link(source, self.otherName.cString(finished.name), directory, new)
        }
        if code != 0 {
            session.reporter.systemError(
                .generator,
                Bytes("link ") + destination.display(list, entry) + Bytes(" => ") + finished.path + Bytes(" failed"),
                code)
            return
        }
        try reportLink(sameKind, status)
        if options.removeSourceFiles == 1 { announceSuccess(ndx) }
    }
}
