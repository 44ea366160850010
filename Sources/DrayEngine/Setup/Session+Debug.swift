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
}
