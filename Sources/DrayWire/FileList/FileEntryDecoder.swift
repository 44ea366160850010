// Dray — reads file-list entries.
// Layer: Wire. Wire format: chapter 02 §2, §3, §11.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Decodes entries, bounding every value, into segments.
public final class FileEntryDecoder {
    /// Maps a received id (with its name if one came) to the local one.
    public typealias IDMap = (UInt32, Bytes?) -> UInt32
    /// Group mapping also tells whether this process may not set the group.
    public typealias GroupMap = (UInt32, Bytes?) -> (gid: UInt32, skip: Bool)

    /// Result of one step.
    public enum Step: Equatable {
        /// An entry was appended with this wire number.
        case entry(Int)
        /// The list ended with this I/O error value.
        case end(ioError: Int32)
    }

    let reader: WireReader
    let format: FileListFormat
    /// ACLs and xattr lists received so far.
    public let metadata = ReceivedMetadata()
    /// The name an attribute gets here; nil drops it.
    public var localXattrName: (Bytes) -> Bytes? = { $0 }
    @exclusivity(unchecked) public var mapUser: IDMap = { id, _ in id }
    @exclusivity(unchecked) public var mapGroup: GroupMap = { id, _ in (id, false) }
    /// The same for ids in ACLs of incremental lists, where they are mapped by other rules.
    public var mapAccessUser: IDMap?
    public var mapAccessGroup: IDMap?
    /// Judges each cleaned name before it is stored (unrequested and excluded names); may raise directory flags.
    @exclusivity(unchecked) public var judge:
        ((_ name: Bytes, _ mode: UInt32, _ flags: inout FileEntryFlags) throws(TransferFailure) -> Void)?
    /// Changes the mode of an entry (`--chmod`, daemon `incoming chmod`).
    @exclusivity(unchecked) public var changeMode: ((UInt32) -> UInt32)?
    /// Changes a symlink target before it is stored (munging, sanitising).
    @exclusivity(unchecked) public var changeTarget: ((Bytes, Bytes) -> Bytes)?
    /// Names in the local character set (`--iconv`); nil makes the entry an inactive one.
    @exclusivity(unchecked) public var convertPath: ((Bytes) -> Bytes?)?
    /// The same for symlink targets (second argument: the link's path).
    @exclusivity(unchecked) public var convertTarget: ((Bytes, Bytes) -> Bytes?)?
    /// Makes a peer's name safe for a daemon without chroot.
    @exclusivity(unchecked) public var sanitizeName: ((Bytes) -> Bytes)?

    private let name: UnsafeMutablePointer<UInt8>
    @exclusivity(unchecked) private var nameLength = 0
    @exclusivity(unchecked) private var mode: UInt32 = 0
    @exclusivity(unchecked) private var mtime: Int64 = 0
    @exclusivity(unchecked) private var atime: Int64 = 0
    @exclusivity(unchecked) private var uid: UInt32 = 0
    @exclusivity(unchecked) private var mappedUID: UInt32 = 0
    @exclusivity(unchecked) private var gid: UInt32 = 0
    @exclusivity(unchecked) private var mappedGID: (gid: UInt32, skip: Bool) = (0, false)
    @exclusivity(unchecked) private var rdevMajor: UInt32 = 0
    @exclusivity(unchecked) private var rdevOld: UInt32 = 0
    @exclusivity(unchecked) private var dev: Int64 = 0
    private struct Inode: Hashable {
        var device: Int64
        var inode: Int64
    }
    /// Groups below protocol 30 by (device, inode).
    private var oldGroups: [Inode: Int32] = [:]
    private let cleaned: UnsafeMutablePointer<UInt8>
    /// The name in the local character set.
    private let converted: UnsafeMutablePointer<UInt8>
    /// The name just read has no form here: its entry only keeps its number.
    @exclusivity(unchecked) private var isUnusable = false

    public init(reader: WireReader, format: FileListFormat) {
        self.reader = reader
        self.format = format
        name = .allocate(capacity: Limits.maxPath)
        cleaned = .allocate(capacity: Limits.maxPath)
        converted = .allocate(capacity: Limits.maxPath)
    }

    deinit {
        name.deallocate()
        cleaned.deallocate()
        converted.deallocate()
    }

