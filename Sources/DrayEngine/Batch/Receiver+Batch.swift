// Dray — the receiver between a batch file and its generator.
// Layer: Engine. Behaviour: chapter 03 §16.3.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayWire

extension Receiver {
    /// Whether the data that the batch has now is wanted; says so if it is not.
    func isWanted(
        _ ndx: Int32, _ list: FileSegment, _ entry: UnsafeMutablePointer<FileEntry>
    ) throws(TransferFailure) -> Bool {
        guard let wishes = session.wishes else { return true }
        // Every first reply stands in the first phase.
        let isResend = phase > 0
        let isWanted =
            isResend
            ? resendWanted.remove(ndx) != nil
            : try wishes.wants(ndx)
        if !isWanted {
            session.reporter.info(
                Bytes(text: "(Skipping batched update for\(isResend ? Self.resend : "") \"") + list.path(entry.pointee)
                    + Bytes("\")"))
        }
        return isWanted
    }

    private static var resend: String { " resend of" }

    /// A list or phase of the batch is over: everything the generator still wanted of it is missing. Then waits until
    /// the generator is there too, as a sender would have.
    func awaitGenerator() throws(TransferFailure) {
        guard let wishes = session.wishes else { return }
        let end =
            session.incremental ? lists.state.withLock { $0.segments.first.map { $0.ndxStart + Int32($0.count) } } : nil
        let limit = end ?? .max
        if session.incremental || phase > 0 {
            for ndx in resendWanted.sorted() where ndx < limit {
                resendWanted.remove(ndx)
                reportMissing(ndx, resend: Self.resend)
            }
        }
        while case .missing(let ndx) = try wishes.next(below: limit) { reportMissing(ndx, resend: "") }
    }

    private func reportMissing(_ ndx: Int32, resend: String) {
        if let (list, entry) = lists.entry(ndx) {
            session.reporter.errorTransfer(
                Bytes(text: "(No batched update for\(resend) \"") + list.path(entry.pointee) + Bytes("\")"))
        }
        if options.requestsData { post(.noSend(ndx)) }
    }

    /// A dry run has data to pass over in a batch file, and when it pulls only to write one.
    func takeDryData(_ ndx: Int32) throws(TransferFailure) {
        if session.wishes != nil { return try discard() }
        guard options.onlyWritesBatch else { return }
        if !options.amServer { try discard() }
        post(.success(ndx))
    }
}
