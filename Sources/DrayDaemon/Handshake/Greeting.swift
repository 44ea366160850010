// Dray — the greeting line of both sides.
// Layer: Daemon. Wire format: chapter 01 §3.2; chapter 07 §6.1.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// What a greeting says.
struct Greeting: Equatable, Sendable {
    /// Why a line is no acceptable greeting.
    enum Problem: Error, Equatable {
        case notAGreeting
        case noSubprotocol
        case noDigests
    }

    var version: Int32
    var subprotocol: Int32
    /// nil if the peer is too old to have a list.
    var digests: Bytes?

    private static let prefix = Bytes("@RSYNCD: ")

    /// The line that this side sends.
    static func own(_ version: Int32) -> Bytes {
        prefix + Bytes(text: "\(version).0 ") + AuthenticationDigest.list + Bytes("\n")
    }

    /// Reads a peer's line.
    init(parsing line: Bytes) throws(Problem) {
        guard line.hasPrefix(Self.prefix) else { throw .notAGreeting }
        var rest = line[Self.prefix.count...].drop(while: \.isASCIISpace)
        guard let version = Self.number(&rest) else { throw .notAGreeting }
        self.version = version
        subprotocol = 0
        if rest.first == UInt8(ascii: ".") {
            rest = rest.dropFirst()
            guard let sub = Self.number(&rest) else {
                if version >= 30 { throw .noSubprotocol }
                return
            }
            subprotocol = sub
        } else if version >= 30 {
            throw .noSubprotocol
        }
        if let space = rest.firstIndex(of: UInt8(ascii: " ")) {
            digests = Bytes(rest[(space + 1)...])
        } else if version > 31 {
            throw .noDigests
        }
    }

    private static func number(_ text: inout ArraySlice<UInt8>) -> Int32? {
        let sign = text.first == UInt8(ascii: "-") || text.first == UInt8(ascii: "+") ? 1 : 0
        let length = sign + text.dropFirst(sign).prefix(while: \.isASCIIDigit).count
        guard length > sign else { return nil }
        defer { text = text.dropFirst(length) }
        return parseDecimal(text.prefix(length)).map { Int32(clamping: $0) } ?? Int32.max
    }

    /// The protocol that results with `own` on this side.
    func negotiated(own: Int32) -> Int32 {
        if own > version { return subprotocol != 0 ? version - 1 : version }
        return own == version && subprotocol != 0 ? own - 1 : own
    }
}
