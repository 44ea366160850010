// Dray — what a run does to the file system, seen through its system calls.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc

/// Changes that somebody who looks at the tree could see happen, in order for each item.
enum DifferentialTrace {
    private static let calls =
        "open,openat,openat2,creat,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,chmod,fchmod,fchmodat,"
        + "utimensat,link,linkat,symlink,symlinkat,mknod,mknodat,chown,lchown,fchown,fchownat,chdir,fchdir"

    /// The command that traces what follows.
    static func words(_ file: String) -> [String] {
        ["/usr/bin/strace", "-f", "-qq", "-y", "-s", "4096", "-e", "trace=" + calls, "-e", "signal=none", "-o", file]
    }

    /// Whether programs may be traced here.
    static let isPermitted: Bool = {
        guard access("/usr/bin/strace", X_OK) == 0 else { return false }
        return (try? DrayTestSupport.run(words("/dev/null") + ["/bin/true"]).exitCode) == 0
    }()

    // MARK: - Comparing

    static func differences(_ mine: [String: [String]], _ theirs: [String: [String]]) -> [String] {
        Set(mine.keys).union(theirs.keys).sorted().compactMap { path in
            let (own, wanted) = (mine[path] ?? [], theirs[path] ?? [])
            if own == wanted { return nil }
            return "effects on \(path): \(own.joined(separator: "; "))\n  instead of: \(wanted.joined(separator: "; "))"
        }
    }

    /// Effects by path below `root`; those on temporary files belong to the file that they become.
    static func effects(_ file: String, below root: String) -> [String: [String]] {
        guard let text = DaemonLab.text(file) else { return [:] }
        var reader = Reader(root: root)
        for line in text.split(separator: "\n") { reader.read(String(line)) }
        return reader.effects
    }

    private struct Reader {
        let root: String
        var effects: [String: [String]] = [:]
        private var directories: [Substring: String] = [:]
        private var lastDirectory: String
        private var unfinished: [Substring: String] = [:]
        /// Mode bits that a path was last given: setting them again is no effect.
        private var modes: [String: String] = [:]

        init(root: String) {
            self.root = root
            lastDirectory = root
        }

        mutating func read(_ line: String) {
            guard let space = line.firstIndex(of: " ") else { return }
            let process = line[..<space]
            var call = String(line[space...].drop { $0 == " " })
            if let cut = call.firstRange(of: " <unfinished ...>") {
                unfinished[process] = String(call[..<cut.lowerBound])
                return
            }
            if call.hasPrefix("<... "), let end = call.firstRange(of: " resumed>") {
                call = (unfinished.removeValue(forKey: process) ?? "") + String(call[end.upperBound...])
            }
            guard let open = call.firstIndex(of: "("), let end = call.ranges(of: " = ").last,
                let close = call[..<end.lowerBound].lastIndex(of: ")"), open < close
            else { return }
            if call[end.upperBound...].hasPrefix("-1") { return }
            let words = Self.arguments(call[call.index(after: open)..<close])
            apply(String(call[..<open]), words, process)
        }

        private mutating func apply(_ name: String, _ words: [String], _ process: Substring) {
            if name == "chdir" || name == "fchdir" {
                let place = name == "chdir" ? absolute(Self.unquoted(words[0]), process) : Self.descriptorPath(words[0])
                directories[process] = place
                if name == "fchdir", let place { lastDirectory = place }
                return
            }
            let isAt = name.hasSuffix("at") || name == "renameat2" || name == "openat2"
            func path(_ index: Int) -> String {
                isAt
                    ? Self.join(
                        Self.descriptorPath(words[index]) ?? directory(process), Self.unquoted(words[index + 1]))
                    : absolute(Self.unquoted(words[index]), process)
            }
            switch name {
            case "open", "openat", "openat2", "creat":
                if words.contains(where: { $0.contains("O_CREAT") }) {
                    note(path(0), "create")
                    modes[path(0)] = words.last
                }
            case "rename": note(path(1), "rename from \(last(path(0)))")
            case "renameat", "renameat2": note(path(2), "rename from \(last(path(0)))")
            case "unlink", "rmdir", "unlinkat": note(path(0), "remove")
            case "mkdir", "mkdirat": note(path(0), "mkdir")
            case "chmod", "fchmodat": setMode(path(0), words[isAt ? 2 : 1])
            case "fchmod": Self.descriptorPath(words[0]).map { setMode($0, words[1]) }
            case "utimensat":
                let place = words[1] == "NULL" ? Self.descriptorPath(words[0]) ?? "" : path(0)
                note(place, "mtime \(Self.modificationTime(words[2]))")
            case "link": note(path(1), "link to \(last(path(0)))")
            case "linkat": note(path(2), "link to \(last(path(0)))")
            case "symlink": note(absolute(Self.unquoted(words[1]), process), "symlink to \(words[0])")
            case "symlinkat":
                let place = Self.descriptorPath(words[1]) ?? directory(process)
                note(Self.join(place, Self.unquoted(words[2])), "symlink to \(words[0])")
            case "mknod", "mknodat": note(path(0), "mknod")
            case "chown", "lchown": note(path(0), "owner \(words[1]) \(words[2])")
            case "fchownat": note(path(0), "owner \(words[2]) \(words[3])")
            case "fchown": Self.descriptorPath(words[0]).map { note($0, "owner \(words[1]) \(words[2])") }
            default: break
            }
        }

