// Dray — the rules of a command line, and the errors in them.
// Layer: Command. Behaviour: chapter 06 §2, §9.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayEngine
import DrayFilters
import Glibc

extension RsyncCommand {
    /// Adds each rule of a line to a list that is only there for their errors, as they are read.
    func checkRules(of parser: inout OptionParser) {
        var list: FilterList?
        // What is told of the rules before a bad one; those of good lines are told of when they are read for good.
        var lines: Bytes = []
        parser.onFilter = { [self] (option, options) throws(TransferFailure) in
            let rules = list ?? emptyFilters(options)
            list = rules
            do throws(TransferFailure) { try Self.add(option, to: rules, trace: { lines += $0 + [0x0a] }) } catch {
                _ = writeAll(STDOUT_FILENO, lines)
                var failure = error
                failure.role = failure.role ?? rules.settings.role
                throw failure
            }
        }
    }

    private func emptyFilters(_ options: TransferOptions) -> FilterList {
        var settings = FilterList.Settings()
        settings.side = options.amSender ? .sender : .receiver
        settings.role = options.amServer ? .server : .client
        settings.amServer = options.amServer
        settings.isLocal = options.isLocal
        settings.deleteExcluded = options.deleteExcluded
        settings.home = environmentValue("HOME")
        settings.cvsIgnore = environmentValue("CVSIGNORE")
        if let text = getcwd(nil, 0) {
            settings.workingDirectory = Bytes(UnsafeRawBufferPointer(start: text, count: strlen(text)))
            free(text)
        }
        let files = FilterFiles(
            trusting: options.insecureLinks, confineRoot: options.confinement,
            amServer: options.amServer && !options.isLocal, standardInput: standardInput)
        return FilterList(settings: settings, reader: files)
    }

    /// Adds filter options in the order they were typed.
    ///
    /// - Parameter trace: takes debug lines about rules that stand behind the option that asks for them.
    static func add(
        _ options: [FilterOption], to list: FilterList, trace: ((Bytes) -> Void)? = nil
    ) throws(TransferFailure) {
        // Files that are named before `-0` are read by lines; those met on the way as it is in the end.
        let isNulSeparated = list.settings.nulSeparated
        list.settings.nulSeparated = false
        list.deleteExcludedFollows = options.contains(.deleteExcluded)
        defer {
            list.settings.nulSeparated = isNulSeparated
            list.deleteExcludedFollows = false
        }
        for option in options { try add(option, to: list, trace: trace) }
    }

    private static func add(
        _ option: FilterOption, to list: FilterList, trace: ((Bytes) -> Void)?
    ) throws(TransferFailure) {
        switch option {
        case .deleteExcluded:
            list.settings.deleteExcluded = true
            list.deleteExcludedFollows = false
        case .fromZero(let isOn): list.settings.nulSeparated = isOn
        case .filter(let rule): try list.addFilter(rule)
        case .exclude(let pattern): try list.addExclude(pattern)
        case .include(let pattern): try list.addInclude(pattern)
        case .excludeFrom(let file): try list.addExcludeFrom(file)
        case .includeFrom(let file): try list.addIncludeFrom(file)
        case .perDirectory: try list.addFilterShortcut()
        case .cvsExclude: break
        case .tracing(let isOn): list.onTrace = isOn ? trace : nil
        }
    }

    func makeFilters(
        _ command: ParsedCommand, _ options: TransferOptions, _ sink: TerminalSink?
    ) throws(TransferFailure) -> FilterList {
        let list = emptyFilters(options)
        list.settings.role = .client
        list.settings.nulSeparated = options.fromZero
        list.onNotice = { line in sink?.handle(.message(.error, line + [0x0a])) }
        let trace = sink.map { sink in { (line: Bytes) in sink.handle(.message(.info, line + [0x0a])) } }
        try Self.add(command.client.filters, to: list, trace: trace)
        list.onTrace = options.debug[.filter] >= 2 ? trace : nil
        if options.backup && options.backupDirectory == nil && options.deletes && !options.deleteExcluded
            && (!options.amServer || options.isLocal)
        {
            try list.addBackupProtection(suffix: options.backupSuffix)
        }
        return list
    }
}
