// Dray — command lines before anything is transferred: popt files, the order of complaints, closed descriptors, shells.
// SPDX-License-Identifier: Apache-2.0

extension DifferentialLine {
    static let start: [DifferentialLine] =
        programs + marks + complaintOrder + descriptors + shells + startPaths + backups + delayed + shown + surroundings

    private static func plain(_ scripts: String...) -> [DifferentialLine] { scripts.map { DifferentialLine($0) } }

    /// What the operator's popt file makes of a line; `show` prints its arguments.
    private static func popt(_ lines: String, _ script: String) -> DifferentialLine {
        DifferentialLine(
            "HOME=$W PATH=$W/bin:$PATH; \(script)", .nothing,
            prepare: """
                mkdir bin src; printf '#!/bin/sh\\nprintf "%%s:" "$0"; printf " <%%s>" "$@"; echo\\n' >bin/show
                chmod 755 bin/show; echo text >bin/plain; echo x >src/f; echo y >src/g; printf '\(lines)' >.popt
                """)
    }

    private static let show = "rsync exec --foo show a 'b c'\\n"
    private static let three = "rsync exec --foo show q\\nrsync exec --bar show r\\nrsync exec -Z show z\\n"

    private static let programs: [DifferentialLine] = [
        popt(show, "rsync --foo; rsync --foo src/ dst/; rsync src/ -av --foo dst/ -n"),
        popt(show, "rsync -avz -e 'ssh -x' --exclude=zz --exclude yy --foo src/ dst/ -n"),
        popt(
            show,
            "rsync -aT tmp --del -B=5 --no-r --timeout 7 -DPFF --chmod=a+r -M--x -f '- x' --exclude= --foo -- -a -"),
        popt(show, "rsync --foo --version; rsync -h --foo; rsync -vh --foo; rsync --foo --delete --suffix=/"),
        popt(show, "rsync --foo=1 src/"), popt(show, "rsync --bogus --foo"), popt(show, "rsync --foo --bogus"),
        popt(show, "rsync --timeout=x --foo"), popt(show, "rsync --exclude --foo src/"), popt(show, "rsync -- --foo"),
        popt(show, "rsync --foo --daemon"), popt(show, "rsync --server --foo"), popt(show, "rsync --foo --server"),
        popt(show, "POSIXLY_CORRECT=1 rsync --foo a -v"),
        popt(three, "rsync -v --bar -n --foo src/; rsync -vZn --bar -n --foo src/; rsync --foo -ZvZ src/"),
        popt(three, "rsync -Z=1 src/"),
        popt("rsync exec -a show\\n", "rsync -va src/; rsync --archive src/"),
        popt("rsync exec --archive show\\n", "rsync -v --archive src/"),
        popt("rsync exec foo show\\nrsync exec --bar\\n", "rsync foo; rsync --bar"),
        popt("rsync exec --foo show\\nrsync alias --foo -r\\n", "rsync --foo src/"),
        popt("rsync alias --foo --foo -v\\nrsync exec --foo show\\n", "rsync -a --foo src/"),
        popt("rsync alias --all --foo x -n\\nrsync exec --foo show\\n", "rsync y --all z"),
        popt("rsync exec --server show\\n", "rsync --server . x"),
        popt("rsync exec --foo show $HOME !#:+ --POPTdesc=no\\n", "rsync --foo"),
        popt("rsync exec --foo nosuch\\n", "rsync -av --foo a b --timeout 7"),
        popt("rsync exec --foo /no/such\\n", "rsync --foo a b"),
        popt("rsync exec --foo bin/show\\n", "rsync --foo a b"),
        popt("rsync exec --foo /dev\\n", "rsync --foo"), popt("rsync exec --foo plain\\n", "rsync --foo"),
        popt("rsync exec --foo false\\n", "rsync --foo"),
        popt("r?ync alias --a -r\\n[x] alias --b -r\\n", "rsync --a src/; rsync --b src/"),
        popt("rsync alias --a -r --POPTdesc=$\"what it does\" --POPTargs=x\\n", "rsync --a src/"),
        popt("rsync alias --a -r", "rsync --a src/"), popt("rsync alias --a -r --timeout=x\\n", "rsync --a src/"),
        popt("rsync alias -Z -v --bogus\\n", "rsync -rZn src/"),
        popt("rsync alias -Z -rB\\n", "rsync -vZ 700 src/ dst/"),
        popt("rsync alias --zz -n\\n", "rsync --zz --server . x"),
    ]

    /// A mark in the value of an option stands for the next word.
    private static let marks: [DifferentialLine] = [
        popt("", "rsync -r --exclude='!#:+' f src/; rsync -r -f '- !#:+' g src/"),
        popt("rsync alias --a --exclude=!#:+ -v\\n", "rsync -r --a f src/; rsync -r --a=g src/"),
        popt("rsync alias --a --exclude=x!#:+y\\n", "rsync -r --a f src/"),
        popt("rsync alias --a --exclude !#:+!#:+ -r\\n", "rsync --a f g src/"),
    ]

