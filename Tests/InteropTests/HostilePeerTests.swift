// Dray — peers that break the protocol: every bound on a received value, with its text and exit code.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc
import Testing

extension Interop {
    /// Prepared bytes against a client or a server, and the same bytes against rsync where it is to end alike.
    @Suite struct HostilePeerTests {
        let place: HostilePlace

        init() throws { place = try HostilePlace() }

        @Test(arguments: HostileCases.setUp + HostileCases.frames)
        func setUpAndFrames(_ item: HostileCase) throws { try check(item) }

        @Test(arguments: HostileCases.entries + HostileCases.segments + HostileCases.metadata)
        func fileLists(_ item: HostileCase) throws { try check(item) }

        @Test(arguments: HostileCases.requests + HostileCases.endings)
        func requests(_ item: HostileCase) throws { try check(item) }

        @Test(arguments: HostileCases.replies + HostileCases.tokens)
        func replies(_ item: HostileCase) throws { try check(item) }

        @Test(arguments: HostileCases.receivingServer)
        func receivingServers(_ item: HostileCase) throws { try check(item) }

        /// Times that no calendar has are shown as such.
        @Test(arguments: ["f8ffffffffffffff7f", "f80000000000000080", "f80000000000000001"])
        func timesOutOfRange(_ time: String) throws {
            for (options, text) in [
                ("--list-only", "(time out of range) f\n"), ("-n --out-format=%M_%n", "(time-out-of-range)_f\n"),
            ] {
                let item = HostileCase.table(
                    """
                    time | pull -r \(options) +linger | 12 | -
                        $S { $D 18 01 66 000500 \(time) a4810000 $E 02 00a0 00*17 }
                    """)[0]
                let own = try place.run(DrayPrograms.dray, item)
                #expect(own.outputText.contains(text), "\(own.outputText)")
                let peer = try place.run(PeerRsync.path!, item)
                #expect(peer.outputText.contains(text), "\(peer.outputText)")
            }
        }

        @Test func listingsWriteNothing() throws {
            let item = HostileCase.table(
                """
                data for a listing | pull --list-only -r +linger | 2 | -
                    $S $list { 02 00a0 $none i:5 "hello" i:0 5d41402abc4b2a76b9719d911017c592 00*19 }
                """)[0]
            let own = try place.run(DrayPrograms.dray, item)
            #expect(own.exitCode == 2)
            #expect(place.lines(own) == ["rsync: refusing an item that a listing did not ask for: 1 [receiver]"])
            #expect(place.workingDirectory() == ["destination", "input", "shell", "source"])
        }

        private func check(_ item: HostileCase) throws {
            let own = try place.run(DrayPrograms.dray, item)
            #expect(!own.timedOut, "hangs")
            #expect(own.exitCode == item.exitCode, "\(own.errorText)")
            let lines = place.lines(own)
            if let text = item.text {
                #expect(lines.contains(text), "\(lines)")
            } else {
                #expect(lines.isEmpty, "\(lines)")
            }
            guard item.difference == nil else { return }
            let peer = try place.run(PeerRsync.path!, item)
            #expect(!peer.timedOut)
            // Its generator may find the connection gone before it hears why.
            let isOvertaken = peer.exitCode == 10 && peer.errorText.contains("Broken pipe (32)")
            #expect(peer.exitCode == item.exitCode || isOvertaken, "rsync: \(peer.errorText)")
            #expect(place.lines(peer) == lines, "rsync: \(peer.errorText)")
        }
    }
}

/// Trees and scripts of one case.
final class HostilePlace {
    private let scratch: ScratchDirectory

    init() throws { scratch = try ScratchDirectory() }

    /// Runs `program` in the role that the case says, fed with its bytes.
    func run(_ program: String, _ item: HostileCase, seconds: Int = 15) throws -> ProcessResult {
        removeTree(scratch.path + "/destination")
        let source = try FileTree(scratch.path + "/source")
        let destination = try FileTree(scratch.path + "/destination")
        try source.file("f", Array("0123456789".utf8), time: 1_000_000_000)
        try source.directory("d")
        source.remove("l")
        symlink("f", source.path("l"))
        if item.hasXattrs {
            for (name, count) in [("user.a", 3), ("user.b", 40)] {
                try source.attribute("f", name, [UInt8](repeating: 0x61, count: count))
            }
        }
        if item.hasBasis { try destination.file("f", [UInt8](repeating: 0x78, count: 5_000)) }
        try source.file("../input", (item.role == .module ? greeting(item) : []) + item.bytes)
        let feed = "cat \(scratch.path)/input; \(item.lingers ? "sleep 0.3; " : "")"
        try source.file("../shell", Array("#!/bin/sh\n\(feed)\nexec cat >/dev/null\n".utf8), mode: 0o755)
        let clientWords = [program] + item.options + ["-e", scratch.path + "/shell"]
        let words: [String]
        switch item.role {
        case .pull: words = clientWords + ["host:source/", destination.root + "/"]
        case .push: words = clientWords + [source.root + "/", "host:destination/"]
        case .receiver, .sender:
            let place = item.role == .sender ? source.root : destination.root
            words =
                ["/bin/sh", "-c", "{ \(feed)} | \"$@\"", "sh", program, "--server"]
                + (item.role == .sender ? ["--sender"] : []) + item.options + [".", place + "/"]
        case .module:
            let module = "path = \(destination.root)\nread only = no\nuse chroot = no\nuid = 0\ngid = 0\n"
            try source.file("../modules", Array("log file = /dev/null\n[m]\n\(module)".utf8))
            words =
                ["/bin/sh", "-c", "{ \(feed)} | \"$@\"", "sh", program, "--server", "--daemon"]
                + ["--config=\(scratch.path)/modules", "."]
        }
        return try DrayTestSupport.run(words, in: scratch.path, seconds: seconds)
    }

    /// Names in the directory that every program is run in.
    func workingDirectory() -> [String] { DaemonLab.names(scratch.path).sorted() }

    /// What a client says before the protocol begins.
    private func greeting(_ item: HostileCase) -> [UInt8] {
        let words = ["--server"] + item.options + [".", "m/"]
        return Array("@RSYNCD: 32.0 md5\nm\n".utf8) + words.flatMap { Array($0.utf8) + [0] } + [0]
    }

    /// The error output without what must differ: program positions, counts, the order of two processes' lines, and
    /// the closing `rsync error:` lines.
    func lines(_ result: ProcessResult) -> [String] {
        // An over-long list is not kept; rsync shows what its buffer happens to hold.
        let isOverlong = result.errorText.contains("over-long vstring received (256")
        return result.errors.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }.filter {
            !$0.hasPrefix("rsync error: ") && !$0.contains("Broken pipe (32)")
                && !($0.contains("connection unexpectedly closed") && $0.hasSuffix("[generator]"))
                && !(isOverlong && $0.hasPrefix("Server list: "))
        }.map(normal).sorted()
    }

    private func normal(_ line: String) -> String {
        var line = line
        if let site = line.firstRange(of: " (file=") { line = String(line[..<site.lowerBound]) + " (SITE)" }
        if let count = line.firstRange(of: "closed ("), let end = line.firstRange(of: " bytes received so far)") {
            line.replaceSubrange(count.upperBound..<end.lowerBound, with: "N")
        }
        return line.replacing(scratch.path, with: "TEST")
    }
}
