// Dray — the log of `--log-file`.
// Layer: Command. Behaviour: chapter 05 §6.4.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import Glibc

/// An open log, a file or the system's; lines are written whole, one system call each.
final class LogFile: Sendable {
    /// −1: the system's log.
    private let descriptor: Int32

    /// Opens `path` for appending; nil sets errno.
    ///
    /// - Parameter options: which links on the way are followed.
    init?(_ path: Bytes, _ options: TransferOptions) {
        let opened = OperatorFile.open(
            path, flags: O_WRONLY | O_APPEND | O_CREAT, mode: 0o644, trusting: options.insecureLinks,
            confineRoot: options.confinement)
        guard opened >= 0 else {
            errno = -opened
            return nil
        }
        descriptor = opened
    }

    /// The system's log, as rsync opens it.
    init() {
        descriptor = -1
        // Safe: the text lives as long as the process; its address is kept by the C library.
        openlog(Self.identity, LOG_PID, Self.facility)
    }

    // LOG_DAEMON and the levels, macros that the importer does not see.
    private static let facility: Int32 = 3 << 3
    nonisolated(unsafe) private static let identity = strdup("rsyncd")

    // An object that could not be made is also deinitialised: errno stays what it was.
    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Writes lines, dated; empty ones are left out.
    ///
    /// - Parameter isOneLine: line ends inside belong to a name and are escaped.
    func write(_ text: Bytes, isWarning: Bool = false, isOneLine: Bool = true) {
        let whole = text.last == 0x0a ? text.dropLast() : text[...]
        for line in isOneLine ? [whole] : text.split(separator: 0x0a) where !line.isEmpty {
            if descriptor < 0 {
                let priority = Self.facility | (isWarning ? LOG_WARNING : LOG_INFO)
                (OutputEscaping.escape(Bytes(line), .log, isLine: false) + [0]).withUnsafeBytes { raw in
                    // Safe: ends with NUL, and syslog keeps no pointer to it.
                    let pointer = raw.baseAddress!.assumingMemoryBound(to: CChar.self)
                    withVaList([pointer]) { vsyslog(priority, "%s", $0) }
                }
                continue
            }
            var record = Bytes(text: "\(ListLine.timeText(Int64(time(nil)))) [\(getpid())] ")
            record += OutputEscaping.escape(Bytes(line), .log, isLine: false)
            record.append(0x0a)
            writeAll(descriptor, record)
        }
    }
}

/// Writes all of `bytes` to a descriptor; false if that is not possible.
@discardableResult func writeAll(_ descriptor: Int32, _ bytes: Bytes) -> Bool {
    bytes.withUnsafeBytes { raw in
        var rest = raw[...]
        while !rest.isEmpty {
            let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if count < 0 {
                if errno == EINTR { continue }
                if errno == EAGAIN {
                    var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = Glibc.poll(&poll, 1, -1)
                    continue
                }
                return false
            }
            rest = rest.dropFirst(count)
        }
        return true
    }
}
