// Dray — command lines: how a run ends that fails, what a peer makes of it, and paths of operators that lead astray.
// SPDX-License-Identifier: Apache-2.0

extension DifferentialLine {
    static let ends: [DifferentialLine] =
        exits + lateExits + refusals + nameLists + untrusted + unreadable + batches + frames + oldProtocols

    /// What the receiving side itself tells of items without new content, and failures that have no word in the stream.
    private static let oldProtocols: [DifferentialLine] =
        ["-rvvp", "-rvvi", "-avv", "-rvp", "-rvvc --out-format=%i_%n"].flatMap { options in
            any(
                "\(options) --protocol=28", ["src/dir/ dst/", "src/dir/ host:dst/", "host:src/dir/ dst/"],
                prepare: "cp -a src/dir/. dst/; find dst -type f -exec chmod 600 {} +; chmod 700 dst/; rm -rf dst/sub")
        }
        + ["28", "30"].flatMap { version in
            any(
                "-r --protocol=\(version)",
                [
                    "src/ no/where/at/", "src/ src/alpha", "src/ host:src/alpha", "--temp-dir=/nosuch src/ dst/",
                    "--temp-dir=/nosuch src/ host:dst/",
                ], without: stopped + forgotten)
        }

    private static func any(
        _ options: String, _ scripts: [String], prepare: String = "", without: [String] = []
    ) -> [DifferentialLine] {
        scripts.map {
            DifferentialLine("rsync \(options) \($0)", prepare: prepare, order: .any, without: without)
        }
    }

    /// rsync's other process may be stopped before it can say so.
    private static let stopped = ["code=19", "code 19"]
    /// Once its child is gone rsync's client may have forgotten why the connection was lost.
    private static let forgotten = ["sender. read error"]

    /// Failures that end a run, with each process that leaves (`--debug=exit`).
    private static let exits: [DifferentialLine] =
        any(
            "-r --debug=none,exit3",
            [
                "src/ no/where/at/", "src/ host:no/where/at/", "host:src/ no/where/at/", "rsync://h/src/ no/where/at/",
                "src/ src/alpha", "src/ host:src/alpha", "host:src/ src/alpha", "rsync://h/src/ src/alpha",
                "--temp-dir=/nosuch src/ dst/", "--temp-dir=/nosuch src/ host:dst/",
                "--temp-dir=/nosuch host:src/ dst/", "src/ rsync://h/ro/", "rsync://h/nosuch/ dst/",
                "-R src/dir/../alpha dst/", "-R src/dir/../alpha host:dst/", "-R host:src/dir/../alpha dst/",
                "-M--bogus src/ dst/", "-M--bogus host:src/ dst/", "-M--bogus rsync://h/src/ dst/",
                "-c rsync://h/ref/src/ dst/", "-c src/ rsync://h/ref/dst/",
            ], without: stopped + forgotten)
        + any("-r -M--debug=none,exit3", ["src/ host:src/alpha", "src/ host:no/where/at/"])
        + any("-r --debug=none,exit1,io1", ["src/ src/alpha", "src/ host:src/alpha"])
        + any(
            "-r --debug=none,exit3 -e ./sh", ["x:src/ dst/", "src/ x:dst/"],
            prepare: "printf '#!/bin/sh\\nhead -c 4 >/dev/null; exec >&-\\n' >sh; chmod 755 sh")

    /// Failures that only some files suffer from.
    private static let lateExits: [DifferentialLine] =
        any(
            "-r --debug=none,exit3",
            [
                "src/nosuch src/alpha dst/", "src/nosuch src/alpha host:dst/", "host:src/nosuch host:src/alpha dst/",
                "rsync://h/src/nosuch rsync://h/src/alpha dst/",
            ])
        + any(
            "-r --debug=none,exit3",
            ["src/ dst/", "src/ host:dst/", "host:src/ dst/", "rsync://h/src/ dst/", "src/ rsync://h/dst/"],
            prepare: "mkdir -p dst/alpha/x")
        + ["src/ dst/", "src/ host:dst/", "host:src/ dst/"].map {
            DifferentialLine("rsync -r --debug=none,exit3 --delete --max-delete=0 \($0)", .outdated, order: .any)
        }
        + any("-r --debug=none,recv1", ["host:src/dir dst/"])
        + any("-vvvv", ["src/nosuch src/alpha host:dst/"])
        + any("-r --debug=none,time2", ["src/dir/ dst/", "--no-i-r src/dir/ dst/", "-n src/dir/ dst/"])
        + [
            DifferentialLine("rsync -rvv --delete-before src/dir/ dst/dir/", .outdated, order: .any),
            DifferentialLine("rsync -r --delete-after --debug=none,del host:src/dir dst/", .outdated, order: .any),
            DifferentialLine("rsync -avvvv --delete src/dir/ dst/dir/", .outdated, order: .any),
            DifferentialLine(
                "rsync -r --delete --debug=none,flist3 -f 'P *.o' src/dir/ dst/dir/", .outdated, order: .any),
        ]

    /// What a client sees of a daemon that does not want what it asks for.
    private static let refusals: [DifferentialLine] =
        any(
            "-r",
            [
                "-c rsync://h/ref/src/ dst/", "-c src/ rsync://h/ref/dst/", "-z rsync://h/ref/src/ dst/",
                "-z src/ rsync://h/ref/dst/", "--protocol=29 -c rsync://h/ref/src/ dst/",
                "--protocol=29 -c src/ rsync://h/ref/dst/", "rsync://h/cs/ dst/", "src/ rsync://h/cs/",
                "--iconv=utf8 rsync://h/cs/ dst/", "--iconv=utf8,latin1 rsync://h/src/ dst/",
                "--iconv=utf8,latin1 src/ rsync://h/dst/", "src/ rsync://h/ro/", "--delete src/ rsync://h/ro/",
                "--protocol=29 src/ rsync://h/ro/", "--remove-source-files rsync://h/ro/ dst/",
                "-M--log-file=x rsync://h/src/ dst/", "-M--checksum-choice=bogus host:src/ dst/",
                "-M--compress-choice=bogus src/ host:dst/",
                "-s --iconv=utf8,latin1 -M--debug=iconv2 src/ host:dst/",
            ], without: forgotten)

