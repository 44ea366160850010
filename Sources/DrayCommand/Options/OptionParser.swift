// Dray — reading a command line word by word with the option table.
// Layer: Command. Behaviour: chapter 05 §1, chapter 01 §4, §8.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDaemon
import Glibc

/// The value of an environment variable, as bytes.
public func environmentValue(_ name: String) -> Bytes? {
    guard let value = getenv(name) else { return nil }
    return Bytes(UnsafeRawBufferPointer(start: value, count: strlen(value)))
}

/// Parses command lines of client, server and daemon.
public struct OptionParser {
    private let context: ParseContext
    private let index: OptionIndex
    private var state: OptionState
    /// Level of `--debug=exit` so far.
    var exitDebug: Int { state.debug[.exit] ?? 0 }
    /// Whether `-8` has been read.
    var printsEightBits: Bool { state.options.eightBitOutput }
    /// What the words before a faulty one have set.
    var optionsSoFar: TransferOptions {
        var options = state.options
        options.recursive = state.recursion > 0
        options.compress = state.compressCount > 0
        // A second -z chooses only when all words have been read.
        options.compressChoice = state.compressCount > 1 ? nil : state.compressMethod
        return options
    }
    /// Who finds fault with the words.
    var role: RoleName { state.options.amServer ? .server : .client }
    private var operands: [Bytes] = []
    private var aliases = OptionAliases()
    /// A program that runs in our place, with its own words, and the options for it in their long form.
    private var program: [Bytes]?
    private var passedOptions: [Bytes] = []
    /// Told of each rule as it is read, so that the errors of a line come in its order.
    var onFilter: ((FilterOption, TransferOptions) throws(TransferFailure) -> Void)?

    public init(_ context: ParseContext = ParseContext()) {
        self.context = context
        index = context.withClientExtensions ? .client : .transfer
        state = OptionState(context: context)
    }

    /// Parses a whole command line, program name excluded.
    ///
    /// - Throws: the lines to print; code 1 (or 4) and whether a closing `rsync error:` line follows is the caller's.
    public static func parse(
        _ words: [Bytes], context: ParseContext = ParseContext()
    ) throws(TransferFailure) -> ParseResult {
        var parser = OptionParser(context)
        return try parser.parse(words)
    }

    /// Parses the words; a server with secluded arguments calls `continue` afterwards on the same parser.
    public mutating func parse(_ words: [Bytes]) throws(TransferFailure) -> ParseResult {
        if words.isEmpty { return .text(HelpText.usage, toStandardError: true, .syntax) }
        if !context.fromNetwork { aliases = OptionAliases.load(context.environment) }
        state.client.words = words
        var outcome = try scan(words)
        if case .serverMode = outcome {
            // No alias reaches a server: its line is read once more without them.
            aliases = OptionAliases()
            state = OptionState(context: context)
            operands = []
            program = nil
            state.client.words = words
            state.options.amServer = true
            outcome = try scan(words)
        }
        switch outcome {
        case .finished, .serverMode: break
        case .text(let text): return information(Bytes(text: text))
        case .usageError: return .text(HelpText.usage, toStandardError: true, .syntax)
        case .daemonMode: return try DaemonOptionParser.parse(words, environment: context.environment)
        }
        if let program { return .execute(program + passedOptions + operands, lastWord: words.last ?? []) }
        if state.versionCount > 0 {
            let text = state.versionCount > 1 ? VersionText.json : VersionText.plain
            return information(text)
        }
        if words.count == 1, state.options.humanReadable > 1 {
            return information(HelpText.usage)
        }
        if state.options.amServer && state.secluded == true {
            var command = ParsedCommand()
            command.mode = .server
            command.options = state.options
            command.options.iconv = state.iconv
            command.client = state.client
            command.awaitsSecludedArguments = true
            return .run(command)
        }
        return try finish()
    }

    /// Help and versions go where informational messages go.
    private func information(_ text: Bytes) -> ParseResult {
        let toStandardError = state.options.amServer || state.options.standardErrorMode == .all
        return .text(state.options.quiet ? [] : text, toStandardError: toStandardError, .ok)
    }

