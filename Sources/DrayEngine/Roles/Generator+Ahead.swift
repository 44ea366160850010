// Dray — the generator has the status of coming files asked for where answers take long.
// Layer: Engine.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles

extension Generator {
    /// Before the entry at `position` of `segment` is looked at: sees that those after it in its directory are asked for.
    func lookAhead(_ segment: FileSegment, _ position: Int) {
        guard ahead.isWanted, position >= aheadEnd || segment.ndxStart != aheadList else { return }
        ahead.finish()
        let directory = segment.entry(position).pointee.directory
        (aheadList, aheadEnd) = (segment.ndxStart, position)
        while aheadEnd < segment.count, aheadEnd - position < StatusAhead.batch {
            let entry = segment.entry(aheadEnd).pointee
            if entry.directory != directory { break }
            aheadEnd += 1
            // The first ones are the generator's own.
            if aheadEnd - position > 2 && !entry.flags.contains(.cleared) { ahead.add(segment.name(entry)) }
        }
        if directory == freshDirectory || destination.root < 0 { return }
        let parent = cache.descriptor(directory)
        if parent >= 0 { ahead.begin(in: parent) }
    }
}
