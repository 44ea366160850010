// Dray — the parameters of rsyncd.conf with their defaults.
// Layer: Daemon. Behaviour: chapter 07 §3.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Parameters of the daemon as a whole. Strings are as written: `%VAR%` is expanded by whoever uses them.
public struct GlobalParameters: Sendable, Equatable {
    public var address: Bytes = []
    public var daemonChroot: Bytes = []
    public var daemonGid: Bytes = []
    public var daemonUid: Bytes = []
    public var listenBacklog = 5
    public var motdFile: Bytes = []
    public var pidFile: Bytes = []
    public var port = 0
    public var proxyProtocol = false
    public var proxyProtocolHosts: Bytes = []
    public var socketOptions: Bytes = []

    public init() {}
}

/// Parameters of a module, or the defaults of later modules. An empty string is an unset one.
public struct ModuleParameters: Sendable, Equatable {
    public var name: Bytes = []
    public var authDigest: Bytes = []
    public var authUsers: Bytes = []
    public var charset: Bytes = []
    public var comment: Bytes = []
    public var dontCompress: Bytes = []
    public var earlyExec: Bytes = []
    public var exclude: Bytes = []
    public var excludeFrom: Bytes = []
    public var fakeSuper = false
    public var filter: Bytes = []
    public var forwardLookup = true
    public var gid: Bytes = []
    public var hostsAllow: Bytes = []
    public var hostsDeny: Bytes = []
    public var ignoreErrors = false
    public var ignoreNonreadable = false
    public var include: Bytes = []
    public var includeFrom: Bytes = []
    public var incomingChmod: Bytes = []
    public var insecureLinks = false
    public var list = true
    public var lockFile: Bytes = Bytes("/var/run/rsyncd.lock")
    public var logFile: Bytes = []
    public var logFormat: Bytes = Bytes("%o %h [%a] %m (%u) %f %l")
    public var maxConnections = 0
    public var maxVerbosity = 1
    /// nil is `unset`, here and below.
    public var mungeSymlinks: Bool?
    public var nameConverter: Bytes = []
    public var numericIDs: Bool?
    public var openNoatime: Bool?
    public var outgoingChmod: Bytes = []
    public var path: Bytes = []
    public var postXferExec: Bytes = []
    public var preXferExec: Bytes = []
    public var readOnly = true
    public var refuseOptions: Bytes = []
    public var reverseLookup = true
    public var secretsFile: Bytes = []
    public var strictModes = true
    /// A syslog facility as the C library numbers it.
    public var syslogFacility = 3 << 3
    public var syslogTag: Bytes = Bytes("rsyncd")
    public var tempDir: Bytes = []
    public var timeout = 0
    public var transferLogging = false
    public var uid: Bytes = []
    public var useChroot: Bool?
    public var writeOnly = false

    public init() {}
}

/// How the value of a parameter is read, and where it goes.
enum ParameterKind<Target: Sendable>: Sendable {
    case string(any WritableKeyPath<Target, Bytes> & Sendable)
    case path(any WritableKeyPath<Target, Bytes> & Sendable)
    case integer(any WritableKeyPath<Target, Int> & Sendable)
    case boolean(any WritableKeyPath<Target, Bool> & Sendable)
    case triState(any WritableKeyPath<Target, Bool?> & Sendable)
    case facility(any WritableKeyPath<Target, Int> & Sendable)
}

/// The parameter names, lower case and without spaces.
enum ParameterTable {
    static let global: [String: ParameterKind<GlobalParameters>] = [
        "address": .string(\.address),
        "daemonchroot": .string(\.daemonChroot),
        "daemongid": .string(\.daemonGid),
        "daemonuid": .string(\.daemonUid),
        "listenbacklog": .integer(\.listenBacklog),
        "motdfile": .string(\.motdFile),
        "pidfile": .string(\.pidFile),
        "port": .integer(\.port),
        "proxyprotocol": .boolean(\.proxyProtocol),
        "proxyprotocolhosts": .string(\.proxyProtocolHosts),
        "socketoptions": .string(\.socketOptions),
    ]

