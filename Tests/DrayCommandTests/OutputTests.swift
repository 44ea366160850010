// Dray — tests of everything that is printed.
// Layer: Tests.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Testing

@testable import DrayCommand

@Suite struct OutputTests {
    private func item(
        _ name: String, _ flags: ItemFlags, mode: UInt32 = 0o100644, target: String = "", xname: String = ""
    ) -> ItemReport {
        ItemReport(
            name: Bytes(text: name), linkTarget: Bytes(text: target), mode: mode, length: 1500, mtime: 0, flags: flags,
            xname: Bytes(text: xname), sending: true)
    }

    /// Origin: chapter 05 §6.2.
    @Test func itemizeStringsAreThoseOfRsync() {
        var context = ItemFormat.Context()
        context.setsTimes = true
        context.isLocal = true
        let format = ItemFormat(Bytes("%i %n%L"))
        func line(_ report: ItemReport) -> String { format.line(report, context).displayText }
        let directory: UInt32 = 0o040755
        let link: UInt32 = 0o120777
        #expect(line(item("f1", [.isNew, .transfer])) == ">f+++++++++ f1")
        #expect(line(item(".", [.isNew, .localChange], mode: directory)) == "cd+++++++++ ./")
        #expect(line(item("ln", [.isNew, .localChange], mode: link, target: "f1")) == "cL+++++++++ ln -> f1")
        #expect(line(item("a", [.isNew, .localChange, .xnameFollows], xname: "b")) == "hf+++++++++ a => b")
        #expect(line(item("a", [.reportPermissions])) == ".f...p..... a")
        #expect(line(item("a", [.transfer, .reportSize])) == ">f.s....... a")
        #expect(line(item(".", [.reportTime], mode: directory)) == ".d..t...... ./")
        #expect(line(item("ln", [], mode: link, target: "f1")) == ".L          ln -> f1")
        #expect(line(item("x", [.deleted], mode: directory)) == "*deleting   x/")
        context.isLocal = false
        context.setsTimes = false
        #expect(line(item("a", [.transfer, .reportTime, .reportAtime])) == "<f..T...u.. a")
    }

    /// Origin: the real program with the same format.
    @Test func formatsTakeWidthsAndUnits() {
        let format = ItemFormat(Bytes("[%10l|%-10n|%'l|%''l|%B|%o|%L|%h%a%% %q %.3n %5L|%]"))
        let line = format.line(item("q/z", [.transfer]), ItemFormat.Context()).displayText
        #expect(line == "[      1500|q/z       |1,500|1.50K|rw-r--r--|send||%h%a% %q %.3n          |%]")
        #expect(ItemFormat(Bytes("%n %b")).needsData)
        #expect(!ItemFormat(Bytes("%%b %n")).needsData)
    }

    /// Origin: listings of the real program at each level.
    @Test(arguments: [
        (0, "1500", "999999"), (1, "1,500", "999,999"), (2, "1.50K", "1000.00K"), (3, "1.46K", "976.56K"),
    ])
    func numbersFollowTheLevel(_ level: Int, _ small: String, _ large: String) {
        #expect(HumanNumber.format(1500, level: level) == small)
        #expect(HumanNumber.format(999_999, level: level) == large)
    }

    @Test func listLinesAlign() {
        let report = ItemReport(name: Bytes("f1"), mode: 0o100640, length: 6, mtime: 0, flags: [], sending: false)
        let line = ListLine.line(report, atime: nil, showsAtime: false, showsTarget: true, level: 1).displayText
        #expect(line.hasPrefix("-rw-r-----              6 19"))
        #expect(line.hasSuffix(" f1"))
        let narrow = ListLine.line(report, atime: nil, showsAtime: false, showsTarget: true, level: 0).displayText
        #expect(narrow.hasPrefix("-rw-r-----           6 19"))
        #expect(ListLine.modeText(0o107755).displayText == "-rwsr-sr-t")
        #expect(ListLine.modeText(0o041644).displayText == "drw-r--r-T")
    }

    /// Origin: chapter 05 §3.2.
    @Test func namesAreEscaped() {
        let name: Bytes = [0x61, 0x01, 0x62, 0xff, 0xc3, 0xa9] + Bytes("\\#123\n")
        #expect(OutputEscaping.escape(name, .utf8) == Bytes("a\\#001b\\#377é\\#134#123\n"))
        #expect(OutputEscaping.escape(name, .raw) == Bytes("a\\#001b") + [0xff, 0xc3, 0xa9] + Bytes("\\#134#123\n"))
        #expect(OutputEscaping.escape(name, .ascii) == Bytes("a\\#001b\\#377\\#303\\#251\\#134#123\n"))
        #expect(OutputEscaping.escape([0xc3, 0x83, 0x0d], .log) == [0xc3] + Bytes("\\#203\r"))
    }

    private func progress(_ offset: Int64, last: Bool = false) -> FileProgress {
        FileProgress(
            name: Bytes("f"), offset: offset, size: 1_048_576, isLast: last, transferredFiles: 5, toCheck: 5, known: 12,
            listComplete: true, totalOffset: offset, totalSize: 2_097_152)
    }

    @Test func progressLinesHaveTheirForm() {
        var meter = ProgressMeterText(style: .perFile, level: 1)
        let second: UInt64 = 1_000_000_000
        let first = meter.text(progress(32768), now: second)
        #expect(first?.text.displayText == "\r         32,768   3%    0.00kB/s    0:00:00  ")
        let early = meter.text(progress(65536), now: second + second / 2)
        #expect(early == nil)
        let last = meter.text(progress(1_048_576, last: true), now: 2 * second)
        #expect(last?.text.displayText == "\r      1,048,576 100% 1024.00kB/s    0:00:01 (xfr#5, to-chk=5/12)\n")
        #expect(last?.endsLine == true)
    }

    @Test func progressRecordsForLogsAreShortLines() throws {
        var meter = ProgressMeterText(style: .lines, level: 1)
        let result = meter.text(progress(1_048_576), now: 7)
        let text = try #require(result).text
        #expect(text.count < 60 && text.last == 0x0a && !text.contains(0x0d))
    }

    @Test func summaryIsThatOfRsync() {
        var statistics = TransferStatistics()
        statistics.bytesWritten = 2_055_252
        statistics.bytesRead = 261
        statistics.totalSize = 2_054_128
        let text = SummaryText.summary(statistics, now: 0, suffix: " (DRY RUN)", level: 1)
        #expect(
            text == "sent 2,055,252 bytes  received 261 bytes  4,111,026.00 bytes/sec\n"
                + "total size is 2,054,128  speedup is 1.00 (DRY RUN)\n")
        statistics.files.regular = 9
        statistics.files.directories = 2
        statistics.protocolVersion = 31
        let block = SummaryText.block(statistics, level: 1)
        #expect(block.hasPrefix("Number of files: 11 (reg: 9, dir: 2)\nNumber of created files: 0\n"))
    }
}
