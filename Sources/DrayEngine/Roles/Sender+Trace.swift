// Dray — what the sender tells of its search for matching blocks (`--debug=deltasum`).
// Layer: Engine. Behaviour: chapter 05 §5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta

extension Sender {
    func tellMapped(_ list: FileSegment, _ entry: FileEntry, _ length: Int64) {
        session.reporter.info(Bytes("send_files mapped ") + typedPath(list, entry) + Bytes(text: " of size \(length)"))
    }

    func tellSum(_ index: Int32, _ head: SumHead, _ sum: UInt32) {
        let offset = Int64(index) * Int64(head.blockLength)
        session.reporter.info(
            "chunk[\(index)] len=\(head.length(ofBlock: index)) offset=\(offset) sum1=\(Session.shown(sum: sum))")
    }

    /// Tells the steps of the search that follows.
    func traceSearch(_ length: Int64, _ table: BlockSumTable) {
        let level = options.debug[.deltasum]
        let (block, count) = (table.head.blockLength, table.head.count)
        let reporter = session.reporter
        reporter.info("built hash table")
        reporter.info("hash search b=\(block) len=\(length)")
        matcher.tracesOffsets = level >= 4
        matcher.trace = { step in
            switch step {
            case .begins(let sum, let bytes):
                guard level >= 3 else { return }
                reporter.info("sum=\(Session.shown(sum: sum)) k=\(bytes)")
                reporter.info("hash search s->blength=\(block) len=\(length) count=\(count)")
            case .looksAt(let offset, let sum):
                reporter.info("offset=\(offset) sum=\(Session.shown(sum: sum))")
            case .mayMatch(let offset, let index, let sum):
                guard level >= 3 else { return }
                reporter.info("potential match at \(offset) i=\(index) sum=\(Session.shown(sum: sum))")
            case .matches(let offset, let last, let index, let bytes):
                reporter.info("match at \(offset) last_match=\(last) j=\(index) len=\(bytes) n=\(offset - last)")
            }
        }
    }

    /// The search of a file is over: its sum follows, and the numbers.
    func tellSearched() {
        let (matches, alarms) = (
            matcher.matchCount - searchedBefore.matches, matcher.falseAlarmCount - searchedBefore.alarms
        )
        let hits = matcher.hashHitCount - searchedBefore.hits
        searchedBefore = (matcher.matchCount, matcher.falseAlarmCount, matcher.hashHitCount)
        session.reporter.info("sending file_sum")
        session.reporter.info("false_alarms=\(alarms) hash_hits=\(hits) matches=\(matches)")
    }
}
