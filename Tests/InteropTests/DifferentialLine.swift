// Dray — one row of the tables of command lines that are run with rsync and with Dray.
// SPDX-License-Identifier: Apache-2.0

/// A command line, as a shell script in which `rsync` is the program under test.
///
/// The script runs in an empty directory that holds `src` and, as `start` says, `dst`. `host:path` and `host::module`
/// reach the peer program through a remote shell that runs it here (its files are below the same directory);
/// `rsync://` and `::` without one reach a daemon through `RSYNC_CONNECT_PROG`, with the modules `src`, `dst` (writable),
/// `all` (the directory itself) and `jail` (the same with chroot). `$W` is the directory, `$PEER` the peer program.
struct DifferentialLine: Sendable, CustomStringConvertible {
    /// What is there before.
    enum Start: String, Sendable {
        /// Only `src`.
        case absent
        /// `src`, and an older and edited copy of it at `dst`.
        case outdated
        /// `src`, and its exact copy at `dst`.
        case same
        /// `src` with ACLs and extended attributes; an older state at `dst`.
        case metadata
        /// Nothing but what `prepare` makes.
        case nothing
    }

    /// How much of the order of printed lines is compared.
    enum Order: Sendable {
        case exact
        /// Several processes print, or messages overtake items: lines are compared as a set.
        case any
        /// What rsync prints is a matter of timing or of its processes: only the tree and the exit code are compared.
        case ignored
    }

    var script: String
    var start = Start.absent
    /// Shell commands that change the trees before the line runs. Times of what they touch are made equal.
    var prepare = ""
    var order = Order.exact
    /// Regular expressions of lines that are left out of the comparison; the reason belongs next to the row.
    var without: [String] = []
    /// Beginnings of complaints about the tree that are let pass; the reason belongs next to the row.
    var treeExceptions: [String] = []
    /// Visible effects on the destination are compared as well, by tracing system calls.
    var isTraced = false
    /// Runs as somebody without privileges.
    var isUnprivileged = false

    init(
        _ script: String, _ start: Start = .absent, prepare: String = "", order: Order = .exact,
        without: [String] = [], except: [String] = [], traced: Bool = false, unprivileged: Bool = false
    ) {
        self.script = script
        self.start = start
        self.prepare = prepare
        self.order = order
        self.without = without
        treeExceptions = except
        isTraced = traced
        isUnprivileged = unprivileged
    }

    var description: String {
        script + (start == .absent ? "" : " (\(start))") + (isTraced ? " (traced)" : "")
    }

    /// Whether the numbers of bytes on the wire say something. Not where messages travel with the data, whose frames and
    /// order are a matter of timing, and not where rsync's other process lists files through the connection.
    var comparesCounts: Bool {
        order != .ignored && !script.hasSuffix(" src/")
            && !["--debug", "vv", "--list-only", "stats3"].contains { script.contains($0) }
    }

    /// Whether two programs talk: then each of them is Dray once.
    var hasPeer: Bool { script.contains("host:") || script.contains("::") || script.contains("rsync://") }
}
