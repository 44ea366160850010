// Dray — options that are parsed but not carried out yet.
// Layer: Command.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// The one list of what is refused; a name leaves it when the engine learns the option.
enum UnsupportedOptions {
    /// Long names (as the option table has them first).
    static let names: Set<String> = [
        "copy-as", "confine-root",
    ]
    /// Oldest protocol that is spoken.
    static let oldestProtocol: Int32 = 27

    /// Throws exit 4 for the first option in effect that is not carried out.
    static func check(_ command: ParsedCommand) throws(TransferFailure) {
        if let name = command.client.given.intersection(names).sorted().first { throw refusal("--" + name) }
        if command.options.protocolVersion < oldestProtocol, command.options.protocolVersion >= 20 {
            throw refusal("--protocol=\(command.options.protocolVersion)")
        }
    }

    private static func refusal(_ option: String) -> TransferFailure {
        TransferFailure(.unsupported, "rsync: \(option) is not supported by this version of dray")
    }
}
