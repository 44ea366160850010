// Dray — the place that receives: root directory, names, attributes.
// Layer: Engine. Behaviour: chapter 04 §1, §15.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayFilters
import DrayWire
import Glibc

/// Where received entries go. Immutable once chosen; shared by generator and receiver.
final class Destination: @unchecked Sendable {
    // Safe: written before the roles start.
    let session: Session
    let lists: LiveLists
    let paths: PathTable
    /// Descriptor of the destination directory; −1 when it does not exist (dry run).
    fileprivate(set) var root: Int32 = -1
    /// Replaces the list name when a single file is stored under another name.
    fileprivate(set) var localName: Bytes?
    /// Where a missing destination of a dry run would be, as typed.
    private(set) var assumedPath: Bytes?
    /// `--compare-dest` and its relatives, resolved.
    var alternatePlaces: [AlternatePlace] = []
    /// The destination directory was made for this run: its entry is reported as new.
    private(set) var wasCreated = false
    /// Owners and devices are set for real.
    let isRoot: Bool
    /// Owners and devices count: for real, or as stored by `--fake-super`.
    let actsLikeRoot: Bool
    let options: TransferOptions
    /// ACLs and xattr lists that entries refer to.
    let received: ReceivedMetadata
    let generatorMetadata: LocalMetadata
    let receiverMetadata: LocalMetadata
    /// For backups, which both roles make.
    let backupMetadata: Monitor<LocalMetadata>
    /// Partial files: directory name relative to each file's directory, or an absolute one.
    let partialDirectory: Bytes?

    init(session: Session, lists: LiveLists, paths: PathTable, received: ReceivedMetadata) {
        self.session = session
        self.lists = lists
        self.paths = paths
        self.received = received
        options = session.options
        isRoot = session.options.actsAsRoot
        actsLikeRoot = session.options.actsLikeRoot
        generatorMetadata = LocalMetadata(session: session, side: .receiver)
        receiverMetadata = LocalMetadata(session: session, side: .receiver, role: .receiver)
        backupMetadata = Monitor(LocalMetadata(session: session, side: .receiver))
        partialDirectory =
            session.options.partialDirectory ?? (session.options.delayUpdates ? Bytes(".~tmp~") : nil)
    }

    deinit {
        if root >= 0 { _ = FileSystem.close(root) }
        if openedTemp >= 0 { _ = FileSystem.close(openedTemp) }
    }

    func makeCache(capacity: Int = 24) -> DirectoryCache {
        DirectoryCache(
            paths: paths, capacity: capacity, followsLinks: isInChroot && options.keepDirlinks,
            rootDescriptor: { [unowned self] _ in self.root })
    }

    /// The module is all that this process can reach, wherever symlinks lead.
    private var isInChroot: Bool { options.amDaemon && !session.environment.sanitizesPaths }

    /// Name of an entry in its directory.
    @inline(__always)
    func name(_ list: FileSegment, _ entry: FileEntry, _ buffer: NameBuffer) -> UnsafePointer<CChar> {
        if let localName { return buffer.cString(localName) }
        return buffer.cString(list.name(entry))
    }

    /// Name of an entry in its directory: what the command line names, if that is a single file.
    func ownName(_ list: FileSegment, _ entry: FileEntry) -> Bytes { localName ?? Bytes(list.name(entry)) }

    /// Path of an entry below the destination.
    func ownPath(_ list: FileSegment, _ entry: FileEntry) -> Bytes { localName ?? list.path(entry) }

    /// Name of an entry as messages show it.
    func display(_ list: FileSegment, _ entry: FileEntry) -> Bytes {
        fullName(localName ?? list.path(entry))
    }

    /// A path below the destination as messages show it.
    func fullName(_ path: Bytes) -> Bytes {
        // Compatibility: below a module, what lies in a directory counts from the module's top.
        guard session.environment.moduleName != nil, root >= 0, !session.displayDirectory.isEmpty,
            path.first != UInt8(ascii: "/")
        else { return session.fullName(path) }
        return session.fullName([UInt8(ascii: "/")] + session.displayDirectory.appendingComponent(path))
    }

    // MARK: - Choosing (chapter 04 §1.1)

