// Dray — tests of the token streams: bytes of the real program, round trips, hostile input.
// Layer: Tests.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayTestSupport
import Testing

@testable import DrayWire

/// What a file is made of, for both directions.
private enum Step: Equatable {
    case literal(Bytes)
    case block(Int32, Bytes)
}

/// Writes `files` one after the other and returns the bytes.
private func written(
    _ files: [[Step]], _ compression: Compression, protocolVersion: Int32 = 32, blockLength: Int = 0
) throws -> Bytes {
    let channel = ScriptedChannel()
    let writer = WireWriter(channel: channel, role: .sender)
    writer.protocolVersion = protocolVersion
    let tokens = TokenWriter(writer, compression)
    for file in files {
        try tokens.begin(blockLength: blockLength, length: 1 << 40, lastBlockLength: blockLength)
        for step in file {
            switch step {
            case .literal(let bytes): try bytes.withUnsafeBytes { try tokens.literals($0) }
            case .block(let block, let bytes):
                try tokens.match(block: block, length: bytes.count)
                try bytes.withUnsafeBytes { try tokens.insert($0) }
            }
        }
        try tokens.end()
    }
    try writer.flush()
    return channel.output
}

/// Reads `count` files; `blocks` supplies what a receiver finds in its basis. Neighbouring literals are joined.
private func read(
    _ bytes: Bytes, _ method: CompressionMethod, count: Int = 1, piece: Int = Int.max, protocolVersion: Int32 = 32,
    blocks: (Int32) -> Bytes = { _ in [] }
) throws -> [[Step]] {
    let reader = WireReader(channel: ScriptedChannel(bytes, pieceSize: piece), role: .receiver)
    reader.protocolVersion = protocolVersion
    let tokens = TokenReader(reader, method)
    var files: [[Step]] = []
    for _ in 0..<count {
        var steps: [Step] = []
        var literal: Bytes = []
        try tokens.begin()
        reading: while true {
            let token = try tokens.next()
            if case .literal(let bytes) = token {
                literal += Bytes(bytes)
                continue
            }
            if !literal.isEmpty { steps.append(.literal(literal)) }
            literal = []
            switch token {
            case .end: break reading
            case .literal: continue
            case .block(let block):
                let data = blocks(block)
                // As a receiver does: in two parts.
                let half = data.count / 2
                try data[..<half].withUnsafeBytes { try tokens.insert($0, at: 0, of: data.count) }
                try data[half...].withUnsafeBytes { try tokens.insert($0, at: half, of: data.count) }
                steps.append(.block(block, data))
            }
        }
        files.append(steps)
    }
    return files
}

private func failure(_ bytes: String, _ method: CompressionMethod) -> TransferFailure? {
    do {
        _ = try read(hex(bytes), method)
        return nil
    } catch {
        return error as? TransferFailure
    }
}

@Suite struct TokenTests {
    /// Blocks of 700 bytes of the worked example's file B.
    private static let basis: Bytes = (0..<2200).map { UInt8((7 * $0 + 3) % 251) }
    private static func block(_ number: Int32) -> Bytes {
        let start = Int(number) * 700
        return Bytes(basis[start..<min(2200, start + 700)])
    }

    /// Origin: rsync 3.5.0, file `hello hello hello hello hello\n` (zlib 1.2.13, zstd 1.5.4, lz4 1.9.4).
    @Test(
        arguments: [
            ("none", "1e 00 00 00 \"hello hello hello hello hello\" 0a 00 00 00 00"),
            ("zlib", "40 0c ca 48 cd c9 c9 57 c8 c0 4e 72 01 00 00"),
            ("zlibx", "40 0c ca 48 cd c9 c9 57 c8 c0 4e 72 01 00 00"),
            ("zstd", "40 16 28 b5 2f fd 00 58 6c 00 00 38 68 65 6c 6c 6f 20 0a 01 00 a9 4b 11 00"),
            ("lz4", "40 10 6f 68 65 6c 6c 6f 20 06 00 00 50 65 6c 6c 6f 0a 00"),
        ].filter { CompressionMethod(rawValue: $0.0)!.isAvailable })
    func newFileIsThatOfRsync(_ name: String, _ bytes: String) throws {
        let method = CompressionMethod(rawValue: name)!
        let file: [Step] = [.literal(Bytes("hello hello hello hello hello\n"))]
        let level = method.level(wanted: nil) ?? 0
        #expect(try written([file], Compression(method, level: level)) == hex(bytes))
        #expect(try read(hex(bytes), method) == [file])
        #expect(try read(hex(bytes), method, piece: 1) == [file])
    }

