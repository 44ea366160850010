// Dray — directories that may hold files the destination lacks: --compare-dest, --copy-dest, --link-dest.
// Layer: Engine. Behaviour: chapter 04 §1.2, §4; chapter 08 §2.4.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import Glibc

/// One alternate directory and how paths in it are resolved.
struct AlternatePlace: Sendable {
    enum Resolver: Sendable {
        /// Below a module's directory, whatever the links in it say.
        case confined
        /// By the owners of the links on the way, or (`trusting`) by the kernel alone.
        case byOwner(trusting: Bool, confineRoot: Bytes?)
    }
    var path: Bytes
    /// The path as messages show it.
    var shown: Bytes
    var anchor: Int32
    var resolver: Resolver

    /// Opens the directory `sub` (relative, may be empty) in it; −errno on failure.
    func open(_ sub: Bytes) -> Int32 {
        let full = sub.isEmpty ? path : path.appendingComponent(sub)
        switch resolver {
        case .confined: return full.withCString { ConfinedPath.openDirectory(anchor, $0) }
        case .byOwner(let trusting, let confineRoot):
            return OperatorFile.open(
                full, flags: O_RDONLY | O_DIRECTORY, anchor: anchor, trusting: trusting, confineRoot: confineRoot)
        }
    }
}

/// The alternate directories as one role uses them.
final class AlternateBases {
    let kind: AlternateKind
    let places: [AlternatePlace]
    private let caches: [DirectoryCache]
    /// Called when a link of an untrusted user leads to a directory.
    var onRefusal: (() -> Void)?

    /// How well an item matches an entry.
    enum Level: Int, Comparable {
        case none, sameKind, sameContent, same
        static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
    }

    struct Match {
        var index: Int
        var level: Level
        /// Directory that holds the item; borrowed from the cache.
        var directory: Int32
        var status: FileStatus
    }

    init(kind: AlternateKind, places: [AlternatePlace], paths: PathTable) {
        self.kind = kind
        self.places = places
        // All directories together stay far below the limit of open files.
        let capacity = max(2, 24 / max(1, places.count))
        caches = places.map { place in
            DirectoryCache(paths: paths, capacity: capacity, open: { place.open($0) })
        }
    }

    var isEmpty: Bool { places.isEmpty }

    /// Descriptor of directory `id` (path-table id) in alternate `index`; −errno if there is none.
    func descriptor(_ index: Int, _ id: Int32) -> Int32 { caches[index].descriptor(id) }

    /// The first directory with the best match for an entry; the search ends with a complete one.
    func best(
        _ directory: Int32, _ name: UnsafePointer<CChar>, judge: (Int32, FileStatus) -> Level
    ) -> Match? {
        var best: Match?
        for index in places.indices {
            let parent = descriptor(index, directory)
            if parent < 0 {
                if parent == -ELOOP { onRefusal?() }
                continue
            }
            var status = FileStatus()
            guard FileSystem.status(parent, name, follow: false, &status) == 0 else { continue }
            let level = judge(parent, status)
            guard level > (best?.level ?? .none) else { continue }
            best = Match(index: index, level: level, directory: parent, status: status)
            if level == .same { break }
        }
        return best
    }
}

extension AlternateKind {
    /// The option as typed.
    var option: StaticString {
        switch self {
        case .compare: "--compare-dest"
        case .copy: "--copy-dest"
        case .link: "--link-dest"
        }
    }
}

extension Destination {
    /// A role's own view of the alternate directories.
    func makeAlternates() -> AlternateBases {
        let bases = AlternateBases(kind: options.alternateKind ?? .compare, places: alternatePlaces, paths: paths)
        if !options.insecureLinks && !options.amDaemon && options.confinement == nil {
            bases.onRefusal = { [reporter = session.reporter] in reporter.warning(Bytes(untrustedLinkText)) }
        }
        return bases
    }

