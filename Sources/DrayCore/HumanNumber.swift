// Dray — numbers as rsync prints them.
// Layer: Core. Behaviour: chapter 05 §6.7.
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Number forms by level of `--human-readable`.
public enum HumanNumber {
    /// Formats a size: digits, grouped digits, or two decimals with a unit.
    public static func format(_ value: Int64, level: Int) -> String {
        if level >= 2 {
            let base = level == 2 ? 1000.0 : 1024.0
            let magnitude = abs(Double(value))
            if magnitude >= base {
                var scaled = Double(value)
                var unit = ""
                for letter in ["K", "M", "G", "T", "P"] {
                    if abs(scaled) < base { break }
                    scaled /= base
                    unit = letter
                }
                return decimal(scaled, 2) + unit
            }
        }
        return level == 0 ? String(value) : grouped(value)
    }

    /// Digits in groups of three, unless level 0.
    public static func count(_ value: Int64, level: Int) -> String { level == 0 ? String(value) : grouped(value) }

    /// A number with decimals in human form (rates).
    public static func format(_ value: Double, decimals: Int, level: Int) -> String {
        let base = level == 2 ? 1000.0 : 1024.0
        if level >= 2 && abs(value) >= base {
            var scaled = value
            var unit = ""
            for letter in ["K", "M", "G", "T", "P"] {
                if abs(scaled) < base { break }
                scaled /= base
                unit = letter
            }
            return decimal(scaled, 2) + unit
        }
        return ungrouped(value, decimals, grouping: level > 0)
    }

    /// A number with decimals whose integer part is grouped (speedup).
    public static func count(_ value: Double, decimals: Int, level: Int) -> String {
        ungrouped(value, decimals, grouping: level > 0)
    }

    private static func ungrouped(_ value: Double, _ decimals: Int, grouping: Bool) -> String {
        let text = decimal(value, decimals)
        guard grouping, value >= 1000, value < 9e18 else { return text }
        let fraction = text.split(separator: ".", maxSplits: 1).dropFirst().first.map { "." + $0 } ?? ""
        return grouped(Int64(value)) + fraction
    }

    public static func grouped(_ value: Int64) -> String {
        let digits = Array(String(value.magnitude).utf8)
        var result = value < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0 && (digits.count - index) % 3 == 0 { result += "," }
            result.unicodeScalars.append(Unicode.Scalar(digit))
        }
        return result
    }

    /// `value` rounded to `decimals` places, as C prints it.
    public static func decimal(_ value: Double, _ decimals: Int) -> String {
        var buffer = [CChar](repeating: 0, count: 400)
        let count = withVaList([Int32(decimals), value]) { vsnprintf(&buffer, buffer.count, "%.*f", $0) }
        return String(decoding: buffer.prefix(Int(count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// Texts padded to a column.
extension String {
    public func padded(left width: Int) -> String {
        String(repeating: " ", count: max(0, width - utf8.count)) + self
    }
    public func padded(right width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - utf8.count))
    }
}
