// Dray — kernels under the microscope: rolling sum, strong sums, block table, delta search, integers on the wire.
// SPDX-License-Identifier: Apache-2.0

import Benchmark
import DrayCore
import DrayDelta
import DrayWire

private struct MemorySource: DeltaSource {
    let bytes: UnsafeRawBufferPointer
    var position = 0
    mutating func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(buffer.count, bytes.count - position)
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[position..<(position + count)]))
        position += count
        return count
    }
}

private struct CountingSink: DeltaSink {
    var literal = 0
    var matched = 0
    mutating func literal(_ bytes: UnsafeRawBufferPointer) { literal += bytes.count }
    mutating func match(block: Int32, length: Int) { matched += length }
}

let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration.metrics = [.wallClock, .throughput, .mallocCountTotal, .instructions]
    Benchmark.defaultConfiguration.maxDuration = .seconds(2)
    let megabyte = randomBytes(1 << 20, seed: 1)

    Benchmark("rolling sum, 1 MiB in blocks of 16 KiB") { _ in
        megabyte.withUnsafeBytes { raw in
            for start in stride(from: 0, to: raw.count, by: 16384) {
                blackHole(RollingChecksum.sum(UnsafeRawBufferPointer(rebasing: raw[start..<(start + 16384)])))
            }
        }
    }
    for algorithm in [ChecksumAlgorithm.xxh128, .xxh64, .md5, .md4, .sha1] {
        let hasher = StrongHasher(algorithm)
        Benchmark("whole-file sum \(algorithm.name), 1 MiB") { _ in
            hasher.reset()
            megabyte.withUnsafeBytes { hasher.update($0) }
            blackHole(hasher.finish())
        }
    }
    for (name, matches) in [("nothing matches", false), ("everything matches", true)] {
        let source = randomBytes(4 << 20, seed: 7)
        let basis = matches ? source : randomBytes(4 << 20, seed: 8)
        let head = SumHead.forBasis(
            length: Int64(basis.count), protocolVersion: 32, blockSizeOption: 0, digestLength: 16, redo: false)!
        let hasher = BlockHasher(.xxh128, seed: 1, seedFirst: true)
        let table = BlockSumTable(head: head)
        var digest = [UInt8](repeating: 0, count: 64)
        basis.withUnsafeBytes { raw in
            for index in 0..<head.count {
                let start = Int(index) * Int(head.blockLength)
                let block = UnsafeRawBufferPointer(rebasing: raw[start..<(start + head.length(ofBlock: index))])
                digest.withUnsafeMutableBytes { out in
                    hasher.sum(block, into: out.baseAddress!)
                    table.append(rolling: RollingChecksum.sum(block), strong: out.baseAddress!)
                }
            }
        }
        table.build()
        if !matches {
            let sums = (0..<Int(head.count)).map { index in
                basis.withUnsafeBytes { raw in
                    let start = index * Int(head.blockLength)
                    return RollingChecksum.sum(
                        UnsafeRawBufferPointer(rebasing: raw[start..<(start + head.length(ofBlock: Int32(index)))]))
                }
            }
            Benchmark("block table of \(head.count) sums") { _ in
                let table = BlockSumTable(head: head)
                digest.withUnsafeBytes { raw in
                    for sum in sums { table.append(rolling: sum, strong: raw.baseAddress!) }
                }
                table.build()
                blackHole(table.count)
            }
        }
        let matcher = DeltaMatcher()
        Benchmark("delta search, 4 MiB, \(name)") { _ in
            source.withUnsafeBytes { raw in
                var input = MemorySource(bytes: raw)
                var sink = CountingSink()
                try? matcher.run(
                    length: Int64(raw.count), table: table, hasher: hasher, updatingBasis: false, source: &input,
                    sink: &sink)
                blackHole(sink.matched)
            }
        }
    }
    Benchmark("10 000 file indexes and sizes written") { _ in
        let writer = WireWriter(channel: NullChannel(), role: .sender)
        for index in 0..<10_000 {
            try? writer.ndx(Int32(index))
            try? writer.varlong(Int64(index) << 20, 3)
        }
        try? writer.flush()
    }
    tokenKernels()
    listKernels()
    recordKernels()
}
