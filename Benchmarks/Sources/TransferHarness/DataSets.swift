// Dray — the trees that are copied: generated from a seed, so that every run of the harness sees the same bytes.
// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Two ways to make data, so that nothing is tuned to one of them.
enum DataVariant: String, Codable, CaseIterable {
    /// Incompressible bytes, files of equal length, 500 to a directory.
    case uniform
    /// Text of words and numbers, lengths from 100 bytes to 4 KiB, 37 to a directory, names of many lengths.
    case mixed
}

/// Writes bytes that depend on nothing but the seed (xorshift64*).
struct ByteSource {
    private var state: UInt64
    private let variant: DataVariant
    private static let words = Array(
        "volume claim migration namespace cluster storage pod secret route image layer digest config map 0 17 4096 true"
            .split(separator: " ").map { Array($0.utf8) + [0x20] })

    init(seed: UInt64, variant: DataVariant) {
        state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        self.variant = variant
    }

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        var result = [UInt8]()
        result.reserveCapacity(count + 16)
        switch variant {
        case .uniform:
            while result.count < count { withUnsafeBytes(of: next()) { result += $0 } }
        case .mixed:
            while result.count < count { result += Self.words[Int(next() % UInt64(Self.words.count))] }
        }
        result.removeLast(result.count - count)
        return result
    }
}

/// Makes and changes trees below one directory.
struct DataSets {
    let root: String
    let variant: DataVariant

    private func path(_ name: String) -> String { "\(root)/\(name)" }

    private func make(_ directory: String) throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    private func write(_ file: String, _ bytes: [UInt8]) throws {
        let descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        guard descriptor >= 0 else { throw HarnessError("cannot create \(file)") }
        defer { close(descriptor) }
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress! + offset, bytes.count - offset)
            }
            guard count > 0 else { throw HarnessError("cannot write \(file)") }
            offset += count
        }
    }

    /// One file of `megabytes` MiB in a directory of its own.
    func largeFile(_ name: String, megabytes: Int, seed: UInt64 = 1) throws -> String {
        try make(path(name))
        var source = ByteSource(seed: seed, variant: variant)
        // Pieces of 64 MiB made from a small pool in random order: fast to make, and never repeating within a window.
        let pool = (0..<16).map { _ in source.bytes(1 << 20) }
        let descriptor = open(path(name) + "/file", O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        guard descriptor >= 0 else { throw HarnessError("cannot create \(path(name))/file") }
        defer { close(descriptor) }
        for _ in 0..<megabytes {
            var piece = pool[Int(source.next() % 16)]
            for position in stride(from: 0, to: piece.count, by: 512) {
                withUnsafeBytes(of: source.next()) { piece.replaceSubrange(position..<(position + 8), with: $0) }
            }
            _ = piece.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        }
        return path(name)
    }

    /// `count` files of `length` bytes (about that with mixed data).
    func smallFiles(_ name: String, count: Int, length: Int) throws -> String {
        var source = ByteSource(seed: 2, variant: variant)
        let perDirectory = variant == .uniform ? 500 : 37
        for index in 0..<count {
            let directory = "\(path(name))/d\(index / perDirectory)"
            if index % perDirectory == 0 { try make(directory) }
            let suffix = variant == .uniform ? "" : String(repeating: "n", count: Int(source.next() % 40))
            let size = variant == .uniform || length == 0 ? length : 100 + Int(source.next() % 3996)
            try write("\(directory)/f\(index)\(suffix)", size == 0 ? [] : source.bytes(size))
        }
        return path(name)
    }

    /// A chain of `depth` directories with one file in each, and as many directories side by side.
    func deepAndWide(_ name: String, depth: Int, width: Int) throws -> String {
        var source = ByteSource(seed: 3, variant: variant)
        var directory = path(name)
        for level in 0..<depth {
            directory += "/level\(level)"
            try make(directory)
            try write(directory + "/file", source.bytes(500))
        }
        for index in 0..<width {
            try make("\(path(name))/wide/d\(index)")
            try write("\(path(name))/wide/d\(index)/file", source.bytes(100))
        }
        return path(name)
    }

    /// `groups` files with `links` names each.
    func hardLinks(_ name: String, groups: Int, links: Int) throws -> String {
        var source = ByteSource(seed: 4, variant: variant)
        for index in 0..<groups {
            if index % 200 == 0 { try make("\(path(name))/d\(index / 200)") }
            let first = "\(path(name))/d\(index / 200)/g\(index)"
            try write(first, source.bytes(1024))
            for other in 1..<links { link(first, "\(first)-\(other)") }
        }
        return path(name)
    }

    /// A disk image: `megabytes` long, with one MiB of data in every 64.
    func sparseImage(_ name: String, megabytes: Int) throws -> String {
        try make(path(name))
        var source = ByteSource(seed: 5, variant: variant)
        let descriptor = open(path(name) + "/disk.img", O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        guard descriptor >= 0 else { throw HarnessError("cannot create \(path(name))/disk.img") }
        defer { close(descriptor) }
        for start in stride(from: 0, to: megabytes, by: 64) {
            let bytes = source.bytes(1 << 20)
            _ = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, off_t(start) << 20) }
        }
        ftruncate(descriptor, off_t(megabytes) << 20)
        return path(name)
    }

    // MARK: - What the destination holds before a run

    /// `count` names in directories of 1,000, all links to few empty files: makes huge lists without huge disks.
    func names(_ name: String, count: Int) throws -> String {
        var target = ""
        for index in 0..<count {
            if index % 1000 == 0 { try make("\(path(name))/d\(index / 1000)") }
            // File systems bound the links of one file; 30,000 is below every bound that is met.
            if index % 30_000 == 0 {
                target = "\(path(name))/d\(index / 1000)/f\(index)"
                try write(target, [])
            } else {
                guard link(target, "\(path(name))/d\(index / 1000)/f\(index)") == 0 else {
                    throw HarnessError("cannot link name \(index)")
                }
            }
        }
        return path(name)
    }

    /// Copies `source/file` to `destination/file` with `percent` of its 64 KiB pieces replaced and an old time.
    func outdated(_ source: String, in destination: String, changedPercent percent: Int) throws {
        try run(["cp", "\(source)/file", "\(destination)/file"])
        let descriptor = open("\(destination)/file", O_RDWR)
        guard descriptor >= 0 else { throw HarnessError("cannot open \(destination)/file") }
        defer { close(descriptor) }
        var generator = ByteSource(seed: UInt64(percent) + 77, variant: .uniform)
        var status = stat()
        fstat(descriptor, &status)
        for piece in stride(from: 0, to: Int(status.st_size), by: 65536) where Int(generator.next() % 100) < percent {
            let bytes = generator.bytes(min(65536, Int(status.st_size) - piece))
            _ = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, off_t(piece)) }
        }
        try run(["touch", "-d", "2001-01-01", "\(destination)/file"])
    }

    /// The destination holds the file without its first bytes (everything is shifted), or without its last part.
    func shortened(_ source: String, in destination: String, skip: Int, keepPercent: Int) throws {
        var status = stat()
        stat("\(source)/file", &status)
        let keep = Int(status.st_size) * keepPercent / 100 - skip
        try run([
            "dd", "if=\(source)/file", "of=\(destination)/file", "bs=1M", "iflag=skip_bytes,count_bytes",
            "skip=\(skip)", "count=\(keep)", "status=none",
        ])
        try run(["touch", "-d", "2001-01-01", "\(destination)/file"])
    }
}
