// Dray — writes received data, and reads the basis it refers to.
// Layer: Engine. Behaviour: chapter 04 §8.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayFiles
import Glibc

/// Sequential output with one reusable buffer; optionally leaves holes for zeros.
final class OutputFile {
    private var descriptor: Int32 = -1
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * 1024, alignment: 4096)
    private var used = 0
    private var sparse = false
    /// File length when writing began: zeros below it need a hole punched, above it a seek is enough.
    private var oldLength: Int64 = 0
    private(set) var offset: Int64 = 0
    private var needsSeek = false
    private static let directSize = 16 * 1024
    private static let sparseRun = 1024

    deinit { buffer.deallocate() }

    /// Starts a file at its current offset 0.
    func begin(_ descriptor: Int32, sparse: Bool, oldLength: Int64) {
        self.descriptor = descriptor
        self.sparse = sparse
        self.oldLength = oldLength
        used = 0
        offset = 0
        needsSeek = false
    }

    /// Appends bytes; 0 or errno.
    @inline(__always)
    func write(_ bytes: UnsafeRawBufferPointer) -> Int32 {
        if used + bytes.count > buffer.count {
            // Before the offset moves: what is buffered ends where these bytes begin.
            let code = flush()
            if code != 0 { return code }
        }
        offset += Int64(bytes.count)
        if used == 0 && bytes.count >= Self.directSize { return put(bytes) }
        (buffer.baseAddress! + used).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
        used += bytes.count
        return 0
    }

    /// Leaves `count` bytes of the file as they are (in-place matches).
    func skip(_ count: Int) -> Int32 {
        let code = flush()
        offset += Int64(count)
        needsSeek = true
        return code
    }

    func flush() -> Int32 {
        if used == 0 { return 0 }
        let count = used
        used = 0
        return put(UnsafeRawBufferPointer(start: buffer.baseAddress, count: count), at: offset)
    }

    private func put(_ bytes: UnsafeRawBufferPointer, at end: Int64? = nil) -> Int32 {
        if needsSeek {
            needsSeek = false
            let code = FileSystem.seek(descriptor, to: (end ?? offset) - Int64(bytes.count))
            if code != 0 { return code }
        }
        return sparse
            ? putSparse(bytes, start: (end ?? offset) - Int64(bytes.count)) : FileSystem.writeAll(descriptor, bytes)
    }

    private func putSparse(_ bytes: UnsafeRawBufferPointer, start: Int64) -> Int32 {
        var position = 0
        while position < bytes.count {
            var zeroEnd = position
            while zeroEnd < bytes.count && bytes[zeroEnd] == 0 { zeroEnd += 1 }
            let isEdge = position == 0 || zeroEnd == bytes.count
            if zeroEnd > position && (isEdge || zeroEnd - position >= Self.sparseRun) {
                let code = hole(at: start + Int64(position), count: zeroEnd - position)
                if code != 0 { return code }
                position = zeroEnd
                continue
            }
            // Data up to the next long run of zeros or the end.
            var end = max(zeroEnd, position + 1)
            var run = 0
            while end < bytes.count {
                run = bytes[end] == 0 ? run + 1 : 0
                end += 1
                if run >= Self.sparseRun {
                    end -= run
                    break
                }
            }
            if end == bytes.count && run > 0 && run < bytes.count - position { end -= run }
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

    /// Up to `length` bytes at `offset`; fewer only at the end of the file, empty on errors. Valid until the next call.
    func bytes(at offset: Int64, length: Int) -> UnsafeRawBufferPointer {
        let wanted = min(length, buffer.count)
        if offset < start || offset + Int64(wanted) > start + Int64(count) {
            start = offset
            count = max(0, FileSystem.readFully(descriptor, buffer, at: offset))
        }
        let skip = Int(offset - start)
        return UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[skip..<min(count, skip + wanted)])
    }
}
