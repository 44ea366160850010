// Dray — lz4 tokens: every piece is a block of its own.
// Layer: Wire. Wire format: chapter 03 §9.3.
// SPDX-License-Identifier: Apache-2.0

#if LZ4
    import CLZ4
    import DrayCore

    /// Compresses at most 16383 bytes per piece, fewer if they do not shrink.
    final class LZ4Encoder: LiteralEncoder {
        private let out = UnsafeMutablePointer<CChar>.allocate(capacity: Limits.compressedPiece)
        let wantsMatches = false

        deinit { out.deallocate() }

        func begin() throws(TransferFailure) {}

        func encode(_ bytes: UnsafeRawBufferPointer, flushing: Bool, to writer: WireWriter) throws(TransferFailure) {
            var done = 0
            while done < bytes.count {
                var count = min(bytes.count - done, Limits.compressedPiece)
                // Safe: `count` bytes are left; the library writes at most what it is told.
                let start = (bytes.baseAddress! + done).assumingMemoryBound(to: CChar.self)
                var size = LZ4_compress_default(start, out, Int32(count), Int32(Limits.compressedPiece))
                while size <= 0 {
                    count /= 2
                    if count == 0 {
                        throw TransferFailure(.protocolStream, "compress returned \(size)", role: .sender)
                    }
                    size = LZ4_compress_default(start, out, Int32(count), Int32(Limits.compressedPiece))
                }
                try writer.compressedPiece(UnsafeRawBufferPointer(start: out, count: Int(size)))
                done += count
            }
        }

        func insert(_ bytes: UnsafeRawBufferPointer) throws(TransferFailure) {}
    }

    /// Decompresses one piece at a time, at most 32896 bytes each.
    final class LZ4Decoder: LiteralDecoder {
        private let out = UnsafeMutablePointer<CChar>.allocate(capacity: Limits.lz4Output)
        private let role: () -> RoleName
        private var piece = UnsafeRawBufferPointer(start: nil, count: 0)
        let wantsMatches = false

        init(role: @escaping () -> RoleName) { self.role = role }

        deinit { out.deallocate() }

        func begin() throws(TransferFailure) {}
        func supply(_ piece: UnsafeRawBufferPointer) { self.piece = piece }

        func output() throws(TransferFailure) -> UnsafeRawBufferPointer? {
            guard let start = piece.baseAddress else { return nil }
            let size = LZ4_decompress_safe(
                start.assumingMemoryBound(to: CChar.self), out, Int32(piece.count), Int32(Limits.lz4Output))
            piece = UnsafeRawBufferPointer(start: nil, count: 0)
            if size < 0 { throw TransferFailure(.protocolStream, "uncompress failed: \(size)", role: role()) }
            return UnsafeRawBufferPointer(start: out, count: Int(size))
        }

        func endOfRun() throws(TransferFailure) {}
        func insert(_ bytes: UnsafeRawBufferPointer) throws(TransferFailure) {}
    }
#endif
