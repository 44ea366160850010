// Dray — what the transport tests share: reading and writing whole streams, and results of threads.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayTransport
import Testing

/// The result of a block that runs on its own thread.
final class Background<Value: Sendable>: Sendable {
    private let value = Monitor<Value?>(nil)
    private let thread: RoleThread?

    init(_ body: @escaping @Sendable () -> Value) {
        let value = value
        thread = RoleThread {
            let result = body()
            value.notifying { $0 = result }
        }
    }

    func wait() -> Value { value.wait { $0 } }
}

/// Bytes that differ at every position that a block size could confuse.
func pattern(_ count: Int, seed: Int = 1) -> Bytes {
    var state = UInt32(truncatingIfNeeded: seed &* 2_654_435_761 | 1)
    return (0..<count).map { _ in
        state ^= state << 13
        state ^= state >> 17
        state ^= state << 5
        return UInt8(truncatingIfNeeded: state)
    }
}

extension ByteChannel {
    /// One read of at most `count` bytes.
    func receive(_ count: Int, timeout: Int = 20_000) throws(ChannelError) -> Bytes {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        defer { buffer.deallocate() }
        let received = try read(into: buffer, timeoutMilliseconds: timeout)
        return Bytes(buffer[..<received])
    }

    /// Everything to the end, in reads of changing odd sizes.
    func receiveAll() throws(ChannelError) -> Bytes {
        var all: Bytes = []
        let sizes = [1, 7, 4099, 65_537, 16_383]
        var turn = 0
        while true {
            let part = try receive(sizes[turn % sizes.count])
            if part.isEmpty { return all }
            all += part
            turn += 1
        }
    }

    /// Writes in pieces of changing odd sizes, several per call.
    func sendAll(_ bytes: Bytes) throws(ChannelError) {
        let sizes = [1, 16_385, 3, 100_003, 0, 511, 16_384]
        var failure: ChannelError?
        bytes.withUnsafeBytes { raw in
            var offset = 0
            var turn = 0
            while offset < raw.count, failure == nil {
                var parts: [UnsafeRawBufferPointer] = []
                for _ in 0..<3 {
                    let end = min(raw.count, offset + sizes[turn % sizes.count])
                    parts.append(UnsafeRawBufferPointer(rebasing: raw[offset..<end]))
                    offset = end
                    turn += 1
                }
                do throws(ChannelError) { try write(parts, timeoutMilliseconds: 20_000) } catch { failure = error }
            }
        }
        if let failure { throw failure }
    }
}

func outcome<T: Sendable>(_ body: () throws(ChannelError) -> T) -> Result<T, ChannelError> {
    do throws(ChannelError) { return .success(try body()) } catch { return .failure(error) }
}
