// Dray — memory statistics of a role's process (`--info=stats3`).
// Layer: Engine. Behaviour: chapter 05 §5.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import Glibc

extension Session {
    /// Tells what the C library's allocator says. Roles of one process have the same numbers.
    func tellHeap(_ role: RoleName) {
        guard options.info[.stats] >= 3 else { return }
        var numbers = dray_heap_numbers()
        dray_heap(&numbers)
        let place = options.amDaemon ? "daemon " : options.amServer ? "server " : ""
        reporter.info("")
        reporter.info("rsync[\(getpid())] (\(place)\(role.rawValue)) heap statistics:")
        for (label, value, note) in [
            ("arena", numbers.arena, "bytes from sbrk"), ("ordblks", numbers.ordblks, "chunks not in use"),
            ("smblks", numbers.smblks, "free fastbin blocks"), ("hblks", numbers.hblks, "chunks from mmap"),
            ("hblkhd", numbers.hblkhd, "bytes from mmap"),
            ("allmem", numbers.arena + numbers.hblkhd, "bytes from sbrk + mmap"),
            ("usmblks", numbers.usmblks, "always 0"), ("fsmblks", numbers.fsmblks, "bytes in freed fastbin blocks"),
            ("uordblks", numbers.uordblks, "bytes used"), ("fordblks", numbers.fordblks, "bytes free"),
            ("keepcost", numbers.keepcost, "bytes in releasable chunk"),
        ] {
            let number = String(value)
            let gap = String(repeating: " ", count: max(0, 20 - label.count - number.count))
            reporter.info("  \(label):\(gap)\(number)   (\(note))")
        }
    }
}
