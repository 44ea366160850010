// Dray — a client's argument list, and the path arguments of a module.
// Layer: Daemon. Wire format: chapter 01 §3.5; chapter 07 §9.7, §15.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFilters
import Glibc

/// The arguments of a client as they were sent, split at the dot.
struct ClientArguments: Equatable {
    /// Up to and including `.`; backslashes removed.
    var options: [Bytes] = []
    /// Everything after the dot.
    var paths: [Bytes] = []
    private static let mostLength = Limits.lineBuffer - 1

    enum Failure: Error, Equatable {
        case read(HandshakeReadError)
        case tooMany
    }

    /// Reads one list.
    ///
    /// - Parameters:
    ///   - nulTerminated: protocol 30 and later; the second list of secluded arguments always.
    ///   - removesBackslashes: the first list only.
    static func read(
        from lines: HandshakeLines, nulTerminated: Bool, removesBackslashes: Bool
    ) throws(Failure) -> Self {
        var list = Self()
        var seenDot = false
        var count = 1
        while true {
            let (argument, ended) = try one(lines, nulTerminated)
            if argument.isEmpty { return list }
            count += 1
            if count > Limits.daemonArguments { throw .tooMany }
            if seenDot {
                list.paths.append(argument)
            } else {
                let clean = removesBackslashes ? unescaped(argument) : argument
                list.options.append(clean)
                // A directory may be called so as well.
                let isValue = list.options.dropLast().last.map(takesNextWord) ?? false
                seenDot = clean == Bytes(".") && !isValue
            }
            if ended { return list }
        }
    }

    /// Whether clients send the value of this option as a word of its own.
    static func takesNextWord(_ word: Bytes) -> Bool {
        [
            Bytes("--backup-dir"), Bytes("--partial-dir"), Bytes("--temp-dir"), Bytes("--compare-dest"),
            Bytes("--copy-dest"), Bytes("--link-dest"), Bytes("--files-from"),
        ].contains(word)
    }

    /// One argument, and whether the stream ended with it.
    private static func one(_ lines: HandshakeLines, _ nulTerminated: Bool) throws(Failure) -> (Bytes, Bool) {
        var argument: Bytes = []
        while true {
            let byte: UInt8?
            do throws(HandshakeReadError) {
                byte = try lines.byte()
            } catch {
                if error == .closed { return (argument, true) }
                throw .read(error)
            }
            guard let byte else { return (argument, true) }
            if byte == 0 && nulTerminated { return (argument, false) }
            if !nulTerminated && (byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r")) { return (argument, false) }
            if argument.count < mostLength { argument.append(byte) }
        }
    }

    /// `\X` becomes `X`; a final lone backslash stays.
    static func unescaped(_ argument: Bytes) -> Bytes {
        var result: Bytes = []
        var index = 0
        while index < argument.count {
            if argument[index] == UInt8(ascii: "\\"), index + 1 < argument.count { index += 1 }
            result.append(argument[index])
            index += 1
        }
        return result
    }

    /// The path text for the log; no more is added once there are 1024 bytes.
    var request: Bytes {
        var request: Bytes = []
        for path in paths where request.count < 1024 {
            if !request.isEmpty { request.append(UInt8(ascii: " ")) }
            request += path
        }
        return request
    }
}

/// Turns path arguments into names below the module's directory.
struct ModulePaths {
    var moduleName: Bytes
    /// Set when `..` and absolute paths must be kept inside by text (an inner boundary).
    var sanitizes: Bool
    var relative = false
    /// Splits at ` MODULE/`; not for secluded arguments.
    var splits = true
    /// Hides names from wildcards.
    var daemonFilters: FilterList?
    /// Names of a directory in its own order; replaced in tests.
    var names: (Bytes) -> [Bytes]? = DirectoryNames.read
    private static let wild = Bytes("*?[")

    /// All path arguments that `arguments` stand for.
    ///
    /// - Throws: exit 2 when wildcards make too many of them.
    func expand(_ arguments: [Bytes]) throws(TransferFailure) -> [Bytes] {
        var results: [Bytes] = []
        for argument in arguments where !argument.isEmpty {
            for piece in pieces(argument) {
                var clean =
                    sanitizes ? Self.sanitize(piece, keepsDots: relative) : Self.cleaned(piece, keepsDots: relative)
                // `dir/.` and `dir/..` mean contents, whatever the text has lost.
                let last = piece.fields { $0 == UInt8(ascii: "/") }.last
                let namesContents =
                    last == Bytes("..") || last == Bytes(".") && (!relative || piece.last == UInt8(ascii: "/"))
                if namesContents, clean.last != UInt8(ascii: "/"), clean != Bytes(".") {
                    clean.append(UInt8(ascii: "/"))
                }
                var found: [Bytes] = []
                if clean.contains(where: { Self.wild.contains($0) }) { try glob(clean, &found) }
                results += found.isEmpty ? [clean] : found
                if results.count > Limits.daemonArguments { throw Self.tooMany }
            }
        }
        return results
    }

    static var tooMany: TransferFailure { TransferFailure(.protocolIncompatible, "too many daemon arguments") }

