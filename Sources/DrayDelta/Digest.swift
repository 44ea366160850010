// Dray — digests of the crypto library, fetched once and reused.
// Layer: Delta.
// SPDX-License-Identifier: Apache-2.0

import COpenSSL

/// An immutable digest description of the crypto library; fetched once, never freed.
struct DigestKind: @unchecked Sendable {
    // Safe: EVP_MD is immutable after the fetch and may be used from any thread.
    let handle: OpaquePointer

    private init(_ name: StaticString) {
        let fetched = name.withUTF8Buffer { bytes in
            // Safe: a StaticString of ASCII is NUL terminated.
            unsafe bytes.withMemoryRebound(to: CChar.self) { unsafe EVP_MD_fetch(nil, $0.baseAddress!, nil) }
        }
        guard let fetched else { fatalError("the crypto library lacks \(name)") }
        handle = fetched
    }

    static let md5 = DigestKind("MD5")
    static let sha1 = DigestKind("SHA1")
    static let sha256 = DigestKind("SHA256")
    static let sha512 = DigestKind("SHA512")

    /// The description behind `algorithm`, nil if the crypto library is not used for it.
    static func of(_ algorithm: ChecksumAlgorithm) -> DigestKind? {
        switch algorithm {
        case .md5: md5
        case .sha1: sha1
        case .sha256: sha256
        case .sha512: sha512
        default: nil
        }
    }
}

/// Owner of one digest context.
final class DigestContext {
    private let context: OpaquePointer
    private let kind: DigestKind

    init(_ kind: DigestKind) {
        guard let context = EVP_MD_CTX_new() else { fatalError("out of memory") }
        self.context = context
        self.kind = kind
        reset()
    }

    deinit { EVP_MD_CTX_free(context) }

    /// Starts a new digest.
    func reset() {
        let done = unsafe EVP_DigestInit_ex2(context, kind.handle, nil)
        precondition(done == 1, "digest cannot be started")
    }

    /// Hashes `bytes`.
    func update(_ bytes: UnsafeRawBufferPointer) {
        if bytes.count > 0 { _ = unsafe EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) }
    }

    /// Writes the digest to `digest`; `reset()` must follow before the next use.
    func finish(into digest: UnsafeMutableRawPointer) {
        var length: UInt32 = 0
        _ = unsafe EVP_DigestFinal_ex(context, digest.assumingMemoryBound(to: UInt8.self), &length)
    }
}
