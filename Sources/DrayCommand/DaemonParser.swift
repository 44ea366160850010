// Dray — the option table as a daemon uses it for its clients' arguments.
// Layer: Command. Behaviour: chapter 07 §9.7, §14.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDaemon
import Glibc

/// Parses the arguments of a daemon's client.
public enum DaemonParser {
    /// Rows for `refuse options`: names of one row mean the same, its negations the opposite.
    private static let rows: [DrayDaemon.OptionRow] = OptionTable.transfer.enumerated().flatMap { index, row in
        row.names.map { DrayDaemon.OptionRow(long: Bytes(text: $0), letter: row.short, meaning: index * 2) }
            + row.negations.map { DrayDaemon.OptionRow(long: Bytes(text: $0), meaning: index * 2 + 1) }
    }

    /// The parser that `rsyncServerMain`, `daemonMain` and `daemonConnectionMain` take.
    public static let parse: ServerParser = { request in
        let refused = RefusedOptions(
            request.refuseOptions, rows: rows, hasCharset: request.hasCharset, log: request.log)
        var context = ParseContext()
        context.fromNetwork = true
        context.isRefused = { names, _ in names.contains { refused.refuses(Bytes(text: $0)) } }
        var fallback = TransferOptions()
        fallback.amServer = true
        fallback.amSender = request.arguments.contains(Bytes("--sender"))
        var use = RefusedOptions.Use()
        use.archive = request.arguments.contains(Bytes("-a")) || request.arguments.contains(Bytes("--archive"))
        use.iconvGiven = request.arguments.contains { $0.hasPrefix(Bytes("--iconv=")) }
        do throws(TransferFailure) {
            var parser = OptionParser(context)
            let result = try parser.parse(request.arguments + [Bytes(".")])
            guard case .run(let command) = result else {
                return .failure(.init(Bytes("Error parsing options: option may be supported on client but not on server?"), options: fallback))
            }
            var options = command.options
            if command.awaitsSecludedArguments {
                options.secludedArguments = true
                // The second list brings the rest; only then is the whole parsed.
                if !request.isComplete { return .success(ParsedServer(options: options)) }
                guard case .run(let whole) = try parser.parseSecluded([Bytes(".")]) else {
                    return .failure(.init(Bytes("Error parsing options"), options: fallback))
                }
                options = whole.options
            }
            options.verbosity += request.verbosity
            if options.tempDirectory == nil { options.tempDirectory = request.tempDirectory }
            if let message = refused.checkImplied(use, &options) { return .failure(.init(message, options: options)) }
            return .success(ParsedServer(options: options))
        } catch {
            var message = error.lines.first ?? Bytes("Error parsing options")
            if message.hasPrefix(Bytes("rsync: ")) { message.removeFirst(7) }
            return .failure(.init(message, options: fallback))
        }
    }
}

/// The `rsync-server` program.
public func rsyncServerCommand() -> Int32 {
    let words = CommandLine.unsafeArgv
    var arguments: [Bytes] = []
    for index in 1..<max(1, Int(CommandLine.argc)) {
        if let word = words[index] { arguments.append(Bytes(UnsafeRawBufferPointer(start: word, count: strlen(word)))) }
    }
    return rsyncServerMain(arguments, parser: DaemonParser.parse)
}