    func fail(_ code: ExitCode, _ lines: String...) -> TransferFailure {
        TransferFailure(code, lines: lines.map { Bytes(text: $0) }, role: reader.role)
    }

    /// Reads the next entry or the end of the list.
    public func next(into segment: FileSegment) throws(TransferFailure) -> Step {
        var xflags: UInt32
        if format.varintFlags {
            xflags = UInt32(bitPattern: try reader.varint())
            if xflags == 0 { return .end(ioError: try reader.varint()) }
        } else {
            xflags = UInt32(try reader.byte())
            if xflags == 0 { return .end(ioError: 0) }
            if format.protocolVersion >= 28 && xflags & Xmit.extendedFlags != 0 {
                xflags |= UInt32(try reader.byte()) << 8
                if xflags == Xmit.extendedFlags | Xmit.ioErrorEndList {
                    if !format.safeList {
                        throw fail(.protocolIncompatible, "Invalid flist flag: " + String(xflags, radix: 16))
                    }
                    return .end(ioError: try reader.varint())
                }
            }
        }
        return .entry(try entry(xflags, segment))
    }

    private func readName(_ xflags: UInt32) throws(TransferFailure) {
        let prefix = xflags & Xmit.sameName != 0 ? Int(try reader.byte()) : 0
        let suffix = xflags & Xmit.longName != 0 ? Int(try reader.varint30()) : Int(try reader.byte())
        if suffix < 0 || prefix + suffix >= Limits.maxPath {
            let last = String(decoding: UnsafeBufferPointer(start: name, count: nameLength), as: UTF8.self)
            throw fail(
                .outOfMemory,
                "overflow: xflags=0x\(String(xflags, radix: 16)) l1=\(prefix) l2=\(suffix) lastname=\(last) [\(reader.who)]",
                "[\(reader.who)] buffer overflow: recv_file_entry (file=\(#fileID), line=\(#line))")
        }
        if prefix > nameLength {
            // A prefix beyond the last name would expose stale bytes: they are defined as NUL.
            (name + nameLength).initialize(repeating: 0, count: prefix - nameLength)
        }
        try reader.bytes(into: UnsafeMutableRawBufferPointer(start: name + prefix, count: suffix))
        nameLength = prefix + suffix
    }

