// Dray — names in a directory with their status, asked for by several threads where that pays.
// Layer: Files.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// When a scan takes helpers, and how many.
///
/// Where the system answers from memory a second thread costs as much as it brings, unless processors are idle. Where each
/// answer is a message to another machine or a read of a disk, the thread only waits, and many can wait at a time.
public struct StatusHelpers: Sendable {
    /// Helpers while answers are quick; 0 for none.
    public var quick: Int
    /// Helpers while answers are slow; 0 for none.
    public var slow: Int
    /// Mean nanoseconds of an answer from which it counts as slow.
    public var slowNanoseconds: UInt64

    public init(quick: Int, slow: Int, slowNanoseconds: UInt64) {
        self.quick = quick
        self.slow = slow
        self.slowNanoseconds = slowNanoseconds
    }

    /// The roles of both sides may keep three processors busy.
    public static let standard = Self(quick: Processors.usable >= 4 ? 1 : 0, slow: 7, slowNanoseconds: 40_000)
}

/// Memory for the statuses of one piece of a directory; made when it is first needed.
final class StatusRoom {
    private(set) var names = UnsafeMutablePointer<UnsafePointer<CChar>>.allocate(capacity: 0)
    private(set) var outcomes = UnsafeMutablePointer<StatusOutcome>.allocate(capacity: 0)
    private var capacity = 0
    var count = 0

    deinit { free() }

    private func free() {
        names.deallocate()
        outcomes.deallocate()
    }

    func reserve(_ wanted: Int) {
        if wanted <= capacity { return }
        free()
        names = .allocate(capacity: wanted)
        outcomes = .allocate(capacity: wanted)
        outcomes.initialize(repeating: StatusOutcome(), count: wanted)
        capacity = wanted
    }
}

extension DirectoryScan {
    /// Names of which the time of the first answers is taken.
    private static var sample: Int { StatusCrew.chunk }
    /// Fewer names than this are not worth a thread, and so many not while answers are quick.
    private static var smallest: Int { 4 * StatusCrew.chunk }
    private static var smallestQuick: Int { 32 * StatusCrew.chunk }

    /// Calls `body` with every name except `.` and `..`, in directory order, with the name's status (of what a symlink
    /// points to with `follow`) and 0, or with an unspecified status and the errno value of asking.
    ///
    /// - Parameter body: gets a name that is NUL-terminated behind its last byte and valid during the call only.
    /// - Returns: 0 or an errno value of reading.
    public func forEachStatus<E: Error>(
        _ descriptor: Int32, follow: Bool,
        _ body: (UnsafeRawBufferPointer, inout FileStatus, Int32) throws(E) -> Void
    ) throws(E) -> Int32 {
        while true {
            let count = fill(descriptor)
            if count <= 0 { return Int32(-count) }
            var status = FileStatus()
            // A record takes at least 24 bytes.
            if helpers.slow == 0 && helpers.quick == 0 || count < 24 * Self.smallest {
                try forEachRecord(count) { (name, _) throws(E) in
                    let code = FileSystem.status(
                        descriptor, name.baseAddress!.assumingMemoryBound(to: CChar.self), follow: follow, &status)
                    try body(name, &status, code)
                }
                continue
            }
            let batch = collect(descriptor, follow, count)
            try forEach(in: batch, body)
        }
    }

    private func collect(_ descriptor: Int32, _ follow: Bool, _ count: Int) -> StatusBatch {
        room.reserve(count / 24)
        room.count = 0
        forEachRecord(count) { name, _ in
            // Safe: there are at most count / 24 records.
            room.names[room.count] = UnsafePointer(name.baseAddress!.assumingMemoryBound(to: CChar.self))
            room.count += 1
        }
        return StatusBatch(
            directory: descriptor, follow: follow, names: UnsafePointer(room.names), outcomes: room.outcomes,
            count: room.count)
    }

    private func forEach<E: Error>(
        in batch: StatusBatch, _ body: (UnsafeRawBufferPointer, inout FileStatus, Int32) throws(E) -> Void
    ) throws(E) {
        let first = 0..<min(Self.sample, batch.count)
        let start = monotonicNanoseconds()
        batch.ask(first)
        let isSlow = monotonicNanoseconds() - start >= helpers.slowNanoseconds * UInt64(first.count)
        try hand(batch, first, to: body)
        var rest = batch
        rest.names += first.count
        rest.outcomes += first.count
        rest.count -= first.count
        let isEnough = rest.count >= (isSlow ? Self.smallest : Self.smallestQuick)
        let crew = isEnough ? crew(isSlow: isSlow) : nil
        crew?.begin(rest)
        defer { crew?.finish() }
        for (number, position) in stride(from: 0, to: rest.count, by: StatusCrew.chunk).enumerated() {
            let range = position..<min(rest.count, position + StatusCrew.chunk)
            if let crew { crew.complete(number, of: rest) } else { rest.ask(range) }
            try hand(rest, range, to: body)
        }
    }

    private func hand<E: Error>(
        _ batch: StatusBatch, _ range: Range<Int>,
        to body: (UnsafeRawBufferPointer, inout FileStatus, Int32) throws(E) -> Void
    ) throws(E) {
        for index in range {
            // Safe: the range lies in 0..<count.
            let name = UnsafeRawBufferPointer(start: batch.names[index], count: strlen(batch.names[index]))
            try body(name, &batch.outcomes[index].status, batch.outcomes[index].code)
        }
    }

    /// As many helpers as are of use now; they stay until others are needed.
    private func crew(isSlow: Bool) -> StatusCrew? {
        let wanted = isSlow ? helpers.slow : helpers.quick
        if wanted == 0 { return nil }
        if crew?.size != wanted { crew = StatusCrew(helpers: wanted) }
        return crew
    }
}
