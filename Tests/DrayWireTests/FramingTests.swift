import DrayCore
import DrayTestSupport
import Testing

@testable import DrayWire

/// Frames: chapter 01 §6; hostile vectors: §12 item 7.
@Suite struct FramingTests {
    private func framedReader(_ bytes: Bytes, piece: Int = Int.max) -> WireReader {
        let reader = WireReader(channel: ScriptedChannel(bytes, pieceSize: piece), role: .receiver)
        reader.startFraming()
        return reader
    }

    private func failure(_ bytes: String) -> TransferFailure? {
        do {
            _ = try framedReader(hex(bytes)).byte()
            return nil
        } catch {
            return error as TransferFailure
        }
    }

    @Test(arguments: everyPieceSize)
    func framesMaySplitEveryValueAndCarryMessagesBetween(piece: Int) throws {
        // int32 0x04030201 in two frames with a message and a keep-alive between, then a varint.
        let bytes = hex("02 00 00 07 01 02 | 03 00 00 09 \"hi\" 0a | 00 00 00 07 | 04 00 00 07 03 04 81 ff")
        let reader = framedReader(bytes, piece: piece)
        nonisolated(unsafe) var messages: [(MessageCode, Bytes)] = []
        reader.messages = { (code, payload) throws(TransferFailure) in messages.append((code, Bytes(payload))) }
        #expect(try reader.int32() == 0x0403_0201)
        #expect(try reader.varint() == 0x1FF)
        #expect(messages.count == 1)
        #expect(messages.first?.0 == .info)
        #expect(messages.first?.1 == Bytes("hi\n"))
    }

    @Test func unknownTagIsRefused() {
        #expect(failure("04 00 00 63 00 00 00 00")?.lines == [Bytes("unexpected tag 92 [receiver]")])
        #expect(failure("04 00 00 06 00 00 00 00")?.lines == [Bytes("unexpected tag -1 [receiver]")])
        #expect(failure("04 00 00 63")?.code == .protocolStream)
    }

    @Test func wrongLengthsAreRefused() {
        #expect(failure("03 00 00 28 00 00 00")?.lines == [Bytes("invalid multi-message 33:3 [receiver]")])
        #expect(failure("03 00 00 0f 61 62 63")?.lines == [Bytes("invalid multi-message 8:3 [receiver]")])
        #expect(failure("00 14 00 0a")?.lines == [Bytes("multiplexing overflow 3:5120 [receiver]")])
        #expect(failure("04 00 00 10 00 00 00 00")?.lines == [Bytes("invalid multi-message 9:4 [receiver]")])
        #expect(failure("01 00 00 5d 00")?.lines == [Bytes("invalid multi-message 86:1 [receiver]")])
    }

    @Test func timeoutMessageIsOnlyForClients() throws {
        #expect(failure("04 00 00 28 21 00 00 00")?.lines == [Bytes("invalid multi-message 33:4 [receiver]")])
        let reader = framedReader(hex("04 00 00 28 21 00 00 00 01 00 00 07 05"))
        reader.allowsIOTimeoutMessage = true
        #expect(try reader.byte() == 5)
    }

    @Test func incrementalRunsSaySoInTheRole() {
        let reader = framedReader(hex("04 00 00 63"))
        reader.incremental = true
        #expect(throws: TransferFailure(.protocolStream, "unexpected tag 92 [receiver/inc]", role: .receiver)) {
            try reader.byte()
        }
    }

    @Test func writerPutsMessagesBeforeTheDataOfAFlush() throws {
        let channel = ScriptedChannel()
        let writer = WireWriter(channel: channel, role: .sender)
        try writer.int32(1)
        try writer.startFraming()
        try writer.int32(2)
        writer.queueMessage(.errorExit, value: 3)
        try writer.flush()
        try writer.keepAlive()
        #expect(channel.output == hex("01 00 00 00 | 04 00 00 5d 03 00 00 00 | 04 00 00 07 02 00 00 00 | 00 00 00 07"))
    }

    /// Chapter 01 §6.3: the examples, written and read.
    @Test(
        arguments: [
            (.deleted, "65 64 00", "03 00 00 6c 65 64 00"), (.deleted, "65 78 74 72 61", "05 00 00 6c 65 78 74 72 61"),
            (.ioTimeout, "21 00 00 00", "04 00 00 28 21 00 00 00"),
            (.errorExit, "03 00 00 00", "04 00 00 5d 03 00 00 00"),
            (.errorExit, "", "00 00 00 5d"),
        ] as [(MessageCode, String, String)])
    func messagesAreTheWorkedOnes(code: MessageCode, payload: String, bytes: String) throws {
        let channel = ScriptedChannel()
        let writer = WireWriter(channel: channel, role: .sender)
        try writer.startFraming()
        writer.queueMessage(code, hex(payload))
        try writer.flush()
        #expect(channel.output == hex(bytes))
        let reader = framedReader(hex(bytes) + hex("01 00 00 07 05"))
        reader.allowsIOTimeoutMessage = true
        nonisolated(unsafe) var met: [(MessageCode, Bytes)] = []
        reader.messages = { (code, payload) throws(TransferFailure) in met.append((code, Bytes(payload))) }
        #expect(try reader.byte() == 5)
        #expect(met.count == 1 && met.first?.0 == code && met.first?.1 == hex(payload))
    }

    @Test func literalsAreCutIntoPiecesAndArriveWhole() throws {
        for count in [1, 4096, 4097, 32768, 32769, 600_000] {
            let data = Bytes((0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            let channel = ScriptedChannel()
            let writer = WireWriter(channel: channel, role: .sender)
            try writer.startFraming()
            try writer.byte(9)
            try data.withUnsafeBytes { try writer.literals($0) }
            try writer.int32(0)
            try writer.flush()
            let reader = framedReader(channel.output, piece: 1000)
            #expect(try reader.byte() == 9)
            var received = Bytes()
            while true {
                let token = try reader.int32()
                if token == 0 { break }
                #expect(token > 0 && token <= 32768)
                received += try reader.bytes(Int(token))
            }
            #expect(received == data)
            #expect(writer.streamBytes == Int64(count + 4 * ((count + 32767) / 32768) + 5))
        }
    }
}
