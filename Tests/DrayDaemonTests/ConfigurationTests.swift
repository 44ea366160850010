// Dray — tests of the configuration grammar.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc
import Testing

@testable import DrayDaemon

/// A directory that goes away with the test.
final class ScratchDirectory {
    let path: Bytes

    init() {
        var template = Bytes("/tmp/dray-daemon-XXXXXX").map { CChar(bitPattern: $0) } + [0]
        path = Bytes(text: String(cString: mkdtemp(&template)))
    }

    deinit { system("rm -rf '\(path.displayText)'") }

    @discardableResult
    func write(_ name: StaticString, _ text: String, mode: mode_t = 0o600) -> Bytes {
        let file = path.appendingComponent(Bytes(name))
        let descriptor = file.withCString { creat($0, mode) }
        _ = Bytes(text: text).withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        fchmod(descriptor, mode)
        close(descriptor)
        return file
    }
}

func load(
    _ text: String, _ extent: DaemonConfiguration.Extent = .complete, overrides: [(name: Bytes, value: Bytes)] = []
) -> (configuration: DaemonConfiguration?, log: [String]) {
    let scratch = ScratchDirectory()
    let file = scratch.write("rsyncd.conf", text)
    var log: [String] = []
    let loaded = DaemonConfiguration.load(file, extent, overrides: overrides) { log.append($0.displayText) }
    return (loaded, log)
}

@Suite struct ConfigurationTests {
    @Test func continuationKeepsTheNextLinesLeadingSpace() {
        let (loaded, log) = load("[m]\ncomment = hello \\\n     world   \npath=/x/dir /\n")
        #expect(loaded?.modules.first?.comment == Bytes("hello      world"))
        #expect(loaded?.modules.first?.path == Bytes("/x/dir "))
        #expect(log.isEmpty)
    }

    @Test func carriageReturnsAndOddSpellingsAreAccepted() {
        let (loaded, _) = load(
            "  Max  Connections = 3abc\r\n\\LogFile=/x\r\n[ a   b ] rest\r\nread only = N O\r\n[AB]\r\nlist=0\r\n")
        let module = loaded?.modules.first
        #expect(loaded?.modules.count == 1)
        #expect(module?.name == Bytes("a b"))
        #expect(module?.maxConnections == 3)
        #expect(module?.logFile == Bytes("/x"))
        #expect(module?.readOnly == false)
        #expect(module?.list == false)
    }

    @Test func laterGlobalSettingsDoNotReachModulesAlreadyStarted() {
        let (loaded, _) = load("comment=a\n[x]\n[global]\ncomment=b\nport=99\n[y]\n[x]\ntimeout=5\n")
        #expect(loaded?.modules.map(\.comment) == [Bytes("a"), Bytes("b")])
        #expect(loaded?.modules.first?.timeout == 5)
        #expect(loaded?.global.port == 99)
    }

    @Test func listenerLoadStopsAtTheFirstSection() {
        let (loaded, _) = load("port=99\n[m]\n[global]\npid file=/x\n", .globalsOnly)
        #expect(loaded?.global.port == 99)
        #expect(loaded?.global.pidFile == [])
        #expect(loaded?.modules.isEmpty == true)
    }

    @Test func overridesComeBeforeTheFirstModule() {
        let (loaded, _) = load(
            "comment=a\n[x]\n[y]\ncomment=z\n",
            overrides: [(Bytes("comment"), Bytes("o")), (Bytes("port"), Bytes("7"))])
        #expect(loaded?.modules.map(\.comment) == [Bytes("o"), Bytes("z")])
        #expect(loaded?.global.port == 7)
    }

    @Test(arguments: [
        ("[]\n", "params.c:Section() - Empty section name in config file.", true),
        ("[ab\nc]\n", "params.c:Section() - Badly formed line in config file: ab", true),
        ("[ab", "params.c:Section() - Unexpected EOF in the config file: ab", true),
        ("=x\n", "params.c:Parameter() - Invalid parameter name in config file.", true),
        ("no equals\nport=1\n", "params.c:Parameter() - Ignoring badly formed line in config file: no equals", false),
        ("no equals", "params.c:Parameter() - Unexpected end-of-file at: no equals", false),
        ("&nope x\n", "Unknown directive: nope.", true),
        ("[a/b]\n", "Warning: invalid section name in configuration file: a/b", true),
        ("log_file=x\n", "Unknown Parameter encountered: \"log_file\"", false),
        ("[m]\nport=2\n", "Global parameter port found in module section!", false),
        ("list=maybe\n", "Badly formed boolean in configuration file: \"maybe\".", false),
    ])
    func reportsWhatIsWrong(_ text: String, _ line: String, _ isFatal: Bool) {
        let (loaded, log) = load(text)
        #expect(log.first == line)
        #expect((loaded == nil) == isFatal)
        if isFatal { #expect(log.last == "params.c:pm_process() - Failed.  Error returned from params.c:parse().") }
    }

    @Test func includeRestoresDefaultsAndMergeDoesNot() {
        let scratch = ScratchDirectory()
        scratch.write("b.conf", "comment=inner\n[b]\n")
        scratch.write("a.inc", "timeout=9\n")
        let file = scratch.write(
            "main",
            "comment=outer\n[m]\n&merge \(scratch.path.displayText)\n&include \(scratch.path.displayText)\n[c]\n")
        let loaded = DaemonConfiguration.load(file, .complete) { Issue.record("\($0.displayText)") }
        #expect(loaded?.modules.map(\.name) == [Bytes("m"), Bytes("b"), Bytes("c")])
        #expect(loaded?.modules.map(\.comment) == [Bytes("outer"), Bytes("inner"), Bytes("outer")])
        #expect(loaded?.modules.first?.timeout == 9)
    }

    @Test func variablesExpandOnlyWhenTheyExist() throws {
        let lookup: (Bytes) -> Bytes? = { $0 == Bytes("X") ? Bytes("val") : nil }
        #expect(try Variables.expand(Bytes("a%X%b%%c%NO%d%x%"), lookup: lookup) == Bytes("avalb%%c%NO%d%x%"))
        let long = Bytes(repeating: 0x41, count: 3000)
        #expect(throws: TransferFailure.self) { try Variables.expand(Bytes("%X%"), lookup: { _ in long }) }
    }
}
