// Dray — which symlink targets may leave the transferred tree.
// Layer: Core. Behaviour: chapter 04 §12, chapter 08 SEC-021.
// SPDX-License-Identifier: Apache-2.0

/// Judgement on symlink targets by their text alone.
public enum SymlinkSafety {
    /// Whether `target` of the link at `path` (relative to the transfer root) is empty, absolute, or leaves the tree.
    public static func isUnsafe(target: Bytes, at path: Bytes) -> Bool {
        let slash = UInt8(ascii: "/")
        guard let first = target.first, first != slash else { return true }
        // "/../" anywhere behind the leading run of "../" makes the depth depend on what the names are.
        var start = 0
        while target.count >= start + 3, target[start] == 0x2e, target[start + 1] == 0x2e, target[start + 2] == slash {
            start += 3
            while start < target.count && target[start] == slash { start += 1 }
        }
        let rest = Array(target[start...])
        if contains(rest, Bytes("/../")) { return true }
        if rest.count > 3 && rest.hasSuffix(Bytes("/..")) { return true }
        var depth = 0
        let components = path.fields { $0 == slash }
        for component in components.dropLast() {
            if component == Bytes("..") { depth = 0 } else if component != Bytes(".") { depth += 1 }
        }
        let parts = target.fields { $0 == slash }
        for (index, part) in parts.enumerated() {
            if part == Bytes("..") {
                depth -= 1
                if depth < 0 { return true }
            } else if part != Bytes("."), index < parts.count - 1 {
                depth += 1
            }
        }
        return false
    }

    private static func contains(_ text: Bytes, _ pattern: Bytes) -> Bool {
        guard text.count >= pattern.count else { return false }
        for start in 0...(text.count - pattern.count) where text[start..<(start + pattern.count)].elementsEqual(pattern)
        {
            return true
        }
        return false
    }
}

/// What is said where a link on a path of the operator belongs to somebody else.
public let untrustedLinkText: StaticString = """
    refusing to follow a symlink owned by an untrusted user; use --insecure-links locally or "insecure links = yes" \
    in a daemon module ONLY if every path component is trusted
    """
