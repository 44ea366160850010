// Dray — a list of names that a client says is in the module (--files-from=:FILE).
// Layer: Daemon. Behaviour: chapter 07 §15.3; chapter 08 SEC-024, SEC-077.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayFilters

/// Reads a list from inside a module.
enum ModuleNameList {
    private static let mostBytes = 256 << 20

    /// Whether the module's rules hide the list that a client names.
    static func isHidden(_ path: Bytes?, _ filters: FilterList) -> Bool {
        guard let path, path != Bytes("-"), !filters.isEmpty else { return false }
        return filters.excludesPath(
            ModulePaths.sanitize(Bytes(path.drop { $0 == UInt8(ascii: "/") })), isDirectory: false)
    }

    /// The list's text; nil if the module has no such file, or hides it.
    static func read(_ path: Bytes, _ module: Int32, filters: FilterList) -> Bytes? {
        let name = ModulePaths.sanitize(Bytes(path.drop { $0 == UInt8(ascii: "/") }))
        if !filters.isEmpty && filters.excludesPath(name, isDirectory: false) { return nil }
        let descriptor = ConfinedPath.openFile(module, name)
        guard descriptor >= 0 else { return nil }
        defer { _ = FileSystem.close(descriptor) }
        return try? FileSystem.readAll(descriptor, limit: mostBytes).get()
    }
}