        private mutating func setMode(_ path: String, _ mode: String) {
            if modes[path] == mode { return }
            modes[path] = mode
            note(path, "chmod \(mode)")
        }

        private mutating func note(_ path: String, _ effect: String) {
            guard path.hasPrefix(root) else { return }
            let (key, isTemporary) = Self.settled(String(path.dropFirst(root.count + 1)))
            // Modes of what has its final name are set by a call that strace does not know; a new item belongs to root.
            if !isTemporary && effect.hasPrefix("chmod") || effect == "owner 0 0" { return }
            let text = isTemporary ? "temporary: \(effect)" : effect
            if effects[key]?.last != text { effects[key, default: []].append(text) }
        }

        // MARK: - Names

        /// The path without the random part of a temporary name.
        private static func settled(_ path: String) -> (String, Bool) {
            var parts = path.split(separator: "/").map(String.init)
            guard let name = parts.last, name.hasPrefix("."), let dot = name.lastIndex(of: "."), dot > name.startIndex
            else { return (path.isEmpty ? "." : path, false) }
            let end = name[name.index(after: dot)...]
            guard end.count == 6 || end.allSatisfy(\.isNumber), end.allSatisfy({ $0.isLetter || $0.isNumber }) else {
                return (path, false)
            }
            // A hidden file's own dot is not doubled.
            let base = String(name[name.index(after: name.startIndex)..<dot])
            parts[parts.count - 1] = base == "hidden" ? ".hidden" : base
            return (parts.joined(separator: "/"), true)
        }

        private func last(_ path: String) -> String {
            let (key, isTemporary) = Self.settled(path)
            return isTemporary ? "temporary" : key.split(separator: "/").last.map(String.init) ?? "."
        }

        private func directory(_ process: Substring) -> String { directories[process] ?? lastDirectory }

        private func absolute(_ path: String, _ process: Substring) -> String { Self.join(directory(process), path) }

        private static func join(_ directory: String, _ name: String) -> String {
            if name.hasPrefix("/") { return name }
            var parts = directory.split(separator: "/")
            for part in name.split(separator: "/") where part != "." {
                if part == ".." { parts.removeLast() } else { parts.append(part) }
            }
            return "/" + parts.joined(separator: "/")
        }

        private static func descriptorPath(_ word: String) -> String? {
            guard let open = word.firstIndex(of: "<"), let close = word.lastIndex(of: ">") else { return nil }
            return String(word[word.index(after: open)..<close])
        }

        private static func unquoted(_ word: String) -> String {
            word.hasPrefix("\"") ? String(word.dropFirst().dropLast()) : word
        }

        /// The second time of the pair that utimensat gets.
        private static func modificationTime(_ word: String) -> String {
            if word.hasSuffix("UTIME_OMIT]") || word.contains(", UTIME_OMIT") { return "stays" }
            guard let second = word.ranges(of: "tv_sec=").last else { return word }
            return String(word[second.upperBound...].prefix { $0.isNumber || $0 == "-" })
        }

        /// Splits at commas that are in no quotes, brackets or braces.
        private static func arguments(_ text: Substring) -> [String] {
            var words = [""]
            var depth = 0
            var quoted = false
            var escaped = false
            for character in text {
                if quoted {
                    words[words.count - 1].append(character)
                    if !escaped && character == "\"" { quoted = false }
                    escaped = !escaped && character == "\\"
                    continue
                }
                switch character {
                case "\"": quoted = true
                case "[", "{", "<": depth += 1
                case "]", "}", ">": depth -= 1
                default: break
                }
                if character == "," && depth == 0 {
                    words.append("")
                } else if !(character == " " && words[words.count - 1].isEmpty) {
                    words[words.count - 1].append(character)
                }
            }
            return words
        }
    }
}
