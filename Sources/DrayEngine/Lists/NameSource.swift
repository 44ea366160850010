// Dray — the names of --files-from on their way to the sender.
// Layer: Engine. Wire format: chapter 02 §10; chapter 01 §6.2.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayWire

/// A list of names in a file.
public enum NameList {
    /// Splits a list; empty names and comments are left out.
    public static func names(_ text: Bytes, nulSeparated: Bool) -> [Bytes] {
        text.fields { nulSeparated ? $0 == 0 : $0 == 0x0a || $0 == 0x0d }
            .map { name in name.firstIndex(of: 0).map { Bytes(name[..<$0]) } ?? Bytes(name) }
            .filter { !$0.isEmpty }
            .filter { $0.first != UInt8(ascii: "#") && $0.first != UInt8(ascii: ";") }
    }
}

/// Where the sender takes its names from.
final class NameSource {
    private var list: ArraySlice<Bytes>
    private let reader: WireReader?
    /// Names travel in the character set of the wire when arguments do.
    private var conversion: CharacterConversion?

    /// Names that this side has read itself.
    init(_ names: [Bytes]) {
        list = names[...]
        reader = nil
    }

    /// Names that the receiving side streams, each ended by a NUL, the whole by an empty one.
    init(_ reader: WireReader, _ conversion: CharacterConversion?) {
        list = []
        self.reader = reader
        self.conversion = conversion
        // Below protocol 31 they are raw bytes in the middle of a framed stream.
        if reader.protocolVersion < 31 { reader.stopFraming() }
    }

    func next() throws(TransferFailure) -> Bytes? {
        guard let reader else { return list.popFirst() }
        var name = Bytes()
        while true {
            let byte = try reader.byte()
            if byte == 0 { break }
            if name.count < Limits.maxPath - 1 { name.append(byte) }
        }
        return name.isEmpty ? nil : conversion?.fromWire(message: name) ?? name
    }
}

/// Streams the names of a list to the sender while this side is already reading the file list.
final class NameStream {
    private let session: Session
    private let text: Bytes
    private var thread: RoleThread?
    private struct State {
        var isDone = false
        var failure: TransferFailure?
    }
    private let state = Monitor(State())
    /// Below protocol 31 names are raw bytes.
    private var suspendsFraming = false

    /// - Parameter text: see `wireForm`.
    init(_ session: Session, _ text: Bytes) {
        self.session = session
        self.text = text
    }

    /// What travels: every name ended by one NUL, no empty ones, then one more NUL. Line ends separate names too unless
    /// NULs do.
    static func wireForm(_ text: Bytes, nulSeparated: Bool) -> Bytes {
        var result = Bytes()
        result.reserveCapacity(text.count + 2)
        for byte in text {
            let end = byte == 0 || !nulSeparated && (byte == 0x0a || byte == 0x0d)
            if end && (result.isEmpty || result[result.count - 1] == 0) { continue }
            result.append(end ? 0 : byte)
        }
        if let last = result.last, last != 0 { result.append(0) }
        return result + [0]
    }

    /// Begins to write. Until `finish` nobody else may write to the connection.
    func start() throws(TransferFailure) {
        // Safe: the writer belongs to this thread until it was joined.
        nonisolated(unsafe) let writer = session.writer
        let text = text
        let state = state
        suspendsFraming = session.protocolVersion < 31 && writer.isFramed
        if suspendsFraming { try writer.stopFraming() }
        thread = RoleThread(stackBytes: 128 * 1024) {
            var failure: TransferFailure?
            do throws(TransferFailure) {
                try writer.bytes(text)
                try writer.flush()
            } catch {
                failure = error
            }
            state.notifying {
                $0.failure = failure
                $0.isDone = true
            }
        }
        if thread == nil { throw TransferFailure(.ipc) }
    }

    /// Why the names could not be written, if that is known within a while.
    func failure(milliseconds: Int) -> TransferFailure? {
        state.wait(milliseconds: milliseconds) { $0.isDone ? $0 : nil }?.failure
    }

    /// Waits for the end; the connection is framed again.
    func finish() throws(TransferFailure) {
        thread?.join()
        if let error = state.withLock({ $0.failure }) { throw error }
        if suspendsFraming { try session.writer.startFraming() }
    }
}
