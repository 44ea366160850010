// Dray — `refuse options`: which rows of the option table a client may not use.
// Layer: Daemon. Behaviour: chapter 07 §14.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFilters

/// One row of the table of command-line options, as far as refusing is concerned.
public struct OptionRow: Sendable, Equatable {
    /// Long name without dashes.
    public var long: Bytes
    public var letter: UInt8?
    /// Rows of equal meaning (aliases) have the same number.
    public var meaning: Int

    public init(long: Bytes, letter: UInt8? = nil, meaning: Int) {
        self.long = long
        self.letter = letter
        self.meaning = meaning
    }
}

/// The rows of an option table that a module refuses.
public struct RefusedOptions: Sendable {
    private let rows: [OptionRow]
    private var refused: [Bool]

    /// Long names that wild terms leave alone.
    private static let exactOnly: Set<Bytes> = [
        Bytes("rsh"), Bytes("from0"), Bytes("secluded-args"), Bytes("protect-args"), Bytes("dry-run"), Bytes("iconv"),
        Bytes("no-iconv"), Bytes("checksum-seed"), Bytes("copy-devices"), Bytes("write-devices"), Bytes("log-format"),
        Bytes("sender"), Bytes("server"),
    ]

    /// Applies the terms of a module.
    ///
    /// - Parameters:
    ///   - hasCharset: whether `charset` is set.
    ///   - log: receives a line for each term that names nothing.
    public init(_ terms: Bytes, rows: [OptionRow], hasCharset: Bool, log: (Bytes) -> Void = { _ in }) {
        self.rows = rows
        refused = Array(repeating: false, count: rows.count)
        let ignore: (Bytes) -> Void = { _ in }
        apply(Bytes("copy-devices"), ignore)
        apply(Bytes("write-devices"), ignore)
        for term in terms.fields(separatedBy: { $0 == UInt8(ascii: " ") }) { apply(term, log) }
        if !hasCharset { apply(Bytes("iconv"), ignore) }
        apply(Bytes("log-file*"), ignore)
        apply(Bytes("insecure-links"), ignore)
    }

    /// Whether the row with this long name is refused.
    public func refuses(_ long: Bytes) -> Bool {
        rows.indices.contains { rows[$0].long == long && refused[$0] }
    }

    /// Whether a row that only has this letter is refused.
    public func refuses(letter: UInt8) -> Bool {
        rows.indices.contains { rows[$0].letter == letter && rows[$0].long == Self.nameless && refused[$0] }
    }

    /// What stands for the long name of a row that has none, in messages too.
    public static let nameless = Bytes("(null)")

    /// `The server is configured to refuse --NAME (-L)` if the row is refused.
    public func refusal(_ long: Bytes) -> Bytes? {
        guard let index = rows.firstIndex(where: { $0.long == long }), refused[index] else { return nil }
        let text = Bytes("The server is configured to refuse --") + long
        guard let letter = rows[index].letter else { return text }
        return text + [0x20, 0x28, UInt8(ascii: "-"), letter, 0x29]
    }

    private mutating func apply(_ given: Bytes, _ log: (Bytes) -> Void) {
        var term = given
        var value = true
        if term.first == UInt8(ascii: "!"), term.count > 1 {
            value = false
            term.removeFirst()
        }
        if term == Bytes("a") || term == Bytes("archive") { term = Bytes("[ardlptgoD]") }
        let wild = Bytes("*?[")
        let isWild = term.contains { wild.contains($0) }
        var found = false
        for index in rows.indices {
            let row = rows[index]
            guard
                WildcardMatcher.matches(term, row.long)
                    || row.letter.map({ WildcardMatcher.matches(term, [$0]) }) == true
            else { continue }
            found = true
            if isWild {
                if !Self.exactOnly.contains(row.long) { refused[index] = value }
                continue
            }
            for other in rows.indices where rows[other].meaning == row.meaning { refused[other] = value }
            return
        }
        if !found { log(Bytes("No match for refuse-options string \"") + given + Bytes("\"")) }
    }

    // MARK: - Implied use

    /// What a client's arguments amount to, for options that are refused because something else uses them.
    public struct Use: Sendable {
        /// `-a` stood there literally.
        public var archive = false
        /// `-P` stood there literally.
        public var partialProgress = false
        public var iconvGiven = false
        public init() {}
    }

    /// Checks implied options and moves the time of deletion to one that is permitted.
    ///
    /// - Returns: the message of the first refusal.
    public func checkImplied(_ use: Use, _ options: inout TransferOptions) -> Bytes? {
        if use.archive {
            let parts: [StaticString] = ["recursive", "links", "perms", "times", "group", "owner", "devices"]
            if refuses(Bytes("archive")) || parts.contains(where: { refuses(Bytes($0)) }) || refuses(Bytes("D")) {
                return refusalText("archive")
            }
        }
        if options.compress, let text = refusal(Bytes("compress")) { return text }
        if options.deletes || options.deleteExcluded || options.missingArgs == .delete
            || options.removeSourceFiles > 0 && options.amSender, let text = refusal(Bytes("delete"))
        {
            return text
        }
        if options.deleteMode == .unspecified || options.deleteMode == .before && options.protocolVersion < 30 {
            let before = refuses(Bytes("delete-before"))
            let during = refuses(Bytes("delete-during"))
            if before && during { return refusal(Bytes("delete-before")) }
            if before { options.deleteMode = .during } else if during { options.deleteMode = .before }
        }
        if use.partialProgress && (refuses(Bytes("partial")) || refuses(Bytes("progress"))) {
            return refusal(Bytes("partial")) ?? refusal(Bytes("progress"))
        }
        if options.inplace || options.append != .off || options.partialDirectory?.isEmpty == true,
            let text = refusal(Bytes("partial"))
        {
            return text
        }
        if options.append != .off || options.writeDevices, let text = refusal(Bytes("inplace")) { return text }
        if !use.iconvGiven, let text = refusal(Bytes("no-iconv")) { return text }
        return nil
    }

    private func refusalText(_ long: StaticString) -> Bytes {
        refusal(Bytes(long)) ?? Bytes("The server is configured to refuse --") + Bytes(long) + Bytes(" (-a)")
    }
}
