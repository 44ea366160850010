// Dray — the table of option coverage: every option is accepted, tested, forwarded and refused as rsync's is.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc
import Testing

@testable import DrayCommand

extension Interop {
    /// The table of option coverage has no empty cell. `DRAY_OPTION_TABLE=file` writes it as Markdown;
    /// `DRAY_OPTIONS=name,…` looks at these rows only.
    @Suite(.enabled(if: Interop.isRoot, "needs root for owners and daemons")) struct OptionCoverageTests {
        static let rows: [OptionRow] = {
            guard let text = getenv("DRAY_OPTIONS").map({ String(cString: $0) }) else { return OptionTable.transfer }
            let names = text.split(separator: ",").map(String.init)
            return OptionTable.transfer.filter { row in
                names.contains { row.names.contains($0) || row.short.map { String(Unicode.Scalar($0)) } == $0 }
            }
        }()

        @Test(arguments: rows)
        func everyCellIsFull(_ row: OptionRow) throws {
            let coverage = try OptionCoverage()
            let accepted = try coverage.accepted(row)
            let forwarded = try coverage.forwarded(row)
            let refused = try coverage.refused(row)
            for (title, cell) in [("accepted", accepted), ("forwarded", forwarded), ("refused", refused)]
            where !cell.isFull {
                Issue.record("\(row.description) \(title):\n\(cell.differences.prefix(6).joined(separator: "\n"))")
            }
            var effects: [String] = []
            for spelling in OptionSpelling.all(row) {
                let effect = OptionRow.isInternal(row) ? "internal" : OptionEvidence.of(spelling)
                if let effect, !effects.contains(effect) { effects.append(effect) }
            }
            let spellings = OptionSpelling.all(row).map { "`\($0)`" }.joined(separator: " ")
            Self.write(
                "| \(spellings) | \(accepted.markdown) | \(effects.joined(separator: "; ")) | \(forwarded.markdown) "
                    + "| \(refused.markdown) |")
        }

        @Test func everySpellingHasATest() {
            for row in OptionTable.transfer where !OptionRow.isInternal(row) {
                for spelling in OptionSpelling.all(row) {
                    #expect(OptionEvidence.of(spelling) != nil, "nothing tests \(spelling)")
                }
            }
        }

        @Test(.enabled(if: PeerRsync.isAvailable))
        func helpListsEveryOption() throws {
            for (words, index) in [(["--help"], OptionIndex.transfer), (["--daemon", "--help"], .daemon)] {
                let text = try run([PeerRsync.path!] + words).outputText
                for line in text.split(separator: "\n") where line.hasPrefix("-") {
                    for word in line.split(separator: " ").prefix(2) where word.hasPrefix("-") {
                        let name = word.drop { $0 == "-" }.prefix { $0 != "=" && $0 != "," }
                        let isLong = word.hasPrefix("--")
                        if name == "no-OPTION" { continue }
                        let isKnown = isLong ? index.long(String(name)) != nil : index.short(name.utf8.first!) != nil
                        #expect(isKnown, "\(word)")
                    }
                }
                let own = try run([DrayPrograms.dray] + words)
                #expect(own.exitCode == 0 && own.outputText.contains("--bwlimit=RATE"))
            }
        }

        @Test func everyDocumentedNameIsInTheTable() {
            for name in OptionSamples.documented { #expect(OptionIndex.transfer.long(name) != nil, "\(name)") }
        }

        /// Names that mean nothing to rsync mean nothing here.
        @Test func negationsExistWhereRsyncHasThem() throws {
            let scratch = try ScratchDirectory()
            let names = OptionTable.transfer.flatMap { row in
                row.names + (row.short.map { [String(Unicode.Scalar($0))] } ?? [])
            }
            for name in names {
                let theirs = try run([PeerRsync.path!, "--no-" + name, "--bogus"], in: scratch.path)
                let mine = try run([DrayPrograms.dray, "--no-" + name, "--bogus"], in: scratch.path)
                #expect(mine.exitCode == theirs.exitCode, "\(name)")
                #expect(mine.errorText.split(separator: "\n").first == theirs.errorText.split(separator: "\n").first)
            }
        }

        /// Options of the daemon's command line: up to the first unknown one everything is read alike.
        @Test(arguments: OptionTable.daemon)
        func daemonOptionsAreRead(_ row: OptionRow) throws {
            let scratch = try ScratchDirectory()
            let values = OptionSamples.values(row)
            for spelling in OptionSpelling.all(row) where row.id != .help {
                for value in values.isEmpty ? [nil] : values.map(Optional.some) {
                    let words = ["--daemon"] + spelling.words(value) + ["--bogus"]
                    let theirs = try run([PeerRsync.path!] + words, in: scratch.path)
                    let mine = try run([DrayPrograms.dray] + words, in: scratch.path)
                    #expect(mine.exitCode == theirs.exitCode, "\(words)")
                    #expect(
                        DifferentialText.masked(mine.errors) == DifferentialText.masked(theirs.errors), "\(words)")
                }
            }
        }

        private static func write(_ line: String) {
            guard let name = getenv("DRAY_OPTION_TABLE"), let file = fopen(String(cString: name), "a") else { return }
            defer { fclose(file) }
            fseek(file, 0, SEEK_END)
            if ftell(file) == 0 {
                fputs("| Option | Accepted | Effect | Forwarded | Refused |\n|---|---|---|---|---|\n", file)
            }
            fputs(line + "\n", file)
        }
    }
}
