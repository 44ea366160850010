// Dray — what a tree holds, read with plain system calls only, and the differences between two trees.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import Glibc

/// Everything that a copy is to keep of one item.
public struct TreeItem: Equatable, Sendable {
    public var mode: UInt32
    public var uid: UInt32
    public var gid: UInt32
    public var mtime: Int64
    public var nanoseconds: Int
    public var length: Int64
    public var device: UInt64
    /// Content of a file (FNV-1a) or target of a symlink.
    public var digest: UInt64
    /// Smallest path of the hard-link group the item is in, if it is in one.
    public var linkedTo: String?
    /// Bytes in use on the disk.
    public var allocated: Int64
    /// All extended attributes, ACLs among them.
    public var attributes: [String: [UInt8]] = [:]
}

/// A tree by path (relative to its root, non-printable bytes escaped).
public struct TreeSnapshot: Sendable {
    public var items: [String: TreeItem] = [:]

    /// Reads the tree at `root`; a root that does not exist gives an empty snapshot.
    public init(_ root: String) {
        var groups: [UInt64: [String]] = [:]
        read(Array(root.utf8), [], &groups)
        for paths in groups.values where paths.count > 1 {
            let first = paths.min()!
            for path in paths { items[path]?.linkedTo = first }
        }
    }

    private mutating func read(_ path: [UInt8], _ relative: [UInt8], _ groups: inout [UInt64: [String]]) {
        let cPath = path.map { CChar(bitPattern: $0) } + [0]
        var status = stat()
        guard lstat(cPath, &status) == 0 else { return }
        let type = status.st_mode & S_IFMT
        var item = TreeItem(
            mode: status.st_mode, uid: status.st_uid, gid: status.st_gid, mtime: Int64(status.st_mtim.tv_sec),
            nanoseconds: status.st_mtim.tv_nsec, length: type == S_IFREG ? Int64(status.st_size) : 0,
            device: type == S_IFBLK || type == S_IFCHR ? UInt64(status.st_rdev) : 0, digest: 0, linkedTo: nil,
            allocated: Int64(status.st_blocks) * 512)
        if type == S_IFREG { item.digest = Self.contentDigest(cPath) }
        if type == S_IFLNK {
            var target = [CChar](repeating: 0, count: 5000)
            let count = readlink(cPath, &target, target.count)
            item.digest = Self.digest(target[..<max(0, count)].map { UInt8(bitPattern: $0) })
        }
        item.attributes = Self.attributes(cPath)
        let name = Self.printable(relative)
        items[name] = item
        if type != S_IFDIR && status.st_nlink > 1 { groups[UInt64(status.st_ino), default: []].append(name) }
        guard type == S_IFDIR else { return }
        for child in Self.names(cPath) {
            read(path + [0x2f] + child, relative.isEmpty ? child : relative + [0x2f] + child, &groups)
        }
    }

    private static func attributes(_ cPath: [CChar]) -> [String: [UInt8]] {
        var list = [UInt8](repeating: 0, count: 65_536)
        let length = list.withUnsafeMutableBytes { dray_llistxattr(cPath, $0.baseAddress, $0.count) }
        var result: [String: [UInt8]] = [:]
        for part in list[..<max(0, length)].split(separator: 0) {
            let name = String(decoding: part, as: UTF8.self)
            var value = [UInt8](repeating: 0, count: 65_536)
            let count = value.withUnsafeMutableBytes { dray_lgetxattr(cPath, name, $0.baseAddress, $0.count) }
            result[name] = Array(value[..<max(0, count)])
        }
        return result
    }