    /// Removes the module's name and splits the old several-in-one form.
    func pieces(_ argument: Bytes) -> [Bytes] {
        let rest = argument.hasPrefix(moduleName) ? Bytes(argument[moduleName.count...]) : argument
        guard splits else { return [rest] }
        let separator = [0x20] + moduleName + [UInt8(ascii: "/")]
        var pieces: [Bytes] = []
        var start = 0
        var index = 0
        while index + separator.count <= rest.count {
            if rest[index..<(index + separator.count)].elementsEqual(separator) {
                pieces.append(Bytes(rest[start..<index]))
                // The slash stays: what follows is a path below the module.
                start = index + separator.count - 1
                index = start
            } else {
                index += 1
            }
        }
        pieces.append(Bytes(rest[start...]))
        return pieces
    }

    /// Keeps `path` below `root` by its text alone (chapter 07 §15.1).
    ///
    /// - Parameters:
    ///   - root: stands in place of a leading slash.
    ///   - depth: how many leading `..` may stay.
    static func sanitize(_ path: Bytes, root: Bytes = [], depth: Int = 0, keepsDots: Bool = false) -> Bytes {
        var depth = depth
        var kept: [Bytes] = []
        var fixed = 0
        let slash = UInt8(ascii: "/")
        let isAbsolute = path.first == slash
        if isAbsolute { depth = 0 }
        let components = path.fields { $0 == slash }
        for component in components {
            if component == Bytes(".") {
                if keepsDots { kept.append(component) }
            } else if component == Bytes("..") {
                if kept.count > fixed {
                    kept.removeLast()
                } else if depth > 0 {
                    depth -= 1
                    kept.append(component)
                    fixed = kept.count
                }
            } else {
                kept.append(component)
            }
        }
        var result = Bytes(kept.joined(separator: [slash]))
        let last = components.last
        if path.last == slash, !result.isEmpty, last != Bytes("."), last != Bytes("..") { result.append(slash) }
        if isAbsolute && !root.isEmpty { return result.isEmpty ? root : root.appendingComponent(result) }
        return result.isEmpty ? Bytes(".") : result
    }

    /// Collapses `//` and `..` by text; a leading `./` and a trailing slash stay.
    ///
    /// - Parameter keepsDots: a `.` may tell where names sent with `--relative` begin.
    static func cleaned(_ path: Bytes, keepsDots: Bool = false) -> Bytes {
        let slash = UInt8(ascii: "/")
        let isAbsolute = path.first == slash
        var parts: [Bytes] = []
        for (index, part) in path.fields(separatedBy: { $0 == slash }).enumerated() {
            if part == Bytes("."), !keepsDots, index > 0 || isAbsolute { continue }
            if part == Bytes("..") {
                if let last = parts.last, last != Bytes(".."), last != Bytes(".") {
                    parts.removeLast()
                    continue
                }
                if isAbsolute { continue }
            }
            parts.append(part)
        }
        var result = (isAbsolute ? [slash] : []) + Bytes(parts.joined(separator: [slash]))
        if path.last == slash, result.last != slash, !result.isEmpty { result.append(slash) }
        return result.isEmpty ? Bytes(".") : result
    }

    // MARK: - Wildcards

    private func glob(_ pattern: Bytes, _ found: inout [Bytes]) throws(TransferFailure) {
        let slash = UInt8(ascii: "/")
        let components = pattern.fields { $0 == slash }
        let start: Bytes = pattern.first == slash ? [slash] : []
        try descend(start, components[...], endsInSlash: pattern.last == slash, &found)
    }

    private func descend(
        _ directory: Bytes, _ rest: ArraySlice<Bytes>, endsInSlash: Bool, _ found: inout [Bytes]
    ) throws(TransferFailure) {
        guard let component = rest.first else {
            found.append(endsInSlash ? directory + [UInt8(ascii: "/")] : directory)
            if found.count > Limits.daemonArguments { throw Self.tooMany }
            return
        }
        let isLast = rest.count == 1
        guard component.contains(where: { Self.wild.contains($0) }) else {
            let path = directory.appendingComponent(component)
            if !isLast && !exists(path, directoryOnly: false) { return }
            return try descend(path, rest.dropFirst(), endsInSlash: endsInSlash, &found)
        }
        for name in names(directory) ?? [] where WildcardMatcher.matches(component, name) {
            let path = directory.appendingComponent(name)
            guard exists(path, directoryOnly: !isLast) else { continue }
            try descend(path, rest.dropFirst(), endsInSlash: endsInSlash, &found)
        }
    }

    /// Whether a candidate is there, for the client's eyes.
    private func exists(_ path: Bytes, directoryOnly: Bool) -> Bool {
        var status = stat()
        guard path.withCString({ stat($0, &status) }) == 0 else { return false }
        let isDirectory = status.st_mode & S_IFMT == S_IFDIR
        if directoryOnly && !isDirectory { return false }
        if let daemonFilters {
            let name = Bytes(path.drop { $0 == UInt8(ascii: "/") })
            if daemonFilters.excludesPath(name, isDirectory: isDirectory) { return false }
        }
        return true
    }
}