    /// Origin: rsync 3.5.0, N over B (chapter 03 §19).
    @Test func matchedBlocksFeedTheDictionary() throws {
        let source = Bytes(Self.basis[..<900]) + Bytes("HELLO") + Bytes(Self.basis[900...])
        let file: [Step] = [
            .block(0, Self.block(0)), .literal(Bytes(source[700..<956])), .block(1, Self.block(1)),
            .literal(Bytes(source[1656..<2105])), .block(3, Self.block(3)),
        ]
        let bytes = hex("80 40 0d 1a 2e 5e f7 70 f5 f1 f1 27 c3 ff 00 00 81 40 07 1a f5 fa 10 f7 3a 00 82 00")
        #expect(try written([file], Compression(.zlib, level: 6), blockLength: 700) == bytes)
        var exact = Compression(.zlib, level: 6)
        exact.compressesMatches = true
        #expect(try written([file], exact, blockLength: 700) == bytes)
        for piece in everyPieceSize { #expect(try read(bytes, .zlib, piece: piece, blocks: Self.block) == [file]) }
    }

    @Test func runsOfBlocksAreOneToken() throws {
        let four: [Step] = (0..<4).map { .block($0, []) }
        #expect(try written([four], Compression(.zlibx, level: 6)) == hex("c0 03 00 00"))
        // 63 is the farthest relative number; the end of a run is what the next one is relative to.
        let far: [Step] = [.block(63, []), .block(64, []), .block(128, []), .block(7, [])]
        let bytes = hex("ff 01 00 | 20 80 00 00 00 | 20 07 00 00 00 | 00")
        #expect(try written([far], Compression(.zlibx, level: 6)) == bytes)
        #expect(try read(bytes, .zlibx) == [far])
        let long: [Step] = (0..<70_000).map { .block($0, []) }
        let longBytes = try written([long], Compression(.zlibx, level: 6))
        #expect(longBytes == hex("c0 ff ff | 81 | 00").replacing(hex("81"), with: hex("c1 6f 11"), at: 3))
        #expect(try read(longBytes, .zlibx) == [long])
    }

    @Test(arguments: CompressionMethod.available, [Int32(30), 32])
    func filesComeBackAsTheyWere(_ method: CompressionMethod, _ version: Int32) throws {
        var random = SeededGenerator(seed: 11)
        let block = 100_000
        let data = (0..<4).map { _ in Self.data(block, &random) }
        var files: [[Step]] = []
        for size in [0, 1, 16_383, 16_384, 32_768, 32_769, 300_000] {
            var file: [Step] = []
            if size > 0 { file.append(.literal(Self.data(size, &random))) }
            file.append(.block(2, data[2]))
            file.append(.block(3, data[3]))
            file.append(.literal(Self.data(5000, &random)))
            file.append(.block(0, data[0]))
            // Repeats what only the dictionary knows.
            file.append(.literal(Bytes(data[0][70_000...])))
            files.append(file)
        }
        let compression = Compression(method, level: method.level(wanted: nil) ?? 0)
        let bytes = try written(files, compression, protocolVersion: version, blockLength: block)
        for piece in [977, Int.max] {
            let back = try read(bytes, method, count: files.count, piece: piece, protocolVersion: version) {
                data[Int($0)]
            }
            #expect(back == files)
        }
    }

    /// Half noise, half text.
    private static func data(_ count: Int, _ random: inout SeededGenerator) -> Bytes {
        let word = Bytes("the quick brown fox ")
        return (0..<count).map { ($0 / 1000) & 1 == 0 ? UInt8.random(in: 0...255, using: &random) : word[$0 % 20] }
    }

    @Test func unknownBlocksKeepTheStreamDecodable() throws {
        var random = SeededGenerator(seed: 3)
        let block = Self.data(40_000, &random)
        let file: [Step] = [.block(0, block), .literal(Bytes(block[8_000..<20_000]))]
        let bytes = try written([file], Compression(.zlib, level: 6), blockLength: 40_000)
        let reader = WireReader(channel: ScriptedChannel(bytes), role: .receiver)
        let tokens = TokenReader(reader, .zlib)
        try tokens.begin()
        guard case .block(0) = try tokens.next() else { return #expect(Bool(false)) }
        try tokens.insertUnknown(length: 40_000)
        var count = 0
        while case .literal(let literal) = try tokens.next() { count += literal.count }
        #expect(count == 12_000)
    }

    @Test func damagedTokensAreRefused() {
        let token = [Bytes("invalid token number in compressed stream")]
        for bytes in ["20 ff ff ff ff", "20 ff ff ff 7f", "c0 00 00", "21 fe ff ff 7f 01 00", "21 01 00 00 00 00 00"] {
            #expect(failure(bytes, .zlibx)?.lines == token, "\(bytes)")
            #expect(failure(bytes, .zlibx)?.code == .protocolIncompatible)
        }
        #expect(failure("40 03 ff ff ff", .zlib)?.lines == [Bytes("inflate returned -3 (0 bytes)")])
        // Literal data that does not end with a flush.
        #expect(failure("40 03 ca 48 cd 00", .zlib)?.lines == [Bytes("decompressor lost sync!")])
        #expect(failure("40 03 ca 48 cd 00", .zlib)?.code == .protocolStream)
        // A final block.
        #expect(failure("40 02 03 00 00", .zlibx)?.lines == [Bytes("inflate returned 1 (0 bytes)")])
    }

    @Test(.enabled(if: CompressionMethod.lz4.isAvailable)) func damagedLZ4IsRefused() {
        #expect(failure("40 03 ff ff ff", .lz4)?.code == .protocolStream)
        #expect(failure("40 03 ff ff ff", .lz4)?.lines.first?.hasPrefix(Bytes("uncompress failed: -")) == true)
    }

    @Test(.enabled(if: CompressionMethod.zstd.isAvailable)) func damagedZstdIsRefused() {
        #expect(failure("40 05 01 02 03 04 05", .zstd)?.lines == [Bytes("ZSTD decomp returned -10 (0 bytes)")])
        #expect(failure("40 05 01 02 03 04 05", .zstd)?.code == .protocolStream)
        // A frame that wants 2^41 bytes of history.
        #expect(failure("40 07 28 b5 2f fd 00 f8 00", .zstd)?.lines == [Bytes("ZSTD decomp returned -16 (0 bytes)")])
    }

    /// A small input that grows without end is handed out piece by piece.
    @Test(arguments: CompressionMethod.available.filter { $0 != .none })
    func bombsComeInPieces(_ method: CompressionMethod) throws {
        let compression = Compression(method, level: method.level(wanted: nil) ?? 0)
        let bytes = try written([[.literal(Bytes(repeating: 0, count: 20_000_000))]], compression)
        let tokens = TokenReader(WireReader(channel: ScriptedChannel(bytes), role: .receiver), method)
        try tokens.begin()
        var (count, largest) = (0, 0)
        while case .literal(let literal) = try tokens.next() {
            count += literal.count
            largest = max(largest, literal.count)
        }
        #expect(count == 20_000_000)
        #expect(largest <= 128 * 1024)
    }

    @Test(arguments: CompressionMethod.available) func noiseNeverCrashes(_ method: CompressionMethod) {
        var random = SeededGenerator(seed: 5)
        for _ in 0..<2000 {
            var bytes = (0..<Int.random(in: 1...60, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            if method != .none { bytes = [0x40, UInt8(bytes.count)] + bytes + [0] }
            _ = try? read(bytes, method)
        }
    }

    @Test func levelsAreClamped() {
        #expect(CompressionMethod.zlib.level(wanted: nil) == 6)
        #expect(CompressionMethod.zlibx.level(wanted: -1) == 6)
        #expect(CompressionMethod.zlib.level(wanted: 0) == nil)
        #expect(CompressionMethod.zlib.level(wanted: -5) == 1)
        #expect(CompressionMethod.zlib.level(wanted: 99) == 9)
        #expect(CompressionMethod.lz4.level(wanted: 7) == 0)
        if CompressionMethod.zstd.isAvailable {
            #expect(CompressionMethod.zstd.level(wanted: nil) == 3)
            #expect(CompressionMethod.zstd.level(wanted: 0) == 3)
            #expect(CompressionMethod.zstd.level(wanted: 99) == 22)
        }
    }
}

extension [UInt8] {
    /// The bytes with the one at `index`, which is `old`, replaced.
    fileprivate func replacing(_ old: Bytes, with new: Bytes, at index: Int) -> Bytes {
        precondition(self[index] == old[0])
        return Bytes(self[..<index]) + new + Bytes(self[(index + 1)...])
    }
}
