// Dray — ACLs and extended attributes of the trees that tests copy.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import Glibc

extension FileTree {
    /// Sets an attribute of a name, or of a symlink itself. File systems without attributes are let pass.
    public func attribute(_ name: String, _ key: String, _ value: [UInt8]) throws {
        let result = value.withUnsafeBytes { dray_lsetxattr(path(name), key, $0.baseAddress, $0.count) }
        if result < 0 && errno != ENOTSUP && errno != EPERM && errno != ENOSPC {
            throw SystemCallError(call: "lsetxattr \(name) \(key)", code: errno)
        }
    }

    public func removeAttribute(_ name: String, _ key: String) { _ = dray_lremovexattr(path(name), key) }

    /// One entry of an ACL: tag 1 owner, 2 user, 4 owning group, 8 group, 16 mask, 32 others.
    public struct ACLEntry: Sendable {
        var tag: UInt16
        var permissions: UInt16
        var id: UInt32
        public init(_ tag: UInt16, _ permissions: UInt16, _ id: UInt32 = .max) {
            self.tag = tag
            self.permissions = permissions
            self.id = id
        }
    }

    /// Gives an item an ACL, in the kernel's form.
    public func acl(_ name: String, isDefault: Bool = false, _ entries: [ACLEntry]) throws {
        var value: [UInt8] = [2, 0, 0, 0]
        for entry in entries {
            withUnsafeBytes(of: entry.tag.littleEndian) { value += $0 }
            withUnsafeBytes(of: entry.permissions.littleEndian) { value += $0 }
            withUnsafeBytes(of: entry.id.littleEndian) { value += $0 }
        }
        try attribute(name, isDefault ? "system.posix_acl_default" : "system.posix_acl_access", value)
    }

    private static let shared: [ACLEntry] = [
        .init(1, 6), .init(2, 4, 1), .init(4, 4), .init(8, 6, 2), .init(16, 6), .init(32, 4),
    ]

    /// A directory with ACLs of every kind and attributes around each limit.
    public func addMetadata() throws {
        try directory("meta")
        for length in [0, 1, 32, 33, 3_000] {
            try file("meta/value-\(length)", Self.noise(50, seed: UInt64(length)))
            try attribute("meta/value-\(length)", "user.value", Self.noise(length, seed: 50))
        }
        try file("meta/huge", Self.noise(60, seed: 51))
        try attribute("meta/huge", "user.huge", Self.noise(40_000, seed: 52))
        for name in ["meta/shared-1", "meta/shared-2", "meta/shared-3"] {
            try file(name, Self.noise(70, seed: 53))
            try attribute(name, "user.short", Array("val".utf8))
            try attribute(name, "user.long", Self.noise(900, seed: 54))
            try acl(name, Self.shared)
        }
        try file("meta/mask", Self.noise(10, seed: 55))
        try acl("meta/mask", [.init(1, 6), .init(4, 4), .init(16, 6), .init(32, 4)])
        try file("meta/setuid-acl", Self.noise(10, seed: 56), mode: 0o755)
        try acl(
            "meta/setuid-acl",
            [.init(1, 7), .init(2, 5, 1), .init(2, 7, 4_000_000), .init(4, 5), .init(16, 5), .init(32, 5)])
        chmod(path("meta/setuid-acl"), 0o4755)
        try directory("meta/default")
        try acl(
            "meta/default", isDefault: true,
            [.init(1, 7), .init(2, 7, 1), .init(4, 5), .init(8, 4, 3), .init(16, 7), .init(32, 5)])
        try acl(
            "meta/default", [.init(1, 7), .init(2, 7, 5), .init(4, 5), .init(16, 7), .init(32, 5)])
        try file("meta/default/inherits", Self.noise(20, seed: 57))
        try directory("meta/empty-value")
        try attribute("meta/empty-value", "user.x", [])
        try directory("meta/long")
        try attribute("meta/long", "user.long", Self.noise(900, seed: 54))
        try directory("meta/long-too")
        try attribute("meta/long-too", "user.long", Self.noise(900, seed: 54))
        try symlink("meta/link", to: "mask")
        if geteuid() == 0 {
            try attribute("meta/link", "trusted.link", Self.noise(50, seed: 58))
            // Compatibility: rsync's --fake-super loses ACLs of items that it sets other attributes of without a
            // transfer, so no such item has both.
            try attribute("meta/value-1", "trusted.short", [1, 2, 3])
            try owner("meta/mask", 1, 2)
        }
        for (position, name) in ["meta/empty-value", "meta/default", "meta/long", "meta/long-too", "meta", ""]
            .enumerated()
        {
            try setTime(name, 1_450_100_000 + Int64(position))
        }
    }

    /// Changes what `addMetadata` made: attributes missing, different and superfluous; the same for ACLs.
    public func outdateMetadata() throws {
        removeAttribute("meta/value-33", "user.value")
        try attribute("meta/value-32", "user.value", Self.noise(32, seed: 60))
        try attribute("meta/value-3000", "user.value", Self.noise(3_000, seed: 61))
        try attribute("meta/value-1", "user.more", [1])
        remove("meta/shared-1")
        try file("meta/shared-2", Self.noise(71, seed: 62), time: 1_400_000_000)
        removeAttribute("meta/shared-3", "system.posix_acl_access")
        try acl("meta/value-0", Self.shared)
        removeAttribute("meta/mask", "system.posix_acl_access")
        removeAttribute("meta/default", "system.posix_acl_default")
        removeAttribute("meta/long", "user.long")
        try attribute("meta/long-too", "user.long", Self.noise(900, seed: 63))
        chmod(path("meta/setuid-acl"), 0o755)
        for name in ["meta/default", "meta/long", "meta/long-too", "meta", ""] { try setTime(name, 1_440_000_000) }
    }
}
