// Dray — other directories of the destination: temporary files and backups.
// Layer: Engine. Behaviour: chapter 04 §1.2.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import Glibc

extension Destination {
    /// Checks `--temp-dir` and `--backup-dir` before anything is written.
    func check() throws(TransferFailure) {
        resolveAlternates()
        var status = FileStatus()
        if let backup = options.backupDirectory, root >= 0 {
            let code = backup.withCString { FileSystem.status(root, $0, follow: true, &status) }
            if options.info[.backup] >= 1 {
                session.reporter.info(Bytes(code == ENOENT ? "(new) backup_dir is " : "backup_dir is ") + backup)
            }
            if code != 0 && code != ENOENT {
                throw session.fail(.fileIO, "Failed to stat \(backup.displayText): \(errnoText(code))")
            }
            if code == 0 && !status.isDirectory {
                throw session.fail(.syntax, "The backup-dir is not a directory: \(backup.displayText)")
            }
        }
        guard let temp = options.tempDirectory else { return }
        if session.environment.sanitizesPaths {
            // A link in the module must not lead the temporary files out of it.
            let module = session.environment.modulePath ?? Bytes("/")
            if temp.first == UInt8(ascii: "/"), temp.hasPrefix(module) {
                let rest = Bytes(temp[module.count...].drop { $0 == UInt8(ascii: "/") })
                openedTemp = rest.withCString { ConfinedPath.openDirectory(session.environment.workingDirectory, $0) }
            } else {
                openedTemp = temp.withCString { ConfinedPath.openDirectory(root, $0) }
            }
            if openedTemp >= 0 { return }
            if -openedTemp == ENOENT {
                throw session.fail(.syntax, "The temp-dir does not exist: \(temp.displayText)")
            }
            throw failure(.fileIO, Bytes("Failed to stat temp-dir ") + temp, -openedTemp)
        }
        let code = temp.withCString { FileSystem.status(root, $0, follow: true, &status) }
        if code == ENOENT { throw session.fail(.syntax, "The temp-dir does not exist: \(temp.displayText)") }
        if code != 0 {
            throw session.fail(.fileIO, "Failed to stat temp-dir \(temp.displayText): \(errnoText(code))")
        }
        if !status.isDirectory { throw session.fail(.syntax, "The temp-dir is not a directory: \(temp.displayText)") }
        openedTemp = OperatorFile.open(
            temp, flags: O_RDONLY | O_DIRECTORY, anchor: root, trusting: options.insecureLinks || options.amDaemon,
            confineRoot: options.confinement)
        // rsync finds that out for each file.
        if openedTemp == -ELOOP && options.confinement == nil { return }
        if openedTemp < 0 { throw failure(.fileIO, Bytes("Failed to stat temp-dir ") + temp, -openedTemp) }
    }

    /// Descriptor of `--temp-dir`.
    func tempDescriptor(_ path: Bytes) -> Int32 { openedTemp }
}
