// Dray — command lines: sources and destinations, near and far.
// SPDX-License-Identifier: Apache-2.0

extension DifferentialLine {
    static let operands: [DifferentialLine] = local + listing + shell + daemon + nameLists + dryRuns + links

    private static let local: [DifferentialLine] = [
        DifferentialLine("rsync -av src/ dst/"),
        DifferentialLine("rsync -av src dst"),
        DifferentialLine("rsync -av src/ dst/", .outdated),
        DifferentialLine("rsync -av src dst", .outdated),
        DifferentialLine("rsync -av src/ dst/", .same),
        DifferentialLine("rsync -av src/dir src/swap2 dst", .outdated),
        DifferentialLine("rsync -av src/dir/ src/swap2/ dst/", .outdated),
        DifferentialLine("rsync -av src/alpha src/big dst/"),
        DifferentialLine("rsync -av src/alpha dst"),
        DifferentialLine("rsync -av src/alpha dst/"),
        DifferentialLine("rsync -av src/alpha new"),
        DifferentialLine("rsync -av src/alpha dst", .outdated),
        DifferentialLine("rsync -av src/alpha dst/beta.txt", .outdated),
        DifferentialLine("rsync -av src/link dst/name", .outdated),
        DifferentialLine("rsync -av src/hollow new"),
        DifferentialLine("rsync -v src/dir/ dst/", .outdated),
        DifferentialLine("rsync -v src/dir dst/", .outdated),
        DifferentialLine("rsync -dv src/dir dst/"),
        DifferentialLine("rsync -dv src/dir/ dst/"),
        DifferentialLine("rsync -v src/* dst/", .outdated),
        DifferentialLine("rsync -rv src/. dst/"),
        DifferentialLine("cd src/dir; rsync -rv .. ../../dst/"),
        DifferentialLine("cd src; rsync -av . ../dst"),
        DifferentialLine("rsync -av ./src/./dir/../alpha dst/"),
        DifferentialLine("rsync -av --mkpath src/ new/path/dst/"),
        DifferentialLine("rsync -av --mkpath src/alpha new/path/dst"),
        DifferentialLine("rsync -aiv --mkpath src/alpha new/path/dst/"),
        DifferentialLine("rsync -avn --mkpath src/alpha new/path/dst/"),
        DifferentialLine("rsync -avR src/dir/sub dst/"),
        DifferentialLine("rsync -avR src/./dir/sub dst/", .outdated),
        DifferentialLine("rsync -avR src/./dir/sub src/./alpha dst/", .outdated),
        DifferentialLine("rsync -avR --no-implied-dirs src/./dir/sub/deep dst/"),
        DifferentialLine("rsync -avR src/dirlink/sub dst/"),
        DifferentialLine("rsync -avR $W/src/dir dst/ | sed \"s|$W||;s|${W#/}||\"; rm -r dst"),
        DifferentialLine("rsync -av -- src/alpha dst/"),
        DifferentialLine("POSIXLY_CORRECT=1 rsync src/alpha src/big dst/ -av", .outdated),
        DifferentialLine("rsync -rltDvx src/ dst/"),
        DifferentialLine("rsync -rv --old-dirs src/ dst/"),
        DifferentialLine("rsync -v --old-d src/ dst/"),
        DifferentialLine("rsync -a --old-args src/dir dst/"),
        DifferentialLine("rsync -as src/ dst/"),
        DifferentialLine("rsync -a --qsort src/ dst/"),
        DifferentialLine("rsync -aiv src/dir/one src/alpha src/alpha dst/"),
        DifferentialLine("rsync -av src/ src/ dst/"),
        DifferentialLine("rsync -av --stats src/dir src/dir dst/"),
    ]