    /// Parses the arguments that came through the connection (program name excluded).
    public mutating func parseSecluded(_ words: [Bytes]) throws(TransferFailure) -> ParseResult {
        _ = try scan(words)
        return try finish()
    }

    private mutating func finish() throws(TransferFailure) -> ParseResult {
        var command: ParsedCommand
        do throws(TransferFailure) {
            command = try state.finish(operands: operands)
        } catch {
            if state.wantsUsage { return .text(HelpText.usage, toStandardError: true, .syntax) }
            throw error
        }
        command.mode = state.options.amServer ? .server : .client
        if operands.isEmpty && command.client.readBatch == nil && !context.fromNetwork {
            let role: RoleName = command.mode == .server && command.options.amSender ? .sender : .unsplitReceiver
            return .text(HelpText.usage, toStandardError: true, .syntax, role: role)
        }
        return .run(command)
    }

    // MARK: - Words

    private enum Scan { case finished, usageError, daemonMode, serverMode, text(String) }

    private mutating func scan(_ words: [Bytes]) throws(TransferFailure) -> Scan {
        let namesEndOptions =
            context.environment("POSIXLY_CORRECT") != nil || context.environment("POSIX_ME_HARDER") != nil
        let dash = UInt8(ascii: "-")
        var words = OptionWords(words)
        var optionsEnded = false
        while let word = words.next() {
            if optionsEnded || word.first != dash || word.count == 1 {
                operands.append(word)
                if namesEndOptions { optionsEnded = true }
                continue
            }
            if word == Bytes("--") {
                optionsEnded = true
                continue
            }
            let outcome = word[1] == dash ? try longOption(word, &words) : try shortOptions(word, &words)
            if let outcome { return outcome }
        }
        return .finished
    }

    private enum Expansion { case none, words, program }

    /// Puts what `name` is an alias for in its place, or notes the program that it stands for.
    private mutating func expand(
        _ name: Bytes, value: Bytes?, rest: Bytes, _ words: inout OptionWords
    ) throws(TransferFailure) -> Expansion {
        if aliases.isEmpty { return .none }
        if let expansion = aliases[name] {
            guard let isExpanded = words.push(name, expansion, value: value, rest: rest) else {
                throw state.wordError(words.current, "aliases nested too deeply")
            }
            if isExpanded { return .words }
        }
        guard value == nil, let call = aliases.program(name) else { return .none }
        // The first program counts; the others are options to it.
        if program == nil { program = call } else { passedOptions.append(name) }
        return .program
    }

    /// Options that concern the screen of a client only.
    private static let own = Set(OptionTable.own.map(\.id))

    private mutating func longOption(_ word: Bytes, _ words: inout OptionWords) throws(TransferFailure) -> Scan? {
        let equals = word.firstIndex(of: UInt8(ascii: "="))
        let name = String(decoding: word[2..<(equals ?? word.count)], as: UTF8.self)
        let attached = equals.map { Bytes(word[($0 + 1)...]) }
        let spelling = Bytes(word[..<(equals ?? word.count)])
        if try expand(spelling, value: attached, rest: [], &words) != .none { return nil }
        let isServing = state.options.amServer || context.fromNetwork
        if let attached, name == "progress", attached == Bytes("bar"), !isServing {
            return try apply(index.long("progress-bar")!, words.current, nil)
        }
        // What clients send for --qsort is no option of the user.
        let isForServers = name == "use-qsort" && !state.options.amServer
        guard let match = index.long(name), !isForServers, !(isServing && Self.own.contains(match.row.id)) else {
            throw state.wordError(words.current, "unknown option")
        }
        if match.isNegation || match.row.argument == .none {
            if attached != nil {
                // In its own grammar the daemon complains of it.
                if match.row.id == .daemon && !context.fromNetwork { return .daemonMode }
                throw state.wordError(words.current, "option does not take an argument")
            }
            return try apply(match, words.current, nil)
        }
        return try apply(match, attached, &words)
    }

