// Dray — sources and destination: which are remote, and how they are reached.
// Layer: Command. Behaviour: chapter 01 §2.1, §2.2; chapter 05 §7.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// One operand that names a place on another machine.
public struct RemoteOperand: Sendable, Equatable {
    public enum Kind: Sendable, Equatable { case shell, daemon }
    public var kind: Kind
    public var user: Bytes?
    public var host: Bytes
    /// Port of a daemon; 0: the default.
    public var port: Int
    public var path: Bytes
    /// `rsyncs://`
    public var usesTLS = false

    /// Ports where nothing else is said.
    public static let daemonPort = 873
    public static let tlsPort = 874

    /// Parses an operand; nil if it is a local path.
    ///
    /// - Parameter port: value of `--port`, 0 if none.
    public init?(_ text: Bytes, port: Int = 0) {
        for (scheme, tls) in [("rsync://", false), ("rsyncs://", true)] {
            let count = scheme.utf8.count
            guard text.count >= count, text[..<count].map(\.asciiLowercased) == Bytes(text: scheme) else { continue }
            if let url = HostSpecification(Bytes(text[count...]), isURL: true) {
                let chosen = url.port > 0 ? url.port : (port > 0 ? port : (tls ? Self.tlsPort : 0))
                self.init(kind: .daemon, url, port: chosen, path: url.path)
                usesTLS = tls
                return
            }
        }
        guard let specification = HostSpecification(text, isURL: false) else { return nil }
        if specification.path.first == UInt8(ascii: ":") {
            self.init(kind: .daemon, specification, port: port, path: Bytes(specification.path.dropFirst()))
        } else {
            self.init(kind: .shell, specification, port: 0, path: specification.path)
        }
    }

    private init(kind: Kind, _ specification: HostSpecification, port: Int, path: Bytes) {
        self.kind = kind
        user = specification.user
        host = specification.host
        self.port = port
        self.path = path
    }
}

/// `[USER@]HOST:…`, scanned byte by byte.
private struct HostSpecification {
    var user: Bytes?
    var host: Bytes = []
    var port = 0
    var path: Bytes = []

    init?(_ text: Bytes, isURL: Bool) {
        var start = 0
        var index = 0
        var bracketEnd: Int?
        while true {
            let byte = index < text.count ? text[index] : nil
            if let end = bracketEnd, index == end + 1, let byte, byte != UInt8(ascii: "/"), byte != UInt8(ascii: ":") {
                return nil
            }
            switch byte {
            case nil, UInt8(ascii: "/"):
                guard isURL else { return nil }
                host = hostBytes(text, start, index, bracketEnd)
                if byte != nil { path = Bytes(text[(index + 1)...]) }
                return
            case UInt8(ascii: ":"):
                host = hostBytes(text, start, index, bracketEnd)
                guard isURL else {
                    path = Bytes(text[(index + 1)...])
                    return
                }
                let digits = text[(index + 1)...].prefix { $0.isASCIIDigit }
                port = Int(clamping: parseDecimal(digits) ?? 0)
                let next = index + 1 + digits.count
                if next == text.count { return }
                guard text[next] == UInt8(ascii: "/") else { return nil }
                path = Bytes(text[(next + 1)...])
                return
            case UInt8(ascii: "@"):
                user = Bytes(text[..<index])
                start = index + 1
                bracketEnd = nil
            case UInt8(ascii: "["):
                guard index == start else { return nil }
                var end = index + 1
                while end < text.count, text[end] != UInt8(ascii: "]") {
                    if text[end] == UInt8(ascii: "/") { return nil }
                    end += 1
                }
                guard end < text.count, end > index + 1 else { return nil }
                bracketEnd = end
                index = end
            default: break
            }
            index += 1
        }
    }

    private func hostBytes(_ text: Bytes, _ start: Int, _ end: Int, _ bracketEnd: Int?) -> Bytes {
        if let bracketEnd { return Bytes(text[(start + 1)..<bracketEnd]) }
        return Bytes(text[start..<end])
    }
}

/// The resolved operands of a client.
public struct Operands: Sendable, Equatable {
    public enum Direction: Sendable, Equatable { case local, push, pull }
    public var direction: Direction
    /// Local paths, or paths on the remote side (pull).
    public var sources: [Bytes]
    /// nil: a listing.
    public var destination: Bytes?
    public var remote: RemoteOperand?

