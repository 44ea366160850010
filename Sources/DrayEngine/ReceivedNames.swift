// Dray — checks of received names against what was asked for and what the rules hide.
// Layer: Engine. Behaviour: chapter 06 §11.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFilters

/// The two checks of a pulling client.
final class ReceivedNames: NameJudge {
    private let filters: FilterList?
    private let implied: ImpliedNames?
    private let protocolVersion: Int32

    private init(filters: FilterList?, implied: ImpliedNames?, protocolVersion: Int32) {
        self.filters = filters
        self.implied = implied
        self.protocolVersion = protocolVersion
    }

    /// nil when the sender is trusted (servers, `--trust-sender`).
    static func judge(_ session: Session, requested: [Bytes]) -> (any NameJudge)? {
        let options = session.options
        if options.amServer || options.trustSender || options.isLocal || options.readsBatch { return nil }
        var implied: ImpliedNames?
        if options.oldArguments == 0 && options.filesFromHost == nil && !requested.isEmpty {
            var settings = ImpliedNames.Settings()
            // Names of a list do not begin with a module.
            settings.isDaemon =
                session.environment.handshakeVersion != nil && session.environment.filesFromForPeer == nil
            settings.relative = options.relative
            settings.recursive = options.recursive
            settings.dirs = options.dirs || options.listOnly
            let names = ImpliedNames(settings: settings)
            if let list = session.environment.filesFromForPeer {
                let wire = NameStream.wireForm(list, nulSeparated: options.fromZero)
                for name in wire.fields(separatedBy: { $0 == 0 }) where !name.isEmpty {
                    names.add(argument: Bytes(name))
                }
            } else {
                for argument in requested { names.add(argument: argument) }
            }
            if !names.isEmpty { implied = names }
        }
        var filters: FilterList?
        if !session.filters.hasSeenDirMerge && !session.filters.isEmpty {
            // The receiver's own: the generator changes the state of its list meanwhile.
            let settings = session.filters.settings
            filters = session.filters.copy(side: settings.side, role: settings.role)
            filters?.onMatch = session.filters.onMatch
        }
        if implied == nil && filters == nil { return nil }
        return ReceivedNames(filters: filters, implied: implied, protocolVersion: session.protocolVersion)
    }

    func check(_ name: Bytes, _ mode: UInt32, _ flags: inout FileEntryFlags) throws(TransferFailure) {
        let isDirectory = mode & FileType.mask == FileType.directory
        if name == Bytes(".") || name == Bytes("/.") { return }
        if let filters, filters.rejectsReceived(name: name, isDirectory: isDirectory) {
            throw TransferFailure.rejectingExcluded(name)
        }
        guard let implied else { return }
        if !implied.allows(name: name, isDirectory: isDirectory) { throw TransferFailure.rejectingUnrequested(name) }
        if isDirectory && implied.isOnlyParent(directory: name) {
            flags.remove([.topDirectory, .contentDirectory])
            flags.insert(.impliedDirectory)
        }
    }
}
