import DrayCore
import DrayTestSupport
import Testing

@testable import DrayWire

/// Golden lists: chapter 02 §14.
@Suite struct FileListTests {
    private static let flags: CompatibilityFlags = CompatibilityFlags(rawValue: 0x1FF)

    private func format(incremental: Bool, hardLinks: Bool = false, version: Int32 = 32) -> FileListFormat {
        var options = TransferOptions()
        options.recursive = true
        options.owner = true
        options.group = true
        options.links = true
        options.devices = true
        options.specials = true
        options.hardLinks = hardLinks ? 1 : 0
        var flags = version >= 30 ? Self.flags : []
        if !incremental { flags.remove(.incrementalRecursion) }
        return FileListFormat(options: options, protocolVersion: version, flags: flags, checksumLength: 16)
    }

    private final class Lists {
        let paths = PathTable()
        let attributes = AttributeTable()
        func segment(_ start: Int32) -> FileSegment {
            FileSegment(paths: paths, attributes: attributes, ndxStart: start, use: .segment)
        }
    }

    /// §14.1: simple tree, protocol 32, incremental.
    private static let simple = hex(
        """
        8c 01 01 2e 00 00 10 65 26 7d 93 ed 41 00 00 00 04 "root" 00 04 "root"
        18 04 "link" 00 05 00 65 25 7d 93 ff a1 00 00 05 "a.txt"
        18 03 "sub" 00 00 10 65 26 7d 93 ed 41 00 00
        18 05 "a.txt" 00 06 00 65 25 7d 93 a4 81 00 00
        00 00
        """)
    private static let simpleSub = hex("a0 98 09 \"sub/b.bin\" 00 0a 00 f0 00 65 cd 1d 80 81 00 00 00 00")

    @Test(arguments: everyPieceSize)
    func decodesTheSimpleTree(piece: Int) throws {
        let reader = WireReader(
            channel: ScriptedChannel(Self.simple + hex("ff 65") + Self.simpleSub, pieceSize: piece), role: .receiver)
        let decoder = FileEntryDecoder(reader: reader, format: format(incremental: true))
        nonisolated(unsafe) var names: [Bytes?] = []
        decoder.mapUser = { id, name in
            names.append(name)
            return id + 7
        }
        let lists = Lists()
        let first = lists.segment(1)
        for number in 0..<4 { #expect(try decoder.next(into: first) == .entry(number)) }
        #expect(try decoder.next(into: first) == .end(ioError: 0))
        #expect(names == [Bytes("root")])
        first.sort(protocolVersion: 32)
        #expect(
            (0..<4).map { first.path(first.entry($0).pointee) }
                == [".", "a.txt", "link", "sub"].map { Bytes(text: $0) })
        let link = first.entry(2).pointee
        #expect(Bytes(first.linkTarget(link)) == Bytes("a.txt"))
        #expect(first.attributes(link).uid == 7)
        #expect(first.mode(link) == 0o120777)
        #expect(first.entry(1).pointee.mtime == 0x6593_7d25)
        #expect(first.entry(0).pointee.flags.contains(.topDirectory))
        #expect(try reader.ndx() == -102)
        let second = lists.segment(6)
        #expect(try decoder.next(into: second) == .entry(0))
        #expect(try decoder.next(into: second) == .end(ioError: 0))
        let file = second.wireEntry(0).pointee
        #expect(second.path(file) == Bytes("sub/b.bin"))
        #expect(file.nanoseconds == 500_000_000)
        #expect(second.mode(file) == 0o100600)
        #expect(file.mtime == 0x6593_7d25)
    }

