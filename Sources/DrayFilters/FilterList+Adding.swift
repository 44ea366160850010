// Dray — rules from text and files: parsing, normalising, merge files.
// Layer: Filters. Rules: chapter 06 §2–5, §13.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

extension FilterList {
    /// The list that new rules go to.
    enum Target: Equatable { case main, perDirectory(Int), cvs }

    /// Where rules are added and what their patterns count from.
    struct Place {
        var target = Target.main
        /// Directory that holds a per-directory file, below the module, without outer slashes.
        var holder: Bytes?
        /// The same directory, absolute.
        var directory: Bytes?
    }

    // MARK: - Text

    /// Adds all rules of `text` (one, unless words are split).
    func add(
        _ text: Bytes, template: FilterRule.Flags = [], syntax: FilterSyntax, isWordSplit: Bool = false,
        origin: RuleOrigin = .typed, to place: Place = Place()
    ) throws(TransferFailure) {
        var parser = FilterParser(
            text, template: template, syntax: syntax, isWordSplit: isWordSplit, origin: origin)
        while let (rule, shown, isOverLong) = try parser.next() {
            if isOverLong {
                let text = origin.file == nil ? rule.pattern : shown
                onNotice?((Bytes("discarding over-long filter: ") + text).cutToMessage)
            } else {
                try add(rule, shown: shown, origin: origin, to: place)
            }
            if !isWordSplit { break }
        }
    }

    private func add(
        _ parsed: FilterRule, shown: Bytes, origin: RuleOrigin, to place: Place
    ) throws(TransferFailure) {
        var rule = parsed
        if rule.flags.contains(.clear) { return clear(place.target) }
        if rule.flags.contains(.xattr) { hasXattrRules = true }
        if rule.flags.contains(.perDirectory) { hasSeenDirMerge = true }
        mark(&rule)
        if onTrace != nil { traceRule(rule, shown, origin, place.target) }
        if rule.flags.contains(.merge) {
            let baseName = rule.pattern.splitLastComponent.name
            let isPerDirectory = rule.flags.contains(.perDirectory)
            if isPerDirectory, merges.contains(where: { $0.isActive && $0.baseName == baseName }) { return }
            if rule.flags.contains(.excludeSelf) {
                rule.flags.remove(.excludeSelf)
                var itself = FilterRule(flags: rule.flags.intersection(.fromFile), pattern: baseName)
                itself.classify()
                append(itself, to: place.target)
            }
            if !isPerDirectory { return try merge(rule, shown: shown, origin: origin, to: place) }
            rule.mergeIndex = merges.count
            rule.slashCount = 0
            merges.append(MergeList(flags: rule.flags, name: rule.pattern, baseName: baseName, origin: origin))
            if onTrace != nil {
                trace("activating mergelist #\(rule.mergeIndex) ", label(rule.mergeIndex))
            }
            return append(rule, to: place.target)
        }
        if rule.flags.contains(.cvs) {
            if cvsTemplate == nil { cvsTemplate = rule.flags.intersection(.inherited.union(.marked)) }
            return append(rule, to: place.target)
        }
        normalize(&rule, holder: place.holder)
        append(rule, to: place.target)
    }

    /// Compatibility: rsync 3.5.0 marks rules behind `--delete-excluded` that have no side, but never dir-merge rules
    /// (`deleteExcludedMarksAllButDirMerge`).
    func mark(_ rule: inout FilterRule) {
        guard settings.deleteExcluded, !deleteExcludedFollows, rule.flags.isDisjoint(with: .sides),
            !rule.flags.contains(.merge)
        else { return }
        rule.flags.insert(.marked)
    }

    private func append(_ rule: FilterRule, to target: Target) {
        switch target {
        case .main: rules.append(rule)
        case .cvs: cvsRules?.append(rule)
        case .perDirectory(let index):
            if isActive(rule, on: settings.side) { merges[index].rules.append(rule) }
        }
    }

    private func clear(_ target: Target) {
        if onTrace != nil { trace("clearing filter list", suffix(target)) }
        switch target {
        case .main:
            release(rules)
            rules = []
        case .cvs: cvsRules = []
        case .perDirectory(let index):
            release(merges[index].rules)
            release(merges[index].inherited)
            merges[index].rules = []
            merges[index].inherited = []
        }
    }

    /// Makes the per-directory lists of rules that go away inactive, so that their names are free again.
    private func release(_ gone: [FilterRule]) {
        for rule in gone where rule.mergeIndex >= 0 && merges[rule.mergeIndex].isActive {
            merges[rule.mergeIndex].isActive = false
            if onTrace != nil { trace("deactivating mergelist #\(rule.mergeIndex) ", label(rule.mergeIndex)) }
            let inner = merges[rule.mergeIndex].rules
            merges[rule.mergeIndex].rules = []
            release(inner)
        }
    }

