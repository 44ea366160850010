// Dray — writes file-list entries.
// Layer: Wire. Wire format: chapter 02 §2, §3.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// What the walk knows of one file, before it becomes an entry.
public struct SourceEntry {
    /// Wire mode.
    public var mode: UInt32
    public var length: Int64
    public var mtime: Int64
    /// 0 … 999 999 999.
    public var nanoseconds: UInt32
    public var atime: Int64 = 0
    public var uid: UInt32
    public var gid: UInt32
    public var deviceMajor: UInt32 = 0
    public var deviceMinor: UInt32 = 0
    /// File-system identity for hard links; `linkCount` is st_nlink.
    public var device: UInt64 = 0
    public var inode: UInt64 = 0
    public var linkCount: UInt64 = 1
    /// Stripped of what the mode tells.
    public var accessACL = AccessControlList()
    public var defaultACL = AccessControlList()
    /// Sorted by name; long values as digests.
    public var xattrs: [ExtendedAttribute] = []

    public init(mode: UInt32, length: Int64, mtime: Int64, nanoseconds: UInt32, uid: UInt32, gid: UInt32) {
        self.mode = mode
        self.length = length
        self.mtime = mtime
        self.nanoseconds = nanoseconds
        self.uid = uid
        self.gid = gid
    }
}

/// Encodes entries with the state that runs from entry to entry through all lists of a connection.
public final class FileEntryEncoder {
    /// Looks up the name of a user or group id; nil if it has none.
    public typealias NameLookup = (UInt32) -> Bytes?

    let writer: WireWriter
    let format: FileListFormat
    @exclusivity(unchecked) var sent = SentMetadata()
    private let userName: NameLookup
    private let groupName: NameLookup
    @exclusivity(unchecked) private var lastName = Bytes()
    private var mode: UInt32 = 0
    private var mtime: Int64 = 0
    private var atime: Int64 = 0
    private var uid: UInt32 = 0
    private var gid: UInt32 = 0
    private var rdevMajor: UInt32 = 0
    private var rdevOld: UInt32 = 0
    private var dev: UInt64 = 0
    /// Ids whose names were sent or are to be listed, in order of first sight.
    @exclusivity(unchecked) private var users = IDSeen()
    @exclusivity(unchecked) private var groups = IDSeen()
    private struct Inode: Hashable {
        var device: UInt64
        var inode: UInt64
    }
    @exclusivity(unchecked) private var links: [Inode: Int32] = [:]
    @exclusivity(unchecked) private var path = Bytes()
    /// Names in the character set of the wire (`--iconv`).
    @exclusivity(unchecked) public var convertPath: ((Bytes) -> Bytes)?
    /// Told of each file that is the first of its links: device, inode and index.
    @exclusivity(unchecked) public var onFirstLink: ((UInt64, UInt64, Int32) -> Void)?

    private struct IDSeen {
        var known: Set<UInt32> = []
        var named: [(UInt32, Bytes)] = []
        var last: UInt32?
    }

    public init(
        writer: WireWriter, format: FileListFormat, userName: @escaping NameLookup, groupName: @escaping NameLookup
    ) {
        self.writer = writer
        self.format = format
        self.userName = userName
        self.groupName = groupName
        path.reserveCapacity(Limits.maxPath)
        lastName.reserveCapacity(Limits.maxPath)
    }

