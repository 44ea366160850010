// Dray — the program that an `exec` line of the operator's popt file puts in our place.
// Layer: Command. Behaviour: chapter 05 §1; popt(3) on exec lines.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// Runs another program instead of this one.
enum PoptProgram {
    /// Becomes the program `words[0]`, looked for along PATH unless it has a slash. Returns only if that fails.
    ///
    /// - Parameter lastWord: end of the command line, which a program that is nowhere is blamed on.
    static func execute(_ words: [Bytes], lastWord: Bytes) -> TransferFailure {
        guard let path = path(of: words[0]) else {
            // Compatibility: popt has no better reason to give.
            return failure(lastWord, "missing argument")
        }
        var arguments = ([path] + words.dropFirst()).map { word in word.withCString { strdup($0) } }
        arguments.append(nil)
        defer { for argument in arguments { free(argument) } }
        // What this program ignores is no matter of the next one.
        signal(SIGPIPE, SIG_DFL)
        signal(SIGXFSZ, SIG_DFL)
        // A text without `#!` is run by the shell.
        _ = path.withCString { execvp($0, &arguments) }
        return failure(path, errnoText(errno))
    }

    private static func failure(_ word: Bytes, _ reason: String) -> TransferFailure {
        TransferFailure(.syntax, lines: [Bytes("rsync: ") + word + Bytes(text: ": " + reason)], role: .client)
    }

    private static func path(of name: Bytes) -> Bytes? {
        let slash = UInt8(ascii: "/")
        if name.contains(slash) { return name }
        let directories = environmentValue("PATH")?.split(separator: UInt8(ascii: ":")) ?? []
        return directories.lazy.map { Bytes($0) + [slash] + name }.first { path in
            path.withCString { access($0, X_OK) } == 0
        }
    }
}
