import DrayCore
import DrayTestSupport
import Testing

@testable import DrayWire

/// ACL and xattr items: chapter 02 §5, §6, §14.4.
@Suite struct MetadataTests {
    private func format(incremental: Bool = true) -> FileListFormat {
        var options = TransferOptions()
        options.recursive = true
        options.owner = true
        options.group = true
        options.links = true
        options.devices = true
        options.specials = true
        options.acls = true
        options.xattrs = 1
        var flags = CompatibilityFlags(rawValue: 0x1FF)
        if !incremental { flags.remove(.incrementalRecursion) }
        return FileListFormat(options: options, protocolVersion: 32, flags: flags, checksumLength: 16)
    }

    private static let digest = hex("9f 0a e0 38 0e d2 7d bf 6b 85 28 43 d2 ee ce 1f")

    /// §14.4, the whole list.
    private static let golden = hex(
        """
        8c 01 01 2e 00 00 10 65 26 7d 93 ed 41 00 00 00 04 "root" 00 04 "root"
        00 00 00 00 00 00
        18 02 "sl" 00 01 00 65 25 7d 93 ff a1 00 00 01 61
        01
        80 98 01 7a 00 01 00 b4 81 00 00
        00 12 04 02 01 13 06 "daemon" 02 19 03 "bin"
        00 02 0a 28 "user.long" 00 9f 0a e0 38 0e d2 7d bf 6b 85 28 43 d2 ee ce 1f
        0b 03 "user.short" 00 "val"
        80 9a 01 61 00 06 00
        02 02
        80 98 05 "plain" 00 01 00 a4 81 00 00
        01 01
        18 01 64 00 00 10 65 26 7d 93 ed 41 00 00
        01
        00 1f 07 05 07 05 01 01 1e
        00 01 07 00 "user.x" 00
        00 00
        """)

    private static let shared: AccessControlList = {
        var list = AccessControlList(mode: 0o664)
        list.groupObject = 4
        list.mask = 6
        list.named = [.init(id: 1, permissions: 4, isUser: true), .init(id: 2, permissions: 6, isUser: false)]
        return list.stripped(mode: 0o664)
    }()

    private static let standard: AccessControlList = {
        var list = AccessControlList(mode: 0o755)
        list.mask = 7
        list.named = [.init(id: 1, permissions: 7, isUser: true)]
        return list
    }()

    private static let long: [ExtendedAttribute] = [
        .init(name: Bytes("user.long"), length: 40, data: digest, number: 1),
        .init(name: Bytes("user.short"), length: 3, data: Bytes("val"), number: 2),
    ]

    @Test func encodesTheGoldenList() throws {
        let channel = ScriptedChannel()
        let writer = WireWriter(channel: channel, role: .sender)
        let encoder = FileEntryEncoder(
            writer: writer, format: format(),
            userName: { $0 == 0 ? Bytes("root") : $0 == 1 ? Bytes("daemon") : nil },
            groupName: { $0 == 0 ? Bytes("root") : $0 == 2 ? Bytes("bin") : nil })
        let segment = FileSegment(paths: PathTable(), attributes: AttributeTable(), ndxStart: 1, use: .segment)
        func add(
            _ name: String, _ mode: UInt32, _ length: Int64, _ mtime: Int64, target: String = "",
            flags: FileEntryFlags = [], acl: AccessControlList = .init(), standard: AccessControlList = .init(),
            xattrs: [ExtendedAttribute] = []
        ) throws {
            var entry = SourceEntry(mode: mode, length: length, mtime: mtime, nanoseconds: 0, uid: 0, gid: 0)
            entry.accessACL = acl
            entry.defaultACL = standard
            entry.xattrs = xattrs
            try Bytes(text: name).withUnsafeBytes {
                _ = try encoder.encode(
                    entry, directory: 0, name: $0, linkTarget: Bytes(text: target), flags: flags, checksum: [],
                    into: segment)
            }
        }
        try add(".", 0o040755, 4096, 0x6593_7d26, flags: [.topDirectory, .contentDirectory])
        try add("sl", 0o120777, 1, 0x6593_7d25, target: "a")
        try add("z", 0o100664, 1, 0x6593_7d25, acl: Self.shared, xattrs: Self.long)
        try add("a", 0o100664, 6, 0x6593_7d25, acl: Self.shared, xattrs: Self.long)
        try add("plain", 0o100644, 1, 0x6593_7d25)
        try add(
            "d", 0o040755, 4096, 0x6593_7d26, flags: [.contentDirectory], standard: Self.standard,
            xattrs: [.init(name: Bytes("user.x"), length: 0, data: [], number: 1)])
        try encoder.end(ioError: 0)
        try writer.flush()
        #expect(channel.output == Self.golden)
    }

