// Dray — which algorithms a session uses.
// Layer: Engine. Behaviour: chapter 01 §5.4.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayWire

extension Session {
    func chooseAlgorithms() throws(TransferFailure) {
        let fallback: ChecksumAlgorithm = protocolVersion >= 30 ? .md5 : .md4Old
        transferChecksum = fallback
        fileChecksum = protocolVersion >= 30 ? .md5 : .md4
        if let choice = options.checksumChoice {
            let names = choice.split(separator: UInt8(ascii: ","), maxSplits: 1).map {
                String(decoding: $0, as: UTF8.self)
            }
            transferChecksum = try forced(names[0], fallback)
            fileChecksum = try forced(names.count > 1 ? names[1] : names[0], fallback == .md4Old ? .md4 : fallback)
            if options.checksum && fileChecksum == .none {
                throw fail(.unsupported, "Invalid checksum-choice for --checksum: none (0)")
            }
            if transferChecksum == .none { options.wholeFile = true }
            if options.amServer { try writer.flush() }
            return
        }
        guard flags.contains(.varintFlistFlags) else {
            if options.amServer { try writer.flush() }
            return
        }
        let own = AlgorithmNegotiation.list(
            AlgorithmNegotiation.checksums, environment: environment.checksumList, amServer: options.amServer)
        try writer.vstring(Bytes(text: own.joined(separator: " ")))
        try writer.flush()
        let peer: Bytes
        do throws(TransferFailure) {
            peer = try reader.vstring(bufferSize: Limits.negotiationString + 1)
        } catch {
            // An over-long list ends the negotiation, not the protocol.
            if error.code != .protocolIncompatible { throw error }
            throw TransferFailure(.unsupported, lines: error.lines)
        }
        guard let name = AlgorithmNegotiation.winner(own: own, peer: peer, amServer: options.amServer),
            let algorithm = ChecksumAlgorithm(name: Bytes(text: name))
        else { throw AlgorithmNegotiation.failure(kind: "checksum", own: own, peer: peer, amServer: options.amServer) }
        transferChecksum = algorithm
        fileChecksum = algorithm
        if transferChecksum == .none { options.wholeFile = true }
    }

    func forced(_ name: String, _ automatic: ChecksumAlgorithm) throws(TransferFailure) -> ChecksumAlgorithm {
        if name.lowercased() == "auto" { return automatic }
        guard let algorithm = ChecksumAlgorithm(name: Bytes(text: name)),
            AlgorithmNegotiation.checksums.contains(algorithm.name.description)
        else { throw fail(.unsupported, "unknown checksum name: \(name)") }
        return algorithm
    }
}
