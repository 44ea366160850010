// Dray — access control lists in rsync's form, and the list of one connection's distinct ones.
// Layer: Core. Wire format: chapter 02 §5.
// SPDX-License-Identifier: Apache-2.0

/// A POSIX access or default ACL; parts that are absent are given by the mode.
public struct AccessControlList: Hashable, Sendable {
    /// Stands for an absent object entry.
    public static let absent: UInt8 = 0x80

    /// One entry of a named user or group.
    public struct Named: Hashable, Sendable {
        public var id: UInt32
        /// rwx as 4/2/1.
        public var permissions: UInt8
        public var isUser: Bool

        public init(id: UInt32, permissions: UInt8, isUser: Bool) {
            self.id = id
            self.permissions = permissions
            self.isUser = isUser
        }
    }

    public var userObject = absent
    public var groupObject = absent
    public var mask = absent
    public var other = absent
    /// Users before groups, ascending ids in each.
    public var named: [Named] = []

    public init() {}

    /// An access ACL that says what `mode` says.
    public init(mode: UInt32) {
        userObject = UInt8(mode >> 6 & 7)
        groupObject = UInt8(mode >> 3 & 7)
        other = UInt8(mode & 7)
    }

    /// Whether nothing is stated (no default ACL; an access ACL that the mode replaces).
    public var isEmpty: Bool {
        userObject == Self.absent && groupObject == Self.absent && mask == Self.absent && other == Self.absent
            && named.isEmpty
    }

    /// Whether an access ACL says more than a mode can.
    public var isExtended: Bool { mask != Self.absent || !named.isEmpty }

    /// Puts the named entries into the order of the wire.
    public mutating func sort() {
        named.sort { a, b in a.isUser != b.isUser ? a.isUser : a.id < b.id }
    }

    /// The access ACL without what the mode already tells: what is sent (chapter 02 §5.2).
    public func stripped(mode: UInt32) -> AccessControlList {
        let group = UInt8(mode >> 3 & 7)
        var result = self
        result.userObject = Self.absent
        result.other = Self.absent
        if mask == Self.absent {
            result.groupObject = Self.absent
        } else {
            if groupObject == group { result.groupObject = Self.absent }
            if !named.isEmpty && mask == group { result.mask = Self.absent }
        }
        return result
    }

    /// The whole access ACL of an item that is to have `mode` (chapter 02 §5.3).
    public func merged(mode: UInt32) -> AccessControlList {
        var result = self
        result.userObject = UInt8(mode >> 6 & 7)
        result.other = UInt8(mode & 7)
        if groupObject == Self.absent { result.groupObject = UInt8(mode >> 3 & 7) }
        if mask != Self.absent { result.mask = UInt8(mode >> 3 & 7) }
        return result
    }

    /// Whether two access ACLs grant the same beyond their items' modes.
    public func equalsAccess(_ other: AccessControlList, mode: UInt32, otherMode: UInt32) -> Bool {
        if (mask == Self.absent) != (other.mask == Self.absent) { return false }
        if mask != Self.absent {
            let mine = groupObject == Self.absent ? UInt8(mode >> 3 & 7) : groupObject
            let theirs = other.groupObject == Self.absent ? UInt8(otherMode >> 3 & 7) : other.groupObject
            if mine != theirs { return false }
        }
        return named == other.named
    }

    /// Permission bits that a default ACL gives a new item in place of `0777 & ~umask`.
    public var inheritedPermissions: UInt32 {
        let group = mask == Self.absent ? groupObject : mask
        return UInt32(userObject & 7) << 6 | UInt32(group & 7) << 3 | UInt32(other & 7)
    }
}

/// Distinct ACLs of one kind, numbered in order of transmission for the whole connection.
public final class AccessControlTable: Sendable {
    private let lists = Monitor<[AccessControlList]>([])

    public init() {}

    public var count: Int { lists.withLock { $0.count } }

    /// Adds one and returns its number.
    public func append(_ list: AccessControlList) -> Int32 {
        lists.withLock { lists in
            lists.append(list)
            return Int32(lists.count - 1)
        }
    }

    public subscript(number: Int32) -> AccessControlList { lists.withLock { $0[Int(number)] } }

    /// Rewrites the ids of all named entries (ownership mapping after the id lists have arrived).
    public func mapAll(_ transform: (inout AccessControlList.Named) -> Void) {
        lists.withLock { lists in
            for index in lists.indices where !lists[index].named.isEmpty {
                for position in lists[index].named.indices { transform(&lists[index].named[position]) }
                lists[index].sort()
            }
        }
    }
}
