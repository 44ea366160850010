// Dray — an independent comparison of two trees: content and every kind of metadata, with plain system calls only.
// Layer: Migrate.
// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc

/// Compares directory trees without any of the engine's code.
public struct TreeComparison {
    /// One line per difference, at most `limit`.
    public private(set) var differences: [String] = []
    public private(set) var entries = 0
    public private(set) var files = 0
    public private(set) var bytes: Int64 = 0
    public private(set) var symlinks = 0
    public private(set) var hardLinks = 0
    private let limit = 20
    private var total = 0
    private var inodes: [UInt64: UInt64] = [:]
    private var comparesOwners: Bool

    /// Compares everything below `left` with everything below `right`.
    public init(_ left: String, _ right: String, comparesOwners: Bool = geteuid() == 0) {
        self.comparesOwners = comparesOwners
        compare(Path(left), Path(right), ".")
        if total > limit { differences.append("… and \(total - limit) more") }
    }

    private mutating func note(_ text: String) {
        total += 1
        if differences.count < limit { differences.append(text) }
    }

    /// A path as C reads it: names need not be valid text.
    private struct Path {
        var bytes: [CChar]

        init(_ text: String) { bytes = Array(text.utf8CString) }

        private init(bytes: [CChar]) { self.bytes = bytes }

        func appending(_ name: [CChar]) -> Path {
            Path(bytes: bytes.dropLast() + [CChar(UInt8(ascii: "/"))] + name)
        }
    }

    private static func shown(_ name: [CChar]) -> String {
        String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func status(_ path: Path) -> stat? {
        var result = stat()
        return lstat(path.bytes, &result) == 0 ? result : nil
    }

    /// Names in a directory with their terminating NUL, in byte order.
    private static func names(_ path: Path) -> [[CChar]]? {
        guard let directory = opendir(path.bytes) else { return nil }
        defer { closedir(directory) }
        var names: [[CChar]] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) {
                    Array(UnsafeBufferPointer(start: $0, count: strlen($0) + 1))
                }
            }
            if name != Array(".".utf8CString) && name != Array("..".utf8CString) { names.append(name) }
        }
        return names.sorted { $0.lexicographicallyPrecedes($1) }
    }

    private mutating func compare(_ left: Path, _ right: Path, _ name: String) {
        entries += 1
        guard let a = Self.status(left) else { return note("\(name): cannot read the source") }
        guard let b = Self.status(right) else { return note("\(name): missing") }
        let type = a.st_mode & S_IFMT
        if type != b.st_mode & S_IFMT { return note("\(name): another type") }
        if type != S_IFLNK && a.st_mode != b.st_mode {
            note(
                "\(name): mode \(String(b.st_mode & 0o7777, radix: 8)) instead of \(String(a.st_mode & 0o7777, radix: 8))"
            )
        }
        if comparesOwners && (a.st_uid != b.st_uid || a.st_gid != b.st_gid) {
            note("\(name): owner \(b.st_uid):\(b.st_gid) instead of \(a.st_uid):\(a.st_gid)")
        }
        if a.st_mtim.tv_sec != b.st_mtim.tv_sec || a.st_mtim.tv_nsec != b.st_mtim.tv_nsec {
            note("\(name): modification time")
        }
        switch type {
        case S_IFREG:
            files += 1
            bytes += Int64(a.st_size)
            if a.st_nlink > 1 { compareLinks(a, b, name) }
            if a.st_size != b.st_size {
                note("\(name): \(b.st_size) bytes instead of \(a.st_size)")
            } else if !Self.sameContent(left, right) {
                note("\(name): content")
            }
        case S_IFLNK:
            symlinks += 1
            if Self.target(left) != Self.target(right) { note("\(name): link target") }
        case S_IFDIR: compareDirectories(left, right, name)
        case S_IFCHR, S_IFBLK: if a.st_rdev != b.st_rdev { note("\(name): device number") }
        default: break
        }
    }

    /// Names that are one file at the source must be one file at the target.
    private mutating func compareLinks(_ a: stat, _ b: stat, _ name: String) {
        hardLinks += 1
        if let known = inodes[UInt64(a.st_ino)] {
            if known != UInt64(b.st_ino) { note("\(name): no longer linked with its other names") }
        } else {
            inodes[UInt64(a.st_ino)] = UInt64(b.st_ino)
        }
    }

    private mutating func compareDirectories(_ left: Path, _ right: Path, _ name: String) {
        guard let a = Self.names(left), let b = Self.names(right) else { return note("\(name): cannot be listed") }
        if a != b {
            for extra in Set(b).subtracting(a) { note("\(name)/\(Self.shown(extra)): extra") }
        }
        for item in a {
            let text = Self.shown(item)
            compare(left.appending(item), right.appending(item), name == "." ? text : "\(name)/\(text)")
        }
    }

    private static func target(_ path: Path) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes {
            readlink(path.bytes, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        return count < 0 ? [] : Array(buffer[..<count])
    }

    private static func sameContent(_ left: Path, _ right: Path) -> Bool {
        let a = open(left.bytes, O_RDONLY)
        let b = open(right.bytes, O_RDONLY)
        defer {
            if a >= 0 { close(a) }
            if b >= 0 { close(b) }
        }
        guard a >= 0, b >= 0 else { return false }
        let size = 1 << 18
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: 2 * size, alignment: 4096)
        defer { buffer.deallocate() }
        while true {
            let count = read(a, buffer, size)
            if count < 0 { return false }
            var done = 0
            while done < count {
                let part = read(b, buffer + size + done, count - done)
                if part <= 0 { return false }
                done += part
            }
            if count == 0 { return read(b, buffer, 1) == 0 }
            if memcmp(buffer, buffer + size, count) != 0 { return false }
        }
    }
}
