// Dray — which local owner a received owner becomes.
// Layer: Engine. Behaviour: chapter 02 §3.2, chapter 04 §16.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayFilters
import DrayWire

/// Maps ids once each; used by the thread that receives lists.
final class OwnerMap {
    private let numeric: Bool
    private let isRoot: Bool
    private let groups: Set<UInt32>
    private let userRules: OwnerRules?
    private let groupRules: OwnerRules?
    /// The name of id 0 that a sender which does not tell it is taken to have.
    private let zeroName: Bytes?
    /// A daemon with numeric ids does not look at names, not even in rules.
    private let ignoresNames: Bool
    /// Takes a line about each id that is met (`--debug=own2`); nil costs nothing.
    private let tell: ((String) -> Void)?
    private let (tellsUsers, tellsGroups): (Bool, Bool)
    /// Generator and receiver take the later lists each for itself.
    var repeats = false
    private var users: [UInt32: UInt32] = [:]
    private var groupIDs: [UInt32: (gid: UInt32, skip: Bool)] = [:]

    init(session: Session) throws(TransferFailure) {
        let options = session.options
        numeric = options.numericIDs || session.environment.numericIDs
        ignoresNames = session.environment.numericIDs
        isRoot = options.actsLikeRoot
        tellsUsers = options.owner || options.acls
        tellsGroups = options.group || options.acls
        tell = options.debug[.own] >= 2 ? { session.reporter.info($0) } : nil
        groups = FileSystem.processGroups()
        let warn = { (line: Bytes) in session.reporter.error(line) }
        userRules = try options.userMap.map { (text) throws(TransferFailure) in
            try OwnerRules(text, option: "usermap", lookUp: IDNames.userID, warn: warn)
        }
        groupRules = try options.groupMap.map { (text) throws(TransferFailure) in
            try OwnerRules(text, option: "groupmap", lookUp: IDNames.groupID, warn: warn)
        }
        let isTold = session.flags.contains(.idZeroNames) && !options.numericIDs
        zeroName = isTold || numeric ? nil : Bytes("root")
    }

    func user(_ id: UInt32, _ received: Bytes?) -> UInt32 {
        let name = ignoresNames ? nil : received
        if !isRoot || numeric && userRules == nil { return id }
        if let known = users[id] { return known }
        var local = id
        if let mapped = userRules?.target(id, name ?? (id == 0 ? zeroName : nil)) {
            local = mapped
        } else if !numeric, let name, !name.isEmpty, id != 0, let found = IDNames.userID(name) {
            local = found
        }
        users[id] = local
        if tell != nil && tellsUsers { tellMapping("uid", id, name, local) }
        return local
    }

    func group(_ id: UInt32, _ received: Bytes?) -> (gid: UInt32, skip: Bool) {
        let name = ignoresNames ? nil : received
        if let known = groupIDs[id] { return known }
        var local = id
        if let mapped = groupRules?.target(id, name ?? (id == 0 ? zeroName : nil)) {
            local = mapped
        } else if !numeric || !isRoot, let name, !name.isEmpty, id != 0, let found = IDNames.groupID(name) {
            local = found
        }
        let result = (gid: local, skip: !isRoot && !groups.contains(local))
        groupIDs[id] = result
        if tell != nil && tellsGroups { tellMapping("gid", id, name, local) }
        return result
    }

    private func tellMapping(_ kind: String, _ id: UInt32, _ name: Bytes?, _ local: UInt32) {
        let shown = (name ?? (id == 0 ? zeroName : nil) ?? []).displayText
        for _ in 0..<(repeats ? 2 : 1) { tell?("\(kind) \(id)(\(shown)) maps to \(local)") }
    }

    /// Ids in ACLs of incremental lists: numeric ids leave those without a name alone, whatever the rules say.
    func accessUser(_ id: UInt32, _ name: Bytes?) -> UInt32 {
        numeric && name == nil ? id : user(id, name)
    }

    func accessGroup(_ id: UInt32, _ name: Bytes?) -> UInt32 {
        numeric && isRoot && name == nil ? id : group(id, name).gid
    }

