// Dray — the sender's walk over the source arguments: stat, filter, encode.
// Layer: Engine. Behaviour: chapter 02 §8, §9.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayFiles
import DrayFilters
import DrayWire
import Glibc

/// Builds and sends file lists. One thread.
final class SourceWalk {
    let session: Session
    let lists: LiveLists
    let paths: PathTable
    let attributes: AttributeTable
    let encoder: FileEntryEncoder
    private let filters: FilterWalk
    private let options: TransferOptions
    private let format: FileListFormat
    private let chmod: ModeChanges?
    private let hasher: StrongHasher?
    private let scan = DirectoryScan()
    private let nameBuffer = NameBuffer()
    private var digestBuffer: UnsafeMutableRawBufferPointer?
    /// Directory each source root is opened at, and how it is shown in messages.
    private(set) var roots: [(descriptor: Int32, display: Bytes)] = []
    private var rootIndex: [Bytes: Int32] = [:]
    let cache: DirectoryCache
    /// Next directory to send a list for (incremental), as dir_ndx; −1 when all were sent.
    private var nextDirectory: Int32 = -1
    private var reportedIOError: IOErrorBits = []
    private var statistics = TransferStatistics()
    private var rootDevice: UInt64 = 0
    /// Implied parents already sent for `--relative`, by path.
    private var impliedSent: Set<Bytes> = []

    init(session: Session) {
        self.session = session
        options = session.options
        paths = PathTable()
        attributes = AttributeTable()
        lists = LiveLists(paths: paths, attributes: attributes, incremental: session.incremental)
        format = FileListFormat(
            options: session.options, protocolVersion: session.protocolVersion, flags: session.flags,
            checksumLength: session.fileChecksum.digestLength)
        encoder = FileEntryEncoder(
            writer: session.writer, format: format, userName: IDNames.userName, groupName: IDNames.groupName)
        filters = FilterWalk(session: session, side: .sender)
        chmod = ModeChanges(session.options.chmod + (session.environment.moduleChmod.map { [$0] } ?? []))
        hasher = session.options.checksum ? StrongHasher(session.fileChecksum) : nil
        final class Roots { var list: [Int32] = [] }
        let roots = Roots()
        rootDescriptors = { roots.list.append($0) }
        cache = DirectoryCache(paths: paths) { roots.list[Int($0)] }
    }

    private let rootDescriptors: (Int32) -> Void

    deinit {
        for root in roots { _ = FileSystem.close(root.descriptor) }
        digestBuffer?.deallocate()
    }

    // MARK: - First list

    /// `--files-from`: the names are arguments relative to `base`, confined to it.
    func sendFirstList(_ names: [Bytes], base: Bytes) throws(TransferFailure) {
        let slash = UInt8(ascii: "/")
        var arguments: [Bytes] = []
        for name in names {
            let parts = name.fields { $0 == slash }.filter { $0 != Bytes("..") }
            var argument = base + Bytes("/./") + Bytes(parts.joined(separator: [slash]))
            if name.last == slash && !parts.isEmpty { argument.append(slash) }
            arguments.append(argument)
        }
        try sendFirstList(arguments)
    }

