// Dray — command lines: what is printed.
// SPDX-License-Identifier: Apache-2.0

extension DifferentialLine {
    static let output: [DifferentialLine] =
        verbosity + items + formats + progress + statistics + logFiles + infoWords + debugWords + texts

    /// Counts of bytes on the wire.
    private static let counts = ["^Total bytes", "^sent ", "^total size is"]

    private static let verbosity: [DifferentialLine] = [
        DifferentialLine("rsync -rv src/ dst/", .outdated),
        DifferentialLine("rsync -avv src/ dst/", .outdated),
        DifferentialLine("rsync -avv src/ dst/"),
        DifferentialLine("rsync -avv --delete src/ dst/", .outdated),
        DifferentialLine("rsync -avv src/ host:dst/", .outdated, order: .any),
        DifferentialLine("rsync -avv host:src/ dst/", .outdated, order: .any),
        DifferentialLine("rsync -avv --no-W -I src/ dst/", .outdated),
        DifferentialLine("rsync -avv --no-W -I host:src/ dst/", .outdated, order: .any),
        DifferentialLine("rsync -avvv src/dir dst/", .outdated, order: .any),
        DifferentialLine("rsync -avvv src/ dst/", .outdated, order: .any),
        DifferentialLine("rsync -avvv --delete src/ host:dst/", .outdated, order: .any),
        DifferentialLine("rsync -avvvv src/dir dst/", .outdated, order: .any),
        DifferentialLine("rsync -a --verbose --no-v src/ dst/", .outdated),
        DifferentialLine("rsync -aq src/ dst/", .outdated),
        DifferentialLine("rsync -avq --stats src/ dst/", .outdated),
        DifferentialLine("rsync -aiq --delete src/ host:dst/", .outdated),
        DifferentialLine("rsync -avq --progress host:src/ dst/", .outdated),
        DifferentialLine("rsync -avv -b --remove-source-files src/ dst/", .outdated, order: .any),
        DifferentialLine("rsync -avv --exclude='*.o' --delete src/ dst/", .outdated),
        DifferentialLine("rsync -avv --max-size=1000 --min-size=60 -u src/ dst/", .outdated),
        DifferentialLine("rsync -avv --existing src/ dst/", .outdated),
        DifferentialLine("rsync -avv --ignore-existing src/ dst/", .outdated, except: DifferentialLine.keptFile),
        DifferentialLine("rsync -av --no-i-r src/ dst/", .outdated),
        DifferentialLine("rsync -avv --no-i-r src/ dst/", .outdated),
        DifferentialLine("rsync -av --no-i-r host:src/ dst/", .outdated),
        DifferentialLine("rsync -av --no-i-r src/ host:dst/", .outdated),
    ]

    private static let items: [DifferentialLine] = [
        DifferentialLine("rsync -ai src/ dst/"),
        DifferentialLine("rsync -ai src/ dst/", .outdated),
        DifferentialLine("rsync -aii src/ dst/", .outdated),
        DifferentialLine("rsync -aiv src/ dst/", .outdated),
        DifferentialLine("rsync -aivv src/ dst/", .outdated),
        DifferentialLine("rsync -aic src/ dst/", .outdated),
        DifferentialLine("rsync -ri src/ dst/", .outdated),
        DifferentialLine("rsync -rii src/ dst/", .outdated),
        DifferentialLine("rsync -rlpgoi --size-only src/ dst/", .outdated),
        DifferentialLine("rsync -ai --no-i -v src/ dst/", .outdated),
        DifferentialLine("rsync -aUi src/dir dst/", .outdated),
        DifferentialLine("rsync -aAXi src/ dst/", .metadata),
        DifferentialLine("rsync -aAXii src/ dst/", .metadata),
        DifferentialLine("rsync -aAXiH --delete host:src/ dst/", .metadata),
        DifferentialLine("rsync -aiI src/ dst/", .same),
        DifferentialLine("rsync -aiiH --link-dest=../src src/ dst/"),
        DifferentialLine("rsync -aii --copy-dest=../src src/ new/"),
        DifferentialLine("rsync -aii --compare-dest=../src src/ new/"),
        DifferentialLine("rsync -ai --checksum --dry-run host:src/ dst/", .outdated),
    ]

