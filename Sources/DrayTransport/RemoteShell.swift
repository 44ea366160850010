// Dray — starting the remote shell (or any program) and talking on its standard input and output.
// Layer: Transport. Behaviour: chapter 01 §2.3, §2.4.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import Glibc

/// The remote shell: its command line and its process.
public enum RemoteShell {
    /// Most words of a command.
    private static let mostWords = 860

    // MARK: - Command line

    /// Splits a `--rsh` value: blanks separate words, quotes of either kind join, a doubled quote is a literal one.
    public static func split(_ command: Bytes) throws(TransferFailure) -> [Bytes] {
        var words: [Bytes] = []
        var word: Bytes?
        var quote: UInt8?
        var index = 0
        while index < command.count {
            let byte = command[index]
            index += 1
            if let open = quote {
                if byte != open {
                    word!.append(byte)
                } else if index < command.count, command[index] == open {
                    word!.append(open)
                    index += 1
                } else {
                    quote = nil
                }
            } else if byte == UInt8(ascii: " ") {
                if let finished = word { words.append(finished) }
                word = nil
            } else {
                if word == nil { word = [] }
                if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") { quote = byte } else { word!.append(byte) }
            }
        }
        if let quote {
            throw TransferFailure(
                .syntax, lines: [Bytes("Missing trailing-") + [quote] + Bytes(" in remote-shell command.")])
        }
        if let word { words.append(word) }
        guard words.count <= mostWords else { throw overflow }
        return words
    }

    /// Builds the words to execute.
    ///
    /// - Parameters:
    ///   - shell: the split command.
    ///   - daemonOverShell: leaves `-l` out if the command has one with a value.
    ///   - serverArguments: everything after the program; already escaped.
    public static func arguments(
        shell: [Bytes], user: Bytes?, host: Bytes, family: AddressFamily = .any, rsyncPath: Bytes = Bytes("rsync"),
        daemonOverShell: Bool = false, serverArguments: [Bytes]
    ) throws(TransferFailure) -> [Bytes] {
        if host.first == UInt8(ascii: "-") {
            throw TransferFailure(.syntax, "Invalid remote host: hostnames may not start with '-'.")
        }
        var words = shell
        if let user, !(daemonOverShell && hasLoginOption(shell)) { words += [Bytes("-l"), user] }
        if family != .any, shell.first?.splitLastComponent.name == Bytes("ssh") {
            words.append(family == .ipv4 ? Bytes("-4") : Bytes("-6"))
        }
        words += [host, rsyncPath]
        words += daemonOverShell ? [Bytes("--server"), Bytes("--daemon"), Bytes(".")] : serverArguments
        guard words.count <= mostWords else { throw overflow }
        return words
    }

    /// Whether the command is a shell that implies `--blocking-io`.
    public static func impliesBlockingIO(_ shell: [Bytes]) -> Bool {
        let name = shell.first?.splitLastComponent.name
        return name == Bytes("rsh") || name == Bytes("remsh")
    }

    private static var overflow: TransferFailure {
        TransferFailure(.syntax, "internal: args[] overflowed in do_cmd()")
    }

    private static func hasLoginOption(_ shell: [Bytes]) -> Bool {
        zip(shell, shell.dropFirst()).contains { $0 == Bytes("-l") && $1.first != UInt8(ascii: "-") }
    }

    // MARK: - Process

    /// Starts a program found along PATH, connected by pipes; its standard error is ours.
    ///
    /// - Parameters:
    ///   - environment: `NAME=VALUE` entries that replace those of this process.
    ///   - withoutOutput: the program gets no standard output.
    /// - Throws: exit 14, `Failed to exec …`.
    public static func spawn(
        arguments: [Bytes], environment: [Bytes] = [], who: RoleName = .client, withoutOutput: Bool = false
    ) throws(TransferFailure) -> (channel: PipeChannel, child: ChildProcess) {
        var toChild: [Int32] = [-1, -1]
        var fromChild: [Int32] = [-1, -1]
        guard dray_pipe(&toChild) == 0 else { throw systemFailure("pipe", errno, who) }
        guard dray_pipe(&fromChild) == 0 else {
            let code = errno
            for descriptor in toChild { close(descriptor) }
            throw systemFailure("pipe", code, who)
        }
        let result = start(arguments, environment, input: toChild[0], output: withoutOutput ? -1 : fromChild[1])
        close(toChild[0])
        close(fromChild[1])
        switch result {
        case .success(let child):
            return (PipeChannel(readDescriptor: fromChild[0], writeDescriptor: toChild[1], exclusive: true), child)
        case .failure(let failure):
            close(fromChild[0])
            close(toChild[1])
            throw execFailure(arguments, failure.code, who)
        }
    }

    /// Runs RSYNC_CONNECT_PROG in place of a TCP connection.
    ///
    /// - Parameters:
    ///   - program: `%H` is the host in single quotes, `%%` a percent sign.
    ///   - shell: value of RSYNC_SHELL.
    /// - Returns: a connection that is at its end if the shell does not start.
    /// - Throws: exit 10 if the host is not safe to stand in a shell command.
    public static func connectProgram(
        _ program: Bytes, host: Bytes, shell: Bytes? = nil, who: RoleName = .client
    ) throws(TransferFailure) -> (channel: SocketChannel, child: ChildProcess?) {
        let command = try expand(program, host: host)
        var descriptors: [Int32] = [-1, -1]
        // Compatibility: a TCP connection, so that the program finds a peer with an address.
        guard dray_tcp_pair(&descriptors) == 0 else { throw systemFailure("socketpair", errno, who) }
        let words = [shell ?? Bytes("sh"), Bytes("-c"), command]
        let result = start(words, [], input: descriptors[1], output: descriptors[1])
        close(descriptors[1])
        switch result {
        case .success(let child): return (SocketChannel(descriptor: descriptors[0]), child)
        case .failure: return (SocketChannel(descriptor: descriptors[0]), nil)
        }
    }