    /// Walks `arguments`, sends the first (or only) list and publishes it.
    func sendFirstList(_ arguments: [Bytes]) throws(TransferFailure) {
        let startBytes = session.writer.streamBytes
        let startTime = monotonicNanoseconds()
        session.reporter.event(.fileListStarted(incremental: session.incremental))
        let segment = FileSegment(
            paths: paths, attributes: attributes, ndxStart: lists.nextStart, checksumLength: format.checksumLength,
            use: session.incremental ? .segment : .wholeTransfer)
        for argument in arguments { try sendArgument(argument, segment) }
        try finish(segment, isFirst: true)
        if session.incremental {
            for index in try lists.directories.addDirectories(of: segment, parent: -1) where nextDirectory < 0 {
                nextDirectory = firstListed(Int32(index))
            }
            // Number 0 denotes the root when its entry leads the list.
            if segment.count > 0, isRootEntry(segment, segment.entry(0).pointee) { segment.parentDirectory = 0 }
            lists.add(segment)
            if nextDirectory < 0 { try sendEOF() }
            // A receiver that sees exactly one entry waits for one more list before it chooses the destination.
            if segment.count == 1 && !lists.isComplete { try sendNextList() }
        } else {
            try encoder.writeIDLists()
            if session.protocolVersion < 30 {
                try session.writer.int32(options.ignoreErrors ? 0 : session.reporter.ioError.rawValue)
            }
            lists.add(segment)
            lists.finish()
        }
        reportedIOError = session.reporter.ioError
        let elapsed = Int64((monotonicNanoseconds() - startTime) / 1_000_000)
        statistics.fileListBuildMilliseconds = max(1, elapsed)
        statistics.fileListSize += session.writer.streamBytes - startBytes
        publishStatistics()
        if !session.incremental { session.reporter.event(.fileListFinished(count: lists.knownCount)) }
    }

    private func isRootEntry(_ segment: FileSegment, _ entry: FileEntry) -> Bool {
        let name = segment.name(entry)
        return paths.path(entry.directory).count == 0 && name.count == 1 && name[0] == UInt8(ascii: ".")
    }

    private func publishStatistics() {
        session.statistics.withLock { all in
            all.files = statistics.files
            all.totalSize = statistics.totalSize
            all.fileListSize = statistics.fileListSize
            all.fileListBuildMilliseconds = statistics.fileListBuildMilliseconds
        }
        lists.state.withLock { $0.knownSize = statistics.totalSize }
    }

    private func finish(_ segment: FileSegment, isFirst: Bool) throws(TransferFailure) {
        let errors = session.reporter.ioError
        let report = isFirst ? errors != [] : errors != reportedIOError
        try encoder.end(ioError: report && !options.ignoreErrors ? errors.rawValue : 0)
        segment.sort(protocolVersion: session.protocolVersion)
        segment.markDuplicates(onSender: true, protocolVersion: session.protocolVersion)
        if session.protocolVersion == 30 && report && !(isFirst && format.safeList) {
            session.writer.queueMessage(.ioError, value: errors.rawValue)
        }
    }

    // MARK: - Arguments

    private func root(_ directory: Bytes) -> Int32? {
        if let known = rootIndex[directory] { return known }
        let base = session.environment.workingDirectory
        let descriptor: Int32
        if directory.isEmpty {
            descriptor = FileSystem.open(base, ".", O_RDONLY | O_DIRECTORY)
        } else if session.environment.sanitizesPaths || session.options.amDaemon {
            descriptor = ConfinedPath.openDirectory(base, nameBuffer.cString(Self.withoutLeadingSlashes(directory)))
        } else {
            descriptor = FileSystem.open(base, nameBuffer.cString(directory), O_RDONLY | O_DIRECTORY)
        }
        if descriptor < 0 {
            session.reporter.noteIOError(.general)
            session.reporter.systemError(
                .sender, Bytes("change_dir ") + session.fullName(directory) + Bytes(" failed"), -descriptor)
            return nil
        }
        let index = Int32(roots.count)
        roots.append((descriptor, directory))
        rootDescriptors(descriptor)
        rootIndex[directory] = index
        return index
    }

    private static func withoutLeadingSlashes(_ path: Bytes) -> Bytes {
        Bytes(path.drop { $0 == UInt8(ascii: "/") })
    }

