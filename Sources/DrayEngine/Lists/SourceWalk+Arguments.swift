// Dray — source arguments: where they start and what of their path is sent.
// Layer: Engine. Behaviour: chapter 02 §9.1–9.2, §9.5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayFiles
import DrayFilters
import DrayWire
import Glibc

extension SourceWalk {
    func root(_ directory: Bytes) -> Int32? {
        if let known = rootIndex[directory] { return known }
        let base = session.environment.workingDirectory
        let descriptor: Int32
        if directory.isEmpty {
            descriptor = FileSystem.open(base, ".", O_RDONLY | O_DIRECTORY)
        } else if session.environment.sanitizesPaths {
            descriptor = ConfinedPath.openDirectory(base, nameBuffer.cString(Self.withoutLeadingSlashes(directory)))
        } else if session.options.amDaemon {
            // The module is all there is: what links say counts from its top.
            let below = Self.withoutLeadingSlashes(directory)
            descriptor = FileSystem.open(
                base, nameBuffer.cString(below.isEmpty ? Bytes(".") : below), O_RDONLY | O_DIRECTORY)
        } else {
            descriptor = FileSystem.open(base, nameBuffer.cString(directory), O_RDONLY | O_DIRECTORY)
        }
        if descriptor < 0 {
            session.reporter.noteIOError(.general)
            session.reporter.systemError(
                .sender, Bytes("change_dir ") + session.fullName(directory) + Bytes(" failed"), -descriptor)
            return nil
        }
        if options.debug[.chdir] >= 1 && !directory.isEmpty { session.tellDirectory(directory, .sender) }
        let index = Int32(roots.count)
        roots.append(makeRoot(descriptor, directory))
        noteRoot(descriptor, directory)
        rootIndex[directory] = index
        return index
    }

    private func makeRoot(_ descriptor: Int32, _ directory: Bytes) -> SourceRoot {
        var root = SourceRoot(descriptor: descriptor, display: directory, shown: Self.withoutDots(directory))
        guard directory.fields(separatedBy: { $0 == UInt8(ascii: "/") }).contains(Bytes("..")) else { return root }
        let isAbsolute = directory.first == UInt8(ascii: "/")
        root.shown = (isAbsolute ? directory : session.displayDirectory.appendingComponent(directory)).collapsed()
        var actual = FileStatus()
        var named = FileStatus()
        root.isElsewhere =
            FileSystem.status(descriptor: descriptor, &actual) != 0
            || FileSystem.status(FileSystem.workingDirectory, nameBuffer.cString(root.shown), follow: true, &named) != 0
            || actual.device != named.device || actual.inode != named.inode
        return root
    }

    /// `path` without `.` components; empty for the current directory.
    static func withoutDots(_ path: Bytes) -> Bytes {
        let slash = UInt8(ascii: "/")
        let parts = path.fields { $0 == slash }.filter { $0 != Bytes(".") }
        return (path.first == slash ? [slash] : []) + Bytes(parts.joined(separator: [slash]))
    }

    static func withoutLeadingSlashes(_ path: Bytes) -> Bytes {
        Bytes(path.drop { $0 == UInt8(ascii: "/") })
    }

    func sendArgument(_ raw: Bytes, _ segment: FileSegment) throws(TransferFailure) {
        if options.relative { return try sendRelativeArgument(raw, segment) }
        let slash = UInt8(ascii: "/")
        var argument = raw
        if argument.isEmpty || argument.last == slash { argument.append(UInt8(ascii: ".")) }
        var (directory, name) = argument.splitLastComponent
        if name == Bytes("..") {
            argument += Bytes("/.")
            (directory, name) = argument.splitLastComponent
        }
        while directory.count > 1 && directory.last == slash { directory.removeLast() }
        if directory.isEmpty && argument.first == slash { directory = Bytes("/") }
        try sendItem(directory: directory, name: name, argument: raw, segment)
    }

