// Dray — CONNECT through an HTTP proxy (RSYNC_PROXY).
// Layer: Transport. Wire format: chapter 01 §2.4.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// A parsed `[user:pass@]host:port` and the exchange with that proxy.
struct HTTPProxy {
    let host: Bytes
    /// A port or the name of a service.
    let service: Bytes
    private let credentials: Bytes?

    /// Longest request and longest line of the reply, without line end.
    private static let longestLine = 1023
    private static let mostReplyLines = 128

    init(_ specification: Bytes) throws(TransferFailure) {
        var rest = specification[...]
        if let at = specification.lastIndex(of: UInt8(ascii: "@")) {
            let pair = Array(specification[..<at])
            rest = specification[(at + 1)...]
            guard pair.contains(UInt8(ascii: ":")), rest.contains(UInt8(ascii: ":")) else {
                throw Self.invalid("USER:PASS@HOST:PORT")
            }
            credentials = pair
            if pair.count > 512 { throw TransferFailure(.socketIO, "authentication information is too long") }
        } else {
            credentials = nil
        }
        let form = credentials == nil ? "HOST:PORT" : "USER:PASS@HOST:PORT"
        guard let colon = rest.lastIndex(of: UInt8(ascii: ":")) else { throw Self.invalid(form) }
        var name = Array(rest[..<colon])
        if name.first == UInt8(ascii: "["), name.last == UInt8(ascii: "]") { name = Array(name[1..<(name.count - 1)]) }
        host = name
        // Compatibility: what is too long for a number is cut, and then looked up.
        service = Bytes(rest[(colon + 1)...].prefix(9))
    }

    private static func invalid(_ form: String) -> TransferFailure {
        TransferFailure(.socketIO, "invalid proxy specification: should be \(form)")
    }

    /// Asks the proxy for a connection to `host`.
    ///
    /// - Returns: nil when the channel now leads to the host; otherwise why not. The bytes of the host stay unread.
    func open(
        host: Bytes, port: Int, over channel: any ByteChannel, deadline: Deadline
    ) throws(ChannelError) -> Bytes? {
        guard !host.contains(where: { $0 < 0x20 || $0 == 0x7f }) else {
            return Bytes("invalid control character in proxy CONNECT host")
        }
        let name = host.contains(UInt8(ascii: ":")) ? Bytes("[") + host + Bytes("]") : host
        var request = Bytes("CONNECT ") + name + Bytes(text: ":\(port) HTTP/1.0\r\n")
        if let credentials {
            request += Bytes("Proxy-Authorization: Basic ") + Self.base64(credentials) + Bytes("\r\n")
        }
        request += Bytes("\r\n")
        guard request.count <= Self.longestLine else { return Bytes("proxy CONNECT request too long") }
        try channel.write(request)

        guard let status = try line(from: channel, deadline) else { return Bytes("proxy response line too long") }
        guard Self.isSuccess(status) else { return Bytes("bad response from proxy -- ") + status }
        for _ in 0..<Self.mostReplyLines {
            guard let header = try line(from: channel, deadline) else { return Bytes("proxy response line too long") }
            if header.isEmpty { return nil }
        }
        return Bytes("proxy response too long")
    }

    /// `HTTP/`, digits and dots, blanks, then a 2.
    private static func isSuccess(_ line: Bytes) -> Bool {
        guard line.hasPrefix(Bytes("HTTP/")) else { return false }
        var index = 5
        while index < line.count, line[index].isASCIIDigit || line[index] == UInt8(ascii: ".") { index += 1 }
        let afterVersion = index
        while index < line.count, line[index] == UInt8(ascii: " ") { index += 1 }
        return index > afterVersion && index < line.count && line[index] == UInt8(ascii: "2")
    }

    /// Reads one line, byte by byte: nothing after the reply may be taken from the channel. nil if it is too long.
    private func line(from channel: any ByteChannel, _ deadline: Deadline) throws(ChannelError) -> Bytes? {
        var line: Bytes = []
        var byte: UInt8 = 0
        while line.count <= Self.longestLine {
            var count = 0
            var failure: ChannelError?
            withUnsafeMutableBytes(of: &byte) { raw in
                do throws(ChannelError) {
                    count = try channel.read(into: raw, timeoutMilliseconds: deadline.remainingMilliseconds)
                } catch { failure = error }
            }
            if let failure { throw failure }
            if count == 0 { throw .system(call: "read", code: 104) }  // ECONNRESET: ended inside the reply
            if byte == UInt8(ascii: "\n") {
                if line.last == UInt8(ascii: "\r") { line.removeLast() }
                return line
            }
            line.append(byte)
        }
        return nil
    }

    /// Padded base64 (RFC 4648 §4).
    static func base64(_ bytes: Bytes) -> Bytes {
        let alphabet = Bytes("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        var text: Bytes = []
        var index = 0
        while index < bytes.count {
            let rest = min(3, bytes.count - index)
            var group = UInt32(bytes[index]) << 16
            if rest > 1 { group |= UInt32(bytes[index + 1]) << 8 }
            if rest > 2 { group |= UInt32(bytes[index + 2]) }
            for position in 0..<4 {
                let value = Int(group >> UInt32(18 - 6 * position)) & 63
                text.append(position <= rest ? alphabet[value] : UInt8(ascii: "="))
            }
            index += 3
        }
        return text
    }
}
