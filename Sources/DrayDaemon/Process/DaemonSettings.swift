// Dray — the command line of daemon mode.
// Layer: Daemon. Behaviour: chapter 07 §1.1.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayTransport
import Glibc

/// What a daemon is told on its command line.
public struct DaemonSettings: Sendable {
    public var configFile: Bytes?
    public var overrides: [(name: Bytes, value: Bytes)] = []
    public var address: Bytes?
    public var port: Int?
    public var family = AddressFamily.any
    public var bandwidthLimit: Int?
    public var logFile: Bytes?
    public var logFormat: Bytes?
    public var socketOptions: Bytes?
    public var protocolVersion = ProtocolVersion.newest
    public var tempDirectory: Bytes?
    public var verbosity = 0
    public var detaches = true
    /// `--server --daemon`: the connection is on standard input and output.
    public var isRemoteShell = false
    /// `--listen` and `--listen-plain` of rsync-server; empty: `address` and `port`.
    public var listeners: [DaemonListener] = []
    public var certificateFile: Bytes?
    public var keyFile: Bytes?
    public var clientAuthorityFile: Bytes?
    /// Directory that relative module paths count from.
    public var startDirectory: Bytes = Bytes("/")

    public init() {
        if let text = getcwd(nil, 0) {
            startDirectory = Bytes(UnsafeRawBufferPointer(start: text, count: strlen(text)))
            free(text)
        }
    }

    /// The configuration file that applies.
    var effectiveConfigFile: Bytes {
        if let configFile { return configFile }
        return isRemoteShell && geteuid() != 0 ? Bytes("rsyncd.conf") : Bytes("/etc/rsyncd.conf")
    }

    /// Parses the options of `--daemon`.
    ///
    /// - Throws: exit 1 with rsync's texts; exit 0 with the help text as lines for `--help`.
    public static func parse(_ arguments: [Bytes]) throws(TransferFailure) -> Self {
        var settings = Self()
        var words = DaemonWords(arguments)
        var isDaemon = false
        while let word = try words.next() {
            switch word.name {
            case "--daemon": isDaemon = true
            case "--server": settings.isRemoteShell = true
            case "--address": settings.address = try words.value(word)
            case "--bwlimit": settings.bandwidthLimit = try words.integer(word)
            case "--config": settings.configFile = try words.value(word)
            case "--dparam", "-M": try settings.addOverride(try words.value(word))
            case "--ipv4", "-4": settings.family = .ipv4
            case "--ipv6", "-6": settings.family = .ipv6
            case "--detach": settings.detaches = true
            case "--no-detach": settings.detaches = false
            case "--log-file": settings.logFile = try words.value(word)
            case "--log-file-format": settings.logFormat = try words.value(word)
            case "--port": settings.port = try words.integer(word)
            case "--sockopts": settings.socketOptions = try words.value(word)
            case "--protocol": settings.protocolVersion = Int32(clamping: try words.integer(word))
            case "--temp-dir", "-T": settings.tempDirectory = try words.value(word)
            case "--verbose", "-v": settings.verbosity += 1
            case "--no-verbose", "--no-v": settings.verbosity = 0
            case "--help", "-h": throw TransferFailure(.ok, lines: [Bytes(text: daemonHelp)])
            default:
                throw DaemonWords.failure(Bytes("rsync: ") + word.text + Bytes(": unknown option (in daemon mode)"))
            }
        }
        if let directory = settings.tempDirectory, directory.count >= Limits.maxPath - 10 {
            throw TransferFailure(.syntax, "the --temp-dir path is WAY too long.")
        }
        if !isDaemon { throw DaemonWords.failure(Bytes("Daemon option(s) used without --daemon.")) }
        return settings
    }

    /// Adds a `--dparam` value.
    public mutating func addOverride(_ text: Bytes) throws(TransferFailure) {
        guard let equals = text.firstIndex(of: UInt8(ascii: "=")) else {
            throw DaemonWords.failure(Bytes("--dparam value is missing an '=': ") + text)
        }
        let name = Bytes(text[..<equals])
        guard DaemonConfiguration.isKnown(name) else {
            throw TransferFailure(.syntax, lines: [Bytes("Unknown parameter \"") + name + Bytes("\"")])
        }
        overrides.append((name, Bytes(text[(equals + 1)...].drop(while: \.isASCIISpace))))
    }

