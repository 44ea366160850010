// Dray — integers and strings of the stream that are read byte by byte.
// Layer: Wire. Wire format: chapter 01 §1.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

extension WireReader {
    public func shortint() throws(TransferFailure) -> UInt16 {
        let low = try byte()
        return UInt16(low) | UInt16(try byte()) << 8
    }

    private func littleEndian64() throws(TransferFailure) -> Int64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 8) { value |= UInt64(try byte()) << shift }
        return Int64(bitPattern: value)
    }

    /// int32, or −1 followed by 8 bytes.
    public func longint() throws(TransferFailure) -> Int64 {
        let value = try int32()
        return value == -1 ? try littleEndian64() : Int64(value)
    }

    public func varint() throws(TransferFailure) -> Int32 {
        let first = try byte()
        if first < 0x80 { return Int32(first) }
        let extra = Varint.extraBytes(first)
        if extra > 4 { throw TransferFailure(.protocolStream, "Overflow in read_varint()", role: role) }
        var value: UInt32 = 0
        for index in 0..<extra { value |= UInt32(try byte()) << UInt32(8 * index) }
        if extra < 4 { value |= UInt32(first & UInt8((1 << (8 - extra)) - 1)) << UInt32(8 * extra) }
        return Int32(bitPattern: value)
    }

    public func varlong(_ minimum: Int) throws(TransferFailure) -> Int64 {
        let first = try byte()
        let extra = Varint.extraBytes(first)
        let total = minimum + extra
        if total > 9 { throw TransferFailure(.protocolStream, "Overflow in read_varlong()", role: role) }
        var value: UInt64 = 0
        for index in 0..<(total - 1) { value |= UInt64(try byte()) << UInt64(8 * index) }
        if total <= 8 {
            let mask: UInt8 = extra == 0 ? 0xFF : UInt8((1 << (8 - extra)) - 1)
            value |= UInt64(first & mask) << UInt64(8 * (total - 1))
        }
        return Int64(bitPattern: value)
    }

    /// varint for protocol ≥ 30, int32 below.
    public func varint30() throws(TransferFailure) -> Int32 {
        protocolVersion < 30 ? try int32() : try varint()
    }

    /// varlong for protocol ≥ 30, longint below.
    public func varlong30(_ minimum: Int) throws(TransferFailure) -> Int64 {
        protocolVersion < 30 ? try longint() : try varlong(minimum)
    }

    /// A length-prefixed string of fewer than `bufferSize` bytes.
    public func vstring(bufferSize: Int) throws(TransferFailure) -> Bytes {
        var length = Int(try byte())
        if length & 0x80 != 0 { length = (length & 0x7F) << 8 | Int(try byte()) }
        if length >= bufferSize {
            throw TransferFailure(
                .protocolIncompatible, "over-long vstring received (\(length) > \(bufferSize - 1))", role: role)
        }
        return try bytes(length)
    }
}
