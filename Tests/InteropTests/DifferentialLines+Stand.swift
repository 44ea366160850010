// Dray — command lines: what stands where something is to go, and whose it is.
// SPDX-License-Identifier: Apache-2.0

extension DifferentialLine {
    static let stand: [DifferentialLine] =
        ownSources + linkedDirectories + readOnly + nodes + alternateNodes + refused + times + limits
        + lineEnds + otherFileSystem

    private static func rows(
        _ options: [String], _ operands: [String] = ["src/ dst/"], prepare: String, unprivileged: Bool = false,
        except: [String] = []
    ) -> [DifferentialLine] {
        operands.flatMap { operands in
            options.map {
                DifferentialLine(
                    "rsync \($0) \(operands)", .nothing, prepare: prepare, order: .any, except: except,
                    unprivileged: unprivileged)
            }
        }
    }

    /// A source that is the destination itself stays.
    private static let ownSources =
        rows(
            [
                "-ai --remove-source-files", "-aci --remove-source-files", "-aIi --inplace --remove-source-files",
                "-aHi --remove-source-files", "-ai --remove-sent-files", "-aIi --delay-updates --remove-source-files",
            ], ["src/ src/", "src/ lnk/", "src/a src/b .", "src/ dst/", "src/ $W/src"],
            prepare: """
                mkdir -p src/d; echo 1 >src/a; echo 2 >src/b; echo 3 >src/d/c; mkfifo src/p; ln -s src lnk; ln src/a a
                cp -a src dst; ln -f src/b dst/b
                """)
        + rows(
            ["-aii --remove-source-files --link-dest=../src", "-ai --remove-source-files --compare-dest=../src"],
            ["src/ dst/", "src/ host:dst/"],
            prepare: "mkdir src dst; echo 1 >src/a; ln -s x src/l; mkfifo src/p; mknod src/n c 1 3")

    /// Symlinks where directories are to be.
    private static let linkedDirectories =
        rows(
            [
                "--delete-before", "--delete-after", "--delete", "-n --delete-before", "-n --delete-after",
                "-n --delete",
                "-K --delete-before", "-nK --delete-after", "--ignore-existing --delete-before",
                "--existing --delete-before", "-R --delete-before", "-n", "-nc",
            ].map { "-ai -f 'P /in*' " + $0 }, ["src/ dst/", "src/ host:dst/", "host:src/ dst/"],
            prepare: """
                mkdir -p src/E src/G/s src/Z dst/in dst/in2/s; echo a >src/E/in; echo b >src/G/s/q
                touch dst/in/in dst/in/y dst/in2/s/q dst/in2/s/r dst/in2/t dst/other
                ln -s in dst/E; ln -s in2 dst/G; ln -s nowhere dst/Z
                """)
        + rows(
            ["-ain", "-ainc", "-rlin --no-i-r", "-ain --delete"], ["src/ dst/", "host:src/ dst/"],
            prepare: "mkdir -p src/D dst out; touch src/D/in out/in out/x; ln -s ../out dst/D")
        + rows(
            ["-aiK", "-aiK --no-i-r"], ["src/ dst/", "host:src/ dst/"],
            prepare: "mkdir -p src/F src/G dst; touch src/F/in; ln -s nowhere dst/F; touch dst/G")
        + rows(
            ["-ai --ignore-existing", "-ai --ignore-existing --inplace"], ["src/ dst/", "src/ host:dst/"],
            prepare: "mkdir -p src/F dst; touch src/F/in src/z; ln -s nowhere dst/F")

    /// The user's own directories that may not be written in.
    private static let readOnly =
        rows(
            [
                "-ai --delete", "-ain --delete", "-aib --delete", "-ai --delete-delay", "-ai --delete-before",
                "-ai --delete --max-delete=2", "-aib --backup-dir=../saved --delete", "-ai --delete -f 'P q'",
            ], ["src/ dst/", "src/ host:dst/"],
            prepare: """
                mkdir -p src dst/ro/sub dst/zero dst/wx dst/k
                touch dst/ro/a dst/ro/sub/b dst/zero/c dst/wx/d dst/f src/keep dst/k/p dst/k/q
                chmod 444 dst/f; chmod 555 dst/ro/sub dst/ro; chmod 0 dst/zero; chmod 300 dst/wx; chmod 500 dst/k
                """, unprivileged: true)
        + rows(
            ["-ai --delete", "-ai --force", "-ai", "-ain --force"],
            prepare: """
                mkdir -p src dst/f/in dst/g dst/l; touch src/f src/g dst/f/in/x dst/g/y; ln -s q src/l
                chmod 555 dst/f/in dst/f dst/l; chmod 0 dst/g
                """, unprivileged: true)

    /// Devices for devices, fifos for sockets.
    private static let nodes = rows(
        ["-ai", "-rDi", "-rDpi", "-aib", "-ain", "-avv", "-ai --existing"], ["src/ dst/", "host:src/ dst/"],
        prepare: """
            mkdir src dst; mknod src/b b 7 7; mknod src/c c 1 3; mkfifo src/p src/f; mknod src/d c 1 3
            mknod dst/b c 7 1; mknod dst/c c 1 5; mknod dst/d b 7 1; echo x >dst/f
            python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("dst/p")'
            chmod 600 dst/b dst/c dst/p
            """)

