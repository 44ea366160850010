// Dray — what the receiver tells of the data it puts together (`--debug=deltasum`).
// Layer: Engine. Behaviour: chapter 05 §5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayWire

extension Receiver {
    func tellMapped(_ list: FileSegment, _ entry: FileEntry, _ record: ItemRecord, _ length: Int64) {
        var path = destination.localName ?? list.path(entry)
        if record.basisType >= BasisType.fuzzy {
            path = path.splitLastComponent.directory.appendingComponent(record.xname)
        }
        session.reporter.info(Bytes("recv mapped ") + path + Bytes(text: " of size \(length)"))
    }

    /// rsync's receiver tells its generator of finished files through a pipe (`--debug=io`).
    func tellSuccess(_ ndx: Int32) {
        session.reporter.info(
            options.isLocal
                ? "[receiver] send_msg_success(\(ndx))"
                : "[receiver] send_msg_int(\(MessageCode.success.rawValue), \(ndx))")
    }

    /// At the end it passes on how many bytes it has read, a number of eight bytes.
    func tellCount() {
        session.reporter.info("[receiver] send_msg(\(MessageCode.statistics.rawValue), 8)")
    }

    func tellLiteral(_ count: Int, endingAt end: Int64) {
        session.reporter.info("data recv \(count) at \(end - Int64(count))")
    }

    func tellBlock(_ block: Int32, _ length: Int, from start: Int64, stays: Bool) {
        session.reporter.info(
            "chunk[\(block)] of size \(length) at \(start) offset=\(output.offset)\(stays ? " (seek)" : "")")
    }
}
