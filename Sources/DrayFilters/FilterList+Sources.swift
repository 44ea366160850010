// Dray — where rules come from: options, shortcuts, the cvs list, daemon parameters.
// Layer: Filters. Rules: chapter 06 §3, §9, §15.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

extension FilterList {
    // MARK: - Options, in the order of the command line

    /// Adds `--filter=RULE`.
    public func addFilter(_ rule: Bytes) throws(TransferFailure) {
        try add(rule, syntax: .normal)
    }

    /// Adds `--exclude=PATTERN`.
    public func addExclude(_ pattern: Bytes) throws(TransferFailure) {
        try add(pattern, syntax: .oldPrefix)
    }

    /// Adds `--include=PATTERN`.
    public func addInclude(_ pattern: Bytes) throws(TransferFailure) {
        try add(pattern, template: .include, syntax: .oldPrefix)
    }

    /// Adds the patterns of `--exclude-from=FILE`; `-` is standard input except on a server.
    public func addExcludeFrom(_ file: Bytes) throws(TransferFailure) {
        try addPatterns(from: file, flags: [], kind: .option)
    }

    /// Adds the patterns of `--include-from=FILE`.
    public func addIncludeFrom(_ file: Bytes) throws(TransferFailure) {
        try addPatterns(from: file, flags: .include, kind: .option)
    }

    private func addPatterns(from file: Bytes, flags: FilterRule.Flags, kind: FilterFileKind) throws(TransferFailure) {
        // A file without a name is none.
        if file.isEmpty { return }
        if onTrace != nil { traceFile(file, flags, .typed, fatal: 3) }
        let isStandardInput = file == Bytes("-") && (!settings.amServer || settings.isLocal) && kind == .option
        let text = try read(
            file, kind: isStandardInput ? .standardInput : kind, isInclude: flags.contains(.include), origin: .typed, []
        )
        if let text { try addLines(of: text, flags: flags, syntax: .oldPrefix, file: file, to: Place()) }
    }

    /// Adds what `-F` stands for: the first time `: /.rsync-filter`, the second time `- .rsync-filter`.
    public func addFilterShortcut() throws(TransferFailure) {
        shortcutCount += 1
        if shortcutCount == 1 { try addFilter(Bytes(": /.rsync-filter")) }
        if shortcutCount == 2 { try addFilter(Bytes("- .rsync-filter")) }
    }

    // MARK: - After all options

    /// Adds what `--old-dirs` stands for.
    public func addOldDirs() throws(TransferFailure) { try addFilter(Bytes("- /*/*")) }

    /// Protects backups from deletion (client, backups without a directory, some delete mode, not delete-excluded).
    public func addBackupProtection(suffix: Bytes) throws(TransferFailure) { try addFilter(Bytes("P *") + suffix) }

    /// Excludes the relative partial directory, after protocol negotiation and before `-C`.
    public func addPartialDirectory(_ directory: Bytes) {
        if directory.isEmpty || directory.first == UInt8(ascii: "/") { return }
        if directory.count >= Limits.maxPath {
            onNotice?((Bytes("discarding over-long filter: ") + directory).cutToMessage)
            return
        }
        let isPerishable = settings.side == .receiver || settings.protocolVersion >= 30
        var rule = FilterRule(flags: isPerishable ? [.directoryOnly, .perishable] : .directoryOnly, pattern: directory)
        mark(&rule)
        if onTrace != nil { traceRule(FilterRule(flags: rule.flags, pattern: directory), [], .typed, .main) }
        normalize(&rule, holder: nil)
        rules.append(rule)
    }

    /// When `-C` rules are due, as seen from the exchange of filter lists.
    public enum CVSMoment: Sendable { case beforeExchange, afterExchange }

