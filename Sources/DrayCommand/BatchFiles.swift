// Dray — the files of --write-batch and --read-batch: opening them, and the run that reads one.
// Layer: Command. Behaviour: chapter 03 §16.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDaemon
import DrayEngine
import DrayFiles
import DrayFilters
import Glibc

/// Opens batch files. Paths of the operator: no symlink of an untrusted user is followed unless the options say so.
enum BatchFiles {
    static func create(
        _ path: Bytes, mode: mode_t, failing code: ExitCode, _ options: TransferOptions
    ) throws(TransferFailure) -> Int32 {
        let descriptor = OperatorFile.open(
            path, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: mode, trusting: options.insecureLinks)
        if descriptor < 0 { throw openError(path, -descriptor, code) }
        return descriptor
    }

    /// Opens a batch file for reading; `-` is standard input.
    static func open(_ path: Bytes, _ options: TransferOptions) throws(TransferFailure) -> Int32 {
        if path == Bytes("-") { return STDIN_FILENO }
        let descriptor = OperatorFile.open(path, flags: O_RDONLY, trusting: options.insecureLinks)
        if descriptor < 0 { throw openError(path, -descriptor, .fileIO) }
        var status = stat()
        let type = fstat(descriptor, &status) == 0 ? status.st_mode & S_IFMT : 0
        if type != S_IFREG && type != S_IFIFO {
            close(descriptor)
            let line = Bytes("Batch file \"") + absolute(path) + Bytes("\" is neither a regular file nor a FIFO")
            throw TransferFailure(.fileIO, lines: [line], role: .unsplitReceiver)
        }
        return descriptor
    }

    private static func openError(_ path: Bytes, _ error: Int32, _ code: ExitCode) -> TransferFailure {
        let reason = "\" open error: \(errnoText(error)) (\(error))"
        let line = Bytes("rsync: [Receiver] Batch file \"") + absolute(path) + Bytes(text: reason)
        let lines = error == ELOOP ? [Bytes(untrustedLinkText), line] : [line]
        return TransferFailure(code, lines: lines, role: .unsplitReceiver)
    }

    private static func absolute(_ path: Bytes) -> Bytes {
        guard path.first != UInt8(ascii: "/"), let text = getcwd(nil, 0) else { return path }
        defer { free(text) }
        return Bytes(UnsafeRawBufferPointer(start: text, count: strlen(text))).appendingComponent(path)
    }

    /// A server writes and reads no batch files, whatever its client says.
    static func reportIgnored(_ client: ClientOptions) {
        if client.onlyWriteBatch { return }
        for (path, kind) in [(client.writeBatch, "write"), (client.readBatch, "read")] where path != nil {
            writeAll(STDERR_FILENO, Bytes(text: "ignoring --\(kind)-batch option sent to server\n"))
        }
    }
}

extension RsyncCommand {
    /// Opens the batch file and the script that applies it, which is written when there is something to apply.
    func openBatch(_ command: inout ParsedCommand, _ operands: Operands) throws(TransferFailure) {
        guard command.options.writesBatch, let path = command.client.writeBatch else { return }
        let rules = try makeFilters(command, command.options, nil)
        if let directory = command.options.partialDirectory { rules.addPartialDirectory(directory) }
        let place = command.operands.last ?? []
        let script = try BatchScript(
            words: command.client.words, destination: RemoteOperand(place)?.path ?? place,
            rules: rules.encodeForScript(),
            isNulSeparated: command.options.fromZero, protocolVersion: command.options.protocolVersion)
        let scriptFile = try BatchFiles.create(
            path + Bytes(".sh"), mode: 0o700, failing: .fileSelection, command.options)
        command.client.batchDescriptor = try BatchFiles.create(
            path, mode: 0o600, failing: .fileIO, command.options)
        writeAll(command.client.batchDescriptor, Session.batchFlags(command.options))
        let text = script.text
        command.client.beginScript = {
            writeAll(scriptFile, text)
            close(scriptFile)
        }
    }

    /// `--read-batch`: applies a batch file to the last operand.
    func runReplay(_ parsed: ParsedCommand) throws(TransferFailure) -> ExitCode {
        var command = parsed
        guard let path = command.client.readBatch else { throw TransferFailure(.syntax, role: .unsplitReceiver) }
        let descriptor = try BatchFiles.open(path, command.options)
        defer { if descriptor != STDIN_FILENO { close(descriptor) } }
        guard let destination = command.operands.last else { throw TransferFailure(.syntax, role: .unsplitReceiver) }
        if RemoteOperand(destination) != nil {
            throw TransferFailure(
                .syntax, "remote destination is not allowed with --read-batch", role: .unsplitReceiver)
        }
        command.options.amSender = false
        let sink = makeSink(command)
        defer { sink.finish() }
        let signals = SignalWatch()
        let session = Session(
            options: command.options, channel: BatchChannel(descriptor),
            filters: try makeFilters(command, command.options, sink), environment: try makeEnvironment(command),
            sink: sink)
        signals.attach(session)
        let code = EngineClient.replay(session, destination: destination)
        finishClient(code, command, sink)
        return code
    }
}
