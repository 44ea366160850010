// Dray — command lines that fail: messages, exit codes, and what is left behind.
// SPDX-License-Identifier: Apache-2.0

extension DifferentialLine {
    static let failures: [DifferentialLine] =
        syntax + values + conflicts + operandErrors + selection + permissions + peers + daemons + limits + signals
        + conversions + roots

    /// The text of the help is each program's own.
    private static let helpText = ["^(?!rsync error)."]
    /// rsync's other process may say that it was ended.
    private static let ended = [
        "received SIGUSR1", "in IPC code", "safe_write", "write error: Broken", "Connection reset",
    ]

    private static func plain(_ scripts: String...) -> [DifferentialLine] { scripts.map { DifferentialLine($0) } }

    private static let syntax: [DifferentialLine] =
        plain(
            "rsync --verb src dst", "rsync --recurs src/ dst/", "rsync -Z src dst", "rsync -aZ src dst",
            "rsync --recursive=1 src/ dst/", "rsync --no-recursive=x src dst", "rsync --exclude", "rsync src/ dst/ -T",
            "rsync -aT", "rsync -r --max-size --foo src/ dst/", "rsync -hZ", "rsync --no-foo src dst",
            "rsync --no- src dst", "rsync ---recursive src/ dst/", "rsync '-r ' src/ dst/", "rsync -1 src/ dst/",
            "rsync --=x src dst", "rsync -é src dst", "rsync --é src dst", "rsync \"$(printf '%b' '-a\\nb')\" src dst",
            "rsync ''", "rsync '' dst/", "rsync -r src/ ''", "rsync --use-qsort src/ dst/",
            "rsync --dparam=x src dst", "rsync --detach src dst", "rsync --config=x src dst",
            "rsync --daemon --foo", "rsync --daemon --dparam=x", "rsync --daemon --dparam=x=y", "rsync --daemon -r",
            "rsync --daemon --port=x", "rsync --daemon --port", "rsync --server --daemon --bogus",
            "rsync --server --detach . dst", "rsync --server --bogus . dst", "rsync --server -Q . dst",
            "rsync --daemon --no-detach --config=/nonexistent", "rsync -rB==1000 src/ dst/",
            "POSIXLY_CORRECT=1 rsync src/ -r dst/")
        + [
            "rsync", "rsync --", "rsync -r", "rsync -a -v", "rsync -eh", "rsync -h -n", "rsync --sender src dst",
            "rsync --server", "rsync --server --sender", "rsync --files-from=src/alpha a b c",
            "rsync --files-from=src/alpha src/", "rsync --files-from=src/alpha",
        ].map { DifferentialLine($0, without: helpText) }

    private static let values: [DifferentialLine] = plain(
        "rsync --timeout=x -r src/ dst/", "rsync --timeout '5 ' -r src/ dst/", "rsync --timeout=99999999999 src dst",
        "rsync --timeout=2147483648 src dst", "rsync --port=x src dst", "rsync -@x src dst",
        "rsync --max-delete=-2147483649 src dst", "rsync --max-size=1K+2 src dst", "rsync --max-size=-1 src dst",
        "rsync --max-size=-0 src dst", "rsync --max-size=+1 src dst", "rsync --max-size=1kiBx src dst",
        "rsync --max-size=9999999p src dst", "rsync --min-size=é src dst", "rsync --max-alloc=1023k src dst",
        "rsync --max-alloc=x src dst", "rsync --block-size=131073 src dst", "rsync --bwlimit=511b src dst",
        "rsync --bwlimit=x src dst", "RSYNC_MAX_ALLOC=x rsync -r src/ dst/", "rsync --chmod=u+ src/ dst/",
        "rsync --chmod=8 src dst", "rsync --info=bogus src dst", "rsync --debug=bogus src dst",
        "rsync --stderr=x src dst", "rsync --outbuf= src dst", "rsync -M foo src dst", "rsync --stop-at=x src dst",
        "rsync --stop-at=2000-01-01 src dst", "rsync --stop-after=0 src dst", "rsync --stop-after=x src dst",
        "rsync -r --checksum-choice=sha512 src/ dst/", "rsync -r --compress-choice=foo src/ dst/",
        "rsync -aN src dst", "rsync --crtimes src dst",
        "rsync -r --usermap=x src/ dst/", "rsync -r --usermap=5-1:0 src/ dst/", "rsync --suffix=a/b src dst",
        "rsync --suffix= src dst", "rsync --backup-dir= src dst", "rsync -r --filter=bogus src/ host:dst/",
        "rsync -r '--filter=-q x' src/ dst/", "rsync -r --filter='! x' src/ dst/",
        "rsync -r --out-format=$(printf %5000s x) src/alpha dst/ 2>&1 >/dev/null | grep -v SIGUSR1")