    private func entry(_ wireFlags: UInt32, _ segment: FileSegment) throws(TransferFailure) -> Int {
        var xflags = wireFlags
        try readName(xflags)
        let (path, directory, lastStart) = try cleanedName(segment.paths)
        let lastName = UnsafeRawBufferPointer(rebasing: path[lastStart...])

        var flags: FileEntryFlags = []
        var group: Int32 = -1
        if format.protocolVersion >= 30 && xflags & Xmit.hardLinked != 0 {
            flags.insert(.hardLinked)
            if xflags & Xmit.hardLinkFirst != 0 {
                flags.insert(.hardLinkFirst)
                group = segment.ndxStart + Int32(segment.count)
            } else {
                group = try reader.varint()
                let limit = segment.ndxStart + Int32(segment.count)
                if group < 0 || group >= limit {
                    throw fail(.protocolIncompatible, "hard-link reference out of range: \(group) (\(limit))")
                }
                if group >= segment.ndxStart {
                    let first = segment.wireEntry(Int(group - segment.ndxStart)).pointee
                    return try abbreviated(first, group, flags, directory, lastName, path, segment)
                }
            }
        }

        let length = try reader.varlong30(3)
        if xflags & Xmit.sameTime == 0 {
            mtime =
                format.protocolVersion >= 30
                ? try reader.varlong(4) : Int64(UInt32(bitPattern: try reader.int32()))
        }
        var nanoseconds: UInt32 = 0
        if xflags & Xmit.modNanoseconds != 0 {
            nanoseconds = UInt32(try reader.bounded("modtime_nsec", 0...999_999_999))
            flags.insert(.hasNanoseconds)
        }
        if xflags & Xmit.sameMode == 0 { mode = UInt32(bitPattern: try reader.int32()) }
        try checkMode(path)
        let type = mode & FileType.mask
        let isDirectory = type == FileType.directory
        if format.preserveAtimes && !isDirectory && xflags & Xmit.sameAtime == 0 { atime = try reader.varlong(4) }
        try readIDs(xflags)
        var extra = FileExtra()
        var needsExtra = group >= 0
        if format.hasDeviceNumber(mode) {
            try readRdev(xflags, &extra)
            needsExtra = true
        } else if format.protocolVersion < 28 {
            rdevOld = 0
        }
        var target = Bytes()
        if type == FileType.symlink && format.preserveLinks {
            target = try readTarget()
            if let convertTarget {
                let local = convertTarget(target, Bytes(path))
                isUnusable = isUnusable || local == nil
                target = local ?? []
            }
            if let changeTarget { target = changeTarget(Bytes(path), target) }
            needsExtra = true
        }
        if length < 0 { throw fail(.unsupported, "Offset underflow: file-length is negative") }
        if format.protocolVersion < 30 && format.preserveHardLinks {
            let linked = format.protocolVersion < 28 ? type == FileType.regular : xflags & Xmit.hardLinked != 0
            if linked && !isDirectory {
                group = try readOldLink(xflags, segment, &flags)
                needsExtra = true
            }
        }
        if isDirectory { flags.formUnion(directoryFlags(xflags)) }
        xflags = 0
        if let judge { try judge(Bytes(path), mode, &flags) }
        if isUnusable { flags.insert(.cleared) }
        // An entry that only keeps its number has no name, whatever of it had no form here, and so sorts first.
        let stored = isUnusable ? UnsafeRawBufferPointer(start: nil, count: 0) : lastName
        guard segment.count < Limits.fileListEntries, let nameOffset = segment.storeName(stored) else {
            throw fail(.outOfMemory, "[\(reader.who)] file list has grown too large to expand")
        }
        if format.preserveAtimes { needsExtra = true }
        var extraIndex: Int32 = -1
        if needsExtra {
            extra.hardLinkGroup = group
            extra.atime = atime
            guard let offset = target.withUnsafeBytes({ segment.storeBytes($0) }) else {
                throw fail(.outOfMemory, "[\(reader.who)] file list has grown too large to expand")
            }
            extra.linkOffset = offset
            extra.linkLength = UInt16(target.count)
            extraIndex = segment.appendExtra(extra)
        }
        let storedMode = type == FileType.symlink || mode == 0 ? mode : (changeMode?(mode) ?? mode)
        var entry = FileEntry(
            nameOffset: nameOffset, nameLength: UInt16(stored.count), flags: flags,
            directory: isUnusable ? 0 : directory,
            attributes: 0, length: length, mtime: mtime, nanoseconds: nanoseconds, extra: extraIndex)
        if format.hasChecksum(mode) { try reader.bytes(into: segment.checksum(entry)) }
        var attributes = AttributeTable.Attributes(
            mode: storedMode, uid: mappedUID, gid: mappedGID.gid, skipGroup: mappedGID.skip)
        try readMetadata(storedMode, path, &attributes)
        entry.attributes = segment.attributeTable.intern(attributes)
        return segment.append(entry)
    }

    private func abbreviated(
        _ first: FileEntry, _ group: Int32, _ flags: FileEntryFlags, _ directory: Int32,
        _ lastName: UnsafeRawBufferPointer, _ path: UnsafeRawBufferPointer, _ segment: FileSegment
    ) throws(TransferFailure) -> Int {
        var attributes = segment.attributes(first)
        mode = attributes.mode
        mtime = first.mtime
        // The sender compares the next entry's owner with this one's, although it was not transmitted.
        mappedUID = attributes.uid
        mappedGID = (attributes.gid, attributes.skipGroup)
        var entryFlags = flags
        entryFlags.formUnion(first.flags.intersection(.hasNanoseconds))
        if let judge { try judge(Bytes(path), mode, &entryFlags) }
        if isUnusable { entryFlags.insert(.cleared) }
        guard let nameOffset = segment.storeName(lastName) else {
            throw fail(.outOfMemory, "[\(reader.who)] file list has grown too large to expand")
        }
        var extra = segment.extra(first)?.pointee ?? FileExtra()
        atime = extra.atime
        extra.hardLinkGroup = group
        var entry = first
        entry.nameOffset = nameOffset
        entry.nameLength = UInt16(lastName.count)
        entry.flags = entryFlags
        entry.directory = directory
        entry.extra = segment.appendExtra(extra)
        try readMetadata(attributes.mode, path, &attributes)
        entry.attributes = segment.attributeTable.intern(attributes)
        let number = segment.append(entry)
        if segment.checksumLength > 0 {
            segment.checksum(entry).copyMemory(from: UnsafeRawBufferPointer(segment.checksum(first)))
        }
        return number
    }

