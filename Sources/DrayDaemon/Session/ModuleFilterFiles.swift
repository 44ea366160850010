// Dray — files of filter rules, as the operator and as a client may name them.
// Layer: Daemon. Behaviour: chapter 07 §12.3, §15.3; chapter 08 §2.4.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayFiles
import DrayFilters
import Glibc

/// Reads files that module parameters name; they may lie anywhere.
final class OperatorFilterFiles: FilterFileReader {
    func read(path: Bytes, kind: FilterFileKind) throws(FilterFileError) -> Bytes? {
        var code: Int32 = 0
        if let text = OperatorFile.read(path, code: &code) { return text }
        throw FilterFileError(code: code, isUntrustedLink: code == ELOOP)
    }
}

/// Reads files that a client names: below the module's pinned directory and only what the daemon's filters show.
final class ModuleFilterFiles: FilterFileReader {
    private let root: Int32
    private let directory: Bytes
    private let filters: FilterList
    private let followsLinks: Bool

    init(root: Int32, directory: Bytes, filters: FilterList, followsLinks: Bool) {
        self.root = root
        self.directory = directory
        self.filters = filters
        self.followsLinks = followsLinks
    }

    func read(path: Bytes, kind: FilterFileKind) throws(FilterFileError) -> Bytes? {
        var name = path
        if directory != Bytes("/"), name.hasPrefix(directory + Bytes("/")) { name.removeFirst(directory.count) }
        name = ModulePaths.sanitize(name)
        if !filters.isEmpty, filters.excludesPath(name, isDirectory: false) {
            // A merge file that the list hides is as good as missing; an option that names one is an attempt.
            if kind == .option { throw FilterFileError(code: ENOENT, isRejectedByDaemon: true) }
            return nil
        }
        let (parent, leaf) = name.splitLastComponent
        let opened = parent.withCString { ConfinedPath.openDirectory(root, $0) }
        if opened < 0 { throw FilterFileError(code: -opened, isUntrustedLink: opened == -ELOOP) }
        defer { close(opened) }
        let flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (followsLinks ? 0 : O_NOFOLLOW)
        let descriptor = leaf.withCString { dray_openat(opened, $0, flags, 0) }
        if descriptor < 0 { throw FilterFileError(code: errno, isUntrustedLink: errno == ELOOP) }
        defer { close(descriptor) }
        var code: Int32 = 0
        guard let text = OperatorFile.readAll(descriptor, limit: 64 << 20, code: &code) else {
            throw FilterFileError(code: code)
        }
        return text
    }
}
