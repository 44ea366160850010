// Dray — peers that announce or compress more than we would like to hold: memory stays bounded.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import DrayWire
import Glibc
import Testing

extension Interop {
    /// Peak resident size of the side under test. What is announced must cost nothing until it has come, and what is
    /// decompressed must not be kept; only a zstd stream may have the history that it asks for, up to 2^27 bytes.
    @Suite struct HostilePeerMemoryTests {
        /// Bound on the resident size of a debug build, MiB; an idle one has about 25.
        static let bound = 64
        static let zstdBound = bound + 128 + 16

        let place: HostilePlace

        init() throws { place = try HostilePlace() }

        /// Huge counts and lengths with nothing behind them; see `HostileCase` for the form.
        static let claims = HostileCase.table(
            #"""
            count of block sums | sender -re.LsfxCIvu | 12 | -
                $C $q { 02 0080 i:44739241 i:131072 i:16 i:0 }
            count of block sums to a client | push -r | 12 | -
                $S { 02 0080 i:44739241 i:131072 i:16 i:0 }
            count of block sums beyond the limit | sender -re.LsfxCIvu | 22 | -
                $C $q { 02 0080 i:2147483647 i:131072 i:16 i:0 }
            count of blocks in a reply | pull -r +basis | 12 | -
                $S $list { 02 0080 i:2147483647 i:131072 i:16 i:0 }
            literal data | pull -r | 12 | -
                $S $list { 02 00a0 $none i:2147483647 "abc" }
            attribute value | pull -rX | 12 | -
                $S { $D 00 00 $F 00 01 07 28 "user.x" 00 00*16 $E } { 02 00a1 01 v:134217728 "abc" }
            attribute count | pull -rX | 12 | -
                $S { $D 00 v:65536 07 01 "user.x" 00 61 }
            attribute name | pull -rX | 12 | -
                $S { $D 00 01 v:4096 v:134217728 "user.x" }
            attribute count to a server | receiver -rXe.LsfxCIvu | 12 | -
                $C { $D 00 v:65536 07 01 "user.x" 00 61 }
            ACL count | pull -rA | 12 | -
                $S { $D 00 10 v:65536 01 1e }
            frame | pull -r | 12 | -
                $S ffffff07 00
            file name | pull -r | 12 | -
                $S { $D 58 v:4095 "abc" }
            link target | pull -rl | 12 | -
                $S { $D 18 01 66 000500 65257d93 ffa10000 v:4095 "abc" }
            file length | pull -r | 12 | -
                $S { $D 18 01 66 fcffffffffffffff7f 65257d93 a4810000 $E } { 02 00a0 $none }
            flood of keep-alives | pull -r | 12 | -
                $S 00000007*1000000
            flood of old keep-alives | pull -r | 12 | -
                $S 00000031*1000000
            flood of refusals | push -r +linger | 12 | -
                $S 0400006d01000000*500000
            """#)

        @Test(arguments: claims)
        func claimsCostNothing(_ item: HostileCase) throws {
            let result = try place.run(DrayPrograms.dray, item, seconds: 60)
            #expect(!result.timedOut)
            #expect(result.exitCode == item.exitCode, "\(result.errorText.prefix(2_000))")
            #expect(isWithin(result, Self.bound), "\(result.peakKibibytes) KiB")
        }

        /// A started program's count begins with the peak of the process that starts it: a test that is larger than
        /// the bound can only see what goes beyond itself.
        private func isWithin(_ result: ProcessResult, _ bound: Int) -> Bool {
            var own = rusage()
            getrusage(RUSAGE_SELF.rawValue, &own)
            return result.peakKibibytes <= max(bound * 1024, own.ru_maxrss)
        }

        // MARK: - Decompression

        @Test func zlibBombIsNotKept() throws {
            let zeros = try run(["/bin/sh", "-c", "head -c 192M /dev/zero | gzip -9 -n"])
            // Between the header and the trailer of gzip stands a raw deflate stream.
            try expect("zlib", Array(zeros.output.dropFirst(10).dropLast(8)), "inflate returned 1 ", Self.bound)
            try expect("zlibx", Array(zeros.output.dropFirst(10).dropLast(8)), "inflate returned 1 ", Self.bound)
        }

        @Test(.enabled(if: CompressionMethod.available.contains(.zstd), "built without zstd"))
        func zstdBombHasTheLargestWindow() throws {
            // A window of 2^27 bytes, then blocks that repeat one byte 131072 times.
            let stream = HostileBytes.parse("28b52ffd 00 88 02001000*1536")
            try expect("zstd", stream, "connection unexpectedly closed", Self.zstdBound)
        }

        @Test(.enabled(if: CompressionMethod.available.contains(.zstd), "built without zstd"))
        func zstdWindowBeyondTheLimitIsRefused() throws {
            for descriptor in ["89", "90", "a8", "f8"] {
                let stream = HostileBytes.parse("28b52ffd 00 \(descriptor) 02001000*8")
                try expect("zstd", stream, "ZSTD decomp returned -16 (0 bytes)", Self.bound)
            }
            // A frame of one segment needs a window as large as its content.
            try expect(
                "zstd", HostileBytes.parse("28b52ffd e0 0000000001000000 02001000*8"),
                "ZSTD decomp returned -16 (0 bytes)", Self.bound)
        }

        @Test(.enabled(if: CompressionMethod.available.contains(.lz4), "built without lz4"))
        func lz4BombIsNotKept() throws {
            let piece = HostileBytes.parse("1f 00 0100 ff*127 fe 50 00*5")
            let pieces = [[UInt8]](repeating: piece, count: 6_000)
            try expect("lz4", pieces: pieces, "connection unexpectedly closed", Self.bound)
        }

        private func expect(_ method: String, _ stream: [UInt8], _ text: String, _ bound: Int) throws {
            let pieces = stride(from: 0, to: stream.count, by: 16_383).map {
                Array(stream[$0..<min($0 + 16_383, stream.count)])
            }
            try expect(method, pieces: pieces, text, bound)
        }

        /// A reply to a pulling client whose literal data consists of `pieces`; then the connection ends.
        private func expect(_ method: String, pieces: [[UInt8]], _ text: String, _ bound: Int) throws {
            var item = HostileCase.table("\(method) | pull -rS --compress-choice=\(method) | 12 | -\n $S $list")[0]
            var reply = HostileBytes.parse("02 00a0 $none")
            for piece in pieces {
                reply += [0x40 | UInt8(piece.count >> 8), UInt8(truncatingIfNeeded: piece.count)] + piece
            }
            item.bytes += HostileBytes.littleEndian(7 << 24 | UInt32(reply.count)) + reply
            let result = try place.run(DrayPrograms.dray, item, seconds: 120)
            #expect(!result.timedOut)
            #expect(result.exitCode == 12 && result.errorText.contains(text), "\(result.errorText)")
            #expect(isWithin(result, bound), "\(result.peakKibibytes) KiB")
        }
    }
}
