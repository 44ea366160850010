// Dray — bytes of messages made safe for a screen or a log.
// Layer: Command. Behaviour: chapter 05 §3.2.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// Replaces bytes that could disturb a terminal by `\#ooo`.
enum OutputEscaping {
    enum Charset: Sendable, Equatable {
        /// Invalid sequences are escaped, characters pass.
        case utf8
        /// Every byte from 0x80 is escaped.
        case ascii
        /// Nothing is known of the terminal yet: only printable ASCII passes.
        case unknown
        /// `-8`: nothing from 0x20 is escaped.
        case raw
        /// Log files: bytes below 0x20 and 0x80…0x9f are escaped.
        case log
    }

    /// Charset of the environment's locale.
    static func localeCharset() -> Charset {
        for name in ["LC_ALL", "LC_CTYPE", "LANG"] {
            guard let value = environmentValue(name), !value.isEmpty else { continue }
            let lower = value.displayText.lowercased()
            return lower.hasSuffix("utf-8") || lower.hasSuffix("utf8") ? .utf8 : .ascii
        }
        return .ascii
    }

    /// - Parameter isLine: a line end, as the last byte, stays what it is.
    static func escape(_ text: Bytes, _ charset: Charset, isLine: Bool = true) -> Bytes {
        var end = text.count
        if isLine && (text.last == 0x0a || text.last == 0x0d) { end -= 1 }
        var result: Bytes = []
        result.reserveCapacity(text.count)
        var index = 0
        while index < end {
            let byte = text[index]
            if byte == 0x5c, isEscapeLike(text, index, end) {
                result += Bytes("\\#134")
            } else if byte < 0x20 {
                if byte == 0x09 || (byte == 0x0d && index == 0) { result.append(byte) } else { octal(byte, &result) }
            } else if byte < (charset == .unknown ? 0x7f : 0x80) || charset == .raw {
                result.append(byte)
            } else if charset == .log {
                if byte >= 0x80 && byte <= 0x9f { octal(byte, &result) } else { result.append(byte) }
            } else if charset == .utf8, let length = sequenceLength(text, index, end) {
                result += text[index..<(index + length)]
                index += length
                continue
            } else {
                octal(byte, &result)
            }
            index += 1
        }
        result += text[end...]
        return result
    }

    private static func octal(_ byte: UInt8, _ result: inout Bytes) {
        result += Bytes("\\#")
        result += [0x30 + (byte >> 6), 0x30 + (byte >> 3 & 7), 0x30 + (byte & 7)]
    }

    private static func isEscapeLike(_ text: Bytes, _ index: Int, _ end: Int) -> Bool {
        index + 4 < end && text[index + 1] == UInt8(ascii: "#")
            && text[(index + 2)...(index + 4)].allSatisfy(\.isASCIIDigit)
    }

    /// Length of the valid multi-byte character at `index`, or nil.
    private static func sequenceLength(_ text: Bytes, _ index: Int, _ end: Int) -> Int? {
        let first = text[index]
        let length: Int
        switch first {
        case 0xc2...0xdf: length = 2
        case 0xe0...0xef: length = 3
        case 0xf0...0xf4: length = 4
        default: return nil
        }
        guard index + length <= end else { return nil }
        guard text[(index + 1)..<(index + length)].allSatisfy({ $0 & 0xc0 == 0x80 }) else { return nil }
        let second = text[index + 1]
        switch first {
        case 0xe0 where second < 0xa0, 0xed where second > 0x9f, 0xf0 where second < 0x90, 0xf4 where second > 0x8f:
            return nil
        default: return length
        }
    }
}
