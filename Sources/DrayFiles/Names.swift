// Dray — names of users and groups.
// Layer: Files.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// Lookups in the system's user and group databases.
public enum IDNames {
    public static func userName(_ id: UInt32) -> Bytes? {
        withBuffer { buffer in
            var record = passwd()
            var result: UnsafeMutablePointer<passwd>?
            guard getpwuid_r(id, &record, buffer.baseAddress!, buffer.count, &result) == 0, result != nil else {
                return nil
            }
            return Bytes(UnsafeRawBufferPointer(start: record.pw_name, count: strlen(record.pw_name)))
        }
    }

    public static func groupName(_ id: UInt32) -> Bytes? {
        withBuffer { buffer in
            var record = group()
            var result: UnsafeMutablePointer<group>?
            guard getgrgid_r(id, &record, buffer.baseAddress!, buffer.count, &result) == 0, result != nil else {
                return nil
            }
            return Bytes(UnsafeRawBufferPointer(start: record.gr_name, count: strlen(record.gr_name)))
        }
    }

    public static func userID(_ name: Bytes) -> UInt32? {
        withBuffer { buffer in
            var record = passwd()
            var result: UnsafeMutablePointer<passwd>?
            let status = name.withCString { getpwnam_r($0, &record, buffer.baseAddress!, buffer.count, &result) }
            return status == 0 && result != nil ? record.pw_uid : nil
        }
    }

    /// The primary group of a user.
    public static func primaryGroup(_ id: UInt32) -> UInt32? {
        withBuffer { buffer in
            var record = passwd()
            var result: UnsafeMutablePointer<passwd>?
            let status = getpwuid_r(id, &record, buffer.baseAddress!, buffer.count, &result)
            return status == 0 && result != nil ? record.pw_gid : nil
        }
    }

    /// All groups of a user in the order of the system.
    public static func groups(ofUser name: Bytes, primary: UInt32) -> [UInt32] {
        var count: Int32 = 64
        while true {
            var groups = [UInt32](repeating: 0, count: Int(count))
            let capacity = count
            let status = name.withCString { getgrouplist($0, primary, &groups, &count) }
            if status >= 0 { return Array(groups.prefix(Int(count))) }
            if count <= capacity { return [primary] }
        }
    }

    public static func groupID(_ name: Bytes) -> UInt32? {
        withBuffer { buffer in
            var record = group()
            var result: UnsafeMutablePointer<group>?
            let status = name.withCString { getgrnam_r($0, &record, buffer.baseAddress!, buffer.count, &result) }
            return status == 0 && result != nil ? record.gr_gid : nil
        }
    }

    /// Primary group and all groups of a user, primary first.
    public static func groups(ofUser name: Bytes) -> [UInt32]? {
        let primary: UInt32? = withBuffer { buffer in
            var record = passwd()
            var result: UnsafeMutablePointer<passwd>?
            let status = name.withCString { getpwnam_r($0, &record, buffer.baseAddress!, buffer.count, &result) }
            return status == 0 && result != nil ? record.pw_gid : nil
        }
        guard let primary else { return nil }
        var count: Int32 = 1024
        var list = [gid_t](repeating: 0, count: Int(count))
        let status = name.withCString { getgrouplist($0, primary, &list, &count) }
        return status < 0 ? [primary] : Array(list[..<Int(count)])
    }

    private static func withBuffer<R>(_ body: (UnsafeMutableBufferPointer<CChar>) -> R?) -> R? {
        let buffer = UnsafeMutableBufferPointer<CChar>.allocate(capacity: 65_536)
        defer { buffer.deallocate() }
        return body(buffer)
    }
}
