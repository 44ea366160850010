// Dray — command lines: what is done to the destination, and when.
// SPDX-License-Identifier: Apache-2.0

extension DifferentialLine {
    static let disk: [DifferentialLine] =
        backups + [setID] + deletions + attributes + choices + placement + bases + batches

    /// Compatibility: rsync gives a file that `--ignore-existing` leaves in a directory's place the directory's time.
    /// Dray leaves it alone altogether.
    static let keptFile = ["dst/swap2: mtime"]

    private static func rows(_ options: [String], _ start: Start = .outdated, order: Order = .exact)
        -> [DifferentialLine]
    {
        options.map { DifferentialLine("rsync \($0) src/ dst/", start, order: order) }
    }

    private static let backups =
        rows([
            "-abi --delete", "-ab --suffix=.old -i --delete", "-ai --backup-dir=../saved --delete",
            "-av --backup --backup-dir=saved --delete", "-avb --backup-dir=$W/saved --suffix=.b --delete",
            "-ab --inplace -i", "-abi --delete --delete-excluded", "-abi --delay-updates",
            "-abAX --backup-dir=../saved -i",
        ])
        // Both the generator and the receiver make backups, and tell of them.
        + rows(["-ab --info=backup", "-abvv --backup-dir=../saved --delete"], order: .any) + [
            DifferentialLine("rsync -abi --delete src/ dst/", .outdated, prepare: "cp -p dst/extra dst/extra~"),
            DifferentialLine("rsync -abi --backup-dir=../saved src/ host:dst/", .outdated, order: .any),
            DifferentialLine(
                "rsync -abi --delete --backup-dir=/saved/here src/ rsync://localhost/all/dst/", .outdated, order: .any),
            DifferentialLine("rsync -ai --no-backup -b --no-b --backup-dir=../saved host:src/ dst/", .outdated),
        ]

    private static let deletions =
        rows([
            "-ai --delete", "-ai --del", "-ai --delete-before", "-ai --delete-during", "-ai --delete-delay",
            "-ai --delete-after", "-ai --delete-excluded --exclude='*.o'", "-ai --delete --exclude='*.o'",
            "-ai --delete --force", "-ai --force --exclude=/swap1", "-avn --delete", "-ai --delete --ignore-errors",
            "-di --delete", "-ai --existing --delete", "-av --delete --info=del0", "-ai --delete --max-delete=1000",
            "-ai --remove-source-files --delete-after", "-aii --delete --no-i-r", "-aR --delete -i",
            "-a -vv --delete-delay", "-aim --delete --exclude='*.o'",
        ]) + [
            DifferentialLine("rsync -ai --ignore-existing src/ dst/", .outdated, except: keptFile),
            DifferentialLine("rsync -ai --ignore-existing --delete src/ dst/", .outdated, except: keptFile),
            DifferentialLine("rsync -ai --existing --ignore-existing --delete src/ dst/", .outdated, except: keptFile),
            DifferentialLine("rsync -ai --delete --max-delete=2 src/ dst/", .outdated),
            DifferentialLine("rsync -ai --delete --max-delete=0 src/ dst/", .outdated),
            DifferentialLine("rsync -ai --delete --max-delete=-1 src/ host:dst/", .outdated),
            DifferentialLine("rsync -ai --delete src/dir src/swap2 dst/", .outdated),
            DifferentialLine("rsync -ai --delete src/dir/ src/swap2/ dst/", .outdated),
            DifferentialLine("rsync -ai --delete-delay host:src/ dst/", .outdated),
            DifferentialLine("rsync -ai --delete-before host:src/ dst/", .outdated),
            DifferentialLine("rsync -ai --delete-after src/ host:dst/", .outdated, order: .any),
            DifferentialLine("rsync -ai --remove-source-files host:src/ dst/", .outdated, order: .any),
            DifferentialLine("rsync -ai --remove-source-files src/ host:dst/", .outdated, order: .any),
            DifferentialLine("rsync -ai --remove-sent-files src/dir dst/", order: .any),
            DifferentialLine(
                "rsync -ai --delete-missing-args src/extra src/old src/dir/extra.o src/alpha dst/", .outdated),
            DifferentialLine("rsync -ai --ignore-missing-args src/nothing src/alpha dst/"),
        ]

    private static let setID =
        DifferentialLine(
            "rsync -ai src/ dst/", .outdated, prepare: "chgrp 9 dst dst/dir; chmod 2775 dst dst/dir; chmod 6755 dst/big"
        )