    /// Sends one named item below `directory`, and its contents when they belong to the transfer.
    func sendItem(
        directory: Bytes, name: Bytes, argument: Bytes, _ segment: FileSegment
    ) throws(TransferFailure) {
        // Where the module's rules hide the directory, there is none to change to.
        if !directory.isEmpty && filters.hides(directory, isDirectory: true) {
            session.reporter.noteIOError(.general)
            return session.reporter.systemError(
                .sender, Bytes("change_dir ") + session.fullName(directory) + Bytes(" failed"), ENOENT)
        }
        guard let root = root(directory),
            let rootPath = paths.intern(UnsafeRawBufferPointer(start: nil, count: 0), root: root)
        else { return }
        let isDot = name == Bytes(".")
        let anchor = roots[Int(root)].descriptor
        var status = FileStatus()
        let follow =
            isDot || options.copyLinks || options.copyDirlinks && Self.isDirectoryLink(anchor, nameBuffer.cString(name))
        let code = FileSystem.status(anchor, nameBuffer.cString(name), follow: follow, &status)
        if code != 0 { return try missing(argument, directory, name, code, rootPath, segment) }
        let whole = isDot ? directory : directory.appendingComponent(name)
        if filters.hides(whole, isDirectory: status.isDirectory) {
            return try missing(argument, directory, name, ENOENT, rootPath, segment)
        }
        if !isDot && filters.excludes(name, isDirectory: status.isDirectory, root: directory) { return }
        if status.isDirectory && !options.transfersDirectories {
            session.reporter.info(Bytes("skipping directory ") + name)
            return
        }
        guard isUsable(anchor, name, path: name, rootPath, &status) else { return }
        rootDevice = status.device
        let walks = options.recursive || (options.dirs && (isDot || argument.last == UInt8(ascii: "/")))
        var flags: FileEntryFlags = []
        if status.isDirectory && walks { flags = [.topDirectory, .contentDirectory] }
        session.debug(.flist, 2, line: Bytes("[sender] make_file(") + name + Bytes(",*,0)"))
        let isSent = try name.withRaw { (raw) throws(TransferFailure) in
            try self.send(raw, status, directory: rootPath, anchor: anchor, flags: flags, segment)
        }
        guard isSent && status.isDirectory && walks else { return }
        if isDot {
            isSendingContents = true
            defer { isSendingContents = false }
            try sendTree(rootPath, segment, isTransferRoot: true)
        } else if !session.incremental {
            guard let path = name.withUnsafeBytes({ paths.intern($0, root: root) }) else {
                throw TransferFailure(.outOfMemory)
            }
            try sendTree(path, segment, isTransferRoot: false)
        }
    }

    func missing(
        _ argument: Bytes, _ directory: Bytes, _ name: Bytes, _ code: Int32, _ rootPath: Int32, _ segment: FileSegment
    ) throws(TransferFailure) {
        if code == ENOENT {
            switch options.missingArgs {
            case .ignore: return
            case .delete:
                return try sendMissing(name, directory: rootPath, segment)
            case .error: break
            }
        } else {
            session.reporter.noteIOError(.general)
        }
        session.reporter.systemError(
            .sender, Bytes("link_stat ") + session.fullName(shownArgument(directory, name)) + Bytes(" failed"), code)
    }

    /// The path of an argument for messages, without what means nothing.
    private func shownArgument(_ directory: Bytes, _ name: Bytes) -> Bytes {
        let slash = UInt8(ascii: "/")
        let item = Self.withoutDots(name)
        if name.first == slash { return item }
        let start = rootIndex[directory].map { roots[Int($0)].shown } ?? Self.withoutDots(directory)
        let path = item.isEmpty ? start : start.appendingComponent(item)
        // Compatibility: below a module, what is looked for in a directory counts from the module's top.
        let countsFromTop = session.environment.moduleName != nil && !start.isEmpty && path.first != slash
        return countsFromTop ? [slash] + path : path
    }

    static func isDirectoryLink(_ anchor: Int32, _ name: UnsafePointer<CChar>) -> Bool {
        var status = FileStatus()
        return FileSystem.status(anchor, name, follow: true, &status) == 0 && status.isDirectory
    }

    // MARK: - Relative names