    /// Brings a pattern into its final form.
    func normalize(_ rule: inout FilterRule, holder: Bytes?) {
        let slash = UInt8(ascii: "/")
        if rule.pattern.count > 1, rule.pattern.last == slash {
            rule.pattern.removeLast()
            rule.flags.insert(.directoryOnly)
        }
        if let holder, rule.pattern.first == slash, !rule.flags.contains(.absolute) {
            if !holder.isEmpty { rule.pattern = [slash] + holder + rule.pattern }
            rule.flags.insert(.absolute)
        }
        if settings.isDaemonList {
            if rule.pattern.contains(slash) { rule.flags.insert(.absolute) }
            if rule.flags.contains(.directoryOnly), !rule.flags.contains(.include) {
                rule.flags.remove(.directoryOnly)
                rule.pattern += Bytes("/***")
            }
        }
        rule.classify()
    }

    // MARK: - Files

    /// Reads the file of a `.` rule into the same list.
    private func merge(
        _ rule: FilterRule, shown: Bytes, origin: RuleOrigin, to place: Place
    ) throws(TransferFailure) {
        var path = rule.pattern.collapsed()
        if path.isEmpty { path = Bytes(".") }
        if path.first != UInt8(ascii: "/"), let directory = place.directory {
            // Compatibility: a bare name is looked for at the top of the transfer, not beside the file that gives it.
            let start = rule.pattern.contains(UInt8(ascii: "/")) ? directory : settings.workingDirectory
            path = start.appendingComponent(path).collapsed()
        }
        if path.count >= Limits.maxPath {
            onNotice?(Bytes("merge-file name overflows: ") + shown)
            return
        }
        if mergeDepth >= Limits.mergeDepth {
            throw TransferFailure(
                .fileIO,
                lines: [
                    Bytes(text: "[\(settings.role.rawValue)] merge-file include depth limit (32) exceeded at ") + shown
                ])
        }
        let kind: FilterFileKind =
            path == Bytes("-") && !settings.amServer && origin.file == nil
            ? .standardInput : settings.isDaemonList ? .daemonParameter : .merge
        if onTrace != nil { traceFile(origin.file == nil ? path : shown, rule.flags, origin, fatal: 1) }
        guard let text = try read(path, kind: kind, isInclude: rule.flags.contains(.include), origin: origin, shown)
        else { return }
        try addLines(
            of: text, flags: rule.flags, syntax: Self.syntax(of: rule.flags), file: origin.nameOfFile(path), to: place)
    }

    static func syntax(of flags: FilterRule.Flags) -> FilterSyntax {
        flags.contains(.noPrefixes) ? .noPrefixes(clears: flags.contains(.cvs)) : .normal
    }

    /// Reads a file that must exist; nil if it is to be ignored.
    func read(
        _ path: Bytes, kind: FilterFileKind, isInclude: Bool, origin: RuleOrigin, _ shown: Bytes
    ) throws(TransferFailure) -> Bytes? {
        do throws(FilterFileError) {
            return try reader.read(path: path, kind: kind)
        } catch {
            if error.isRejectedByDaemon {
                throw TransferFailure(.syntax, "Your options have been rejected by the server.", role: settings.role)
            }
            var lines: [Bytes] = []
            if error.isUntrustedLink { lines.append(Bytes(untrustedLinkText)) }
            let noun: StaticString = isInclude ? "include file " : "exclude file "
            if origin.file != nil {
                lines.append(Bytes("failed to open ") + Bytes(noun) + shown)
            } else {
                let code = error.isUntrustedLink ? ELOOP : error.code
                let reason = unsafe String(cString: strerror(code))
                lines.append(
                    Bytes(text: "rsync: [\(settings.role.rawValue)] failed to open ") + Bytes(noun) + path
                        + Bytes(text: ": \(reason) (\(code))"))
            }
            throw TransferFailure(.fileIO, lines: lines, role: settings.role)
        }
    }

    /// Adds the rules of a file's text.
    ///
    /// - Parameter file: how messages may call the file.
    func addLines(
        of text: Bytes, flags: FilterRule.Flags, syntax: FilterSyntax, file: Bytes, to place: Place
    ) throws(TransferFailure) {
        mergeDepth += 1
        defer { mergeDepth -= 1 }
        if flags.contains(.wordSplit) {
            // Compatibility: each word of a file is a rule of its own, so that none has a space in it.
            for word in text.split(whereSeparator: { $0.isASCIISpace || settings.nulSeparated && $0 == 0 }) {
                try add(
                    Bytes(word.prefix { $0 != 0 }), template: flags, syntax: syntax, isWordSplit: true,
                    origin: RuleOrigin(file: file, line: nil), to: place)
            }
            return
        }
        var line = 0
        var start = 0
        while start < text.count {
            var end = start
            while end < text.count, settings.nulSeparated ? text[end] != 0 : text[end] != 0x0a && text[end] != 0x0d {
                end += 1
            }
            // Whatever stands behind a NUL in a line is not seen.
            let rule = Bytes(text[start..<end].prefix { $0 != 0 })
            line += 1
            let isOverLong = end - start >= Limits.lineBuffer
            let isPair = !settings.nulSeparated && end + 1 < text.count && text[end] == 0x0d && text[end + 1] == 0x0a
            start = end + (isPair ? 2 : 1)
            if rule.isEmpty || rule[0] == UInt8(ascii: "#") || rule[0] == UInt8(ascii: ";") { continue }
            let origin = RuleOrigin(file: file, line: line)
            if isOverLong {
                onNotice?(Bytes("discarding over-long filter: ") + origin.show(rule))
                continue
            }
            try add(rule, template: flags, syntax: syntax, origin: origin, to: place)
        }
    }

