// Dray — command lines: values that are empty, long or oddly spelled, in options and in the environment.
// SPDX-License-Identifier: Apache-2.0

extension DifferentialLine {
    static let spellings: [DifferentialLine] =
        stops + emptyValues + words + texts + environments + links + backups + distances + daemonPaths
        + singleFiles + listedNames + listedRoots + keptContents

    private static func rows(
        _ scripts: [String], _ start: Start = .outdated, prepare: String = "", except: [String] = []
    ) -> [DifferentialLine] {
        scripts.map { DifferentialLine($0, start, prepare: prepare, order: .any, except: except) }
    }

    private static let stops =
        rows(
            ["1:000", "001:00", "2030-001-1", "10000-1-1", "99999999999-1-1", "000000031", ":0005", "1:00060"].map {
                "rsync -r --stop-at=\($0) src/dir dst/"
            }, .same)
        + rows(
            ["' 1'", "+1", "'  +2x'", "-1", "' -1'", "x1"].map { "rsync -r --stop-after=\($0) src/dir dst/" }, .same)

    private static let emptyValues =
        rows([
            "rsync -r --exclude-from= --include-from= src/ dst/", "rsync -a --copy-dest= src/ dst/",
            "rsync -a --link-dest= src/ dst/", "RSYNC_MAX_ALLOC= rsync -r src/ host:dst/",
            "RSYNC_PROXY=localhost:nosuchservice rsync rsync://h/m", "RSYNC_PROXY=localhost:80x rsync rsync://h/m",
            "RSYNC_PROXY=127.0.0.1: rsync rsync://h/m", "RSYNC_PROXY=127.0.0.1 rsync rsync://h/m",
            // A program of nothing may be gone before or after it is greeted.
            "RSYNC_PROXY= RSYNC_CONNECT_PROG= rsync -r rsync://127.0.0.1:1/src/ dst/ 2>&1 | grep -c refused; true",
        ])
        + rows(["m", "0m", ".mib", "0k", "k", "0g"].map { "rsync -rB\($0) src/dir dst/" })
        + rows(["1t", "4t", "8p"].map { "rsync -r --bwlimit=\($0) src/dir host:dst/" })

    private static let words =
        rows([
            "rsync --info=FOO2 src dst", "rsync --debug=name,a1b22 src dst", "rsync -r --cc=,md5 src/ dst/",
            "rsync -r --cc=foo,md5 src/ dst/", "rsync -r --cc=md5,foo src/ host:dst/",
            "rsync -r --copy-as=0:4294967296 src/ host:dst/ 2>&1 | grep -v SIGUSR1 | sort -u",
            "rsync -8 --chmod=\"$(printf 'f\\001o\\377\\303\\251\\177')\" src dst",
            "rsync --chmod=\"$(printf 'f\\001o\\377\\303\\251\\177')\" src dst",
            "printf 'aa\\000bb\\ncc\\n#\\000dd\\nalpha\\n' >l; rsync -r --files-from=l src/ dst/",
            "rsync -r --temp-dir=$(printf %0300d 1) src/ dst/ 2>&1 | grep temp-dir",
            "rsync -r --filter=\"- $(printf %04097d 1)\" src/ dst/",
        ])

    /// How much help and versions print where: the texts are each program's own.
    private static let texts =
        rows(
            [
                "-q --version", "--version -q", "-q --help", "-q --info=help", "--stderr=all --version",
                "--stderr=all --info=help", "--server --info=help", "--server --version", "--server --help",
                "--server --daemon -h", "--msgs2stderr -V", "-qV", "-qh",
            ].flatMap { ["rsync \($0) 2>/dev/null | wc -w | sed 's/[1-9].*/some/'"] }
                + ["rsync --human-readable | grep -c Usage:", "rsync --human-readable -n 2>&1 | grep -c Usage:"])

