// Dray — ACLs and extended attributes of local items: reading, comparing, applying.
// Layer: Engine. Behaviour: chapter 02 §5, §6; chapter 04 §15.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayFiles
import DrayFilters
import Glibc

/// A system call about metadata that failed: what it was, in rsync's words, and the errno value.
struct MetadataFailure: Error {
    var text: Bytes
    var code: Int32
}

/// Works on the items of one side. One role owns it.
final class LocalMetadata {
    let session: Session
    let calls = ExtendedAttributes()
    let policy: XattrPolicy
    let isFake: Bool
    /// The item looked at last has the ACLs and attributes it should have, and is not going to be replaced.
    var isSettled = false
    /// The item looked at last has other extended attributes than it should have.
    var xattrsDiffer = false
    private let hasher = StrongHasher(.md5)
    private let reporter: Reporter
    private let role: RoleName
    private var lastDirectory: (id: Int32, permissions: UInt32) = (-1, 0)
    /// How messages name the reading of an ACL.
    private let getter: Bytes

    init(session: Session, side: FilterSide, role: RoleName? = nil) {
        self.session = session
        policy = XattrPolicy(session: session, side: side)
        isFake = session.options.fakeSuper
        reporter = session.reporter
        self.role = role ?? (side == .sender ? .sender : .generator)
        getter = side == .sender ? Bytes("get_acl: sys_acl_get_file(") : Bytes("get_acl: xacl_get(")
    }

    // MARK: - Status

    /// Overlays attributes stored by `--fake-super`.
    ///
    /// - Parameter shown: the item's name for the message about a corrupt attribute.
    func overlay(
        _ status: inout FileStatus, _ target: AttributeTarget, shown: @autoclosure () -> Bytes
    ) throws(TransferFailure) {
        guard isFake else { return }
        var code: Int32 = 0
        let text = calls.overlay(&status, target) { code = $0 }
        if code != 0 && role != .receiver { tellUnreadable(shown(), code) }
        guard let text else { return }
        throw TransferFailure(
            .fileIO,
            lines: [
                Bytes("Corrupt ") + FakeSuper.statusName + Bytes(" xattr attached to ") + shown() + Bytes(": \"") + text
                    + Bytes("\"")
            ])
    }

    /// Tells that the stored attributes of an item cannot be read.
    func tellUnreadable(_ shown: Bytes, _ code: Int32) {
        reporter.systemError(role, Bytes("failed to read xattr ") + FakeSuper.statusName + Bytes(" for ") + shown, code)
    }

    // MARK: - ACLs

    /// The access ACL of an item whose real mode is `mode`.
    func accessACL(
        _ target: AttributeTarget, mode: UInt32, shown: @autoclosure () -> Bytes
    ) throws(MetadataFailure) -> AccessControlList {
        var code: Int32 = 0
        if isFake {
            guard let value = calls.value(target, FakeSuper.accessName, code: &code) else {
                return AccessControlList(mode: mode)
            }
            return FakeSuper.decode(value, mode: mode) ?? AccessControlList(mode: mode)
        }
        guard let list = calls.accessACL(target, mode: mode, code: &code) else {
            throw MetadataFailure(
                text: getter + shown() + Bytes(", ACL_TYPE_ACCESS)"), code: code)
        }
        return list
    }

    /// The default ACL of a directory, empty if it has none.
    func defaultACL(
        _ target: AttributeTarget, shown: @autoclosure () -> Bytes
    ) throws(MetadataFailure) -> AccessControlList {
        var code: Int32 = 0
        if isFake {
            guard let value = calls.value(target, FakeSuper.defaultName, code: &code) else {
                return AccessControlList()
            }
            return FakeSuper.decode(value, mode: nil) ?? AccessControlList()
        }
        guard let list = calls.defaultACL(target, code: &code) else {
            throw MetadataFailure(
                text: getter + shown() + Bytes(", ACL_TYPE_DEFAULT)"), code: code)
        }
        return list
    }

