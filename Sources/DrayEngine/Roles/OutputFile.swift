// Dray — writes received data, and reads the basis it refers to.
// Layer: Engine. Behaviour: chapter 04 §8.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayFiles
import Glibc

/// Sequential output with one reusable buffer; optionally leaves holes for zeros.
///
/// ```
///   file ◄─ [ buffer 0..<used ] ◄─ held slices of memory that belongs to others
/// ```
final class OutputFile {
    private var descriptor: Int32 = -1
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * 1024, alignment: 4096)
    private var used = 0
    /// Borrowed bytes that follow the buffered ones, and how many there are.
    private let held = UnsafeMutablePointer<iovec>.allocate(capacity: OutputFile.sliceLimit)
    private var heldSlices = 0
    private var heldBytes = 0
    /// What `release()` met; reported by the next call.
    private var failure: Int32 = 0
    private var sparse = false
    /// File length when writing began: zeros below it need a hole punched, above it a seek is enough.
    private var oldLength: Int64 = 0
    private(set) var offset: Int64 = 0
    private var needsSeek = false
    private static let sliceLimit = 32
    /// Less than this is copied rather than written when borrowed memory goes away.
    private static let smallest = 128 * 1024
    private static let directSize = 16 * 1024
    private static let sparseRun = 1024

    deinit {
        buffer.deallocate()
        held.deallocate()
    }

    /// Starts a file at its current offset 0.
    func begin(_ descriptor: Int32, sparse: Bool, oldLength: Int64) {
        self.descriptor = descriptor
        self.sparse = sparse
        self.oldLength = oldLength
        (used, heldSlices, heldBytes, failure) = (0, 0, 0, 0)
        offset = 0
        needsSeek = false
    }

    /// Appends bytes; 0 or errno.
    @inline(__always)
    func write(_ bytes: UnsafeRawBufferPointer) -> Int32 {
        if heldSlices > 0 || used + bytes.count > buffer.count || failure != 0 {
            // Before the offset moves: what is buffered ends where these bytes begin.
            let code = flush()
            if code != 0 { return code }
        }
        offset += Int64(bytes.count)
        if used == 0 && bytes.count >= Self.directSize { return put(bytes, end: offset) }
        (buffer.baseAddress! + used).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
        used += bytes.count
        return 0
    }

    /// Appends bytes that stay where they are until `release()`, so that many pieces go out in one call; 0 or errno.
    @inline(__always)
    func hold(_ bytes: UnsafeRawBufferPointer) -> Int32 {
        if sparse { return write(bytes) }
        if failure != 0 { return failure }
        let start = UnsafeMutableRawPointer(mutating: bytes.baseAddress!)
        if heldSlices > 0, held[heldSlices - 1].iov_base + held[heldSlices - 1].iov_len == start {
            held[heldSlices - 1].iov_len += bytes.count
        } else {
            if heldSlices == Self.sliceLimit {
                release()
                if failure != 0 { return failure }
            }
            // Safe: heldSlices < sliceLimit now.
            held[heldSlices] = iovec(iov_base: start, iov_len: bytes.count)
            heldSlices += 1
        }
        heldBytes += bytes.count
        offset += Int64(bytes.count)
        return 0
    }

    /// Lets go of borrowed memory: writes or copies what it holds.
    func release() {
        if heldSlices == 0 { return }
        if used + heldBytes >= Self.smallest {
            failure = flush()
            return
        }
        for index in 0..<heldSlices {
            // Safe: used + heldBytes is below the buffer's size.
            (buffer.baseAddress! + used).copyMemory(from: held[index].iov_base, byteCount: held[index].iov_len)
            used += held[index].iov_len
        }
        (heldSlices, heldBytes) = (0, 0)
    }

    /// Leaves `count` bytes of the file as they are (in-place matches).
    func skip(_ count: Int) -> Int32 {
        let code = flush()
        offset += Int64(count)
        needsSeek = true
        return code
    }

    func flush() -> Int32 {
        if used == 0 && heldSlices == 0 || failure != 0 { return failure }
        let buffered = UnsafeRawBufferPointer(start: buffer.baseAddress, count: used)
        let (slices, bytes) = (heldSlices, heldBytes)
        (used, heldSlices, heldBytes) = (0, 0, 0)
        if slices == 0 { return put(buffered, end: offset) }
        let code = seekIfNeeded(to: offset - Int64(buffered.count + bytes))
        return code != 0
            ? code : FileSystem.writeAll(descriptor, buffered, UnsafeMutableBufferPointer(start: held, count: slices))
    }

    private func seekIfNeeded(to start: Int64) -> Int32 {
        guard needsSeek else { return 0 }
        needsSeek = false
        return FileSystem.seek(descriptor, to: start)
    }

    private func put(_ bytes: UnsafeRawBufferPointer, end: Int64) -> Int32 {
        let start = end - Int64(bytes.count)
        let code = seekIfNeeded(to: start)
        if code != 0 { return code }
        return sparse ? putSparse(bytes, start: start) : FileSystem.writeAll(descriptor, bytes)
    }

    private func putSparse(_ bytes: UnsafeRawBufferPointer, start: Int64) -> Int32 {
        var position = 0
        while position < bytes.count {
            let zeroEnd = ZeroRuns.end(bytes, from: position)
            let isEdge = position == 0 || zeroEnd == bytes.count
            if zeroEnd > position && (isEdge || zeroEnd - position >= Self.sparseRun) {
                let code = hole(at: start + Int64(position), count: zeroEnd - position)
                if code != 0 { return code }
                position = zeroEnd
                continue
            }
            // Data up to the next long run of zeros or the end.
            let data = max(zeroEnd, position + 1)
            let end =
                ZeroRuns.first(bytes, from: data, length: Self.sparseRun)
                ?? bytes.count - ZeroRuns.atEnd(bytes, notBefore: data)
            let code = FileSystem.writeAll(descriptor, UnsafeRawBufferPointer(rebasing: bytes[position..<end]))
            if code != 0 { return code }
            position = end
        }
        return 0
    }

    private func hole(at start: Int64, count: Int) -> Int32 {
        if start < oldLength {
            let punchKeep: Int32 = 0x03
            let length = min(Int64(count), oldLength - start)
            if dray_fallocate(descriptor, punchKeep, off_t(start), off_t(length)) != 0 {
                let zeros = Bytes(repeating: 0, count: count)
                return zeros.withUnsafeBytes { FileSystem.writeAll(descriptor, $0) }
            }
        }
        return FileSystem.seek(descriptor, to: start + Int64(count))
    }

    /// Writes what is buffered and cuts the file to the bytes written, if its length may differ.
    func finish(truncate: Bool, device: Bool = false) -> (code: Int32, truncateCode: Int32) {
        let code = flush()
        if code != 0 { return (code, 0) }
        return (0, !device && (truncate || sparse) ? FileSystem.truncate(descriptor: descriptor, offset) : 0)
    }
}

/// A window over the basis file for block references.
final class BasisWindow {
    private var descriptor: Int32 = -1
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 512 * 1024, alignment: 4096)
    private var start: Int64 = 0
    private var count = 0

    deinit { buffer.deallocate() }

    func begin(_ descriptor: Int32) {
        self.descriptor = descriptor
        start = 0
        count = 0
    }

    /// Whether `bytes(at:length:)` would give the bytes without reading, so that earlier ones stay valid.
    func holds(_ offset: Int64, length: Int) -> Bool {
        offset >= start && offset + Int64(min(length, buffer.count)) <= start + Int64(count)
    }

    /// Up to `length` bytes at `offset`; fewer only at the end of the file, empty on errors. Valid until the next call.
    func bytes(at offset: Int64, length: Int) -> UnsafeRawBufferPointer {
        let wanted = min(length, buffer.count)
        if !holds(offset, length: wanted) {
            start = offset
            count = max(0, FileSystem.readFully(descriptor, buffer, at: offset))
        }
        let skip = Int(offset - start)
        return UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[skip..<min(count, skip + wanted)])
    }
}
