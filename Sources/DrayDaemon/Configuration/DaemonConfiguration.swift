// Dray — a loaded rsyncd.conf: global parameters and modules.
// Layer: Daemon. Behaviour: chapter 07 §2.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import Glibc

/// A configuration as one load sees it.
public struct DaemonConfiguration: Sendable {
    public internal(set) var global = GlobalParameters()
    /// What modules start from; also the settings outside of any module.
    public internal(set) var defaults = ModuleParameters()
    public internal(set) var modules: [ModuleParameters] = []

    /// How much of the file is read.
    public enum Extent: Sendable {
        /// Up to the first section header.
        case globalsOnly
        case complete
    }

    /// Loads a file.
    ///
    /// - Parameters:
    ///   - overrides: `--dparam` values, `NAME=VALUE`.
    ///   - log: receives every diagnostic, one line each.
    /// - Returns: nil if the load failed; the reasons went to `log`.
    public static func load(
        _ path: Bytes, _ extent: Extent, overrides: [(name: Bytes, value: Bytes)] = [], log: (Bytes) -> Void
    ) -> Self? {
        withoutActuallyEscaping(log) { log in
            let loader = ConfigurationLoader(extent, overrides, log)
            return loader.load(path)
        }
    }

    /// The module a client asks for: exactly as first spelled; the last definition wins.
    public func module(named name: Bytes) -> ModuleParameters? {
        modules.last { $0.name == name }
    }

    /// Whether a parameter of this name exists.
    static func isKnown(_ name: Bytes) -> Bool {
        guard let key = ParameterTable.normalized(name) else { return false }
        return ParameterTable.global[key] != nil || ParameterTable.module[key] != nil
    }
}

/// Applies the items of a file and the files it includes.
private final class ConfigurationLoader {
    /// Why parsing stops.
    private enum Stop: Error {
        case failed
        /// The listener has seen enough.
        case enough
    }

    private let extent: DaemonConfiguration.Extent
    private let overrides: [(name: Bytes, value: Bytes)]
    private let log: (Bytes) -> Void
    private var configuration = DaemonConfiguration()
    /// Index of the module that parameters belong to; nil is the global context.
    private var current: Int?
    private var overridesDone = false
    private var depth = 0
    /// A file that includes itself must end somewhere.
    private static let mostNesting = 256

    init(
        _ extent: DaemonConfiguration.Extent, _ overrides: [(name: Bytes, value: Bytes)],
        _ log: @escaping (Bytes) -> Void
    ) {
        self.extent = extent
        self.overrides = overrides
        self.log = log
    }

    func load(_ path: Bytes) -> DaemonConfiguration? {
        do throws(Stop) {
            guard !path.isEmpty else { throw fail(Bytes("params.c:OpenConfFile() - No config filename specified.")) }
            try parse(path)
        } catch {
            if error == .failed {
                log(Bytes("params.c:pm_process() - Failed.  Error returned from params.c:parse()."))
                return nil
            }
        }
        if extent == .globalsOnly {
            do throws(Stop) { try applyOverrides() } catch { return nil }
        }
        return configuration
    }

    private func fail(_ line: Bytes) -> Stop {
        log(line)
        return .failed
    }

    private func parse(_ path: Bytes) throws(Stop) {
        var code: Int32 = 0
        guard depth < Self.mostNesting, let text = OperatorFile.read(path, code: &code) else {
            if depth >= Self.mostNesting { code = ELOOP }
            throw fail(
                Bytes("rsync: [Receiver] unable to open config file \"") + path
                    + Bytes(text: "\": \(errnoText(code)) (\(code))"))
        }
        depth += 1
        defer { depth -= 1 }
        var lexer = ConfigurationLexer(text)
        while true {
            let item: ConfigurationItem?
            do throws(ConfigurationSyntaxError) { item = try lexer.next(log: log) } catch { throw fail(error.line) }
            switch item {
            case nil: return
            case .section(let name): try section(name)
            case .parameter(let name, let value): try parameter(name, value)
            case .directive(let name, let argument): try directive(name, argument)
            }
        }
    }

    // MARK: - Sections and parameters

    private static func folded(_ name: Bytes) -> Bytes {
        name.filter { !$0.isASCIISpace }.map(\.asciiLowercased)
    }