    private static let complaintOrder: [DifferentialLine] = plain(
        "rsync -r --append-verify -W --exclude-from=nofile src/ dst",
        "rsync -r --inplace --partial-dir=x --filter=zz src dst",
        "rsync -r --filter=zz --bogus src/ dst", "rsync -r --exclude-from=nofile --timeout=x src/ dst",
        "rsync -r --timeout=x --exclude-from=nofile src/ dst", "rsync --filter=zz --version", "rsync --filter=zz",
        "rsync --filter=zz --daemon", "rsync --server -r --exclude-from=nofile . x", "rsync --server --filter=zz . x",
        "rsync --filter=zz --server . x", "rsync -r --files-from=nofile --exclude-from=nofile2 src dst",
        "rsync --bogus --daemon", "rsync --timeout=x --daemon", "rsync --daemon=x",
        "rsync --exclude --daemon nosuch dst",
        "rsync -ra= src/", "rsync -rv=n src/ dst/", "rsync --outbuf=x --bogus src dst",
        "rsync --outbuf=x -s --old-args src dst",
        "rsync --checksum-choice=foo --outbuf=x src dst", "rsync --compress-choice=foo --delete src dst",
        "rsync --files-from=nofile --suffix=/ src/ dst", "rsync --max-alloc=1 -s --old-args src dst",
        "rsync --insecure-links --confine-root=/x --delete src dst", "rsync --confine-root=x --delete src dst",
        "rsync --info=bogus,help", "rsync --info=name,help,bogus | head -1",
        "rsync -r src/dir/ -- --daemon; ls ./--daemon",
        "rsync -r --include-from=src --exclude-from=src/dir src/dir dst/",
        "bash -c 'rsync -r --exclude-from=<(printf \"f*\\nsub\") src/dir/ dst/'",
        "bash -c 'rsync -0r --filter=\". /dev/fd/9\" src/dir/ dst/ 9< <(printf \"- o*\\\\0- sub\")'")

    /// One of rsync's processes may be ended by the other, which is said or not.
    private static let others = [
        "received SIGUSR1", "write error: Broken", "unexpectedly closed", "safe_write", "rsync error",
    ]

    private static let descriptors: [DifferentialLine] = [
        DifferentialLine("rsync -a src/ dst/ >&-", .nothing, prepare: "mkdir src", without: others),
        DifferentialLine("rsync -a src/dir/ host:dst/ >&-", without: others),
        DifferentialLine("rsync -a host:src/dir/ dst/ >&-", without: others),
        DifferentialLine("rsync -a host::src/dir/ dst/ >&-"),
        DifferentialLine("rsync -av src/dir/ host::dst/new/ >&-"),
        DifferentialLine("rsync -av src/dir/ dst/ 2>&-"),
        DifferentialLine("rsync --version >&- && rsync --version >/dev/full"),
        DifferentialLine("rsync -av src/dir/ dst/ >/dev/full"),
        DifferentialLine("rsync -av --outbuf=n src/dir/ dst/ >/dev/full; echo $?; rm -rf dst", without: others),
        DifferentialLine("rsync -r nosuch src/dir dst/ 2>&-; echo $?; rm -rf dst", without: others),
        DifferentialLine("rsync -r nosuch src/dir host:dst/ 2>/dev/full; echo $?; rm -rf dst", without: others),
        DifferentialLine("rsync -r host:nosuch host:src/dir dst/ 2>/dev/full; echo $?; rm -rf dst", without: others),
        DifferentialLine("rsync 2>&-"),
    ]

    /// A remote shell that ends at once. rsync looks only once, and may be too early.
    private static func shell(_ text: String, _ operands: String) -> DifferentialLine {
        DifferentialLine(
            "for i in 1 2 3 4 5 6 7 8; do rsync -r -e ./sh \(operands) 2>&1 | tail -1; done | sort | tail -1", .nothing,
            prepare: "mkdir src; printf '#!/bin/sh\\n\(text)\\n' >sh; chmod 755 sh")
    }

    private static let shells: [DifferentialLine] = [
        shell("exit 127", "src/ x:dst"), shell("exit 255", "x:src/ dst"), shell("exit 9", "src/ x:dst"),
        shell("exec >&- <&-; sleep 0.3; exit 255", "src/ x:dst"), shell("kill -9 $$", "x:src/ dst"),
        DifferentialLine("rsync -r -e /nosuch src/ x:dst 2>&1 | sed -n '1,2p;4p'"),
        // The shell is told to end, and not waited for.
        DifferentialLine(
            "rsync -r -e ./sh src/ x:dst; echo $?; sleep 0.5; cat told", .nothing,
            prepare: "mkdir src; printf '%s\\n' '#!/bin/sh' 'trap \"echo USR1 >told\" USR1' "
                + "'head -c 4 >/dev/null; exec >&- <&-; sleep 0.3; exit 7' >sh; chmod 755 sh", without: others),
    ]

