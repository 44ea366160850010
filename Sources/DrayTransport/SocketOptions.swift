// Dray — the list of --sockopts and `socket options`.
// Layer: Transport.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// A parsed list of socket options. Faults are messages, never failures.
public struct SocketOptions: Sendable {
    private struct Setting: Sendable {
        var name: Bytes
        var level: Int32
        var option: Int32
        var value: Int32
    }
    private var settings: [Setting] = []
    /// What was wrong with the list: lines without newline.
    public private(set) var messages: [Bytes] = []

    private static let known: [(name: StaticString, level: Int32, option: Int32, fixed: Int32?)] = [
        ("SO_KEEPALIVE", Int32(SOL_SOCKET), SO_KEEPALIVE, nil), ("SO_REUSEADDR", Int32(SOL_SOCKET), SO_REUSEADDR, nil),
        ("SO_BROADCAST", Int32(SOL_SOCKET), SO_BROADCAST, nil), ("TCP_NODELAY", Int32(IPPROTO_TCP), TCP_NODELAY, nil),
        ("SO_SNDBUF", Int32(SOL_SOCKET), SO_SNDBUF, nil), ("SO_RCVBUF", Int32(SOL_SOCKET), SO_RCVBUF, nil),
        ("SO_SNDLOWAT", Int32(SOL_SOCKET), SO_SNDLOWAT, nil), ("SO_RCVLOWAT", Int32(SOL_SOCKET), SO_RCVLOWAT, nil),
        ("SO_SNDTIMEO", Int32(SOL_SOCKET), SO_SNDTIMEO, nil), ("SO_RCVTIMEO", Int32(SOL_SOCKET), SO_RCVTIMEO, nil),
        ("IPTOS_LOWDELAY", Int32(IPPROTO_IP), IP_TOS, 0x10), ("IPTOS_THROUGHPUT", Int32(IPPROTO_IP), IP_TOS, 0x08),
    ]

    public init() {}

    /// Parses `NAME` or `NAME=INT` words separated by blanks, tabs and commas.
    public init(_ list: Bytes) {
        let separators: [UInt8] = [UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: ",")]
        for word in list.fields(separatedBy: { separators.contains($0) }) {
            let equals = word.firstIndex(of: UInt8(ascii: "="))
            let name = Array(word[..<(equals ?? word.count)])
            guard let entry = Self.known.first(where: { Bytes($0.name) == name }) else {
                messages.append(Bytes("Unknown socket option ") + name)
                continue
            }
            if entry.fixed != nil, equals != nil {
                messages.append(Bytes("syntax error -- ") + name + Bytes(" does not take a value"))
            }
            let value = equals.map { Int32(clamping: Self.leadingInteger(word[($0 + 1)...])) } ?? 1
            settings.append(
                Setting(name: name, level: entry.level, option: entry.option, value: entry.fixed ?? value))
        }
    }

    /// Sets the options on `descriptor`; returns a line for each that the system refused.
    public func apply(to descriptor: Int32) -> [Bytes] {
        var failures: [Bytes] = []
        for setting in settings {
            let done: Bool
            if setting.option == SO_SNDTIMEO || setting.option == SO_RCVTIMEO, setting.level == Int32(SOL_SOCKET) {
                var time = timeval(tv_sec: Int(setting.value), tv_usec: 0)
                done =
                    setsockopt(
                        descriptor, setting.level, setting.option, &time, socklen_t(MemoryLayout<timeval>.size)) == 0
            } else {
                done = Self.setInteger(descriptor, setting.level, setting.option, setting.value)
            }
            if !done {
                failures.append(
                    Bytes("failed to set socket option ") + setting.name
                        + Bytes(text: ": \(errorText(errno)) (\(errno))"))
            }
        }
        return failures
    }

    @discardableResult
    static func setInteger(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Int32) -> Bool {
        var value = value
        return setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size)) == 0
    }

    /// The number at the start of `text` as C's `atoi` sees it.
    private static func leadingInteger(_ text: ArraySlice<UInt8>) -> Int64 {
        var end = text.startIndex
        if end < text.endIndex, text[end] == UInt8(ascii: "-") || text[end] == UInt8(ascii: "+") { end += 1 }
        while end < text.endIndex, text[end].isASCIIDigit { end += 1 }
        return parseDecimal(text[text.startIndex..<end]) ?? 0
    }
}