    private func sendArgument(_ raw: Bytes, _ segment: FileSegment) throws(TransferFailure) {
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
    private func sendItem(
        directory: Bytes, name: Bytes, argument: Bytes, _ segment: FileSegment
    ) throws(TransferFailure) {
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
        rootDevice = status.device
        let walks = options.recursive || (options.dirs && (isDot || argument.last == UInt8(ascii: "/")))
        var flags: FileEntryFlags = []
        if status.isDirectory && walks { flags = [.topDirectory, .contentDirectory] }
        try name.withRaw { (raw) throws(TransferFailure) in
            try self.send(raw, status, directory: rootPath, anchor: anchor, flags: flags, segment)
        }
        guard status.isDirectory && walks else { return }
        if isDot {
            try sendTree(rootPath, segment, isTransferRoot: true)
        } else if !session.incremental {
            guard let path = name.withUnsafeBytes({ paths.intern($0, root: root) }) else {
                throw TransferFailure(.outOfMemory)
            }
            try sendTree(path, segment, isTransferRoot: false)
        }
    }

    private func missing(
        _ argument: Bytes, _ directory: Bytes, _ name: Bytes, _ code: Int32, _ rootPath: Int32, _ segment: FileSegment
    ) throws(TransferFailure) {
        if code == ENOENT {
            switch options.missingArgs {
            case .ignore: return
            case .delete:
                let entry = SourceEntry(mode: 0, length: 0, mtime: 0, nanoseconds: 0, uid: 0, gid: 0)
                try name.withRaw { (raw) throws(TransferFailure) in
                    _ = try self.encoder.encode(
                        entry, directory: rootPath, name: raw, linkTarget: [], flags: [], checksum: [], into: segment)
                }
                return
            case .error: break
            }
        } else {
            session.reporter.noteIOError(.general)
        }
        session.reporter.systemError(
            .sender, Bytes("link_stat ") + session.fullName(directory.appendingComponent(name)) + Bytes(" failed"), code
        )
    }

    static func isDirectoryLink(_ anchor: Int32, _ name: UnsafePointer<CChar>) -> Bool {
        var status = FileStatus()
        return FileSystem.status(anchor, name, follow: true, &status) == 0 && status.isDirectory
    }

    /// `--relative`: sends implied parents, then the item under its whole path.
    private func sendRelativeArgument(_ raw: Bytes, _ segment: FileSegment) throws(TransferFailure) {
        let slash = UInt8(ascii: "/")
        var directory = Bytes()
        var path = raw
        if let marker = Self.dotMarker(raw) {
            directory = Bytes(raw[..<marker])
            path = Bytes(raw[(marker + 3)...])
            if directory.isEmpty && raw.first == slash { directory = Bytes("/") }
        }
        let slashEnding = path.last == slash
        let isAbsolute = path.first == slash
        let components = path.fields { $0 == slash }.filter { $0 != Bytes(".") }
        if components.contains(Bytes("..")) {
            throw TransferFailure(.syntax, lines: [Bytes("found \"..\" dir in relative path: ") + path])
        }
        if isAbsolute { directory = Bytes("/") }
        if components.isEmpty {
            return try sendItem(directory: directory, name: Bytes("."), argument: raw, segment)
        }
        guard let root = root(directory) else { return }
        let anchor = roots[Int(root)].descriptor
        // Parents, each once; a leading slash of an absolute source is kept on the wire.
        var parent = isAbsolute ? Bytes("/") : Bytes()
        for component in components.dropLast() {
            guard let parentID = parent.withUnsafeBytes({ paths.intern($0, root: root) }) else {
                throw TransferFailure(.outOfMemory)
            }
            let full = parent.appendingComponent(component)
            if impliedSent.insert(full).inserted && (options.impliedDirs || session.protocolVersion >= 30) {
                var status = FileStatus()
                let relative = Self.withoutLeadingSlashes(full)
                let code = FileSystem.status(anchor, nameBuffer.cString(relative), follow: true, &status)
                if code != 0 {
                    return try missing(raw, directory, path, code, parentID, segment)
                }
                try component.withRaw { (name) throws(TransferFailure) in
                    try self.send(
                        name, status, directory: parentID, anchor: anchor, flags: [.impliedDirectory], segment)
                }
            }
            parent = full
        }
        let name = components[components.count - 1]
        guard let parentID = parent.withUnsafeBytes({ paths.intern($0, root: root) }) else {
            throw TransferFailure(.outOfMemory)
        }
        let full = parent.appendingComponent(name)
        var status = FileStatus()
        let code = FileSystem.status(
            anchor, nameBuffer.cString(Self.withoutLeadingSlashes(full)), follow: slashEnding || options.copyLinks,
            &status)
        if code != 0 { return try missing(raw, directory, path, code, parentID, segment) }
        if filters.hides(directory.appendingComponent(full), isDirectory: status.isDirectory) {
            return try missing(raw, directory, path, ENOENT, parentID, segment)
        }
        if filters.excludes(full, isDirectory: status.isDirectory, root: directory) { return }
        if status.isDirectory && !options.transfersDirectories {
            session.reporter.info(Bytes("skipping directory ") + full)
            return
        }
        rootDevice = status.device
        let walks = options.recursive || (options.dirs && slashEnding)
        let flags: FileEntryFlags = status.isDirectory && walks ? [.topDirectory, .contentDirectory] : []
        try name.withRaw { (raw) throws(TransferFailure) in
            try self.send(raw, status, directory: parentID, anchor: anchor, flags: flags, segment)
        }
        if status.isDirectory && walks {
            guard let id = full.withUnsafeBytes({ paths.intern($0, root: root) }) else {
                throw TransferFailure(.outOfMemory)
            }
            try sendTree(id, segment, isTransferRoot: false)
        }
    }

    /// Position of the first `/./` (or a leading `./`, which then is at −1 … handled as 0 with an empty left part).
    private static func dotMarker(_ path: Bytes) -> Int? {
        guard path.count >= 3 else { return nil }
        for index in 0...(path.count - 3)
        where path[index] == 0x2f && path[index + 1] == 0x2e && path[index + 2] == 0x2f {
            return index
        }
        return nil
    }

    // MARK: - Trees

    /// Sends the contents of a directory, and everything below it unless lists are incremental.
    private func sendTree(_ top: Int32, _ segment: FileSegment, isTransferRoot: Bool) throws(TransferFailure) {
        enum Step { case enter(Int32), leave }
        var stack: [Step] = [.enter(top)]
        while let step = stack.popLast() {
            switch step {
            case .leave: filters.leave()
            case .enter(let directory):
                let descriptor = openForListing(directory)
                if descriptor < 0 { continue }
                try filters.enter(
                    directory: Bytes(paths.path(directory)), root: roots[Int(paths.root(directory))].display)
                if !session.incremental { stack.append(.leave) }
                let below = try sendContents(directory, descriptor, segment)
                if session.incremental || !options.recursive {
                    filters.leave()
                    if !session.incremental { stack.removeLast() }
                    continue
                }
                for child in below.reversed() { stack.append(.enter(child)) }
            }
        }
    }

    private func openForListing(_ directory: Int32) -> Int32 {
        let descriptor = cache.descriptor(directory)
        if descriptor >= 0 { return descriptor }
        let code = -descriptor
        let path = displayPath(Bytes(paths.path(directory)), directory)
        if code == ENOENT {
            session.reporter.noteIOError(.vanished)
            session.reporter.warning(Bytes("directory has vanished: ") + session.fullName(path))
        } else {
            session.reporter.noteIOError(.general)
            session.reporter.systemError(.sender, Bytes("opendir ") + session.fullName(path) + Bytes(" failed"), code)
        }
        return descriptor
    }

    private func displayPath(_ path: Bytes, _ directory: Int32) -> Bytes {
        roots[Int(paths.root(directory))].display.appendingComponent(path)
    }

    /// Sends every accepted entry of one directory; returns its subdirectories (path ids) to walk.
    private func sendContents(
        _ directory: Int32, _ shared: Int32, _ segment: FileSegment
    ) throws(TransferFailure) -> [Int32] {
        // A descriptor of its own: the cached one keeps its read position.
        let descriptor = FileSystem.open(shared, ".", O_RDONLY | O_DIRECTORY)
        if descriptor < 0 {
            session.reporter.noteIOError(.general)
            let path = displayPath(Bytes(paths.path(directory)), directory)
            session.reporter.systemError(
                .sender, Bytes("opendir ") + session.fullName(path) + Bytes(" failed"), -descriptor)
            return []
        }
        defer { _ = FileSystem.close(descriptor) }
        var below: [Int32] = []
        let root = paths.root(directory)
        let prefix = Bytes(paths.path(directory))
        let hasFilters = filters.isActive
        let display = roots[Int(root)].display
        let code = try scan.forEach(descriptor) { (name, _) throws(TransferFailure) in
            var status = FileStatus()
            // Safe: the scan hands out NUL-terminated names.
            let cName = name.baseAddress!.assumingMemoryBound(to: CChar.self)
            if prefix.count + name.count + 1 >= Limits.maxPath {
                self.session.reporter.noteIOError(.general)
                self.session.reporter.errorTransfer(
                    Bytes(
                        text: "filename overflows max-path len by \(prefix.count + name.count + 2 - Limits.maxPath): ")
                        + prefix.appendingComponent(Bytes(name)))
                return
            }
            var follow = self.options.copyLinks
            var code = FileSystem.status(descriptor, cName, follow: follow, &status)
            if code == 0 && status.isSymlink && (self.options.copyDirlinks || self.options.copyUnsafeLinks) {
                follow = self.followsLink(descriptor, cName, prefix.appendingComponent(Bytes(name)))
                if follow { code = FileSystem.status(descriptor, cName, follow: true, &status) }
            }
            if code != 0 {
                self.reportUnreadable(prefix.appendingComponent(Bytes(name)), directory, code, followed: follow)
                return
            }
            if hasFilters {
                let path = prefix.appendingComponent(Bytes(name))
                if self.filters.excludes(path, isDirectory: status.isDirectory, root: display) { return }
            }
            var flags: FileEntryFlags = []
            if status.isDirectory {
                if self.options.recursive { flags.insert(.contentDirectory) }
                if self.options.oneFileSystem > 0 && status.device != self.rootDevice && self.options.recursive {
                    if self.options.oneFileSystem > 1 {
                        if self.options.info[.mount] >= 1 {
                            self.session.reporter.info(
                                Bytes("[sender] skipping mount-point dir ") + prefix.appendingComponent(Bytes(name)))
                        }
                        return
                    }
                    flags = .mountPoint
                }
            }
            if self.session.environment.ignoresNonreadable && !status.isSymlink
                && faccessat(descriptor, cName, R_OK, 0) != 0
            {
                return
            }
            try self.send(name, status, directory: directory, anchor: descriptor, flags: flags, segment)
            if flags.contains(.contentDirectory) && !self.session.incremental {
                let child = prefix.appendingComponent(Bytes(name))
                if let id = child.withUnsafeBytes({ self.paths.intern($0, root: root) }) { below.append(id) }
            }
        }
        if code != 0 {
            session.reporter.noteIOError(.general)
            let path = displayPath(prefix, directory)
            session.reporter.systemError(
                .sender, Bytes("readdir(") + session.fullName(path) + Bytes(")"), code)
        }
        return below
    }

    private func followsLink(_ descriptor: Int32, _ name: UnsafePointer<CChar>, _ path: Bytes) -> Bool {
        if options.copyDirlinks && Self.isDirectoryLink(descriptor, name) { return true }
        guard options.copyUnsafeLinks else { return false }
        var code: Int32 = 0
        guard let target = FileSystem.readLink(descriptor, name, code: &code) else { return false }
        let unsafe = SymlinkSafety.isUnsafe(target: target, at: path)
        if unsafe && options.info[.symsafe] >= 1 {
            session.reporter.info(Bytes("copying unsafe symlink \"") + path + Bytes("\" -> \"") + target + Bytes("\""))
        }
        return unsafe
    }

    private func reportUnreadable(_ path: Bytes, _ directory: Int32, _ code: Int32, followed: Bool) {
        let full = session.fullName(displayPath(path, directory))
        if code == ENOENT && followed {
            session.reporter.noteIOError(.general)
            session.reporter.errorTransfer(Bytes("symlink has no referent: ") + full)
        } else if code == ENOENT {
            session.reporter.noteIOError(.vanished)
            session.reporter.warning(Bytes("file has vanished: ") + full)
        } else {
            session.reporter.noteIOError(.general)
            session.reporter.systemError(.sender, Bytes("readlink_stat(") + full + Bytes(") failed"), code)
        }
    }

    // MARK: - One entry

    private func send(
        _ name: UnsafeRawBufferPointer, _ status: FileStatus, directory: Int32, anchor: Int32, flags: FileEntryFlags,
        _ segment: FileSegment
    ) throws(TransferFailure) {
        var mode = status.mode
        if mode == 0 {
            session.reporter.noteIOError(.general)
            return
        }
        var length = status.length
        var target = Bytes()
        switch status.type {
        case FileType.symlink:
            guard options.links else { break }
            var code: Int32 = 0
            guard let text = FileSystem.readLink(anchor, nameBuffer.cString(name), code: &code) else {
                let path = Bytes(paths.path(directory)).appendingComponent(Bytes(name))
                return reportUnreadable(path, directory, code, followed: false)
            }
            if text.isEmpty { return }
            target = session.environment.mungesSymlinks || options.mungeLinks ? SymlinkMunging.unmunged(text) : text
        case FileType.regular, FileType.directory: break
        default: length = 0
        }
        if let chmod, status.type != FileType.symlink { mode = chmod.apply(mode) }
        var entry = SourceEntry(
            mode: mode, length: length, mtime: status.mtime, nanoseconds: status.mtimeNanoseconds, uid: status.uid,
            gid: status.gid)
        entry.atime = status.atime
        entry.deviceMajor = status.deviceMajor
        entry.deviceMinor = status.deviceMinor
        entry.device = status.device
        entry.inode = status.inode
        entry.linkCount = status.linkCount
        var digest = Bytes()
        if let hasher, status.isRegular { digest = fileDigest(hasher, anchor, name) }
        let number = try encoder.encode(
            entry, directory: directory, name: name, linkTarget: target, flags: flags, checksum: digest, into: segment)
        if number == nil {
            throw TransferFailure(.outOfMemory, "[sender] file list has grown too large to expand")
        }
        statistics.files.count(mode: mode)
        if status.isRegular || status.isSymlink { statistics.totalSize += length }
        if options.info[.flist] >= 2 && segment.count % 100 == 0 {
            session.reporter.event(.fileListProgress(count: statistics.files.total))
        }
    }

    private func fileDigest(_ hasher: StrongHasher, _ anchor: Int32, _ name: UnsafeRawBufferPointer) -> Bytes {
        let descriptor = FileSystem.open(anchor, nameBuffer.cString(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        if descriptor < 0 { return [] }
        defer { _ = FileSystem.close(descriptor) }
        if digestBuffer == nil { digestBuffer = .allocate(byteCount: 256 * 1024, alignment: 4096) }
        hasher.reset()
        while true {
            let count = FileSystem.read(descriptor, digestBuffer!)
            if count <= 0 { break }
            hasher.update(UnsafeRawBufferPointer(rebasing: digestBuffer![..<count]))
        }
        return hasher.finish()
    }

    // MARK: - Incremental lists

    /// Sends lists until the receiver has `ahead` entries behind its current one, or none are left.
    func sendAhead(current: Int32, ahead: Int) throws(TransferFailure) {
        guard session.incremental, !lists.isComplete else { return }
        while !lists.isComplete && lists.pendingAfter(current) < ahead { try sendNextList() }
        reportedIOError = session.reporter.ioError
    }

    /// Sends the list of the next directory, or the end mark.
    private func sendNextList() throws(TransferFailure) {
        let index = nextDirectory
        guard index >= 0 else { return try sendEOF() }
        let startBytes = session.writer.streamBytes
        try session.writer.ndx(Ndx.fileListOffset - index)
        let segment = FileSegment(
            paths: paths, attributes: attributes, ndxStart: lists.nextStart, checksumLength: format.checksumLength,
            use: .segment)
        segment.parentDirectory = index
        try sendDirectory(Int(index), segment)
        // Duplicate directories of other arguments share this list.
        var twin = lists.directories.node(Int(index)).pointee.nextSibling
        while twin >= 0 && lists.directories.entry(Int(twin)).pointee.flags.contains(.duplicate) {
            try sendDirectory(Int(twin), segment)
            twin = lists.directories.node(Int(twin)).pointee.nextSibling
        }
        try finish(segment, isFirst: false)
        _ = try lists.directories.addDirectories(of: segment, parent: index)
        lists.add(segment)
        statistics.fileListSize += session.writer.streamBytes - startBytes
        publishStatistics()
        nextDirectory = following(index)
        if nextDirectory < 0 { try sendEOF() }
    }

    private func sendDirectory(_ index: Int, _ segment: FileSegment) throws(TransferFailure) {
        let entry = lists.directories.entry(index).pointee
        guard entry.flags.contains(.contentDirectory), !entry.flags.contains(.mountPoint) else { return }
        let directory = lists.directories.node(index).pointee.path
        try filters.move(to: Bytes(paths.path(directory)), root: roots[Int(paths.root(directory))].display)
        let descriptor = openForListing(directory)
        if descriptor < 0 { return }
        if options.oneFileSystem > 0 {
            var status = FileStatus()
            if FileSystem.status(descriptor: descriptor, &status) == 0 { rootDevice = status.device }
        }
        _ = try sendContents(directory, descriptor, segment)
    }

    private func sendEOF() throws(TransferFailure) {
        nextDirectory = -1
        try session.writer.ndx(Ndx.fileListEOF)
        lists.finish()
    }

    /// The root `.` has its contents in the first list; skip it.
    private func firstListed(_ start: Int32) -> Int32 {
        var index = start
        while index >= 0 && !hasList(index) { index = following(index) }
        return index
    }

    private func hasList(_ index: Int32) -> Bool {
        let entry = lists.directories.entry(Int(index)).pointee
        let name = lists.directories.entries.name(entry)
        let isDot = name.count == 1 && name[0] == UInt8(ascii: ".")
        return !isDot && !entry.flags.contains(.duplicate)
    }

    /// Pre-order, depth first over the directory table.
    private func following(_ index: Int32) -> Int32 {
        var node = lists.directories.node(Int(index)).pointee
        var next = node.firstChild
        if next < 0 {
            while true {
                next = node.nextSibling
                if next >= 0 || node.parent < 0 { break }
                node = lists.directories.node(Int(node.parent)).pointee
            }
        }
        if next < 0 {
            return -1
        }
        return hasList(next) ? next : following(next)
    }
}

extension Bytes {
    /// Calls `body` with the raw bytes, keeping the error type.
    func withRaw<R>(_ body: (UnsafeRawBufferPointer) throws(TransferFailure) -> R) throws(TransferFailure) -> R {
        var result: Result<R, TransferFailure>?
        withUnsafeBytes { raw in
            do throws(TransferFailure) { result = .success(try body(raw)) } catch { result = .failure(error) }
        }
        return try result!.get()
    }
}
