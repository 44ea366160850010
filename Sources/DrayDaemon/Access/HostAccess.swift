// Dray — `hosts allow` and `hosts deny`.
// Layer: Daemon. Behaviour: chapter 07 §8.3, §8.4.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFilters
import Glibc

/// Decides by address and name whether a client may use a module.
struct HostAccess {
    var allow: Bytes
    var deny: Bytes
    var forwardLookup: Bool
    var log: (Bytes) -> Void = { _ in }
    /// IPv4 addresses of a name, nil if it does not resolve; replaced in tests.
    var resolve: (Bytes) -> [Bytes]? = HostAccess.ipv4Addresses
    private static let commas: [UInt8] = [UInt8(ascii: " "), UInt8(ascii: ","), UInt8(ascii: "\t")]

    /// Whether the client may enter.
    ///
    /// - Parameter hostName: looked-up name; a name that matched by forward lookup replaces `UNDETERMINED`.
    func permits(address: Bytes, hostName: inout Bytes) -> Bool {
        let hasAllow = !Self.tokens(allow).isEmpty
        let hasDeny = !Self.tokens(deny).isEmpty
        if hasAllow {
            if matches(allow, address, &hostName, unresolvableMatches: false) { return true }
            if !hasDeny { return false }
        }
        return !(hasDeny && matches(deny, address, &hostName, unresolvableMatches: true))
    }

    /// Whether any token of `list` matches.
    func matches(_ list: Bytes, _ address: Bytes, _ hostName: inout Bytes, unresolvableMatches: Bool) -> Bool {
        for token in Self.tokens(list) {
            if matchesHost(token, address, &hostName, unresolvableMatches) || matchesAddress(token, address) {
                return true
            }
        }
        return false
    }

    private static func tokens(_ list: Bytes) -> [Bytes] {
        list.map(\.asciiLowercased).fields { commas.contains($0) }
    }

    // MARK: - Names

    private func matchesHost(
        _ token: Bytes, _ address: Bytes, _ hostName: inout Bytes, _ unresolvableMatches: Bool
    ) -> Bool {
        if hostName.isEmpty { return false }
        if token.first == UInt8(ascii: "@"), token.count > 1 {
            return Bytes(token.dropFirst()).withCString { group in
                hostName.withCString { innetgr(group, $0, nil, nil) != 0 }
            }
        }
        if WildcardMatcher.matches(token, hostName, foldsCase: true) { return true }
        let special = Bytes(":/*?[")
        guard forwardLookup, !token.allSatisfy({ $0.isASCIIDigit || $0 == UInt8(ascii: ".") }),
            !token.contains(where: { special.contains($0) })
        else { return false }
        guard let addresses = resolve(token) else { return unresolvableMatches }
        guard addresses.contains(address) else { return false }
        if hostName == Bytes("UNDETERMINED") { hostName = token }
        return true
    }

    private static func ipv4Addresses(_ name: Bytes) -> [Bytes]? {
        SocketAddress.resolve(name, family: AF_INET, flags: 0)?.map(\.text)
    }

    // MARK: - Addresses

    private func matchesAddress(_ token: Bytes, _ address: Bytes) -> Bool {
        let slash = token.firstIndex(of: UInt8(ascii: "/"))
        let base = Bytes(token[..<(slash ?? token.count)])
        let isIPv6 = base.contains(UInt8(ascii: ":"))
        guard !base.isEmpty, isIPv6 || base.allSatisfy({ $0.isASCIIDigit || $0 == UInt8(ascii: ".") }) else {
            return false
        }
        guard let wanted = SocketAddress.resolve(base, family: AF_UNSPEC, flags: AI_NUMERICHOST)?.first else {
            log(Bytes("error matching address ") + base + Bytes(": Name or service not known"))
            return false
        }
        guard let actual = SocketAddress.resolve(address, family: AF_UNSPEC, flags: AI_NUMERICHOST)?.first,
            wanted.bytes.count == actual.bytes.count
        else { return false }
        if wanted.scope != 0 && wanted.scope != actual.scope { return false }
        guard let mask = mask(slash.map { Bytes(token[($0 + 1)...]) }, count: wanted.bytes.count) else {
            log(Bytes("malformed mask in ") + token)
            return false
        }
        return zip(zip(wanted.bytes, actual.bytes), mask).allSatisfy { pair, mask in (pair.0 ^ pair.1) & mask == 0 }
    }