    private func section(_ name: Bytes) throws(Stop) {
        if extent == .globalsOnly { throw .enough }
        let key = Self.folded(name)
        if key == Bytes("global") {
            current = nil
            return
        }
        if name.contains(UInt8(ascii: "/")) {
            throw fail(Bytes("Warning: invalid section name in configuration file: ") + name)
        }
        try applyOverrides()
        if let known = configuration.modules.lastIndex(where: { Self.folded($0.name) == key }) {
            current = known
            return
        }
        var module = configuration.defaults
        module.name = name
        configuration.modules.append(module)
        current = configuration.modules.count - 1
    }

    private func parameter(_ name: Bytes, _ value: Bytes) throws(Stop) {
        let key = ParameterTable.normalized(name)
        do throws(TransferFailure) {
            if let key, let kind = ParameterTable.global[key] {
                if current != nil {
                    log(Bytes("Global parameter ") + name + Bytes(" found in module section!"))
                    return
                }
                try ParameterValue.set(kind, of: &configuration.global, to: value, log: log)
            } else if let key, let kind = ParameterTable.module[key] {
                if let current {
                    try ParameterValue.set(kind, of: &configuration.modules[current], to: value, log: log)
                } else {
                    try ParameterValue.set(kind, of: &configuration.defaults, to: value, log: log)
                }
            } else {
                log(Bytes("Unknown Parameter encountered: \"") + name + Bytes("\""))
                log(Bytes("IGNORING unknown parameter \"") + name + Bytes("\""))
            }
        } catch {
            error.lines.forEach(log)
            throw .failed
        }
    }

    private func applyOverrides() throws(Stop) {
        if overridesDone { return }
        overridesDone = true
        let context = current
        current = nil
        for (name, value) in overrides { try parameter(name, value) }
        current = context
    }

    // MARK: - Directives

    private func directive(_ name: Bytes, _ argument: Bytes) throws(Stop) {
        let isInclude: Bool
        switch String(decoding: name.map(\.asciiLowercased), as: UTF8.self) {
        case "include": isInclude = true
        case "merge": isInclude = false
        default: throw fail(Bytes("Unknown directive: ") + name + Bytes("."))
        }
        let saved = configuration.defaults
        for file in try files(argument, suffix: isInclude ? Bytes(".conf") : Bytes(".inc")) {
            if isInclude {
                configuration.defaults = saved
                current = nil
            }
            try parse(file)
        }
        if isInclude {
            configuration.defaults = saved
            current = nil
        }
    }

    /// The file itself, or the files with `suffix` of a directory, in order.
    private func files(_ path: Bytes, suffix: Bytes) throws(Stop) -> [Bytes] {
        func systemError(_ what: StaticString) -> Stop {
            let code = errno
            return fail(
                Bytes("rsync: [Receiver] unable to ") + Bytes(what) + Bytes(" \"") + path
                    + Bytes(text: "\": \(errnoText(code)) (\(code))"))
        }
        var status = stat()
        guard path.withCString({ stat($0, &status) }) == 0 else { throw systemError("stat config file") }
        switch status.st_mode & S_IFMT {
        case S_IFREG: return [path]
        case S_IFDIR: break
        default:
            errno = EINVAL
            throw systemError("open config file")
        }
        guard let names = DirectoryNames.read(path) else { throw systemError("open config dir") }
        return names.filter { $0.hasSuffix(suffix) }.map { path.appendingComponent($0) }
            .sorted { $0.lexicographicallyPrecedes($1) }
    }
}

/// Names in a directory, in the order of the system.
enum DirectoryNames {
    /// All names but `.` and `..`; nil with errno set if the directory cannot be read.
    static func read(_ path: Bytes) -> [Bytes]? {
        let stream: OpaquePointer? =
            path.isEmpty ? Bytes(".").withCString { opendir($0) } : path.withCString { opendir($0) }
        guard let stream else { return nil }
        defer { closedir(stream) }
        var names: [Bytes] = []
        while let entry = readdir(stream) {
            // Safe: d_name is NUL terminated within the record that readdir returned.
            let offset = MemoryLayout<dirent>.offset(of: \dirent.d_name)!
            let text = UnsafeRawPointer(entry) + offset
            let name = Bytes(
                UnsafeRawBufferPointer(start: text, count: strlen(text.assumingMemoryBound(to: CChar.self))))
            if name != Bytes(".") && name != Bytes("..") { names.append(name) }
        }
        return names
    }
}