    private static let daemonHelp = """
        rsync  version \(DrayVersion.rsync)  protocol version \(ProtocolVersion.newest)

        Usage: rsync --daemon [OPTION]...
         --daemon                 run as an rsync daemon
         --address=ADDRESS        bind to the specified address
         --bwlimit=RATE           limit socket I/O bandwidth
         --config=FILE            specify alternate rsyncd.conf file
         --dparam=OVERRIDE, -M    override global daemon config parameter
         --no-detach              do not detach from the parent
         --port=PORT              listen on alternate port number
         --log-file=FILE          override the "log file" setting
         --log-file-format=FMT    override the "log format" setting
         --sockopts=OPTIONS       specify custom TCP options
         --verbose, -v            increase verbosity
         --ipv4, -4               prefer IPv4
         --ipv6, -6               prefer IPv6
         --help, -h               show this help (when used with --daemon)

        If you were not trying to invoke rsync as a daemon, avoid using any of the
        daemon-specific rsync options.  See also the rsyncd.conf(5) manpage.
        """
}

/// A place to listen at.
public struct DaemonListener: Sendable, Equatable {
    public var binding: Listener.Binding
    public var usesTLS: Bool

    /// Reads `ADDR:PORT`, `[V6]:PORT`, `:PORT` or `ADDR`.
    public init?(_ text: Bytes, usesTLS: Bool) {
        var host = text
        var port: Int64 = usesTLS ? 874 : 873
        if text.first == UInt8(ascii: "[") {
            guard let close = text.firstIndex(of: UInt8(ascii: "]")) else { return nil }
            host = Bytes(text[1..<close])
            let rest = Bytes(text[(close + 1)...])
            if !rest.isEmpty {
                guard rest.first == UInt8(ascii: ":"), let number = parseDecimal(rest.dropFirst()) else { return nil }
                port = number
            }
            if host.isEmpty { return nil }
        } else if let colon = text.firstIndex(of: UInt8(ascii: ":")), colon == text.lastIndex(of: UInt8(ascii: ":")) {
            host = Bytes(text[..<colon])
            guard let number = parseDecimal(text[(colon + 1)...]) else { return nil }
            port = number
        }
        guard (0...65_535).contains(port) else { return nil }
        binding = Listener.Binding(address: host.isEmpty || host == Bytes("*") ? nil : host, port: Int(port))
        self.usesTLS = usesTLS
    }
}

/// Splits a command line into options with their values.
struct DaemonWords {
    struct Word {
        /// With its dashes; the name that is compared.
        var name: String
        /// As typed.
        var text: Bytes
        var value: Bytes?
    }

    private var rest: ArraySlice<Bytes>
    private var letters: Bytes = []
    private static let lettersWithValue = Bytes("MT")

    init(_ arguments: [Bytes]) { rest = arguments[...] }

    /// The next option; words that are none are skipped.
    mutating func next() throws(TransferFailure) -> Word? {
        while letters.isEmpty {
            guard let word = rest.popFirst() else { return nil }
            if word.hasPrefix(Bytes("--")), word.count > 2 {
                guard let equals = word.firstIndex(of: UInt8(ascii: "=")) else {
                    return Word(name: word.displayText, text: word)
                }
                return Word(
                    name: Bytes(word[..<equals]).displayText, text: word, value: Bytes(word[(equals + 1)...]))
            }
            if word.first == UInt8(ascii: "-"), word.count > 1, word != Bytes("--") {
                letters = Bytes(word.dropFirst())
            }
        }
        let letter = letters.removeFirst()
        let text = [UInt8(ascii: "-"), letter]
        guard Self.lettersWithValue.contains(letter), !letters.isEmpty else {
            return Word(name: text.displayText, text: text)
        }
        let value = letters.first == UInt8(ascii: "=") ? Bytes(letters.dropFirst()) : letters
        letters = []
        return Word(name: text.displayText, text: text, value: value)
    }

    /// The value of `word`, from the next word if it has none of its own.
    mutating func value(_ word: Word) throws(TransferFailure) -> Bytes {
        if let value = word.value { return value }
        guard let value = rest.popFirst() else {
            throw Self.failure(Bytes("rsync: ") + word.text + Bytes(": missing argument (in daemon mode)"))
        }
        return value
    }

    mutating func integer(_ word: Word) throws(TransferFailure) -> Int {
        let text = try value(word)
        guard let number = parseDecimal(text) else {
            throw Self.failure(
                Bytes("rsync: ") + word.text + Bytes(": invalid numeric value (in daemon mode)"))
        }
        return Int(clamping: number)
    }

    static func failure(_ line: Bytes) -> TransferFailure {
        TransferFailure(
            .syntax, lines: [line, Bytes("(Type \"rsync --daemon --help\" for assistance with daemon mode.)")])
    }
}
