// Dray — the daemon's pid file: locked while it runs, never written through a symlink.
// Layer: Daemon. Behaviour: chapter 07 §4.3.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import Glibc

/// A pid file of this process.
struct PidFile: Sendable {
    let path: Bytes
    private let descriptor: Int32
    private let writer = getpid()

    /// Creates or takes over the file.
    ///
    /// - Throws: exit 11 with rsync's texts.
    init(creating path: Bytes) throws(TransferFailure) {
        self.path = path
        let (parent, leaf) = path.splitLastComponent
        let directoryName =
            path.first == UInt8(ascii: "/") && parent.isEmpty ? Bytes("/") : (parent.isEmpty ? Bytes(".") : parent)
        let directory = directoryName.withCString { dray_open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0) }
        guard directory >= 0 else {
            throw TransferFailure(
                .fileIO,
                lines: [
                    Bytes("failed to open pid-file directory \"") + directoryName
                        + Bytes(text: "\": \(errnoText(errno))")
                ])
        }
        defer { close(directory) }
        func failure(_ verb: StaticString, _ code: Int32) -> TransferFailure {
            TransferFailure(
                .fileIO,
                lines: [
                    Bytes("failed to ") + Bytes(verb) + Bytes(" pid file ") + path + Bytes(text: ": \(errnoText(code))")
                ])
        }
        var before = stat()
        var exists = leaf.withCString { fstatat(directory, $0, &before, AT_SYMLINK_NOFOLLOW) } == 0
        if exists && before.st_mode & S_IFMT != S_IFREG {
            guard leaf.withCString({ unlinkat(directory, $0, 0) }) == 0 else { throw failure("unlink", errno) }
            exists = false
        }
        let flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC
        let opened = leaf.withCString { dray_openat(directory, $0, flags, 0o664) }
        guard opened >= 0 else { throw failure(exists ? "open" : "create", errno) }
        descriptor = opened
        do throws(TransferFailure) {
            guard dray_try_lock_range(opened, 0, 4) == 0 else {
                throw failure("lock", errno == EACCES ? EAGAIN : errno)
            }
            var held = stat()
            var named = stat()
            guard fstat(opened, &held) == 0 else { throw failure("fstat opened", errno) }
            guard held.st_size <= 32 else { throw failure("find small", EFBIG) }
            guard leaf.withCString({ fstatat(directory, $0, &named, AT_SYMLINK_NOFOLLOW) }) == 0 else {
                throw failure("lstat", errno)
            }
            guard named.st_mode & S_IFMT == S_IFREG else { throw failure("avoid file overwrite race for", EINVAL) }
            guard named.st_dev == held.st_dev, named.st_ino == held.st_ino else {
                throw failure("verify stat info for", EINVAL)
            }
            guard ftruncate(opened, 0) == 0 else { throw failure("truncate", errno) }
            let text = Bytes(text: "\(getpid())\n")
            guard text.withUnsafeBytes({ write(opened, $0.baseAddress, $0.count) }) == text.count else {
                throw failure("write", errno)
            }
        } catch {
            close(opened)
            throw error
        }
    }

    /// Removes the file, if this process made it.
    func remove() {
        if getpid() == writer { _ = path.withCString { unlink($0) } }
    }
}
