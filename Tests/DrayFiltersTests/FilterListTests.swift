// Dray — filter lists: errors, wire form, merge files, sides. Origin: chapter 06; error texts checked with rsync 3.5.0.
// Layer: Tests.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Testing

@testable import DrayFilters

/// Files in memory.
final class MemoryFiles: FilterFileReader {
    var files: [String: String]
    init(_ files: [String: String]) { self.files = files }
    func read(path: Bytes, kind: FilterFileKind) throws(FilterFileError) -> Bytes? {
        guard let text = files[path.displayText] else { throw FilterFileError(code: 2) }
        return Bytes(text: text)
    }
}

func makeList(
    _ filters: [String] = [], files: [String: String] = [:], side: FilterSide = .sender, version: Int32 = 32,
    deleteExcluded: Bool = false, work: String = "/src"
) throws -> FilterList {
    var settings = FilterList.Settings()
    settings.side = side
    settings.protocolVersion = version
    settings.deleteExcluded = deleteExcluded
    settings.workingDirectory = Bytes(text: work)
    let list = FilterList(settings: settings, reader: MemoryFiles(files))
    for filter in filters { try list.addFilter(Bytes(text: filter)) }
    return list
}

extension FilterList {
    func decide(_ name: String, side: FilterSide = .sender) -> Int8 {
        decision(name: Bytes(text: name), isDirectory: name.hasSuffix("/"), side: side)
    }
    func wire(_ version: Int32 = 32, amSender: Bool) throws -> [String] {
        try encodeForWire(protocolVersion: version, amSender: amSender).map(\.displayText)
    }
}

@Suite struct FilterErrorTests {
    static let files = [
        "outer": ". inner", "inner": "- ok\nbogus\n", "outer2": ". outer", "badmod": "-Z foo", "nof": ". nofile",
        "words": "bogus w", "bang": "!x", "unex": "-", "sid": "-s x", "sidH": "H x", "loop": ". loop",
    ]

    @Test(
        arguments: [
            (". outer", "Unknown filter rule: <rule from a file named at outer line 1>", 1),
            (". outer2", "Unknown filter rule: <rule from a file named at a file named at outer2 line 1>", 1),
            (". badmod", "invalid modifier in filter rule: <rule from badmod line 1>", 1),
            (". nof", "failed to open exclude file <rule from nof line 1>", 11),
            (". nofile", "rsync: [client] failed to open exclude file nofile: No such file or directory (2)", 11),
            (".+ nofile", "rsync: [client] failed to open include file nofile: No such file or directory (2)", 11),
            (".w words", "Unknown filter rule: <rule from words>", 1),
            (". bang", "'!' rule has trailing characters: <rule from bang line 1>", 1),
            (". unex", "unexpected end of filter rule: <rule from unex line 1>", 1),
            (".s sid", "specified-side merge file contains specified-side filter: <rule from sid line 1>", 1),
            (".r sidH", "specified-side merge file contains specified-side filter: <rule from sidH line 1>", 1),
            ("-Z foo", "invalid modifier 'Z' at position 1 in filter rule: -Z foo", 1),
            ("exclude,zz x", "invalid modifier 'z' at position 8 in filter rule: exclude,zz x", 1),
            ("!x", "'!' rule has trailing characters: !x", 1), ("! ", "'!' rule has trailing characters: ! ", 1),
            ("-", "unexpected end of filter rule: -", 1), ("-,", "unexpected end of filter rule: -,", 1),
            ("exclude", "unexpected end of filter rule: exclude", 1), (":e", "unexpected end of filter rule: :e", 1),
            ("clear_", "'!' rule has trailing characters: clear_", 1), ("exclud x", "Unknown filter rule: exclud x", 1),
            (": ", "unexpected end of filter rule: : ", 1),
            (":+- x", "invalid modifier '-' at position 2 in filter rule: :+- x", 1),
            (":C- x", "invalid modifier '-' at position 2 in filter rule: :C- x", 1),
            ("H/s x", "invalid modifier 's' at position 2 in filter rule: H/s x", 1),
            (".! x", "invalid modifier '!' at position 1 in filter rule: .! x", 1),
            (",x", "Unknown filter rule: ,x", 1),
            ("-\tx", "invalid modifier '\t' at position 1 in filter rule: -\tx", 1),
        ] as [(String, String, Int32)])
    func errors(rule: String, message: String, code: Int32) throws {
        let list = try makeList(files: Self.files)
        let failure = #expect(throws: TransferFailure.self) { try list.addFilter(Bytes(text: rule)) }
        #expect(failure?.lines.map(\.displayText) == [message])
        #expect(failure?.code.rawValue == code)
    }

