// Dray — the few system-call habits that every channel shares: retry on EINTR, wait with a deadline, never die of SIGPIPE.
// Layer: Transport.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import Glibc

/// Ignores SIGPIPE for the process, so that a vanished reader is an error of one write. Call once at start-up.
public func ignoreSIGPIPE() {
    _ = signal(SIGPIPE, SIG_IGN)
}

/// Repeats `call` while it fails with EINTR.
@inline(__always)
func retrying<I: FixedWidthInteger & SignedInteger>(_ call: () -> I) -> I {
    while true {
        let result = call()
        if result != -1 || errno != EINTR { return result }
    }
}

/// A point of monotonic time after which a wait gives up; nil waits for ever.
struct Deadline {
    private let nanoseconds: UInt64?

    /// - Parameter milliseconds: time from now; negative is for ever.
    init(milliseconds: Int) {
        nanoseconds = milliseconds < 0 ? nil : dray_monotonic_ns() + UInt64(milliseconds) * 1_000_000
    }

    /// Milliseconds left, rounded up, for `poll`; -1 is for ever.
    var pollMilliseconds: Int32 {
        guard let nanoseconds else { return -1 }
        let now = dray_monotonic_ns()
        return now >= nanoseconds ? 0 : Int32(clamping: (nanoseconds - now + 999_999) / 1_000_000)
    }

    var remainingMilliseconds: Int { Int(pollMilliseconds) }
}

/// The text of an errno value.
func errorText(_ code: Int32) -> String { String(cString: dray_strerror(code)) }

/// A descriptor that becomes readable, for good, once `fire` was called: wakes every `poll` that watches it.
final class WakeDescriptor: Sendable {
    let descriptor: Int32 = dray_eventfd()

    deinit { if descriptor >= 0 { close(descriptor) } }

    func fire() {
        var one: UInt64 = 1
        _ = retrying { Glibc.write(descriptor, &one, 8) }
    }
}

/// Waits until `descriptor` has one of `events` (or an error), or `wake` fired.
///
/// - Returns: false when the time is over; true otherwise, also when only `wake` fired.
func waitReady(_ descriptor: Int32, events: Int32, wake: WakeDescriptor?, deadline: Deadline) -> Bool {
    var watched = (
        pollfd(fd: descriptor, events: Int16(events), revents: 0),
        pollfd(fd: wake?.descriptor ?? -1, events: Int16(POLLIN), revents: 0)
    )
    while true {
        let ready = withUnsafeMutableBytes(of: &watched) { raw in
            // Safe: the tuple is two adjacent pollfd values.
            poll(raw.baseAddress!.assumingMemoryBound(to: pollfd.self), 2, deadline.pollMilliseconds)
        }
        if ready > 0 { return true }
        if ready == 0 { return false }
        if errno != EINTR { return true }
    }
}