    private mutating func shortOptions(_ word: Bytes, _ words: inout OptionWords) throws(TransferFailure) -> Scan? {
        let equals = UInt8(ascii: "=")
        var offset = 1
        while offset < word.count {
            let letter = word[offset]
            offset += 1
            switch try expand([UInt8(ascii: "-"), letter], value: nil, rest: Bytes(word[offset...]), &words) {
            case .words: return nil
            case .program: continue
            case .none: break
            }
            guard let row = index.short(letter) else { throw state.wordError(words.current, "unknown option") }
            let match = OptionIndex.Match(row: row, isNegation: false, name: row.names.first ?? "")
            if row.argument == .none {
                if offset < word.count && word[offset] == equals {
                    throw state.wordError(words.current, "option does not take an argument")
                }
                if let outcome = try apply(match, words.current, nil) { return outcome }
                continue
            }
            if offset == word.count { return try apply(match, nil, &words) }
            if word[offset] == equals { offset += 1 }
            return try apply(match, Bytes(word[offset...]), &words)
        }
        return nil
    }

    /// Applies an option that takes a value: the one in its word, else the next word.
    private mutating func apply(
        _ match: OptionIndex.Match, _ attached: Bytes?, _ words: inout OptionWords
    ) throws(TransferFailure) -> Scan? {
        guard let value = attached.map({ words.replacingMark($0) }) ?? words.value() else {
            throw state.wordError(words.current, "missing argument")
        }
        return try apply(match, words.current, value)
    }

    /// Applies one option; `word` is what an error names.
    private mutating func apply(
        _ match: OptionIndex.Match, _ word: Bytes, _ value: Bytes?
    ) throws(TransferFailure) -> Scan? {
        let row = match.row
        if !match.isNegation, let isRefused = context.isRefused, isRefused(row.names, row.short) {
            // Compatibility: popt has stored a value before rsync refuses the option, and the set-up goes by it.
            if row.id == .checksumChoice { state.options.checksumChoice = value }
            if row.id == .compressChoice { state.compressMethod = value }
            throw state.complaint("The server is configured to refuse " + row.description(as: match.name))
        }
        if !aliases.isEmpty {
            let letter = row.short.map { [UInt8(ascii: "-"), $0] } ?? []
            passedOptions.append(match.name.isEmpty ? letter : Bytes(text: "--" + match.name))
            if let value { passedOptions.append(value) }
        }
        var number: Int32 = 0
        if !match.isNegation, row.argument == .integer, let value {
            do throws(CInteger.Failure) {
                number = try CInteger.parse(value)
            } catch {
                throw state.wordError(
                    word, error == .notANumber ? "invalid numeric value" : "number too large or too small")
            }
        }
        let ruleCount = state.client.filters.count
        switch row.id {
        case .help: return .text(HelpText.usage.displayText)
        case .daemon, .config, .dparam, .detach:
            if context.fromNetwork { throw TransferFailure(.syntax, "Attempt to hack rsync thwarted!") }
            return .daemonMode
        case .server where !aliases.isEmpty: return .serverMode
        case .sender where !state.options.amServer: return .usageError
        case .info:
            if try !state.info.parse(value ?? [], ignoresUnknown: state.options.amServer) {
                return .text(WordLevels<InfoLevels.Flag>.helpText)
            }
        case .debug:
            if try !state.debug.parse(value ?? [], ignoresUnknown: state.options.amServer) {
                return .text(WordLevels<DebugLevels.Flag>.helpText)
            }
            state.client.filters.append(.tracing((state.debug[.filter] ?? 0) >= 2))
        default: break
        }
        try state.apply(row, isOn: !match.isNegation, value: value ?? [], number: number)
        if let onFilter {
            for rule in state.client.filters[ruleCount...] { try onFilter(rule, state.options) }
        }
        return nil
    }
}

