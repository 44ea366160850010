// Dray — TLS over any byte channel.
// Layer: Transport. Behaviour: chapter 10 §7, §10.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import COpenSSL
import DrayCore
import Glibc

/// A TLS connection over another channel. One thread may read while another writes: OpenSSL runs under a lock, the
/// transport outside of it.
public final class TLSChannel: ByteChannel, @unchecked Sendable {
    /// Everything OpenSSL touches.
    private struct Connection {
        let ssl: OpaquePointer
        let buffers: UnsafeMutablePointer<TLSBuffers>
        var cancelled = false
        var endExpected = false
        var closed = false
        var failure: String?
    }

    /// Plaintext of one record, and the most that is encrypted before the transport gets it.
    private static let recordLength = 16 * 1024
    private static let batchLength = 256 * 1024
    private static let outputCapacity = batchLength + 32 * 1024

    public let transport: any ByteChannel
    // Safe: kept for the life of `ssl`; OpenSSL refers to both.
    private let loaded: TLSContext.Loaded
    private let keys: PreSharedKeyBox?
    private let connection: Monitor<Connection>
    /// Held while produced records go to the transport, so that they go in order. The buffer swaps with the output.
    private let sending: Monitor<(memory: UnsafeMutableRawPointer, capacity: Int)>
    /// True while someone receives: the reading thread, or a failed writer that looks for the peer's reason.
    private let receiving = Monitor(false)
    /// Plaintext waiting to fill a record; the writing thread's own.
    private let staging = UnsafeMutableRawPointer.allocate(byteCount: recordLength, alignment: 64)
    private let serverName: String?
    /// What the handshake agreed on.
    public private(set) var session: TLSSessionInfo!

    // MARK: - Set-up

    /// Performs the handshake as the context's role.
    ///
    /// - Parameters:
    ///   - transport: a connected channel; cancelled if the handshake fails.
    ///   - hostName: clients: name or numeric address that the certificate must be valid for, and SNI.
    /// - Throws: one line with the cause; also when `handshakeTimeoutMilliseconds` are over.
    public init(_ context: TLSContext, over transport: any ByteChannel, hostName: Bytes? = nil) throws(TLSError) {
        let configuration = context.configuration
        self.transport = transport
        loaded = context.loaded
        keys = loaded.preSharedKeys.map { PreSharedKeyBox($0) }
        serverName = hostName?.displayText
        OpenSSLErrors.clear()
        // Memory exhaustion is the only reason for nil here.
        let ssl = SSL_new(loaded.context)!
        let bio = BIO_new(TLSBufferMethod.method)!
        let buffers = UnsafeMutablePointer<TLSBuffers>.allocate(capacity: 1)
        buffers.initialize(to: TLSBuffers(outputCapacity: Self.outputCapacity))
        BIO_set_data(bio, buffers)
        SSL_set_bio(ssl, bio, bio)
        connection = Monitor(Connection(ssl: ssl, buffers: buffers))
        sending = Monitor((.allocate(byteCount: Self.outputCapacity, alignment: 4096), Self.outputCapacity))
        if let keys { SSL_set_ex_data(ssl, 0, Unmanaged.passUnretained(keys).toOpaque()) }
        do throws(TLSError) {
            if configuration.role == .client {
                try Self.prepareClient(ssl, configuration, hostName)
                SSL_set_connect_state(ssl)
            } else {
                SSL_set_accept_state(ssl)
            }
            try handshake(Deadline(milliseconds: configuration.handshakeTimeoutMilliseconds))
            session = TLSSessionInfo(ssl)
            if let keys, session.peerSubject == nil { session.preSharedKeyIdentity = keys.identity }
            try checkPin(configuration)
        } catch {
            transport.cancel()
            throw error
        }
    }

    deinit {
        connection.withLock { connection in
            SSL_free(connection.ssl)
            connection.buffers.pointee.deallocate()
            connection.buffers.deallocate()
        }
        sending.withLock { $0.memory.deallocate() }
        staging.deallocate()
    }

