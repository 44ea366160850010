// Dray — command lines: rules about names.
// SPDX-License-Identifier: Apache-2.0

extension DifferentialLine {
    static let filters: [DifferentialLine] = plain + files + perDirectory + sides + classes

    private static let plain: [DifferentialLine] = [
        "--exclude='*.o'", "--exclude=/dir", "--exclude=dir/", "--exclude=sub/three", "--exclude='dir/*'",
        "--exclude='dir/**'", "--exclude='dir/***'", "--exclude='/*/sub'", "--exclude='**/deep'", "--exclude='?i*'",
        "--include='*/' --include='*.o' --exclude='*'", "--include=/dir/ --include='/dir/*.o' --exclude='*'",
        "--exclude='*' --include=alpha", "--include='+ alpha' --exclude='- b*'", "--exclude='+ big' --exclude='b*'",
        "--exclude=alpha --exclude='!' --exclude=big", "-f '- *.o'", "-f 'exclude *.o'", "-f '+ */' -f '- *.o'",
        "-f-_*.o", "-f '-! */' -f '+ *.o'", "-f 'exclude,! *.o'", "-f '-/ $W/src/dir/sub'", "-f '-p *.o'",
        "--filter='include,s dir/' --filter='hide *.o'", "-f '- alpha' -f '!' -f '- big'", "-f clear -f '-s big'",
        "--exclude='with space'", "--exclude='*[ ]*'", "--exclude='[!a-d]*'", "--exclude='\\a*'",
        "--exclude=", "-C", "-C --exclude='!*.o'", "--cvs-exclude -f '+ *.o'", "-f '-C' --exclude=alpha",
    ].map { DifferentialLine("rsync -ai --delete \($0) src/ dst/", .outdated) }

    private static let files: [DifferentialLine] = [
        DifferentialLine(
            "printf '*.o\\n# no\\n;no\\n\\n+ dir\\n- big\\r\\n' > r; rsync -ai --exclude-from=r src/ dst/"),
        DifferentialLine("printf '*.o\\n- alpha\\n' > r; rsync -ai --include-from=r --exclude='[a-f]*' src/ dst/"),
        DifferentialLine("printf '*.o\\0alpha\\n\\0' | rsync -ai0 --exclude-from=- src/ dst/"),
        DifferentialLine("printf '*.o\\nalpha\\n' > r; rsync -ai --exclude-from=r -0 src/ dst/"),
        DifferentialLine("printf -- '- *.o\\n- alpha\\n' > r; rsync -ai -f '. r' --from0 src/ host:dst/", order: .any),
        DifferentialLine("printf -- '- *.o\\n+ big\\n- b*\\n' > r; rsync -ai -f '. r' src/ dst/"),
        DifferentialLine("printf -- '- *.o\\n. r2\\n' > r; echo '- alpha' > r2; rsync -ai -f 'merge r' src/ dst/"),
        DifferentialLine("printf '*.o alpha\\nbig' > r; rsync -ai -f '.-w r' src/ dst/"),
        DifferentialLine("printf '*.o\\nalpha' > r; rsync -ai -f '.- r' src/ dst/"),
        DifferentialLine("printf '/alpha\\n/sub' > r; rsync -ai -f './- r' src/ dst/"),
        DifferentialLine("printf '*.o\\nrun.sh !' > r; rsync -ai -f '.C r' -f '+ *.txt' src/ dst/"),
        DifferentialLine("echo '- *.o' > src/.rsync-filter; rsync -aiF --delete src/ dst/", .outdated),
        DifferentialLine("echo '- *.o' > src/.rsync-filter; rsync -aiFF --delete src/ dst/", .outdated),
        DifferentialLine("echo '- /dir/two.o' > src/.rsync-filter; rsync -aiF src/dir src/.rsync-filter dst/"),
        DifferentialLine("mkdir h; echo 'alpha b*' > h/.cvsignore; HOME=$W/h rsync -aiC src/ dst/"),
        DifferentialLine("CVSIGNORE='alpha big' rsync -aiC src/ dst/"),
        DifferentialLine(
            "echo 'one *.o' > src/dir/.cvsignore; rsync -aiC --delete src/ host:dst/", .outdated, order: .any),
        DifferentialLine("rsync -aiC host:src/ dst/", prepare: "echo 'one *.o' > src/dir/.cvsignore"),
        DifferentialLine(
            "rsync -ai -f ': .rules' src/ dst/",
            prepare: "echo '. more' > src/dir/.rules; echo '- one' > src/more; echo '- two.o' > more"),
        DifferentialLine(
            "rsync -ai -f ': .rules' host:src/ dst/",
            prepare: "echo '. sub/more' > src/dir/.rules; echo '- three' > src/dir/sub/more; echo '- *' > src/more"),
    ]