    /// Opens or makes the destination for the entries received so far.
    func choose(_ argument: Bytes?) throws(TransferFailure) {
        let base = session.environment.workingDirectory
        guard let argument, !options.listOnly else {
            root = FileSystem.open(base, ".", O_RDONLY | O_DIRECTORY)
            return
        }
        var path = argument.isEmpty ? Bytes(".") : argument
        let count = lists.knownCount
        if options.debug[.recv] >= 1 {
            session.reporter.info(Bytes(text: "get_local_name count=\(count) ") + path)
        }
        var trailing = path.last == UInt8(ascii: "/")
        var status = FileStatus()
        let buffer = NameBuffer()
        var code = FileSystem.status(base, buffer.cString(path), follow: true, &status)
        if (code == ENOENT || code == ENOTDIR) && options.mkpath && (count > 1 || path.contains(UInt8(ascii: "/"))) {
            try makePath(path, whole: count > 1 || trailing, isNamed: count > 0, base)
            code = FileSystem.status(base, buffer.cString(path), follow: true, &status)
        }
        if code == 0 {
            if status.isDirectory { return try enter(path, "change_dir#1") }
            if count > 1 {
                throw session.fail(
                    .fileSelection, "ERROR: destination must be a directory when copying more than 1 file")
            }
            if let (list, entry) = lists.entry(lists.incremental ? 1 : 0), list.isDirectory(entry.pointee) {
                throw session.fail(.fileSelection, "ERROR: cannot overwrite non-directory with a directory")
            }
        } else if code != ENOENT {
            if code == ENOTDIR && trailing {
                // `file/`: the same answer as rsync gives.
                trailing = false
            }
            throw failure(.fileSelection, Bytes("ERROR: cannot stat destination ") + session.fullName(path), code)
        }
        if count > 1 || trailing {
            if code == 0 { throw session.fail(.syntax, "ERROR: destination path is not a directory") }
            while path.count > 1 && path.last == UInt8(ascii: "/") { path.removeLast() }
            if options.dryRun {
                root = -1
                assumedPath = path
                announce(.createdDirectory(path), Bytes("created directory ") + path)
                return
            }
            let made = FileSystem.makeDirectory(base, buffer.cString(path), mode: 0o777)
            if made != 0 { throw failure(.fileIO, Bytes("mkdir ") + session.fullName(path) + Bytes(" failed"), made) }
            wasCreated = true
            announce(.createdDirectory(path), Bytes("created directory ") + path)
            return try enter(path, "change_dir#2")
        }
        // A single entry under a name of its own.
        let (parent, name) = path.splitLastComponent
        localName = name
        let parentPath = parent.isEmpty ? (path.first == UInt8(ascii: "/") ? Bytes("/") : Bytes(".")) : parent
        if options.dryRun && options.mkpath
            && FileSystem.status(base, buffer.cString(parentPath), follow: true, &status) == ENOENT
        {
            root = -1
            assumedPath = parentPath
            return
        }
        try enter(parentPath, "change_dir#3")
    }

    private func enter(_ path: Bytes, _ what: StaticString) throws(TransferFailure) {
        let buffer = NameBuffer()
        let base = session.environment.workingDirectory
        var relative = path
        while relative.count > 1 && relative.last == UInt8(ascii: "/") { relative.removeLast() }
        let descriptor: Int32
        if session.environment.sanitizesPaths || options.amDaemon {
            let inside = Bytes(relative.drop { $0 == UInt8(ascii: "/") })
            let start = buffer.cString(inside.isEmpty ? Bytes(".") : inside)
            descriptor =
                isInChroot
                ? FileSystem.open(base, start, O_RDONLY | O_DIRECTORY) : ConfinedPath.openDirectory(base, start)
        } else {
            descriptor = OperatorFile.open(
                relative, flags: O_RDONLY | O_DIRECTORY, anchor: base, trusting: options.insecureLinks)
        }
        if descriptor < 0 {
            var failure = failure(
                .fileSelection, Bytes(what) + Bytes(" ") + session.fullName(path) + Bytes(" failed"), -descriptor)
            let isByOwner = !session.environment.sanitizesPaths && !options.amDaemon && !options.insecureLinks
            if descriptor == -ELOOP && isByOwner { failure.lines.insert(Bytes(untrustedLinkText), at: 0) }
            throw failure
        }
        root = descriptor
        if options.debug[.chdir] >= 1 { session.tellDirectory(relative, .unsplitReceiver) }
        if session.environment.moduleName == nil {
            let base = relative.first == UInt8(ascii: "/") ? [] : session.displayDirectory
            if relative != Bytes(".") {
                let whole = base.appendingComponent(relative)
                session.displayDirectory = whole.collapsed()
            }
        } else {
            session.displayDirectory = relative == Bytes(".") ? [] : Bytes(relative.drop { $0 == UInt8(ascii: "/") })
        }
    }

