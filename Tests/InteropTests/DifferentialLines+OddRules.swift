// Dray — command lines: odd forms of rules, what becomes of them, and what is told of it.
// SPDX-License-Identifier: Apache-2.0

extension DifferentialLine {
    static let oddRules: [DifferentialLine] =
        cvsLists + mergeNames + longRules + excludedMarks + dryDeletions + moduleRules + hiddenNames
        + standardACLs

    /// The first rule that asks for the list of CVS says how its patterns are meant.
    private static let cvsLists: [DifferentialLine] = [
        "-f +C", "-f '+C' -f '- *.o'", "-f '-!C'", "-f '-C' -f '+C'", "-C -f '+C'", "-f '-pC' -f '-!C'",
        "-f '-C' -C --delete-excluded",
    ].flatMap { rules in
        ["src/ dst/", "src/ host:dst/", "host:src/ dst/", "--protocol=29 host:src/ dst/"].map {
            DifferentialLine(
                "CVSIGNORE='run.sh ! extra' rsync -ai --delete \(rules) \($0)", .outdated,
                prepare: "touch src/x.bak dst/core dst/y~", order: .any)
        }
    }

    /// How files of rules may be named, and what may stand in them.
    private static let mergeNames: [DifferentialLine] =
        ["./no", "a/../no", "a//b", "dir/", ".", "./", "//no", "src/./alpha", "src/../r2"].flatMap { name in
            ["rsync -ai -f '. \(name)' src/ dst/", "rsync -ai -f '.- \(name)' host:src/ dst/"].map {
                DifferentialLine($0, prepare: "echo '- alpha' >r2", order: .any)
            }
        } + [
            DifferentialLine("rsync -ai --exclude-from= --include-from= src/ dst/"),
            DifferentialLine("rsync -ai --exclude-from=. src/ dst/"),
            DifferentialLine("rsync -ai --exclude-from=r src/ dst/", prepare: "printf '*.o\\0x\\n\\0\\n- alpha\\0' >r"),
            DifferentialLine("rsync -ai -f '.w- r' src/ dst/", prepare: "printf '*.o\\0 alpha\\0x big' >r"),
        ]

    /// Rules and names of files that are too long.
    private static let longRules: [DifferentialLine] =
        ["4096", "5080", "5090", "6000"].flatMap { count in
            ["--exclude=", "-f-_", "-f._", "-f:_", "-fexclude,s_", "-fq"].map {
                DifferentialLine("rsync -ai \($0)$(printf '%\(count)s' | tr ' ' x) src/ dst/")
            }
        } + [
            DifferentialLine("rsync -ai -f:_$(printf '%4090s' | tr ' ' x) src/dir/sub/ dst/", order: .any),
            DifferentialLine("rsync -ai -f:_$(printf '%4090s' | tr ' ' x) host:src/dir/sub/ dst/", order: .any),
        ]

    /// `--delete-excluded` marks the rules behind it.
    private static let excludedMarks: [DifferentialLine] = [
        "-f '- a' --delete-excluded -f '- b'", "--delete-excluded -f '- a' -f ': m'", "-f '- a' -C --delete-excluded",
        "--delete-excluded --partial-dir=p",
    ].flatMap { rules in
        ["src/ dst/", "-M--debug=none,filter2 host:src/ dst/", "-M--debug=none,filter2 src/ host:dst/"].map {
            DifferentialLine("rsync -a --debug=none,filter2 \(rules) \($0)", .outdated, order: .any)
        }
    }

    private static let dryDeletions: [DifferentialLine] = ["-ain", "-rnt", "-ai"].flatMap { options in
        ["-f 'P x'", "-f '- inner'", "--include='*/' --exclude='*'", "-f 'P x' --max-delete=1", "-f 'P x' --stats"].map
        {
            DifferentialLine("rsync \(options) --delete \($0) src/ dst/", .outdated, order: .any)
        }
    }

    /// What a module's rules hide is not there to change to, nor to compare with.
    private static let moduleRules: [DifferentialLine] = [
        "rsync://localhost/all/src/dir/ dst/", "rsync://localhost/all/src/alpha rsync://localhost/all/src/dir/one dst/",
        "rsync://localhost/all/src/dir/sub/ dst/", "-R rsync://localhost/all/src/./dir/sub/ dst/",
        "--compare-dest=dir src/ rsync://localhost/all/src",
        "--compare-dest=dst src/ rsync://localhost/all/src",
    ].map {
        DifferentialLine(
            "RSYNC_CONNECT_PROG=\"$PEER --daemon --config=c\" rsync -ai \($0)", .outdated,
            prepare: "printf '%s\\n' 'use chroot = no' 'uid = 0' 'gid = 0' '[all]' \"path = $W\" 'read only = no' "
                + "'exclude = /src/dir' 'log file = /dev/null' >c", order: .any,
            without: ["Connection reset by peer"])
    }

    /// Names that a module hides, under which single files are sent; the client's own name for the file does not count.
    private static let hiddenNames: [DifferentialLine] = [
        "src/alpha rsync://localhost/all/new", "src/alpha rsync://localhost/all/",
        "src/beta.txt rsync://localhost/all/alpha", "src/alpha src/beta.txt rsync://localhost/all/x/",
        "src/alpha rsync://localhost/all/x", "--mkpath src/alpha rsync://localhost/all/a/new",
        "-n src/alpha rsync://localhost/all/new",
    ].map {
        DifferentialLine(
            "RSYNC_CONNECT_PROG=\"$PEER --daemon --config=c\" rsync -ai \($0)",
            prepare:
                "mkdir m; printf '%s\\n' 'use chroot = no' 'uid = 0' 'gid = 0' '[all]' \"path = $W/m\" 'read only = no' "
                + "'exclude = alpha /x' 'log file = /dev/null' >c")
    }

    /// Directories that are made where a default ACL holds, which the transfer takes away.
    private static let standardACLs: [DifferentialLine] = ["src/dir/ d/", "src/dir d/", "host:src/dir/ d/"].map {
        DifferentialLine("rsync -rlA --no-p \($0)", prepare: "mkdir d; setfacl -d -m u::rwx,g::r-x,o::- d")
    }
}
