// Dray — partial files and backups: the places next to a file.
// Layer: Engine. Behaviour: chapter 04 §7.3, §9.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import Glibc

/// `D/base` of `--partial-dir=D`, for one file.
struct PartialPlace {
    let root: Destination
    let parent: Int32
    let directory: Bytes
    let name: Bytes

    /// An opened partial directory.
    struct Held {
        let descriptor: Int32
        let parent: Int32
        let directory: Bytes
        let removable: Bool

        func close() { _ = FileSystem.close(descriptor) }

        func removeIfEmpty() {
            guard removable else { return }
            _ = directory.withCString { FileSystem.unlink(parent, $0, isDirectory: true) }
        }
    }

    private var climbs: Bool { directory.fields { $0 == UInt8(ascii: "/") }.contains(Bytes("..")) }

    /// Opens the directory; makes a relative one when asked.
    func open(create: Bool) -> Held? {
        let isAbsolute = directory.first == UInt8(ascii: "/")
        // Compatibility: what climbs out of the file's directory is neither used nor removed.
        if !isAbsolute && !root.options.insecureLinks && climbs { return nil }
        let base = isAbsolute ? FileSystem.workingDirectory : parent
        return directory.withCString { path -> Held? in
            var descriptor = FileSystem.open(base, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            if descriptor < 0 && create && !isAbsolute {
                if descriptor == -ENOTDIR || descriptor == -ELOOP { _ = FileSystem.unlink(base, path) }
                _ = FileSystem.makeDirectory(base, path, mode: 0o700)
                descriptor = FileSystem.open(base, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            }
            if descriptor < 0 { return nil }
            if let confinement = root.options.confinement, !OperatorFile.isInside(descriptor, confinement) {
                _ = FileSystem.close(descriptor)
                return nil
            }
            return Held(descriptor: descriptor, parent: parent, directory: directory, removable: !isAbsolute)
        }
    }
}