    private static let environments =
        rows(
            ["XXH3", "XXH3 Md5", "XxHaSh XXH64", "md5 &", "& md5", "md5 & md4 & sha1", " & "].flatMap { list in
                [
                    "RSYNC_CHECKSUM_LIST='\(list)' rsync -r --debug=nstr2 src/dir dst/",
                    "RSYNC_CHECKSUM_LIST='\(list)' rsync -r src/dir host:dst/",
                ]
            })
        + rows([
            "RSYNC_COMPRESS_LIST='ZLIB zLiBx' rsync -rz --debug=nstr2 src/dir dst/",
            "RSYNC_COMPRESS_LIST=ZSTD rsync -rz host:src/dir dst/",
            "RSYNC_CHECKSUM_LIST='md5 &' rsync -r --cc=sha1 src/dir host:dst/",
        ])
        + rows(
            [
                "RSYNC_OLD_ARGS=0 RSYNC_PROTECT_ARGS=1", "RSYNC_OLD_ARGS=x RSYNC_PROTECT_ARGS=1", "RSYNC_OLD_ARGS=-1",
                "RSYNC_OLD_ARGS=-5 RSYNC_PROTECT_ARGS=1", "RSYNC_PROTECT_ARGS=1", "DISPLAY=x", "DISPLAY=x SSH_ASKPASS=",
            ].map { "\($0) rsync -r -e ./words src/dir 'host:a b' 2>/dev/null; cat told" },
            prepare: "printf '#!/bin/sh\\necho \"$@\" \"[$DISPLAY]\" >told\\n' >words; chmod +x words")
        + rows(
            [
                "RSYNC_CONNECT_PROG=/nonexistent", "RSYNC_SHELL=/nonexistent", "RSYNC_SHELL=/bin/bash",
            ].map { "\($0) rsync -r rsync://h/src/ dst/ 2>&1 | grep not.found" })
        + rows(["cmd", "connect"].map { "rsync -r --debug=\($0) rsync://h/src/dir dst/ | sed 's/\".*//'" })

    /// What has become a link is not also up to date; directories that another tree has are not named.
    private static let links =
        rows(
            ["src/ dst/", "src/ host:dst/", "host:src/ dst/"].flatMap { operands in
                ["-vvaH", "-vvaHI", "-vva --link-dest=../src", "-vva --copy-dest=../src"].map {
                    "rsync \($0) \(operands)"
                }
            })
        + rows(
            [
                "-aiib --link-dest=../old", "-aiiO --link-dest=../old", "-aiiO --copy-dest=../old",
                "-aiiO --compare-dest=../same", "-aiib --link-dest=../same",
            ].map { "rsync \($0) src/ new/" },
            prepare: "mkdir old; cp -a src same")
        + rows(
            ["src/alpha dst/", "src/alpha host:dst/", "host:src/alpha dst/"].map {
                "rsync -rp --out-format='%U %G %n' \($0)"
            }, prepare: "chown 5:6 src/alpha")

    /// A backup that cannot be made: the file stays, and it is told why.
    private static let backups =
        rows([
            "rsync --suffix= --backup-dir=./ -r src/ dst/", "rsync --suffix= --backup-dir=./. -r src/ dst/",
            "rsync --suffix= --backup-dir=dst -ri src/ dst/",
        ])
        + [
            DifferentialLine(
                "rsync -r --backup-dir=../shut src/alpha dst/", .outdated, prepare: "mkdir -m 0 shut", order: .any,
                unprivileged: true)
        ]

    /// Distances of names where the cheaper step does not begin at the smaller distance.
    private static let distances =
        rows(
            ["rsync -ry --no-W --debug=FUZZY2 src/ dst/"], .nothing,
            prepare: """
                mkdir src dst; echo 1 >src/0z; echo 1 >src/9xb; echo 1 >src/9a0a_; echo 1 >src/ax9_1
                for f in 'b~0' 0ba~9a 0xcx _yx _az1x; do echo 12 >dst/$f; done
                """)

