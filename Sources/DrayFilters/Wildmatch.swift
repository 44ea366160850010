// Dray — rsync's wildcard language.
// Layer: Filters. Rules: chapter 06 §7.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Matches whole byte strings against patterns with `?`, `*`, `**`, `[...]` and `\`.
public enum WildcardMatcher {
    /// Whether `pattern` consumes all of `text`.
    ///
    /// - Parameter foldsCase: compare ASCII letters without regard to case (host lists and suffix lists only).
    /// - Complexity: polynomial for every pattern: only the latest `*` and the latest `**` are ever tried again.
    public static func matches(
        _ pattern: UnsafeBufferPointer<UInt8>, _ text: UnsafeBufferPointer<UInt8>, foldsCase: Bool = false
    ) -> Bool {
        var p = 0
        var t = 0
        // Where to resume: pattern position after the star, and the text position it was last tried at.
        var star = -1
        var starText = 0
        var doubleStar = -1
        var doubleStarText = 0
        while true {
            if p == pattern.count {
                if t == text.count { return true }
            } else if pattern[p] == UInt8(ascii: "*") {
                var after = p + 1
                while after < pattern.count, pattern[after] == UInt8(ascii: "*") { after += 1 }
                if after - p > 1 {
                    if after == pattern.count { return true }
                    (doubleStar, doubleStarText, star) = (after, t, -1)
                } else {
                    (star, starText) = (after, t)
                }
                p = after
                continue
            } else if t < text.count {
                switch element(pattern, &p, text[t], foldsCase) {
                case .yes:
                    t += 1
                    continue
                case .no: break
                case .never: return false
                }
            } else {
                // The text has run out; a longer star only leaves less of it.
                return false
            }
            if star >= 0, starText < text.count, text[starText] != UInt8(ascii: "/") {
                starText += 1
                (p, t) = (star, starText)
            } else if doubleStar >= 0, doubleStarText < text.count {
                doubleStarText += 1
                (p, t, star) = (doubleStar, doubleStarText, -1)
            } else {
                return false
            }
        }
    }

    /// The same for arrays.
    public static func matches(_ pattern: Bytes, _ text: Bytes, foldsCase: Bool = false) -> Bool {
        pattern.withUnsafeBufferPointer { p in text.withUnsafeBufferPointer { matches(p, $0, foldsCase: foldsCase) } }
    }

    private enum Outcome { case yes, no, never }

    private static func fold(_ byte: UInt8, _ foldsCase: Bool) -> UInt8 { foldsCase ? byte.asciiLowercased : byte }

    /// Compares one text byte with the pattern element at `p` and moves `p` behind the element.
    private static func element(
        _ pattern: UnsafeBufferPointer<UInt8>, _ p: inout Int, _ byte: UInt8, _ foldsCase: Bool
    ) -> Outcome {
        let text = fold(byte, foldsCase)
        switch pattern[p] {
        case UInt8(ascii: "?"):
            p += 1
            return text == UInt8(ascii: "/") ? .no : .yes
        case UInt8(ascii: "\\"):
            guard p + 1 < pattern.count else { return .never }
            p += 2
            return fold(pattern[p - 1], foldsCase) == text ? .yes : .no
        case UInt8(ascii: "["):
            p += 1
            return bracket(pattern, &p, text, foldsCase)
        default:
            p += 1
            return fold(pattern[p - 1], foldsCase) == text ? .yes : .no
        }
    }

    /// Evaluates the set that begins at `p`, the byte after `[`.
    private static func bracket(
        _ pattern: UnsafeBufferPointer<UInt8>, _ p: inout Int, _ text: UInt8, _ foldsCase: Bool
    ) -> Outcome {
        let isNegated = p < pattern.count && (pattern[p] == UInt8(ascii: "!") || pattern[p] == UInt8(ascii: "^"))
        if isNegated { p += 1 }
        var isMember = false
        var isFirst = true
        // The last single member, a possible lower bound of a range.
        var lower: UInt8?
        while true {
            guard p < pattern.count else { return .never }
            var byte = pattern[p]
            if byte == UInt8(ascii: "]"), !isFirst { break }
            isFirst = false
            if byte == UInt8(ascii: "-"), let low = lower, p + 1 < pattern.count, pattern[p + 1] != UInt8(ascii: "]") {
                p += 1
                byte = pattern[p]
                if byte == UInt8(ascii: "\\") {
                    p += 1
                    guard p < pattern.count else { return .never }
                    byte = pattern[p]
                }
                if text >= fold(low, foldsCase), text <= fold(byte, foldsCase) { isMember = true }
                lower = nil
                p += 1
                continue
            }
            if byte == UInt8(ascii: "["), p + 1 < pattern.count, pattern[p + 1] == UInt8(ascii: ":") {
                var end = p + 2
                while end < pattern.count, pattern[end] != UInt8(ascii: "]") { end += 1 }
                guard end < pattern.count else { return .never }
                if end - 1 >= p + 2, pattern[end - 1] == UInt8(ascii: ":") {
                    let name = Bytes(pattern[(p + 2)..<(end - 1)])
                    guard let isInClass = classContains(name, text, foldsCase) else { return .never }
                    if isInClass { isMember = true }
                    lower = nil
                    p = end + 1
                    continue
                }
            }
            if byte == UInt8(ascii: "\\") {
                p += 1
                guard p < pattern.count else { return .never }
                byte = pattern[p]
            }
            if fold(byte, foldsCase) == text { isMember = true }
            lower = byte
            p += 1
        }
        p += 1
        return isMember != isNegated && text != UInt8(ascii: "/") ? .yes : .no
    }

    /// Whether the class `name` has `byte`; nil for an unknown class. Only ASCII bytes belong to classes.
    private static func classContains(_ name: Bytes, _ byte: UInt8, _ foldsCase: Bool) -> Bool? {
        let isLower = byte >= 0x61 && byte <= 0x7a
        let isUpper = byte >= 0x41 && byte <= 0x5a
        let isGraph = byte > 0x20 && byte < 0x7f
        let isAlnum = isLower || isUpper || byte.isASCIIDigit
        switch name {
        case Bytes("alnum"): return isAlnum
        case Bytes("alpha"): return isLower || isUpper
        case Bytes("blank"): return byte == 0x20 || byte == 0x09
        case Bytes("cntrl"): return byte < 0x20 || byte == 0x7f
        case Bytes("digit"): return byte.isASCIIDigit
        case Bytes("graph"): return isGraph
        case Bytes("lower"): return isLower
        case Bytes("print"): return isGraph || byte == 0x20
        case Bytes("punct"): return isGraph && !isAlnum
        case Bytes("space"): return byte.isASCIISpace
        case Bytes("upper"): return isUpper || (foldsCase && isLower)
        case Bytes("xdigit"): return byte.isASCIIDigit || (byte.asciiLowercased >= 0x61 && byte.asciiLowercased <= 0x66)
        default: return nil
        }
    }
}
