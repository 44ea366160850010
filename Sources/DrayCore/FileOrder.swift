// Dray — the sort order of file lists.
// Layer: Core. Wire format: chapter 02 §7.
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Compares and sorts entries of one list.
///
/// Protocol ≥ 29: within a directory all non-directories come first, then directories compared as `name/`; protocol
/// below 29 compares whole paths as bytes. Entries without a name, which only keep their number, come first.
public struct FileOrder {
    let segment: FileSegment
    let protocolVersion: Int32

    public init(segment: FileSegment, protocolVersion: Int32) {
        self.segment = segment
        self.protocolVersion = protocolVersion
    }

    /// Stable merge sort of entry numbers.
    func sort(_ order: inout [UInt32]) {
        let count = order.count
        guard let first = (1..<count).first(where: { compare(order[$0 - 1], order[$0]) > 0 }) else { return }
        // Some file systems list the newest name first. Equal entries would change places, so they end this.
        if first == 1, (2..<count).allSatisfy({ compare(order[$0 - 1], order[$0]) > 0 }) { return order.reverse() }
        var scratch = order
        order.withUnsafeMutableBufferPointer { a in
            scratch.withUnsafeMutableBufferPointer { b in
                mergeSort(a.baseAddress!, b.baseAddress!, 0, count)
            }
        }
    }

    private func mergeSort(
        _ a: UnsafeMutablePointer<UInt32>, _ b: UnsafeMutablePointer<UInt32>, _ low: Int, _ high: Int
    ) {
        if high - low <= 12 {
            var index = low + 1
            while index < high {
                let value = a[index]
                var hole = index
                while hole > low && compare(a[hole - 1], value) > 0 {
                    a[hole] = a[hole - 1]
                    hole -= 1
                }
                a[hole] = value
                index += 1
            }
            return
        }
        let middle = (low + high) / 2
        mergeSort(a, b, low, middle)
        mergeSort(a, b, middle, high)
        if compare(a[middle - 1], a[middle]) <= 0 { return }
        (b + low).update(from: a + low, count: middle - low)
        var left = low
        var right = middle
        var out = low
        while left < middle && right < high {
            if compare(b[left], a[right]) <= 0 {
                a[out] = b[left]
                left += 1
            } else {
                a[out] = a[right]
                right += 1
            }
            out += 1
        }
        while left < middle {
            a[out] = b[left]
            left += 1
            out += 1
        }
    }

    @inline(__always)
    private func compare(_ left: UInt32, _ right: UInt32) -> Int {
        compare(segment.wireEntry(Int(left)).pointee, segment.wireEntry(Int(right)).pointee)
    }

    /// Negative, zero or positive as `left` sorts before, with or after `right`.
    public func compare(_ left: FileEntry, _ right: FileEntry) -> Int {
        if protocolVersion < 29 { return comparePlain(left, right) }
        let leftIsDirectory = segment.isDirectory(left)
        let rightIsDirectory = segment.isDirectory(right)
        if left.directory == right.directory {
            return Self.compareLast(
                segment.name(left), leftIsDirectory, segment.name(right), rightIsDirectory,
                inRoot: segment.paths.path(left.directory).count == 0)
        }
        // The slow way: whole paths, component by component.
        return Self.comparePaths(
            PathPieces(directory: segment.paths.path(left.directory), name: segment.name(left)), leftIsDirectory,
            PathPieces(directory: segment.paths.path(right.directory), name: segment.name(right)), rightIsDirectory)
    }

    private func comparePlain(_ left: FileEntry, _ right: FileEntry) -> Int {
        if left.directory == right.directory { return Self.compareBytes(segment.name(left), segment.name(right)) }
        let a = segment.path(left)
        let b = segment.path(right)
        return a.withUnsafeBytes { a in b.withUnsafeBytes { b in Self.compareBytes(a, b) } }
    }