    private static let conflicts: [DifferentialLine] = plain(
        "rsync --fake-super -XX src dst", "rsync -s --old-args src dst", "rsync --suffix= --backup-dir=. src dst",
        "rsync -r --append -W src/ dst/", "rsync -r --inplace --partial-dir=x src dst",
        "rsync -r --append --delay-updates src dst", "rsync -r --write-devices --partial-dir=x src dst",
        "rsync --confine-root=x src dst", "rsync --insecure-links --confine-root=/x src dst",
        "rsync --compare-dest=x --link-dest=y src dst", "rsync --usermap=a:b --usermap=c:d src dst",
        "rsync --chown=a --usermap=c:d src dst", "rsync --usermap=c:d --chown=a src dst",
        "rsync --chown=a --chown=b src dst", "rsync --chown=:a --chown=:b src dst",
        "rsync --groupmap=a:b --chown=:a src dst", "rsync --delete src dst",
        "rsync -r --delete-before --delete-after src dst", "rsync -r --read-batch=x --write-batch=y src dst",
        "rsync --read-batch=x --files-from=src/alpha dst", "rsync --read-batch=x --remove-source-files dst",
        "rsync --read-batch=nofile dst", "rsync --read-batch=nofile host:dst", "rsync --read-batch=src dst",
        "rsync -r --write-batch=$(printf %0300d 0) src dst", "rsync --temp-dir=$(printf %04090d 0) src dst",
        "rsync --backup-dir=$(printf %04000d 0) src dst", "rsync -r --write-batch=no/where src dst",
        "rsync $(for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21; do echo --link-dest=x; done) src dst")

    private static let operandErrors: [DifferentialLine] = plain(
        "rsync host:a other:b", "rsync src/ host:a dst/", "rsync host:a src/alpha dst/", "rsync host:a '' dst/",
        "rsync host:a other:b dst/", "rsync host:a other::b dst/", "rsync host::a host:b dst/",
        "rsync rsync://host:1/a rsync://host:2/a dst/", "rsync '' host:dst", "rsync src/ é:a dst/",
        "rsync -- -host:a dst/", "rsync src/ -- -x:d", "rsync user@-h:a dst/", "rsync --files-from=host:f src/ dst/",
        "rsync --files-from=:f src/ dst/", "rsync --files-from=host:f other:src/ dst/",
        "rsync --files-from=other:f src/ host:dst", "rsync --password-file=x src/ host:dst",
        "rsync --password-file=x src/ dst/", "rsync --password-file=x host:src/ dst/",
        "rsync --contimeout=5 src/ host:dst", "rsync --contimeout=5 host:src dst/", "rsync -e '\"a b' host:src/ dst/",
        "rsync -e \"'a\" host:src/ dst/", "rsync --files-from=nofile src/ dst/", "rsync --files-from= src/ dst/",
        "rsync --files-from=é src/ dst/")

    private static let selection: [DifferentialLine] =
        plain(
            "rsync -a src/missing dst/", "rsync -a src/missing src/alpha dst/", "rsync -a src/./missing dst/",
            "rsync -aR src/./missing dst/", "rsync -av --no-i-r src/missing src/alpha dst/",
            "rsync nosuch", "rsync src dst", "rsync -r src/ src/alpha/", "rsync -r src/ src/alpha",
            "rsync src/alpha src/beta.txt src/big", "rsync src/alpha nowhere/at/all", "rsync -r src/ nowhere/at/all",
            "rsync --list-only nosuch", "rsync -r --compare-dest=nosuch src/ dst/",
            "rsync -r --link-dest=../src/alpha src/ dst/", "rsync -r --temp-dir=nosuch src/ dst/",
            "rsync -r --temp-dir=../src/alpha src/ dst/", "rsync -r --log-file=no/where src/alpha dst/",
            "rsync -r --log-file= src/alpha dst/", "rsync -r --exclude-from=nosuch src/ dst/",
            "rsync -r --include-from=nosuch src/ host:dst/", "rsync -r '--filter=. nosuch' src/ dst/",
            "rsync -r --copy-links src/dangling dst/",
            "echo missing | rsync --files-from=- src/ dst/")
        + [
            DifferentialLine("rsync -a --delete src/ nowhere/at/all/", .same),
            DifferentialLine("rsync -R src/dir/../alpha dst/", without: ended),
            DifferentialLine("rsync -a host:src/missing dst/", without: ended),
            DifferentialLine("rsync -r host::src/missing dst/", without: ended),
            DifferentialLine("rsync -r host::all/src/./missing dst/", without: ended),
            DifferentialLine("rsync -r rsync://localhost/all/src/dir/missing dst/", without: ended),
            DifferentialLine("echo x | rsync --files-from=- nosuch/ dst/", without: ended),
            DifferentialLine("rsync -r --backup --backup-dir=../src/alpha src/ dst/", .outdated),
            DifferentialLine("echo '*.o' | rsync -rv --exclude-from=- --delete src/dir/ dst/", .outdated),
            DifferentialLine("rsync -rL src/ dst/", prepare: "rm src/link", order: .any),
        ]

