// Dray — what the kernels are fed with.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Takes everything and keeps nothing.
final class NullChannel: ByteChannel {
    func read(into buffer: UnsafeMutableRawBufferPointer, timeoutMilliseconds: Int) throws(ChannelError) -> Int { 0 }
    func write(_ buffers: [UnsafeRawBufferPointer], timeoutMilliseconds: Int) throws(ChannelError) {}
    func closeWriting() {}
    func cancel() {}
    var isSocket: Bool { false }
}

/// Hands out the same bytes again once they are at their end.
final class RepeatingChannel: ByteChannel, @unchecked Sendable {
    // Safe: one thread reads.
    private let bytes: Bytes
    private var position = 0

    init(_ bytes: Bytes) { self.bytes = bytes }

    func read(into buffer: UnsafeMutableRawBufferPointer, timeoutMilliseconds: Int) throws(ChannelError) -> Int {
        if position == bytes.count { position = 0 }
        let count = min(buffer.count, bytes.count - position)
        bytes.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[position..<position + count])) }
        position += count
        return count
    }
    func write(_ buffers: [UnsafeRawBufferPointer], timeoutMilliseconds: Int) throws(ChannelError) {}
    func closeWriting() {}
    func cancel() {}
    var isSocket: Bool { false }
}

/// Keeps what is written.
final class CollectingChannel: ByteChannel, @unchecked Sendable {
    // Safe: one thread writes and then reads `bytes`.
    private(set) var bytes = Bytes()

    func read(into buffer: UnsafeMutableRawBufferPointer, timeoutMilliseconds: Int) throws(ChannelError) -> Int { 0 }
    func write(_ buffers: [UnsafeRawBufferPointer], timeoutMilliseconds: Int) throws(ChannelError) {
        for buffer in buffers { bytes.append(contentsOf: buffer) }
    }
    func closeWriting() {}
    func cancel() {}
    var isSocket: Bool { false }
}

func randomBytes(_ count: Int, seed: UInt64) -> [UInt8] {
    var state = seed
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1
        return UInt8(truncatingIfNeeded: state >> 33)
    }
}

/// Text that compressors find something in.
func wordyBytes(_ count: Int) -> Bytes {
    var bytes = Bytes()
    for number in 0... where bytes.count < count {
        bytes += Bytes(text: "entry \(number % 977) of volume \(number % 31): unchanged since revision \(number)\n")
        if bytes.count >= count { break }
    }
    return Bytes(bytes.prefix(count))
}
