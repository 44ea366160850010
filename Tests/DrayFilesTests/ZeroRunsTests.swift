// Dray — runs of zeros are those that a look at every byte finds.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Testing

@testable import DrayFiles

@Suite struct ZeroRunsTests {
    /// Pieces of zeros and of data, some data with single zeros in it.
    private static func pattern(_ seed: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        for (position, value) in FileTree.noise(24, seed: seed).enumerated() {
            let count = [0, 1, 3, 7, 8, 9, 31, 32, 33, 63, 64, 65, 100, 200][Int(value) % 14]
            switch (position + Int(seed)) % 3 {
            case 0: bytes += [UInt8](repeating: 0, count: count)
            case 1: bytes += FileTree.noise(count, seed: seed &+ UInt64(position)).map { $0 | 1 }
            default: bytes += FileTree.noise(count, seed: seed &+ UInt64(position)).map { $0 & 3 }
            }
        }
        return bytes
    }

    @Test func runsAreThoseOfEveryByte() {
        for seed in UInt64(0)..<300 {
            let bytes = Self.pattern(seed)
            bytes.withUnsafeBytes { raw in
                for start in stride(from: 0, through: bytes.count, by: 5) {
                    let end = bytes[start...].firstIndex { $0 != 0 } ?? bytes.count
                    #expect(ZeroRuns.end(raw, from: start) == end)
                    let tail = bytes[start...].reversed().prefix { $0 == 0 }.count
                    #expect(ZeroRuns.atEnd(raw, notBefore: start) == tail)
                    for length in [1, 2, 16, 64] {
                        var wanted: Int?
                        var run = 0
                        for index in start..<bytes.count {
                            run = bytes[index] == 0 ? run + 1 : 0
                            if run == length {
                                wanted = index - length + 1
                                break
                            }
                        }
                        #expect(ZeroRuns.first(raw, from: start, length: length) == wanted)
                    }
                }
            }
        }
    }

    @Test func nothingIsInNothing() {
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        #expect(ZeroRuns.end(empty, from: 0) == 0)
        #expect(ZeroRuns.first(empty, from: 0, length: 1) == nil)
        #expect(ZeroRuns.atEnd(empty, notBefore: 0) == 0)
    }
}
