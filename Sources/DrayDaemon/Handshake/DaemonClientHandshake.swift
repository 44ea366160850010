// Dray — the client's half of the daemon text phase.
// Layer: Daemon. Wire format: chapter 01 §3; chapter 07 §6.5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayTransport
import Glibc

/// Where a client's password comes from, in rsync's order.
public struct PasswordSource: Sendable {
    /// `--password-file`; `-` is standard input.
    public var file: Bytes?
    /// `RSYNC_PASSWORD`.
    public var environment: Bytes?
    /// Asks the user; nil if nobody can be asked.
    public var prompt: (@Sendable () -> Bytes?)?
    /// Who is named in messages.
    var who = RoleName.client

    public init(file: Bytes? = nil, environment: Bytes? = nil, prompt: (@Sendable () -> Bytes?)? = nil) {
        self.file = file
        self.environment = environment
        self.prompt = prompt
    }

    /// The file given, this process's environment, then the terminal.
    public static func standard(file: Bytes?, who: RoleName = .client) -> Self {
        var source = Self(
            file: file, environment: Variables.value(Bytes("RSYNC_PASSWORD")), prompt: { TerminalPrompt.password() })
        source.who = who
        return source
    }

    /// The password.
    ///
    /// - Throws: exit 1 with the texts of `--password-file`.
    func password() throws(TransferFailure) -> Bytes {
        if let file { return try read(file) }
        if let environment { return environment }
        return prompt?() ?? []
    }

    private func read(_ file: Bytes) throws(TransferFailure) -> Bytes {
        var descriptor: Int32 = 0
        if file != Bytes("-") {
            descriptor = OperatorFile.open(file, flags: O_RDONLY)
            if descriptor < 0 {
                let line =
                    Bytes(text: "rsync: [\(who.rawValue)] could not open password file ") + file
                    + Bytes(text: ": \(errnoText(-descriptor)) (\(-descriptor))")
                throw TransferFailure(
                    .syntax, lines: descriptor == -ELOOP ? [Bytes(untrustedLinkText), line] : [line])
            }
            var status = stat()
            fstat(descriptor, &status)
            if status.st_mode & 0o006 != 0 {
                close(descriptor)
                throw TransferFailure(.syntax, "ERROR: password file must not be other-accessible")
            }
            if geteuid() == 0 && status.st_uid != 0 {
                close(descriptor)
                throw TransferFailure(.syntax, "ERROR: password file must be owned by root when running as root")
            }
        }
        var code: Int32 = 0
        let text = OperatorFile.readAll(descriptor, limit: 511, code: &code) ?? []
        if descriptor != 0 { close(descriptor) }
        let line = text.first { $0 != 0x0a && $0 != 0x0d } == nil ? [] : Bytes(text.prefix { $0 != 0x0a && $0 != 0x0d })
        if line.isEmpty {
            throw TransferFailure(.syntax, lines: [Bytes("ERROR: failed to read a password from ") + file])
        }
        return line
    }
}

/// Reads a password from the terminal without showing it.
enum TerminalPrompt {
    static func password() -> Bytes? {
        let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC)
        if terminal < 0 { return passwordFromStandardInput() }
        defer { close(terminal) }
        var saved = termios()
        let isTerminal = tcgetattr(terminal, &saved) == 0
        var silent = saved
        silent.c_lflag &= ~tcflag_t(ECHO)
        if isTerminal { tcsetattr(terminal, TCSAFLUSH, &silent) }
        defer { if isTerminal { tcsetattr(terminal, TCSAFLUSH, &saved) } }
        write(terminal, "Password: ", 10)
        var line: Bytes = []
        var byte: UInt8 = 0
        while read(terminal, &byte, 1) == 1, byte != 0x0a { line.append(byte) }
        write(terminal, "\n", 1)
        return line
    }

    /// Where there is no terminal the question goes to standard error, and the answer comes from standard input.
    private static func passwordFromStandardInput() -> Bytes {
        write(STDERR_FILENO, "Password: ", 10)
        var line: Bytes = []
        var byte: UInt8 = 0
        while read(STDIN_FILENO, &byte, 1) == 1, byte != 0x0a { line.append(byte) }
        return line
    }
}

