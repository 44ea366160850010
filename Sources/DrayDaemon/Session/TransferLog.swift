// Dray — engine events in the daemon log: messages, files, totals.
// Layer: Daemon. Behaviour: chapter 07 §13.2, §13.3.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayEngine
import Glibc

/// Writes what a session does to the daemon log.
final class TransferLog: TransferEventSink {
    struct Settings: Sendable {
        /// nil: no line per file.
        var format: Bytes?
        var hostName: Bytes = []
        var address: Bytes = []
        var user: Bytes = []
        var module: Bytes = []
        var modulePath: Bytes = []
        var isDryRun = false
        /// A remote shell shows standard error to the user of the client.
        var usesStandardError = false
    }

    private let log: DaemonLog
    private let settings: Settings
    private let amSender: Bool
    private let totals = Monitor<TransferStatistics?>(nil)
    var wantsProgress: Bool { false }

    init(_ log: DaemonLog, _ settings: Settings, amSender: Bool) {
        self.log = log
        self.settings = settings
        self.amSender = amSender
    }

    func handle(_ event: TransferEvent) {
        switch event {
        case .message(let level, let text): message(level, text)
        case .remoteMessage(_, let text): lines(text, .information)
        case .fileListStarted: log.line(amSender ? "building file list" : "receiving file list")
        case .item(let item, before: false): self.item(item)
        case .deleted(let name, let mode): deletion(name, mode)
        case .statistics(let statistics): totals.withLock { $0 = statistics }
        default: break
        }
    }

    private func message(_ level: MessageLevel, _ text: Bytes) {
        if settings.usesStandardError && level != .log {
            DaemonLog.escaped(text).withUnsafeBytes { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
        }
        if level != .notice { lines(text, level == .info || level == .log ? .information : .warning) }
    }

    private func lines(_ text: Bytes, _ level: DaemonLog.Level) {
        // Line ends inside belong to names: they must not make lines of their own.
        let line = text.last == 0x0a ? text.dropLast() : text[...]
        if !line.isEmpty { log.line(Bytes(line), level: level) }
    }

    /// The closing line; on failure only a sender writes it.
    func finish(_ code: ExitCode) {
        guard let statistics = totals.withLock({ $0 }) else { return }
        if code != .ok && !amSender { return }
        log.line(
            "sent \(statistics.bytesWritten) bytes  received \(statistics.bytesRead) bytes  "
                + "total size \(statistics.totalSize)")
    }

    // MARK: - Files

    private func item(_ item: ItemReport) {
        guard let format = settings.format, !settings.isDryRun else { return }
        let isData = item.flags.contains(.transfer) && item.mode & FileType.mask == FileType.regular
        guard isData || Self.has(UInt8(ascii: "i"), format) && item.flags.isSignificant else { return }
        log.line(LogFormat.expand(format, item, settings, deletes: false))
    }

    private func deletion(_ name: Bytes, _ mode: UInt32) {
        guard let format = settings.format, !settings.isDryRun else { return }
        guard Self.has(UInt8(ascii: "i"), format) || Self.has(UInt8(ascii: "o"), format) else {
            return log.line(Bytes("deleting ") + name)
        }
        let item = ItemReport(name: name, mode: mode, length: 0, mtime: 0, flags: .deleted, sending: false)
        log.line(LogFormat.expand(format, item, settings, deletes: true))
    }

    /// Whether `format` uses the escape `letter`.
    private static func has(_ letter: UInt8, _ format: Bytes) -> Bool {
        var index = 0
        while let percent = format.firstIndex(of: UInt8(ascii: "%"), from: index) {
            index = percent + 1
            let skipped = Bytes("'-0123456789")
            while index < format.count, skipped.contains(format[index]) { index += 1 }
            if index < format.count, format[index] == letter { return true }
            index += 1
        }
        return false
    }
}

/// The escapes of `log format`.
enum LogFormat {
    static func expand(_ format: Bytes, _ item: ItemReport, _ settings: TransferLog.Settings, deletes: Bool) -> Bytes {
        var result: Bytes = []
        var index = 0
        while index < format.count {
            guard format[index] == UInt8(ascii: "%") else {
                result.append(format[index])
                index += 1
                continue
            }
            let start = index
            index += 1
            var width = 0
            var isLeft = false
            while index < format.count, format[index] == UInt8(ascii: "'") { index += 1 }
            if index < format.count, format[index] == UInt8(ascii: "-") {
                isLeft = true
                index += 1
            }
            while index < format.count, format[index].isASCIIDigit {
                width = min(width * 10 + Int(format[index] - 0x30), 500)
                index += 1
            }
            while index < format.count, format[index] == UInt8(ascii: "'") { index += 1 }
            guard index < format.count else { return result + format[start...] }
            let letter = format[index]
            index += 1
            guard let text = value(letter, item, settings, deletes) else {
                result += format[start..<index]
                continue
            }
            let padding = Bytes(repeating: 0x20, count: max(0, width - text.count))
            result += isLeft ? text + padding : padding + text
        }
        return result
    }

