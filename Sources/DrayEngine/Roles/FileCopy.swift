// Dray — the contents of a file to another one on this side.
// Layer: Engine.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayFiles
import Glibc

/// Copies between open files.
enum FileCopy {
    /// All bytes of `source` to `copy`, in the kernel where it can; 0 or errno.
    static func contents(_ source: Int32, _ copy: Int32) -> Int32 {
        while true {
            let count = dray_copy_file_range(source, copy, 1 << 30)
            if count > 0 { continue }
            if count == 0 { return 0 }
            let code = errno
            if code == EINTR { continue }
            let isUnable = code == EXDEV || code == EINVAL || code == ENOSYS || code == EOPNOTSUPP
            return isUnable ? byHand(source, copy) : code
        }
    }

    private static func byHand(_ source: Int32, _ copy: Int32) -> Int32 {
        pieces(of: source) { FileSystem.writeAll(copy, $0) }
    }

    /// Hands all bytes of `source` from its position on to `body`, until that returns another code than 0; 0 or errno.
    static func pieces<E: Error>(
        of source: Int32, _ body: (UnsafeRawBufferPointer) throws(E) -> Int32
    ) throws(E) -> Int32 {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * 1024, alignment: 4096)
        defer { buffer.deallocate() }
        while true {
            let count = FileSystem.read(source, buffer)
            if count == 0 { return 0 }
            if count < 0 { return Int32(-count) }
            let code = try body(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]))
            if code != 0 { return code }
        }
    }
}
