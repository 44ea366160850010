// Dray — how much two file names differ.
// Layer: Engine. Behaviour: chapter 04 §5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Weighted edit distance of names, in units of 1/65536 of an insertion.
enum NameDistance {
    static let unit: UInt32 = 1 << 16
    /// Larger distances are no similarity.
    static let farthest = 25 * unit
    /// The answer for names whose lengths alone exceed the limit.
    static let tooFar = 0xFFFF * unit + 1

    /// Distance of two names with their suffixes weighing ten times.
    static func of(_ name: Bytes, _ target: Bytes, limit: UInt32) -> UInt32 {
        let distance = between(name[...], target[...], limit: limit)
        if distance == tooFar { return distance }
        let ends = between(suffix(of: name), suffix(of: target), limit: nil)
        return UInt32(clamping: UInt64(distance) + 10 * UInt64(ends))
    }

    /// Levenshtein distance: inserting or deleting `c` costs a unit and `c`, replacing a unit and the difference.
    static func between(_ a: ArraySlice<UInt8>, _ b: ArraySlice<UInt8>, limit: UInt32?) -> UInt32 {
        if let limit, UInt64((a.count - b.count).magnitude) * UInt64(unit) > UInt64(limit) { return tooFar }
        if a.isEmpty || b.isEmpty { return (a + b).reduce(0) { $0 + unit + UInt32($1) } }
        // Compatibility: at the very beginning a skipped character costs the unit alone.
        var row = (0...UInt32(b.count)).map { $0 * unit }
        for left in a {
            var diagonal = row[0]
            row[0] += unit
            for (index, right) in b.enumerated() {
                let difference = left == right ? 0 : unit + UInt32(max(left, right) - min(left, right))
                let replaced = diagonal + difference
                let removed = row[index + 1] + unit + UInt32(left)
                let inserted = row[index] + unit + UInt32(right)
                diagonal = row[index + 1]
                // Compatibility: rsync compares what the two steps start from, not what they lead to.
                let step = row[index] < row[index + 1] ? inserted : removed
                row[index + 1] = min(replaced, step)
            }
        }
        return row.last!
    }

    private static let ignoredSuffixes = [Bytes(".bak"), Bytes(".old"), Bytes(".orig")]

    /// The part that tells the kind of a file, with its dot; empty if there is none.
    static func suffix(of name: Bytes) -> ArraySlice<UInt8> {
        let dot = UInt8(ascii: ".")
        // Leading dots hide a file; they do not begin a suffix.
        let start = name.firstIndex { $0 != dot } ?? name.endIndex
        var end = name.endIndex
        var hadTilde = false
        if end - start > 1 && name[end - 1] == UInt8(ascii: "~") {
            hadTilde = true
            end -= 1
        }
        var remembered = name[end..<end]
        var isLast = true
        var expectsNumber = hadTilde
        while let position = name[start..<end].lastIndex(of: dot), position > start {
            let part = name[position..<end]
            if part.count == 1 { return part }
            end = position
            let marksBackup = isLast && !hadTilde && ignoredSuffixes.contains { part.elementsEqual($0) }
            isLast = false
            if marksBackup { continue }
            if expectsNumber && isBackupNumber(part) {
                expectsNumber = false
                continue
            }
            if !part.dropFirst().allSatisfy(\.isASCIIDigit) { return part }
            remembered = part
        }
        return remembered
    }

    /// `.~N`, of `NAME.~N~`.
    private static func isBackupNumber(_ part: ArraySlice<UInt8>) -> Bool {
        part.count > 2 && part[part.startIndex + 1] == UInt8(ascii: "~")
            && part.dropFirst(2).allSatisfy(\.isASCIIDigit)
    }
}
