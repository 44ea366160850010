// Dray — threads that ask for the status of names beside their owner.
// Layer: Files.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// What is known of one name: valid if `code` is 0, otherwise `code` is the errno value of asking.
struct StatusOutcome {
    var status = FileStatus()
    var code: Int32 = 0
}

/// Names of one directory and room for what is found out about them.
struct StatusBatch: @unchecked Sendable {
    // Safe: the memory belongs to the scan that made the batch, which keeps it until `StatusCrew.finish` has returned;
    // each chunk of results is written by the one thread that has claimed it.
    var directory: Int32
    var follow: Bool
    /// NUL-terminated names.
    var names: UnsafePointer<UnsafePointer<CChar>>
    var outcomes: UnsafeMutablePointer<StatusOutcome>
    var count: Int

    func ask(_ range: Range<Int>) {
        for index in range {
            // Safe: the range lies in 0..<count.
            outcomes[index].code = FileSystem.status(
                directory, names[index], follow: follow, &outcomes[index].status)
        }
    }
}

/// Helpers for a thread that goes through a batch from its first name to its last. They work ahead of it in chunks; what
/// nobody has begun when the owner gets there, the owner asks itself.
final class StatusCrew: Sendable {
    private struct State {
        var batch: StatusBatch?
        var next = 0
        var running = 0
        var isDone: [Bool] = []
        var ended = false
    }

    /// Names that are claimed at a time.
    static let chunk = 8
    private let state: Monitor<State>
    private let threads: [RoleThread]

    /// Threads that were asked for.
    let size: Int

    /// Starts up to `helpers` threads; nil if the system refuses all of them.
    init?(helpers: Int) {
        let state = Monitor(State())
        self.state = state
        size = helpers
        threads = (0..<helpers).compactMap { _ in RoleThread(stackBytes: 128 * 1024) { Self.help(state) } }
        if threads.isEmpty { return nil }
    }

    deinit {
        state.notifying { $0.ended = true }
        for thread in threads { thread.join() }
    }

    private static func range(_ chunk: Int, _ batch: StatusBatch) -> Range<Int> {
        chunk * Self.chunk..<min(batch.count, (chunk + 1) * Self.chunk)
    }

    private static func help(_ state: Monitor<State>) {
        while true {
            let claimed = state.wait { state -> (Int, StatusBatch)?? in
                if state.ended { return .some(nil) }
                guard let batch = state.batch, state.next < state.isDone.count else { return nil }
                defer { state.next += 1 }
                state.running += 1
                return (state.next, batch)
            }
            guard let (chunk, batch) = claimed else { return }
            batch.ask(range(chunk, batch))
            state.notifying { state in
                state.isDone[chunk] = true
                state.running -= 1
            }
        }
    }

    /// Sets the helpers to work. `finish` must follow.
    func begin(_ batch: StatusBatch) {
        state.notifying { state in
            let chunks = (batch.count + Self.chunk - 1) / Self.chunk
            state.isDone.removeAll(keepingCapacity: true)
            state.isDone.append(contentsOf: repeatElement(false, count: chunks))
            state.next = 0
            state.batch = batch
        }
    }

    /// Returns when chunk `chunk` is done; meanwhile the owner does its share. Chunks are completed in order.
    func complete(_ chunk: Int, of batch: StatusBatch) {
        while true {
            let mine = state.wait { state -> Int?? in
                if state.isDone[chunk] { return .some(nil) }
                if state.next < state.isDone.count {
                    defer { state.next += 1 }
                    return state.next
                }
                return nil
            }
            guard let mine else { return }
            batch.ask(Self.range(mine, batch))
            state.withLock { $0.isDone[mine] = true }
        }
    }

    /// Takes the batch back: nobody touches it any more.
    func finish() {
        state.wait { state -> Void? in
            // What has not been begun is not wanted any more.
            state.next = state.isDone.count
            if state.running > 0 { return nil }
            state.batch = nil
            return ()
        }
    }
}
