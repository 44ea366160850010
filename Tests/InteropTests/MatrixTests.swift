import DrayTestSupport
import Glibc
import Testing

extension Interop {
    /// Every option set from every start state through every pair of programs: tree, exit code, item lines and
    /// statistics are those of rsync talking to itself.
    @Suite struct MatrixTests {
        static let sets = OptionSet.all.filter { Interop.isFull || $0.isQuick }

        @Test(arguments: sets)
        func matchesRsync(_ set: OptionSet) throws {
            guard Interop.isInShard(set) else { return }
            let scratch = try ScratchDirectory()
            let runner = MatrixRunner(scratch: scratch.path, set: set, peers: try MatrixPeers(in: scratch.path))
            for version in set.protocols {
                // Old protocols meet the start state that has more in it.
                for start in Interop.isFull && version == 32 ? Start.allCases : [.outdated] {
                    var expected: [String: MatrixRunner.Outcome] = [:]
                    for cell in Interop.isFull ? Cell.all : Cell.few {
                        let reference =
                            try expected[cell.reference.description] ?? runner.run(cell.reference, start, version)
                        expected[cell.reference.description] = reference
                        if [12, 22].contains(reference.result.exitCode) {
                            // rsync fails on its own here: -C with --delete below protocol 29, -U at 27.
                            Interop.log(
                                "skip\t\(set)\t\(start)\t\(version)\t\(cell)\trsync: exit \(reference.result.exitCode)")
                            continue
                        }
                        let outcome = try runner.run(cell, start, version)
                        let complaints = runner.complaints(outcome, reference, isOld: set.version(version) < 29)
                        Interop.log("\(complaints.isEmpty ? "ok" : "FAIL")\t\(set)\t\(start)\t\(version)\t\(cell)")
                        if !complaints.isEmpty {
                            let lines = complaints.prefix(25).joined(separator: "\n")
                            Interop.log(lines)
                            Issue.record("\(cell), protocol \(version), destination \(start), \(set):\n\(lines)")
                        }
                    }
                }
            }
        }
    }

    /// What is at the destination before.
    enum Start: String, CaseIterable { case absent, outdated }

    /// Appends a line to the file named by `DRAY_MATRIX_LOG`.
    static func log(_ line: String) {
        guard let name = getenv("DRAY_MATRIX_LOG"), let file = fopen(String(cString: name), "a") else { return }
        fputs(line + "\n", file)
        fclose(file)
    }
}

/// Runs cells of one option set.
struct MatrixRunner {
    let scratch: String
    let set: OptionSet
    let peers: MatrixPeers

    struct Outcome {
        var result: ProcessResult
        var destination: TreeSnapshot
        var source: TreeSnapshot
        var startedAt: Int64
    }

    func run(_ cell: Cell, _ start: Interop.Start, _ version: Int) throws -> Outcome {
        let work = scratch + "/work"
        removeTree(work)
        _ = try FileTree(work)
        try FileTree.odd(work + "/source")
        if set.hasMetadata { try FileTree(work + "/source").addMetadata() }
        var destination = work + "/parent/destination"
        let parent = try FileTree(work + "/parent")
        if start == .outdated { try FileTree.outdated(destination) }
        if start == .outdated && set.hasMetadata {
            try FileTree(destination).addMetadata()
            try FileTree(destination).outdateMetadata()
        }
        try parent.setTime("", 1_420_000_000)
        if set.options.contains("--mkpath") { destination = work + "/parent/new/path/destination" }
        let source = work + "/source/" + set.source
        var options = set.options.map { $0.hasPrefix("--filter") ? String($0.map { $0 == "_" ? " " : $0 }) : $0 }
        if version < 32 { options.append("--protocol=\(version)") }
        let startedAt = Int64(time(nil))
        let result = try DrayTestSupport.run(
            cell.words(
                ["-i", "--stats"] + options, peers: peers, source: source,
                destination: destination + "/"), in: work, seconds: 30)
        return Outcome(
            result: result, destination: TreeSnapshot(work + "/parent"), source: TreeSnapshot(work + "/source"),
            startedAt: startedAt)
    }

    /// What is different from the reference.
    func complaints(_ outcome: Outcome, _ reference: Outcome, isOld: Bool) -> [String] {
        var lines: [String] = []
        if outcome.result.timedOut { lines.append("hangs") }
        if outcome.result.exitCode != reference.result.exitCode {
            lines.append(
                "exit code \(outcome.result.exitCode) instead of \(reference.result.exitCode): "
                    + outcome.result.errorText)
        }
        lines += outcome.destination.differences(from: reference.destination, now: reference.startedAt).filter {
            // Compatibility: rsync gives a file that it leaves in a directory's place the directory's time.
            !(set.options.contains("--ignore-existing") && $0.hasPrefix("destination/empty: mtime"))
        }
        lines += outcome.source.differences(from: reference.source, now: reference.startedAt).map { "source: " + $0 }
        lines += Output(outcome.result.outputText).complaints(
            // Below protocol 29 a pulling client's two processes print on their own.
            Output(reference.result.outputText), isUnordered: set.isUnordered || isOld)
        let errors = Self.comparable(outcome.result.errorText, code: outcome.result.exitCode)
        let wanted = Self.comparable(reference.result.errorText, code: reference.result.exitCode)
        if errors != wanted && outcome.result.exitCode == reference.result.exitCode {
            lines.append("standard error:\n  \(errors)\n  instead of\n  \(wanted)")
        }
        return lines
    }

