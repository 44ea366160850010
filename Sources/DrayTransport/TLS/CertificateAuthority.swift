// Dray — a small certificate authority for tests, demonstrations and throw-away pairs of containers.
// Layer: Transport.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import COpenSSL
import DrayCore
import Glibc

/// An authority with an EC P-256 key that lives in memory.
public final class CertificateAuthority: @unchecked Sendable {
    /// A certificate and its private key as PEM text.
    public struct Issued: Sendable {
        public var certificatePEM: Bytes
        public var keyPEM: Bytes
    }

    // Safe: read only after `init`.
    private let key: OpaquePointer
    private let certificate: OpaquePointer
    /// The authority's own certificate.
    public let pem: Bytes

    private init(key: OpaquePointer, certificate: OpaquePointer) {
        self.key = key
        self.certificate = certificate
        pem = Self.certificateText(certificate)
    }

    deinit {
        X509_free(certificate)
        EVP_PKEY_free(key)
    }

    /// Makes a self-signed authority that is valid from one hour ago on.
    public static func create(commonName: String, validDays: Int) throws(TLSError) -> CertificateAuthority {
        OpenSSLErrors.clear()
        guard let key = dray_EVP_EC_gen("P-256") else { throw TLSError(OpenSSLErrors.takeReason()) }
        do throws(TLSError) {
            let certificate = try build(
                commonName, key: key, issuer: nil, issuerKey: key, from: -3600, until: validDays * 86_400,
                extensions: [
                    (NID_basic_constraints, "critical,CA:TRUE"), (NID_key_usage, "critical,keyCertSign,cRLSign"),
                    (NID_subject_key_identifier, "hash"),
                ])
            return CertificateAuthority(key: key, certificate: certificate)
        } catch {
            EVP_PKEY_free(key)
            throw error
        }
    }

    /// Issues a certificate with a new key.
    ///
    /// - Parameters:
    ///   - dnsNames, ipAddresses: subject alternative names.
    ///   - isServer: usable by servers; else by clients.
    ///   - notBeforeSeconds, notAfterSeconds: validity, seconds from now; negative is the past.
    public func issue(
        commonName: String, dnsNames: [String] = [], ipAddresses: [String] = [], isServer: Bool,
        notBeforeSeconds: Int = -3600, notAfterSeconds: Int = 365 * 86_400
    ) throws(TLSError) -> Issued {
        OpenSSLErrors.clear()
        guard let own = dray_EVP_EC_gen("P-256") else { throw TLSError(OpenSSLErrors.takeReason()) }
        defer { EVP_PKEY_free(own) }
        var extensions: [(Int32, String)] = [
            (NID_basic_constraints, "critical,CA:FALSE"), (NID_key_usage, "critical,digitalSignature"),
            (NID_ext_key_usage, isServer ? "serverAuth" : "clientAuth"), (NID_subject_key_identifier, "hash"),
            (NID_authority_key_identifier, "keyid"),
        ]
        let names = dnsNames.map { "DNS:\($0)" } + ipAddresses.map { "IP:\($0)" }
        if !names.isEmpty { extensions.append((NID_subject_alt_name, names.joined(separator: ","))) }
        let issued = try Self.build(
            commonName, key: own, issuer: certificate, issuerKey: key, from: notBeforeSeconds, until: notAfterSeconds,
            extensions: extensions)
        defer { X509_free(issued) }
        return Issued(certificatePEM: Self.certificateText(issued), keyPEM: Self.keyText(own))
    }

    /// Writes `contents` to a file that only its owner can read; replaces an existing file.
    public static func writePrivate(_ contents: Bytes, to path: Bytes) throws(TLSError) {
        _ = path.withCString { unlink($0) }
        let descriptor = path.withCString { dray_open($0, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600) }
        guard descriptor >= 0 else { throw TLSError("cannot write \(path.displayText): \(errorText(errno))") }
        defer { close(descriptor) }
        var done = 0
        while done < contents.count {
            let count = contents.withUnsafeBytes { raw in
                // Safe: `done < count`, so the array is not empty.
                retrying { write(descriptor, raw.baseAddress! + done, raw.count - done) }
            }
            guard count > 0 else { throw TLSError("cannot write \(path.displayText): \(errorText(errno))") }
            done += count
        }
    }

    // MARK: - OpenSSL

    private static func build(
        _ commonName: String, key: OpaquePointer, issuer: OpaquePointer?, issuerKey: OpaquePointer, from: Int,
        until: Int, extensions: [(Int32, String)]
    ) throws(TLSError) -> OpaquePointer {
        guard let certificate = X509_new() else { throw TLSError(OpenSSLErrors.takeReason()) }
        var isGood = X509_set_version(certificate, 2) == 1
        var serial = Bytes(repeating: 0, count: 16)
        isGood = isGood && RAND_bytes(&serial, 16) == 1
        serial[0] = serial[0] & 0x3f | 0x40
        let number = BN_bin2bn(serial, 16, nil)
        BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate))
        BN_free(number)
        X509_gmtime_adj(X509_getm_notBefore(certificate), from)
        X509_gmtime_adj(X509_getm_notAfter(certificate), until)
        let name = X509_get_subject_name(certificate)
        isGood = isGood && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8_, commonName, -1, -1, 0) == 1
        isGood = isGood && X509_set_issuer_name(certificate, issuer.map { X509_get_subject_name($0) } ?? name) == 1
        isGood = isGood && X509_set_pubkey(certificate, key) == 1
        for (identifier, value) in extensions where isGood {
            var context = X509V3_CTX()
            X509V3_set_ctx(&context, issuer ?? certificate, certificate, nil, nil, 0)
            guard let entry = X509V3_EXT_nconf_nid(nil, &context, identifier, value) else {
                isGood = false
                break
            }
            isGood = X509_add_ext(certificate, entry, -1) == 1
            X509_EXTENSION_free(entry)
        }
        guard isGood, X509_sign(certificate, issuerKey, EVP_sha256()) > 0 else {
            X509_free(certificate)
            throw TLSError("cannot make a certificate for \(commonName): \(OpenSSLErrors.takeReason())")
        }
        return certificate
    }

    private static func certificateText(_ certificate: OpaquePointer) -> Bytes {
        guard let bio = BIO_new(BIO_s_mem()) else { return [] }
        defer { BIO_free(bio) }
        PEM_write_bio_X509(bio, certificate)
        return TLSSessionInfo.bytes(of: bio)
    }

    private static func keyText(_ key: OpaquePointer) -> Bytes {
        guard let bio = BIO_new(BIO_s_mem()) else { return [] }
        defer { BIO_free(bio) }
        PEM_write_bio_PrivateKey(bio, key, nil, nil, 0, nil, nil)
        return TLSSessionInfo.bytes(of: bio)
    }
}

/// MBSTRING_UTF8: a macro with a cast in C.
private let MBSTRING_UTF8_: Int32 = 0x1000
