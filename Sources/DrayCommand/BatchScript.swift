// Dray — the shell script next to a batch file, which applies it.
// Layer: Command. Behaviour: chapter 03 §16.2.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// The command that wrote a batch, turned into the one that reads it.
struct BatchScript {
    let text: Bytes

    /// - Parameters:
    ///   - words: the command line, program name excluded.
    ///   - destination: path part of the destination.
    ///   - rules: filter rules, one text each.
    init(
        program: Bytes = BatchScript.programName, words: [Bytes], destination: Bytes, rules: [Bytes],
        isNulSeparated: Bool, protocolVersion: Int32
    ) throws(TransferFailure) {
        var line = Self.quoted(program)
        if !rules.isEmpty { line += Bytes(protocolVersion >= 29 ? " --filter='._-'" : " --exclude-from='-'") }
        for word in Self.kept(words) { line += Bytes(" ") + word }
        line += Bytes(" ${1:-") + Self.quoted(destination) + Bytes("}")
        if !rules.isEmpty {
            line += Bytes(" <<'#E#'\n")
            for rule in rules {
                if rule.contains(0x0a) {
                    throw TransferFailure(
                        .syntax, "cannot write a filter rule containing a newline to the batch replay script",
                        role: .sender)
                }
                line += rule + [isNulSeparated ? 0 : 0x0a]
            }
            if isNulSeparated { line += Bytes(";\n") }
            line += Bytes("#E#")
        }
        text = line + [0x0a]
    }

    /// The name that this process was started by.
    static var programName: Bytes { Bytes(text: CommandLine.arguments.first ?? "rsync") }

    /// Options whose effect is in the rules or in the batch itself.
    private static let dropped: Set<String> = [
        "files-from", "filter", "include", "include-from", "exclude", "exclude-from",
    ]

    /// The words that stay, quoted: options and their values, but no operands.
    private static func kept(_ words: [Bytes]) -> [Bytes] {
        let dash = UInt8(ascii: "-")
        var result: [Bytes] = []
        var position = 0
        var optionsEnded = false
        while position < words.count {
            let word = words[position]
            position += 1
            if optionsEnded || word.first != dash || word.count == 1 { continue }
            if word == Bytes("--") {
                optionsEnded = true
                result.append(quoted(word))
                continue
            }
            let option = Option(word)
            let value = option.takesNextWord && position < words.count ? words[position] : nil
            if value != nil { position += 1 }
            if dropped.contains(option.name) || word == Bytes("-f") { continue }
            if option.name == "write-batch" || option.name == "only-write-batch" {
                result.append(
                    option.attached.map { Bytes("--read-batch=") + quoted($0) } ?? Bytes("--read-batch"))
            } else {
                result.append(option.quotedWord)
            }
            if let value { result.append(quoted(value)) }
        }
        return result
    }

    /// One word that is an option, or a bundle of them.
    private struct Option {
        /// Long name; empty for short options.
        var name = ""
        var attached: Bytes?
        var takesNextWord = false
        let word: Bytes

        init(_ word: Bytes) {
            self.word = word
            if word[1] == UInt8(ascii: "-") {
                let equals = word.firstIndex(of: UInt8(ascii: "="))
                name = String(decoding: word[2..<(equals ?? word.count)], as: UTF8.self)
                attached = equals.map { Bytes(word[($0 + 1)...]) }
                if let match = OptionIndex.client.long(name) {
                    takesNextWord = attached == nil && !match.isNegation && match.row.argument != .none
                }
                return
            }
            for (offset, letter) in word.enumerated().dropFirst() {
                guard let row = OptionIndex.client.short(letter) else { return }
                if row.argument == .none { continue }
                takesNextWord = offset == word.count - 1
                return
            }
        }

        /// The name of `--name=value` stays outside the quotes.
        var quotedWord: Bytes {
            guard let attached, !name.isEmpty, name.utf8.allSatisfy(Self.isPlain) else { return quoted(word) }
            return Bytes(text: "--\(name)=") + quoted(attached)
        }

        private static func isPlain(_ byte: UInt8) -> Bool {
            byte.isASCIIDigit || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte.asciiLowercased)
                || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
        }
    }

    private static func quoted(_ word: Bytes) -> Bytes {
        var text = Bytes("'")
        for byte in word {
            if byte == UInt8(ascii: "'") { text += Bytes("'\\''") } else { text.append(byte) }
        }
        return text + Bytes("'")
    }
}
