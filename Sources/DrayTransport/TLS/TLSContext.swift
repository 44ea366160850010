// Dray — the loaded certificates, keys and settings that TLS connections are made from.
// Layer: Transport.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import COpenSSL
import DrayCore
import Glibc

/// A loaded TLS configuration. Reloading replaces the files for new connections and leaves running ones alone.
public final class TLSContext: Sendable {
    public let configuration: TLSConfiguration
    private let current: Monitor<Loaded>

    /// One load of the files. Connections hold on to the load that they began with.
    final class Loaded: @unchecked Sendable {
        // Safe: an SSL_CTX is thread-safe once set up.
        let context: OpaquePointer
        let preSharedKeys: PreSharedKeys?

        init(context: OpaquePointer, preSharedKeys: PreSharedKeys?) {
            self.context = context
            self.preSharedKeys = preSharedKeys
        }

        deinit { SSL_CTX_free(context) }
    }

    /// Loads every file that `configuration` names.
    public init(_ configuration: TLSConfiguration) throws(TLSError) {
        self.configuration = configuration
        current = Monitor(try Self.load(configuration))
    }

    /// Loads the files again; on failure the old ones stay in use.
    public func reload() throws(TLSError) {
        let fresh = try Self.load(configuration)
        current.withLock { $0 = fresh }
    }

    var loaded: Loaded { current.withLock { $0 } }

    // MARK: - Loading

    private static let cipherList =
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
        + "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
    private static let preSharedCipherList =
        "ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES128-GCM-SHA256:PSK-AES128-GCM-SHA256:PSK-AES256-GCM-SHA384"
    private static let cipherSuites =
        "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
    /// A pre-shared key from a callback is bound to SHA-256.
    private static let preSharedCipherSuites = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"

    private static func load(_ configuration: TLSConfiguration) throws(TLSError) -> Loaded {
        OpenSSLErrors.clear()
        let method = configuration.role == .client ? TLS_client_method() : TLS_server_method()
        guard let context = SSL_CTX_new(method) else { throw TLSError(OpenSSLErrors.takeReason()) }
        var keys: PreSharedKeys?
        do throws(TLSError) {
            if let file = configuration.preSharedKeyFile {
                keys = try PreSharedKeys(try contents(of: file, what: "pre-shared key file"))
            }
            try apply(configuration, hasKeys: keys != nil, to: context)
        } catch {
            OpenSSLErrors.clear()
            SSL_CTX_free(context)
            throw error
        }
        OpenSSLErrors.clear()
        return Loaded(context: context, preSharedKeys: keys)
    }

    private static func apply(
        _ configuration: TLSConfiguration, hasKeys: Bool, to context: OpaquePointer
    ) throws(TLSError) {
        guard configuration.minimumVersion <= configuration.maximumVersion,
            dray_SSL_CTX_set_min_proto_version(context, configuration.minimumVersion.rawValue) == 1,
            dray_SSL_CTX_set_max_proto_version(context, configuration.maximumVersion.rawValue) == 1
        else { throw TLSError("no protocol version is left") }
        let options =
            SSL_OP_NO_RENEGOTIATION_ | SSL_OP_NO_COMPRESSION_ | SSL_OP_CIPHER_SERVER_PREFERENCE_ | SSL_OP_NO_TICKET_
        SSL_CTX_set_options(context, options)
        SSL_CTX_set_num_tickets(context, 0)
        _ = dray_SSL_CTX_set_session_cache_mode(context, 0)
        _ = dray_SSL_CTX_set_mode(context, 1 | 2)  // partial writes; a moved buffer may be retried
        SSL_CTX_set_default_passwd_cb(context) { _, _, _, _ in 0 }  // never ask on the terminal

        let list =
            configuration.cipherList ?? Bytes(text: hasKeys ? "\(preSharedCipherList):\(cipherList)" : cipherList)
        guard list.withCString({ SSL_CTX_set_cipher_list(context, $0) }) == 1 else {
            throw TLSError("no usable cipher in \(list.displayText)")
        }
        let suites = configuration.cipherSuites ?? Bytes(text: hasKeys ? preSharedCipherSuites : cipherSuites)
        guard suites.withCString({ SSL_CTX_set_ciphersuites(context, $0) }) == 1 else {
            throw TLSError("no usable cipher suite in \(suites.displayText)")
        }
        try loadIdentity(configuration, hasKeys: hasKeys, into: context)
        try loadTrust(configuration, into: context)
        if hasKeys {
            if configuration.role == .client {
                SSL_CTX_set_psk_client_callback(context, offerPreSharedKey)
            } else {
                SSL_CTX_set_psk_server_callback(context, findPreSharedKey)
            }
        }
    }