    private static func names(_ cPath: [CChar]) -> [[UInt8]] {
        guard let stream = opendir(cPath) else { return [] }
        defer { closedir(stream) }
        var result: [[UInt8]] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: UInt8.self, capacity: 256) {
                    Array(UnsafeBufferPointer(start: $0, count: strlen($0)))
                }
            }
            if name != [0x2e] && name != [0x2e, 0x2e] { result.append(name) }
        }
        return result
    }

    private static func digest(_ bytes: [UInt8], from start: UInt64 = 0xcbf2_9ce4_8422_2325) -> UInt64 {
        var value = start
        for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return value
    }

    /// Mixes 8 bytes at a time: debug builds read megabytes here.
    private static func contentDigest(_ cPath: [CChar]) -> UInt64 {
        // Looking must not change access times, which are compared too; only owners may ask for that.
        var descriptor = open(cPath, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | dray_o_noatime())
        if descriptor < 0 && errno == EPERM { descriptor = open(cPath, O_RDONLY | O_NOFOLLOW | O_NONBLOCK) }
        guard descriptor >= 0 else { return UInt64.max }
        defer { close(descriptor) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { buffer.deallocate() }
        var value: UInt64 = 0xcbf2_9ce4_8422_2325
        while true {
            let count = Glibc.read(descriptor, buffer.baseAddress!, buffer.count)
            if count <= 0 { return value }
            var offset = 0
            while offset + 8 <= count {
                value = (value ^ buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) &* 0x100_0000_01b3
                value ^= value >> 29
                offset += 8
            }
            while offset < count {
                value = (value ^ UInt64(buffer[offset])) &* 0x100_0000_01b3
                offset += 1
            }
        }
    }

    static func printable(_ bytes: [UInt8]) -> String {
        if bytes.isEmpty { return "." }
        var text = ""
        for byte in bytes {
            if byte >= 0x20 && byte < 0x7f && byte != 0x5c {
                text.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                let octal = String(byte, radix: 8)
                text += "\\" + String(repeating: "0", count: 3 - octal.count) + octal
            }
        }
        return text
    }

    /// What differs between this tree and `other`, one line each; empty if nothing does.
    ///
    /// - Parameter now: times at or after this second count as "just made" and equal each other.
    public func differences(from other: TreeSnapshot, now: Int64 = Int64.max) -> [String] {
        var lines: [String] = []
        for path in Set(items.keys).union(other.items.keys).sorted() {
            guard let mine = items[path] else {
                lines.append("\(path): missing")
                continue
            }
            guard let theirs = other.items[path] else {
                lines.append("\(path): should not be there")
                continue
            }
            lines += Self.differences(path, mine, theirs, now)
        }
        return lines
    }

    private static func differences(_ path: String, _ mine: TreeItem, _ theirs: TreeItem, _ now: Int64) -> [String] {
        var words: [String] = []
        if mine.mode != theirs.mode {
            words.append("mode \(String(mine.mode, radix: 8)) instead of \(String(theirs.mode, radix: 8))")
        }
        if mine.uid != theirs.uid || mine.gid != theirs.gid {
            words.append("owner \(mine.uid):\(mine.gid) instead of \(theirs.uid):\(theirs.gid)")
        }
        let bothNew = mine.mtime >= now && theirs.mtime >= now && mine.mtime < now + 100_000
        if !bothNew && (mine.mtime != theirs.mtime || mine.nanoseconds != theirs.nanoseconds) {
            words.append(
                "mtime \(mine.mtime).\(mine.nanoseconds) instead of \(theirs.mtime).\(theirs.nanoseconds)")
        }
        if mine.length != theirs.length { words.append("length \(mine.length) instead of \(theirs.length)") }
        if mine.device != theirs.device { words.append("device \(mine.device) instead of \(theirs.device)") }
        if mine.digest != theirs.digest { words.append("content") }
        for name in Set(mine.attributes.keys).union(theirs.attributes.keys).sorted()
        where mine.attributes[name] != theirs.attributes[name] {
            let shown = { (value: [UInt8]?) in value.map { "\($0.prefix(40)) (\($0.count))" } ?? "nothing" }
            words.append("\(name) \(shown(mine.attributes[name])) instead of \(shown(theirs.attributes[name]))")
        }
        if mine.linkedTo != theirs.linkedTo {
            words.append("linked to \(mine.linkedTo ?? "nothing") instead of \(theirs.linkedTo ?? "nothing")")
        }
        return words.map { "\(path): \($0)" }
    }
}
