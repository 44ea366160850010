// Dray — the data of one reply: tokens, basis blocks, file sum.
// Layer: Engine. Behaviour: chapter 03 §8, §10–§12.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayDelta
import DrayFiles
import DrayWire
import Glibc

extension Receiver {
    enum Verification { case good, bad }

    /// Reads sum head, tokens and file sum, writing to `descriptor`.
    func receiveData(
        _ descriptor: Int32, _ basisDescriptor: Int32, _ basisLength: Int64, _ list: FileSegment, _ entry: FileEntry,
        _ record: ItemRecord, inPlace: Bool, basisIsOther: Bool, isDevice: Bool, isRedo: Bool, preallocateOld: Int64
    ) throws(TransferFailure) -> Verification {
        let head = try SumHead.read(from: reader, digestLength: session.transferChecksum.digestLength)
        var oldLength = inPlace ? preallocateOld : 0
        var allocated = oldLength
        if options.preallocate && !isDevice && entry.length > 0 && (!inPlace || entry.length > preallocateOld) {
            let keepSize: Int32 = options.sparse ? 0 : 1
            // Compatibility: one byte off, and so the last hole of an even length stays allocated.
            let length = entry.length & 1 == 0 ? entry.length - 1 : entry.length + 1
            if dray_fallocate(descriptor, keepSize, 0, off_t(length)) != 0 {
                session.reporter.systemError(
                    .receiver, Bytes("do_fallocate ") + destination.display(list, entry), errno, level: .warning)
            } else {
                allocated = max(allocated, length)
            }
        }
        if inPlace && options.sparse && session.transfersWhole && head.count == 0 && !isDevice {
            // Every byte comes anew: holes need not be punched one by one.
            if FileSystem.truncate(descriptor: descriptor, 0) == 0 { (oldLength, allocated) = (0, 0) }
        }
        literalSeen = false
        hasher.reset()
        let tells = options.debug[.deltasum]
        if tells >= 2 && basisDescriptor >= 0 && basisLength > 0 { tellMapped(list, entry, record, basisLength) }
        var piece = 0
        output.begin(descriptor, sparse: options.sparse, oldLength: oldLength, allocated: allocated)
        basis.begin(basisDescriptor)
        if options.append != .off && !isRedo && head.count > 0 && inPlace {
            try takePrefix(head.basisLength, basisDescriptor, descriptor, list, entry)
        }
        // Only what stands in the written file itself can stay where it is.
        let skipsMatches = inPlace && basisDescriptor >= 0 && !basisIsOther
        // Plain data without a basis: what is left of the file is still to come.
        let prefetches = head.count == 0 && tokens.isPlain
        try tokens.begin()
        var isComplete: Bool?
        if offered >= 0 { isComplete = try takeOffered(offered, descriptor, inPlace: inPlace, list, entry) }
        // An empty file is done before there is anything to show.
        if entry.length > 0 { progress.advance(output.offset) }
        copying: while true {
            switch try tokens.next() {
            case .end: break copying
            case .literal(let bytes):
                literalSeen = true
                statistics.literalData += Int64(bytes.count)
                if tells >= 3 {
                    piece += bytes.count
                    if tokens.isAtTokenEnd {
                        tellLiteral(piece, endingAt: output.offset + Int64(bytes.count))
                        piece = 0
                    }
                }
                hasher.update(bytes)
                // Plain literals lie in the reader's buffer until it is filled again.
                let code = tokens.isPlain ? output.hold(bytes) : output.write(bytes)
                if code != 0 { throw writeFailure(list, entry, code) }
                if prefetches { reader.prefetch(promised: entry.length - output.offset) }
            case .block(let block):
                try copyBlock(block, head, basisDescriptor, skipsMatches, list, entry)
            }
            if entry.length > 0 { progress.advance(output.offset) }
        }
        let (code, truncateCode) = output.finish(
            truncate: !isDevice && (inPlace || options.preallocate), device: isDevice)
        if code != 0 { throw writeFailure(list, entry, code) }
        if truncateCode != 0 {
            session.reporter.systemError(
                .receiver, Bytes("ftruncate failed on ") + destination.display(list, entry), truncateCode)
        }
        try reader.bytes(into: lastSum.bytes)
        session.debug(.deltasum, 2, words: "got file_sum")
        if let isComplete { return isComplete ? .good : .bad }
        ownSum.take(from: hasher)
        return ownSum.matches(lastSum) ? .good : .bad
    }

