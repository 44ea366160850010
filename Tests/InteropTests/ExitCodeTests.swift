import DrayTestSupport
import Glibc
import Testing

extension Interop {
    /// Every exit code that a user can meet, each from a run that ends so with rsync too.
    @Suite(.enabled(if: Interop.isRoot, "needs root for limits on devices")) struct ExitCodeTests {
        struct Case: Sendable, CustomStringConvertible {
            var code: Int32
            var line: DifferentialLine
            var description: String { "\(code): \(line.script)" }
        }

        private static func shell(_ code: Int32) -> Case {
            Case(
                code: code,
                line: DifferentialLine(
                    "rsync -r -e ./sh x:src/ dst/; echo $?",
                    prepare: "printf '#!/bin/sh\\nexit \(code)\\n' >sh; chmod 755 sh",
                    order: .ignored))
        }

        private static func line(
            _ code: Int32, _ script: String, _ start: DifferentialLine.Start = .absent, prepare: String = ""
        ) -> Case {
            // Which process tells what in which order is the business of other tables.
            Case(code: code, line: DifferentialLine(script, start, prepare: prepare, order: .ignored))
        }

        /// Waits until something is in the destination.
        private static let begun =
            "for i in $(seq 400); do [ -z \"$(ls -A dst 2>/dev/null)\" ] || break; sleep 0.05; done;"
        private static let huge = "mkdir dst; head -c 2000000 /dev/zero | tr '\\0' x >src/huge"

        /// Ends a slow transfer by a signal.
        private static func signalled(_ code: Int32, _ signal: String) -> Case {
            line(
                code,
                "rsync -r --bwlimit=100 src/huge dst/ & p=$!; \(begun) sleep 0.3; kill -\(signal) $p; wait $p; c=$?; "
                    + "rm -rf dst; exit $c", prepare: huge)
        }

        static let cases: [Case] = [
            line(0, "rsync -r src/ dst/"),
            line(1, "rsync --bogus src/ dst/"),
            line(2, "rsync --protocol=99 src/alpha dst/"),
            line(3, "rsync -r src/ src/alpha"),
            line(4, "rsync -r --iconv=bogus src/ host:dst/"),
            line(5, "RSYNC_CONNECT_PROG='echo hello' rsync rsync://x/y dst/"),
            line(10, "unset RSYNC_CONNECT_PROG; rsync rsync://127.0.0.1:1/x dst/"),
            line(11, "rsync -r --exclude-from=nosuch src/ dst/"),
            // A backup that cannot be made.
            line(
                11, "rsync -b src/$(printf %0255d 0) dst/",
                prepare: "M=$(printf %0255d 0); mkdir dst; echo x >src/$M; echo old >dst/$M"),
            line(12, "rsync -r -e ./sh x:src/ dst/", prepare: "printf '#!/bin/sh\\nexit 0\\n' >sh; chmod 755 sh"),
            line(13, "rsync -r src/nosuch src/alpha dst/ 2>/dev/full"),
            line(13, "rsync -r src/nosuch src/alpha host:dst/ 2>&-"),
            line(13, "rsync --bogus src/ dst/ 2>&-"),
            line(14, "rsync -r -e /nosuch x:src/ dst/"),
            signalled(19, "USR1"), signalled(20, "INT"), signalled(20, "TERM"), signalled(20, "HUP"),
            // More block sums than may be held.
            line(
                22, "rsync --max-alloc=1m -B 700 --no-W --inplace src/sparse dst/",
                prepare: "mkdir dst; truncate -s 100M src/sparse; truncate -s 99M dst/sparse"),
            line(23, "rsync -r src/nosuch src/alpha dst/"),
            line(
                24, "rsync -r --bwlimit=100 src/huge src/later dst/ & \(begun) rm src/later; wait $!",
                prepare: "echo x >src/later; head -c 300000 /dev/zero | tr '\\0' x >src/huge"),
            line(25, "rsync -r --delete --max-delete=1 src/ dst/", .outdated),
            line(
                30, "rsync -r --timeout=1 -e ./sh x:src/ dst/",
                prepare: "printf '#!/bin/sh\\nexec sleep 4\\n' >sh; chmod 755 sh"),
            shell(124), shell(125), shell(126), shell(127), shell(255),
        ]

        @Test(arguments: cases) func endsWithTheCode(_ item: Case) throws {
            let runner = try DifferentialRunner(item.line)
            for pair in item.line.hasPeer ? DifferentialRunner.pairs : [.localDray] {
                #expect(try runner.complaints(pair) == [], "\(pair): \(item)")
            }
            if item.line.script.hasSuffix("echo $?") { return }
            #expect(runner.referenceCodes.allSatisfy { $0 == item.code }, "\(runner.referenceCodes): \(item)")
        }

        /// 35 needs a port that does not answer: one whose queue of connections is full.
        @Test(arguments: [Cell.Program.rsync, .dray]) func silentDaemonEndsWith35(_ program: Cell.Program) throws {
            let silent = try SilentPort()
            let url = "rsync://127.0.0.1:\(silent.number)/x"
            let result = try run([program.path, "--contimeout=1", url], seconds: 20)
            #expect(result.exitCode == 35, "\(result.errorText)")
            #expect(result.errorText.contains("timeout waiting for daemon connection (code 35)"), "\(result.errorText)")
        }

        /// Codes that are told only of rsync's own second process, which Dray does not have, or of a failing `waitpid`.
        private static let impossible: Set<Int32> = [15, 16, 21]

        @Test func everyCodeHasACase() {
            let all: [Int32] = Array(0...5) + Array(10...16) + Array(19...25) + [30, 35, 124, 125, 126, 127]
            let tested = Set(Self.cases.map(\.code) + [35])
            #expect(all.filter { !tested.contains($0) && !Self.impossible.contains($0) } == [])
        }
    }
}

/// A port of this machine that takes no more connections and does not refuse them either.
final class SilentPort {
    let number: UInt16
    private var descriptors: [Int32] = []

    init() throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        descriptors.append(listener)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(listener, generic, length) == 0 && listen(listener, 0) == 0
                    && getsockname(listener, generic, &length) == 0
            }
        }
        guard code else { throw SystemCallError(call: "listen", code: errno) }
        number = UInt16(bigEndian: address.sin_port)
        for _ in 0..<4 {
            let waiting = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_NONBLOCK, 0)
            descriptors.append(waiting)
            _ = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(waiting, $0, length) }
            }
        }
        // The last ones never get through; the queue is full once the first are.
        usleep(200_000)
    }

    deinit { for descriptor in descriptors { close(descriptor) } }
}
