// Dray — blocking reads and writes with time limits and cancelling over a pair of file descriptors.
// Layer: Transport.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import Glibc

/// The engine under `SocketChannel` and `PipeChannel`: one descriptor to read, one to write (they may be equal).
///
/// Descriptors are closed by whoever notices last: the end that is in a system call closes after it, so that a number is
/// never reused under a running call.
final class DescriptorDuplex: @unchecked Sendable {
    /// How a descriptor can be used without ever blocking in the kernel.
    enum Kind {
        /// `recv`/`sendmsg` with MSG_DONTWAIT: the mode of the shared open file stays as it is.
        case socket
        /// A pipe whose open file is ours alone and non-blocking.
        case nonblocking
        /// A pipe shared with others: wait first; one write is at most PIPE_BUF bytes, which then never blocks.
        case sharedPipe
        /// File, terminal or other device.
        case other
    }

    private struct State {
        var readDescriptor: Int32
        var writeDescriptor: Int32
        var reading = false
        var writing = false
        var cancelled = false
        var writingEnded = false
    }

    let readKind: Kind
    let writeKind: Kind
    private let sameDescriptor: Bool
    private let wake = WakeDescriptor()
    private let state: Monitor<State>

    init(read: Int32, write: Int32, readKind: Kind, writeKind: Kind) {
        self.readKind = readKind
        self.writeKind = writeKind
        sameDescriptor = read == write
        state = Monitor(State(readDescriptor: read, writeDescriptor: write))
    }

    deinit { state.withLock { closeIdle(&$0, all: true) } }

    // MARK: - Reading

    func read(into buffer: UnsafeMutableRawBufferPointer, timeoutMilliseconds: Int) throws(ChannelError) -> Int {
        guard let base = buffer.baseAddress, buffer.count > 0 else { return 0 }
        let descriptor = try state.withLock { (state) throws(ChannelError) -> Int32 in
            if state.cancelled { throw .cancelled }
            state.reading = true
            return state.readDescriptor
        }
        defer {
            state.withLock { state in
                state.reading = false
                if state.cancelled { closeIdle(&state, all: false) }
            }
        }
        let deadline = Deadline(milliseconds: timeoutMilliseconds)
        var mayTryFirst = readKind == .socket || readKind == .nonblocking
        while true {
            if mayTryFirst {
                let count = retrying {
                    readKind == .socket
                        ? dray_recv_nowait(descriptor, base, buffer.count) : Glibc.read(descriptor, base, buffer.count)
                }
                if count > 0 { return count }
                if isCancelled { throw .cancelled }
                if count == 0 { return 0 }
                if errno != EAGAIN { throw .system(call: "read", code: errno) }
            }
            guard waitReady(descriptor, events: POLLIN, wake: wake, deadline: deadline) else { throw .timedOut }
            if isCancelled { throw .cancelled }
            mayTryFirst = true
        }
    }

    // MARK: - Writing

    func write(_ buffers: [UnsafeRawBufferPointer], timeoutMilliseconds: Int) throws(ChannelError) {
        let descriptor = try state.withLock { (state) throws(ChannelError) -> Int32 in
            if state.cancelled { throw .cancelled }
            if state.writingEnded { throw .system(call: "write", code: EPIPE) }
            state.writing = true
            return state.writeDescriptor
        }
        defer {
            state.withLock { state in
                state.writing = false
                if state.cancelled { closeIdle(&state, all: false) }
                if state.writingEnded { closeEndedPipe(&state) }
            }
        }
        var index = 0
        var offset = 0
        while true {
            while index < buffers.count, offset == buffers[index].count {
                index += 1
                offset = 0
            }
            if index == buffers.count { return }
            if writeKind == .sharedPipe || writeKind == .other {
                try waitWritable(descriptor, timeoutMilliseconds)
            }
            var count = writeOnce(descriptor, buffers, index, offset)
            if count < 0 {
                if isCancelled { throw .cancelled }
                if errno != EAGAIN { throw .system(call: "write", code: errno) }
                try waitWritable(descriptor, timeoutMilliseconds)
                continue
            }
            while count > 0 {
                let step = min(count, buffers[index].count - offset)
                offset += step
                count -= step
                if offset == buffers[index].count {
                    index += 1
                    offset = 0
                }
            }
        }
    }

