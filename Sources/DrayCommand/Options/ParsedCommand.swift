// Dray — the outcome of parsing a command line.
// Layer: Command. Behaviour: chapter 05 §1.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// One filter option, in the order of the command line.
public enum FilterOption: Sendable, Equatable {
    case filter(Bytes)
    case exclude(Bytes)
    case include(Bytes)
    case excludeFrom(Bytes)
    case includeFrom(Bytes)
    /// `-F`: 1 for the first, 2 for the second one.
    case perDirectory(Int)
    case cvsExclude
    /// `-0`: from here on files of rules are read that way, or no more.
    case fromZero(Bool)
    /// `--delete-excluded`: from here on rules say that they only hide.
    case deleteExcluded
    /// `--debug`: from here on rules are told of, or no more.
    case tracing(Bool)
}

/// Network family asked for by `-4` or `-6`.
public enum FamilyChoice: Sendable, Equatable { case any, ipv4, ipv6 }

/// How `--outbuf` wants standard output buffered.
public enum OutputBuffering: Sendable, Equatable { case none, line, block }

/// What was asked of this side's program rather than of the engine.
public struct ClientOptions: Sendable {
    // MARK: Connection
    /// `-e`; nil: `RSYNC_RSH`, else `ssh`.
    public var rsh: Bytes?
    public var rsyncPath = Bytes("rsync")
    public var port = 0
    public var address: Bytes?
    public var sockopts: Bytes?
    public var passwordFile: Bytes?
    public var earlyInput: Bytes?
    public var family = FamilyChoice.any
    public var blockingIO: Bool?
    public var contimeout: Int?
    public var motd = true

    // MARK: Output
    public var outputBuffering: OutputBuffering?
    public var logFile: Bytes?
    public var logFormat: Bytes?
    public var outFormat: Bytes?

    // MARK: Rules and lists
    public var filters: [FilterOption] = []
    public var readBatch: Bytes?
    public var writeBatch: Bytes?
    public var onlyWriteBatch = false
    /// The open file of `--write-batch`, −1 before it is opened.
    public var batchDescriptor: Int32 = -1
    /// Writes the script next to the batch file.
    public var beginScript: (@Sendable () -> Void)?
    /// The command line as typed, program name excluded.
    public var words: [Bytes] = []
    public var insecureLinks = false
    public var confineRoot: Bytes?

    // MARK: What was typed (server arguments depend on it)
    public var listOnlyGiven = false
    public var dirsGiven = false
    public var oldDirs = false
    public var omitDirTimesGiven = false
    public var partialDirGiven = false
    public var modifyWindowGiven = false
    public var maxAllocText: Bytes?
    public var filesFromGiven: Bytes?
    /// Whether `z` is among the server's letters.
    public var compressLetter = false
    /// How often `-i` was typed.
    public var itemizeGiven = 0
    public var infoWords: [InfoLevels.Flag: Int] = [:]
    /// The server's `--info` list, by the role of the remote side.
    public var infoForReceiver: String?
    public var infoForSender: String?
    /// Long names of the options in effect, without dashes.
    public var given: Set<String> = []

    // MARK: Dray's own
    public var tlsCA: Bytes?
    public var tlsCertificate: Bytes?
    public var tlsKey: Bytes?
    public var tlsServerName: Bytes?
    public var tlsPin: Bytes?
    public var retries: Int?
    public var progressBar = false
    /// Whether `--info=progress2` draws a bar on a terminal.
    public var barForTotal = false
    public var progressJSON = false

    public init() {}
}

/// Options of `--daemon`.
public struct DaemonOptions: Sendable {
    public var address: Bytes?
    public var config: Bytes?
    public var parameters: [Bytes] = []
    public var family = FamilyChoice.any
    public var detach = true
    public var bwlimit: Int?
    public var logFile: Bytes?
    public var logFormat: Bytes?
    public var port = 0
    public var sockopts: Bytes?
    public var tempDirectory: Bytes?
    public var protocolVersion: Int32 = ProtocolVersion.newest
    /// `--server --daemon`: the connection is on standard input and output.
    public var onStandardStreams = false
    public var verbosity = 0
    public init() {}
}

/// A command line that may run.
public struct ParsedCommand: Sendable {
    public enum Mode: Sendable, Equatable { case client, server, daemon }
    public var mode = Mode.client
    public var options = TransferOptions()
    public var client = ClientOptions()
    public var daemon = DaemonOptions()
    public var operands: [Bytes] = []
    /// A server that is still to read the rest of its arguments from the connection.
    public var awaitsSecludedArguments = false
    public init() {}
}

/// What parsing leads to.
public enum ParseResult: Sendable {
    case run(ParsedCommand)
    /// Text to print (help, version), on standard output unless it is a complaint, and the exit code with its role.
    case text(Bytes, toStandardError: Bool, ExitCode, role: RoleName = .client)
    /// The operator's popt file has another program run with these words; `lastWord` ends the command line.
    case execute([Bytes], lastWord: Bytes)
}

/// Circumstances of a parse.
public struct ParseContext: Sendable {
    /// Words come from a network client of a daemon: no environment, refusals apply.
    public var fromNetwork = false
    /// Whether Dray's own options of `rsync-client` are known.
    public var withClientExtensions = false
    /// Names the options of a daemon module that may not be used; gets the names and the letter of a row.
    public var isRefused: (@Sendable (_ names: [String], _ short: UInt8?) -> Bool)?
    /// Environment look-up.
    public var environment: @Sendable (String) -> Bytes?

    public init(environment: @escaping @Sendable (String) -> Bytes? = environmentValue) {
        self.environment = environment
    }
}
