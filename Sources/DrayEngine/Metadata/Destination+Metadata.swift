// Dray — bringing ACLs, extended attributes and stored root attributes of received items up to date.
// Layer: Engine. Behaviour: chapter 04 §15, §17.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayWire
import Glibc

extension Destination {
    /// The helper of the role that calls.
    func metadata(_ role: RoleName) -> LocalMetadata { role == .receiver ? receiverMetadata : generatorMetadata }

    /// Status of a name as the transfer sees it: with attributes that `--fake-super` stored.
    func status(
        _ directory: Int32, _ name: UnsafePointer<CChar>, _ status: inout FileStatus, role: RoleName
    ) throws(TransferFailure) -> Int32 {
        let code = FileSystem.status(directory, name, follow: false, &status)
        if code != 0 || !options.fakeSuper { return code }
        try metadata(role).overlay(
            &status, AttributeTarget(directory: directory, name: name), shown: fullName(Bytes(cString: name)))
        return 0
    }

    /// Tells that a finished file did not get its final name.
    func reportRename(
        _ list: FileSegment, _ entry: FileEntry, _ temporary: UnsafePointer<CChar>?, _ code: Int32,
        verb: StaticString = "rename "
    ) {
        let name = temporary.map { Bytes(cString: $0) } ?? []
        let directory = options.tempDirectory ?? list.path(entry).splitLastComponent.directory
        session.reporter.systemError(
            .receiver,
            Bytes(verb) + fullName(directory.appendingComponent(name)) + Bytes(" -> \"") + list.path(entry)
                + Bytes("\""), code)
    }

    // MARK: - Extended attributes

    func xattrs(_ list: FileSegment, _ entry: FileEntry) -> ExtendedAttributeList? {
        let number = list.attributes(entry).xattrs
        return options.xattrs > 0 && number >= 0 ? received.xattrs[number] : nil
    }

    /// Applies the entry's list; failures are reported.
    func applyXattrs(
        _ place: Place, _ list: FileSegment, _ entry: FileEntry, basis: AttributeTarget? = nil, _ helper: LocalMetadata
    ) {
        guard let wanted = xattrs(list, entry) else { return }
        let isLink = list.mode(entry) & FileType.mask == FileType.symlink && !options.fakeSuper
        let item = LocalMetadata.Shown(
            path: fullName(place.shown ?? localName ?? list.path(entry)), prefix: isLink ? "l" : "f")
        var failures = helper.apply(wanted, to: place.target, basis: basis, item)
        if failures.contains(where: { $0.code == EACCES || $0.code == EPERM }), !isRoot {
            // User attributes need write permission, which the item may lack until now or for good.
            var status = FileStatus()
            if FileSystem.status(place.directory, place.name, follow: false, &status) == 0,
                !status.isSymlink, status.mode & 0o200 == 0,
                FileSystem.setMode(place.directory, place.name, status.permissions | 0o200) == 0
            {
                failures = helper.apply(wanted, to: place.target, basis: basis, item)
                _ = FileSystem.setMode(place.directory, place.name, status.permissions)
            }
        }
        for failure in failures {
            if failure.code == 0 {
                session.reporter.errorTransfer(failure.text)
            } else {
                session.reporter.systemError(.receiver, failure.text, failure.code)
            }
        }
    }

    // MARK: - ACLs

    /// Whether the ACLs of an existing item differ from the entry's.
    func aclsDiffer(_ place: Place, _ list: FileSegment, _ entry: FileEntry, _ status: FileStatus, role: RoleName)
        -> Bool
    {
        let attributes = list.attributes(entry)
        guard options.acls, attributes.accessACL >= 0, attributes.mode & FileType.mask != FileType.symlink else {
            return false
        }
        let helper = metadata(role)
        guard let now = try? helper.accessACL(place.target, mode: status.mode, shown: []) else { return true }
        let wanted = received.access[attributes.accessACL]
        if !wanted.equalsAccess(now, mode: attributes.mode, otherMode: status.mode) { return true }
        guard attributes.defaultACL >= 0 else { return false }
        guard let standard = try? helper.defaultACL(place.target, shown: []) else { return true }
        return standard != received.standard[attributes.defaultACL]
    }

