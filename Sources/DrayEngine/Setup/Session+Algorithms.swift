// Dray — which checksums and which compressor a session uses.
// Layer: Engine. Behaviour: chapter 01 §5.3, §5.4.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayWire

extension Session {
    /// No differences are looked for.
    var transfersWhole: Bool { options.wholeFile ?? (options.isLocal && options.append == .off) }

    /// Chooses the algorithms; both lists are written before the peer's are read.
    func chooseAlgorithms() throws(TransferFailure) {
        let fallback: ChecksumAlgorithm = protocolVersion >= 30 ? .md5 : .md4Old
        transferChecksum = fallback
        fileChecksum = protocolVersion >= 30 ? .md5 : .md4
        let negotiatesChecksum = try !takeForcedChecksums(fallback)
        let negotiatesCompressor = try !takeForcedCompressor()
        let checksums = negotiatesChecksum ? ownChecksums : nil
        let compressors = negotiatesCompressor ? ownCompressors : nil
        if negotiatesStrings {
            if let checksums { try writer.vstring(checksums.text) }
            if let compressors { try writer.vstring(compressors.text) }
        }
        try writer.flush()
        for list in [checksums, compressors].compactMap(\.self) {
            tellDetails(
                "\(ownSide) \(list.kind) list (on \(ownSide.lowercased())): \(list.text.displayText)")
        }
        let checksum = try checksums.map { list throws(TransferFailure) in
            try winner(list, implied: protocolVersion >= 30 ? "md5" : "md4")
        }
        let compressor = try compressors.map { list throws(TransferFailure) in try winner(list, implied: "zlib") }
        let isNegotiated = negotiatesStrings ? "negotiated " : ""
        if let checksum {
            if negotiatesStrings, let algorithm = ChecksumAlgorithm(name: Bytes(text: checksum)) {
                transferChecksum = algorithm
                fileChecksum = algorithm
            }
            tell("\(ownSide) \(isNegotiated)checksum: \(checksum)")
        }
        if transferChecksum == .none { options.wholeFile = true }
        if let compressor, let method = CompressionMethod(name: Bytes(text: compressor)) {
            setCompression(method)
            if method != .none { tell("\(ownSide) \(isNegotiated)compress: \(described(compressor))") }
        } else if let choice = options.compressChoice, CompressionMethod(name: choice) != CompressionMethod.none {
            tell("\(ownSide) compress: \(described(choice.displayText))")
        }
    }

    /// The algorithms of a batch file: those that a writer of batches offers, unless the command says otherwise.
    func chooseRecordedAlgorithms() throws(TransferFailure) {
        let fallback: ChecksumAlgorithm = protocolVersion >= 30 ? .md5 : .md4Old
        transferChecksum = fallback
        fileChecksum = protocolVersion >= 30 ? .md5 : .md4
        _ = try takeForcedChecksums(fallback)
        guard options.compress else { return }
        if try !takeForcedCompressor() { setCompression(.zlib) }
    }

    // MARK: - Forced choices

    /// Applies `--checksum-choice`; false if there is none.
    private func takeForcedChecksums(_ fallback: ChecksumAlgorithm) throws(TransferFailure) -> Bool {
        guard let choice = options.checksumChoice else { return false }
        let names = choice.split(separator: UInt8(ascii: ","), maxSplits: 1).map {
            String(decoding: $0, as: UTF8.self)
        }
        let first = choice.first == UInt8(ascii: ",") ? "" : names[0]
        transferChecksum = try forced(first, fallback, shown: choice)
        let second = names.count > 1 ? names[1] : names[0]
        fileChecksum = try forced(second, fallback == .md4Old ? .md4 : fallback, shown: Bytes(text: second))
        tell("\(ownSide) checksum: \(choice.displayText)")
        return true
    }

    /// - Parameter shown: what an unknown name is complained of as: rsync shows the first with all that follows it.
    private func forced(
        _ name: String, _ automatic: ChecksumAlgorithm, shown: Bytes
    ) throws(TransferFailure) -> ChecksumAlgorithm {
        if name.lowercased() == "auto" { return automatic }
        guard let algorithm = ChecksumAlgorithm(name: Bytes(text: name)),
            AlgorithmNegotiation.checksums.contains(algorithm.name.description)
        else { throw fail(.unsupported, "unknown checksum name: \(shown.displayText)") }
        return algorithm
    }