    private static let nameLists: [DifferentialLine] =
        any(
            "-v",
            [
                "--files-from=src/alpha nosuch/ host:dst/", "--no-i-r --files-from=src/alpha nosuch/ host:dst/",
                "--files-from=:nosuch rsync://h/src/ dst/", "--files-from=:/nosuch rsync://h/src/ dst/",
            ])
        + any(
            "-d",
            [
                "--files-from=src/dir src/ dst/", "--files-from=src/dir host:src/ dst/",
                "--files-from=:src/dir host:src/ dst/", "--files-from=host:src/dir src/ host:dst/",
            ], without: stopped)

    // MARK: - Paths of operators

    /// A link that belongs to somebody else.
    private static func link(_ target: String, _ scripts: [String], _ start: Start = .outdated) -> [DifferentialLine] {
        scripts.map {
            DifferentialLine(
                $0, start, prepare: "mkdir real; ln -s \(target) lnk; chown -h 5 lnk", order: .any)
        }
    }

    private static let untrusted: [DifferentialLine] =
        link(
            "real",
            [
                "rsync -r src/ lnk/", "rsync -r src/ lnk/x/", "rsync src/alpha lnk/x", "rsync -r src/ host:lnk/",
                "rsync -r host:src/ lnk/x", "rsync -r rsync://h/src/ lnk/", "rsync -r --mkpath src/ lnk/x/y/",
                "rsync -rl --temp-dir=$W/lnk src/alpha src/big dst/",
                "rsync -r --backup-dir=$W/lnk -b src/alpha dst/", "rsync -r --backup-dir=$W/lnk/x -b src/alpha dst/",
            ])
        + link(
            "dst",
            [
                "rsync -r --link-dest=$W/lnk src/alpha src/big new/", "rsync -rt --copy-dest=$W/lnk src/dir new/",
                "rsync -r --compare-dest=../lnk src/alpha new/", "rsync -r --log-file=lnk/log src/alpha new/",
            ])
        + link(
            "dst/alpha",
            [
                "rsync -r --log-file=lnk src/alpha new/", "rsync -r -M--log-file=$W/lnk src/alpha host:new/",
                "rsync -r --files-from=lnk src/ new/", "rsync -r --files-from=:lnk host:src/ new/",
                "rsync -r --write-batch=lnk src/ new/; rm -f lnk.sh", "rsync -r --read-batch=lnk new/",
                "rsync --early-input=lnk rsync://h/src/ new/",
            ])

    /// What may not be read or changed.
    private static let unreadable: [DifferentialLine] =
        [
            ("rsync -a --fake-super src/alpha src/big dst/ 2>&1 | sort -u", "chmod 0 dst/alpha"),
            ("rsync -a --fake-super src/alpha src/big dst/ 2>&1 | sort -u", "chmod 200 dst/alpha dst/big"),
            ("rsync -rlpt -M--fake-super host:src/ new/ 2>&1 | sort -u", "chmod 0 src/alpha"),
            ("rsync -rlpt --super --chown=2:2 src/dir new/", ""),
            ("rsync -rlp --super src/dir new/", "chmod 555 src/dir; chmod 500 src/dir/sub"),
        ].map {
            DifferentialLine($0.0, .same, prepare: $0.1, order: .any, unprivileged: true)
        }
        + [
            DifferentialLine(
                "rsync -a -M--fake-super src/ host:new/ && rsync -a -M--fake-super host:new/ back/; rm -r new",
                prepare: "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"src/sock\")'", order: .any)
        ]

    // MARK: - Batches and frames

    /// What a batch and its script hold when nothing came of the run.
    private static let batches: [DifferentialLine] =
        [
            "rsync://h/nosuch/ dst/", "src/ rsync://h/nosuch/", "rsync://h/cs/ dst/",
            "--protocol=29 rsync://h/cs/ dst/",
        ].map {
            DifferentialLine("rsync -r --write-batch=b \($0); od -c b; cat b.sh; rm -f b b.sh", order: .any)
        }

    private static let frames: [DifferentialLine] =
        [
            // How data is cut into frames is each program's own; the pipe between rsync's two processes is rsync's.
            "rsync -r --stderr=all --debug=none,io1 src/alpha dst/ 2>&1 | sed 's/[0-9][0-9]*/N/g' | sort -u"
                + " | grep -v 'receiver. send_msg(\\|generator. got'",
            "rsync -r --debug=none,io1 src/alpha dst/", "rsync -r --debug=none,io1 host:src/alpha dst/",
            "rsync -r -M--debug=none,io1 src/alpha host:dst/",
            "rsync -aH --debug=none,hlink3 src/ dst/ | sed 's/is [0-9]*:[0-9]*$/is D:I/'",
            "rsync -aH -M--debug=none,hlink3 host:src/ dst/ | sed 's/is [0-9]*:[0-9]*$/is D:I/'",
            "rsync -aH --debug=none,hlink3 --no-i-r src/ host:dst/ | sed 's/is [0-9]*:[0-9]*$/is D:I/'",
        ].map { DifferentialLine($0, order: .any) }
}