    private static let formats: [DifferentialLine] = [
        DifferentialLine("rsync -r --out-format='%i|%B|%n' host:src/ dst/", .outdated),
        DifferentialLine(
            "rsync -r --out-format='%i|%B|%n|%b' host:src/ dst/; rsync -rI --out-format='%B %n' host:src/ dst/"),
        DifferentialLine("rsync -a --out-format='%i|%n|%L|%l|%o|%B|%U|%G|%M|%f|%%|%m' src/ dst/", .outdated),
        DifferentialLine("rsync -ac --out-format='%C %n' src/ dst/", .outdated),
        DifferentialLine("rsync -a --out-format='%C %n' src/ dst/", .outdated),
        DifferentialLine("rsync -aW --out-format='%b %c %n' src/ dst/", .outdated),
        DifferentialLine("rsync -a --no-W --out-format='%n %b %c %l' host:src/ dst/", .outdated),
        DifferentialLine("rsync -a --no-W --out-format='%n %b %c %l' src/ host:dst/", .outdated),
        DifferentialLine(
            #"rsync -a --out-format='%10l|%-10l|%'"'"'l|%'"''"''"'"'l|%5n|%-20n|%3o|%.3n|%z|%' src/ dst/"#),
        DifferentialLine("rsync -a --out-format='%a %h %P %u %t' src/alpha dst/ | cut -c1-20"),
        DifferentialLine("rsync -a --delete --out-format='X %n' src/ dst/", .outdated),
        DifferentialLine("rsync -a --delete --out-format='%o %n%L' src/ dst/", .outdated),
        DifferentialLine("rsync -a --delete --out-format='%i %n%L' src/ host:dst/", .outdated, order: .any),
        DifferentialLine("rsync -a --log-format='%f %l' host:src/ dst/", .outdated),
        DifferentialLine("rsync -a --out-format='%f %l' src/dir src/alpha host:dst/", .outdated),
        DifferentialLine("rsync -aR --out-format='%f %n' src/./dir host:dst/", .outdated),
        DifferentialLine("rsync -avH --out-format='%20L|%n' src/ dst/"),
        DifferentialLine("rsync -aii --out-format='[%i]' src/ dst/", .same),
        DifferentialLine("rsync -avv --out-format='%n' src/ dst/", .same),
    ]

    private static let progress: [DifferentialLine] = [
        DifferentialLine("rsync -a --progress src/ dst/"),
        DifferentialLine("rsync -av --progress src/ dst/", .outdated),
        DifferentialLine("rsync -aP src/ host:dst/", .outdated),
        DifferentialLine("rsync -aP host:src/ dst/", .outdated),
        DifferentialLine("rsync -ai --progress --delete src/ dst/", .outdated),
        DifferentialLine("rsync -a --progress --no-i-r src/ dst/"),
        DifferentialLine("rsync -ah --progress src/ dst/"),
        DifferentialLine("rsync -a --progress --no-progress src/ dst/"),
        DifferentialLine("rsync -an --progress src/ dst/"),
        DifferentialLine("rsync -a --info=progress2 src/ dst/"),
        DifferentialLine("rsync -a --info=progress2 --no-i-r src/ dst/", .outdated),
        // When a list counts as finished, and is shown, is a matter of timing where another process generates.
        DifferentialLine("rsync -a --info=progress2 src/ host:dst/", .outdated, order: .ignored),
        DifferentialLine("rsync -a --info=progress2 host:src/ dst/", .outdated),
        DifferentialLine("rsync -av --info=progress2 src/ dst/", .outdated),
        DifferentialLine("rsync -a --info=progress2,name1 src/ dst/", .outdated),
        DifferentialLine("rsync -a --info=progress2 src/ dst/", .same),
        DifferentialLine("rsync -a --info=progress2 --delete-after src/ dst/", .outdated),
    ]

    private static let statistics: [DifferentialLine] = [
        DifferentialLine("rsync -a --stats src/ dst/", .outdated),
        DifferentialLine("rsync -a --stats --delete src/ dst/", .outdated),
        DifferentialLine("rsync -a --stats src/ host:dst/", .outdated, without: counts),
        DifferentialLine("rsync -a --stats host:src/ dst/", .outdated, without: counts),
        DifferentialLine("rsync -ah --stats src/ dst/"),
        DifferentialLine("rsync -ahh --stats src/ dst/"),
        DifferentialLine("rsync -ahhh --stats src/ dst/"),
        DifferentialLine("rsync -a --no-h --stats src/ dst/"),
        DifferentialLine("rsync -a --stats --no-W -I src/ dst/", .outdated),
        DifferentialLine("rsync -an --stats src/ dst/", .outdated),
        DifferentialLine("rsync -a --stats --no-i-r -H src/ dst/", .outdated),
        DifferentialLine("rsync -avv --stats src/dir dst/", .outdated, order: .ignored),
        DifferentialLine("rsync -a --info=stats1 src/ dst/", .outdated),
        DifferentialLine("rsync -av --info=stats0 src/ dst/", .outdated),
        DifferentialLine("rsync -a --stats src/ dst/", .same),
        DifferentialLine("rsync -a --stats rsync://localhost/src/ dst/", .outdated, without: counts),
    ]

    private static func logged(_ line: String, _ start: Start = .outdated, order: Order = .exact) -> DifferentialLine {
        DifferentialLine(line + "; code=$?; echo --log; cat log; rm log; exit $code", start, order: order)
    }

    private static let logFiles: [DifferentialLine] = [
        logged("rsync -a --log-file=log src/ dst/"),
        logged("rsync -av --log-file=log --delete src/ dst/"),
        logged(
            "rsync -a --log-file=log --log-file-format='%o %l %n %p' src/ dst/ >/dev/null; sed -i 's/ [0-9]*$//' log"),
        logged("rsync -a --log-file=log --stats src/ dst/"),
        logged("rsync -aq --log-file=log src/ dst/"),
        logged("rsync -an --log-file=log src/ dst/"),
        logged("rsync -a --log-file=log src/ host:dst/", order: .any),
        logged("rsync -a --log-file=log host:src/ dst/"),
        logged("rsync -a -M--log-file=$W/log src/dir host:dst/", order: .any),
        logged("rsync -a -M--log-file=$W/log host:src/dir dst/", order: .any),
        logged("rsync -a --log-file=log --log-file-format= src/ dst/"),
        logged("rsync -a --log-file=$W/log --progress src/ dst/"),
        logged("rsync -a --log-file=log src/dir src/nothing dst/"),
        DifferentialLine("rsync -av --log-file=no/such/log src/dir dst/"),
    ]

    private static let infoWords: [DifferentialLine] =
        [
            "backup", "backup2", "copy", "del", "del2", "flist", "flist2", "misc", "misc2", "mount", "name", "name2",
            "nonreg0", "progress", "progress2", "remove", "skip", "skip2", "stats", "stats2", "symsafe", "all", "none",
            "all1", "name,skip,del", "NAME1,Skip0",
        ].map {
            DifferentialLine(
                "rsync -rlptb --delete -u --safe-links --info=\($0) src/ dst/", .outdated,
                // With progress, messages break the line wherever they overtake it.
                order: $0.hasPrefix("all")
                    ? .any : $0 == "progress2" ? .ignored : $0.hasPrefix("backup") ? .any : .exact)
        } + [
            DifferentialLine("rsync --info=help"),
            DifferentialLine("rsync --debug=help"),
            DifferentialLine("rsync -av --info=name0 src/ dst/", .outdated),
            DifferentialLine("rsync -av --info=flist0,stats0 src/ dst/", .outdated),
            DifferentialLine("rsync -a --info=skip --existing src/ dst/", .outdated),
            DifferentialLine(
                "rsync -a --info=skip2 --ignore-existing src/ dst/", .outdated, except: DifferentialLine.keptFile),
            DifferentialLine("rsync -a --info=remove --remove-source-files src/ dst/", order: .any),
            DifferentialLine("rsync -a --info=name2 src/ host:dst/", .outdated),
            DifferentialLine("rsync -a --info=name2,del,skip host:src/ dst/", .outdated),
            DifferentialLine("rsync -a --info=flist2 src/ dst/"),
            DifferentialLine("rsync -a --info=flist2 --no-i-r src/ dst/"),
        ]

    /// Words about rsync's own buffers, and about choices among links that Dray makes in another order: only what the
    /// runs do is compared.
    private static let inner = ["io", "hlink3"]

    private static let debugWords: [DifferentialLine] =
        ([
            "acl", "backup", "bind", "cmd", "connect", "del", "del2", "del3", "deltasum", "dup", "filter", "flist",
            "fuzzy", "genr", "iconv", "iconv2", "chdir", "cmd2", "exit", "exit2", "filter2", "filter3", "hlink", "own",
            "own2",
            "deltasum2", "deltasum3", "hlink2", "time2", "nstr", "nstr2", "proto", "recv", "send", "time", "backup2",
            "none",
        ] + inner).map {
            DifferentialLine(
                "rsync -abHy --delete --exclude='*.q' --debug=\($0) src/ dst/", .outdated,
                order: inner.contains($0) ? .ignored : .any,
                // Whether a basis that the generator is replacing can still be opened is a matter of timing.
                without: ["^recv mapped swap2 "])
        } + [
            DifferentialLine("rsync -a --debug=cmd2 src/ host:dst/", .outdated),
            DifferentialLine("rsync -a --debug=deltasum --no-W -I src/ dst/", .outdated),
        ]
        + ["deltasum2", "deltasum3", "deltasum4"].flatMap { word in
            ["src/ dst/", "src/ host:dst/", "host:src/ dst/"].map {
                DifferentialLine(
                    "rsync -a --debug=none,\(word) -M--debug=none,\(word) --info=none --no-W -I \($0)", .outdated,
                    order: .any)
            }
        }
        + ["flist2", "flist3", "own2", "time2", "chdir", "exit2", "hlink"].flatMap { word in
            ["src/ host:dst/", "host:src/ dst/"].map {
                DifferentialLine(
                    "rsync -aH --debug=none,\(word) -M--debug=none,\(word) --info=none \($0)", order: .any,
                    // Whether a sender on the other side can still say that it ends is a matter of timing.
                    without: ["^.sender. _exit_cleanup"])
            }
        } + [
            DifferentialLine("rsync -a --info=stats3 src/ dst/", .outdated, order: .any),
            DifferentialLine("rsync -a --info=stats3 host:src/ dst/", .outdated, order: .any, without: counts),
            DifferentialLine("rsync -a --debug=flist,proto,nstr host:src/ dst/", .outdated, order: .any),
            DifferentialLine("rsync -a --debug=ALL0 src/ dst/", .outdated),
        ]

    private static let texts: [DifferentialLine] = [
        DifferentialLine("rsync --version | sed -n '1s/version [^ ]*/version V/p'"),
        DifferentialLine("rsync -VV >/dev/null"),
        DifferentialLine(
            "rsync -av src/ dst/",
            prepare: ##"touch src/"$(printf 'tab\tctl\001')" src/"$(printf 'bad\377\303\251')" 'src/a\#123b'"##),
        DifferentialLine(
            "rsync -av8 src/ dst/",
            prepare: ##"touch src/"$(printf 'tab\tctl\001')" src/"$(printf 'bad\377\303\251')" 'src/a\#123b'"##),
        DifferentialLine(
            "LC_ALL=C rsync -av src/ dst/", prepare: ##"touch src/"$(printf 'bad\377\303\251')" 'src/a\#123b'"##),
        DifferentialLine(
            "LC_ALL=C rsync -av -8 src/ dst/", prepare: ##"touch src/"$(printf 'bad\377\303\251')" 'src/a\#123b'"##),
        DifferentialLine(
            "rsync -av host:src/ dst/", prepare: #"touch src/"$(printf 'new\nline')" src/"$(printf 'bad\377')""#),
        DifferentialLine("rsync -av --outbuf=N src/ dst/", .outdated),
        DifferentialLine("rsync -av --outbuf=block src/ dst/", .outdated),
        DifferentialLine("rsync -av --stderr=all src/ dst/", .outdated),
        DifferentialLine("rsync -av --stderr=client src/ host:dst/", .outdated),
        DifferentialLine("rsync -av --stderr=errors src/ src/no host:dst/", .outdated),
        DifferentialLine("rsync -av --msgs2stderr src/ dst/", .outdated),
        DifferentialLine("rsync -av --no-msgs2stderr host:src/ host:src/no dst/", .outdated),
        DifferentialLine(
            "rsync -av src/ dst/",
            prepare: #"cd src; d=$(printf '%0250d' 1); for i in 1 2 3 4; do mkdir $d; cd $d; done; touch x"#),
    ]
}
