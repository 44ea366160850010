// Dray — builds trees of odd items, the same each time.
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Makes items below `root`. Failures of the set-up throw.
public struct FileTree {
    public let root: String
    private let isRoot = geteuid() == 0

    /// Makes the root directory itself.
    public init(_ root: String) throws {
        self.root = root
        try check(mkdir(root, 0o755), "mkdir \(root)", allowing: EEXIST)
    }

    // MARK: - Items

    public func directory(_ name: String, mode: mode_t = 0o755) throws {
        try check(mkdir(path(name), 0o755), "mkdir \(name)", allowing: EEXIST)
        try check(chmod(path(name), mode), "chmod \(name)")
    }

    public func file(_ name: String, _ content: [UInt8], mode: mode_t = 0o644, time: Int64 = 1_500_000_000) throws {
        try file(bytes: Array(name.utf8), content, mode: mode, time: time)
    }

    public func file(
        bytes name: [UInt8], _ content: [UInt8], mode: mode_t = 0o644, time: Int64 = 1_500_000_000,
        nanoseconds: Int = 123_456_789
    ) throws {
        let cPath = (Array(root.utf8) + [0x2f] + name).map { CChar(bitPattern: $0) } + [0]
        let descriptor = open(cPath, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600)
        try check(descriptor, "open \(String(decoding: name, as: UTF8.self))")
        defer { close(descriptor) }
        var offset = 0
        while offset < content.count {
            let count = content.withUnsafeBytes { write(descriptor, $0.baseAddress! + offset, content.count - offset) }
            try check(Int32(clamping: count), "write")
            offset += count
        }
        try check(fchmod(descriptor, mode), "fchmod")
        var times = [
            timespec(tv_sec: Int(time), tv_nsec: nanoseconds), timespec(tv_sec: Int(time), tv_nsec: nanoseconds),
        ]
        try check(futimens(descriptor, &times), "futimens")
    }

    public func symlink(_ name: String, to target: String, time: Int64 = 1_400_000_000) throws {
        try check(Glibc.symlink(target, path(name)), "symlink \(name)")
        try setTime(name, time)
    }

    public func hardLink(_ name: String, to existing: String) throws {
        try check(link(path(existing), path(name)), "link \(name)")
    }

    public func fifo(_ name: String, time: Int64 = 1_300_000_000) throws {
        try check(mkfifo(path(name), 0o640), "mkfifo \(name)")
        try setTime(name, time)
    }

    public func node(_ name: String, _ mode: mode_t, device: UInt64, time: Int64 = 1_200_000_000) throws {
        try check(mknod(path(name), mode, dev_t(device)), "mknod \(name)")
        try setTime(name, time)
    }

    public func owner(_ name: String, _ uid: UInt32, _ gid: UInt32) throws {
        try check(lchown(path(name), uid, gid), "lchown \(name)")
    }

    public func setTime(_ name: String, _ time: Int64, nanoseconds: Int = 987_654_321) throws {
        var times = [
            timespec(tv_sec: Int(time), tv_nsec: nanoseconds), timespec(tv_sec: Int(time), tv_nsec: nanoseconds),
        ]
        try check(utimensat(AT_FDCWD, path(name), &times, AT_SYMLINK_NOFOLLOW), "utimensat \(name)")
    }

    public func remove(_ name: String) { removeTree(path(name)) }

    public func path(_ name: String) -> String { name.isEmpty ? root : root + "/" + name }

    private func check(_ result: Int32, _ call: String, allowing code: Int32 = 0) throws {
        if result < 0 && errno != code { throw SystemCallError(call: call, code: errno) }
    }

    // MARK: - Content

    /// Bytes that do not repeat, the same for the same seed.
    public static func noise(_ count: Int, seed: UInt64) -> [UInt8] {
        var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        var bytes = [UInt8](repeating: 0, count: count)
        bytes.withUnsafeMutableBufferPointer { buffer in
            var position = 0
            while position < count {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                buffer[position] = UInt8(truncatingIfNeeded: state >> 24)
                position += 1
            }
        }
        return bytes
    }
}

