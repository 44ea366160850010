// Dray — options that are parsed but not carried out yet.
// Layer: Command.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// The one list of what is refused; a name leaves it when the engine learns the option.
enum UnsupportedOptions {
    /// Long names (as the option table has them first).
    static let names: Set<String> = [
        "acls", "xattrs", "fake-super", "iconv", "usermap", "groupmap", "chown", "compare-dest", "copy-dest",
        "link-dest", "fuzzy",
        "copy-devices", "write-devices", "copy-as", "stop-after",
        "stop-at", "confine-root", "insecure-links", "drop-D", "open-noatime",
    ]
    /// Oldest protocol that is spoken.
    static let oldestProtocol: Int32 = 30

    /// Throws exit 4 for the first option in effect that is not carried out.
    static func check(_ command: ParsedCommand) throws(TransferFailure) {
        if let name = command.client.given.intersection(names).sorted().first { throw refusal("--" + name) }
        if command.options.protocolVersion < oldestProtocol, command.options.protocolVersion >= 20 {
            throw refusal("--protocol=\(command.options.protocolVersion)")
        }
        if command.options.filesFromHost != nil || (command.options.amServer && command.options.filesFrom != nil) {
            throw refusal("--files-from with a remote list")
        }
    }

    /// Throws if a local list would have to be sent to a remote sender.
    static func checkPull(_ command: ParsedCommand) throws(TransferFailure) {
        if command.options.filesFrom != nil { throw refusal("--files-from with a remote source") }
    }

    private static func refusal(_ option: String) -> TransferFailure {
        TransferFailure(.unsupported, "rsync: \(option) is not supported by this version of dray")
    }
}
