// Dray — tests of sources and destinations.
// Layer: Tests.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Testing

@testable import DrayCommand

@Suite struct OperandsTests {
    /// Origin: chapter 01 §2.1. Fields: kind, user, host, port, path.
    @Test(arguments: [
        ("h:p", "shell|-|h|0|p"), ("u@v@h:x", "shell|u@v|h|0|x"), ("u@[::1]:p", "shell|u|::1|0|p"),
        (":p", "shell|-||0|p"),
        ("h::m/p", "daemon|-|h|0|m/p"), ("::m", "daemon|-||0|m"), ("rsync://h/m/p", "daemon|-|h|0|m/p"),
        ("RSYNC://u@h:99/m", "daemon|u|h|99|m"), ("rsync://[::1]:1/m", "daemon|-|::1|1|m"),
        ("rsync://h", "daemon|-|h|0|"),
        ("rsyncs://h/m", "daemon|-|h|874|m"), ("rsyncs://h:5/m", "daemon|-|h|5|m"), ("h:", "shell|-|h|0|"),
    ])
    func remoteFormsAreRecognised(_ text: String, _ expected: String) throws {
        let remote = try #require(RemoteOperand(Bytes(text: text)))
        let user = remote.user?.displayText ?? "-"
        #expect(
            "\(remote.kind)|\(user)|\(remote.host.displayText)|\(remote.port)|\(remote.path.displayText)" == expected)
    }

    @Test(arguments: ["host/a:b", "[::1]x:y", "./a:b", "a", "/a:b", "a[b:c"])
    func otherNamesAreLocal(_ text: String) {
        #expect(RemoteOperand(Bytes(text: text)) == nil)
    }

    static let errorLines = [
        "h:a g:b", "s h:x h:y", "h:a b d", "h:a g:b d", "h:a ::b d", "--password-file=x s h:d", "--contimeout=5 s h:d",
        "--files-from=h:x s d", "--files-from=g:x s h:d", "rsync://h:1/a rsync://h:2/b d", "-- s -h:d",
    ]

    @Test(.enabled(if: Reference.isInstalled, Reference.missing), arguments: errorLines)
    func errorsEqualThoseOfRsync(_ line: String) throws {
        let output = Reference.output("cd \(Reference.directory); rsync -e ./sh \(line) 2>&1 >/dev/null </dev/null")
        let expected = output.split(separator: "\n").map(String.init).filter { !$0.hasPrefix("rsync error") }
        #expect(throws: TransferFailure.self) { _ = try Operands(try command(line)) }
        do {
            _ = try Operands(try command(line))
        } catch let failure as TransferFailure {
            #expect(failure.lines.map(\.displayText) == expected)
        }
    }

    @Test func oneSourceIsAListing() throws {
        #expect(try Operands(try command("h:a")).destination == nil)
        #expect(try Operands(try command("h:a :b")).sources == [Bytes("a"), Bytes("b")])
        #expect(try Operands(try command("a")).direction == .local)
        #expect(try command("a").options.listOnly)
    }

    @Test func retriesBackOffToAMinute() {
        #expect((0..<8).map { RetrySchedule.delaySeconds(attempt: $0) } == [1, 2, 4, 8, 16, 32, 60, 60])
        #expect(RetrySchedule.isBrokenTransfer(.timeout) && !RetrySchedule.isBrokenTransfer(.partial))
    }
}
