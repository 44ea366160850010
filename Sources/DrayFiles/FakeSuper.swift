// Dray — the attributes of root in extended attributes (--fake-super).
// Layer: Files. Behaviour: chapter 02 §5.4, §6.4; chapter 04 §17.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// Names and formats of what `--fake-super` stores.
public enum FakeSuper {
    /// Start of every name that rsync uses for itself.
    public static let prefix = Bytes("user.rsync.")
    public static let statusName = Bytes("user.rsync.%stat")
    public static let accessName = Bytes("user.rsync.%aacl")
    public static let defaultName = Bytes("user.rsync.%dacl")

    /// Whether `name` is one that `--fake-super` keeps for itself.
    public static func isOwn(_ name: Bytes) -> Bool {
        name == statusName || name == accessName || name == defaultName
    }

    /// Owner, mode and device number that an item should have.
    public struct Status: Equatable, Sendable {
        public var mode: UInt32
        public var deviceMajor: UInt32
        public var deviceMinor: UInt32
        public var uid: UInt32
        public var gid: UInt32

        public init(mode: UInt32, deviceMajor: UInt32, deviceMinor: UInt32, uid: UInt32, gid: UInt32) {
            self.mode = mode
            self.deviceMajor = deviceMajor
            self.deviceMinor = deviceMinor
            self.uid = uid
            self.gid = gid
        }

        /// Reads `MODE MAJOR,MINOR UID:GID`; nil if it is corrupt.
        public init?(_ text: Bytes) {
            let words = text.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
            guard words.count == 3 else { return nil }
            let device = words[1].split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
            let owner = words[2].split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
            guard device.count == 2, owner.count == 2,
                let mode = UInt32(String(decoding: words[0], as: UTF8.self), radix: 8),
                let major = UInt32(String(decoding: device[0], as: UTF8.self)),
                let minor = UInt32(String(decoding: device[1], as: UTF8.self)),
                let uid = UInt32(String(decoding: owner[0], as: UTF8.self)),
                let gid = UInt32(String(decoding: owner[1], as: UTF8.self))
            else { return nil }
            self.init(mode: mode, deviceMajor: major, deviceMinor: minor, uid: uid, gid: gid)
        }

        public var text: Bytes {
            Bytes(text: "\(String(mode, radix: 8)) \(deviceMajor),\(deviceMinor) \(uid):\(gid)")
        }
    }

    /// Permissions that the real item gets so that its owner can always work with it.
    public static func realPermissions(_ mode: UInt32, isDirectory: Bool) -> UInt32 {
        mode & 0o777 | (isDirectory ? 0o700 : 0o600)
    }

    // MARK: - ACLs

    private static let objects = 4
    private static let userBit: UInt32 = 0x8000_0000

    /// Four objects, then (id, permissions) pairs, as little-endian 32-bit numbers.
    public static func encode(_ list: AccessControlList) -> Bytes {
        var value = Bytes()
        func put(_ number: UInt32) { withUnsafeBytes(of: number.littleEndian) { value.append(contentsOf: $0) } }
        for object in [list.userObject, list.groupObject, list.mask, list.other] { put(UInt32(object)) }
        for named in list.named {
            put(named.id)
            put(UInt32(named.permissions) | (named.isUser ? userBit : 0))
        }
        return value
    }

    /// Decodes; nil if the size is wrong. Absent owner, group and others are taken from `mode` (access ACLs).
    public static func decode(_ value: Bytes, mode: UInt32?) -> AccessControlList? {
        guard value.count >= objects * 4, (value.count - objects * 4) % 8 == 0 else { return nil }
        var numbers: [UInt32] = []
        value.withUnsafeBytes { raw in
            for offset in stride(from: 0, to: raw.count, by: 4) {
                numbers.append(UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
            }
        }
        var list = AccessControlList()
        func object(_ number: UInt32) -> UInt8 { number <= 7 ? UInt8(number) : AccessControlList.absent }
        list.userObject = object(numbers[0])
        list.groupObject = object(numbers[1])
        list.mask = object(numbers[2])
        list.other = object(numbers[3])
        for index in stride(from: objects, to: numbers.count, by: 2) {
            let isUser = numbers[index + 1] & userBit != 0
            list.named.append(
                .init(id: numbers[index], permissions: UInt8(numbers[index + 1] & 7), isUser: isUser))
        }
        if let mode {
            let whole = AccessControlList(mode: mode)
            if list.userObject == AccessControlList.absent { list.userObject = whole.userObject }
            if list.groupObject == AccessControlList.absent { list.groupObject = whole.groupObject }
            if list.other == AccessControlList.absent { list.other = whole.other }
        }
        list.sort()
        return list
    }
}

extension ExtendedAttributes {
    /// Result of looking for stored attributes.
    public enum StoredStatus {
        case none, unsupported, corrupt(Bytes)
        /// It is there or not: who asks may not know.
        case unreadable(Int32)
        case found(FakeSuper.Status)
    }

    /// Reads the stored attributes of an item.
    public func storedStatus(_ target: AttributeTarget) -> StoredStatus {
        var code: Int32 = 0
        guard let text = value(target, FakeSuper.statusName, code: &code) else {
            return code == ENODATA ? .none : code == EACCES || code == EPERM ? .unreadable(code) : .unsupported
        }
        guard let status = FakeSuper.Status(text) else { return .corrupt(text) }
        return .found(status)
    }

    /// Overlays what `--fake-super` stored on the result of stat; returns the text of a corrupt attribute.
    ///
    /// - Parameter onFailure: gets the errno value if the attribute cannot be read.
    public func overlay(
        _ status: inout FileStatus, _ target: AttributeTarget, onFailure: (Int32) -> Void = { _ in }
    ) -> Bytes? {
        // A real device or special file is what it is; a symlink cannot carry user attributes.
        guard status.isRegular || status.isDirectory else { return nil }
        switch storedStatus(target) {
        case .none, .unsupported: return nil
        case .unreadable(let code):
            onFailure(code)
            return nil
        case .corrupt(let text): return text
        case .found(let stored):
            status.mode = stored.mode
            status.deviceMajor = stored.deviceMajor
            status.deviceMinor = stored.deviceMinor
            status.uid = stored.uid
            status.gid = stored.gid
            return nil
        }
    }
}
