// Dray — a complete migration on this machine: certificates, server, client, verification, delta pass.
// Layer: Migrate.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayTransport
import Foundation
import Glibc

/// Writes one line at once: the demo is watched while it runs, also through a pipe.
private func print(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

/// What the demo could not do; one line.
struct DemoError: Error, CustomStringConvertible {
    var description: String
    init(_ text: String) { description = text }
}

/// Migrates a real tree over mutual TLS 1.3 between two processes on loopback and proves the result.
struct Demo {
    /// Tree to migrate; nil takes trees that every Debian machine has.
    var directory: String?
    var keepsFiles = false
    private let work: String
    private var environment: [String: String] = [:]
    private let isRoot = geteuid() == 0

    private static let defaultTrees = ["/usr/bin", "/usr/share/zoneinfo", "/usr/share/doc"]

    init(directory: String?, keepsFiles: Bool) throws {
        self.directory = directory
        self.keepsFiles = keepsFiles
        var template = Array((NSTemporaryDirectory() + "/dray-demo.XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else {
            throw DemoError("cannot make a temporary directory: \(String(cString: strerror(errno)))")
        }
        work = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        for part in ["certs", "source", "volume"] {
            try FileManager.default.createDirectory(atPath: "\(work)/\(part)", withIntermediateDirectories: false)
        }
    }

    /// One pass as the table shows it.
    private struct Pass {
        var name: String
        var files = 0
        var bytes: Int64 = 0
        var seconds = 0.0
        var wire: Int64 = 0
        var literal: Int64 = 0
        var verified = ""
    }

    /// Runs everything; returns the exit code.
    func run() throws -> Int32 {
        defer { if !keepsFiles { try? FileManager.default.removeItem(atPath: work) } }
        let server = try startServer()
        defer { server.process.terminate() }
        try takeSnapshot()
        print("server   rsync-server on 127.0.0.1:\(server.port), TLS 1.3, client certificate required")
        print("client   rsync-client as root@localhost with its own certificate, host name checked\n")

        var first = Pass(name: "first copy")
        try transfer(port: server.port, &first)
        let differences = verify(&first)
        var second = Pass(name: "delta pass")
        let changed = try changeSomeFiles()
        print("\nchanged  \(changed) in the source; migrating again\n")
        try transfer(port: server.port, &second)
        let later = verify(&second)
        table([first, second])
        for line in differences + later { print("DIFFERS  \(line)") }
        if keepsFiles { print("\nkept     \(work)") }
        return differences.isEmpty && later.isEmpty ? 0 : 1
    }

    // MARK: - Preparation

    private func startServer() throws -> (process: LineProcess, port: Int) {
        let authority = try CertificateAuthority.create(commonName: "Dray demo CA", validDays: 2)
        let serverCertificate = try authority.issue(
            commonName: "localhost", dnsNames: ["localhost"], ipAddresses: ["127.0.0.1", "::1"], isServer: true)
        let clientCertificate = try authority.issue(commonName: "demo-client", isServer: false)
        let certificates = "\(work)/certs"
        func write(_ bytes: Bytes, _ name: String) throws {
            try CertificateAuthority.writePrivate(bytes, to: Bytes(text: "\(certificates)/\(name)"))
        }
        try write(authority.pem, "ca.pem")
        try write(serverCertificate.certificatePEM, "server.pem")
        try write(serverCertificate.keyPEM, "server.key")
        try write(clientCertificate.certificatePEM, "client.pem")
        try write(clientCertificate.keyPEM, "client.key")
        var generator = SystemRandomNumberGenerator()
        let password = String(generator.next(), radix: 36) + String(generator.next(), radix: 36)
        try write(Bytes(text: "root:\(password)\n"), "secrets")
        setenv("RSYNC_PASSWORD", password, 1)
        let owner = isRoot ? "uid = root\ngid = root\nuse chroot = yes\n" : "use chroot = no\n"
        let configuration = """
            log file = \(work)/server.log
            \(owner)munge symlinks = no

            [volume]
                path = \(work)/volume
                read only = no
                auth users = root
                secrets file = \(certificates)/secrets

            """
        try configuration.write(toFile: "\(work)/rsyncd.conf", atomically: false, encoding: .utf8)
        let port = try Self.freePort()
        let process = LineProcess(
            try Programs.sibling("rsync-server"),
            [
                "--config", "\(work)/rsyncd.conf", "--listen", "127.0.0.1:\(port)", "--tls-cert",
                "\(certificates)/server.pem",
                "--tls-key", "\(certificates)/server.key", "--tls-client-ca", "\(certificates)/ca.pem",
            ])
        try process.start()
        for _ in 0..<200 {
            if Self.canConnect(port) { return (process, port) }
            if !process.isRunning { break }
            usleep(25_000)
        }
        process.terminate()
        throw DemoError("rsync-server did not start; see \(work)/server.log")
    }

    private static func freePort() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard bound else { throw DemoError("no free port on loopback") }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    private static func canConnect(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = in_port_t(UInt16(port)).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }

    /// Copies the tree to a private source, so that the delta pass can change files.
    private func takeSnapshot() throws {
        let trees: [String]
        if let directory {
            trees = [try Self.checked(directory)]
        } else {
            trees = Self.defaultTrees.filter { access($0, R_OK) == 0 }
        }
        print("source   snapshot of \(directory ?? trees.joined(separator: " "))")
        let operands = directory == nil ? trees : trees.map { $0.hasSuffix("/") ? $0 : $0 + "/" }
        let process = LineProcess(
            try Programs.sibling("dray"), ["-aH", "--numeric-ids"] + operands + ["\(work)/source/"])
        let code = try process.run(
            onLine: { print($0) }, onError: { FileHandle.standardError.write(Data(($0 + "\n").utf8)) })
        if code != 0 && code != 23 && code != 24 { throw DemoError("the snapshot failed with exit code \(code)") }
    }

    private static func checked(_ path: String) throws -> String {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue else {
            throw DemoError("\(path) is not a directory")
        }
        return path
    }

    // MARK: - Passes

    private func transfer(port: Int, _ pass: inout Pass) throws {
        let certificates = "\(work)/certs"
        let process = LineProcess(
            try Programs.sibling("rsync-client"),
            [
                "-aH", "--numeric-ids", "--delete", "--partial", "--info=progress2,stats2", "--no-human-readable",
                "--tls-ca", "\(certificates)/ca.pem", "--tls-cert", "\(certificates)/client.pem", "--tls-key",
                "\(certificates)/client.key", "\(work)/source/", "rsyncs://root@localhost:\(port)/volume/",
            ], environment: ["DRAY_PROGRESS": "lines"])
        var values: [String: Int64] = [:]
        let start = DispatchTime.now()
        let code = try process.run { line in
            if let record = ProgressRecord(line: line) { return print(record.controllerLine) }
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 {
                let digits = parts[1].prefix { $0 != "(" && !$0.isLetter }.filter(\.isNumber)
                if let value = Int64(digits) { values[String(parts[0])] = value }
            }
        } onError: { line in
            FileHandle.standardError.write(Data((line + "\n").utf8))
        }
        pass.seconds = Double(DispatchTime.now().uptimeNanoseconds - start.uptimeNanoseconds) / 1e9
        if code != 0 { throw DemoError("rsync-client ended with exit code \(code)") }
        pass.files = Int(values["Number of regular files transferred"] ?? 0)
        pass.bytes = values["Total transferred file size"] ?? 0
        pass.literal = values["Literal data"] ?? 0
        pass.wire = (values["Total bytes sent"] ?? 0) + (values["Total bytes received"] ?? 0)
    }

    private func verify(_ pass: inout Pass) -> [String] {
        let comparison = TreeComparison("\(work)/source", "\(work)/volume")
        pass.verified = comparison.differences.isEmpty ? "\(comparison.entries) entries" : "NO"
        print(
            "verified \(comparison.entries) entries: \(comparison.files) files (\(comparison.hardLinks) hard-linked names), "
                + "\(comparison.symlinks) symlinks, \(comparison.bytes) bytes compared")
        return comparison.differences
    }

    /// Changes the middle of the largest files, appends to one, adds one and removes one.
    private func changeSomeFiles() throws -> String {
        var files: [(size: Int, path: String)] = []
        let enumerator = FileManager.default.enumerator(atPath: "\(work)/source")
        while let name = enumerator?.nextObject() as? String {
            var status = stat()
            let path = "\(work)/source/\(name)"
            if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_nlink == 1 {
                files.append((Int(status.st_size), path))
            }
        }
        files.sort { $0.size > $1.size }
        var edited = 0
        for file in files.prefix(3) where file.size > 64 {
            guard let handle = FileHandle(forUpdatingAtPath: file.path) else { continue }
            try handle.seek(toOffset: UInt64(file.size / 2))
            try handle.write(contentsOf: Data("changed by the demo".utf8))
            try handle.close()
            edited += 1
        }
        if files.count > 4, let handle = FileHandle(forUpdatingAtPath: files[3].path) {
            try handle.seekToEnd()
            try handle.write(contentsOf: Data("appended by the demo\n".utf8))
            try handle.close()
            edited += 1
        }
        try "a new file\n".write(toFile: "\(work)/source/new-file", atomically: false, encoding: .utf8)
        var removed = 0
        if let last = files.last, files.count > 5 {
            try FileManager.default.removeItem(atPath: last.path)
            removed = 1
        }
        return "\(edited) files, 1 new, \(removed) removed"
    }

    // MARK: - Table

    private func table(_ passes: [Pass]) {
        func left(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(0, width - text.count))
        }
        func right(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        print("")
        print(
            left("pass", 12) + right("files", 8) + right("bytes", 14) + right("literal", 14) + right("on the wire", 14)
                + right("MB/s", 9) + right("verified", 18))
        for pass in passes {
            let rate = Double(pass.bytes) / 1e6 / max(pass.seconds, 0.001)
            print(
                left(pass.name, 12) + right(String(pass.files), 8) + right(String(pass.bytes), 14)
                    + right(String(pass.literal), 14)
                    + right(String(pass.wire), 14) + right(String(format: "%.1f", rate), 9) + right(pass.verified, 18))
        }
    }
}
