// Dray — the writing half of a connection: buffering, multiplexing, integers.
// Layer: Wire. Wire format: chapter 01 §1, §6.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Puts protocol values into a channel.
///
/// Data is collected in one buffer whose first four bytes are kept free for the frame header and goes out when the
/// buffer is full or at `flush()`. The owner role calls everything but `queueMessage`, which any thread may call:
/// queued messages go out before the data of the next flush.
public final class WireWriter {
    public let channel: any ByteChannel
    @exclusivity(unchecked) public var role: RoleName
    @exclusivity(unchecked) public var protocolVersion: Int32 = ProtocolVersion.newest
    /// Receives a copy of every stream byte written (batch files).
    @exclusivity(unchecked) public var tee: ((UnsafeRawBufferPointer) throws(TransferFailure) -> Void)?
    /// Seconds without progress after which a blocked write gives up; 0 waits for ever.
    @exclusivity(unchecked) public var timeoutSeconds = 0
    /// Told of the code and length of each frame, and of what goes out at once (`--debug=io`).
    @exclusivity(unchecked) public var onFrame: ((UInt8, Int) -> Void)?
    @exclusivity(unchecked) public var onPiece: ((Int) -> Void)?
    /// Raw bytes handed to the channel since `startCounting`, frame headers included.
    @exclusivity(unchecked) public private(set) var bytesSent: Int64 = 0
    /// Stream bytes written (frame headers not counted), for sizes of the file list and of one file's data.
    public var streamBytes: Int64 { flushedStreamBytes + Int64(used) }
    @exclusivity(unchecked) public private(set) var lastWriteNanoseconds: UInt64 = monotonicNanoseconds()

    private static let headerSize = 4
    private let storage: UnsafeMutablePointer<UInt8>
    private let capacity: Int
    /// Data bytes in the buffer, after the header space.
    @exclusivity(unchecked) private var used = 0
    @exclusivity(unchecked) private var flushedStreamBytes: Int64 = 0
    @exclusivity(unchecked) private var framed = false
    @exclusivity(unchecked) private var ndxState = NdxState()
    private let queued = Monitor<Bytes>([])
    /// Frame and token headers of the literal pieces of one gathered write.
    private let pieceHeaders: UnsafeMutablePointer<UInt32>
    @exclusivity(unchecked) private var gather: [UnsafeRawBufferPointer] = []
    private static let maxPieces = 16

    public init(channel: any ByteChannel, role: RoleName, capacity: Int = 64 * 1024) {
        self.channel = channel
        self.role = role
        self.capacity = capacity - Self.headerSize
        storage = .allocate(capacity: capacity)
        pieceHeaders = .allocate(capacity: 2 * Self.maxPieces)
        gather.reserveCapacity(2 * Self.maxPieces + 2)
    }

    deinit {
        storage.deallocate()
        pieceHeaders.deallocate()
    }

    /// From the next byte on data goes out in MSG_DATA frames. What was written before is flushed first.
    public func startFraming() throws(TransferFailure) {
        try flush()
        framed = true
    }

    /// Raw bytes again (files-from names below protocol 31). Queued messages wait until framing starts again.
    public func stopFraming() throws(TransferFailure) {
        if used > 0 { try flush() }
        framed = false
    }

    public var isFramed: Bool { framed }
    public var hasPendingData: Bool { used > 0 }

    // MARK: - Output

    private func send(_ buffers: [UnsafeRawBufferPointer], _ total: Int) throws(TransferFailure) {
        do throws(ChannelError) {
            try channel.write(buffers, timeoutMilliseconds: timeoutSeconds > 0 ? timeoutSeconds * 1000 : -1)
        } catch {
            switch error {
            case .timedOut:
                throw TransferFailure(
                    .timeout, "[\(role.rawValue)] io timeout after \(timeoutSeconds) seconds -- exiting", role: role)
            case .cancelled: throw TransferFailure(.signal, role: role)
            case .system(_, let code):
                // Compatibility: before framing a write that fails is an error of the stream (exit 12).
                if !framed {
                    let text = "rsync: [\(role.rawValue)] safe_write failed to write \(total) bytes to socket"
                    throw TransferFailure(.protocolStream, withErrno(text, code), role: role)
                }
                throw TransferFailure(
                    .socketIO, "rsync: [\(role.rawValue)] " + withErrno("write error", code), role: role)
            case .tls(let reason):
                throw TransferFailure(.socketIO, "rsync: [\(role.rawValue)] \(reason)", role: role)
            }
        }
        bytesSent += Int64(total)
        onPiece?(total)
        lastWriteNanoseconds = monotonicNanoseconds()
    }

    /// Counts the bytes sent from here on. Nothing may be waiting in the buffer.
    public func startCounting() { bytesSent = 0 }

    private func storeHeader(_ length: Int) {
        let header = UInt32(7) << 24 | UInt32(length)
        UnsafeMutableRawPointer(storage).storeBytes(of: header.littleEndian, as: UInt32.self)
    }

