// Dray — the contents of directories and single entries.
// Layer: Engine. Behaviour: chapter 02 §9.3, §9.4, §9.6.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayFiles
import DrayFilters
import DrayWire
import Glibc

extension SourceWalk {
    /// Sends the contents of a directory, and everything below it unless lists are incremental.
    func sendTree(_ top: Int32, _ segment: FileSegment, isTransferRoot: Bool) throws(TransferFailure) {
        enum Step { case enter(Int32), leave }
        var stack: [Step] = [.enter(top)]
        while let step = stack.popLast() {
            switch step {
            case .leave:
                filters.leave()
            case .enter(let directory):
                let descriptor = openForListing(directory)
                if descriptor < 0 { continue }
                let root = roots[Int(paths.root(directory))].display
                if session.incremental {
                    // Compatibility: the first of several arguments whose contents are sent brings the rules for all.
                    if !hasTopRules { try filters.change(to: [], root: root) }
                    hasTopRules = true
                } else {
                    try filters.enter(directory: Bytes(paths.path(directory)), root: root)
                    stack.append(.leave)
                }
                let below = try sendContents(directory, descriptor, segment)
                if session.incremental || !options.recursive { continue }
                for child in below.reversed() { stack.append(.enter(child)) }
            }
        }
    }

    func openForListing(_ directory: Int32) -> Int32 {
        let root = roots[Int(paths.root(directory))]
        let descriptor = root.isElsewhere ? refuseListing(directory, root) : cache.descriptor(directory)
        if descriptor >= 0 { return descriptor }
        let code = -descriptor
        let full = fullName(Bytes(paths.path(directory)), directory)
        if code == ENOENT {
            session.reporter.noteIOError(.vanished)
            session.reporter.warning(Bytes("directory has vanished: ") + full)
        } else {
            session.reporter.noteIOError(.general)
            session.reporter.systemError(.sender, Bytes("opendir ") + full + Bytes(" failed"), code)
        }
        return descriptor
    }

    /// Compatibility: directories are looked for where the text of the argument says; what a symlink before a `..` leads
    /// to is not that.
    private func refuseListing(_ directory: Int32, _ root: SourceRoot) -> Int32 {
        var status = FileStatus()
        let path = root.shown.appendingComponent(Bytes(paths.path(directory)))
        let code = FileSystem.status(FileSystem.workingDirectory, nameBuffer.cString(path), follow: true, &status)
        return code != 0 ? -code : status.isDirectory ? -ELOOP : -ENOTDIR
    }

    /// A path below the root of `directory`, as messages name it.
    func fullName(_ path: Bytes, _ directory: Int32) -> Bytes {
        let slash = UInt8(ascii: "/")
        let start = roots[Int(paths.root(directory))].shown
        if path.first == slash || start.isEmpty { return session.fullName(path.isEmpty ? Bytes(".") : path) }
        let whole = start.appendingComponent(path.isEmpty ? Bytes(".") : path)
        // Compatibility: below a module, what lies in a directory counts from the module's top.
        let countsFromTop = session.environment.moduleName != nil && whole.first != slash
        return session.fullName(countsFromTop ? [slash] + whole : whole)
    }

    func displayPath(_ path: Bytes, _ directory: Int32) -> Bytes {
        path.first == UInt8(ascii: "/") ? path : roots[Int(paths.root(directory))].display.appendingComponent(path)
    }

    /// Sends every accepted entry of one directory; returns its subdirectories (path ids) to walk.
    func sendContents(
        _ directory: Int32, _ shared: Int32, _ segment: FileSegment
    ) throws(TransferFailure) -> [Int32] {
        // A descriptor of its own: the cached one keeps its read position.
        var descriptor = FileSystem.open(shared, ".", O_RDONLY | O_DIRECTORY)
        let follows = options.copyLinks || options.copyDirlinks || options.copyUnsafeLinks
        if descriptor == -EACCES && follows {
            // Compatibility: where links are followed rsync lists what it may not enter, and complains of each name.
            descriptor = FileSystem.duplicate(shared)
            if descriptor >= 0 { _ = FileSystem.seek(descriptor, to: 0) }
        }
        if descriptor < 0 {
            session.reporter.noteIOError(.general)
            let full = fullName(Bytes(paths.path(directory)), directory)
            session.reporter.systemError(.sender, Bytes("opendir ") + full + Bytes(" failed"), -descriptor)
            return []
        }
        defer { _ = FileSystem.close(descriptor) }
        var below: [Int32] = []
        let root = paths.root(directory)
        let prefix = Bytes(paths.path(directory))
        let hasFilters = filters.isActive
        let display = roots[Int(root)].display
        let code = try scan.forEachStatus(descriptor, follow: options.copyLinks) {
            (name, status, found) throws(TransferFailure) in
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
            var code = found
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
            if self.options.debug[.flist] >= 2 {
                self.session.reporter.info(
                    Bytes("[sender] make_file(") + prefix.appendingComponent(Bytes(name)) + Bytes(",*,2)"))
            }
            let isSent = try self.send(
                name, status, directory: directory, anchor: descriptor, flags: flags, segment)
            if isSent && flags.contains(.contentDirectory) && !self.session.incremental {
                let child = prefix.appendingComponent(Bytes(name))
                if let id = child.withUnsafeBytes({ self.paths.intern($0, root: root) }) { below.append(id) }
            }
        }
        if code != 0 {
            session.reporter.noteIOError(.general)
            session.reporter.systemError(
                .sender, Bytes("readdir(") + fullName(prefix, directory) + Bytes(")"), code)
        }
        return below
    }

