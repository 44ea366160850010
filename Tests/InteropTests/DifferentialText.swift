// Dray — makes what two programs print comparable: times, rates, process numbers and source positions are masked.
// SPDX-License-Identifier: Apache-2.0

enum DifferentialText {
    /// Replaced in this order, everywhere.
    private static let masks: [(find: String, replacement: String)] = [
        // Position in the program's source.
        (#"at [a-z_]+\.c\([0-9]+\)"#, "at SOURCE"),
        (#"at [A-Za-z+]+\.swift\([0-9]+\)"#, "at SOURCE"),
        (#"file=[A-Za-z_+.]+, line=-?[0-9]+"#, "file=SOURCE"),
        // Log file lines: time and process.
        (#"[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} \[[0-9]+\] "#, "NOW [PID] "),
        (#"pid=[0-9]+"#, "pid=PID"),
        // Rates and times; counts of bytes on the wire are compared apart.
        (#"sent [0-9.,]+[KMGT]? bytes  received [0-9.,]+[KMGT]? bytes"#, "sent N bytes  received N bytes"),
        (#"Total bytes (sent|received): [0-9.,]+[KMGT]?"#, "Total bytes $1: N"),
        // Numbers of processes, and of their heaps.
        (#"waiting on [0-9]+"#, "waiting on PID"),
        (#"rsync\[[0-9]+\]"#, "rsync[PID]"),
        (#"(  [a-z]+:) +[0-9]+   \("#, "$1 N   ("),
        (#"speedup is [0-9.,]+"#, "speedup is N"),
        (#"[0-9.,]+[KMGT]? bytes/sec"#, "RATE bytes/sec"),
        (#" +[0-9.]+[kMG]B/s +[0-9?:]+"#, " RATE TIME"),
        (#"File list (generation|transfer) time: [0-9.]+ seconds"#, "File list $1 time: TIME seconds"),
        (#"connection unexpectedly closed \([0-9]+ bytes received so far\)"#, "connection unexpectedly closed"),
        // Whole-transfer progress is shown again when a list is done, which is a matter of timing.
        (#"\) +(\r|\n)"#, ")$1"),
        (#"(\(xfr#([0-9]+), [^)]*\))(?:\r[^\r\n]*\(xfr#\2, [^)]*\))+"#, "$1"),
        // Random parts of the names of temporary files.
        (#"(renaming [^\n]*)\.[A-Za-z0-9]{6} to "#, "$1.RANDOM to "),
        (#"(set [ug]id of [^\n]*)\.[A-Za-z0-9]{6} from "#, "$1.RANDOM from "),
        (#"(\.[^/"]+)\.[A-Za-z0-9]{6}""#, "$1.RANDOM\""),
    ]

    // Never changed after it is made; the tests that use it run one at a time.
    nonisolated(unsafe) private static let compiled: [(Regex<AnyRegexOutput>, [Substring])] = masks.map { mask in
        guard let expression = try? Regex(mask.find) else { preconditionFailure("mask \(mask.find)") }
        return (expression, mask.replacement.split(separator: "$1", omittingEmptySubsequences: false))
    }

    static func masked(_ bytes: [UInt8]) -> String {
        var text = printable(bytes)
        for (expression, parts) in compiled {
            text = text.replacing(expression) { match in
                parts.count == 2 ? "\(parts[0])\(match.output[1].substring ?? "")\(parts[1])" : String(parts[0])
            }
        }
        return text
    }

    // Never changed after it is made; the tests that use it run one at a time.
    nonisolated(unsafe) private static let counted =
        /(?:sent|received|Total bytes sent:|Total bytes received:) ([0-9,]+)(?: bytes|\n)/

    /// Numbers of bytes on the wire, which are compared apart from the text.
    static func counts(_ bytes: [UInt8]) -> [Int] {
        printable(bytes).matches(of: counted).compactMap { Int($0.output.1.replacing(",", with: "")) }
    }

    /// Whether two runs have moved the same: when buffers are flushed, and so the number of frames, is a matter of timing.
    static func areClose(_ mine: [Int], _ theirs: [Int]) -> Bool {
        mine.count == theirs.count
            && zip(mine, theirs).allSatisfy { abs($0 - $1) <= max(64, max($0, $1) / 1_000) }
    }

    /// Text with bytes that are not UTF-8 written in octal.
    private static func printable(_ bytes: [UInt8]) -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        return bytes.map { $0 < 0x80 ? String(Unicode.Scalar($0)) : "<\(String($0, radix: 8))>" }.joined()
    }

    /// Lines as they are compared.
    static func lines(_ text: String, of line: DifferentialLine) -> [String] {
        let unwanted = line.without.compactMap { try? Regex($0) }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init).filter { text in
            !unwanted.contains { text.firstMatch(of: $0) != nil }
        }
        switch line.order {
        case .exact:
            // Messages of the generator overtake the items that the sender or the receiver reports.
            return lines.filter { !isMessage($0) } + lines.filter { isMessage($0) }
        case .any: return lines.sorted()
        case .ignored: return []
        }
    }

    private static func isMessage(_ text: String) -> Bool {
        let line = text.hasPrefix("NOW [PID] ") ? text.dropFirst(10) : text[...]
        // Of all trees only this item differs in nothing but its mode: the generator names it at level 2.
        return line == "run.sh" || messageStarts.contains { line.hasPrefix($0) }
            || messageEnds.contains { line.hasSuffix($0) }
    }

    private static let messageStarts = [
        "skipping ", "*deleting ", "del. ", "deleting ", "cannot delete ", "not creating new ", "backed up ",
        "ignoring unsafe ",
        "WARNING: ", "sender removed ", "[generator] protecting ",
    ]
    private static let messageEnds = [
        " is uptodate", " is over max-size", " is under min-size", " is newer", " exists", " exists (type change)",
        " exists (sum change)", " exists (file change)", " exists (attr change)", " exists (uptodate)",
    ]

    /// The lines that two texts do not share, in place.
    static func differences(_ mine: [String], _ theirs: [String], _ title: String) -> [String] {
        if mine == theirs { return [] }
        var result = ["\(title):"]
        let changes = mine.difference(from: theirs)
        if changes.isEmpty { return [] }
        for change in changes.removals.prefix(12) {
            if case .remove(let offset, let text, _) = change {
                result.append("  \(offset + 1) rsync: \(visible(text))")
            }
        }
        for change in changes.insertions.prefix(12) {
            if case .insert(let offset, let text, _) = change {
                result.append("  \(offset + 1) dray:  \(visible(text))")
            }
        }
        return result
    }

    private static func visible(_ text: String) -> String {
        text.reduce(into: "") { result, character in
            if character == "\r" { result += "\\r" } else { result.append(character) }
        } + "|"
    }
}
