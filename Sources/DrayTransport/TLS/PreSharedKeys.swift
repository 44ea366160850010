// Dray — the secrets file of TLS with pre-shared keys.
// Layer: Transport. File format: chapter 10 §5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Identities and keys of a secrets file: `IDENTITY:KEY` lines.
public struct PreSharedKeys: Sendable, Equatable {
    public struct Entry: Sendable, Equatable {
        public var identity: Bytes
        public var key: Bytes
    }
    public private(set) var entries: [Entry] = []

    private static let shortestKey = 16
    private static let longestKey = 256
    private static let longestIdentity = 128

    /// Parses the contents of a file. A KEY of an even number of hexadecimal digits is binary; any other is the key itself.
    public init(_ text: Bytes) throws(TLSError) {
        var number = 0
        for line in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            number += 1
            var line = Array(line)
            if line.last == UInt8(ascii: "\r") { line.removeLast() }
            if line.isEmpty { continue }
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0, colon <= Self.longestIdentity else {
                throw TLSError("pre-shared key file, line \(number): not of the form IDENTITY:KEY")
            }
            let word = Array(line[(colon + 1)...])
            let key = Self.decodeHexadecimal(word) ?? word
            guard key.count >= Self.shortestKey else {
                throw TLSError("pre-shared key file, line \(number): key shorter than \(Self.shortestKey) bytes")
            }
            guard key.count <= Self.longestKey else {
                throw TLSError("pre-shared key file, line \(number): key longer than \(Self.longestKey) bytes")
            }
            entries.append(Entry(identity: Array(line[..<colon]), key: key))
        }
        if entries.isEmpty { throw TLSError("pre-shared key file holds no key") }
    }

    /// The key of `identity`.
    public func key(of identity: Bytes) -> Bytes? { entries.first { $0.identity == identity }?.key }

    private static func decodeHexadecimal(_ text: Bytes) -> Bytes? {
        guard text.count % 2 == 0 else { return nil }
        var bytes: Bytes = []
        var high: UInt8?
        for character in text {
            let digit: UInt8
            switch character {
            case 0x30...0x39: digit = character - 0x30
            case 0x41...0x46: digit = character - 0x41 + 10
            case 0x61...0x66: digit = character - 0x61 + 10
            default: return nil
            }
            if let first = high {
                bytes.append(first << 4 | digit)
                high = nil
            } else {
                high = digit
            }
        }
        return bytes
    }
}
