// Dray — progress of one file and of the whole transfer.
// Layer: Command. Behaviour: chapter 05 §6.5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Turns `.progress` events into lines.
struct ProgressMeterText: Sendable {
    /// rsync's forms, and Dray's own ones.
    enum Style: Sendable, Equatable { case perFile, total, lines, bar, json }

    private struct Sample: Sendable {
        var nanoseconds: UInt64
        var offset: Int64
    }

    let style: Style
    let level: Int
    private var samples: [Sample] = []
    private var start: Sample?
    private var lastFileEnd: UInt64?
    private var lastPrinted: UInt64 = 0
    private var printedTail = 0
    private var currentName: Bytes?

    /// Width of the terminal.
    private let columns: Int
    /// The writer of `.json`.
    var json: ProgressJSON?

    init(style: Style, level: Int, columns: Int = 80) {
        self.style = style
        self.level = level
        self.columns = columns
        if style == .json { json = ProgressJSON(now: monotonicNanoseconds()) }
    }

    /// The text to print now, or nil. `endsLine`: the text closes its line.
    mutating func text(_ progress: FileProgress, now: UInt64) -> (text: Bytes, endsLine: Bool)? {
        if progress.isListEnd && style != .total && style != .bar { return nil }
        return style == .perFile ? perFile(progress, now) : total(progress, now)
    }

    private mutating func perFile(_ progress: FileProgress, _ now: UInt64) -> (text: Bytes, endsLine: Bool)? {
        if start == nil || currentName != progress.name {
            currentName = progress.name
            let recent = lastFileEnd.map { now &- $0 <= 1_500_000_000 } ?? false
            start = Sample(nanoseconds: recent ? lastFileEnd! : now, offset: 0)
            samples = [start!]
            lastPrinted = 0
        }
        if progress.isLast {
            defer {
                lastFileEnd = now
                start = nil
            }
            let line = statusLine(progress.offset, progress.size, from: start!, now: now, isLast: true)
            return (Bytes(text: line + tail(progress) + "\n"), true)
        }
        guard lastPrinted == 0 || now &- lastPrinted >= 1_000_000_000 else { return nil }
        lastPrinted = now
        let first = remember(Sample(nanoseconds: now, offset: progress.offset))
        let line = statusLine(progress.offset, progress.size, from: first, now: now, isLast: false)
        return (Bytes(text: line + "  "), false)
    }

    private mutating func total(_ progress: FileProgress, _ now: UInt64) -> (text: Bytes, endsLine: Bool)? {
        if start == nil { start = Sample(nanoseconds: now, offset: 0) }
        let isDue = lastPrinted == 0 || now &- lastPrinted >= 1_000_000_000
        guard isDue || (progress.isLast && style == .total) || (progress.isListEnd && style == .bar) else {
            json?.note(progress)
            return nil
        }
        lastPrinted = now
        let first = remember(Sample(nanoseconds: now, offset: progress.totalOffset))
        let offset = progress.totalOffset
        let size = progress.totalSize
        switch style {
        case .json:
            return (json!.progress(progress, rate: Self.rate(from: first, to: offset, now: now), now: now), true)
        case .lines:
            let line = statusLine(offset, size, from: first, now: now, isLast: false)
            return (Bytes(text: String(line.dropFirst()) + "\n"), true)
        case .bar:
            return (Bytes(text: bar(progress, from: first, now: now)), false)
        default:
            let line = statusLine(
                offset, size, from: progress.isLast ? start! : first, now: now, isLast: progress.isLast)
            let end = progress.isLast ? tail(progress) : "  "
            let padding = String(repeating: " ", count: max(0, printedTail - end.utf8.count))
            printedTail = end.utf8.count
            return (Bytes(text: line + end + padding), false)
        }
    }

    private mutating func remember(_ sample: Sample) -> Sample {
        samples.append(sample)
        if samples.count > 6 { samples.removeFirst(samples.count - 6) }
        return samples[0]
    }

    private func tail(_ progress: FileProgress) -> String {
        let word = progress.listComplete ? "to" : "ir"
        return " (xfr#\(progress.transferredFiles), \(word)-chk=\(progress.toCheck)/\(progress.known))"
    }

    /// `\r%15s %3d%% %7.2f%s %4u:%02u:%02u`
    private func statusLine(_ offset: Int64, _ size: Int64, from first: Sample, now: UInt64, isLast: Bool) -> String {
        let percent = offset == size ? 100 : Int(Double(offset) * 100 / Double(max(size, 1)))
        let seconds = Double(now &- first.nanoseconds) / 1e9
        let moved = isLast ? offset : offset - first.offset
        var rate = seconds > 0 ? Double(moved) / 1024 / seconds : 0
        let rest = isLast ? seconds : (rate > 0 ? Double(size - offset) / 1024 / rate : 0)
        var unit = "kB/s"
        if rate > 1024 * 1024 {
            rate /= 1024 * 1024
            unit = "GB/s"
        } else if rate > 1024 {
            rate /= 1024
            unit = "MB/s"
        }
        let number = HumanNumber.format(offset, level: level).padded(left: 15)
        let percentText = String(percent).padded(left: 3)
        return "\r\(number) \(percentText)% \(HumanNumber.decimal(rate, 2).padded(left: 7))\(unit) \(Self.clock(rest))"
    }

    static func clock(_ seconds: Double) -> String {
        guard seconds >= 0, seconds <= 9999 * 3600 else { return "  ??:??:??" }
        let whole = Int(seconds)
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(String(whole / 3600).padded(left: 4)):\(two(whole / 60 % 60)):\(two(whole % 60))"
    }

    /// Bytes per second since a sample.
    private static func rate(from first: Sample, to offset: Int64, now: UInt64) -> Int64 {
        let seconds = Double(now &- first.nanoseconds) / 1e9
        return seconds > 0 ? max(0, Int64(Double(offset - first.offset) / seconds)) : 0
    }

    /// A line that fits the terminal; the total is marked while it still grows.
    private mutating func bar(_ progress: FileProgress, from first: Sample, now: UInt64) -> String {
        let (offset, size) = (progress.totalOffset, progress.totalSize)
        let isDone = progress.isListEnd && progress.listComplete && progress.toCheck == 0
        let fraction = isDone ? 1 : (size > 0 ? min(1, Double(offset) / Double(size)) : 0)
        let cells = max(10, min(40, columns - 60))
        let filled = Int(fraction * Double(cells))
        let rate = Self.rate(from: isDone ? start! : first, to: offset, now: now)
        let amount = HumanNumber.format(offset, level: 2) + "/" + HumanNumber.format(size, level: 2)
        var line = "[" + String(repeating: "#", count: filled) + String(repeating: "-", count: cells - filled) + "]"
        line += " \(String(Int(fraction * 100)).padded(left: 3))% \(amount)\(progress.listComplete ? "" : "+")"
        line += " \(HumanNumber.format(rate, level: 2))B/s"
        if isDone {
            line += " in" + Self.clock(Double(now &- start!.nanoseconds) / 1e9)
        } else {
            line += " ETA" + (rate > 0 ? Self.clock(Double(max(0, size - offset)) / Double(rate)) : "   --:--:--")
        }
        let padding = String(repeating: " ", count: max(0, printedTail - line.utf8.count))
        printedTail = line.utf8.count
        return "\r" + line + padding
    }
}
