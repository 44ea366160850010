// Dray — host names and ports to socket addresses.
// Layer: Transport.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// Which addresses may be used (`-4`, `-6`).
public enum AddressFamily: Sendable, Equatable {
    case any, ipv4, ipv6

    var number: Int32 {
        switch self {
        case .any: AF_UNSPEC
        case .ipv4: AF_INET
        case .ipv6: AF_INET6
        }
    }
}

/// One result of a look-up.
struct ResolvedAddress {
    var family: Int32
    var type: Int32
    var protocolNumber: Int32
    var storage: sockaddr_storage
    var length: socklen_t

    /// Calls `body` with the address in the form that socket calls take.
    func withAddress<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        withUnsafePointer(to: storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }

    var text: Bytes { NetworkAddress(storage, length)?.address ?? Bytes("?") }
}

/// Why a look-up failed, in the resolver's words.
struct ResolutionFailure: Error {
    var reason: Bytes
}

/// Looks up stream addresses in the resolver's order.
///
/// - Parameters:
///   - service: a port or the name of a service.
///   - passive: for a socket that listens.
func resolve(
    host: Bytes?, service: Bytes?, family: AddressFamily, passive: Bool = false
) throws(ResolutionFailure) -> [ResolvedAddress] {
    var hints = addrinfo()
    hints.ai_family = family.number
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = passive ? AI_PASSIVE : 0
    var list: UnsafeMutablePointer<addrinfo>?
    var status: Int32
    func look(_ name: UnsafePointer<CChar>?) -> Int32 {
        guard let service else { return getaddrinfo(name, nil, &hints, &list) }
        return service.withCString { getaddrinfo(name, $0, &hints, &list) }
    }
    if let host { status = host.withCString { look($0) } } else { status = look(nil) }
    if status != 0, let host, host.contains(where: { $0 >= 0x80 }) {
        hints.ai_flags |= 0x0040  // AI_IDN
        status = host.withCString { look($0) }
    }
    guard status == 0 else {
        let reason = status == EAI_SYSTEM ? errorText(errno) : String(cString: gai_strerror(status))
        throw ResolutionFailure(reason: Bytes(text: reason))
    }
    defer { freeaddrinfo(list) }
    var results: [ResolvedAddress] = []
    var next = list
    while let entry = next {
        next = entry.pointee.ai_next
        guard let address = entry.pointee.ai_addr,
            Int(entry.pointee.ai_addrlen) <= MemoryLayout<sockaddr_storage>.size
        else { continue }
        var storage = sockaddr_storage()
        withUnsafeMutableBytes(of: &storage) { raw in
            raw.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(entry.pointee.ai_addrlen)))
        }
        results.append(
            ResolvedAddress(
                family: entry.pointee.ai_family, type: entry.pointee.ai_socktype,
                protocolNumber: entry.pointee.ai_protocol, storage: storage, length: entry.pointee.ai_addrlen))
    }
    return results
}