    /// Applies id lists to every stored combination and ACL (non-incremental lists).
    func mapAll(
        _ table: AttributeTable, _ received: ReceivedMetadata, users list: [(UInt32, Bytes)],
        groups groupList: [(UInt32, Bytes)]
    ) {
        for (id, name) in list { _ = user(id, name) }
        for (id, name) in groupList { _ = group(id, name) }
        table.mapAll { attributes in
            attributes.uid = self.user(attributes.uid, nil)
            let (gid, skip) = self.group(attributes.gid, nil)
            attributes.gid = gid
            attributes.skipGroup = skip
        }
        for acls in [received.access, received.standard] {
            acls.mapAll { $0.id = $0.isUser ? self.user($0.id, nil) : self.group($0.id, nil).gid }
        }
    }
}

/// The rules of `--usermap` or `--groupmap`: the first match decides.
struct OwnerRules {
    private enum Match {
        case name(Bytes)
        case pattern(Bytes)
        case range(ClosedRange<UInt32>)
    }
    private var rules: [(match: Match, target: UInt32)] = []

    /// Parses `FROM:TO,…`.
    ///
    /// - Parameters:
    ///   - lookUp: finds the local id of a name.
    ///   - warn: told of rules that name nobody here; they are ignored.
    init(
        _ text: Bytes, option: StaticString, lookUp: (Bytes) -> UInt32?, warn: (Bytes) -> Void
    ) throws(TransferFailure) {
        func fail(_ what: String, _ value: Bytes) -> TransferFailure {
            TransferFailure(.syntax, lines: [Bytes(text: what) + value], role: .unsplitReceiver)
        }
        for rule in text.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).map({ Bytes($0) }) {
            guard let colon = rule.firstIndex(of: UInt8(ascii: ":")) else {
                throw fail("No colon found in --\(option): ", rule)
            }
            let from = Bytes(rule[..<colon])
            let to = Bytes(rule[(colon + 1)...])
            if to.isEmpty { throw fail("No name found after colon --\(option): ", rule) }
            let match = try Self.match(from, option)
            if to.allSatisfy(\.isASCIIDigit) {
                guard let id = parseDecimal(to).flatMap({ UInt32(exactly: $0) }) else {
                    throw fail("Invalid ID number: ", to)
                }
                rules.append((match, id))
            } else if let id = lookUp(to) {
                rules.append((match, id))
            } else {
                warn(Bytes(text: "Unknown --\(option) name on receiver: ") + to)
            }
        }
    }

    private static func match(_ from: Bytes, _ option: StaticString) throws(TransferFailure) -> Match {
        guard let first = from.first, first.isASCIIDigit else {
            return from.contains { $0 == 0x2a || $0 == 0x3f || $0 == 0x5b } ? .pattern(from) : .name(from)
        }
        let ends = from.split(separator: UInt8(ascii: "-"), maxSplits: 1, omittingEmptySubsequences: false)
        guard ends.allSatisfy({ !$0.isEmpty && $0.allSatisfy(\.isASCIIDigit) }) else {
            throw TransferFailure(
                .syntax, lines: [Bytes(text: "Invalid number in --\(option): ") + from], role: .unsplitReceiver)
        }
        var ids: [UInt32] = []
        for end in ends {
            guard let id = parseDecimal(end).flatMap({ UInt32(exactly: $0) }) else {
                throw TransferFailure(
                    .syntax, lines: [Bytes("Invalid ID number: ") + Bytes(end)], role: .unsplitReceiver)
            }
            ids.append(id)
        }
        let low = ids[0]
        let high = ids.count > 1 ? ids[1] : low
        // A reversed range matches nothing.
        return low <= high ? .range(low...high) : .name([0])
    }

    /// What `id` becomes; nil if no rule matches.
    func target(_ id: UInt32, _ name: Bytes?) -> UInt32? {
        for rule in rules {
            switch rule.match {
            case .name(let wanted): if wanted == name ?? [] { return rule.target }
            case .pattern(let pattern): if WildcardMatcher.matches(pattern, name ?? []) { return rule.target }
            case .range(let range): if range.contains(id) { return rule.target }
            }
        }
        return nil
    }
}
