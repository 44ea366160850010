// Dray — TLS failures as one line with a cause.
// Layer: Transport. Behaviour: chapter 10 §12 item 4.
// SPDX-License-Identifier: Apache-2.0

import COpenSSL
import DrayCore

/// A failure of TLS or of its files; `reason` is one line without prefix.
public struct TLSError: Error, Equatable, Sendable, CustomStringConvertible {
    public var reason: String

    public init(_ reason: String) { self.reason = reason }

    /// `TLS: reason`.
    public var description: String { "TLS: \(reason)" }

    /// The failure of a transfer whose connection could not be made secure: exit 10.
    public var transferFailure: TransferFailure {
        var failure = TransferFailure(.socketIO, description)
        failure.isPermanent = reason.hasPrefix("certificate")
        return failure
    }
}

extension TransferFailure {
    /// The failure for a channel error while a connection is being made: exit 10 with a `TLS:` or system text.
    public init(connecting error: ChannelError) {
        self.init(.socketIO, lines: [error.displayText])
    }
}

/// OpenSSL's per-thread error queue.
enum OpenSSLErrors {
    /// Alerts that a peer sent have reasons from here on (SSL_AD_REASON_OFFSET).
    private static let alertOffset: Int32 = 1000

    static func clear() { ERR_clear_error() }

    /// Empties the queue and gives the most telling entry: the first one.
    static func takeReason() -> String {
        let code = ERR_get_error()
        defer { ERR_clear_error() }
        guard code != 0 else { return "unknown error" }
        let reason = dray_ERR_GET_REASON(code)
        if dray_ERR_GET_LIB(code) == ERR_LIB_SSL, reason > alertOffset, reason < alertOffset + 256 {
            // OpenSSL's own table has no words for the alert of TLS 1.3 that matters most.
            let alert =
                reason - alertOffset == SSL_AD_CERTIFICATE_REQUIRED
                ? "certificate required" : String(cString: SSL_alert_desc_string_long(reason - alertOffset))
            return "the peer refused the connection: alert \(alert)"
        }
        guard let text = ERR_reason_error_string(code) else { return "error \(code)" }
        let words = String(cString: text)
        switch words {
        case "wrong version number", "http request", "https proxy request", "packet length too long",
            "record layer failure":
            return "\(words) (the peer does not speak TLS here)"
        default: return words
        }
    }
}
