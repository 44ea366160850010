// Dray — compares whole transfers with the real rsync (and rsync through stunnel): same data, same run, alternately.
// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

@main struct TransferHarness: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compares transfers of Dray with those of the real rsync.",
        subcommands: [Compare.self, Curves.self, Limits.self], defaultSubcommand: Compare.self)
}

struct CommonOptions: ParsableArguments {
    @Option(help: "Directory with the release builds of dray, rsync-client and rsync-server.")
    var programs: String
    @Option(help: "Directory for data; removed first. In memory, so that the disk is not what is measured.")
    var work = "/dev/shm/dray-bench"
    @Option(help: "Counted runs of each side.")
    var runs = 5
    @Option(help: "How data is made: \(DataVariant.allCases.map(\.rawValue).joined(separator: ", ")).")
    var data = DataVariant.uniform.rawValue
    @Option(help: "Where results and plots are written.")
    var output = "results"

    func prepare() throws -> (DataSets, Peers) {
        guard let variant = DataVariant(rawValue: data) else { throw ValidationError("no such data: \(data)") }
        for program in ["dray", "rsync-client", "rsync-server"] {
            guard access("\(programs)/\(program)", X_OK) == 0 else {
                throw ValidationError("\(programs)/\(program) is missing: swift build -c release --traits Zstd,LZ4")
            }
        }
        for program in ["rsync", "openssl", "taskset"] where !isInstalled(program) {
            throw ValidationError("\(program) is not installed")
        }
        try? FileManager.default.removeItem(atPath: work)
        for directory in [work, output] {
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        }
        let full = URL(fileURLWithPath: programs).path
        let peers = Peers(work: work, programs: full)
        try peers.prepare()
        return (DataSets(root: "\(work)/source", variant: variant), peers)
    }

    func newReport() -> Report {
        Report(
            date: ISO8601DateFormatter().string(from: Date()), machine: Report.machineDescription, rival: "rsync 3.5.0",
            runs: runs, data: DataVariant(rawValue: data) ?? .uniform)
    }
}

struct Compare: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Every kind of work once, as a table with ratios.")
    @OptionGroup var common: CommonOptions
    @Option(help: "MiB of the large file.") var megabytes = 1024
    @Option(help: "MiB of the file for delta transfers.") var deltaMegabytes = 256
    @Option(help: "Number of small files.") var files = 100_000
    @Option(help: "Number of empty files.") var emptyFiles = 1_000_000
    @Option(help: "Only scenarios whose name contains one of these texts, separated by commas.") var only: String?
    @Option(help: "Earlier results to compare with; ratios that are 15 % worse make the exit code 1.")
    var baseline: String?
    @Flag(help: "Keep what transfers.json already has of other scenarios of the same data.") var add = false
    @Flag(help: "Skip the extra run of each side that counts system calls.") var noSystemCalls = false

    func run() throws {
        let (data, peers) = try common.prepare()
        let meter = Meter(work: common.work, runs: common.runs, countsSystemCalls: !noSystemCalls)
        let list = ScenarioList(
            work: common.work,
            sizes: Sizes(megabytes: megabytes, deltaMegabytes: deltaMegabytes, files: files, emptyFiles: emptyFiles),
            data: data, peers: peers, only: only)
        var report = common.newReport()
        let file = "\(common.output)/transfers.json"
        if add, let earlier = try? Report.load(file), earlier.data == report.data { report.results = earlier.results }
        print(Report.header)
        try list.forEach { scenario in
            let result = try meter.compare(scenario)
            print(Report.row(result))
            fflush(nil)
            report.results.removeAll { $0.scenario == result.scenario }
            report.results.append(result)
            // After each row: a run that is broken off keeps what it has found.
            try report.save(file)
        }
        let bars = report.results.map { (name: $0.scenario, value: $0.speed) }
        try Plot.bars("Speed against rsync \(report.rival.dropFirst(6)) (more is better)", bars)
            .write(toFile: "\(common.output)/transfers.svg", atomically: false, encoding: .utf8)
        print(
            "\nspeed: seconds of the rival / seconds of Dray. CPU: CPU seconds of Dray, both ends / those of the rival."
                + "\nmemory: peak of the largest process of each end. Medians of \(common.runs) runs each.")
        if let baseline {
            let (worse, better) = report.changes(since: try Report.load(baseline))
            for line in better { print("better: \(line)") }
            for line in worse { print("worse: \(line)") }
            if !worse.isEmpty { throw ExitCode(1) }
        }
        try FileManager.default.removeItem(atPath: common.work)
    }
}

struct Curves: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Time and memory against files, length, changed part and distance.")
    @OptionGroup var common: CommonOptions
    @Option(help: "Largest number of names.") var largest = 1_000_000
    @Option(help: "Longest file in bytes.") var longest = 1 << 34
    @Option(help: "Only these curves, separated by commas: files, files-whole-list, length, changed, latency.")
    var only: String?

    func run() throws {
        let (data, peers) = try common.prepare()
        let meter = Meter(work: common.work, runs: common.runs, countsSystemCalls: false)
        let curves = CostCurves(
            work: common.work, data: data, peers: peers, meter: meter, largest: largest, longest: longest)
        let makers: [(String, () throws -> Curve)] = [
            ("files", { try curves.numberOfFiles(wholeList: false) }),
            ("files-whole-list", { try curves.numberOfFiles(wholeList: true) }),
            ("length", curves.lengthOfFile), ("changed", curves.changedPart), ("latency", curves.distance),
        ]
        var all: [Curve] = []
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        for (name, make) in makers where only?.split(separator: ",").contains(Substring(name)) ?? true {
            let curve = try make()
            all.append(curve)
            print("\n\(name)\n| \(curve.x) | Dray s | rsync s | \(curve.limitName ?? "–") s | Dray MiB | rsync MiB |")
            print("|---:|---:|---:|---:|---:|---:|")
            fflush(nil)
            for point in curve.points {
                func memory(_ cost: Cost) -> String {
                    String(format: "%.0f + %.0f", Double(cost.clientPeakKiB) / 1024, Double(cost.serverPeakKiB) / 1024)
                }
                let limit = point.limit.map { String(format: "%.3f", $0) } ?? "–"
                print(
                    "| \(Int(point.x)) | " + String(format: "%.3f | %.3f | ", point.dray.seconds, point.rsync.seconds)
                        + "\(limit) | \(memory(point.dray)) | \(memory(point.rsync)) |")
            }
            let plots: [(String, String, (Cost) -> Double)] = [
                ("time", "seconds", \.seconds),
                ("memory", "MiB at the larger end", { Double(max($0.clientPeakKiB, $0.serverPeakKiB)) / 1024 }),
            ]
            for (kind, unit, value) in plots {
                try curve.plot("\(kind): \(curve.x)", unit, value)
                    .write(toFile: "\(common.output)/\(name)-\(kind).svg", atomically: false, encoding: .utf8)
            }
            try encoder.encode(all).write(to: URL(fileURLWithPath: "\(common.output)/curves.json"))
        }
        try FileManager.default.removeItem(atPath: common.work)
    }
}