    private static let perDirectory: [DifferentialLine] = [
        "-f ': .rules'", "-f ':n .rules'", "-f ':e .rules'", "-f ':- .names'", "-f ':-n .names'", "-f ':w- .names'",
        "-f ': .rules' -f ': .rules'", "-f 'dir-merge,- .names'", "-f ':s .rules'", "-f ':r .rules'", "-f ':/ .rules'",
        "-f ':C'", "-f ': .rules' -f '+ *.o' -f '- dir/'", "-f ': /.rules'", "-f ': $W/.rules'", "-f ':p .rules'",
    ].flatMap { rule in
        ["rsync -ai --delete \(rule) src/ dst/", "rsync -ai --delete-excluded \(rule) src/ host:dst/"].map {
            DifferentialLine(
                $0, .outdated,
                prepare: """
                    printf -- '- /beta.txt\\n+ two.o\\n- *.o\\n' > src/.rules; printf -- '- three\\n!\\n- one\\n' > src/dir/.rules
                    printf 'big\\n*.sh\\n' > src/.names; echo '/sub one' > src/dir/.names; echo '- hollow' > .rules
                    cp src/.rules dst/; cp src/dir/.rules dst/dir/
                    """, order: $0.contains("host:") ? .any : .exact)
        }
    }

    private static let sides: [DifferentialLine] =
        [
            "-f 'P *.o'", "-f 'protect old/'", "-f 'R *.o' -f '- *.o'", "-f 'H *.o'", "-f 'S two.o' -f 'H *.o'",
            "-f 'risk extra.o' -f 'P *.o'", "-f '-s *.o'", "-f '-r *.o'", "-f '-sr *.o' --delete-excluded",
            "-f '- *.o' --delete-excluded", "-f '-p *.o'", "-f 'P,p *.o'", "-f '-rp keep.o'",
            "-f 'protect extra*' --delete-after",
            "-f 'P extra' --delete-delay", "-f 'show dir/' -f 'hide *'", "-f '-! *.o'",
        ].flatMap {
            [
                DifferentialLine(
                    "rsync -ai --delete \($0) src/ dst/".replacing("--delete --delete", with: "--delete"), .outdated)
            ]
        } + [
            DifferentialLine("rsync -ai --delete -f 'P *.o' -f 'H one' src/ host:dst/", .outdated, order: .any),
            DifferentialLine("rsync -ai --delete -f 'P *.o' -f 'H one' host:src/ dst/", .outdated),
            DifferentialLine("rsync -ai --delete -f 'P *.o' -f '- one' rsync://localhost/src/ dst/", .outdated),
            DifferentialLine(
                "rsync -ai --delete-excluded -f '- *.o' src/ rsync://localhost/dst/", .outdated, order: .any),
            DifferentialLine("rsync -avv --delete -f '- *.o' -f 'P old/' host:src/ dst/", .outdated, order: .any),
            DifferentialLine("rsync -aiX -f '-x user.s*' src/ dst/", .metadata),
            DifferentialLine("rsync -aiX -f '-xr user.long' --delete src/ host:dst/", .metadata, order: .any),
            DifferentialLine("rsync -ai --delete --protocol=28 --exclude='*.o' host:src/ dst/", .outdated, order: .any),
            DifferentialLine("rsync -aiR --delete --exclude=sub/deep src/./dir dst/", .outdated),
        ]

    private static let classes: [DifferentialLine] = [
        "[[:digit:]]*", "*[[:upper:]]*", "[[:punct:]]*", "*[[:space:]]*", "[^[:alpha:]]*", "[[:xdigit:]][[:xdigit:]]",
        "[a-c]*", "[!a-c]*", "[]x]*", "*\\**", "?", "??", "a**c", "/a*c", "**/c", "/**/c", "x/***", "x/**", "*/*/c",
        "[[:foo:]]*", "[a", "caf?", "caf??",
    ].map {
        DifferentialLine(
            "rsync -ri --exclude='\($0)' t/ dst/", .nothing,
            prepare:
                "mkdir -p t/a/b t/x/y t/w/x; cd t; touch a/b/c a/c x/y/c w/x/q ac 7up Up _p ']x' 'a b' 'x*y' fF café '[a' c"
        )
    }
}