    private static let attributes =
        rows([
            "-ri", "-rpi", "-rti", "-rgoi", "-rlEi", "-rEpi", "-aOi", "-aJi", "-ai --no-p", "-ai --no-t --no-o --no-g",
            "-ai --no-owner", "-ai --no-group --no-D", "-ai --chmod=D711,F640", "-ai --chmod=a+rX,go-w",
            "-ri --chmod=Du+s,F-x", "-ai --chmod=u=rwX --chmod=g=u,o=", "-ai --chmod=0777", "-ai --numeric-ids",
            "-ai --chown=daemon:bin", "-rti --chown=:games", "-ai --usermap=1234:games,*:bin --groupmap=*:9",
            "-ai --super", "-ai --no-super", "-aUi --open-noatime", "-aUUi", "-ai --omit-dir-times",
            "-ai --omit-link-times --no-J", "-a --fsync -i",
        ])
        + rows(
            [
                "-aAi", "-aXi", "-aAXi --delete", "-aAX --no-A -i", "-aXXi", "-aX --filter='-x user.v*' -i",
                "-aAX -i --chmod=Fg-w", "-ai --fake-super", "-aAX -i --no-perms",
            ], .metadata) + [
            DifferentialLine("rsync -ai --fake-super src/ dst/"),
            DifferentialLine("rsync -ai --fake-super src/ dst/ && rsync -a -M--fake-super host:dst/ back/ && ls back"),
            DifferentialLine("rsync -aAXi src/ host:dst/", .metadata),
            DifferentialLine("umask 077; rsync -ri src/ dst/"),
            DifferentialLine("umask 002; rsync -rEi src/ dst/", .outdated),
            DifferentialLine("umask 002; rsync -ri --chmod=+w src/ dst/"),
            DifferentialLine("rsync -ri src/ dst/", prepare: "mkdir dst; chmod 2775 dst; chgrp 7 dst"),
            DifferentialLine("rsync -ai src/ dst/", .outdated, unprivileged: true),
            DifferentialLine("rsync -ai --copy-as=1:1 src/ dst/", .outdated, prepare: "chown -Rh 1:1 dst"),
        ]

    private static let choices =
        rows([
            "-ai --existing", "-ai --ignore-non-existing", "-aiu", "-avv --update",
            "-ai --max-size=1000", "-ai --min-size=1k", "-ai --max-size=1.5kB --min-size=60b", "-rli --size-only",
            "-aiI", "-aic", "-ai --modify-window=2", "-ai -@-1", "-ai --modify-window=100000000", "-aiW", "-ai --no-W",
            "-aim --exclude='*.o' --exclude=in", "-aim --include='*/' --include='*.o' --exclude='*'",
            "-ax -i", "-axx -i", "-ai --checksum-choice=md5 -c", "-ai --cc=xxh64,md4 -c --no-W", "-ai -B700 --no-W -I",
            "-ai --whole-file --checksum-choice=none", "-rti --no-r -d", "-ai --no-d --no-r", "-ai --max-alloc=64m",
            "-ac -ii --no-c", "-ai --stop-after=5", "-ai --iconv=utf8,latin1", "-ai --iconv=. ", "-ai --iconv=-",
        ])

