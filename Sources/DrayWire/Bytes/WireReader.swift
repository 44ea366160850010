// Dray — the reading half of a connection: buffering, de-multiplexing, integers.
// Layer: Wire. Wire format: chapter 01 §1, §6.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Pulls protocol values out of a channel.
///
/// ```
///   channel ─► [ buffer ........ position ░░░░ end ] ─► frames ─► integers, names, literal data
/// ```
/// Unframed until `startFraming()`. Afterwards MSG_DATA payloads form the stream; other messages go to `messages`
/// as soon as they are met. Not thread-safe: one role owns a reader.
public final class WireReader {
    /// Receives every message that is not MSG_DATA, payload included; called on the reading thread.
    public typealias MessageHandler = (MessageCode, UnsafeRawBufferPointer) throws(TransferFailure) -> Void

    public let channel: any ByteChannel
    /// Stands in brackets in error texts.
    @exclusivity(unchecked) public var role: RoleName
    /// Appended inside the brackets (`/inc`) while incremental recursion is on.
    @exclusivity(unchecked) public var incremental = false
    @exclusivity(unchecked) public var protocolVersion: Int32 = ProtocolVersion.newest
    @exclusivity(unchecked) public var messages: MessageHandler?
    /// Called before the thread sleeps for input: the owner flushes what the peer may be waiting for.
    @exclusivity(unchecked) public var beforeWaiting: (() throws(TransferFailure) -> Void)?
    /// Called before the bytes that `chunk` has given out become invalid.
    @exclusivity(unchecked) public var beforeRefill: (() -> Void)?
    /// Called about every `idleMilliseconds` without input; checks time-outs and sends keep-alives.
    @exclusivity(unchecked) public var whileIdle: (() throws(TransferFailure) -> Void)?
    @exclusivity(unchecked) public var idleMilliseconds = -1
    /// Receives a copy of every stream byte consumed (batch files).
    @exclusivity(unchecked) public var tee: ((UnsafeRawBufferPointer) throws(TransferFailure) -> Void)?
    /// Told of the code and length of each frame, and of each piece that the channel gives (`--debug=io`).
    @exclusivity(unchecked) public var onFrame: ((UInt8, Int) -> Void)?
    @exclusivity(unchecked) public var onPiece: ((Int) -> Void)?
    /// Raw bytes taken from the channel since `startCounting`, frame headers included.
    @exclusivity(unchecked) public private(set) var bytesReceived: Int64 = 0
    @exclusivity(unchecked) private var isCounting = false
    /// Bytes taken out of the stream so far, without frame headers.
    @exclusivity(unchecked) public private(set) var streamBytes: Int64 = 0
    /// Monotonic nanoseconds of the last successful read.
    @exclusivity(unchecked) public private(set) var lastReadNanoseconds: UInt64 = monotonicNanoseconds()
    /// Whether this reader may legally meet each special message; set by the session.
    public var allowsIOTimeoutMessage = false

    @exclusivity(unchecked) private var storage: UnsafeMutablePointer<UInt8>
    private let capacity: Int
    /// Where the next bytes go while those in `storage` are in use.
    private var spare: UnsafeMutablePointer<UInt8>?
    private var prefetcher: Prefetcher?
    @exclusivity(unchecked) private var position = 0
    @exclusivity(unchecked) private var end = 0
    @exclusivity(unchecked) private var framed = false
    /// Stream bytes left in the current MSG_DATA frame (unframed: unlimited).
    @exclusivity(unchecked) private var frameLeft = Int.max
    @exclusivity(unchecked) private var ndxState = NdxState()
    private let messageBuffer: UnsafeMutablePointer<UInt8>

    public init(channel: any ByteChannel, role: RoleName, capacity: Int = 256 * 1024) {
        self.channel = channel
        self.role = role
        self.capacity = capacity
        storage = .allocate(capacity: capacity)
        messageBuffer = .allocate(capacity: Limits.lineBuffer)
    }

    deinit {
        // First the thread that may write to the spare buffer.
        prefetcher = nil
        storage.deallocate()
        spare?.deallocate()
        messageBuffer.deallocate()
    }

    /// The role as it stands in brackets.
    public var who: String { role.rawValue }
    /// The same in complaints about frames.
    private var frameReader: String { incremental ? "\(role.rawValue)/inc" : role.rawValue }

