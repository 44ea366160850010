// Dray — asking for long attribute values, and applying them to items that the generator handles itself.
// Layer: Engine. Wire format: chapter 02 §6.3; behaviour: chapter 03 §2.5, chapter 04 §15.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayWire

extension Generator {
    /// Adds what differs in ACLs and extended attributes, and remembers which long values are wanted.
    ///
    /// - Returns: the mode bits that count as a difference of permissions.
    func addMetadataDifferences(
        _ flags: inout ItemFlags, _ list: FileSegment, _ entry: FileEntry, exists: Bool, status: FileStatus
    ) -> UInt32 {
        var modeBits: UInt32 = 0o7777
        wantedXattrs = []
        destination.generatorMetadata.isSettled = false
        destination.generatorMetadata.xattrsDiffer = false
        guard options.acls || options.xattrs > 0 else { return modeBits }
        let wanted = destination.xattrs(list, entry)
        guard exists, destination.root >= 0 || alternateDirectory != nil else {
            if let wanted, !wanted.pairs.isEmpty {
                flags.insert(.reportXattr)
                wantedXattrs = wanted.pairs.filter(\.isAbbreviated).map(\.number)
            }
            return modeBits
        }
        let parent = alternateDirectory ?? cache.descriptor(entry.directory)
        guard parent >= 0 else { return modeBits }
        // What is true of an alternate item says nothing about the destination's.
        defer { if alternateDirectory != nil { destination.generatorMetadata.isSettled = false } }
        let place = Destination.Place(
            directory: parent, name: destination.name(list, entry, metadataName), descriptor: -1)
        if destination.aclsDiffer(place, list, entry, status, role: .generator) {
            // Compatibility: rsync has set the ACL, and with it the permissions, of an otherwise unchanged item before
            // it looks what to report.
            if flags.intersection([.transfer, .localChange]).isEmpty && !status.isDirectory && !options.dryRun
                && !options.fakeSuper
            {
                modeBits = 0o7000
            }
            flags.insert(.reportACL)
        }
        let stays = flags.intersection([.transfer, .localChange, .reportACL]).isEmpty
        guard let wanted else {
            destination.generatorMetadata.isSettled = stays
            return modeBits
        }
        let (differs, missing) = destination.generatorMetadata.compare(wanted, place.target)
        if differs { flags.insert(.reportXattr) }
        wantedXattrs = missing
        destination.generatorMetadata.isSettled = stays && !differs
        destination.generatorMetadata.xattrsDiffer = differs
        return modeBits
    }

    /// The status that differences are reported against.
    func reportedStatus(_ list: FileSegment, _ entry: FileEntry, _ status: FileStatus, _ base: ItemFlags) -> FileStatus
    {
        // Compatibility: rsync reports an unchanged file after its attributes were set, and looks at it anew when a
        // change of owner may have taken set-id bits away.
        guard status.isRegular, status.mode & 0o6000 != 0, !options.dryRun, !options.fakeSuper,
            base.intersection([.transfer, .localChange, .matched]).isEmpty
        else { return status }
        let attributes = list.attributes(entry)
        var after = status
        if options.owner && destination.isRoot { after.uid = attributes.uid }
        if options.group && !attributes.skipGroup { after.gid = attributes.gid }
        if after.uid == status.uid && after.gid == status.gid { return status }
        after.mode &= status.mode & 0o010 != 0 ? ~0o6000 : ~0o4000
        return after
    }

    /// Writes the request list of a record for the entry that `differences` looked at last.
    func requestXattrs(_ record: ItemRecord, _ ndx: Int32) throws(TransferFailure) {
        guard record.carriesXattrs(session) else { return }
        guard let (list, entry) = lists.entry(ndx), let wanted = destination.xattrs(list, entry.pointee) else {
            return try writer.byte(0)
        }
        var numbers = XattrNumbers()
        // A sender delivers each value of a list once; the receiver keeps it for all entries with that list.
        for number in wantedXattrs where wanted.request(number) { try numbers.write(number, to: writer) }
        wantedXattrs = []
        try writer.byte(0)
    }

    /// Completes the attributes of an item once their values have come.
    func applyReceivedXattrs(_ list: FileSegment, _ entry: FileEntry) {
        guard !options.dryRun, destination.root >= 0 else { return }
        let parent = cache.descriptor(entry.directory)
        guard parent >= 0 else { return }
        let place = Destination.Place(
            directory: parent, name: destination.name(list, entry, metadataName), descriptor: -1)
        destination.applyXattrs(place, list, entry, destination.generatorMetadata)
    }
}