    private static let daemonPaths =
        rows(
            ["rsync -a l/ rsync://h/all/new/", "rsync -a l/ rsync://h/all/dst/; rsync -a rsync://h/all/l/ dst/in/"],
            .absent,
            prepare: """
                mkdir -p l/s/t dst; i=0
                for t in /a//b/ a/../b/ ../../x/ / .. ../ a/.. ./ .//a// //a a/b/../../../c/ ../d/.. /../ a/b/.. ../e/../f a/.
                do i=$((i+1)); ln -s $t l/$i; ln -s $t l/s/t/$i; done
                """)
        + rows(
            ["../nope", "../../nope", "./nope", "../x/../nope", "dst/../nope", "nope"].flatMap { path in
                ["dst/", "all/dst/", "all/dst/dir/", "jail/dst/"].map {
                    "rsync -a --link-dest=\(path) src/alpha rsync://h/\($0)"
                }
            })

    /// A single file is named as the destination names it where it is left alone.
    private static let singleFiles =
        rows(
            ["--existing", "-t", "--ignore-existing", "-u", "--max-size=1b", "-n"].map {
                "rsync -vv \($0) src/alpha dst/other"
            }, prepare: "mkdir -p dst")
        + rows(
            ["-t", "--ignore-existing", "-u", "-ut", "-I", "-i"].map { "rsync -vv \($0) src/alpha dst/other" },
            prepare: "cp -p src/alpha dst/other")

    /// Names of a list: rules of the directories above them, links of untrusted users.
    private static let listedNames =
        rows(
            ["n/z", "n/z/x", "n/z/x\\no/x", "n/z/\\no/x", "n/k/y\\nn/z/d/x"].map {
                "printf '\($0)\\n' | rsync '--filter=: .f' -ri --files-from=- src dst/"
            } + ["rsync '--filter=: .f' -riR src/./n/z/x src/./o/x dst/", "rsync '--filter=: .f' -riR src/./n/z dst/"],
            .nothing,
            prepare: """
                mkdir -p src/n/z/d src/n/k src/o; echo 1 >src/n/z/x; echo 1 >src/n/z/d/x; echo 2 >src/n/k/y; echo 3 >src/o/x
                printf -- '- x\\n- /z/\\n' >src/n/.f
                """)
        + rows(
            ["-r", "-rL", "-rk", "-r --copy-unsafe-links", "-r --safe-links", "-r --insecure-links"].flatMap {
                options in
                ["in/a", "out/a", "own/a", "in/", "out/none"].map {
                    "echo \($0) | rsync \(options) --files-from=- src dst/"
                }
            }, .nothing,
            prepare: """
                mkdir -p src/real other; echo 1 >src/real/a; echo 2 >other/a; ln -s real src/in; ln -s ../other src/out
                ln -s real src/own; chown -h 1:1 src/in src/out
                """)

    /// What was found of a directory below one `/./` says nothing about the one of that name below another.
    private static let listedRoots =
        rows(
            ["p/./l/a\\nq/./l/a", "q/./l/a\\np/./l/a", "p/./l/a\\np/./l/b\\nq/./l/b"].map {
                "printf '\($0)\\n' | rsync -r --files-from=- src dst/"
            }, .nothing,
            prepare: """
                mkdir -p src/p/real src/q/real; echo 1 >src/p/real/a; echo 2 >src/q/real/a; echo 3 >src/p/real/b
                cp src/p/real/b src/q/real/b; ln -s real src/p/l; ln -s real src/q/l; chown -h 1:1 src/q/l
                """)

    /// Deletions that fail inside a directory.
    private static let keptContents = ["--delete-during", "--delete-delay", "--delete-before"].flatMap { mode in
        ["", "chown 65534 dst", "chown 65534 dst dst/a"].map {
            DifferentialLine(
                "rsync -r \(mode) src/ dst/", .nothing,
                prepare: "mkdir -p src dst/a/b dst/k; echo 1 >dst/a/b/f; echo 2 >dst/k/z; \($0.isEmpty ? ":" : $0)",
                order: .any, unprivileged: true)
        }
    }
}
