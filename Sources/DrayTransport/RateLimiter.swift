// Dray — --bwlimit: how fast one side may write.
// Layer: Transport. Wire format: chapter 01 §6.6.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore

/// Keeps the debt of bytes written ahead of the permitted rate.
public struct RateLimiter: Sendable {
    /// Largest single write, bytes.
    public let largestWrite: Int
    private let bytesPerSecond: Double
    private var debt = 0.0
    private var previousNanoseconds: UInt64?

    /// - Parameter kibibytesPerSecond: at least 1.
    public init(kibibytesPerSecond: Int) {
        bytesPerSecond = Double(max(1, kibibytesPerSecond)) * 1024
        largestWrite = max(512, kibibytesPerSecond * 128)
    }

    /// Counts a write that ended at `nanoseconds`.
    ///
    /// - Returns: how long to sleep now, nanoseconds; 0 for not at all. After a sleep call `slept`.
    public mutating func wrote(_ byteCount: Int, at nanoseconds: UInt64) -> UInt64 {
        debt += Double(byteCount)
        if let previousNanoseconds {
            let elapsed = Double(nanoseconds &- previousNanoseconds) / 1e9
            debt = max(0, debt - elapsed * bytesPerSecond)
        }
        previousNanoseconds = nanoseconds
        let seconds = debt / bytesPerSecond
        return seconds < 0.1 ? 0 : UInt64(seconds * 1e9)
    }

    /// Carries over what was slept too much or too little.
    public mutating func slept(requested: UInt64, from start: UInt64, until end: UInt64) {
        debt = (Double(requested) - Double(end &- start)) / 1e9 * bytesPerSecond
        previousNanoseconds = end
    }
}

/// A channel whose writes keep to a rate; reads pass unchanged.
public final class RateLimitedChannel: ByteChannel, @unchecked Sendable {
    private let base: any ByteChannel
    // Safe: only the writing thread touches it.
    private var limiter: RateLimiter
    private let cancelled = Monitor(false)

    public init(_ base: any ByteChannel, kibibytesPerSecond: Int) {
        self.base = base
        limiter = RateLimiter(kibibytesPerSecond: kibibytesPerSecond)
    }

    public var isSocket: Bool { base.isSocket }

    public func read(into buffer: UnsafeMutableRawBufferPointer, timeoutMilliseconds: Int) throws(ChannelError) -> Int {
        try base.read(into: buffer, timeoutMilliseconds: timeoutMilliseconds)
    }

    public func write(_ buffers: [UnsafeRawBufferPointer], timeoutMilliseconds: Int) throws(ChannelError) {
        for buffer in buffers {
            var offset = 0
            while offset < buffer.count {
                let count = min(limiter.largestWrite, buffer.count - offset)
                try base.write(
                    [UnsafeRawBufferPointer(rebasing: buffer[offset..<(offset + count)])],
                    timeoutMilliseconds: timeoutMilliseconds)
                offset += count
                try pause(after: count)
            }
        }
    }

    public func closeWriting() { base.closeWriting() }

    public func cancel() {
        cancelled.notifying { $0 = true }
        base.cancel()
    }

    private func pause(after byteCount: Int) throws(ChannelError) {
        let start = dray_monotonic_ns()
        let requested = limiter.wrote(byteCount, at: start)
        if requested == 0 { return }
        let isCancelled = cancelled.wait(milliseconds: Int(requested / 1_000_000)) { $0 ? true : nil } ?? false
        if isCancelled { throw .cancelled }
        limiter.slept(requested: requested, from: start, until: dray_monotonic_ns())
    }
}
