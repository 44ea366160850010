// Dray — what is compared: each kind of work once, in the connection where it matters.
// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Sizes of the data; the defaults are those of the published table.
struct Sizes {
    var megabytes = 1024
    var deltaMegabytes = 256
    var files = 100_000
    var emptyFiles = 1_000_000
}

struct ScenarioList {
    let work: String
    let sizes: Sizes
    let data: DataSets
    let peers: Peers
    let only: String?

    private var destination: String { "\(work)/destination" }

    private func emptyDestination() throws { try CostCurves.empty(destination) }

    private func copied(_ source: String) throws {
        try emptyDestination()
        try run(["cp", "-a", source + "/.", destination])
    }

    private func wants(_ name: String) -> Bool {
        guard let only else { return true }
        return only.split(separator: ",").contains { name.contains($0) }
    }

    /// Calls `body` for every scenario in turn. Data is made when it is first needed and removed after its group.
    func forEach(_ body: (Scenario) throws -> Void) throws {
        try largeFiles(body)
        try deltas(body)
        try smallFiles(body)
        try trees(body)
        try emptyFiles(body)
    }

    /// Makes the data of a group if any of its scenarios is wanted, and removes it afterwards.
    private func group(
        _ names: [String], _ make: () throws -> String, _ body: (String) throws -> Void
    ) throws {
        guard names.contains(where: wants) else { return }
        let source = try make()
        defer { try? run(["rm", "-rf", source]) }
        try body(source)
    }

    private func largeFiles(_ body: (Scenario) throws -> Void) throws {
        let bytes = Int64(sizes.megabytes) << 20
        let kinds: [(String, Connection, [String])] = [
            ("large file, local", .local, ["-a"]), ("large file, remote shell", .shell, ["-a"]),
            ("large file, daemon", .daemon, ["-a"]), ("large file, TLS", .tls, ["-a"]),
            ("large file, daemon, -z", .daemon, ["-az"]), ("large file, no change, daemon, -c", .daemon, ["-ac"]),
        ]
        try group(
            kinds.map(\.0) + ["large file, daemon, one CPU"],
            { try data.largeFile("large", megabytes: sizes.megabytes) }
        ) { source in
            for (name, connection, options) in kinds where wants(name) {
                try body(
                    Scenario(
                        name: name, bytes: bytes,
                        prepare: { options == ["-ac"] ? try copied(source) : try emptyDestination() },
                        contenders: peers.pair(connection, options, source)))
            }
            if wants("large file, daemon, one CPU") {
                try body(
                    Scenario(
                        name: "large file, daemon, one CPU", bytes: bytes, prepare: emptyDestination,
                        contenders: peers.pair(.daemon, ["-a"], source, .oneCPU)))
            }
        }
        let sparse = "sparse image, local, -S"
        try group([sparse], { try data.sparseImage("sparse", megabytes: sizes.megabytes * 4) }) { source in
            try body(
                Scenario(
                    name: sparse, bytes: bytes * 4, prepare: emptyDestination,
                    contenders: peers.pair(.local, ["-aS"], source)))
        }
    }

    private func deltas(_ body: (Scenario) throws -> Void) throws {
        let bytes = Int64(sizes.deltaMegabytes) << 20
        let matching = [0, 1, 50, 99, 100].map { ($0, "delta, \($0) % of blocks match, daemon") }
        let shifted = "delta, everything shifted by one byte, daemon"
        let appended = "delta, 1 % appended, daemon"
        let distant = "delta, 99 % of blocks match, daemon, 20 ms"
        try group(
            matching.map(\.1) + [shifted, appended, distant],
            { try data.largeFile("delta", megabytes: sizes.deltaMegabytes, seed: 9) }
        ) { source in
            func add(
                _ name: String, _ conditions: Conditions = .none, _ prepare: @escaping () throws -> Void
            ) throws {
                guard wants(name) else { return }
                try body(
                    Scenario(
                        name: name, bytes: bytes,
                        prepare: {
                            try emptyDestination()
                            try prepare()
                        }, contenders: peers.pair(.daemon, ["-a"], source, conditions)))
            }
            for (percent, name) in matching {
                try add(name) { try data.outdated(source, in: destination, changedPercent: 100 - percent) }
            }
            try add(shifted) { try data.shortened(source, in: destination, skip: 1, keepPercent: 100) }
            try add(appended) { try data.shortened(source, in: destination, skip: 0, keepPercent: 99) }
            if wants(distant) {
                try Latency.with(milliseconds: 20) { conditions in
                    try add(distant, conditions) { try data.outdated(source, in: destination, changedPercent: 1) }
                }
            }
        }
    }