    /// - Parameter isNamed: an entry came, which gets the last name unless it is made `whole`.
    private func makePath(_ path: Bytes, whole: Bool, isNamed: Bool, _ base: Int32) throws(TransferFailure) {
        var prefix = path.first == UInt8(ascii: "/") ? Bytes("/") : Bytes()
        var components = path.fields { $0 == UInt8(ascii: "/") }
        if !whole { components.removeLast() }
        let buffer = NameBuffer()
        var made = 0
        for (depth, component) in components.enumerated() {
            prefix = prefix.appendingComponent(component)
            var status = FileStatus()
            if FileSystem.status(base, buffer.cString(prefix), follow: true, &status) == 0 {
                if status.isDirectory { continue }
                // Compatibility: what rsync is told by the system, which it asks from the end of the path.
                let below = components.count - 1 - depth
                let code = options.dryRun || below == 1 ? ENOTDIR : below == 0 ? EEXIST : ELOOP
                throw failure(.fileIO, Bytes("mkdir ") + session.fullName(path) + Bytes(" failed"), code)
            }
            if options.dryRun {
                made += 1
                continue
            }
            let code = FileSystem.makeDirectory(base, buffer.cString(prefix), mode: 0o777)
            if code == EEXIST { continue }
            if code != 0 { throw failure(.fileIO, Bytes("mkdir ") + session.fullName(path) + Bytes(" failed"), code) }
            made += 1
        }
        if made > 0 {
            var shown = whole || !isNamed ? path : path.splitLastComponent.directory
            while shown.count > 1 && shown.last == UInt8(ascii: "/") { shown.removeLast() }
            let word = made == 1 ? "directory" : "directories"
            announce(.createdPath(count: made, path: shown), Bytes(text: "created \(made) \(word) for ") + shown)
        }
    }

    func failure(_ exit: ExitCode, _ text: Bytes, _ code: Int32) -> TransferFailure {
        TransferFailure(
            exit, lines: [Bytes("rsync: [Receiver] ") + text + Bytes(text: ": \(errnoText(code)) (\(code))")],
            role: .unsplitReceiver)
    }

    // MARK: - Attributes (chapter 04 §15)

    /// Looks at what a directory gives to new items now, before its default ACL is replaced.
    func keepNewPermissions(_ parent: (descriptor: Int32, id: Int32)) {
        if options.perms || !options.acls || parent.descriptor < 0 { return }
        _ = metadata(.generator).newPermissions(inDirectory: parent.descriptor, id: parent.id)
    }

    /// The mode an entry is to get, given what stands at the destination.
    ///
    /// - Parameter parent: descriptor and path-table id of the directory that a new item is made in, whose default ACL
    ///   counts.
    func finalMode(
        _ wanted: UInt32, existing: FileStatus?, parent: (descriptor: Int32, id: Int32)? = nil,
        role: RoleName = .generator
    ) -> UInt32 {
        let type = wanted & FileType.mask
        if options.perms { return wanted }
        guard let existing, existing.type == type else {
            let kept =
                parent.map { metadata(role).newPermissions(inDirectory: $0.descriptor, id: $0.id) }
                ?? 0o777 & ~FileSystem.creationMask
            return type | wanted & kept
        }
        var mode = existing.mode
        if options.executability && type == FileType.regular {
            if wanted & 0o111 == 0 {
                mode &= ~0o111
            } else if mode & 0o111 == 0 {
                mode |= (mode & 0o444) >> 2
            }
        }
        return mode
    }

    /// Whether two times count as equal for the quick check.
    @inline(__always)
    func sameTime(_ seconds: Int64, _ nanoseconds: UInt32, _ otherSeconds: Int64, _ otherNanoseconds: UInt32) -> Bool {
        let window = options.modifyWindow
        if window == 0 { return seconds == otherSeconds }
        if window < 0 { return seconds == otherSeconds && nanoseconds == otherNanoseconds }
        return (seconds &- otherSeconds).magnitude <= UInt64(window)
    }