    private static let listing: [DifferentialLine] = [
        DifferentialLine("rsync src/"),
        DifferentialLine("rsync src"),
        DifferentialLine("rsync src/alpha"),
        DifferentialLine("rsync -r src"),
        DifferentialLine("rsync -rl src/"),
        DifferentialLine("rsync -a --no-h src/"),
        DifferentialLine("rsync -ah src/"),
        DifferentialLine("rsync -ahh src/"),
        DifferentialLine("rsync -av src/"),
        DifferentialLine("rsync -aq src/"),
        DifferentialLine("rsync -a --list-only src/ dst/", .outdated),
        DifferentialLine("rsync --list-only src/dir src/alpha dst/"),
        DifferentialLine("rsync -aH --list-only src/"),
        DifferentialLine("rsync -aU --list-only src/dir/ | cut -c1-46"),
        DifferentialLine("rsync -ac --list-only src/"),
        DifferentialLine("rsync -a --list-only --stats src/"),
        DifferentialLine("rsync -ai --list-only src/"),
        DifferentialLine("rsync host:src/"),
        DifferentialLine("rsync -a host:src/dir"),
        DifferentialLine("rsync host::"),
        DifferentialLine("rsync rsync://localhost/"),
        DifferentialLine("rsync -v rsync://localhost/"),
        DifferentialLine("rsync -a rsync://localhost/src/dir/"),
        DifferentialLine("rsync -ai -vv rsync://localhost/src/dir"),
        DifferentialLine("unset RSYNC_RSH; rsync -a localhost::src/dir/sub"),
        DifferentialLine("rsync -dv src/dir/ src/swap2/"),
    ]

    private static let shell: [DifferentialLine] = [
        DifferentialLine("rsync -av src/ host:dst/"),
        DifferentialLine("rsync -av src/ host:dst/", .outdated),
        DifferentialLine("rsync -av host:src/ dst/"),
        DifferentialLine("rsync -av host:src/ dst/", .outdated),
        DifferentialLine("rsync -aiH --delete src/ host:dst/", .outdated, order: .any),
        DifferentialLine("rsync -aiH --delete host:src/ dst/", .outdated),
        DifferentialLine("rsync -av host:src/dir :src/alpha dst/"),
        DifferentialLine("rsync -av host:src/dir host:src/alpha :src/big dst/", .outdated),
        DifferentialLine("rsync -av someone@host:src/alpha dst/"),
        DifferentialLine("rsync -av src/alpha host:$W/dst/"),
        DifferentialLine("rsync -av src/alpha host:dst/new", .outdated),
        DifferentialLine("rsync -av 'host:src/with space' dst/"),
        DifferentialLine("rsync -av --old-args 'host:src/with\\ space src/alpha' dst/"),
        DifferentialLine("RSYNC_OLD_ARGS=1 rsync -av 'host:src/alpha src/big' dst/"),
        DifferentialLine("rsync -avs 'host:src/with space' dst/"),
        DifferentialLine("RSYNC_PROTECT_ARGS=1 rsync -av 'host:src/with space' dst/"),
        DifferentialLine("rsync -av 'host:src/*a*' dst/"),
        DifferentialLine("rsync -av --rsync-path='rsync' src/ host:dst/", .outdated),
        DifferentialLine("rsync -av --rsync-path='cd src && rsync' host:dir dst/"),
        DifferentialLine("R=$RSYNC_RSH; unset RSYNC_RSH; rsync -e \"'$R'\" -av host:src/dir dst/"),
        DifferentialLine("R=$RSYNC_RSH; RSYNC_RSH=/bin/false; rsync -e \"$R\" -av src/dir host:dst/"),
        DifferentialLine("rsync -av -M--bwlimit=9999 src/alpha host:dst/"),
        DifferentialLine("rsync -av --remote-option=--fake-super src/run.sh host:dst/"),
        DifferentialLine("rsync -avz src/ host:dst/", .outdated),
        DifferentialLine("rsync -avzz host:src/ dst/", .outdated),
        DifferentialLine("rsync -av --mkpath src/alpha host:new/path/"),
        DifferentialLine("rsync -av --timeout=20 --bwlimit=50m src/ host:dst/", .outdated),
        DifferentialLine("rsync -av --blocking-io host:src/ dst/", .outdated),
        DifferentialLine("rsync -av --no-blocking-io --outbuf=L src/ host:dst/", .outdated),
        DifferentialLine("rsync -av -4 src/alpha host:dst/"),
        DifferentialLine("rsync -avR host:src/./dir/sub dst/", .outdated),
        DifferentialLine("rsync -avR src/./dir/sub host:dst/", .outdated),
        DifferentialLine("rsync -av --protocol=29 src/ host:dst/", .outdated, order: .any),
        DifferentialLine("rsync -av --protocol=30 host:src/ dst/", .outdated),
        DifferentialLine("rsync -av --protocol=31 --delete host:src/ dst/", .outdated),
        DifferentialLine("rsync -av --trust-sender host:src/ dst/", .outdated),
        DifferentialLine("rsync -av --checksum-seed=77 --no-W -I host:src/ dst/", .outdated),
        DifferentialLine("rsync -av --secluded-args --delete src/ host:dst/", .outdated, order: .any),
    ]

