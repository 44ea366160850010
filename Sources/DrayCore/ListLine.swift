// Dray — lines of `--list-only`.
// Layer: Core. Behaviour: chapter 05 §6.3.
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// One line per entry of a listing.
public enum ListLine {
    /// `MODE SIZE DATE TIME[ ATIME] NAME[ -> TARGET]`, without newline.
    public static func line(
        _ item: ItemReport, atime: Int64?, showsAtime: Bool, showsTarget: Bool, level: Int
    ) -> Bytes {
        let width = level == 0 ? 11 : 14
        if item.mode == 0 {
            let columns = 10 + 1 + width + 20 + (showsAtime ? 20 : 0)
            return Bytes(text: "*missing".padded(right: columns)) + Bytes(" ") + item.name
        }
        var text = modeText(item.mode)
        text += Bytes(text: " " + HumanNumber.format(item.length, level: level).padded(left: width))
        text += Bytes(text: " " + timeText(item.mtime))
        if showsAtime {
            text += Bytes(text: atime.map { " " + timeText($0) } ?? String(repeating: " ", count: 20))
        }
        text += Bytes(" ") + item.name
        if showsTarget && item.mode & FileType.mask == FileType.symlink { text += Bytes(" -> ") + item.linkTarget }
        return text
    }

    /// Ten characters as `ls` shows them.
    public static func modeText(_ mode: UInt32) -> Bytes {
        let type: UInt8 =
            switch mode & FileType.mask {
            case FileType.directory: UInt8(ascii: "d")
            case FileType.symlink: UInt8(ascii: "l")
            case FileType.characterDevice: UInt8(ascii: "c")
            case FileType.blockDevice: UInt8(ascii: "b")
            case FileType.fifo: UInt8(ascii: "p")
            case FileType.socket: UInt8(ascii: "s")
            default: UInt8(ascii: "-")
            }
        var text = [type]
        for (index, letter) in Bytes("rwxrwxrwx").enumerated() {
            text.append(mode & (0o400 >> UInt32(index)) != 0 ? letter : UInt8(ascii: "-"))
        }
        func special(_ position: Int, _ bit: UInt32, _ lower: Unicode.Scalar, _ upper: Unicode.Scalar) {
            guard mode & bit != 0 else { return }
            text[position] = UInt8(ascii: text[position] == UInt8(ascii: "x") ? lower : upper)
        }
        special(3, 0o4000, "s", "S")
        special(6, 0o2000, "s", "S")
        special(9, 0o1000, "t", "T")
        return text
    }

    /// `YYYY/MM/DD HH:MM:SS` in local time.
    public static func timeText(_ seconds: Int64, separator: String = " ") -> String {
        var moment = time_t(seconds)
        var parts = tm()
        guard localtime_r(&moment, &parts) != nil else {
            return "(time\(separator)out\(separator)of\(separator)range)"
        }
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let year = String(Int(parts.tm_year) + 1900)
        let padded = String(repeating: "0", count: max(0, 4 - year.count)) + year
        return "\(padded)/\(two(parts.tm_mon + 1))/\(two(parts.tm_mday))\(separator)"
            + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
    }
}
