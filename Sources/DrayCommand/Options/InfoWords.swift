// Dray — words of `--info` and `--debug`, and the levels that `-v` implies.
// Layer: Command. Behaviour: chapter 05 §4.1, §5; chapter 01 §9.3.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// A category of output as the two word lists describe it.
protocol OutputCategory: RawRepresentable, CaseIterable, Sendable, Hashable where RawValue == Int {
    var word: String { get }
    /// Text in the list of words.
    var help: String { get }
    static var option: String { get }
    /// Words added by each level of verbosity, with their level.
    static var added: [[(Self, Int)]] { get }
}

extension InfoLevels.Flag: OutputCategory {
    static var option: String { "info" }
    static var added: [[(Self, Int)]] {
        [
            [(.nonreg, 1)],
            [(.copy, 1), (.del, 1), (.flist, 1), (.misc, 1), (.name, 1), (.stats, 1), (.symsafe, 1)],
            [(.backup, 1), (.misc, 2), (.mount, 1), (.name, 2), (.remove, 1), (.skip, 1)],
        ]
    }
    var help: String {
        switch self {
        case .backup: "Mention files backed up"
        case .copy: "Mention files copied locally on the receiving side"
        case .del: "Mention deletions on the receiving side"
        case .flist: "Mention file-list receiving/sending (levels 1-2)"
        case .misc: "Mention miscellaneous information (levels 1-2)"
        case .mount: "Mention mounts that were found or skipped"
        case .name: "Mention 1) updated file/dir names, 2) unchanged names"
        case .nonreg: "Mention skipped non-regular files (default 1, 0 disables)"
        case .progress: "Mention 1) per-file progress or 2) total transfer progress"
        case .remove: "Mention files removed on the sending side"
        case .skip: "Mention files skipped due to transfer overrides (levels 1-2)"
        case .stats: "Mention statistics at end of run (levels 1-3)"
        case .symsafe: "Mention symlinks that are unsafe"
        }
    }
    /// Whether a remote side in the given role cares about the word.
    func concernsRemote(receiver: Bool) -> Bool {
        switch self {
        case .misc, .mount, .name, .stats, .symsafe: true
        case .backup, .copy, .del, .nonreg, .skip: receiver
        case .remove: !receiver
        case .flist, .progress: false
        }
    }
}

extension DebugLevels.Flag: OutputCategory {
    static var option: String { "debug" }
    static var added: [[(Self, Int)]] {
        [
            [], [],
            [
                (.bind, 1), (.connect, 1), (.cmd, 1), (.del, 1), (.deltasum, 1), (.dup, 1), (.filter, 1), (.flist, 1),
                (.iconv, 1),
            ],
            [
                (.acl, 1), (.backup, 1), (.connect, 2), (.del, 2), (.deltasum, 2), (.exit, 1), (.filter, 2),
                (.flist, 2),
                (.fuzzy, 1), (.genr, 1), (.own, 1), (.recv, 1), (.send, 1), (.time, 1),
            ],
            [
                (.cmd, 2), (.del, 3), (.deltasum, 3), (.exit, 2), (.flist, 3), (.iconv, 2), (.own, 2), (.proto, 1),
                (.time, 2),
            ],
            [(.chdir, 1), (.deltasum, 4), (.flist, 4), (.fuzzy, 2), (.hash, 1), (.hlink, 1)],
        ]
    }
    var help: String {
        switch self {
        case .acl: "Debug extra ACL info"
        case .backup: "Debug backup actions (levels 1-2)"
        case .bind: "Debug socket bind actions"
        case .chdir: "Debug when the current directory changes"
        case .connect: "Debug connection events (levels 1-2)"
        case .cmd: "Debug commands+options that are issued (levels 1-2)"
        case .del: "Debug delete actions (levels 1-3)"
        case .deltasum: "Debug delta-transfer checksumming (levels 1-4)"
        case .dup: "Debug weeding of duplicate names"
        case .exit: "Debug exit events (levels 1-3)"
        case .filter: "Debug filter actions (levels 1-3)"
        case .flist: "Debug file-list operations (levels 1-4)"
        case .fuzzy: "Debug fuzzy scoring (levels 1-2)"
        case .genr: "Debug generator functions"
        case .hash: "Debug hashtable code"
        case .hlink: "Debug hard-link actions (levels 1-3)"
        case .iconv: "Debug iconv character conversions (levels 1-2)"
        case .io: "Debug I/O routines (levels 1-4)"
        case .nstr: "Debug negotiation strings"
        case .own: "Debug ownership changes in users & groups (levels 1-2)"
        case .proto: "Debug protocol information"
        case .recv: "Debug receiver functions"
        case .send: "Debug sender functions"
        case .time: "Debug setting of modified times (levels 1-2)"
        }
    }
}

