// Dray — lists of extended attributes as the file list carries them.
// Layer: Core. Wire format: chapter 02 §6, chapter 03 §2.6.
// SPDX-License-Identifier: Apache-2.0

/// One attribute of a list.
public struct ExtendedAttribute: Hashable, Sendable {
    /// Values longer than this travel as digests first.
    public static let longestInline = 32
    public static let digestLength = 16

    /// Without terminator.
    public var name: Bytes
    /// Bytes of the value.
    public var length: Int
    /// The value, or its MD5 digest if it is longer than `longestInline`.
    public var data: Bytes
    /// Position in the list as sent, from 1.
    public var number: Int32

    public init(name: Bytes, length: Int, data: Bytes, number: Int32) {
        self.name = name
        self.length = length
        self.data = data
        self.number = number
    }

    public var isAbbreviated: Bool { length > Self.longestInline }
}

/// One received list, shared by all entries that refer to it.
public final class ExtendedAttributeList: Sendable {
    /// Sorted by local name.
    public let pairs: [ExtendedAttribute]
    private struct State {
        var values: [Int32: Bytes] = [:]
        var requested: Set<Int32> = []
    }
    private let state = Monitor(State())

    public init(pairs: [ExtendedAttribute]) { self.pairs = pairs }

    /// The whole value of a pair if it is at hand.
    public func value(_ pair: ExtendedAttribute) -> Bytes? {
        pair.isAbbreviated ? state.withLock { $0.values[pair.number] } : pair.data
    }

    /// Keeps a value that the sender delivered; it is never delivered twice.
    public func store(_ value: Bytes, number: Int32) { state.withLock { $0.values[number] = value } }

    /// Notes a request for a value; false if it was requested before.
    public func request(_ number: Int32) -> Bool { state.withLock { $0.requested.insert(number).inserted } }

    public func pair(number: Int32) -> ExtendedAttribute? { pairs.first { $0.number == number } }
}

/// The lists of one connection in order of transmission.
public final class ExtendedAttributeTable: Sendable {
    private let lists = Monitor<[ExtendedAttributeList]>([])

    public init() {}

    public var count: Int { lists.withLock { $0.count } }

    /// Adds one and returns its number.
    public func append(_ list: ExtendedAttributeList) -> Int32 {
        lists.withLock { lists in
            lists.append(list)
            return Int32(lists.count - 1)
        }
    }

    public subscript(number: Int32) -> ExtendedAttributeList { lists.withLock { $0[Int(number)] } }
}
