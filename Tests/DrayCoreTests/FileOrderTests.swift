import DrayCore
import Testing

/// Orders of chapter 02 §7.
@Suite struct FileOrderTests {
    private func sorted(_ names: [String], version: Int32) throws -> [String] {
        let paths = PathTable()
        let attributes = AttributeTable()
        let segment = FileSegment(paths: paths, attributes: attributes, ndxStart: 0, use: .wholeTransfer)
        for name in names {
            let isDirectory = name.hasSuffix("/") || name == "."
            let path = Bytes(text: name.hasSuffix("/") ? String(name.dropLast()) : name)
            let (directory, last) = path.splitLastComponent
            let id = try #require(directory.withUnsafeBytes { paths.intern($0, root: 0) })
            let offset = try #require(last.withUnsafeBytes { segment.storeName($0) })
            segment.append(
                FileEntry(
                    nameOffset: offset, nameLength: UInt16(last.count), flags: [], directory: id,
                    attributes: attributes.intern(.init(mode: isDirectory ? 0o040755 : 0o100644, uid: 0, gid: 0)),
                    length: 0,
                    mtime: 0, nanoseconds: 0, extra: -1))
        }
        segment.sort(protocolVersion: version)
        return (0..<segment.count).map { position in
            let entry = segment.entry(position).pointee
            let text = segment.path(entry).displayText
            return segment.isDirectory(entry) && text != "." ? text + "/" : text
        }
    }

    private static let modern = [
        ".", ".hid", "a.c", "b", "foo ", "foo-a", "foo.txt", ".h/", "a/", "a/b", "foo-x/", "foo.d/", "foo/", "foo/z",
    ]

    @Test(arguments: 0..<20)
    func modernOrderPutsFilesBeforeDirectories(seed: Int) throws {
        var generator = SystemRandomNumberGenerator()
        #expect(try sorted(Self.modern.shuffled(using: &generator), version: 32) == Self.modern)
    }

    @Test func listsThatComeBackwardsAreSorted() throws {
        #expect(try sorted(Self.modern.reversed(), version: 32) == Self.modern)
        #expect(try sorted(["b", "a"], version: 32) == ["a", "b"])
        #expect(try sorted(["c", "b", "a", "aa"], version: 32) == ["a", "aa", "b", "c"])
    }

    /// The first of two equal names is the one that counts, in whatever order the others come.
    @Test(arguments: [["c", "b", "b", "a"], ["b", "b"], ["d", "c", "b", "a", "b"], ["a", "b", "b", "c"]])
    func equalNamesKeepTheirOrder(names: [String]) throws {
        let paths = PathTable()
        let attributes = AttributeTable()
        let segment = FileSegment(paths: paths, attributes: attributes, ndxStart: 0, use: .wholeTransfer)
        for (index, name) in names.enumerated() {
            let offset = try #require(Bytes(text: name).withUnsafeBytes { segment.storeName($0) })
            segment.append(
                FileEntry(
                    nameOffset: offset, nameLength: UInt16(name.utf8.count), flags: [], directory: 0,
                    attributes: attributes.intern(.init(mode: 0o100644, uid: 0, gid: 0)), length: Int64(index),
                    mtime: 0,
                    nanoseconds: 0, extra: -1))
        }
        segment.sort(protocolVersion: 32)
        let sorted = (0..<segment.count).map { segment.entry($0).pointee }
        #expect(sorted.map { segment.path($0).displayText } == names.sorted())
        let lengths = sorted.filter { segment.path($0).displayText == "b" }.map(\.length)
        #expect(lengths == lengths.sorted())
    }

    @Test func oldOrderIsPlainBytes() throws {
        let names = Self.modern
        let expected = [
            ".", ".h/", ".hid", "a/", "a.c", "a/b", "b", "foo/", "foo ", "foo-a", "foo-x/", "foo.d/", "foo.txt",
            "foo/z",
        ]
        #expect(try sorted(names.reversed(), version: 28) == expected)
    }

    @Test func findsEntriesOfAnyKindAndOnlyThose() throws {
        let paths = PathTable()
        let attributes = AttributeTable()
        let segment = FileSegment(paths: paths, attributes: attributes, ndxStart: 0, use: .wholeTransfer)
        for index in 0..<500 {
            let directory = Bytes(text: index % 3 == 0 ? "" : "d\(index % 7)")
            let name = Bytes(text: "n\(index)")
            let id = try #require(directory.withUnsafeBytes { paths.intern($0, root: 0) })
            let offset = try #require(name.withUnsafeBytes { segment.storeName($0) })
            segment.append(
                FileEntry(
                    nameOffset: offset, nameLength: UInt16(name.count), flags: [], directory: id,
                    attributes: attributes.intern(.init(mode: index % 5 == 0 ? 0o040755 : 0o100644, uid: 0, gid: 0)),
                    length: 0, mtime: 0, nanoseconds: 0, extra: -1))
        }
        segment.sort(protocolVersion: 32)
        for position in 0..<segment.count {
            let entry = segment.entry(position).pointee
            let name = Bytes(segment.name(entry))
            let found = name.withUnsafeBytes { segment.find(directory: entry.directory, name: $0, protocolVersion: 32) }
            #expect(found == position)
        }
        let missing = Bytes("nothing").withUnsafeBytes { segment.find(directory: 0, name: $0, protocolVersion: 32) }
        #expect(missing == nil)
    }

    @Test func unsafeSymlinksAreRecognised() {
        let cases: [(String, String, Bool)] = [
            ("", "l", true), ("/abs", "l", true), ("a/../../x", "l", true), ("x/..", "l", true), ("..", "d/l", false),
            ("../x", "l", true), ("../x", "d/l", false), ("../../x", "d/l", true), ("a", "l", false),
            ("..//..//y", "d/l", true),
        ]
        for (target, path, expected) in cases {
            #expect(
                SymlinkSafety.isUnsafe(target: Bytes(text: target), at: Bytes(text: path)) == expected,
                "\(target) at \(path)")
        }
    }

    @Test(
        arguments: [
            ("D2775,F664", 0o100600, 0o100664), ("D2775,F664", 0o040700, 0o042775), ("u=rwX,go=rX", 0o100640, 0o100644),
            ("u=rwX,go=rX", 0o040700, 0o040755), ("a-w", 0o100666, 0o100444), ("go=u", 0o100740, 0o100777),
            ("u+s", 0o100755, 0o104755),
            ("+x", 0o100644, 0o100755),
        ] as [(String, UInt32, UInt32)])
    func chmodExpressionsApply(text: String, mode: UInt32, expected: UInt32) throws {
        let changes = try #require(ModeChanges([Bytes(text: text)]))
        #expect(changes.apply(mode) == expected, "\(String(changes.apply(mode), radix: 8))")
    }

    @Test(arguments: ["", "9", "u", "u=q", "DF644", "77777", "=u,x"])
    func badChmodExpressionsAreRefused(text: String) {
        #expect(!ModeChanges.isValid(Bytes(text: text)))
    }
}
