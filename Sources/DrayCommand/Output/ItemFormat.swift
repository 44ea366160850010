// Dray — `--out-format` and the itemize string.
// Layer: Command. Behaviour: chapter 05 §6.1, §6.2.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// Expansion of format strings.
struct ItemFormat: Sendable {
    /// What escapes mean beyond the item itself.
    struct Context: Sendable {
        /// Modification times are set (`-t`), so they are shown as `t` instead of `T`.
        var setsTimes = false
        /// Local copies show `>` although they send.
        var isLocal = false
        var amSender = false
        /// Hex digits of `%C` when no checksum is known.
        var checksumDigits = 32
        var isDryRun = false
        var showsUser = true
        var setsOwner = false
        var setsGroup = false
        /// Values of a daemon: `%h`, `%a`, `%m`, `%P`, `%u`; empty module name on a client.
        var host: Bytes?
        var address: Bytes?
        var module: Bytes = []
        var modulePath: Bytes?
        var user: Bytes?
    }

    private enum Part: Sendable {
        case text(Bytes)
        case escape(letter: UInt8, width: Int, leftAligned: Bool, level: Int)
    }

    private let parts: [Part]
    /// Whether the line can only be printed after the data has moved.
    let needsData: Bool
    /// Whether deletions are printed with the format.
    let showsDeletions: Bool
    let showsItemize: Bool

    init(_ format: Bytes) {
        var parts: [Part] = []
        var text: Bytes = []
        var index = 0
        var letters: Set<UInt8> = []
        while index < format.count {
            guard format[index] == UInt8(ascii: "%"), let found = Self.scan(format, index) else {
                text.append(format[index])
                index += 1
                continue
            }
            if !text.isEmpty { parts.append(.text(text)) }
            text = []
            parts.append(found.part)
            letters.insert(found.letter)
            index = found.end
        }
        if !text.isEmpty { parts.append(.text(text)) }
        self.parts = parts
        needsData = !letters.isDisjoint(with: Bytes("bcC"))
        showsItemize = letters.contains(UInt8(ascii: "i"))
        showsDeletions = showsItemize || letters.contains(UInt8(ascii: "o"))
    }

    /// Whether `format` has the escape `letter`.
    static func contains(_ format: Bytes, _ letter: Unicode.Scalar) -> Bool {
        var index = 0
        while index < format.count {
            if format[index] == UInt8(ascii: "%") {
                if let found = scan(format, index) {
                    if found.letter == UInt8(ascii: letter) { return true }
                    index = found.end
                    continue
                }
            }
            index += 1
        }
        return false
    }

    /// Reads one escape: `%` `'`* `-`? DIGITS `'`* LETTER.
    private static func scan(_ format: Bytes, _ start: Int) -> (part: Part, letter: UInt8, end: Int)? {
        var index = start + 1
        var level = 0
        var leftAligned = false
        var width = 0
        var digits = 0
        func byte() -> UInt8 { index < format.count ? format[index] : 0 }
        while byte() == UInt8(ascii: "'") {
            level += 1
            index += 1
        }
        if byte() == UInt8(ascii: "-") {
            leftAligned = true
            index += 1
        }
        while byte().isASCIIDigit, digits < 23 {
            width = min(width * 10 + Int(byte() - 0x30), 4000)
            digits += 1
            index += 1
        }
        while byte() == UInt8(ascii: "'") {
            level += 1
            index += 1
        }
        guard index < format.count, Bytes("abBcCfGhilLImMnopPtuU%").contains(byte()) else { return nil }
        return (.escape(letter: byte(), width: width, leftAligned: leftAligned, level: level), byte(), index + 1)
    }

    // MARK: - Expansion

    /// The line for an item, without its newline.
    func line(_ item: ItemReport, _ context: Context) -> Bytes {
        var line: Bytes = []
        for part in parts {
            switch part {
            case .text(let text): line += text
            case .escape(let letter, let width, let leftAligned, let level):
                guard let value = value(letter, item, context, level, width, leftAligned) else {
                    line += [UInt8(ascii: "%"), letter]
                    continue
                }
                line += letter == UInt8(ascii: "L") ? value : Self.pad(value, width, leftAligned)
            }
        }
        return line
    }

    private static func pad(_ value: Bytes, _ width: Int, _ leftAligned: Bool) -> Bytes {
        let fill = Bytes(repeating: 0x20, count: max(0, width - value.count))
        return leftAligned ? value + fill : fill + value
    }