    private static let daemon: [DifferentialLine] = [
        DifferentialLine("rsync -av rsync://localhost/src/ dst/"),
        DifferentialLine("rsync -av rsync://localhost/src/ dst/", .outdated),
        DifferentialLine("rsync -av src/ rsync://localhost/dst/", .outdated),
        DifferentialLine("rsync -ai --delete src/ rsync://localhost/dst/", .outdated, order: .any),
        DifferentialLine("rsync -ai --delete rsync://localhost/src/ dst/", .outdated),
        DifferentialLine("unset RSYNC_RSH; rsync -av localhost::src/dir ::src/alpha dst/"),
        DifferentialLine("unset RSYNC_RSH; rsync -av src/dir localhost::all/dst/", .outdated),
        DifferentialLine("unset RSYNC_RSH; rsync -avR localhost::all/src/./dir dst/", .outdated),
        DifferentialLine("rsync -av --port=9999 RSYNC://localhost/src/dir/ dst/"),
        DifferentialLine("rsync -av rsync://localhost:8730/src/dir/ dst/"),
        DifferentialLine("rsync -av --no-motd rsync://localhost/src/dir/ dst/"),
        DifferentialLine("rsync -av 'rsync://localhost/src/*a*' dst/"),
        DifferentialLine(
            "rsync -avz --stats rsync://localhost/src/ dst/", .outdated, without: ["^Total bytes", "^sent "]),
        DifferentialLine("rsync -av --mkpath src/alpha rsync://localhost/all/new/path/"),
        DifferentialLine("rsync -avn --delete src/ rsync://localhost/dst/", .outdated, order: .any),
        DifferentialLine("rsync -av --contimeout=5 rsync://localhost/src/alpha dst/"),
        DifferentialLine("rsync -aiR --delete-after src/./dir rsync://localhost/dst/", .outdated, order: .any),
    ]

    private static let nameLists: [DifferentialLine] = [
        DifferentialLine(
            "printf 'alpha\\n' | rsync -a --files-from=- rsync://localhost/all/nosuch dst/", order: .any,
            without: ["Connection reset by peer"]),
        DifferentialLine(
            "printf 'alpha\\ndir/one\\n#c\\n;c\\n\\nhollow\\n' | rsync -av --files-from=- src/ dst/", .outdated),
        DifferentialLine("printf 'alpha\\0dir/one\\0' | rsync -av0 --files-from=- src/ dst/"),
        DifferentialLine("printf 'dir/\\n/alpha\\n../big\\n' > list; rsync -av --files-from=list src dst"),
        DifferentialLine("printf 'dir\\ndir/sub/three\\r\\n' > list; rsync -avr --files-from=list src dst"),
        DifferentialLine(
            "printf 'alpha\\nmissing\\n' > list; rsync -av --ignore-missing-args --files-from=list src dst"),
        DifferentialLine(
            "printf 'alpha\\nextra\\n' > list; rsync -av --delete-missing-args --files-from=list src dst", .outdated),
        DifferentialLine("printf 'dir/sub/three\\n' > list; rsync -av --no-R --files-from=list src dst"),
        DifferentialLine("printf 'dir/sub/three\\n' > list; rsync -av --no-implied-dirs --files-from=list src dst"),
        DifferentialLine("printf 'alpha\\ndir/one\\n' > list; rsync -av --files-from=list src/ host:dst/", .outdated),
        DifferentialLine("printf 'alpha\\ndir/one\\n' > list; rsync -av --files-from=list host:src/ dst/", .outdated),
        DifferentialLine("printf 'alpha\\ndir/one\\n#x\\n' > list; rsync -av --files-from=:list host:src/ dst/"),
        DifferentialLine("printf 'alpha\\ndir/one\\n' > list; rsync -av --files-from=host:list src/ host:dst/"),
        DifferentialLine("printf 'alpha\\ndir/one\\n' > list; rsync -av --files-from=list rsync://localhost/src/ dst/"),
        DifferentialLine("printf 'dir/\\n' > list; rsync -ai --files-from=list --delete src/ dst/", .outdated),
    ]

