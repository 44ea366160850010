// Dray — one row of the table of option coverage: runs rsync and Dray with an option and compares.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc

@testable import DrayCommand

/// Fills the cells of one option; an empty one is a difference.
final class OptionCoverage {
    private let scratch: ScratchDirectory
    private let shell: String
    private var work: String { scratch.path + "/w" }

    init() throws {
        scratch = try ScratchDirectory()
        // A client may end before the shell that it has started has written: half a record is never seen.
        let text =
            "#!/bin/sh\nfor word; do printf '%s\\n' \"$word\"; done >\"$RECORD.new\"\nmv \"$RECORD.new\" \"$RECORD\"\n"
        try FileTree(scratch.path).file("shell", Array(text.utf8), mode: 0o755)
        shell = scratch.path + "/shell"
    }

    /// What was found for one cell.
    struct Cell {
        var runs = 0
        var differences: [String] = []
        var note = ""
        var isFull: Bool { differences.isEmpty && (runs > 0 || !note.isEmpty) }
        var markdown: String {
            if !differences.isEmpty { return "**\(differences.count) of \(runs) differ**" }
            return note.isEmpty ? "\(runs) runs" : note
        }
    }

    // MARK: - Accepted

    /// Every spelling, every typical value, on a small tree: exit code, output and tree are rsync's.
    func accepted(_ row: OptionRow) throws -> Cell {
        var cell = Cell()
        for words in Self.lines(row) {
            // The value is missing where nothing follows.
            let line = words.first == "-r" ? words : words + Self.tail(row)
            cell.runs += 1
            // Whether the processes of rsync see each other end is a matter of chance: three tries.
            for attempt in 0..<3 {
                let theirs = try localRun(PeerRsync.path!, line, row)
                let mine = try localRun(DrayPrograms.dray, line, row)
                if theirs == mine { break }
                if attempt == 2 { cell.differences.append("\(line): \(mine) instead of \(theirs)") }
            }
        }
        return cell
    }

    /// The words of all runs with an option.
    private static func lines(_ row: OptionRow) -> [[String]] {
        let spellings = OptionSpelling.all(row)
        let values = OptionSamples.values(row)
        var lines = spellings.map { $0.words(values.first) }
        for value in values.dropFirst() { lines.append(spellings[0].words(value)) }
        switch row.argument {
        case .none where OptionRow.isInternal(row): break
        case .none: lines += spellings.filter { $0.word.hasPrefix("--") }.map { ["\($0.word)=1"] }
        default: lines += spellings.filter { !$0.isNegation }.map { ["-r", "src/", "dst/", $0.word] }
        }
        return lines
    }

    private static func tail(_ row: OptionRow) -> [String] {
        switch row.id {
        case .server, .sender, .daemon, .config, .dparam, .detach: ["--bogus", "src/", "dst/"]
        case .help, .version: []
        case .readBatch: ["dst/"]
        // Their counts and debugging lines are the subject of other tables.
        case .verbose, .stats, .progress, .progressAndPartial, .info: ["-r", "--out-format=%n", "src/", "dst/"]
        default: ["-ri", "src/", "dst/"]
        }
    }

    private struct Outcome: Equatable, CustomStringConvertible {
        var code: Int32
        var output: [String]
        var errors: [String]
        var tree: [String]
        var description: String { "\(code) \(output) \(errors) \(tree)" }
    }

    private func prepare() throws {
        removeTree(work)
        let tree = try FileTree(work)
        try tree.directory("cd")
        try tree.directory("src")
        try tree.directory("src/sub")
        try tree.directory("dst")
        try tree.file("src/file", FileTree.noise(3_000, seed: 1))
        try tree.file("src/sub/object.o", FileTree.noise(900, seed: 2))
        try tree.file("dst/file", FileTree.noise(2_900, seed: 3), time: 1_400_000_000)
        try tree.file("dst/old", [1], time: 1_400_000_000)
        try tree.file("list", Array("file\n".utf8))
        try tree.file("rules", Array("*.x\n".utf8))
        try tree.file("secret", Array("word\n".utf8), mode: 0o600)
        for name in ["src/sub", "src", "dst", "cd"] { try tree.setTime(name, 1_450_000_000) }
    }

