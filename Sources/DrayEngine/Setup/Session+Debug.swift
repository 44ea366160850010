// Dray — debug lines of the roles (`--debug`, `-vvv`).
// Layer: Engine. Behaviour: chapter 05 §5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

extension Session {
    /// Says a line if the user asked for this much of it; the text is made only then.
    @inline(__always)
    func debug(_ flag: DebugLevels.Flag, _ level: Int = 1, words text: @autoclosure () -> String) {
        if options.debug[flag] >= level { reporter.info(text()) }
    }

    /// The same for a line with names in it.
    @inline(__always)
    func debug(_ flag: DebugLevels.Flag, _ level: Int = 1, line: @autoclosure () -> Bytes) {
        if options.debug[flag] >= level { reporter.info(line()) }
    }

    /// rsync changes into the directory that a role is to work in (`--debug=chdir`).
    func tellDirectory(_ path: Bytes, _ role: RoleName) {
        let whole = path.first == UInt8(ascii: "/") ? path : Session.currentDirectory().appendingComponent(path)
        let shown = SourceWalk.withoutDots(whole)
        reporter.info(Bytes(text: "[\(role.rawValue)] change_dir(") + shown + Bytes(")"))
    }

    /// A rolling checksum as debug lines show it.
    static func shown(sum: UInt32) -> String {
        let text = String(sum, radix: 16)
        return String(repeating: "0", count: 8 - text.count) + text
    }
}
