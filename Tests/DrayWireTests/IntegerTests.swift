import DrayCore
import DrayTestSupport
import Testing

@testable import DrayWire

/// Golden bytes: chapter 01 §1, checked there against the 3.5.0 stream.
@Suite struct IntegerTests {
    private func written(_ body: (WireWriter) throws(TransferFailure) -> Void) throws -> Bytes {
        let channel = ScriptedChannel()
        let writer = WireWriter(channel: channel, role: .sender)
        try body(writer)
        try writer.flush()
        return channel.output
    }

    private func reader(_ bytes: Bytes, piece: Int = Int.max) -> WireReader {
        WireReader(channel: ScriptedChannel(bytes, pieceSize: piece), role: .receiver)
    }

    @Test(
        arguments: [
            (0, "00"), (1, "01"), (127, "7f"), (128, "80 80"), (255, "80 ff"), (256, "81 00"), (0x1FF, "81 ff"),
            (16383, "bf ff"), (16384, "c0 00 40"), (65535, "c0 ff ff"), (0x1FFFFF, "df ff ff"),
            (0x200000, "e0 00 00 20"),
            (0xFFF_FFFF, "ef ff ff ff"), (0x1000_0000, "f0 00 00 00 10"), (0x7FFF_FFFF, "f0 ff ff ff 7f"),
            (-1, "f0 ff ff ff ff"), (Int32.min, "f0 00 00 00 80"),
        ] as [(Int32, String)])
    func varintMatchesTheTable(value: Int32, bytes: String) throws {
        #expect(try written { (w) throws(TransferFailure) in try w.varint(value) } == hex(bytes))
        for piece in everyPieceSize { #expect(try reader(hex(bytes), piece: piece).varint() == value) }
    }

    @Test(
        arguments: [
            (3, 0, "00 00 00"), (3, 46, "00 2e 00"), (3, 65535, "00 ff ff"), (3, 0x7FFFFF, "7f ff ff"),
            (3, 0x800000, "80 00 00 80"), (3, 0xFFFFFF, "80 ff ff ff"), (3, 0x1000000, "81 00 00 00"),
            (3, 0x3FFF_FFFF, "bf ff ff ff"), (3, 0x4000_0000, "c0 00 00 00 40"), (3, 1 << 32, "c1 00 00 00 00"),
            (3, -1, "fc ff ff ff ff ff ff ff ff"), (4, 0, "00 00 00 00"), (4, 1_700_000_000, "65 00 f1 53"),
            (4, 0x7FFF_FFFF, "7f ff ff ff"), (4, 0x8000_0000, "80 00 00 00 80"), (4, 0xFFFF_FFFF, "80 ff ff ff ff"),
            (4, 1 << 32, "81 00 00 00 00"), (4, -1, "f8 ff ff ff ff ff ff ff ff"),
        ] as [(Int, Int64, String)])
    func varlongMatchesTheTable(minimum: Int, value: Int64, bytes: String) throws {
        #expect(try written { (w) throws(TransferFailure) in try w.varlong(value, minimum) } == hex(bytes))
        for piece in everyPieceSize { #expect(try reader(hex(bytes), piece: piece).varlong(minimum) == value) }
    }

    @Test(
        arguments: [
            (0, "00 00 00 00"), (2_147_483_647, "ff ff ff 7f"), (2_147_483_648, "ff ff ff ff 00 00 00 80 00 00 00 00"),
            (5_000_000_000, "ff ff ff ff 00 f2 05 2a 01 00 00 00"), (-1, "ff ff ff ff ff ff ff ff ff ff ff ff"),
        ] as [(Int64, String)])
    func longintMatchesTheTable(value: Int64, bytes: String) throws {
        #expect(try written { (w) throws(TransferFailure) in try w.longint(value) } == hex(bytes))
        for piece in everyPieceSize { #expect(try reader(hex(bytes), piece: piece).longint() == value) }
    }

    @Test func randomValuesSurvive() throws {
        var generator = SeededGenerator(seed: 42)
        for _ in 0..<2000 {
            let wide = Int64(bitPattern: generator.next() >> UInt64.random(in: 0..<64, using: &generator))
            let narrow = Int32(truncatingIfNeeded: wide)
            let bytes = try written { (w) throws(TransferFailure) in
                try w.varint(narrow)
                try w.varlong(wide, 3)
                try w.varlong(wide, 4)
                try w.longint(wide)
            }
            let input = reader(bytes, piece: 3)
            #expect(try input.varint() == narrow)
            #expect(try input.varlong(3) == wide)
            #expect(try input.varlong(4) == wide)
            #expect(try input.longint() == wide)
        }
    }

    @Test func overflowsAreRefused() {
        #expect(throws: TransferFailure(.protocolStream, "Overflow in read_varint()", role: .receiver)) {
            try reader(hex("f8 00 00 00 00 00")).varint()
        }
        #expect(throws: TransferFailure(.protocolStream, "Overflow in read_varlong()", role: .receiver)) {
            try reader(hex("fc 00 00 00 00 00 00 00 00 00")).varlong(4)
        }
    }

    /// One writer, fresh state, in this order (chapter 01 §1.4).
    private static let ndxSequence: [(Int32, String)] = [
        (0, "01"), (1, "01"), (1, "fe 00 00"), (5, "04"), (258, "fd"), (512, "fe 00 fe"), (33280, "fe 80 00 82 00"),
        (3, "fe 80 03 00 00"), (100_000, "fe 80 a0 86 01"), (-1, "00"), (100_001, "01"), (-101, "ff 64"),
        (-102, "ff 01"),
        (-2, "ff fe 80 02 00 00"), (-3, "ff 01"), (-104, "ff 65"),
    ]

    @Test func fileIndexesMatchTheSequence() throws {
        let bytes = Self.ndxSequence.flatMap { hex($0.1) }
        let output = try written { (w) throws(TransferFailure) in
            for (value, _) in Self.ndxSequence { try w.ndx(value) }
        }
        #expect(output == bytes)
        for piece in everyPieceSize {
            let input = reader(bytes, piece: piece)
            for (value, _) in Self.ndxSequence { #expect(try input.ndx() == value) }
        }
    }

    /// Chapter 01 §1.4: negative indexes as the first ones of a stream.
    @Test(arguments: [([-2], "ff 01"), ([-3], "ff 02"), ([-101], "ff 64"), ([-102], "ff 65")] as [([Int32], String)])
    func firstNegativeFileIndexes(values: [Int32], bytes: String) throws {
        let output = try written { (w) throws(TransferFailure) in for value in values { try w.ndx(value) } }
        #expect(output == hex(bytes))
        let input = reader(hex(bytes))
        for value in values { #expect(try input.ndx() == value) }
    }

    /// Chapter 01 §1.4: the list of directory 1, which is empty, and the end of lists.
    @Test func emptyListOfASubdirectory() throws {
        let bytes = hex("ff 65 00 00 ff fe 80 02 00 00")
        let output = try written { (w) throws(TransferFailure) in
            try w.ndx(-102)
            try w.varint(0)
            try w.varint(0)
            try w.ndx(-2)
        }
        #expect(output == bytes)
        let input = reader(bytes)
        #expect(try input.ndx() == -102)
        #expect(try input.varint() == 0 && input.varint() == 0)
        #expect(try input.ndx() == -2)
    }

    @Test func fileIndexOfOldProtocolsIsPlain() throws {
        let output = try written { (w) throws(TransferFailure) in
            w.protocolVersion = 29
            try w.ndx(-1)
            try w.ndx(7)
        }
        #expect(output == hex("ff ff ff ff 07 00 00 00"))
    }

    @Test func fileIndexBeyondThePositiveRangeIsRefused() {
        // 0x7fffffff, then one more.
        let input = reader(hex("fe ff ff ff ff 01"))
        #expect(throws: Never.self) { try input.ndx() }
        #expect(
            throws: TransferFailure(.protocolIncompatible, "Invalid file index: 2147483648 [receiver]", role: .receiver)
        ) {
            try input.ndx()
        }
    }

    @Test func vstringsHaveOneOrTwoLengthBytes() throws {
        let short = Bytes(repeating: 0x61, count: 127)
        let long = Bytes(repeating: 0x62, count: 300)
        let output = try written { (w) throws(TransferFailure) in
            try w.vstring(short)
            try w.vstring(long)
        }
        #expect(output == [0x7f] + short + [0x81, 0x2c] + long)
        let input = reader(output, piece: 5)
        #expect(try input.vstring(bufferSize: 4096) == short)
        #expect(try input.vstring(bufferSize: 4096) == long)
        #expect(
            throws: TransferFailure(.protocolIncompatible, "over-long vstring received (300 > 255)", role: .receiver)
        ) { try reader(hex("81 2c")).vstring(bufferSize: 256) }
        #expect(throws: TransferFailure.self) {
            try written { (w) throws(TransferFailure) in try w.vstring(Bytes(repeating: 0, count: 32768)) }
        }
    }

    @Test(arguments: ["", "81", "c0 00", "f0 00 00 00"])
    func truncatedInputIsAClosedConnection(text: String) throws {
        let input = reader(hex(text))
        let failure = try #require(throws: TransferFailure.self) { try input.varint() }
        #expect(failure.code == .protocolStream)
        #expect(failure.lines.first?.displayText.hasPrefix("rsync: connection unexpectedly closed (") == true)
    }
}