    // MARK: - Names

    /// Cleans the raw wire name and splits it.
    private func cleanedName(
        _ paths: PathTable
    ) throws(TransferFailure) -> (UnsafeRawBufferPointer, Int32, Int) {
        let slash = UInt8(ascii: "/")
        let dot = UInt8(ascii: ".")
        var out = 0
        var index = 0
        // A NUL inside a name would cut it silently in every system call.
        var length = 0
        while length < nameLength && name[length] != 0 { length += 1 }
        var name = UnsafePointer(name)
        isUnusable = false
        if let convertPath {
            // Too long a result is as unusable as none.
            let local = convertPath(Bytes(UnsafeBufferPointer(start: name, count: length)))
            isUnusable = local == nil || local!.count >= Limits.maxPath
            length = isUnusable ? 0 : local!.count
            if !isUnusable { local!.withUnsafeBufferPointer { converted.update(from: $0.baseAddress!, count: length) } }
            name = UnsafePointer(converted)
            if isUnusable { return (UnsafeRawBufferPointer(start: cleaned, count: 0), 0, 0) }
        }
        if length > 0 && name[0] == slash {
            if !format.relativeNames { throw unsafeName() }
            cleaned[0] = slash
            out = 1
        }
        while index < length {
            while index < length && name[index] == slash { index += 1 }
            if index == length { break }
            var end = index
            while end < length && name[end] != slash { end += 1 }
            let size = end - index
            if size == 2 && name[index] == dot && name[index + 1] == dot { throw unsafeName() }
            if size == 1 && name[index] == dot {
                index = end
                continue
            }
            if out > 0 && cleaned[out - 1] != slash {
                cleaned[out] = slash
                out += 1
            }
            (cleaned + out).update(from: name + index, count: size)
            out += size
            index = end
        }
        if out == 0 || (out == 1 && cleaned[0] == slash) {
            cleaned[0] = dot
            out = 1
        }
        if let sanitizeName {
            let safe = sanitizeName(Bytes(UnsafeBufferPointer(start: cleaned, count: out)))
            out = min(safe.count, Limits.maxPath - 1)
            for position in 0..<out { cleaned[position] = safe[position] }
        }
        var lastStart = out
        while lastStart > 0 && cleaned[lastStart - 1] != slash { lastStart -= 1 }
        // The directory part keeps a lone leading slash.
        let directoryLength = lastStart == 0 ? 0 : (lastStart == 1 ? 1 : lastStart - 1)
        guard let directory = paths.intern(UnsafeRawBufferPointer(start: cleaned, count: directoryLength), root: 0)
        else { throw fail(.outOfMemory, "[\(reader.who)] file list has grown too large to expand") }
        return (UnsafeRawBufferPointer(start: cleaned, count: out), directory, lastStart)
    }

    private func unsafeName() -> TransferFailure {
        let text = String(decoding: UnsafeBufferPointer(start: name, count: nameLength), as: UTF8.self)
        return fail(.unsupported, "ABORTING due to unsafe pathname from sender: \(text)")
    }

    // MARK: - Fields

    private func checkMode(_ path: UnsafeRawBufferPointer) throws(TransferFailure) {
        let text = { String(decoding: path, as: UTF8.self) }
        switch mode & FileType.mask {
        case FileType.regular, FileType.directory, FileType.symlink, FileType.characterDevice, FileType.blockDevice,
            FileType.fifo, FileType.socket:
            break
        default:
            if mode == 0 && format.allowsMissingMode { break }
            throw fail(
                .protocolIncompatible, "invalid file mode 0\(String(mode, radix: 8)) for \(text()) [\(reader.who)]")
        }
        if path.count == 1 && path[0] == UInt8(ascii: ".") && mode & FileType.mask != FileType.directory {
            throw fail(.protocolIncompatible, "ERROR: rejecting non-directory transfer-root entry: \(text())")
        }
    }

    private func directoryFlags(_ xflags: UInt32) -> FileEntryFlags {
        if format.protocolVersion < 30 {
            return xflags & Xmit.topDirectory != 0 ? [.topDirectory, .contentDirectory] : []
        }
        switch (xflags & Xmit.topDirectory != 0, xflags & Xmit.noContentDirectory != 0) {
        case (true, false): return [.topDirectory, .contentDirectory]
        case (false, false): return [.contentDirectory]
        case (false, true): return []
        case (true, true): return [.impliedDirectory]
        }
    }

