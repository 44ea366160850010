// Dray — directories below a root, opened so that nothing leads outside.
// Layer: Files. Behaviour: chapter 08 §2.1.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import Glibc

/// Opens directories beneath an anchor descriptor. In-tree relative symlinks are followed; absolute ones and those that
/// climb above the anchor are refused with ELOOP.
public enum ConfinedPath {
    private static let directoryFlags: Int32 = O_RDONLY | O_DIRECTORY | O_CLOEXEC
    private static let maxLinks = 40
    private static let maxDepth = 1024

    /// Opens `path` (relative, no `..` of its own) beneath `anchor`; −errno on failure.
    public static func openDirectory(_ anchor: Int32, _ path: UnsafePointer<CChar>) -> Int32 {
        if path[0] == 0 || (path[0] == 0x2e && path[1] == 0) {
            return FileSystem.open(anchor, ".", directoryFlags)
        }
        if path[0] == 0x2f { return -EINVAL }
        for _ in 0..<4 {
            let descriptor = dray_openat_beneath(anchor, path, directoryFlags, 0)
            if descriptor >= 0 { return descriptor }
            switch errno {
            case EINTR, EAGAIN: continue
            case EXDEV: return -ELOOP
            case ENOSYS, EPERM, EINVAL: return walk(anchor, Bytes(cString: path))
            default: return -errno
            }
        }
        return walk(anchor, Bytes(cString: path))
    }

    /// Opens a file for reading beneath `anchor`, following links only as far as they stay inside; −errno on failure.
    /// Without openat2 a link as last component is refused.
    public static func openFile(_ anchor: Int32, _ path: Bytes) -> Int32 {
        let flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC
        for _ in 0..<4 {
            let descriptor = path.withCString { dray_openat_beneath(anchor, $0, flags, 0) }
            if descriptor >= 0 { return descriptor }
            switch errno {
            case EINTR, EAGAIN: continue
            case EXDEV: return -ELOOP
            case ENOSYS, EPERM, EINVAL:
                let (parent, name) = path.splitLastComponent
                let directory = walk(anchor, parent)
                if directory < 0 { return directory }
                defer { _ = FileSystem.close(directory) }
                return name.withCString { FileSystem.open(directory, $0, flags | O_NOFOLLOW) }
            default: return -errno
            }
        }
        return -EAGAIN
    }

    /// The same by hand, one component at a time, for kernels and sandboxes without openat2.
    static func walk(_ anchor: Int32, _ path: Bytes) -> Int32 {
        var stack: [Int32] = []
        defer { for descriptor in stack { _ = FileSystem.close(descriptor) } }
        var pending = Array(path.fields { $0 == UInt8(ascii: "/") }.reversed())
        var links = 0
        let name = NameBuffer()
        while let component = pending.popLast() {
            if component == Bytes(".") { continue }
            if component == Bytes("..") {
                guard let top = stack.popLast() else { return -ELOOP }
                _ = FileSystem.close(top)
                continue
            }
            if stack.count >= maxDepth { return -ENOMEM }
            let parent = stack.last ?? anchor
            let cName = name.cString(component)
            let descriptor = FileSystem.open(parent, cName, directoryFlags | O_NOFOLLOW)
            if descriptor >= 0 {
                stack.append(descriptor)
                continue
            }
            if descriptor != -ENOTDIR && descriptor != -ELOOP { return descriptor }
            var code: Int32 = 0
            guard let target = FileSystem.readLink(parent, cName, code: &code) else { return descriptor }
            links += 1
            if target.isEmpty || target[0] == UInt8(ascii: "/") || links > maxLinks { return -ELOOP }
            pending.append(contentsOf: target.fields { $0 == UInt8(ascii: "/") }.reversed())
        }
        guard let result = stack.popLast() else { return FileSystem.open(anchor, ".", directoryFlags) }
        return result
    }
}

extension Bytes {
    public init(cString: UnsafePointer<CChar>) {
        self = Bytes(UnsafeRawBufferPointer(start: cString, count: strlen(cString)))
    }
}

