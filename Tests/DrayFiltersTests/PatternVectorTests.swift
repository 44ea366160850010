// Dray — pattern vectors, checked with rsync 3.5.0. Origin: chapter 06 §7.1 of the specification.
// Layer: Tests.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Testing

@testable import DrayFilters

@Suite struct PatternVectorTests {
    struct Vector: Sendable, CustomTestStringConvertible {
        var number: Int, pattern: String, path: String, excluded: Bool
        var testDescription: String { "\(number): \(pattern) on \(path)" }
        init(_ number: Int, _ pattern: String, _ path: String, _ excluded: Bool) {
            (self.number, self.pattern, self.path, self.excluded) = (number, pattern, path, excluded)
        }
    }

    static let vectors: [Vector] = [
        Vector(1, #"/a/b"#, #"a/b"#, true),
        Vector(2, #"/a/b"#, #"x/a/b"#, false),
        Vector(3, #"a/b"#, #"x/a/b"#, true),
        Vector(4, #"a/b"#, #"xa/b"#, false),
        Vector(5, #"b"#, #"x/y/b"#, true),
        Vector(6, #"b"#, #"x/yb"#, false),
        Vector(7, #"/*"#, #"top"#, true),
        Vector(8, #"/*"#, #"d/top"#, true),
        Vector(9, #"*.o"#, #"x/y.o"#, true),
        Vector(10, #"*.o"#, #".o"#, true),
        Vector(11, #"*.o"#, #"y.oo"#, false),
        Vector(12, #"?"#, #"a"#, true),
        Vector(13, #"?"#, #"ab"#, false),
        Vector(14, #"a?c"#, #"a/c"#, false),
        Vector(15, #"/a*c"#, #"a/b/c"#, false),
        Vector(16, #"/a**c"#, #"a/b/c"#, true),
        Vector(17, #"/a**c"#, #"ac"#, true),
        Vector(18, #"a**c"#, #"x/a/b/c"#, true),
        Vector(19, #"a**c"#, #"xa/b/c"#, false),
        Vector(20, #"**/c"#, #"c"#, true),
        Vector(21, #"**/c"#, #"x/y/c"#, true),
        Vector(22, #"/**/c"#, #"c"#, false),
        Vector(23, #"/**/c"#, #"x/c"#, true),
        Vector(24, #"x/**/c"#, #"x/c"#, false),
        Vector(25, #"x/**/c"#, #"x/y/c"#, true),
        Vector(26, #"x/**/c"#, #"w/x/y/z/c"#, true),
        Vector(27, #"**c"#, #"x/yc"#, true),
        Vector(28, #"x**"#, #"x/y/z"#, true),
        Vector(29, #"/x/**"#, #"x/y/z"#, true),
        Vector(30, #"/x/**"#, #"x/"#, false),
        Vector(31, #"/x/***"#, #"x/"#, true),
        Vector(32, #"/x/***"#, #"x"#, false),
        Vector(33, #"x/***"#, #"w/x/q"#, true),
        Vector(34, #"x/"#, #"w/x/"#, true),
        Vector(35, #"x/"#, #"w/x"#, false),
        Vector(36, #"/x/"#, #"w/x/"#, false),
        Vector(37, #"a/b/"#, #"w/a/b/"#, true),
        Vector(38, #"a/*/c"#, #"q/a/b/c"#, true),
        Vector(39, #"a/*/c"#, #"a/b/d/c"#, false),
        Vector(40, #"*/c"#, #"a/c"#, true),
        Vector(41, #"*/c"#, #"c"#, false),
        Vector(42, #"*/c"#, #"a/b/c"#, true),
        Vector(43, #"/*/c"#, #"a/b/c"#, false),
        Vector(44, #"*/*"#, #"f"#, false),
        Vector(45, #"/*/*"#, #"d/f"#, true),
        Vector(46, #"[abc]x"#, #"bx"#, true),
        Vector(47, #"[!abc]x"#, #"bx"#, false),
        Vector(48, #"[^abc]x"#, #"dx"#, true),
        Vector(49, #"[a-c]"#, #"d"#, false),
        Vector(50, #"[]x]"#, #"]"#, true),
        Vector(51, #"[!]x]"#, #"y"#, true),
        Vector(52, #"[!]x]"#, #"]"#, false),
        Vector(53, #"[a-]"#, #"-"#, true),
        Vector(54, #"[-a]"#, #"-"#, true),
        Vector(55, #"[--0]x"#, #".x"#, true),
        Vector(56, #"[z-a]"#, #"m"#, false),
        Vector(57, #"a[/]b"#, #"a/b"#, false),
        Vector(58, #"a[!x]b"#, #"a/b"#, false),
        Vector(59, #"[[:digit:]]*"#, #"7up"#, true),
        Vector(60, #"[[:digit:]]*"#, #"up7"#, false),
        Vector(61, #"[[:alpha:][:digit:]]"#, #"q"#, true),
        Vector(62, #"[[:upper:]]"#, #"q"#, false),
        Vector(63, #"[[:punct:]]"#, #"_"#, true),
        Vector(64, #"[[:foo:]]"#, #"f"#, false),
        Vector(65, #"[[:digit]"#, #"g"#, true),
        Vector(66, #"[[:digit]"#, #"["#, true),
        Vector(67, #"[^[:space:]]"#, #"a"#, true),
        Vector(68, #"[[:xdigit:]][[:xdigit:]]"#, #"fF"#, true),
        Vector(69, #"\*"#, #"*"#, true),
        Vector(70, #"\*"#, #"x"#, false),
        Vector(71, #"a\*b*"#, #"a*bc"#, true),
        Vector(72, #"a\*b*"#, #"axbc"#, false),
        Vector(73, #"a\b"#, #"a\b"#, true),
        Vector(74, #"a\b"#, #"ab"#, false),
        Vector(75, #"a\b*"#, #"abX"#, true),
        Vector(76, #"a\b*"#, #"a\bX"#, false),
        Vector(77, #"a\\b*"#, #"a\bX"#, true),
        Vector(78, #"[\]]"#, #"]"#, true),
        Vector(79, #"[\a-\c]"#, #"b"#, true),
        Vector(80, #"[a"#, #"[a"#, false),
        Vector(81, #"*["#, #"x["#, false),
        Vector(82, #"foo\"#, #"foo\"#, true),
        Vector(83, #"*\"#, #"x\"#, false),
        Vector(84, #"A*"#, #"abc"#, false),
        Vector(85, #"*é*"#, #"café"#, true),
        Vector(86, #"caf?"#, #"café"#, false),
        Vector(87, #"caf??"#, #"café"#, true),
        Vector(88, #"caf[é]"#, #"café"#, false),
        Vector(89, #"***"#, #"x/y"#, true),
        Vector(90, #"a***b"#, #"a/x/b"#, true),
        Vector(91, #"/a/*/**"#, #"a/b/c"#, true),
        Vector(92, #"/a/*/**"#, #"a/b"#, false),
        Vector(93, #"a**/b"#, #"a/x/b"#, true),
        Vector(94, #"a**/b"#, #"ab"#, false),
        Vector(95, #"/a/"#, #"a"#, false),
        Vector(96, #"//a"#, #"a"#, false),
        Vector(97, #"./a"#, #"a"#, false),
        Vector(98, #"a//b"#, #"a/b"#, false),
    ]

    @Test(arguments: vectors)
    func vector(_ vector: Vector) throws {
        let list = FilterList()
        try list.addExclude(Bytes(text: vector.pattern))
        #expect(list.excludesPath(Bytes(text: vector.path), isDirectory: vector.path.hasSuffix("/")) == vector.excluded)
    }

    @Test func hostilePatternsAreFast() {
        let text = Bytes(repeating: UInt8(ascii: "a"), count: 4000)
        for star in ["*a", "**a", "*[a]", "a*"] {
            let pattern = Bytes(text: String(repeating: star, count: 300) + "b")
            #expect(!WildcardMatcher.matches(pattern, text))
        }
    }

    @Test func caseFoldingIsOnRequest() {
        #expect(WildcardMatcher.matches(Bytes("*.EXAMPLE.[a-z]*"), Bytes("host.example.COM"), foldsCase: true))
        #expect(!WildcardMatcher.matches(Bytes("*.EXAMPLE.*"), Bytes("host.example.COM")))
    }
}