    /// Error lines without source positions and versions.
    private static func comparable(_ text: String, code: Int32) -> [String] {
        let lines = text.split(separator: "\n").compactMap { line -> String? in
            // rsync's processes end each other by signals; how much had arrived by then varies.
            if line.hasPrefix("rsync error: received SIGUSR1 (code 19)") { return nil }
            // Whether the other side notices that this one has given up is a matter of timing.
            if code == 2
                && ["(code 12)", "connection unexpectedly closed", "safe_write failed"].contains(where: {
                    line.contains($0)
                })
            {
                return nil
            }
            if let place = line.firstRange(of: ") at ") { return String(line[..<place.lowerBound]) }
            if let place = line.firstRange(of: "connection unexpectedly closed (") {
                return String(line[..<place.upperBound])
            }
            // The end of a temporary name is random.
            return String(line).replacing(#/(\/\.[^\/"]+\.)[A-Za-z0-9]{6}"/#) { $0.1 + "XXXXXX\"" }
        }
        // One side may be gone before it has said what the other one says too.
        return code == 2 ? Set(lines).sorted() : lines.sorted()
    }
}

/// Standard output, taken apart.
private struct Output {
    var items: [String] = []
    var deletions: [String] = []
    var statistics: [String] = []

    init(_ text: String) {
        for line in text.split(separator: "\n").map(String.init) {
            if Self.deletionLines.contains(where: { line.hasPrefix($0) }) {
                // Compatibility: rsync says twice that a nested directory stays.
                if !line.hasPrefix("cannot delete ") || !deletions.contains(line) { deletions.append(line) }
            } else if let colon = line.firstIndex(of: ":"), Self.counts.contains(String(line[..<colon])) {
                statistics.append(line)
            } else if line.hasPrefix("  ") && line.contains("(") {
                continue  // memory statistics
            } else if !Self.ignored.contains(where: { line.hasPrefix($0) }) {
                items.append(line)
            }
        }
    }

    private static let counts: Set<String> = [
        "Number of files", "Number of created files", "Number of deleted files",
        "Number of regular files transferred", "Total file size", "Total transferred file size", "Literal data",
        "Matched data",
    ]
    /// These come as messages, which overtake items depending on timing.
    private static let deletionLines = [
        "*deleting", "deleting ", "cannot delete ", "skipping non-regular file", "WARNING: ",
    ]
    private static let ignored = [
        "File list ", "Total bytes ", "sent ", "total size is ", "sending incremental file list",
        "receiving incremental file list", "sending file list", "receiving file list", "opening connection",
    ]

    func complaints(_ reference: Output, isUnordered: Bool) -> [String] {
        var lines: [String] = []
        if items.sorted() != reference.items.sorted() {
            // Which member of a hard-link group is sent depends on how far the lists have come.
            let mine = isUnordered ? items.map(Self.withoutLeader) : items
            let theirs = isUnordered ? reference.items.map(Self.withoutLeader) : reference.items
            if mine.sorted() != theirs.sorted() { lines += Self.difference(mine, theirs) }
        } else if items != reference.items && !isUnordered {
            let place = zip(items, reference.items).first { $0 != $1 }!
            lines.append("order of items: \(place.0) instead of \(place.1)")
        }
        if deletions.sorted() != reference.deletions.sorted() {
            lines += Self.difference(deletions, reference.deletions)
        } else if deletions != reference.deletions {
            lines.append("order of deletions: \(deletions) instead of \(reference.deletions)")
        }
        if statistics != reference.statistics { lines += Self.difference(statistics, reference.statistics) }
        return lines
    }

    private static func withoutLeader(_ line: String) -> String {
        String((line.firstRange(of: " => ").map { line[..<$0.lowerBound] } ?? line[...]).dropFirst())
    }

    private static func difference(_ mine: [String], _ theirs: [String]) -> [String] {
        let change = mine.sorted().difference(from: theirs.sorted())
        return change.insertions.map { element -> String in
            guard case .insert(_, let line, _) = element else { return "" }
            return "prints: \(line)"
        }
            + change.removals.map { element -> String in
                guard case .remove(_, let line, _) = element else { return "" }
                return "does not print: \(line)"
            }
    }
}