/// Descriptors of recently used directories, by path-table id. One thread owns a cache.
public final class DirectoryCache {
    private struct Slot {
        var id: Int32
        var descriptor: Int32
        var age: UInt64
    }
    private var slots: [Slot] = []
    private let capacity: Int
    private var clock: UInt64 = 0
    private let paths: PathTable
    /// Anchor of each source root; receivers have one.
    private let rootDescriptor: (Int32) -> Int32
    /// Opens a path by rules of its own instead of confining it to the anchor.
    private let open: ((Bytes) -> Int32)?
    private let followsLinks: Bool
    /// What stands before the paths of a source root, seen from the anchor.
    private let prefix: ((Int32) -> Bytes)?
    private let name = NameBuffer()
    private var last = Slot(id: -1, descriptor: -1, age: 0)

    /// - Parameters:
    ///   - followsLinks: directories that symlinks name lie where they point to, inside or outside.
    ///   - prefix: path of a source root below its anchor, where the anchor is not the root itself.
    public init(
        paths: PathTable, capacity: Int = 24, followsLinks: Bool = false, prefix: ((Int32) -> Bytes)? = nil,
        rootDescriptor: @escaping (Int32) -> Int32
    ) {
        self.followsLinks = followsLinks
        self.prefix = prefix
        self.paths = paths
        self.capacity = capacity
        self.rootDescriptor = rootDescriptor
        open = nil
    }

    /// - Parameter open: opens a directory by its path from the table; −errno on failure.
    public init(paths: PathTable, capacity: Int, open: @escaping (Bytes) -> Int32) {
        self.paths = paths
        self.capacity = capacity
        rootDescriptor = { _ in -1 }
        followsLinks = false
        prefix = nil
        self.open = open
    }

    deinit { removeAll() }

    /// Descriptor of directory `id`, opened and confined on first use; −errno if it cannot be opened. Borrowed: it
    /// stays open until it is pushed out by `capacity` other directories.
    @inline(__always)
    public func descriptor(_ id: Int32) -> Int32 {
        id == last.id ? last.descriptor : find(id)
    }

    private func find(_ id: Int32) -> Int32 {
        clock += 1
        for index in slots.indices where slots[index].id == id {
            slots[index].age = clock
            last = slots[index]
            return last.descriptor
        }
        var path = paths.path(id)
        while path.count > 0 && path[0] == UInt8(ascii: "/") { path = UnsafeRawBufferPointer(rebasing: path[1...]) }
        let descriptor =
            open.map { $0(Bytes(path)) }
            ?? openBelowRoot(paths.root(id), path)
        if descriptor < 0 { return descriptor }
        if slots.count >= capacity {
            var oldest = 0
            for index in slots.indices where slots[index].age < slots[oldest].age { oldest = index }
            _ = FileSystem.close(slots[oldest].descriptor)
            slots.remove(at: oldest)
        }
        last = Slot(id: id, descriptor: descriptor, age: clock)
        slots.append(last)
        return descriptor
    }

    private func openBelowRoot(_ index: Int32, _ path: UnsafeRawBufferPointer) -> Int32 {
        let root = rootDescriptor(index)
        if let start = prefix?(index), !start.isEmpty {
            return ConfinedPath.openDirectory(root, name.cString(start.appendingComponent(Bytes(path))))
        }
        if followsLinks && path.count > 0 {
            return FileSystem.open(root, name.cString(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        }
        return ConfinedPath.openDirectory(root, name.cString(path))
    }

    /// Forgets everything but directory `id`, whose descriptor somebody still uses.
    public func removeAll(keeping id: Int32) {
        for slot in slots where slot.id != id { _ = FileSystem.close(slot.descriptor) }
        slots.removeAll { $0.id != id }
        last = slots.last ?? Slot(id: -1, descriptor: -1, age: 0)
    }

    /// Forgets everything, because directories were replaced or permissions changed.
    public func removeAll() {
        for slot in slots { _ = FileSystem.close(slot.descriptor) }
        slots.removeAll()
        last = Slot(id: -1, descriptor: -1, age: 0)
    }
}