    @Test(arguments: everyPieceSize)
    func decodesTheGoldenList(piece: Int) throws {
        let reader = WireReader(channel: ScriptedChannel(Self.golden, pieceSize: piece), role: .receiver)
        let decoder = FileEntryDecoder(reader: reader, format: format())
        decoder.mapUser = { id, name in name == Bytes("daemon") ? 1001 : id == 1 ? 1001 : id }
        let segment = FileSegment(paths: PathTable(), attributes: AttributeTable(), ndxStart: 1, use: .segment)
        for number in 0..<6 { #expect(try decoder.next(into: segment) == .entry(number)) }
        #expect(try decoder.next(into: segment) == .end(ioError: 0))
        let tables = decoder.metadata
        #expect(tables.access.count == 2 && tables.standard.count == 2 && tables.xattrs.count == 3)
        let attributes = (0..<6).map { segment.attributes(segment.wireEntry($0).pointee) }
        #expect(attributes.map(\.accessACL) == [0, -1, 1, 1, 0, 0])
        #expect(attributes.map(\.defaultACL) == [0, -1, -1, -1, -1, 1])
        #expect(attributes.map(\.xattrs) == [0, 0, 1, 1, 0, 2])
        let acl = tables.access[1]
        // The mask that was left out is the mode's group part.
        #expect(acl.mask == 6 && acl.groupObject == 4)
        #expect(acl.named.map(\.id) == [1001, 2])
        #expect(tables.standard[1].named == [.init(id: 1001, permissions: 7, isUser: true)])
        #expect(tables.xattrs[1].pairs == Self.long)
        #expect(tables.xattrs[0].pairs.isEmpty)
    }

    @Test func namesOfACLOwnersStandInTheIDLists() throws {
        let channel = ScriptedChannel()
        let writer = WireWriter(channel: channel, role: .sender)
        let encoder = FileEntryEncoder(
            writer: writer, format: format(incremental: false), userName: { _ in Bytes("u") },
            groupName: { _ in Bytes("g") })
        let segment = FileSegment(paths: PathTable(), attributes: AttributeTable(), ndxStart: 0, use: .wholeTransfer)
        var entry = SourceEntry(mode: 0o100664, length: 0, mtime: 0, nanoseconds: 0, uid: 0, gid: 0)
        entry.accessACL = Self.shared
        try Bytes("f").withUnsafeBytes {
            _ = try encoder.encode(
                entry, directory: 0, name: $0, linkTarget: [], flags: [], checksum: [], into: segment)
        }
        try writer.flush()
        // No names inline: bits 0x12 and 0x18.
        #expect(Bytes(channel.output.suffix(10)) == hex("00 12 04 02 01 12 02 18 00 00"))
        let before = channel.output.count
        try encoder.writeIDLists()
        try writer.flush()
        #expect(Bytes(channel.output[before...]) == hex("01 01 \"u\" 00 01 \"u\" 02 01 \"g\" 00 01 \"g\""))
    }

    // MARK: - Hostile items

    private static func failure(_ item: String) -> TransferFailure? {
        // A file with the time of the one before and no owner fields, up to its ACL item.
        let bytes = hex("80 98 01 66 00 00 00 a4 81 00 00") + hex(item) + Bytes(repeating: 0x20, count: 64)
        let reader = WireReader(channel: ScriptedChannel(bytes), role: .receiver)
        var plain = MetadataTests().format()
        plain.preserveUID = false
        plain.preserveGID = false
        let decoder = FileEntryDecoder(reader: reader, format: plain)
        let segment = FileSegment(paths: PathTable(), attributes: AttributeTable(), ndxStart: 1, use: .segment)
        do throws(TransferFailure) {
            _ = try decoder.next(into: segment)
            return nil
        } catch { return error }
    }

    struct Case: Sendable, CustomStringConvertible {
        var item: String
        var code: ExitCode
        var text: String
        var description: String { item }
    }

    static let cases: [Case] = [
        Case(
            item: "02", code: .protocolStream, text: "recv_acl_index: ACL_TYPE_ACCESS ACL index 2 > 0"),
        Case(item: "00 01 08", code: .protocolStream, text: "recv_acl_access: value out of range: 8"),
        Case(
            item: "00 10 c1 01 00 01", code: .protocolIncompatible,
            text: "wire value ACL count out of range: 65537 not in [0,65536] [receiver]"),
        Case(item: "00 10 01 05 22", code: .protocolStream, text: "recv_acl_access: value out of range: 8"),
        Case(item: "00 00 02", code: .protocolStream, text: "receive_xattr: xa index 2 out of range for f"),
        Case(
            item: "00 00 00 c1 01 00 01", code: .protocolIncompatible,
            text: "wire value xattr count out of range: 65537 not in [0,65536] [receiver]"),
        Case(
            item: "00 00 00 01 90 01 00", code: .protocolIncompatible,
            text: "wire size xattr name_len out of range: 4097 > 4096 [receiver]"),
        Case(
            item: "00 00 00 01 03 f0 01 00 00 08", code: .protocolIncompatible,
            text: "xattr datum_len exceeds per-value limit [receiver]"),
        Case(
            item: "00 00 00 01 03 00 61 62 63", code: .fileIO,
            text: "Invalid xattr name received (missing trailing \\0)."),
        Case(
            item: "00 00 00 01 00 00", code: .fileIO, text: "Invalid xattr name received (missing trailing \\0)."),
    ]

    @Test(arguments: cases)
    func rejectsHostileItems(_ hostile: Case) throws {
        let failure = try #require(Self.failure(hostile.item))
        #expect(failure.code == hostile.code)
        #expect(failure.lines == [Bytes(text: hostile.text)])
    }
}
