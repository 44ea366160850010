// Dray — the table, the JSON file and the comparison with an earlier run.
// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Everything one run of the harness found.
struct Report: Codable {
    var date: String
    var machine: String
    var rival: String
    var runs: Int
    var data: DataVariant
    var results: [Comparison] = []

    static func load(_ path: String) throws -> Report {
        try JSONDecoder().decode(Report.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
    }

    func save(_ path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try encoder.encode(self).write(to: URL(fileURLWithPath: path))
    }

    static let header = """
        | Scenario | Dray s | rsync s | speed | Dray CPU s | rsync CPU s | CPU | Dray MiB | rsync MiB | Dray calls | rsync calls | Dray wire MB | rsync wire MB |
        |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
        """

    static func row(_ result: Comparison) -> String {
        func number(_ value: Double, _ digits: Int = 2) -> String { String(format: "%.\(digits)f", value) }
        func memory(_ side: Int) -> String {
            let peaks = [\Cost.clientPeakKiB, \Cost.serverPeakKiB].map { path in
                result.middle(side) { Double($0[keyPath: path]) } / 1024
            }
            return peaks.filter { $0 > 0 }.map { number($0, 0) }.joined(separator: " + ")
        }
        let wire = (0...1).map { number(result.middle($0) { Double($0.wireBytes) } / 1e6, 1) }
        let calls = result.systemCalls.map { $0.map(String.init) } ?? ["–", "–"]
        return "| "
            + [
                result.scenario, number(result.middle(0, \.seconds)), number(result.middle(1, \.seconds)),
                number(result.speed) + "×", number(result.middle(0, \.cpu)), number(result.middle(1, \.cpu)),
                number(result.cpu) + "×", memory(0), memory(1), calls[0], calls[1], wire[0], wire[1],
            ].joined(separator: " | ") + " |"
    }

    /// Lines about scenarios whose ratios changed by more than `tolerance` against `old`, worse ones first.
    func changes(since old: Report, tolerance: Double = 0.15) -> (worse: [String], better: [String]) {
        var worse: [String] = []
        var better: [String] = []
        for result in results {
            guard let before = old.results.first(where: { $0.scenario == result.scenario }) else { continue }
            let line =
                "\(result.scenario): " + String(format: "speed %.2f× (was %.2f×), ", result.speed, before.speed)
                + String(format: "CPU %.2f× (was %.2f×)", result.cpu, before.cpu)
            if result.speed < before.speed * (1 - tolerance) || result.cpu > before.cpu * (1 + tolerance) {
                worse.append(line)
            } else if result.speed > before.speed * (1 + tolerance) {
                better.append(line)
            }
        }
        return (worse, better)
    }

    static var machineDescription: String {
        let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let model = text.split(separator: "\n").first { $0.hasPrefix("model name") }?.split(separator: ":").last
        return "\(ProcessInfo.processInfo.activeProcessorCount) × "
            + (model?.trimmingCharacters(in: .whitespaces) ?? "unknown CPU")
    }
}