    private static let dryRuns: [DifferentialLine] = [
        DifferentialLine("rsync -avn src/ dst/"),
        DifferentialLine("rsync -ain --delete src/ dst/", .outdated),
        DifferentialLine("rsync -avnc src/ dst/", .outdated),
        DifferentialLine("rsync -avn --stats src/ host:dst/", .outdated, without: ["^Total bytes", "^sent "]),
        DifferentialLine("rsync -ain --delete host:src/ dst/", .outdated),
        DifferentialLine("rsync -aniH --link-dest=../src src/ dst/"),
        DifferentialLine("rsync -anv src/dir new/"),
        DifferentialLine("rsync -anv src/alpha new"),
    ]

    /// A module without chroot cleans the targets that it is given.
    private static let moduleLinks: [DifferentialLine] = ["-a", "-ai --safe-links"].map {
        DifferentialLine(
            "rsync \($0) src/ rsync://localhost/dst/",
            prepare: """
                for target in foo/.. x/../y ../../z ./a//b; do ln -s $target src/to-$(echo $target | tr /. _-); done
                ln -s ../../a/../b src/dir/over; ln -s ../x/../../../c src/dir/far; ln -s a/../.. src/dir/back
                """, order: .any)
    }

    private static let links: [DifferentialLine] =
        moduleLinks + [
            DifferentialLine("rsync -av --no-links src/ dst/"),
            DifferentialLine("rsync -avL src/ dst/", prepare: "rm src/dangling src/dir/up"),
            DifferentialLine("rsync -avL src/dirlink dst/", prepare: "rm src/dir/up"),
            DifferentialLine("rsync -avk src/ dst/", .outdated),
            DifferentialLine("rsync -avK src/ dst/", .outdated, prepare: "mv dst/dir dst/real; ln -s real dst/dir"),
            DifferentialLine(
                "rsync -av --delete src/ dst/", .outdated, prepare: "mv dst/dir real; ln -s ../real dst/dir"),
            DifferentialLine("rsync -av --safe-links src/ dst/", prepare: "ln -s /etc/hostname src/absolute"),
            DifferentialLine(
                "rsync -av --copy-unsafe-links src/ dst/",
                prepare: "echo outside > outside; rm src/dir/up; ln -s ../../outside src/dir/up"),
            DifferentialLine("rsync -av --munge-links src/ dst/"),
            DifferentialLine(
                "rsync -av --munge-links dst/ new/", .same, prepare: "ln -sfn /rsyncd-munged/alpha dst/link"),
            DifferentialLine("rsync -avH src/ dst/", .outdated),
            DifferentialLine("rsync -aiiH src/ dst/", .same),
            DifferentialLine("rsync -avH src/ host:dst/", .outdated),
            DifferentialLine("rsync -avH host:src/ dst/", .outdated),
            DifferentialLine("rsync -aJv src/ dst/", .outdated),
            DifferentialLine("rsync -avx src/dirlink/ dst/"),
            DifferentialLine("rsync -rvl --no-D src/ dst/"),
            DifferentialLine("rsync -rvl --devices src/ dst/"),
            DifferentialLine("rsync -rvl --specials --drop-D src/ dst/"),
            DifferentialLine("rsync -v --copy-devices src/null dst/"),
            DifferentialLine("rsync -av --insecure-links src/ dst/"),
            DifferentialLine("rsync -av --confine-root=/ src/ dst/"),
        ]
}
