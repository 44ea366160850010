// Dray — filter rules as a role meets them while it walks directories.
// Layer: Engine. Behaviour: chapter 06 §4, §8.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayFilters
import Glibc

/// Applies the user's and the daemon's list, keeping per-directory rules in step with the walk. One role owns it.
final class FilterWalk {
    private let list: FilterList
    private let daemon: FilterList?
    private let side: FilterSide
    private struct Entered {
        var depth: Int
        var path: Bytes
        /// Per-directory lists were there when it was entered.
        var hasLists: Bool
        var isLoaded: Bool
    }
    private var entered: [Entered] = []
    private var root: Bytes?
    /// Takes lines about the rules of directories (`--debug=filter2`); nil costs nothing.
    private let tell: ((Bytes) -> Void)?
    /// A directory's own rules could not be named.
    private let noteIncomplete: () -> Void

    init(session: Session, side: FilterSide) {
        list = session.filters
        daemon = session.daemonFilters
        self.side = side
        let role = side == .sender ? RoleName.sender : .generator
        list.settings.role = role
        if session.options.amServer && !session.options.isLocal {
            list.onNotice = { session.reporter.error($0) }
        }
        let who = Bytes(text: "[\(role.rawValue)] ")
        noteIncomplete = { session.reporter.noteIOError(.general) }
        tell = session.options.debug[.filter] >= 2 ? { session.reporter.info(who + $0) } : nil
    }

    /// Whether any rule can matter.
    var isActive: Bool { !list.isEmpty || !(daemon?.isEmpty ?? true) }

    /// - Parameters:
    ///   - path: relative to the transfer root.
    ///   - root: senders: where the transfer root is below the module, because the module's rules begin there.
    func excludes(_ path: Bytes, isDirectory: Bool, root: Bytes = []) -> Bool {
        if let daemon {
            let name = root.isEmpty ? path : Self.belowModule(root.appendingComponent(path))
            if daemon.decision(name: name, isDirectory: isDirectory, side: side) < 0 { return true }
        }
        return !list.isEmpty && list.decision(name: path, isDirectory: isDirectory, side: side) < 0
    }

    /// Whether the module's rules hide an argument or one of its parents: it is then as if absent.
    func hides(_ argument: Bytes, isDirectory: Bool) -> Bool {
        guard let daemon else { return false }
        let name = Self.belowModule(argument)
        return !name.isEmpty && Self.excludes(daemon, name, isDirectory: isDirectory)
    }

    private static func belowModule(_ path: Bytes) -> Bytes { Bytes(path.drop { $0 == UInt8(ascii: "/") }) }

    static func excludes(_ list: FilterList, _ path: Bytes, isDirectory: Bool) -> Bool {
        !list.isEmpty && list.excludesPath(path, isDirectory: isDirectory)
    }

    /// Perishable rules do not protect inside a directory that goes away.
    var ignoresPerishable: Bool {
        get { list.ignoresPerishable }
        set { list.ignoresPerishable = newValue }
    }

    // MARK: - Directories

    /// Loads the per-directory rules of `directory` below `root` (absolute or relative to the process), and forgets those
    /// of directories that lie as deep or deeper.
    ///
    /// Compatibility: as with rsync depth alone decides, so rules of one source may hold in another that lies deeper.
    func change(to directory: Bytes, root: Bytes) throws(TransferFailure) {
        if list.isEmpty && tell == nil { return }
        let depth = Self.depth(directory)
        try forget(downTo: depth)
        try push(directory, root, depth)
    }

    /// The same for the directories above `path`, which are sent because of it.
    func changeToParents(of path: Bytes, root: Bytes) throws(TransferFailure) {
        if list.isEmpty && tell == nil { return }
        for (index, byte) in path.enumerated() where byte == UInt8(ascii: "/") && index > 0 {
            let parent = Bytes(path[..<index])
            // What an argument before has come through stays.
            let depth = Self.depth(parent)
            if self.root == root, entered.contains(where: { $0.depth == depth && $0.path == parent }) {
                try forget(downTo: depth + 1)
            } else {
                try change(to: parent, root: root)
            }
        }
    }

    /// The walk is over.
    func changeToNothing() throws(TransferFailure) { try forget(downTo: 0) }

    /// Loads the rules of a directory until `leave()`, whatever its depth.
    func enter(directory: Bytes, root: Bytes) throws(TransferFailure) {
        if list.isEmpty && tell == nil { return }
        try push(directory, root, Int.max)
    }

    /// Forgets the rules of the directory entered last.
    func leave() {
        guard let last = entered.popLast() else { return }
        pop(last)
    }

    private func forget(downTo depth: Int) throws(TransferFailure) {
        while let last = entered.last, last.depth >= depth {
            entered.removeLast()
            // What had nothing to load is not mentioned again.
            if last.hasLists { pop(last) } else if last.isLoaded { list.leave() }
        }
    }

