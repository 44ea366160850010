// Dray — the text of filter rules.
// Layer: Filters. Rules: chapter 06 §2, §13.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// How the text of rules is to be read.
enum FilterSyntax: Sendable, Equatable {
    /// The language of `--filter`.
    case normal
    /// `--include`, `--exclude` and protocol < 29: a pattern with an optional `- ` or `+ `.
    case oldPrefix
    /// Patterns only; `clears` accepts `!` alone as clear.
    case noPrefixes(clears: Bool)
}

/// Where rule text came from; text out of files is never shown to anybody.
struct RuleOrigin: Sendable, Equatable {
    /// The file, as it may be named; nil for text that the user typed.
    var file: Bytes?
    /// 1-based line; nil in word-split files.
    var line: Int?

    static let typed = RuleOrigin()

    /// How messages show `text`, the rest of the input from the start of the rule.
    func show(_ text: Bytes) -> Bytes {
        guard file != nil else { return text }
        return Bytes("<rule from ") + place + Bytes(">")
    }

    /// How messages name a file whose name stands at this place.
    func nameOfFile(_ name: Bytes) -> Bytes {
        guard let file else { return name }
        // Only the outermost place is told, as rsync does.
        if file.hasPrefix(Bytes("a file named at ")) { return Bytes("a file named at ") + file }
        return Bytes("a file named at ") + place
    }

    private var place: Bytes {
        guard let file else { return [] }
        guard let line, !file.hasPrefix(Bytes("a file named at ")) else { return file }
        return file + Bytes(text: " line \(line)")
    }
}

/// Reads rules from one text, one after another.
struct FilterParser {
    let text: Bytes
    /// The containing merge rule: what its rules inherit.
    let template: FilterRule.Flags
    let syntax: FilterSyntax
    let isWordSplit: Bool
    let origin: RuleOrigin
    private var at = 0

    init(_ text: Bytes, template: FilterRule.Flags, syntax: FilterSyntax, isWordSplit: Bool, origin: RuleOrigin) {
        self.text = text
        self.template = template
        self.syntax = syntax
        self.isWordSplit = isWordSplit
        self.origin = origin
    }

    private static let longNames: [(name: Bytes, short: UInt8)] = [
        (Bytes("clear"), 0x21), (Bytes("dir-merge"), 0x3a), (Bytes("exclude"), 0x2d), (Bytes("hide"), 0x48),
        (Bytes("include"), 0x2b), (Bytes("merge"), 0x2e), (Bytes("protect"), 0x50), (Bytes("risk"), 0x52),
        (Bytes("show"), 0x53),
    ]

    /// The next rule with its raw pattern, nil at the end; the flag tells whether the pattern is too long to keep.
    mutating func next() throws(TransferFailure) -> (rule: FilterRule, shown: Bytes, isOverLong: Bool)? {
        if isWordSplit { while at < text.count, text[at].isASCIISpace { at += 1 } }
        guard at < text.count else { return nil }
        let start = at
        var rule = FilterRule(flags: template.intersection(.inherited), pattern: [])
        if origin.file != nil { rule.flags.insert(.fromFile) }
        switch syntax {
        case .noPrefixes(let clears):
            takePattern(&rule)
            if clears, rule.pattern == Bytes("!") { rule.flags.insert(.clear) }
        case .oldPrefix:
            let second = at + 1 < text.count ? text[at + 1] : 0
            if second == 0x20, text[at] == UInt8(ascii: "-") {
                rule.flags.remove(.include)
                at += 2
            } else if second == 0x20, text[at] == UInt8(ascii: "+") {
                rule.flags.insert(.include)
                at += 2
            }
            let hadPrefix = at > start
            takePattern(&rule)
            if !hadPrefix, rule.pattern == Bytes("!") { rule.flags.insert(.clear) }
        case .normal: try parseNormal(&rule, start)
        }
        let shown = origin.show(Bytes(text[start...]))
        if rule.flags.contains(.clear) { return (rule, shown, false) }
        if rule.pattern.isEmpty, !rule.flags.contains(.cvs) { throw failure("unexpected end of filter rule: ", start) }
        return (rule, shown, rule.pattern.count >= Limits.maxPath)
    }

    private mutating func takePattern(_ rule: inout FilterRule) {
        var end = text.count
        if isWordSplit {
            end = at
            while end < text.count, !text[end].isASCIISpace { end += 1 }
        }
        if at < end { rule.pattern = Bytes(text[at..<end]) }
        at = max(at, end)
    }

    private func failure(_ message: StaticString, _ start: Int) -> TransferFailure {
        TransferFailure(.syntax, lines: [(Bytes(message) + origin.show(Bytes(text[start...]))).cutToMessage])
    }

