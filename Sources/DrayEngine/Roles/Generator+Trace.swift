// Dray — what the generator tells of its work (`--debug=deltasum,time`).
// Layer: Engine. Behaviour: chapter 05 §5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayFiles
import Glibc

extension Generator {
    func tellSums(
        _ ndx: Int32, _ basis: Basis, _ list: FileSegment, _ entry: FileEntry, _ head: SumHead, _ length: Int64
    ) {
        if options.debug[.deltasum] >= 3 {
            session.reporter.info(
                Bytes("gen mapped ") + basisPath(basis, list, entry) + Bytes(text: " of size \(length)"))
        }
        session.reporter.info("generating and sending sums for \(ndx)")
        if length > 0 {
            session.reporter.info(
                "count=\(head.count) rem=\(head.remainder) blength=\(head.blockLength) s2length=\(head.strongLength) "
                    + "flength=\(length)")
        }
    }

    func tellSum(_ index: Int32, _ offset: Int64, _ length: Int, _ sum: UInt32) {
        session.reporter.info("chunk[\(index)] offset=\(offset) len=\(length) sum1=\(Session.shown(sum: sum))")
    }

    /// The time of a directory is set again, because of what was made in it.
    func tellTouchUp(_ list: FileSegment, _ entry: FileEntry, _ index: Int32) {
        // With incremental lists rsync goes through the directories of each list, whatever there is to set.
        let goesThroughAll = session.incremental && !options.dryRun
        guard options.times || !options.actsLikeRoot || goesThroughAll else { return }
        session.reporter.info(Bytes("touch_up_dirs: ") + list.path(entry) + Bytes(text: " (\(index))"))
    }

    /// rsync makes a list of every directory that it deletes in (`--debug=flist2`).
    ///
    /// - Returns: the item, if it is on that list.
    func tellScanned(_ path: Bytes, _ name: UnsafeRawBufferPointer, _ directory: Int32) -> Extra? {
        let full = path.appendingComponent(Bytes(name))
        var status = FileStatus()
        // Safe: the scan hands out NUL-terminated names.
        let cName = name.baseAddress!.assumingMemoryBound(to: CChar.self)
        guard FileSystem.status(directory, cName, follow: false, &status) == 0 else { return nil }
        if filters.isActive && filters.excludes(full, isDirectory: status.isDirectory) { return nil }
        session.reporter.info(Bytes("[generator] make_file(") + full + Bytes(",*,2)"))
        return Extra(name: Bytes(name), status: status)
    }

    /// That list as a whole (`--debug=flist3`).
    func tellScannedList(_ path: Bytes, _ backwards: [Extra]) {
        let count = backwards.count
        session.reporter.info("[generator] flist start=0, used=\(count), low=0, high=\(count - 1)")
        for (number, item) in backwards.reversed().enumerated() {
            let status = item.status
            var line = Bytes(text: "[generator] i=\(number) 0 ") + path.appendingComponent(item.name)
            if status.isDirectory { line.append(UInt8(ascii: "/")) }
            line += Bytes(text: " mode=0\(String(status.mode, radix: 8)) len=\(Session.grouped(status.length))")
            if options.owner { line += Bytes(text: " uid=\(status.uid)") }
            if options.group { line += Bytes(text: " gid=\(status.gid)") }
            let hasFraction = status.mtimeNanoseconds != 0 && session.protocolVersion >= 31
            let isOurs = status.uid == geteuid()
            let flags = (status.isDirectory ? 4 : 0) | (isOurs ? 1 : 0) | (hasFraction ? 0x1000 : 0)
            session.reporter.info(line + Bytes(text: " flags=\(String(flags, radix: 16))"))
        }
    }

    private func basisPath(_ basis: Basis, _ list: FileSegment, _ entry: FileEntry) -> Bytes {
        let path = list.path(entry)
        switch basis {
        case .similar(let found): return shown(found.place, entry.directory, found.name)
        case .partial:
            let (directory, name) = path.splitLastComponent
            let partial = destination.partialDirectory ?? []
            let whole = partial.first == UInt8(ascii: "/") ? partial : directory.appendingComponent(partial)
            return whole.appendingComponent(name)
        default: return destination.localName ?? path
        }
    }
}
