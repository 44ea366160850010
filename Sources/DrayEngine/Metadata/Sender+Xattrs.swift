// Dray — delivering long attribute values that the generator asks for.
// Layer: Engine. Wire format: chapter 02 §6.3, chapter 03 §2.6.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayWire

extension Sender {
    /// Reads the numbers that a request asks for; every one must be a long value that was not delivered before.
    func receiveXattrRequests(_ list: FileSegment, _ entry: FileEntry) throws(TransferFailure) -> [Int32] {
        let index = list.attributes(entry).xattrs
        guard index >= 0 else {
            throw session.fail(.protocolIncompatible, "recv_xattr_request: internal data error!")
        }
        let pairs = walk.encoder.sentXattrs(index)
        var wanted: [Int32] = []
        var numbers = XattrNumbers()
        while let number = try numbers.next(from: reader) {
            guard number >= 1, Int(number) <= pairs.count else {
                throw TransferFailure(
                    .protocolIncompatible,
                    lines: [
                        Bytes(text: "[\(reader.who)] could not find xattr #\(number) for ") + list.path(entry)
                    ])
            }
            let pair = pairs[Int(number) - 1]
            let key = Int64(index) << 32 | Int64(number)
            guard pair.isAbbreviated, deliveredXattrs.insert(key).inserted else {
                throw TransferFailure(
                    .protocolIncompatible,
                    lines: [
                        Bytes("[sender] internal abbrev error on ") + list.path(entry) + Bytes(" (") + pair.name
                            + Bytes(text: ", len=\(pair.length))!")
                    ])
            }
            wanted.append(number)
        }
        return wanted.sorted()
    }

    /// Writes the values as they are now.
    func sendXattrs(_ wanted: [Int32], _ list: FileSegment, _ entry: FileEntry) throws(TransferFailure) {
        var numbers = XattrNumbers()
        for number in wanted {
            let pair = walk.encoder.sentXattrs(list.attributes(entry).xattrs)[Int(number) - 1]
            let directory = walk.cache.descriptor(entry.directory)
            let target = AttributeTarget(directory: directory, name: name.cString(list.name(entry)))
            let value = directory < 0 ? nil : walk.metadata.requested(target, pair.name)
            if value == nil {
                session.reporter.errorTransfer(
                    Bytes("failed to re-read xattr ") + pair.name + Bytes(" for ") + displayName(list, entry))
            }
            try numbers.write(number, to: writer)
            try writer.varint(Int32(clamping: value?.count ?? 0))
            if let value { try writer.bytes(value) }
        }
        try writer.byte(0)
    }
}
