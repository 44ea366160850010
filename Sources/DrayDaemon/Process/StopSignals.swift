// Dray — signals that end a daemon or one of its connections.
// Layer: Daemon. Behaviour: chapter 07 §4.6.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayEngine
import Glibc

/// SIGTERM, SIGINT and SIGHUP, taken by a thread of their own.
enum StopSignals {
    /// Calls `body` with each signal. The caller's thread and all later ones no longer receive them.
    static func watch(_ body: @escaping @Sendable (Int32) -> Void) {
        _ = dray_block_stop_signals()
        // The thread lives as long as the process.
        _ = RoleThread { while true { body(dray_wait_stop_signal()) } }
    }

    /// Ends `session` in an orderly way when one arrives.
    static func attach(_ session: Session) {
        watch { _ in session.interrupt(.signal) }
    }
}
