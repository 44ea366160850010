// Dray — the spellings of each option, and which lines of the tests use it.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport

@testable import DrayCommand

/// One way to write an option.
struct OptionSpelling: Sendable, CustomStringConvertible {
    var row: OptionRow
    /// `--name` or `-x`.
    var word: String
    var isNegation: Bool

    var description: String { word }

    /// The words that give the option with a value.
    func words(_ value: String?) -> [String] {
        guard let value, !isNegation else { return [word] }
        return word.hasPrefix("--") ? ["\(word)=\(value)"] : [word, value]
    }

    static func all(_ row: OptionRow) -> [OptionSpelling] {
        let letter = row.short.map { ["-" + String(Unicode.Scalar($0))] } ?? []
        return (row.names.map { "--" + $0 } + letter).map { OptionSpelling(row: row, word: $0, isNegation: false) }
            + row.negations.map { OptionSpelling(row: row, word: "--" + $0, isNegation: true) }
    }
}

extension OptionRow {
    /// Words that the programs say to each other, and the switches of daemon mode, which has tests of its own.
    static func isInternal(_ row: OptionRow) -> Bool {
        [.server, .sender, .daemon, .config, .dparam, .detach].contains(row.id)
    }
}

/// Where an option is put to the test: which lines of which table contain it.
enum OptionEvidence {
    /// An option, or its negation.
    struct Key: Hashable {
        var id: OptionID
        var isNegation: Bool
    }

    /// Lines by option, first ones first.
    static let lines: [Key: [String]] = {
        var lines: [Key: [String]] = [:]
        func add(_ words: [String], _ title: String) {
            for key in options(in: words) { lines[key, default: []].append(title) }
        }
        for set in OptionSet.all { add(set.options, "matrix `\(set)`") }
        let tables =
            DifferentialLine.operands + DifferentialLine.output + DifferentialLine.disk + DifferentialLine.filters
            + DifferentialLine.failures + DifferentialLine.optionEffects
        for line in tables { add(words(of: line.script), "line `\(line.script)`") }
        return lines
    }()

    /// Tests that have a function of their own, by the option that they are about.
    static let functions: [OptionID: String] = [
        .bwlimit: "limiterFollowsTheRule", .passwordFile: "passwordFileIsRead",
        .earlyInput: "earlyInputReachesTheDaemon", .timeout: "silentPeerTimesOut", .iconv: "namesAreConverted",
        .writeBatch: "everyWriterAndReaderAgrees", .readBatch: "everyWriterAndReaderAgrees",
        .onlyWriteBatch: "everyWriterAndReaderAgrees", .sockopts: "socketOptionFaultsAreMessages",
        .help: "helpListsEveryOption", .version: "versionTellsRsyncsCapabilities",
    ]

    /// Options that words give.
    static func options(in words: [String]) -> Set<Key> {
        var found: Set<Key> = []
        for word in words {
            if word.hasPrefix("--") {
                let name = word.dropFirst(2).prefix { $0 != "=" }
                if let match = OptionIndex.transfer.long(String(name)) {
                    found.insert(Key(id: match.row.id, isNegation: match.isNegation))
                }
            } else if word.hasPrefix("-") {
                for letter in word.utf8.dropFirst() {
                    guard let row = OptionIndex.transfer.short(letter) else { break }
                    found.insert(Key(id: row.id, isNegation: false))
                    if row.argument != .none { break }
                }
            }
        }
        return found
    }

    /// Words of a script behind each `rsync`; quotes are dropped.
    private static func words(of script: String) -> [String] {
        var isCommand = false
        var words: [String] = []
        for word in script.split(whereSeparator: { " \n;&|".contains($0) }) {
            if word == "rsync" {
                isCommand = true
            } else if isCommand {
                words.append(word.filter { $0 != "'" && $0 != "\"" })
            }
        }
        return words
    }

    /// What tests an option: a line of a table, or a function that the sources of the tests really contain.
    static func of(_ spelling: OptionSpelling) -> String? {
        let key = Key(id: spelling.row.id, isNegation: spelling.isNegation)
        if let line = lines[key]?.first { return line }
        guard let name = functions[spelling.row.id], sources.contains("func \(name)(") else { return nil }
        return "test `\(name)`"
    }

    /// The text of all tests.
    static let sources: String = {
        let directory = #filePath.split(separator: "/").dropLast(2).map { "/" + $0 }.joined()
        return DaemonLab.names(directory).flatMap { target in
            DaemonLab.names(directory + "/" + target).compactMap { DaemonLab.text("\(directory)/\(target)/\($0)") }
        }.joined(separator: "\n")
    }()
}