    /// `--relative`: what stands before `/./` is where the transmitted path starts.
    func sendRelativeArgument(_ raw: Bytes, _ segment: FileSegment) throws(TransferFailure) {
        guard let marker = Self.dotMarker(raw) else { return try sendRelative(directory: [], path: raw, raw, segment) }
        var directory = Bytes(raw[..<marker])
        if directory.isEmpty { directory = Bytes("/") }
        // A path that begins with `./` sends the root itself too; so does everything behind a marker.
        try sendRelative(directory: directory, path: Bytes(raw[(marker + 3)...]), raw, segment)
    }

    /// A path that is sent whole must not lead up.
    static func checkRelative(_ raw: Bytes) throws(TransferFailure) {
        let path = dotMarker(raw).map { Bytes(raw[($0 + 3)...]) } ?? raw
        try checkRelative(path.fields { $0 == UInt8(ascii: "/") }, of: path)
    }

    private static func checkRelative(_ components: [Bytes], of path: Bytes) throws(TransferFailure) {
        if components.contains(Bytes("..")) {
            throw TransferFailure(
                .syntax, lines: [Bytes("found \"..\" dir in relative path: ") + path], role: .sender)
        }
    }

    /// Sends the parents of `path` as implied directories, then the item (incremental: each in its parent's list).
    func sendRelative(directory start: Bytes, path: Bytes, _ raw: Bytes, _ segment: FileSegment) throws(TransferFailure)
    {
        let slash = UInt8(ascii: "/")
        let isAbsolute = path.first == slash
        let directory = isAbsolute ? Bytes("/") : start
        let components = path.fields { $0 == slash }.filter { $0 != Bytes(".") }
        try Self.checkRelative(components, of: path)
        if components.isEmpty {
            return try sendItem(directory: directory, name: Bytes("."), argument: raw, segment)
        }
        guard let root = root(directory) else { return }
        let parent = isAbsolute ? Bytes("/") : Bytes()
        guard let parentID = parent.withUnsafeBytes({ paths.intern($0, root: root) }) else {
            throw TransferFailure(.outOfMemory)
        }
        var item = RelativeItem(
            root: root, parent: parent, components: components, next: 0,
            endsInSlash: path.last == slash || path.hasSuffix(Bytes("/.")))
        var status = FileStatus()
        let whole = Bytes(components.joined(separator: [slash]))
        let full = parent.appendingComponent(whole)
        var code =
            isNamedByList ? linkRefusal(root, item.endsInSlash ? whole : whole.splitLastComponent.directory) : 0
        if code == 0 { code = argumentStatus(root, whole, endsInSlash: item.endsInSlash, &status) }
        let isHidden =
            code == 0 && filters.hides(directory.appendingComponent(full), isDirectory: status.isDirectory)
        if isHidden { code = ENOENT }
        // It goes ahead of an item that may be missing, but not of one that a module hides.
        if path.starts(with: Bytes("./")) && !sentImpliedRoot && !isHidden {
            sentImpliedRoot = true
            if options.transfersDirectories {
                try sendImplied(Bytes("."), [], root, segment)
            } else {
                session.reporter.info(Bytes("skipping directory ."))
            }
        }
        if code == ENOENT && options.missingArgs == .delete {
            item.isMissing = true
        } else if code != 0 {
            return try missing(raw, directory, path, code, parentID, segment)
        } else if filters.excludes(full, isDirectory: status.isDirectory, root: directory) {
            return
        } else if status.isDirectory && !options.transfersDirectories {
            session.reporter.info(Bytes("skipping directory ") + full)
            return
        }
        while let step = try sendStep(item, after: lastRelative, segment) {
            if session.incremental {
                relativeItems[step.parentID, default: []].append(step.item)
                break
            }
            item = step.item
        }
        lastRelative = item
    }

    /// Whether a name of a list leads through a symlink of an untrusted user; 0 or an errno value.
    private func linkRefusal(_ root: Int32, _ directory: Bytes) -> Int32 {
        let followsAny = options.insecureLinks || options.copyLinks || options.copyDirlinks || options.copyUnsafeLinks
        if followsAny || directory.isEmpty || session.environment.sanitizesPaths || options.amDaemon { return 0 }
        if let trusted = trustedDirectory, trusted.root == root, trusted.path == directory { return 0 }
        let opened = OperatorFile.open(
            directory, flags: O_RDONLY | O_DIRECTORY | O_NONBLOCK, anchor: roots[Int(root)].descriptor)
        if opened >= 0 {
            _ = FileSystem.close(opened)
            trustedDirectory = (root, directory)
        } else if opened == -ELOOP {
            session.reporter.warning(Bytes(untrustedLinkText))
            return ELOOP
        }
        return 0
    }

