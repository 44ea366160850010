// Dray — what stat tells, in wire terms.
// Layer: Files.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import Glibc

/// The fields of `struct stat` that transfers use. Linux file types equal the wire's.
public struct FileStatus: Sendable {
    public var mode: UInt32 = 0
    public var length: Int64 = 0
    public var mtime: Int64 = 0
    public var mtimeNanoseconds: UInt32 = 0
    public var atime: Int64 = 0
    public var atimeNanoseconds: UInt32 = 0
    public var uid: UInt32 = 0
    public var gid: UInt32 = 0
    public var device: UInt64 = 0
    public var inode: UInt64 = 0
    public var linkCount: UInt64 = 0
    public var deviceMajor: UInt32 = 0
    public var deviceMinor: UInt32 = 0
    public var blocks: Int64 = 0

    public init() {}

    @inline(__always)
    init(_ raw: stat) {
        mode = raw.st_mode
        length = Int64(raw.st_size)
        mtime = Int64(raw.st_mtim.tv_sec)
        // Some file systems hand out impossible nanoseconds; the wire has no room for them.
        mtimeNanoseconds = (0..<1_000_000_000).contains(raw.st_mtim.tv_nsec) ? UInt32(raw.st_mtim.tv_nsec) : 0
        atime = Int64(raw.st_atim.tv_sec)
        atimeNanoseconds = UInt32(truncatingIfNeeded: raw.st_atim.tv_nsec)
        uid = raw.st_uid
        gid = raw.st_gid
        device = UInt64(raw.st_dev)
        inode = UInt64(raw.st_ino)
        linkCount = UInt64(raw.st_nlink)
        if raw.st_rdev != 0 {
            deviceMajor = dray_dev_major(UInt64(raw.st_rdev))
            deviceMinor = dray_dev_minor(UInt64(raw.st_rdev))
        }
        blocks = Int64(raw.st_blocks)
    }

    public var type: UInt32 { mode & FileType.mask }
    public var isDirectory: Bool { type == FileType.directory }
    public var isRegular: Bool { type == FileType.regular }
    public var isDevice: Bool { type == FileType.characterDevice || type == FileType.blockDevice }
    /// Whether both are the same item of the file system, under whatever name.
    public func isSameItem(as other: FileStatus) -> Bool { inode == other.inode && device == other.device }
    public var isSymlink: Bool { type == FileType.symlink }
    public var permissions: UInt32 { mode & 0o7777 }
}

/// A reusable buffer that turns raw names into C strings without allocating.
public final class NameBuffer {
    private let storage: UnsafeMutablePointer<CChar>
    private static let capacity = 2 * Limits.maxPath

    public init() { storage = .allocate(capacity: Self.capacity) }
    deinit { storage.deallocate() }

    /// `name` with a terminating NUL; valid until the next call. Longer names than the buffer are cut, which makes the
    /// system answer ENAMETOOLONG (the buffer is twice the path limit).
    @inline(__always)
    public func cString(_ name: UnsafeRawBufferPointer) -> UnsafePointer<CChar> {
        let count = min(name.count, Self.capacity - 1)
        if count > 0 { UnsafeMutableRawPointer(storage).copyMemory(from: name.baseAddress!, byteCount: count) }
        storage[count] = 0
        return UnsafePointer(storage)
    }

    public func cString(_ name: Bytes) -> UnsafePointer<CChar> { name.withUnsafeBytes { cString($0) } }
}

/// System calls on one name below a directory descriptor. All return 0 or an errno value; EINTR is retried here only.
public enum FileSystem {
    /// `AT_FDCWD`
    public static let workingDirectory: Int32 = AT_FDCWD
    /// `O_NOATIME`, which only the owner of a file may ask for.
    public static let noAtime: Int32 = 0o1000000

    @inline(__always)
    static func retry(_ call: () -> Int32) -> Int32 {
        while true {
            if call() == 0 { return 0 }
            let code = errno
            if code != EINTR { return code }
        }
    }

