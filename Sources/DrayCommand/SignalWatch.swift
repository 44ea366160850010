// Dray — the signals that end a run in good order.
// Layer: Command. Behaviour: chapter 05 §2.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayEngine
import Glibc

/// Turns INT, TERM and HUP into a controlled end.
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

    private static var signals: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&set, signal) }
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
            guard let session, isFirst else {
                writeAll(STDERR_FILENO, Reporter.errorLine(.signal, role: .client) + [0x0a])
                _exit(ExitCode.signal.rawValue)
            }
            session.interrupt(.signal)
        }
    }
}
