// Dray — long attribute values as they arrive.
// Layer: Engine. Wire format: chapter 02 §6.3, chapter 03 §2.6.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayWire

extension Receiver {
    /// Reads the values that the sender delivers with a record and keeps them for every entry with the same list.
    func receiveXattrs(_ list: FileSegment, _ entry: FileEntry) throws(TransferFailure) {
        guard let wanted = destination.xattrs(list, entry) else {
            throw session.fail(.protocolIncompatible, "recv_xattr_request: internal data error!")
        }
        var numbers = XattrNumbers()
        while let number = try numbers.next(from: reader) {
            guard wanted.pair(number: number) != nil else {
                throw TransferFailure(
                    .protocolIncompatible,
                    lines: [
                        Bytes(text: "[\(reader.who)] could not find xattr #\(number) for ") + list.path(entry)
                    ])
            }
            let length = Int64(try reader.varint())
            if length < 0 {
                throw session.fail(
                    .protocolIncompatible,
                    "wire size xattr datum_len out of range: \(length) > \(Int32.max) [\(reader.who)]")
            }
            if length > Limits.xattrValueLength {
                throw session.fail(
                    .protocolIncompatible, "xattr datum_len exceeds per-value limit [\(reader.who)]")
            }
            wanted.store(try reader.bytes(Int(length)), number: number)
        }
    }
}

/// Delta-coded numbers of attributes, ended by a zero byte.
struct XattrNumbers {
    private var last: Int32 = 0

    /// The next number; nil at the end of the list.
    mutating func next(from reader: WireReader) throws(TransferFailure) -> Int32? {
        let step = try reader.varint()
        if step == 0 { return nil }
        let (sum, overflows) = last.addingReportingOverflow(step)
        if overflows {
            throw TransferFailure(
                .protocolIncompatible, "xattr rel_pos accumulation overflow [\(reader.who)]")
        }
        last = sum
        return sum
    }

    mutating func write(_ number: Int32, to writer: WireWriter) throws(TransferFailure) {
        try writer.varint(number - last)
        last = number
    }
}
