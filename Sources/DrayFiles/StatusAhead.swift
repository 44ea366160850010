// Dray — asks early for the status of names that will be looked at soon.
// Layer: Files.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// Warms what the system knows of names, where asking takes long: answers of other machines and of disks stay in memory
/// for a while, so that the one thread that goes through the names later does not have to wait for each. What is learned
/// here is thrown away; nothing depends on it.
public final class StatusAhead {
    private let helpers: StatusHelpers
    private var crew: StatusCrew?
    private let room = StatusRoom()
    @exclusivity(unchecked) private var text: [CChar] = []
    @exclusivity(unchecked) private var offsets: [Int] = []
    private var directory: Int32 = -1
    @exclusivity(unchecked) private var calls = 0
    /// Mean nanoseconds of the last calls whose time was taken, newer ones weighing more.
    @exclusivity(unchecked) private var mean: UInt64 = 0
    /// Names that are asked for in one go.
    public static let batch = 256

    public init(helpers: StatusHelpers = .standard) { self.helpers = helpers }

    deinit { finish() }

    /// Runs `body`, one call that asks for a status, and takes the time of every 16th.
    @inline(__always)
    @discardableResult
    public func measure<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        calls &+= 1
        if calls & 15 != 1 { return try body() }
        let start = monotonicNanoseconds()
        defer { mean = (mean * 3 + (monotonicNanoseconds() - start)) / 4 }
        return try body()
    }

    /// Answers are slow, so that it pays to ask early.
    public var isWanted: Bool { helpers.slow > 0 && mean >= helpers.slowNanoseconds }

    /// Adds a name to the next batch.
    public func add(_ name: UnsafeRawBufferPointer) {
        offsets.append(text.count)
        text.append(contentsOf: name.lazy.map { CChar(bitPattern: $0) })
        text.append(0)
    }

    /// Starts asking for what was added, in `directory` (its descriptor may be closed afterwards); waits for the batch
    /// before.
    public func begin(in directory: Int32) {
        if offsets.isEmpty { return }
        self.directory = fcntl(directory, F_DUPFD_CLOEXEC, 0)
        if crew == nil { crew = StatusCrew(helpers: helpers.slow) }
        guard let crew, self.directory >= 0 else { return }
        room.reserve(offsets.count)
        text.withUnsafeBufferPointer { text in
            // Safe: `text` is not touched before `finish`, and `reserve` has made room for every offset.
            for (index, offset) in offsets.enumerated() { room.names[index] = text.baseAddress! + offset }
        }
        crew.begin(
            StatusBatch(
                directory: self.directory, follow: false, names: UnsafePointer(room.names), outcomes: room.outcomes,
                count: offsets.count))
    }

    /// Waits until nobody asks any more, leaves out what has not been begun, and forgets the names.
    public func finish() {
        crew?.finish()
        if directory >= 0 { _ = FileSystem.close(directory) }
        directory = -1
        text.removeAll(keepingCapacity: true)
        offsets.removeAll(keepingCapacity: true)
    }
}