    func writeFailure(_ list: FileSegment, _ entry: FileEntry, _ code: Int32) -> TransferFailure {
        fatal(Bytes("write failed on ") + destination.display(list, entry), code)
    }

    /// `--append`: keeps (and for verify hashes) the first `length` bytes.
    func takePrefix(
        _ length: Int64, _ basisDescriptor: Int32, _ descriptor: Int32, _ list: FileSegment, _ entry: FileEntry
    ) throws(TransferFailure) {
        var offset: Int64 = 0
        while offset < length {
            let wanted = Int(min(256 * 1024, length - offset))
            if options.append == .verify {
                let bytes = basis.bytes(at: offset, length: wanted)
                if bytes.isEmpty { break }
                hasher.update(bytes)
                offset += Int64(bytes.count)
            } else {
                offset = length
            }
        }
        var left = offset
        while left > 0 {
            let step = Int(min(left, 1 << 30))
            _ = output.skip(step)
            left -= Int64(step)
        }
    }

    func copyBlock(
        _ block: Int32, _ head: SumHead, _ basisDescriptor: Int32, _ skipsMatches: Bool, _ list: FileSegment,
        _ entry: FileEntry
    ) throws(TransferFailure) {
        try check(block, head)
        if basisDescriptor < 0 {
            throw session.fail(
                .protocolIncompatible,
                "got a block match with no basis file for \(destination.display(list, entry).displayText) [\(reader.who)]"
            )
        }
        let start = Int64(block) * Int64(head.blockLength)
        var done = 0
        let length = head.length(ofBlock: block)
        statistics.matchedData += Int64(length)
        let stays = skipsMatches && start == output.offset
        if options.debug[.deltasum] >= 3 { tellBlock(block, length, from: start, stays: stays) }
        while done < length {
            if !basis.holds(start + Int64(done), length: length - done) {
                output.release()
            }
            let bytes = basis.bytes(at: start + Int64(done), length: length - done)
            if bytes.isEmpty {
                // The basis shrank: zeros keep the offsets right, the file sum will tell.
                let zeros = Bytes(repeating: 0, count: length - done)
                let code = zeros.withUnsafeBytes { raw in
                    hasher.update(raw)
                    return output.write(raw)
                }
                if code != 0 { throw writeFailure(list, entry, code) }
                try tokens.insertUnknown(length: length - done)
                return
            }
            hasher.update(bytes)
            if tokens.wantsMatches { try tokens.insert(bytes, at: done, of: length) }
            let code = stays ? output.keep(bytes) : output.hold(bytes)
            if code != 0 { throw writeFailure(list, entry, code) }
            done += bytes.count
        }
    }

    private func check(_ block: Int32, _ head: SumHead) throws(TransferFailure) {
        if block < 0 || block >= head.count {
            throw session.fail(
                .protocolIncompatible, "Invalid block index \(block) (count=\(head.count)) [\(reader.who)]")
        }
    }

    /// Reads a reply whose data cannot be stored.
    func discard() throws(TransferFailure) {
        let head = try SumHead.read(from: reader, digestLength: session.transferChecksum.digestLength)
        try tokens.begin()
        reading: while true {
            switch try tokens.next() {
            case .end: break reading
            case .literal(let bytes): statistics.literalData += Int64(bytes.count)
            case .block(let block):
                try check(block, head)
                statistics.matchedData += Int64(head.length(ofBlock: block))
                try tokens.insertUnknown(length: head.length(ofBlock: block))
            }
        }
        try reader.skip(session.transferChecksum.digestLength)
    }
}
