// Dray — what a filter list tells of its rules and files (`--debug=filter2`).
// Layer: Filters. Behaviour: chapter 05 §5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

extension FilterList {
    /// Says `text` and `name` after the role.
    func trace(_ text: String, _ name: Bytes = []) {
        onTrace?(Bytes(text: "[\(settings.role.rawValue)] " + text) + name)
    }

    /// How a per-directory list is called.
    func label(_ index: Int) -> Bytes {
        Bytes("[per-dir ") + merges[index].origin.show(merges[index].baseName) + Bytes("]")
    }

    /// A rule that is being added. Text out of files is not shown.
    func traceRule(_ rule: FilterRule, _ shown: Bytes, _ origin: RuleOrigin, _ target: Target) {
        // The file of a `.` rule is told of when it is read; what excludes a file of rules itself comes first.
        if rule.flags.contains(.merge), !rule.flags.contains(.perDirectory) { return traceSelf(rule, target) }
        traceSelf(rule, target)
        var text = shown
        if origin.file == nil {
            text = tracedPrefix(rule) + rule.pattern
        } else if case .perDirectory(let index) = target, merges[index].origin.file != nil {
            text = Bytes("<rule from a file read earlier>")
        }
        trace("add_rule(", text + Bytes(")") + suffix(target))
    }

    private func traceSelf(_ rule: FilterRule, _ target: Target) {
        guard rule.flags.isSuperset(of: [.merge, .excludeSelf]) else { return }
        let name = rule.flags.contains(.fromFile) ? Bytes("<rule from a file read earlier>") : nil
        trace(
            "add_rule(",
            (name ?? Bytes("- ") + rule.pattern.splitLastComponent.name) + Bytes(")") + suffix(target))
    }

    /// ` [per-dir NAME]`, ` [global CVS]`, ` [daemon]`, or nothing.
    func suffix(_ target: Target) -> Bytes {
        switch target {
        case .main: settings.isDaemonList ? Bytes(" [daemon]") : []
        case .cvs: Bytes(" [global CVS]")
        case .perDirectory(let index): [0x20] + label(index)
        }
    }

    /// A file of rules.
    ///
    /// - Parameter fatal: rsync's number for how the file is read.
    func traceFile(
        _ path: Bytes, _ flags: FilterRule.Flags, _ origin: RuleOrigin, fatal: Int, isMissing: Bool = false
    ) {
        let isNested = origin.file != nil && fatal == 4
        let name = isNested ? Bytes("<rule from a file read earlier>") : path
        let number = String(Self.number(flags, isFromFile: origin.file != nil), radix: 16)
        trace("parse_filter_file(", name + Bytes(text: ",\(number),\(fatal))\(isMissing ? " [not found]" : "")"))
    }

    /// The flags of a rule as rsync numbers them.
    private static func number(_ flags: FilterRule.Flags, isFromFile: Bool) -> UInt32 {
        let numbers: [(FilterRule.Flags, UInt32)] = [
            (.absolute, 0x10), (.include, 0x20), (.wordSplit, 0x80), (.noInherit, 0x100), (.noPrefixes, 0x200),
            (.merge, 0x400), (.perDirectory, 0x800), (.cvs, 0x8000), (.senderSide, 0x1_0000), (.marked, 0x1_0000),
            (.receiverSide, 0x2_0000), (.perishable, 0x8_0000), (.xattr, 0x10_0000),
        ]
        return numbers.reduce(isFromFile ? 0x20_0000 : 0) { flags.contains($1.0) ? $0 | $1.1 : $0 }
    }
}