    /// What an alternate directory has of links, devices and fifos.
    private static let alternateNodes =
        ["compare", "copy", "link"].flatMap { kind in
            rows(
                ["-aii", "-rlDii", "-rlDtii --remove-source-files", "-aiiJ", "-vva"].map {
                    $0 + " --\(kind)-dest=../b1 --\(kind)-dest=../b2"
                }, ["src/ dst/", "src/ host:dst/"],
                prepare: """
                    mkdir src dst b1; ln -s x src/l; mkfifo src/p; mknod src/n c 1 3; echo a >src/f; cp -a src/. b1
                    cp -a b1 b2; chmod 600 b1/p b1/n; touch -hd @1400000000 b2/*
                    """)
        }
        + rows(
            ["-aHi", "-aHii", "-aHin"].flatMap { [$0 + " --copy-dest=../ref", $0 + " --link-dest=../ref"] },
            ["src/ dst/", "host:src/ dst/"],
            prepare: """
                mkdir -p src/a dst; for n in 1 2; do echo $n >src/a/f$n; ln src/a/f$n src/h$n; done; cp -a src ref
                echo longer >dst/h2; rm ref/a/f1
                """)

    /// A file for which there is no place is not mentioned by who receives it.
    private static let refused = rows(
        ["-ri", "-rv", "-r --out-format=%n:%b:%C", "-ri --inplace", "-rvi --progress"],
        ["host:src/ dst/", "src/ host:dst/"],
        prepare: "mkdir -p src/F src/G dst; echo a >src/F/in; echo b >src/G/ok; ln -s /etc dst/F", unprivileged: true)

    private static let times =
        rows(
            ["-aiu -@1", "-aiu -@2", "-aiu -@-1", "-aiu", "-aiu -@1 --inplace"],
            prepare: """
                mkdir src dst; for n in 1 2 3 4; do echo $n >src/$n; echo old >dst/$n; touch -d @1450000000.5 src/$n; done
                touch -d @1450000000.9 dst/1; touch -d @1450000001.5 dst/2; touch -d @1449999999.5 dst/3
                touch -d @1450000003.5 dst/4
                """)
        + rows(
            ["-rib --inplace", "-rtib --inplace", "-rib"],
            prepare: "mkdir src dst; echo 1 >src/a; echo old >dst/a; touch -d @1400000000 dst/a", except: ["dst: mtime"]
        )
        + rows(
            [
                "u+x,", ",u+x", "u+x,,g+x", "+s", "a+s", "o+s", "=s", "g=uX", "g=ux", "g=xu", "g=Xu", "g=us", "g=u",
                "-s",
            ].map { "-rpi --chmod='\($0)'" },
            prepare: "mkdir -p src/d dst; touch src/a src/b; chmod 640 src/a; chmod 6715 src/b; chmod 750 src/d")

    /// Names with line ends, on the screen and in logs: they make no lines of their own.
    private static let lineEnds =
        ["-ai --delete", "-av --delete", "-r --list-only", "-aib --delete", "-avv --exclude=e*"].flatMap { options in
            ["src/ dst/", "src/ host:dst/", "host:src/ dst/"].map { operands in
                DifferentialLine(
                    "rsync \(options) \(operands) | grep -v '^sent\\|^total' | od -c", .nothing, prepare: namedByLines,
                    order: .any)
            }
        }
        + [
            "rsync -a --log-file=log --log-file-format='%i %n%L' src/ dst/; sed 's/^.*\\[[0-9]*\\] //' log; rm log",
            "rsync -a --delete src/ rsync://localhost/dst/; sed '/receiving/,$!d; s/^.*\\[[0-9]*\\] //; /^sent/d' ../daemon.log",
            "rsync -a \"rsync://localhost/src/no\nne\" new; grep -c . ../daemon.log",
        ].map {
            DifferentialLine(
                $0, .nothing, prepare: namedByLines + "\nrm -f ../daemon.log", order: .any,
                without: ["^sent ", "read error"])
        }

    private static let namedByLines = """
        mkdir -p src dst; cd src; echo 1 >"$(printf 'a\\nb')"; echo 2 >"$(printf 'c\\nx')"
        mv c* "$(printf 'c\\n.')"; n=$(printf 'd\\n.'); mkdir "${n%.}"; ln -s "$(printf 't\\ng')" "$(printf 'l\\n.')"
        cd ..; touch dst/"${n%.}x"; m=$(printf 'del\\n.'); touch dst/"${m%.}"
        """

    /// Temporary and partial files on another file system.
    private static let otherFileSystem = rows(
        [
            "-ai -T $T", "-ai -T $T --delay-updates", "-ai -T $T --partial-dir=.p", "-aiH -T $T --fake-super",
            "-ai --partial-dir=$T --delay-updates", "-aib -T $T", "-ai -T $T --no-W",
        ].map { "\($0)" }, ["src/ dst/", "src/ host:dst/", "host:src/ dst/"],
        prepare:
            "mkdir -p src/d dst; echo longer >src/a; echo 2 >src/d/b; chmod 4711 src/a; chown 3:4 src/d/b; ln src/a src/h; echo 1 >dst/a"
    ).map {
        var line = $0
        line.script =
            "T=$(mktemp -d /dev/shm/XXXXXX); chmod 755 $T; " + line.script.replacing("$T", with: "\"$T\"")
            + "; r=$?; rm -r $T; exit $r"
        return line
    }

    private static let limits = rows(
        ["-ai --delete --max-delete=1", "-ai --delete-before --max-delete=0"],
        ["src/ dst/", "src/ host:dst/", "rsync://localhost/src/ dst/"],
        prepare: "mkdir -p src dst/x; touch src/a dst/x/1 dst/x/2")
}
