// Dray — progress of a running transfer, as the controller reads it and as JSON.
// Layer: Migrate. Contract: chapter 09 §8.
// SPDX-License-Identifier: Apache-2.0

import Foundation

/// One progress record parsed from the client's output.
public struct ProgressRecord: Equatable, Sendable {
    /// Bytes as printed (with unit).
    public var transferred: String
    public var percent: Int
    public var rate: String
    public var elapsed: String

    /// Parses one newline-terminated record in the layout of `--info=progress2`; nil for other lines.
    public init?(line: String) {
        let text = line.split(separator: "\r").last.map(String.init) ?? line
        let fields = text.split(separator: " ", omittingEmptySubsequences: true).map(String.init)
        guard fields.count >= 4, fields[1].hasSuffix("%"), let percent = Int(fields[1].dropLast()),
            fields[2].hasSuffix("/s"), fields[2].contains("."), fields[3].contains(":")
        else { return nil }
        transferred = fields[0]
        self.percent = percent
        rate = fields[2]
        elapsed = fields[3]
    }

    /// The line that today's controller parses: percentage and rate within the first 60 bytes.
    public var controllerLine: String {
        func right(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        return "\(right(transferred, 15)) \(right(String(percent), 3))% \(right(rate, 12)) \(right(elapsed, 10))"
    }
}

/// Follows one volume through its attempts. Percentages never go down, neither within an attempt nor across attempts
/// that start again near where the last one ended.
public struct ProgressTracker: Sendable {
    public private(set) var percent = 0
    public private(set) var rate = "0.00kB/s"
    public private(set) var attempt = 0

    public init() {}

    public mutating func begin(attempt: Int) { self.attempt = attempt }

    public mutating func note(_ record: ProgressRecord) {
        percent = min(100, max(percent, record.percent))
        rate = record.rate
    }

    /// The volume is complete, however early the last record came.
    public mutating func finish() { percent = 100 }

    /// One JSON object, keys sorted, without line end.
    public func json(event: String, extra: [String: any Encodable & Sendable] = [:]) -> String {
        var fields: [(String, String)] = [
            ("attempt", String(attempt)), ("event", Self.quoted(event)), ("percent", String(percent)),
            ("rate", Self.quoted(rate)),
        ]
        for (key, value) in extra {
            switch value {
            case let number as Int: fields.append((key, String(number)))
            case let flag as Bool: fields.append((key, flag ? "true" : "false"))
            default: fields.append((key, Self.quoted("\(value)")))
            }
        }
        fields.sort { $0.0 < $1.0 }
        return "{" + fields.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}"
    }

    static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