    /// Writes one entry and appends it to `segment`.
    ///
    /// - Parameters:
    ///   - directory: path-table id of the directory part; `name` is the last component.
    ///   - flags: `topDirectory`, `contentDirectory`, `impliedDirectory` decide the directory bits.
    ///   - checksum: digest of the content, `format.checksumLength` bytes, when the list carries one.
    /// - Returns: the entry's wire number in the segment; nil if the list is full.
    public func encode(
        _ source: SourceEntry, directory: Int32, name: UnsafeRawBufferPointer, linkTarget: Bytes,
        flags entryFlags: FileEntryFlags, checksum: Bytes, into segment: FileSegment
    ) throws(TransferFailure) -> Int? {
        let isDirectory = source.mode & FileType.mask == FileType.directory
        let isSymlink = source.mode & FileType.mask == FileType.symlink
        var xflags: UInt32 = 0
        if isDirectory { xflags |= directoryFlags(entryFlags) }

        composePath(segment.paths.path(directory), name)
        if let convertPath { path = convertPath(path) }
        if source.mode == mode { xflags |= Xmit.sameMode } else { mode = source.mode }
        if source.mtime == mtime { xflags |= Xmit.sameTime } else { mtime = source.mtime }
        if format.protocolVersion >= 31 && source.nanoseconds != 0 { xflags |= Xmit.modNanoseconds }
        let hasAtime = format.preserveAtimes && !isDirectory
        if hasAtime {
            if source.atime == atime { xflags |= Xmit.sameAtime } else { atime = source.atime }
        }
        let first = lastName.isEmpty
        var sendUserName: Bytes?
        var sendGroupName: Bytes?
        if !format.preserveUID || (source.uid == uid && !first) {
            xflags |= Xmit.sameUID
        } else {
            uid = source.uid
            sendUserName = note(&users, uid, userName)
            if sendUserName != nil { xflags |= Xmit.userNameFollows }
        }
        if !format.preserveGID || (source.gid == gid && !first) {
            xflags |= Xmit.sameGID
        } else {
            gid = source.gid
            sendGroupName = note(&groups, gid, groupName)
            if sendGroupName != nil { xflags |= Xmit.groupNameFollows }
        }
        let sendsRdev = format.hasDeviceNumber(source.mode)
        if sendsRdev { xflags |= rdevFlags(source) } else if format.protocolVersion < 28 { rdevOld = 0 }

        let wireNumber = segment.count
        var groupIndex: Int32 = -1
        var isAbbreviated = false
        var storedFlags = entryFlags
        let linked =
            format.preserveHardLinks && !isDirectory
            && (format.protocolVersion >= 28
                ? source.linkCount > 1 : source.mode & FileType.mask == FileType.regular)
        if linked && format.protocolVersion >= 30 {
            let ndx = segment.ndxStart + Int32(wireNumber)
            let key = Inode(device: source.device, inode: source.inode)
            storedFlags.insert(.hardLinked)
            xflags |= Xmit.hardLinked
            if let known = links[key] {
                groupIndex = known
                isAbbreviated = known >= segment.ndxStart
            } else {
                links[key] = ndx
                onFirstLink?(key.device, key.inode, ndx)
                groupIndex = ndx
                xflags |= Xmit.hardLinkFirst
                storedFlags.insert(.hardLinkFirst)
            }
        } else if linked && format.protocolVersion >= 28 {
            xflags |= Xmit.hardLinked
            if source.device == dev { xflags |= Xmit.sameDevOld } else { dev = source.device }
        }

        try writeFlags(&xflags, isDirectory: isDirectory) { (flags: UInt32) throws(TransferFailure) in
            try self.writeName(flags)
        }
        if xflags & Xmit.hardLinked != 0 && format.protocolVersion >= 30 && xflags & Xmit.hardLinkFirst == 0 {
            try writer.varint(groupIndex)
        }
        if !isAbbreviated {
            try writer.varlong30(source.length, 3)
            if xflags & Xmit.sameTime == 0 {
                if format.protocolVersion >= 30 {
                    try writer.varlong(source.mtime, 4)
                } else {
                    try writer.int32(Int32(truncatingIfNeeded: source.mtime))
                }
            }
            if xflags & Xmit.modNanoseconds != 0 { try writer.varint(Int32(source.nanoseconds)) }
            if xflags & Xmit.sameMode == 0 { try writer.int32(Int32(bitPattern: source.mode)) }
            if hasAtime && xflags & Xmit.sameAtime == 0 { try writer.varlong(source.atime, 4) }
            if xflags & Xmit.sameUID == 0 { try writeID(source.uid, sendUserName) }
            if xflags & Xmit.sameGID == 0 { try writeID(source.gid, sendGroupName) }
            if sendsRdev { try writeRdev(source, xflags) }
            if isSymlink && format.preserveLinks {
                try writer.varint30(Int32(linkTarget.count))
                try writer.bytes(linkTarget)
            }
            if linked && format.protocolVersion < 30 {
                if format.protocolVersion < 28 || xflags & Xmit.sameDevOld == 0 {
                    try writer.longint(Int64(truncatingIfNeeded: source.device &+ 1))
                }
                try writer.longint(Int64(bitPattern: source.inode))
            }
            if format.hasChecksum(source.mode) {
                try writer.bytes(
                    checksum.count == format.checksumLength
                        ? checksum : Bytes(repeating: 0, count: format.checksumLength))
            }
        }
        let xattrs = try writeMetadata(source)
        return append(
            source, directory: directory, name: name, linkTarget: linkTarget, flags: storedFlags, checksum: checksum,
            group: groupIndex, xattrs: xattrs, to: segment)
    }