    private static func prepareClient(
        _ ssl: OpaquePointer, _ configuration: TLSConfiguration, _ hostName: Bytes?
    ) throws(TLSError) {
        var name = hostName ?? []
        if name.last == UInt8(ascii: "."), name.count > 1 { name.removeLast() }
        let isAddress = isNumericAddress(name)
        let indication = configuration.serverNameIndication ?? (isAddress ? [] : name)
        if !indication.isEmpty { _ = indication.withCString { dray_SSL_set_tlsext_host_name(ssl, $0) } }
        let checks = configuration.checksHostName && configuration.peerVerification != .none
        guard checks, !configuration.trustsPinOnly else { return }
        guard !name.isEmpty else { throw TLSError("no host name to check the certificate against") }
        let parameters = SSL_get0_param(ssl)
        X509_VERIFY_PARAM_set_hostflags(parameters, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
        let done =
            isAddress
            ? name.withCString { X509_VERIFY_PARAM_set1_ip_asc(parameters, $0) }
            : name.withCString { X509_VERIFY_PARAM_set1_host(parameters, $0, name.count) }
        guard done == 1 else { throw TLSError("cannot check certificates against the name \(name.displayText)") }
    }

    private static func isNumericAddress(_ name: Bytes) -> Bool {
        var four = in_addr()
        var six = in6_addr()
        return name.withCString { inet_pton(AF_INET, $0, &four) == 1 || inet_pton(AF_INET6, $0, &six) == 1 }
    }

    private func checkPin(_ configuration: TLSConfiguration) throws(TLSError) {
        guard let pin = configuration.publicKeyPin else { return }
        guard session.peerPublicKeyHash == pin else {
            throw TLSError("certificate verify failed: the public key of the peer is not the pinned one")
        }
    }

    // MARK: - Handshake

    private func handshake(_ deadline: Deadline) throws(TLSError) {
        while true {
            let outcome: Result<Bool, TLSError> = connection.withLock { connection in
                OpenSSLErrors.clear()
                let status = SSL_do_handshake(connection.ssl)
                if status == 1 { return .success(true) }
                let error = SSL_get_error(connection.ssl, status)
                if error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE { return .success(false) }
                return .failure(handshakeError(connection))
            }
            let flushed = Result { () throws(ChannelError) in try flush(deadline.remainingMilliseconds) }
            if case .failure(let error) = outcome { throw error }
            if case .failure(let error) = flushed { throw transportError(error) }
            if case .success(true) = outcome { return }
            do throws(ChannelError) {
                if try fill(deadline.remainingMilliseconds) { continue }
            } catch { throw transportError(error) }
            // At the end of the stream OpenSSL is asked once more, in case an alert stands at the end.
            if connection.withLock({ $0.buffers.pointee.inputEnd == $0.buffers.pointee.inputStart }) {
                throw TLSError("handshake failed: the peer closed the connection")
            }
        }
    }

    private func handshakeError(_ connection: Connection) -> TLSError {
        let verification = SSL_get_verify_result(connection.ssl)
        let reason = OpenSSLErrors.takeReason()
        guard reason == "certificate verify failed" else {
            return TLSError(reason.hasPrefix("the peer refused") ? reason : "handshake failed: \(reason)")
        }
        let code = Int32(truncatingIfNeeded: verification)
        if code == X509_V_ERR_HOSTNAME_MISMATCH || code == X509_V_ERR_IP_ADDRESS_MISMATCH {
            return TLSError("\(reason): hostname mismatch: certificate is not valid for \(serverName ?? "")")
        }
        return TLSError("\(reason): \(String(cString: X509_verify_cert_error_string(verification)))")
    }

    private func transportError(_ error: ChannelError) -> TLSError {
        switch error {
        case .timedOut: TLSError("handshake timed out")
        case .cancelled: TLSError("handshake cancelled")
        case .tls(let reason): TLSError(reason)
        case .system(_, let code): TLSError("handshake failed: \(errorText(code))")
        }
    }

    // MARK: - ByteChannel

    public var isSocket: Bool { transport.isSocket }

    public func read(into buffer: UnsafeMutableRawBufferPointer, timeoutMilliseconds: Int) throws(ChannelError) -> Int {
        guard let base = buffer.baseAddress, buffer.count > 0 else { return 0 }
        let deadline = Deadline(milliseconds: timeoutMilliseconds)
        receiving.wait { busy -> Void? in
            if busy { return nil }
            busy = true
            return ()
        }
        defer { receiving.notifying { $0 = false } }
        var transportEnded = false
        while true {
            // Records that reading produces (key updates, alerts) go out with the next write; waiting here for a
            // blocked writer would stop the reading that the peer needs to get on.
            let count = try connection.withLock { (connection) throws(ChannelError) -> Int? in
                try decrypt(&connection, base, buffer.count, transportEnded)
            }
            if let count { return count }
            do throws(ChannelError) {
                transportEnded = try !fill(deadline.remainingMilliseconds)
            } catch {
                if case .system = error, connection.withLock({ $0.endExpected }) { return 0 }
                throw error
            }
        }
    }

    /// Decrypts what has arrived; nil when more must arrive first.
    private func decrypt(
        _ connection: inout Connection, _ target: UnsafeMutableRawPointer, _ capacity: Int, _ transportEnded: Bool
    ) throws(ChannelError) -> Int? {
        if connection.cancelled { throw .cancelled }
        if let failure = connection.failure { throw .tls(reason: failure) }
        var total = 0
        while total < capacity {
            ERR_clear_error()
            let count = SSL_read(connection.ssl, target + total, Int32(clamping: capacity - total))
            if count > 0 {
                total += Int(count)
                continue
            }
            if total > 0 { return total }
            switch SSL_get_error(connection.ssl, count) {
            case SSL_ERROR_ZERO_RETURN: return 0
            case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE:
                if transportEnded { return try ended(connection) }
                return nil
            default:
                if connection.buffers.pointee.inputEnded,
                    connection.buffers.pointee.inputEnd == connection.buffers.pointee.inputStart
                {
                    ERR_clear_error()
                    return try ended(connection)
                }
                let reason = OpenSSLErrors.takeReason()
                connection.failure = reason
                throw .tls(reason: reason)
            }
        }
        return total
    }

    private func ended(_ connection: Connection) throws(ChannelError) -> Int {
        if connection.endExpected { return 0 }
        throw .tls(reason: "connection truncated: the peer closed it without close_notify")
    }

    public func write(_ buffers: [UnsafeRawBufferPointer], timeoutMilliseconds: Int) throws(ChannelError) {
        do throws(ChannelError) {
            var staged = 0
            for buffer in buffers {
                var offset = 0
                while offset < buffer.count {
                    let rest = buffer.count - offset
                    // Safe: `offset < buffer.count`, so there is a base address; all lengths stay inside the buffers.
                    let source = buffer.baseAddress! + offset
                    if staged == 0, rest >= Self.recordLength {
                        let whole = min(rest - rest % Self.recordLength, Self.batchLength)
                        try encrypt(source, whole, timeoutMilliseconds)
                        offset += whole
                        continue
                    }
                    let piece = min(rest, Self.recordLength - staged)
                    memcpy(staging + staged, source, piece)
                    staged += piece
                    offset += piece
                    if staged == Self.recordLength {
                        try encrypt(UnsafeRawPointer(staging), staged, timeoutMilliseconds)
                        staged = 0
                    }
                }
            }
            if staged > 0 { try encrypt(UnsafeRawPointer(staging), staged, timeoutMilliseconds) }
            try flush(timeoutMilliseconds)
        } catch {
            guard case .system = error, let reason = lateRefusal() else { throw error }
            throw .tls(reason: reason)
        }
    }

    /// Encrypts `count` bytes into the output, sending first what would not fit beside them.
    private func encrypt(_ source: UnsafeRawPointer, _ count: Int, _ timeoutMilliseconds: Int) throws(ChannelError) {
        if connection.withLock({ $0.buffers.pointee.outputCount + count > Self.batchLength }) {
            try flush(timeoutMilliseconds)
        }
        try connection.withLock { (connection) throws(ChannelError) in
            if connection.cancelled { throw .cancelled }
            if let failure = connection.failure { throw .tls(reason: failure) }
            if connection.closed { throw .system(call: "write", code: EPIPE) }
            var done = 0
            while done < count {
                ERR_clear_error()
                let written = SSL_write(connection.ssl, source + done, Int32(count - done))
                guard written > 0 else {
                    let reason = OpenSSLErrors.takeReason()
                    connection.failure = reason
                    throw .tls(reason: reason)
                }
                done += Int(written)
            }
        }
    }

    public func closeWriting() {
        connection.withLock { connection in
            if connection.closed || connection.cancelled || connection.failure != nil { return }
            connection.closed = true
            ERR_clear_error()
            SSL_shutdown(connection.ssl)
            ERR_clear_error()
        }
        try? flush(10_000)
    }

    public func cancel() {
        // The transport first: it ends calls that may be running under no lock of ours.
        transport.cancel()
        connection.withLock { $0.cancelled = true }
    }

    /// Declares that the protocol above has said its goodbye: an end without close_notify is then no truncation.
    public func expectEnd() { connection.withLock { $0.endExpected = true } }

    // MARK: - Transport

    /// Receives more records; false at the end of the stream. Called by the reading thread only.
    private func fill(_ timeoutMilliseconds: Int) throws(ChannelError) -> Bool {
        let (target, room) = connection.withLock { connection -> (UnsafeMutableRawPointer, Int) in
            let buffers = connection.buffers
            let rest = buffers.pointee.inputEnd - buffers.pointee.inputStart
            if rest == 0 {
                buffers.pointee.inputEnd = 0
            } else if buffers.pointee.inputStart > 0 {
                memmove(buffers.pointee.input, buffers.pointee.input + buffers.pointee.inputStart, rest)
                buffers.pointee.inputEnd = rest
            }
            buffers.pointee.inputStart = 0
            return (
                buffers.pointee.input + buffers.pointee.inputEnd, TLSBuffers.inputCapacity - buffers.pointee.inputEnd
            )
        }
        // Safe: OpenSSL takes whole records when it can, so there is always room for the rest of one.
        let count = try transport.read(
            into: UnsafeMutableRawBufferPointer(start: target, count: room), timeoutMilliseconds: timeoutMilliseconds)
        connection.withLock { connection in
            connection.buffers.pointee.inputEnd += count
            if count == 0 { connection.buffers.pointee.inputEnded = true }
        }
        return count > 0
    }

    /// Hands produced records to the transport, in order.
    private func flush(_ timeoutMilliseconds: Int) throws(ChannelError) {
        try sending.withLock { (spare) throws(ChannelError) in
            let (records, count) = connection.withLock { connection -> (UnsafeMutableRawPointer, Int) in
                let buffers = connection.buffers
                let count = buffers.pointee.outputCount
                // A swap, not a copy: OpenSSL goes on into the spare one while these are sent.
                if count == 0 { return (spare.memory, 0) }
                let records = (buffers.pointee.output, buffers.pointee.outputCapacity)
                (buffers.pointee.output, buffers.pointee.outputCapacity) = spare
                buffers.pointee.outputCount = 0
                spare = records
                return (records.0, count)
            }
            if count == 0 { return }
            try transport.write(
                [UnsafeRawBufferPointer(start: records, count: count)], timeoutMilliseconds: timeoutMilliseconds)
        }
    }

    /// After a broken write: the alert that the peer may have sent before it closed.
    private func lateRefusal() -> String? {
        if let failure = connection.withLock({ $0.failure }) { return failure }
        let mayReceive = receiving.withLock { busy -> Bool in
            if busy { return false }
            busy = true
            return true
        }
        guard mayReceive else { return nil }
        defer { receiving.notifying { $0 = false } }
        while true {
            let isOver = connection.withLock { connection -> Bool in
                ERR_clear_error()
                var byte: UInt8 = 0
                // Peeking leaves data for the reader but handles an alert in front of it.
                let count = SSL_peek(connection.ssl, &byte, 1)
                let error = SSL_get_error(connection.ssl, count)
                if count > 0 || error != SSL_ERROR_SSL { return count > 0 || error != SSL_ERROR_WANT_READ }
                if !connection.buffers.pointee.inputEnded { connection.failure = OpenSSLErrors.takeReason() }
                return true
            }
            if isOver { break }
            guard (try? fill(100)) == true else { break }
        }
        return connection.withLock { $0.failure }
    }
}
