// Dray — command lines: rules of directories, where they hold and what is told of them.
// SPDX-License-Identifier: Apache-2.0

extension DifferentialLine {
    static let rules: [DifferentialLine] = sources + deletions + kept + traces

    /// Deletions that a limit or built-in rules stop.
    private static let kept: [DifferentialLine] =
        ["src/ dst/", "src/ host:dst/", "host:src/ dst/"].map {
            DifferentialLine(
                "rsync -aiC --delete --delete-excluded \($0)", .outdated,
                prepare: "touch dst/core dst/k.bak; mkdir dst/m; touch dst/m/x.o", order: .any)
        } + [
            DifferentialLine(
                "rsync -ai --delete --max-delete=1 src/ dst/", .outdated,
                prepare: "rm dst/alpha; mkdir dst/alpha; touch dst/alpha/1 dst/alpha/2", order: .any),
            DifferentialLine("rsync -ai -f '.w words' src/ dst/", prepare: "echo '-_dir -_big' >words"),
            DifferentialLine("rsync -ai -f '.w words' src/ dst/", prepare: "echo '- dir' >words"),
        ]

    /// Two sources with rules of their own, and rules above them.
    private static let two = """
        mkdir -p s2/dir s2/e; for n in 1 2 3 4; do
        for d in . src src/dir src/dir/sub s2 s2/dir; do echo x >$d/$n; done; done
        echo '- 1' >src/.f; echo '- 2' >src/dir/.f; echo '- 3' >src/dir/sub/.f; echo '- 4' >s2/.f; echo '- 4' >.f
        """

    private static let sources: [DifferentialLine] = ["': .f'", "': /.f'", "':n .f'", "':e .f'", "':s .f'"].flatMap {
        rule in
        [
            "src/ s2/", "src s2", "src/ s2", "src s2/", "src/dir src", "-R src/./dir/sub s2",
            "-R ./src/dir/sub src/dir",
            "--files-from=list .",
        ].flatMap { arguments in
            ["", "--no-i-r"].map {
                DifferentialLine(
                    "rsync -a \($0) -f \(arguments.hasPrefix("--files") ? "': .f'" : rule) \(arguments) dst/",
                    prepare: two + "\nprintf 'src/dir\\nsrc/dir/sub/\\ns2\\n' >list", order: .any)
            }
        }
    }

    private static let deletions: [DifferentialLine] = ["': .f'", "': /.f'", "':r .f'", "':p .f'"].flatMap { rule in
        ["--delete", "--delete-before", "--delete-after", "--delete-delay", "--delete --no-i-r"].flatMap { mode in
            ["src/ dst/", "src/ host:dst/", "-R src/./dir/sub dst/"].map {
                DifferentialLine(
                    "rsync -ai \(mode) -f \(rule) \($0)", .outdated,
                    prepare: two + "\nfor d in dst dst/dir dst/dir/sub dst/old; do for n in 1 2 3 5; do echo y >$d/$n; "
                        + "done; done; echo '- 5' >dst/.f; echo '- 2' >dst/dir/.f; echo '- 3' >dst/old/.f",
                    order: .any)
            }
        }
    }

    private static let traces: [DifferentialLine] = [
        "-f ': .f' src/ dst/", "-f ': /.f' src s2 dst/", "-f ':e .f' src/ s2 dst/", "-f ':C' -f ':w- .f' src/ dst/",
        "-C src/ dst/", "-f '. rules' -f '+ b' -f 'P c' -f 'H,s d' -f '-p e/' src/ dst/",
        "--exclude-from=rules src/ dst/",
        "--exclude=a --include=+ --exclude='!' src/ dst/", "-F --delete src/ dst/", "-f ': .f' --delete src/ dst/",
        "-f ': .f' --delete-before src/ dst/", "-f ': .f' --delete-after --no-i-r src/ dst/", "-b --delete src/ dst/",
        "--partial-dir=.p src/ dst/", "-f ': .f' --no-i-r src/ s2/ dst/", "-f ': .f' -R src/./dir/sub dst/",
        "-C -f ': .f' -M--debug=none,filter2 --delete src/ host:dst/", "-f ': .f' -d src/ s2/ dst/",
        "-f ': .f' -M--debug=none,filter2 host:src/ dst/", "-f '.w words' src/ dst/",
    ].map {
        DifferentialLine(
            "rsync -a --debug=none,filter2 " + $0, .outdated,
            prepare: two + "\nprintf '+ a\\n. more\\n' >rules; echo '- b*' >more; echo '-_x - y' >words", order: .any)
    }
}
