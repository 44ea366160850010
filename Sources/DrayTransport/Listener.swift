// Dray — the listening sockets of a daemon.
// Layer: Transport. Behaviour: chapter 07 §4.4.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import Glibc

/// Listening sockets, one or more for each address and port asked for. Owns their descriptors.
public final class Listener: @unchecked Sendable {
    /// What to listen on.
    public struct Binding: Sendable, Equatable {
        /// Host name or numeric address; nil for all.
        public var address: Bytes?
        /// 0 lets the system choose (for tests); see `Listener.endpoints`.
        public var port: Int

        public init(address: Bytes? = nil, port: Int) {
            self.address = address
            self.port = port
        }
    }

    /// An accepted connection. Whoever receives it owns the descriptor.
    public struct Connection: Sendable {
        public var descriptor: Int32
        public var peer: NetworkAddress
        /// Index into the bindings given to `init`.
        public var binding: Int
    }

    private struct Socket {
        var descriptor: Int32
        var binding: Int
    }

    // Safe: written in `init` only.
    private let sockets: [Socket]
    private let wake = WakeDescriptor()
    private let cancelled = Monitor(false)

    /// Binds and listens; by default on IPv4 and, separately, on IPv6.
    ///
    /// - Parameter report: receives lines that are no failure (socket options).
    /// - Throws: exit 10 with the daemon's texts.
    public init(
        _ bindings: [Binding], family: AddressFamily = .any, backlog: Int32 = 5,
        socketOptions: SocketOptions = SocketOptions(), report: (Bytes) -> Void = { _ in }
    ) throws(TransferFailure) {
        var sockets: [Socket] = []
        socketOptions.messages.forEach(report)
        do throws(TransferFailure) {
            for (index, binding) in bindings.enumerated() {
                let bound = try Self.bind(binding, family, socketOptions, report)
                sockets += bound.map { Socket(descriptor: $0, binding: index) }
            }
            for (index, socket) in sockets.enumerated() where listen(socket.descriptor, backlog) != 0 {
                let code = errno
                var lines = [Bytes(text: "rsync: listen() on socket failed: \(errorText(code)) (\(code))")]
                if code == EADDRINUSE, index > 0 {
                    lines.append(Bytes("Try using --ipv4 or --ipv6 to avoid this listen() error."))
                }
                throw TransferFailure(.socketIO, lines: lines)
            }
        } catch {
            for socket in sockets { close(socket.descriptor) }
            throw error
        }
        self.sockets = sockets
    }

    deinit { for socket in sockets { close(socket.descriptor) } }

    /// The numeric local address and port of every socket, with the index of its binding.
    public var endpoints: [(address: NetworkAddress, binding: Int)] {
        sockets.compactMap { socket in
            NetworkAddress(localOf: socket.descriptor).map { ($0, socket.binding) }
        }
    }

    /// Waits for the next connection.
    ///
    /// - Parameter timeoutMilliseconds: longest wait; negative waits for ever.
    /// - Throws: `.timedOut`, `.cancelled`, or the error of the system (EMFILE and the like: pause, then try again).
    public func accept(timeoutMilliseconds: Int) throws(ChannelError) -> Connection {
        let deadline = Deadline(milliseconds: timeoutMilliseconds)
        while true {
            if cancelled.withLock({ $0 }) { throw .cancelled }
            var watched = sockets.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
            watched.append(pollfd(fd: wake.descriptor, events: Int16(POLLIN), revents: 0))
            let ready = poll(&watched, nfds_t(watched.count), deadline.pollMilliseconds)
            if ready == 0 { throw .timedOut }
            if ready < 0, errno != EINTR { throw .system(call: "poll", code: errno) }
            if ready < 0 { continue }
            for (socket, state) in zip(sockets, watched) where state.revents != 0 {
                if let connection = try Self.take(socket) { return connection }
            }
        }
    }

    /// Makes a running and every later `accept` throw `.cancelled`. The sockets close with the object.
    public func cancel() {
        cancelled.withLock { $0 = true }
        wake.fire()
    }

    /// Accepts from a socket that polled ready; nil if the connection has gone in the meantime.
    private static func take(_ socket: Socket) throws(ChannelError) -> Connection? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let descriptor = dray_accept(socket.descriptor, &storage, &length)
        if descriptor < 0 {
            switch errno {
            case EAGAIN, EINTR, ECONNABORTED, EPROTO, ENETDOWN, EHOSTUNREACH, ENETUNREACH: return nil
            default: throw .system(call: "accept", code: errno)
            }
        }
        SocketOptions.setInteger(descriptor, Int32(SOL_SOCKET), SO_KEEPALIVE, 1)
        let peer = NetworkAddress(storage, length) ?? NetworkAddress(address: Bytes("0.0.0.0"), port: 0)
        return Connection(descriptor: descriptor, peer: peer, binding: socket.binding)
    }

    private static func bind(
        _ binding: Binding, _ family: AddressFamily, _ options: SocketOptions, _ report: (Bytes) -> Void
    ) throws(TransferFailure) -> [Int32] {
        let addresses: [ResolvedAddress]
        do {
            addresses = try resolve(
                host: binding.address, service: Bytes(text: String(binding.port)), family: family, passive: true)
        } catch {
            let name = binding.address ?? Bytes("(null)")
            throw TransferFailure(
                .socketIO, lines: [Bytes("rsync: getaddrinfo: bind address ") + name + Bytes(": ") + error.reason])
        }
        var bound: [Int32] = []
        var lines: [Bytes] = []
        for address in addresses {
            let descriptor = dray_stream_socket(address.family, address.type, address.protocolNumber)
            if descriptor < 0 {
                let triple = "\(address.family),\(address.type),\(address.protocolNumber)"
                lines.append(Bytes(text: "socket(\(triple)) failed: \(errorText(errno))"))
                continue
            }
            SocketOptions.setInteger(descriptor, Int32(SOL_SOCKET), SO_REUSEADDR, 1)
            options.apply(to: descriptor).forEach(report)
            if address.family == AF_INET6,
                !SocketOptions.setInteger(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1), family != .ipv6
            {
                close(descriptor)
                continue
            }
            guard address.withAddress({ dray_bind(descriptor, $0, $1) }) == 0 else {
                lines.append(Bytes(text: "bind() failed: \(errorText(errno)) (address-family \(address.family))"))
                close(descriptor)
                continue
            }
            // A connection may vanish between poll and accept; accept must not block then.
            _ = dray_fcntl_int(descriptor, F_SETFL, dray_fcntl_int(descriptor, F_GETFL, 0) | O_NONBLOCK)
            bound.append(descriptor)
        }
        if bound.isEmpty {
            lines.append(Bytes(text: "unable to bind any inbound sockets on port \(binding.port)"))
            throw TransferFailure(.socketIO, lines: lines)
        }
        return bound
    }
}