    private func readIDs(_ xflags: UInt32) throws(TransferFailure) {
        if format.preserveUID && xflags & Xmit.sameUID == 0 {
            uid = UInt32(bitPattern: try reader.varint30())
            var name: Bytes?
            if xflags & Xmit.userNameFollows != 0 && format.protocolVersion >= 30 {
                name = try reader.bytes(Int(try reader.byte()))
            }
            mappedUID = format.incremental ? mapUser(uid, name) : uid
        }
        if format.preserveGID && xflags & Xmit.sameGID == 0 {
            gid = UInt32(bitPattern: try reader.varint30())
            var name: Bytes?
            if xflags & Xmit.groupNameFollows != 0 && format.protocolVersion >= 30 {
                name = try reader.bytes(Int(try reader.byte()))
            }
            mappedGID = format.incremental ? mapGroup(gid, name) : (gid, false)
        }
    }

    private func readRdev(_ xflags: UInt32, _ extra: inout FileExtra) throws(TransferFailure) {
        let special = FileListFormat.isSpecial(mode)
        if format.protocolVersion < 28 {
            if xflags & Xmit.sameRdevOld == 0 { rdevOld = UInt32(bitPattern: try reader.int32()) }
            extra.deviceMajor = (rdevOld >> 8) & 0xFFF
            extra.deviceMinor = (rdevOld & 0xFF) | (rdevOld >> 12) & ~0xFF
            return
        }
        var major = rdevMajor
        if xflags & Xmit.sameRdevMajor == 0 {
            major = UInt32(bitPattern: try reader.varint30())
            if !special { rdevMajor = major }
        }
        let minor: UInt32
        if format.protocolVersion >= 30 {
            minor = UInt32(bitPattern: try reader.varint())
        } else if xflags & Xmit.rdevMinor8Old != 0 {
            minor = UInt32(try reader.byte())
        } else {
            minor = UInt32(bitPattern: try reader.int32())
        }
        if !special {
            extra.deviceMajor = major
            extra.deviceMinor = minor
        }
    }

    private func readTarget() throws(TransferFailure) -> Bytes {
        let length = try reader.varint30()
        if length < 0 || length >= Limits.maxPath {
            throw fail(
                .outOfMemory, "overflow: linkname_len=\(length)",
                "[\(reader.who)] buffer overflow: recv_file_entry (file=\(#fileID), line=\(#line))")
        }
        return try reader.bytes(Int(length))
    }

    private func readOldLink(
        _ xflags: UInt32, _ segment: FileSegment, _ flags: inout FileEntryFlags
    ) throws(TransferFailure) -> Int32 {
        if format.protocolVersion < 28 || xflags & Xmit.sameDevOld == 0 { dev = try reader.longint() }
        let key = Inode(device: dev, inode: try reader.longint())
        flags.insert(.hardLinked)
        if let known = oldGroups[key] { return known }
        let own = segment.ndxStart + Int32(segment.count)
        oldGroups[key] = own
        flags.insert(.hardLinkFirst)
        return own
    }

    // MARK: - Id lists

    /// Reads the id lists that follow the only list; entries are (id, name).
    public func readIDLists() throws(TransferFailure) -> (users: [(UInt32, Bytes)], groups: [(UInt32, Bytes)]) {
        var users: [(UInt32, Bytes)] = []
        var groups: [(UInt32, Bytes)] = []
        if format.hasIDLists {
            if format.hasUserList { users = try readIDList() }
            if format.hasGroupList { groups = try readIDList() }
        }
        return (users, groups)
    }

    private func readIDList() throws(TransferFailure) -> [(UInt32, Bytes)] {
        var list: [(UInt32, Bytes)] = []
        while true {
            let id = UInt32(bitPattern: try reader.varint30())
            if id == 0 { break }
            let name = try reader.bytes(Int(try reader.byte()))
            // Bounded by the number of distinct ids in the list: others are read and dropped.
            if list.count < 1 << 20 { list.append((id, name)) }
        }
        if format.idZeroNames {
            list.append((0, try reader.bytes(Int(try reader.byte()))))
        }
        return list
    }
}