    /// Sets the ACLs that differ; `status` follows. False if that failed (reported).
    func applyACLs(
        _ place: Place, _ list: FileSegment, _ entry: FileEntry, mode: UInt32, status: inout FileStatus,
        role: RoleName
    ) -> Bool {
        let attributes = list.attributes(entry)
        guard options.acls, attributes.accessACL >= 0, !status.isSymlink else { return true }
        do throws(MetadataFailure) {
            var place = place
            place.shown = place.shown ?? localName ?? list.path(entry)
            try setAccess(
                place, received.access[attributes.accessACL], attributes.mode, mode, &status, metadata(role))
            if attributes.defaultACL >= 0 && status.isDirectory {
                try setDefault(place, received.standard[attributes.defaultACL], metadata(role))
            }
            return true
        } catch {
            session.reporter.systemError(role, error.text, error.code)
            return false
        }
    }

    private func setAccess(
        _ place: Place, _ wanted: AccessControlList, _ listMode: UInt32, _ mode: UInt32, _ status: inout FileStatus,
        _ helper: LocalMetadata
    ) throws(MetadataFailure) {
        let now = try helper.accessACL(
            place.target, mode: status.mode, shown: place.shown ?? [])
        if wanted.equalsAccess(now, mode: listMode, otherMode: status.mode) { return }
        if options.fakeSuper {
            let code =
                wanted.isExtended
                ? helper.calls.set(place.target, FakeSuper.accessName, FakeSuper.encode(wanted.stored(mode: mode)))
                : helper.calls.remove(place.target, FakeSuper.accessName)
            return try check(code, place, "ACL_TYPE_ACCESS")
        }
        var complete = wanted.merged(mode: mode)
        // Until the final chmod nobody may get at an item whose set-id or sticky bit is about to change.
        let gainsSticky = status.isDirectory && mode & 0o1000 != 0 && status.mode & 0o1000 == 0
        let losesSetID = !status.isDirectory && status.mode & ~mode & 0o6000 != 0
        if gainsSticky || losesSetID {
            complete.other = 0
            if complete.mask == AccessControlList.absent { complete.groupObject = 0 } else { complete.mask = 0 }
        }
        let code = helper.calls.setAccessACL(place.target, complete)
        // A file system without ACLs has nothing to lose when only permissions are stated.
        if code == ENOTSUP && !wanted.isExtended { return }
        try check(code, place, "ACL_TYPE_ACCESS")
        var changed = FileStatus()
        if FileSystem.status(of: place, &changed) == 0 { status.mode = changed.mode }
    }

    private func setDefault(
        _ place: Place, _ wanted: AccessControlList, _ helper: LocalMetadata
    ) throws(MetadataFailure) {
        let now = try helper.defaultACL(place.target, shown: place.shown ?? [])
        if now == wanted { return }
        let code: Int32
        if options.fakeSuper {
            code =
                wanted.isEmpty
                ? helper.calls.remove(place.target, FakeSuper.defaultName)
                : helper.calls.set(place.target, FakeSuper.defaultName, FakeSuper.encode(wanted))
        } else {
            code = helper.calls.setDefaultACL(place.target, wanted)
        }
        try check(code, place, "ACL_TYPE_DEFAULT")
    }

    private func check(_ code: Int32, _ place: Place, _ kind: StaticString) throws(MetadataFailure) {
        if code == 0 { return }
        throw MetadataFailure(
            text: Bytes("set_acl: xacl_set(") + (place.shown ?? Bytes(cString: place.name)) + Bytes(", ")
                + Bytes(kind) + Bytes(")"), code: code)
    }

    // MARK: - --fake-super

