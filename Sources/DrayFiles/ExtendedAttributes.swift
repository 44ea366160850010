// Dray — extended attributes of one item below a held directory, never through a symlink.
// Layer: Files. Behaviour: chapter 02 §6, chapter 04 §15.5.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import Glibc

/// What an attribute call acts on: a name that is not followed, or an open file.
public struct AttributeTarget {
    public let directory: Int32
    let name: UnsafePointer<CChar>?
    let descriptor: Int32

    /// - Parameter name: borrowed; must outlive the target.
    public init(directory: Int32, name: UnsafePointer<CChar>) {
        self.directory = directory
        self.name = name
        descriptor = -1
    }

    /// - Parameter descriptor: an ordinary descriptor, not a path-only one.
    public init(descriptor: Int32) {
        directory = -1
        name = nil
        self.descriptor = descriptor
    }

    /// The open file if there is one, else the name.
    public init(directory: Int32, name: UnsafePointer<CChar>, descriptor: Int32) {
        if descriptor >= 0 { self.init(descriptor: descriptor) } else { self.init(directory: directory, name: name) }
    }
}

/// Reads and changes attributes with one reusable buffer. One thread owns an instance.
public final class ExtendedAttributes {
    /// How names below a directory are reached.
    enum Access: CaseIterable { case calls, process, opening }

    private static let best: Access = {
        // The call must fail with EBADF where it exists; anything else means that it must not be relied on.
        if dray_listxattrat(-1, "x", nil, 0) < 0 && errno == EBADF { return .calls }
        var raw = stat()
        return stat("/proc/self/fd", &raw) == 0 ? .process : .opening
    }()

    /// Largest list and value that Linux knows.
    private static let capacity = 65_536
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 8)

    private let access: Access

    public init() { access = Self.best }

    /// Reaches names in one given way.
    init(access: Access) { self.access = access }

    deinit { buffer.deallocate() }

    /// All names, without terminators, in the file system's order; empty with an errno value on failure.
    public func names(_ target: AttributeTarget, code: inout Int32) -> [Bytes] {
        guard let list = fetch(&code, { self.list(target, $0) }) else { return [] }
        var names: [Bytes] = []
        for part in list.split(separator: 0) { names.append(Bytes(part)) }
        return names
    }

    /// The value of `name`; nil with an errno value (ENODATA: there is none) on failure.
    public func value(_ target: AttributeTarget, _ name: Bytes, code: inout Int32) -> Bytes? {
        name.withCString { name in fetch(&code) { self.get(target, name, $0) } }
    }

    /// Sets or replaces; 0 or an errno value.
    public func set(_ target: AttributeTarget, _ name: Bytes, _ value: Bytes) -> Int32 {
        name.withCString { name in
            value.withUnsafeBytes { bytes in
                apply(
                    target, onDescriptor: { dray_fsetxattr($0, name, bytes.baseAddress, bytes.count) },
                    onName: { dray_setxattrat($0, $1, name, bytes.baseAddress, bytes.count) },
                    onPath: { dray_lsetxattr($0, name, bytes.baseAddress, bytes.count) })
            }
        }
    }

    /// Removes; 0 (also when there was none) or an errno value.
    public func remove(_ target: AttributeTarget, _ name: Bytes) -> Int32 {
        let code = name.withCString { name in
            apply(
                target, onDescriptor: { dray_fremovexattr($0, name) }, onName: { dray_removexattrat($0, $1, name) },
                onPath: { dray_lremovexattr($0, name) })
        }
        return code == ENODATA ? 0 : code
    }

    // MARK: - Calls

    private func list(_ target: AttributeTarget, _ room: UnsafeMutableRawBufferPointer) -> Int {
        apply(
            target, onDescriptor: { dray_flistxattr($0, room.baseAddress, room.count) },
            onName: { dray_listxattrat($0, $1, room.baseAddress, room.count) },
            onPath: { dray_llistxattr($0, room.baseAddress, room.count) })
    }

    private func get(
        _ target: AttributeTarget, _ name: UnsafePointer<CChar>, _ room: UnsafeMutableRawBufferPointer
    ) -> Int {
        apply(
            target, onDescriptor: { dray_fgetxattr($0, name, room.baseAddress, room.count) },
            onName: { dray_getxattrat($0, $1, name, room.baseAddress, room.count) },
            onPath: { dray_lgetxattr($0, name, room.baseAddress, room.count) })
    }

    /// Runs a reading call with the own buffer; file systems with larger values get one of their size.
    private func fetch(_ code: inout Int32, _ call: (UnsafeMutableRawBufferPointer) -> Int) -> Bytes? {
        code = 0
        var count = call(buffer)
        if count >= 0 { return Bytes(UnsafeRawBufferPointer(start: buffer.baseAddress, count: count)) }
        if count == -Int(ERANGE) || count == -Int(E2BIG) {
            for _ in 0..<4 {
                let wanted = call(UnsafeMutableRawBufferPointer(start: nil, count: 0))
                if wanted < 0 || Int64(wanted) > Limits.xattrValueLength { break }
                var value = Bytes(repeating: 0, count: wanted)
                count = value.withUnsafeMutableBytes { call($0) }
                if count >= 0 { return Bytes(value[..<min(count, wanted)]) }
            }
        }
        code = Int32(-count)
        return nil
    }

    /// Runs the variant of a call that reaches the target; the result or −errno.
    private func apply(
        _ target: AttributeTarget, onDescriptor: (Int32) -> Int, onName: (Int32, UnsafePointer<CChar>) -> Int,
        onPath: (UnsafePointer<CChar>) -> Int
    ) -> Int {
        guard let name = target.name else { return result { onDescriptor(target.descriptor) } }
        switch access {
        case .calls: return result { onName(target.directory, name) }
        case .process:
            // The descriptor's link names exactly the held directory; l…xattr does not follow what stands in it.
            let prefix = target.directory == AT_FDCWD ? "" : "/proc/self/fd/\(target.directory)/"
            var path = prefix.utf8.map { CChar(bitPattern: $0) }
            path.append(contentsOf: UnsafeBufferPointer(start: name, count: strlen(name) + 1))
            return path.withUnsafeBufferPointer { path in result { onPath(path.baseAddress!) } }
        case .opening:
            let descriptor = FileSystem.open(target.directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
            if descriptor == -ELOOP || descriptor == -ENXIO { return -Int(ENOTSUP) }
            if descriptor < 0 { return Int(descriptor) }
            defer { _ = FileSystem.close(descriptor) }
            return result { onDescriptor(descriptor) }
        }
    }

    private func apply(
        _ target: AttributeTarget, onDescriptor: (Int32) -> Int32, onName: (Int32, UnsafePointer<CChar>) -> Int32,
        onPath: (UnsafePointer<CChar>) -> Int32
    ) -> Int32 {
        let count = apply(
            target, onDescriptor: { Int(onDescriptor($0)) }, onName: { Int(onName($0, $1)) },
            onPath: { Int(onPath($0)) })
        return count < 0 ? Int32(-count) : 0
    }

    private func result(_ call: () -> Int) -> Int {
        while true {
            let count = call()
            if count >= 0 { return count }
            if errno != EINTR { return -Int(errno) }
        }
    }
}
