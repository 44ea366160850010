// Dray — alternating runs of two programs over the same data, and what each run cost.
// SPDX-License-Identifier: Apache-2.0

import Foundation

/// One run of one program.
struct Cost: Codable {
    var seconds = 0.0
    /// CPU seconds of all processes of both ends.
    var cpu = 0.0
    /// Peak resident set of the largest process of an end, KiB; a local copy or a remote shell has one number.
    var clientPeakKiB = 0
    var serverPeakKiB = 0
    /// Bytes of the protocol in both directions, as the program counts them.
    var wireBytes: Int64 = 0
}

/// What one comparison gave. Index 0 is Dray, index 1 its rival.
struct Comparison: Codable {
    var scenario: String
    var rival: String
    var bytes: Int64
    var files: Int
    var costs: [[Cost]]
    /// System calls of both ends in a run of its own; missing without strace.
    var systemCalls: [Int]?

    func middle(_ side: Int, _ value: (Cost) -> Double) -> Double { median(costs[side].map(value)) }
    /// Seconds of the rival for one second of Dray.
    var speed: Double { middle(1, \.seconds) / max(middle(0, \.seconds), 1e-6) }
    /// CPU seconds of Dray for one CPU second of the rival.
    var cpu: Double { middle(0, \.cpu) / max(middle(1, \.cpu), 1e-6) }
}

func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return 0 }
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/// One comparison.
struct Scenario {
    var name: String
    var bytes: Int64 = 0
    var files = 1
    /// Brings the destination into its starting state before every run.
    var prepare: () throws -> Void
    var contenders: [Contender]
}

struct Meter {
    let work: String
    let runs: Int
    let countsSystemCalls: Bool

    /// Runs one side once.
    func once(_ contender: Contender, wrapper: [String] = []) throws -> Cost {
        var cost = Cost()
        let servers = try contender.servers()
        let relay = try contender.distance.map {
            try Relay(listen: Latency.port, to: $0.port, milliseconds: Double($0.milliseconds) / 2)
        }
        defer { relay?.stop() }
        let output = "\(work)/client.output"
        let start = now()
        let client = try ChildProcess(wrapper + contender.client, output: output, errors: "\(work)/client.errors")
        let (status, usage) = client.wait()
        cost.seconds = now() - start
        let far = servers.reversed().map { $0.stop() }.reduce(Usage(), +)
        if status != 0 {
            let errors = (try? String(contentsOfFile: "\(work)/client.errors", encoding: .utf8)) ?? ""
            throw HarnessError("\(contender.client.joined(separator: " ")) ended with \(status)\n\(errors.prefix(500))")
        }
        cost.cpu = usage.cpu + far.cpu
        cost.clientPeakKiB = usage.peakKiB
        cost.serverPeakKiB = far.peakKiB
        let text = (try? String(contentsOfFile: output, encoding: .utf8)) ?? ""
        for line in text.split(separator: "\n") where line.hasPrefix("Total bytes ") {
            cost.wireBytes += Int64(line.filter(\.isNumber)) ?? 0
        }
        return cost
    }

    /// Both sides alternately; the first round only warms caches and is not counted.
    func compare(_ scenario: Scenario) throws -> Comparison {
        var costs: [[Cost]] = [[], []]
        for round in 0...runs {
            for (side, contender) in scenario.contenders.enumerated() {
                try scenario.prepare()
                let cost = try once(contender)
                if round > 0 { costs[side].append(cost) }
            }
        }
        return Comparison(
            scenario: scenario.name, rival: scenario.contenders[1].name, bytes: scenario.bytes, files: scenario.files,
            costs: costs, systemCalls: try systemCalls(scenario))
    }

    /// System calls of the client, and of the other end where the client starts it (local copies and remote shells).
    private func systemCalls(_ scenario: Scenario) throws -> [Int]? {
        guard countsSystemCalls, isInstalled("strace") else { return nil }
        return try scenario.contenders.map { contender in
            try scenario.prepare()
            let table = "\(work)/strace.output"
            _ = try once(contender, wrapper: ["strace", "-f", "-c", "-qq", "-U", "calls,name", "-o", table])
            let text = (try? String(contentsOfFile: table, encoding: .utf8)) ?? ""
            let total = text.split(separator: "\n").last { $0.hasSuffix("total") }
            return total.flatMap { Int($0.split(separator: " ").first ?? "") } ?? 0
        }
    }
}
