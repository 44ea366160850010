// Dray — copies one volume with the controller's settings, attempt after attempt.
// Layer: Migrate. Contract: chapter 09 §3, §7, §8.
// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Runs the client for a volume until it succeeds or the attempts are used up.
public struct VolumeRun: Sendable {
    public var settings: ControllerSettings
    public var volume = VolumeOptions()
    /// Source directory (its contents are sent) and target URL.
    public var source: String
    public var target: String
    /// Further client words: TLS files, port.
    public var clientArguments: [String] = []
    public var environment: [String: String] = [:]
    /// Program to run; nil takes `rsync-client` beside this program.
    public var client: String?
    /// Seconds between attempts.
    public var delaySeconds = 3.0

    public init(settings: ControllerSettings, source: String, target: String) {
        self.settings = settings
        self.source = source
        self.target = target
    }

    /// Exit codes that another attempt cannot mend: usage, unsupported request, refused by the daemon.
    static let hopeless: Set<Int32> = [1, 4, 5]

    /// Runs all attempts.
    ///
    /// - Parameters:
    ///   - onLine: lines for the controller's log reader.
    ///   - onJSON: one JSON object per event.
    /// - Returns: exit code of the last attempt.
    public func run(onLine: (String) -> Void, onJSON: (String) -> Void) throws -> Int32 {
        let program = try client ?? Programs.sibling("rsync-client")
        var tracker = ProgressTracker()
        var code: Int32 = 0
        for attempt in 1...settings.backoffLimit {
            tracker.begin(attempt: attempt)
            onJSON(tracker.json(event: "started"))
            let words =
                clientArguments + settings.arguments(for: volume) + [
                    source.hasSuffix("/") ? source : source + "/", target,
                ]
            var environment = environment
            environment["DRAY_PROGRESS"] = "lines"
            let process = LineProcess(program, ["--retries=0"] + words, environment: environment)
            let start = Date()
            code = try process.run { line in
                if let record = ProgressRecord(line: line) {
                    tracker.note(record)
                    onLine(record.controllerLine)
                    onJSON(tracker.json(event: "progress", extra: ["transferred": record.transferred]))
                } else {
                    onLine(line)
                }
            } onError: { line in
                FileHandle.standardError.write(Data((line + "\n").utf8))
            }
            let seconds = Int(Date().timeIntervalSince(start).rounded())
            if code == 0 {
                tracker.finish()
                onJSON(tracker.json(event: "succeeded", extra: ["seconds": seconds]))
                return 0
            }
            onJSON(tracker.json(event: "failed", extra: ["exitCode": Int(code), "seconds": seconds]))
            if Self.hopeless.contains(code) || attempt == settings.backoffLimit { break }
            Thread.sleep(forTimeInterval: delaySeconds)
        }
        onJSON(tracker.json(event: "gaveUp", extra: ["exitCode": Int(code)]))
        return code
    }
}
