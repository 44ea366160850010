import DrayCore
import DrayTestSupport
import Glibc
import Testing

@testable import DrayFiles

/// Attribute calls by every way of reaching a name, and the stored forms of ACLs and fake-super attributes.
@Suite struct ExtendedAttributesTests {
    private static let ways = ExtendedAttributes.Access.allCases

    private final class Place {
        let scratch: ScratchDirectory
        let tree: FileTree
        let directory: Int32

        init() throws {
            scratch = try ScratchDirectory(inMemory: false)
            tree = try FileTree(scratch.path + "/tree")
            try tree.file("file", [1])
            try tree.symlink("link", to: "file")
            try tree.directory("sub")
            directory = open(tree.root, O_RDONLY | O_DIRECTORY)
        }

        deinit { close(directory) }

        func target<R>(_ name: String, _ body: (AttributeTarget) throws -> R) rethrows -> R {
            try name.withCString { try body(AttributeTarget(directory: directory, name: $0)) }
        }
    }

    @Test(arguments: ways)
    func setsReadsListsAndRemoves(_ way: ExtendedAttributes.Access) throws {
        let place = try Place()
        let calls = ExtendedAttributes(access: way)
        let name = Bytes("user.a")
        let value = Bytes(repeating: 7, count: 3_000)
        place.target("file") { target in
            #expect(calls.set(target, name, value) == 0)
            var code: Int32 = 0
            #expect(calls.value(target, name, code: &code) == value)
            #expect(calls.names(target, code: &code) == [name])
            #expect(calls.value(target, Bytes("user.none"), code: &code) == nil)
            #expect(code == ENODATA)
            #expect(calls.remove(target, name) == 0)
            #expect(calls.remove(target, name) == 0)
            #expect(calls.names(target, code: &code).isEmpty)
        }
    }

    @Test(arguments: ways)
    func neverFollowsASymlink(_ way: ExtendedAttributes.Access) throws {
        let place = try Place()
        let calls = ExtendedAttributes(access: way)
        place.target("link") { target in
            #expect(calls.set(target, Bytes("user.a"), Bytes("x")) != 0)
        }
        var code: Int32 = 0
        place.target("file") { #expect(calls.names($0, code: &code).isEmpty) }
    }

    @Test func worksOnAnOpenFile() throws {
        let place = try Place()
        let calls = ExtendedAttributes()
        let descriptor = open(place.tree.path("file"), O_RDWR)
        defer { close(descriptor) }
        #expect(calls.set(AttributeTarget(descriptor: descriptor), Bytes("user.b"), []) == 0)
        var code: Int32 = 0
        place.target("file") { #expect(calls.value($0, Bytes("user.b"), code: &code) == []) }
        #expect(code == 0)
    }

    // MARK: - ACLs

    private static let kernelForm = hex(
        """
        02 00 00 00
        01 00 06 00 ff ff ff ff  02 00 04 00 01 00 00 00  04 00 04 00 ff ff ff ff
        08 00 06 00 02 00 00 00  10 00 06 00 ff ff ff ff  20 00 04 00 ff ff ff ff
        """)

    @Test func decodesAndEncodesTheKernelsForm() throws {
        let list = try #require(AccessControlFormat.decode(Self.kernelForm))
        #expect(list.userObject == 6 && list.groupObject == 4 && list.mask == 6 && list.other == 4)
        #expect(
            list.named == [
                .init(id: 1, permissions: 4, isUser: true), .init(id: 2, permissions: 6, isUser: false),
            ])
        #expect(AccessControlFormat.encode(list) == Self.kernelForm)
    }

    @Test(arguments: [
        "", "02 00 00", "03 00 00 00", "02 00 00 00 01", "02 00 00 00 01 00 06 00 ff ff ff",
        "02 00 00 00 40 00 06 00 ff ff ff ff",
    ])
    func rejectsMalformedACLs(_ text: String) { #expect(AccessControlFormat.decode(hex(text)) == nil) }

    @Test func setsAndRemovesADefaultACL() throws {
        let place = try Place()
        let calls = ExtendedAttributes()
        var list = AccessControlList(mode: 0o755)
        list.named = [.init(id: 1, permissions: 7, isUser: true)]
        list.mask = 7
        place.target("sub") { target in
            var code = calls.setDefaultACL(target, list)
            if code == ENOTSUP { return }
            #expect(code == 0)
            #expect(calls.defaultACL(target, code: &code) == list)
            #expect(calls.setDefaultACL(target, AccessControlList()) == 0)
            #expect(calls.defaultACL(target, code: &code)?.isEmpty == true)
        }
    }

    /// Chapter 02 §5.2: what the mode tells is not sent.
    @Test func stripsWhatTheModeTells() {
        #expect(AccessControlList(mode: 0o644).stripped(mode: 0o644).isEmpty)
        var list = AccessControlList(mode: 0o664)
        list.groupObject = 4
        list.mask = 6
        #expect(list.stripped(mode: 0o664).mask == 6)
        list.named = [.init(id: 1, permissions: 4, isUser: true)]
        let stripped = list.stripped(mode: 0o664)
        #expect(stripped.mask == AccessControlList.absent && stripped.groupObject == 4)
        #expect(list.stripped(mode: 0o644).mask == 6)
    }

    // MARK: - --fake-super

    @Test(arguments: ["20644 1,3 0:0", "100644 0,0 1234:2345", "40555 0,0 7:8"])
    func storedStatusSurvives(_ text: String) throws {
        let status = try #require(FakeSuper.Status(Bytes(text: text)))
        #expect(status.text == Bytes(text: text))
    }

    @Test(arguments: ["", "100644", "100644 0 0:0", "9 0,0 0:0", "100644 0,0 0:0 1", "100644 0,0 -1:0"])
    func rejectsCorruptStatus(_ text: String) { #expect(FakeSuper.Status(Bytes(text: text)) == nil) }

    /// Chapter 02 §5.4.
    @Test func storesACLsAsRsyncDoes() throws {
        let bytes = hex(
            """
            80 00 00 00 04 00 00 00 06 00 00 00 80 00 00 00
            01 00 00 00 04 00 00 80 02 00 00 00 06 00 00 00
            """)
        let list = try #require(FakeSuper.decode(bytes, mode: nil))
        #expect(list.groupObject == 4 && list.mask == 6 && list.userObject == AccessControlList.absent)
        #expect(
            list.named == [
                .init(id: 1, permissions: 4, isUser: true), .init(id: 2, permissions: 6, isUser: false),
            ])
        #expect(FakeSuper.encode(list) == bytes)
        #expect(FakeSuper.decode(Bytes(bytes.dropLast()), mode: nil) == nil)
        #expect(FakeSuper.decode(bytes, mode: 0o664)?.userObject == 6)
    }
}
