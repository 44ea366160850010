// Dray — what rsync's processes tell of their end (`--debug=exit`).
// Layer: Engine. Behaviour: chapter 05 §5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayWire

/// Tells how one role leaves: when it begins to, with which code, and what the other side is told.
public struct ExitTrace {
    let session: Session
    let role: RoleName
    /// Code that the end begins with.
    let code: ExitCode
    /// The other side has ended first; rsync marks that by a negative line number.
    var isFromPeer = false

    /// Codes that are not announced: the connection is lost, or the other side was stopped as well.
    public static let silent: Set<ExitCode> = [.socketIO, .protocolStream, .userSignal1, .timeout]

    func tell(_ level: Int, _ text: @autoclosure () -> String) {
        guard session.options.debug[.exit] >= level else { return }
        session.reporter.message(messageLevel, Bytes(text: "[\(role.rawValue)] \(text())"))
    }

    func tellEntered(line: Int = #line) { tell(2, place(line) + "entered") }

    /// - Parameter final: the code that it ends with.
    func tellLeaving(_ final: ExitCode, line: Int = #line) {
        session.hasToldExit = true
        tell(1, place(isFromPeer ? -line : line) + "about to call exit(\(final.rawValue))")
        if !isFromPeer && session.protocolVersion >= 31 && !Self.silent.contains(final) {
            tell(3, "sending MSG_ERROR_EXIT with exit_code \(final.rawValue)")
            if session.options.debug[.io] >= 1 {
                let line = "[\(role.rawValue)] send_msg_int(\(MessageCode.errorExit.rawValue), \(final.rawValue))"
                session.reporter.message(messageLevel, Bytes(text: line))
            }
        }
    }

    private func place(_ line: Int) -> String {
        "_exit_cleanup(code=\(code.rawValue), file=ExitTrace.swift, line=\(isFromPeer ? -line : line)): "
    }

    /// The receiving half of a local copy speaks through its client, unless it was stopped or has not begun to.
    private var messageLevel: MessageLevel {
        guard session.options.isLocal && session.options.amServer else { return .info }
        return session.writer.isFramed && code != .userSignal1 ? .notice : .warning
    }
}