    /// Status of `name`; the last component is followed only on request.
    @inline(__always)
    public static func status(
        _ directory: Int32, _ name: UnsafePointer<CChar>, follow: Bool, _ result: inout FileStatus
    ) -> Int32 {
        var raw = stat()
        let code = retry { fstatat(directory, name, &raw, follow ? 0 : AT_SYMLINK_NOFOLLOW) }
        if code == 0 { result = FileStatus(raw) }
        return code
    }

    public static func status(descriptor: Int32, _ result: inout FileStatus) -> Int32 {
        var raw = stat()
        let code = retry { fstat(descriptor, &raw) }
        if code == 0 { result = FileStatus(raw) }
        return code
    }

    /// Opens; the descriptor is ≥ 0, a negative value is −errno.
    @inline(__always)
    public static func open(_ directory: Int32, _ name: UnsafePointer<CChar>, _ flags: Int32, mode: UInt32 = 0) -> Int32
    {
        while true {
            let descriptor = dray_openat(directory, name, flags | O_CLOEXEC, mode)
            if descriptor >= 0 { return descriptor }
            if errno != EINTR { return -errno }
        }
    }

    public static func close(_ descriptor: Int32) -> Int32 {
        // Linux closes even when it answers EINTR: never repeat.
        Glibc.close(descriptor) == 0 || errno == EINTR ? 0 : errno
    }

    public static func makeDirectory(_ directory: Int32, _ name: UnsafePointer<CChar>, mode: UInt32) -> Int32 {
        retry { mkdirat(directory, name, mode) }
    }

    public static func unlink(_ directory: Int32, _ name: UnsafePointer<CChar>, isDirectory: Bool = false) -> Int32 {
        retry { unlinkat(directory, name, isDirectory ? AT_REMOVEDIR : 0) }
    }

    public static func rename(
        _ from: Int32, _ oldName: UnsafePointer<CChar>, _ to: Int32, _ newName: UnsafePointer<CChar>
    ) -> Int32 {
        retry { renameat(from, oldName, to, newName) }
    }

    public static func link(
        _ from: Int32, _ oldName: UnsafePointer<CChar>, _ to: Int32, _ newName: UnsafePointer<CChar>
    ) -> Int32 {
        retry { linkat(from, oldName, to, newName, 0) }
    }

    public static func makeSymlink(_ target: UnsafePointer<CChar>, _ directory: Int32, _ name: UnsafePointer<CChar>)
        -> Int32
    {
        retry { symlinkat(target, directory, name) }
    }

    public static func makeNode(
        _ directory: Int32, _ name: UnsafePointer<CChar>, mode: UInt32, major: UInt32, minor: UInt32
    ) -> Int32 {
        retry { mknodat(directory, name, mode, dev_t(dray_make_dev(major, minor))) }
    }

    /// Target of a symlink, at most 4095 bytes; nil with errno in `code` on failure.
    public static func readLink(_ directory: Int32, _ name: UnsafePointer<CChar>, code: inout Int32) -> Bytes? {
        var buffer = Bytes(repeating: 0, count: Limits.maxPath)
        let count = buffer.withUnsafeMutableBytes { raw in
            readlinkat(directory, name, raw.baseAddress!.assumingMemoryBound(to: CChar.self), raw.count - 1)
        }
        if count < 0 {
            code = errno
            return nil
        }
        code = 0
        return Bytes(buffer[..<count])
    }

