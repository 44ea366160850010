// Dray — progress as JSON, one object per line (`--progress-format=json`).
// Layer: Command. Schema: README, "Progress for people and programs".
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Writes the records of a run. Counters are the engine's; only rate and time left are worked out here.
struct ProgressJSON: Sendable {
    private let startNanoseconds: UInt64
    private var last: FileProgress?
    private var statistics: TransferStatistics?

    init(now: UInt64) { startNanoseconds = now }

    /// A `progress` record.
    mutating func progress(_ progress: FileProgress, rate: Int64, now: UInt64) -> Bytes {
        last = progress
        let left = max(0, progress.totalSize - progress.totalOffset)
        var fields = counters(progress, now)
        fields.append(("fileBytes", String(progress.isListEnd ? progress.size : progress.offset)))
        fields.append(("fileTotal", String(progress.size)))
        fields.append(("rate", String(rate)))
        fields.append(("eta", rate > 0 ? String(left / rate) : "null"))
        return Self.object("progress", fields, path: progress.name)
    }

    /// Keeps what the last record is to tell.
    mutating func note(_ progress: FileProgress) { last = progress }

    mutating func note(_ statistics: TransferStatistics) { self.statistics = statistics }

    /// The `end` record, always the last line.
    func end(_ code: ExitCode, now: UInt64) -> Bytes {
        var fields = last.map { counters($0, now) } ?? [("elapsed", elapsed(now))]
        fields.append(("exitCode", String(code.rawValue)))
        fields.append(("statistics", statistics.map(Self.text) ?? "null"))
        return Self.object("end", fields, path: nil)
    }

    private func counters(_ progress: FileProgress, _ now: UInt64) -> [(String, String)] {
        [
            ("bytes", String(progress.totalOffset)), ("total", String(progress.totalSize)),
            ("files", String(progress.transferredFiles)), ("toCheck", String(progress.toCheck)),
            ("known", String(progress.known)), ("listComplete", String(progress.listComplete)),
            ("elapsed", elapsed(now)),
        ]
    }

    private func elapsed(_ now: UInt64) -> String {
        HumanNumber.decimal(Double(now &- startNanoseconds) / 1e9, 3)
    }

    private static func text(_ statistics: TransferStatistics) -> String {
        let fields: [(String, Int64)] = [
            ("files", Int64(statistics.files.total)), ("created", Int64(statistics.created.total)),
            ("deleted", Int64(statistics.deleted.total)), ("transferred", Int64(statistics.transferredFiles)),
            ("totalSize", statistics.totalSize), ("transferredSize", statistics.transferredSize),
            ("literalData", statistics.literalData), ("matchedData", statistics.matchedData),
            ("fileListSize", statistics.fileListSize), ("bytesSent", statistics.bytesWritten),
            ("bytesReceived", statistics.bytesRead),
        ]
        return "{" + fields.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
    }

    private static func object(_ type: String, _ fields: [(String, String)], path: Bytes?) -> Bytes {
        var text = "{\"type\":\"\(type)\""
        for (name, value) in fields { text += ",\"\(name)\":\(value)" }
        guard let path else { return Bytes(text: text + "}\n") }
        return Bytes(text: text + ",\"path\":\"") + escaped(path) + Bytes("\"}\n")
    }

    /// A name as JSON text: control bytes and bytes that are not UTF-8 as `\#ooo`, like on rsync's screen, so that
    /// every name has one form and every form one name.
    static func escaped(_ name: Bytes) -> Bytes {
        var result: Bytes = []
        for byte in OutputEscaping.escape(name, .utf8, isLine: false) {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): result += [UInt8(ascii: "\\"), byte]
            case 0..<0x20:
                // Tabs, and line ends at the end of a name, are not escaped above.
                let digits = Bytes("0123456789abcdef")
                result += Bytes("\\u00") + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: result.append(byte)
            }
        }
        return result
    }
}
