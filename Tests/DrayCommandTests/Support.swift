// Dray — helpers of the command tests: parsing a line, and running the reference program.
// Layer: Tests.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc
import Testing

@testable import DrayCommand

/// Words of a line, split at blanks.
func words(_ line: String) -> [Bytes] { line.split(separator: " ").map { Bytes(text: String($0)) } }

/// Parses a line without environment.
func parse(_ line: [Bytes], environment: [String: String] = [:]) throws(TransferFailure) -> ParseResult {
    let context = ParseContext(environment: { name in environment[name].map { Bytes(text: $0) } })
    return try OptionParser.parse(line, context: context)
}

func command(_ line: String) throws -> ParsedCommand {
    guard case .run(let command) = try parse(words(line)) else { throw TransferFailure(.syntax, "no command") }
    return command
}

/// First error line of a parse, and the exit code.
func failure(_ line: String) -> (String, Int32)? {
    do throws(TransferFailure) {
        _ = try parse(words(line))
        return nil
    } catch {
        return (error.lines.first?.displayText ?? "", error.code.rawValue)
    }
}

/// The rsync program that is compared with.
enum Reference {
    static let isInstalled = access("/usr/bin/rsync", X_OK) == 0
    static let missing: Comment = "rsync is not installed"

    /// Runs a shell command and gives back its standard output.
    static func output(_ command: String) -> String {
        guard let stream = popen(command, "r") else { return "" }
        defer { pclose(stream) }
        var text: Bytes = []
        var buffer = Bytes(repeating: 0, count: 4096)
        while true {
            let count = fread(&buffer, 1, buffer.count, stream)
            if count == 0 { break }
            text += buffer[..<count]
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// A directory with a source directory `s` and a remote shell `sh` that prints the words it gets.
    static let directory: String = {
        var template = Array("/tmp/dray-command-XXXXXX".utf8CString)
        let path = String(cString: mkdtemp(&template))
        _ = output("mkdir \(path)/s; echo x > \(path)/s/f; touch \(path)/list")
        _ = output("printf '#!/bin/sh\\nshift\\nprintf \"%%s\\\\n\" \"$@\" >&2\\n' > \(path)/sh; chmod +x \(path)/sh")
        return path
    }()

    /// The words that rsync hands to the remote shell (program name excluded).
    static func vector(_ options: String, _ operands: String) -> [String] {
        let command = "cd \(directory) && rsync -e ./sh \(options) \(operands) 2>&1 >/dev/null"
        let lines = output(command).split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard let start = lines.firstIndex(of: "rsync") else { return lines }
        let rest = lines[(start + 1)...]
        let end =
            rest.firstIndex { $0.hasPrefix("rsync: ") || $0.hasPrefix("rsync error") || $0.isEmpty } ?? rest.endIndex
        return Array(rest[..<end])
    }
}
