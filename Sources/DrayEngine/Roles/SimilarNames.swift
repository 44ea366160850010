// Dray — a basis of similar name for a file that is new here (--fuzzy).
// Layer: Engine. Behaviour: chapter 04 §5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import Glibc

/// Candidates in the directory being handled, and what must not be taken. Owned by the generator.
struct SimilarNames {
    /// A basis: 0 is the destination's own directory, n + 1 the alternate directory n.
    struct Found {
        var place: Int
        var name: Bytes
    }

    struct Candidate {
        var name: Bytes
        var status: FileStatus
    }

    /// Path-table id of the directory that the rest is about.
    private var directory: Int32 = -1
    private var listings: [[Candidate]]?
    /// Names whose files this run replaces: by the time the receiver opens them they may have new content.
    private var updated: Set<Bytes> = []

    mutating func noteUpdated(_ list: FileSegment, _ entry: FileEntry) {
        move(to: entry.directory)
        updated.insert(Bytes(list.name(entry)))
    }

    /// Candidates of each place, own directory first, read once.
    mutating func candidates(_ id: Int32, read: () -> [[Candidate]]) -> [[Candidate]] {
        move(to: id)
        if let listings { return listings }
        let fresh = read()
        listings = fresh
        return fresh
    }

    func isUpdated(_ name: Bytes) -> Bool { updated.contains(name) }

    private mutating func move(to id: Int32) {
        guard id != directory else { return }
        directory = id
        listings = nil
        updated = []
    }

    /// Regular, non-empty files of an open directory, in the order of file lists.
    static func scan(_ directory: Int32) -> [Candidate] {
        let own = FileSystem.open(directory, ".", O_RDONLY | O_DIRECTORY)
        if own < 0 { return [] }
        defer { _ = FileSystem.close(own) }
        var found: [Candidate] = []
        _ = DirectoryScan(bufferBytes: 32 * 1024).forEach(own) { name, _ in
            var status = FileStatus()
            let cName = name.baseAddress!.assumingMemoryBound(to: CChar.self)
            guard FileSystem.status(own, cName, follow: false, &status) == 0, status.isRegular, status.length > 0
            else { return }
            found.append(Candidate(name: Bytes(name), status: status))
        }
        return found.sorted { $0.name.lexicographicallyPrecedes($1.name) }
    }
}

extension Generator {
    /// The file most like a missing one: equal in size and time, else nearest in name.
    func findSimilar(_ list: FileSegment, _ entry: FileEntry) -> SimilarNames.Found? {
        let id = entry.directory
        let listings = similarNames.candidates(id) {
            var places = [cache.descriptor(id)]
            if options.fuzzy > 1 { places += alternates.places.indices.map { alternates.descriptor($0, id) } }
            return places.map { $0 < 0 ? [] : SimilarNames.scan($0) }
        }
        let wanted = destination.ownName(list, entry)
        for (place, candidates) in listings.enumerated() {
            for candidate in candidates where candidate.status.length == entry.length {
                if place == 0 && similarNames.isUpdated(candidate.name) { continue }
                let status = candidate.status
                if destination.sameTime(entry.mtime, entry.nanoseconds, status.mtime, status.mtimeNanoseconds) {
                    if options.debug[.fuzzy] >= 2 {
                        session.reporter.info(Bytes("fuzzy size/modtime match for ") + shown(place, id, candidate.name))
                    }
                    return select(SimilarNames.Found(place: place, name: candidate.name), list, entry)
                }
            }
        }
        var best: SimilarNames.Found?
        var limit = NameDistance.farthest
        for (place, candidates) in listings.enumerated() {
            for candidate in candidates {
                if place == 0 && similarNames.isUpdated(candidate.name) { continue }
                let distance = NameDistance.of(candidate.name, wanted, limit: limit)
                if options.debug[.fuzzy] >= 2 {
                    let fraction = String(distance & 0xFFFF)
                    let padded = String(repeating: "0", count: 5 - fraction.count) + fraction
                    session.reporter.info(
                        Bytes("fuzzy distance for ") + shown(place, id, candidate.name)
                            + Bytes(text: " = \(distance >> 16).\(padded)"))
                }
                if distance <= limit {
                    limit = distance
                    best = SimilarNames.Found(place: place, name: candidate.name)
                }
            }
        }
        return best.map { select($0, list, entry) }
    }

    /// A candidate as messages name it.
    func shown(_ place: Int, _ directory: Int32, _ name: Bytes) -> Bytes {
        let prefix = place == 0 ? [] : alternates.places[place - 1].shown
        return prefix.appendingComponent(Bytes(destination.paths.path(directory))).appendingComponent(name)
    }

    private func select(_ found: SimilarNames.Found, _ list: FileSegment, _ entry: FileEntry) -> SimilarNames.Found {
        if options.debug[.fuzzy] >= 1 {
            session.reporter.info(
                Bytes("fuzzy basis selected for ") + list.path(entry) + Bytes(": ")
                    + shown(found.place, entry.directory, found.name))
        }
        return found
    }
}
