// Dray — the names that a client may receive because it asked for them.
// Layer: Filters. Rules: chapter 06 §11, chapter 08 §10.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Include rules made from the source arguments of a pull. Empty means that nothing is checked.
public final class ImpliedNames {
    /// How the arguments are meant.
    public struct Settings: Sendable {
        /// Arguments begin with a module name.
        public var isDaemon = false
        public var relative = false
        public var recursive = false
        /// `-d` without recursion.
        public var dirs = false
        public init() {}
    }

    private let settings: Settings
    private(set) var rules: [FilterRule] = []
    private var parents: Set<Bytes> = []
    /// The content of the requested root itself is wanted.
    private var wantsRootContent = false

    public init(settings: Settings) { self.settings = settings }

    /// Whether nothing has been asked for, or nothing is to be checked.
    public var isEmpty: Bool { rules.isEmpty }

    private static let slash = UInt8(ascii: "/")
    private static let backslash = UInt8(ascii: "\\")

    /// Allows what `argument` (without host; for a daemon with its module) can bring.
    public func add(argument: Bytes) {
        var name = argument
        if settings.isDaemon {
            name = name.firstIndex(of: Self.slash).map { Bytes(name[($0 + 1)...]) } ?? []
        }
        if settings.relative {
            let marker = Bytes("/./")
            if let at = name.indices.first(where: { name[$0...].starts(with: marker) }) {
                name = Bytes(name[(at + 3)...])
            }
        } else {
            name = name.splitLastComponent.name
        }
        let parts = name.fields(separatedBy: { $0 == Self.slash }).filter { $0 != Bytes(".") }
        if parts.isEmpty {
            addContent(of: [], isWild: false)
            return
        }
        let isWild = name.contains { Bytes("*?[").contains($0) }
        let cleaned = parts.map { isWild ? Self.escapedForWild($0) : Self.unescaped($0) }
        let pattern = Bytes(cleaned.flatMap { [Self.slash] + $0 })
        addRule(pattern, isWild: isWild, directoryOnly: false)
        let literal = isWild ? Self.literalBrackets(pattern) : nil
        if let literal { addRule(literal, isWild: true, directoryOnly: false) }
        if settings.relative {
            var parent = pattern
            while let cut = parent.lastIndex(of: Self.slash), cut > 0 {
                parent = Bytes(parent[..<cut])
                if !parents.insert(parent).inserted { break }
                let parentIsWild = isWild && parent.contains { Bytes("*?[\\").contains($0) }
                addRule(parent, isWild: parentIsWild, directoryOnly: true)
                if parentIsWild, let copy = Self.literalBrackets(parent) {
                    addRule(copy, isWild: true, directoryOnly: true)
                }
            }
        }
        addContent(of: pattern, isWild: isWild)
        if let literal { addContent(of: literal, isWild: true) }
    }

    private func addContent(of pattern: Bytes, isWild: Bool) {
        guard settings.recursive || settings.dirs else { return }
        if pattern.isEmpty { wantsRootContent = true }
        var escaped: Bytes = []
        for byte in pattern {
            if !isWild, byte == Self.backslash { escaped.append(byte) }
            escaped.append(byte)
        }
        addRule(escaped + Bytes(settings.recursive ? "/**" : "/*"), isWild: true, directoryOnly: false)
    }

    private func addRule(_ pattern: Bytes, isWild: Bool, directoryOnly: Bool) {
        var rule = FilterRule(flags: directoryOnly ? [.include, .directoryOnly] : .include, pattern: pattern)
        rule.classify()
        if isWild {
            rule.flags.insert(.wild)
        } else {
            rule.flags.subtract([.wild, .wild2, .wild2Prefix, .wild3Suffix])
        }
        rules.append(rule)
    }

    /// Doubles the backslashes that escape nothing.
    private static func escapedForWild(_ part: Bytes) -> Bytes {
        var result: Bytes = []
        var index = 0
        while index < part.count {
            result.append(part[index])
            if part[index] == backslash {
                if index + 1 < part.count, Bytes("*[?]").contains(part[index + 1]) {
                    index += 1
                    result.append(part[index])
                } else {
                    result.append(backslash)
                }
            }
            index += 1
        }
        return result
    }

    /// `\]` becomes `]` in names without wildcards.
    private static func unescaped(_ part: Bytes) -> Bytes {
        var result: Bytes = []
        for (index, byte) in part.enumerated() {
            if byte == backslash, index + 1 < part.count, part[index + 1] == UInt8(ascii: "]") { continue }
            result.append(byte)
        }
        return result
    }

    /// A copy in which every live `[` is literal, nil if there is none: shells leave globs without a match alone.
    private static func literalBrackets(_ pattern: Bytes) -> Bytes? {
        var result: Bytes = []
        var isEscaped = false
        var found = false
        for byte in pattern {
            if byte == UInt8(ascii: "["), !isEscaped {
                result.append(backslash)
                found = true
            }
            isEscaped = byte == backslash && !isEscaped
            result.append(byte)
        }
        return found ? result : nil
    }

    // MARK: - Checks

    /// Whether `name` may arrive; everything may while the list is empty.
    public func allows(name: Bytes, isDirectory: Bool) -> Bool {
        if rules.isEmpty { return true }
        return name.withUnsafeBufferPointer { bytes in
            rules.contains { $0.matches(bytes, kind: isDirectory ? .directory : .file, root: []) }
        }
    }

    /// Whether the directory `name` is only a parent of what was asked for, so that its content must not be swept.
    public func isOnlyParent(directory name: Bytes) -> Bool {
        if rules.isEmpty { return false }
        if name == Bytes(".") || name == Bytes("/.") { return !wantsRootContent }
        return name.withUnsafeBufferPointer { bytes in
            var isParent = false
            for rule in rules where rule.matches(bytes, kind: .directory, root: []) {
                if !rule.flags.contains(.directoryOnly) { return false }
                isParent = true
            }
            return isParent
        }
    }
}

/// The failures of a client receiver that gets a name it must not accept.
extension TransferFailure {
    /// A name that the client's own filters exclude.
    public static func rejectingExcluded(_ name: Bytes) -> TransferFailure {
        TransferFailure(.unsupported, lines: [Bytes("ERROR: rejecting excluded file-list name: ") + name])
    }
    /// A name that was not asked for.
    public static func rejectingUnrequested(_ name: Bytes) -> TransferFailure {
        TransferFailure(.unsupported, lines: [Bytes("ERROR: rejecting unrequested file-list name: ") + name])
    }
}

/// Which checks of received names are off, by the switches of chapter 06 §11.
public struct NameTrust: Sendable, Equatable {
    /// Names excluded by the client's filters are accepted.
    public var filters: Bool
    /// Names that were not asked for are accepted: leave the implied names empty.
    public var arguments: Bool

    public init(
        trustSender: Bool, amServer: Bool, readsBatch: Bool, isLocal: Bool, oldArguments: Bool,
        remoteFilesFrom: Bool, hasSeenDirMerge: Bool
    ) {
        let trustsAll = trustSender || amServer || readsBatch || isLocal
        filters = trustsAll || hasSeenDirMerge
        arguments = trustsAll || oldArguments || remoteFilesFrom
    }
}
