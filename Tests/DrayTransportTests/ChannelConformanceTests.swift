// Dray — the promises of ByteChannel, kept by every implementation.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayTransport
import Glibc
import Testing

enum ChannelKind: CaseIterable, Sendable {
    case socket, tcp, pipe, memory, smallMemory, rateLimited, tlsOverSocket, tlsOverMemory

    func pair() throws -> (any ByteChannel, any ByteChannel) {
        ignoreSIGPIPE()
        switch self {
        case .socket: return try #require(SocketChannel.pair())
        case .tcp:
            let listener = try Listener([.init(address: Bytes("127.0.0.1"), port: 0)])
            let port = Int(listener.endpoints[0].address.port)
            let client = try TCPConnector.connect(host: Bytes("127.0.0.1"), port: port, timeoutSeconds: 20)
            return (client, SocketChannel(descriptor: try listener.accept(timeoutMilliseconds: 20_000).descriptor))
        case .pipe: return try #require(PipeChannel.pair())
        case .memory: return MemoryChannel.pair()
        case .smallMemory: return MemoryChannel.pair(capacity: 1000)
        case .rateLimited:
            let (a, b) = MemoryChannel.pair()
            return (
                RateLimitedChannel(a, kibibytesPerSecond: 1 << 30), RateLimitedChannel(b, kibibytesPerSecond: 1 << 30)
            )
        case .tlsOverSocket:
            let (a, b) = try #require(SocketChannel.pair())
            return try TLSFixture.shared.connect(a, b)
        case .tlsOverMemory:
            let (a, b) = MemoryChannel.pair()
            return try TLSFixture.shared.connect(a, b)
        }
    }
}

@Suite(.timeLimit(.minutes(2))) struct ChannelConformanceTests {
    @Test(arguments: ChannelKind.allCases)
    func carriesOddSizesBothWaysAtOnce(_ kind: ChannelKind) throws {
        let (a, b) = try kind.pair()
        let toB = pattern(2_000_003, seed: 1)
        let toA = pattern(1_500_001, seed: 2)
        let writerA = Background {
            outcome { () throws(ChannelError) in
                try a.sendAll(toB); a.closeWriting(); return true
            }
        }
        let writerB = Background {
            outcome { () throws(ChannelError) in
                try b.sendAll(toA); b.closeWriting(); return true
            }
        }
        let readerA = Background { outcome { () throws(ChannelError) in try a.receiveAll() } }
        let readerB = Background { outcome { () throws(ChannelError) in try b.receiveAll() } }
        #expect(try writerA.wait().get() && writerB.wait().get())
        #expect(try readerA.wait().get() == toA)
        #expect(try readerB.wait().get() == toB)
    }

    @Test(arguments: ChannelKind.allCases)
    func deliversWhatWasWrittenBeforeTheEndAndThenAnswers(_ kind: ChannelKind) throws {
        let (a, b) = try kind.pair()
        try a.write(Bytes("request"))
        a.closeWriting()
        #expect(try b.receiveAll() == Bytes("request"))
        #expect(try b.receive(10).isEmpty)
        try b.write(Bytes("answer"))
        b.closeWriting()
        #expect(try a.receiveAll() == Bytes("answer"))
        #expect(throws: ChannelError.self) { try a.write(Bytes("late")) }
    }

    @Test(arguments: ChannelKind.allCases)
    func readGivesUpInTime(_ kind: ChannelKind) throws {
        let (a, b) = try kind.pair()
        #expect(throws: ChannelError.timedOut) { try a.receive(10, timeout: 20) }
        #expect(throws: ChannelError.timedOut) { try a.receive(10, timeout: 0) }
        try b.write(Bytes("x"))
        #expect(try a.receive(10) == Bytes("x"))
        a.cancel()
    }

    @Test(arguments: ChannelKind.allCases)
    func writeGivesUpWhenThePeerDoesNotRead(_ kind: ChannelKind) throws {
        let (a, b) = try kind.pair()
        let block = pattern(1 << 20)
        let result = outcome { () throws(ChannelError) in
            for _ in 0..<64 {
                var failure: ChannelError?
                block.withUnsafeBytes { raw in
                    do throws(ChannelError) { try a.write([raw], timeoutMilliseconds: 50) } catch { failure = error }
                }
                if let failure { throw failure }
            }
            return true
        }
        #expect(result == .failure(.timedOut))
        b.cancel()
    }

    @Test(arguments: ChannelKind.allCases)
    func cancelWakesReaderAndWriter(_ kind: ChannelKind) throws {
        let (a, b) = try kind.pair()
        let started = Monitor(0)
        let reader = Background {
            started.notifying { $0 += 1 }
            return outcome { () throws(ChannelError) in try a.receive(10, timeout: -1) }
        }
        let writer = Background {
            started.notifying { $0 += 1 }
            return outcome { () throws(ChannelError) -> Bool in
                let block = pattern(1 << 20)
                while true { try a.write(block) }
            }
        }
        _ = started.wait { $0 == 2 ? true : nil }
        a.cancel()
        a.cancel()
        #expect(reader.wait() == .failure(.cancelled))
        #expect(writer.wait() == .failure(.cancelled))
        #expect(throws: ChannelError.cancelled) { try a.receive(1) }
        b.cancel()
    }

    @Test(arguments: ChannelKind.allCases)
    func writeToACancelledPeerFails(_ kind: ChannelKind) throws {
        let (a, b) = try kind.pair()
        b.cancel()
        let result = outcome { () throws(ChannelError) -> Bool in
            let block = pattern(1 << 20)
            for _ in 0..<64 { try a.write(block) }
            return true
        }
        #expect(throws: ChannelError.self) { try result.get() }
    }

    @Test func pipeOfASharedDescriptorKeepsItsMode() throws {
        var descriptors: [Int32] = [-1, -1]
        #expect(pipe(&descriptors) == 0)
        let kept = dup(descriptors[1])
        let before = fcntl(kept, F_GETFL)
        let channel = PipeChannel(readDescriptor: descriptors[0], writeDescriptor: descriptors[1])
        #expect(fcntl(kept, F_GETFL) == before)
        try channel.write(Bytes("loop"))
        #expect(try channel.receive(10) == Bytes("loop"))
        close(kept)
        channel.closeWriting()
        #expect(try channel.receive(10).isEmpty)
    }
}
