// Dray — places for received files that are missing, or on another file system than the temporary file.
// Layer: Engine. Behaviour: chapter 04 §6.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayWire
import Glibc

extension Receiver {
    /// The directory of a file cannot be opened: one that is not there is only noticed when the file is to be made.
    func reportParent(_ list: FileSegment, _ entry: FileEntry, _ code: Int32) {
        var what = Bytes("recv_files: open of parent of ") + destination.display(list, entry)
        if code == ENOENT && options.updatesInPlace {
            what = Bytes("open ") + destination.display(list, entry)
        } else if code == ENOENT && options.tempDirectory == nil {
            let (directory, base) = list.path(entry).splitLastComponent
            let stem = base.withUnsafeBytes { TemporaryName.stem($0, hidden: true) }
            what = Bytes("mkstemp ") + destination.fullName(directory.appendingComponent(stem + Bytes("XXXXXX")))
        }
        session.reporter.systemError(.receiver, what + Bytes(" failed"), code)
    }

    /// A place on another file system than the temporary file: copies next to it, then renames there.
    func copyAcross(
        _ directory: Int32, _ old: UnsafePointer<CChar>, _ list: FileSegment, _ entry: FileEntry,
        _ place: (directory: Int32, name: UnsafePointer<CChar>), _ mode: UInt32, _ choice: Destination.AttributeChoice
    ) -> Int32 {
        let source = FileSystem.open(directory, old, O_RDONLY | O_NOFOLLOW)
        if source < 0 { return -source }
        defer { _ = FileSystem.close(source) }
        let temporary = copyName
        let copy = temporaryNames.create(
            place.directory, base: list.name(entry), hidden: true, mode: 0o600, into: temporary)
        if copy < 0 { return -copy }
        var code = FileCopy.contents(source, copy)
        if code == 0 {
            var now = FileStatus()
            _ = FileSystem.status(descriptor: copy, &now)
            destination.setAttributes(
                directory: place.directory, name: place.name, descriptor: copy, list: list, entry: entry, mode: mode,
                status: &now, choice: choice,
                basis: AttributeTarget(descriptor: source), role: .receiver)
        }
        _ = FileSystem.close(copy)
        if code == 0 { code = FileSystem.rename(place.directory, temporary, place.directory, place.name) }
        if code != 0 { _ = FileSystem.unlink(place.directory, temporary) }
        _ = FileSystem.unlink(directory, old)
        return code
    }
}
