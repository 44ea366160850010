// Dray — what the daemon asks of whoever knows the option table.
// Layer: Daemon. Behaviour: chapter 07 §9.7, §14.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFilters

/// A client's arguments with what the module has to say about them.
public struct ServerParseRequest: Sendable {
    /// Option words from `--server` on, without the final `.`; of both lists when secluded arguments were used.
    public var arguments: [Bytes]
    /// Set when `arguments` holds both lists of secluded arguments.
    public var isComplete: Bool
    /// The `refuse options` terms, for `RefusedOptions`.
    public var refuseOptions: Bytes
    public var hasCharset: Bool
    /// Starting value of the `-v` count.
    public var verbosity: Int
    /// Starting value of `--temp-dir`.
    public var tempDirectory: Bytes?
    /// Daemon log, for terms that name nothing.
    public var log: @Sendable (Bytes) -> Void
}

/// What the arguments mean.
public struct ParsedServer {
    public var options: TransferOptions
    /// Adds rules that the arguments carry (`--exclude-from` and the like) to the list of the session.
    public var addFilters: ((FilterList) throws(TransferFailure) -> Void)?

    public init(options: TransferOptions, addFilters: ((FilterList) throws(TransferFailure) -> Void)? = nil) {
        self.options = options
        self.addFilters = addFilters
    }
}

/// Why the arguments are not accepted. The client is told inside the protocol.
public struct ServerParseFailure: Error {
    /// Without the `rsync: ` in front.
    public var message: Bytes
    /// As far as they were read: direction and `-e` decide how the set-up goes.
    public var options: TransferOptions

    public init(_ message: Bytes, options: TransferOptions) {
        self.message = message
        self.options = options
    }
}

/// Parses the arguments of a daemon's client with the server's option table.
public typealias ServerParser = @Sendable (ServerParseRequest) -> Result<ParsedServer, ServerParseFailure>