    /// From the next byte on the stream is framed.
    public func startFraming() {
        framed = true
        frameLeft = 0
    }

    /// From the next byte on the stream is raw again (files-from names below protocol 31).
    public func stopFraming() {
        framed = false
        frameLeft = Int.max
    }

    public var isFramed: Bool { framed }

    /// Counts the bytes received from here on: what has been read ahead belongs to them.
    public func startCounting() {
        isCounting = true
        bytesReceived = Int64(end - position)
    }

    // MARK: - Filling

    private func fill() throws(TransferFailure) {
        beforeRefill?()
        try beforeWaiting?()
        position = 0
        end = 0
        while true {
            let count: Int
            do throws(ChannelError) {
                count = try receive(idleMilliseconds)
            } catch {
                if error == .timedOut {
                    try whileIdle?()
                    continue
                }
                throw failure(for: error)
            }
            if count == 0 { throw closedUnexpectedly() }
            return noteRead(count)
        }
    }

    /// Whether the channel has something to read; takes it if so. Never waits.
    public func hasInput() throws(TransferFailure) -> Bool {
        if position < end { return true }
        beforeRefill?()
        let count: Int
        do throws(ChannelError) {
            count = try receive(0)
        } catch {
            if error == .timedOut { return false }
            throw failure(for: error)
        }
        if count == 0 { throw closedUnexpectedly() }
        noteRead(count)
        return true
    }

    private func noteRead(_ count: Int) {
        position = 0
        end = count
        if isCounting { bytesReceived += Int64(count) }
        lastReadNanoseconds = monotonicNanoseconds()
        onPiece?(count)
    }

    /// Puts the next bytes of the channel into `storage`.
    private func receive(_ milliseconds: Int) throws(ChannelError) -> Int {
        guard let prefetcher, prefetcher.isBusy, let next = spare else {
            return try channel.read(
                into: UnsafeMutableRawBufferPointer(start: storage, count: capacity), timeoutMilliseconds: milliseconds)
        }
        let count = try prefetcher.wait(milliseconds: milliseconds)
        (spare, storage) = (storage, next)
        return count
    }

    /// Receives beyond the buffered bytes while they are being used, if this side is the slower one.
    ///
    /// - Parameter promised: stream bytes that the peer is bound to send; nothing is done if they are all here.
    public func prefetch(promised: Int64) {
        // A buffer that did not fill up: the peer is slower, and another thread would only cost.
        guard end >= capacity / 2, promised > Int64(end - position), prefetcher?.isBusy != true else { return }
        if prefetcher == nil { prefetcher = Prefetcher(channel) }
        let target = spare ?? .allocate(capacity: capacity)
        spare = target
        prefetcher?.start(UnsafeMutableRawBufferPointer(start: target, count: capacity))
    }

    private func closedUnexpectedly() -> TransferFailure {
        TransferFailure(
            .protocolStream,
            "rsync: connection unexpectedly closed (\(bytesReceived) bytes received so far) [\(role.rawValue)]",
            role: role)
    }

    private func failure(for error: ChannelError) -> TransferFailure {
        switch error {
        case .timedOut: return TransferFailure(.timeout, role: role)
        case .cancelled: return TransferFailure(.signal, role: role)
        case .system(_, let code):
            return TransferFailure(
                .socketIO, "rsync: [\(role.rawValue)] " + withErrno("read error", code), role: role)
        case .tls(let reason): return TransferFailure(.socketIO, "rsync: [\(role.rawValue)] \(reason)", role: role)
        }
    }

    /// Makes at least one stream byte available and returns how many are contiguous.
    @inline(__always)
    private func available() throws(TransferFailure) -> Int {
        if position < end && frameLeft > 0 { return min(end - position, frameLeft) }
        return try refill()
    }

    private func refill() throws(TransferFailure) -> Int {
        while frameLeft == 0 { try readFrameHeader() }
        while position == end { try fill() }
        return min(end - position, frameLeft)
    }

    private func rawByte() throws(TransferFailure) -> UInt8 {
        while position == end { try fill() }
        let byte = storage[position]
        position += 1
        return byte
    }

