// Dray — `--chmod` expressions.
// Layer: Core. Behaviour: chapter 04 §15.3.
// SPDX-License-Identifier: Apache-2.0

/// A parsed list of mode changes, applied left to right.
public struct ModeChanges: Sendable, Equatable {
    private enum Copy: Sendable, Equatable { case none, user, group, other }
    private struct Change: Sendable, Equatable {
        var filesOnly = false
        var directoriesOnly = false
        /// Octal form: replaces the permission bits.
        var absolute: UInt32?
        var clear: UInt32 = 0
        var set: UInt32 = 0
        /// `X`: execute bits that are only set where the original mode had any, or on directories.
        var conditionalExecute: UInt32 = 0
        var copy = Copy.none
        var who: UInt32 = 0
        /// Copied bits that are left out because nobody was named.
        var mask: UInt32 = 0
        var operation: UInt8 = 0x2b
    }
    private var changes: [Change] = []

    /// nil if there is nothing to change or an expression is wrong (`check` tells which).
    public init?(_ expressions: [Bytes], mask: UInt32 = 0o022) {
        for expression in expressions {
            for item in expression.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
                guard let parsed = Self.parse(Bytes(item), mask) else { return nil }
                changes.append(contentsOf: parsed)
            }
        }
        if changes.isEmpty { return nil }
    }

    /// Whether `expression` is well formed.
    public static func isValid(_ expression: Bytes) -> Bool {
        !expression.isEmpty && ModeChanges([expression]) != nil
    }

    private static func parse(_ item: Bytes, _ mask: UInt32) -> [Change]? {
        var index = 0
        var base = Change()
        while index < item.count, item[index] == UInt8(ascii: "D") || item[index] == UInt8(ascii: "F") {
            if item[index] == UInt8(ascii: "D") { base.directoriesOnly = true } else { base.filesOnly = true }
            index += 1
        }
        if base.filesOnly && base.directoriesOnly { return nil }
        if index < item.count, item[index].isASCIIDigit {
            var value: UInt32 = 0
            while index < item.count, (0x30...0x37).contains(item[index]) {
                value = value * 8 + UInt32(item[index] - 0x30)
                if value > 0o7777 { return nil }
                index += 1
            }
            if index != item.count { return nil }
            base.absolute = value
            return [base]
        }
        var who: UInt32 = 0
        while index < item.count {
            switch item[index] {
            case UInt8(ascii: "u"): who |= 0o100
            case UInt8(ascii: "g"): who |= 0o010
            case UInt8(ascii: "o"): who |= 0o001
            case UInt8(ascii: "a"): who |= 0o111
            default: break
            }
            if ![UInt8(ascii: "u"), UInt8(ascii: "g"), UInt8(ascii: "o"), UInt8(ascii: "a")].contains(item[index]) {
                break
            }
            index += 1
        }
        guard index < item.count, [0x2b, 0x2d, 0x3d].contains(item[index]) else { return nil }
        base.operation = item[index]
        index += 1
        let given = who
        if who == 0 { who = 0o111 }
        base.who = who
        var bits: UInt32 = 0
        var topBits: UInt32 = 0
        while index < item.count {
            // What is copied from a class stands alone.
            if base.copy != .none { return nil }
            switch item[index] {
            case UInt8(ascii: "r"): bits |= who * 4
            case UInt8(ascii: "w"): bits |= who * 2
            case UInt8(ascii: "x"): bits |= who
            case UInt8(ascii: "X"): base.conditionalExecute |= who
            case UInt8(ascii: "s"):
                if given & 0o100 != 0 || given & 0o010 == 0 { topBits |= 0o4000 }
                if given & 0o010 != 0 { topBits |= 0o2000 }
            case UInt8(ascii: "t"): topBits |= 0o1000
            case UInt8(ascii: "u"), UInt8(ascii: "g"), UInt8(ascii: "o"):
                guard bits == 0, topBits == 0, base.conditionalExecute == 0 else { return nil }
                base.copy =
                    item[index] == UInt8(ascii: "u") ? .user : (item[index] == UInt8(ascii: "g") ? .group : .other)
            default: return nil
            }
            index += 1
        }
        if given == 0 {
            bits &= ~mask
            base.conditionalExecute &= ~mask
            base.mask = mask
        }
        switch base.operation {
        case 0x2d: base.clear = bits | topBits
        case 0x3d:
            base.clear = who * 7 | topBits
            // Compatibility: what is copied from another class takes the class's set-id or sticky bit away.
            if base.copy != .none {
                base.clear |= (who & 0o100) << 5 | (who & 0o010) << 7 | (who & 0o001) << 9
            }
            base.set = bits | topBits
        default: base.set = bits | topBits
        }
        return [base]
    }

    /// The changed mode; the file type stays.
    public func apply(_ mode: UInt32) -> UInt32 {
        let isDirectory = mode & FileType.mask == FileType.directory
        let hadExecute = mode & 0o111 != 0
        var result = mode
        for change in changes {
            if change.filesOnly && isDirectory || change.directoriesOnly && !isDirectory { continue }
            if let absolute = change.absolute {
                result = (result & ~0o7777) | absolute
                continue
            }
            var set = change.set
            var clear = change.clear
            if change.conditionalExecute != 0 && (isDirectory || hadExecute) {
                if change.operation == 0x2d {
                    clear |= change.conditionalExecute
                } else {
                    set |= change.conditionalExecute
                }
            }
            if change.copy != .none {
                let shift: UInt32 = change.copy == .user ? 6 : (change.copy == .group ? 3 : 0)
                let bits = change.who * ((result >> shift) & 7) & ~change.mask
                if change.operation == 0x2d { clear |= bits } else { set |= bits }
            }
            result = (result & ~clear) | set
        }
        return result
    }
}
