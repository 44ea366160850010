// Dray — writing a batch file while a transfer runs.
// Layer: Engine. Behaviour: chapter 03 §16.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayWire

/// Copies the stream towards the receiver into a file, through one buffer.
final class BatchRecorder {
    private let channel: BatchFileChannel
    /// Writes values that are only for the file; always flushed before the session goes on.
    let writer: WireWriter

    /// - Parameter descriptor: open for writing; stays the caller's.
    init(_ descriptor: Int32, protocolVersion: Int32) {
        channel = BatchFileChannel(descriptor)
        writer = WireWriter(channel: channel, role: .sender, capacity: 256 * 1024)
        writer.protocolVersion = protocolVersion
    }

    /// Writes the header; what comes next through the session's stream follows it.
    func begin(_ session: Session) throws(TransferFailure) {
        let header = BatchHeader(
            flags: BatchHeader.StreamFlags(session.options, protocolVersion: session.protocolVersion),
            protocolVersion: session.protocolVersion, compatibility: session.flags,
            checksumSeed: session.checksumSeed)
        try header.writeOutcome(to: writer)
        let record = { [writer] (bytes: UnsafeRawBufferPointer) throws(TransferFailure) in try writer.bytes(bytes) }
        if session.options.amSender { session.writer.tee = record } else { session.reader.tee = record }
    }

    func flush() throws(TransferFailure) { try writer.flush() }
}

/// The file as the channel of a writer.
private final class BatchFileChannel: ByteChannel {
    private let descriptor: Int32

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    var isSocket: Bool { false }

    func read(into buffer: UnsafeMutableRawBufferPointer, timeoutMilliseconds: Int) throws(ChannelError) -> Int { 0 }

    func write(_ buffers: [UnsafeRawBufferPointer], timeoutMilliseconds: Int) throws(ChannelError) {
        for buffer in buffers where buffer.count > 0 {
            let code = FileSystem.writeAll(descriptor, buffer)
            if code != 0 { throw .system(call: "write", code: code) }
        }
    }

    func closeWriting() {}
    func cancel() {}
}

extension Session {
    /// The first bytes of a batch file, which it has from the moment it is made.
    public static func batchFlags(_ options: TransferOptions) -> Bytes {
        let flags = BatchHeader.StreamFlags(options, protocolVersion: options.protocolVersion).rawValue
        return (0..<4).map { UInt8(truncatingIfNeeded: flags >> Int32(8 * $0)) }
    }

    /// Begins to record if this side was asked to; called when the set-up is complete.
    func startRecording() throws(TransferFailure) {
        guard options.writesBatch, environment.batchDescriptor >= 0 else { return }
        environment.beforeRecording?()
        let recorder = BatchRecorder(environment.batchDescriptor, protocolVersion: protocolVersion)
        try recorder.begin(self)
        self.recorder = recorder
    }
}