    public init(_ command: ParsedCommand) throws(TransferFailure) {
        let operands = command.operands
        let options = command.options
        let port = command.client.port
        guard let first = operands.first else { throw TransferFailure(.syntax) }
        if let remote = RemoteOperand(first, port: port) {
            self = try Self.pull(operands, remote, port)
        } else if operands.count > 1, let remote = RemoteOperand(operands[operands.count - 1], port: port) {
            if command.client.readBatch != nil {
                throw Self.error("remote destination is not allowed with --read-batch")
            }
            self = try Self.push(operands, remote, port)
        } else {
            self = try Self.local(operands, options, port)
        }
        try check(command)
    }

    private init(_ direction: Direction, _ sources: [Bytes], _ destination: Bytes?, _ remote: RemoteOperand?) {
        self.direction = direction
        self.sources = sources
        self.destination = destination
        self.remote = remote
    }

    private static func error(_ lines: String...) -> TransferFailure {
        TransferFailure(.syntax, lines: lines.map { Bytes(text: $0) })
    }

    private static func error(_ text: StaticString, _ operand: Bytes, then more: [Bytes] = []) -> TransferFailure {
        TransferFailure(.syntax, lines: [Bytes(text) + operand] + more)
    }

    private static func pull(_ operands: [Bytes], _ remote: RemoteOperand, _ port: Int) throws(TransferFailure)
        -> Operands
    {
        var sources = operands
        var destination: Bytes?
        if operands.count > 1, let last = operands.last, last.first != UInt8(ascii: ":") {
            if RemoteOperand(last, port: port) != nil {
                throw error("The source and destination cannot both be remote.")
            }
            destination = last
            sources.removeLast()
            if last.isEmpty { throw error("Empty destination arg specified (use \".\" or see --old-args).") }
        }
        var paths = [remote.path]
        for operand in sources.dropFirst() {
            guard let other = RemoteOperand(operand, port: port) else {
                throw error(
                    "Unexpected local arg: ", operand,
                    then: [Bytes("If arg is a remote file/dir, prefix it with a colon (:).")])
            }
            if !other.host.isEmpty && (other.host != remote.host || other.user != remote.user) {
                throw error("All source args must come from the same machine.")
            }
            if other.kind != remote.kind { throw error("All source args must use the same hostspec format.") }
            if other.port != remote.port { throw error("All source args must use the same port number.") }
            paths.append(other.path)
        }
        if remote.kind == .shell { paths = paths.map { $0.isEmpty ? Bytes(".") : $0 } }
        return Operands(.pull, paths, destination, remote)
    }

    private static func push(_ operands: [Bytes], _ remote: RemoteOperand, _ port: Int) throws(TransferFailure)
        -> Operands
    {
        let sources = Array(operands.dropLast())
        try checkLocalSources(sources, port)
        var path = remote.path
        if path.isEmpty && remote.kind == .shell { path = Bytes(".") }
        return Operands(.push, sources, path, remote)
    }

    private static func local(
        _ operands: [Bytes], _ options: TransferOptions, _ port: Int
    ) throws(TransferFailure) -> Operands {
        var sources = operands
        let destination = operands.count > 1 ? sources.removeLast() : nil
        try checkLocalSources(sources, port)
        if destination?.isEmpty == true {
            if options.oldArguments > 0 { return Operands(.local, sources, Bytes("."), nil) }
            throw error("Empty destination arg specified (use \".\" or see --old-args).")
        }
        return Operands(.local, sources, destination, nil)
    }

    private static func checkLocalSources(_ sources: [Bytes], _ port: Int) throws(TransferFailure) {
        for source in sources {
            if source.isEmpty { throw error("Empty source arg specified.") }
            if RemoteOperand(source, port: port) != nil { throw error("Unexpected remote arg: ", source) }
        }
    }

    private func check(_ command: ParsedCommand) throws(TransferFailure) {
        if let host = command.options.filesFromHost {
            guard let remote else {
                throw Self.error("--files-from cannot be remote when the transfer is local")
            }
            if !host.isEmpty && host != (remote.user.map { $0 + Bytes("@") } ?? []) + remote.host {
                throw Self.error("--files-from hostname is not the same as the transfer hostname")
            }
        }
        let isDaemon = remote?.kind == .daemon
        if command.client.passwordFile != nil && !isDaemon {
            throw Self.error("The --password-file option may only be used when accessing an rsync daemon.")
        }
        if command.client.contimeout ?? 0 != 0 && (!isDaemon || command.client.rsh != nil) {
            throw Self.error("The --contimeout option may only be used when connecting to an rsync daemon.")
        }
        if let remote, remote.host.first == UInt8(ascii: "-") {
            throw Self.error("Invalid remote host: hostnames may not start with '-'.")
        }
    }
}
