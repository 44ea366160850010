// Dray — a transfer over a remote shell, and what the shell's end means for ours.
// Layer: Command. Behaviour: chapter 01 §2.3, §4; chapter 05 §2.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayEngine
import DrayTransport
import Glibc

extension RsyncCommand {
    func runShell(
        _ command: ParsedCommand, _ operands: Operands, _ sink: TerminalSink, _ signals: SignalWatch
    ) throws(TransferFailure) -> ExitCode {
        guard let remote = operands.remote else { return .syntax }
        let isPush = operands.direction == .push
        let paths = isPush ? [operands.destination ?? Bytes(".")] : operands.sources
        let vector = try ServerArguments(command.options, command.client, pushing: isPush, paths: paths)
        let words = try RemoteShell.arguments(
            shell: try Self.shellWords(command.client), user: remote.user, host: remote.host,
            family: command.client.family.transport, rsyncPath: command.client.rsyncPath,
            serverArguments: vector.visible)
        if command.options.debug[.cmd] > 1 {
            for line in Self.commandDetails(remote, paths[0], words) { sink.handle(.message(.notice, line)) }
        }
        if command.options.debug[.cmd] > 0 {
            let line = Bytes("opening connection using: ") + words.shownAsArguments
            sink.handle(.message(.notice, line + [0x0a]))
        }
        let who: RoleName = isPush ? .sender : .unsplitReceiver
        let (channel, child) = try Self.startShell(words, who)
        if let bytes = vector.secludedBytes(try Self.conversion(command)) {
            if command.options.debug[.cmd] > 0, let secluded = vector.secluded {
                let line = Bytes("protected args: ") + secluded.shownAsArguments
                sink.handle(.message(.notice, line + [0x0a]))
            }
            try? channel.write(bytes)
        }
        var environment = SessionEnvironment()
        environment.shellExit = { code in Self.codeAtEnd(code, child) }
        let code = try runSession(command, operands, channel, environment, sink, signals)
        let isOrderly = !sink.exit.isTold
        let (word, name): (DebugLevels.Flag, String) = isPush ? (.exit, "client_run") : (.recv, "client_run2")
        if isOrderly && command.options.debug[word] >= (isPush ? 2 : 1) {
            sink.handle(.message(.info, Bytes(text: "\(name) waiting on \(child.identifier)\n")))
        }
        channel.closeWriting()
        guard isOrderly else { return Self.codeAfterFailure(code, child) }
        let other = child.wait().exitCode
        if isPush || other.rawValue > sink.exit.given.rawValue { sink.note(exitOf: other) }
        return Self.finalCode(code, child)
    }

    static func shellWords(_ client: ClientOptions) throws(TransferFailure) -> [Bytes] {
        try RemoteShell.split(client.rsh ?? environmentValue("RSYNC_RSH") ?? Bytes("ssh"))
    }

    /// Starts the remote shell. rsync notices in a process of its own that there is none, and then that it is gone.
    private static func startShell(
        _ words: [Bytes], _ who: RoleName
    ) throws(TransferFailure) -> (channel: PipeChannel, child: ChildProcess) {
        do throws(TransferFailure) {
            return try RemoteShell.spawn(
                arguments: words, who: who, withoutOutput: StandardDescriptors.breakPipes)
        } catch {
            var failure = error
            let closed = "rsync: connection unexpectedly closed (0 bytes received so far) [\(who.rawValue)]"
            failure.lines += [Reporter.errorLine(error.code, role: who), Bytes(text: closed)]
            throw failure
        }
    }

    // MARK: - The end

    private static let broken: Set<ExitCode> = [.socketIO, .protocolStream, .signal, .timeout]

    /// The code of a session that has failed, before it is told: a shell that has just ended knows better.
    private static func codeAtEnd(_ code: ExitCode, _ child: ChildProcess) -> ExitCode {
        guard code == .socketIO || code == .protocolStream || code == .protocolIncompatible else { return code }
        // rsync looks only once. Its connection was closed by the end of the shell, which is then a matter of moments.
        guard case .exited(let own) = child.wait(milliseconds: 100) else { return code }
        return ExitCode(rawValue: max(code.rawValue, own))
    }

    /// The code of a session that has failed and said so: the shell is told to end, and not waited for.
    static func codeAfterFailure(_ code: ExitCode, _ child: ChildProcess) -> ExitCode {
        if broken.contains(code) || code == .protocolIncompatible { return finalCode(code, child) }
        // That it has lost its connection by now is no news.
        if child.wait(milliseconds: 0) == nil { child.signal(SIGUSR1) }
        return code
    }

    /// The greater of our code and the remote shell's. After a failure the shell is told to end, and not waited for.
    static func finalCode(_ code: ExitCode, _ child: ChildProcess) -> ExitCode {
        guard broken.contains(code) else {
            let other = child.wait().exitCode
            // What we refused is not the remote side's broken stream.
            if code == .protocolIncompatible && other == .protocolStream { return code }
            return ExitCode(rawValue: max(code.rawValue, other.rawValue))
        }
        if child.wait(milliseconds: 0) == nil { child.signal(SIGUSR1) }
        return code
    }

    // MARK: - Words as they are shown

    static func commandDetails(_ remote: RemoteOperand?, _ path: Bytes, _ words: [Bytes]) -> [Bytes] {
        let null = Bytes("<NULL>")
        let user = remote?.user ?? null
        let place =
            Bytes("cmd=<NULL> machine=") + (remote?.host ?? null) + Bytes(" user=") + user + Bytes(" path=") + path + [
                0x0a
            ]
        var list = Bytes()
        for (index, word) in words.enumerated() { list += Bytes(text: "cmd[\(index)]=") + word + [0x20] }
        return [place, list + [0x0a]]
    }
}
