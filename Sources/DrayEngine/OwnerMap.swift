// Dray — which local owner a received owner becomes.
// Layer: Engine. Behaviour: chapter 02 §3.2, chapter 04 §16.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles

/// Maps ids once each; used by the thread that receives lists.
final class OwnerMap {
    private let numeric: Bool
    private let isRoot: Bool
    private let groups: Set<UInt32>
    private var users: [UInt32: UInt32] = [:]
    private var groupIDs: [UInt32: (gid: UInt32, skip: Bool)] = [:]

    init(session: Session) {
        numeric = session.options.numericIDs || session.environment.numericIDs
        isRoot = session.options.superUser ?? (FileSystem.effectiveUser == 0)
        groups = FileSystem.processGroups()
    }

    func user(_ id: UInt32, _ name: Bytes?) -> UInt32 {
        if !isRoot || numeric { return id }
        if let known = users[id] { return known }
        var local = id
        if let name, !name.isEmpty, id != 0, let found = IDNames.userID(name) { local = found }
        users[id] = local
        return local
    }

    func group(_ id: UInt32, _ name: Bytes?) -> (gid: UInt32, skip: Bool) {
        if let known = groupIDs[id] { return known }
        var local = id
        if !numeric || !isRoot, let name, !name.isEmpty, id != 0, let found = IDNames.groupID(name) { local = found }
        let result = (gid: local, skip: !isRoot && !groups.contains(local))
        groupIDs[id] = result
        return result
    }

    /// Applies id lists to every stored triple (non-incremental lists).
    func mapAll(_ table: AttributeTable, users list: [(UInt32, Bytes)], groups groupList: [(UInt32, Bytes)]) {
        for (id, name) in list { _ = user(id, name) }
        for (id, name) in groupList { _ = group(id, name) }
        table.mapAll { attributes in
            attributes.uid = self.user(attributes.uid, nil)
            let (gid, skip) = self.group(attributes.gid, nil)
            attributes.gid = gid
            attributes.skipGroup = skip
        }
    }
}
