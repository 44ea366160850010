// Dray — the contract between the engine and whatever carries its bytes: socket, pipe, TLS, memory.
// Layer: Core.
// SPDX-License-Identifier: Apache-2.0

/// Why a channel could not move bytes.
public enum ChannelError: Error, Equatable, Sendable {
    /// Nothing could be read or written before the given time was over.
    case timedOut
    /// The peer is gone or the operating system refused; `code` is an errno value.
    case system(call: StaticStringBox, code: Int32)
    /// The channel was closed by `cancel()` on this side.
    case cancelled
    /// TLS failed; `reason` is one line for a person. Truncation (EOF without close_notify) is reported here too.
    case tls(reason: String)
}

/// A `StaticString` that can be compared, naming the system call of an error.
public struct StaticStringBox: Equatable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    public let text: StaticString
    public init(stringLiteral value: StaticString) { text = value }
    public var description: String { text.description }
    public static func == (a: Self, b: Self) -> Bool { a.description == b.description }
}

/// A full-duplex stream of bytes. One thread may read while another writes; never two of a kind at once.
///
/// Implementations block the calling thread; they never spin and never buffer without bound. `cancel()` may be called
/// from any thread and makes every blocked or later call throw `.cancelled` (or return what it already has).
public protocol ByteChannel: AnyObject, Sendable {
    /// Reads at least one byte, at most `buffer.count`.
    ///
    /// - Parameter timeoutMilliseconds: longest wait for the first byte; negative waits for ever.
    /// - Returns: bytes read; 0 at the end of the stream.
    /// - Throws: `.timedOut` if nothing arrived in time.
    func read(into buffer: UnsafeMutableRawBufferPointer, timeoutMilliseconds: Int) throws(ChannelError) -> Int

    /// Writes all of `buffers`, in order.
    ///
    /// - Parameter timeoutMilliseconds: longest wait for *some* progress; negative waits for ever.
    func write(_ buffers: [UnsafeRawBufferPointer], timeoutMilliseconds: Int) throws(ChannelError)

    /// Ends the writing direction after everything written has gone out (FIN, close_notify or closed pipe).
    func closeWriting()

    /// Ends both directions at once; blocked calls return. May be called more than once and from any thread.
    func cancel()

    /// Whether the peer is reached through a socket (decides exit code 10 against 12 for some errors).
    var isSocket: Bool { get }
}

extension ByteChannel {
    /// Writes one buffer completely, waiting as long as it takes.
    public func write(_ buffer: UnsafeRawBufferPointer) throws(ChannelError) {
        try write([buffer], timeoutMilliseconds: -1)
    }

    /// Writes an array of bytes completely, waiting as long as it takes.
    public func write(_ bytes: Bytes) throws(ChannelError) {
        var failure: ChannelError?
        unsafe bytes.withUnsafeBytes { raw in
            do throws(ChannelError) { try write([raw], timeoutMilliseconds: -1) } catch { failure = error }
        }
        if let failure { throw failure }
    }
}
