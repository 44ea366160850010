// Dray — command lines about where paths and symlinks lead, and about what is not there.
// SPDX-License-Identifier: Apache-2.0

extension DifferentialLine {
    static let paths: [DifferentialLine] =
        missing + listings + absolutes + detours + sources + moduleLinks + renames + modes + reversals + storedOwners
        + alternateDirectories + leftovers

    /// What a client prints when the server has gone before it, is a matter of timing.
    private static let gone = ["(read|write) error", "connection unexpectedly closed"]

    // MARK: - Missing sources

    private static let missing: [DifferentialLine] = lists + singles

    private static let lists: [DifferentialLine] = [
        "dir/none/x", "dir/one dir/none/x", "none", "none/deep", "none none/deep", "dir/sub dir/gone", "alpha/x",
    ].flatMap { names in
        [
            "src/ dst/", "src/ host:dst/", "host:src/ dst/", "-r src/ dst/", "-r host:src/ dst/", "--no-R src/ dst/",
            "--no-implied-dirs src/ dst/", "--force src/ dst/", "-n src/ dst/", "-p src/ host:dst/",
        ].map { rest in
            DifferentialLine(
                "echo \(names) | tr ' ' '\\n' > list; rsync -i --delete-missing-args --files-from=list \(rest)",
                .outdated,
                prepare: "mkdir -p dst/none/deep dst/dir/none; touch dst/none/deep/er dst/dir/none/x dst/dir/gone",
                order: .any, without: gone)
        }
    }

    private static let singles: [DifferentialLine] = ["src/none x", "src/none host:x", "host:src/none x"].flatMap {
        operands in
        ["touch x", "mkdir x", "ln -s nowhere x", "true"].flatMap { before in
            ["-v", "-rvb", "-n -v"].map {
                DifferentialLine("rsync \($0) --delete-missing-args \(operands)", prepare: before, order: .any)
            }
        }
    }

    private static let listings: [DifferentialLine] =
        ["-r", "-rv", "-rl", "-rhh", "-rU", "-d", "-r --no-i-r", "-r --protocol=29", "-rq"].flatMap { options in
            ["src/ host:dst/", "src/dir rsync://localhost/dst/", "src/alpha host:dst/new", "src/dir host:new/"].map {
                DifferentialLine(
                    "rsync \(options) --list-only \($0)", .outdated, order: .any, without: ["^Total bytes", "^sent "])
            }
        }
        + ["foo", "./foo", "./foo ./alpha", "../x ./b"].flatMap { names in
            [
                "--list-only --files-from=list src/ dst", "-aii --files-from=list src/ dst",
                "-i --files-from=list src/ new",
            ]
            .map { DifferentialLine("echo \(names) | tr ' ' '\\n' > list; rsync \($0)", .outdated, order: .any) }
        }

    /// Absolute paths keep all their components, and rules apply to them.
    private static let absolutes: [DifferentialLine] = [
        "--exclude=one", "-F", "--include='s*' --exclude='*.o'", "--exclude=$PWD/src/dir/one", "--exclude=/src/dir/one",
        "-C", "--no-i-r --exclude=one", "--delete --exclude=two", "--no-implied-dirs --exclude=one",
    ].flatMap { rules in
        [
            "$PWD/src dst", "$PWD/src/ dst", "$PWD/src/dir/sub $PWD/src/alpha dst", "host:$PWD/src/ dst",
            "$PWD/src/dir host:dst",
        ]
        .map {
            DifferentialLine(
                "rsync -rlpiR \(rules) \($0)", prepare: "echo '- three' > src/.rsync-filter", order: .any)
        }
    }

    // MARK: - Detours

    private static let outside = "mkdir -p out/t/u; touch out/t/u/z out/secret; ln -s ../out/t src/away"