    func followsLink(_ descriptor: Int32, _ name: UnsafePointer<CChar>, _ path: Bytes) -> Bool {
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

    func reportUnreadable(_ path: Bytes, _ directory: Int32, _ code: Int32, followed: Bool) {
        let full = fullName(path, directory)
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

    /// Sends one entry; false if it was left out (reported).
    @discardableResult
    func send(
        _ name: UnsafeRawBufferPointer, _ found: FileStatus, directory: Int32, anchor: Int32, flags: FileEntryFlags,
        _ segment: FileSegment
    ) throws(TransferFailure) -> Bool {
        let place = place(of: directory, anchor)
        var status = found
        if options.fakeSuper {
            try metadata.overlay(
                &status, AttributeTarget(directory: place, name: metadataName.cString(name)),
                shown: fullName(Bytes(paths.path(directory)).appendingComponent(Bytes(name)), directory))
        }
        var mode = status.mode
        if mode == 0 {
            session.reporter.noteIOError(.general)
            return false
        }
        if let conversion = session.conversion {
            do throws(CharacterConversion.Failure) { _ = try conversion.toWire(Bytes(name)) } catch {
                let path = Bytes(paths.path(directory)).appendingComponent(Bytes(name))
                cannotConvert(Bytes("filename: ") + path, error)
                return false
            }
        }
        var length = status.length
        if options.copyDevices && status.isDevice {
            // Its contents are what is sent: it becomes a file that is always newer than any copy.
            mode = mode & 0o7777 | FileType.regular
            length = FileSystem.deviceLength(anchor, nameBuffer.cString(name))
            status.mode = mode
            status.mtime = Int64(time(nil))
            status.mtimeNanoseconds = 0
            status.linkCount = 1
        }
        var target = Bytes()
        switch status.type {
        case FileType.symlink:
            guard options.links else { break }
            var code: Int32 = 0
            guard
                let text = FileSystem.readLink(
                    place, nameBuffer.cString(name), storedIn: options.fakeSuper, code: &code)
            else {
                let path = Bytes(paths.path(directory)).appendingComponent(Bytes(name))
                reportUnreadable(path, directory, code, followed: false)
                return false
            }
            if text.isEmpty { return false }
            target = session.environment.mungesSymlinks || options.mungeLinks ? SymlinkMunging.unmunged(text) : text
            if let conversion = session.conversion, session.convertsTargets {
                do throws(CharacterConversion.Failure) { target = try conversion.toWire(target) } catch {
                    let path = Bytes(paths.path(directory)).appendingComponent(Bytes(name))
                    cannotConvert(Bytes("symlink data for: ") + fullName(path, directory), error)
                    return false
                }
            }
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
        if options.acls || options.xattrs > 0 {
            guard readMetadata(&entry, found, status, place: place, directory: directory, name) else {
                return false
            }
        }
        var digest = Bytes()
        if let hasher, status.isRegular, options.copyDevices || mode & FileType.mask == FileType.regular {
            if hasher.algorithm == .none {
                throw TransferFailure(.unsupported, "Invalid checksum-choice for --checksum: none (0)")
            }
            digest = fileDigest(hasher, place, name)
        }
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
        return true
    }

    private func cannotConvert(_ what: Bytes, _ failure: CharacterConversion.Failure) {
        session.reporter.noteIOError(.general)
        session.reporter.error(
            Bytes("[sender] cannot convert ") + what + Bytes(text: " (\(errnoText(failure.code)))"))
    }

    func fileDigest(_ hasher: StrongHasher, _ anchor: Int32, _ name: UnsafeRawBufferPointer) -> Bytes {
        let flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK
        let cName = nameBuffer.cString(name)
        var descriptor =
            options.openNoatime || options.atimes > 1
            ? FileSystem.open(anchor, cName, flags | FileSystem.noAtime) : -EPERM
        if descriptor == -EPERM { descriptor = FileSystem.open(anchor, cName, flags) }
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
}
