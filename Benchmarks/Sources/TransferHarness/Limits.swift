// Dray — what the machine itself can do: the least that any program needs for the work of a transfer.
// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DrayCore
import DrayDelta
import Foundation

/// One bare piece of work.
struct Limit: Codable {
    var name: String
    var bytes: Int64 = 0
    var files = 0
    var seconds: [Double] = []
    var cpu: [Double] = []

    var row: String {
        let time = median(seconds)
        let rate =
            files > 0
            ? String(format: "%.0f files/s", Double(files) / time)
            : String(format: "%.2f GB/s", Double(bytes) / time / 1e9)
        return String(format: "| \(name) | %.3f | %.3f | \(rate) |", time, median(cpu))
    }
}

struct Limits: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Bare copies, sockets, sums and system calls: what no transfer can be faster than.")
    @OptionGroup var common: CommonOptions
    @Option(help: "MiB of the large file.") var megabytes = 512
    @Option(help: "Number of small files of 1 KiB.") var files = 100_000

    func run() throws {
        let (data, _) = try common.prepare()
        let destination = "\(common.work)/destination"
        var all: [Limit] = []
        print("| Bare work | s | CPU s | rate |\n|---|---:|---:|---:|")
        func measure(_ name: String, bytes: Int64 = 0, files: Int = 0, _ body: () throws -> Void) throws {
            var limit = Limit(name: name, bytes: bytes, files: files)
            for round in 0...common.runs {
                try CostCurves.empty(destination)
                let (start, before) = (now(), Self.cpu())
                try body()
                let (time, cpu) = (now() - start, Self.cpu() - before)
                if round > 0 {
                    limit.seconds.append(time)
                    limit.cpu.append(cpu)
                }
            }
            print(limit.row)
            fflush(nil)
            all.append(limit)
        }
        let bytes = Int64(megabytes) << 20
        let large = try data.largeFile("large", megabytes: megabytes) + "/file"
        let copy = destination + "/file"
        try measure("read and write a file", bytes: bytes) { try Bare.copy(large, copy) }
        try measure("file over a socket to a file", bytes: bytes) { try Bare.pump(large, copy, sums: false) }
        try measure("the same, xxh128 at both ends", bytes: bytes) { try Bare.pump(large, copy, sums: true) }
        try measure("read a file and xxh128", bytes: bytes) { CostCurves.hash(large) }
        unlink(large)
        let small = try data.smallFiles("small", count: files, length: 1024)
        let directories = try FileManager.default.contentsOfDirectory(atPath: small).sorted()
        try measure("look at small files (getdents, statx)", files: files) {
            for name in directories { _ = try Bare.names(small + "/" + name) }
        }
        try measure("small files: six calls each", files: files) {
            for name in directories { try Bare.put(small, destination, name, part: 0, of: 1) }
        }
        try measure("the same in two threads", files: files) {
            try Bare.parallel { part in
                for name in directories { try Bare.put(small, destination, name, part: part, of: 2) }
            }
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try encoder.encode(all).write(to: URL(fileURLWithPath: "\(common.output)/limits.json"))
        try FileManager.default.removeItem(atPath: common.work)
    }

    /// CPU seconds of this process so far.
    private static func cpu() -> Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
            + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
    }
}
