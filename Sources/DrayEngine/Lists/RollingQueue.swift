// Dray — a queue whose elements can be searched by halving.
// Layer: Engine.
// SPDX-License-Identifier: Apache-2.0

/// Elements in the order of their arrival. Taking the first one costs the same however many there are, and it is given
/// back at once.
///
/// Indices count from the first element that is left.
struct RollingQueue<Element>: RandomAccessCollection {
    private var items: [Element?] = []
    /// Items before it were taken.
    private var head = 0

    init() {}

    var startIndex: Int { 0 }
    var endIndex: Int { items.count - head }

    subscript(index: Int) -> Element {
        @inline(__always) get { items[head + index]! }
        @inline(__always) _modify { yield &items[head + index]! }
    }

    mutating func append(_ element: Element) { items.append(element) }

    /// Takes the first element; there must be one.
    @discardableResult
    mutating func removeFirst() -> Element {
        let element = self[0]
        items[head] = nil
        head += 1
        if head >= 64 && head * 2 >= items.count {
            items.removeFirst(head)
            head = 0
        }
        return element
    }

    /// Index of the first element for which `isBehind` is true, else `endIndex`; it must be true for all behind it.
    @inline(__always)
    func firstIndex(whereSorted isBehind: (Element) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if isBehind(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