/// Opens a session with a daemon over a connected channel.
public enum DaemonClientHandshake {
    /// What to ask for.
    public struct Request: Sendable {
        public var host: Bytes = []
        /// User part of the operand; nil takes `USER`, `LOGNAME`, then `nobody`.
        public var user: Bytes?
        public var password = PasswordSource()
        /// Path of the operand: `MODULE/…`; empty asks for the list of modules.
        public var path: Bytes = []
        /// Server vector from `--server` on, shell-escaped as for a remote shell, without the `.`.
        public var arguments: [Bytes] = []
        /// Prints the words that are sent (`--debug=cmd`).
        public var showArguments: (@Sendable (Bytes) -> Void)?
        /// Path operands with their module name.
        public var paths: [Bytes] = []
        /// Set for `-s`: `arguments` holds the visible part, these and `paths` go out as the second list, unescaped.
        public var secludedArguments: [Bytes]?
        public var protocolVersion = ProtocolVersion.newest
        /// Whether the message of the day and module lists are printed.
        public var showsMotd = true
        public var earlyInput: Bytes?
        /// `--old-args`.
        public var oldArguments = false
        /// The daemon is reached over a remote shell.
        public var isRemoteShell = false
        /// Handshake limit, seconds; nil waits for ever.
        public var timeoutSeconds: Int?
        public init() {}
    }

    /// How it ended.
    public enum Outcome: Sendable, Equatable {
        /// The binary phase begins; the value is for `SessionEnvironment.handshakeVersion`.
        case connected(remoteVersion: Int32)
        /// The daemon has told all it had to; exit 0.
        case listed
    }

    /// Reads `--early-input`; `who` is named in messages.
    ///
    /// - Throws: exit 5 with rsync's texts.
    public static func readEarlyInput(_ file: Bytes, who: RoleName = .client) throws(TransferFailure) -> Bytes {
        var code: Int32 = 0
        guard let contents = OperatorFile.read(file, limit: Limits.earlyInput + 1, code: &code) else {
            var failure = failure(
                Bytes(text: "rsync: [\(who.rawValue)] failed to open ") + file
                    + Bytes(text: ": \(errnoText(code)) (\(code))"))
            if code == ELOOP { failure.lines.insert(Bytes(untrustedLinkText), at: 0) }
            throw failure
        }
        if contents.count > Limits.earlyInput { throw failure(file + Bytes(" is > 5120 bytes.")) }
        return contents
    }

    /// Checks the path of an operand before connecting.
    public static func checkPath(_ path: Bytes, isRemoteShell: Bool) throws(TransferFailure) {
        if path.first == UInt8(ascii: "/") {
            throw failure(
                Bytes("ERROR: The remote path must start with a module name") + (isRemoteShell ? [] : Bytes(" not a /"))
            )
        }
    }

    /// Runs the text phase. Not a byte of the binary phase is read.
    ///
    /// - Parameter print: receives the lines for standard output, newline included.
    /// - Throws: exit 5 for refusals and broken greetings, 4 without a common digest, 1 for the password file, 10 when
    ///   TLS broke the connection.
    public static func run(
        _ request: Request, over channel: any ByteChannel, print: (Bytes) -> Void
    ) throws(TransferFailure) -> Outcome {
        try checkPath(request.path, isRemoteShell: request.isRemoteShell)
        let lines = HandshakeLines(channel)
        do throws(TransferFailure) {
            return try run(request, lines, print: print)
        } catch {
            guard let reason = lines.tlsReason else { throw error }
            throw TLSError(reason).transferFailure
        }
    }

    private static func run(
        _ request: Request, _ lines: HandshakeLines, print: (Bytes) -> Void
    ) throws(TransferFailure) -> Outcome {
        lines.arm(seconds: request.timeoutSeconds)
        lines.write(Greeting.own(request.protocolVersion))
        let greeting = try readGreeting(lines)
        let version = greeting.negotiated(own: request.protocolVersion)
        var opening: Bytes = []
        if let early = request.earlyInput, !early.isEmpty {
            opening += Bytes(text: "#early_input=\(early.count)\n") + early
        }
        let module = Bytes(request.path.prefix { $0 != UInt8(ascii: "/") })
        lines.write(opening + module + Bytes("\n"))
        while true {
            guard let line = try? lines.line(limit: Limits.clientHandshakeLine) else {
                // Before protocol 25 a list ends with the connection.
                if module.isEmpty && version < 25 { return .listed }
                throw failure(Bytes("rsync: didn't get server startup line"))
            }
            let challenge = Bytes("@RSYNCD: AUTHREQD ")
            if line.hasPrefix(challenge) {
                try answer(Bytes(line[challenge.count...]), greeting, version, request, lines)
            } else if line == Bytes("@RSYNCD: OK") {
                break
            } else if line == Bytes("@RSYNCD: EXIT") {
                return .listed
            } else if line.hasPrefix(Bytes("@ERROR")) {
                throw failure(line)
            } else if request.showsMotd {
                print(line + Bytes("\n"))
            }
        }
        let sent = sendArguments(request, module, version, lines)
        if let show = request.showArguments {
            show(Bytes("sending daemon args: ") + sent.visible.shownAsArguments + [0x0a])
            if let secluded = sent.secluded {
                show(Bytes("protected args: ") + secluded.shownAsArguments + [0x0a])
            }
        }
        let remote =
            greeting.version < request.protocolVersion || greeting.subprotocol != 0 ? version : greeting.version
        return .connected(remoteVersion: remote)
    }

