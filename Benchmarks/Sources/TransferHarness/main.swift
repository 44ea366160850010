// Dray — compares whole transfers with the real rsync (and rsync through stunnel): same data, same run, alternately.
// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc

/// One program under test on both ends of a transfer.
struct Side {
    var name: String
    /// Starts the daemon side; nil for local copies.
    var server: (() throws -> [Process])?
    var client: [String]
}

/// One comparison.
struct Scenario {
    var name: String
    var dray: Side
    var rsync: Side
    /// Brings the destination into its starting state before every run.
    var prepare: () throws -> Void
    var bytes: Int64
    var files: Int
}

/// What one run cost.
struct Cost {
    var seconds = 0.0
    var cpu = 0.0
}

func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    return sorted.isEmpty ? 0 : sorted[sorted.count / 2]
}

func fail(_ text: String) -> Never {
    FileHandle.standardError.write(Data("transfer-harness: \(text)\n".utf8))
    exit(1)
}

/// CPU seconds of all children that have ended.
func childCPU() -> Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_CHILDREN.rawValue), &usage)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    return seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

struct Harness {
    let work: String
    let programs: String
    let runs: Int
    let megabytes: Int
    let smallFiles: Int
    let ports = (dray: 21873, drayTLS: 21874, rsync: 21875, stunnelServer: 21876, stunnelClient: 21877)

    var source: String { "\(work)/source" }
    var destination: String { "\(work)/destination" }

    func shell(_ words: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = words
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        if process.terminationStatus != 0 {
            fail("\(words.joined(separator: " ")) ended with \(process.terminationStatus)")
        }
    }

