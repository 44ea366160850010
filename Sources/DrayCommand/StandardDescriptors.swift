// Dray — standard input, output and error of a process that was started without them.
// Layer: Command. Behaviour: chapter 05 §2.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// What descriptors 0, 1 and 2 were when the process began.
enum StandardDescriptors {
    // Safe: written by `occupy` before any thread is started.
    nonisolated(unsafe) private static var wasClosed = [false, false, false]

    /// Standard output alone is missing: rsync's pipes to its other process then take its place and break.
    static var breakPipes: Bool { wasClosed[1] && !wasClosed[0] }

    /// Puts something in the place of closed descriptors, so that no connection and no file gets their numbers.
    static func occupy() {
        for descriptor: Int32 in 0...2 where fcntl(descriptor, F_GETFD) < 0 {
            wasClosed[Int(descriptor)] = true
            // Opened the wrong way round: whoever uses it is told that it is not open.
            let null = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
            if null >= 0 && null != descriptor {
                dup2(null, descriptor)
                close(null)
            }
        }
    }

    /// What the process says whose pipe is gone.
    static func brokenPipe(_ role: RoleName) -> Bytes {
        let reason = "Bad file descriptor (\(EBADF))"
        return Bytes(text: "rsync: [\(role.rawValue)] safe_write failed to write 4 bytes to socket: \(reason)")
    }
}
