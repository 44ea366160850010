// Dray — a file list as `--debug=flist3` shows it.
// Layer: Engine. Behaviour: chapter 05 §5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

extension Session {
    /// - Parameter place: what stands before a name: the source directory or the depth.
    func tellList(_ segment: FileSegment, _ role: RoleName, place: (FileEntry) -> Bytes) {
        let who = Bytes(text: "[\(role.rawValue)] ")
        let (start, count) = (segment.ndxStart, segment.count)
        func isGone(_ position: Int) -> Bool {
            !segment.entry(position).pointee.flags.isDisjoint(with: [.cleared, .duplicate])
        }
        // Entries that give way to equal ones at either end do not count.
        let high = (0..<count).last { !isGone($0) } ?? -1
        let low = (0..<count).first { !isGone($0) } ?? 0
        reporter.info(who + Bytes(text: "flist start=\(start), used=\(count), low=\(low), high=\(high)"))
        for position in 0..<count {
            let entry = segment.entry(position).pointee
            if entry.flags.contains(.cleared) {
                let (uid, gid) = (segment.attributes(entry).uid, segment.attributes(entry).gid)
                let owners = (options.owner ? " uid=\(uid)" : "") + (options.group ? " gid=\(gid)" : "")
                reporter.info(who + Bytes(text: "i=\(segment.ndx(position))   mode=00 len=1\(owners) flags=0"))
                continue
            }
            let path = segment.path(entry)
            var line = who + Bytes(text: "i=\(segment.ndx(position)) ") + place(entry) + Bytes(" ") + path
            if segment.isDirectory(entry) { line.append(UInt8(ascii: "/")) }
            let attributes = segment.attributes(entry)
            line += Bytes(text: " mode=0\(String(segment.mode(entry), radix: 8)) len=\(Self.grouped(entry.length))")
            if options.owner { line += Bytes(text: " uid=\(attributes.uid)") }
            if options.group { line += Bytes(text: " gid=\(attributes.gid)") }
            var flags = 0
            if entry.flags.contains(.topDirectory) { flags |= 1 }
            if entry.flags.contains(.contentDirectory) { flags |= 4 }
            if entry.flags.contains(.duplicate) { flags |= 0x10 }
            if entry.flags.contains(.hardLinked) && role != .sender { flags |= 0x20 }
            if entry.nanoseconds != 0 { flags |= 0x1000 }
            reporter.info(line + Bytes(text: " flags=\(String(flags, radix: 16))"))
        }
    }

    /// Tells of the first links of the files in a list, and of each device that has some (`--debug=hlink3`).
    func linkTrace() -> (UInt64, UInt64, Int32) -> Void {
        var devices: Set<UInt64> = []
        return { [reporter] device, inode, ndx in
            if devices.insert(device).inserted { reporter.info("[sender] created hashtable for dev \(device)") }
            reporter.info("[sender] dev:inode for #\(ndx) is \(device):\(inode)")
        }
    }

    /// Files that are links of earlier ones (`--debug=hlink`); older protocols do not number them.
    func tellLinks(_ segment: FileSegment, _ roles: [RoleName]) {
        if protocolVersion < 30 { return }
        for role in roles {
            for number in 0..<segment.count {
                let ndx = segment.ndxStart + Int32(number)
                guard let group = HardLinkGroups.group(segment, segment.wireEntry(number).pointee), group < ndx else {
                    continue
                }
                let kind = group >= segment.ndxStart ? "abbrev" : "unabbrev"
                reporter.info("[\(role.rawValue)] #\(ndx) hard-links #\(group) (\(kind))")
            }
        }
    }

    /// A number with separators.
    static func grouped(_ number: Int64) -> String {
        var text = ""
        for (position, digit) in String(number).reversed().enumerated() {
            if position > 0 && position % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return String(text.reversed())
    }
}
