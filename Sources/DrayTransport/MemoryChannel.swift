// Dray — two connected channels inside one process: the link of a local copy.
// Layer: Transport.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// One end of an in-process connection over two bounded rings.
public final class MemoryChannel: ByteChannel {
    private let incoming: ByteRing
    private let outgoing: ByteRing

    private init(incoming: ByteRing, outgoing: ByteRing) {
        self.incoming = incoming
        self.outgoing = outgoing
    }

    deinit { cancel() }

    /// Makes two connected channels.
    ///
    /// - Parameter capacity: bytes that each direction can hold; at least 1.
    public static func pair(capacity: Int = 1 << 20) -> (MemoryChannel, MemoryChannel) {
        let first = ByteRing(capacity: capacity)
        let second = ByteRing(capacity: capacity)
        return (MemoryChannel(incoming: first, outgoing: second), MemoryChannel(incoming: second, outgoing: first))
    }

    public var isSocket: Bool { false }

    public func read(into buffer: UnsafeMutableRawBufferPointer, timeoutMilliseconds: Int) throws(ChannelError) -> Int {
        try incoming.read(into: buffer, timeoutMilliseconds: timeoutMilliseconds)
    }

    public func write(_ buffers: [UnsafeRawBufferPointer], timeoutMilliseconds: Int) throws(ChannelError) {
        for buffer in buffers { try outgoing.write(buffer, timeoutMilliseconds: timeoutMilliseconds) }
    }

    public func closeWriting() { outgoing.endWriting() }

    public func cancel() {
        incoming.abandonReading()
        outgoing.abandonWriting()
    }
}

/// A bounded ring with one reader and one writer. Bytes are copied outside the lock: the region between the two
/// positions belongs to the reader, the rest to the writer, and only the owner moves its position.
private final class ByteRing: @unchecked Sendable {
    private struct State {
        /// Bytes read and written since the start; their difference is what is stored.
        var read = 0
        var written = 0
        var readerWaits = false
        var writerWaits = false
        var ended = false
        var readerGone = false
        var readerCancelled = false
        var writerCancelled = false
    }

    private let storage: UnsafeMutableRawBufferPointer
    private let state = Monitor(State())

    init(capacity: Int) {
        storage = .allocate(byteCount: max(1, capacity), alignment: 4096)
    }

    deinit { storage.deallocate() }

    func read(into buffer: UnsafeMutableRawBufferPointer, timeoutMilliseconds: Int) throws(ChannelError) -> Int {
        if buffer.count == 0 { return 0 }
        let capacity = storage.count
        let (position, available) = try waiting(timeoutMilliseconds) { (state) throws(ChannelError) -> (Int, Int)? in
            if state.readerCancelled { throw .cancelled }
            state.readerWaits = state.written == state.read && !state.ended
            return state.readerWaits ? nil : (state.read % capacity, state.written - state.read)
        }
        let count = min(available, buffer.count)
        if count == 0 { return 0 }
        let first = min(count, capacity - position)
        // Safe: `position + first <= capacity` and `count - first <= position`; both regions are the reader's.
        memcpy(buffer.baseAddress!, storage.baseAddress! + position, first)
        memcpy(buffer.baseAddress! + first, storage.baseAddress!, count - first)
        let wakes = state.withLock { state -> Bool in
            state.read += count
            // Let a blocked writer sleep until a good part is free: fewer switches between the two threads.
            return state.writerWaits && capacity - (state.written - state.read) >= capacity / 4
        }
        if wakes { state.notifying { $0.writerWaits = false } }
        return count
    }

    func write(_ buffer: UnsafeRawBufferPointer, timeoutMilliseconds: Int) throws(ChannelError) {
        let capacity = storage.count
        var done = 0
        while done < buffer.count {
            let (position, free) = try waiting(timeoutMilliseconds) { (state) throws(ChannelError) -> (Int, Int)? in
                if state.writerCancelled { throw .cancelled }
                if state.readerGone || state.ended { throw .system(call: "write", code: EPIPE) }
                let free = capacity - (state.written - state.read)
                state.writerWaits = free == 0
                return free == 0 ? nil : (state.written % capacity, free)
            }
            // A quarter of the ring at a time, so that the reader copies while the writer does.
            let count = min(free, buffer.count - done, max(1, capacity / 4))
            let first = min(count, capacity - position)
            // Safe: as in `read`, with the regions of the writer.
            memcpy(storage.baseAddress! + position, buffer.baseAddress! + done, first)
            memcpy(storage.baseAddress!, buffer.baseAddress! + done + first, count - first)
            done += count
            let wakes = state.withLock { state -> Bool in
                state.written += count
                return state.readerWaits
            }
            if wakes { state.notifying { $0.readerWaits = false } }
        }
    }

    func endWriting() { state.notifying { $0.ended = true } }

    func abandonReading() {
        state.notifying { state in
            state.readerCancelled = true
            state.readerGone = true
        }
    }

    func abandonWriting() {
        state.notifying { state in
            state.writerCancelled = true
            state.ended = true
        }
    }

    private func waiting<R>(
        _ milliseconds: Int, _ body: (inout State) throws(ChannelError) -> R?
    ) throws(ChannelError) -> R {
        if milliseconds < 0 { return try state.wait(until: body) }
        guard let result = try state.wait(milliseconds: milliseconds, until: body) else { throw .timedOut }
        return result
    }
}
