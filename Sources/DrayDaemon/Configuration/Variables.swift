// Dray — `%VAR%` in parameter values.
// Layer: Daemon. Behaviour: chapter 07 §2.6.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// Environment variables of the daemon and their use in values.
enum Variables {
    private static let mostGrowth = 2048

    /// Replaces each `%NAME%` whose variable exists; everything else stays, `%%` included.
    ///
    /// - Throws: exit 22 if the result is more than 2048 bytes longer than the template.
    static func expand(
        _ template: Bytes, lookup: (Bytes) -> Bytes? = Variables.value
    ) throws(TransferFailure) -> Bytes {
        guard template.contains(UInt8(ascii: "%")) else { return template }
        var result: Bytes = []
        var index = 0
        while index < template.count {
            if template[index] == UInt8(ascii: "%"), index + 1 < template.count,
                (0x41...0x5a).contains(template[index + 1]),
                let end = template.firstIndex(of: UInt8(ascii: "%"), from: index + 1),
                let value = lookup(Array(template[(index + 1)..<end]))
            {
                result += value
                index = end + 1
            } else {
                result.append(template[index])
                index += 1
            }
            if result.count > template.count + mostGrowth {
                throw TransferFailure(
                    .outOfMemory, lines: [Bytes("Overflowed buf in expand_vars() trying to expand: ") + template])
            }
        }
        return result
    }

    /// The value of an environment variable.
    static func value(_ name: Bytes) -> Bytes? {
        guard let text = name.withCString({ getenv($0) }) else { return nil }
        return Bytes(UnsafeRawBufferPointer(start: text, count: strlen(text)))
    }

    /// Sets an environment variable of this process. Only while it has one thread.
    static func set(_ name: StaticString, _ value: Bytes) {
        Bytes(name).withCString { name in value.withCString { _ = setenv(name, $0, 1) } }
    }
}
