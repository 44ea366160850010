// Dray — which extended attributes are copied, and under what names.
// Layer: Engine. Behaviour: chapter 02 §6.2, chapter 06 (rules with `x`).
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayFilters

/// Decides about attribute names. One role owns it.
final class XattrPolicy {
    private static let user = Bytes("user.")
    private static let system = Bytes("system.")
    private static let percent = UInt8(ascii: "%")

    private let rules: FilterList?
    private let side: FilterSide
    /// All namespaces but `system.` may be changed here.
    private let isRoot: Bool
    private let isFake: Bool
    /// rsync's own attributes are copied like others (`-XX`).
    private let copiesOwn: Bool

    init(session: Session, side: FilterSide) {
        let options = session.options
        self.side = side
        rules = session.filters.hasXattrRules ? session.filters.copy(side: side, role: session.role) : nil
        isFake = options.fakeSuper
        isRoot = options.actsAsRoot
        copiesOwn = options.xattrs > 1
    }

    /// Whether a local attribute is read: to be sent, or to be compared and maybe removed.
    func handles(_ name: Bytes) -> Bool {
        if let rules {
            if rules.decision(xattr: name, side: side) < 0 { return false }
        } else if side == .sender {
            if name.hasPrefix(Self.system) { return false }
        } else if isRoot ? name.hasPrefix(Self.system) : !name.hasPrefix(Self.user) {
            return false
        }
        if isFake && FakeSuper.isOwn(name) { return false }
        // What nobody sends is still there to be removed.
        return copiesOwn || side == .receiver || !Self.isReserved(name)
    }

    /// The name under which a local attribute is sent.
    func wireName(_ name: Bytes) -> Bytes {
        guard isFake, name.hasPrefix(FakeSuper.prefix), name.count > FakeSuper.prefix.count,
            name[FakeSuper.prefix.count] != Self.percent
        else { return name }
        return Bytes(name[FakeSuper.prefix.count...])
    }

    /// The name that a received attribute gets; nil if it cannot be stored.
    func localName(_ name: Bytes) -> Bytes? {
        if !copiesOwn && Self.isReserved(name) { return nil }
        if let rules, rules.decision(xattr: name, side: side) < 0 { return nil }
        if isFake && FakeSuper.isOwn(name) { return nil }
        // Compatibility: root takes what it is given; only a sender with rules of its own sends `system.` at all.
        if isRoot { return name }
        if name.hasPrefix(Self.user) { return name }
        return isFake || rules != nil ? FakeSuper.prefix + name : nil
    }

    private static func isReserved(_ name: Bytes) -> Bool {
        name.count > FakeSuper.prefix.count && name.hasPrefix(FakeSuper.prefix)
            && name[FakeSuper.prefix.count] == percent
    }
}

extension TransferOptions {
    /// Owners, devices and all attributes are set for real.
    var actsAsRoot: Bool { !fakeSuper && (superUser ?? (FileSystem.effectiveUser == 0)) }
    /// Owners and devices count: for real, or as stored by `--fake-super`.
    var actsLikeRoot: Bool { fakeSuper || actsAsRoot }
}
