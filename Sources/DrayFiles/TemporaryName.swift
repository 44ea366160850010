// Dray — names of temporary files.
// Layer: Files. Behaviour: chapter 04 §7.1.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import Glibc

/// Makes `.<base>.XXXXXX` names and the files behind them.
public struct TemporaryName {
    private var random = SystemRandomNumberGenerator()
    private static let letters = Bytes("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
    private static let nameLimit = 255

    public init() {}

    /// The part before the random letters. `hidden` puts a dot in front (not with `--temp-dir`).
    public static func stem(_ base: UnsafeRawBufferPointer, hidden: Bool) -> Bytes {
        var start = 0
        if base.count > 1 && base[0] == UInt8(ascii: ".") { start = 1 }
        var stem = hidden ? Bytes(".") : []
        stem.append(contentsOf: base[start...])
        let room = nameLimit - 7
        if stem.count > room {
            stem.removeLast(stem.count - room)
            // Do not leave half of a multi-byte character.
            while let last = stem.last, last & 0x80 != 0 { stem.removeLast() }
        }
        if stem.count > 1 && stem.last == UInt8(ascii: ".") { stem.removeLast() }
        stem.append(UInt8(ascii: "."))
        return stem
    }

    /// The name that `.NAME.XXXXXX` stands for (without a leading dot of its own); nil if `name` has another form.
    public static func base(of name: UnsafeRawBufferPointer) -> Bytes? {
        guard name.count > 8, name[0] == UInt8(ascii: "."), name[name.count - 7] == UInt8(ascii: "."),
            name[(name.count - 6)...].allSatisfy({ letters.contains($0) })
        else { return nil }
        return Bytes(name[1..<(name.count - 7)])
    }

    /// Creates a new file for reading and writing below `directory`.
    ///
    /// - Parameter mode: exact mode bits; the creation mask is not applied in the end (a chmod follows if it took bits).
    /// - Returns: descriptor (or −errno) and the name, NUL-terminated.
    public mutating func create(
        _ directory: Int32, base: UnsafeRawBufferPointer, hidden: Bool, mode: UInt32
    ) -> (descriptor: Int32, name: [CChar]) {
        var name = Self.stem(base, hidden: hidden).map { CChar(bitPattern: $0) }
        let start = name.count
        name.append(contentsOf: [CChar](repeating: 0, count: 7))
        for _ in 0..<100 {
            var bits = random.next()
            for index in 0..<6 {
                name[start + index] = CChar(bitPattern: Self.letters[Int(bits % 62)])
                bits /= 62
            }
            let descriptor = name.withUnsafeBufferPointer {
                FileSystem.open(directory, $0.baseAddress!, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode: mode)
            }
            if descriptor >= 0 {
                if mode & FileSystem.creationMask != 0 { _ = FileSystem.setMode(descriptor: descriptor, mode) }
                return (descriptor, name)
            }
            if descriptor != -EEXIST { return (descriptor, name) }
        }
        return (-EEXIST, name)
    }

    /// A name that does not exist yet, for links, devices and symlinks that replace something atomically.
    public mutating func unused(_ directory: Int32, base: UnsafeRawBufferPointer) -> [CChar]? {
        let stem = Self.stem(base, hidden: true)
        var number = UInt32(truncatingIfNeeded: getpid())
        var status = FileStatus()
        for _ in 0..<100 {
            var name = stem.map { CChar(bitPattern: $0) }
            name.append(contentsOf: "\(number)".utf8.map { CChar(bitPattern: $0) })
            name.append(0)
            if FileSystem.status(directory, name, follow: false, &status) == ENOENT { return name }
            number &+= 1
        }
        return nil
    }
}
