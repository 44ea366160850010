// Dray — raw deflate for zlib and zlibx tokens.
// Layer: Wire. Wire format: chapter 03 §9.1.
// SPDX-License-Identifier: Apache-2.0

import CZlib
import DrayCore

/// One deflate stream per file; runs end with a sync flush whose last four bytes stay at home.
final class ZlibEncoder: LiteralEncoder {
    /// `00 00 FF FF` at the end of a sync flush.
    private static let trailer = 4
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    private let out = UnsafeMutablePointer<UInt8>.allocate(capacity: Limits.compressedPiece)
    private let isReady: Bool
    private let compressesMatches: Bool
    let wantsMatches: Bool

    init(level: Int, insertsMatches: Bool, compressesMatches: Bool = false) {
        stream.initialize(to: z_stream())
        isReady = dray_deflate_init_raw(stream, Int32(level)) == Z_OK
        wantsMatches = insertsMatches
        self.compressesMatches = compressesMatches
    }

    deinit {
        if isReady { deflateEnd(stream) }
        stream.deallocate()
        out.deallocate()
    }

    func begin() throws(TransferFailure) {
        if !isReady || deflateReset(stream) != Z_OK {
            throw TransferFailure(.protocolStream, "compression init failed", role: .sender)
        }
    }

    func encode(_ bytes: UnsafeRawBufferPointer, flushing: Bool, to writer: WireWriter) throws(TransferFailure) {
        stream.pointee.next_in = UnsafeMutablePointer(
            mutating: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(bytes.count)
        // Bytes at the start of `out` that may turn out to be the trailer.
        var kept = 0
        repeat {
            stream.pointee.next_out = out + kept
            stream.pointee.avail_out = UInt32(Limits.compressedPiece - kept)
            let code = deflate(stream, flushing ? Z_SYNC_FLUSH : Z_NO_FLUSH)
            // Z_BUF_ERROR: the flush was complete already.
            if code != Z_OK && code != Z_BUF_ERROR {
                throw TransferFailure(.protocolStream, "deflate returned \(code)", role: .sender)
            }
            let count = Limits.compressedPiece - Int(stream.pointee.avail_out)
            let ready = flushing ? count - Self.trailer : count
            if ready > 0 { try writer.compressedPiece(UnsafeRawBufferPointer(start: out, count: ready)) }
            if flushing {
                kept = min(count, Self.trailer)
                // Safe: ready + kept <= count <= capacity, and the ranges may overlap.
                UnsafeMutableRawPointer(out).copyMemory(from: out + max(0, ready), byteCount: kept)
            }
        } while stream.pointee.avail_in > 0 || stream.pointee.avail_out == 0
    }

    func insert(_ bytes: UnsafeRawBufferPointer) throws(TransferFailure) {
        if compressesMatches { return try compress(bytes) }
        let code = deflateSetDictionary(
            stream, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32(bytes.count))
        if code != Z_OK { throw TransferFailure(.protocolStream, "deflate on token returned \(code)", role: .sender) }
    }
}

extension ZlibEncoder {
    /// Compresses a matched block and drops the output.
    private func compress(_ bytes: UnsafeRawBufferPointer) throws(TransferFailure) {
        stream.pointee.next_in = UnsafeMutablePointer(
            mutating: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(bytes.count)
        repeat {
            stream.pointee.next_out = out
            stream.pointee.avail_out = UInt32(Limits.compressedPiece)
            let code = deflate(stream, Z_SYNC_FLUSH)
            if code != Z_OK && code != Z_BUF_ERROR {
                throw TransferFailure(.protocolStream, "deflate on token returned \(code)", role: .sender)
            }
        } while stream.pointee.avail_in > 0 || stream.pointee.avail_out == 0
    }
}

/// One inflate stream per file.
final class ZlibDecoder: LiteralDecoder {
    private static let capacity = 64 * 1024
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    private let out = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    private let isReady: Bool
    private let role: () -> RoleName
    /// The last output filled the buffer: there may be more without more input.
    private var mayHoldMore = false
    private var isEmptyPiece = false
    let wantsMatches: Bool

    init(insertsMatches: Bool, role: @escaping () -> RoleName) {
        stream.initialize(to: z_stream())
        isReady = dray_inflate_init_raw(stream) == Z_OK
        wantsMatches = insertsMatches
        self.role = role
    }

    deinit {
        if isReady { inflateEnd(stream) }
        stream.deallocate()
        out.deallocate()
    }

    private func failure(_ text: String) -> TransferFailure { TransferFailure(.protocolStream, text, role: role()) }

    func begin() throws(TransferFailure) {
        if !isReady || inflateReset(stream) != Z_OK { throw failure("inflateInit failed") }
        stream.pointee.avail_in = 0
        mayHoldMore = false
        isEmptyPiece = false
    }

    func supply(_ piece: UnsafeRawBufferPointer) {
        stream.pointee.next_in = UnsafeMutablePointer(
            mutating: piece.baseAddress?.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(piece.count)
        isEmptyPiece = piece.isEmpty
    }

    func output() throws(TransferFailure) -> UnsafeRawBufferPointer? {
        if isEmptyPiece { throw failure("inflate returned \(Z_BUF_ERROR) (0 bytes)") }
        while stream.pointee.avail_in > 0 || mayHoldMore {
            stream.pointee.next_out = out
            stream.pointee.avail_out = UInt32(Self.capacity)
            let code = inflate(stream, Z_NO_FLUSH)
            let count = Self.capacity - Int(stream.pointee.avail_out)
            if code == Z_BUF_ERROR && count == 0 && stream.pointee.avail_in == 0 {
                mayHoldMore = false
                return nil
            }
            if code != Z_OK { throw failure("inflate returned \(code) (\(count) bytes)") }
            mayHoldMore = stream.pointee.avail_out == 0
            if count > 0 { return UnsafeRawBufferPointer(start: out, count: count) }
        }
        return nil
    }

    func endOfRun() throws(TransferFailure) {
        if inflateSyncPoint(stream) != 1 { throw failure("decompressor lost sync!") }
        var trailer: (UInt8, UInt8, UInt8, UInt8) = (0, 0, 0xFF, 0xFF)
        let (code, count) = withUnsafeMutableBytes(of: &trailer) { raw -> (Int32, Int) in
            stream.pointee.next_in = raw.baseAddress!.assumingMemoryBound(to: UInt8.self)
            stream.pointee.avail_in = UInt32(raw.count)
            stream.pointee.next_out = out
            stream.pointee.avail_out = UInt32(Self.capacity)
            return (inflate(stream, Z_SYNC_FLUSH), Self.capacity - Int(stream.pointee.avail_out))
        }
        stream.pointee.avail_in = 0
        if code != Z_OK { throw failure("inflate returned \(code) (\(count) bytes)") }
    }

    func insert(_ bytes: UnsafeRawBufferPointer) throws(TransferFailure) {
        // A raw stream takes history at any block border, as if it had inflated a stored block.
        let code = inflateSetDictionary(
            stream, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32(bytes.count))
        if code != Z_OK { throw failure("inflate (token) returned \(code)") }
    }
}