    /// Unsigned byte order, shorter prefix first.
    @inline(__always)
    static func compareBytes(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
        let common = min(a.count, b.count)
        if common > 0 {
            let difference = memcmp(a.baseAddress!, b.baseAddress!, common)
            if difference != 0 { return Int(difference) }
        }
        return a.count - b.count
    }

    /// Compares last components within one directory. `.` directories are the empty item: before everything.
    static func compareLast(
        _ a: UnsafeRawBufferPointer, _ aIsDirectory: Bool, _ b: UnsafeRawBufferPointer, _ bIsDirectory: Bool,
        inRoot: Bool
    ) -> Int {
        if a.count == 0 || b.count == 0 { return (a.count == 0 ? 0 : 1) - (b.count == 0 ? 0 : 1) }
        let aIsDot = aIsDirectory && a.count == 1 && a[0] == UInt8(ascii: ".")
        let bIsDot = bIsDirectory && b.count == 1 && b[0] == UInt8(ascii: ".")
        if aIsDot || bIsDot { return aIsDot == bIsDot ? 0 : (aIsDot ? -1 : 1) }
        if aIsDirectory != bIsDirectory { return aIsDirectory ? 1 : -1 }
        if !aIsDirectory { return compareBytes(a, b) }
        return compareAsDirectories(a, b)
    }

    /// Compares `a/` with `b/`.
    @inline(__always)
    static func compareAsDirectories(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
        let common = min(a.count, b.count)
        if common > 0 {
            let difference = memcmp(a.baseAddress!, b.baseAddress!, common)
            if difference != 0 { return Int(difference) }
        }
        if a.count == b.count { return 0 }
        let slash = Int(UInt8(ascii: "/"))
        return a.count < b.count ? slash - Int(b[common]) : Int(a[common]) - slash
    }

    /// Compares two whole paths.
    public static func comparePaths(
        _ left: PathPieces, _ leftIsDirectory: Bool, _ right: PathPieces, _ rightIsDirectory: Bool
    ) -> Int {
        if left.isNameless || right.isNameless { return (left.isNameless ? 0 : 1) - (right.isNameless ? 0 : 1) }
        var a = left
        var b = right
        while true {
            let (aPart, aLast) = a.next()
            let (bPart, bLast) = b.next()
            let aIsPath = !aLast || leftIsDirectory
            let bIsPath = !bLast || rightIsDirectory
            let aIsDot = aLast && leftIsDirectory && isDot(aPart)
            let bIsDot = bLast && rightIsDirectory && isDot(bPart)
            if aIsDot || bIsDot { return aIsDot == bIsDot ? 0 : (aIsDot ? -1 : 1) }
            if aIsPath != bIsPath { return aIsPath ? 1 : -1 }
            if !aIsPath { return compareBytes(aPart, bPart) }
            let difference = compareAsDirectories(aPart, bPart)
            if difference != 0 { return difference }
            if aLast || bLast { return aLast == bLast ? 0 : (aLast ? -1 : 1) }
        }
    }

    @inline(__always)
    private static func isDot(_ part: UnsafeRawBufferPointer) -> Bool {
        part.count == 1 && part[0] == UInt8(ascii: ".")
    }
}

/// A path as directory part and last component, walked component by component without joining them.
public struct PathPieces {
    private let directory: UnsafeRawBufferPointer
    private let name: UnsafeRawBufferPointer
    private var position = 0
    var isNameless: Bool { name.count == 0 }

    /// - Parameter directory: without trailing slash, may be empty.
    public init(directory: UnsafeRawBufferPointer, name: UnsafeRawBufferPointer) {
        self.directory = directory
        self.name = name
    }

    /// The next component and whether it is the last one.
    @inline(__always)
    mutating func next() -> (UnsafeRawBufferPointer, Bool) {
        if position >= directory.count { return (name, true) }
        let start = position
        while position < directory.count && directory[position] != UInt8(ascii: "/") { position += 1 }
        let part = UnsafeRawBufferPointer(rebasing: directory[start..<position])
        position += 1
        return (part, false)
    }
}
