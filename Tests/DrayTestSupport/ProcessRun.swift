// Dray — starts programs for tests, with a deadline, and keeps what they print.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// How a program ended and what it printed.
public struct ProcessResult: Sendable {
    /// Exit code; 128 + signal number after a deadly signal.
    public var exitCode: Int32
    public var timedOut: Bool
    public var output: [UInt8]
    public var errors: [UInt8]
    /// Largest resident size of the program or of a child that it waited for, KiB.
    public var peakKibibytes = 0

    public var outputText: String { String(decoding: output, as: UTF8.self) }
    public var errorText: String { String(decoding: errors, as: UTF8.self) }
}

/// A program under way, leader of a process group of its own.
public final class RunningProcess {
    public let pid: pid_t
    private let outputFile: Int32
    private let errorFile: Int32
    private var status: Int32?
    private var usage = rusage()

    /// Starts `words[0]` (a path) with its standard output and error going to unnamed files.
    ///
    /// - Parameters:
    ///   - directory: working directory, or nil for the caller's.
    ///   - environment: additions to a minimal environment.
    ///   - input: descriptor that becomes standard input; −1 means `/dev/null`.
    public init(_ words: [String], in directory: String? = nil, environment: [String: String] = [:], input: Int32 = -1)
        throws
    {
        outputFile = try Self.unnamedFile()
        errorFile = try Self.unnamedFile()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if input >= 0 {
            posix_spawn_file_actions_adddup2(&actions, input, 0)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
        posix_spawn_file_actions_adddup2(&actions, outputFile, 1)
        posix_spawn_file_actions_adddup2(&actions, errorFile, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP) | Int16(POSIX_SPAWN_SETSIGMASK))
        var variables = ["PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8", "TZ": "UTC"]
        variables["HOME"] = "/nonexistent"
        variables.merge(environment) { $1 }
        let words = directory.map { ["/usr/bin/env", "-C", $0] + words } ?? words
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        var settings: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0)=\($1)") } + [nil]
        defer {
            for text in arguments { free(text) }
            for text in settings { free(text) }
        }
        var child: pid_t = 0
        let code = posix_spawn(&child, words[0], &actions, &attributes, &arguments, &settings)
        guard code == 0 else { throw SystemCallError(call: "posix_spawn \(words[0])", code: code) }
        pid = child
    }

    deinit {
        if status == nil {
            kill(-pid, SIGKILL)
            var ignored: Int32 = 0
            waitpid(pid, &ignored, 0)
        }
        close(outputFile)
        close(errorFile)
    }

    private static func unnamedFile() throws -> Int32 {
        // O_TMPFILE, which the importer does not see.
        let unnamed = 0o20_000_000 | O_DIRECTORY
        let descriptor = open("/tmp", unnamed | O_RDWR | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SystemCallError(call: "open(O_TMPFILE)", code: errno) }
        return descriptor
    }

    /// Sends a signal to the program itself.
    public func signal(_ number: Int32) { kill(pid, number) }

    public var isRunning: Bool {
        if status != nil { return false }
        var value: Int32 = 0
        if wait4(pid, &value, WNOHANG, &usage) == pid { status = value }
        return status == nil
    }

    /// Whether a process of the group does something yet (`/proc/N/stat`: number, name in brackets, state, parent, group).
    private static func hasLivingMember(_ group: pid_t) -> Bool {
        guard let directory = opendir("/proc") else { return true }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard pid_t(name) != nil, let file = fopen("/proc/\(name)/stat", "r") else { continue }
            defer { fclose(file) }
            var line = [CChar](repeating: 0, count: 1024)
            guard fgets(&line, Int32(line.count), file) != nil else { continue }
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            guard let end = text.lastIndex(of: ")") else { continue }
            let fields = text[text.index(after: end)...].split(separator: " ")
            if fields.count > 2, pid_t(fields[2]) == group, fields[0] != "Z", fields[0] != "X" { return true }
        }
        return false
    }

    /// Waits for the end; after `seconds` the whole process group is killed.
    ///
    /// What the program has left running (a remote shell, a server that notices the end) may still write: it gets
    /// `afterwards` seconds to end as well, which costs nothing where nothing is left.
    public func wait(seconds: Int = 60, afterwards: Double = 3) -> ProcessResult {
        var timedOut = false
        var waited = 0
        while isRunning {
            if waited > seconds * 1_000_000 {
                timedOut = true
                kill(-pid, SIGKILL)
            }
            usleep(2_000)
            waited += 2_000
        }
        var left = Int(afterwards * 1_000_000)
        // The number of a group stays taken while one of its processes is there, dead and not collected ones included.
        while left > 0 && kill(-pid, 0) == 0 && Self.hasLivingMember(pid) {
            usleep(2_000)
            left -= 2_000
        }
        let value = status ?? 0
        let signalNumber = value & 0x7f
        return ProcessResult(
            exitCode: signalNumber == 0 ? (value >> 8) & 0xff : 128 + signalNumber, timedOut: timedOut,
            output: Self.contents(outputFile), errors: Self.contents(errorFile), peakKibibytes: usage.ru_maxrss)
    }

    private static func contents(_ descriptor: Int32) -> [UInt8] {
        let length = Int(lseek(descriptor, 0, SEEK_END))
        if length <= 0 { return [] }
        return [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
            count = max(0, pread(descriptor, buffer.baseAddress!, length, 0))
        }
    }
}

/// Runs a program to its end, and that of what it has started.
public func run(
    _ words: [String], in directory: String? = nil, environment: [String: String] = [:], seconds: Int = 60
) throws -> ProcessResult {
    try RunningProcess(words, in: directory, environment: environment).wait(seconds: seconds)
}

/// A system call of the test itself failed.
public struct SystemCallError: Error, CustomStringConvertible {
    public var call: String
    public var code: Int32

    public init(call: String, code: Int32) {
        self.call = call
        self.code = code
    }

    public var description: String { "\(call): \(String(cString: strerror(code)))" }
}

/// A directory for one test, removed with everything in it at the end.
public final class ScratchDirectory {
    public let path: String

    /// - Parameter inMemory: prefers `/dev/shm`.
    public init(inMemory: Bool = true) throws {
        let base = inMemory && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
        var template = Array("\(base)/dray-test.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemCallError(call: "mkdtemp", code: errno) }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        chmod(path, 0o755)
    }

    deinit { removeTree(path) }
}

/// Removes a tree, whatever it holds.
public func removeTree(_ path: String) {
    _ = try? run(["/bin/rm", "-rf", "--", path])
}

/// Runs all of `bodies` at the same time, each on a thread of its own, and returns what they return, in order.
public func inParallel<Value: Sendable>(_ bodies: [@Sendable () throws -> Value]) throws -> [Value] {
    let results = Monitor<[Result<Value, any Error>?]>(Array(repeating: nil, count: bodies.count))
    let threads = bodies.enumerated().map { index, body in
        let work: @Sendable () -> Void = {
            let result = Result { try body() }
            results.withLock { $0[index] = result }
        }
        let thread = RoleThread(stackBytes: 4 << 20, work)
        if thread == nil { work() }
        return thread
    }
    for thread in threads { thread?.join() }
    return try results.withLock { try $0.map { try $0!.get() } }
}