    private func directoryFlags(_ flags: FileEntryFlags) -> UInt32 {
        if format.protocolVersion < 30 { return flags.contains(.topDirectory) ? Xmit.topDirectory : 0 }
        if flags.contains(.impliedDirectory) { return Xmit.topDirectory | Xmit.noContentDirectory }
        if flags.contains(.topDirectory) { return Xmit.topDirectory }
        return flags.contains(.contentDirectory) ? 0 : Xmit.noContentDirectory
    }

    private func composePath(_ directory: UnsafeRawBufferPointer, _ name: UnsafeRawBufferPointer) {
        path.removeAll(keepingCapacity: true)
        if directory.count > 0 {
            path.append(contentsOf: directory)
            if directory.count > 1 || directory[0] != UInt8(ascii: "/") { path.append(UInt8(ascii: "/")) }
        }
        path.append(contentsOf: name)
    }

    /// Remembers an id; returns the name to send inline (incremental lists, first sight only).
    private func note(_ seen: inout IDSeen, _ id: UInt32, _ lookup: NameLookup) -> Bytes? {
        if format.numericIDs || seen.last == id { return nil }
        seen.last = id
        guard seen.known.insert(id).inserted else { return nil }
        guard let name = lookup(id), !name.isEmpty else { return nil }
        let cut = name.count > 255 ? Bytes(name[..<255]) : name
        seen.named.append((id, cut))
        return format.incremental ? cut : nil
    }

    /// The name to send with an id of an ACL.
    func noteUser(_ id: UInt32) -> Bytes? { note(&users, id, userName) }
    func noteGroup(_ id: UInt32) -> Bytes? { note(&groups, id, groupName) }

    private func rdevFlags(_ source: SourceEntry) -> UInt32 {
        let special = FileListFormat.isSpecial(source.mode)
        if format.protocolVersion < 28 {
            let number = special ? rdevOld : Self.packedDevice(source)
            defer { rdevOld = number }
            return number == rdevOld ? Xmit.sameRdevOld : 0
        }
        if special {
            return Xmit.sameRdevMajor | (format.protocolVersion < 30 ? Xmit.rdevMinor8Old : 0)
        }
        var flags: UInt32 = 0
        if source.deviceMajor == rdevMajor { flags |= Xmit.sameRdevMajor } else { rdevMajor = source.deviceMajor }
        if format.protocolVersion < 30 && source.deviceMinor <= 0xFF { flags |= Xmit.rdevMinor8Old }
        return flags
    }

    /// Low 32 bits of the native device number as Linux packs it.
    static func packedDevice(_ source: SourceEntry) -> UInt32 {
        (source.deviceMinor & 0xFF) | (source.deviceMajor & 0xFFF) << 8 | (source.deviceMinor & ~0xFF) << 12
    }

    private func writeFlags(
        _ xflags: inout UInt32, isDirectory: Bool, name: (UInt32) throws(TransferFailure) -> Void
    ) throws(TransferFailure) {
        let common = commonPrefix()
        if common > 0 { xflags |= Xmit.sameName }
        if path.count - common > 255 { xflags |= Xmit.longName }
        if format.varintFlags {
            try writer.varint(Int32(xflags == 0 ? Xmit.extendedFlags : xflags))
        } else if format.protocolVersion >= 28 {
            if xflags == 0 && !isDirectory { xflags |= Xmit.topDirectory }
            if xflags & 0xFF00 != 0 || xflags == 0 {
                xflags |= Xmit.extendedFlags
                try writer.shortint(UInt16(xflags))
            } else {
                try writer.byte(UInt8(xflags))
            }
        } else {
            if xflags & 0xFF == 0 { xflags |= isDirectory ? Xmit.longName : Xmit.topDirectory }
            try writer.byte(UInt8(truncatingIfNeeded: xflags))
        }
        if xflags & Xmit.sameName != 0 { try writer.byte(UInt8(common)) }
        try name(xflags)
        let suffix = path.count - common
        var failure: TransferFailure?
        path.withUnsafeBytes { raw in
            do throws(TransferFailure) {
                try writer.bytes(UnsafeRawBufferPointer(rebasing: raw[common..<(common + suffix)]))
            } catch { failure = error }
        }
        if let failure { throw failure }
        swap(&lastName, &path)
    }

    private func commonPrefix() -> Int {
        let limit = min(255, min(lastName.count, path.count))
        return lastName.withUnsafeBufferPointer { a in
            path.withUnsafeBufferPointer { b in
                var count = 0
                while count < limit && a[count] == b[count] { count += 1 }
                return count
            }
        }
    }

