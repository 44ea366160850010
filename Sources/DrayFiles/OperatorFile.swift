// Dray — files that the operator names, opened so that no symlink of an untrusted user leads astray.
// Layer: Files. Behaviour: chapter 08 §2.2.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import Glibc

/// Opens paths of the operator: every symlink on the way must belong to root or to the effective user.
public enum OperatorFile {
    private static let mostLinks = 40
    private static let mostText = 8192

    /// Opens `path`; −errno on failure. The descriptor closes on exec.
    ///
    /// - Parameters:
    ///   - anchor: directory that a relative path starts at.
    ///   - trusting: follows every symlink (`--insecure-links`).
    ///   - confineRoot: directory that the path must lead into (`--confine-root`); else −ELOOP.
    public static func open(
        _ path: Bytes, flags: Int32, mode: mode_t = 0, anchor: Int32 = AT_FDCWD, trusting: Bool = false,
        confineRoot: Bytes? = nil
    ) -> Int32 {
        let descriptor = openUnconfined(path, flags: flags, mode: mode, anchor: anchor, trusting: trusting)
        guard descriptor >= 0, let confineRoot, !isInside(descriptor, confineRoot) else { return descriptor }
        close(descriptor)
        return -ELOOP
    }

    /// Whether an open item really lies in the directory `root`, an absolute path, or is that directory.
    public static func isInside(_ descriptor: Int32, _ root: Bytes) -> Bool {
        let directory = openDirectory(Bytes("/"), AT_FDCWD)
        let start = root.withCString { dray_openat(directory, $0, dray_o_path() | O_DIRECTORY | O_CLOEXEC, 0) }
        defer {
            close(directory)
            if start >= 0 { close(start) }
        }
        guard start >= 0, let allowed = resolvedPath(start), let path = resolvedPath(descriptor) else { return false }
        return allowed == Bytes("/") || path == allowed || path.hasPrefix(allowed + Bytes("/"))
    }

    private static func resolvedPath(_ descriptor: Int32) -> Bytes? {
        let path = readLink(AT_FDCWD, Bytes(text: "/proc/self/fd/\(descriptor)"))
        return path?.first == UInt8(ascii: "/") ? path : nil
    }

    private static func openUnconfined(
        _ path: Bytes, flags: Int32, mode: mode_t, anchor: Int32, trusting: Bool
    ) -> Int32 {
        if path.isEmpty { return -EINVAL }
        if trusting { return result(path.withCString { dray_openat(anchor, $0, flags | O_CLOEXEC, mode) }) }
        var directory = openDirectory(path.first == UInt8(ascii: "/") ? Bytes("/") : Bytes("."), anchor)
        if directory < 0 { return directory }
        defer { close(directory) }
        let wanted = flags | O_NOFOLLOW | O_CLOEXEC
        var pending = components(path)
        var links = 0
        while let component = pending.popLast() {
            var status = stat()
            if component.withCString({ fstatat(directory, $0, &status, AT_SYMLINK_NOFOLLOW) }) != 0 {
                let code = errno
                guard code == ENOENT, pending.isEmpty, flags & O_CREAT != 0 else { return -code }
                return result(component.withCString { dray_openat(directory, $0, wanted, mode) })
            }
            let type = status.st_mode & S_IFMT
            if type == S_IFLNK {
                links += 1
                // Open files of the kernel's own making (`<(…)` of a shell) have no path to go on with.
                if dray_is_process_directory(directory) != 0 {
                    let how = pending.isEmpty ? flags | O_CLOEXEC : dray_o_path() | O_DIRECTORY | O_CLOEXEC
                    let opened = result(component.withCString { dray_openat(directory, $0, how, mode) })
                    if opened < 0 || pending.isEmpty { return opened }
                    close(directory)
                    directory = opened
                    continue
                }
                guard status.st_uid == 0 || status.st_uid == geteuid(), links <= mostLinks else { return -ELOOP }
                guard let target = readLink(directory, component) else { return -errno }
                if target.isEmpty { return -ELOOP }
                pending += components(target)
                if pending.reduce(0, { $0 + $1.count + 1 }) > mostText { return -ENAMETOOLONG }
                if target.first == UInt8(ascii: "/") {
                    let root = openDirectory(Bytes("/"), AT_FDCWD)
                    if root < 0 { return root }
                    close(directory)
                    directory = root
                }
                continue
            }
            if pending.isEmpty { return result(component.withCString { dray_openat(directory, $0, wanted, mode) }) }
            if type != S_IFDIR { return -ENOTDIR }
            let next = openDirectory(component, directory)
            if next < 0 { return next }
            close(directory)
            directory = next
        }
        guard flags & O_DIRECTORY != 0 else { return -EISDIR }
        return result(Bytes(".").withCString { dray_openat(directory, $0, wanted, mode) })
    }

    /// The whole contents of a file; −errno in `code` if there is none.
    public static func read(_ path: Bytes, limit: Int = 64 << 20, code: inout Int32) -> Bytes? {
        let descriptor = open(path, flags: O_RDONLY)
        if descriptor < 0 {
            code = -descriptor
            return nil
        }
        defer { close(descriptor) }
        return readAll(descriptor, limit: limit, code: &code)
    }

    /// Reads `descriptor` to its end, at most `limit` bytes.
    public static func readAll(_ descriptor: Int32, limit: Int, code: inout Int32) -> Bytes? {
        var contents: Bytes = []
        var buffer = Bytes(repeating: 0, count: 16 * 1024)
        while contents.count < limit {
            let count = Glibc.read(descriptor, &buffer, min(buffer.count, limit - contents.count))
            if count < 0 {
                if errno == EINTR { continue }
                code = errno
                return nil
            }
            if count == 0 { break }
            contents += buffer[..<count]
        }
        return contents
    }

    private static func result(_ descriptor: Int32) -> Int32 { descriptor < 0 ? -errno : descriptor }

    private static func openDirectory(_ name: Bytes, _ parent: Int32) -> Int32 {
        // Search permission is enough to pass through.
        result(
            name.withCString { dray_openat(parent, $0, dray_o_path() | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0) })
    }

    /// Components in reverse order, `.` left out.
    private static func components(_ path: Bytes) -> [Bytes] {
        path.fields { $0 == UInt8(ascii: "/") }.filter { $0 != Bytes(".") }.reversed()
    }

    private static func readLink(_ directory: Int32, _ name: Bytes) -> Bytes? {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = name.withCString { readlinkat(directory, $0, &buffer, buffer.count) }
        if count < 0 || count == buffer.count {
            if count > 0 { errno = ELOOP }
            return nil
        }
        return buffer[..<count].map { UInt8(bitPattern: $0) }
    }
}

extension FileSystem {
    /// Everything from the descriptor's position on, at most about `limit` bytes.
    public static func readAll(_ descriptor: Int32, limit: Int) -> Result<Bytes, FileReadError> {
        var text = Bytes()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)
        defer { buffer.deallocate() }
        while text.count < limit {
            let count = read(descriptor, buffer)
            if count < 0 { return .failure(FileReadError(code: Int32(-count))) }
            if count == 0 { break }
            text.append(contentsOf: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]))
        }
        return .success(text)
    }
}

/// A read that failed with `code`, an errno value.
public struct FileReadError: Error, Equatable, Sendable {
    public let code: Int32
}
