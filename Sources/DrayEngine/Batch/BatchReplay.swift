// Dray — reading a batch file in place of a sender.
// Layer: Engine. Behaviour: chapter 03 §16.3.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayWire
import Glibc

/// The file as a connection: its bytes are the sender's, and what the generator writes goes nowhere.
public final class BatchChannel: ByteChannel {
    private let descriptor: Int32
    let wishes = BatchWishes()

    /// - Parameter descriptor: open for reading; stays the caller's.
    public init(_ descriptor: Int32) { self.descriptor = descriptor }

    public var isSocket: Bool { false }

    public func read(
        into buffer: UnsafeMutableRawBufferPointer, timeoutMilliseconds: Int
    ) throws(ChannelError) -> Int {
        if wishes.isCancelled { throw .cancelled }
        let count = FileSystem.read(descriptor, buffer)
        if count < 0 { throw .system(call: "read", code: Int32(-count)) }
        return count
    }

    public func write(_ buffers: [UnsafeRawBufferPointer], timeoutMilliseconds: Int) throws(ChannelError) {
        if wishes.isCancelled { throw .cancelled }
    }

    public func closeWriting() {}
    public func cancel() { wishes.cancel() }
}

/// What the generator asks for, so that the receiver can tell wanted data from unwanted. The receiver follows the
/// generator: it takes no step that a sender could not have taken before it was asked.
final class BatchWishes: Sendable {
    /// What the receiver finds at the end of a list or phase.
    enum Next { case missing(Int32), done, cancelled }

    private struct State {
        /// Ascending. Hard links make the generator ask out of order.
        var requests: [Int32] = []
        /// Every index below this one has been decided on.
        var decided: Int32 = 0
        var endings = 0
        var cancelled = false

        func place(of ndx: Int32) -> Int {
            var (low, high) = (0, requests.count)
            while low < high {
                let middle = (low + high) / 2
                if requests[middle] < ndx { low = middle + 1 } else { high = middle }
            }
            return low
        }
    }
    private let state = Monitor(State())

    // MARK: - Generator

    func request(_ ndx: Int32) { state.notifying { $0.requests.insert(ndx, at: $0.place(of: ndx)) } }
    func decided(below ndx: Int32) { state.notifying { $0.decided = max($0.decided, ndx) } }
    func ending() { state.notifying { $0.endings += 1 } }

    // MARK: - Receiver

    /// Whether the data of `ndx`, which the batch has next, is wanted.
    func wants(_ ndx: Int32) throws(TransferFailure) -> Bool {
        let answer = state.wait { state -> Bool?? in
            if state.cancelled { return .some(nil) }
            let place = state.place(of: ndx)
            if place < state.requests.count && state.requests[place] == ndx {
                state.requests.remove(at: place)
                return true
            }
            // The generator has gone past it.
            return ndx < state.decided || place < state.requests.count ? false : nil
        }
        guard let answer else { throw TransferFailure(.signal) }
        return answer
    }

    /// Waits for the generator's end of a list or phase, after what it still wanted below `limit`.
    func next(below limit: Int32) throws(TransferFailure) -> Next {
        let next = state.wait { state -> Next? in
            if state.cancelled { return .cancelled }
            if let first = state.requests.first, first < limit {
                state.requests.removeFirst()
                return .missing(first)
            }
            guard state.endings > 0 else { return nil }
            state.endings -= 1
            return .done
        }
        if case .cancelled = next { throw TransferFailure(.signal) }
        return next
    }

    var isCancelled: Bool { state.withLock { $0.cancelled } }
    func cancel() { state.notifying { $0.cancelled = true } }
}

extension Session {
    /// Takes the outcome of the set-up from the batch file.
    func takeBatchHeader() throws(TransferFailure) {
        let claimed = BatchHeader.StreamFlags(rawValue: try reader.int32())
        remoteVersion = try reader.int32()
        let own = options.protocolVersion
        if remoteVersion > own {
            throw TransferFailure(
                .protocolIncompatible,
                "The protocol version in the batch file is too new (\(remoteVersion) > \(own)).",
                role: .unsplitReceiver)
        }
        protocolVersion = remoteVersion
        try checkProtocolVersion()
        let adopted = try claimed.adopt(into: &options, protocolVersion: protocolVersion)
        if options.info[.misc] >= 1 { for line in adopted { reporter.info(line) } }
        try checkOptionsAgainstProtocol()
        if protocolVersion >= 30 {
            flags = CompatibilityFlags(rawValue: try reader.varint())
            if incremental && !Self.allowsIncremental(options) {
                throw fail(.syntax, "Incompatible options specified for inc-recursive batch file.")
            }
        }
        reader.incremental = incremental
        checksumSeed = try reader.int32()
        try chooseRecordedAlgorithms()
    }
}

extension EngineClient {
    /// Applies a batch file to `destination`; the session's channel is a `BatchChannel`.
    ///
    /// - Returns: rsync's exit code.
    public static func replay(_ session: Session, destination: Bytes?) -> ExitCode {
        SideRun(session).run { run throws(TransferFailure) in
            try session.takeBatchHeader()
            try run.completeLocalFilters()
            try run.receive(destination, requested: [])
        }
    }
}