    /// What to leave alone when attributes are set.
    struct AttributeChoice: OptionSet {
        let rawValue: Int
        /// mtime stays.
        static let skipTime = Self(rawValue: 1)
        /// mtime is set exactly, whatever the window.
        static let exactTime = Self(rawValue: 2)
        /// mtime becomes the epoch (an interrupted file under its final name).
        static let epochTime = Self(rawValue: 4)
    }

    /// Brings owner, times and mode of one item to the list's values, in this order.
    ///
    /// - Parameters:
    ///   - descriptor: open file to act on, or −1 to act on the name without following it.
    ///   - status: what the item has now; updated.
    ///   - basis: the item that this one will replace.
    /// - Returns: false if a step failed (already reported).
    @discardableResult
    func setAttributes(
        directory: Int32, name: UnsafePointer<CChar>, descriptor: Int32 = -1, list: FileSegment, entry: FileEntry,
        mode: UInt32, status: inout FileStatus, choice: AttributeChoice = [], basis: AttributeTarget? = nil,
        shown: Bytes? = nil, role: RoleName
    ) -> Bool {
        let place = Place(directory: directory, name: name, descriptor: descriptor, shown: shown)
        if options.fakeSuper {
            _ = metadata(role).calls.overlay(&status, place.target) { code in
                metadata(role).tellUnreadable(self.shown(place, list, entry), code)
            }
            if !storeAttributes(place, list, entry, mode: mode, role: role) { return false }
        } else if !setOwner(place, list, entry, &status, role) {
            return false
        }
        let isSettled = metadata(role).isSettled
        metadata(role).isSettled = false
        var choice = choice
        // Other attributes may mean another time on some file systems: it is set whatever the comparison says, but
        // not below protocol 29, where no record tells of other attributes.
        if metadata(role).xattrsDiffer && session.protocolVersion >= 29 && !choice.contains(.skipTime) {
            choice.insert(.exactTime)
        }
        metadata(role).xattrsDiffer = false
        // What the generator handles itself gets its attributes when the sender has answered the record.
        if options.xattrs > 0 && role == .receiver { applyXattrs(place, list, entry, basis: basis, receiverMetadata) }
        if !setTimes(place, list, entry, status, choice, role) { return false }
        if options.acls && !isSettled
            && !applyACLs(place, list, entry, mode: mode, status: &status, role: role)
        {
            return false
        }
        if options.fakeSuper {
            status.mode = mode
            return true
        }
        return setMode(place, list, entry, mode, &status, role)
    }

    /// The same for the open file of a receiver where neither ACLs nor extended attributes matter; any thread.
    func setPlainAttributes(
        directory: Int32, name: UnsafePointer<CChar>, descriptor: Int32, list: FileSegment, entry: FileEntry,
        mode: UInt32, status: inout FileStatus
    ) {
        let place = Place(directory: directory, name: name, descriptor: descriptor, isTemporary: true)
        if setOwner(place, list, entry, &status, .receiver),
            setTimes(place, list, entry, status, .exactTime, .receiver)
        {
            _ = setMode(place, list, entry, mode, &status, .receiver)
        }
    }

    private func setMode(
        _ place: Place, _ list: FileSegment, _ entry: FileEntry, _ mode: UInt32, _ status: inout FileStatus,
        _ role: RoleName
    ) -> Bool {
        if status.isSymlink || (status.mode ^ mode) & 0o7777 == 0 { return true }
        let code =
            place.descriptor >= 0
            ? FileSystem.setMode(descriptor: place.descriptor, mode & 0o7777)
            : FileSystem.setMode(place.directory, place.name, mode & 0o7777)
        if code != 0 {
            session.reporter.systemError(role, Bytes("failed to set permissions on ") + shown(place, list, entry), code)
            return false
        }
        status.mode = mode
        return true
    }

