// Dray — the bare work under a transfer: copies, sockets and calls for small files, without a protocol.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import Glibc

enum Bare {
    private static let pieceBytes = 256 * 1024

    private final class Buffer {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: Bare.pieceBytes, alignment: 4096)
        deinit { bytes.deallocate() }
    }

    private static func opened(_ path: String, _ flags: Int32) throws -> Int32 {
        let descriptor = open(path, flags, 0o600)
        guard descriptor >= 0 else { throw HarnessError("cannot open \(path)") }
        return descriptor
    }

    /// Writes all of `bytes`.
    private static func put(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) throws {
        var offset = 0
        while offset < bytes.count {
            let count = write(descriptor, bytes.baseAddress! + offset, bytes.count - offset)
            guard count > 0 else { throw HarnessError("cannot write") }
            offset += count
        }
    }

    /// Passes on what `source` gives until its end, and its sum if that is wanted.
    private static func pass(_ source: Int32, _ target: Int32, sum: Bool) throws {
        let buffer = Buffer()
        let hasher = sum ? StrongHasher(.xxh128) : nil
        while true {
            let count = read(source, buffer.bytes.baseAddress, buffer.bytes.count)
            guard count >= 0 else { throw HarnessError("cannot read") }
            if count == 0 { break }
            let piece = UnsafeRawBufferPointer(rebasing: buffer.bytes[..<count])
            hasher?.update(piece)
            try put(target, piece)
        }
        _ = hasher?.finish()
    }

    /// One thread, `read` and `write`.
    static func copy(_ from: String, _ to: String) throws {
        let source = try opened(from, O_RDONLY)
        let target = try opened(to, O_WRONLY | O_CREAT)
        defer {
            close(source)
            close(target)
        }
        try pass(source, target, sum: false)
    }

    /// One thread reads and sends over a TCP connection of this machine, another receives and writes.
    static func pump(_ from: String, _ to: String, sums: Bool) throws {
        let source = try opened(from, O_RDONLY)
        let target = try opened(to, O_WRONLY | O_CREAT)
        let (near, far) = try Relay.connectedPair()
        defer { for descriptor in [source, target, near, far] { close(descriptor) } }
        try parallel { part in
            if part == 1 { return try pass(far, target, sum: sums) }
            defer { shutdown(near, Int32(SHUT_WR)) }
            try pass(source, near, sum: sums)
        }
    }

    /// Runs `body` on two threads, with 0 and with 1.
    static func parallel(_ body: @escaping @Sendable (Int) throws -> Void) throws {
        let failed = Monitor(false)
        let other = RoleThread { do { try body(1) } catch { failed.withLock { $0 = true } } }
        do { try body(0) } catch { failed.withLock { $0 = true } }
        other?.join()
        if failed.withLock({ $0 }) || other == nil { throw HarnessError("bare work failed") }
    }

    /// The names of a directory, each looked at once.
    static func names(_ path: String) throws -> [String] {
        let descriptor = try opened(path, O_RDONLY | O_DIRECTORY)
        guard let directory = fdopendir(descriptor) else { throw HarnessError("cannot list \(path)") }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name == "." || name == ".." { continue }
            var status = stat()
            guard fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { continue }
            names.append(name)
        }
        return names
    }

    /// Every `of`-th file of one directory: read, then put in place by six calls relative to held directories.
    static func put(_ source: String, _ destination: String, _ directory: String, part: Int, of: Int) throws {
        mkdir("\(destination)/\(directory)", 0o755)
        let from = try opened("\(source)/\(directory)", O_RDONLY | O_DIRECTORY)
        let to = try opened("\(destination)/\(directory)", O_RDONLY | O_DIRECTORY)
        defer {
            close(from)
            close(to)
        }
        let buffer = Buffer()
        for (index, name) in try names("\(source)/\(directory)").enumerated() where index % of == part {
            let file = openat(from, name, O_RDONLY | O_NOFOLLOW)
            let count = read(file, buffer.bytes.baseAddress, buffer.bytes.count)
            close(file)
            guard count >= 0 else { throw HarnessError("cannot read \(name)") }
            let temporary = ".\(name).bare\(part)"
            let target = openat(to, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
            try put(target, UnsafeRawBufferPointer(rebasing: buffer.bytes[..<count]))
            var times = (timespec(tv_sec: 1_500_000_000, tv_nsec: 0), timespec(tv_sec: 1_500_000_000, tv_nsec: 0))
            withUnsafePointer(to: &times) {
                _ = $0.withMemoryRebound(to: timespec.self, capacity: 2) { futimens(target, $0) }
            }
            fchmod(target, 0o644)
            close(target)
            guard renameat(to, temporary, to, name) == 0 else { throw HarnessError("cannot rename \(temporary)") }
        }
    }
}
