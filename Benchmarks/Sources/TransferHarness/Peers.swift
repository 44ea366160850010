// Dray — the two programs on both ends: locally, over a remote shell, over a daemon's socket, and over TLS.
// SPDX-License-Identifier: Apache-2.0

import Foundation

/// How the two ends reach each other.
enum Connection: String, Codable, CaseIterable {
    case local, shell, daemon, tls
}

/// Conditions for the processes of both ends.
struct Conditions {
    /// Words in front of the client's and the server's command.
    var client: [String] = []
    var server: [String] = []
    /// Milliseconds of a round trip to a daemon; nil for none but the machine's own.
    var roundTrip: Int?

    static let none = Conditions()
    static let oneCPU = Conditions(client: ["taskset", "-c", "0"], server: ["taskset", "-c", "0"])
}

/// One program on both ends.
struct Contender {
    var name: String
    var servers: () throws -> [ChildProcess]
    var client: [String]
    /// Port and delay of what stands between client and server.
    var distance: (port: Int, milliseconds: Int)?
}

struct Peers {
    let work: String
    let programs: String
    private let ports = (dray: 21873, drayTLS: 21874, rsync: 21875, stunnelServer: 21876, stunnelClient: 21877)

    private var destination: String { "\(work)/destination" }

    /// Configurations, a certificate, and a remote shell that runs its command here.
    func prepare() throws {
        func write(_ name: String, _ text: String, mode: Int = 0o644) throws {
            try text.write(toFile: "\(work)/\(name)", atomically: false, encoding: .utf8)
            chmod("\(work)/\(name)", mode_t(mode))
        }
        try write(
            "rsyncd.conf",
            "log file = \(work)/daemon.log\nuse chroot = no\n[m]\npath = \(destination)\nread only = no\n"
                + (geteuid() == 0 ? "uid = root\ngid = root\n" : ""))
        try write("shell", "#!/bin/sh\nshift\nexec \"$@\"\n", mode: 0o755)
        try run([
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "\(work)/key.pem", "-out",
            "\(work)/cert.pem", "-days", "2", "-subj", "/CN=localhost", "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ])
        let base = "foreground = yes\npid =\n[r]\nTIMEOUTclose = 0\n"
        try write(
            "stunnel-server.conf",
            base + "accept = 0.0.0.0:\(ports.stunnelServer)\nconnect = 127.0.0.1:\(ports.rsync)\n"
                + "cert = \(work)/cert.pem\nkey = \(work)/key.pem\n")
    }

    // MARK: - Servers

    private func background(_ words: [String], listensOn port: Int, _ conditions: Conditions) throws -> ChildProcess {
        let process = try ChildProcess(conditions.server + words, errors: "\(work)/server.errors")
        for _ in 0..<500 {
            if Self.isListening(port) { return process }
            usleep(10_000)
        }
        throw HarnessError("\(words[0]) does not listen on port \(port)")
    }

    /// Looks into the kernel's table instead of connecting, which a server would have to answer.
    private static func isListening(_ port: Int) -> Bool {
        let wanted = String(format: ":%04X 00000000:0000 0A", port)
        let other = String(format: ":%04X 00000000000000000000000000000000:0000 0A", port)
        for name in ["tcp", "tcp6"] {
            guard let text = try? String(contentsOfFile: "/proc/net/\(name)", encoding: .utf8) else { continue }
            if text.contains(wanted) || text.contains(other) { return true }
        }
        return false
    }

    private func drayServer(_ conditions: Conditions) throws -> [ChildProcess] {
        [
            try background(
                [
                    "\(programs)/rsync-server", "--config", "\(work)/rsyncd.conf", "--listen",
                    "0.0.0.0:\(ports.drayTLS)", "--listen-plain", "0.0.0.0:\(ports.dray)", "--tls-cert",
                    "\(work)/cert.pem", "--tls-key", "\(work)/key.pem",
                ], listensOn: ports.dray, conditions)
        ]
    }

    private func rsyncServer(_ conditions: Conditions) throws -> [ChildProcess] {
        [
            try background(
                ["rsync", "--daemon", "--no-detach", "--config=\(work)/rsyncd.conf", "--port=\(ports.rsync)"],
                listensOn: ports.rsync, conditions)
        ]
    }

    private func stunnelServers(_ conditions: Conditions) throws -> [ChildProcess] {
        let client =
            "foreground = yes\npid =\n[r]\nTIMEOUTclose = 0\nclient = yes\n"
            + "accept = 127.0.0.1:\(ports.stunnelClient)\nconnect = 127.0.0.1:\(ports.stunnelServer)\n"
        try client.write(toFile: "\(work)/stunnel-client.conf", atomically: false, encoding: .utf8)
        var near = conditions
        near.server = conditions.client
        return try rsyncServer(conditions) + [
            try background(["stunnel", "\(work)/stunnel-server.conf"], listensOn: ports.stunnelServer, conditions),
            try background(["stunnel", "\(work)/stunnel-client.conf"], listensOn: ports.stunnelClient, near),
        ]
    }

    // MARK: - Pairs

    /// Dray and its rival, each on both ends, pushing `source` into the destination.
    func pair(
        _ connection: Connection, _ options: [String], _ source: String, _ conditions: Conditions = .none
    ) -> [Contender] {
        let words = conditions.client
        let all = options + ["--stats"]
        let place = "\(destination)/"
        let nothing: () throws -> [ChildProcess] = { [] }
        switch connection {
        case .local:
            return [
                Contender(
                    name: "dray", servers: nothing, client: words + ["\(programs)/dray"] + all + [source + "/", place]),
                Contender(name: "rsync", servers: nothing, client: words + ["rsync"] + all + [source + "/", place]),
            ]
        case .shell:
            let far = ["-e", "\(work)/shell"]
            return [
                Contender(
                    name: "dray", servers: nothing,
                    client: words + ["\(programs)/dray"] + far + ["--rsync-path=\(programs)/dray"] + all
                        + [source + "/", "host:" + place]),
                Contender(
                    name: "rsync", servers: nothing,
                    client: words + ["rsync"] + far + all + [source + "/", "host:" + place]),
            ]
        case .daemon:
            let relay = conditions.roundTrip.map { _ in Latency.port }
            return [
                Contender(
                    name: "dray", servers: { try drayServer(conditions) },
                    client: words + ["\(programs)/rsync-client"] + all
                        + [source + "/", "rsync://127.0.0.1:\(relay ?? ports.dray)/m/"],
                    distance: conditions.roundTrip.map { (ports.dray, $0) }),
                Contender(
                    name: "rsync", servers: { try rsyncServer(conditions) },
                    client: words + ["rsync"] + all + [source + "/", "rsync://127.0.0.1:\(relay ?? ports.rsync)/m/"],
                    distance: conditions.roundTrip.map { (ports.rsync, $0) }),
            ]
        case .tls:
            return [
                Contender(
                    name: "dray", servers: { try drayServer(conditions) },
                    client: words + ["\(programs)/rsync-client", "--tls-ca", "\(work)/cert.pem"] + all
                        + [source + "/", "rsyncs://127.0.0.1:\(ports.drayTLS)/m/"]),
                Contender(
                    name: "rsync+stunnel", servers: { try stunnelServers(conditions) },
                    client: words + ["rsync"] + all
                        + [source + "/", "rsync://127.0.0.1:\(ports.stunnelClient)/m/"]),
            ]
        }
    }
}

/// A distance between the two ends of a daemon connection.
enum Latency {
    static let port = 21880

    /// Calls `body` with conditions under which a daemon is a round trip of `milliseconds` away.
    static func with(milliseconds: Int, _ body: (Conditions) throws -> Void) throws {
        try body(Conditions(roundTrip: milliseconds))
    }
}

/// A memory limit for both ends, through the first hierarchy of control groups that there is.
enum MemoryLimit {
    static func with(mebibytes: Int, _ body: (Conditions) throws -> Void) throws {
        let isOld = access("/sys/fs/cgroup/memory/cgroup.procs", W_OK) == 0
        let group = isOld ? "/sys/fs/cgroup/memory/dray-bench" : "/sys/fs/cgroup/dray-bench"
        mkdir(group, 0o755)
        defer { rmdir(group) }
        let limit = isOld ? "memory.limit_in_bytes" : "memory.max"
        try "\(mebibytes << 20)".write(toFile: "\(group)/\(limit)", atomically: false, encoding: .utf8)
        let enter = [
            "sh", "-c", "echo $$ > \(group)/cgroup.procs && exec taskset -c 0 \"$@\"", "enter",
        ]
        try body(Conditions(client: enter, server: enter))
    }

    static var reasonNot: String? {
        let isThere = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].contains { access("\($0)/cgroup.procs", W_OK) == 0 }
        return isThere ? nil : "needs a writable control group hierarchy for memory"
    }
}