    /// Adds the rules of `-C` that are due at `moment`; call it at both moments on every side if `-C` is in effect.
    ///
    /// Both halves of a local copy share one exchange: the client's half adds everything before it.
    public func addCVSExclude(_ moment: CVSMoment) throws(TransferFailure) {
        let isOld = settings.protocolVersion < 29
        let isClientSender = !settings.amServer && settings.side == .sender
        var addsMerge = false
        var addsMarker = false
        switch moment {
        case .beforeExchange:
            addsMarker = isClientSender
            addsMerge = isClientSender && !isOld
        case .afterExchange:
            if isClientSender {
                addsMerge = isOld
            } else if settings.amServer, settings.side == .receiver {
                addsMerge = isOld || settings.isLocal
                addsMarker = settings.isLocal
            } else {
                addsMerge = true
                addsMarker = true
            }
        }
        if addsMerge { try addFilter(Bytes(":C")) }
        if addsMarker {
            // Compatibility: a client that pulls keeps the files of `-C` even with `--delete-excluded`, unless a rule
            // has asked for the list before.
            let keeps = !settings.amServer && settings.side == .receiver && settings.deleteExcluded
            keepsCVSFiles = keeps && cvsTemplate == nil
            try addFilter(Bytes("-C"))
            cvsOptionRule = rules.indices.last
            if keeps, !rules.isEmpty { rules[rules.count - 1].flags.formUnion(.sides) }
            // rsync makes the list at once, and tells.
            if onTrace != nil { _ = builtCVSRules() }
        }
    }

    // MARK: - The cvs list

    static let cvsDefaults: StaticString = """
        RCS SCCS CVS CVS.adm RCSLOG cvslog.* tags TAGS .make.state .nse_depinfo *~ #* .#* ,* _$* *$ *.old *.bak *.BAK \
        *.orig *.rej .del-* *.a *.olb *.o *.obj *.so *.exe *.Z *.elc *.ln core .svn/ .git/ .hg/ .bzr/
        """

    /// The cvs list, made on first use.
    func builtCVSRules() -> [FilterRule] {
        if let cvsRules { return cvsRules }
        cvsRules = []
        // Compatibility: the first rule that asks for the list says whether its patterns include, negate and so on.
        let template = cvsTemplate ?? []
        let place = Place(target: .cvs)
        let syntax = FilterSyntax.noPrefixes(clears: true)
        do throws(TransferFailure) {
            let defaults = settings.protocolVersion >= 30 ? template.union(.perishable) : template
            try add(Bytes(Self.cvsDefaults), template: defaults, syntax: syntax, isWordSplit: true, to: place)
            if let home = settings.home {
                let path = home.appendingComponent(Bytes(".cvsignore"))
                var text: Bytes?
                do throws(FilterFileError) { text = try reader.read(path: path, kind: .home) } catch {}
                if onTrace != nil {
                    traceFile(
                        path, template.union([.cvs, .noPrefixes, .noInherit, .wordSplit]), .typed, fatal: 0,
                        isMissing: text == nil)
                }
                if let text {
                    try addLines(
                        of: text, flags: template.union(.wordSplit), syntax: syntax, file: path, to: place)
                }
            }
            if let words = settings.cvsIgnore {
                try add(words, template: template, syntax: syntax, isWordSplit: true, to: place)
            }
        } catch {
            // Plain words have no syntax to break.
        }
        if keepsCVSFiles {
            for index in cvsRules?.indices ?? 0..<0 { cvsRules?[index].flags.formUnion(.sides) }
        }
        return cvsRules ?? []
    }

    // MARK: - Daemon module parameters, to be added in this order

    /// Adds the parameter `filter`: several rules separated by white space.
    public func addDaemonFilter(_ text: Bytes) throws(TransferFailure) {
        try add(text, syntax: .normal, isWordSplit: true)
    }

    /// Adds the parameter `include from` or `exclude from`.
    public func addDaemonFile(_ path: Bytes, isInclude: Bool) throws(TransferFailure) {
        try addPatterns(from: path, flags: isInclude ? .include : [], kind: .daemonParameter)
    }

    /// Adds the parameter `include` or `exclude`: patterns separated by white space.
    public func addDaemonPatterns(_ text: Bytes, isInclude: Bool) throws(TransferFailure) {
        try add(text, template: isInclude ? .include : [], syntax: .oldPrefix, isWordSplit: true)
    }
}