    /// Permissions of new items in a directory: its default ACL's, or what the creation mask leaves.
    ///
    /// - Parameter id: path-table id of the directory; the answer for the last one is kept.
    func newPermissions(inDirectory descriptor: Int32, id: Int32) -> UInt32 {
        if id == lastDirectory.id { return lastDirectory.permissions }
        lastDirectory = (id, readNewPermissions(descriptor))
        return lastDirectory.permissions
    }

    private func readNewPermissions(_ descriptor: Int32) -> UInt32 {
        let masked = 0o777 & ~FileSystem.creationMask
        var code: Int32 = 0
        let list =
            isFake
            ? calls.value(AttributeTarget(descriptor: descriptor), FakeSuper.defaultName, code: &code)
                .flatMap { FakeSuper.decode($0, mode: nil) }
            : calls.defaultACL(AttributeTarget(descriptor: descriptor), code: &code)
        guard let list, list.userObject != AccessControlList.absent else { return masked }
        return list.inheritedPermissions
    }

    // MARK: - Extended attributes: sending

    /// What is sent of an item, sorted; long values as digests.
    func sendableXattrs(
        _ target: AttributeTarget, shown: @autoclosure () -> Bytes
    ) throws(MetadataFailure) -> [ExtendedAttribute] {
        var list: [ExtendedAttribute] = []
        for name in try names(target, shown: shown()) {
            var code: Int32 = 0
            guard let value = calls.value(target, name, code: &code) else {
                // Removed since the names were read.
                if code == ENODATA { continue }
                throw MetadataFailure(
                    text: Bytes("get_xattr_data: lgetxattr(") + shown() + Bytes(",\"") + name
                        + Bytes("\",0) failed"), code: code)
            }
            list.append(
                ExtendedAttribute(
                    name: policy.wireName(name), length: value.count, data: abbreviated(value), number: 0))
        }
        list.sort { $0.name.lexicographicallyPrecedes($1.name) }
        for index in list.indices { list[index].number = Int32(index + 1) }
        return list
    }

    /// Reads a value again for a receiver that asked for it; nil if it is gone.
    func requested(_ target: AttributeTarget, _ wireName: Bytes) -> Bytes? {
        var code: Int32 = 0
        if let value = calls.value(target, wireName, code: &code) { return value }
        guard isFake else { return nil }
        return calls.value(target, FakeSuper.prefix + wireName, code: &code)
    }

    private func abbreviated(_ value: Bytes) -> Bytes {
        value.count > ExtendedAttribute.longestInline ? digest(value) : value
    }

    private func digest(_ value: Bytes) -> Bytes {
        hasher.reset()
        value.withUnsafeBytes { hasher.update($0) }
        return hasher.finish()
    }

    /// Names of local attributes that concern the transfer; none where the file system has no attributes.
    func names(
        _ target: AttributeTarget, shown: @autoclosure () -> Bytes
    ) throws(MetadataFailure) -> [Bytes] {
        var code: Int32 = 0
        let all = calls.names(target, code: &code)
        if code != 0 && code != ENOTSUP && code != ENOSYS {
            throw MetadataFailure(
                text: Bytes("get_xattr_names: llistxattr(") + shown() + Bytes(",1024) failed"), code: code)
        }
        return all.filter { policy.handles($0) }
    }

    // MARK: - Extended attributes: receiving

    /// How messages name an item, and which kind of call they say was made (`l…` for symlinks, `f…` for others).
    struct Shown {
        let path: Bytes
        let prefix: StaticString
    }

    /// Whether an item's attributes differ from a received list, and which long values it does not have.
    func compare(_ list: ExtendedAttributeList, _ target: AttributeTarget) -> (differs: Bool, missing: [Int32]) {
        guard let names = try? names(target, shown: []) else {
            return (!list.pairs.isEmpty, list.pairs.filter(\.isAbbreviated).map(\.number))
        }
        var differs = names.count != list.pairs.count
        var missing: [Int32] = []
        for pair in list.pairs where !holds(target, pair) {
            differs = true
            if pair.isAbbreviated { missing.append(pair.number) }
        }
        return (differs, missing)
    }

