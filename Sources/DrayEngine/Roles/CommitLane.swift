// Dray — puts finished small files in place while the receiver takes the next ones.
// Layer: Engine. Behaviour: chapter 04 §6, §15.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import Glibc

/// A second thread of the receiver for what comes after a file's data: attributes, close, rename, the word to the
/// generator. Files go through in order; the receiver waits for all of them before it ends a list or a phase.
final class CommitLane: @unchecked Sendable {
    // Safe: slots `published..<finished + slotCount` belong to the receiver thread, the others to the lane's.

    /// A verified temporary file.
    struct Job {
        var ndx: Int32
        var list: FileSegment
        var entry: FileEntry
        /// Mode that the file is to get.
        var mode: UInt32
        /// Directory of the temporary and of the final name; stays open until the job is done.
        var parent: Int32
        var descriptor: Int32
    }

    private struct State {
        /// Jobs handed over and jobs done since the start.
        var published = 0
        var finished = 0
        var ended = false
    }

    /// Files that may wait, each with an open descriptor: a kill leaves no more temporary files than these.
    private static let slotCount = 64
    private static let group = 16

    private let destination: Destination
    private let events: ReceiverEvents
    private let jobs = UnsafeMutablePointer<Job>.allocate(capacity: slotCount)
    private let names = UnsafeMutablePointer<CChar>.allocate(capacity: slotCount * TemporaryName.capacity)
    private let state = Monitor(State())
    private var thread: RoleThread?
    /// The receiver's count of jobs, and what it knows of the other counts.
    @exclusivity(unchecked) private var produced = 0
    @exclusivity(unchecked) private var published = 0
    @exclusivity(unchecked) private var finished = 0
    private let finalName = NameBuffer()
    @exclusivity(unchecked) private var outcomes: [ReceiverEvents.Event] = []

    /// Starts the thread; nil where it could not run beside the receiver.
    init?(destination: Destination, events: ReceiverEvents) {
        self.destination = destination
        self.events = events
        guard Processors.usable > 1 else { return nil }
        outcomes.reserveCapacity(Self.slotCount)
        thread = RoleThread { [unowned self] in self.run() }
        if thread == nil { return nil }
    }

    deinit {
        jobs.deallocate()
        names.deallocate()
    }

    // MARK: - The receiver's side

    /// Takes over a file, whose temporary name is copied; waits while too many are under way.
    func put(_ job: Job, temporary: UnsafePointer<CChar>) {
        if produced - finished == Self.slotCount {
            publish()
            let oldest = finished
            finished = state.wait { $0.finished > oldest ? $0.finished : nil }
        }
        let slot = produced % Self.slotCount
        (jobs + slot).initialize(to: job)
        strcpy(names + slot * TemporaryName.capacity, temporary)
        produced += 1
        if produced - published >= Self.group { publish() }
    }

    /// Lets the thread see everything that was put.
    func publish() {
        if published == produced { return }
        published = produced
        state.notifying { $0.published = produced }
    }

    /// Waits until every file is in place and the generator has been told.
    func drain() {
        publish()
        if finished == produced { return }
        finished = state.wait { $0.finished == produced ? $0.finished : nil }
    }

    /// Completes everything and ends the thread.
    func finish() {
        drain()
        state.notifying { $0.ended = true }
        thread?.join()
        thread = nil
    }

    // MARK: - The lane's side

    private func run() {
        while true {
            let range = state.wait { state -> Range<Int>? in
                if state.published > state.finished { return state.finished..<state.published }
                return state.ended ? 0..<0 : nil
            }
            if range.isEmpty { return }
            outcomes.removeAll(keepingCapacity: true)
            for number in range {
                let slot = number % Self.slotCount
                outcomes.append(commit(jobs[slot], names + slot * TemporaryName.capacity))
                (jobs + slot).deinitialize(count: 1)
            }
            events.post(contentsOf: outcomes)
            state.notifying { $0.finished = range.upperBound }
        }
    }

    private func commit(_ job: Job, _ temporary: UnsafePointer<CChar>) -> ReceiverEvents.Event {
        let name = destination.name(job.list, job.entry, finalName)
        var status = FileStatus()
        _ = FileSystem.status(descriptor: job.descriptor, &status)
        destination.setPlainAttributes(
            directory: job.parent, name: name, descriptor: job.descriptor, list: job.list, entry: job.entry,
            mode: job.mode, status: &status)
        var code = FileSystem.close(job.descriptor)
        if code != 0 {
            destination.session.reporter.systemError(
                .receiver, Bytes("close failed on ") + destination.display(job.list, job.entry), code)
        }
        code = FileSystem.rename(job.parent, temporary, job.parent, name)
        if code == 0 { return .success(job.ndx) }
        destination.reportRename(job.list, job.entry, temporary, code)
        _ = FileSystem.unlink(job.parent, temporary)
        return .failed(job.ndx)
    }
}
