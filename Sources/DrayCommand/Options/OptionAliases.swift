// Dray — words that the operator's popt files stand for others.
// Layer: Command. Behaviour: chapter 05 §1; popt(3) on alias files.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// Lines of `/etc/popt`, `/etc/popt.d` and `~/.popt`: `rsync alias NAME WORD…` puts words in place of an option,
/// `rsync exec NAME PROGRAM WORD…` runs another program; the last one of a name counts.
struct OptionAliases: Sendable {
    /// Words by spelling: `--name` or `-x`.
    private var expansions: [Bytes: [Bytes]] = [:]
    private var programs: [Bytes: [Bytes]] = [:]

    var isEmpty: Bool { expansions.isEmpty && programs.isEmpty }

    init() {}

    init(text: Bytes) { add(text) }

    /// Reads the files of this machine and of its user.
    static func load(_ environment: @Sendable (String) -> Bytes?) -> Self {
        var aliases = Self()
        var files = [Bytes("/etc/popt")]
        var matches = glob_t()
        if glob("/etc/popt.d/*", 0, nil, &matches) == 0 {
            for index in 0..<Int(matches.gl_pathc) {
                // Safe: glob fills gl_pathc pointers to C strings that live until globfree.
                if let path = matches.gl_pathv[index] {
                    files.append(Bytes(UnsafeRawBufferPointer(start: path, count: strlen(path))))
                }
            }
        }
        globfree(&matches)
        if let home = environment("HOME") { files.append(home + Bytes("/.popt")) }
        for file in files {
            if let text = read(file) { aliases.add(text) }
        }
        return aliases
    }

    private static func read(_ path: Bytes) -> Bytes? {
        let descriptor = path.withCString { open($0, O_RDONLY | O_CLOEXEC) }
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var text: Bytes = []
        var buffer = Bytes(repeating: 0, count: 65_536)
        while text.count < 1 << 20 {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count <= 0 { break }
            text += buffer[..<count]
        }
        return text
    }

    private mutating func add(_ text: Bytes) {
        var line: Bytes = []
        // What no newline ends is no line.
        for part in text.split(separator: 0x0a, omittingEmptySubsequences: false).dropLast() {
            // A backslash continues the line.
            if part.last == UInt8(ascii: "\\") {
                line += part.dropLast()
                continue
            }
            addLine(line + part)
            line = []
        }
    }

    private mutating func addLine(_ line: Bytes) {
        guard line.first(where: { !$0.isASCIISpace }) != UInt8(ascii: "#") else { return }
        let words = Self.split(line)
        // The first word is a pattern for names of programs.
        guard words.count > 3, words[0].withCString({ fnmatch($0, "rsync", 0) }) == 0 else { return }
        let name = words[2]
        guard name.first == UInt8(ascii: "-") else { return }
        // Descriptions for a list of options, which rsync does not print.
        let rest = words[3...].filter { !$0.hasPrefix(Bytes("--POPTdesc=")) && !$0.hasPrefix(Bytes("--POPTargs=")) }
        if rest.isEmpty { return }
        switch words[1] {
        case Bytes("alias"):
            // A daemon and a server are always what they are.
            if name != Bytes("--daemon") && name != Bytes("--server") { expansions[name] = rest }
        case Bytes("exec"):
            if name != Bytes("--daemon") { programs[name] = rest }
        default: break
        }
    }

    /// Words of a line: quotes of both kinds join, a backslash protects the next byte.
    private static func split(_ line: Bytes) -> [Bytes] {
        var words: [Bytes] = []
        var word: Bytes?
        var quote: UInt8?
        var isProtected = false
        for byte in line {
            if isProtected {
                isProtected = false
                // Inside quotes only the quote itself needs protection.
                if let quote, byte != quote { word?.append(UInt8(ascii: "\\")) }
                word = (word ?? []) + [byte]
            } else if byte == UInt8(ascii: "\\") {
                isProtected = true
            } else if let open = quote {
                if byte == open { quote = nil } else { word?.append(byte) }
            } else if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") {
                quote = byte
                word = word ?? []
            } else if byte.isASCIISpace {
                if let word { words.append(word) }
                word = nil
            } else {
                word = (word ?? []) + [byte]
            }
        }
        return word.map { words + [$0] } ?? words
    }

    subscript(name: Bytes) -> [Bytes]? { expansions[name] }

    /// The program that stands in place of an option, and its own words.
    func program(_ name: Bytes) -> [Bytes]? { programs[name] }
}