    static func expand(_ program: Bytes, host: Bytes) throws(TransferFailure) -> Bytes {
        let percent = UInt8(ascii: "%")
        guard program.contains(percent) else { return program }
        let unsafeFirst = Bytes("-+~%")
        let allowed = Bytes("._:%+~-")
        let isSafe = host.allSatisfy { byte in
            byte.isASCIIDigit || (0x61...0x7a).contains(byte.asciiLowercased) || allowed.contains(byte)
        }
        guard let first = host.first, !unsafeFirst.contains(first), isSafe else {
            throw TransferFailure(.socketIO, "unsafe host characters for RSYNC_CONNECT_PROG")
        }
        var command: Bytes = []
        var index = 0
        while index < program.count {
            let byte = program[index]
            let next = index + 1 < program.count ? program[index + 1] : 0
            index += 1
            guard byte == percent, next == percent || next == UInt8(ascii: "H") else {
                command.append(byte)
                continue
            }
            index += 1
            // No quote can be in the host: only the characters above pass.
            command += next == percent ? [percent] : Bytes("'") + host + Bytes("'")
        }
        return command
    }

    private struct StartFailure: Error { var code: Int32 }

    private static func start(
        _ arguments: [Bytes], _ additions: [Bytes], input: Int32, output: Int32
    ) -> Result<ChildProcess, StartFailure> {
        guard !arguments.isEmpty else { return .failure(StartFailure(code: ENOENT)) }
        var argv = arguments.map { word in word.withCString { strdup($0) } }
        argv.append(nil)
        var envp = mergedEnvironment(additions).map { entry in entry.withCString { strdup($0) } }
        envp.append(nil)
        defer { for pointer in argv + envp { free(pointer) } }
        var identifier: pid_t = 0
        let code = dray_spawn(argv, envp, input, output, &identifier)
        return code == 0 ? .success(ChildProcess(identifier)) : .failure(StartFailure(code: code))
    }

    /// Our environment with additions, without a display: a remote shell is not to ask for passwords there unless the
    /// user has named a program for that.
    private static func mergedEnvironment(_ additions: [Bytes]) -> [Bytes] {
        func name(_ entry: Bytes) -> ArraySlice<UInt8> { entry.prefix { $0 != UInt8(ascii: "=") } }
        var merged = additions
        var next = environ
        while let entry = next.pointee {
            let bytes = Bytes(UnsafeRawBufferPointer(start: entry, count: strlen(entry)))
            let isHidden = name(bytes).elementsEqual(Bytes("DISPLAY")) && getenv("SSH_ASKPASS") == nil
            if !isHidden && !additions.contains(where: { name($0) == name(bytes) }) { merged.append(bytes) }
            next += 1
        }
        return merged
    }

    private static func execFailure(_ words: [Bytes], _ code: Int32, _ who: RoleName) -> TransferFailure {
        TransferFailure(
            .ipc,
            lines: [
                Bytes(text: "rsync: [\(who.rawValue)] Failed to exec ") + (words.first ?? [])
                    + Bytes(text: ": \(errorText(code)) (\(code))")
            ], role: who)
    }

    private static func systemFailure(_ call: String, _ code: Int32, _ who: RoleName) -> TransferFailure {
        TransferFailure(.ipc, "rsync: [\(who.rawValue)] \(call): \(errorText(code)) (\(code))", role: who)
    }
}

/// A program that was started; its status is collected once.
public final class ChildProcess: @unchecked Sendable {
    /// How a program ended.
    public enum Status: Sendable, Equatable {
        case exited(Int32)
        case signalled(Int32)
        /// It could not be waited for.
        case lost

        /// The code that this end contributes to ours; the larger one wins.
        public var exitCode: ExitCode {
            switch self {
            case .exited(let code): ExitCode(rawValue: code)
            case .signalled: .commandKilled
            case .lost: .waitChild
            }
        }
    }

    public let identifier: pid_t
    private let status = Monitor<Status?>(nil)

    init(_ identifier: pid_t) { self.identifier = identifier }

    /// Waits for the program to end; later calls give the same answer.
    public func wait() -> Status {
        // Wait without collecting, so that `signal` can run meanwhile and never meets a number that was given away.
        var info = siginfo_t()
        _ = retrying { waitid(P_PID, id_t(identifier), &info, WEXITED | WNOWAIT) }
        return status.withLock { known in
            if let known { return known }
            var raw: Int32 = 0
            let result: Status
            if retrying({ waitpid(identifier, &raw, 0) }) != identifier {
                result = .lost
            } else if dray_wait_exited(raw) != 0 {
                result = .exited(dray_wait_exit_status(raw))
            } else {
                result = .signalled(dray_wait_signal(raw))
            }
            known = result
            return result
        }
    }

    /// Waits for the end for a while; nil if the program still runs.
    public func wait(milliseconds: Int) -> Status? {
        var left = milliseconds
        while true {
            var info = siginfo_t()
            let code = retrying { waitid(P_PID, id_t(identifier), &info, WEXITED | WNOWAIT | WNOHANG) }
            // Safe: the member is set by waitid, to 0 while the program runs.
            if code != 0 || info.si_signo != 0 { return wait() }
            if left <= 0 { return nil }
            usleep(2_000)
            left -= 2
        }
    }

    /// Sends a signal, unless the status was collected already.
    public func signal(_ number: Int32) {
        status.withLock { known in
            if known == nil { kill(identifier, number) }
        }
    }
}
