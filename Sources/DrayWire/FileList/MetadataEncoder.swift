// Dray — writes ACL and xattr items of file-list entries.
// Layer: Wire. Wire format: chapter 02 §5.1, §6.1.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Bits of an ACL literal.
enum ACLBits {
    static let userObject: UInt8 = 0x01
    static let groupObject: UInt8 = 0x02
    static let mask: UInt8 = 0x04
    static let other: UInt8 = 0x08
    static let named: UInt8 = 0x10
    /// Below the permissions of a named entry.
    static let nameFollows: Int32 = 1
    static let isUser: Int32 = 2
}

/// What was sent as a literal so far; equal ones are sent by number.
struct SentMetadata {
    var access: [AccessControlList: Int32] = [:]
    var standard: [AccessControlList: Int32] = [:]
    var xattrs: [[ExtendedAttribute]: Int32] = [:]
    /// The same lists by number, to answer requests for long values.
    var lists: [[ExtendedAttribute]] = []
}

extension FileEntryEncoder {
    /// Writes the ACL and xattr fields of an entry; returns the number of its xattr list or −1.
    func writeMetadata(_ source: SourceEntry) throws(TransferFailure) -> Int32 {
        let type = source.mode & FileType.mask
        if format.preserveACLs && type != FileType.symlink {
            try writeACL(source.accessACL, \.access)
            if type == FileType.directory { try writeACL(source.defaultACL, \.standard) }
        }
        return format.preserveXattrs ? try writeXattrs(source.xattrs) : -1
    }

    /// The attribute list that entries with this number have.
    public func sentXattrs(_ number: Int32) -> [ExtendedAttribute] { sent.lists[Int(number)] }

    private func writeACL(
        _ list: AccessControlList, _ kind: WritableKeyPath<SentMetadata, [AccessControlList: Int32]>
    ) throws(TransferFailure) {
        if let known = sent[keyPath: kind][list] { return try writer.varint(known + 1) }
        sent[keyPath: kind][list] = Int32(sent[keyPath: kind].count)
        try writer.varint(0)
        let objects = [
            (list.userObject, ACLBits.userObject), (list.groupObject, ACLBits.groupObject),
            (list.mask, ACLBits.mask), (list.other, ACLBits.other),
        ].filter { $0.0 != AccessControlList.absent }
        let flags = objects.reduce(list.named.isEmpty ? 0 : ACLBits.named) { $0 | $1.1 }
        try writer.byte(flags)
        for object in objects { try writer.varint(Int32(object.0)) }
        if list.named.isEmpty { return }
        try writer.varint(Int32(list.named.count))
        for named in list.named {
            let name = named.isUser ? noteUser(named.id) : noteGroup(named.id)
            try writer.varint(Int32(bitPattern: named.id))
            let bits =
                Int32(named.permissions) << 2 | (named.isUser ? ACLBits.isUser : 0)
                | (name == nil ? 0 : ACLBits.nameFollows)
            try writer.varint(bits)
            if let name {
                try writer.byte(UInt8(name.count))
                try writer.bytes(name)
            }
        }
    }

    private func writeXattrs(_ list: [ExtendedAttribute]) throws(TransferFailure) -> Int32 {
        if let known = sent.xattrs[list] {
            try writer.varint(known + 1)
            return known
        }
        let number = Int32(sent.lists.count)
        sent.xattrs[list] = number
        sent.lists.append(list)
        try writer.varint(0)
        try writer.varint(Int32(list.count))
        for pair in list {
            try writer.varint(Int32(pair.name.count + 1))
            try writer.varint(Int32(clamping: pair.length))
            try writer.bytes(pair.name)
            try writer.byte(0)
            try writer.bytes(pair.data)
        }
        return number
    }
}