    private static func loadIdentity(
        _ configuration: TLSConfiguration, hasKeys: Bool, into context: OpaquePointer
    ) throws(TLSError) {
        guard let file = configuration.certificateFile else {
            if configuration.keyFile != nil { throw TLSError("a key file needs a certificate file") }
            if configuration.role == .server, !hasKeys {
                throw TLSError("a server needs a certificate file or a pre-shared key file")
            }
            return
        }
        _ = try contents(of: file, what: "certificate file")
        guard file.withCString({ SSL_CTX_use_certificate_chain_file(context, $0) }) == 1 else {
            throw TLSError("cannot use certificate file \(file.displayText): \(OpenSSLErrors.takeReason())")
        }
        let keyFile = configuration.keyFile ?? file
        _ = try contents(of: keyFile, what: "key file")
        guard keyFile.withCString({ SSL_CTX_use_PrivateKey_file(context, $0, SSL_FILETYPE_PEM) }) == 1 else {
            let reason = OpenSSLErrors.takeReason()
            if reason == "key values mismatch" { throw mismatch(keyFile, file) }
            throw TLSError("cannot use key file \(keyFile.displayText): \(reason)")
        }
        guard SSL_CTX_check_private_key(context) == 1 else { throw mismatch(keyFile, file) }
    }

    private static func mismatch(_ key: Bytes, _ certificate: Bytes) -> TLSError {
        TLSError("key file \(key.displayText) does not belong to certificate file \(certificate.displayText)")
    }

    private static func loadTrust(_ configuration: TLSConfiguration, into context: OpaquePointer) throws(TLSError) {
        let verifies = configuration.peerVerification != .none && !configuration.trustsPinOnly
        guard verifies else {
            SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nil)
            return
        }
        switch configuration.trust {
        case .system: SSL_CTX_set_default_verify_paths(context)
        case .file(let file):
            _ = try contents(of: file, what: "CA file")
            guard file.withCString({ SSL_CTX_load_verify_file(context, $0) }) == 1 else {
                throw TLSError("cannot use CA file \(file.displayText): \(OpenSSLErrors.takeReason())")
            }
            if configuration.role == .server {
                // Tells clients which certificate to choose.
                file.withCString { SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file($0)) }
            }
        case .directory(let directory):
            guard directory.withCString({ access($0, R_OK | X_OK) }) == 0 else {
                throw TLSError("cannot read CA directory \(directory.displayText): \(errorText(errno))")
            }
            _ = directory.withCString { SSL_CTX_load_verify_dir(context, $0) }
        }
        let mode =
            configuration.role == .server && configuration.peerVerification == .required
            ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_PEER
        SSL_CTX_set_verify(context, mode, nil)
    }

    /// Reads a small file whole.
    private static func contents(of path: Bytes, what: String) throws(TLSError) -> Bytes {
        let descriptor = path.withCString { dray_open($0, O_RDONLY | O_CLOEXEC, 0) }
        guard descriptor >= 0 else {
            throw TLSError("cannot read \(what) \(path.displayText): \(errorText(errno))")
        }
        defer { close(descriptor) }
        var text: Bytes = []
        var buffer = Bytes(repeating: 0, count: 16384)
        while text.count < 16 << 20 {
            let count = retrying { read(descriptor, &buffer, buffer.count) }
            if count < 0 { throw TLSError("cannot read \(what) \(path.displayText): \(errorText(errno))") }
            if count == 0 { break }
            text += buffer[..<count]
        }
        return text
    }
}

// Option bits that are macros with casts in C.
private let SSL_OP_NO_TICKET_: UInt64 = 1 << 14
private let SSL_OP_NO_COMPRESSION_: UInt64 = 1 << 17
private let SSL_OP_CIPHER_SERVER_PREFERENCE_: UInt64 = 1 << 22
private let SSL_OP_NO_RENEGOTIATION_: UInt64 = 1 << 30

// MARK: - Pre-shared key callbacks

/// Index 0 of a connection's extra data holds the keys for the callbacks (unretained; the channel keeps them alive).
final class PreSharedKeyBox {
    let keys: PreSharedKeys
    /// The identity that was used, once known.
    var identity: Bytes?
    init(_ keys: PreSharedKeys) { self.keys = keys }

    static func of(_ connection: OpaquePointer?) -> PreSharedKeyBox? {
        SSL_get_ex_data(connection, 0).map { Unmanaged<PreSharedKeyBox>.fromOpaque($0).takeUnretainedValue() }
    }
}

private func offerPreSharedKey(
    _ connection: OpaquePointer?, _ hint: UnsafePointer<CChar>?, _ identity: UnsafeMutablePointer<CChar>?,
    _ identityCapacity: UInt32, _ key: UnsafeMutablePointer<UInt8>?, _ keyCapacity: UInt32
) -> UInt32 {
    guard let box = PreSharedKeyBox.of(connection), let entry = box.keys.entries.first, let identity, let key,
        entry.identity.count < identityCapacity, entry.key.count <= keyCapacity
    else { return 0 }
    for (index, byte) in entry.identity.enumerated() { identity[index] = CChar(bitPattern: byte) }
    identity[entry.identity.count] = 0
    for (index, byte) in entry.key.enumerated() { key[index] = byte }
    box.identity = entry.identity
    return UInt32(entry.key.count)
}

private func findPreSharedKey(
    _ connection: OpaquePointer?, _ identity: UnsafePointer<CChar>?, _ key: UnsafeMutablePointer<UInt8>?,
    _ capacity: UInt32
) -> UInt32 {
    guard let box = PreSharedKeyBox.of(connection), let identity, let key else { return 0 }
    let name = Bytes(UnsafeRawBufferPointer(start: identity, count: strlen(identity)))
    guard let secret = box.keys.key(of: name), secret.count <= capacity else { return 0 }
    for (index, byte) in secret.enumerated() { key[index] = byte }
    box.identity = name
    return UInt32(secret.count)
}