    /// The mask bytes; nil if `text` is none.
    private func mask(_ text: Bytes?, count: Int) -> Bytes? {
        guard let text else { return Bytes(repeating: 0xff, count: count) }
        if text.contains(UInt8(ascii: ".")) || text.contains(UInt8(ascii: ":")) {
            let parsed = SocketAddress.resolve(text, family: AF_UNSPEC, flags: AI_NUMERICHOST)?.first
            return parsed?.bytes.count == count ? parsed?.bytes : nil
        }
        guard text.allSatisfy(\.isASCIIDigit), let bits = parseDecimal(text), bits <= Int64(count * 8) else {
            return nil
        }
        return (0..<count).map { index in
            let ones = min(8, max(0, Int(bits) - index * 8))
            return ones == 0 ? 0 : 0xff << UInt8(8 - ones)
        }
    }
}

/// A numeric IP address.
struct SocketAddress: Equatable {
    /// 4 or 16 bytes, network order.
    var bytes: Bytes
    var scope: UInt32
    /// Numeric text.
    var text: Bytes

    /// Addresses of `name`; nil if there are none.
    static func resolve(_ name: Bytes, family: Int32, flags: Int32) -> [SocketAddress]? {
        var hints = addrinfo()
        hints.ai_family = family
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = flags
        var list: UnsafeMutablePointer<addrinfo>?
        guard name.withCString({ getaddrinfo($0, nil, &hints, &list) }) == 0 else { return nil }
        defer { freeaddrinfo(list) }
        var results: [SocketAddress] = []
        var next = list
        while let entry = next {
            next = entry.pointee.ai_next
            guard let raw = entry.pointee.ai_addr else { continue }
            var buffer = [CChar](repeating: 0, count: 128)
            guard
                getnameinfo(
                    raw, entry.pointee.ai_addrlen, &buffer, socklen_t(buffer.count), nil, 0, NI_NUMERICHOST) == 0
            else { continue }
            let text = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            // Safe: ai_addr has the layout of its family.
            if entry.pointee.ai_family == AF_INET {
                let address = UnsafeRawPointer(raw).loadUnaligned(as: sockaddr_in.self)
                results.append(.init(bytes: withUnsafeBytes(of: address.sin_addr) { Bytes($0) }, scope: 0, text: text))
            } else if entry.pointee.ai_family == AF_INET6 {
                let address = UnsafeRawPointer(raw).loadUnaligned(as: sockaddr_in6.self)
                results.append(
                    .init(
                        bytes: withUnsafeBytes(of: address.sin6_addr) { Bytes($0) }, scope: address.sin6_scope_id,
                        text: text))
            }
        }
        return results.isEmpty ? nil : results
    }
}

/// Finds the name of a client.
enum ReverseLookup {
    static let unknown = Bytes("UNKNOWN")
    static let undetermined = Bytes("UNDETERMINED")

    /// The forward-confirmed name of `address`, or `UNKNOWN`.
    static func name(of address: Bytes, log: (Bytes) -> Void) -> Bytes {
        if address == Bytes("0.0.0.0") { return unknown }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICHOST
        var list: UnsafeMutablePointer<addrinfo>?
        guard address.withCString({ getaddrinfo($0, nil, &hints, &list) }) == 0, let entry = list else {
            return unknown
        }
        defer { freeaddrinfo(list) }
        var buffer = [CChar](repeating: 0, count: 1025)
        let status = getnameinfo(
            entry.pointee.ai_addr, entry.pointee.ai_addrlen, &buffer, socklen_t(buffer.count), nil, 0, NI_NAMEREQD)
        guard status == 0 else {
            log(Bytes("name lookup failed for ") + address + Bytes(text: ": \(String(cString: gai_strerror(status)))"))
            return unknown
        }
        let name = Bytes(buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }.prefix(99))
        guard let forward = SocketAddress.resolve(name, family: entry.pointee.ai_family, flags: 0) else {
            log(Bytes("forward name lookup for ") + name + Bytes(" failed: Name or service not known"))
            return unknown
        }
        guard forward.contains(where: { $0.text == address }) else {
            log(address + Bytes(" is not a known address for \"") + name + Bytes("\": spoofed address?"))
            return unknown
        }
        return name
    }
}
