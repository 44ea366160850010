// Dray — SIZE arguments and C-style integers.
// Layer: Command. Behaviour: chapter 05 §1.1, §1.4.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// A size with its unit, as `--max-size` and its relatives take it.
enum SizeArgument {
    enum Failure: Error, Equatable { case invalid, tooLarge }

    /// Parses `DIGITS[.DIGITS]SUFFIX[+1|-1]`.
    ///
    /// - Parameters:
    ///   - defaultUnit: letter in force without a suffix: `b` or `K`.
    ///   - maximum: a unit above it is too large whatever the number, as in rsync.
    static func parse(_ text: Bytes, defaultUnit: UInt8, maximum: Int64? = nil) throws(Failure) -> Int64 {
        if text.first == UInt8(ascii: "-") {
            // Only a number below zero is too small a size; `-0` and `-k` are no sizes at all.
            let isBelowZero = text.dropFirst().prefix { $0.isASCIIDigit || $0 == UInt8(ascii: ".") }
                .contains { (UInt8(ascii: "1")...UInt8(ascii: "9")).contains($0) }
            throw isBelowZero ? .tooLarge : .invalid
        }
        if text.first == UInt8(ascii: "+") { throw .invalid }
        var index = 0
        var number = 0.0
        var scale = 1.0
        var seenPoint = false
        while index < text.count {
            let byte = text[index]
            if byte.isASCIIDigit {
                number = number * 10 + Double(byte - 0x30)
                if seenPoint { scale *= 10 }
            } else if byte == UInt8(ascii: "."), !seenPoint {
                seenPoint = true
            } else {
                break
            }
            index += 1
        }
        var letter = defaultUnit
        var base = 1024.0
        if index < text.count, text[index] != UInt8(ascii: "+"), text[index] != UInt8(ascii: "-") {
            letter = text[index]
            index += 1
            if index < text.count {
                let next = text[index].asciiLowercased
                if next == UInt8(ascii: "b") {
                    base = 1000
                    index += 1
                } else if next == UInt8(ascii: "i") {
                    guard index + 1 < text.count, text[index + 1].asciiLowercased == UInt8(ascii: "b") else {
                        throw .invalid
                    }
                    index += 2
                }
            }
        }
        guard let power = Bytes("bkmgtp").firstIndex(of: letter.asciiLowercased) else { throw .invalid }
        var adjustment: Int64 = 0
        if index < text.count {
            let tail = Bytes(text[index...])
            if tail == Bytes("+1") {
                adjustment = 1
            } else if tail == Bytes("-1") {
                adjustment = -1
            } else {
                throw .invalid
            }
        }
        var value = number / scale
        var scaled = 1.0
        for _ in 0..<power { scaled *= base }
        if let maximum, scaled > Double(maximum) { throw .tooLarge }
        value *= scaled
        if value >= 9.223372036854775e18 { throw .tooLarge }
        let whole = Int64(value)
        if whole == 0 && adjustment < 0 { throw .tooLarge }
        let (sum, overflow) = whole.addingReportingOverflow(adjustment)
        if overflow { throw .tooLarge }
        return sum
    }
}

/// Integers in C's syntax.
enum CInteger {
    enum Failure: Error, Equatable { case notANumber, outOfRange }

    /// Parses optional sign, `0x` or octal prefix and digits; empty text is 0.
    static func parse(_ text: Bytes) throws(Failure) -> Int32 {
        if text.isEmpty { return 0 }
        let (value, rest, code) = text.withCString { pointer -> (Int, Int, Int32) in
            var end: UnsafeMutablePointer<CChar>?
            errno = 0
            let value = strtol(pointer, &end, 0)
            // Safe: strtol always sets `end` to a position in the string.
            return (value, end.map { strlen($0) } ?? 0, errno)
        }
        if rest != 0 { throw .notANumber }
        guard code != ERANGE, let small = Int32(exactly: value) else { throw .outOfRange }
        return small
    }
}