    // MARK: - Directories

    /// Reads the per-directory files of `directory`; `leave()` undoes it.
    ///
    /// - Parameter directory: relative to the transfer root (`.` or empty is the root itself), or absolute.
    /// - Returns: false if the directory's name is too long for its files: a general I/O error, already reported.
    @discardableResult
    public func enter(directory: Bytes) throws(TransferFailure) -> Bool {
        frames.append(merges)
        if merges.isEmpty { return true }
        let isAbsolute = directory.first == UInt8(ascii: "/")
        let full = (isAbsolute ? directory : settings.workingDirectory.appendingComponent(directory)).collapsed()
        var isComplete = true
        // Rules read here may bring further lists, which are read here too.
        var index = 0
        while index < merges.count {
            defer { index += 1 }
            if !merges[index].isActive { continue }
            if onTrace != nil { trace("pushing mergelist #\(index) ", label(index)) }
            if !merges[index].isSetUp {
                merges[index].isSetUp = true
                try scanParents(index, of: full)
            }
            if merges[index].flags.contains(.noInherit) {
                release(merges[index].rules)
                merges[index].rules = []
            }
            if full.count + 1 + merges[index].baseName.count >= Limits.maxPath {
                let file = full.appendingComponent(merges[index].baseName).prefix(Limits.maxPath - 1)
                onNotice?(Bytes("cannot add local filter rules in long-named directory: \"") + file + Bytes("\""))
                isComplete = false
                continue
            }
            try readPerDirectory(index, in: full)
        }
        return isComplete
    }

    /// Forgets the rules of the directory entered last.
    public func leave() {
        guard let before = frames.popLast() else { return }
        if onTrace != nil {
            for index in merges.indices.reversed() where merges[index].isActive {
                trace("popping mergelist #\(index) ", label(index))
                // Lists that came with the rules that go away.
                for rule in merges[index].rules
                where rule.mergeIndex >= before.count && merges[rule.mergeIndex].isActive {
                    merges[rule.mergeIndex].isActive = false
                    trace("deactivating mergelist #\(rule.mergeIndex) ", label(rule.mergeIndex))
                }
            }
        }
        // Compatibility: directories above the first one are searched once only, and what they say goes with it.
        let isSetUp = merges.prefix(before.count).map(\.isSetUp)
        merges = before
        for (index, isSetUp) in isSetUp.enumerated() { merges[index].isSetUp = isSetUp }
    }

    /// Reads files in the directories between the one that the rule names and `full`.
    private func scanParents(_ index: Int, of full: Bytes) throws(TransferFailure) {
        let slash = UInt8(ascii: "/")
        let name = merges[index].name
        guard name.contains(slash), !merges[index].flags.contains(.noInherit) else { return }
        let module = settings.moduleDirectory.collapsed()
        let file =
            name.first == slash ? module.appendingComponent(Bytes(name.drop { $0 == slash })) : full + [slash] + name
        let from = (file.collapsed().splitLastComponent.directory + [slash]).collapsed()
        guard full != from, full.hasPrefix(from), from.count == 1 || full[from.count] == slash else { return }
        if onTrace != nil { trace("performing parent_dirscan for mergelist #\(index) ", label(index)) }
        defer {
            if onTrace != nil { trace("completed parent_dirscan for mergelist #\(index) ", label(index)) }
        }
        var directory = from
        for part in full.dropFirst(from.count).split(separator: slash) {
            try readPerDirectory(index, in: directory)
            directory = directory.appendingComponent(Bytes(part))
        }
    }

    /// Puts the rules of one file before those that the list has.
    private func readPerDirectory(_ index: Int, in directory: Bytes) throws(TransferFailure) {
        let path = directory.appendingComponent(merges[index].baseName)
        let text: Bytes?
        do throws(FilterFileError) {
            text = try reader.read(path: path, kind: .perDirectory)
        } catch {
            text = nil
            if error.isUntrustedLink { onNotice?(Bytes(untrustedLinkText)) }
        }
        if onTrace != nil {
            traceFile(path, merges[index].flags, merges[index].origin, fatal: 4, isMissing: text == nil)
        }
        guard let text else { return }
        merges[index].inherited = merges[index].rules
        merges[index].rules = []
        let flags = merges[index].flags
        let holder = Self.relative(directory, to: settings.moduleDirectory.collapsed())
        try addLines(
            of: text, flags: flags, syntax: Self.syntax(of: flags), file: merges[index].origin.nameOfFile(path),
            to: Place(target: .perDirectory(index), holder: holder, directory: directory))
        merges[index].rules += merges[index].inherited
        merges[index].inherited = []
    }
}
