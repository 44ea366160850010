// Dray — where the matcher reads the new file and where its findings go.
// Layer: Delta.
// SPDX-License-Identifier: Apache-2.0

/// Sequential source bytes of a delta search.
public protocol DeltaSource {
    /// Reads at least one byte into `buffer`; returns 0 only at the end.
    mutating func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int
}

/// Receives the result of a delta search, in source order.
public protocol DeltaSink {
    /// Takes the next literal bytes; a run may be longer or shorter than one piece on the wire and several runs may
    /// follow each other (all but the last of them are multiples of `Limits.literalPiece`).
    mutating func literal(_ bytes: UnsafeRawBufferPointer) throws
    /// Takes a reference to block `block`, `length` bytes long.
    mutating func match(block: Int32, length: Int) throws
    /// Takes the source bytes of the match just reported. Only stream compressors want them.
    mutating func matchedData(_ bytes: UnsafeRawBufferPointer) throws
}

extension DeltaSink {
    public mutating func matchedData(_ bytes: UnsafeRawBufferPointer) throws {}
}