    private func holds(_ target: AttributeTarget, _ pair: ExtendedAttribute) -> Bool {
        var code: Int32 = 0
        guard let value = calls.value(target, pair.name, code: &code), value.count == pair.length else { return false }
        return abbreviated(value) == pair.data
    }

    /// Gives an item the attributes of a list and removes others.
    ///
    /// - Parameters:
    ///   - basis: the item that is being replaced, whose long values are taken where they are the same.
    /// - Returns: what failed.
    func apply(
        _ list: ExtendedAttributeList, to target: AttributeTarget, basis: AttributeTarget?, _ shown: Shown
    ) -> [MetadataFailure] {
        var failures: [MetadataFailure] = []
        for pair in list.pairs where !holds(target, pair) {
            guard let value = list.value(pair) ?? basis.flatMap({ value(of: pair, in: $0) }) else {
                failures.append(missing(pair, shown.path))
                continue
            }
            let code = calls.set(target, pair.name, value)
            if code != 0 {
                failures.append(
                    MetadataFailure(
                        text: Bytes("rsync_xal_set: ") + Bytes(shown.prefix) + Bytes("setxattr(") + shown.path
                            + Bytes(",\"") + pair.name
                            + Bytes("\") failed"), code: code))
            }
        }
        do throws(MetadataFailure) {
            let names = try names(target, shown: shown.path)
            if names.isEmpty { return failures }
            let wanted = Set(list.pairs.map(\.name))
            for name in names where !wanted.contains(name) {
                let code = calls.remove(target, name)
                if code != 0 {
                    failures.append(
                        MetadataFailure(
                            text: Bytes("rsync_xal_set: ") + Bytes(shown.prefix) + Bytes("removexattr(") + shown.path
                                + Bytes(",\"") + name
                                + Bytes("\") failed"), code: code))
                }
            }
        } catch { failures.append(error) }
        return failures
    }

    private func missing(_ pair: ExtendedAttribute, _ shown: Bytes) -> MetadataFailure {
        MetadataFailure(
            text: Bytes("Missing abbreviated xattr value, ") + pair.name + Bytes(", for ") + shown, code: 0)
    }

    private func value(of pair: ExtendedAttribute, in basis: AttributeTarget) -> Bytes? {
        var code: Int32 = 0
        guard let value = calls.value(basis, pair.name, code: &code), value.count == pair.length,
            digest(value) == pair.data
        else { return nil }
        return value
    }

    // MARK: - Copies

    /// Gives a copy of an item (a backup) the ACLs and attributes of the original, as far as they are preserved at all.
    func copy(from source: AttributeTarget, isDirectory: Bool, to copy: AttributeTarget) {
        copyAttributes(from: source, to: copy)
        guard session.options.acls else { return }
        var code: Int32 = 0
        let kinds =
            isFake
            ? [FakeSuper.accessName, FakeSuper.defaultName]
            : [AccessControlFormat.access, AccessControlFormat.standard]
        for name in isDirectory ? kinds : [kinds[0]] {
            if let value = calls.value(source, name, code: &code) { _ = calls.set(copy, name, value) }
        }
    }

    /// The extended attributes alone.
    func copyAttributes(from source: AttributeTarget, to copy: AttributeTarget) {
        var code: Int32 = 0
        if session.options.xattrs > 0, let names = try? names(source, shown: []) {
            for name in names {
                if let value = calls.value(source, name, code: &code) { _ = calls.set(copy, name, value) }
            }
        }
        if isFake, let stored = calls.value(source, FakeSuper.statusName, code: &code) {
            _ = calls.set(copy, FakeSuper.statusName, stored)
        }
    }
}
