// Dray — what a hostile peer sends in one test, and how the side under test must end.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport

/// One row of the tables in `HostileCases*.swift`. There a row is two lines:
///
///     name | role options | exit code | text        (a `-` says that nothing is printed)
///         bytes
///
/// and a third one that begins with `#` if rsync does not end in the same way: what it does instead.
///
/// Options of the test itself: `+basis` puts a file `f` of 5000 bytes into the destination, `+linger` keeps the
/// connection open for a moment after the last byte, `+xattrs` gives the source `f` a short and a long attribute.
struct HostileCase: Sendable, CustomStringConvertible {
    /// Which side is under test.
    enum Role: String, Sendable {
        /// A client that pulls or pushes; the bytes are a server's.
        case pull, push
        /// A server; the bytes are a client's.
        case receiver, sender
        /// A daemon that receives; the bytes of the greeting are put before.
        case module

        var isClient: Bool { self == .pull || self == .push }
    }

    var name: String
    var role: Role
    var options: [String]
    var exitCode: Int32
    /// A line of the error output, or nil for none at all.
    var text: String?
    /// What rsync does instead.
    var difference: String?
    var bytes: [UInt8]
    var hasBasis = false
    var lingers = false
    var hasXattrs = false

    var description: String { "\(name) (\(role.rawValue) \(options.joined(separator: " ")))" }

    /// Reads a table; a row that does not follow the form is a mistake in the test.
    static func table(_ text: String) -> [HostileCase] {
        var cases: [HostileCase] = []
        for line in text.split(separator: "\n") {
            let content = line.drop { $0 == " " }
            if content.hasPrefix("#") {
                cases[cases.count - 1].difference = content.dropFirst(2).description
            } else if line.hasPrefix(" ") {
                // A long row goes on in the next line.
                cases[cases.count - 1].bytes += HostileBytes.parse(String(content))
            } else {
                cases.append(HostileCase(head: String(content)))
            }
        }
        return cases
    }

    private init(head: String) {
        let fields = head.split(separator: "|", maxSplits: 3).map { $0.trimmingSpaces }
        name = fields[0]
        var words = fields[1].split(separator: " ").map(String.init)
        role = Role(rawValue: words.removeFirst())!
        hasBasis = words.contains("+basis")
        lingers = words.contains("+linger")
        hasXattrs = words.contains("+xattrs")
        options = words.filter { !$0.hasPrefix("+") }
        exitCode = Int32(fields[2])!
        text = fields[3] == "-" ? nil : fields[3]
        bytes = []
    }
}

/// The notation for bytes: words separated by spaces.
///
/// - hex digits, `61*4096` (repeated), `"text"` (without spaces inside), `"a"*4096`;
/// - `i:−5`, a little-endian int32; `v:300`, a varint;
/// - `{ … }`, a MSG_DATA frame; `33{ … }`, a frame with another code;
/// - `$name`, one of `parts`.
enum HostileBytes {
    /// What almost every row begins with.
    static let parts = [
        // Set-up of a server at protocol 32: flags, MD5, seed; Si with incremental recursion.
        "S": #"i:32 81fe 03 "md5" i:1"#, "Si": #"i:32 81ff 03 "md5" i:1"#,
        // Set-up of a client, and its empty filter list.
        "C": #"i:32 03 "md5""#, "q": "{ i:0 }",
        // Entries `.` and `f` (5 bytes), `d`, the end, and all of a small list.
        "D": #"19 01 2e 000010 65257d93 ed410000"#, "F": #"18 01 66 000500 65257d93 a4810000"#,
        "dir": #"19 01 64 000010 65257d93 ed410000"#, "E": "0000", "list": "{ $D $F $E }",
        // The sum head of a file without basis.
        "none": "i:0 i:0 i:0 i:0",
    ]

    static func parse(_ text: String) -> [UInt8] {
        var open: [(code: UInt32, bytes: [UInt8])] = [(0, [])]
        for word in text.split(separator: " ") {
            if word == "}" {
                let (code, bytes) = open.removeLast()
                open[open.count - 1].bytes += littleEndian((7 + code) << 24 | UInt32(bytes.count)) + bytes
            } else if word.hasSuffix("{") {
                open.append((UInt32(word.dropLast()) ?? 0, []))
            } else {
                open[open.count - 1].bytes += value(word)
            }
        }
        precondition(open.count == 1, "unbalanced frame: \(text)")
        return open[0].bytes
    }

    private static func value(_ word: Substring) -> [UInt8] {
        if word.hasPrefix("$") { return parse(parts[String(word.dropFirst())]!) }
        if word.hasPrefix("i:") { return littleEndian(UInt32(bitPattern: Int32(word.dropFirst(2))!)) }
        if word.hasPrefix("v:") { return varint(UInt32(bitPattern: Int32(word.dropFirst(2))!)) }
        let factors = word.split(separator: "*")
        let unit = factors[0].hasPrefix("\"") ? Array(factors[0].utf8.dropFirst().dropLast()) : hex(factors[0])
        let count = factors.count == 2 ? Int(factors[1])! : 1
        return [[UInt8]](repeating: unit, count: count).flatMap(\.self)
    }

    private static func hex(_ text: Substring) -> [UInt8] {
        let digits = text.map { UInt8($0.hexDigitValue!) }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    static func littleEndian(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
    }

    private static func varint(_ value: UInt32) -> [UInt8] {
        var bytes = littleEndian(value)
        while bytes.count > 1 && bytes.last == 0 { bytes.removeLast() }
        let bit = UInt32(1) << UInt32(8 - bytes.count)
        let top = UInt32(bytes[bytes.count - 1])
        if top >= bit { return [UInt8(truncatingIfNeeded: ~(bit - 1))] + bytes }
        if bytes.count == 1 { return bytes }
        return [UInt8(truncatingIfNeeded: top | ~(bit * 2 - 1))] + bytes.dropLast()
    }
}

extension Substring {
    fileprivate var trimmingSpaces: String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}
