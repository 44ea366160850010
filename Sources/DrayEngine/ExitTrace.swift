// Dray — what rsync's processes tell of their end (`--debug=exit`).
// Layer: Engine. Behaviour: chapter 05 §5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayWire

/// The lines about an end, each beginning with the role.
public struct ExitLines {
    /// Codes that are not announced: the connection is lost, or the other side was stopped as well.
    static let silent: Set<ExitCode> = [.socketIO, .protocolStream, .userSignal1, .timeout]

    private let role: RoleName
    private let code: ExitCode
    /// The other side has ended first; rsync marks that by a negative line number.
    private let isFromPeer: Bool
    private let line: Int

    /// - Parameter code: the one that the end begins with.
    public init(_ role: RoleName, _ code: ExitCode, isFromPeer: Bool = false, line: Int = #line) {
        self.role = role
        self.code = code
        self.isFromPeer = isFromPeer
        self.line = line
    }

    private func place(_ line: Int) -> String {
        "[\(role.rawValue)] _exit_cleanup(code=\(code.rawValue), file=ExitTrace.swift, line=\(line)): "
    }

    public func entered(_ level: Int) -> [String] {
        level >= 2 ? [place(isFromPeer ? -line : line) + "entered"] : []
    }

    /// - Parameters:
    ///   - final: the code that it ends with.
    ///   - announces: the other side is told the code, unless it is lost.
    public func leaving(_ level: Int, _ final: ExitCode, announces: Bool) -> [String] {
        var lines = level >= 1 ? [place(line) + "about to call exit(\(final.rawValue))"] : []
        if level >= 3 && announces && !Self.silent.contains(final) {
            lines.append("[\(role.rawValue)] sending MSG_ERROR_EXIT with exit_code \(final.rawValue)")
        }
        return lines
    }
}

/// Tells how one role leaves: when it begins to, with which code, and what the other side is told.
public struct ExitTrace {
    let session: Session
    let role: RoleName
    /// Code that the end begins with.
    let code: ExitCode
    /// The other side has ended first.
    var isFromPeer = false

    private var level: Int { session.options.debug[.exit] }

    private func lines(_ line: Int) -> ExitLines { ExitLines(role, code, isFromPeer: isFromPeer, line: line) }

    private func tell(_ lines: [String]) {
        for line in lines { session.reporter.message(messageLevel, Bytes(text: line)) }
    }

    func tell(_ wanted: Int, _ text: @autoclosure () -> String) {
        if level >= wanted { tell(["[\(role.rawValue)] \(text())"]) }
    }

    func tellEntered(line: Int = #line) { tell(lines(line).entered(level)) }

    /// - Parameter final: the code that it ends with.
    func tellLeaving(_ final: ExitCode, line: Int = #line) {
        session.hasToldExit = true
        let announces = !isFromPeer && session.protocolVersion >= 31
        tell(lines(line).leaving(level, final, announces: announces))
        if announces && !ExitLines.silent.contains(final) && session.options.debug[.io] >= 1 {
            tell(["[\(role.rawValue)] send_msg_int(\(MessageCode.errorExit.rawValue), \(final.rawValue))"])
        }
    }

    /// The receiving half of a local copy speaks through its client, unless it was stopped or has not begun to.
    private var messageLevel: MessageLevel {
        guard session.options.isLocal && session.options.amServer else { return .info }
        return session.writer.isFramed && code != .userSignal1 ? .notice : .warning
    }
}