    @Test func encodesTheSimpleTree() throws {
        let channel = ScriptedChannel()
        let writer = WireWriter(channel: channel, role: .sender)
        let encoder = FileEntryEncoder(
            writer: writer, format: format(incremental: true), userName: { _ in Bytes("root") },
            groupName: { _ in Bytes("root") })
        let lists = Lists()
        let first = lists.segment(1)
        func add(
            _ segment: FileSegment, _ directory: String, _ name: String, _ mode: UInt32, _ length: Int64,
            _ mtime: Int64,
            _ nanoseconds: UInt32 = 0, _ target: String = "", _ flags: FileEntryFlags = []
        ) throws {
            let id = try #require(Bytes(text: directory).withUnsafeBytes { lists.paths.intern($0, root: 0) })
            let entry = SourceEntry(mode: mode, length: length, mtime: mtime, nanoseconds: nanoseconds, uid: 0, gid: 0)
            try Bytes(text: name).withUnsafeBytes {
                _ = try encoder.encode(
                    entry, directory: id, name: $0, linkTarget: Bytes(text: target), flags: flags, checksum: [],
                    into: segment)
            }
        }
        try add(first, "", ".", 0o040755, 4096, 0x6593_7d26, 0, "", [.topDirectory, .contentDirectory])
        try add(first, "", "link", 0o120777, 5, 0x6593_7d25, 0, "a.txt")
        try add(first, "", "sub", 0o040755, 4096, 0x6593_7d26, 0, "", [.contentDirectory])
        try add(first, "", "a.txt", 0o100644, 6, 0x6593_7d25)
        try encoder.end(ioError: 0)
        let second = lists.segment(6)
        try add(second, "sub", "b.bin", 0o100600, 10, 0x6593_7d25, 500_000_000)
        try encoder.end(ioError: 0)
        try writer.flush()
        #expect(channel.output == Self.simple + Self.simpleSub)
    }