    private func value(
        _ letter: UInt8, _ item: ItemReport, _ context: Context, _ level: Int, _ width: Int, _ leftAligned: Bool
    ) -> Bytes? {
        func number(_ value: Int64) -> Bytes { Bytes(text: HumanNumber.format(value, level: level)) }
        switch letter {
        case UInt8(ascii: "%"): return Bytes("%")
        case UInt8(ascii: "a"): return context.address
        case UInt8(ascii: "b"): return number(item.dataBytes)
        case UInt8(ascii: "c"): return number(item.checksumBytes)
        case UInt8(ascii: "B"): return Bytes(ListLine.modeText(item.mode).dropFirst())
        case UInt8(ascii: "C"):
            if item.checksum.isEmpty {
                // Compatibility: what a dry run does not transfer has the sum zero.
                let isPretended =
                    context.isDryRun && item.flags.contains(.transfer) && context.checksumDigits > 2
                return Bytes(repeating: isPretended ? UInt8(ascii: "0") : 0x20, count: context.checksumDigits)
            }
            return item.checksum.flatMap { byte in [byte >> 4, byte & 15].map { Bytes("0123456789abcdef")[Int($0)] } }
        case UInt8(ascii: "f"): return fullName(item, context)
        case UInt8(ascii: "G"): return context.setsGroup ? Bytes(text: String(item.gid)) : Bytes("DEFAULT")
        case UInt8(ascii: "U"): return Bytes(text: String(context.setsOwner ? item.uid : 0))
        case UInt8(ascii: "h"): return context.host
        case UInt8(ascii: "i"): return Self.itemize(item, context)
        case UInt8(ascii: "l"): return number(item.length)
        case UInt8(ascii: "L"): return target(item, width, leftAligned)
        case UInt8(ascii: "m"): return context.module
        case UInt8(ascii: "M"): return Bytes(text: ListLine.timeText(item.mtime, separator: "-"))
        case UInt8(ascii: "n"): return item.isDirectory ? item.name + Bytes("/") : item.name
        case UInt8(ascii: "o"):
            if item.flags.contains(.deleted) { return Bytes("del.") }
            return item.sending ? Bytes("send") : Bytes("recv")
        case UInt8(ascii: "p"): return Bytes(text: String(getpid()))
        case UInt8(ascii: "P"): return context.modulePath
        case UInt8(ascii: "t"): return Bytes(text: ListLine.timeText(Int64(time(nil))))
        case UInt8(ascii: "u"): return context.user
        default: return nil
        }
    }

    private func fullName(_ item: ItemReport, _ context: Context) -> Bytes {
        var name = context.amSender ? item.sourceDirectory.appendingComponent(item.name) : item.name
        while name.first == UInt8(ascii: "/") { name.removeFirst() }
        return name
    }

    private func target(_ item: ItemReport, _ width: Int, _ leftAligned: Bool) -> Bytes {
        let isSymlink = item.mode & FileType.mask == FileType.symlink
        if item.flags.contains(.xnameFollows) && !item.xname.isEmpty && !item.flags.contains(.transfer) {
            return Bytes(" => ") + Self.pad(item.xname, width, leftAligned)
        }
        if isSymlink && !item.linkTarget.isEmpty {
            return Bytes(" -> ") + Self.pad(item.linkTarget, width, leftAligned)
        }
        return width > 0 ? Bytes(repeating: 0x20, count: width + 4) : []
    }

    // MARK: - Itemize

    /// The eleven characters `YXcstpoguax`.
    static func itemize(_ item: ItemReport, _ context: Context) -> Bytes {
        let flags = item.flags
        if flags.contains(.deleted) { return Bytes("*deleting  ") }
        let type = item.mode & FileType.mask
        let isSymlink = type == FileType.symlink
        var text = Bytes(repeating: UInt8(ascii: "."), count: 11)
        func set(_ position: Int, _ letter: Unicode.Scalar, _ condition: Bool) {
            if condition { text[position] = UInt8(ascii: letter) }
        }
        if flags.contains(.localChange) {
            text[0] = UInt8(ascii: flags.contains(.xnameFollows) ? "h" : "c")
        } else if flags.contains(.transfer) {
            text[0] = UInt8(ascii: item.sending && !context.isLocal ? "<" : ">")
        }
        switch type {
        case FileType.directory: text[1] = UInt8(ascii: "d")
        case FileType.symlink: text[1] = UInt8(ascii: "L")
        case FileType.characterDevice, FileType.blockDevice: text[1] = UInt8(ascii: "D")
        case FileType.regular: text[1] = UInt8(ascii: "f")
        default: text[1] = UInt8(ascii: "S")
        }
        if !flags.isDisjoint(with: [.isNew, .missingData]) {
            let fill = UInt8(ascii: flags.contains(.isNew) ? "+" : "?")
            for position in 2..<11 { text[position] = fill }
            return text
        }
        set(2, "c", flags.contains(.reportChange))
        set(3, "s", !isSymlink && flags.contains(.reportSize))
        if flags.contains(.reportTime) {
            let isTransferTime = !context.setsTimes || (isSymlink && flags.contains(.reportTimeFail))
            text[4] = UInt8(ascii: isTransferTime ? "T" : "t")
        }
        set(5, "p", flags.contains(.reportPermissions))
        set(6, "o", flags.contains(.reportOwner))
        set(7, "g", flags.contains(.reportGroup))
        let atime = flags.contains(.reportAtime)
        let crtime = flags.contains(.reportCrtime)
        set(8, "u", atime)
        set(8, "n", crtime)
        set(8, "b", atime && crtime)
        set(9, "a", flags.contains(.reportACL))
        set(10, "x", flags.contains(.reportXattr))
        if text[0] != UInt8(ascii: "<"), text[0] != UInt8(ascii: ">"),
            text[2...].allSatisfy({ $0 == UInt8(ascii: ".") })
        {
            for position in 2..<11 { text[position] = 0x20 }
        }
        return text
    }
}