    @Test(arguments: ["", "+C", "-C x", "clear,", "clear", "!", "-_foo", "hide,p x", "dir-merge,- y", ":C", "!,"])
    func accepted(rule: String) throws { _ = try makeList([rule]) }

    @Test func recursionIsLimited() throws {
        let list = try makeList(files: Self.files)
        let failure = #expect(throws: TransferFailure.self) { try list.addFilter(Bytes(". loop")) }
        #expect(failure?.code == .fileIO)
        #expect(
            failure?.lines[0].displayText.hasPrefix(
                "[client] merge-file include depth limit (32) exceeded at <rule from a file")
                == true)
    }

    @Test func overLongRulesAreDiscarded() throws {
        let long = String(repeating: "x", count: 6000)
        let list = try makeList(files: ["f": "a\n\(long)\nb\n"])
        var notices: [String] = []
        list.onNotice = { notices.append($0.displayText) }
        try list.addExcludeFrom(Bytes("f"))
        #expect(notices == ["discarding over-long filter: <rule from f line 2>"])
        #expect(list.rules.count == 2)
    }

    @Test func untrustedLinksAreNamed() throws {
        final class Refusing: FilterFileReader {
            func read(path: Bytes, kind: FilterFileKind) throws(FilterFileError) -> Bytes? {
                throw FilterFileError(code: 40, isUntrustedLink: true)
            }
        }
        let list = FilterList(reader: Refusing())
        let failure = #expect(throws: TransferFailure.self) { try list.addIncludeFrom(Bytes("f")) }
        #expect(failure?.lines.count == 2)
        #expect(
            failure?.lines.last?.displayText
                == "rsync: [client] failed to open include file f: Too many levels of symbolic links (40)")
    }
}

@Suite struct FilterWireTests {
    @Test func pushWithDelete() throws {
        let list = try makeList([
            "- *.o", "+ keep/", "H hid", "P prot", "-! neg", "-/ abs", "-p per", "-x xa", ": .rf", ":en- /.ex",
            "-sr both",
        ])
        try list.addExclude(Bytes("- foo"))
        #expect(
            try list.wire(amSender: true) == [
                "- *.o", "+ keep/", "-r prot", "-! neg", "-/ abs", "-p per", "-x xa", ": .rf", "- .ex", ":n- /.ex",
                "-sr both", "- foo",
            ])
        #expect(list.hasXattrRules && list.hasSeenDirMerge)
    }

    @Test func pulls() throws {
        #expect(
            try makeList(["- *.o", "H hid", "P prot", "-p per"], side: .receiver).wire(amSender: false)
                == ["- *.o", "-s hid", "-p per"])
        let old = try makeList(side: .receiver, version: 28)
        try old.addExclude(Bytes("*.o"))
        try old.addInclude(Bytes("k"))
        try old.addExclude(Bytes("- dash"))
        #expect(try old.wire(28, amSender: false) == ["*.o", "+ k", "dash"])
        #expect(try makeList(["-p xx"]).wire(29, amSender: false) == ["- xx"])
        #expect(try makeList(["-C"], side: .receiver).wire(amSender: false) == ["-C "])
    }

    @Test(
        arguments: [
            ("-p xx", 29, true), (": .rf", 28, false), ("-/ x", 28, false), ("-! x", 28, true), ("-x x", 28, true),
        ] as [(String, Int32, Bool)])
    func tooModern(rule: String, version: Int32, amSender: Bool) throws {
        let list = try makeList([rule], version: version)
        let failure = #expect(throws: TransferFailure.self) { try list.wire(version, amSender: amSender) }
        #expect(failure?.lines.map(\.displayText) == ["filter rules are too modern for remote rsync."])
        #expect(failure?.code == .protocolIncompatible)
    }

    @Test func cvsExclude() throws {
        let push = try makeList()
        try push.addCVSExclude(.beforeExchange)
        let sent = try push.wire(amSender: true)
        #expect(sent.prefix(3) == [":C .cvsignore", "-p RCS", "-p SCCS"])
        #expect(sent.last == "-p .bzr/")
        #expect(sent.count == 37)
        let pull = try makeList(side: .receiver)
        try pull.addCVSExclude(.beforeExchange)
        #expect(try pull.wire(amSender: false).isEmpty)
        try pull.addCVSExclude(.afterExchange)
        #expect(pull.decide("x.o") == -1)
        #expect(pull.decide("x.c") == 0)
    }

    @Test func deleteExcluded() throws {
        for (side, expected) in [
            (FilterSide.sender, ["+r risk", ": .m", "-r pp"]), (.receiver, ["-s zz", ": .m"]),
        ] {
            let list = try makeList(side: side, deleteExcluded: true)
            try list.addExclude(Bytes("zz"))
            for filter in ["R risk", ": .m", "P pp"] { try list.addFilter(Bytes(text: filter)) }
            #expect(try list.wire(amSender: side == .sender) == expected)
        }
    }

    /// Captured from rsync 3.5.0.
    @Test func deleteExcludedMarksAllButDirMerge() throws {
        let pull = try makeList([":- .m", ":C", "-C", ":s .t", "+C zz"], side: .receiver, deleteExcluded: true)
        #expect(try pull.wire(amSender: false) == [":- .m", ":C .cvsignore", "-Cs ", ":s .t", "+Cs zz"])
        let push = try makeList([":- .m", ":s .t", ":r .u", "-s q"], deleteExcluded: true)
        #expect(try push.wire(amSender: true) == [":r .u"])
        let plain = try makeList([":- .m", ":w+p .q", ":s .t", ":r .u"])
        #expect(try plain.wire(amSender: true) == [":- .m", ":w+p .q", ":r .u"])
    }

    @Test func filterShortcutAndPartialDirectory() throws {
        let list = try makeList()
        for _ in 0..<3 { try list.addFilterShortcut() }
        list.addPartialDirectory(Bytes(".pp"))
        #expect(try list.wire(amSender: true) == [": /.rsync-filter", "- .rsync-filter", "-p .pp/"])
        #expect(
            !FilterList.listIsExchanged(
                clientIsSender: true, pruneEmptyDirs: false, deletes: false, deleteExcluded: false, protocolVersion: 32)
        )
    }

    @Test func wireRulesComeBack() throws {
        let server = FilterList()
        for text in ["-C ", "+r risk", ": .m", "-! neg", "-p .pp/"] {
            try server.addFromWire(Bytes(text: text), protocolVersion: 32)
        }
        server.settings.amServer = true
        #expect(try server.wire(amSender: false) == ["-C ", ": .m", "-! neg", "-p .pp/"])
        try server.addFromWire(Bytes("+ in"), protocolVersion: 28)
        #expect(server.rules.last?.flags.contains(.include) == true)
    }
}

