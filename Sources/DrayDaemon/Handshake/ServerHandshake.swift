// Dray — the daemon's half of the text phase, from greeting to a module that the client may use.
// Layer: Daemon. Wire format: chapter 01 §3; chapter 07 §5, §6, §8, §10.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import Glibc

/// The session ends here; everything there is to say was said and logged.
struct HandshakeEnd: Error, Equatable {
    var code: ExitCode
    /// The client went away before it asked for anything; nothing is logged.
    var isProbe = false
}

/// What is known about a connection before the first byte.
struct ClientConnection: Sendable {
    /// Numeric address.
    var address: Bytes
    /// Reached through a remote shell: no deadline, no "allowed access" line.
    var isRemoteShell = false
    var protocolVersion = ProtocolVersion.newest
    /// Looked-up names are exported for `%VAR%` and hooks; off where other threads may read the environment.
    var exportsEnvironment = true
}

/// A module whose use was granted.
struct GrantedModule: Sendable {
    var parameters: ModuleParameters
    /// Empty for anonymous clients.
    var user: Bytes
    var hostName: Bytes
    var address: Bytes
    var remoteVersion: Int32
    /// The protocol that results from both greetings.
    var protocolVersion: Int32
    var earlyInput: Bytes
}

/// Serves the text phase up to (not including) `@RSYNCD: OK`.
struct ServerHandshake {
    let configuration: DaemonConfiguration
    let connection: ClientConnection
    let lines: HandshakeLines
    let log: DaemonLog
    /// Finds names; replaced in tests.
    var lookUp: (Bytes, (Bytes) -> Void) -> Bytes = { ReverseLookup.name(of: $0, log: $1) }
    private static let longestDeadline = 60

    init(configuration: DaemonConfiguration, connection: ClientConnection, lines: HandshakeLines, log: DaemonLog) {
        self.configuration = configuration
        self.connection = connection
        self.lines = lines
        self.log = log
    }

    /// Seconds of a handshake deadline under a `timeout` parameter.
    static func deadline(_ timeout: Int) -> Int {
        (1...longestDeadline).contains(timeout) ? timeout : longestDeadline
    }

    func run() throws(HandshakeEnd) -> GrantedModule {
        if !connection.isRemoteShell { lines.arm(seconds: Self.deadline(configuration.defaults.timeout)) }
        var realName = ReverseLookup.undetermined
        if configuration.defaults.reverseLookup || configuration.modules.contains(where: \.reverseLookup) {
            realName = lookUp(connection.address) { log.line($0) }
        }
        let globalName = configuration.defaults.reverseLookup ? realName : ReverseLookup.undetermined
        let greeting = try exchangeGreetings(globalName)
        let version = greeting.negotiated(own: connection.protocolVersion)
        let (request, earlyInput) = try readRequest()
        if request.isEmpty || request == Bytes("#list") {
            log.line(Bytes("module-list request from ") + client(globalName))
            try sendList(version)
        }
        if request.first == UInt8(ascii: "#") {
            throw refuse(Bytes("Unknown command '") + request + Bytes("'"))
        }
        guard let module = configuration.module(named: request) else {
            log.line(Bytes("unknown module '") + request + Bytes("' tried from ") + client(globalName))
            throw refuse(Bytes("Unknown module '") + request + Bytes("'"))
        }
        let name = module.reverseLookup ? realName : ReverseLookup.undetermined
        var granted = GrantedModule(
            parameters: module, user: [], hostName: name, address: connection.address, remoteVersion: greeting.version,
            protocolVersion: version, earlyInput: earlyInput)
        do throws(TransferFailure) {
            try expand(&granted.parameters)
        } catch {
            for line in error.lines { log.line(line, level: .warning) }
            throw HandshakeEnd(code: error.code)
        }
        try admit(&granted)
        if !connection.isRemoteShell { lines.arm(seconds: Self.deadline(module.timeout)) }
        try authenticate(&granted, greeting)
        lines.arm(seconds: nil)
        try refuseMissingFeatures(granted.parameters)
        return granted
    }

    private func client(_ name: Bytes) -> Bytes { name + Bytes(" (") + connection.address + Bytes(")") }

    /// Sends an `@ERROR` line.
    private func refuse(_ text: Bytes, code: ExitCode = ExitCode(rawValue: 255)) -> HandshakeEnd {
        lines.write(Bytes("@ERROR: ") + text + Bytes("\n"))
        return HandshakeEnd(code: code)
    }

