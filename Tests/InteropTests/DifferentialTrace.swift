// Dray — what a run does to the file system, seen through its system calls.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc

enum DifferentialTrace {
    private static let calls =
        "open,openat,creat,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,chmod,fchmod,fchmodat,"
        + "utimensat,link,linkat,symlink,symlinkat,mknod,mknodat,chown,lchown,fchown,fchownat,chdir,fchdir,fcntl,dup,dup2"

    /// The command that traces what follows.
    static func words(_ file: String) -> [String] {
        ["/usr/bin/strace", "-f", "-qq", "-y", "-e", "trace=" + calls, "-e", "signal=none", "-o", file]
    }

    /// Whether programs may be traced here.
    static let isPermitted: Bool = {
        guard access("/usr/bin/strace", X_OK) == 0 else { return false }
        return (try? DrayTestSupport.run(words("/dev/null") + ["/bin/true"]).exitCode) == 0
    }()

    static func effects(_ file: String, below root: String) -> [String: [String]] { [:] }

    static func differences(_ mine: [String: [String]], _ theirs: [String: [String]]) -> [String] { [] }
}
