// Dray — counts bytes of the running file for progress reports.
// Layer: Engine.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Emits `.progress` events; costs one branch per buffer when nobody listens.
final class ProgressMeter {
    private let session: Session
    private let lists: LiveLists
    private let active: Bool
    private var name = Bytes()
    private var size: Int64 = 0
    private var ndx: Int32 = 0
    /// Which of the lists the file is in, from 1: each incremental list takes up one number more than it has entries.
    private var listNumber = 1
    private var files = 0
    private var finishedBytes: Int64 = 0
    private var offset: Int64 = 0
    private var lastReport: UInt64 = 0

    init(session: Session, lists: LiveLists) {
        self.session = session
        self.lists = lists
        active = session.reporter.wantsProgress
    }

    func begin(_ ndx: Int32, _ list: FileSegment, _ entry: FileEntry, size: Int64) {
        guard active else { return }
        name = list.path(entry)
        self.size = size
        self.ndx = ndx
        listNumber = lists.state.withLock { state in
            state.dropped + state.segments.firstIndex(whereSorted: { $0.ndxStart >= list.ndxStart }) + 1
        }
        offset = 0
        lastReport = 0
    }

    /// `offset` bytes of the file are done.
    @inline(__always)
    func advance(_ offset: Int64, startingAt first: Int64 = .max) {
        guard active else { return }
        report(lastReport == 0 ? min(offset, first) : offset)
    }

    private func report(_ offset: Int64) {
        self.offset = offset
        let now = monotonicNanoseconds()
        // Consumers show at most one update per second; ten per second leave them a choice.
        if now &- lastReport < 100_000_000 { return }
        lastReport = now
        emit(isLast: false)
    }

    private func emit(isLast: Bool) {
        let (known, complete, total) = lists.state.withLock { ($0.known, $0.complete, $0.knownSize) }
        let index = Int(ndx) - (lists.incremental ? listNumber : 0)
        session.reporter.event(
            .progress(
                FileProgress(
                    name: name, offset: offset, size: size, isLast: isLast, transferredFiles: files,
                    toCheck: max(0, known - index - 1), known: known, listComplete: complete,
                    totalOffset: finishedBytes + (isLast ? 0 : offset), totalSize: total)))
    }

    func end() {
        guard active else { return }
        files += 1
        offset = size
        finishedBytes += size
        emit(isLast: true)
    }

    /// The peer is done with a list (or, with one list for everything, with a phase).
    func listEnded() {
        guard active else { return }
        let (known, complete, total, last) = lists.state.withLock { state -> (Int, Bool, Int64, Int) in
            let number = max(listNumber, state.dropped + 1)
            let position = min(number - state.dropped, state.segments.count) - 1
            guard position >= 0 else { return (state.known, state.complete, state.knownSize, state.known - 1) }
            let segment = state.segments[position]
            let end = Int(segment.ndxStart) + segment.count - 1
            return (state.known, state.complete, state.knownSize, end - (lists.incremental ? number : 0))
        }
        var report = FileProgress(
            name: name, offset: size, size: size, isLast: true, transferredFiles: files,
            toCheck: max(0, known - last - 1), known: known, listComplete: complete, totalOffset: finishedBytes,
            totalSize: total)
        report.isListEnd = true
        session.reporter.event(.progress(report))
    }
}
