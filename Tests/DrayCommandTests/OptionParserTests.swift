// Dray — tests of the option grammar, value errors and implications.
// Layer: Tests.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Testing

@testable import DrayCommand

@Suite struct OptionParserTests {
    static let errorLines = """
        --foo|--timeout=x|--timeout=99999999999|-aZ|--verbose=3|--max-size=1x|--max-size=-1|-B200k|--bwlimit=1b
        --max-alloc=1k|--max-size=9999999999999999P|--info=foo|--debug=foo,x|--cc=foo|--zc=foo|--cc=md5,foo|-N
        --suffix=a/b|--append -W|--suffix=|--inplace --partial-dir=x|--append --delay-updates|--inplace --delay-updates
        --append --partial-dir=x|--stderr=x|--outbuf=x|--del --delete-after -r|--delete|-M foo|--chmod=foo
        --chown=a:b --chown=c|--usermap=a:b --usermap=x:y|--chown=a --usermap=b:c|--usermap=b:c --chown=a
        --groupmap=a:b --groupmap=c:d|--chown=:a --chown=:b|--chown=:g --groupmap=a:b|--groupmap=a:b --chown=:g
        --compare-dest=a --link-dest=b|--stop-after=x|--stop-after=0|--old-args -s|--confine-root=x
        --write-batch=a --read-batch=b|--files-from=nofile|--read-batch=b --remove-source-files|--fake-super -XX
        --fuzzy=1|--max-delete=5x|--compress-level=q|-@x|--max-size=1K+2|--max-size=|--confine-root=/ --insecure-links
        --daemon --foo|--dparam=foo|--detach|--backup-dir=. --suffix=|--min-size=1.5.5|--port=|--no-foo|--no-verbose=1
        --server --foo|--server --timeout=q|--server -N
        """.split(whereSeparator: { $0 == "\n" || $0 == "|" }).map(String.init)

    @Test(.enabled(if: Reference.isInstalled, Reference.missing), arguments: errorLines)
    func errorsEqualThoseOfRsync(_ options: String) {
        let command = "cd \(Reference.directory); rsync \(options) s h:d -e ./sh 2>&1 >/dev/null </dev/null"
        let expected = Reference.output(command).split(separator: "\n").first.map(String.init) ?? ""
        let own = failure(options + " s h:d -e ./sh")?.0
        if expected.hasPrefix("rsync") && !expected.hasPrefix("rsync: connection") || expected.hasPrefix("Unknown")
            || expected.hasPrefix("unknown")
        {
            #expect(own == (expected == "rsync" ? nil : expected))
        }
    }

    /// Origin: chapter 05 §1.4 and the real program's `--max-size` forwarding.
    @Test(
        arguments: [
            ("1.5kib+1", 1537), ("1mb-1", 999_999), (".5k", 512), ("1k", 1024), ("1KB", 1000), ("1K", 1024), ("7", 7),
            ("7b", 7), ("b", 0), ("1.5m", 1_572_864), ("2g+1", 2_147_483_649), ("1tb", 1_000_000_000_000),
        ] as [(String, Int64)])
    func sizesHaveUnits(_ text: String, _ value: Int64) throws {
        #expect(try SizeArgument.parse(Bytes(text: text), defaultUnit: UInt8(ascii: "b")) == value)
    }

