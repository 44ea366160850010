// Dray — the memory between OpenSSL and the transport: received and produced records.
// Layer: Transport.
// SPDX-License-Identifier: Apache-2.0

import COpenSSL
import Glibc

/// Ciphertext on its way in and out of one connection. Touched only under the connection's lock, except that the region
/// behind `inputEnd` belongs to the reading thread while it fills it.
struct TLSBuffers {
    static let inputCapacity = 256 * 1024

    let input = UnsafeMutableRawPointer.allocate(byteCount: TLSBuffers.inputCapacity, alignment: 4096)
    var inputStart = 0
    var inputEnd = 0
    /// The transport has ended.
    var inputEnded = false

    var output: UnsafeMutableRawPointer
    var outputCount = 0
    var outputCapacity: Int

    init(outputCapacity: Int) {
        self.outputCapacity = outputCapacity
        output = .allocate(byteCount: outputCapacity, alignment: 4096)
    }

    func deallocate() {
        input.deallocate()
        output.deallocate()
    }

    mutating func append(_ bytes: UnsafeRawPointer, _ count: Int) {
        if outputCount + count > outputCapacity {
            let capacity = max(2 * outputCapacity, outputCount + count)
            let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 4096)
            memcpy(larger, output, outputCount)
            output.deallocate()
            output = larger
            outputCapacity = capacity
        }
        memcpy(output + outputCount, bytes, count)
        outputCount += count
    }
}

/// The OpenSSL I/O method over `TLSBuffers`; made once.
enum TLSBufferMethod {
    // Safe: immutable after creation.
    nonisolated(unsafe) static let method: OpaquePointer? = {
        guard let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "dray") else { return nil }
        BIO_meth_set_read(method) { bio, target, count in
            dray_BIO_clear_retry_flags(bio)
            guard let buffers = TLSBufferMethod.buffers(bio), let target, count > 0 else { return -1 }
            let available = buffers.pointee.inputEnd - buffers.pointee.inputStart
            if available == 0 {
                if buffers.pointee.inputEnded { return 0 }
                dray_BIO_set_retry_read(bio)
                return -1
            }
            let taken = min(available, Int(count))
            memcpy(target, buffers.pointee.input + buffers.pointee.inputStart, taken)
            buffers.pointee.inputStart += taken
            return Int32(taken)
        }
        BIO_meth_set_write(method) { bio, source, count in
            dray_BIO_clear_retry_flags(bio)
            guard let buffers = TLSBufferMethod.buffers(bio), let source, count > 0 else { return 0 }
            buffers.pointee.append(source, Int(count))
            return count
        }
        BIO_meth_set_ctrl(method) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
        BIO_meth_set_create(method) { bio in
            BIO_set_init(bio, 1)
            return 1
        }
        return method
    }()

    private static func buffers(_ bio: OpaquePointer?) -> UnsafeMutablePointer<TLSBuffers>? {
        BIO_get_data(bio)?.assumingMemoryBound(to: TLSBuffers.self)
    }
}