@Suite struct PerDirectoryTests {
    @Test func localRulesComeBeforeInheritedOnes() throws {
        let list = try makeList(
            [": .rf", "- *.z"],
            files: ["/src/.rf": "- foo\n- /top\n", "/src/sub/.rf": "+ foo\n- /here\n", "/src/sub/k/.rf": "!\n"])
        try list.enter(directory: Bytes("."))
        #expect(list.decide("foo") == -1)
        #expect(list.decide("top") == -1)
        #expect(list.decide("x.z") == -1)
        try list.enter(directory: Bytes("sub"))
        #expect(list.decide("sub/foo") == 1)
        #expect(list.decide("sub/here") == -1)
        #expect(list.decide("sub/top") == 0)
        try list.enter(directory: Bytes("sub/k"))
        #expect(list.decide("sub/k/foo") == 0)
        #expect(list.decide("sub/k/x.z") == -1)
        list.leave()
        #expect(list.decide("sub/k/foo") == 1)
        list.leave()
        #expect(list.decide("sub/foo") == -1)
    }

    @Test func rulesWithoutInheritanceStayInTheirDirectory() throws {
        let list = try makeList([":n .rf"], files: ["/src/.rf": "- foo\n: .in\n", "/src/.in": "- bar"])
        try list.enter(directory: Bytes(""))
        #expect(list.decide("foo") == -1)
        // A dir-merge rule found here is read here too.
        #expect(list.decide("bar") == -1)
        try list.enter(directory: Bytes("sub"))
        #expect(list.decide("sub/foo") == 0)
        #expect(list.decide("sub/bar") == 0)
        list.leave()
        #expect(list.decide("bar") == -1)
    }

    @Test func parentsAreScanned() throws {
        let list = try makeList(
            files: [
                "/.rsync-filter": "- one\n- two", "/a/.rsync-filter": "+ two\n- /b/three",
                "/a/b/.rsync-filter": "- four",
            ],
            work: "/a/b")
        try list.addFilterShortcut()
        try list.enter(directory: Bytes("."))
        #expect(list.decide("one") == -1)
        #expect(list.decide("two") == 1)
        #expect(list.decide("three") == -1)
        #expect(list.decide("x/three") == 0)
        #expect(list.decide("four") == -1)
    }