    private static let startPaths: [DifferentialLine] = [
        DifferentialLine("rsync -a --temp-dir=../tmp src/dir/ dst/", prepare: "mkdir tmp dst", order: .any),
        DifferentialLine("rsync -a --temp-dir=$W/dst/../tmp src/alpha host:dst/", prepare: "mkdir tmp dst"),
        DifferentialLine("rsync -a --insecure-links --temp-dir=../tmp src/alpha dst/", prepare: "mkdir tmp dst"),
        DifferentialLine("rsync -a --temp-dir=../tmp src/alpha host::dst/", prepare: "mkdir tmp dst"),
        DifferentialLine("rsync -R host:src/../src/alpha dst", without: others),
        DifferentialLine("rsync -rR host:src/dir host:src/./../src/alpha dst", without: others),
        DifferentialLine("rsync -s host:src/nodir/../alpha 'host:src/*.sh' dst/"),
        DifferentialLine("rsync -s -r host:src/dir/sub/../ host:src/dir/sub/deep/.. dst"),
        DifferentialLine("rsync -s -r src/dir/ host:nodir/../src/../dst"),
        DifferentialLine("rsync -s host:src/big/../alpha dst"),
        DifferentialLine("rsync -sR host:src/./dir/../alpha dst", without: others + ["rejecting"]),
        DifferentialLine("rsync -rv src/dir/ -- -dst"),
    ]

    private static let backups: [DifferentialLine] =
        ["-b", "-b --backup-dir=../old", "-b --inplace"].map {
            DifferentialLine(
                "rsync -r \($0) --delete src/dir/ dst/", .outdated,
                // What stands where a backup is to go.
                prepare: "mkdir -p dst/one~/x old/one/x dst/sub/three~; cp src/alpha dst/one", order: .any)
        } + [
            DifferentialLine(
                "rsync -aX -b --delete --backup-dir=/dev/shm/$$.bak src/ dst/; echo $?; mv /dev/shm/$$.bak old",
                .outdated,
                prepare: "cd dst; setfattr -n user.x -v y alpha || true; mkfifo pipe", order: .any),
            DifferentialLine(
                // One file: what else is done before the receiver gives up is a race.
                "rsync -a -b --backup-dir=../bak src/dir/one dst/", .outdated,
                prepare: "mkdir bak; chmod 555 bak; cp src/alpha dst/one", order: .ignored, unprivileged: true),
            DifferentialLine(
                "M=$(printf %0255d 0); for o in '' --inplace; do rsync -b $o src/$M dst/; echo $?; cat dst/$M; done",
                prepare: "M=$(printf %0255d 0); mkdir dst; echo x >src/$M; echo old >dst/$M", order: .any),
        ]

    /// Files that wait for their names do not hold up others.
    private static let delayed: [DifferentialLine] = [
        DifferentialLine(
            "rsync -r --delay-updates --remove-source-files src/many/ dst/; ls -A src/many", .nothing,
            prepare: "mkdir -p src/many; for i in $(seq 120); do echo $i >src/many/$i; done"),
        // The source of a file that could not be put in place stays.
        DifferentialLine(
            "M=$(printf %0255d 0); rsync -b --delay-updates --remove-source-files src/$M dst/; ls src dst | wc -l",
            .nothing,
            prepare: "M=$(printf %0255d 0); mkdir src dst; echo x >src/$M; echo old >dst/$M", order: .ignored),
    ]

    private static let shown: [DifferentialLine] =
        plain(
            "rsync -vv src/alpha \"host:dst/a b*\"", "rsync -vv -s host:src/alpha 'host:src/*.sh' dst",
            "rsync -vv host:'src/a*' dst",
            "rsync -vv -s --log-file=log src/alpha 'host::all/a b'; cut -d']' -f2- log; rm log",
            "rsync -vv --chown=daemon src/alpha host:dst/ | grep opening", "rsync -vv host::src/'a*' dst/",
            "rsync -vv --iconv=. src/alpha dst/ | grep charset",
            "rsync -vv --iconv=utf8,latin1 src/alpha host:dst | grep charset",
            "rsync -vv --iconv=utf8,latin1 src/alpha dst 2>&1 >/dev/null")
        + ["%C %n", "%i %C", "%b %n", "%n", "%o %n"].map {
            DifferentialLine("rsync -aii --out-format='\($0)' src/ dst/", .same)
        }

    private static let surroundings: [DifferentialLine] = plain(
        "RSYNC_ICONV=utf8,latin1 rsync -a --no-iconv src/dir/ host:dst/", "RSYNC_ICONV=- rsync -a src/dir/ host:dst/",
        "RSYNC_PROTECT_ARGS=-1 rsync -a --debug=cmd src/alpha 'host:a b'",
        "RSYNC_PROTECT_ARGS=x rsync -a --debug=cmd src/alpha 'host:a b'",
        "RSYNC_OLD_ARGS=1 rsync -a --debug=cmd 'host:src/alpha src/big' dst/",
        "RSYNC_CHECKSUM_LIST='md4 foo md5' rsync -a --debug=nstr src/alpha host:dst/",
        "RSYNC_COMPRESS_LIST='zlibx foo' rsync -az --debug=nstr src/alpha host:dst/")
}
