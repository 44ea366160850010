import DrayTestSupport
import Glibc
import Testing

extension Interop {
    /// Every command line does and says with Dray what it does and says with rsync.
    ///
    /// `DRAY_LINES=text` runs only the lines that contain it, `DRAY_LINES_FILE=name` those of a file (one script per
    /// line, the start state in front of a tab), `DRAY_LINES_LOG=name` keeps the complaints.
    @Suite(.enabled(if: Interop.isRoot, "needs root for owners and devices")) struct DifferentialTests {
        static let lines: [DifferentialLine] = {
            let all =
                given ?? ownTable ?? DifferentialLine.operands + DifferentialLine.output + DifferentialLine.disk
                + DifferentialLine.filters + DifferentialLine.failures + DifferentialLine.optionEffects
                + DifferentialLine.logs + DifferentialLine.start + DifferentialLine.wordings + DifferentialLine.rules
                + DifferentialLine.ends + DifferentialLine.stand + DifferentialLine.spellings
                + DifferentialLine.oddRules
                + (Interop.isFull ? DifferentialLine.paths : thirdOf(DifferentialLine.paths))
            guard let text = getenv("DRAY_LINES").map({ String(cString: $0) }) else { return all }
            return all.filter { $0.description.contains(text) }
        }()

        @Test(arguments: lines)
        func doesWhatRsyncDoes(_ line: DifferentialLine) throws {
            let runner = try DifferentialRunner(line)
            for pair in line.hasPeer ? DifferentialRunner.pairs : [.localDray] {
                let complaints = try runner.complaints(pair)
                Self.log("\(complaints.isEmpty ? "ok" : "FAIL")\t\(pair)\t\(line)")
                if complaints.isEmpty { continue }
                Self.log(complaints.joined(separator: "\n"))
                Issue.record("\(pair): \(line)\n\(complaints.joined(separator: "\n"))")
            }
        }

        private static func thirdOf(_ lines: [DifferentialLine]) -> [DifferentialLine] {
            lines.enumerated().filter { $0.offset % 3 == 0 }.map(\.element)
        }

        /// `DRAY_LINES_TABLE=operands`, `output`, `disk`, `filters`, `failures`, `logs`, `options`, `start`, `wordings`,
        /// `rules`, `ends`, `stand`, `spellings`, `oddrules` or `paths` runs one table, whole.
        private static let ownTable: [DifferentialLine]? = {
            switch getenv("DRAY_LINES_TABLE").map({ String(cString: $0) }) {
            case "operands": DifferentialLine.operands
            case "output": DifferentialLine.output
            case "disk": DifferentialLine.disk
            case "filters": DifferentialLine.filters
            case "failures": DifferentialLine.failures
            case "logs": DifferentialLine.logs
            case "options": DifferentialLine.optionEffects
            case "paths": DifferentialLine.paths
            case "start": DifferentialLine.start
            case "wordings": DifferentialLine.wordings
            case "rules": DifferentialLine.rules
            case "ends": DifferentialLine.ends
            case "stand": DifferentialLine.stand
            case "spellings": DifferentialLine.spellings
            case "oddrules": DifferentialLine.oddRules
            default: nil
            }
        }()

        private static let given: [DifferentialLine]? = {
            guard let name = getenv("DRAY_LINES_FILE"), let text = DaemonLab.text(String(cString: name)) else {
                return nil
            }
            return text.split(separator: "\n").map { row in
                let parts = row.split(separator: "\t", maxSplits: 1).map(String.init)
                guard parts.count == 2, let start = DifferentialLine.Start(rawValue: parts[0]) else {
                    return DifferentialLine(String(row))
                }
                return DifferentialLine(parts[1], start)
            }
        }()

        private static func log(_ line: String) {
            guard let name = getenv("DRAY_LINES_LOG"), let file = fopen(String(cString: name), "a") else { return }
            fputs(line + "\n", file)
            fclose(file)
        }
    }
}
