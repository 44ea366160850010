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

    private static func code(_ level: MessageLevel) -> MessageCode {
        switch level {
        case .info, .notice, .log: .info
        case .warning: .warning
        case .error: .error
        case .errorTransfer: .errorTransfer
        }
    }

    func handle(_ event: TransferEvent) {
        switch event {
        case .message(let level, let text) where client != nil && [.warning, .error, .errorTransfer].contains(level):
            // The client's sink keeps the order on the screen, and knows then that the end was explained.
            client?.handle(.remoteMessage(Self.code(level), text))
            terminal.handle(.message(.log, text))
        // The connection is taken away, but what follows is for the client's screen.
        case .message(.notice, let text) where client != nil: client?.handle(.remoteMessage(.info, text))
        case .message, .remoteMessage: terminal.handle(event)
        case .listEntry: client?.handle(event)
        // What a server does goes to its log, if it has one.
        case .item, .deleted, .fileListStarted, .statistics: if terminal.hasLog { terminal.handle(event) }
        default: break
        }
    }
}
