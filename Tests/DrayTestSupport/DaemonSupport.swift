// Dray — starts daemons and clients for tests, in a directory that goes away with the test.
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Programs that can serve modules.
public enum DaemonKind: String, Sendable, CaseIterable {
    case rsyncServer, rsync, dray
}

/// Programs that can be the client.
public enum DaemonClient: String, Sendable, CaseIterable {
    case dray, rsync

    public var program: String { self == .dray ? DaemonLab.built("dray") : DaemonLab.rsync }
}

/// How a program ended.
public struct LabResult: Sendable, CustomStringConvertible {
    public var code: Int32
    public var out: String
    public var err: String
    public var timedOut = false
    public var seconds = 0.0
    public var description: String {
        "code \(code)\(timedOut ? " (timed out)" : ""), \(seconds) s\n--- stdout\n\(out)--- stderr\n\(err)"
    }
}

/// A program under way, leader of its process group.
public final class LabProcess {
    public let pid: pid_t
    private let outFile: String
    private let errFile: String
    private let start = DaemonLab.now()
    private var status: Int32?

    init(_ words: [String], _ environment: [String: String], _ files: String, input: Int32 = -1, output: Int32 = -1) {
        outFile = files + ".out"
        errFile = files + ".err"
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        if input >= 0 {
            posix_spawn_file_actions_adddup2(&actions, input, 0)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
        if output >= 0 {
            posix_spawn_file_actions_adddup2(&actions, output, 1)
        } else {
            posix_spawn_file_actions_addopen(&actions, 1, outFile, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0o600)
        }
        posix_spawn_file_actions_addopen(&actions, 2, errFile, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0o600)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        var all = ["PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"]
        all.merge(environment) { $1 }
        var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = all.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var identifier: pid_t = 0
        let code = posix_spawn(&identifier, words[0], &actions, &attributes, &argv, &envp)
        pid = code == 0 ? identifier : -1
        if code != 0 { status = 127 << 8 }
    }

    deinit { end() }

    public var isRunning: Bool {
        if status != nil { return false }
        var value: Int32 = 0
        if waitpid(pid, &value, WNOHANG) == pid { status = value }
        return status == nil
    }

    public func signal(_ number: Int32) { if isRunning { kill(pid, number) } }

    /// Ends the whole group.
    public func end() {
        // A process that was already waited for may have given its number to another.
        if isRunning {
            kill(-pid, SIGKILL)
            var value: Int32 = 0
            waitpid(pid, &value, 0)
            status = value
        }
    }

    public var out: String { DaemonLab.text(outFile) ?? "" }
    public var err: String { DaemonLab.text(errFile) ?? "" }

    public func wait(seconds limit: Double = 20) -> LabResult {
        var pause: UInt32 = 500
        while isRunning, DaemonLab.now() - start < limit {
            usleep(pause)
            pause = min(pause * 2, 10_000)
        }
        let timedOut = isRunning
        if timedOut { end() }
        let value = status ?? 0
        let code = value & 0x7f == 0 ? (value >> 8) & 0xff : 128 + (value & 0x7f)
        return LabResult(code: code, out: out, err: err, timedOut: timedOut, seconds: DaemonLab.now() - start)
    }
}

/// A listening daemon.
public final class LabDaemon {
    public let port: Int
    public let process: LabProcess
    public let logFile: String

    init(_ port: Int, _ process: LabProcess, _ logFile: String) {
        self.port = port
        self.process = process
        self.logFile = logFile
    }

    public var log: String { DaemonLab.text(logFile) ?? "" }
    public var isAlive: Bool { process.isRunning }
    public func url(_ path: String, user: String = "", scheme: String = "rsync") -> String {
        "\(scheme)://\(user.isEmpty ? "" : user + "@")localhost:\(port)/\(path)"
    }

    /// Waits for the log to say `text`.
    public func logs(_ text: String, seconds: Double = 4) -> Bool {
        DaemonLab.eventually(seconds) { self.log.contains(text) }
    }
}

/// A scratch directory with the programs that run in it.
public final class DaemonLab {
    public let root: String
    private var counter = 0
    private var daemons: [LabDaemon] = []
    public static let rsync = "/usr/bin/rsync"

    public static func built(_ program: String) -> String { DrayPrograms.path(program) }

    public static var isUsable: Bool {
        geteuid() == 0 && access(rsync, X_OK) == 0 && access(built("dray"), X_OK) == 0
    }

