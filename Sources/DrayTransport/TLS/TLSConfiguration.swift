// Dray — what one side of a TLS connection is told to do.
// Layer: Transport. Behaviour: chapter 10 §4, §5, §10.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Settings of one side of TLS connections. The defaults are the safe ones: clients verify chain and host name.
public struct TLSConfiguration: Sendable, Equatable {
    public enum Role: Sendable, Equatable { case client, server }

    /// Whom to trust.
    public enum Trust: Sendable, Equatable {
        /// The system's certificate store.
        case system
        /// A PEM file or a directory of hashed PEM files.
        case file(Bytes)
        case directory(Bytes)
    }

    /// What is asked of the peer's certificate.
    public enum PeerVerification: Sendable, Equatable {
        /// Any certificate, or none, is taken. An explicit opt-out.
        case none
        /// Servers: a client may stay anonymous, but a certificate that it shows must verify.
        case optional
        case required
    }

    public enum Version: Int32, Sendable, Equatable, Comparable {
        case tls12 = 0x0303
        case tls13 = 0x0304
        public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
    }

    public var role: Role
    /// PEM file with the own certificate, then its intermediates.
    public var certificateFile: Bytes?
    /// PEM file with the private key, not encrypted. nil: in `certificateFile`.
    public var keyFile: Bytes?
    public var trust = Trust.system
    /// Servers: `.required` and `.optional` ask clients for a certificate.
    public var peerVerification: PeerVerification
    /// Clients: whether the certificate must be valid for the server's name or IP address.
    public var checksHostName: Bool
    /// Clients: SHA-256 of the server's subject public key info. Without an explicit `trust` file or directory it
    /// replaces chain and host name.
    public var publicKeyPin: Bytes?
    public var minimumVersion = Version.tls12
    public var maximumVersion = Version.tls13
    /// OpenSSL lists; nil: AEAD with forward secrecy, AES-128-GCM first.
    public var cipherList: Bytes?
    public var cipherSuites: Bytes?
    /// `IDENTITY:KEY` lines; the first one is a client's own.
    public var preSharedKeyFile: Bytes?
    /// Server name sent in the clear by clients. nil: the host name, unless it is an IP address; empty: none.
    public var serverNameIndication: Bytes?
    public var handshakeTimeoutMilliseconds = 30_000

    public init(_ role: Role) {
        self.role = role
        peerVerification = role == .client ? .required : .none
        checksHostName = role == .client
    }

    /// Whether the pin alone decides.
    var trustsPinOnly: Bool { publicKeyPin != nil && trust == .system }
}
