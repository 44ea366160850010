import DrayCore
import Glibc
import Testing

@testable import DrayFiles

/// Resolver of chapter 08 §2.1, both ways: by openat2 and by hand.
@Suite struct ConfinedPathTests {
    /// A fresh directory with a tree inside and something outside.
    private final class Tree {
        let path: String
        let root: Int32

        init() throws {
            var template = Array("/tmp/dray-confined.XXXXXX".utf8CString)
            #expect(mkdtemp(&template) != nil)
            path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            for directory in ["root", "root/sub", "root/sub/deep", "outside"] { mkdir("\(path)/\(directory)", 0o755) }
            symlink("sub", "\(path)/root/intree")
            symlink("sub/../sub/deep", "\(path)/root/winding")
            symlink("../outside", "\(path)/root/climbs")
            symlink("/etc", "\(path)/root/absolute")
            symlink("loop", "\(path)/root/loop")
            root = open("\(path)/root", O_RDONLY | O_DIRECTORY)
        }

        deinit {
            close(root)
            let command = ["rm", "-rf", path]
            var arguments = command.map { strdup($0) } + [nil]
            var child = pid_t()
            posix_spawnp(&child, "rm", nil, nil, &arguments, environ)
            waitpid(child, nil, 0)
        }
    }

    private static let cases: [(String, Int32)] = [
        ("", 0), (".", 0), ("sub", 0), ("sub/deep", 0), ("intree", 0), ("intree/deep", 0), ("winding", 0),
        ("climbs", ELOOP),
        ("absolute", ELOOP), ("loop", ELOOP), ("missing", ENOENT), ("sub/../sub", 0), ("../outside", ELOOP),
        ("sub/../../outside", ELOOP),
    ]

    @Test(arguments: cases)
    func opensOnlyWhatStaysInside(path: String, expected: Int32) throws {
        let tree = try Tree()
        let fast = Bytes(text: path).withCString { ConfinedPath.openDirectory(tree.root, $0) }
        #expect(fast >= 0 ? expected == 0 : -fast == expected, "openat2: \(fast)")
        if fast >= 0 { close(fast) }
        let slow = ConfinedPath.walk(tree.root, Bytes(text: path))
        #expect(slow >= 0 ? expected == 0 : -slow == expected, "walk: \(slow)")
        if slow >= 0 { close(slow) }
    }

    @Test func temporaryNamesAreHiddenAndFit() {
        func stem(_ name: String, hidden: Bool = true) -> String {
            Bytes(text: name).withUnsafeBytes { TemporaryName.stem($0, hidden: hidden) }.displayText
        }
        #expect(stem("x") == ".x.")
        #expect(stem(".x") == ".x.")
        #expect(stem("x", hidden: false) == "x.")
        #expect(stem(String(repeating: "a", count: 255)).utf8.count + 6 <= 255)
        #expect(stem(String(repeating: "é", count: 127)).utf8.count + 6 <= 255)
    }

    @Test func scanFindsEveryName() throws {
        let tree = try Tree()
        var code: Int32 = 0
        let descriptor = open("\(tree.path)/root", O_RDONLY | O_DIRECTORY)
        defer { close(descriptor) }
        let names = DirectoryScan(bufferBytes: 1024).names(descriptor, code: &code)
        #expect(code == 0)
        #expect(Set(names.map(\.displayText)) == ["sub", "intree", "winding", "climbs", "absolute", "loop"])
    }

    @Test func permissionsAreNeverChangedThroughALink() throws {
        let tree = try Tree()
        let code = FileSystem.setMode(tree.root, "climbs", 0o700)
        #expect(code == ELOOP)
        var status = FileStatus()
        #expect("\(tree.path)/outside".withCString { FileSystem.status(AT_FDCWD, $0, follow: true, &status) } == 0)
        #expect(status.permissions == 0o755)
    }
}