extension FileTree {
    /// The tree that a transfer starts from.
    ///
    /// - Parameter rich: with special files, odd owners and times.
    public static func odd(_ root: String, rich: Bool = true) throws {
        let tree = try FileTree(root)
        try tree.directory("empty", mode: 0o750)
        try tree.file("zero", [])
        // Around the smallest block length (700) and around √n blocks of larger files.
        for size in [1, 699, 700, 701, 1400, 2101, 4096, 32767, 32768, 32769, 65537] {
            try tree.file("size-\(size)", noise(size, seed: UInt64(size)), time: 1_500_000_000 + Int64(size))
        }
        try tree.file("large", noise(300_000, seed: 7), mode: 0o600)
        try tree.file("program", noise(9_000, seed: 8), mode: 0o755)
        try tree.file("with space", noise(100, seed: 9))
        try tree.file("back\\slash", noise(101, seed: 10))
        try tree.file("star*[x]?", noise(102, seed: 11))
        try tree.file("-dash", noise(103, seed: 12))
        try tree.file(".hidden", noise(104, seed: 13))
        try tree.file(bytes: Array("new\nline".utf8), noise(105, seed: 14))
        try tree.file(bytes: [0xff, 0xfe, 0x41], noise(106, seed: 15))
        try tree.file(bytes: [UInt8](repeating: 0x6e, count: 255), noise(107, seed: 16))
        try tree.file("b~", noise(108, seed: 17))
        try tree.file("object.o", noise(109, seed: 18))
        try tree.directory("dir")
        try tree.directory("dir/sub", mode: 0o711)
        try tree.file("dir/first", noise(2_000, seed: 19))
        try tree.file("dir/sub/second.o", noise(3_000, seed: 20))
        try tree.directory("dir/empty")
        var deep = "deep"
        for level in 0..<12 {
            try tree.directory(deep)
            if level % 4 == 3 { try tree.file(deep + "/leaf", noise(level * 100, seed: UInt64(level))) }
            deep += "/level-\(level)"
        }
        try tree.symlink("link", to: "dir/first")
        try tree.symlink("dangling", to: "nowhere/at all")
        try tree.symlink("absolute", to: "/etc/hostname")
        try tree.symlink("dir/up", to: "../../outside")
        try tree.symlink("dir/inside", to: "../dir/sub")
        try tree.symlink("dirlink", to: "dir")
        try tree.file("group-a", noise(5_000, seed: 21))
        try tree.hardLink("dir/group-b", to: "group-a")
        try tree.hardLink("dir/sub/group-c", to: "group-a")
        try tree.directory("z-last")
        try tree.hardLink("z-last/group-d", to: "group-a")
        try tree.file("z-last/pair-1", noise(800, seed: 22))
        try tree.hardLink("z-last/pair-2", to: "z-last/pair-1")
        if rich { try tree.addRich() }
        try tree.settle()
    }

    private func addRich() throws {
        try fifo("fifo")
        try directory("times")
        for (name, time) in [("1901", -2_147_483_648), ("1969", -1), ("1970", 0), ("2038", 2_147_483_648)] {
            try file("times/\(name)", Self.noise(50, seed: 23), time: Int64(time))
        }
        try file("times/2106", Self.noise(50, seed: 24), time: 4_294_967_296)
        try file(bytes: Array("times/2486".utf8), Self.noise(50, seed: 25), time: 16_299_999_999, nanoseconds: 1)
        var zeros = Self.noise(4_096, seed: 26)
        zeros += [UInt8](repeating: 0, count: 200_000)
        zeros += Self.noise(10, seed: 27) + [UInt8](repeating: 0, count: 70_000)
        try file("holes", zeros)
        guard geteuid() == 0 else { return }
        // Null and random devices; harmless wherever they are copied.
        try node("null", S_IFCHR | 0o666, device: 0x103)
        try node("block", S_IFBLK | 0o600, device: 0x7_01)
        try node("socket", S_IFSOCK | 0o600, device: 0)
        try file("setuid", Self.noise(60, seed: 28), mode: 0o4755)
        try owner("program", 1234, 4321)
        try owner("dir/sub", 1234, 0)
        try owner("link", 77, 88)
        try file("owned", Self.noise(61, seed: 29))
        try owner("owned", 65534, 65534)
        try directory("sticky", mode: 0o1777)
        try directory("setgid", mode: 0o2755)
    }