    private static let detours: [DifferentialLine] =
        [
            "src/away/../", "src/away/../t", "src/away/../t/", "src/away/../secret", "src/away/../none",
            "src/away/u/..", "src/away/u/../../", "src/away/./u", "out/t/../", "src/dir/../away/u",
            "./src/../src/alpha",
        ].flatMap { source in
            ["\(source) new", "host:\(source) new"].map {
                DifferentialLine("rsync -r \($0)", prepare: outside, order: .any, without: gone)
            }
        }
        + ["-r ../none new", "-r ../../w/src/none new", "../w/src/alpha ../w/none/deep/er", "-r .././../w/src/dir new"]
        .map {
            DifferentialLine("cd src/dir; rsync \($0)", order: .any)
        }
        + ["-rK", "-rKi --delete", "-rK --inplace"].flatMap { options in
            ["src/ dst/", "src/ host:dst/", "src/ rsync://localhost/dst/", "src/ rsync://localhost/jail/dst/"].map {
                DifferentialLine(
                    "rsync \(options) \($0)",
                    prepare: """
                        mkdir -p src/a/s src/b/s src/c/s dst/real out/a out/b; touch src/a/n src/a/s/n src/b/n src/c/n
                        ln -s $PWD/out/a dst/a; ln -s ../out/b dst/b; ln -s real dst/c
                        """, order: .any)
            }
        }

    /// Links inside a module and out of it, with and without chroot.
    private static let moduleLinks: [DifferentialLine] =
        ["-rL", "-rl --copy-unsafe-links", "-rlk", "-rRL", "-rL --no-i-r", "-r", "-rR", "-dR"].flatMap { options in
            [
                "all/src/", "jail/src/", "all/src/in/u", "all/src/./in/u", "all/src/./near/one", "all/src/out/",
                "all/src/./",
                "all/src/dir/./", "all/src/dir/../alpha", "all/src/dir/../", "jail/src/root/", "jail/src/in",
                "all/src/gone/",
            ].map {
                DifferentialLine(
                    "rsync \(options) rsync://localhost/\($0) new",
                    prepare: """
                        rm src/dangling src/dir/up; mkdir -p o/t/u ../out; touch o/t/u/z o/file ../out/x
                        ln -s ../o/t src/in; ln -s ../o/file src/infile; ln -s dir src/near; ln -s dir/one src/nearfile
                        ln -s ../../out src/out; ln -s ../../out/x src/outfile; ln -s $PWD/o/t src/abs; ln -s /o/t src/root
                        ln -s ../near src/dir/chain; ln -s nowhere src/gone
                        """, order: .any, without: gone)
            }
        }

    /// A symlink as the source itself.
    private static let sources: [DifferentialLine] =
        ["-rl", "-r", "-rlR", "-rlv", "-dl", "-l"].flatMap { options in
            ["away", "awayfile", "near", "gone", "lost", "away/"].map {
                DifferentialLine(
                    "rsync \(options) --copy-unsafe-links src/\($0) new",
                    prepare: outside
                        + "; ln -s ../out/secret src/awayfile; ln -s dir src/near; ln -s /none/x src/gone; ln -s none src/lost",
                    order: .any)
            }
        }

    // MARK: - Names, modes and owners

    /// A single file that gets another name: backups, bases and partial files go by the new one.
    private static let renames: [DifferentialLine] =
        [
            "-b", "-b --backup-dir=bk", "-b --backup-dir=$PWD/bk", "-b --inplace", "-b --delay-updates", "-bH",
            "--compare-dest=$PWD/alt", "--link-dest=$PWD/alt", "--copy-dest=$PWD/alt", "-y --no-W", "--partial-dir=.pp",
            "--delay-updates", "--delay-updates --backup --partial-dir=.pp",
        ].flatMap { options in
            ["src/alpha y/n", "src/alpha host:y/n", "src/alpha y/new", "host:src/alpha y/n"].map {
                DifferentialLine(
                    "rsync -ti \(options) \($0)",
                    prepare: """
                        mkdir -p y/.pp alt; for f in alpha n; do echo old $f > y/$f; echo part $f > y/.pp/$f; done
                        cp src/alpha alt/n; cp src/alpha alt/alpha
                        """, order: .any,
                    except: ["y/.pp: mtime"])
            }
        }

    /// Without --perms a file takes the mode of what it is made from.
    private static let modes: [DifferentialLine] = [
        "-y", "--copy-dest=$PWD/alt -I", "--link-dest=$PWD/alt -I", "--partial-dir=.pp", "-yp", "-y --inplace",
    ].map { options in
        DifferentialLine(
            "rsync -rti \(options) --no-W x/ y/",
            prepare: """
                mkdir -p x y/.pp alt; head -c 5000 /dev/zero > x/name1.c; head -c 5100 /dev/zero > y/name1.h
                head -c 4000 /dev/zero > alt/name1.c; head -c 3000 /dev/zero > y/.pp/name1.c
                chmod 644 x/name1.c; chmod 751 y/name1.h; chmod 604 alt/name1.c; chmod 615 y/.pp/name1.c
                """, order: .any)
    }