    @Test func mergeNamesInPerDirectoryFiles() throws {
        let list = try makeList(
            [": .rf"],
            files: [
                "/src/d/.rf": ". ./other\n. plain\n", "/src/d/other": "- a", "/src/plain": "- b",
                "/src/d/plain": "- c", "plain": "- d",
            ])
        try list.enter(directory: Bytes("d"))
        #expect(list.decide("d/a") == -1)
        #expect(list.decide("d/b") == -1)
        #expect(list.decide("d/c") == 0)
        #expect(list.decide("d/d") == 0)
    }

    @Test func errorsNameTheWholePath() throws {
        let list = try makeList([": .rf"], files: ["/src/.rf": "bogus"])
        let failure = #expect(throws: TransferFailure.self) { try list.enter(directory: Bytes(".")) }
        #expect(failure?.lines.map(\.displayText) == ["Unknown filter rule: <rule from /src/.rf line 1>"])
    }

    @Test func secondDirMergeOfTheSameNameIsDropped() throws {
        let list = try makeList([": .rf", ":n- x/.rf"])
        #expect(list.rules.count == 1)
        try list.addFilter(Bytes("!"))
        #expect(list.isEmpty)
        try list.addFilter(Bytes(": .rf"))
        #expect(list.rules.count == 1)
    }

    @Test func sidesInFiles() throws {
        let files = ["/src/.rf": "H hid\nP prot\n- both"]
        let sender = try makeList([": .rf"], files: files, deleteExcluded: true)
        try sender.enter(directory: [])
        #expect(sender.decide("hid") == -1)
        #expect(sender.decide("both") == -1)
        let receiver = sender.copy(side: .receiver, role: .generator)
        try receiver.enter(directory: [])
        #expect(receiver.decide("prot", side: .receiver) == -1)
        #expect(receiver.decide("both", side: .receiver) == 0)
    }

    @Test func wordSplitAndComments() throws {
        let list = try makeList(
            [": .c", ":w- .w"], files: ["/src/.c": "# no\n; no\r\n- yes\r\r\n- last", "/src/.w": "a b\n#c\td "])
        try list.enter(directory: [])
        #expect(list.merges.map { $0.rules.map(\.pattern.displayText) } == [["yes", "last"], ["a", "b", "#c", "d"]])
    }
}

@Suite struct DecisionTests {
    @Test func sidesAndPerishable() throws {
        let list = try makeList(["H hid", "P prot", "-p per", "S *", "-x user.*"])
        #expect(list.decide("hid") == -1)
        #expect(list.decide("hid", side: .receiver) == 0)
        #expect(list.decide("prot", side: .receiver) == -1)
        #expect(list.decide("prot") == 1)
        #expect(list.decide("per", side: .receiver) == -1)
        list.ignoresPerishable = true
        #expect(list.decide("per", side: .receiver) == 0)
        #expect(list.decision(xattr: Bytes("user.foo"), side: .sender) == -1)
        #expect(list.decision(xattr: Bytes("trusted.foo"), side: .sender) == 0)
    }

    @Test func absoluteRulesSeeThePathBelowTheRoot() throws {
        let list = try makeList(["-/ /home/u/x", "-/ u/y", "-/ z"], work: "/home/u")
        #expect(list.decide("x") == -1)
        #expect(list.decide("d/x") == 0)
        #expect(list.decide("y") == -1)
        #expect(list.decide("any/z") == -1)
    }

    @Test func negatedDirectoryRules() throws {
        let list = try makeList(["-! keep/"])
        #expect(list.decide("file") == -1)
        #expect(list.decision(name: Bytes("keep"), isDirectory: true, side: .sender) == 0)
        #expect(list.decision(name: Bytes("keep"), isDirectory: false, side: .sender) == -1)
    }