    private func setOwner(
        _ place: Place, _ list: FileSegment, _ entry: FileEntry, _ status: inout FileStatus, _ role: RoleName
    ) -> Bool {
        let attributes = list.attributes(entry)
        let changesOwner = isRoot && options.owner && attributes.uid != status.uid
        let changesGroup = options.group && !attributes.skipGroup && attributes.gid != status.gid
        if changesOwner || changesGroup {
            for (kind, changes, id) in [("uid", changesOwner, attributes.uid), ("gid", changesGroup, attributes.gid)]
            where changes && id == UInt32.max {
                // To the system this number means "leave it alone".
                session.reporter.errorTransfer(
                    Bytes(text: "\(kind) \(id) (-1) is impossible to set on ")
                        + fullName(place.shown ?? localName ?? list.path(entry)))
            }
            if options.debug[.own] >= 1 {
                let shown = place.shown ?? localName ?? list.path(entry)
                for (kind, changes, old, new) in [
                    ("uid", changesOwner, status.uid, attributes.uid),
                    ("gid", changesGroup, status.gid, attributes.gid),
                ] where changes {
                    session.reporter.info(
                        Bytes(text: "set \(kind) of ") + shown + Bytes(text: " from \(old) to \(new)"))
                }
            }
            let uid = changesOwner ? attributes.uid : UInt32.max
            let gid = changesGroup ? attributes.gid : UInt32.max
            let code =
                place.descriptor >= 0
                ? FileSystem.setOwner(descriptor: place.descriptor, uid: uid, gid: gid)
                : FileSystem.setOwner(place.directory, place.name, uid: uid, gid: gid)
            if code != 0 {
                session.reporter.systemError(
                    role,
                    (changesOwner ? Bytes("chown ") : Bytes("chgrp ")) + shown(place, list, entry) + Bytes(" failed"),
                    code)
                return false
            }
            // The kernel may have dropped set-id bits; a directory's it leaves.
            if status.mode & 0o6000 != 0 && !status.isSymlink && !status.isDirectory {
                status.mode &= ~0o6000
            }
        }
        return true
    }

    private func setTimes(
        _ place: Place, _ list: FileSegment, _ entry: FileEntry, _ status: FileStatus, _ choice: AttributeChoice,
        _ role: RoleName
    ) -> Bool {
        var mtime: Int64 = status.mtime
        var nanoseconds = status.mtimeNanoseconds
        var change = false
        let wanted =
            options.times && !choice.contains(.skipTime) && !(status.isDirectory && options.omitDirTimes)
            && !(status.isSymlink && options.omitLinkTimes)
        if choice.contains(.epochTime) {
            mtime = 0
            nanoseconds = entry.nanoseconds
            change = true
        } else if wanted {
            let differs =
                choice.contains(.exactTime)
                ? status.mtime != entry.mtime || status.mtimeNanoseconds != entry.nanoseconds
                : !sameTime(entry.mtime, entry.nanoseconds, status.mtime, status.mtimeNanoseconds)
            if differs {
                mtime = entry.mtime
                nanoseconds = entry.nanoseconds
                change = true
            }
        }
        var atime: (Int64, UInt32)?
        if options.atimes > 0 && !status.isDirectory && !status.isSymlink, let extra = list.extra(entry),
            extra.pointee.atime != status.atime
        {
            atime = (extra.pointee.atime, 0)
            change = true
        }
        guard change else { return true }
        let code =
            place.descriptor >= 0
            ? FileSystem.setTimes(descriptor: place.descriptor, mtime: mtime, nanoseconds: nanoseconds, atime: atime)
            : FileSystem.setTimes(place.directory, place.name, mtime: mtime, nanoseconds: nanoseconds, atime: atime)
        if code != 0 && !(status.isSymlink && (code == ENOTSUP || code == ENOSYS)) {
            session.reporter.systemError(role, Bytes("failed to set times on ") + shown(place, list, entry), code)
            return false
        }
        return true
    }

    // MARK: - Other directories (chapter 04 §1.2)

    var openedTemp: Int32 = -1

    /// Tells the user of directories made for the destination; a server's words travel to its client.
    private func announce(_ event: TransferEvent, _ words: Bytes) {
        if !options.amServer {
            session.reporter.event(event)
        } else if options.info[.name] > 0 || itemizesOnScreen {
            session.reporter.info(words)
        }
    }

    /// In a local copy the client's log may want items that its screen does not show.
    private var itemizesOnScreen: Bool {
        guard options.isLocal else { return options.itemize > 0 }
        guard let format = options.outputFormat else { return false }
        return zip(format, format.dropFirst()).contains { $0 == UInt8(ascii: "%") && $1 == UInt8(ascii: "i") }
    }
}
