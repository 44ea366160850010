// Dray — filter rules on their way from client to server.
// Layer: Filters. Wire format: chapter 06 §12.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

extension FilterList {
    /// Whether a receiver needs the list of a sending client; a sending server always does.
    public static func receiverWantsList(
        pruneEmptyDirs: Bool, deletes: Bool, deleteExcluded: Bool, protocolVersion: Int32
    ) -> Bool {
        pruneEmptyDirs || deletes && (!deleteExcluded || protocolVersion >= 29)
    }

    /// Whether rules (maybe none) and a terminator travel at all between this client and its server.
    ///
    /// - Parameter clientIsSender: the client pushes.
    public static func listIsExchanged(
        clientIsSender: Bool, pruneEmptyDirs: Bool, deletes: Bool, deleteExcluded: Bool, protocolVersion: Int32
    ) -> Bool {
        !clientIsSender
            || receiverWantsList(
                pruneEmptyDirs: pruneEmptyDirs, deletes: deletes, deleteExcluded: deleteExcluded,
                protocolVersion: protocolVersion)
    }

    /// Adds one rule that a client sent.
    public func addFromWire(_ text: Bytes, protocolVersion: Int32) throws(TransferFailure) {
        try add(text, syntax: protocolVersion >= 29 ? .normal : .oldPrefix)
    }

    /// The texts to send to the server, in order, without lengths and terminator.
    ///
    /// - Parameter amSender: this client is the sender.
    /// - Throws: `filter rules are too modern for remote rsync.` (exit 2) if the protocol cannot carry a rule.
    public func encodeForWire(protocolVersion: Int32, amSender: Bool) throws(TransferFailure) -> [Bytes] {
        var texts: [Bytes] = []
        try encode(rules, protocolVersion, amSender, into: &texts)
        return texts
    }

    /// The rules as lines of the script that applies a batch file: those of both sides, without what the option `-C`
    /// adds, for that stands in the script itself. The letters are those of the newest protocol, whatever is spoken.
    public func encodeForScript() -> [Bytes] {
        rules.indices.filter { $0 != cvsOptionRule }.map { index in
            let rule = rules[index]
            let prefix = modernPrefix(rule, ProtocolVersion.newest, false) ?? []
            return prefix + rule.pattern + (rule.flags.contains(.directoryOnly) ? Bytes("/") : [])
        }
    }

    private func encode(
        _ rules: [FilterRule], _ version: Int32, _ amSender: Bool, into texts: inout [Bytes]
    ) throws(TransferFailure) {
        for rule in rules where isActive(rule, on: amSender ? .receiver : .sender) {
            if rule.flags.contains(.cvs), !rule.flags.contains(.perDirectory), amSender || version < 29 {
                try encode(builtCVSRules(), version, amSender, into: &texts)
                continue
            }
            guard
                let prefix = version >= 29
                    ? modernPrefix(rule, version, amSender) : oldPrefix(rule, amSender)
            else {
                throw TransferFailure(.protocolIncompatible, "filter rules are too modern for remote rsync.")
            }
            var text = prefix + rule.pattern
            if rule.flags.contains(.directoryOnly) { text.append(UInt8(ascii: "/")) }
            if !text.isEmpty { texts.append(text) }
        }
    }

    /// What stands before a rule's pattern in debug lines.
    func tracedPrefix(_ rule: FilterRule) -> Bytes {
        modernPrefix(rule, settings.protocolVersion, settings.side == .sender) ?? Bytes("- ")
    }

    /// The rule's letters for protocol ≥ 29; nil if they cannot be said.
    private func modernPrefix(_ rule: FilterRule, _ version: Int32, _ amSender: Bool) -> Bytes? {
        let flags = rule.flags
        let isPerDirectory = flags.contains(.perDirectory)
        var letters: [Character] = [isPerDirectory ? ":" : flags.contains(.include) ? "+" : "-"]
        if flags.contains(.absolute) { letters.append("/") }
        if flags.contains(.negate) { letters.append("!") }
        if flags.contains(.cvs) {
            letters.append("C")
        } else {
            if flags.contains(.noInherit) { letters.append("n") }
            if flags.contains(.wordSplit) { letters.append("w") }
            if flags.contains(.noPrefixes) { letters.append(flags.contains(.include) ? "+" : "-") }
        }
        if flags.contains(.xattr) { letters.append("x") }
        if flags.contains(.senderSide) || flags.contains(.marked) { letters.append("s") }
        if flags.contains(.receiverSide) { letters.append("r") }
        if flags.contains(.perishable) {
            if version >= 30 { letters.append("p") } else if amSender { return nil }
        }
        return Bytes(text: String(letters) + " ")
    }

    /// What protocol < 29 can say: nothing but plain patterns.
    private func oldPrefix(_ rule: FilterRule, _ amSender: Bool) -> Bytes? {
        let flags = rule.flags
        let modern: FilterRule.Flags = [
            .absolute, .negate, .cvs, .noInherit, .wordSplit, .xattr, .noPrefixes, .perDirectory,
        ]
        if !flags.isDisjoint(with: modern) { return nil }
        if amSender, flags.contains(.perishable) { return nil }
        if amSender, flags.contains(.receiverSide), settings.deleteExcluded { return nil }
        if flags.contains(.include) { return Bytes("+ ") }
        return rule.pattern.hasPrefix(Bytes("- ")) || rule.pattern.hasPrefix(Bytes("+ ")) ? Bytes("- ") : []
    }
}
