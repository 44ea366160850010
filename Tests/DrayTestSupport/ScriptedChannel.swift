// Dray — a channel whose input is given and whose output is kept: codecs run without a kernel.

import DrayCore

/// Hands out `input` in pieces of at most `pieceSize` bytes, then the end of the stream; collects what is written.
public final class ScriptedChannel: ByteChannel {
    private struct State {
        var input: Bytes
        var position = 0
        var output = Bytes()
    }
    private let state: Monitor<State>
    private let pieceSize: Int

    public init(_ input: Bytes = [], pieceSize: Int = Int.max) {
        state = Monitor(State(input: input))
        self.pieceSize = pieceSize
    }

    public var output: Bytes { state.withLock { $0.output } }
    public var unread: Int { state.withLock { $0.input.count - $0.position } }

    public func read(into buffer: UnsafeMutableRawBufferPointer, timeoutMilliseconds: Int) throws(ChannelError) -> Int {
        state.withLock { state in
            let count = min(buffer.count, pieceSize, state.input.count - state.position)
            buffer.copyBytes(from: state.input[state.position..<(state.position + count)])
            state.position += count
            return count
        }
    }

    public func write(_ buffers: [UnsafeRawBufferPointer], timeoutMilliseconds: Int) throws(ChannelError) {
        state.withLock { state in for buffer in buffers { state.output.append(contentsOf: buffer) } }
    }

    public func closeWriting() {}
    public func cancel() {}
    public var isSocket: Bool { false }
}

/// Bytes of a hex dump; blanks, line ends, `|` and text between quotation marks are understood: `01 "root" 00`.
public func hex(_ text: String) -> Bytes {
    var bytes = Bytes()
    var digits = ""
    var quoted = false
    for character in text {
        if character == "\"" {
            quoted.toggle()
            continue
        }
        if quoted {
            bytes.append(contentsOf: String(character).utf8)
            continue
        }
        if character.isHexDigit {
            digits.append(character)
            if digits.count == 2 {
                bytes.append(UInt8(digits, radix: 16)!)
                digits = ""
            }
        }
    }
    precondition(digits.isEmpty && !quoted, "odd hex dump")
    return bytes
}

/// Piece sizes that cut a stream at every kind of place.
public let everyPieceSize = [1, 2, 3, 5, 7, 16, 4096]

/// A small generator whose seed is printed by the test that uses it.
public struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    public init(seed: UInt64) { state = seed }
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