    public init() {
        var template = Array("/tmp/dray-daemon.XXXXXX".utf8CString)
        precondition(mkdtemp(&template) != nil)
        root = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        chmod(root, 0o755)
    }

    deinit {
        for daemon in daemons { daemon.process.end() }
        let words = ["/bin/rm", "-rf", root]
        var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for pointer in argv { free(pointer) } }
        var identifier: pid_t = 0
        if posix_spawn(&identifier, words[0], nil, nil, &argv, nil) == 0 { waitpid(identifier, nil, 0) }
    }

    // MARK: - Time and text

    public static func now() -> Double {
        var value = timespec()
        clock_gettime(CLOCK_MONOTONIC, &value)
        return Double(value.tv_sec) + Double(value.tv_nsec) / 1e9
    }

    public static func eventually(_ seconds: Double = 4, _ condition: () -> Bool) -> Bool {
        let end = now() + seconds
        while !condition() {
            if now() > end { return false }
            usleep(5000)
        }
        return true
    }

    public static func text(_ path: String) -> String? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            if count == 0 { break }
            bytes += buffer[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    public func path(_ name: String) -> String { root + "/" + name }

    @discardableResult
    public func write(_ name: String, _ text: String, mode: mode_t = 0o644) -> String {
        let file = fopen(path(name), "we")!
        fputs(text, file)
        fclose(file)
        chmod(path(name), mode)
        return path(name)
    }

    public func make(_ name: String, mode: mode_t = 0o755) -> String {
        mkdir(path(name), 0o755)
        chmod(path(name), mode)
        return path(name)
    }

    // MARK: - Programs

    public func start(
        _ words: [String], environment: [String: String] = [:], input: Int32 = -1, output: Int32 = -1
    ) -> LabProcess {
        counter += 1
        return LabProcess(words, environment, path(".run\(counter)"), input: input, output: output)
    }

    public func run(_ words: [String], environment: [String: String] = [:], seconds: Double = 20) -> LabResult {
        start(words, environment: environment).wait(seconds: seconds)
    }

    @discardableResult
    public func shell(_ script: String) -> LabResult { run(["/bin/sh", "-ec", script]) }

    /// Port that was free a moment ago.
    public static func freePort() -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | 0o2000000, 0)
        defer { close(descriptor) }
        var address = loopback(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(descriptor, $0, length)
                _ = getsockname(descriptor, $0, &length)
            }
        }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    private static func loopback(_ port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return address
    }

    /// Connects to a port of this machine; −1 on failure.
    public static func dial(_ port: Int) -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | 0o2000000, 0)
        var address = loopback(port)
        let code = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if code == 0 { return descriptor }
        close(descriptor)
        return -1
    }

    /// Sends `text`, then reads until the peer closes or `milliseconds` pass without a byte.
    public static func talk(_ port: Int, _ text: [UInt8], milliseconds: Int32 = 700, until end: String = "") -> String {
        let descriptor = dial(port)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var sent = 0
        while sent < text.count {
            let count = text[sent...].withUnsafeBytes {
                send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { break }
            sent += count
        }
        return read(descriptor, milliseconds, until: end)
    }

    /// What arrives on a socket, up to and with `end`, or until `milliseconds` pass without a byte.
    public static func read(_ descriptor: Int32, _ milliseconds: Int32, until end: String = "") -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while poll(&waiting, 1, milliseconds) > 0 {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count <= 0 { break }
            bytes += buffer[..<count]
            if !end.isEmpty && String(decoding: bytes, as: UTF8.self).contains(end) { break }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Writes `config` (with `@` standing for the scratch directory) and starts a daemon on it.
    public func daemon(
        _ kind: DaemonKind, _ config: String, extra: [String] = [], tls: [String] = [],
        logFile: String = "", environment: [String: String] = [:]
    ) -> LabDaemon {
        counter += 1
        let log = logFile.isEmpty ? path("daemon\(counter).log") : logFile
        let file = write("daemon\(counter).conf", "log file = \(log)\n" + config.replacing("@", with: root))
        let port = Self.freePort()
        var words: [String]
        switch kind {
        case .rsyncServer:
            words = [Self.built("rsync-server"), "--config=\(file)"]
            words += [tls.isEmpty ? "--listen-plain=127.0.0.1:\(port)" : "--listen=127.0.0.1:\(port)"] + tls
        case .rsync, .dray:
            words = [kind == .rsync ? Self.rsync : Self.built("dray"), "--daemon", "--no-detach", "--config=\(file)"]
            words += ["--port=\(port)", "--address=127.0.0.1"]
        }
        let daemon = LabDaemon(port, start(words + extra, environment: environment), log)
        daemons.append(daemon)
        _ = Self.eventually(5) { Self.answers(port) || !daemon.isAlive }
        return daemon
    }

    /// Whether somebody listens.
    public static func answers(_ port: Int) -> Bool {
        let descriptor = dial(port)
        if descriptor >= 0 { close(descriptor) }
        return descriptor >= 0
    }

    // MARK: - Trees

    /// A tree with one of everything that `-aH` keeps.
    public func sampleTree(_ name: String) -> String {
        let directory = make(name)
        shell(
            """
            cd \(directory)
            mkdir -p sub/deeper empty 'with space'
            printf 'hello\\n' > a; printf 'world\\n' > sub/b; : > sub/empty-file
            head -c 300000 /dev/urandom > sub/deeper/big
            printf x > 'with space/é ü'; ln a sub/hard; ln a hard2
            ln -s a soft; ln -s ../a sub/up; ln -s nowhere dangling; mkfifo pipe
            chmod 4711 sub/b; chmod 2770 sub; chmod 000 sub/empty-file; chown 1234:2345 sub/b; chown -h 7:8 soft
            # The peer does not set times that are equal to the second.
            find . -exec touch -h -d '2000-01-02 03:04:05.678' {} +
            touch -d '2001-02-03 04:05:06.123456789' a sub/b; touch -h -d '2002-02-03 04:05:06.5' soft
            touch -d '2003-03-03 03:03:03.25' empty sub/deeper 'with space'; touch -d '2004-04-04 04:04:04.5' sub .
            """)
        return directory
    }

    /// One line per item below `directory`: everything that `-aH --numeric-ids` keeps.
    public static func manifest(_ directory: String) -> [String] {
        var lines: [String] = []
        var firstNames: [ino_t: String] = [:]
        func visit(_ relative: String) {
            let full = relative.isEmpty ? directory : directory + "/" + relative
            var status = stat()
            guard lstat(full, &status) == 0 else { return }
            let type = status.st_mode & S_IFMT
            var line =
                "\(relative.isEmpty ? "." : relative) \(String(status.st_mode, radix: 8)) "
                + "\(status.st_uid):\(status.st_gid) \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
            if type == S_IFREG {
                line += " \(status.st_size) \(hash(full))"
                if status.st_nlink > 1 {
                    line += " = \(firstNames[status.st_ino] ?? "first")"
                    if firstNames[status.st_ino] == nil { firstNames[status.st_ino] = relative }
                }
            } else if type == S_IFLNK {
                line += " -> \(target(full))"
            }
            lines.append(line)
            if type == S_IFDIR {
                for name in names(full) { visit(relative.isEmpty ? name : relative + "/" + name) }
            }
        }
        visit("")
        return lines
    }

    /// What differs between two trees; empty when they are the same.
    public static func difference(_ one: String, _ other: String, wholeSeconds: Bool = false) -> [String] {
        func lines(_ directory: String) -> Set<String> {
            let all = manifest(directory)
            if !wholeSeconds { return Set(all) }
            return Set(
                all.map { line in
                    line.split(separator: " ", omittingEmptySubsequences: false).map { word in
                        word.split(separator: ".").count == 2 && word.allSatisfy { $0.isNumber || $0 == "." }
                            ? String(word.split(separator: ".")[0]) : String(word)
                    }.joined(separator: " ")
                })
        }
        let (left, right) = (lines(one), lines(other))
        return left.subtracting(right).map { "< " + $0 }.sorted() + right.subtracting(left).map { "> " + $0 }.sorted()
    }

    public static func names(_ directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    public static func target(_ path: String) -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes { raw in
            readlink(path, raw.baseAddress!.assumingMemoryBound(to: CChar.self), raw.count)
        }
        return count < 0 ? "" : String(decoding: buffer[..<count], as: UTF8.self)
    }

    private static func hash(_ path: String) -> String {
        guard let file = fopen(path, "re") else { return "unreadable" }
        defer { fclose(file) }
        var value: UInt64 = 0xcbf2_9ce4_8422_2325
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            if count == 0 { return String(value, radix: 16) }
            buffer.withUnsafeBufferPointer { pointer in
                for index in 0..<count { value = (value ^ UInt64(pointer[index])) &* 0x100_0000_01b3 }
            }
        }
    }
}

extension String {
    /// Every `text` becomes `other`.
    func replacing(_ text: Character, with other: String) -> String {
        reduce(into: "") { $0 += $1 == text ? other : String($1) }
    }
}