    @Test func cvsListFromHomeAndEnvironment() throws {
        let list = try makeList(["-C"], files: ["/h/.cvsignore": "one  two\n"])
        list.settings.home = Bytes("/h")
        list.settings.cvsIgnore = Bytes("three")
        for name in ["one", "two", "three", "a.o", "core"] { #expect(list.decide(name) == -1, "\(name)") }
        let cleared = try makeList(["-C"])
        cleared.settings.cvsIgnore = Bytes("fa ! fb")
        #expect(cleared.decide("core") == 0)
        #expect(cleared.decide("fb") == -1)
    }

    @Test func daemonLists() throws {
        var settings = FilterList.Settings()
        settings.isDaemonList = true
        settings.amServer = true
        let list = FilterList(settings: settings)
        try list.addDaemonFilter(Bytes("- *.o + /x - /x2/"))
        try list.addDaemonPatterns(Bytes("keep"), isInclude: true)
        try list.addDaemonPatterns(Bytes("secret/ - /top *.bak"), isInclude: false)
        #expect(
            list.rules.map(\.pattern.displayText) == ["*.o", "/x", "/x2/***", "keep", "secret/***", "/top", "*.bak"])
        #expect(list.excludesPath(Bytes("a/secret/b/c"), isDirectory: false))
        #expect(list.excludesPath(Bytes("secret"), isDirectory: true))
        #expect(!list.excludesPath(Bytes("secret"), isDirectory: false))
        #expect(list.excludesPath(Bytes("y/../top"), isDirectory: false))
        #expect(!list.excludesPath(Bytes("y/top"), isDirectory: false))
    }

    @Test func debugLines() throws {
        let list = try makeList([": .rf", "-C", "+ d/"], files: ["/src/.rf": "- foo"])
        try list.enter(directory: [])
        var lines: [String] = []
        list.onMatch = { lines.append($0.line.displayText) }
        _ = list.decide("foo")
        _ = list.decide("x.o", side: .receiver)
        _ = list.decision(name: Bytes("d"), isDirectory: true, side: .sender)
        #expect(
            lines == [
                "hiding file foo because of pattern <rule from a file read earlier> [per-dir .rf]",
                "protecting file x.o because of pattern *.o [global CVS]",
                "showing directory d because of pattern d/",
            ])
    }
}

@Suite struct ImpliedNamesTests {
    static func implied(
        _ arguments: [String], recursive: Bool = true, relative: Bool = false, daemon: Bool = false
    ) -> ImpliedNames {
        var settings = ImpliedNames.Settings()
        settings.recursive = recursive
        settings.relative = relative
        settings.isDaemon = daemon
        let names = ImpliedNames(settings: settings)
        for argument in arguments { names.add(argument: Bytes(text: argument)) }
        return names
    }

    @Test func plainArguments() {
        let names = Self.implied(["/x/b.c"], recursive: false)
        #expect(names.allows(name: Bytes("b.c"), isDirectory: false))
        #expect(!names.allows(name: Bytes("a.o"), isDirectory: false))
        #expect(!names.allows(name: Bytes("d/b.c"), isDirectory: false))
        let tree = Self.implied(["src", "other/"])
        #expect(tree.allows(name: Bytes("src/a/b"), isDirectory: false))
        #expect(tree.allows(name: Bytes("anything"), isDirectory: false))
        #expect(!tree.isOnlyParent(directory: Bytes(".")))
        #expect(!Self.implied(["src"]).allows(name: Bytes("srcs"), isDirectory: false))
        #expect(Self.implied(["src"]).isOnlyParent(directory: Bytes(".")))
    }

    @Test func daemonArguments() {
        #expect(Self.implied(["mod/x"], daemon: true).allows(name: Bytes("x/y"), isDirectory: false))
        #expect(!Self.implied(["mod/x"], daemon: true).allows(name: Bytes("mod"), isDirectory: false))
        #expect(Self.implied(["mod"], daemon: true).allows(name: Bytes("z"), isDirectory: false))
    }

    @Test func relativeArgumentsAllowTheirParents() {
        let names = Self.implied(["/base/./a//b/c/"], relative: true)
        #expect(names.allows(name: Bytes("a"), isDirectory: true))
        #expect(!names.allows(name: Bytes("a"), isDirectory: false))
        #expect(names.allows(name: Bytes("a/b/c/d/e"), isDirectory: false))
        #expect(!names.allows(name: Bytes("a/x"), isDirectory: false))
        #expect(names.isOnlyParent(directory: Bytes("a/b")))
        #expect(!names.isOnlyParent(directory: Bytes("a/b/c")))
    }

    @Test func wildArguments() {
        let names = Self.implied(["d/*.c", "[x]", #"b\]k"#], recursive: false)
        for name in ["q.c", "x", "[x]", "b]k"] {
            #expect(names.allows(name: Bytes(text: name), isDirectory: false), "\(name)")
        }
        #expect(!names.allows(name: Bytes("q.o"), isDirectory: false))
    }
}