    private func readFrameHeader() throws(TransferFailure) {
        var header: UInt32 = 0
        for shift in stride(from: UInt32(0), to: 32, by: 8) { header |= UInt32(try rawByte()) << shift }
        let length = Int(header & 0xFF_FFFF)
        let tag = Int(Int32(bitPattern: header) >> 24) - 7
        if tag == 0 {
            frameLeft = length
            onFrame?(0, length)
            return
        }
        guard tag > 0, let code = MessageCode(rawValue: UInt8(tag)) else {
            throw TransferFailure(.protocolStream, "unexpected tag \(tag) [\(frameReader)]", role: role)
        }
        onFrame?(code.rawValue, length)
        try check(code, length)
        for index in 0..<length { messageBuffer[index] = try rawByte() }
        try messages?(code, UnsafeRawBufferPointer(start: messageBuffer, count: length))
    }

    /// Length rules of every message (chapter 01 §6.3).
    private func check(_ code: MessageCode, _ length: Int) throws(TransferFailure) {
        let valid: Bool
        switch code {
        case .errorTransfer, .info, .error, .warning, .deleted:
            if length >= Limits.lineBuffer {
                throw TransferFailure(
                    .protocolStream, "multiplexing overflow \(code.rawValue):\(length) [\(frameReader)]", role: role)
            }
            return
        case .ioError, .noSend: valid = length == 4
        case .success: valid = length == 4 || length == 20
        case .ioTimeout: valid = length == 4 && allowsIOTimeoutMessage
        case .noop: valid = length == 0
        case .errorExit: valid = length == 0 || length == 4
        default: valid = false
        }
        if !valid {
            throw TransferFailure(
                .protocolStream, "invalid multi-message \(code.rawValue):\(length) [\(frameReader)]", role: role)
        }
    }

    @inline(__always)
    private func consume(_ count: Int) throws(TransferFailure) {
        if let tee { try tee(UnsafeRawBufferPointer(start: storage + position, count: count)) }
        position += count
        streamBytes += Int64(count)
        if framed { frameLeft -= count }
    }

    // MARK: - Bytes

    /// The next stream byte.
    @inline(__always)
    public func byte() throws(TransferFailure) -> UInt8 {
        _ = try available()
        let value = storage[position]
        try consume(1)
        return value
    }

    /// Fills `target` completely.
    public func bytes(into target: UnsafeMutableRawBufferPointer) throws(TransferFailure) {
        var done = 0
        while done < target.count {
            let count = min(try available(), target.count - done)
            // Safe: done + count ≤ target.count, and `count` bytes are in the buffer.
            (target.baseAddress! + done).copyMemory(from: storage + position, byteCount: count)
            try consume(count)
            done += count
        }
    }

    /// The next `count` bytes; `count` must have been bounded by the caller.
    public func bytes(_ count: Int) throws(TransferFailure) -> Bytes {
        var result = Bytes()
        // A claimed length alone costs no memory.
        result.reserveCapacity(min(count, capacity))
        while result.count < count { result.append(contentsOf: try chunk(limit: count - result.count)) }
        return result
    }

    /// Some stream bytes without copying: at least 1, at most `limit`. Valid until the next call.
    public func chunk(limit: Int) throws(TransferFailure) -> UnsafeRawBufferPointer {
        let count = min(try available(), limit)
        let start = storage + position
        try consume(count)
        return UnsafeRawBufferPointer(start: start, count: count)
    }

    /// Reads and drops `count` bytes.
    public func skip(_ count: Int) throws(TransferFailure) {
        var left = count
        while left > 0 { left -= try chunk(limit: left).count }
    }

    /// Whether a value could be read without waiting for the channel (frame headers aside).
    public var hasBufferedInput: Bool { position < end }

    /// Whether bytes of the framed stream itself, not only messages, have been received and not been read.
    public var hasBufferedStream: Bool {
        if frameLeft > 0 { return position < end }
        var header = position
        while header + 4 < end {
            let length = Int(storage[header]) | Int(storage[header + 1]) << 8 | Int(storage[header + 2]) << 16
            // An empty frame is a sign of life.
            if storage[header + 3] == 7 && length > 0 { return true }
            header += 4 + length
        }
        return false
    }

