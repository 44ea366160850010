// Dray — child processes with what they cost: wall time, CPU time and peak memory of them and of what they started.
// SPDX-License-Identifier: Apache-2.0

import Foundation

struct HarnessError: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

/// What one process and the descendants that it waited for used.
struct Usage: Codable {
    /// User and system time in seconds.
    var cpu = 0.0
    /// Largest resident set of any single process, in KiB.
    var peakKiB = 0

    static func + (left: Usage, right: Usage) -> Usage {
        Usage(cpu: left.cpu + right.cpu, peakKiB: max(left.peakKiB, right.peakKiB))
    }
}

/// A running program. Output goes to files, so that nothing ever waits for a reader.
final class ChildProcess {
    let words: [String]
    let id: pid_t
    private var isEnded = false

    private let costs: String

    /// Path of the launcher, next to the harness itself.
    private static let launcher: String = {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes {
            readlink("/proc/self/exe", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        let own = String(decoding: buffer[..<max(0, count)], as: UTF8.self)
        return own.split(separator: "/").dropLast().map { "/" + $0 }.joined() + "/Launcher"
    }()
    nonisolated(unsafe) private static var number = 0

    init(_ words: [String], output: String = "/dev/null", errors: String = "/dev/null") throws {
        self.words = words
        Self.number += 1
        costs = "/tmp/dray-harness-\(getpid())-\(Self.number)"
        let all = [Self.launcher, costs] + words
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        var arguments = all.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var child = pid_t()
        let code = posix_spawn(&child, Self.launcher, &actions, nil, &arguments, environ)
        guard code == 0 else { throw HarnessError("cannot run \(Self.launcher): \(String(cString: strerror(code)))") }
        id = child
    }

    /// Waits for the end; returns the exit status (128 + signal if a signal ended it) and the cost.
    func wait() -> (status: Int32, usage: Usage) {
        var status: Int32 = 0
        while waitpid(id, &status, 0) < 0 && errno == EINTR {}
        isEnded = true
        defer { unlink(costs) }
        let code = status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
        let numbers = (try? String(contentsOfFile: costs, encoding: .utf8))?.split(whereSeparator: \.isWhitespace) ?? []
        guard numbers.count == 2, let cpu = Double(numbers[0]), let peak = Int(numbers[1]) else {
            return (code, Usage())
        }
        return (code, Usage(cpu: cpu, peakKiB: peak))
    }

    /// Ends a server and returns what it cost.
    func stop() -> Usage {
        guard !isEnded else { return Usage() }
        kill(id, SIGTERM)
        return wait().usage
    }

    deinit { if !isEnded { _ = stop() } }
}

/// Runs a helper program to its end and insists on success.
func run(_ words: [String]) throws {
    let (status, _) = try ChildProcess(words).wait()
    if status != 0 { throw HarnessError("\(words.joined(separator: " ")) ended with \(status)") }
}

/// Whether a program of this name can be run.
func isInstalled(_ program: String) -> Bool {
    let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
    return path.split(separator: ":").contains { access("\($0)/\(program)", X_OK) == 0 }
}

/// Seconds since an arbitrary point.
func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
