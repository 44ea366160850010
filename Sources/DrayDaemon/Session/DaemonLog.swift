// Dray — the daemon log: a file or syslog.
// Layer: Daemon. Behaviour: chapter 07 §13.1.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayFiles
import Glibc

/// Where log lines go. Thread-safe.
public final class DaemonLog: Sendable {
    /// Settings of a destination.
    public struct Destination: Sendable, Equatable {
        /// Empty: syslog.
        public var file: Bytes = []
        public var tag: Bytes = Bytes("rsyncd")
        public var facility = 3 << 3
        public init() {}
    }

    /// Importance of a syslog line.
    public enum Level: Sendable { case information, warning }

    private struct State {
        var destination = Destination()
        var descriptor: Int32 = -1
        var isOpen = false
        var usesSyslog = false
        /// Receives lines in place of file and syslog; for tests.
        var capture: (@Sendable (Bytes) -> Void)?
    }
    private let state = Monitor(State())
    private static let mostText = 2047

    public init(_ destination: Destination = Destination()) {
        state.withLock { $0.destination = destination }
    }

    /// A log that hands every text, unescaped and without time, to `capture`.
    public init(capture: @escaping @Sendable (Bytes) -> Void) {
        state.withLock { $0.capture = capture }
    }

    /// Changes the destination. Nothing is opened before the first line, or `open`.
    public func redirect(to destination: Destination) {
        state.withLock { state in
            if state.destination == destination && state.isOpen { return }
            Self.close(&state)
            state.destination = destination
        }
    }

    /// Opens the destination now, so that later changes of root directory and user do not matter.
    public func open() {
        tzset()
        state.withLock { Self.open(&$0) }
    }

    /// Closes the file, so that it can be rotated; the next line opens it again.
    public func close() { state.withLock { Self.close(&$0) } }

    /// Writes one line (without its newline).
    public func line(_ text: Bytes, level: Level = .information) {
        state.withLock { state in
            if let capture = state.capture { return capture(text) }
            Self.open(&state)
            Self.write(&state, text, level)
        }
    }

    public func line(_ text: String, level: Level = .information) { line(Bytes(text: text), level: level) }

    /// `rsync: [Receiver] TEXT: STRERROR (ERRNO)`
    func systemError(_ text: Bytes, _ code: Int32) {
        line(Bytes("rsync: [Receiver] ") + text + Bytes(text: ": \(errnoText(code)) (\(code))"), level: .warning)
    }

    // MARK: - Destination

    private static func close(_ state: inout State) {
        if state.descriptor >= 0 { Glibc.close(state.descriptor) }
        state.descriptor = -1
        state.isOpen = false
    }

    private static func open(_ state: inout State) {
        if state.isOpen || state.capture != nil { return }
        state.isOpen = true
        let path = state.destination.file
        if !path.isEmpty {
            let previous = umask(0)
            umask(previous | 0o022)
            let opened = openFile(path)
            umask(previous)
            if opened >= 0 {
                state.descriptor = opened
                return
            }
            openSyslog(&state)
            let reason = errnoText(-opened)
            write(
                &state,
                Bytes("rsync: [Receiver] failed to open log-file ") + path + Bytes(text: ": \(reason) (\(-opened))"),
                .warning)
            write(&state, Bytes("Ignoring \"log file\" setting."), .warning)
            return
        }
        openSyslog(&state)
    }

    /// Standard streams by their device names are links that belong to nobody in particular: the descriptor is meant.
    private static func openFile(_ path: Bytes) -> Int32 {
        let streams: [(StaticString, Int32)] = [("/dev/stdout", 1), ("/dev/stderr", 2)]
        if let stream = streams.first(where: { Bytes($0.0) == path }) {
            let copy = dray_fcntl_int(stream.1, F_DUPFD_CLOEXEC, 3)
            return copy < 0 ? -errno : copy
        }
        return OperatorFile.open(path, flags: O_WRONLY | O_APPEND | O_CREAT, mode: 0o644)
    }

    private static func openSyslog(_ state: inout State) {
        state.usesSyslog = true
        // The C library keeps the pointer: the copy is never freed.
        let tag = state.destination.tag.withCString { strdup($0) }
        openlog(tag, LOG_PID | LOG_NDELAY, Int32(clamping: state.destination.facility))
    }

    private static func write(_ state: inout State, _ text: Bytes, _ level: Level) {
        let text = Bytes(text.prefix(mostText))
        guard state.descriptor >= 0 else {
            let priority = level == .warning ? LOG_WARNING : LOG_INFO
            text.withCString { pointer in withVaList([pointer]) { vsyslog(priority, "%s", $0) } }
            return
        }
        let line = Bytes(text: ListLine.timeText(Int64(time(nil))) + " [\(getpid())] ") + escaped(text + [0x0a])
        var offset = 0
        while offset < line.count {
            let count = line[offset...].withUnsafeBytes { Glibc.write(state.descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno != EINTR { return }
            offset += max(0, count)
        }
    }

    // MARK: - Form

    /// Control bytes and the backslash of a literal escape as `\#ooo`; one trailing CR or LF is kept.
    static func escaped(_ text: Bytes) -> Bytes {
        var result: Bytes = []
        for (index, byte) in text.enumerated() {
            let isLast = index == text.count - 1
            let isControl = byte < 0x20 && byte != 0x09 || (0x80...0x9f).contains(byte)
            let isLiteralEscape =
                byte == UInt8(ascii: "\\") && index + 5 < text.count && text[index + 1] == UInt8(ascii: "#")
                && text[(index + 2)...(index + 4)].allSatisfy(\.isASCIIDigit)
            if isLast && (byte == 0x0a || byte == 0x0d) || !isControl && !isLiteralEscape {
                result.append(byte)
            } else {
                result += [UInt8(ascii: "\\"), UInt8(ascii: "#")]
                result += [byte >> 6, (byte >> 3) & 7, byte & 7].map { 0x30 + $0 }
            }
        }
        return result
    }
}
