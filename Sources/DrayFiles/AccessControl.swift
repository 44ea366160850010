// Dray — POSIX ACLs as the kernel keeps them in extended attributes.
// Layer: Files. Behaviour: chapter 02 §5, chapter 04 §15.5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// The kernel's form of an ACL: version 2, then (tag, permissions, id) triples, little-endian.
public enum AccessControlFormat {
    public static let access = Bytes("system.posix_acl_access")
    public static let standard = Bytes("system.posix_acl_default")

    private static let version: UInt32 = 2
    private static let entryBytes = 8
    private static let undefinedID = UInt32.max

    private enum Tag {
        static let userObject: UInt16 = 0x01
        static let user: UInt16 = 0x02
        static let groupObject: UInt16 = 0x04
        static let group: UInt16 = 0x08
        static let mask: UInt16 = 0x10
        static let other: UInt16 = 0x20
    }

    /// Decodes a kernel value; nil if it is malformed.
    public static func decode(_ value: Bytes) -> AccessControlList? {
        guard value.count >= 4, (value.count - 4) % entryBytes == 0 else { return nil }
        var list = AccessControlList()
        let isSound = value.withUnsafeBytes { raw -> Bool in
            guard UInt32(littleEndian: raw.loadUnaligned(as: UInt32.self)) == version else { return false }
            for offset in stride(from: 4, to: raw.count, by: entryBytes) {
                let tag = UInt16(littleEndian: raw.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
                let bits = UInt16(littleEndian: raw.loadUnaligned(fromByteOffset: offset + 2, as: UInt16.self))
                let id = UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self))
                let permissions = UInt8(bits & 7)
                switch tag {
                case Tag.userObject: list.userObject = permissions
                case Tag.groupObject: list.groupObject = permissions
                case Tag.mask: list.mask = permissions
                case Tag.other: list.other = permissions
                case Tag.user, Tag.group:
                    list.named.append(.init(id: id, permissions: permissions, isUser: tag == Tag.user))
                default: return false
                }
            }
            return true
        }
        guard isSound else { return nil }
        list.sort()
        return list
    }

    /// Encodes a complete ACL (owner, group and others stated).
    public static func encode(_ list: AccessControlList) -> Bytes {
        var value = Bytes()
        value.reserveCapacity(4 + (list.named.count + 4) * entryBytes)
        func put<T: FixedWidthInteger>(_ number: T) {
            withUnsafeBytes(of: number.littleEndian) { value.append(contentsOf: $0) }
        }
        func entry(_ tag: UInt16, _ permissions: UInt8, _ id: UInt32 = undefinedID) {
            put(tag)
            put(UInt16(permissions & 7))
            put(id)
        }
        put(version)
        entry(Tag.userObject, list.userObject)
        for named in list.named where named.isUser { entry(Tag.user, named.permissions, named.id) }
        entry(Tag.groupObject, list.groupObject)
        for named in list.named where !named.isUser { entry(Tag.group, named.permissions, named.id) }
        if list.mask != AccessControlList.absent { entry(Tag.mask, list.mask) }
        entry(Tag.other, list.other)
        return value
    }
}

extension ExtendedAttributes {
    /// The access ACL of an item; one made from `mode` where there is none or the file system has no ACLs. nil with an
    /// errno value on failure.
    public func accessACL(_ target: AttributeTarget, mode: UInt32, code: inout Int32) -> AccessControlList? {
        guard let value = value(target, AccessControlFormat.access, code: &code) else {
            return Self.meansNone(code) ? AccessControlList(mode: mode) : nil
        }
        guard let list = AccessControlFormat.decode(value) else {
            code = EINVAL
            return nil
        }
        return list
    }

    /// The default ACL of a directory, empty if it has none. nil with an errno value on failure.
    public func defaultACL(_ target: AttributeTarget, code: inout Int32) -> AccessControlList? {
        guard let value = value(target, AccessControlFormat.standard, code: &code) else {
            return Self.meansNone(code) ? AccessControlList() : nil
        }
        guard let list = AccessControlFormat.decode(value) else {
            code = EINVAL
            return nil
        }
        return list
    }

    /// Gives an item a complete access ACL; one without names and mask is stored as plain permissions.
    public func setAccessACL(_ target: AttributeTarget, _ list: AccessControlList) -> Int32 {
        set(target, AccessControlFormat.access, AccessControlFormat.encode(list))
    }

    /// Sets or (empty) removes the default ACL of a directory.
    public func setDefaultACL(_ target: AttributeTarget, _ list: AccessControlList) -> Int32 {
        if list.userObject == AccessControlList.absent {
            let code = remove(target, AccessControlFormat.standard)
            return Self.meansNone(code) ? 0 : code
        }
        return set(target, AccessControlFormat.standard, AccessControlFormat.encode(list))
    }

    static func meansNone(_ code: Int32) -> Bool { code == ENODATA || code == ENOTSUP || code == ENOSYS || code == 0 }
}
