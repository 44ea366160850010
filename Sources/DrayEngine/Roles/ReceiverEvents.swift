// Dray — what the receiver tells the generator of the same side.
// Layer: Engine. Behaviour: chapter 03 §1.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Queue from the receiver thread to the generator thread. Bounded by the files in flight (8 bytes each).
final class ReceiverEvents: Sendable {
    enum Event: Sendable {
        /// The file is complete under its final name.
        case success(Int32)
        /// The file is complete and waits for the end to get its name (`--delay-updates`).
        case delayed
        /// A delayed file has its final name, or was given up (reported).
        case published(Int32, isInPlace: Bool)
        /// The sender could not open the file.
        case noSend(Int32)
        /// The file could not be stored; nothing more will come of it.
        case failed(Int32)
        /// Verification failed: ask once more.
        case redo(Int32)
        /// Long attribute values of an item that was handled without data have come.
        case attributes(FileSegment, FileEntry)
        /// The receiver has read the end of a phase.
        case phaseDone
        /// The peer announced its exit, or the stream is broken: the run is over.
        case ended(TransferFailure)
    }
    private struct State {
        var queue: [Event] = []
        /// Something else happened that a waiting generator wants to look at.
        var woken = false
    }
    private let state = Monitor(State())

    func post(_ event: Event) { state.notifying { $0.queue.append(event) } }

    func post(contentsOf events: [Event]) { state.notifying { $0.queue.append(contentsOf: events) } }

    /// Everything queued, without waiting.
    func take() -> [Event] {
        state.withLock { state in
            if state.queue.isEmpty { return [] }
            let taken = state.queue
            state.queue.removeAll(keepingCapacity: true)
            return taken
        }
    }

    /// Waits for at least one event, at most `milliseconds`; empty if none came.
    func wait(milliseconds: Int) -> [Event] {
        state.wait(milliseconds: milliseconds) { state in
            if state.queue.isEmpty && !state.woken { return nil }
            state.woken = false
            let taken = state.queue
            state.queue.removeAll(keepingCapacity: true)
            return taken
        } ?? []
    }

    /// Wakes a waiting generator without telling it anything (new lists, queued messages).
    func wake() { state.notifying { $0.woken = true } }
}
