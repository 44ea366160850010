// Dray — the signals that end a run in good order.
// Layer: Command. Behaviour: chapter 05 §2.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayEngine
import Glibc

/// Turns INT, TERM, HUP and USR1 into a controlled end.
final class SignalWatch: Sendable {
    private struct State {
        var session: Session?
        var received = false
    }
    private static let state = Monitor(State())
    private static let thread: RoleThread? = RoleThread(stackBytes: 128 * 1024) { SignalWatch.watch() }

    /// Blocks the signals in the calling thread, and so in all later ones, and starts the thread that takes them.
    init() {
        var set = Self.signals
        pthread_sigmask(SIG_BLOCK, &set, nil)
        _ = Self.thread
    }

    func attach(_ session: Session) { Self.state.withLock { $0.session = session } }

    /// Ends the session, if there is one, as a signal would.
    static func interrupt(_ code: ExitCode) { state.withLock { $0.session }?.interrupt(code) }

    private static var signals: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGUSR1] { sigaddset(&set, signal) }
        return set
    }

    private static func watch() {
        var set = signals
        while true {
            var number: Int32 = 0
            guard sigwait(&set, &number) == 0 else { continue }
            let (session, isFirst) = state.withLock { state -> (Session?, Bool) in
                defer { state.received = true }
                return (state.session, !state.received)
            }
            // A client ends its remote shell by this one.
            let code = number == SIGUSR1 ? ExitCode.userSignal1 : .signal
            guard let session, isFirst else {
                writeAll(STDERR_FILENO, Reporter.errorLine(code, role: .client) + [0x0a])
                _exit(code.rawValue)
            }
            session.interrupt(code)
        }
    }
}
