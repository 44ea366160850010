// Dray — where the programs under test are, and the real rsync to test against.
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The real rsync that interop tests talk to.
public enum PeerRsync {
    public static let version = "3.5.0"

    /// Path of the program; nil when it is missing or of another version.
    public static let path: String? = {
        guard let found = candidates.first(where: { access($0, X_OK) == 0 }),
            let result = try? run([found, "--version"], seconds: 10),
            result.outputText.hasPrefix("rsync  version \(version) ")
        else { return nil }
        return found
    }()

    private static var candidates: [String] {
        let given = getenv("DRAY_TEST_RSYNC").map { [String(cString: $0)] } ?? []
        return given + ["/usr/local/bin/rsync", "/usr/bin/rsync"]
    }

    /// Why tests that need the program are skipped.
    public static let skipReason = "needs rsync \(version) (set DRAY_TEST_RSYNC or install it)"
    public static var isAvailable: Bool { path != nil }
}

/// The programs of this package, built next to the test bundle.
public enum DrayPrograms {
    /// Directory with the built programs: that of the running test program, else the debug build of the checkout.
    public static let directory: String = {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes { raw in
            readlink("/proc/self/exe", raw.baseAddress!.assumingMemoryBound(to: CChar.self), raw.count)
        }
        if count > 0 {
            let own = String(decoding: buffer[..<count], as: UTF8.self)
            let directory = own.split(separator: "/").dropLast().map { "/" + $0 }.joined()
            if access(directory + "/dray", X_OK) == 0 { return directory }
        }
        return checkout + "/.build/debug"
    }()

    private static var checkout: String {
        #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
    }

    public static func path(_ name: String) -> String { directory + "/" + name }
    public static var dray: String { path("dray") }
    public static var isBuilt: Bool { access(dray, X_OK) == 0 }
}
