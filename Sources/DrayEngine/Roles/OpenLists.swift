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
        /// Given back as soon as the list is finished, though the item stays for a while.
        var segment: FileSegment?
        var outstanding = 0
        var redo = 0
    }
    private var items: [Item] = []
    /// Items before it are finished.
    private var head = 0
    /// Item that was found last: neighbours are asked for one after the other.
    private var recent = 0
    /// Files that are to come again, in all lists.
    private(set) var redoCount = 0

    var count: Int { items.count - head }
    var isEmpty: Bool { count == 0 }

    mutating func append(_ segment: FileSegment) {
        items.append(Item(start: segment.ndxStart - 1, segment: segment))
    }

    /// The oldest list if nothing of it is outstanding.
    var finished: FileSegment? {
        guard head < items.count, items[head].outstanding == 0, items[head].redo == 0 else { return nil }
        return items[head].segment
    }

    mutating func removeFirst() {
        items[head].segment = nil
        head += 1
        if head >= 64 && head * 2 >= items.count {
            items.removeFirst(head)
            recent = max(0, recent - head)
            head = 0
        }
    }

    /// Counts transfers of the list of `ndx`; indices of finished lists are not counted.
    mutating func addOutstanding(_ change: Int, for ndx: Int32) {
        if let place = place(ndx) { items[place].outstanding += change }
    }

    mutating func addRedo(_ change: Int, for ndx: Int32) {
        guard let place = place(ndx) else { return }
        items[place].redo += change
        redoCount += change
    }

    private mutating func place(_ ndx: Int32) -> Int? {
        guard head < items.count, items[head].start <= ndx else { return nil }
        if recent >= head && recent < items.count && items[recent].start <= ndx {
            if recent + 1 == items.count || items[recent + 1].start > ndx { return recent }
        }
        // The last item whose start is not beyond the index.
        var low = head
        var high = items.count
        while low + 1 < high {
            let middle = (low + high) / 2
            if items[middle].start <= ndx { low = middle } else { high = middle }
        }
        recent = low
        return low
    }
}