/// Levels set by words; nil where the words said nothing.
struct WordLevels<Category: OutputCategory>: Sendable {
    private(set) var explicit: [Category: Int] = [:]

    subscript(category: Category) -> Int? { explicit[category] }

    /// Applies a comma list of words.
    ///
    /// - Returns: false if the list of words was asked for.
    /// - Throws: exit 1 for an unknown word, unless `ignoresUnknown`.
    mutating func parse(_ list: Bytes, ignoresUnknown: Bool) throws(TransferFailure) -> Bool {
        for item in list.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: true) {
            let digits = item.reversed().prefix { $0.isASCIIDigit }.count
            let name = String(decoding: item.dropLast(digits), as: UTF8.self).uppercased()
            let level = digits == 0 ? 1 : Int(min(parseDecimal(item.suffix(digits)) ?? 4, 4))
            switch name {
            case "HELP": return false
            case "NONE": setAll(0)
            case "ALL": setAll(level)
            default:
                if let category = Category.allCases.first(where: { $0.word == name }) {
                    explicit[category] = level
                } else if !ignoresUnknown {
                    let complaint = Bytes(text: "Unknown --\(Category.option) item: \"")
                    throw TransferFailure(.syntax, lines: [complaint + Bytes(item.dropLast(digits)) + Bytes("\"")])
                }
            }
        }
        return true
    }

    private mutating func setAll(_ level: Int) {
        for category in Category.allCases { explicit[category] = level }
    }

    /// Level of a category under `verbosity`, words first.
    func level(_ category: Category, verbosity: Int) -> Int {
        explicit[category] ?? Self.implied(category, verbosity: verbosity)
    }

    static func implied(_ category: Category, verbosity: Int) -> Int {
        Category.added.prefix(min(verbosity, 5) + 1).joined().filter { $0.0 == category }.map(\.1).max() ?? 0
    }

    /// Text of `--info=help` or `--debug=help`.
    static var helpText: String {
        func line(_ word: String, _ text: String) -> String {
            word + String(repeating: " ", count: max(0, 10 - word.count)) + " " + text + "\n"
        }
        var text = "Use OPT or OPT1 for level 1 output, OPT2 for level 2, etc.; OPT0 silences.\n\n"
        for category in Category.allCases { text += line(category.word, category.help) }
        text += "\n" + line("ALL", "Set all --\(Category.option) options (e.g. all4)")
        text += line("NONE", "Silence all --\(Category.option) options (same as all0)")
        text += line("HELP", "Output this help message")
        text += "\nOptions added at each level of verbosity:\n"
        for (level, words) in Category.added.enumerated() where !words.isEmpty {
            let list = words.map { $0.0.word + ($0.1 > 1 ? String($0.1) : "") }
            text += "\(level)) " + list.joined(separator: ",") + "\n"
        }
        return text
    }
}

extension WordLevels where Category == InfoLevels.Flag {
    /// Words for the server's `--info=`, or nil if none concern it.
    func forwarded(toReceiver: Bool) -> String? {
        let relevant = Category.allCases.filter { $0.concernsRemote(receiver: toReceiver) }
        let given = relevant.compactMap { flag in explicit[flag].map { (flag, $0) } }
        if given.isEmpty { return nil }
        var words: [String] = []
        var common: Int?
        if given.count == relevant.count {
            var counts: [Int: Int] = [:]
            for (_, level) in given {
                counts[level, default: 0] += 1
                if counts[level]! > (common.map { counts[$0]! } ?? 0) { common = level }
            }
            if let level = common, counts[level]! < 5 { common = nil }
        }
        if let common { words.append(common == 0 ? "NONE" : (common == 1 ? "ALL" : "ALL\(common)")) }
        for (flag, level) in given where level != common { words.append(flag.word + (level == 1 ? "" : String(level))) }
        return words.joined(separator: ",")
    }
}