    private mutating func parseNormal(_ rule: inout FilterRule, _ start: Int) throws(TransferFailure) {
        var short = text[at]
        if Bytes("cdehimprs").contains(short) {
            let rest = text[at...]
            guard let long = Self.longNames.first(where: { rest.starts(with: $0.name) }) else {
                throw failure("Unknown filter rule: ", start)
            }
            short = long.short
            at += long.name.count
            if at < text.count {
                let after = text[at]
                guard after.isASCIISpace || after == 0x5f || after == 0x2c else {
                    throw failure("Unknown filter rule: ", start)
                }
                if after == 0x2c { at += 1 }
            }
        } else {
            at += 1
            if at < text.count, text[at] == 0x2c { at += 1 }
        }
        var hasSide = false
        switch short {
        case UInt8(ascii: "-"): rule.flags.remove(.include)
        case UInt8(ascii: "+"): rule.flags.insert(.include)
        case UInt8(ascii: "."): rule.flags.insert(.merge)
        case UInt8(ascii: ":"): rule.flags.formUnion([.merge, .perDirectory])
        case UInt8(ascii: "H"), UInt8(ascii: "S"), UInt8(ascii: "P"), UInt8(ascii: "R"):
            hasSide = true
            if short == UInt8(ascii: "H") || short == UInt8(ascii: "P") {
                rule.flags.remove(.include)
            } else {
                rule.flags.insert(.include)
            }
        case UInt8(ascii: "!"):
            rule.flags.insert(.clear)
            let end = isWordSplit ? text[at...].firstIndex(where: \.isASCIISpace) ?? text.count : text.count
            if at < end { throw failure("'!' rule has trailing characters: ", start) }
            return
        default: throw failure("Unknown filter rule: ", start)
        }
        let inheritsSide = !template.isDisjoint(with: .sides)
        if hasSide {
            if inheritsSide { throw failure("specified-side merge file contains specified-side filter: ", start) }
            rule.flags.insert(
                short == UInt8(ascii: "H") || short == UInt8(ascii: "S") ? .senderSide : .receiverSide)
        }
        if rule.flags.contains(.merge) { rule.flags.subtract([.directoryOnly]) }
        try parseModifiers(&rule, start, hasSide: hasSide, inheritsSide: inheritsSide)
        if at < text.count { at += 1 }
        takePattern(&rule)
        if rule.flags.isSuperset(of: [.merge, .cvs]), rule.pattern.isEmpty { rule.pattern = Bytes(".cvsignore") }
    }

    private mutating func parseModifiers(
        _ rule: inout FilterRule, _ start: Int, hasSide: Bool, inheritsSide: Bool
    ) throws(TransferFailure) {
        let isMerge = rule.flags.contains(.merge)
        while at < text.count {
            let byte = text[at]
            if byte == 0x20 || byte == 0x5f || (isWordSplit && byte.isASCIISpace) { return }
            var isAllowed = true
            switch byte {
            case UInt8(ascii: "/"): rule.flags.insert(.absolute)
            case UInt8(ascii: "!"):
                isAllowed = !isMerge
                rule.flags.insert(.negate)
            case UInt8(ascii: "C"):
                isAllowed = !rule.flags.contains(.noPrefixes) && !hasSide
                rule.flags.formUnion([.noPrefixes, .wordSplit, .noInherit, .cvs])
            case UInt8(ascii: "s"), UInt8(ascii: "r"):
                isAllowed = !hasSide
                if isAllowed, inheritsSide {
                    throw failure("specified-side merge file contains specified-side filter: ", start)
                }
                rule.flags.insert(byte == UInt8(ascii: "s") ? .senderSide : .receiverSide)
            case UInt8(ascii: "p"): rule.flags.insert(.perishable)
            case UInt8(ascii: "x"): rule.flags.insert(.xattr)
            case UInt8(ascii: "-"), UInt8(ascii: "+"):
                isAllowed = isMerge && !rule.flags.contains(.noPrefixes)
                rule.flags.insert(.noPrefixes)
                if byte == UInt8(ascii: "+") { rule.flags.insert(.include) }
            case UInt8(ascii: "e"):
                isAllowed = isMerge
                rule.flags.insert(.excludeSelf)
            case UInt8(ascii: "n"):
                isAllowed = isMerge
                rule.flags.insert(.noInherit)
            case UInt8(ascii: "w"):
                isAllowed = isMerge
                rule.flags.insert(.wordSplit)
            default: isAllowed = false
            }
            if !isAllowed {
                if origin.file != nil { throw failure("invalid modifier in filter rule: ", start) }
                let detail =
                    Bytes("invalid modifier '") + [byte] + Bytes(text: "' at position \(at - start) in filter rule: ")
                throw TransferFailure(.syntax, lines: [(detail + Bytes(text[start...])).cutToMessage])
            }
            at += 1
        }
    }
}
