// Dray — runs a command line with rsync and with Dray on equal trees, and tells what differs.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc

/// Runs one line, in a directory of its own.
final class DifferentialRunner {
    /// Which program is which.
    struct Pair: Sendable, CustomStringConvertible {
        var client: String
        var peer: String
        var description: String { "\(client)→\(peer)" }

        static let reference = Pair(client: "rsync", peer: "rsync")
        static let localDray = Pair(client: "dray", peer: "dray")
    }

    static let pairs =
        [Pair(client: "dray", peer: "rsync"), Pair(client: "rsync", peer: "dray")]
        + (Interop.isFull ? [.localDray] : [])

    private struct Outcome {
        var result: ProcessResult
        var tree: TreeSnapshot
        var effects: [String: [String]]
        var startedAt: Int64
        var output: [String]
        var errors: [String]
        var counts: [Int]
    }

    private let line: DifferentialLine
    private let scratch: ScratchDirectory
    private var references: [Outcome] = []

    /// Exit codes of rsync against itself so far.
    var referenceCodes: [Int32] { references.map(\.result.exitCode) }

    private var work: String { scratch.path + "/w" }
    private var programs: String { scratch.path + "/programs" }

    init(_ line: DifferentialLine) throws {
        self.line = line
        scratch = try ScratchDirectory()
        let tree = try FileTree(programs)
        try tree.directory("client")
        try tree.directory("peer")
        // As ssh would on another machine, but in the same directory.
        let shell =
            "#!/bin/sh\nwhile [ \"$1\" != host ]; do shift; done\nshift\nPATH=\(programs)/peer:/usr/bin:/bin\nexec /bin/sh -c \"$*\"\n"
        try tree.file("shell", Array(shell.utf8), mode: 0o755)
        try tree.file("rsyncd.conf", Array(configuration.utf8))
    }

    private var configuration: String {
        let modules = [("src", "src"), ("dst", "dst"), ("all", "")].map { name, path in
            "[\(name)]\npath = \(work)/\(path)\nread only = no\ncomment = the \(name) module\n"
        }
        return "use chroot = no\nuid = 0\ngid = 0\nmunge symlinks = no\nreverse lookup = no\n"
            + "log file = \(scratch.path)/daemon.log\n" + modules.joined()
            + "[jail]\npath = \(work)\nread only = no\nuse chroot = yes\n"
            + "[ref]\npath = \(work)\nread only = no\nrefuse options = checksum compress\n"
            + "[ro]\npath = \(work)/src\n[cs]\npath = \(work)/src\ncharset = bogus\n"
    }

    /// What differs from rsync; empty if nothing does.
    func complaints(_ pair: Pair) throws -> [String] {
        if references.isEmpty { references.append(try run(.reference)) }
        var outcome = try run(pair)
        var complaints = differences(outcome, from: references[0])
        var attempt = 0
        // What rsync's processes print in which order is not always the same: three tries. A machine that stops for a
        // second gives more lines of progress, to either program: the last try is another run.
        while !complaints.isEmpty && attempt < 2 {
            attempt += 1
            if references.count <= attempt { references.append(try run(.reference)) }
            if attempt == 2 { outcome = try run(pair) }
            let others = differences(outcome, from: references[attempt])
            if others.count < complaints.count { complaints = others }
        }
        return complaints
    }

    private func differences(_ outcome: Outcome, from reference: Outcome) -> [String] {
        var lines: [String] = []
        if outcome.result.timedOut { lines.append("hangs") }
        if outcome.result.exitCode != reference.result.exitCode {
            lines.append("exit code \(outcome.result.exitCode) instead of \(reference.result.exitCode)")
        }
        lines += DifferentialText.differences(outcome.output, reference.output, "standard output")
        lines += DifferentialText.differences(outcome.errors, reference.errors, "standard error")
        if line.comparesCounts, !DifferentialText.areClose(outcome.counts, reference.counts) {
            lines.append("numbers of bytes \(outcome.counts) instead of \(reference.counts)")
        }
        lines += outcome.tree.differences(from: reference.tree, now: reference.startedAt).filter { line in
            !self.line.treeExceptions.contains { line.hasPrefix($0) }
        }
        return lines + DifferentialTrace.differences(outcome.effects, reference.effects)
    }

    // MARK: - Running

    private func run(_ pair: Pair) throws -> Outcome {
        try link(pair.client, as: "client/rsync")
        try link(pair.peer, as: "peer/rsync")
        removeTree(work)
        try prepare()
        let startedAt = Int64(time(nil))
        var words = ["/bin/sh", "-c", line.script]
        if line.isUnprivileged { words = ["/usr/bin/setpriv", "--reuid=1", "--regid=1", "--clear-groups"] + words }
        let trace = scratch.path + "/trace"
        let isTraced = line.isTraced && DifferentialTrace.isPermitted
        if isTraced { words = DifferentialTrace.words(trace) + words }
        let result = try DrayTestSupport.run(words, in: work, environment: environment, seconds: 30)
        let effects = isTraced ? DifferentialTrace.effects(trace, below: work) : [:]
        return Outcome(
            result: result, tree: TreeSnapshot(work), effects: effects, startedAt: startedAt,
            output: DifferentialText.lines(DifferentialText.masked(result.output), of: line),
            errors: DifferentialText.lines(DifferentialText.masked(result.errors), of: line),
            counts: DifferentialText.counts(result.output))
    }

    private var environment: [String: String] {
        [
            "PATH": "\(programs)/client:/usr/bin:/bin", "W": work, "PEER": programs + "/peer/rsync",
            "RSYNC_RSH": programs + "/shell",
            "RSYNC_CONNECT_PROG": "\(programs)/peer/rsync --daemon --config=\(programs)/rsyncd.conf",
            "USER": "somebody",
        ]
    }

