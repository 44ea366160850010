// Dray — how many threads of this process can run at the same time.
// Layer: Files.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import Glibc

/// Processors that the scheduler and the control group leave to this process.
public enum Processors {
    /// At least 1. A quota below two whole processors counts as one: a second thread would use up the share of the first.
    public static let usable: Int = {
        let allowed = max(1, Int(dray_processor_count()))
        guard allowed > 1, let quota else { return allowed }
        return max(1, min(allowed, Int(quota)))
    }()

    /// Processor time per time that the control group allows; nil without a limit. A container sees its own group at the
    /// root of the file system of groups (kernel documentation, cgroup-v2 `cpu.max`, sched-bwc `cpu.cfs_quota_us`).
    private static var quota: Double? {
        if let words = words("/sys/fs/cgroup/cpu.max"), words.count == 2 { return ratio(words[0], words[1]) }
        guard let quota = words("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")?.first,
            let period = words("/sys/fs/cgroup/cpu/cpu.cfs_period_us")?.first
        else { return nil }
        return ratio(quota, period)
    }

    private static func ratio(_ quota: Int64?, _ period: Int64?) -> Double? {
        guard let quota, let period, quota > 0, period > 0 else { return nil }
        return Double(quota) / Double(period)
    }

    /// The numbers of a short file; nil in place of each word that is none.
    private static func words(_ path: StaticString) -> [Int64?]? {
        let descriptor = path.withUTF8Buffer { name in
            Bytes(name).withCString { FileSystem.open(AT_FDCWD, $0, O_RDONLY) }
        }
        if descriptor < 0 { return nil }
        defer { _ = FileSystem.close(descriptor) }
        var text = Bytes(repeating: 0, count: 64)
        let count = text.withUnsafeMutableBytes { FileSystem.read(descriptor, $0) }
        if count <= 0 { return nil }
        return text[..<count].split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
            .map { Int64(String(decoding: $0, as: UTF8.self)) }
    }
}