    private func waitWritable(_ descriptor: Int32, _ timeoutMilliseconds: Int) throws(ChannelError) {
        let deadline = Deadline(milliseconds: timeoutMilliseconds)
        guard waitReady(descriptor, events: POLLOUT, wake: wake, deadline: deadline) else { throw .timedOut }
        if isCancelled { throw .cancelled }
    }

    /// One system call from `offset` of `buffers[index]` on.
    private func writeOnce(
        _ descriptor: Int32, _ buffers: [UnsafeRawBufferPointer], _ index: Int, _ offset: Int
    ) -> Int {
        if writeKind == .sharedPipe || writeKind == .other {
            let rest = buffers[index][offset...]
            let length = writeKind == .sharedPipe ? min(rest.count, Int(PIPE_BUF)) : min(rest.count, 1 << 20)
            // Safe: the caller only comes here with at least one byte left, so there is a base address.
            return retrying { Glibc.write(descriptor, rest.base.baseAddress! + offset, length) }
        }
        let total = min(buffers.count - index, 64)
        return withUnsafeTemporaryAllocation(of: iovec.self, capacity: total) { vectors in
            for slot in 0..<total {
                let buffer = buffers[index + slot]
                let skip = slot == 0 ? offset : 0
                vectors.initializeElement(
                    at: slot,
                    to: iovec(
                        iov_base: buffer.baseAddress.map { UnsafeMutableRawPointer(mutating: $0 + skip) },
                        iov_len: buffer.count - skip))
            }
            let base = vectors.baseAddress!
            return retrying {
                writeKind == .socket
                    ? dray_sendv_nowait(descriptor, base, Int32(total)) : writev(descriptor, base, Int32(total))
            }
        }
    }

    // MARK: - Ending

    func closeWriting() {
        state.withLock { state in
            if state.writingEnded || state.cancelled { return }
            state.writingEnded = true
            if writeKind == .socket {
                shutdown(state.writeDescriptor, Int32(SHUT_WR))
            } else if !state.writing {
                closeEndedPipe(&state)
            }
        }
    }

    func cancel() {
        state.withLock { state in
            if state.cancelled { return }
            state.cancelled = true
            wake.fire()
            if readKind == .socket { shutdown(state.readDescriptor, Int32(SHUT_RDWR)) }
            if writeKind == .socket, !sameDescriptor, state.writeDescriptor >= 0 {
                shutdown(state.writeDescriptor, Int32(SHUT_RDWR))
            }
            closeIdle(&state, all: false)
        }
    }

    /// Runs `body` with the descriptors, or with -1 for those closed already.
    func withDescriptors<R>(_ body: (_ read: Int32, _ write: Int32) -> R) -> R {
        state.withLock { body($0.readDescriptor, $0.writeDescriptor) }
    }

    private var isCancelled: Bool { state.withLock { $0.cancelled } }

    private func closeEndedPipe(_ state: inout State) {
        if sameDescriptor || writeKind == .socket || state.writeDescriptor < 0 { return }
        Glibc.close(state.writeDescriptor)
        state.writeDescriptor = -1
    }

    /// Closes what no call is using.
    private func closeIdle(_ state: inout State, all: Bool) {
        let readFree = all || (!state.reading && !(sameDescriptor && state.writing))
        let writeFree = all || (!state.writing && !(sameDescriptor && state.reading))
        if readFree, state.readDescriptor >= 0 {
            Glibc.close(state.readDescriptor)
            if sameDescriptor { state.writeDescriptor = -1 }
            state.readDescriptor = -1
        }
        if writeFree, state.writeDescriptor >= 0 {
            Glibc.close(state.writeDescriptor)
            state.writeDescriptor = -1
        }
    }
}