    /// Resolves the alternate directories once the destination is known; unusable ones are only mentioned.
    func resolveAlternates() {
        guard let kind = options.alternateKind else { return }
        for given in options.alternateDirectories {
            // An empty name stands for the destination itself, which has nothing to add. Unlike rsync, --compare-dest does
            // not remove there what it finds to be the same.
            var path = given
            while path.count > 1 && path.last == UInt8(ascii: "/") { path.removeLast() }
            let place = locate(path)
            alternatePlaces.append(place)
            let descriptor = place.open([])
            if descriptor >= 0 {
                _ = FileSystem.close(descriptor)
                continue
            }
            if given.isEmpty { continue }
            if descriptor == -ELOOP, case .byOwner = place.resolver {
                // As good as empty; a link of an untrusted user is told of for each entry.
                continue
            }
            let what: StaticString = descriptor == -ENOTDIR ? " arg is not a dir: " : " arg does not exist: "
            session.reporter.warning(Bytes(kind.option) + Bytes(what) + place.shown)
        }
    }

    private func locate(_ path: Bytes) -> AlternatePlace {
        let isAbsolute = path.first == UInt8(ascii: "/")
        let working = session.environment.workingDirectory
        if session.environment.sanitizesPaths {
            let module = session.environment.modulePath ?? Bytes("/")
            var inside = isAbsolute ? path : session.displayDirectory.appendingComponent(path)
            if isAbsolute && inside.hasPrefix(module) { inside.removeFirst(module.count) }
            inside = Self.lexicallyClean(inside, keepsParents: false)
            let shown = isAbsolute ? path : Self.sanitized(path, depth: depth(session.displayDirectory))
            return AlternatePlace(path: inside, shown: shown, anchor: working, resolver: .confined)
        }
        let resolver = AlternatePlace.Resolver.byOwner(
            trusting: options.insecureLinks || options.amDaemon, confineRoot: options.confinement)
        if isAbsolute { return AlternatePlace(path: path, shown: path, anchor: working, resolver: resolver) }
        if root < 0, let assumed = assumedPath {
            // A dry run into a directory that does not exist: `..` can only be resolved by name.
            let clean = Self.lexicallyClean(assumed.appendingComponent(path), keepsParents: true)
            let shown = clean.first == UInt8(ascii: "/") ? clean : session.displayDirectory.appendingComponent(clean)
            return AlternatePlace(path: clean, shown: shown, anchor: working, resolver: resolver)
        }
        var shown = session.displayDirectory.appendingComponent(path)
        if session.environment.moduleName != nil, let module = session.environment.modulePath {
            // In a chroot the path is whole.
            shown = (module == Bytes("/") ? [] : module) + [UInt8(ascii: "/")] + shown
        }
        return AlternatePlace(path: path, shown: shown, anchor: root, resolver: resolver)
    }

    private func depth(_ directory: Bytes) -> Int {
        directory.fields { $0 == UInt8(ascii: "/") }.count { $0 != Bytes(".") }
    }

    /// A relative path as a daemon takes it: cleaned by name, with no more `..` in front than lead to the module's top.
    private static func sanitized(_ path: Bytes, depth: Int) -> Bytes {
        let clean = lexicallyClean(path, keepsParents: true).fields { $0 == UInt8(ascii: "/") }
        let climbs = clean.prefix { $0 == Bytes("..") }.count
        return Bytes(clean.dropFirst(max(0, climbs - depth)).joined(separator: [UInt8(ascii: "/")]))
    }

    /// Removes `.` and resolves `..` by name; what climbs above the start is kept or dropped.
    static func lexicallyClean(_ path: Bytes, keepsParents: Bool) -> Bytes {
        var kept: [Bytes] = []
        let isAbsolute = path.first == UInt8(ascii: "/")
        for part in path.fields(separatedBy: { $0 == UInt8(ascii: "/") }) where part != Bytes(".") {
            if part != Bytes("..") {
                kept.append(part)
            } else if let last = kept.last, last != Bytes("..") {
                kept.removeLast()
            } else if keepsParents && !isAbsolute {
                kept.append(part)
            }
        }
        let joined = Bytes(kept.joined(separator: [UInt8(ascii: "/")]))
        if isAbsolute && keepsParents { return [UInt8(ascii: "/")] + joined }
        return joined.isEmpty ? Bytes(".") : joined
    }
}
