// Dray — the lexical grammar of rsyncd.conf: bytes to sections, parameters and directives.
// Layer: Daemon. Behaviour: chapter 07 §2.2.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// One thing that a configuration file says.
enum ConfigurationItem: Equatable {
    case section(Bytes)
    case parameter(name: Bytes, value: Bytes)
    case directive(name: Bytes, argument: Bytes)
}

/// The file breaks the grammar in a way that ends the load; `line` goes to the log.
struct ConfigurationSyntaxError: Error, Equatable {
    var line: Bytes
}

/// Reads items from the bytes of one file, in order.
struct ConfigurationLexer {
    private let text: Bytes
    private var index = 0

    init(_ text: Bytes) { self.text = text }

    /// The next item; nil at the end of the file.
    ///
    /// - Parameter log: receives lines about things that are ignored.
    mutating func next(log: (Bytes) -> Void) throws(ConfigurationSyntaxError) -> ConfigurationItem? {
        while let byte = take() {
            switch byte {
            case UInt8(ascii: "\n"), UInt8(ascii: "\\"): continue
            case 0: return nil
            case UInt8(ascii: "#"), UInt8(ascii: ";"): skipLine()
            case UInt8(ascii: "["): return .section(try section())
            case UInt8(ascii: "&"): return directive()
            default:
                if byte.isASCIISpace { continue }
                index -= 1
                if let item = try parameter(log) { return item }
            }
        }
        return nil
    }

    private mutating func take() -> UInt8? {
        guard index < text.count else { return nil }
        defer { index += 1 }
        return text[index]
    }

    private mutating func skipLine() {
        while let byte = take(), byte != UInt8(ascii: "\n") {}
    }

    private mutating func skipSpaces() {
        while index < text.count, text[index].isASCIISpace, text[index] != UInt8(ascii: "\n") { index += 1 }
    }

    // MARK: - Sections and names

    private mutating func section() throws(ConfigurationSyntaxError) -> Bytes {
        var name: Bytes = []
        while true {
            guard let byte = take(), byte != 0 else {
                throw Self.error("Section() - Unexpected EOF in the config file: ", name)
            }
            switch byte {
            case UInt8(ascii: "]"):
                Self.dropTrailingSpace(&name)
                if name.isEmpty { throw Self.error("Section() - Empty section name in config file.", []) }
                skipLine()
                return name
            case UInt8(ascii: "\n"):
                guard Self.continues(&name) else {
                    throw Self.error("Section() - Badly formed line in config file: ", name)
                }
            default: Self.append(byte, compressing: &name)
            }
        }
    }

    private mutating func parameter(
        _ log: (Bytes) -> Void
    ) throws(ConfigurationSyntaxError) -> ConfigurationItem? {
        var name: Bytes = []
        while true {
            guard let byte = take(), byte != 0 else {
                Self.dropTrailingSpace(&name)
                log(Bytes("params.c:Parameter() - Unexpected end-of-file at: ") + name)
                index = text.count
                return nil
            }
            switch byte {
            case UInt8(ascii: "="):
                Self.dropTrailingSpace(&name)
                if name.isEmpty { throw Self.error("Parameter() - Invalid parameter name in config file.", []) }
                return .parameter(name: name, value: value())
            case UInt8(ascii: "\n"):
                if Self.continues(&name) { continue }
                log(Bytes("params.c:Parameter() - Ignoring badly formed line in config file: ") + name)
                return nil
            default: Self.append(byte, compressing: &name)
            }
        }
    }

    private mutating func directive() -> ConfigurationItem {
        var name: Bytes = []
        while index < text.count, !text[index].isASCIISpace, text[index] != 0 {
            name.append(text[index])
            index += 1
        }
        skipSpaces()
        if index < text.count, text[index] == UInt8(ascii: "=") { index += 1 }
        return .directive(name: name, argument: value())
    }

    /// Whether a line that ends here goes on: its last byte that is no space is a backslash, which is removed.
    private static func continues(_ name: inout Bytes) -> Bool {
        dropTrailingSpace(&name)
        guard name.last == UInt8(ascii: "\\") else { return false }
        name.removeLast()
        return true
    }

    private static func append(_ byte: UInt8, compressing name: inout Bytes) {
        guard byte.isASCIISpace else { return name.append(byte) }
        if let last = name.last, last != UInt8(ascii: " ") { name.append(UInt8(ascii: " ")) }
    }

    private static func dropTrailingSpace(_ text: inout Bytes) {
        while let last = text.last, last.isASCIISpace { text.removeLast() }
    }

    private static func error(_ text: StaticString, _ rest: Bytes) -> ConfigurationSyntaxError {
        ConfigurationSyntaxError(line: Bytes("params.c:") + Bytes(text) + rest)
    }

    // MARK: - Values

    /// The rest of the line with its continuations, without carriage returns and surrounding space.
    private mutating func value() -> Bytes {
        skipSpaces()
        var value: Bytes = []
        while let byte = take(), byte != 0 {
            if byte == UInt8(ascii: "\r") { continue }
            guard byte == UInt8(ascii: "\n") else {
                value.append(byte)
                continue
            }
            // The spaces before the backslash stay: only it and what follows it are removed.
            guard let last = value.lastIndex(where: { !$0.isASCIISpace }), value[last] == UInt8(ascii: "\\") else {
                break
            }
            value.removeSubrange(last...)
        }
        Self.dropTrailingSpace(&value)
        return value
    }
}
