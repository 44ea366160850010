// Dray — lines of the unframed phase, read to the byte so that nothing of the binary phase is swallowed.
// Layer: Daemon. Wire format: chapter 01 §3; chapter 07 §6.1, §9.6.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Why no line, string or block could be read.
enum HandshakeReadError: Error, Equatable {
    /// The stream ended, or broke.
    case closed
    /// The line is too long or has a NUL byte.
    case malformed
    /// The absolute deadline passed.
    case timedOut
}

/// Reads and writes the text phase over a channel.
final class HandshakeLines {
    let channel: any ByteChannel
    /// The connection is left as it is when this process ends, with what the peer has sent.
    var isAbandoned = false
    private var deadline: UInt64?
    /// Why TLS ended the connection, if it did: a refusal of our certificate arrives after our handshake is over.
    private(set) var tlsReason: String?

    init(_ channel: any ByteChannel) { self.channel = channel }

    /// Starts (or, with nil, ends) the absolute deadline.
    func arm(seconds: Int?) {
        deadline = seconds.map { monotonicNanoseconds() + UInt64($0) * 1_000_000_000 }
    }

    private func read(into buffer: UnsafeMutableRawBufferPointer) throws(HandshakeReadError) -> Int {
        var wait = -1
        if let deadline {
            let now = monotonicNanoseconds()
            if now >= deadline { throw .timedOut }
            wait = Int((deadline - now) / 1_000_000) + 1
        }
        do throws(ChannelError) {
            return try channel.read(into: buffer, timeoutMilliseconds: wait)
        } catch {
            note(error)
            throw error == .timedOut ? .timedOut : .closed
        }
    }

    /// The next byte; nil at the end of the stream.
    func byte() throws(HandshakeReadError) -> UInt8? {
        var byte: UInt8 = 0
        var result: Result<Int, HandshakeReadError> = .success(0)
        withUnsafeMutableBytes(of: &byte) { raw in
            do throws(HandshakeReadError) { result = .success(try read(into: raw)) } catch { result = .failure(error) }
        }
        return try result.get() == 1 ? byte : nil
    }

    /// Reads a line without its end; carriage returns are dropped.
    func line(limit: Int) throws(HandshakeReadError) -> Bytes {
        var line: Bytes = []
        while true {
            guard let byte = try byte() else { throw .closed }
            switch byte {
            case UInt8(ascii: "\n"): return line
            case UInt8(ascii: "\r"): continue
            case 0: throw .malformed
            default:
                if line.count >= limit { throw .malformed }
                line.append(byte)
            }
        }
    }

    /// Reads exactly `count` bytes.
    func block(_ count: Int) throws(HandshakeReadError) -> Bytes {
        var block: Bytes = []
        while block.count < count {
            guard let byte = try byte() else { throw .closed }
            block.append(byte)
        }
        return block
    }

    /// Writes bytes; false if the peer is gone.
    @discardableResult
    func write(_ bytes: Bytes) -> Bool {
        var done = true
        bytes.withUnsafeBytes { raw in
            do throws(ChannelError) {
                try channel.write([raw], timeoutMilliseconds: 60_000)
            } catch {
                note(error)
                done = false
            }
        }
        return done
    }

    private func note(_ error: ChannelError) {
        if case .tls(let reason) = error, tlsReason == nil { tlsReason = reason }
    }
}
