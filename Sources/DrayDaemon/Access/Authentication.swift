// Dray — challenge and response of the daemon's password check.
// Layer: Daemon. Wire format: chapter 01 §3.4; chapter 07 §10.2, §10.3.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import Glibc

/// Digests of daemon authentication, the most preferred first.
public enum AuthenticationDigest: String, CaseIterable, Sendable {
    case sha512, sha256, sha1, md5, md4

    /// The names as they stand in greetings.
    public static var list: Bytes { Bytes(text: allCases.map(\.rawValue).joined(separator: " ")) }

    init?(name: Bytes) {
        self.init(rawValue: String(decoding: name.map(\.asciiLowercased), as: UTF8.self))
    }

    /// Position in the list; 0 is the strongest.
    var rank: Int { Self.allCases.firstIndex(of: self)! }

    var algorithm: ChecksumAlgorithm {
        switch self {
        case .sha512: .sha512
        case .sha256: .sha256
        case .sha1: .sha1
        case .md5: .md5
        case .md4: .md4
        }
    }
}

/// The agreed way to compute responses.
struct AuthenticationScheme: Equatable, Sendable {
    var digest: AuthenticationDigest
    /// Peers without a digest list hash four zero bytes first when they use md4.
    var isSeeded: Bool

    /// Chooses from what the peer announced; nil if nothing is common.
    ///
    /// - Parameter peerList: the digest list of the peer's greeting; nil if it had none.
    static func choose(peerList: Bytes?, protocolVersion: Int32) -> Self? {
        guard let peerList else {
            return protocolVersion >= 30 ? Self(digest: .md5, isSeeded: false) : Self(digest: .md4, isSeeded: true)
        }
        let known = peerList.fields(separatedBy: \.isASCIISpace).compactMap { AuthenticationDigest(name: $0) }
        return known.min { $0.rank < $1.rank }.map { Self(digest: $0, isSeeded: false) }
    }

    /// Base64 without padding of H(`secret` ‖ `challenge`).
    func response(secret: Bytes, challenge: Bytes) -> Bytes {
        Base64.unpadded(hash((isSeeded ? [0, 0, 0, 0] : []) + secret + challenge))
    }

    /// A fresh challenge for a client at `address`.
    ///
    /// - Parameter log: receives a warning when there is no random source.
    func challenge(address: Bytes, log: (Bytes) -> Void) -> Bytes {
        var input = Bytes(repeating: 0, count: 32)
        let random = open("/dev/urandom", O_RDONLY | O_CLOEXEC)
        let count = random < 0 ? -1 : read(random, &input, input.count)
        if random >= 0 { close(random) }
        if count != input.count {
            log(Bytes("gen_challenge: /dev/urandom unavailable, falling back to time-based challenge"))
            input = []
        }
        var now = timeval()
        gettimeofday(&now, nil)
        var block = Bytes(address.prefix(16))
        block += Bytes(repeating: 0, count: 16 - block.count)
        for value in [Int32(truncatingIfNeeded: now.tv_sec), Int32(truncatingIfNeeded: now.tv_usec), getpid()] {
            block += (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        }
        block += Bytes(repeating: 0, count: 4)
        return Base64.unpadded(hash(input + block))
    }

    private func hash(_ bytes: Bytes) -> Bytes {
        let hasher = StrongHasher(digest.algorithm)
        bytes.withUnsafeBytes { hasher.update($0) }
        return hasher.finish()
    }
}

/// Compares without telling by the time taken where the difference is.
func constantTimeEqual(_ a: Bytes, _ b: Bytes) -> Bool {
    var difference = UInt8(a.count == b.count ? 0 : 1)
    for index in a.indices { difference |= a[index] ^ (index < b.count ? b[index] : 0) }
    return difference == 0
}

/// Base64 with the standard alphabet.
enum Base64 {
    private static let alphabet = Bytes("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")

    /// Encodes without `=` padding.
    static func unpadded(_ bytes: Bytes) -> Bytes {
        var result: Bytes = []
        var bits: UInt32 = 0
        var count = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 6 {
                count -= 6
                result.append(alphabet[Int(bits >> UInt32(count)) & 63])
            }
            bits &= (1 << UInt32(count)) - 1
        }
        if count > 0 { result.append(alphabet[Int(bits << UInt32(6 - count)) & 63]) }
        return result
    }
}
