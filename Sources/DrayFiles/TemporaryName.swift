// Dray — names of temporary files.
// Layer: Files. Behaviour: chapter 04 §7.1.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import Glibc

/// Makes `.<base>.XXXXXX` names and the files behind them.
public struct TemporaryName {
    /// State of the letters: their seed is from the system, the file is opened so that a guess does no harm.
    private var random: UInt64
    private static let letters = Bytes("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
    private static let nameLimit = 255
    /// Bytes that the longest name needs with its NUL.
    public static let capacity = nameLimit + 1

    public init() {
        var system = SystemRandomNumberGenerator()
        random = system.next()
    }

    /// The part before the random letters. `hidden` puts a dot in front (not with `--temp-dir`).
    public static func stem(_ base: UnsafeRawBufferPointer, hidden: Bool) -> Bytes {
        Bytes(unsafeUninitializedCapacity: capacity) { buffer, count in
            count = writeStem(base, hidden: hidden, into: buffer.baseAddress!)
        }
    }

    /// Writes the stem and returns its length, at most `nameLimit` − 6.
    private static func writeStem(
        _ base: UnsafeRawBufferPointer, hidden: Bool, into name: UnsafeMutablePointer<UInt8>
    ) -> Int {
        let dot = UInt8(ascii: ".")
        let start = base.count > 1 && base[0] == dot ? 1 : 0
        var count = hidden ? 1 : 0
        if hidden { name[0] = dot }
        let length = base.count - start
        let taken = min(length, nameLimit - 7 - count)
        for index in 0..<taken { name[count + index] = base[start + index] }
        count += taken
        // Do not leave half of a multi-byte character.
        if taken < length { while count > 0 && name[count - 1] & 0x80 != 0 { count -= 1 } }
        if count > 1 && name[count - 1] == dot { count -= 1 }
        name[count] = dot
        return count + 1
    }

    /// SplitMix64.
    private mutating func nextBits() -> UInt64 {
        random &+= 0x9E37_79B9_7F4A_7C15
        var bits = (random ^ random >> 30) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
        return bits ^ bits >> 31
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
    /// - Parameters:
    ///   - mode: exact mode bits; the creation mask is not applied in the end (a chmod follows if it took bits).
    ///   - name: `capacity` bytes, where the name goes, NUL-terminated.
    /// - Returns: descriptor or −errno.
    public mutating func create(
        _ directory: Int32, base: UnsafeRawBufferPointer, hidden: Bool, mode: UInt32,
        into name: UnsafeMutablePointer<CChar>
    ) -> Int32 {
        let start = name.withMemoryRebound(to: UInt8.self, capacity: Self.capacity) {
            Self.writeStem(base, hidden: hidden, into: $0)
        }
        name[start + 6] = 0
        for _ in 0..<100 {
            var bits = nextBits()
            for index in 0..<6 {
                name[start + index] = CChar(bitPattern: Self.letters[Int(bits % 62)])
                bits /= 62
            }
            let descriptor = FileSystem.open(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode: mode)
            if descriptor >= 0 {
                if mode & FileSystem.creationMask != 0 { _ = FileSystem.setMode(descriptor: descriptor, mode) }
                return descriptor
            }
            if descriptor != -EEXIST { return descriptor }
        }
        return -EEXIST
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
