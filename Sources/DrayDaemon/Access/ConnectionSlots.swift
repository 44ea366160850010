// Dray — `max connections`: slots that live as long as the process that took them.
// Layer: Daemon. Behaviour: chapter 07 §9.2.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayFiles
import Glibc

/// Range locks on a lock file, four bytes for each connection.
enum ConnectionSlots {
    enum Outcome: Equatable {
        /// The lock is held by this descriptor, which stays open until the process ends.
        case claimed(Int32)
        case unlimited
        case full
        /// The lock file cannot be opened; an errno value.
        case failed(Int32)
    }

    /// Tries to take a slot.
    static func claim(lockFile: Bytes, limit: Int) -> Outcome {
        if limit == 0 { return .unlimited }
        if limit < 0 { return .full }
        let descriptor = OperatorFile.open(lockFile, flags: O_RDWR | O_CREAT, mode: 0o600)
        if descriptor < 0 { return .failed(-descriptor) }
        for slot in 0..<limit where dray_try_lock_range(descriptor, off_t(slot * 4), 4) == 0 {
            return .claimed(descriptor)
        }
        close(descriptor)
        return .full
    }
}