    private func smallFiles(_ body: (Scenario) throws -> Void) throws {
        let first: [(String, Connection)] = [
            ("small files, local", .local), ("small files, remote shell", .shell), ("small files, daemon", .daemon),
            ("small files, TLS", .tls),
        ]
        let same: [(String, Connection, [String])] = [
            ("small files, no change, local", .local, ["-a"]), ("small files, no change, daemon", .daemon, ["-a"]),
            ("small files, no change, local, -c", .local, ["-ac"]),
        ]
        let pod = "small files, no change, daemon, 1 CPU and 1 GiB"
        let distant = "small files, daemon, 20 ms"
        let deleted = "small files, all deleted, local"
        try group(
            first.map(\.0) + same.map(\.0) + [pod, distant, deleted],
            { try data.smallFiles("small", count: sizes.files, length: 1024) }
        ) { source in
            func add(
                _ name: String, _ connection: Connection, _ options: [String] = ["-a"],
                _ conditions: Conditions = .none, _ prepare: @escaping () throws -> Void
            ) throws {
                guard wants(name) else { return }
                try body(
                    Scenario(
                        name: name, files: sizes.files, prepare: prepare,
                        contenders: peers.pair(connection, options, source, conditions)))
            }
            for (name, connection) in first { try add(name, connection, ["-a"], .none, emptyDestination) }
            for (name, connection, options) in same {
                try add(name, connection, options) { try copied(source) }
            }
            if wants(pod) {
                if let reason = MemoryLimit.reasonNot {
                    print("skipped: \(pod) (\(reason))")
                } else {
                    try MemoryLimit.with(mebibytes: 1024) { conditions in
                        try add(pod, .daemon, ["-a"], conditions) { try copied(source) }
                    }
                }
            }
            if wants(distant) {
                try Latency.with(milliseconds: 20) { conditions in
                    try add(distant, .daemon, ["-a"], conditions, emptyDestination)
                }
            }
            if wants(deleted) {
                let empty = "\(work)/nothing"
                try FileManager.default.createDirectory(atPath: empty, withIntermediateDirectories: true)
                try body(
                    Scenario(
                        name: deleted, files: sizes.files, prepare: { try copied(source) },
                        contenders: peers.pair(.local, ["-a", "--delete"], empty)))
            }
        }
    }

    private func trees(_ body: (Scenario) throws -> Void) throws {
        let tree = "deep and wide tree, daemon"
        try group([tree], { try data.deepAndWide("tree", depth: 200, width: sizes.files / 20) }) { source in
            try body(
                Scenario(
                    name: tree, files: 200 + sizes.files / 20, prepare: emptyDestination,
                    contenders: peers.pair(.daemon, ["-a"], source)))
        }
        let links = "hard links, daemon, -H"
        try group([links], { try data.hardLinks("links", groups: sizes.files / 10, links: 5) }) { source in
            try body(
                Scenario(
                    name: links, files: sizes.files / 2, prepare: emptyDestination,
                    contenders: peers.pair(.daemon, ["-aH"], source)))
        }
    }

    private func emptyFiles(_ body: (Scenario) throws -> Void) throws {
        let kinds: [(String, [String])] = [
            ("empty files, dry run, daemon", ["-rn"]),
            ("empty files, dry run, daemon, whole list", ["-rn", "--no-inc-recursive"]),
        ]
        try group(kinds.map(\.0), { try data.names("empty", count: sizes.emptyFiles) }) { source in
            for (name, options) in kinds where wants(name) {
                try body(
                    Scenario(
                        name: name, files: sizes.emptyFiles, prepare: emptyDestination,
                        contenders: peers.pair(.daemon, options, source)))
            }
        }
    }
}
