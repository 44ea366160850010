// Dray — `rsync-client`: rsync's command line with TLS, retries and readable progress.
// Layer: Command.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayTransport
import Glibc

/// Runs `rsync-client`: rsync's grammar plus Dray's options; broken transfers are repeated.
public func rsyncClientMain(_ arguments: [Bytes]) -> Int32 {
    ignoreSIGPIPE()
    StandardDescriptors.occupy()
    let lastError = Monitor(Bytes())
    var command = RsyncCommand(withClientExtensions: true)
    command.onLastError = { text in lastError.withLock { $0 = text } }
    let isPermanent = Monitor(false)
    command.onPermanentFailure = { isPermanent.withLock { $0 = true } }
    var words = arguments
    if isatty(STDOUT_FILENO) == 0, environmentValue("DRAY_PROGRESS") == nil {
        setenv("DRAY_PROGRESS", "lines", 0)
    } else if isatty(STDOUT_FILENO) != 0, words.contains(Bytes("--info=progress2")) {
        words.insert(Bytes("--progress=bar"), at: 0)
    }
    let retries = RetrySchedule.retries(in: words)
    var attempt = 0
    while true {
        let code = command.run(words)
        guard RetrySchedule.isBrokenTransfer(code), !isPermanent.withLock({ $0 }), attempt < retries else {
            if code != .ok { writeTerminationMessage(lastError.withLock { $0 }) }
            return code.rawValue
        }
        let delay = RetrySchedule.delaySeconds(attempt: attempt)
        attempt += 1
        let note =
            "rsync-client: transfer broken (code \(code.rawValue)), attempt \(attempt) of \(retries) in \(delay) s\n"
        writeAll(STDERR_FILENO, Bytes(text: note))
        sleep(UInt32(delay))
    }
}

/// Which failures are repeated, and when.
enum RetrySchedule {
    static let defaultRetries = 20

    /// Value of `--retries` in a command line, which the parser checks as well.
    static func retries(in words: [Bytes]) -> Int {
        var context = ParseContext()
        context.withClientExtensions = true
        guard let result = try? OptionParser.parse(words, context: context), case .run(let command) = result,
            command.mode == .client
        else { return 0 }
        return command.client.retries ?? defaultRetries
    }

    static func isBrokenTransfer(_ code: ExitCode) -> Bool {
        [.socketIO, .protocolStream, .timeout, .connectTimeout].contains(code)
    }

    /// 1, 2, 4 … 60 seconds.
    static func delaySeconds(attempt: Int) -> Int { attempt >= 6 ? 60 : 1 << attempt }
}

/// Writes the last error to the file that the environment names, for whoever started the pod.
private func writeTerminationMessage(_ text: Bytes) {
    guard let path = environmentValue("DRAY_TERMINATION_LOG"), !path.isEmpty else { return }
    let descriptor = path.withCString { open($0, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644) }
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    writeAll(descriptor, Bytes(text.suffix(4096)))
}