    /// Target of a symlink, or (`storedIn` a regular file, `--fake-super`) the content that stands for it.
    ///
    /// - Parameter onlyStored: a real symlink counts as an error (ELOOP).
    public static func readLink(
        _ directory: Int32, _ name: UnsafePointer<CChar>, storedIn isStored: Bool, onlyStored: Bool = false,
        code: inout Int32
    ) -> Bytes? {
        let target = readLink(directory, name, code: &code)
        if target != nil && isStored && onlyStored {
            code = ELOOP
            return nil
        }
        guard target == nil, code == EINVAL, isStored else { return target }
        let descriptor = open(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        if descriptor < 0 {
            code = -descriptor
            return nil
        }
        defer { _ = close(descriptor) }
        var buffer = Bytes(repeating: 0, count: Limits.maxPath - 1)
        let count = buffer.withUnsafeMutableBytes { readFully(descriptor, $0, at: 0) }
        code = count < 0 ? Int32(-count) : 0
        return count < 0 ? nil : Bytes(buffer[..<count])
    }

    /// Makes a new regular file with this content, readable by its owner only.
    public static func makeFile(_ directory: Int32, _ name: UnsafePointer<CChar>, content: Bytes) -> Int32 {
        let descriptor = open(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
        if descriptor < 0 { return -descriptor }
        let code = content.withUnsafeBytes { writeAll(descriptor, $0) }
        let closed = close(descriptor)
        return code != 0 ? code : closed
    }

    /// Owner and group without following a link; `UInt32.max` leaves one alone.
    public static func setOwner(_ directory: Int32, _ name: UnsafePointer<CChar>, uid: UInt32, gid: UInt32) -> Int32 {
        retry { fchownat(directory, name, uid, gid, AT_SYMLINK_NOFOLLOW) }
    }

    public static func setOwner(descriptor: Int32, uid: UInt32, gid: UInt32) -> Int32 {
        retry { fchown(descriptor, uid, gid) }
    }

    /// Both times, nanosecond exact; `atime` nil leaves the access time alone.
    public static func setTimes(
        _ directory: Int32, _ name: UnsafePointer<CChar>, mtime: Int64, nanoseconds: UInt32, atime: (Int64, UInt32)?
    ) -> Int32 {
        var times = timeSpecs(mtime, nanoseconds, atime)
        return withUnsafePointer(to: &times) { pointer in
            pointer.withMemoryRebound(to: timespec.self, capacity: 2) { both in
                retry { utimensat(directory, name, both, AT_SYMLINK_NOFOLLOW) }
            }
        }
    }

    public static func setTimes(
        descriptor: Int32, mtime: Int64, nanoseconds: UInt32, atime: (Int64, UInt32)?
    ) -> Int32 {
        var times = timeSpecs(mtime, nanoseconds, atime)
        return withUnsafePointer(to: &times) { pointer in
            pointer.withMemoryRebound(to: timespec.self, capacity: 2) { both in retry { futimens(descriptor, both) } }
        }
    }

    private static func timeSpecs(
        _ mtime: Int64, _ nanoseconds: UInt32, _ atime: (Int64, UInt32)?
    ) -> (timespec, timespec) {
        let utimeOmit = (1 << 30) - 2
        let access =
            atime.map { timespec(tv_sec: Int($0.0), tv_nsec: Int($0.1)) } ?? timespec(tv_sec: 0, tv_nsec: utimeOmit)
        return (access, timespec(tv_sec: Int(mtime), tv_nsec: Int(nanoseconds)))
    }

    public static func setMode(descriptor: Int32, _ mode: UInt32) -> Int32 { retry { fchmod(descriptor, mode) } }

    /// Permission bits of a name that must not be a symlink: never follows one that was put there meanwhile.
    public static func setMode(_ directory: Int32, _ name: UnsafePointer<CChar>, _ mode: UInt32) -> Int32 {
        let descriptor = open(directory, name, dray_o_path() | O_NOFOLLOW)
        if descriptor < 0 { return -descriptor }
        defer { _ = close(descriptor) }
        var now = FileStatus()
        let code = status(descriptor: descriptor, &now)
        if code != 0 { return code }
        if now.isSymlink { return ELOOP }
        // The descriptor is path-only: the change goes through its /proc link, which names exactly this object.
        var link = [CChar](repeating: 0, count: 40)
        let text = "/proc/self/fd/\(descriptor)"
        for (index, byte) in text.utf8.enumerated() { link[index] = CChar(bitPattern: byte) }
        let result = link.withUnsafeBufferPointer { pointer in
            retry { fchmodat(AT_FDCWD, pointer.baseAddress!, mode, 0) }
        }
        return result == ENOENT ? retry { fchmodat(directory, name, mode, 0) } : result
    }

    public static func truncate(descriptor: Int32, _ length: Int64) -> Int32 {
        retry { ftruncate(descriptor, off_t(length)) }
    }

    public static func synchronize(descriptor: Int32) -> Int32 { retry { fsync(descriptor) } }

    /// Writes everything; 0 or errno.
    public static func writeAll(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int32 {
        var done = 0
        while done < bytes.count {
            let count = Glibc.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
            if count < 0 {
                if errno == EINTR { continue }
                return errno
            }
            if count == 0 { return EIO }
            done += count
        }
        return 0
    }

    /// Writes `head` and then `slices` completely at the current offset; 0 or errno. Uses up the slices.
    public static func writeAll(
        _ descriptor: Int32, _ head: UnsafeRawBufferPointer, _ slices: UnsafeMutableBufferPointer<iovec>
    ) -> Int32 {
        if head.count > 0 {
            let code = writeAll(descriptor, head)
            if code != 0 { return code }
        }
        var index = 0
        while index < slices.count {
            var count = writev(descriptor, slices.baseAddress! + index, Int32(min(slices.count - index, 1024)))
            if count < 0 {
                if errno == EINTR { continue }
                return errno
            }
            if count == 0 { return EIO }
            while index < slices.count, count >= slices[index].iov_len {
                count -= slices[index].iov_len
                index += 1
            }
            if count > 0 {
                slices[index].iov_base += count
                slices[index].iov_len -= count
            }
        }
        return 0
    }

    /// Reads up to `buffer.count` bytes at the current offset; −errno on failure.
    public static func read(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
        while true {
            let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            if errno != EINTR { return -Int(errno) }
        }
    }

    /// Reads at an offset until the buffer is full or the file ends; −errno on failure.
    public static func readFully(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer, at offset: Int64) -> Int
    {
        var done = 0
        while done < buffer.count {
            let count = pread(descriptor, buffer.baseAddress! + done, buffer.count - done, off_t(offset) + off_t(done))
            if count < 0 {
                if errno == EINTR { continue }
                return -Int(errno)
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    public static func seek(_ descriptor: Int32, to offset: Int64) -> Int32 {
        lseek(descriptor, off_t(offset), SEEK_SET) < 0 ? errno : 0
    }

    /// A second descriptor of the same open file; negative errno on failure.
    public static func duplicate(_ descriptor: Int32) -> Int32 {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        return copy < 0 ? -errno : copy
    }

    /// Bytes a device holds, found by seeking; 0 if it cannot tell. The offset is 0 afterwards.
    public static func deviceLength(_ descriptor: Int32) -> Int64 {
        let end = lseek(descriptor, 0, SEEK_END)
        _ = lseek(descriptor, 0, SEEK_SET)
        return max(0, Int64(end))
    }

    /// The same for a device that is not open.
    public static func deviceLength(_ directory: Int32, _ name: UnsafePointer<CChar>) -> Int64 {
        let descriptor = open(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        if descriptor < 0 { return 0 }
        defer { _ = close(descriptor) }
        return deviceLength(descriptor)
    }

    /// Effective user id of this process.
    public static var effectiveUser: UInt32 { geteuid() }
    public static var effectiveGroup: UInt32 { getegid() }

    /// Groups this process may give files away to.
    public static func processGroups() -> Set<UInt32> {
        var groups = [gid_t](repeating: 0, count: 65536)
        let count = getgroups(Int32(groups.count), &groups)
        var set: Set<UInt32> = [getegid()]
        if count > 0 { set.formUnion(groups[..<Int(count)]) }
        return set
    }

    /// The file mode creation mask (read once: reading it changes it for a moment).
    public static let creationMask: UInt32 = {
        let mask = umask(0)
        umask(mask)
        return mask
    }()
}
