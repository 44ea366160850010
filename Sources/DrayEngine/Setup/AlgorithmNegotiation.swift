// Dray — choice of checksum and compressor between two peers.
// Layer: Engine. Wire format: chapter 01 §5.4.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayWire

/// Name lists and their winner.
enum AlgorithmNegotiation {
    /// Checksums in rsync's order, strongest first.
    static let checksums = ["xxh128", "xxh3", "xxh64", "md5", "md4", "sha1", "none"]

    /// What one side offers.
    struct List {
        /// `checksum` or `compress`.
        let kind: String
        var names: [String]
        /// The names as the environment spells them.
        var spelled: [String]?
        /// The environment has set it.
        var isSet = false

        var text: Bytes { Bytes(text: (spelled ?? names).joined(separator: " ")) }
    }

    /// Our list: the environment's (its client or server part) or the default; `none` is offered by servers only.
    static func list(_ kind: String, _ defaults: [String], environment: Bytes?, amServer: Bool) -> List {
        if let environment {
            let parts = environment.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: false)
            let part = amServer && parts.count > 1 ? parts[1] : parts[0]
            let words = Bytes(part).fields { $0.isASCIISpace }
            if !words.isEmpty {
                var list: [String] = []
                var spelled: [String] = []
                for word in words {
                    let lower = String(decoding: word.map(\.asciiLowercased), as: UTF8.self)
                    let name = lower == "xxhash" ? "xxh64" : lower
                    if defaults.contains(name) && !list.contains(name) {
                        list.append(name)
                        spelled.append(name == lower ? String(decoding: word, as: UTF8.self) : name)
                    }
                }
                if list.isEmpty { return List(kind: kind, names: ["INVALID"], isSet: true) }
                return List(kind: kind, names: list, spelled: spelled, isSet: true)
            }
        }
        return List(kind: kind, names: amServer ? defaults : defaults.filter { $0 != "none" })
    }

    /// The winner. A server takes the first name of the client's list that it accepts, a client its own first name that
    /// the server offers: this agrees with every peer (rsync 3.5.0 servers differ only for reordered client lists).
    static func winner(own: [String], peer: Bytes, amServer: Bool) -> String? {
        // Two lists without a known name have nothing in common.
        let peerNames = peer.fields { $0.isASCIISpace }
            .map { String(decoding: $0.map(\.asciiLowercased), as: UTF8.self) }
            .filter { $0 != "invalid" }
        return amServer ? peerNames.first { own.contains($0) } : own.first { peerNames.contains($0) }
    }

    static func failure(_ own: List, peer: Bytes, amServer: Bool, isSilent: Bool) -> TransferFailure {
        // A peer that negotiates comes to the same end and says so.
        if amServer && isSilent { return TransferFailure(.unsupported) }
        let peerName = amServer ? "Client" : "Server"
        let ownName = amServer ? "Server" : "Client"
        return TransferFailure(
            .unsupported,
            lines: [
                Bytes(text: "Failed to negotiate a \(own.kind) choice."), Bytes(text: "\(peerName) list: ") + peer,
                Bytes(text: "\(ownName) list: ") + own.text,
            ])
    }
}
