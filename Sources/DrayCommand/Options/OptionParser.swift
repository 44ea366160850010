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
public struct OptionParser: Sendable {
    private let context: ParseContext
    private let index: OptionIndex
    private var state: OptionState
    private var operands: [Bytes] = []
    private var aliases = OptionAliases()

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
        if words.contains(Bytes("--daemon")) && !context.fromNetwork {
            return try DaemonOptionParser.parse(words, environment: context.environment)
        }
        state.client.words = words
        switch try scan(words) {
        case .finished: break
        case .text(let text): return .text(Bytes(text: text), toStandardError: false, .ok)
        case .usageError: return .text(HelpText.usage, toStandardError: true, .syntax)
        case .daemonMode: return try DaemonOptionParser.parse(words, environment: context.environment)
        }
        if state.versionCount > 0 {
            let text = state.versionCount > 1 ? VersionText.json : VersionText.plain
            return .text(text, toStandardError: false, .ok)
        }
        if words.count == 1, !words[0].hasPrefix(Bytes("--")), state.client.given.contains("human-readable") {
            return .text(HelpText.usage, toStandardError: false, .ok)
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

    private enum Scan { case finished, usageError, daemonMode, text(String) }

    private mutating func scan(_ words: [Bytes]) throws(TransferFailure) -> Scan {
        let namesEndOptions =
            context.environment("POSIXLY_CORRECT") != nil || context.environment("POSIX_ME_HARDER") != nil
        let dash = UInt8(ascii: "-")
        let readsAliases = !context.fromNetwork && !state.options.amServer && words.first != Bytes("--server")
        if readsAliases { aliases = OptionAliases.load(context.environment) }
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

    /// Puts what `name` is an alias for in its place; false if it is none.
    private func expand(
        _ name: Bytes, _ more: [Bytes], rest: Bytes, _ word: Bytes, _ words: inout OptionWords
    ) throws(TransferFailure) -> Bool {
        guard let expansion = aliases[name] else { return false }
        guard let isExpanded = words.push(name, expansion + more, rest: rest) else {
            throw state.wordError(word, "aliases nested too deeply")
        }
        return isExpanded
    }

    /// Options that concern the screen of a client only.
    private static let own = Set(OptionTable.own.map(\.id))

    private mutating func longOption(_ word: Bytes, _ words: inout OptionWords) throws(TransferFailure) -> Scan? {
        let equals = word.firstIndex(of: UInt8(ascii: "="))
        let name = String(decoding: word[2..<(equals ?? word.count)], as: UTF8.self)
        let attached = equals.map { Bytes(word[($0 + 1)...]) }
        let more = attached.map { [$0] } ?? []
        if try expand(Bytes(word[..<(equals ?? word.count)]), more, rest: [], word, &words) { return nil }
        let isServing = state.options.amServer || context.fromNetwork
        if let attached, name == "progress", attached == Bytes("bar"), !isServing {
            return try apply(index.long("progress-bar")!, word, nil)
        }
        // What clients send for --qsort is no option of the user.
        let isForServers = name == "use-qsort" && !state.options.amServer
        guard let match = index.long(name), !isForServers, !(isServing && Self.own.contains(match.row.id)) else {
            throw state.wordError(word, "unknown option")
        }
        if match.isNegation || match.row.argument == .none {
            if attached != nil { throw state.wordError(word, "option does not take an argument") }
            return try apply(match, word, nil)
        }
        if let attached { return try apply(match, word, attached) }
        guard let value = words.next() else { throw state.wordError(word, "missing argument") }
        return try apply(match, value, value)
    }

    private mutating func shortOptions(_ word: Bytes, _ words: inout OptionWords) throws(TransferFailure) -> Scan? {
        var offset = 1
        while offset < word.count {
            let letter = word[offset]
            offset += 1
            if try expand([UInt8(ascii: "-"), letter], [], rest: Bytes(word[offset...]), word, &words) { return nil }
            guard let row = index.short(letter) else { throw state.wordError(word, "unknown option") }
            let match = OptionIndex.Match(row: row, isNegation: false, name: row.names.first ?? "")
            if row.argument == .none {
                if let outcome = try apply(match, word, nil) { return outcome }
                continue
            }
            if offset < word.count {
                if word[offset] == UInt8(ascii: "=") { offset += 1 }
                return try apply(match, word, Bytes(word[offset...]))
            }
            guard let value = words.next() else { throw state.wordError(word, "missing argument") }
            return try apply(match, value, value)
        }
        return nil
    }

    /// Applies one option; `word` is what an error names.
    private mutating func apply(
        _ match: OptionIndex.Match, _ word: Bytes, _ value: Bytes?
    ) throws(TransferFailure) -> Scan? {
        let row = match.row
        if !match.isNegation, let isRefused = context.isRefused, isRefused(row.names, row.short) {
            throw state.complaint("The server is configured to refuse " + row.description(as: match.name))
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
        switch row.id {
        case .help: return .text(HelpText.usage.displayText)
        case .daemon, .config, .dparam, .detach:
            if context.fromNetwork { throw TransferFailure(.syntax, "Attempt to hack rsync thwarted!") }
            return .daemonMode
        case .sender where !state.options.amServer: return .usageError
        case .info where value.map { state.isHelp($0) } == true:
            return .text(WordLevels<InfoLevels.Flag>.helpText)
        case .debug where value.map { state.isHelp($0) } == true:
            return .text(WordLevels<DebugLevels.Flag>.helpText)
        default: break
        }
        try state.apply(row, isOn: !match.isNegation, value: value ?? [], number: number)
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
                if match.row.id == .help { return .text(HelpText.daemonUsage, toStandardError: false, .ok) }
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
