// Dray — standard input and output, or the pipes of a child process, as a byte channel.
// Layer: Transport.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import Glibc

/// Two descriptors, one to read and one to write; pipes, sockets, files, terminals or other devices.
///
/// The non-blocking flag of an open file that other processes may share is never touched: pipes are opened a second
/// time for our own use, and where that is not permitted they are written in pieces that cannot block.
public final class PipeChannel: ByteChannel {
    private let duplex: DescriptorDuplex

    /// Takes ownership of both descriptors.
    ///
    /// - Parameter exclusive: set when the open files belong to this process alone, so that their mode may change.
    public init(readDescriptor: Int32, writeDescriptor: Int32, exclusive: Bool = false) {
        if readDescriptor == writeDescriptor {
            let kind = Self.kind(of: readDescriptor)
            duplex = DescriptorDuplex(read: readDescriptor, write: writeDescriptor, readKind: kind, writeKind: kind)
            return
        }
        let (input, inputKind) = Self.prepare(readDescriptor, O_RDONLY, exclusive)
        let (output, outputKind) = Self.prepare(writeDescriptor, O_WRONLY, exclusive)
        duplex = DescriptorDuplex(read: input, write: output, readKind: inputKind, writeKind: outputKind)
    }

    /// Standard input and output of this process. Both numbers stay occupied (by /dev/null) so that no later open file
    /// takes the place of standard output.
    public static func standardStreams() -> PipeChannel {
        let input = dray_fcntl_int(0, F_DUPFD_CLOEXEC, 3)
        let output = dray_fcntl_int(1, F_DUPFD_CLOEXEC, 3)
        let null = Glibc.open("/dev/null", O_RDWR | O_CLOEXEC)
        if null >= 0 {
            dup2(null, 0)
            dup2(null, 1)
            if null > 2 { close(null) }
        }
        return PipeChannel(readDescriptor: input, writeDescriptor: output)
    }

    /// Makes two channels connected by two pipes; nil if the system refuses.
    public static func pair() -> (PipeChannel, PipeChannel)? {
        var first: [Int32] = [-1, -1]
        var second: [Int32] = [-1, -1]
        guard dray_pipe(&first) == 0 else { return nil }
        guard dray_pipe(&second) == 0 else {
            close(first[0])
            close(first[1])
            return nil
        }
        return (
            PipeChannel(readDescriptor: first[0], writeDescriptor: second[1], exclusive: true),
            PipeChannel(readDescriptor: second[0], writeDescriptor: first[1], exclusive: true)
        )
    }

    public var isSocket: Bool { duplex.readKind == .socket }

    public func read(into buffer: UnsafeMutableRawBufferPointer, timeoutMilliseconds: Int) throws(ChannelError) -> Int {
        try duplex.read(into: buffer, timeoutMilliseconds: timeoutMilliseconds)
    }

    public func write(_ buffers: [UnsafeRawBufferPointer], timeoutMilliseconds: Int) throws(ChannelError) {
        try duplex.write(buffers, timeoutMilliseconds: timeoutMilliseconds)
    }

    public func closeWriting() { duplex.closeWriting() }

    public func cancel() { duplex.cancel() }

    private static func kind(of descriptor: Int32) -> DescriptorDuplex.Kind {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return .other }
        switch status.st_mode & S_IFMT {
        case S_IFSOCK: return .socket
        case S_IFIFO: return .sharedPipe
        default: return .other
        }
    }

    /// The descriptor to use in place of `descriptor`, and how.
    private static func prepare(
        _ descriptor: Int32, _ mode: Int32, _ exclusive: Bool
    ) -> (Int32, DescriptorDuplex.Kind) {
        let kind = kind(of: descriptor)
        guard kind == .sharedPipe else { return (descriptor, kind) }
        // A larger pipe saves wake-ups; refused beyond the user's share, which is harmless.
        _ = dray_set_pipe_size(descriptor, 1 << 20)
        if exclusive {
            let flags = dray_fcntl_int(descriptor, F_GETFL, 0)
            if dray_fcntl_int(descriptor, F_SETFL, flags | O_NONBLOCK) == 0 { return (descriptor, .nonblocking) }
            return (descriptor, kind)
        }
        // Opening through /proc makes a new open file of the same pipe, with a mode of its own.
        let own = Bytes(text: "/proc/self/fd/\(descriptor)").withCString { path in
            dray_open(path, mode | O_NONBLOCK | O_CLOEXEC, 0)
        }
        guard own >= 0 else { return (descriptor, kind) }
        close(descriptor)
        return (own, .nonblocking)
    }
}
