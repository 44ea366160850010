// Dray — connecting to a daemon over TCP, directly or through an HTTP proxy.
// Layer: Transport. Wire format: chapter 01 §2.4.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import Glibc

/// How a daemon connection is made.
public enum TCPConnector {
    /// Connects to `host`, trying all its addresses in order.
    ///
    /// - Parameters:
    ///   - family: which addresses may be used.
    ///   - bindAddress: local address (`--address`); an address that cannot be bound is skipped without a word.
    ///   - timeoutSeconds: limit of one attempt, proxy exchange included; 0 or less waits for ever.
    ///   - socketOptions: applied before connecting.
    ///   - who: the role named in messages.
    ///   - proxy: value of RSYNC_PROXY.
    ///   - report: receives lines that are no failure (refused socket options).
    /// - Throws: exit 35 without text when an attempt takes too long; else exit 10 with a line per address.
    public static func connect(
        host: Bytes, port: Int, family: AddressFamily = .any, bindAddress: Bytes? = nil, timeoutSeconds: Int = 0,
        socketOptions: SocketOptions = SocketOptions(), who: RoleName = .client, proxy: Bytes? = nil,
        report: (Bytes) -> Void = { _ in }
    ) throws(TransferFailure) -> SocketChannel {
        let proxy = try proxy.map { (text) throws(TransferFailure) in try HTTPProxy(text) }
        let target = proxy?.host ?? host
        let service = proxy?.service ?? Bytes(text: String(port))
        let addresses: [ResolvedAddress]
        do {
            addresses = try resolve(host: target, service: service, family: family)
        } catch {
            throw TransferFailure(
                .socketIO,
                lines: [Bytes("rsync: getaddrinfo: ") + target + Bytes(" ") + service + Bytes(": ") + error.reason])
        }
        var local: [ResolvedAddress]?
        if let bindAddress {
            do {
                local = try resolve(host: bindAddress, service: nil, family: family)
            } catch {
                throw TransferFailure(
                    .socketIO, lines: [Bytes("rsync: getaddrinfo ") + bindAddress + Bytes(": ") + error.reason])
            }
        }
        socketOptions.messages.forEach(report)
        var lines: [Bytes] = []
        for address in addresses {
            let descriptor = dray_stream_socket(address.family, address.type, address.protocolNumber)
            if descriptor < 0 { continue }
            socketOptions.apply(to: descriptor).forEach(report)
            if let local, !bind(descriptor, to: local, family: address.family) {
                close(descriptor)
                continue
            }
            let deadline = Deadline(milliseconds: timeoutSeconds > 0 ? timeoutSeconds * 1000 : -1)
            let status = attempt(descriptor, address, deadline)
            if status == 0 {
                let channel = SocketChannel(descriptor: descriptor)
                guard let proxy else { return channel }
                do throws(ChannelError) {
                    guard let refusal = try proxy.open(host: host, port: port, over: channel, deadline: deadline) else {
                        return channel
                    }
                    lines.append(refusal)
                } catch {
                    if error == .timedOut { throw TransferFailure(.connectTimeout, role: who) }
                    lines.append(Bytes("failed to talk to proxy: ") + error.displayText)
                }
                continue
            }
            close(descriptor)
            if status == ETIMEDOUT, timeoutSeconds > 0, deadline.pollMilliseconds == 0 {
                throw TransferFailure(.connectTimeout, role: who)
            }
            lines.append(
                Bytes(text: "rsync: [\(who.rawValue)] failed to connect to ") + target + Bytes(" (") + address.text
                    + Bytes(text: "): \(errorText(status)) (\(status))"))
        }
        throw TransferFailure(.socketIO, lines: lines, role: who)
    }

    private static func bind(_ descriptor: Int32, to local: [ResolvedAddress], family: Int32) -> Bool {
        local.contains { candidate in
            candidate.family == family && candidate.withAddress { dray_bind(descriptor, $0, $1) } == 0
        }
    }

    /// Connects one socket within the time; returns 0 or an errno value.
    private static func attempt(_ descriptor: Int32, _ address: ResolvedAddress, _ deadline: Deadline) -> Int32 {
        let flags = dray_fcntl_int(descriptor, F_GETFL, 0)
        _ = dray_fcntl_int(descriptor, F_SETFL, flags | O_NONBLOCK)
        defer { _ = dray_fcntl_int(descriptor, F_SETFL, flags) }
        if address.withAddress({ dray_connect(descriptor, $0, $1) }) == 0 { return 0 }
        // An interrupted connect goes on in the background, as a non-blocking one does.
        if errno != EINPROGRESS, errno != EINTR { return errno }
        guard waitReady(descriptor, events: POLLOUT, wake: nil, deadline: deadline) else { return ETIMEDOUT }
        var status: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, Int32(SOL_SOCKET), SO_ERROR, &status, &length) == 0 ? status : errno
    }
}

extension ChannelError {
    /// The error as a few words for a message.
    public var displayText: Bytes {
        switch self {
        case .timedOut: Bytes("timed out")
        case .system(_, let code): Bytes(text: "\(errorText(code)) (\(code))")
        case .cancelled: Bytes("cancelled")
        case .tls(let reason): Bytes(text: "TLS: \(reason)")
        }
    }
}