    private static func value(
        _ letter: UInt8, _ item: ItemReport, _ settings: TransferLog.Settings, _ deletes: Bool
    ) -> Bytes? {
        func number(_ value: Int64) -> Bytes { Bytes(text: String(value)) }
        switch letter {
        case UInt8(ascii: "%"): return Bytes("%")
        case UInt8(ascii: "a"): return settings.address
        case UInt8(ascii: "h"): return settings.hostName
        case UInt8(ascii: "u"): return settings.user
        case UInt8(ascii: "m"): return settings.module
        case UInt8(ascii: "P"): return settings.modulePath
        case UInt8(ascii: "p"): return Bytes(text: String(getpid()))
        case UInt8(ascii: "t"): return Bytes(text: ListLine.timeText(Int64(time(nil))))
        case UInt8(ascii: "M"): return Bytes(text: ListLine.timeText(item.mtime, separator: "-"))
        case UInt8(ascii: "o"): return deletes ? Bytes("del.") : (item.sending ? Bytes("send") : Bytes("recv"))
        case UInt8(ascii: "l"): return number(item.length)
        case UInt8(ascii: "b"): return number(item.dataBytes)
        case UInt8(ascii: "c"): return number(item.checksumBytes)
        case UInt8(ascii: "U"): return number(Int64(item.uid))
        case UInt8(ascii: "G"): return item.gid == UInt32.max ? Bytes("DEFAULT") : number(Int64(item.gid))
        case UInt8(ascii: "n"): return item.isDirectory ? item.name + Bytes("/") : item.name
        case UInt8(ascii: "f"):
            let path = item.sourceDirectory.appendingComponent(item.name)
            return Bytes(path.drop { $0 == UInt8(ascii: "/") })
        case UInt8(ascii: "L"):
            if !item.xname.isEmpty && item.flags.contains(.xnameFollows) && !item.flags.contains(.transfer) {
                return Bytes(" => ") + item.xname
            }
            return item.linkTarget.isEmpty ? [] : Bytes(" -> ") + item.linkTarget
        case UInt8(ascii: "B"): return permissions(item.mode)
        case UInt8(ascii: "C"):
            let digits = Bytes("0123456789abcdef")
            return item.checksum.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
        case UInt8(ascii: "i"): return deletes ? Bytes("*deleting  ") : itemized(item)
        default: return nil
        }
    }

    private static func permissions(_ mode: UInt32) -> Bytes {
        var text = Bytes("rwxrwxrwx")
        for bit in 0..<9 where mode & (0o400 >> UInt32(bit)) == 0 { text[bit] = UInt8(ascii: "-") }
        func special(_ bit: UInt32, _ place: Int, _ set: UInt8, _ bare: UInt8) {
            if mode & bit != 0 { text[place] = text[place] == UInt8(ascii: "x") ? set : bare }
        }
        special(0o4000, 2, UInt8(ascii: "s"), UInt8(ascii: "S"))
        special(0o2000, 5, UInt8(ascii: "s"), UInt8(ascii: "S"))
        special(0o1000, 8, UInt8(ascii: "t"), UInt8(ascii: "T"))
        return text
    }

    /// The eleven characters of `%i`.
    private static func itemized(_ item: ItemReport) -> Bytes {
        let flags = item.flags
        var text = Bytes("...........")
        let isLocal = flags.contains(.localChange)
        text[0] =
            flags.contains(.transfer)
            ? (item.sending ? UInt8(ascii: "<") : UInt8(ascii: ">"))
            : (isLocal ? (flags.contains(.xnameFollows) ? UInt8(ascii: "h") : UInt8(ascii: "c")) : UInt8(ascii: "."))
        switch item.mode & FileType.mask {
        case FileType.directory: text[1] = UInt8(ascii: "d")
        case FileType.symlink: text[1] = UInt8(ascii: "L")
        case FileType.characterDevice, FileType.blockDevice: text[1] = UInt8(ascii: "D")
        case FileType.fifo, FileType.socket: text[1] = UInt8(ascii: "S")
        default: text[1] = UInt8(ascii: "f")
        }
        if flags.contains(.isNew) || flags.contains(.missingData) {
            let mark = flags.contains(.isNew) ? UInt8(ascii: "+") : UInt8(ascii: "?")
            for place in 2..<11 { text[place] = mark }
            return text
        }
        let letters: [(ItemFlags, Int, StaticString)] = [
            (.reportChange, 2, "c"), (.reportSize, 3, "s"), (.reportTime, 4, "t"), (.reportPermissions, 5, "p"),
            (.reportOwner, 6, "o"), (.reportGroup, 7, "g"), (.reportAtime, 8, "u"), (.reportACL, 9, "a"),
            (.reportXattr, 10, "x"),
        ]
        for (flag, place, letter) in letters where flags.contains(flag) { text[place] = Bytes(letter)[0] }
        if flags.contains(.reportTimeFail), item.mode & FileType.mask == FileType.symlink {
            text[3] = UInt8(ascii: ".")
            text[4] = UInt8(ascii: "T")
        }
        if text[2...].allSatisfy({ $0 == UInt8(ascii: ".") }),
            text[0] == UInt8(ascii: ".") || text[0] == UInt8(ascii: "h")
        {
            for place in 2..<11 { text[place] = 0x20 }
        }
        return text
    }
}
