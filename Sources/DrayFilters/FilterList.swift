// Dray — an ordered list of filter rules with its per-directory lists: decides about names.
// Layer: Filters. Rules: chapter 06 §1, §6, §8.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// A match worth a debug line: `[sender] hiding file NAME because of pattern PAT [per-dir X]`.
public struct FilterMatch: Sendable, Equatable {
    public var name: Bytes
    public var kind: FilterNameKind
    public var side: FilterSide
    public var isInclude: Bool
    public var pattern: Bytes
    /// Empty, or ` [per-dir NAME]`, ` [global CVS]`, ` [daemon]`, ` [implied]`.
    public var listSuffix: Bytes

    /// The debug line without role prefix.
    public var line: Bytes {
        let verb: StaticString =
            switch (side, isInclude) {
            case (.sender, false): "hiding "
            case (.sender, true): "showing "
            case (.receiver, false): "protecting "
            case (.receiver, true): "risking "
            }
        let noun: StaticString = kind == .xattr ? "xattr " : kind == .directory ? "directory " : "file "
        return Bytes(verb) + Bytes(noun) + name + Bytes(" because of pattern ") + pattern + listSuffix
    }
}

/// The rules of one process or one side. Not thread safe: each role has its own copy.
public final class FilterList {
    /// What the list must know about its process.
    public struct Settings: Sendable {
        /// The side that this process is; per-directory rules of the other side are dropped.
        public var side = FilterSide.sender
        public var amServer = false
        public var isLocal = false
        /// This is a module's own list.
        public var isDaemonList = false
        public var deleteExcluded = false
        /// `--from0`.
        public var nulSeparated = false
        public var protocolVersion = ProtocolVersion.newest
        public var role = RoleName.client
        /// Absolute path of the transfer root, where relative names begin.
        public var workingDirectory: Bytes = Bytes("/")
        /// Absolute path of the module if the process is not confined to it, else `/`.
        public var moduleDirectory: Bytes = Bytes("/")
        /// Values of `$HOME` and `$CVSIGNORE`.
        public var home: Bytes?
        public var cvsIgnore: Bytes?
        public init() {}
    }

    public var settings: Settings { didSet { rootPath = Self.rootPath(settings) } }
    /// Takes complete lines that do not end the run, such as `discarding over-long filter: …`.
    public var onNotice: ((Bytes) -> Void)?
    /// Takes every match; nil costs nothing.
    public var onMatch: ((FilterMatch) -> Void)?
    /// Takes lines about rules and their files (`--debug=filter2`), with the role in front; nil costs nothing.
    public var onTrace: ((Bytes) -> Void)?
    /// Whether directories may have rules of their own.
    public var hasMergeLists: Bool { !merges.isEmpty }
    /// Skip perishable rules: the content of a directory that goes away is being scanned.
    public var ignoresPerishable = false
    /// An `x` rule was seen: the built-in policy for xattr names is off.
    public internal(set) var hasXattrRules = false
    /// `--delete-excluded` stands behind the rules that are added now: they are not marked, though it holds for them too.
    public var deleteExcludedFollows = false
    /// A dir-merge rule was seen: names from a sender are not checked against this list.
    public internal(set) var hasSeenDirMerge = false

    /// The list of one dir-merge rule.
    struct MergeList {
        var flags: FilterRule.Flags
        /// As given, maybe with directories.
        var name: Bytes
        var baseName: Bytes
        var rules: [FilterRule] = []
        var inherited: [FilterRule] = []
        var isSetUp = false
        var isActive = true
        var origin: RuleOrigin
    }

    var rules: [FilterRule] = []
    var merges: [MergeList] = []
    var frames: [[MergeList]] = []
    var cvsRules: [FilterRule]?
    /// What the patterns of the cvs list take over from the rule that asked for it.
    var cvsTemplate: FilterRule.Flags?
    /// Place of the rule that the option `-C` has added.
    var cvsOptionRule: Int?
    /// The cvs list protects, too, though `--delete-excluded` takes that from other rules.
    var keepsCVSFiles = false
    var mergeDepth = 0
    var shortcutCount = 0
    let reader: any FilterFileReader
    /// The transfer root below the module, without a slash at either end.
    private(set) var rootPath: Bytes

    public init(settings: Settings = Settings(), reader: any FilterFileReader = NoFilterFiles()) {
        self.settings = settings
        self.reader = reader
        rootPath = Self.rootPath(settings)
    }

    /// A list with the same rules for another role of this process.
    public func copy(side: FilterSide, role: RoleName, reader: (any FilterFileReader)? = nil) -> FilterList {
        var changed = settings
        changed.side = side
        changed.role = role
        let other = FilterList(settings: changed, reader: reader ?? self.reader)
        other.rules = rules
        other.merges = merges
        other.cvsRules = cvsRules
        other.cvsTemplate = cvsTemplate
        other.keepsCVSFiles = keepsCVSFiles
        other.cvsOptionRule = cvsOptionRule
        other.hasXattrRules = hasXattrRules
        other.hasSeenDirMerge = hasSeenDirMerge
        other.onNotice = onNotice
        return other
    }

