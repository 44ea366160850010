// Dray — the other programs of the package, found next to this one, and their output line by line.
// Layer: Migrate.
// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Where the sibling executables are.
enum Programs {
    /// Full path of `name` beside the running program.
    static func sibling(_ name: String) throws -> String {
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let path = (own as NSString).deletingLastPathComponent + "/" + name
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw SettingsError("cannot find the program \(name) beside \(own): build it with `swift build`")
        }
        return path
    }
}

/// One child process whose standard output and error are read line by line.
final class LineProcess: @unchecked Sendable {
    // Safe: `process` is started once and then only waited for or signalled; both are thread-safe.
    private let process = Process()
    private let output = Pipe()
    private let errors = Pipe()

    init(_ path: String, _ arguments: [String], environment: [String: String] = [:]) {
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = errors
    }

    func start() throws { try process.run() }

    func terminate() { process.terminate() }

    var isRunning: Bool { process.isRunning }

    /// Reads both streams to their end and waits.
    ///
    /// - Parameters:
    ///   - onLine: complete lines of standard output.
    ///   - onError: complete lines of standard error.
    /// - Returns: exit status; 128 + signal when killed.
    func run(onLine: (String) -> Void, onError: @escaping @Sendable (String) -> Void) throws -> Int32 {
        if !process.isRunning { try start() }
        let errorHandle = errors.fileHandleForReading
        let finished = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            Self.lines(errorHandle, onError)
            finished.signal()
        }
        Self.lines(output.fileHandleForReading, onLine)
        finished.wait()
        process.waitUntilExit()
        return process.terminationReason == .uncaughtSignal
            ? 128 + process.terminationStatus : process.terminationStatus
    }

    private static func lines(_ handle: FileHandle, _ body: (String) -> Void) {
        var pending = Data()
        while true {
            let chunk = handle.availableData
            if chunk.isEmpty { break }
            pending.append(chunk)
            while let end = pending.firstIndex(of: 0x0a) {
                body(String(decoding: pending[pending.startIndex..<end], as: UTF8.self))
                pending = Data(pending[pending.index(after: end)...])
            }
        }
        if !pending.isEmpty { body(String(decoding: pending, as: UTF8.self)) }
    }
}
