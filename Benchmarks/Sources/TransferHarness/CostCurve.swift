// Dray — time and memory against the number of files, the length of a file, the changed part and the distance.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import Foundation

/// One measured point of both programs, and what the machine itself can do there.
struct CurvePoint: Codable {
    var x: Double
    var dray: Cost
    var rsync: Cost
    /// Seconds of the physical limit, if there is one for this curve.
    var limit: Double?
}

struct Curve: Codable {
    var name: String
    var x: String
    /// What `limit` is.
    var limitName: String?
    var points: [CurvePoint] = []

    func plot(_ title: String, _ y: String, _ value: (Cost) -> Double) -> String {
        var lines = [
            Plot.Line(name: "Dray", points: points.map { ($0.x, value($0.dray)) }),
            Plot.Line(name: "rsync", points: points.map { ($0.x, value($0.rsync)) }),
        ]
        if let limitName, y == "seconds" {
            lines.append(
                Plot.Line(name: limitName, points: points.compactMap { point in point.limit.map { (point.x, $0) } }))
        }
        return Plot.lines(title, x: x, y: y, lines)
    }
}

struct CostCurves {
    let work: String
    let data: DataSets
    let peers: Peers
    let meter: Meter
    let largest: Int
    let longest: Int

    private var destination: String { "\(work)/destination" }

    private func emptyDestination() throws { try Self.empty(destination) }

    /// Leaves an empty directory at `path`.
    static func empty(_ path: String) throws {
        try run(["rm", "-rf", path])
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    private func point(
        _ x: Double, _ contenders: [Contender], limit: Double? = nil, _ prepare: @escaping () throws -> Void
    ) throws -> CurvePoint {
        let result = try meter.compare(Scenario(name: "", prepare: prepare, contenders: contenders))
        func middle(_ side: Int) -> Cost {
            Cost(
                seconds: result.middle(side, \.seconds), cpu: result.middle(side, \.cpu),
                clientPeakKiB: Int(result.middle(side) { Double($0.clientPeakKiB) }),
                serverPeakKiB: Int(result.middle(side) { Double($0.serverPeakKiB) }),
                wireBytes: Int64(result.middle(side) { Double($0.wireBytes) }))
        }
        return CurvePoint(x: x, dray: middle(0), rsync: middle(1), limit: limit)
    }

    private func seconds(_ body: () throws -> Void) rethrows -> Double {
        let start = now()
        try body()
        return now() - start
    }

    /// Names that are compared but not transferred: the list, the walk and the generator.
    func numberOfFiles(wholeList: Bool) throws -> Curve {
        var curve = Curve(
            name: wholeList ? "files-whole-list" : "files", x: "files in the list", limitName: "find -size 0")
        for count in [10_000, 100_000, 1_000_000, 10_000_000] where count <= largest {
            let source = try data.names("names", count: count)
            defer { try? run(["rm", "-rf", source]) }
            let walk = try seconds { try run(["find", source, "-size", "0", "-newer", "/", "-prune"]) }
            let options = wholeList ? ["-rn", "--no-inc-recursive"] : ["-rn"]
            curve.points.append(
                try point(Double(count), peers.pair(.daemon, options, source), limit: walk, emptyDestination))
        }
        return curve
    }

    /// A file of zeros without blocks, so that lengths beyond the disk can be measured.
    func lengthOfFile() throws -> Curve {
        var curve = Curve(name: "length", x: "bytes in the file", limitName: "reading and xxh128")
        for shift in stride(from: 10, through: 37, by: 3) where 1 << shift <= longest {
            let source = "\(work)/source/long"
            try FileManager.default.createDirectory(atPath: source, withIntermediateDirectories: true)
            defer { try? run(["rm", "-rf", source]) }
            try run(["truncate", "-s", "\(1 << shift)", source + "/file"])
            let limit = seconds { Self.hash(source + "/file") }
            curve.points.append(
                try point(
                    Double(1 << shift), peers.pair(.daemon, ["-aS"], source), limit: limit, emptyDestination))
        }
        return curve
    }

    func changedPart() throws -> Curve {
        var curve = Curve(name: "changed", x: "percent of the blocks changed", limitName: "cp")
        let source = try data.largeFile("changed", megabytes: 256, seed: 9)
        defer { try? run(["rm", "-rf", source]) }
        for percent in [0, 1, 5, 10, 25, 50, 75, 100] {
            try emptyDestination()
            let copy = try seconds { try run(["cp", source + "/file", destination + "/file"]) }
            curve.points.append(
                try point(Double(percent), peers.pair(.daemon, ["-a"], source), limit: copy) {
                    try emptyDestination()
                    try data.outdated(source, in: destination, changedPercent: percent)
                })
        }
        return curve
    }

    func distance() throws -> Curve {
        var curve = Curve(name: "latency", x: "round trip in milliseconds", limitName: nil)
        let source = try data.smallFiles("distant", count: 5_000, length: 1024)
        defer { try? run(["rm", "-rf", source]) }
        for milliseconds in [0, 1, 5, 20, 50, 100] {
            try Latency.with(milliseconds: milliseconds) { conditions in
                curve.points.append(
                    try point(
                        Double(milliseconds), peers.pair(.daemon, ["-a"], source, conditions), emptyDestination))
            }
        }
        return curve
    }

    /// Reads a file and hashes it, on one thread.
    static func hash(_ path: String) {
        let descriptor = open(path, O_RDONLY)
        defer { close(descriptor) }
        let hasher = StrongHasher(.xxh128)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 4096)
        defer { buffer.deallocate() }
        while true {
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            if count <= 0 { break }
            hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
        _ = hasher.finish()
    }
}