    @Test(arguments: ["1x", "1K+2", "1kx", "k1", "1ki"])
    func malformedSizesAreInvalid(_ text: String) {
        #expect(throws: SizeArgument.Failure.invalid) {
            try SizeArgument.parse(Bytes(text: text), defaultUnit: UInt8(ascii: "b"))
        }
    }

    @Test func integersFollowC() throws {
        #expect(try CInteger.parse(Bytes("0x10")) == 16)
        #expect(try CInteger.parse(Bytes("010")) == 8)
        #expect(try CInteger.parse([]) == 0)
        #expect(throws: CInteger.Failure.outOfRange) { try CInteger.parse(Bytes("2147483648")) }
        #expect(throws: CInteger.Failure.notANumber) { try CInteger.parse(Bytes("1 ")) }
    }

    @Test func argumentsAttachInEveryForm() throws {
        for line in ["-e=sh s h:d", "-esh s h:d", "-e sh s h:d", "-aesh s h:d", "s h:d --rsh=sh", "s --rsh sh h:d"] {
            #expect(try command(line).client.rsh == Bytes("sh"), "\(line)")
        }
    }

    @Test func doubleDashEndsOptions() throws {
        #expect(try command("-a -- -x d").operands == [Bytes("-x"), Bytes("d")])
        #expect(try command("- d").operands == [Bytes("-"), Bytes("d")])
    }

    @Test func namesEndOptionsUnderPOSIX() throws {
        guard case .run(let command) = try parse(words("a -v"), environment: ["POSIXLY_CORRECT": "1"]) else {
            Issue.record("no command")
            return
        }
        #expect(command.operands == [Bytes("a"), Bytes("-v")])
    }

    @Test func serverVectorsOfRealClientsParse() throws {
        let push = try command("--server -vlogDtpre.iLsfxCIvu --log-format=%i%I --delete-during --partial . d")
        #expect(push.mode == .server)
        #expect(push.options.clientInfo == Bytes(".iLsfxCIvu"))
        #expect(push.options.itemize == 2)
        #expect(push.options.logsItems)
        #expect(push.options.deleteMode == .during)
        #expect(push.operands == [Bytes("."), Bytes("d")])
        let pull = try command("--server --sender --use-qsort -Rre.LsfxC . a b")
        #expect(pull.options.amSender && pull.options.relative && pull.options.qsort)
        #expect(try command("--server --append --append -e.LsfxC . d").options.append == .verify)
    }

    @Test func serverWaitsForSecludedArguments() throws {
        let context = ParseContext(environment: { _ in nil })
        var parser = OptionParser(context)
        guard case .run(let first) = try parser.parse(words("--server -slogDtpre.iLsfxCIvu")) else {
            Issue.record("no command")
            return
        }
        #expect(first.awaitsSecludedArguments)
        guard case .run(let whole) = try parser.parseSecluded(words("--delete-after . d")) else { return }
        #expect(whole.options.deleteMode == .after && whole.options.recursive)
        #expect(whole.operands == [Bytes("."), Bytes("d")])
    }

    @Test func daemonModulesRefuseOptions() {
        var context = ParseContext(environment: { _ in nil })
        context.fromNetwork = true
        context.isRefused = { names, _ in names.contains("checksum") }
        #expect(
            throws: TransferFailure(
                .syntax, lines: [Bytes("rsync: The server is configured to refuse --checksum (-c)")],
                role: .server)
        ) { _ = try OptionParser.parse(words("--server -ce.LsfxCIvu . m/"), context: context) }
    }

    @Test func filesFromGivesUpImpliedRecursionOnly() throws {
        #expect(try !command("-a --files-from=/dev/null s d").options.recursive)
        #expect(try command("-ar --files-from=/dev/null s d").options.recursive)
        #expect(try command("--files-from=/dev/null s d").options.relative)
    }

    @Test func infoWordsBeatVerbosity() throws {
        let options = try command("--info=name0 -vv s d").options
        #expect(options.info[.name] == 0 && options.info[.skip] == 1 && options.info[.misc] == 2)
        #expect(options.debug[.flist] == 1 && options.debug[.recv] == 0)
        #expect(try command("--stats s d").options.info[.stats] == 2)
        #expect(try command("--stats -vv s d").options.info[.stats] == 3)
    }

    @Test(.enabled(if: Reference.isInstalled, Reference.missing), arguments: ["--info=help", "--debug=help"])
    func wordListsEqualThoseOfRsync(_ option: String) throws {
        guard case .text(let text, false, .ok, _) = try parse(words(option)) else {
            Issue.record("no text")
            return
        }
        #expect(text.displayText == Reference.output("rsync \(option)"))
    }

    @Test func loneHelpLetterPrintsHelp() throws {
        guard case .text(_, false, .ok, _) = try parse(words("-hn")) else {
            Issue.record("no help")
            return
        }
        #expect(try command("-h s d").options.humanReadable == 2)
        guard case .text(_, true, .syntax, _) = try parse([]) else {
            Issue.record("no usage")
            return
        }
    }

    @Test func identityAndConfinementReachTheEngine() throws {
        let given = try command("-a --copy-as=u:g --confine-root=/srv s d").options
        #expect(given.copyAs == Bytes("u:g") && given.confinement == Bytes("/srv"))
        #expect(try command("-a --confine-root=/ s d").options.confinement == nil)
        #expect(throws: Never.self) { _ = try command("-a --no-X --no-z s d") }
    }
}
