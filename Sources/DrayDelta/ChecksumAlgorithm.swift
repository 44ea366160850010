// Dray — names and sizes of the strong checksums.
// Layer: Delta. Wire format: chapter 03 §6.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// A strong checksum, used per block, per file or for `--checksum`.
public enum ChecksumAlgorithm: Sendable, Equatable, Hashable, CaseIterable {
    case none
    /// MD4 of protocols 27–29: the whole-file sum always begins with the four seed bytes.
    case md4Old
    case md4
    case md5
    case sha1
    case sha256
    case sha512
    case xxh64
    case xxh3
    case xxh128

    /// Finds the algorithm that goes by `name`, whatever its case; `xxhash` is an alias of `xxh64`.
    public init?(name: Bytes) {
        switch name.map(\.asciiLowercased) {
        case Bytes("none"): self = .none
        case Bytes("md4"): self = .md4
        case Bytes("md5"): self = .md5
        case Bytes("sha1"): self = .sha1
        case Bytes("sha256"): self = .sha256
        case Bytes("sha512"): self = .sha512
        case Bytes("xxh64"), Bytes("xxhash"): self = .xxh64
        case Bytes("xxh3"): self = .xxh3
        case Bytes("xxh128"): self = .xxh128
        default: return nil
        }
    }

    /// The name as negotiated on the wire.
    public var name: StaticString {
        switch self {
        case .none: "none"
        case .md4Old, .md4: "md4"
        case .md5: "md5"
        case .sha1: "sha1"
        case .sha256: "sha256"
        case .sha512: "sha512"
        case .xxh64: "xxh64"
        case .xxh3: "xxh3"
        case .xxh128: "xxh128"
        }
    }

    /// Bytes of a full digest, 1…64.
    public var digestLength: Int {
        switch self {
        case .none: 1
        case .md4Old, .md4, .md5, .xxh128: 16
        case .sha1: 20
        case .sha256: 32
        case .sha512: 64
        case .xxh64, .xxh3: 8
        }
    }

    /// Bytes of the longest digest.
    public static let maxDigestLength = 64
}
