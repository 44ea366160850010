// Dray — tests of the server vector, against verified examples and the real program.
// Layer: Tests.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayWire
import Testing

@testable import DrayCommand

@Suite struct ServerArgumentsTests {
    private func vector(_ line: [Bytes]) throws -> [String] {
        guard case .run(let command) = try parse(line) else { return [] }
        let operands = try Operands(command)
        let isPush = operands.direction == .push
        let arguments = try ServerArguments(
            command.options, command.client, pushing: isPush,
            paths: isPush ? [operands.destination ?? []] : operands.sources)
        return arguments.visible.map(\.displayText)
    }

    /// Origin: chapter 01 §9.1.
    @Test(arguments: [
        ("-a", "-logDtpre.iLsfxCIvu"), ("-avvz", "-vvlogDtprze.iLsfxCIvu"), ("-aHAXUc", "-lHogDtUpAXrce.iLsfxCIvu"),
        ("-v", "-ve.LsfxCIvu"), ("-r --protocol=29", "-r"), ("-mKOJyLkW --sparse -r", "-KmOJyWrSe.iLsfxCIvu"),
        ("-a -s", "-slogDtpre.iLsfxCIvu"),
    ])
    func lettersStandInOrder(_ options: String, _ letters: String) throws {
        #expect(try vector(words(options + " s h:d"))[1] == letters)
    }

    @Test func secludedWordsEndWithAnEmptyOne() throws {
        let command = try command("-s --suffix=a*b s h:d")
        let arguments = try ServerArguments(command.options, command.client, pushing: true, paths: [Bytes("d e")])
        #expect(arguments.visible.map(\.displayText) == ["--server", "-se.LsfxCIvu"])
        #expect(arguments.secludedBytes() == Bytes("rsync\0--suffix=a*b\0.\0d e\0\0"))
    }

    /// Origin: chapter 01 §9.5.
    @Test(
        arguments: [
            (["h:d s/", "."], ["d\\ s/"]), (["h:a b*[x]\\*\\y~$", "."], ["a\\ b*[x]\\*\\\\y~\\$"]),
            (["h:-x", "."], ["./-x"]), (["h:~a", "."], ["\\~a"]), (["h:~a/b", "."], ["~a/b"]),
            (["-R", "h:~a/b", "."], ["\\~a/b"]), (["-R", "h:~a/./b", "."], ["~a/./b"]),
            (["--old-args", "h:a b*", "."], ["a b*"]), (["--old-args", "h:-x y", "."], ["./-x y"]),
            (["h:", "."], ["."]), (["h:a", ":b", "."], ["a", "b"]),
        ] as [([String], [String])])
    func pathsAreEscapedForTheShell(_ line: [String], _ expected: [String]) throws {
        let result = try vector(line.map { Bytes(text: $0) })
        #expect(Array(result[(result.firstIndex(of: ".")! + 1)...]) == expected)
    }

    /// Values of options are escaped whole, wildcards too; their names are not.
    /// Origin: chapter 01 §9.5.
    @Test(
        arguments: [
            (["--usermap=*:0"], ["--usermap=\\*:0"]), (["-M--foo=a b"], ["--foo=a\\ b"]),
            (["-b", "--backup-dir=~/b*"], ["--backup-dir", "~/b\\*"]),
            (["--old-args", "--usermap=*:0"], ["--usermap=\\*:0"]), (["--old-args", "-M--foo=a b"], ["--foo=a b"]),
            (["--old-args", "--old-args", "--usermap=*:0"], ["--usermap=*:0"]),
        ] as [([String], [String])])
    func valuesAreEscapedForTheShell(_ options: [String], _ expected: [String]) throws {
        let result = try vector((options + ["s", "h:d"]).map { Bytes(text: $0) })
        #expect(result.joined(separator: " ").contains(expected.joined(separator: " ")), "\(result)")
    }

    static let optionSets = """
        -a|-avvz|--old-dirs|-d|-r -d|--delete -d|--list-only|-i|-ii|--out-format=%n|--out-format=%o|--progress|-P|-q
        --info=progress2|-v --info=name0|--stats|--stats -vv|-q --stderr=client|--stderr=all|-b|-b --backup-dir=./x
        --suffix=.x|--suffix=~|--backup-dir=x --suffix=~|--partial-dir=x|--partial-dir=x/ --temp-dir=./y|--partial-dir=.
        --delay-updates|--delay-updates --partial-dir=q|-O|-b -O|-aO --no-O|--max-delete=-1|--max-delete=0|--max-delete=7
        --max-size=1k|--min-size=1.5kib+1|--cc=md5|--cc=none|--cc=none --no-W|--max-alloc=1m|--modify-window=-1
        --modify-window=2|--append|--append-verify|--inplace|-S --inplace --no-W|--inplace -S -W|--inplace --partial
        -R --no-implied-dirs|--info=all4,skip2,name0|--info=all|--info=none|--info=name2|--info=progress2,stats2,name0
        -FF -C|-s|-s -a --suffix=.b|-UU|--qsort|--super|--no-super|--chmod=u+x|--no-i-r -r|-D --no-devices
        -D --no-specials|--no-D -a|--usermap=*:0|--chown=a:b|-M--foo --remote-option=-x|--timeout=5|--timeout=0x10|--timeout=
        --del -r|--delete -r|--delete-excluded -r|--delete-after -r|--delete-before -rR|--delete-delay -d|-rm
        --remove-source-files|--ignore-missing-args --delete-missing-args|--ignore-missing-args|-d --no-r --del
        -a --files-from=list|-ar --files-from=list|--files-from=:list|--files-from=h:list -0|--files-from=list --no-R
        --fsync -T /x|--copy-devices --write-devices|-E|--no-p -a -E|-yy|-y --compare-dest=a --compare-dest=b
        --link-dest=/a|--bwlimit=1.5m|--bwlimit=1000b|--iconv=utf8,latin1|--iconv=.|-x -x -H -H|--old-args --suffix=a*b
        --old-args --old-args --suffix=a*b|--mkpath --preallocate|-z|-zz|--compress-level=3|-z --compress-level=3
        --zc=zlib|--zc=zstd|--zc=none|-z --zc=none|--old-compress|--new-compress|--zc=auto|-z --skip-compress=a
        --zc=none --zl=5|--zc=ZLIB|-z --no-z --zl=4|-zz --no-z|-z --zc=zlib --no-z -z|--zt=3 -z|-n --only-write-batch=x
        --checksum-seed=5|-U -A -X|--protocol=29 -aR --no-implied-dirs|--protocol=30 -a|-L -k -K|--no-whole-file
        --existing --ignore-existing --force --ignore-errors --size-only|-B 1000|-l --safe-links --copy-unsafe-links
        --list-only -r|--list-only --no-d|-d --no-d|-nvi|-vvvvvvvvvvvvvv|--numeric-ids -u -I|--open-noatime
        --out-format=%i%n -q|--out-format=%n -v|--stats --info=stats0|--only-write-batch=x
        """.split(whereSeparator: { $0 == "\n" || $0 == "|" }).map(String.init)
        .filter { CompressionMethod.zstd.isAvailable || !$0.contains("zstd") }

    @Test(.enabled(if: Reference.isInstalled, Reference.missing), arguments: optionSets)
    func wordsEqualThoseOfRsync(_ options: String) throws {
        let list = options.replacing("=list", with: "=\(Reference.directory)/list")
        for operands in ["s h:d", "h:d s"] {
            let expected = Reference.vector(list.replacing("*", with: "\\*"), operands)
            #expect(try vector(words(list + " " + operands)) == expected, "\(options) \(operands)")
        }
    }
}
