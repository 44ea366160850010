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
        offset = 0
        lastReport = 0
    }

    /// `offset` bytes of the file are done.
    @inline(__always)
    func advance(_ offset: Int64) {
        guard active else { return }
        report(offset)
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
        let index = Int(ndx) - (lists.incremental ? 1 : 0)
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

    func phaseEnded() {}
    func finish() {}
}