    private func push(_ directory: Bytes, _ root: Bytes, _ depth: Int) throws(TransferFailure) {
        if let tell {
            let path = root.appendingComponent(directory)
            let whole = path.first == UInt8(ascii: "/") ? path : Session.currentDirectory().appendingComponent(path)
            var shown = SourceWalk.withoutDots(whole)
            if shown.last != UInt8(ascii: "/") { shown.append(UInt8(ascii: "/")) }
            tell(Bytes("pushing local filters for ") + shown)
        }
        var item = Entered(depth: depth, path: directory, hasLists: list.hasMergeLists, isLoaded: false)
        if !list.isEmpty {
            if self.root != root {
                self.root = root
                list.settings.workingDirectory =
                    root.first == UInt8(ascii: "/") ? root : Session.currentDirectory().appendingComponent(root)
            }
            if !(try list.enter(directory: directory)) { noteIncomplete() }
            item.isLoaded = true
        }
        entered.append(item)
    }

    private func pop(_ item: Entered) {
        tell?(Bytes("popping local filters"))
        if item.isLoaded { list.leave() }
    }

    /// 0 for the transfer root, else the number of components.
    private static func depth(_ path: Bytes) -> Int {
        path.isEmpty || path == Bytes(".") ? 0 : path.dropFirst().count { $0 == UInt8(ascii: "/") } + 1
    }
}

/// What was read for rules from where it can be read once only (standard input, pipes): rules are read more than once.
public final class StandardInputTexts: Sendable {
    private let texts = Monitor<[Bytes]>([])
    private let pipes = Monitor<[Bytes: Bytes]>([:])
    public init() {}

    /// The text of the pipe at `path`; nil if it was not read yet.
    func text(ofPipe path: Bytes) -> Bytes? { pipes.withLock { $0[path] } }

    func keep(_ text: Bytes, ofPipe path: Bytes) { pipes.withLock { $0[path] = text } }

    /// The text that the reading number `index` got.
    func text(_ index: Int, limit: Int) throws(FilterFileError) -> Bytes {
        try texts.withLock { texts throws(FilterFileError) -> Bytes in
            while texts.count <= index {
                switch FileSystem.readAll(0, limit: limit) {
                case .success(let text): texts.append(text)
                case .failure(let error): throw FilterFileError(code: error.code)
                }
            }
            return texts[index]
        }
    }
}

/// Reads files of rules from disk.
public final class FilterFiles: FilterFileReader {
    private let limit = 64 << 20
    private let trusting: Bool
    private let confineRoot: Bytes?
    private let confinesMerges: Bool
    private let standardInput: StandardInputTexts
    /// How often this reader has read standard input.
    private var standardInputCount = 0

    /// - Parameters:
    ///   - trusting: symlinks of anybody are followed.
    ///   - confineRoot: directory that files named by rules of the peer must lie in; a client's own merge rules are
    ///     trusted.
    ///   - standardInput: what readers of the same rules share.
    public init(
        trusting: Bool = false, confineRoot: Bytes? = nil, amServer: Bool = false,
        standardInput: StandardInputTexts = StandardInputTexts()
    ) {
        self.standardInput = standardInput
        self.trusting = trusting
        self.confineRoot = confineRoot
        confinesMerges = amServer
    }

    public func read(path: Bytes, kind: FilterFileKind) throws(FilterFileError) -> Bytes? {
        if kind == .standardInput {
            standardInputCount += 1
            return try standardInput.text(standardInputCount - 1, limit: limit)
        }
        let isConfined = kind == .perDirectory || kind == .merge && confinesMerges
        // Most directories have no such file: the careful way is only for those that have.
        var status = FileStatus()
        let code = path.withCString {
            FileSystem.status(FileSystem.workingDirectory, $0, follow: true, &status)
        }
        if code != 0 { throw FilterFileError(code: code) }
        let isPipe = status.type == FileType.fifo
        if isPipe, let text = standardInput.text(ofPipe: path) { return text }
        let descriptor = OperatorFile.open(
            path, flags: O_RDONLY, trusting: trusting, confineRoot: isConfined ? confineRoot : nil)
        // A directory holds no rules.
        if descriptor == -EISDIR { return [] }
        if descriptor < 0 {
            let isUntrusted = descriptor == -ELOOP && !(isConfined && confineRoot != nil)
            throw FilterFileError(code: -descriptor, isUntrustedLink: isUntrusted)
        }
        defer { _ = FileSystem.close(descriptor) }
        switch FileSystem.readAll(descriptor, limit: limit) {
        case .success(let text):
            if isPipe { standardInput.keep(text, ofPipe: path) }
            return text
        case .failure(let error):
            if error.code == EISDIR { return [] }
            throw FilterFileError(code: error.code)
        }
    }
}