    private static func failure(_ line: Bytes, _ code: ExitCode = .startClientServer) -> TransferFailure {
        TransferFailure(code, lines: [line])
    }

    private static func readGreeting(_ lines: HandshakeLines) throws(TransferFailure) -> Greeting {
        guard let line = try? lines.line(limit: Limits.clientHandshakeLine) else {
            throw failure(Bytes("rsync: did not see server greeting"))
        }
        do throws(Greeting.Problem) {
            return try Greeting(parsing: line)
        } catch {
            switch error {
            case .notAGreeting: throw failure(Bytes("rsync: server sent \"") + line + Bytes("\" rather than greeting"))
            case .noSubprotocol: throw failure(Bytes("rsync: the server omitted the subprotocol value: ") + line)
            case .noDigests: throw failure(Bytes("rsync: the server omitted the digest name list: ") + line)
            }
        }
    }

    private static func answer(
        _ challenge: Bytes, _ greeting: Greeting, _ version: Int32, _ request: Request, _ lines: HandshakeLines
    ) throws(TransferFailure) {
        guard let scheme = AuthenticationScheme.choose(peerList: greeting.digests, protocolVersion: version) else {
            throw TransferFailure(
                .unsupported,
                lines: [
                    Bytes("Failed to negotiate a daemon auth checksum choice."),
                    Bytes("Client daemon auth checksum list (on client): ") + AuthenticationDigest.list,
                    Bytes("Server daemon auth checksum list (on client): ") + (greeting.digests ?? []),
                ])
        }
        let user =
            request.user ?? Variables.value(Bytes("USER")) ?? Variables.value(Bytes("LOGNAME")) ?? Bytes("nobody")
        let secret = try request.password.password()
        lines.write(user + Bytes(" ") + scheme.response(secret: secret, challenge: challenge) + Bytes("\n"))
    }

    // MARK: - Arguments

    /// - Returns: the words that every daemon can see.
    private static func sendArguments(
        _ request: Request, _ module: Bytes, _ version: Int32, _ lines: HandshakeLines
    ) -> (visible: [Bytes], secluded: [Bytes]?) {
        let end: UInt8 = version >= 30 ? 0 : 0x0a
        var message: Bytes = []
        let paths = request.paths.map { protectedPath($0, module, request) }
        var visible = request.arguments
        if request.secludedArguments == nil { visible += [Bytes(".")] + paths }
        for argument in visible where !argument.isEmpty { message += argument + [end] }
        message.append(end)
        let secluded = request.secludedArguments.map { options in
            (options + [Bytes(".")] + paths).map { $0.isEmpty ? Bytes(".") : $0 }
        }
        if let secluded {
            for argument in [Bytes("rsync")] + secluded { message += argument + [0] }
            message.append(0)
        }
        lines.write(message)
        return (visible.filter { !$0.isEmpty }, secluded)
    }

    /// A path so that the daemon takes it for one path and for no option.
    static func protectedPath(_ path: Bytes, _ module: Bytes, _ request: Request) -> Bytes {
        var result = path == module ? path + Bytes("/") : path
        if result.first == UInt8(ascii: "-") { result = Bytes("./") + result }
        if request.oldArguments || request.secludedArguments != nil { return result }
        let separator = [0x20] + module + [UInt8(ascii: "/")]
        var out: Bytes = []
        var index = 0
        while index < result.count {
            if index + separator.count <= result.count,
                result[index..<(index + separator.count)].elementsEqual(separator)
            {
                out += Bytes("[ ]")
            } else {
                out.append(result[index])
            }
            index += 1
        }
        return out
    }
}
