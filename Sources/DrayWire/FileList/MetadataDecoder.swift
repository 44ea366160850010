// Dray — reads ACL and xattr items of file-list entries.
// Layer: Wire. Wire format: chapter 02 §5.1, §5.3, §6.1, §6.3.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// What was received as a literal so far, for the whole connection; shared with the roles that apply it.
public final class ReceivedMetadata: Sendable {
    public let access = AccessControlTable()
    public let standard = AccessControlTable()
    public let xattrs = ExtendedAttributeTable()
    public init() {}
}

extension FileEntryDecoder {
    /// Reads the ACL and xattr fields of an entry of type and permissions `mode` into `attributes`.
    func readMetadata(
        _ mode: UInt32, _ path: UnsafeRawBufferPointer, _ attributes: inout AttributeTable.Attributes
    ) throws(TransferFailure) {
        let type = mode & FileType.mask
        if format.preserveACLs && type != FileType.symlink {
            attributes.accessACL = try readACL(metadata.access, mode: mode, isDefault: false)
            if type == FileType.directory {
                attributes.defaultACL = try readACL(metadata.standard, mode: mode, isDefault: true)
            }
        }
        if format.preserveXattrs { attributes.xattrs = try readXattrs(path) }
    }

    // MARK: - ACLs

    private func readACL(
        _ table: AccessControlTable, mode: UInt32, isDefault: Bool
    ) throws(TransferFailure) -> Int32 {
        let index = try reader.varint()
        if index < 0 || Int(index) > table.count {
            let kind = isDefault ? "ACL_TYPE_DEFAULT" : "ACL_TYPE_ACCESS"
            throw fail(.protocolStream, "recv_acl_index: \(kind) ACL index \(index) > \(table.count)")
        }
        if index > 0 { return index - 1 }
        var list = AccessControlList()
        let flags = try reader.byte()
        if flags & ACLBits.userObject != 0 { list.userObject = try readAccess() }
        if flags & ACLBits.groupObject != 0 { list.groupObject = try readAccess() }
        if flags & ACLBits.mask != 0 { list.mask = try readAccess() }
        if flags & ACLBits.other != 0 { list.other = try readAccess() }
        if flags & ACLBits.named != 0 { list.named = try readNamed() }
        if !list.named.isEmpty && list.mask == AccessControlList.absent {
            list.mask =
                isDefault
                ? list.named.reduce(list.groupObject & ~AccessControlList.absent) { $0 | $1.permissions }
                : UInt8(mode >> 3 & 7)
        }
        list.sort()
        return table.append(list)
    }

    private func readAccess() throws(TransferFailure) -> UInt8 { try checkAccess(try reader.varint()) }

    private func checkAccess(_ value: Int32) throws(TransferFailure) -> UInt8 {
        guard (0...7).contains(value) else {
            let text = String(UInt32(bitPattern: value), radix: 16)
            throw fail(.protocolStream, "recv_acl_access: value out of range: \(text)")
        }
        return UInt8(value)
    }

    private func readNamed() throws(TransferFailure) -> [AccessControlList.Named] {
        let count = Int(try reader.bounded("ACL count", 0...Int64(Limits.aclEntries)))
        var list: [AccessControlList.Named] = []
        list.reserveCapacity(min(count, 256))
        for _ in 0..<count {
            var id = UInt32(bitPattern: try reader.varint())
            let bits = try reader.varint()
            let isUser = bits & ACLBits.isUser != 0
            let permissions = try checkAccess(Int32(bitPattern: UInt32(bitPattern: bits) >> 2))
            var name: Bytes?
            if bits & ACLBits.nameFollows != 0 { name = try reader.bytes(Int(try reader.byte())) }
            // Without inline names the ids are mapped when the id lists have come.
            if format.incremental {
                id =
                    isUser
                    ? mapAccessUser?(id, name) ?? mapUser(id, name)
                    : mapAccessGroup?(id, name) ?? mapGroup(id, name).gid
            }
            list.append(.init(id: id, permissions: permissions, isUser: isUser))
        }
        return list
    }

    // MARK: - Extended attributes

    private func readXattrs(_ path: UnsafeRawBufferPointer) throws(TransferFailure) -> Int32 {
        let table = metadata.xattrs
        let index = try reader.varint()
        if index < 0 || Int(index) > table.count {
            let shown = String(decoding: path, as: UTF8.self)
            throw fail(.protocolStream, "receive_xattr: xa index \(index) out of range for \(shown)")
        }
        if index > 0 { return index - 1 }
        let count = try reader.bounded("xattr count", 0...Int64(Limits.xattrCount))
        var pairs: [ExtendedAttribute] = []
        var total: Int64 = 0
        for number in 0..<count {
            guard let pair = try readPair(number + 1, &total) else { continue }
            pairs.append(pair)
        }
        // Renamed ones may stand elsewhere now; their numbers stay.
        pairs.sort { $0.name.lexicographicallyPrecedes($1.name) }
        return table.append(ExtendedAttributeList(pairs: pairs))
    }

    private func readPair(_ number: Int32, _ total: inout Int64) throws(TransferFailure) -> ExtendedAttribute? {
        let nameLength = try readSize("xattr name_len", limit: Int64(Limits.xattrNameLength))
        let length = try readSize("xattr datum_len", limit: Int64(Int32.max))
        if length > Limits.xattrValueLength {
            throw fail(.protocolIncompatible, "xattr datum_len exceeds per-value limit [\(reader.who)]")
        }
        total += nameLength + length
        if total > Limits.xattrListTotal {
            throw fail(.protocolIncompatible, "xattr list exceeds per-file limit [\(reader.who)]")
        }
        var name = try reader.bytes(Int(nameLength))
        if name.last != 0 {
            throw fail(.fileIO, "Invalid xattr name received (missing trailing \\0).")
        }
        // A name ends at its first NUL, as every system call sees it.
        name = Bytes(name[..<(name.firstIndex(of: 0) ?? 0)])
        let isLong = length > Int64(ExtendedAttribute.longestInline)
        let data = try reader.bytes(isLong ? ExtendedAttribute.digestLength : Int(length))
        guard !name.isEmpty, let local = localXattrName(name) else { return nil }
        return ExtendedAttribute(name: local, length: Int(length), data: data, number: number)
    }

    private func readSize(_ what: String, limit: Int64) throws(TransferFailure) -> Int64 {
        let value = Int64(try reader.varint())
        if value < 0 || value > limit {
            throw fail(
                .protocolIncompatible, "wire size \(what) out of range: \(value) > \(limit) [\(reader.who)]")
        }
        return value
    }
}
