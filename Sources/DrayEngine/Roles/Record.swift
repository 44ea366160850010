// Dray — request and reply records that precede each item's data.
// Layer: Engine. Wire format: chapter 03 §2, §3.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayWire

/// One record without its index.
struct ItemRecord {
    var flags: ItemFlags
    var basisType = BasisType.destination
    var xname = Bytes()

    init(flags: ItemFlags, basisType: UInt8 = BasisType.destination, xname: Bytes = []) {
        self.flags = flags
        self.basisType = basisType
        self.xname = xname
    }

    /// Reads the flags that follow an index; `readDetails` reads the rest once the index is known to be good.
    init(flagsFrom reader: WireReader) throws(TransferFailure) {
        guard reader.protocolVersion >= 29 else {
            flags = [.transfer, .missingData]
            return
        }
        flags = ItemFlags(rawValue: UInt32(try reader.shortint()))
    }

    /// Reads basis type and name, as the flags announce.
    mutating func readDetails(from reader: WireReader) throws(TransferFailure) {
        if flags.contains(.basisTypeFollows) { basisType = try reader.byte() }
        if flags.contains(.xnameFollows) { xname = try reader.vstring(bufferSize: Limits.maxPath) }
    }

    /// Whether a list of long attribute values follows, in both directions (chapter 03 §2.6).
    func carriesXattrs(_ session: Session) -> Bool {
        // Records of protocol 28 and older have no flags to say that a list follows.
        guard session.protocolVersion >= 29, session.options.xattrs > 0, flags.contains(.reportXattr),
            session.options.requestsData
        else { return false }
        let isOptimized = session.protocolVersion >= 31 && !session.flags.contains(.avoidXattrOptimization)
        return !(isOptimized && flags.isSuperset(of: [.xnameFollows, .localChange]))
    }

    /// Writes index and record.
    func write(_ ndx: Int32, to writer: WireWriter) throws(TransferFailure) {
        try writer.ndx(ndx)
        guard writer.protocolVersion >= 29 else { return }
        try writer.shortint(UInt16(truncatingIfNeeded: flags.rawValue))
        if flags.contains(.basisTypeFollows) { try writer.byte(basisType) }
        if flags.contains(.xnameFollows) { try writer.vstring(xname) }
    }
}

extension SumHead {
    /// Reads and bounds a sum head.
    static func read(from reader: WireReader, digestLength: Int) throws(TransferFailure) -> SumHead {
        let count = try reader.int32()
        var who: String { reader.who }
        if count < 0 { throw bad("Invalid checksum count \(count) [\(who)]") }
        let blockLength = try reader.int32()
        let limit = reader.protocolVersion < 30 ? Limits.oldBlockLength : Limits.blockLength
        if blockLength < 0 || Int(blockLength) > limit { throw bad("Invalid block length \(blockLength) [\(who)]") }
        if count > 0 && blockLength == 0 { throw bad("Invalid zero block length [\(who)]") }
        let strongLength = try reader.int32()
        if strongLength < 0 || Int(strongLength) > digestLength {
            throw bad("Invalid checksum length \(strongLength) [\(who)]")
        }
        let remainder = try reader.int32()
        if remainder < 0 || remainder > blockLength { throw bad("Invalid remainder length \(remainder) [\(who)]") }
        return SumHead(count: count, blockLength: blockLength, strongLength: strongLength, remainder: remainder)
    }

    private static func bad(_ text: String) -> TransferFailure { TransferFailure(.protocolIncompatible, text) }

    func write(to writer: WireWriter) throws(TransferFailure) {
        try writer.int32(count)
        try writer.int32(blockLength)
        try writer.int32(strongLength)
        try writer.int32(remainder)
    }
}

/// Deletion statistics on the wire (protocol ≥ 31).
enum DeletionStatistics {
    static func write(_ kinds: TransferStatistics.Kinds, to writer: WireWriter) throws(TransferFailure) {
        try writer.ndx(Ndx.deletionStatistics)
        for value in [kinds.regular, kinds.directories, kinds.symlinks, kinds.devices, kinds.specials] {
            try writer.varint(Int32(clamping: value))
        }
    }

    /// Reads the five numbers after the index.
    static func read(from reader: WireReader) throws(TransferFailure) -> TransferStatistics.Kinds {
        var kinds = TransferStatistics.Kinds()
        let range = 0...Limits.deletionCount
        kinds.regular = Int(try reader.bounded("deleted_files", range))
        kinds.directories = Int(try reader.bounded("deleted_dirs", range))
        kinds.symlinks = Int(try reader.bounded("deleted_symlinks", range))
        kinds.devices = Int(try reader.bounded("deleted_devices", range))
        kinds.specials = Int(try reader.bounded("deleted_specials", range))
        return kinds
    }
}

extension FileSegment {
    /// What reports show of an entry.
    func report(
        _ entry: FileEntry, flags: ItemFlags, xname: Bytes, sending: Bool, protocolVersion: Int32
    ) -> ItemReport {
        let attributes = attributes(entry)
        var flags = flags
        // Older peers do not say whether they can set a symlink's time: it counts as not set.
        if (sending && protocolVersion < 30 || protocolVersion < 29) && flags.contains(.reportTime)
            && attributes.mode & FileType.mask == FileType.symlink
        {
            flags.insert(.reportTimeFail)
        }
        return ItemReport(
            name: path(entry),
            linkTarget: attributes.mode & FileType.mask == FileType.symlink ? Bytes(linkTarget(entry)) : [],
            mode: attributes.mode, length: entry.length, mtime: entry.mtime, uid: attributes.uid, gid: attributes.gid,
            flags: flags, xname: xname, sending: sending)
    }
}

extension Session {
    /// What `%C` shows of a file: its sum in the list, else that of its transfer.
    func shownChecksum(_ list: FileSegment, _ entry: FileEntry, transferred: Bytes?) -> Bytes {
        guard list.mode(entry) & FileType.mask == FileType.regular else { return [] }
        let sum = options.checksum ? Bytes(list.checksum(entry)) : transferred ?? []
        switch options.checksum ? fileChecksum : transferChecksum {
        // These are numbers, which travel with the lowest byte first.
        case .xxh64, .xxh3, .xxh128: return sum.reversed()
        default: return sum
        }
    }
}