    private func writeName(_ xflags: UInt32) throws(TransferFailure) {
        let suffix = path.count - (xflags & Xmit.sameName != 0 ? commonPrefix() : 0)
        if xflags & Xmit.longName != 0 {
            try writer.varint30(Int32(suffix))
        } else {
            try writer.byte(UInt8(suffix))
        }
    }

    private func writeID(_ id: UInt32, _ name: Bytes?) throws(TransferFailure) {
        try writer.varint30(Int32(bitPattern: id))
        if let name {
            try writer.byte(UInt8(name.count))
            try writer.bytes(name)
        }
    }

    private func writeRdev(_ source: SourceEntry, _ xflags: UInt32) throws(TransferFailure) {
        let special = FileListFormat.isSpecial(source.mode)
        if format.protocolVersion < 28 {
            if xflags & Xmit.sameRdevOld == 0 { try writer.int32(Int32(bitPattern: rdevOld)) }
            return
        }
        if xflags & Xmit.sameRdevMajor == 0 { try writer.varint30(Int32(bitPattern: source.deviceMajor)) }
        let minor = special ? 0 : source.deviceMinor
        if format.protocolVersion >= 30 {
            try writer.varint(Int32(bitPattern: minor))
        } else if xflags & Xmit.rdevMinor8Old != 0 {
            try writer.byte(UInt8(minor))
        } else {
            try writer.int32(Int32(bitPattern: minor))
        }
    }

    private func append(
        _ source: SourceEntry, directory: Int32, name: UnsafeRawBufferPointer, linkTarget: Bytes,
        flags: FileEntryFlags, checksum: Bytes, group: Int32, xattrs: Int32, to segment: FileSegment
    ) -> Int? {
        guard segment.count < Limits.fileListEntries, let nameOffset = segment.storeName(name) else { return nil }
        var extraIndex: Int32 = -1
        let type = source.mode & FileType.mask
        if type == FileType.symlink || group >= 0 || type == FileType.characterDevice || type == FileType.blockDevice
            || format.preserveAtimes
        {
            var extra = FileExtra()
            extra.deviceMajor = source.deviceMajor
            extra.deviceMinor = source.deviceMinor
            extra.hardLinkGroup = group
            extra.atime = source.atime
            guard let linkOffset = linkTarget.withUnsafeBytes({ segment.storeBytes($0) }) else { return nil }
            extra.linkOffset = linkOffset
            extra.linkLength = UInt16(linkTarget.count)
            extraIndex = segment.appendExtra(extra)
        }
        var combination = AttributeTable.Attributes(mode: source.mode, uid: source.uid, gid: source.gid)
        combination.xattrs = xattrs
        let attributes = segment.attributeTable.intern(combination)
        let number = segment.append(
            FileEntry(
                nameOffset: nameOffset, nameLength: UInt16(name.count), flags: flags, directory: directory,
                attributes: attributes, length: source.length, mtime: source.mtime, nanoseconds: source.nanoseconds,
                extra: extraIndex))
        if segment.checksumLength > 0 && checksum.count == segment.checksumLength {
            segment.checksum(segment.wireEntry(number).pointee).copyBytes(from: checksum)
        }
        return number
    }

    /// Ends a list; `ioError` non-zero is reported where the format has room for it.
    public func end(ioError: Int32) throws(TransferFailure) {
        if format.varintFlags {
            try writer.varint(0)
            try writer.varint(ioError)
        } else if ioError != 0 && format.safeList {
            try writer.shortint(UInt16(Xmit.extendedFlags | Xmit.ioErrorEndList))
            try writer.varint(ioError)
        } else {
            try writer.byte(0)
        }
    }

    /// Writes the id lists that follow the only list of a non-incremental run.
    public func writeIDLists() throws(TransferFailure) {
        if !format.hasIDLists { return }
        if format.hasUserList { try writeIDList(users, userName) }
        if format.hasGroupList { try writeIDList(groups, groupName) }
    }

    private func writeIDList(_ seen: IDSeen, _ lookup: NameLookup) throws(TransferFailure) {
        for (id, name) in seen.named.reversed() where id != 0 { try writeID(id, name) }
        try writer.varint30(0)
        if format.idZeroNames {
            let name = lookup(0).map { Bytes($0.prefix(255)) } ?? []
            try writer.byte(UInt8(name.count))
            try writer.bytes(name)
        }
    }
}
