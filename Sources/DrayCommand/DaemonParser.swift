// Dray — reads the arguments of a daemon's client with rsync's option table.
// Layer: Command. Behaviour: chapter 07 §9.7, §14.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDaemon
import DrayFilters

/// Runs the `rsync-server` program.
public func rsyncServerProgram(_ arguments: [Bytes]) -> Int32 {
    rsyncServerMain(arguments, parser: DaemonParser.parse)
}

/// The parser that the daemon asks, because only this module knows the option table.
enum DaemonParser {
    /// One entry per spelling; spellings of one option share a meaning, its opposite has another.
    private static let rows: [DrayDaemon.OptionRow] = OptionTable.transfer.flatMap { row -> [DrayDaemon.OptionRow] in
        let meaning = Int(row.id.rawValue) * 2
        let names = row.names.enumerated().map { position, name in
            DrayDaemon.OptionRow(long: Bytes(text: name), letter: position == 0 ? row.short : nil, meaning: meaning)
        }
        let nameless = DrayDaemon.OptionRow(long: RefusedOptions.nameless, letter: row.short, meaning: meaning)
        return (names.isEmpty ? [nameless] : names)
            + row.negations.map { DrayDaemon.OptionRow(long: Bytes(text: $0), meaning: meaning + 1) }
    }

    /// Parses a client's option words.
    static func parse(_ request: ServerParseRequest) -> Result<ParsedServer, ServerParseFailure> {
        let refused = RefusedOptions(
            request.refuseOptions, rows: rows, hasCharset: request.hasCharset, log: request.log)
        var context = ParseContext()
        context.fromNetwork = true
        context.isRefused = { names, letter in
            if names.isEmpty { return letter.map { refused.refuses(letter: $0) } ?? false }
            return names.contains { refused.refuses(Bytes(text: $0)) }
        }
        var parser = OptionParser(context)
        do throws(TransferFailure) {
            var words = request.arguments
            if request.verbosity > 0 {
                words.append(Bytes("-") + Bytes(repeating: UInt8(ascii: "v"), count: request.verbosity))
            }
            let result: ParseResult
            if request.isComplete {
                _ = try parser.parse([Bytes("--server"), Bytes("-s")])
                result = try parser.parseSecluded(words)
            } else {
                result = try parser.parse(words)
            }
            guard case .run(let command) = result else {
                return .failure(
                    ServerParseFailure(
                        Bytes("Error parsing options: option may be supported on client but not on server?"),
                        options: partial(parser, request)))
            }
            var options = command.options
            if options.tempDirectory == nil { options.tempDirectory = request.tempDirectory }
            if command.awaitsSecludedArguments { options.secludedArguments = true }
            var use = RefusedOptions.Use()
            use.archive = command.client.given.contains("archive")
            use.iconvGiven = words.contains { $0.hasPrefix(Bytes("--iconv=")) }
            if let message = refused.checkImplied(use, &options) {
                return .failure(ServerParseFailure(message, options: options))
            }
            let filters = command.client.filters
            return .success(
                ParsedServer(options: options) { (list) throws(TransferFailure) in
                    try RsyncCommand.add(filters, to: list)
                })
        } catch {
            var text =
                error.lines.first
                ?? Bytes("Error parsing options: option may be supported on client but not on server?")
            if text.hasPrefix(Bytes("rsync: ")) { text = Bytes(text.dropFirst(7)) }
            return .failure(ServerParseFailure(text, options: partial(parser, request)))
        }
    }

    /// Options of a refused request: the set-up is completed with what stands before the refused word.
    private static func partial(_ parser: OptionParser, _ request: ServerParseRequest) -> TransferOptions {
        var options = parser.optionsSoFar
        options.amServer = true
        options.amSender = request.arguments.contains(Bytes("--sender"))
        return options
    }
}