    private static let placement =
        rows([
            "-ai --inplace", "-ai --inplace --no-W", "-ai --append", "-ai --append --append",
            "-aiS", "-aiS --inplace --no-W", "-ai --preallocate", "-ai --delay-updates", "-ai --delay-updates --delete",
            "-ai --temp-dir=$W/src", "-ai --partial", "-ai --partial-dir=.part", "-ai --partial-dir=$W/part --delete",
            "-aiT src", "-ai --partial --partial-dir=", "-ai --write-devices",
        ])
        // Files whose old part does not fit are sent again when the first round is over, or before.
        + rows(["-ai --append-verify"], order: .any) + [
            DifferentialLine(
                "rsync -ai --partial-dir=.part --no-W src/ dst/", .outdated,
                prepare: "mkdir dst/.part; head -c 30000 src/big > dst/.part/big"),
            DifferentialLine(
                "RSYNC_PARTIAL_DIR=.rp rsync -ai --partial --delete src/ dst/", .outdated,
                prepare: "mkdir dst/.rp; head -c 30000 src/big > dst/.rp/big"),
            DifferentialLine(
                "rsync -ai --partial-dir=.part --delete src/ dst/", .same,
                prepare: "mkdir dst/.part; cp -p src/big dst/.part/big; echo x > dst/.part/other"),
            DifferentialLine("rsync -ai --inplace src/ host:dst/", .outdated),
            DifferentialLine("rsync -ai --append host:src/ dst/", .outdated),
            DifferentialLine("rsync -ai --delay-updates src/ host:dst/", .outdated, order: .any),
            DifferentialLine("rsync -ai src/ dst/", .outdated, traced: true),
            DifferentialLine("rsync -ai src/ dst/", traced: true),
            DifferentialLine("rsync -aH --delete src/ dst/", .outdated, traced: true),
            DifferentialLine("rsync -ab --delete-delay src/ dst/", .outdated, traced: true),
            DifferentialLine("rsync -a --inplace --backup-dir=saved -b src/ dst/", .outdated, traced: true),
            DifferentialLine("rsync -a --delay-updates --delete src/ dst/", .outdated, traced: true),
            DifferentialLine("rsync -a --partial-dir=.part --delete-after src/ dst/", .outdated, traced: true),
            DifferentialLine("rsync -r --existing --delete src/ dst/", .outdated, traced: true),
            DifferentialLine("rsync -aH --link-dest=../src src/ new/", traced: true),
        ]

    private static let bases: [DifferentialLine] =
        ["--link-dest=../src", "--copy-dest=../src", "--compare-dest=../src"].flatMap {
            [
                DifferentialLine("rsync -aiH \($0) src/ new/"),
                DifferentialLine("rsync -aii \($0) src/ dst/", .outdated),
                DifferentialLine("rsync -ai \($0) --delete host:src/ new/", .outdated),
            ]
        } + [
            DifferentialLine("rsync -ai --link-dest=../dst --link-dest=../src src/ new/", .outdated),
            // Where the names of transferred files stand among the generator's is a matter of timing.
            DifferentialLine("rsync -avv --link-dest=../dst src/ new/", .outdated, order: .any),
            DifferentialLine("rsync -ai --link-dest=../dst src/ host:new/", .outdated),
            DifferentialLine("rsync -ai --link-dest=nothing src/ new/"),
            DifferentialLine("rsync -aiy --no-W src/ dst/", .outdated, prepare: "mv dst/big dst/big.old"),
            DifferentialLine(
                "rsync -aiyy --no-W --link-dest=../dst src/ new/", .outdated, prepare: "mv dst/big dst/big.old"),
        ]

    private static let batches: [DifferentialLine] = [
        DifferentialLine("rsync -ai --write-batch=batch src/ dst/; rm batch*", .outdated),
        DifferentialLine("rsync -ai --only-write-batch=batch src/ dst/; rm batch*", .outdated),
        DifferentialLine(
            "mkfifo -m 600 src/p src/q; mkfifo -m 644 dst/p dst/q; chown 5 src/q; "
                + "rsync -ai --fake-super src/p src/q dst/; stat -c '%a %u' dst/p dst/q", .outdated),
        DifferentialLine(
            "ln -s . o; chown -h 12 o; rsync -a --insecure-links --write-batch=o/batch src/ dst/; "
                + "rsync -ai --insecure-links --read-batch=o/batch new/; rsync -a --read-batch=o/batch new/; "
                + "rsync -a --write-batch=o/x src/ dst/; ls; rm batch* o"),
        DifferentialLine("rsync -a -f -C --write-batch=batch src/ dst/; cat batch.sh; rm batch*"),
        DifferentialLine("rsync -aC -f -Cp -f ':C .o' --write-batch=batch src/ dst/; cat batch.sh; rm batch*"),
        DifferentialLine(
            "rsync -a -f '-s *.o' -f '+r x' --protocol=28 --write-batch=batch src/ dst/; cat batch.sh; rm batch*"),
        DifferentialLine("rsync -a --write-batch=batch src/ dst/; rsync -ai --read-batch=batch new/; rm batch*"),
        DifferentialLine("rsync -ab --write-batch=batch src/ dst/; cat batch.sh; rm batch*", .outdated),
        DifferentialLine("rsync -av --write-batch=batch src/ dst/; rsync -av --read-batch=- new/ < batch; rm batch*"),
        DifferentialLine("rsync -a --only-write-batch=batch host:src/ dst/; sh batch.sh; rm batch*", .outdated),
    ]
}
