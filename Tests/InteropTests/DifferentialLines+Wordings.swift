// Dray — command lines: what messages say in cases that are rare.
// SPDX-License-Identifier: Apache-2.0

extension DifferentialLine {
    static let wordings: [DifferentialLine] = halves + relativePaths + backups + lists + names + traces

    /// rsync's remote processes may say that they have lost each other.
    private static let lost = ["unexpectedly closed", "in rsync protocol data stream", "write error", "read error"]

    private static func plain(_ scripts: String...) -> [DifferentialLine] {
        scripts.map { DifferentialLine($0, order: .any) }
    }

    /// One half of a copy fails and stops the other.
    private static let halves: [DifferentialLine] = [
        DifferentialLine(
            "rsync -r -f ': .f' src/ dst/", prepare: "echo '. nofile' >src/dir/.f", order: .any, except: unfinished),
        DifferentialLine(
            "rsync -r -f ': .f' host:src/ dst/", prepare: "echo '. nofile' >src/dir/.f", order: .any, without: lost),
        DifferentialLine(
            "rsync -r --delete -f ': .f' src/ dst/", .outdated, prepare: "echo '. nofile' >dst/dir/.f", order: .any,
            except: unfinished),
        DifferentialLine("rsync -R src/dir/../alpha dst/", order: .any),
        DifferentialLine("echo x | rsync --files-from=- nosuch/ dst/", order: .any),
        DifferentialLine("rsync -R host:src/dir/../alpha dst/", order: .any, without: lost),
    ]
    /// How far the run had come is a matter of timing.
    private static let unfinished = [""]

    private static let relativePaths: [DifferentialLine] =
        plain(
            "rsync -R ./src/foo/ dst/", "rsync -R ./src dst/", "rsync -rRi ./src/foo dst/", "rsync -dRi ./src/ dst/",
            "rsync --old-dirs --no-dirs src/ dst/", "echo 'foo/' | rsync --files-from=- src dst/")
        + [
            DifferentialLine(
                "rsync -rX src/ dst/", prepare: "setfattr -n user.a -v 1 src/alpha; chmod 0 src/alpha", order: .any,
                unprivileged: true),
            DifferentialLine("rsync -rlD src/ dst/", prepare: "mkdir -p -m 0 dst/dir", order: .any, unprivileged: true),
            DifferentialLine(
                "rsync -rlDi -n src/dir/ dst/", prepare: "mkdir -m 0 dst; rm -r src/dir/sub", order: .any,
                unprivileged: true),
        ]
        + [
            "-r ./src/../src/alpha dst", "-rR $W/src/alpha dst", "-r src/./alpha dst", "-rR host:$W/src/alpha dst",
            "-r host:./src/alpha dst",
        ].map { DifferentialLine("rsync " + $0, prepare: "chmod 0 src/alpha", order: .any, unprivileged: true) }
        + ["", "-L", "-k", "--copy-unsafe-links", "--no-i-r -L"].map {
            DifferentialLine(
                "rsync -rl \($0) src/ dst/", prepare: "rm src/dangling src/dir/up; chmod 644 src/dir", order: .any,
                // The mode of a new directory that its owner could not enter is looked at elsewhere.
                except: ["dst/dir: mode", "dst/dirlink: mode"],
                unprivileged: true)
        }
        + ["src/alpha ro/b/c/", "src/alpha ro/b/c", "-r src/dir ro/b", "-r src/dir/ ./ro/b/c", "src/alpha host:ro/b/c"]
        .map {
            DifferentialLine("rsync --mkpath \($0)", prepare: "mkdir -m 555 ro", order: .any, unprivileged: true)
        }

    private static let backups: [DifferentialLine] =
        [
            "-r --backup-dir=../closed src/alpha dst/",
            "-r --delete --backup-dir=../closed/x src/dir/ dst/dir/",
        ].map {
            DifferentialLine(
                "rsync " + $0, .outdated, prepare: "mkdir -m 555 closed", order: .any, unprivileged: true)
        } + [
            DifferentialLine("rsync -r --backup-dir=alpha/x src/ dst/", .outdated, order: .any),
            DifferentialLine(
                "rsync -rlptD --delete --backup-dir=/dev/shm/dray-wordings src/ dst/; cd /dev/shm/dray-wordings "
                    + "&& find . -type f -exec md5sum {} + | sort; rm -rf /dev/shm/dray-wordings", .outdated,
                order: .any),
        ]

    private static let lists: [DifferentialLine] =
        plain(
            "rsync -rm --info=flist2 host:src/ dst/", "rsync -rm -P host:src/dir dst/", "rsync -aP host:src/empty dst/",
            "rsync -a --progress rsync://h/src/empty dst/", "rsync -r --stderr=all src/ rsync://h/dst/",
            "rsync -r --stderr=all --temp-dir=/nosuch src/ rsync://h/dst/", "rsync -avv src/ src/ dst/",
            "rsync -avv --no-i-r src/ src/ dst/", "rsync -avv host:src/dir/ host:src/dir/ dst/",
            "rsync -ir --usermap=0-9999:7 --copy-dest=../src src/ new/",
            "rsync -irlD --usermap=0-9999:7 --link-dest=../src src/ new/",
            "rsync -az --write-batch=z src/ dst/ && rsync -a --read-batch=z one/ && rsync -av --read-batch=z two/; rm z*"
        )

    /// Names that are not ASCII, in errors of each process.
    private static let names: [DifferentialLine] = ["src/ dst/", "src/ host:dst/", "host:src/ dst/"].flatMap {
        arguments in
        ["", "-8", "--stderr=client"].map {
            DifferentialLine(
                "LC_ALL=C.UTF-8 rsync -r \($0) \(arguments)",
                prepare: "rm -r src/dir; mkdir -p dst/\u{fc}/x; echo 1 >src/\u{fc}", order: .any)
        }
    }

    private static let traces: [DifferentialLine] =
        plain(
            "rsync -aH --debug=none,hlink2 src/ dst/", "rsync -aHn --debug=none,hlink2 src/ dst/",
            "rsync -aH --no-i-r --debug=none,hlink2 src/ dst/",
            "rsync -aH --debug=none,hlink2 --link-dest=../src src/ n/",
            "rsync -r --debug=none,exit2 host:a other:b",
            "rsync -r --debug=none,exit3 --exclude-from=nosuch src/ dst/")
        + [
            // A basis that ends early: sums of rsync's table are met by chance.
            DifferentialLine(
                "rsync -avv --no-W src/ dst/", .same, prepare: "head -c 31000 src/big >dst/big", order: .any),
            DifferentialLine(
                "rsync -avv --no-W src/ dst/", .same, prepare: "tail -c 31000 src/big >dst/big", order: .any),
        ]
}
