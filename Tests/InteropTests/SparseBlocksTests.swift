// Dray — holes that a receiver leaves, punches and keeps: the blocks that a file has afterwards.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc
import Testing

extension Interop {
    /// With every combination of the options a file takes as many blocks as rsync's, and has the source's content.
    @Suite struct SparseBlocksTests {
        /// Pages of `size` bytes, about half of them zeros.
        private static func pages(_ seed: UInt64, _ count: Int, size: Int = 4_096) -> [UInt8] {
            (0..<count).flatMap { page -> [UInt8] in
                let noise = FileTree.noise(size, seed: seed + UInt64(page))
                return noise[0] & 1 == 0 ? [UInt8](repeating: 0, count: size) : noise
            }
        }

        struct Change: Sendable, CustomStringConvertible {
            var description: String
            var new: [UInt8]
            var old: [UInt8]?
        }

        static let changes: [Change] = {
            let old = pages(500, 60)
            return [
                Change(
                    description: "zeros over data", new: [UInt8](repeating: 0, count: 65_536),
                    old: FileTree.noise(65_536, seed: 1)),
                Change(
                    description: "data and zeros over data", new: pages(100, 32), old: FileTree.noise(131_072, seed: 2)),
                Change(
                    description: "uneven end", new: Array(pages(100, 32).dropLast(1_000)),
                    old: Array(pages(200, 32).dropLast(500))),
                Change(description: "shorter", new: pages(300, 8), old: pages(200, 32)),
                Change(description: "longer", new: Array(pages(300, 40).dropLast(101)), old: pages(200, 8)),
                Change(description: "new file", new: Array(pages(300, 40).dropLast(100)), old: nil),
                Change(
                    description: "one block differs",
                    new: old[..<150_000] + [UInt8](repeating: 81, count: 3_000) + old[153_000...], old: old),
                Change(description: "moved", new: Array(old[8_192...]), old: old),
            ]
        }()

        static let options = [
            "-S", "-S --no-W", "-S --preallocate", "--preallocate", "--inplace -S", "--inplace -S --no-W",
            "--inplace -S --no-W -B1000", "--inplace -S --preallocate", "--inplace -S --preallocate --no-W",
            "--inplace --preallocate",
        ]

        @Test(arguments: changes) func takesAsManyBlocks(_ change: Change) throws {
            for options in Self.options {
                var blocks: [Int] = []
                for program in [PeerRsync.path!, DrayPrograms.dray] {
                    let scratch = try ScratchDirectory()
                    let tree = try FileTree(scratch.path)
                    try tree.file("new", change.new)
                    if let old = change.old { try tree.file("old", old) }
                    let words = options.split(separator: " ").map(String.init)
                    let run = try DrayTestSupport.run([program, "-I"] + words + ["new", "old"], in: scratch.path)
                    #expect(run.exitCode == 0, "\(options): \(run.errorText)")
                    let same = try DrayTestSupport.run(["/usr/bin/cmp", "new", "old"], in: scratch.path)
                    #expect(same.exitCode == 0, "\(options)")
                    var status = stat()
                    #expect(stat(tree.path("old"), &status) == 0)
                    blocks.append(Int(status.st_blocks))
                }
                // Where the pieces of a file lie on the disk may cost one more block of the file system.
                #expect(abs(blocks[0] - blocks[1]) <= 8, "\(options): \(blocks)")
            }
        }
    }
}