/// Parses the whole line again in the daemon's grammar.
enum DaemonOptionParser {
    static func parse(
        _ words: [Bytes], environment: @Sendable (String) -> Bytes?
    ) throws(TransferFailure) -> ParseResult {
        var command = ParsedCommand()
        command.mode = .daemon
        var isDaemon = false
        var position = 0
        let role: RoleName = words.contains(Bytes("--server")) ? .server : .client
        func fail(_ word: Bytes, _ reason: String) -> TransferFailure { Self.fail(word, reason, role) }
        while position < words.count {
            let word = words[position]
            position += 1
            if word == Bytes("--") { break }
            guard word.first == UInt8(ascii: "-"), word.count > 1 else { continue }
            var offset = 1
            repeat {
                var attached: Bytes?
                let match: OptionIndex.Match
                if word[1] == UInt8(ascii: "-") {
                    let equals = word.firstIndex(of: UInt8(ascii: "="))
                    let name = String(decoding: word[2..<(equals ?? word.count)], as: UTF8.self)
                    attached = equals.map { Bytes(word[($0 + 1)...]) }
                    guard let found = OptionIndex.daemon.long(name) else { throw fail(word, "unknown option") }
                    match = found
                    offset = word.count
                    if attached != nil && (match.isNegation || match.row.argument == .none) {
                        throw fail(word, "option does not take an argument")
                    }
                } else {
                    guard let row = OptionIndex.daemon.short(word[offset]) else { throw fail(word, "unknown option") }
                    match = OptionIndex.Match(row: row, isNegation: false, name: row.names.first ?? "")
                    offset += 1
                    if row.argument != .none && offset < word.count {
                        attached = Bytes(word[(word[offset] == UInt8(ascii: "=") ? offset + 1 : offset)...])
                        offset = word.count
                    }
                }
                var errorWord = word
                if !match.isNegation && match.row.argument != .none && attached == nil {
                    guard position < words.count else { throw fail(word, "missing argument") }
                    attached = words[position]
                    errorWord = words[position]
                    position += 1
                }
                if match.row.id == .help { return .text(HelpText.daemonUsage, toStandardError: role == .server, .ok) }
                if match.row.id == .daemon { isDaemon = true }
                try apply(match, errorWord, attached ?? [], role, &command.daemon)
            } while offset < word.count
        }
        var settings = DaemonSettings()
        for parameter in command.daemon.parameters { try settings.addOverride(parameter) }
        if !isDaemon { throw complaint([Bytes("Daemon option(s) used without --daemon.")], role) }
        return .run(command)
    }

    private static func apply(
        _ match: OptionIndex.Match, _ word: Bytes, _ value: Bytes, _ role: RoleName, _ daemon: inout DaemonOptions
    ) throws(TransferFailure) {
        var number: Int32 = 0
        if match.row.argument == .integer {
            do throws(CInteger.Failure) {
                number = try CInteger.parse(value)
            } catch {
                let reason = error == .notANumber ? "invalid numeric value" : "number too large or too small"
                throw fail(word, reason, role)
            }
        }
        switch match.row.id {
        case .address: daemon.address = value
        case .bwlimit: daemon.bwlimit = Int(number)
        case .config: daemon.config = value
        case .dparam:
            guard value.contains(UInt8(ascii: "=")) else {
                throw complaint([Bytes("--dparam value is missing an '=': ") + value], role)
            }
            daemon.parameters.append(value)
        case .ipv4: daemon.family = .ipv4
        case .ipv6: daemon.family = .ipv6
        case .detach: daemon.detach = !match.isNegation
        case .logFile: daemon.logFile = value
        case .logFileFormat: daemon.logFormat = value
        case .port: daemon.port = Int(number)
        case .sockopts: daemon.sockopts = value
        case .protocolVersion: daemon.protocolVersion = number
        case .server: daemon.onStandardStreams = true
        case .tempDir: daemon.tempDirectory = value
        case .verbose: daemon.verbosity = match.isNegation ? 0 : daemon.verbosity + 1
        default: break
        }
    }

    private static func fail(_ word: Bytes, _ reason: String, _ role: RoleName) -> TransferFailure {
        complaint([Bytes("rsync: ") + word + Bytes(text: ": \(reason) (in daemon mode)")], role)
    }

    private static func complaint(_ lines: [Bytes], _ role: RoleName) -> TransferFailure {
        TransferFailure(
            .syntax, lines: lines + [Bytes("(Type \"rsync --daemon --help\" for assistance with daemon mode.)")],
            role: role)
    }
}
