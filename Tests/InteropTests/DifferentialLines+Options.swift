// Dray — command lines: how options are read, and effects of options that no other table uses.
// SPDX-License-Identifier: Apache-2.0

extension DifferentialLine {
    static let optionEffects: [DifferentialLine] = words + aliases + sizes + environment + effects

    private static func copies(_ lines: String...) -> [DifferentialLine] {
        lines.map { DifferentialLine("rsync \($0) src/ dst/", .outdated) }
    }

    private static let words: [DifferentialLine] =
        copies(
            "-ri -B 1000 --no-W", "-ri -B1000", "-ri -B=1000", "-riB 1000", "--max-size 1k -ri", "-rif'- *.o'",
            "-ri -f='- *.o'", "-ri --exclude -r", "-ri --exclude ''", "-ri --timeout=0x1f", "-ri --timeout=010",
            "-ri --timeout=", "-ri --timeout=-5", "-ri --timeout=+5", "-ri --timeout=2147483647", "-rri", "-ri --",
            "-ri -@ -1", "-ri -@5", "-aii --no-t --times", "-ai --no-D -D", "-ai -D --no-D",
            "-ai --no-o --owner --no-g",
            "-ai --links --no-l", "-ai --no-links", "-ai --perms --no-perms", "-ai --no-recursive -d")
        + [
            DifferentialLine("rsync src/ -ri dst/"), DifferentialLine("rsync src/ dst/ -ri"),
            DifferentialLine("rsync -ri -- src/ dst/"),
            DifferentialLine("cd src; rsync -ri -- - ../dst/", prepare: "echo x > src/-"),
            DifferentialLine("rsync -hi -r --stats src/dir dst/", without: ["^Total bytes", "^sent "]),
        ]

    /// What the operator's popt file makes of words.
    private static func alias(_ lines: String, _ words: String) -> DifferentialLine {
        DifferentialLine("HOME=$W rsync \(words) src/ dst/", .outdated, prepare: "printf '\(lines)\\n' > .popt")
    }

    private static let aliases: [DifferentialLine] = [
        alias("rsync alias -Z -ai", "-Z"), alias("rsync alias -Z -ai", "-rZ --delete"),
        alias("rsync alias -Z -ai", "-Zx"), alias("rsync alias --mine --exclude=*.o --max-size=1k", "-ri --mine"),
        alias("rsync alias --mine --max-size", "-ri --mine=1k"),
        alias("rsync alias --mine --max-size", "-ri --mine 1k"),
        alias("rsync alias --sub -f \"- a b\" --suffix=\"x y\"", "-rib --sub"), alias("rsync alias -i -vi", "-ri"),
        alias("# rsync alias -Z -a\\nother alias -Z -a", "-Z"),
        alias("rsync alias --one --two\\nrsync alias --two -ai", "--one"),
        alias("rsync alias --loop --loop", "--loop"),
        alias("rsync alias --server -ai", "-ri"), alias("rsync alias -Z -a\\nrsync alias -Z -ri", "-Z"),
        alias("rsync alias -Z -r \\\\\\\\\\n -i", "-Z"),
    ]

    private static let sizes: [DifferentialLine] = [
        "1", "1k", "1KB", "1KiB", "1kib+1", "1kb-1", ".5k", "5.", "b", "1b", "1bb", "1ib", "0.05m", "1g", "1t", "1P",
        "0",
    ].map { DifferentialLine("rsync -ri --max-size=\($0) --min-size=0.01\($0.last! == "k" ? "k" : "b") src/ dst/") }

    private static let environment: [DifferentialLine] = [
        "RSYNC_PROTECT_ARGS=1", "RSYNC_PROTECT_ARGS=0", "RSYNC_OLD_ARGS=1", "RSYNC_OLD_ARGS=2", "RSYNC_ICONV=utf8,utf8",
        "RSYNC_MAX_ALLOC=2m", "RSYNC_CHECKSUM_LIST=md5", "RSYNC_CHECKSUM_LIST='bogus md5'", "RSYNC_COMPRESS_LIST=zlib",
        "RSYNC_PARTIAL_DIR=.pp", "CVSIGNORE='*.txt'", "DISPLAY=:0", "POSIXLY_CORRECT=", "USER=", "HOME=",
    ].flatMap { setting in
        [
            DifferentialLine("\(setting) rsync -aiCz --partial src/ 'host:dst/'", .outdated, order: .any),
            DifferentialLine("\(setting) rsync -aiC --partial src/ dst/", .outdated),
        ]
    }

    private static let effects: [DifferentialLine] =
        copies(
            "-ai --no-i-r --inc-recursive --i-r", "-aiR --no-i-d --i-d", "-aiR --no-implied-dirs --implied-dirs",
            "-ai --inplace --no-inplace", "-ai --append --no-append", "-ai --mkpath --no-mkpath",
            "-ai --insecure-links --no-insecure-links", "-ai --munge-links --no-munge-links", "-aiH --no-H",
            "-aiH --no-hard-links", "-aiX --no-X", "-aiX --no-xattrs", "-ai --no-devices", "-ai --no-specials",
            "-aiU --no-U", "-aiU --no-atimes", "-ai --no-N", "-ai --no-crtimes", "-aiO --no-O",
            "-aiO --no-omit-dir-times", "-ai -S --no-S", "-ai -S --no-sparse", "-ai --drop-D --no-drop-D",
            "-ai --write-devices --no-write-devices", "-ai -8 --no-8", "-ai -8 --no-8-bit-output",
            "-ai --delay-updates --no-delay-updates", "-ai --delete --force --no-force", "-ai --from0 --no-from0",
            "-aiy --no-y", "-aiy --no-fuzzy", "-ai --delete --ignore-errors --no-ignore-errors", "-aim --no-m",
            "-aim --no-prune-empty-dirs", "-ai --numeric-ids --no-numeric-ids", "-ai --old-args --no-old-args",
            "-aix --no-x", "-aix --no-one-file-system", "-ai --open-noatime --no-open-noatime",
            "-ai --partial --no-partial", "-aiz --no-z --no-W", "-aiz --no-compress --no-W", "-ai --no-motd --motd",
            "-ai -s --no-s", "-ai -s --no-protect-args", "-ai -s --no-secluded-args", "-ai --no-contimeout",
            "-ai --old-compress --no-W", "-ai --new-compress --no-W")
}
