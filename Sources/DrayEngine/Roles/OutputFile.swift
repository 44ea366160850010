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
    /// Length of what stands in the file already: zeros below it need a hole punched.
    private var oldLength: Int64 = 0
    /// Length of what has blocks, at least `oldLength`: a hole that lies below it gives them back.
    private var allocated: Int64 = 0
    /// Zeros that end where the next bytes begin and are no hole yet. Whole pages are freed only if a run is punched as
    /// one, whatever pieces it came in.
    private var zeros: Range<Int64> = 0..<0
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
    func begin(_ descriptor: Int32, sparse: Bool, oldLength: Int64, allocated: Int64) {
        self.descriptor = descriptor
        self.sparse = sparse
        self.oldLength = oldLength
        self.allocated = allocated
        (used, heldSlices, heldBytes, failure) = (0, 0, 0, 0)
        offset = 0
        zeros = 0..<0
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

    /// Leaves bytes that stand in the file already (in-place matches), but makes holes of their zeros.
    func keep(_ bytes: UnsafeRawBufferPointer) -> Int32 {
        guard sparse else { return skip(bytes.count) }
        var code = flush()
        if code == 0 { code = putSparse(bytes, start: offset, isThere: true) }
        offset += Int64(bytes.count)
        return code
    }

    /// Leaves `count` bytes of the file as they are.
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
        if sparse { return putSparse(bytes, start: start, isThere: false) }
        let code = seekIfNeeded(to: start)
        return code != 0 ? code : FileSystem.writeAll(descriptor, bytes)
    }

    /// - Parameter isThere: the file has these bytes already.
    private func putSparse(_ bytes: UnsafeRawBufferPointer, start: Int64, isThere: Bool) -> Int32 {
        var position = 0
        while position < bytes.count {
            let zeroEnd = ZeroRuns.end(bytes, from: position)
            let isEdge = position == 0 || zeroEnd == bytes.count
            if zeroEnd > position && (isEdge || zeroEnd - position >= Self.sparseRun) {
                let code = note(zeros: start + Int64(position)..<start + Int64(zeroEnd))
                if code != 0 { return code }
                position = zeroEnd
                continue
            }
            // Data up to the next long run of zeros or the end.
            let data = max(zeroEnd, position + 1)
            let end =
                ZeroRuns.first(bytes, from: data, length: Self.sparseRun)
                ?? bytes.count - ZeroRuns.atEnd(bytes, notBefore: data)
            var code = punchZeros()
            if isThere {
                needsSeek = true
            } else {
                if code == 0 { code = seekIfNeeded(to: start + Int64(position)) }
                if code == 0 {
                    code = FileSystem.writeAll(descriptor, UnsafeRawBufferPointer(rebasing: bytes[position..<end]))
                }
            }
            if code != 0 { return code }
            position = end
        }
        return 0
    }

    private func note(zeros run: Range<Int64>) -> Int32 {
        needsSeek = true
        if run.lowerBound == zeros.upperBound && !zeros.isEmpty {
            zeros = zeros.lowerBound..<run.upperBound
            return 0
        }
        let code = punchZeros()
        zeros = run
        return code
    }

    private func punchZeros() -> Int32 {
        let end = zeros.upperBound <= allocated ? zeros.upperBound : min(zeros.upperBound, oldLength)
        let hole = zeros.lowerBound..<max(zeros.lowerBound, end)
        zeros = 0..<0
        if hole.isEmpty { return 0 }
        let punchKeep: Int32 = 0x03
        if dray_fallocate(descriptor, punchKeep, off_t(hole.lowerBound), off_t(hole.count)) == 0 { return 0 }
        let blank = Bytes(repeating: 0, count: min(hole.count, 1 << 16))
        var code = FileSystem.seek(descriptor, to: hole.lowerBound)
        var left = hole.count
        while code == 0 && left > 0 {
            code = blank.withUnsafeBytes {
                FileSystem.writeAll(descriptor, UnsafeRawBufferPointer(rebasing: $0[..<min(left, blank.count)]))
            }
            left -= blank.count
        }
        return code
    }

    /// Writes what is buffered and cuts the file to the bytes written, if its length may differ.
    func finish(truncate: Bool, device: Bool = false) -> (code: Int32, truncateCode: Int32) {
        var code = flush()
        if code == 0 { code = punchZeros() }
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