    /// Stores owner, mode and device of an item and gives the real one permissions that its owner can work with.
    ///
    /// - Returns: false if the item cannot be looked at; what could not be stored is only reported.
    func storeAttributes(
        _ place: Place, _ list: FileSegment, _ entry: FileEntry, mode: UInt32, role: RoleName
    ) -> Bool {
        var real = FileStatus()
        let code = FileSystem.status(of: place, &real)
        if code != 0 {
            session.reporter.systemError(role, Bytes("failed to stat ") + display(list, entry), code)
            return false
        }
        // Compatibility: what really is a link or device stores nothing; a device gets the mode itself.
        if real.type == FileType.symlink { return true }
        if real.isDevice {
            if real.permissions != mode & 0o7777 { _ = FileSystem.setMode(of: place, mode & 0o7777) }
            return true
        }
        let helper = metadata(role)
        var now = real
        _ = helper.calls.overlay(&now, place.target)
        let attributes = list.attributes(entry)
        let extra = list.extra(entry)?.pointee ?? FileExtra()
        // Compatibility: an owner that is not transferred is stored as root.
        let isDevice = [FileType.characterDevice, FileType.blockDevice].contains(mode & FileType.mask)
        let wanted = FakeSuper.Status(
            mode: mode, deviceMajor: isDevice ? extra.deviceMajor : 0, deviceMinor: isDevice ? extra.deviceMinor : 0,
            uid: options.owner ? attributes.uid : 0,
            gid: !options.group ? 0 : attributes.skipGroup ? now.gid : attributes.gid)
        let permissions = FakeSuper.realPermissions(mode, isDirectory: real.isDirectory)
        if real.permissions != permissions { _ = FileSystem.setMode(of: place, permissions) }
        let isPlain = mode == real.type | permissions && wanted.uid == real.uid && wanted.gid == real.gid
        let stored: Int32
        if isPlain {
            stored = helper.calls.remove(place.target, FakeSuper.statusName)
        } else if case .found(wanted) = helper.calls.storedStatus(place.target) {
            stored = 0
        } else {
            stored = helper.calls.set(place.target, FakeSuper.statusName, wanted.text)
        }
        // Pipes and sockets can store nothing, and so have nothing to lose.
        let hasNone = stored == ENOTSUP || !(real.isRegular || real.isDirectory)
        if stored != 0 && !(isPlain && hasNone) {
            session.reporter.systemError(
                role,
                Bytes("failed to write xattr ") + FakeSuper.statusName + Bytes(" for ") + shown(place, list, entry),
                stored)
        }
        return true
    }

    /// The item at a place as messages name it.
    func shown(_ place: Place, _ list: FileSegment, _ entry: FileEntry) -> Bytes {
        let own = localName ?? list.path(entry)
        guard place.isTemporary else { return fullName(place.shown ?? own) }
        return fullName(own.splitLastComponent.directory.appendingComponent(Bytes(cString: place.name)))
    }

    /// A place of an item: a name, and its open file where there is one.
    struct Place {
        let directory: Int32
        let name: UnsafePointer<CChar>
        let descriptor: Int32
        /// Path for messages, if it is not the entry's own.
        var shown: Bytes?
        /// The name is not the final one, and messages show it.
        var isTemporary = false

        var target: AttributeTarget { AttributeTarget(directory: directory, name: name, descriptor: descriptor) }
    }
}

extension AccessControlList {
    /// What `--fake-super` stores: parts that the stored mode tells are left out.
    fileprivate func stored(mode: UInt32) -> AccessControlList {
        var list = merged(mode: mode)
        let bits = list.stripped(mode: mode)
        list = bits
        // The mask is always stated beside names.
        if !named.isEmpty || mask != Self.absent { list.mask = UInt8(mode >> 3 & 7) }
        return list
    }
}

extension FileSystem {
    fileprivate static func status(of place: Destination.Place, _ result: inout FileStatus) -> Int32 {
        place.descriptor >= 0
            ? status(descriptor: place.descriptor, &result)
            : status(place.directory, place.name, follow: false, &result)
    }

    fileprivate static func setMode(of place: Destination.Place, _ mode: UInt32) -> Int32 {
        place.descriptor >= 0
            ? setMode(descriptor: place.descriptor, mode) : setMode(place.directory, place.name, mode)
    }
}