    /// Looks at a path argument below its root; −1 … an errno value.
    private func argumentStatus(
        _ root: Int32, _ path: Bytes, endsInSlash: Bool, _ status: inout FileStatus
    ) -> Int32 {
        let anchor = roots[Int(root)].descriptor
        guard session.environment.sanitizesPaths else {
            return itemStatus(anchor, path, endsInSlash: endsInSlash, &status)
        }
        let (parent, name) = path.splitLastComponent
        if parent.isEmpty { return itemStatus(anchor, name, endsInSlash: endsInSlash, &status) }
        let directory = ConfinedPath.openDirectory(anchor, nameBuffer.cString(parent))
        if directory < 0 { return -directory }
        defer { _ = FileSystem.close(directory) }
        return itemStatus(directory, name, endsInSlash: endsInSlash, &status)
    }

    /// Takes what an unsafe symlink points at for the link (`--copy-unsafe-links`); false if that is not there (reported).
    private func isUsable(
        _ anchor: Int32, _ name: Bytes, path: Bytes, _ directory: Int32, _ status: inout FileStatus
    ) -> Bool {
        guard status.isSymlink, options.copyUnsafeLinks, followsLink(anchor, nameBuffer.cString(name), path) else {
            return true
        }
        let code = FileSystem.status(anchor, nameBuffer.cString(name), follow: true, &status)
        if code != 0 { reportUnreadable(path, directory, code, followed: true) }
        return code == 0
    }

    /// With a slash behind it a link means the directory that it names, if it names one.
    private func itemStatus(
        _ anchor: Int32, _ name: Bytes, endsInSlash: Bool, _ status: inout FileStatus
    ) -> Int32 {
        let code = FileSystem.status(anchor, nameBuffer.cString(name), follow: options.copyLinks, &status)
        guard code == 0, endsInSlash, status.isSymlink else { return code }
        var target = FileStatus()
        if FileSystem.status(anchor, nameBuffer.cString(name), follow: true, &target) == 0 && target.isDirectory {
            status = target
        }
        return 0
    }

    /// One path argument on its way down: what is sent, what is still to come.
    struct RelativeItem {
        let root: Int32
        /// Path of the directory that component `next` is in.
        var parent: Bytes
        let components: [Bytes]
        var next: Int
        let endsInSlash: Bool
        /// Only named so that the receiver removes it (`--delete-missing-args`).
        var isMissing = false

        /// Whether `other` passes through the directory that the next component names.
        func sharesNext(with other: RelativeItem?) -> Bool {
            guard let other, other.root == root, other.components.count > next + 1 else { return false }
            return other.components[...next].elementsEqual(components[...next])
        }
    }

    /// Sends the next component: the item itself if it is the last one (nil), else the parent unless the argument before
    /// it has brought it.
    private func sendStep(
        _ item: RelativeItem, after previous: RelativeItem?, _ segment: FileSegment
    ) throws(TransferFailure) -> (item: RelativeItem, parentID: Int32)? {
        let component = item.components[item.next]
        if item.next == item.components.count - 1 {
            if item.isMissing {
                try sendMissing(item, component, segment)
            } else {
                try sendLast(item, component, segment)
            }
            return nil
        }
        var deeper = item
        deeper.parent = item.parent.appendingComponent(component)
        deeper.next += 1
        if !item.sharesNext(with: previous) && (options.impliedDirs || session.protocolVersion >= 30) {
            try sendImplied(component, item.parent, item.root, segment)
        }
        guard let id = deeper.parent.withUnsafeBytes({ paths.intern($0, root: item.root) }) else {
            throw TransferFailure(.outOfMemory)
        }
        return (deeper, id)
    }

