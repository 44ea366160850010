// Dray — words that the operator's popt files stand for others.
// Layer: Command. Behaviour: chapter 05 §1; popt(3) on alias files.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// Aliases of `/etc/popt`, `/etc/popt.d` and `~/.popt`: lines `rsync alias NAME WORD…`; the last one of a name counts.
struct OptionAliases: Sendable {
    /// Words by spelling: `--name` or `-x`.
    private var expansions: [Bytes: [Bytes]] = [:]

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
        for part in text.split(separator: 0x0a, omittingEmptySubsequences: false) {
            // A backslash continues the line.
            if part.last == UInt8(ascii: "\\") {
                line += part.dropLast()
                continue
            }
            addLine(line + part)
            line = []
        }
        addLine(line)
    }

    private mutating func addLine(_ line: Bytes) {
        guard line.first(where: { !$0.isASCIISpace }) != UInt8(ascii: "#") else { return }
        let words = Self.split(line)
        guard words.count > 3, words[0] == Bytes("rsync"), words[1] == Bytes("alias") else { return }
        // A daemon and a server are always what they are.
        if words[2] == Bytes("--daemon") || words[2] == Bytes("--server") { return }
        expansions[words[2]] = Array(words[3...])
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
}

/// The words still to be read: those of the command line, and on top of them those of aliases.
struct OptionWords: Sendable {
    private struct Frame: Sendable {
        var words: ArraySlice<Bytes>
        /// The alias that stands for these words.
        var alias: Bytes?
    }
    /// Aliases inside of aliases.
    private static let mostFrames = 10
    private var frames: [Frame]

    init(_ words: [Bytes]) { frames = [Frame(words: words[...])] }

    /// Takes the next word.
    mutating func next() -> Bytes? {
        while let top = frames.last {
            if let word = top.words.first {
                frames[frames.count - 1].words.removeFirst()
                return word
            }
            if frames.count == 1 { return nil }
            frames.removeLast()
        }
        return nil
    }

    /// Puts the words of an alias on top.
    ///
    /// - Parameter rest: letters of a bundle that follow the alias.
    /// - Returns: false if the name stands in its own alias and so means the option; nil if too many are nested.
    mutating func push(_ alias: Bytes, _ words: [Bytes], rest: Bytes) -> Bool? {
        if frames.last?.alias == alias { return false }
        if frames.count >= Self.mostFrames { return nil }
        if !rest.isEmpty { frames[frames.count - 1].words.insert(Bytes("-") + rest, at: frames.last!.words.startIndex) }
        frames.append(Frame(words: words[...], alias: alias))
        return true
    }
}
