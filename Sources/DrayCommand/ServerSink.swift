// Dray — what a server does with the events of its engine.
// Layer: Command. Behaviour: chapter 01 §6.4.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayEngine

/// The sink of a server: texts go to standard error, notices of the destination to the client.
final class ServerSink: TransferEventSink {
    private let terminal: TerminalSink
    /// The client's sink in a local copy, which gets the listing.
    private let client: TerminalSink?
    private let session = Monitor<Session?>(nil)

    init(_ terminal: TerminalSink, _ options: TransferOptions, client: TerminalSink? = nil) {
        self.terminal = terminal
        self.client = client
    }

    func attach(_ session: Session) { self.session.withLock { $0 = session } }

    var wantsProgress: Bool { false }

    func handle(_ event: TransferEvent) {
        switch event {
        case .message, .remoteMessage: terminal.handle(event)
        case .listEntry: client?.handle(event)
        // What a server does goes to its log, if it has one.
        case .item, .deleted, .fileListStarted, .statistics: if terminal.hasLog { terminal.handle(event) }
        default: break
        }
    }
}