    /// Sends a directory that is only there because something below it is asked for.
    private func sendImplied(
        _ component: Bytes, _ parent: Bytes, _ root: Int32, _ segment: FileSegment
    ) throws(TransferFailure) {
        guard let parentID = parent.withUnsafeBytes({ paths.intern($0, root: root) }) else {
            throw TransferFailure(.outOfMemory)
        }
        let anchor = roots[Int(root)].descriptor
        let path = parent.appendingComponent(component)
        var status = FileStatus()
        let code = FileSystem.status(
            anchor, nameBuffer.cString(Self.withoutLeadingSlashes(path)), follow: true, &status)
        if code != 0 { return reportUnreadable(path, parentID, code, followed: false) }
        _ = try component.withRaw { (name) throws(TransferFailure) in
            try self.send(name, status, directory: parentID, anchor: anchor, flags: [.impliedDirectory], segment)
        }
    }

    private func sendMissing(_ item: RelativeItem, _ name: Bytes, _ segment: FileSegment) throws(TransferFailure) {
        guard let parent = item.parent.withUnsafeBytes({ paths.intern($0, root: item.root) }) else {
            throw TransferFailure(.outOfMemory)
        }
        try sendMissing(name, directory: parent, segment)
    }

    /// Mode 0 tells the receiver that there is no such item.
    private func sendMissing(_ name: Bytes, directory: Int32, _ segment: FileSegment) throws(TransferFailure) {
        let entry = SourceEntry(mode: 0, length: 0, mtime: 0, nanoseconds: 0, uid: 0, gid: 0)
        try name.withRaw { (raw) throws(TransferFailure) in
            _ = try self.encoder.encode(
                entry, directory: directory, name: raw, linkTarget: [], flags: [], checksum: [], into: segment)
        }
    }

    private func sendLast(_ item: RelativeItem, _ name: Bytes, _ segment: FileSegment) throws(TransferFailure) {
        guard let parentID = item.parent.withUnsafeBytes({ paths.intern($0, root: item.root) }) else {
            throw TransferFailure(.outOfMemory)
        }
        let full = item.parent.appendingComponent(name)
        let anchor = cache.descriptor(parentID)
        var status = FileStatus()
        let code =
            anchor < 0
            ? -anchor
            : itemStatus(anchor, name, endsInSlash: item.endsInSlash, &status)
        if code != 0 { return reportUnreadable(full, parentID, code, followed: false) }
        // In a list of its own directory an item is judged by the rules of the directories above it.
        if session.incremental && item.next > 0 {
            let display = roots[Int(item.root)].display
            try filters.changeToParents(of: full, root: display)
            if filters.excludes(full, isDirectory: status.isDirectory, root: display) { return }
        }
        guard isUsable(anchor, name, path: full, parentID, &status) else { return }
        rootDevice = status.device
        let walks = options.recursive || (options.dirs && item.endsInSlash)
        let flags: FileEntryFlags = status.isDirectory && walks ? [.topDirectory, .contentDirectory] : []
        let isSent = try name.withRaw { (raw) throws(TransferFailure) in
            try self.send(raw, status, directory: parentID, anchor: anchor, flags: flags, segment)
        }
        if isSent && status.isDirectory && walks && !session.incremental {
            guard let id = full.withUnsafeBytes({ paths.intern($0, root: item.root) }) else {
                throw TransferFailure(.outOfMemory)
            }
            try filters.changeToParents(of: full, root: roots[Int(item.root)].display)
            try sendTree(id, segment, isTransferRoot: false)
        }
    }

    /// The arguments that pass through the directory `path` (incremental): the next component of each.
    func sendRelativeItems(below path: Int32, _ segment: FileSegment) throws(TransferFailure) {
        guard let items = relativeItems.removeValue(forKey: path) else { return }
        var previous: RelativeItem?
        for item in items {
            if let step = try sendStep(item, after: previous, segment) {
                relativeItems[step.parentID, default: []].append(step.item)
            }
            previous = item
        }
    }

    /// Position of the first `/./` (or a leading `./`, which then is at −1 … handled as 0 with an empty left part).
    static func dotMarker(_ path: Bytes) -> Int? {
        guard path.count >= 3 else { return nil }
        for index in 0...(path.count - 3)
        where path[index] == 0x2f && path[index + 1] == 0x2e && path[index + 2] == 0x2f {
            return index
        }
        return nil
    }
}