    static let module: [String: ParameterKind<ModuleParameters>] = [
        "authdigest": .string(\.authDigest),
        "authusers": .string(\.authUsers),
        "charset": .string(\.charset),
        "comment": .string(\.comment),
        "dontcompress": .string(\.dontCompress),
        "earlyexec": .string(\.earlyExec),
        "exclude": .string(\.exclude),
        "excludefrom": .string(\.excludeFrom),
        "fakesuper": .boolean(\.fakeSuper),
        "filter": .string(\.filter),
        "forwardlookup": .boolean(\.forwardLookup),
        "gid": .string(\.gid),
        "hostsallow": .string(\.hostsAllow),
        "hostsdeny": .string(\.hostsDeny),
        "ignoreerrors": .boolean(\.ignoreErrors),
        "ignorenonreadable": .boolean(\.ignoreNonreadable),
        "include": .string(\.include),
        "includefrom": .string(\.includeFrom),
        "incomingchmod": .string(\.incomingChmod),
        "insecurelinks": .boolean(\.insecureLinks),
        "list": .boolean(\.list),
        "lockfile": .string(\.lockFile),
        "logfile": .string(\.logFile),
        "logformat": .string(\.logFormat),
        "maxconnections": .integer(\.maxConnections),
        "maxverbosity": .integer(\.maxVerbosity),
        "mungesymlinks": .triState(\.mungeSymlinks),
        "name": .string(\.name),
        "nameconverter": .string(\.nameConverter),
        "numericids": .triState(\.numericIDs),
        "opennoatime": .triState(\.openNoatime),
        "outgoingchmod": .string(\.outgoingChmod),
        "path": .path(\.path),
        "post-xferexec": .string(\.postXferExec),
        "pre-xferexec": .string(\.preXferExec),
        "readonly": .boolean(\.readOnly),
        "refuseoptions": .string(\.refuseOptions),
        "reverselookup": .boolean(\.reverseLookup),
        "secretsfile": .string(\.secretsFile),
        "strictmodes": .boolean(\.strictModes),
        "syslogfacility": .facility(\.syslogFacility),
        "syslogtag": .string(\.syslogTag),
        "tempdir": .path(\.tempDir),
        "timeout": .integer(\.timeout),
        "transferlogging": .boolean(\.transferLogging),
        "uid": .string(\.uid),
        "usechroot": .triState(\.useChroot),
        "writeonly": .boolean(\.writeOnly),
    ]

    /// Names of syslog facilities with the C library's numbers.
    static let facilities: [String: Int] = [
        "kern": 0, "user": 1 << 3, "mail": 2 << 3, "daemon": 3 << 3, "auth": 4 << 3, "security": 4 << 3,
        "syslog": 5 << 3, "lpr": 6 << 3, "news": 7 << 3, "uucp": 8 << 3, "cron": 9 << 3, "authpriv": 10 << 3,
        "ftp": 11 << 3, "local0": 16 << 3, "local1": 17 << 3, "local2": 18 << 3, "local3": 19 << 3,
        "local4": 20 << 3, "local5": 21 << 3, "local6": 22 << 3, "local7": 23 << 3,
    ]

    /// The form in which names are compared: lower case, without any space. nil if no parameter can have this name.
    static func normalized(_ name: Bytes) -> String? {
        if name.first == UInt8(ascii: "-") { return nil }
        return String(decoding: name.filter { !$0.isASCIISpace }.map(\.asciiLowercased), as: UTF8.self)
    }
}

/// Reads values of the types of chapter 07 §2.4 into parameters.
enum ParameterValue {
    /// Stores `text` as `kind` says. A value that cannot be read leaves the parameter as it was.
    static func set<Target>(
        _ kind: ParameterKind<Target>, of target: inout Target, to text: Bytes, log: (Bytes) -> Void
    ) throws(TransferFailure) {
        switch kind {
        case .string(let member): target[keyPath: member] = text
        case .path(let member):
            var path = text
            while path.count > 1, path.last == UInt8(ascii: "/") { path.removeLast() }
            target[keyPath: member] = path
        case .integer(let member): target[keyPath: member] = leadingInteger(try Variables.expand(text))
        case .boolean(let member):
            if let value = boolean(try Variables.expand(text), log) { target[keyPath: member] = value }
        case .triState(let member):
            let word = folded(try Variables.expand(text))
            if word == "unset" || word == "-1" {
                target[keyPath: member] = nil
            } else if let value = boolean(text, log) {
                target[keyPath: member] = value
            }
        case .facility(let member):
            let value = try Variables.expand(text)
            if let number = ParameterTable.facilities[folded(value)] {
                target[keyPath: member] = number
            } else if let number = parseDecimal(value), number > 0 {
                target[keyPath: member] = Int(clamping: number)
            }
        }
    }

    /// The number at the start of `text`, as C's `atoi` sees it; 0 without one.
    static func leadingInteger(_ text: Bytes) -> Int {
        let trimmed = text.drop { $0.isASCIISpace }
        var end = trimmed.startIndex
        if end < trimmed.endIndex, trimmed[end] == UInt8(ascii: "-") || trimmed[end] == UInt8(ascii: "+") { end += 1 }
        while end < trimmed.endIndex, trimmed[end].isASCIIDigit { end += 1 }
        return Int(Int32(clamping: parseDecimal(trimmed[..<end]) ?? 0))
    }

    private static func boolean(_ text: Bytes, _ log: (Bytes) -> Void) -> Bool? {
        switch folded(text) {
        case "yes", "true", "1": return true
        case "no", "false", "0": return false
        default:
            log(Bytes("Badly formed boolean in configuration file: \"") + text + Bytes("\"."))
            return nil
        }
    }

    private static func folded(_ text: Bytes) -> String {
        String(decoding: text.filter { !$0.isASCIISpace }.map(\.asciiLowercased), as: UTF8.self)
    }
}