    /// §14.3: hard links; references are wire positions.
    @Test func decodesHardLinkReferences() throws {
        let bytes = hex(
            """
            8c 01 01 2e 00 00 10 65 26 7d 93 ed 41 00 00 00 04 "root" 00 04 "root"
            92 18 01 62 00 06 00 65 25 7d 93 a4 81 00 00
            80 9a 01 7a 00 01 00
            82 9a 01 61 02
            18 01 64 00 00 10 65 26 7d 93 ed 41 00 00
            00 00
            82 38 01 02 "/c" 02 00 06 00 65 25 7d 93 a4 81 00 00
            00 00
            """)
        let reader = WireReader(channel: ScriptedChannel(bytes, pieceSize: 3), role: .receiver)
        let decoder = FileEntryDecoder(reader: reader, format: format(incremental: true, hardLinks: true))
        let lists = Lists()
        let first = lists.segment(1)
        for number in 0..<5 { #expect(try decoder.next(into: first) == .entry(number)) }
        #expect(try decoder.next(into: first) == .end(ioError: 0))
        let a = first.wireEntry(3).pointee
        #expect(a.length == 6)
        #expect(first.extra(a)?.pointee.hardLinkGroup == 2)
        #expect(first.extra(first.wireEntry(1).pointee)?.pointee.hardLinkGroup == 2)
        let second = lists.segment(7)
        #expect(try decoder.next(into: second) == .entry(0))
        #expect(second.path(second.wireEntry(0).pointee) == Bytes("d/c"))
        #expect(second.extra(second.wireEntry(0).pointee)?.pointee.hardLinkGroup == 2)
        #expect(try decoder.next(into: second) == .end(ioError: 0))
    }

    /// §14.5: specials and devices of several protocols.
    @Test(
        arguments: [
            (32, "98 18 04 \"fifo\" 00 00 00 65 25 7d 93 a4 11 00 00"),
            (30, "1c 01 04 \"fifo\" 00 00 00 65 25 7d 93 a4 11 00 00 00"),
            (29, "1c 09 04 \"fifo\" 00 00 00 00 25 7d 93 65 a4 11 00 00 00 00 00 00"),
        ] as [(Int32, String)])
    func decodesAFifo(version: Int32, bytes: String) throws {
        // The protocol-32 vector stands in a list whose flags are a varint: 0x18 needs one byte.
        let input = version == 32 ? hex("18 04 \"fifo\" 00 00 00 65 25 7d 93 a4 11 00 00") : hex(bytes)
        let reader = WireReader(channel: ScriptedChannel(input), role: .receiver)
        reader.protocolVersion = version
        var shape = format(incremental: false, version: version)
        if version == 30 { shape.varintFlags = false }
        let decoder = FileEntryDecoder(reader: reader, format: shape)
        let segment = Lists().segment(0)
        #expect(try decoder.next(into: segment) == .entry(0))
        #expect(segment.mode(segment.wireEntry(0).pointee) == 0o010644)
        #expect(segment.wireEntry(0).pointee.mtime == 0x6593_7d25)
    }

    @Test func idListsCarryNamesWithTheTerminator() throws {
        let reader = WireReader(
            channel: ScriptedChannel(
                hex("01 06 \"daemon\" 03 03 \"sys\" 02 03 \"bin\" 00 04 \"root\" | 07 02 \"lp\" 00 04 \"root\"")),
            role: .receiver)
        let decoder = FileEntryDecoder(reader: reader, format: format(incremental: false))
        let (users, groups) = try decoder.readIDLists()
        #expect(users.map(\.0) == [1, 3, 2, 0])
        #expect(users.map(\.1) == ["daemon", "sys", "bin", "root"].map { Bytes(text: $0) })
        #expect(groups.map(\.0) == [7, 0])
    }

    // MARK: - Hostile input (chapter 02 §11.1)

    private func failure(_ bytes: Bytes, incremental: Bool = true, hardLinks: Bool = false) -> TransferFailure? {
        let reader = WireReader(channel: ScriptedChannel(bytes), role: .unsplitReceiver)
        let decoder = FileEntryDecoder(reader: reader, format: format(incremental: incremental, hardLinks: hardLinks))
        let segment = Lists().segment(1)
        do {
            while true {
                if case .end = try decoder.next(into: segment) { return nil }
            }
        } catch {
            return error as TransferFailure
        }
    }

    private static let rest = hex("00 06 00 65 25 7d 93 a4 81 00 00 00 00 00 00")

    @Test(arguments: ["../x", "a/../b", "/etc/passwd", "a/.."])
    func refusesUnsafeNames(name: String) {
        let bytes = hex("80 80") + [UInt8(name.utf8.count)] + Bytes(text: name) + Self.rest
        let failure = failure(bytes)
        #expect(failure?.code == .unsupported)
        #expect(failure?.lines == [Bytes(text: "ABORTING due to unsafe pathname from sender: \(name)")])
    }

    @Test func refusesOverlongNames() {
        let failure = failure(hex("40 90 00") + Bytes(repeating: 0x61, count: 100))
        #expect(failure?.code == .outOfMemory)
        #expect(failure?.lines.first?.displayText.hasPrefix("overflow: xflags=0x40 l1=0 l2=4096 lastname=") == true)
    }

    @Test func refusesBadModesNanosecondsAndLinks() {
        #expect(
            failure(hex("18 01 61 00 06 00 65 25 7d 93 a4 01 00 00"))?.lines
                == [Bytes("invalid file mode 0644 for a [Receiver]")])
        #expect(
            failure(hex("a0 18 01 61 00 06 00 65 25 7d 93 f0 ff ff ff ff a4 81 00 00"))?.lines
                == [Bytes("wire value modtime_nsec out of range: -1 not in [0,999999999] [Receiver]")])
        #expect(
            failure(hex("18 01 61 00 06 00 65 25 7d 93 ff a1 00 00 90 00"))?.lines.first
                == Bytes("overflow: linkname_len=4096"))
        #expect(
            failure(hex("82 18 01 61 05"), hardLinks: true)?.lines == [Bytes("hard-link reference out of range: 5 (1)")]
        )
        #expect(
            failure(hex("18 01 61 fc ff ff ff ff ff ff ff ff 65 25 7d 93 a4 81 00 00"))?.lines
                == [Bytes("Offset underflow: file-length is negative")])
        #expect(
            failure(hex("18 01 2e 00 06 00 65 25 7d 93 a4 81 00 00"))?.lines
                == [Bytes("ERROR: rejecting non-directory transfer-root entry: .")])
    }

    /// Any truncation ends in a typed error, never in a trap or an entry.
    @Test func everyTruncationIsRefused() {
        for count in 0..<Self.simple.count {
            #expect(failure(Bytes(Self.simple.prefix(count)))?.code == .protocolStream)
        }
    }

    /// Random bytes must end in an entry, an end or a typed error.
    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64])
    func randomBytesNeverTrap(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<400 {
            let count = Int.random(in: 0..<200, using: &generator)
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
            _ = failure(bytes, incremental: Bool.random(using: &generator), hardLinks: Bool.random(using: &generator))
        }
    }
}