    private func localRun(_ program: String, _ words: [String], _ row: OptionRow) throws -> Outcome {
        try prepare()
        let result = try run([program] + words, in: work, seconds: 20)
        let tree = TreeSnapshot(work).items.map { name, item in
            // Logs, batch files and texts of the program have lengths of their own.
            let isOwn = name.hasPrefix("log") || name.hasPrefix("batch") || name == "x y"
            return "\(name) \(String(item.mode, radix: 8)) \(isOwn ? "" : String(describing: item.digest))"
        }
        return Outcome(
            code: result.exitCode, output: Self.comparable(result.output, program),
            errors: Self.comparable(result.errors, program), tree: tree.sorted())
    }

    /// Lines in any order, without what processes say that are ended by each other; texts of help count as one line.
    private static func comparable(_ bytes: [UInt8], _ program: String) -> [String] {
        let text = DifferentialText.masked(bytes)
        if text.contains("Usage: rsync") || text.hasPrefix("rsync  version") {
            return ["USAGE"] + text.split(separator: "\n").filter { $0.hasPrefix("rsync error") }.map(String.init)
        }
        let masks = ["received SIGUSR1", "sent ", "total size is", "Total bytes", "File list size"]
        return text.split { $0 == "\n" || $0 == "\r" || $0 == "\r\n" }.map(String.init)
            .filter { line in !masks.contains { line.contains($0) } }
            .map { $0.hasPrefix(program) ? String($0.dropFirst(program.count)) : $0 }.sorted()
    }

    // MARK: - Forwarded

    /// What both clients hand to the remote shell, pushing and pulling.
    func forwarded(_ row: OptionRow) throws -> Cell {
        var cell = Cell()
        if row.id == .rsh || row.id == .help || row.id == .version || OptionRow.isInternal(row) {
            cell.note = "never"
            return cell
        }
        try prepare()
        let spellings = OptionSpelling.all(row)
        let values = OptionSamples.values(row)
        var lines: [[String]] = []
        let bases = Interop.isFull ? [[], ["-a"], ["-rv"], ["-i", "-d"]] : [["-a"]]
        for base in bases {
            lines += spellings.map { base + $0.words(values.first) }
            lines += values.dropFirst().map { base + spellings[0].words($0) }
        }
        lines.append(spellings[0].words(values.first))
        lines += spellings.prefix(1).map { ["-a", $0.word, $0.word] }
        var empty = 0
        for line in lines {
            for operands in [["src/", "host:dst"], ["host:src/", "dst"]] {
                cell.runs += 1
                let theirs = try record(PeerRsync.path!, line + operands)
                let mine = try record(DrayPrograms.dray, line + operands)
                if theirs.words == nil && mine.words == nil { empty += 1 }
                // Codes are equal where nothing is started; behind a shell that only ends they depend on timing.
                if theirs.words != mine.words || theirs.words == nil && theirs.code != mine.code {
                    cell.differences.append("\(line + operands): \(mine) instead of \(theirs)")
                }
            }
        }
        if cell.differences.isEmpty && empty == cell.runs { cell.note = "refused by both clients" }
        return cell
    }

    private func record(_ program: String, _ words: [String]) throws -> (words: String?, code: Int32) {
        let file = scratch.path + "/record"
        unlink(file)
        let result = try run([program, "-e", shell] + words, in: work, environment: ["RECORD": file], seconds: 20)
        for name in ["batch", "batch.sh", "log"] { unlink(work + "/" + name) }
        return (DaemonLab.text(file), result.exitCode)
    }

    // MARK: - Refused