    /// Applies `--compress-choice`; true also when nothing is to be compressed.
    private func takeForcedCompressor() throws(TransferFailure) -> Bool {
        guard let choice = options.compressChoice else { return !options.compress }
        guard let method = CompressionMethod(name: choice) else {
            throw TransferFailure(.unsupported, lines: [Bytes("unknown compress name: ") + choice])
        }
        setCompression(method)
        return true
    }

    /// A server whose list was set by its administrator accepts nothing else.
    func refuseForcedChoices() throws(TransferFailure) {
        guard options.amServer else { return }
        if let choice = options.checksumChoice {
            let own = ownChecksums
            let names = choice.split(separator: UInt8(ascii: ",")).compactMap { ChecksumAlgorithm(name: Bytes($0)) }
            if own.isSet && names.contains(where: { !own.names.contains($0.name.description) }) {
                throw refusal("checksum", choice)
            }
        }
        if let choice = options.compressChoice, let method = CompressionMethod(name: choice) {
            let own = ownCompressors
            if own.isSet && !own.names.contains(method.rawValue) { throw refusal("compress", choice) }
        }
    }

    private func refusal(_ option: String, _ typed: Bytes) -> TransferFailure {
        TransferFailure(
            .unsupported,
            lines: [Bytes(text: "Your --\(option)-choice value (") + typed + Bytes(") was refused by the server.")],
            role: .server)
    }

    private func setCompression(_ method: CompressionMethod) {
        let level = method.level(wanted: options.compressLevel)
        compression = Compression(level == nil ? .none : method, level: level ?? 0, threads: options.compressThreads)
    }

    /// What this side compresses with: a daemon may be told to spend no effort on it.
    var outgoingCompression: Compression {
        var outgoing = compression
        outgoing.compressesMatches = options.writesBatch
        if options.compressesLeast { outgoing.level = outgoing.method.leastLevel }
        return outgoing
    }

    // MARK: - Lists

    private var ownChecksums: AlgorithmNegotiation.List {
        if options.writesBatch {
            return AlgorithmNegotiation.List(kind: "checksum", names: [protocolVersion >= 30 ? "md5" : "md4"])
        }
        return AlgorithmNegotiation.list(
            "checksum", AlgorithmNegotiation.checksums, environment: environment.checksumList,
            amServer: options.amServer)
    }

    private var ownCompressors: AlgorithmNegotiation.List {
        if options.writesBatch { return AlgorithmNegotiation.List(kind: "compress", names: ["zlib"]) }
        return AlgorithmNegotiation.list(
            "compress", CompressionMethod.available.map(\.rawValue), environment: environment.compressList,
            amServer: options.amServer)
    }

    /// Reads the peer's list and picks; a peer that sends none has `implied`, which our own list may still rule out.
    private func winner(
        _ own: AlgorithmNegotiation.List, implied: String
    ) throws(TransferFailure) -> String {
        var peer = Bytes(text: implied)
        if negotiatesStrings {
            do throws(TransferFailure) {
                peer = try reader.vstring(bufferSize: Limits.negotiationString + 1)
            } catch {
                // An over-long list ends the negotiation, not the protocol.
                if error.code != .protocolIncompatible { throw error }
                let outcome = AlgorithmNegotiation.failure(own, peer: [], amServer: options.amServer, isSilent: true)
                throw TransferFailure(.unsupported, lines: error.lines + outcome.lines)
            }
        }
        tellDetails("\(peerSide) \(own.kind) list (on \(ownSide.lowercased())): \(peer.displayText)")
        guard let name = AlgorithmNegotiation.winner(own: own.names, peer: peer, amServer: options.amServer) else {
            throw AlgorithmNegotiation.failure(
                own, peer: peer, amServer: options.amServer, isSilent: negotiatesStrings)
        }
        return name
    }

    // MARK: - --debug=nstr

    private func described(_ name: String) -> String {
        compression.method == .none ? "none (level 0)" : "\(name) (level \(compression.level))"
    }

    private var ownSide: String { options.amServer ? "Server" : "Client" }
    private var peerSide: String { options.amServer ? "Client" : "Server" }

    private func tell(_ line: String) {
        guard options.debug[.nstr] >= (options.amServer ? 3 : 1) else { return }
        // A server's connection is no place for messages yet.
        options.amServer ? reporter.warning(Bytes(text: line)) : reporter.info(line)
    }

    private func tellDetails(_ line: String) {
        guard options.debug[.nstr] >= (options.amServer ? 3 : 2) else { return }
        options.amServer ? reporter.warning(Bytes(text: line)) : reporter.info(line)
    }
}
