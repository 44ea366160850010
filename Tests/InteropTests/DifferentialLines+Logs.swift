// Dray — command lines: logs of both sides, and destinations that are made.
// SPDX-License-Identifier: Apache-2.0

extension DifferentialLine {
    static let logs: [DifferentialLine] = ownLogs + otherLogs + madePaths + dottedSources

    /// Prints a log and removes it, because its times and processes are each run's own.
    private static func logged(_ script: String, _ name: String) -> DifferentialLine {
        DifferentialLine(
            "\(script); code=$?; cat \(name); rm \(name); exit $code", .outdated, order: .any,
            // The search for matching blocks is another one.
            without: ["^(NOW .PID. )?total: matches="])
    }

    private static let ownLogs: [DifferentialLine] =
        [
            logged("rsync -a -n --delete --log-file=log src/ dst/", "log"),
            logged("rsync -avn --delete --log-file=log src/ dst/", "log"),
            logged("rsync -avv --delete --log-file=log src/ dst/", "log"),
            logged("rsync -avv --log-file=log --log-file-format='%n' src/ dst/", "log"),
            logged("rsync -aii --log-file=log --log-file-format='%i %n' src/ dst/", "log"),
            logged("rsync -a --log-file=log src/missing src/ dst/", "log"),
            logged("rsync -avv --delete --log-file=log src/ host:dst/", "log"),
            logged("rsync -avvn --delete --log-file=log host:src/ dst/", "log"),
            logged("rsync -aqv --log-file=log src/ host:dst/", "log"),
        ]
        + ["-av --no-i-r", "-aqv --no-i-r", "-rv --protocol=28", "-r --no-i-r --info=flist2"].flatMap { options in
            ["src/ dst/", "src/ host:dst/", "host:src/ dst/"].map {
                logged("rsync \(options) --log-file=log \($0)", "log")
            }
        }

    private static let otherLogs: [DifferentialLine] =
        [
            "-a --delete", "-av --delete", "-avv --delete", "-ai --delete", "-aii", "-a --stats", "-a --info=stats2",
            "-a -n --delete", "-av --no-i-r", "-rv --protocol=28", "-a --delete -M--log-file-format='%o %n %l'",
            "-ai -M--log-file-format=%n",
        ].flatMap { options in
            ["src/ dst/", "src/ host:dst/", "host:src/ dst/"].map {
                logged("rsync \(options) -M--log-file=$W/log \($0)", "log")
            }
        } + [
            logged("rsync -a --delete -M--log-file=log src/ dst/", "log"),
            logged("rsync -a --delete -M--log-file=$W/log --log-file=$W/own src/ dst/; cat own; rm own", "log"),
            DifferentialLine("rsync -a -M--log-file-format='%o %n' src/ dst/", .outdated),
            DifferentialLine("rsync -a -M--log-file=no/where src/ dst/", .outdated, order: .any),
            DifferentialLine("rsync -a -M--log-file=no/where src/ host:dst/", .outdated, order: .any),
        ]

    /// Sources of a module that mean a directory's contents.
    private static let dottedSources: [DifferentialLine] = [
        "-a rsync://h/all/src/dir/. dst/", "-a rsync://h/all/src/dir/./ dst/", "-a rsync://h/src/. dst/",
        "-a rsync://h/src/dir//. dst/", "-a rsync://h/src/./dir dst/", "-aR rsync://h/src/./dir/. dst/",
        "-a 'rsync://h/src/d*/.' dst/", "-a src/dir/ rsync://h/all/dst/.",
    ].map { DifferentialLine("rsync " + $0, order: .any) }

    private static let madePaths: [DifferentialLine] = [
        "-r --mkpath src/dir src/alpha/", "-r --mkpath src/dir/ src/alpha/x", "-r --mkpath src/dir/ src/alpha/x/y",
        "--mkpath src/beta.txt src/alpha/x", "--mkpath src/beta.txt src/alpha/x/y",
        "--mkpath src/beta.txt src/alpha/x/",
        "--mkpath src/beta.txt src/alpha/", "--mkpath src/beta.txt src/alpha", "--mkpath src/beta.txt src/fifo/x/y/z",
        "-v --mkpath src/beta.txt src/big src/alpha/x", "-v --mkpath src/beta.txt src/dangling/x",
        "-v --mkpath src/beta.txt src/dirlink/new/x", "-v --mkpath src/missing a/b/c",
        "-rv --mkpath src/missing a/b/c/",
        "-vn --mkpath src/beta.txt src/alpha/x", "-rvn --mkpath src/dir/ src/alpha/x/y", "-rRv --mkpath src/dir a/b/c",
        "-rvn --mkpath src/dir/ a/b/c/", "-dv --mkpath src/dir/ a/b", "-rv --mkpath src/dir src/./b/c",
        "-rv --mkpath --no-mkpath src/dir a/b", "-v --mkpath src/alpha host:src/beta.txt/x",
        "-v --mkpath src/alpha host:src/beta.txt/", "-rv --mkpath src/dir host::all/src/alpha/b/c",
        "-rv --mkpath src/dir host::all/a/b/c", "-rv --mkpath host::src/dir/ a/b/c",
        // A server that has said why it ends is not explained again.
        "-r src/ host:nowhere/at/all", "-r src/ host:src/alpha", "-r src/ host:src/alpha/",
    ].map { DifferentialLine("rsync " + $0, order: .any) }
}
