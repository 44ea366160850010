// Dray — the moment that --stop-at names.
// Layer: Command. Behaviour: chapter 05 §1.5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// Times of the form `[[[[Y-]M-]D][T]][H:M | :M]`; what is left out is filled with the next moment that fits.
enum StopTime {
    static var now: Int64 { Int64(time(nil)) }

    /// Seconds of the epoch; nil if `text` is no time.
    static func parse(_ text: Bytes, now: Int64) -> Int64? {
        var dateText = text
        var timeText: Bytes?
        if let position = text.firstIndex(where: { $0 == UInt8(ascii: "T") || $0 == UInt8(ascii: "t") }) {
            dateText = Bytes(text[..<position])
            let rest = Bytes(text[(position + 1)...])
            timeText = rest.isEmpty ? nil : rest
            if dateText.isEmpty && timeText == nil { return nil }
        } else if text.contains(UInt8(ascii: ":")) {
            dateText = []
            timeText = text
        }
        guard let date = dateFields(dateText) else { return nil }
        if date.isEmpty && timeText == nil { return nil }
        var hour: Int32? = 0
        var minute: Int32 = 0
        if let timeText {
            guard let clock = clockFields(timeText) else { return nil }
            (hour, minute) = clock
            // `:M` stands alone.
            if hour == nil && text.first != UInt8(ascii: ":") { return nil }
        }
        return moment(date, hour, minute, now)
    }

    /// Up to three numbers, day last.
    private static func dateFields(_ text: Bytes) -> [Int32]? {
        if text.isEmpty { return [] }
        let parts = text.split(omittingEmptySubsequences: false) { $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "/") }
        guard parts.count <= 3 else { return nil }
        var fields: [Int32] = []
        for part in parts {
            guard let number = number(Bytes(part)) else { return nil }
            fields.append(number)
        }
        guard (1...31).contains(fields.last!) else { return nil }
        if fields.count > 1 && !(1...12).contains(fields[fields.count - 2]) { return nil }
        return fields
    }

    private static func clockFields(_ text: Bytes) -> (hour: Int32?, minute: Int32)? {
        let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard parts.count == 2, let minute = number(Bytes(parts[1])), minute < 60 else { return nil }
        if parts[0].isEmpty { return (nil, minute) }
        guard let hour = number(Bytes(parts[0])), hour < 24 else { return nil }
        return (hour, minute)
    }

    /// A number of any length; what is too large for a year stays too large for everything else.
    private static func number(_ text: Bytes) -> Int32? {
        guard !text.isEmpty, text.allSatisfy(\.isASCIIDigit) else { return nil }
        return text.reduce(0) { min($0 * 10 + Int32($1 - UInt8(ascii: "0")), 100_000_000) }
    }

    private static func moment(_ date: [Int32], _ hour: Int32?, _ minute: Int32, _ now: Int64) -> Int64? {
        var instant = time_t(now)
        var today = tm()
        localtime_r(&instant, &today)
        let clock = hour ?? today.tm_hour
        func seconds(_ year: Int32, _ month: Int32, _ day: Int32, exact: Bool) -> Int64? {
            var fields = tm()
            fields.tm_year = year
            fields.tm_mon = month
            fields.tm_mday = day
            fields.tm_hour = clock
            fields.tm_min = minute
            fields.tm_isdst = -1
            let result = Int64(mktime(&fields))
            // A day that the month does not have rolls over; only a complete date may.
            return exact && fields.tm_mday != day ? nil : result
        }
        switch date.count {
        case 3:
            var year = date[0]
            if year < 100 {
                year += 1900
                while year < today.tm_year + 1900 { year += 100 }
            }
            return seconds(year - 1900, date[1] - 1, date[2], exact: false)
        case 2:
            for year in today.tm_year...(today.tm_year + 8) {
                if let found = seconds(year, date[0] - 1, date[1], exact: true), found > now { return found }
            }
            return nil
        case 1:
            for month in today.tm_mon...(today.tm_mon + 12) {
                let (year, inYear) = (today.tm_year + month / 12, month % 12)
                if let found = seconds(year, inYear, date[0], exact: true), found > now { return found }
            }
            return nil
        default:
            guard let found = seconds(today.tm_year, today.tm_mon, today.tm_mday, exact: false) else { return nil }
            if found > now { return found }
            return hour == nil ? found + 3600 : seconds(today.tm_year, today.tm_mon, today.tm_mday + 1, exact: false)
        }
    }
}
