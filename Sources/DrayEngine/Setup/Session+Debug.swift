// Dray — debug lines of the roles (`--debug`, `-vvv`).
// Layer: Engine. Behaviour: chapter 05 §5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayWire

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

    /// Tells of every frame and of what the channel takes and gives, where that goes to standard error (`--debug=io`).
    func traceFrames() {
        guard options.debug[.io] >= 1, options.standardErrorMode == .all else { return }
        writer.onFrame = { [unowned writer, reporter] code, count in
            reporter.info("[\(writer.role.rawValue)] send_msg(\(code), \(count))")
        }
        reader.onFrame = { [unowned reader, reporter] code, count in
            reporter.info("[\(reader.role.rawValue)] got msg=\(code), len=\(count)")
        }
        guard options.debug[.io] >= 2 else { return }
        writer.onPiece = { [unowned writer, reporter] count in
            reporter.info("[\(writer.role.rawValue)] out sent=\(count)")
        }
        reader.onPiece = { [unowned reader, reporter] count in
            reporter.info("[\(reader.role.rawValue)] recv=\(count)")
        }
    }

    /// The peer has announced its end, with its code or in answer to ours (`--debug=exit3`).
    func tellErrorExit(_ count: Int) {
        let trace = ExitTrace(session: self, role: reader.role, code: .ok)
        trace.tell(3, "got MSG_ERROR_EXIT with \(count) bytes")
        guard count == 4 && writer.isFramed && options.amSender else { return }
        trace.tell(3, "sending MSG_ERROR_EXIT (len 0)")
        debug(.io, words: "[\(reader.role.rawValue)] send_msg(\(MessageCode.errorExit.rawValue), 0)")
    }

    /// A rolling checksum as debug lines show it.
    static func shown(sum: UInt32) -> String {
        let text = String(sum, radix: 16)
        return String(repeating: "0", count: 8 - text.count) + text
    }
}
