// Dray — a connected stream socket as a byte channel.
// Layer: Transport.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import Glibc

/// A connected stream socket. Owns its descriptor; the mode of a descriptor shared with other processes is not changed.
public final class SocketChannel: ByteChannel {
    private let duplex: DescriptorDuplex

    /// Takes ownership of `descriptor`, a connected stream socket; sets TCP_NODELAY and keep-alive where they apply.
    public init(descriptor: Int32) {
        SocketOptions.setInteger(descriptor, Int32(SOL_SOCKET), SO_KEEPALIVE, 1)
        SocketOptions.setInteger(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        duplex = DescriptorDuplex(read: descriptor, write: descriptor, readKind: .socket, writeKind: .socket)
    }

    /// Makes two connected local sockets; nil if the system refuses.
    public static func pair() -> (SocketChannel, SocketChannel)? {
        var descriptors: [Int32] = [-1, -1]
        guard dray_socketpair(&descriptors) == 0 else { return nil }
        return (SocketChannel(descriptor: descriptors[0]), SocketChannel(descriptor: descriptors[1]))
    }

    public var isSocket: Bool { true }

    public func read(into buffer: UnsafeMutableRawBufferPointer, timeoutMilliseconds: Int) throws(ChannelError) -> Int {
        try duplex.read(into: buffer, timeoutMilliseconds: timeoutMilliseconds)
    }

    public func write(_ buffers: [UnsafeRawBufferPointer], timeoutMilliseconds: Int) throws(ChannelError) {
        try duplex.write(buffers, timeoutMilliseconds: timeoutMilliseconds)
    }

    public func closeWriting() { duplex.closeWriting() }

    public func cancel() { duplex.cancel() }

    /// The peer's numeric address and port; nil for a local socket or a closed one.
    public var peerAddress: NetworkAddress? { duplex.withDescriptors { read, _ in NetworkAddress(peerOf: read) } }

    /// The local numeric address and port.
    public var localAddress: NetworkAddress? { duplex.withDescriptors { read, _ in NetworkAddress(localOf: read) } }

    /// Keep-alive probes after `idleSeconds`, every `intervalSeconds`, giving up after `count`.
    public func setKeepAlive(idleSeconds: Int32, intervalSeconds: Int32, count: Int32) {
        duplex.withDescriptors { descriptor, _ in
            SocketOptions.setInteger(descriptor, Int32(IPPROTO_TCP), TCP_KEEPIDLE, idleSeconds)
            SocketOptions.setInteger(descriptor, Int32(IPPROTO_TCP), TCP_KEEPINTVL, intervalSeconds)
            SocketOptions.setInteger(descriptor, Int32(IPPROTO_TCP), TCP_KEEPCNT, count)
        }
    }
}

/// A numeric IP address and port of one end of a connection; IPv4-mapped IPv6 shows as IPv4.
public struct NetworkAddress: Sendable, Equatable {
    public var address: Bytes
    public var port: UInt16

    public init(address: Bytes, port: UInt16) {
        self.address = address
        self.port = port
    }

    init?(peerOf descriptor: Int32) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        guard dray_getpeername(descriptor, &storage, &length) == 0 else { return nil }
        self.init(storage, length)
    }

    init?(localOf descriptor: Int32) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        guard dray_getsockname(descriptor, &storage, &length) == 0 else { return nil }
        self.init(storage, length)
    }

    init?(_ storage: sockaddr_storage, _ length: socklen_t) {
        guard storage.ss_family == UInt16(AF_INET) || storage.ss_family == UInt16(AF_INET6) else { return nil }
        var storage = storage
        var text = [CChar](repeating: 0, count: 128)
        var port: UInt16 = 0
        guard dray_numeric_address(&storage, length, &text, text.count, &port) == 0 else { return nil }
        address = text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        self.port = port
    }
}