    /// Whether no rule can decide anything.
    public var isEmpty: Bool { rules.isEmpty }

    private static func rootPath(_ settings: Settings) -> Bytes {
        relative(settings.workingDirectory.collapsed(), to: settings.moduleDirectory.collapsed())
    }

    /// `path` below `module` without its first slash; the whole path if it lies elsewhere.
    static func relative(_ path: Bytes, to module: Bytes) -> Bytes {
        let slash = UInt8(ascii: "/")
        if module.count > 1, path.hasPrefix(module), path.count == module.count || path[module.count] == slash {
            return Bytes(path.dropFirst(module.count + 1))
        }
        return path.first == slash ? Bytes(path.dropFirst()) : path
    }

    // MARK: - Decisions

    /// Decides about `name` for one side: -1 excluded (hidden or protected), +1 included, 0 no rule.
    ///
    /// - Parameter name: path relative to the transfer root.
    public func decision(name: UnsafeBufferPointer<UInt8>, kind: FilterNameKind, side: FilterSide) -> Int8 {
        rules.isEmpty ? 0 : evaluate(rules, name, kind, side, suffix: settings.isDaemonList ? " [daemon]" : "")
    }

    /// Decides about a file or directory.
    public func decision(name: Bytes, isDirectory: Bool, side: FilterSide) -> Int8 {
        if rules.isEmpty { return 0 }
        return name.withUnsafeBufferPointer { decision(name: $0, kind: isDirectory ? .directory : .file, side: side) }
    }

    /// Decides about an extended attribute's full name.
    public func decision(xattr name: Bytes, side: FilterSide) -> Int8 {
        if rules.isEmpty { return 0 }
        return name.withUnsafeBufferPointer { decision(name: $0, kind: .xattr, side: side) }
    }

    /// Whether a client receiver must refuse a name from its sender, which should have hidden it.
    public func rejectsReceived(name: Bytes, isDirectory: Bool) -> Bool {
        decision(name: name, isDirectory: isDirectory, side: .sender) < 0
    }

    /// Whether this list excludes `path` or one of its parent directories (daemon checks of arguments and options).
    public func excludesPath(_ path: Bytes, isDirectory: Bool) -> Bool {
        if rules.isEmpty { return false }
        let clean = path.collapsed()
        for (index, byte) in clean.enumerated() where byte == UInt8(ascii: "/") && index > 0 {
            if decision(name: Bytes(clean[..<index]), isDirectory: true, side: settings.side) < 0 { return true }
        }
        return decision(name: clean, isDirectory: isDirectory, side: settings.side) < 0
    }

    /// Whether `rule` has a say on `side`.
    func isActive(_ rule: FilterRule, on side: FilterSide) -> Bool {
        let flags = rule.flags
        let isSender = flags.contains(.senderSide)
        let isReceiver = flags.contains(.receiverSide)
        if isSender || isReceiver { return side == .sender ? isSender : isReceiver }
        if settings.deleteExcluded, !flags.contains(.perDirectory) || flags.contains(.noPrefixes) {
            return side == .sender
        }
        return true
    }

    private func evaluate(
        _ rules: [FilterRule], _ name: UnsafeBufferPointer<UInt8>, _ kind: FilterNameKind, _ side: FilterSide,
        suffix: String
    ) -> Int8 {
        // A server got only what concerns it.
        let elides = !settings.amServer || settings.isLocal
        for rule in rules {
            if ignoresPerishable, rule.flags.contains(.perishable) { continue }
            if elides, !isActive(rule, on: side) { continue }
            if rule.flags.contains(.perDirectory) {
                let list = merges[rule.mergeIndex]
                if list.rules.isEmpty { continue }
                let label = onMatch == nil ? "" : " [per-dir \(list.baseName.displayText)]"
                let result = evaluate(list.rules, name, kind, side, suffix: label)
                if result != 0 { return result }
            } else if rule.flags.contains(.cvs) {
                let result = evaluate(builtCVSRules(), name, kind, side, suffix: " [global CVS]")
                if result != 0 { return result }
            } else if rule.matches(name, kind: kind, root: rootPath) {
                let isInclude = rule.flags.contains(.include)
                onMatch?(
                    FilterMatch(
                        name: Bytes(name), kind: kind, side: side, isInclude: isInclude,
                        pattern: rule.displayPattern, listSuffix: Bytes(text: suffix)))
                return isInclude ? 1 : -1
            }
        }
        return 0
    }
}