    /// Reads until the peer closes, acting on messages, for at most `milliseconds`. Never throws: it is the last act.
    ///
    /// - Returns: how a framed stream ended.
    @discardableResult
    public func drain(milliseconds: Int) -> TransferFailure? {
        let deadline = monotonicNanoseconds() + UInt64(milliseconds) * 1_000_000
        beforeWaiting = nil
        whileIdle = nil
        idleMilliseconds = 500
        if framed {
            whileIdle = { () throws(TransferFailure) in
                if monotonicNanoseconds() > deadline { throw TransferFailure(.timeout) }
            }
            while monotonicNanoseconds() < deadline {
                do throws(TransferFailure) { _ = try chunk(limit: 64 * 1024) } catch { return error }
            }
            return nil
        }
        while monotonicNanoseconds() < deadline {
            do throws(ChannelError) {
                if try receive(500) == 0 { return nil }
            } catch {
                if error != .timedOut { return nil }
            }
        }
        return nil
    }

    // MARK: - Integers

    @inline(__always)
    public func int32() throws(TransferFailure) -> Int32 {
        if try available() >= 4 {
            let value = UnsafeRawPointer(storage + position).loadUnaligned(as: UInt32.self)
            try consume(4)
            return Int32(bitPattern: UInt32(littleEndian: value))
        }
        var value: UInt32 = 0
        for shift in stride(from: UInt32(0), to: 32, by: 8) { value |= UInt32(try byte()) << shift }
        return Int32(bitPattern: value)
    }

    /// A file index (or special negative value).
    public func ndx() throws(TransferFailure) -> Int32 {
        if protocolVersion < 30 { return try int32() }
        var byte = try byte()
        if byte == 0 { return Ndx.done }
        let negative = byte == 0xFF
        if negative { byte = try self.byte() }
        let previous = UInt32(bitPattern: negative ? ndxState.negative : ndxState.positive)
        let value: UInt32
        if byte == 0xFE {
            let high = try self.byte()
            let low = try self.byte()
            if high & 0x80 != 0 {
                let second = try self.byte()
                let third = try self.byte()
                value = UInt32(high & 0x7F) << 24 | UInt32(third) << 16 | UInt32(second) << 8 | UInt32(low)
            } else {
                value = (UInt32(high) << 8 | UInt32(low)) &+ previous
            }
        } else {
            value = UInt32(byte) &+ previous
        }
        if value > 0x7FFF_FFFF {
            throw TransferFailure(.protocolIncompatible, "Invalid file index: \(value) [\(who)]", role: role)
        }
        if negative {
            ndxState.negative = Int32(value)
            return -Int32(value)
        }
        ndxState.positive = Int32(value)
        return Int32(value)
    }

    /// A varint that must lie in `range`, named as in the error text.
    public func bounded(_ name: String, _ range: ClosedRange<Int64>) throws(TransferFailure) -> Int32 {
        let value = try varint()
        if !range.contains(Int64(value)) {
            throw TransferFailure(
                .protocolIncompatible,
                "wire value \(name) out of range: \(value) not in [\(range.lowerBound),\(range.upperBound)] [\(who)]",
                role: role)
        }
        return value
    }
}

/// Predecessors of the delta-coded file index, one pair per direction and connection.
struct NdxState {
    var positive: Int32 = -1
    var negative: Int32 = 1
}

/// The shared scheme of varint and varlong.
public enum Varint {
    /// Extra bytes announced by the leading one-bits of `first`.
    @inline(__always)
    public static func extraBytes(_ first: UInt8) -> Int {
        switch first {
        case 0..<0x80: 0
        case 0x80..<0xC0: 1
        case 0xC0..<0xE0: 2
        case 0xE0..<0xF0: 3
        case 0xF0..<0xF8: 4
        case 0xF8..<0xFC: 5
        default: 6
        }
    }

    /// Encodes the low `width` bytes of `value` with at least `minimum` bytes; returns the encoded length (≤ 9).
    @inline(__always)
    public static func encode(
        _ value: UInt64, width: Int, minimum: Int, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var count = width
        while count > minimum && UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1))) == 0 { count -= 1 }
        let top = UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1)))
        let bit = UInt32(1) << UInt32(7 - count + minimum)
        if UInt32(top) >= bit {
            out[0] = UInt8(truncatingIfNeeded: ~(bit &- 1))
            for index in 0..<count { out[1 + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
            return count + 1
        }
        out[0] = count > minimum ? top | UInt8(truncatingIfNeeded: ~(bit &* 2 &- 1)) : top
        for index in 0..<(count - 1) { out[1 + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
        return count
    }
}
