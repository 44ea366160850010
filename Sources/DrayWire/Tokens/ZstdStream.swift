// Dray — zstd tokens: one stream for the whole session and direction.
// Layer: Wire. Wire format: chapter 03 §9.2.
// SPDX-License-Identifier: Apache-2.0

#if Zstd
    import CZstd
    import DrayCore

    /// Compresses with a context that is never reset; runs end with a flush.
    final class ZstdEncoder: LiteralEncoder {
        private let context = ZSTD_createCCtx()
        private let out = UnsafeMutableRawPointer.allocate(byteCount: Limits.compressedPiece, alignment: 16)
        let wantsMatches = false

        init(level: Int, threads: Int) {
            ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Int32(level))
            // A library without threads refuses this and compresses in ours.
            if threads > 0 { ZSTD_CCtx_setParameter(context, ZSTD_c_nbWorkers, Int32(clamping: threads)) }
        }

        deinit {
            ZSTD_freeCCtx(context)
            out.deallocate()
        }

        func begin() throws(TransferFailure) {
            if context == nil { throw TransferFailure(.outOfMemory, "compression init failed", role: .sender) }
        }

        func encode(_ bytes: UnsafeRawBufferPointer, flushing: Bool, to writer: WireWriter) throws(TransferFailure) {
            var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
            while true {
                var output = ZSTD_outBuffer(dst: out, size: Limits.compressedPiece, pos: 0)
                let left = ZSTD_compressStream2(context, &output, &input, flushing ? ZSTD_e_flush : ZSTD_e_continue)
                if ZSTD_isError(left) != 0 {
                    throw TransferFailure(
                        .protocolStream, "ZSTD_compressStream returned \(Int32(truncatingIfNeeded: left))",
                        role: .sender)
                }
                if output.pos > 0 { try writer.compressedPiece(UnsafeRawBufferPointer(start: out, count: output.pos)) }
                if flushing ? left == 0 : input.pos == input.size { return }
            }
        }

        func insert(_ bytes: UnsafeRawBufferPointer) throws(TransferFailure) {}
    }

    /// Decompresses with one context through all files.
    final class ZstdDecoder: LiteralDecoder {
        private static let capacity = 128 * 1024
        private let context = ZSTD_createDCtx()
        private let out = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        private let role: () -> RoleName
        private var input = ZSTD_inBuffer(src: nil, size: 0, pos: 0)
        private var mayHoldMore = false
        let wantsMatches = false

        init(role: @escaping () -> RoleName) {
            self.role = role
            // 2^27 bytes of history at most, whatever the frame claims.
            ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, Limits.zstdWindowLog)
        }

        deinit {
            ZSTD_freeDCtx(context)
            out.deallocate()
        }

        func begin() throws(TransferFailure) {
            if context == nil { throw TransferFailure(.outOfMemory, "ZSTD_createDCtx failed", role: role()) }
        }

        func supply(_ piece: UnsafeRawBufferPointer) {
            input = ZSTD_inBuffer(src: piece.baseAddress, size: piece.count, pos: 0)
        }

        func output() throws(TransferFailure) -> UnsafeRawBufferPointer? {
            while input.pos < input.size || mayHoldMore {
                var output = ZSTD_outBuffer(dst: out, size: Self.capacity, pos: 0)
                let code = ZSTD_decompressStream(context, &output, &input)
                if ZSTD_isError(code) != 0 {
                    let text = "ZSTD decomp returned \(Int32(truncatingIfNeeded: code)) (\(output.pos) bytes)"
                    throw TransferFailure(.protocolStream, text, role: role())
                }
                mayHoldMore = output.pos == output.size
                if output.pos > 0 { return UnsafeRawBufferPointer(start: out, count: output.pos) }
            }
            return nil
        }

        func endOfRun() throws(TransferFailure) {}
        func insert(_ bytes: UnsafeRawBufferPointer) throws(TransferFailure) {}
    }
#endif
