// Dray — one filter rule and how it is compared with a name.
// Layer: Filters. Rules: chapter 06 §1, §5, §6.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// The side that makes a decision: the sender hides names, the receiver protects them from deletion.
public enum FilterSide: Sendable, Equatable {
    case sender, receiver
    var other: FilterSide { self == .sender ? .receiver : .sender }
}

/// What kind of name is compared.
public enum FilterNameKind: Sendable, Equatable { case file, directory, xattr }

/// One rule, normalised.
public struct FilterRule: Sendable, Equatable {
    /// Properties from the rule text, and what is known about the pattern.
    public struct Flags: OptionSet, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let include = Self(rawValue: 1 << 0)
        public static let directoryOnly = Self(rawValue: 1 << 1)
        public static let absolute = Self(rawValue: 1 << 2)
        public static let negate = Self(rawValue: 1 << 3)
        public static let merge = Self(rawValue: 1 << 4)
        public static let perDirectory = Self(rawValue: 1 << 5)
        public static let wordSplit = Self(rawValue: 1 << 6)
        public static let noInherit = Self(rawValue: 1 << 7)
        public static let noPrefixes = Self(rawValue: 1 << 8)
        public static let excludeSelf = Self(rawValue: 1 << 9)
        public static let cvs = Self(rawValue: 1 << 10)
        public static let senderSide = Self(rawValue: 1 << 11)
        public static let receiverSide = Self(rawValue: 1 << 12)
        public static let perishable = Self(rawValue: 1 << 13)
        public static let xattr = Self(rawValue: 1 << 14)
        public static let fromFile = Self(rawValue: 1 << 15)
        public static let clear = Self(rawValue: 1 << 16)
        public static let wild = Self(rawValue: 1 << 17)
        public static let wild2 = Self(rawValue: 1 << 18)
        public static let wild2Prefix = Self(rawValue: 1 << 19)
        public static let wild3Suffix = Self(rawValue: 1 << 20)
        /// Added behind `--delete-excluded`: the letter says that it only hides.
        static let marked = Self(rawValue: 1 << 21)
        static let sides: Self = [.senderSide, .receiverSide]
        /// What rules in a merge file take over from the merge rule.
        static let inherited: Self = [
            .absolute, .include, .directoryOnly, .negate, .perishable, .senderSide, .receiverSide,
        ]
    }

    public var flags: Flags
    /// The pattern after normalisation, or the name of a merge file as given.
    public var pattern: Bytes
    /// Slashes in `pattern`.
    public var slashCount = 0
    /// Index of the per-directory list of a dir-merge rule.
    var mergeIndex = -1

    public init(flags: Flags, pattern: Bytes) {
        self.flags = flags
        self.pattern = pattern
    }

    /// The pattern as it is shown in messages.
    public var displayPattern: Bytes {
        if flags.contains(.fromFile) { return Bytes("<rule from a file read earlier>") }
        return flags.contains(.directoryOnly) ? pattern + [UInt8(ascii: "/")] : pattern
    }

    /// Finds out what kind of pattern this is; the pattern must have its final form.
    mutating func classify() {
        slashCount = pattern.reduce(0) { $0 + ($1 == UInt8(ascii: "/") ? 1 : 0) }
        flags.subtract([.wild, .wild2, .wild2Prefix, .wild3Suffix])
        let stars = Bytes("**")
        let specials = Bytes("*[?")
        guard pattern.contains(where: specials.contains) else { return }
        flags.insert(.wild)
        guard pattern.count > 1,
            (1..<pattern.count).contains(where: { pattern[$0] == 0x2a && pattern[$0 - 1] == 0x2a })
        else { return }
        flags.insert(.wild2)
        if pattern.hasPrefix(stars) { flags.insert(.wild2Prefix) }
        if pattern.hasSuffix(Bytes("***")) { flags.insert(.wild3Suffix) }
    }

    // MARK: - Matching

    /// Whether the rule applies to `name`.
    ///
    /// - Parameters:
    ///   - name: path relative to the transfer root, or an xattr name.
    ///   - root: the transfer root relative to the module or file system root, without a slash at either end.
    public func matches(_ name: UnsafeBufferPointer<UInt8>, kind: FilterNameKind, root: Bytes) -> Bool {
        let slash = UInt8(ascii: "/")
        let hadSlash = name.first == slash
        let bare = hadSlash ? UnsafeBufferPointer(rebasing: name[1...]) : name
        if bare.isEmpty || flags.contains(.xattr) != (kind == .xattr) { return false }
        let isNegated = flags.contains(.negate)
        if flags.contains(.directoryOnly), kind != .directory { return isNegated }
        if slashCount == 0, !flags.contains(.wild2) {
            var start = bare.count
            while start > 0, bare[start - 1] != slash { start -= 1 }
            return compare(UnsafeBufferPointer(rebasing: bare[start...]), from: 0) != isNegated
        }
        var prefix: Bytes = []
        if flags.contains(.absolute), !hadSlash, !root.isEmpty {
            prefix = root + [slash]
        } else if flags.contains(.wild2Prefix) {
            prefix = [slash]
        }
        let needsSlash = flags.contains(.wild3Suffix) && kind == .directory
        if prefix.isEmpty, !needsSlash { return matchesPath(bare) != isNegated }
        var text = prefix
        text.append(contentsOf: bare)
        if needsSlash { text.append(slash) }
        return text.withUnsafeBufferPointer { matchesPath($0) } != isNegated
    }

    /// Aligns the pattern with the path `text`.
    private func matchesPath(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        let slash = UInt8(ascii: "/")
        if pattern.first == slash { return compare(text, from: 1) }
        if flags.contains(.wild2Prefix) || slashCount == 0 && !flags.contains(.wild2) { return compare(text, from: 0) }
        if flags.contains(.wild2) {
            var start = 0
            while true {
                if compare(UnsafeBufferPointer(rebasing: text[start...]), from: 0) { return true }
                while start < text.count, text[start] != slash { start += 1 }
                if start == text.count { return false }
                start += 1
            }
        }
        var start = text.count
        var wanted = slashCount + 1
        while start > 0 {
            if text[start - 1] == slash {
                wanted -= 1
                if wanted == 0 { break }
            }
            start -= 1
        }
        if start == 0, wanted > 1 { return false }
        return compare(UnsafeBufferPointer(rebasing: text[start...]), from: 0)
    }

    /// Compares all of `text` with the pattern after its first `skipped` bytes.
    private func compare(_ text: UnsafeBufferPointer<UInt8>, from skipped: Int) -> Bool {
        pattern.withUnsafeBufferPointer { whole in
            let pattern = UnsafeBufferPointer(rebasing: whole[skipped...])
            if flags.contains(.wild) { return WildcardMatcher.matches(pattern, text) }
            return pattern.count == text.count && pattern.elementsEqual(text)
        }
    }
}