    /// Link targets that are written otherwise there, or not at all; a server that leaves before it has read.
    private static let conversions: [DifferentialLine] = [
        DifferentialLine("rsync -ai --iconv=latin1,utf8 src/dir/ host:dst/", prepare: "ln -s é src/dir/lnk"),
        // The other process tells its own end, if the connection lasts long enough.
        DifferentialLine(
            "rsync -ai --iconv=utf8,ascii src/dir/ host:dst/", prepare: "ln -s é src/dir/lnk", without: ["code 23"]),
        DifferentialLine("rsync -ai --iconv=ascii,utf8 host:src/dir/ dst/", prepare: "ln -s é src/dir/lnk"),
        DifferentialLine("rsync -a --usermap='*' src/dir/ host:dst/", without: ended),
    ]

    /// Whether a root that was made counts as new: only where nothing sorts before it.
    private static let roots: [DifferentialLine] = [
        DifferentialLine("rsync -ai --protocol=28 host:src/dir/ dst/"),
        DifferentialLine("rsync -ai --protocol=28 host:src/dir/ dst/", prepare: "touch -- src/dir/-x"),
        DifferentialLine("rsync -ai --protocol=29 host:src/dir/ dst/", prepare: "touch -- src/dir/-x"),
    ]

    private static let permissions: [DifferentialLine] = [
        DifferentialLine("rsync -av src/ dst/", prepare: "chmod 0 src/dir/one", unprivileged: true),
        DifferentialLine("rsync -a src/ dst/", prepare: "chmod 0 src/dir", unprivileged: true),
        DifferentialLine(
            "rsync -a --delete-after src/ dst/", .outdated, prepare: "chmod 0 src/dir", unprivileged: true),
        DifferentialLine("rsync -r src/alpha dst/", .outdated, prepare: "chmod 555 dst", unprivileged: true),
        DifferentialLine("rsync -r src/dir dst/", prepare: "mkdir dst; chmod 555 dst", unprivileged: true),
        DifferentialLine("rsync -r src/alpha dst/", prepare: "mkdir dst; chmod 0 dst", unprivileged: true),
        DifferentialLine("rsync -r src/alpha closed/dst/", prepare: "mkdir -m 0 closed", unprivileged: true),
        DifferentialLine(
            "rsync -r host:src/ dst/", prepare: "chmod 0 src/alpha src/dir/sub", order: .any, unprivileged: true),
        DifferentialLine(
            "rsync --exclude-from=rules -r src/ dst/", prepare: "echo x >rules; chmod 0 rules", unprivileged: true),
        DifferentialLine(
            "rsync --files-from=rules src/ dst/", prepare: "echo x >rules; chmod 0 rules", unprivileged: true),
        DifferentialLine(
            "rsync -r --remove-source-files src/dir/ dst/", prepare: "chmod 555 src/dir", order: .any,
            unprivileged: true),
    ]

    /// A remote shell that reads what it is sent before it does `text`.
    private static func shell(_ text: String, _ operands: String, without: [String] = []) -> DifferentialLine {
        DifferentialLine(
            "rsync -r -e ./sh \(operands)",
            prepare: "printf '%s\\n' '#!/bin/sh' '\(text)' >sh; chmod 755 sh", without: without)
    }

    private static let peers: [DifferentialLine] =
        [
            shell("head -c 4 >/dev/null; exec >&-; exit 0", "x:src/ dst/"),
            shell("head -c 4 >/dev/null; echo sorry >&2; exit 12", "x:src/ dst/"),
            shell("echo Welcome to this machine", "x:src/ dst/", without: ended),
            shell("echo Welcome to this machine; cat >/dev/null", "src/ x:dst/", without: ended),
            shell("printf \"\\\\037\\\\0\\\\0\\\\0\"; head -c 4 >/dev/null", "x:src/ dst/"),
            DifferentialLine("rsync -r -M--bogus src/ dst/", order: .any, without: ended),
            DifferentialLine(
                "rsync -r -M--bogus src/ host:dst/", order: .any,
                without: ended + ["unexpectedly closed", "rsync error"]),
            DifferentialLine("rsync -r --rsync-path=/nosuch host:src/ dst/ 2>&1 | grep -c 'unexpectedly closed'"),
            DifferentialLine(
                "RSYNC_CHECKSUM_LIST=bogus rsync -r src/ dst/", order: .any, without: ended + ["at SOURCE .Receiver"]),
            DifferentialLine(
                "RSYNC_COMPRESS_LIST=bogus rsync -rz src/ dst/", order: .any, without: ended + ["at SOURCE .Receiver"]),
            DifferentialLine(
                "RSYNC_CHECKSUM_LIST='md4 & md5' rsync -r src/ dst/", order: .any,
                without: ended + ["at SOURCE .Receiver"]),
            DifferentialLine("rsync -r -e /nosuch host:src/ dst/ 2>&1 | grep Failed"),
            DifferentialLine("rsync -r -e '' nohost:src/ dst/ 2>&1 | grep Failed"),
            shell("exec sleep 4", "--timeout=1 x:src/ dst/", without: ended),
            shell("exec sleep 4", "--timeout=1 src/ x:dst/", without: ended),
        ]

