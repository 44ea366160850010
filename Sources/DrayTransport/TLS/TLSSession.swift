// Dray — what a TLS handshake agreed on, for logs and for mapping a peer to a user.
// Layer: Transport.
// SPDX-License-Identifier: Apache-2.0

import COpenSSL
import DrayCore

/// The outcome of a handshake.
public struct TLSSessionInfo: Sendable, Equatable {
    /// `TLSv1.3`.
    public var version: String
    /// `TLS_AES_128_GCM_SHA256`.
    public var cipherSuite: String
    /// The peer's subject in RFC 2253 form; nil without a certificate.
    public var peerSubject: String?
    public var peerCommonName: String?
    /// `DNS:name` and `IP:address` entries.
    public var peerAlternativeNames: [String] = []
    /// SHA-256 of the peer's subject public key info.
    public var peerPublicKeyHash: Bytes?
    public var preSharedKeyIdentity: Bytes?
    /// The name that a client asked for.
    public var serverName: String?

    init(_ connection: OpaquePointer) {
        version = String(cString: SSL_get_version(connection))
        cipherSuite = SSL_CIPHER_get_name(SSL_get_current_cipher(connection)).map { String(cString: $0) } ?? ""
        serverName = SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name).map { String(cString: $0) }
        guard let certificate = SSL_get1_peer_certificate(connection) else { return }
        defer { X509_free(certificate) }
        let name = X509_get_subject_name(certificate)
        peerSubject = Self.text { X509_NAME_print_ex($0, name, 0, dray_XN_FLAG_RFC2253()) }
        var buffer = [CChar](repeating: 0, count: 256)
        if X509_NAME_get_text_by_NID(name, NID_commonName, &buffer, Int32(buffer.count)) > 0 {
            peerCommonName = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        peerPublicKeyHash = Self.publicKeyHash(certificate)
        let position = X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1)
        if position >= 0, let entry = X509_get_ext(certificate, position),
            let text = Self.text({ X509V3_EXT_print($0, entry, 0, 0) })
        {
            peerAlternativeNames = text.split(separator: ",").map { part in
                let trimmed = part.drop { $0 == " " }
                return trimmed.hasPrefix("IP Address:") ? "IP:" + trimmed.dropFirst(11) : String(trimmed)
            }
        }
    }

    /// SHA-256 of the DER form of the certificate's public key.
    static func publicKeyHash(_ certificate: OpaquePointer) -> Bytes? {
        var der: UnsafeMutablePointer<UInt8>?
        let count = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der)
        guard count > 0, let der else { return nil }
        defer { CRYPTO_free(der, "", 0) }
        var digest = Bytes(repeating: 0, count: 32)
        var length: UInt32 = 0
        guard EVP_Digest(der, Int(count), &digest, &length, EVP_sha256(), nil) == 1 else { return nil }
        return digest
    }

    /// What `print` writes into a memory BIO.
    static func text(_ print: (OpaquePointer) -> Int32) -> String? {
        guard let bio = BIO_new(BIO_s_mem()) else { return nil }
        defer { BIO_free(bio) }
        guard print(bio) >= 0 else { return nil }
        return String(decoding: bytes(of: bio), as: UTF8.self)
    }

    static func bytes(of bio: OpaquePointer) -> Bytes {
        var start: UnsafeMutablePointer<CChar>?
        let count = dray_BIO_get_mem_data(bio, &start)
        guard count > 0, let start else { return [] }
        return Bytes(UnsafeRawBufferPointer(start: start, count: count))
    }
}
