// Dray — directories read with the status of their names, by one thread and by several.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayTestSupport
import Glibc
import Testing

@testable import DrayFiles

@Suite struct DirectoryScanTests {
    private struct Stop: Error {}

    private struct Found: Equatable {
        var name: Bytes
        var code: Int32
        var length: Int64
        var mode: UInt32
    }

    /// Many files, and some links to nothing.
    private static func makeDirectory(_ count: Int) throws -> ScratchDirectory {
        let scratch = try ScratchDirectory()
        let tree = try FileTree(scratch.path)
        for number in 0..<count {
            if number % 10 == 3 {
                try tree.symlink("link\(number)", to: "nothing")
            } else {
                try tree.file("file\(number)", Bytes(repeating: 1, count: number % 97))
            }
        }
        return scratch
    }

    private static func open(_ path: String) -> Int32 { Glibc.open(path, O_RDONLY | O_DIRECTORY) }

    private static func scan(_ scan: DirectoryScan, _ path: String, follow: Bool) -> [Found] {
        let descriptor = open(path)
        defer { close(descriptor) }
        var all: [Found] = []
        let code = scan.forEachStatus(descriptor, follow: follow) { name, status, code in
            let isKnown = code == 0
            all.append(
                Found(
                    name: Bytes(name), code: code, length: isKnown ? status.length : 0, mode: isKnown ? status.mode : 0)
            )
        }
        #expect(code == 0)
        return all
    }

    /// Names in the order of the directory, each with its own status.
    private static func expected(_ path: String, follow: Bool) -> [Found] {
        let descriptor = open(path)
        defer { close(descriptor) }
        var code: Int32 = 0
        return DirectoryScan().names(descriptor, code: &code).map { name in
            var status = FileStatus()
            let code = name.withCString { FileSystem.status(descriptor, $0, follow: follow, &status) }
            return Found(
                name: name, code: code, length: code == 0 ? status.length : 0, mode: code == 0 ? status.mode : 0)
        }
    }

    private static let kinds = [
        StatusHelpers(quick: 0, slow: 0, slowNanoseconds: 0),
        StatusHelpers(quick: 2, slow: 0, slowNanoseconds: .max / 64),
        StatusHelpers(quick: 0, slow: 6, slowNanoseconds: 0), StatusHelpers(quick: 1, slow: 3, slowNanoseconds: 1_000),
    ]

    @Test(arguments: [0, 1, 31, 32, 33, 300, 7_000], [false, true])
    func everyNameHasItsStatus(_ count: Int, _ follow: Bool) throws {
        let scratch = try Self.makeDirectory(count)
        let expected = Self.expected(scratch.path, follow: follow)
        #expect(expected.count == count)
        #expect(expected.contains { $0.code == ENOENT } == (follow && count > 3))
        for helpers in Self.kinds {
            let scan = DirectoryScan(helpers: helpers)
            // Twice: helpers stay.
            for _ in 0..<2 { #expect(Self.scan(scan, scratch.path, follow: follow) == expected) }
        }
    }

    /// A caller that has enough leaves while helpers are at work; the scan can be used again.
    @Test(arguments: [0, 7, 8, 9, 500]) func callersMayLeave(_ limit: Int) throws {
        let scratch = try Self.makeDirectory(2_000)
        let expected = Self.expected(scratch.path, follow: false)
        for helpers in Self.kinds {
            let scan = DirectoryScan(helpers: helpers)
            for _ in 0..<20 {
                let descriptor = Self.open(scratch.path)
                defer { close(descriptor) }
                var seen = 0
                #expect(throws: Stop.self) {
                    _ = try scan.forEachStatus(descriptor, follow: false) { _, _, _ throws(Stop) in
                        if seen == limit { throw Stop() }
                        seen += 1
                    }
                }
                #expect(seen == limit)
            }
            #expect(Self.scan(scan, scratch.path, follow: false) == expected)
        }
    }

    @Test func readingErrorsAreTold() {
        let file = Glibc.open("/proc/self/status", O_RDONLY)
        defer { close(file) }
        #expect(DirectoryScan().forEachStatus(file, follow: false) { _, _, _ in } == ENOTDIR)
    }

    /// Slow answers make the early questions wanted, quick ones do not; questions change nothing.
    @Test func questionsAreAskedEarlyWhereAnswersAreSlow() throws {
        let scratch = try Self.makeDirectory(300)
        let before = Self.expected(scratch.path, follow: false)
        let ahead = StatusAhead(helpers: StatusHelpers(quick: 0, slow: 3, slowNanoseconds: 2_000_000))
        for _ in 0..<64 { ahead.measure {} }
        #expect(!ahead.isWanted)
        for _ in 0..<64 { ahead.measure { usleep(4_000) } }
        #expect(ahead.isWanted)
        for round in 0..<50 {
            let descriptor = Self.open(scratch.path)
            for found in before.prefix(round * 6) { found.name.withUnsafeBytes { ahead.add($0) } }
            ahead.add(UnsafeRawBufferPointer(start: nil, count: 0))
            Bytes(text: "nothing of that name").withUnsafeBytes { ahead.add($0) }
            ahead.begin(in: descriptor)
            close(descriptor)
            if round % 2 == 0 { ahead.finish() }
            if round % 2 == 1 {
                usleep(200)
                ahead.finish()
            }
        }
        #expect(Self.expected(scratch.path, follow: false) == before)
    }
}
