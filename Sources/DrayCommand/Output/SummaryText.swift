// Dray — the statistics block and the two summary lines.
// Layer: Command. Behaviour: chapter 05 §6.6.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// What is printed after a complete run.
enum SummaryText {
    /// The block of `--stats`, without the blank line before it.
    static func block(_ statistics: TransferStatistics, level: Int) -> String {
        func size(_ value: Int64) -> String { HumanNumber.format(value, level: level) }
        func seconds(_ milliseconds: Int64) -> String {
            let fraction = String(milliseconds % 1000)
            let padded = String(repeating: "0", count: 3 - fraction.count) + fraction
            return HumanNumber.count(milliseconds / 1000, level: level) + "." + padded
        }
        var text = "Number of files: \(kinds(statistics.files, level))\n"
        if statistics.protocolVersion >= 29 { text += "Number of created files: \(kinds(statistics.created, level))\n" }
        if statistics.protocolVersion >= 31 { text += "Number of deleted files: \(kinds(statistics.deleted, level))\n" }
        text += "Number of regular files transferred: "
        text += HumanNumber.count(Int64(statistics.transferredFiles), level: level) + "\n"
        text += "Total file size: \(size(statistics.totalSize)) bytes\n"
        text += "Total transferred file size: \(size(statistics.transferredSize)) bytes\n"
        text += "Literal data: \(size(statistics.literalData)) bytes\n"
        text += "Matched data: \(size(statistics.matchedData)) bytes\n"
        text += "File list size: \(size(statistics.fileListSize))\n"
        if statistics.fileListBuildMilliseconds > 0 {
            text += "File list generation time: \(seconds(statistics.fileListBuildMilliseconds)) seconds\n"
            text += "File list transfer time: \(seconds(statistics.fileListTransferMilliseconds)) seconds\n"
        }
        text += "Total bytes sent: \(size(statistics.bytesWritten))\n"
        text += "Total bytes received: \(size(statistics.bytesRead))\n"
        return text
    }

    /// `sent …` and `total size …`, without the blank line before them.
    static func summary(_ statistics: TransferStatistics, now: UInt64, suffix: String, level: Int) -> String {
        let moved = statistics.bytesRead + statistics.bytesWritten
        let elapsed = (now &- statistics.startNanoseconds) / 1_000_000_000
        let rate = Double(moved) / (0.5 + Double(elapsed))
        let speedup = moved == 0 ? 0 : Double(statistics.totalSize) / Double(moved)
        func size(_ value: Int64) -> String { HumanNumber.format(value, level: level) }
        return "sent \(size(statistics.bytesWritten)) bytes  received \(size(statistics.bytesRead)) bytes  "
            + "\(HumanNumber.format(rate, decimals: 2, level: level)) bytes/sec\n"
            + "total size is \(size(statistics.totalSize))  "
            + "speedup is \(HumanNumber.count(speedup, decimals: 2, level: level))\(suffix)\n"
    }

    private static func kinds(_ kinds: TransferStatistics.Kinds, _ level: Int) -> String {
        func count(_ value: Int) -> String { HumanNumber.count(Int64(value), level: level) }
        let parts = [
            ("reg", kinds.regular), ("dir", kinds.directories), ("link", kinds.symlinks), ("dev", kinds.devices),
            ("special", kinds.specials),
        ].filter { $0.1 > 0 }.map { "\($0.0): \(count($0.1))" }
        return count(kinds.total) + (parts.isEmpty ? "" : " (\(parts.joined(separator: ", ")))")
    }
}
