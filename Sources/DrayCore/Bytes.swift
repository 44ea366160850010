// Dray — raw bytes: names, operands, patterns and option values are never text inside the engine.
// Layer: Core.
// SPDX-License-Identifier: Apache-2.0

/// A file name, operand, pattern or option value: raw bytes without a terminating NUL.
public typealias Bytes = [UInt8]

extension Array where Element == UInt8 {
    /// The UTF-8 bytes of `text`.
    public init(_ text: StaticString) {
        self = text.withUTF8Buffer { Array($0) }
    }

    /// The UTF-8 bytes of `text`.
    public init(text: String) {
        self = Array(text.utf8)
    }

    /// The bytes as text for a screen; invalid UTF-8 becomes U+FFFD. Never use the result as a name.
    public var displayText: String { String(decoding: self, as: UTF8.self) }

    /// Whether the bytes end with `suffix`.
    public func hasSuffix(_ suffix: Bytes) -> Bool {
        count >= suffix.count && self[(count - suffix.count)...].elementsEqual(suffix)
    }

    /// Whether the bytes begin with `prefix`.
    public func hasPrefix(_ prefix: Bytes) -> Bool {
        count >= prefix.count && self[..<prefix.count].elementsEqual(prefix)
    }

    /// The index of the first `byte` at or after `start`, or nil.
    public func firstIndex(of byte: UInt8, from start: Int) -> Int? {
        var index = start
        while index < count {
            if self[index] == byte { return index }
            index += 1
        }
        return nil
    }

    /// Calls `body` with the bytes as a NUL-terminated C string. Bytes after an embedded NUL are not seen by C.
    @inlinable
    public func withCString<R, E: Error>(_ body: (UnsafePointer<CChar>) throws(E) -> R) throws(E) -> R {
        var copy = self
        copy.append(0)
        return try copy.withUnsafeBufferPointerTyped { (buffer) throws(E) -> R in
            // Safe: the array holds at least the terminator, so the base address is not nil; CChar and UInt8 share layout.
            try buffer.baseAddress!.withMemoryRebound(to: CChar.self, capacity: buffer.count) {
                (pointer) throws(E) -> R in
                try body(pointer)
            }
        }
    }

    @inlinable
    func withUnsafeBufferPointerTyped<R, E: Error>(
        _ body: (UnsafeBufferPointer<UInt8>) throws(E) -> R
    ) throws(E) -> R {
        var result: Result<R, E>?
        unsafe self.withUnsafeBufferPointer { buffer in
            do throws(E) {
                result = .success(try body(buffer))
            } catch {
                result = .failure(error)
            }
        }
        return try result!.get()
    }

    /// The directory part (without the last slash; empty if there is none) and the last component.
    public var splitLastComponent: (directory: Bytes, name: Bytes) {
        guard let slash = lastIndex(of: UInt8(ascii: "/")) else { return ([], self) }
        return (Array(self[..<slash]), Array(self[(slash + 1)...]))
    }

    /// `self` + "/" + `name`; just `name` if `self` is empty.
    public func appendingComponent(_ name: Bytes) -> Bytes {
        if isEmpty { return name }
        var joined = self
        if joined.last != UInt8(ascii: "/") { joined.append(UInt8(ascii: "/")) }
        joined.append(contentsOf: name)
        return joined
    }

    /// Removes empty and `.` components and resolves `..` by text alone; an absolute path stays absolute.
    public func collapsed() -> Bytes {
        let isAbsolute = first == UInt8(ascii: "/")
        var parts: [Bytes] = []
        for part in fields(separatedBy: { $0 == UInt8(ascii: "/") }) where part != Bytes(".") {
            if part == Bytes(".."), let last = parts.last, last != Bytes("..") {
                parts.removeLast()
            } else if part != Bytes("..") || !isAbsolute {
                parts.append(part)
            }
        }
        let joined = Bytes(parts.joined(separator: [UInt8(ascii: "/")]))
        return isAbsolute ? [UInt8(ascii: "/")] + joined : joined
    }

    /// A line of text as rsync's buffer for messages takes it: cut, with a mark at its end, if it is too long.
    public var cutToMessage: Bytes {
        count < Limits.lineBuffer - 1 ? self : self[..<(Limits.lineBuffer - 7)] + Bytes("[...]")
    }

    /// The maximal runs of bytes for which `isSeparator` is false.
    public func fields(separatedBy isSeparator: (UInt8) -> Bool) -> [Bytes] {
        var fields: [Bytes] = []
        var start = 0
        for index in 0...count where index == count || isSeparator(self[index]) {
            if index > start { fields.append(Array(self[start..<index])) }
            start = index + 1
        }
        return fields
    }
}

/// ASCII classification by plain comparison, independent of the locale.
extension UInt8 {
    public var isASCIIDigit: Bool { self >= 0x30 && self <= 0x39 }
    public var isASCIISpace: Bool { self == 0x20 || (self >= 0x09 && self <= 0x0d) }
    public var asciiLowercased: UInt8 { self >= 0x41 && self <= 0x5a ? self | 0x20 : self }
}

/// Parses an optional sign and decimal digits that fill `bytes` completely.
public func parseDecimal(_ bytes: some Collection<UInt8>) -> Int64? {
    var value: Int64 = 0
    var negative = false
    var digits = 0
    for (position, byte) in bytes.enumerated() {
        if position == 0, byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+") {
            negative = byte == UInt8(ascii: "-")
            continue
        }
        guard byte.isASCIIDigit else { return nil }
        let (product, overflow) = value.multipliedReportingOverflow(by: 10)
        let (sum, overflow2) = product.addingReportingOverflow(Int64(byte - 0x30))
        if overflow || overflow2 { return nil }
        value = sum
        digits += 1
    }
    return digits == 0 ? nil : (negative ? -value : value)
}