    private func sendQueuedMessages() throws(TransferFailure) {
        let pending = queued.withLock { state in
            let taken = state
            state.removeAll(keepingCapacity: true)
            return taken
        }
        if pending.isEmpty { return }
        var failure: TransferFailure?
        pending.withUnsafeBytes { raw in
            do throws(TransferFailure) { try send([raw], raw.count) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Sends everything collected so far: queued messages, then one frame of data.
    public func flush() throws(TransferFailure) {
        if framed { try sendQueuedMessages() }
        if used == 0 { return }
        let count = used
        used = 0
        flushedStreamBytes += Int64(count)
        if framed {
            storeHeader(count)
            onFrame?(0, count)
            try send([UnsafeRawBufferPointer(start: storage, count: count + Self.headerSize)], count + Self.headerSize)
        } else {
            try send([UnsafeRawBufferPointer(start: storage + Self.headerSize, count: count)], count)
        }
    }

    /// Forgets what is waiting to go out.
    public func dropPending() {
        used = 0
        queued.withLock { $0.removeAll(keepingCapacity: true) }
    }

    /// Queues a message frame; any thread. It leaves with the next flush of the owner.
    public func queueMessage(_ code: MessageCode, _ payload: some Collection<UInt8>) {
        let header = UInt32(7 + UInt32(code.rawValue)) << 24 | UInt32(payload.count)
        onFrame?(code.rawValue, payload.count)
        queued.withLock { state in
            for shift in stride(from: UInt32(0), to: 32, by: 8) {
                state.append(UInt8(truncatingIfNeeded: header >> shift))
            }
            state.append(contentsOf: payload)
        }
    }

    /// Queues a message with one 32-bit value.
    public func queueMessage(_ code: MessageCode, value: Int32) {
        let bits = UInt32(bitPattern: value)
        queueMessage(code, (0..<4).map { UInt8(truncatingIfNeeded: bits >> UInt32(8 * $0)) })
    }

    public var hasQueuedMessages: Bool { queued.withLock { !$0.isEmpty } }

    /// Sends an empty MSG_DATA frame (the keep-alive) if nothing else is waiting to go out.
    public func keepAlive() throws(TransferFailure) {
        guard framed else { return }
        if used > 0 || hasQueuedMessages { return try flush() }
        storeHeader(0)
        try send([UnsafeRawBufferPointer(start: storage, count: Self.headerSize)], Self.headerSize)
    }

    /// Makes room for `count` bytes (≤ 64) and returns where they go.
    @inline(__always)
    private func reserve(_ count: Int) throws(TransferFailure) -> UnsafeMutablePointer<UInt8> {
        if used + count > capacity { try flush() }
        return storage + Self.headerSize + used
    }

    @inline(__always)
    private func commit(_ count: Int) throws(TransferFailure) {
        if let tee { try tee(UnsafeRawBufferPointer(start: storage + Self.headerSize + used, count: count)) }
        used += count
    }

    // MARK: - Bytes

    public func byte(_ value: UInt8) throws(TransferFailure) {
        try reserve(1)[0] = value
        try commit(1)
    }

    public func bytes(_ source: UnsafeRawBufferPointer) throws(TransferFailure) {
        var done = 0
        while done < source.count {
            if used == capacity { try flush() }
            let count = min(capacity - used, source.count - done)
            // Safe: `count` bytes fit behind `used` and are present in the source.
            UnsafeMutableRawPointer(storage + Self.headerSize + used)
                .copyMemory(from: source.baseAddress! + done, byteCount: count)
            try commit(count)
            done += count
        }
    }

    public func bytes(_ source: Bytes) throws(TransferFailure) {
        var failure: TransferFailure?
        source.withUnsafeBytes { raw in
            do throws(TransferFailure) { try bytes(raw) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Writes `data` as plain literal tokens of at most 32 KiB, large runs without copying them.
    public func literals(_ data: UnsafeRawBufferPointer) throws(TransferFailure) {
        if data.count <= 4096 || tee != nil {
            var done = 0
            while done < data.count {
                let count = min(Limits.literalPiece, data.count - done)
                try int32(Int32(count))
                try bytes(UnsafeRawBufferPointer(rebasing: data[done..<(done + count)]))
                done += count
            }
            return
        }
        if framed { try sendQueuedMessages() }
        var done = 0
        while done < data.count {
            gather.removeAll(keepingCapacity: true)
            let pending = used
            var payload = used
            var total = used
            gather.append(UnsafeRawBufferPointer(start: nil, count: 0))
            var pieces = 0
            while done < data.count && pieces < Self.maxPieces {
                let count = min(Limits.literalPiece, data.count - done)
                // As with rsync each piece is a frame of its own, the first one behind what was waiting.
                let isOwnFrame = framed && pieces > 0
                let header = pieceHeaders + 2 * pieces
                header[0] = (UInt32(7) << 24 | UInt32(4 + count)).littleEndian
                header[1] = UInt32(count).littleEndian
                if framed && pieces == 0 { storeHeader(pending + 4 + count) }
                if framed { onFrame?(0, pieces == 0 ? pending + 4 + count : 4 + count) }
                gather.append(
                    UnsafeRawBufferPointer(start: header + (isOwnFrame ? 0 : 1), count: isOwnFrame ? 8 : 4))
                gather.append(UnsafeRawBufferPointer(start: data.baseAddress! + done, count: count))
                payload += 4 + count
                total += (isOwnFrame ? 8 : 4) + count
                done += count
                pieces += 1
            }
            used = 0
            flushedStreamBytes += Int64(payload)
            if framed {
                gather[0] = UnsafeRawBufferPointer(start: storage, count: Self.headerSize + pending)
                try send(gather, total + Self.headerSize)
            } else {
                gather[0] = UnsafeRawBufferPointer(start: storage + Self.headerSize, count: pending)
                try send(gather, total)
            }
        }
    }

    /// Counts `length` bytes of literal data as `literals` would, for a peer in this process that does without them.
    public func countLiterals(_ length: Int64) {
        let piece = Int64(Limits.literalPiece)
        let pieces = (length + piece - 1) / piece
        // Each has its token and, framed, the head of its frame.
        flushedStreamBytes += length + 4 * pieces
        bytesSent += length + (framed ? 8 : 4) * pieces
    }

    // MARK: - Integers

    public func shortint(_ value: UInt16) throws(TransferFailure) {
        let out = try reserve(2)
        out[0] = UInt8(truncatingIfNeeded: value)
        out[1] = UInt8(truncatingIfNeeded: value >> 8)
        try commit(2)
    }

    @inline(__always)
    public func int32(_ value: Int32) throws(TransferFailure) {
        let out = try reserve(4)
        UnsafeMutableRawPointer(out).storeBytes(of: UInt32(bitPattern: value).littleEndian, as: UInt32.self)
        try commit(4)
    }

    public func longint(_ value: Int64) throws(TransferFailure) {
        if value >= 0 && value <= 0x7FFF_FFFF { return try int32(Int32(value)) }
        try int32(-1)
        let out = try reserve(8)
        UnsafeMutableRawPointer(out).storeBytes(of: UInt64(bitPattern: value).littleEndian, as: UInt64.self)
        try commit(8)
    }

    @inline(__always)
    public func varint(_ value: Int32) throws(TransferFailure) {
        let out = try reserve(5)
        try commit(Varint.encode(UInt64(UInt32(bitPattern: value)), width: 4, minimum: 1, into: out))
    }

    @inline(__always)
    public func varlong(_ value: Int64, _ minimum: Int) throws(TransferFailure) {
        let out = try reserve(10)
        try commit(Varint.encode(UInt64(bitPattern: value), width: 8, minimum: minimum, into: out))
    }

    public func varint30(_ value: Int32) throws(TransferFailure) {
        if protocolVersion < 30 { try int32(value) } else { try varint(value) }
    }

    public func varlong30(_ value: Int64, _ minimum: Int) throws(TransferFailure) {
        if protocolVersion < 30 { try longint(value) } else { try varlong(value, minimum) }
    }

    /// A string of at most 32767 bytes with its length in front.
    public func vstring(_ value: Bytes) throws(TransferFailure) {
        if value.count > Limits.vstring {
            throw TransferFailure(
                .protocolIncompatible, "attempting to send over-long vstring (\(value.count) > \(Limits.vstring))",
                role: role)
        }
        if value.count > 0x7F { try byte(0x80 | UInt8(value.count >> 8)) }
        try byte(UInt8(truncatingIfNeeded: value.count))
        try bytes(value)
    }

    /// A file index or special negative value, delta coded for protocol ≥ 30.
    public func ndx(_ value: Int32) throws(TransferFailure) {
        if protocolVersion < 30 { return try int32(value) }
        if value == Ndx.done { return try byte(0) }
        let out = try reserve(6)
        var count = 0
        let number: Int32
        let difference: Int32
        if value >= 0 {
            number = value
            difference = value &- ndxState.positive
            ndxState.positive = value
        } else {
            out[0] = 0xFF
            count = 1
            number = -value
            difference = number &- ndxState.negative
            ndxState.negative = number
        }
        if difference >= 1 && difference <= 0xFD {
            out[count] = UInt8(difference)
            count += 1
        } else if difference < 0 || difference > 0x7FFF {
            let bits = UInt32(bitPattern: number)
            out[count] = 0xFE
            out[count + 1] = UInt8(truncatingIfNeeded: bits >> 24) | 0x80
            out[count + 2] = UInt8(truncatingIfNeeded: bits)
            out[count + 3] = UInt8(truncatingIfNeeded: bits >> 8)
            out[count + 4] = UInt8(truncatingIfNeeded: bits >> 16)
            count += 5
        } else {
            out[count] = 0xFE
            out[count + 1] = UInt8(truncatingIfNeeded: difference >> 8)
            out[count + 2] = UInt8(truncatingIfNeeded: difference)
            count += 3
        }
        try commit(count)
    }
}
