// Dray — reading a command line word by word with the option table.
// Layer: Command. Behaviour: chapter 05 §1, chapter 01 §4, §8.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
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
    private var isServer = false

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
        if words.count == 1, words[0].first == UInt8(ascii: "-"), words[0].count > 1, words[0][1] != UInt8(ascii: "-"),
            Self.isHelpBundle(words[0], index)
        {
            return .text(HelpText.usage, toStandardError: false, .ok)
        }
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
        var command = try state.finish(operands: operands)
        command.mode = state.options.amServer ? .server : .client
        if command.mode == .client && operands.isEmpty && command.client.readBatch == nil {
            return .text(HelpText.usage, toStandardError: true, .syntax)
        }
        if command.mode == .client && command.options.filesFrom != nil && operands.count > 2 {
            return .text(HelpText.usage, toStandardError: true, .syntax)
        }
        return .run(command)
    }

    // MARK: - Words

    private enum Scan { case finished, usageError, daemonMode, text(String) }

    private mutating func scan(_ words: [Bytes]) throws(TransferFailure) -> Scan {
        let namesEndOptions =
            context.environment("POSIXLY_CORRECT") != nil || context.environment("POSIX_ME_HARDER") != nil
        let dash = UInt8(ascii: "-")
        var position = 0
        var optionsEnded = false
        while position < words.count {
            let word = words[position]
            position += 1
            if optionsEnded || word.first != dash || word.count == 1 {
                operands.append(word)
                if namesEndOptions { optionsEnded = true }
                continue
            }
            if word == Bytes("--") {
                optionsEnded = true
                continue
            }
            let outcome =
                word[1] == dash
                ? try longOption(word, words, &position) : try shortOptions(word, words, &position)
            if let outcome { return outcome }
        }
        return .finished
    }

    private mutating func longOption(
        _ word: Bytes, _ words: [Bytes], _ position: inout Int
    ) throws(TransferFailure) -> Scan? {
        let equals = word.firstIndex(of: UInt8(ascii: "="))
        let name = String(decoding: word[2..<(equals ?? word.count)], as: UTF8.self)
        let attached = equals.map { Bytes(word[($0 + 1)...]) }
        if context.withClientExtensions, name == "progress", let attached, attached == Bytes("bar") {
            return try apply(index.long("progress-bar")!, word, nil)
        }
        guard let match = index.long(name) else { throw state.wordError(word, "unknown option") }
        if match.isNegation || match.row.argument == .none {
            if attached != nil { throw state.wordError(word, "option does not take an argument") }
            return try apply(match, word, nil)
        }
        if let attached { return try apply(match, word, attached) }
        guard position < words.count else { throw state.wordError(word, "missing argument") }
        let value = words[position]
        position += 1
        return try apply(match, value, value)
    }

    private mutating func shortOptions(
        _ word: Bytes, _ words: [Bytes], _ position: inout Int
    ) throws(TransferFailure) -> Scan? {
        var offset = 1
        while offset < word.count {
            guard let row = index.short(word[offset]) else { throw state.wordError(word, "unknown option") }
            offset += 1
            let match = OptionIndex.Match(row: row, isNegation: false)
            if row.argument == .none {
                if let outcome = try apply(match, word, nil) { return outcome }
                continue
            }
            if offset < word.count {
                if word[offset] == UInt8(ascii: "=") { offset += 1 }
                return try apply(match, word, Bytes(word[offset...]))
            }
            guard position < words.count else { throw state.wordError(word, "missing argument") }
            let value = words[position]
            position += 1
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
            throw state.complaint("The server is configured to refuse " + row.description)
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
            if state.options.amServer && row.id != .daemon { throw state.wordError(word, "unknown option") }
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

    /// A bundle of flags with `h` among them, before any letter that takes an argument.
    private static func isHelpBundle(_ word: Bytes, _ index: OptionIndex) -> Bool {
        for letter in word.dropFirst() {
            if letter == UInt8(ascii: "h") { return true }
            guard let row = index.short(letter), row.argument == .none else { return false }
        }
        return false
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
                    match = OptionIndex.Match(row: row, isNegation: false)
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
                try apply(match, errorWord, attached ?? [], &command.daemon)
            } while offset < word.count
        }
        if !isDaemon { throw complaint([Bytes("Daemon option(s) used without --daemon.")]) }
        return .run(command)
    }

    private static func apply(
        _ match: OptionIndex.Match, _ word: Bytes, _ value: Bytes, _ daemon: inout DaemonOptions
    ) throws(TransferFailure) {
        var number: Int32 = 0
        if match.row.argument == .integer {
            do throws(CInteger.Failure) {
                number = try CInteger.parse(value)
            } catch {
                throw fail(word, error == .notANumber ? "invalid numeric value" : "number too large or too small")
            }
        }
        switch match.row.id {
        case .address: daemon.address = value
        case .bwlimit: daemon.bwlimit = Int(parseDecimal(value) ?? 0)
        case .config: daemon.config = value
        case .dparam:
            guard value.contains(UInt8(ascii: "=")) else {
                throw complaint([Bytes("--dparam value is missing an '=': ") + value])
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

    private static func fail(_ word: Bytes, _ reason: String) -> TransferFailure {
        complaint([Bytes("rsync: ") + word + Bytes(text: ": \(reason) (in daemon mode)")])
    }

    private static func complaint(_ lines: [Bytes]) -> TransferFailure {
        TransferFailure(
            .syntax, lines: lines + [Bytes("(Type \"rsync --daemon --help\" for assistance with daemon mode.)")],
            role: .client)
    }
}