    private func readLine(_ limit: Int) throws(HandshakeEnd) -> Bytes {
        do throws(HandshakeReadError) { return try lines.line(limit: limit) } catch { throw end(error) }
    }

    /// Logs an expired deadline; other losses of the client are silent.
    private func end(_ error: HandshakeReadError) -> HandshakeEnd {
        if error == .timedOut {
            log.line("[Receiver] daemon handshake timeout -- exiting", level: .warning)
            return HandshakeEnd(code: .timeout)
        }
        return HandshakeEnd(code: ExitCode(rawValue: 255))
    }

    private func export(_ name: StaticString, _ value: Bytes) {
        if connection.exportsEnvironment { Variables.set(name, value) }
    }

    // MARK: - Greeting and request

    private func exchangeGreetings(_ hostName: Bytes) throws(HandshakeEnd) -> Greeting {
        var opening = Greeting.own(connection.protocolVersion)
        let motd = (try? Variables.expand(configuration.global.motdFile)) ?? []
        if !motd.isEmpty {
            var code: Int32 = 0
            opening += (OperatorFile.read(motd, code: &code) ?? []) + Bytes("\n")
        }
        guard lines.write(opening) else { throw HandshakeEnd(code: .socketIO, isProbe: true) }
        let line: Bytes
        do throws(HandshakeReadError) {
            line = try lines.line(limit: Limits.handshakeLine)
        } catch {
            var ended = end(error)
            ended.isProbe = error == .closed
            if !ended.isProbe { log.line(Bytes("connect from ") + client(hostName)) }
            throw ended
        }
        log.line(Bytes("connect from ") + client(hostName))
        do throws(Greeting.Problem) {
            return try Greeting(parsing: line)
        } catch {
            switch error {
            case .notAGreeting: throw refuse(Bytes("protocol startup error"))
            case .noSubprotocol: throw refuse(Bytes("your client omitted the subprotocol value: ") + line)
            case .noDigests: throw refuse(Bytes("your client omitted the digest name list: ") + line)
            }
        }
    }

    private func readRequest() throws(HandshakeEnd) -> (request: Bytes, earlyInput: Bytes) {
        let prefix = Bytes("#early_input=")
        var earlyInput: Bytes = []
        while true {
            let line = try readLine(Limits.handshakeLine)
            guard line.hasPrefix(prefix) else { return (line, earlyInput) }
            let count = ParameterValue.leadingInteger(Bytes(line[prefix.count...]))
            guard (1...Limits.earlyInput).contains(count) else { throw refuse(Bytes("invalid early_input length")) }
            do throws(HandshakeReadError) { earlyInput = try lines.block(count) } catch { throw end(error) }
        }
    }

    private func sendList(_ version: Int32) throws(HandshakeEnd) {
        var text: Bytes = []
        for module in configuration.modules where module.list {
            let padding = Bytes(repeating: 0x20, count: max(0, 15 - module.name.count))
            let comment = (try? Variables.expand(module.comment)) ?? module.comment
            text += module.name + padding + Bytes("\t") + comment + Bytes("\n")
        }
        if version >= 25 { text += Bytes("@RSYNCD: EXIT\n") }
        lines.write(text)
        throw HandshakeEnd(code: ExitCode(rawValue: 255))
    }

    // MARK: - Access

    /// Expands the values that are needed before the user is known.
    private func expand(_ module: inout ModuleParameters) throws(TransferFailure) {
        export("RSYNC_MODULE_NAME", module.name)
        export("RSYNC_HOST_ADDR", connection.address)
        module.hostsAllow = try Variables.expand(module.hostsAllow)
        module.hostsDeny = try Variables.expand(module.hostsDeny)
        module.lockFile = try Variables.expand(module.lockFile)
        module.authUsers = try Variables.expand(module.authUsers)
        module.authDigest = try Variables.expand(module.authDigest)
    }

