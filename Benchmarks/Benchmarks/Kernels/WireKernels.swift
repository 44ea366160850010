// Dray — kernels of the wire: tokens, entries of the file list, names against patterns, TLS records.
// SPDX-License-Identifier: Apache-2.0

import Benchmark
import DrayCore
import DrayFilters
import DrayTransport
import DrayWire

/// One file of 1 MiB, written to nobody and read from memory. Methods that the build lacks are left out.
func tokenKernels() {
    let text = wordyBytes(1 << 20)
    for name in ["none", "zlibx", "zstd", "lz4"] {
        guard let method = CompressionMethod(name: Bytes(text: name)) else { continue }
        let compression = Compression(method, level: method.level(wanted: nil) ?? 0)
        func write(_ channel: any ByteChannel) {
            let writer = WireWriter(channel: channel, role: .sender)
            let tokens = TokenWriter(writer, compression)
            try? tokens.begin(blockLength: 0, length: Int64(text.count), lastBlockLength: 0)
            text.withUnsafeBytes { try? tokens.literals($0) }
            try? tokens.end()
            try? writer.flush()
        }
        Benchmark("tokens \(name), 1 MiB written") { _ in write(NullChannel()) }
        let kept = CollectingChannel()
        write(kept)
        Benchmark("tokens \(name), 1 MiB read") { _ in
            let reader = WireReader(channel: RepeatingChannel(kept.bytes), role: .receiver)
            let tokens = TokenReader(reader, method)
            var count = 0
            try? tokens.begin()
            reading: while let token = try? tokens.next() {
                switch token {
                case .literal(let bytes): count += bytes.count
                case .block: continue
                case .end: break reading
                }
            }
            precondition(count == text.count, "the stream of \(name) is not what was written")
            blackHole(count)
        }
    }
}

/// A list of 10 000 files in one directory, as an incremental list of protocol 32; and names against patterns.
func listKernels() {
    let count = 10_000
    var options = TransferOptions()
    options.recursive = true
    options.owner = true
    options.group = true
    options.links = true
    let format = FileListFormat(
        options: options, protocolVersion: 32, flags: CompatibilityFlags(rawValue: 0x1FF), checksumLength: 16)
    let names = (0..<count).map { Bytes(text: "document-\($0 * 7919 % count).txt") }
    func segment() -> FileSegment {
        FileSegment(paths: PathTable(), attributes: AttributeTable(), ndxStart: 1, use: .segment)
    }
    func encode(_ channel: any ByteChannel) {
        let writer = WireWriter(channel: channel, role: .sender)
        let encoder = FileEntryEncoder(
            writer: writer, format: format, userName: { _ in nil }, groupName: { _ in nil })
        let list = segment()
        for (number, name) in names.enumerated() {
            let source = SourceEntry(
                mode: 0o100644, length: Int64(number) * 331, mtime: 1_700_000_000 + Int64(number % 5),
                nanoseconds: UInt32(number % 3), uid: 1000, gid: 1000)
            _ = name.withUnsafeBytes {
                try? encoder.encode(
                    source, directory: 0, name: $0, linkTarget: [], flags: [], checksum: [], into: list)
            }
        }
        try? encoder.end(ioError: 0)
        try? writer.flush()
    }
    Benchmark("file list, \(count) entries encoded") { _ in encode(NullChannel()) }
    let kept = CollectingChannel()
    encode(kept)
    Benchmark("file list, \(count) entries decoded and sorted") { _ in
        let decoder = FileEntryDecoder(
            reader: WireReader(channel: RepeatingChannel(kept.bytes), role: .receiver), format: format)
        let list = segment()
        while let step = try? decoder.next(into: list), case .entry = step {}
        precondition(list.count == count, "the list is not what was written")
        list.sort(protocolVersion: 32)
        blackHole(list.count)
    }
    for pattern in ["*.txt", "document-*[0-5].t?t", "**/document-99*"] {
        let bytes = Bytes(text: pattern)
        Benchmark("\(count) names against \(pattern)") { _ in
            var matches = 0
            for name in names where WildcardMatcher.matches(bytes, name) { matches += 1 }
            blackHole(matches)
        }
    }
}

/// 16 MiB over TLS 1.3 between two ends in one process.
func recordKernels() {
    guard let context = try? TLSPair() else { return }
    let piece = randomBytes(256 * 1024, seed: 3)
    Benchmark("TLS, 16 MiB from end to end") { _ in
        let sender = RoleThread {
            for _ in 0..<64 {
                piece.withUnsafeBytes { try? context.client.write([$0], timeoutMilliseconds: -1) }
            }
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * 1024, alignment: 4096)
        defer { buffer.deallocate() }
        var left = 16 << 20
        while left > 0, let count = try? context.server.read(into: buffer, timeoutMilliseconds: -1), count > 0 {
            left -= count
        }
        sender?.join()
        precondition(left == 0, "bytes were lost")
    }
}

/// Two ends of one TLS connection over memory.
private final class TLSPair: @unchecked Sendable {
    let client: TLSChannel
    let server: TLSChannel

    init() throws {
        let directory = "/tmp/dray-kernels-\(UInt64.random(in: 0 ... .max))"
        let authority = try CertificateAuthority.create(commonName: "Kernels", validDays: 2)
        let issued = try authority.issue(commonName: "s", dnsNames: ["localhost"], isServer: true)
        func save(_ name: String, _ contents: Bytes) throws -> Bytes {
            let path = Bytes(text: directory + name)
            try CertificateAuthority.writePrivate(contents, to: path)
            return path
        }
        var serverSide = TLSConfiguration(.server)
        serverSide.certificateFile = try save("-certificate.pem", issued.certificatePEM)
        serverSide.keyFile = try save("-key.pem", issued.keyPEM)
        var clientSide = TLSConfiguration(.client)
        clientSide.trust = .file(try save("-ca.pem", authority.pem))
        let (near, far) = MemoryChannel.pair()
        let accepting = try TLSContext(serverSide)
        let connecting = try TLSContext(clientSide)
        let accepted = Monitor<TLSChannel?>(nil)
        let thread = RoleThread {
            let channel = try? TLSChannel(accepting, over: far)
            accepted.withLock { $0 = channel }
        }
        client = try TLSChannel(connecting, over: near, hostName: Bytes("localhost"))
        thread?.join()
        guard let channel = accepted.withLock({ $0 }) else { throw TLSError("no server") }
        server = channel
    }
}
