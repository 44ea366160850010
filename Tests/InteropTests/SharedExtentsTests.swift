// Dray — local copies on a file system whose files can share extents.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc
import Testing

extension Interop {
    /// Whole files of a local copy are cloned where the file system can, and nothing else is different.
    @Suite(.serialized) struct SharedExtentsTests {
        /// A small btrfs, mounted for one test.
        private final class Disk {
            let scratch: ScratchDirectory
            var root: String { scratch.path + "/disk" }

            /// Nil where there is no tool, no root or no such file system in the kernel.
            init?() throws {
                scratch = try ScratchDirectory()
                let image = scratch.path + "/image"
                let script = """
                    truncate -s 256M \(image) && mkfs.btrfs -q \(image) && mkdir \(scratch.path)/disk \
                    && mount -o loop \(image) \(scratch.path)/disk
                    """
                if try DrayTestSupport.run(["/bin/sh", "-c", script], in: scratch.path).exitCode != 0 { return nil }
            }

            deinit { _ = try? DrayTestSupport.run(["/bin/umount", "-l", root], in: "/") }

            func fill() throws {
                let tree = try FileTree(root + "/source")
                try tree.file("large", FileTree.noise(3_000_000, seed: 7))
                try tree.file("odd", FileTree.noise(131_073, seed: 8), mode: 0o600)
                try tree.file("small", FileTree.noise(900, seed: 9))
                try tree.file("empty", [])
                for number in 0..<120 { try tree.file("many\(number)", FileTree.noise(70_000 + number, seed: 10)) }
                sync()
            }

            /// Whether all of a file's data is shared with another one.
            func isShared(_ path: String) throws -> Bool {
                sync()
                let map = try DrayTestSupport.run(["/usr/sbin/filefrag", "-v", path], in: root).outputText
                let extents = map.split(separator: "\n").filter { $0.contains(": ") && $0.contains("..") }
                return !extents.isEmpty && extents.allSatisfy { $0.contains("shared") }
            }

            func copy(_ program: String, _ destination: String, _ options: [String] = []) throws -> ProcessResult {
                let words = [program, "-a"] + options + ["source/", destination + "/"]
                return try DrayTestSupport.run(words, in: root, seconds: 60)
            }

            func differences(_ destination: String) throws -> String {
                try DrayTestSupport.run(
                    [PeerRsync.path!, "-naci", "--delete", "source/", destination + "/"], in: root, seconds: 60
                ).outputText
            }
        }

        private static func counts(_ text: String) -> [String] {
            text.split(separator: "\n").map(String.init).filter {
                $0.hasPrefix("Literal data") || $0.hasPrefix("Matched data") || $0.hasPrefix("Total transferred")
                    || $0.hasPrefix("Number of")
            }
        }

        @Test func wholeFilesAreCloned() throws {
            guard let disk = try Disk() else { return print("skipped: no btrfs can be mounted here") }
            try disk.fill()
            let own = try disk.copy(DrayPrograms.dray, "own", ["--stats"])
            let peer = try disk.copy(PeerRsync.path!, "peer", ["--stats"])
            #expect(own.exitCode == 0, "\(own.errorText)")
            #expect(Self.counts(own.outputText) == Self.counts(peer.outputText))
            #expect(try disk.differences("own") == "")
            // The sender is ahead of the receiver by as many empty streams as a pipe holds: none of them is sent as data.
            for name in ["large", "odd"] + (0..<120).map({ "many\($0)" }) {
                #expect(try disk.isShared(disk.root + "/own/" + name), "\(name)")
            }
            #expect(try !disk.isShared(disk.root + "/peer/large"))
            // A changed file is replaced by a clone too.
            let tree = try FileTree(disk.root + "/source")
            try tree.file("large", FileTree.noise(2_000_000, seed: 11), time: 1_500_000_500)
            let again = try disk.copy(DrayPrograms.dray, "own", ["-i"])
            #expect(again.outputText.contains(">f.st...... large\n"))
            #expect(try disk.isShared(disk.root + "/own/large"))
            #expect(try disk.differences("own") == "")
        }

        /// A file without copy on write cannot share with one that has it: the receiver reads what it was given.
        @Test func whatCannotBeClonedIsRead() throws {
            guard let disk = try Disk() else { return print("skipped: no btrfs can be mounted here") }
            try disk.fill()
            let made = try DrayTestSupport.run(["/bin/sh", "-c", "mkdir own && chattr +C own"], in: disk.root)
            try #require(made.exitCode == 0)
            let own = try disk.copy(DrayPrograms.dray, "own", ["--stats"])
            #expect(own.exitCode == 0, "\(own.errorText)")
            #expect(own.outputText.contains("Literal data: 11,539,113 "))
            #expect(try disk.differences("own") == "")
            #expect(try !disk.isShared(disk.root + "/own/large"))
        }

        /// Options that look at the data, or say how it is to be written, get data.
        @Test(arguments: [["--inplace"], ["--sparse"], ["--preallocate"], ["--out-format=%C %n"], ["--append"]])
        func dataIsSentWhereItIsWanted(_ options: [String]) throws {
            guard let disk = try Disk() else { return print("skipped: no btrfs can be mounted here") }
            try disk.fill()
            let own = try disk.copy(DrayPrograms.dray, "own", options)
            let peer = try disk.copy(PeerRsync.path!, "peer", options)
            #expect(own.outputText == peer.outputText)
            #expect(try disk.differences("own") == "")
            #expect(try !disk.isShared(disk.root + "/own/large"))
        }
    }
}
