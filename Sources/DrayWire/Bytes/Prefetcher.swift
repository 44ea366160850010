// Dray — receives the next buffer while the last one is being used.
// Layer: Wire.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// One read of a channel at a time, on a thread of its own.
///
/// Belongs to the reading role: `start` and `wait` alternate, and nobody else reads the channel between them.
final class Prefetcher {
    private struct State {
        var target: UnsafeMutableRawBufferPointer?
        var outcome: Result<Int, ChannelError>?
        var stopped = false
    }

    private let channel: any ByteChannel
    private let state = Monitor(State())
    private let thread: RoleThread
    /// A read has been started and its outcome not been taken.
    private(set) var isBusy = false

    /// Starts the thread; nil if the system refuses one.
    init?(_ channel: any ByteChannel) {
        self.channel = channel
        let state = state
        guard let thread = RoleThread({ Self.serve(state, channel) }) else { return nil }
        self.thread = thread
    }

    deinit {
        state.notifying { $0.stopped = true }
        // Nobody will take what that read gives; the connection is of no more use.
        if isBusy { channel.cancel() }
        thread.join()
    }

    /// Begins to read into `target`, which must stay valid and untouched until `wait` has returned.
    func start(_ target: UnsafeMutableRawBufferPointer) {
        isBusy = true
        state.notifying { $0.target = target }
    }

    /// Takes the outcome of the read; throws `.timedOut` when it has none after `milliseconds` (negative: waits for ever).
    func wait(milliseconds: Int) throws(ChannelError) -> Int {
        func take(_ state: inout State) -> Result<Int, ChannelError>? {
            defer { state.outcome = nil }
            return state.outcome
        }
        guard
            let outcome = milliseconds < 0
                ? state.wait(until: take) : state.wait(milliseconds: milliseconds, until: take)
        else { throw .timedOut }
        isBusy = false
        return try outcome.get()
    }

    private static func serve(_ state: Monitor<State>, _ channel: any ByteChannel) {
        while true {
            let target = state.wait { state -> UnsafeMutableRawBufferPointer?? in
                if state.stopped { return .some(nil) }
                defer { state.target = nil }
                return state.target.map { .some($0) }
            }
            guard let target else { return }
            let outcome: Result<Int, ChannelError>
            do throws(ChannelError) {
                outcome = .success(try channel.read(into: target, timeoutMilliseconds: -1))
            } catch {
                outcome = .failure(error)
            }
            state.notifying { $0.outcome = outcome }
        }
    }
}
