// Dray — how one side ends when something has gone wrong.
// Layer: Engine. Behaviour: chapter 01 §7.4; chapter 05 §2.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayWire
import Synchronization

extension SideRun {
    /// Says why the side ends and lets the other one know; returns the exit code.
    func end(_ raised: TransferFailure) -> ExitCode {
        var failure = raised
        if let code = session.interruption {
            if failure.code == .signal { failure.code = code }
            // The half that stops this one may have closed the connection already.
            if code == .userSignal1 && failure.code == .protocolStream { failure = TransferFailure(code) }
        }
        hearWhy(&failure)
        let isReceivingHalf = session.options.isLocal && session.options.amServer
        if failure.code == .userSignal1 { failure.role = role }
        // The other half may be writing rather than reading, and then gets nothing through the connection.
        if isReceivingHalf && !failure.cameFromPeer {
            session.reporter.attach(nil)
            // Older protocols have no word for it.
            if failure.code != .userSignal1 && failure.code != .protocolStream && session.protocolVersion >= 31 {
                session.hasFailed.store(true, ordering: .releasing)
            }
        }
        // Why the connection was lost has been said there.
        let lost: [ExitCode] = [.socketIO, .protocolStream]
        if let other = session.companion, lost.contains(failure.code), other.hasFailed.load(ordering: .acquiring) {
            failure = TransferFailure(.protocolStream, lines: [], role: role)
            failure.cameFromPeer = true
        }
        if failure.code == .signal && role == .generator { failure.role = role }
        if failure.role == nil { failure.role = role }
        // What was recorded stays.
        try? session.recorder?.flush()
        let ownCode = failure.code
        if let shellExit = session.environment.shellExit { failure.code = shellExit(failure.code) }
        let isEnd = failure.code == .ok && failure.cameFromPeer
        let trace = ExitTrace(
            session: session, role: failure.role ?? role, code: ownCode, isFromPeer: failure.cameFromPeer)
        // The processes that a signal to the client ends say nothing.
        let isTraced = !isEnd && (failure.code != .userSignal1 || role == .unsplitReceiver)
        if isTraced { trace.tellEntered() }
        session.reporter.failure(failure, role: role, isForLog: leavesUnread && role == .sender)
        if isTraced { trace.tellLeaving(failure.code) }
        var ownFailure = failure
        ownFailure.code = ownCode
        stopOthers(ownFailure)
        announce(ownFailure)
        if let receiverThread {
            // The peer answers or closes; afterwards nothing may hold the reader back.
            session.channel.cancel()
            receiverThread.join()
        }
        if failure.code == .ok && failure.cameFromPeer { return session.reporter.finalCode }
        return failure.code
    }

    /// A server that has left may have said why before the pipe to it broke: that is the exit code.
    private func hearWhy(_ failure: inout TransferFailure) {
        let options = session.options
        guard failure.code == .socketIO, !failure.cameFromPeer, role == .sender, !options.amServer, !options.isLocal,
            session.reader.isFramed
        else { return }
        for line in failure.lines { session.reporter.error(line) }
        failure.lines = []
        if let heard = session.reader.drain(milliseconds: 10_000), heard.cameFromPeer { failure = heard }
    }

    /// rsync's processes stop those that they have started, and these say so.
    private func stopOthers(_ failure: TransferFailure) {
        let lost: [ExitCode] = [.socketIO, .protocolStream, .userSignal1]
        if failure.cameFromPeer || failure.code == .ok || lost.contains(failure.code) { return }
        session.companion?.interrupt(.userSignal1)
        if receiverThread != nil && failure.role == .generator && !session.options.amServer {
            let trace = ExitTrace(session: session, role: .receiver, code: .userSignal1)
            trace.tellEntered()
            session.reporter.error(Reporter.errorLine(.userSignal1, role: .receiver))
            trace.tellLeaving(.userSignal1)
        }
    }

    /// Compatibility: a daemon that refuses leaves what its client has sent unread, and so resets the connection.
    private var leavesUnread: Bool { refuses && session.environment.resetsOnRefusal }

    /// Tells the peer why this side leaves (protocol ≥ 31) and lets it read that.
    private func announce(_ failure: TransferFailure) {
        let writer = session.writer
        if leavesUnread {
            session.hasRefused = true
            if session.protocolVersion >= 31 && role != .sender {
                writer.queueMessage(.errorExit, value: failure.code.rawValue)
            }
            try? writer.flush()
            return
        }
        let isSilent =
            failure.code == .socketIO || failure.code == .protocolStream || failure.code == .userSignal1
            || failure.code == .timeout || failure.code == .signal
        guard writer.isFramed else {
            try? writer.flush()
            return
        }
        if session.protocolVersion >= 31 && !isSilent {
            if !failure.cameFromPeer {
                writer.queueMessage(.errorExit, value: failure.code.rawValue)
            } else if failure.code != .ok || role == .unsplitReceiver {
                writer.queueMessage(.errorExit, [])
            }
        }
        if isSilent && failure.code != .signal && failure.code != .protocolStream { return }
        // Compatibility: who sends to a pipe leaves without a word; the other side finds the stream closed.
        let isPipe = !session.environment.isDaemonSocket && !session.options.isLocal
        if role == .sender && isPipe && !failure.cameFromPeer { return writer.dropPending() }
        writer.timeoutSeconds = 5
        try? writer.flush()
        if !isSilent && receiverThread == nil && session.environment.isDaemonSocket {
            if session.protocolVersion >= 31 && !failure.cameFromPeer && session.reader.isFramed {
                awaitAnswer()
            } else {
                session.reader.messages = nil
                // A client that waits for us must see the end before we wait for it.
                session.channel.closeWriting()
                let loss = session.reader.drain(milliseconds: 10_000)
                // A peer that has refused may leave what we sent unread.
                if failure.cameFromPeer, let loss, loss.code == .socketIO, !session.options.amServer {
                    for line in loss.lines { session.reporter.error(line) }
                }
            }
        }
    }

    /// Waits for the notice to come back; a receiving side confirms an empty one (chapter 01 §7.4).
    private func awaitAnswer() {
        let writer = session.writer
        let confirms = role == .unsplitReceiver
        session.reader.messages = { [session, role] (code, payload) throws(TransferFailure) in
            guard code == .errorExit else { return }
            let trace = ExitTrace(session: session, role: role, code: .ok)
            trace.tell(3, "got MSG_ERROR_EXIT with \(payload.count) bytes")
            if confirms && payload.isEmpty {
                trace.tell(3, "sending MSG_ERROR_EXIT (len 0)")
                writer.queueMessage(.errorExit, [])
                try writer.flush()
            }
            throw TransferFailure(.ok)
        }
        session.reader.drain(milliseconds: 10_000)
        session.channel.closeWriting()
    }
}