    private func link(_ program: String, as name: String) throws {
        let path = programs + "/" + name
        unlink(path)
        guard symlink(program == "dray" ? DrayPrograms.dray : PeerRsync.path!, path) == 0 else {
            throw SystemCallError(call: "symlink \(path)", code: errno)
        }
    }

    private func prepare() throws {
        let tree = try FileTree(work)
        let before = Int64(time(nil))
        if line.start != .nothing { try FileTree.small(work + "/src") }
        switch line.start {
        case .absent, .nothing: break
        case .same: try FileTree.small(work + "/dst")
        case .outdated, .metadata: try FileTree.smallOutdated(work + "/dst")
        }
        if line.start == .metadata {
            try FileTree(work + "/src").addMetadata()
            try FileTree(work + "/dst").addMetadata()
            try FileTree(work + "/dst").outdateMetadata()
        }
        if !line.prepare.isEmpty {
            let result = try DrayTestSupport.run(["/bin/sh", "-ec", line.prepare], in: work, environment: environment)
            guard result.exitCode == 0 else { throw DifferentialError(text: result.errorText) }
        }
        // Whatever was made just now gets a time that is the same in every run.
        if !line.prepare.isEmpty || line.start == .metadata {
            let words = [
                "/usr/bin/find", ".", "-newermt", "@\(before - 1)", "-exec", "touch", "-hd@1460000000", "{}", "+",
            ]
            _ = try DrayTestSupport.run(words, in: work)
        }
        try tree.setTime("", 1_460_000_000, nanoseconds: 0)
        if line.isUnprivileged { _ = try DrayTestSupport.run(["/bin/chown", "-Rh", "1:1", work]) }
    }
}

/// The commands that prepare a line failed.
struct DifferentialError: Error { var text: String }

extension FileTree {
    /// A tree with one of everything, small enough to be made hundreds of times.
    static func small(_ root: String) throws {
        let tree = try FileTree(root)
        try tree.file("alpha", noise(1_000, seed: 1))
        try tree.file("beta.txt", noise(2_000, seed: 2), mode: 0o640)
        try tree.file("big", noise(60_000, seed: 3), time: 1_500_000_100)
        try tree.file("empty", [])
        try tree.file("run.sh", noise(50, seed: 4), mode: 0o755)
        try tree.file(".hidden", noise(60, seed: 5))
        try tree.file("with space", noise(70, seed: 6))
        try tree.file("swap1", noise(80, seed: 7))
        try tree.directory("dir")
        try tree.file("dir/one", noise(90, seed: 8))
        try tree.file("dir/two.o", noise(91, seed: 9))
        try tree.directory("dir/sub", mode: 0o711)
        try tree.file("dir/sub/three", noise(5_000, seed: 10))
        try tree.directory("dir/sub/deep")
        try tree.file("dir/sub/deep/four.o", noise(92, seed: 11))
        try tree.directory("hollow", mode: 0o750)
        try tree.directory("swap2")
        try tree.file("swap2/in", noise(93, seed: 12))
        try tree.symlink("link", to: "alpha")
        try tree.symlink("dangling", to: "nowhere/at")
        try tree.symlink("dirlink", to: "dir")
        try tree.symlink("dir/up", to: "../../outside")
        try tree.file("hard1", noise(94, seed: 13))
        try tree.hardLink("dir/hard2", to: "hard1")
        try tree.fifo("fifo")
        if geteuid() == 0 {
            try tree.node("null", S_IFCHR | 0o666, device: 0x103)
            try tree.owner("run.sh", 1234, 4321)
            try tree.owner("dir/one", 1, 2)
        }
        for name in ["dir/sub/deep", "dir/sub", "dir", "hollow", "swap2", ""] { try tree.setTime(name, 1_450_000_000) }
    }

    /// An older state of `small`: changed, missing, superfluous and of another type.
    static func smallOutdated(_ root: String) throws {
        try small(root)
        let tree = try FileTree(root)
        var big = noise(60_000, seed: 3)
        big[1_000] ^= 1
        big.removeSubrange(20_000..<20_010)
        try tree.file("big", big, time: 1_400_000_000)
        // Same size and time, other content.
        try tree.file("beta.txt", noise(2_000, seed: 22), mode: 0o640)
        // A prefix; a newer file; other times; other modes.
        try tree.file("dir/sub/three", Array(noise(5_000, seed: 10)[..<3_000]), time: 1_400_000_000)
        try tree.file("dir/one", noise(99, seed: 23), time: 1_600_000_000)
        try tree.file("alpha", noise(1_000, seed: 1), time: 1_400_000_000)
        try tree.file("run.sh", noise(50, seed: 4), mode: 0o600)
        tree.remove("with space")
        tree.remove("hollow")
        tree.remove("dangling")
        tree.remove("dir/sub/deep")
        try tree.file("extra", noise(20, seed: 24))
        try tree.file("dir/extra.o", noise(21, seed: 25))
        try tree.directory("old")
        try tree.directory("old/inner")
        try tree.file("old/inner/x", noise(22, seed: 26))
        try tree.file("old/keep.o", noise(23, seed: 27))
        tree.remove("link")
        try tree.symlink("link", to: "elsewhere")
        tree.remove("swap1")
        try tree.directory("swap1")
        tree.remove("swap2")
        try tree.file("swap2", noise(24, seed: 28))
        tree.remove("dir/hard2")
        try tree.file("dir/hard2", noise(94, seed: 13))
        for name in ["old/inner", "old", "swap1", "dir/sub", "dir", ""] { try tree.setTime(name, 1_440_000_000) }
    }
}
