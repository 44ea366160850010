// Dray — rsync's exit codes and their texts.
// Layer: Core.
// SPDX-License-Identifier: Apache-2.0

/// The exit codes of rsync with their meanings (rsync(1), EXIT VALUES).
public struct ExitCode: RawRepresentable, Equatable, Hashable, Sendable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    public static let ok = Self(rawValue: 0)
    public static let syntax = Self(rawValue: 1)
    public static let protocolIncompatible = Self(rawValue: 2)
    public static let fileSelection = Self(rawValue: 3)
    public static let unsupported = Self(rawValue: 4)
    public static let startClientServer = Self(rawValue: 5)
    public static let socketIO = Self(rawValue: 10)
    public static let fileIO = Self(rawValue: 11)
    public static let protocolStream = Self(rawValue: 12)
    public static let messages = Self(rawValue: 13)
    public static let ipc = Self(rawValue: 14)
    public static let crashed = Self(rawValue: 15)
    public static let terminated = Self(rawValue: 16)
    public static let userSignal1 = Self(rawValue: 19)
    public static let signal = Self(rawValue: 20)
    public static let waitChild = Self(rawValue: 21)
    public static let outOfMemory = Self(rawValue: 22)
    public static let partial = Self(rawValue: 23)
    public static let vanished = Self(rawValue: 24)
    public static let deleteLimit = Self(rawValue: 25)
    public static let timeout = Self(rawValue: 30)
    public static let connectTimeout = Self(rawValue: 35)
    public static let commandFailed = Self(rawValue: 124)
    public static let commandKilled = Self(rawValue: 125)
    public static let commandNotRun = Self(rawValue: 126)
    public static let commandNotFound = Self(rawValue: 127)

    /// The text of the final `rsync error:` line.
    public var text: String {
        switch rawValue {
        case 1: "syntax or usage error"
        case 2: "protocol incompatibility"
        case 3: "errors selecting input/output files, dirs"
        case 4: "requested action not supported"
        case 5: "error starting client-server protocol"
        case 10: "error in socket IO"
        case 11: "error in file IO"
        case 12: "error in rsync protocol data stream"
        case 13: "errors with program diagnostics"
        case 14: "error in IPC code"
        case 15: "sibling process crashed"
        case 16: "sibling process terminated abnormally"
        case 19: "received SIGUSR1"
        case 20: "received SIGINT, SIGTERM, or SIGHUP"
        case 21: "waitpid() failed"
        case 22: "error allocating core memory buffers"
        case 23: "some files/attrs were not transferred (see previous errors)"
        case 24: "some files vanished before they could be transferred"
        case 25: "the --max-delete limit stopped deletions"
        case 30: "timeout in data send/receive"
        case 35: "timeout waiting for daemon connection"
        case 124: "remote shell failed"
        case 125: "remote shell killed"
        case 126: "remote command could not be run"
        case 127: "remote command not found"
        default: "unexplained error"
        }
    }
}

/// The process role that stands in brackets in messages.
public enum RoleName: String, Sendable {
    case client, server, sender, generator, receiver
    /// The receiving side before generator and receiver have split.
    case unsplitReceiver = "Receiver"
}

/// A failure that ends the whole transfer: the lines to print (without newline, in rsync's form) and the exit code.
public struct TransferFailure: Error, Equatable, Sendable {
    public var code: ExitCode
    /// Complete lines, printed as they are; may be empty when the peer has already said why.
    public var lines: [Bytes]
    public var role: RoleName?
    /// Set when the peer announced this exit, so that it is not announced back.
    public var cameFromPeer = false
    /// Set when no `rsync error:` line is to follow (the peer has printed it).
    public var quiet = false
    /// Another attempt would fail in the same way (a certificate that does not verify).
    public var isPermanent = false

    public init(_ code: ExitCode, _ lines: String..., role: RoleName? = nil) {
        self.code = code
        self.lines = lines.map { Bytes(text: $0) }
        self.role = role
    }

    public init(_ code: ExitCode, lines: [Bytes], role: RoleName? = nil) {
        self.code = code
        self.lines = lines
        self.role = role
    }
}
