// Dray — a second thread for long searches without a match.
// Layer: Delta.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Synchronization

/// Searches the later part of a stretch while the owner searches the earlier one, and keeps all candidates that it
/// meets, so that both together find what one scan of the whole would.
///
/// `start` is followed by `finish` or `cancel`; the source bytes and what a scan reads of the table stay untouched
/// between them.
final class ScanHelper: @unchecked Sendable {
    // Safe: `scanner` is used by the thread alone; `candidates` belongs to the thread from `start` to `finish` and to the
    // owner otherwise; everything else is behind the monitor or atomic.

    /// A window whose sum is in the table, or the one where a search ended.
    struct Window {
        var position: Int
        var sum: RollingChecksum
    }

    private struct Stretch {
        var data: UnsafePointer<UInt8>
        var first: Int
        var limit: Int
        var block: Int
        var table: BlockSumTable
    }

    private struct State {
        var stretch: Stretch?
        var end: Window?
        var ended = false
    }

    /// Positions between two looks at whether the search is still wanted.
    private static let pieceLength = 16 * 1024
    /// A search ends early when it has met this many.
    static let mostCandidates = 1024

    private let state = Monitor(State())
    private let isUnwanted = Atomic(false)
    private let scanner = DeltaScanner()
    private var thread: RoleThread?
    /// What the last search met, in order.
    @exclusivity(unchecked) private(set) var candidates: [Window] = []

    /// Starts the thread; nil if the system refuses one.
    init?() {
        candidates.reserveCapacity(Self.mostCandidates)
        thread = RoleThread { [unowned self] in self.run() }
        if thread == nil { return nil }
    }

    /// Ends the thread. The helper must not be used afterwards.
    func end() {
        isUnwanted.store(true, ordering: .relaxed)
        state.notifying { $0.ended = true }
        thread?.join()
        thread = nil
    }

    /// Begins to search positions `first...limit`; `limit + block` bytes of `data` are readable.
    func start(_ data: UnsafePointer<UInt8>, first: Int, limit: Int, block: Int, table: BlockSumTable) {
        isUnwanted.store(false, ordering: .relaxed)
        state.notifying {
            $0.stretch = Stretch(data: data, first: first, limit: limit, block: block, table: table)
        }
    }

    /// Waits for the end of the search and returns its last window: at the limit, or at the last candidate that there was
    /// room for.
    func finish() -> Window {
        state.wait { state in
            defer { state.end = nil }
            return state.end
        }
    }

    /// Breaks the search off and waits until it has let go of the bytes.
    func cancel() {
        isUnwanted.store(true, ordering: .relaxed)
        _ = finish()
    }

    private func run() {
        while true {
            let next = state.wait { state -> Stretch?? in
                if state.ended { return .some(nil) }
                defer { state.stretch = nil }
                return state.stretch.map { .some($0) }
            }
            guard let stretch = next else { return }
            let end = search(stretch)
            state.notifying { $0.end = end }
        }
    }

    private func search(_ stretch: Stretch) -> Window {
        candidates.removeAll(keepingCapacity: true)
        let (data, block) = (stretch.data, stretch.block)
        var position = stretch.first
        // Safe: the window at `first` ends at or before that at `limit`.
        var sum = RollingChecksum(
            RollingChecksum.sum(UnsafeRawBufferPointer(start: data + position, count: block)))
        while true {
            let limit = min(stretch.limit, position + Self.pieceLength)
            let isCandidate = scanner.scan(data, &position, limit: limit, &sum, block: block, table: stretch.table)
            if isCandidate { candidates.append(Window(position: position, sum: sum)) }
            if position >= stretch.limit || candidates.count == Self.mostCandidates
                || isUnwanted.load(ordering: .relaxed)
            {
                return Window(position: position, sum: sum)
            }
            // The window just looked at, candidate or not, is done with.
            // Safe: `position` is below the limit, so one more byte than the window is readable.
            sum.slide(
                old: data[position], new: data[position + block], length: UInt32(truncatingIfNeeded: block))
            position += 1
        }
    }
}