    /// What a later option takes back.
    private static let reversals: [DifferentialLine] = [
        "-r --usermap=*:7 --no-o", "-r --no-o --usermap=*:7", "-r --chown=1:2 --no-g", "-a --chown=1:2 --no-o",
        "--old-dirs", "--old-dirs --no-dirs", "--old-dirs -r", "--old-dirs --no-d -r", "--old-d --dirs",
        "--dirs --old-d", "--include=/dir/one --old-dirs",
    ].flatMap { options in
        ["src/ new", "src/ host:new", "host:src/ new"].map {
            DifferentialLine("rsync -i \(options) \($0)", order: .any)
        }
    }

    /// Owners that are not transferred are stored as root's.
    private static let storedOwners: [DifferentialLine] = ["-r", "-rp", "-rpo", "-rpg", "-a", "-rX"].flatMap {
        options in
        [false, true].map {
            DifferentialLine(
                "rsync -i \(options) --exclude='*/' --fake-super src/ new; getfattr -n user.rsync.%stat new/* | sort",
                prepare: """
                    mkdir new; cp src/alpha new; setfattr -n user.rsync.%stat -v '100600 0,0 5:6' new/alpha; chmod 4755 src/big
                    chown 1:1 new new/alpha
                    """, order: .any, unprivileged: $0)
        }
    }

    /// Copied permission bits take a class's special bit away; backups of files written in place keep what is kept.
    private static let bits: [DifferentialLine] =
        ["o=g", "Do=g", "g=u", "Fo=g", "u=g", "o=rx", "ug=o"].map {
            DifferentialLine(
                "rsync -rpi --chmod=\($0) src/ new", prepare: "chmod 7771 src/dir/sub; chmod 7755 src/alpha",
                order: .any)
        }
        + ["-a", "-rlto", "-rltX", "-aAX", "-rltpA"].flatMap { options in
            ["", "--backup-dir=bk"].map {
                DifferentialLine(
                    "rsync \(options) --inplace -b \($0) src/ dst/", .metadata,
                    prepare: "echo other >> dst/alpha; chown 7:8 dst/alpha; setfacl -m u:5:rwx dst/alpha", order: .any)
            }
        }
        + ["-n", "-ni", "-nc", "-n --checksum-choice=md5"].flatMap { options in
            ["src/ dst/", "src/ host:new", "host:src/ dst/"].map {
                DifferentialLine("rsync -a \(options) --out-format='%C|%n|%i' \($0)", .outdated, order: .any)
            }
        }

    // MARK: - What stays behind

    /// Attributes of directories compare with those of the directory that stands in for them.
    private static let alternateDirectories: [DifferentialLine] = ["compare", "copy", "link"].map { kind in
        DifferentialLine(
            "rsync -aXi --\(kind)-dest=$PWD/alt src/ new", .metadata,
            prepare: "cp -a src alt; setfattr -n user.more -v 1 alt/dir; setfattr -n user.less -v 2 src/dir/sub",
            order: .any)
    }

    private static let leftovers: [DifferentialLine] =
        ["-aXi", "-rXi", "-aXXi", "-aXi --fake-super"].flatMap { options in
            ["%stat", "%aacl", "%other", "plain"].map { name in
                DifferentialLine(
                    "rsync \(options) src/ dst/", .metadata,
                    prepare: "setfattr -n user.rsync.\(name) -v '100644 0,0 5:6' dst/alpha", order: .any)
            }
        }
        + ["500", "600", "644", "400", "711", "000"].flatMap { mode in
            ["-r src/ dst/", "-a src/ dst/", "-a --no-i-r host:src/ dst/"].map {
                DifferentialLine(
                    "rsync \($0); chmod 700 src/shut",
                    prepare: "mkdir src/shut; touch src/shut/x; chmod \(mode) src/shut",
                    order: .any, unprivileged: true)
            }
        }
        + ["src/dir dst/", "-r src/ dst/", "src/none host:dst/", "-r src/ rsync://localhost/dst/", "-l src/link dst/"]
        .map {
            DifferentialLine("rsync -c --checksum-choice=none \($0)", .outdated, order: .any, without: gone)
        }
}
