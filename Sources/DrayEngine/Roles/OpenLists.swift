// Dray — the lists that the generator has walked while transfers of theirs are outstanding.
// Layer: Engine.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Lists in the order of their indices, oldest first, found by the index of an entry.
///
/// A tree of small directories keeps thousands of them open: nothing here takes time in proportion to their number.
struct OpenLists {
    private struct Item {
        /// First index that belongs to the list, its directory's included.
        let start: Int32
        let segment: FileSegment
        var outstanding = 0
        var redo = 0
    }
    private var items = RollingQueue<Item>()
    /// Files that are to come again, in all lists.
    private(set) var redoCount = 0

    var count: Int { items.count }
    var isEmpty: Bool { items.isEmpty }

    mutating func append(_ segment: FileSegment) {
        items.append(Item(start: segment.ndxStart - 1, segment: segment))
    }

    /// The oldest list if nothing of it is outstanding.
    var finished: FileSegment? {
        guard let first = items.first, first.outstanding == 0, first.redo == 0 else { return nil }
        return first.segment
    }

    mutating func removeFirst() { items.removeFirst() }

    /// Counts transfers of the list of `ndx`; indices of finished lists are not counted.
    mutating func addOutstanding(_ change: Int, for ndx: Int32) {
        if let place = place(ndx) { items[place].outstanding += change }
    }

    mutating func addRedo(_ change: Int, for ndx: Int32) {
        guard let place = place(ndx) else { return }
        items[place].redo += change
        redoCount += change
    }

    /// Place of the last list that does not start beyond `ndx`. The newest one is asked for most.
    private func place(_ ndx: Int32) -> Int? {
        guard let last = items.last else { return nil }
        if last.start <= ndx { return items.count - 1 }
        let place = items.firstIndex(whereSorted: { $0.start > ndx }) - 1
        return place < 0 ? nil : place
    }
}