    /// What a client is told by a daemon that refuses the option.
    func refused(_ row: OptionRow) throws -> Cell {
        var cell = Cell()
        if let reason = Refusals.exemption(row) {
            cell.note = reason
            return cell
        }
        let values = OptionSamples.values(row)
        let name = row.refusalName
        let pairs: [(DaemonClient, DaemonKind)] = [(.rsync, .rsync), (.dray, .dray), (.rsync, .dray), (.dray, .rsync)]
        // Spellings of one option are one option; all of them are tried in the whole matrix.
        for spelling in OptionSpelling.all(row).prefix(Interop.isFull ? .max : 1) {
            let options = spelling.words(values.first) + Refusals.companions(row)
            cell.runs += 2
            // Which end notices first that the other one is gone is a matter of chance: three tries.
            var differences: [String] = []
            for attempt in 0..<3 where attempt == 0 || !differences.isEmpty {
                // Daemons wait a while after a refusal, so all of them are asked at once.
                var talks: [@Sendable () throws -> [String]] = []
                for (client, server) in pairs {
                    for isPush in [true, false] {
                        talks.append { try OptionCoverage().talk(name, client, server, options, isPush) }
                    }
                }
                let answers = try inParallel(talks)
                differences = []
                for (index, pair) in pairs.enumerated().dropFirst() {
                    for (offset, direction) in ["push", "pull"].enumerated() {
                        let (mine, theirs) = (answers[2 * index + offset], answers[offset])
                        if Self.agree(mine, theirs) { continue }
                        differences.append("\(pair) \(options) \(direction): \(mine) instead of \(theirs)")
                    }
                }
            }
            cell.differences += differences
        }
        return cell
    }

    /// rsync loses the code when its connection is reset before it has read all: then the daemon's text counts.
    private static func agree(_ mine: [String], _ theirs: [String]) -> Bool {
        let isReset = (mine + theirs).contains { $0.contains("Connection reset") }
        if !isReset { return mine == theirs }
        func text(_ lines: [String]) -> [String] {
            lines.filter { !$0.hasPrefix("code") && !$0.hasPrefix("rsync error") && !$0.contains("Connection reset") }
        }
        return text(mine) == text(theirs)
    }

    /// The code and the errors of a client whose option `name` is refused by the daemon.
    private func talk(
        _ name: String, _ client: DaemonClient, _ server: DaemonKind, _ options: [String], _ isPush: Bool
    ) throws -> [String] {
        let module = "[refusing]\npath = \(scratch.path)/module\nread only = no\nrefuse options = \(name)\n"
        let tree = try FileTree(scratch.path)
        try tree.file("conf", Array(("use chroot = no\nuid = 0\ngid = 0\nreverse lookup = no\n" + module).utf8))
        try tree.directory("module")
        try tree.directory("module/in")
        try tree.file("module/file", Array("content\n".utf8))
        try prepare()
        let operands = isPush ? ["src/file", "rsync://host/refusing/in/"] : ["rsync://host/refusing/file", "dst/"]
        let program = server == .dray ? DrayPrograms.dray : PeerRsync.path!
        let connect = ["RSYNC_CONNECT_PROG": "\(program) --daemon --config=\(scratch.path)/conf"]
        let result = try run([client.program] + options + operands, in: work, environment: connect, seconds: 20)
        let errors = Self.comparable(result.errors, client.program).filter { !$0.contains("connection unexpectedly") }
        return ["code \(result.exitCode)"]
            + errors.map { line in
                line.split(separator: scratch.path, omittingEmptySubsequences: false).joined(separator: "SCRATCH")
            }
    }
}

extension OptionRow {
    /// How `refuse options` names it.
    fileprivate var refusalName: String { names.first ?? short.map { String(Unicode.Scalar($0)) } ?? "" }
}

/// What refusals need.
enum Refusals {
    /// Options that no daemon can refuse, because it never sees them or could not work without them.
    static func exemption(_ row: OptionRow) -> String? {
        switch row.id {
        case .server, .sender, .daemon, .config, .dparam, .detach, .help, .version: "not the client's to give"
        // rsync lets them pass; a rule that the operator has written counts here.
        case .qsort: "rsync's server does not know its own word for it"
        case .oldCompress, .newCompress, .compressLevel: "rsync's set-up breaks off in garbage"
        case .ignoreMissingArgs, .deleteMissingArgs: "stricter than rsync, which overlooks the rule"
        case .rsh, .rsyncPath, .address, .port, .readBatch: "chooses another connection"
        default: nil
        }
    }

    /// Without these the option means nothing or is an error.
    static func companions(_ row: OptionRow) -> [String] {
        switch row.id {
        case .delete, .deleteBefore, .deleteDuring, .deleteDelay, .deleteAfter, .deleteExcluded, .maxDelete: ["-r"]
        case .skipCompress, .compressThreads: ["-z"]
        default: []
        }
    }
}