    /// Gives every directory a time in the past, deepest first.
    private func settle() throws {
        var directories = TreeSnapshot(root).items.filter { $0.value.mode & S_IFMT == S_IFDIR }.keys.sorted()
        directories.reverse()
        for (position, name) in directories.enumerated() {
            try setTime(name == "." ? "" : name, 1_450_000_000 + Int64(directories.count - position))
        }
    }

    /// An older state of `odd`: things changed, missing, superfluous, of another type.
    public static func outdated(_ root: String, rich: Bool = true) throws {
        try odd(root, rich: rich)
        let tree = try FileTree(root)
        // Same size and time, other content: only a checksum or -I sees it.
        var same = noise(4096, seed: 4096)
        same[100] ^= 1
        try tree.file("size-4096", same, time: 1_500_000_000 + 4096)
        // Same content, other time.
        try tree.file("size-32768", noise(32768, seed: 32768), time: 1_499_000_000)
        // Edited: a byte changed, a piece removed, a piece inserted.
        var large = noise(300_000, seed: 7)
        large[1_000] ^= 0x55
        large.removeSubrange(100_000..<100_123)
        large.insert(contentsOf: noise(77, seed: 30), at: 200_000)
        try tree.file("large", large, mode: 0o640, time: 1_400_000_000)
        // A prefix, a longer file, a newer file.
        try tree.file("size-65537", Array(noise(65537, seed: 65537)[..<40_000]), time: 1_400_000_000)
        try tree.file("size-2101", noise(2500, seed: 2101), time: 1_400_000_000)
        try tree.file("size-701", noise(650, seed: 31), time: 1_600_000_000)
        try tree.file("zero", noise(10, seed: 32), time: 1_400_000_000)
        // Only the mode differs.
        try tree.file("program", noise(9_000, seed: 8), mode: 0o600)
        // Missing.
        tree.remove("with space")
        tree.remove("deep/level-0/level-1")
        tree.remove("dangling")
        // Superfluous.
        try tree.file("extra", noise(20, seed: 33))
        try tree.file("extra.o", noise(21, seed: 34))
        try tree.file("old~", noise(22, seed: 35))
        try tree.directory("extra-dir")
        try tree.directory("extra-dir/inner")
        try tree.file("extra-dir/inner/x", noise(23, seed: 36))
        try tree.file("extra-dir/keep.o", noise(24, seed: 37))
        try tree.symlink("dir/extra-link", to: "x")
        try tree.file("dir/sub/extra", noise(25, seed: 38))
        // Of another type.
        tree.remove("size-1")
        try tree.symlink("size-1", to: "zero")
        tree.remove("absolute")
        try tree.file("absolute", noise(26, seed: 39))
        tree.remove("empty")
        try tree.file("empty", noise(27, seed: 40))
        tree.remove("size-699")
        try tree.directory("size-699")
        tree.remove("link")
        try tree.symlink("link", to: "elsewhere")
        // The group is split.
        tree.remove("dir/group-b")
        try tree.file("dir/group-b", noise(5_000, seed: 21))
        tree.remove("z-last/pair-2")
        tree.remove("z-last/pair-1")
        try tree.file("z-last/pair-1", noise(801, seed: 41), time: 1_400_000_000)
        try tree.hardLink("z-last/stray", to: "z-last/pair-1")
        for name in [
            "extra-dir/inner", "extra-dir", "size-699", "", "dir", "dir/sub", "z-last", "deep", "deep/level-0",
        ] {
            try tree.setTime(name, 1_440_000_000)
        }
    }
}