    private func admit(_ granted: inout GrantedModule) throws(HandshakeEnd) {
        let module = granted.parameters
        let access = HostAccess(
            allow: module.hostsAllow, deny: module.hostsDeny, forwardLookup: module.forwardLookup,
            log: { log.line($0, level: .warning) })
        let permitted = access.permits(address: connection.address, hostName: &granted.hostName)
        export("RSYNC_HOST_NAME", granted.hostName)
        let place = module.name + Bytes(" from ") + client(granted.hostName)
        guard permitted else {
            log.line(Bytes("rsync denied on module ") + place)
            throw refuse(
                module.list ? Bytes("access denied to ") + place : Bytes("Unknown module '") + module.name + Bytes("'"))
        }
        if !connection.isRemoteShell { log.line(Bytes("rsync allowed access on module ") + place) }
        switch ConnectionSlots.claim(lockFile: module.lockFile, limit: module.maxConnections) {
        case .claimed, .unlimited: return
        case .full:
            let text = Bytes(text: "max connections (\(module.maxConnections)) reached")
            log.line(text)
            throw refuse(text + Bytes(" -- try again later"))
        case .failed(let code):
            log.systemError(Bytes("failed to open lock file ") + module.lockFile, code)
            throw refuse(Bytes("failed to open lock file"))
        }
    }

    // MARK: - Authentication

    private func authenticate(_ granted: inout GrantedModule, _ greeting: Greeting) throws(HandshakeEnd) {
        let module = granted.parameters
        if AuthorizedUsers.tokens(module.authUsers).isEmpty {
            export("RSYNC_USER_NAME", [])
            return
        }
        let place = Bytes("auth failed on module ") + module.name + Bytes(" from ") + client(granted.hostName)
        let scheme = AuthenticationScheme.choose(
            peerList: greeting.digests, protocolVersion: granted.protocolVersion)
        guard let scheme else {
            let text =
                Bytes("your client does not support one of our daemon-auth checksums: ") + AuthenticationDigest.list
            log.line(place + Bytes(": no common daemon-auth checksum"), level: .warning)
            throw refuse(text, code: .unsupported)
        }
        func fail(_ tail: Bytes) -> HandshakeEnd {
            log.line(place + tail)
            return refuse(Bytes("auth failed on module ") + module.name)
        }
        if !module.authDigest.isEmpty {
            guard let floor = AuthenticationDigest(name: module.authDigest) else {
                throw fail(
                    Bytes(": the configured 'auth digest = ") + module.authDigest
                        + Bytes("' is not a supported digest on this build"))
            }
            if scheme.digest.rank > floor.rank {
                throw fail(
                    Bytes(
                        text:
                            ": negotiated auth digest \(scheme.digest.rawValue) is weaker than the required 'auth digest = "
                    )
                        + module.authDigest + Bytes("'"))
            }
        }
        let challenge = scheme.challenge(address: connection.address) { log.line($0, level: .warning) }
        lines.write(Bytes("@RSYNCD: AUTHREQD ") + challenge + Bytes("\n"))
        let line: Bytes
        do throws(HandshakeReadError) {
            line = try lines.line(limit: Limits.clientHandshakeLine)
        } catch {
            if error == .timedOut { throw end(error) }
            throw fail(Bytes(": invalid challenge response"))
        }
        guard let space = line.firstIndex(of: 0x20) else { throw fail(Bytes(": invalid challenge response")) }
        let user = Bytes(line[..<space])
        let rules = AuthorizedUsers(
            users: module.authUsers, secretsFile: (try? Variables.expand(module.secretsFile)) ?? [],
            strictModes: module.strictModes, log: { log.line($0, level: .warning) })
        switch rules.check(user: user, response: Bytes(line[(space + 1)...]), challenge: challenge, scheme: scheme) {
        case .refused(let reason): throw fail(Bytes(" for ") + user + Bytes(": ") + Bytes(reason.text))
        case .accepted(let readOnly):
            granted.user = user
            if let readOnly { granted.parameters.readOnly = readOnly }
            export("RSYNC_USER_NAME", user)
        }
    }

    // MARK: - Features

    /// A parameter that would have to be ignored closes the module instead: silence could be a security hole.
    private func refuseMissingFeatures(_ module: ModuleParameters) throws(HandshakeEnd) {
        let missing: [(StaticString, Bool)] = [
            ("early exec", !module.earlyExec.isEmpty), ("pre-xfer exec", !module.preXferExec.isEmpty),
            ("post-xfer exec", !module.postXferExec.isEmpty), ("name converter", !module.nameConverter.isEmpty),
        ]
        guard let first = missing.first(where: \.1) else { return }
        let text =
            Bytes("module ") + module.name + Bytes(" needs '") + Bytes(first.0) + Bytes("', which this server lacks")
        log.line(text, level: .warning)
        throw refuse(text)
    }
}