    func background(_ words: [String], port: Int) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = words
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        for _ in 0..<400 {
            if canConnect(port) { return process }
            usleep(10_000)
        }
        fail("\(words[0]) does not listen on port \(port)")
    }

    func canConnect(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = in_port_t(UInt16(port)).bigEndian
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }

    /// Runs one side once.
    func measure(_ side: Side) throws -> Cost {
        var cost = Cost()
        let before = childCPU()
        let servers = try side.server?() ?? []
        let start = DispatchTime.now().uptimeNanoseconds
        try runClient(side)
        cost.seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
        for server in servers.reversed() {
            server.terminate()
            server.waitUntilExit()
        }
        cost.cpu = childCPU() - before
        return cost
    }

    func runClient(_ side: Side) throws {
        var arguments = side.client.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var child = pid_t()
        let code = posix_spawnp(&child, side.client[0], nil, nil, &arguments, environ)
        if code != 0 { fail("cannot run \(side.client[0]): \(String(cString: strerror(code)))") }
        var status: Int32 = 0
        waitpid(child, &status, 0)
        if status != 0 { fail("\(side.name): \(side.client.joined(separator: " ")) ended with status \(status >> 8)") }
    }

    // MARK: - Peers

    func writeConfigurations() throws {
        let module =
            "log file = \(work)/daemon.log\nuse chroot = no\n[m]\npath = \(destination)\nread only = no\n"
            + (geteuid() == 0 ? "uid = root\ngid = root\n" : "")
        try module.write(toFile: "\(work)/rsyncd.conf", atomically: false, encoding: .utf8)
        try shell([
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "\(work)/key.pem", "-out",
            "\(work)/cert.pem",
            "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
        ])
        let server =
            "foreground = yes\npid =\n[r]\naccept = 127.0.0.1:\(ports.stunnelServer)\nconnect = 127.0.0.1:\(ports.rsync)\n"
            + "cert = \(work)/cert.pem\nkey = \(work)/key.pem\nTIMEOUTclose = 0\n"
        let client =
            "foreground = yes\npid =\n[r]\nclient = yes\naccept = 127.0.0.1:\(ports.stunnelClient)\n"
            + "connect = 127.0.0.1:\(ports.stunnelServer)\nTIMEOUTclose = 0\n"
        try server.write(toFile: "\(work)/stunnel-server.conf", atomically: false, encoding: .utf8)
        try client.write(toFile: "\(work)/stunnel-client.conf", atomically: false, encoding: .utf8)
    }

    func drayServer() throws -> [Process] {
        [
            try background(
                [
                    "\(programs)/rsync-server", "--config", "\(work)/rsyncd.conf", "--listen",
                    "127.0.0.1:\(ports.drayTLS)",
                    "--listen-plain", "127.0.0.1:\(ports.dray)", "--tls-cert", "\(work)/cert.pem", "--tls-key",
                    "\(work)/key.pem",
                ], port: ports.dray)
        ]
    }

    func rsyncServer() throws -> [Process] {
        [
            try background(
                [
                    "rsync", "--daemon", "--no-detach", "--config=\(work)/rsyncd.conf", "--port=\(ports.rsync)",
                    "--address=127.0.0.1",
                ], port: ports.rsync)
        ]
    }

    func stunnelServer() throws -> [Process] {
        try rsyncServer() + [
            try background(["stunnel", "\(work)/stunnel-server.conf"], port: ports.stunnelServer),
            try background(["stunnel", "\(work)/stunnel-client.conf"], port: ports.stunnelClient),
        ]
    }

    func daemonPair(_ name: String, _ options: [String], from: String) -> (Side, Side) {
        (
            Side(
                name: "dray", server: drayServer,
                client: ["\(programs)/rsync-client"] + options + ["\(from)/", "rsync://127.0.0.1:\(ports.dray)/m/"]),
            Side(
                name: "rsync", server: rsyncServer,
                client: ["rsync"] + options + ["\(from)/", "rsync://127.0.0.1:\(ports.rsync)/m/"])
        )
    }

    func tlsPair(_ options: [String], from: String) -> (Side, Side) {
        (
            Side(
                name: "dray", server: drayServer,
                client: ["\(programs)/rsync-client", "--tls-ca", "\(work)/cert.pem"] + options + [
                    "\(from)/", "rsyncs://localhost:\(ports.drayTLS)/m/",
                ]),
            Side(
                name: "rsync+stunnel", server: stunnelServer,
                client: ["rsync"] + options + ["\(from)/", "rsync://127.0.0.1:\(ports.stunnelClient)/m/"])
        )
    }

    // MARK: - Data

    func emptyDestination() throws {
        try? FileManager.default.removeItem(atPath: destination)
        try FileManager.default.createDirectory(atPath: destination, withIntermediateDirectories: true)
    }

    func makeData() throws {
        for name in ["large", "small", "delta"] {
            try FileManager.default.createDirectory(atPath: "\(source)/\(name)", withIntermediateDirectories: true)
        }
        let random = FileHandle(forReadingAtPath: "/dev/urandom")!
        func write(_ path: String, megabytes: Int) throws -> FileHandle {
            _ = FileManager.default.createFile(atPath: path, contents: nil)
            let file = FileHandle(forWritingAtPath: path)!
            for _ in 0..<megabytes { try file.write(contentsOf: random.readData(ofLength: 1 << 20)) }
            return file
        }
        _ = try write("\(source)/large/file", megabytes: megabytes)
        _ = try write("\(source)/delta/file", megabytes: min(megabytes, 256))
        let block = random.readData(ofLength: 1024)
        for index in 0..<smallFiles {
            let directory = "\(source)/small/d\(index / 500)"
            if index % 500 == 0 { mkdir(directory, 0o755) }
            _ = FileManager.default.createFile(atPath: "\(directory)/f\(index)", contents: block)
        }
    }

    /// A copy of the delta source in which `percent` of the 64 KiB pieces were replaced, with another time.
    func prepareDelta(changedPercent percent: Int) throws {
        try emptyDestination()
        try shell(["cp", "\(source)/delta/file", "\(destination)/file"])
        let file = FileHandle(forUpdatingAtPath: "\(destination)/file")!
        let size = try file.seekToEnd()
        var generator = SystemRandomNumberGenerator()
        for piece in stride(from: UInt64(0), to: size, by: 65536) where UInt64(generator.next() % 100) < UInt64(percent)
        {
            try file.seek(toOffset: piece)
            try file.write(
                contentsOf: Data((0..<8192).flatMap { _ in withUnsafeBytes(of: generator.next()) { Array($0) } }))
        }
        try file.close()
        try shell(["touch", "-d", "2001-01-01", "\(destination)/file"])
    }

    func scenarios() -> [Scenario] {
        let large = Int64(megabytes) << 20
        let delta = Int64(min(megabytes, 256)) << 20
        func make(
            _ name: String, _ pair: (Side, Side), bytes: Int64, files: Int, _ prepare: @escaping () throws -> Void
        ) -> Scenario {
            Scenario(name: name, dray: pair.0, rsync: pair.1, prepare: prepare, bytes: bytes, files: files)
        }
        var list = [
            make(
                "large file, TCP daemon", daemonPair("", ["-a"], from: "\(source)/large"), bytes: large, files: 1,
                emptyDestination),
            make("large file, TLS", tlsPair(["-a"], from: "\(source)/large"), bytes: large, files: 1, emptyDestination),
            make(
                "small files, TCP daemon", daemonPair("", ["-a"], from: "\(source)/small"), bytes: 0, files: smallFiles,
                emptyDestination),
        ]
        let local = (
            Side(name: "dray", server: nil, client: ["\(programs)/dray", "-a", "\(source)/small/", "\(destination)/"]),
            Side(name: "rsync", server: nil, client: ["rsync", "-a", "\(source)/small/", "\(destination)/"])
        )
        list.append(make("small files, local", local, bytes: 0, files: smallFiles, emptyDestination))
        list.append(
            make("small files, no change, local", local, bytes: 0, files: smallFiles) {
                try emptyDestination()
                try shell(["rsync", "-a", "\(source)/small/", "\(destination)/"])
            })
        for percent in [0, 1, 50, 100] {
            list.append(
                make(
                    "delta, \(percent) % changed, TCP daemon", daemonPair("", ["-a"], from: "\(source)/delta"),
                    bytes: delta, files: 1
                ) {
                    try prepareDelta(changedPercent: percent)
                })
        }
        return list
    }

    // MARK: - Report

    func run(only: String?) throws {
        try makeData()
        try writeConfigurations()
        func right(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        func left(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(0, width - text.count))
        }
        func number(_ value: Double) -> String { String(format: "%.2f", value) }
        print(
            left("scenario", 36) + right("dray s", 9) + right("peer s", 9) + right("ratio", 8) + right("dray cpu", 10)
                + right("peer cpu", 10) + right("cpu", 7))
        var rows: [[String: Any]] = []
        for scenario in scenarios() where only == nil || scenario.name.contains(only!) {
            var costs: [[Cost]] = [[], []]
            for run in 0...runs {
                for (index, side) in [scenario.dray, scenario.rsync].enumerated() {
                    try scenario.prepare()
                    let cost = try measure(side)
                    // The first round only warms caches.
                    if run > 0 { costs[index].append(cost) }
                }
            }
            let seconds = costs.map { median($0.map(\.seconds)) }
            let cpu = costs.map { median($0.map(\.cpu)) }
            print(
                left(scenario.name, 36) + right(number(seconds[0]), 9) + right(number(seconds[1]), 9)
                    + right(number(seconds[1] / seconds[0]), 8) + right(number(cpu[0]), 10) + right(number(cpu[1]), 10)
                    + right(number(cpu[0] / max(cpu[1], 0.001)), 7))
            rows.append([
                "scenario": scenario.name, "bytes": scenario.bytes, "files": scenario.files, "runs": runs,
                "draySeconds": costs[0].map(\.seconds), "peerSeconds": costs[1].map(\.seconds),
                "peer": scenario.rsync.name,
                "drayCPU": costs[0].map(\.cpu), "peerCPU": costs[1].map(\.cpu), "ratio": seconds[1] / seconds[0],
            ])
        }
        let json = try JSONSerialization.data(withJSONObject: rows, options: [.prettyPrinted, .sortedKeys])
        try json.write(to: URL(fileURLWithPath: "\(work)/results.json"))
        print("\nratio = peer's wall seconds / dray's; cpu = dray's CPU seconds of both ends / peer's")
        print("details: \(work)/results.json")
    }
}

var options: [String: String] = [:]
for word in CommandLine.arguments.dropFirst() {
    let parts = word.drop { $0 == "-" }.split(separator: "=", maxSplits: 1).map(String.init)
    options[parts[0]] = parts.count > 1 ? parts[1] : ""
}
if options["help"] != nil {
    print(
        "usage: TransferHarness --programs=DIR [--work=DIR] [--runs=5] [--megabytes=1024] [--files=100000] [--only=TEXT]"
    )
    exit(0)
}
guard let programs = options["programs"] else {
    fail("--programs=DIR is needed: where dray and rsync-client were built")
}
let work = options["work"] ?? "/dev/shm/dray-bench"
try? FileManager.default.removeItem(atPath: work)
try FileManager.default.createDirectory(atPath: work, withIntermediateDirectories: true)
try Harness(
    work: work, programs: programs, runs: Int(options["runs"] ?? "5") ?? 5,
    megabytes: Int(options["megabytes"] ?? "1024") ?? 1024,
    smallFiles: Int(options["files"] ?? "100000") ?? 100_000
).run(only: options["only"])
