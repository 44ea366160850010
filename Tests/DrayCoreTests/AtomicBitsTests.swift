// Dray — bits that two threads set at once.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc
import Testing

@Suite struct AtomicBitsTests {
    /// Neighbouring bits share a word: none may be lost when two threads set every second one.
    @Test func bitsOfTwoThreadsAreAllKept() {
        let bits = AtomicBits(count: 100_003)
        final class Work: Sendable {
            let bits: AtomicBits
            let first: Int
            init(_ bits: AtomicBits, _ first: Int) {
                self.bits = bits
                self.first = first
            }
        }
        let threads = [0, 1].map { first in
            var thread = pthread_t()
            let work = Unmanaged.passRetained(Work(bits, first)).toOpaque()
            let code = pthread_create(
                &thread, nil,
                { argument in
                    let work = Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue()
                    for place in stride(from: work.first, to: work.bits.count, by: 2) where place % 3 != 0 {
                        work.bits.insert(place)
                    }
                    return nil
                }, work)
            #expect(code == 0)
            return thread
        }
        for thread in threads { pthread_join(thread, nil) }
        let wrong = (0..<bits.count).filter { bits.contains($0) != ($0 % 3 != 0) }
        #expect(wrong.isEmpty)
    }

    @Test func placesOutsideAreClear() {
        let bits = AtomicBits(count: 65)
        for place in [-1, 65, 127, 128, Int.max, Int.min] {
            bits.insert(place)
            #expect(!bits.contains(place))
        }
        bits.insert(64)
        #expect(bits.contains(64))
        #expect((0..<64).allSatisfy { !bits.contains($0) })
        AtomicBits.none.insert(0)
        #expect(!AtomicBits.none.contains(0))
    }
}
