// Dray — names in a directory, read in large pieces.
// Layer: Files.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import Glibc

/// Reads directory entries with getdents64 into one reusable buffer.
public final class DirectoryScan {
    private let buffer: UnsafeMutableRawBufferPointer
    let helpers: StatusHelpers
    let room = StatusRoom()
    @exclusivity(unchecked) var crew: StatusCrew?

    /// - Parameters:
    ///   - bufferBytes: room for one piece of a directory.
    ///   - helpers: threads that `forEachStatus` may use.
    public init(bufferBytes: Int = 64 * 1024, helpers: StatusHelpers = .standard) {
        buffer = .allocate(byteCount: bufferBytes, alignment: 16)
        self.helpers = helpers
    }

    deinit { buffer.deallocate() }

    /// Calls `body` with every name except `.` and `..`, in directory order, and the type that the directory entry
    /// tells (0 if unknown). The name is NUL-terminated behind its last byte and valid during the call only.
    ///
    /// - Returns: 0 or an errno value of reading.
    public func forEach<E: Error>(
        _ descriptor: Int32, _ body: (UnsafeRawBufferPointer, UInt8) throws(E) -> Void
    ) throws(E) -> Int32 {
        while true {
            let count = fill(descriptor)
            if count <= 0 { return Int32(-count) }
            try forEachRecord(count, body)
        }
    }

    /// Reads the next piece of the directory; its length, 0 at the end, or −errno.
    func fill(_ descriptor: Int32) -> Int {
        while true {
            let count = dray_getdents64(descriptor, buffer.baseAddress!, buffer.count)
            if count >= 0 { return count }
            if errno != EINTR { return -Int(errno) }
        }
    }

    /// Calls `body` with the names in the first `count` bytes of the buffer.
    func forEachRecord<E: Error>(
        _ count: Int, _ body: (UnsafeRawBufferPointer, UInt8) throws(E) -> Void
    ) throws(E) {
        var offset = 0
        while offset < count {
            // struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name
            let record = buffer.baseAddress! + offset
            let length = Int(record.loadUnaligned(fromByteOffset: 16, as: UInt16.self))
            let type = record.load(fromByteOffset: 18, as: UInt8.self)
            let name = record + 19
            let nameLength = strlen(name.assumingMemoryBound(to: CChar.self))
            offset += length
            let bytes = name.assumingMemoryBound(to: UInt8.self)
            if bytes[0] == UInt8(ascii: "."),
                nameLength == 1 || (nameLength == 2 && bytes[1] == UInt8(ascii: "."))
            {
                continue
            }
            try body(UnsafeRawBufferPointer(start: name, count: nameLength), type)
        }
    }

    /// All names of a directory with their types; nil and errno on failure. For callers that recurse meanwhile.
    public func names(_ descriptor: Int32, code: inout Int32) -> [Bytes] {
        var names: [Bytes] = []
        code = forEach(descriptor) { name, _ in names.append(Bytes(name)) }
        return names
    }
}