    private static let daemons: [DifferentialLine] =
        plain(
            "rsync host::nosuch/ dst/", "rsync rsync://host/nosuch dst/", "rsync -r src/ host::nosuch/x",
            "rsync -r src/ host::dst/no/where/at/",
            "unset RSYNC_CONNECT_PROG; rsync rsync://127.0.0.1:1/x dst/",
            "unset RSYNC_CONNECT_PROG; rsync -r src/ rsync://127.0.0.1:1/x",
            "unset RSYNC_CONNECT_PROG; rsync --port=1 127.0.0.1::x/y dst/",
            "unset RSYNC_CONNECT_PROG; rsync --address=1.2.3.4 rsync://127.0.0.1:1/x dst/",
            "unset RSYNC_CONNECT_PROG; rsync -6 rsync://127.0.0.1:1/x dst/",
            "unset RSYNC_CONNECT_PROG; rsync rsync://nosuch.invalid/x dst/",
            "RSYNC_CONNECT_PROG='echo @ERROR: go away' rsync rsync://x/y dst/",
            "RSYNC_CONNECT_PROG='echo hello' rsync rsync://x/y dst/",
            "RSYNC_CONNECT_PROG='read x;:' rsync rsync://x/y dst/",
            "RSYNC_CONNECT_PROG='true %H' rsync 'rsync://x;y/z' dst/")

    private static let limits: [DifferentialLine] =
        [
            DifferentialLine("rsync -r --delete --max-delete=1 src/ dst/", .outdated, order: .any),
            DifferentialLine("rsync -r --delete --max-delete=0 src/ dst/", .outdated),
            DifferentialLine("rsync -r --delete --max-delete=1 src/ host:dst/", .outdated, order: .any),
            DifferentialLine("rsync -r -H -A --protocol=29 src/ dst/", order: .any, without: ended),
            DifferentialLine("rsync -ry --protocol=28 src/ dst/ 2>&1 | sort -u | grep fuzzy"),
            DifferentialLine("rsync -rm --protocol=28 src/ dst/ 2>&1 | sort -u | grep prune"),
            DifferentialLine("rsync -r --iconv=bogus src/ dst/ 2>&1 | sort -u | grep iconv"),
            DifferentialLine("rsync -r --copy-as=nosuch src/ dst/ 2>&1 | sort -u | grep Invalid"),
            DifferentialLine("rsync -r --copy-as=root:nosuch src/ dst/ 2>&1 | sort -u | grep Invalid"),
        ]

    /// Waits until something is in the destination.
    private static let begun = "for i in $(seq 200); do [ -z \"$(ls -A dst 2>/dev/null)\" ] || break; sleep 0.05; done;"

    /// Waits until no process of the line is left.
    private static let gone = "for i in $(seq 200); do pgrep -g 0 -x rsync >/dev/null || break; sleep 0.05; done;"

    /// The transfer is held up by the rate; what is kept is what the option says.
    private static func interrupted(_ signal: String, _ options: String) -> DifferentialLine {
        DifferentialLine(
            """
            rsync -r --bwlimit=100 \(options) src/huge dst/ & p=$!; \(begun) sleep 0.5; kill -\(signal) $p; \
            wait $p; echo code $?; \(gone) ls -A dst | sed 's/huge\\..*/RANDOM/'; rm -rf dst
            """,
            prepare: "mkdir dst; head -c 2000000 /dev/zero | tr '\\0' x >src/huge", order: .any, without: ended)
    }

    private static let signals: [DifferentialLine] = [
        interrupted("INT", ""), interrupted("TERM", "--partial"), interrupted("HUP", "--partial-dir=.p"),
        interrupted("TERM", "--inplace"),
        // A file that goes away while the one before it is on the way.
        DifferentialLine(
            "rsync -rv --bwlimit=100 src/huge src/later dst/ & \(begun) rm src/later; wait $!; echo code $?",
            prepare: "echo x >src/later; head -c 300000 /dev/zero | tr '\\0' x >src/huge", order: .any,
            without: ["^sent", "^total"]),
    ]
}
