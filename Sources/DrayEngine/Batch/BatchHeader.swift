// Dray — the beginning of a batch file: options and the outcome of the set-up.
// Layer: Engine. Wire format: chapter 03 §16.1.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayWire

/// What a batch file says before the recorded stream.
struct BatchHeader: Equatable {
    /// The options that shape the stream.
    struct StreamFlags: OptionSet, Sendable {
        let rawValue: Int32
        static let recursive = Self(rawValue: 1 << 0)
        static let owner = Self(rawValue: 1 << 1)
        static let group = Self(rawValue: 1 << 2)
        static let links = Self(rawValue: 1 << 3)
        static let devices = Self(rawValue: 1 << 4)
        static let hardLinks = Self(rawValue: 1 << 5)
        static let checksum = Self(rawValue: 1 << 6)
        static let dirs = Self(rawValue: 1 << 7)
        static let compress = Self(rawValue: 1 << 8)
        static let iconv = Self(rawValue: 1 << 9)
        static let acls = Self(rawValue: 1 << 10)
        static let xattrs = Self(rawValue: 1 << 11)
        static let inplace = Self(rawValue: 1 << 12)
        static let append = Self(rawValue: 1 << 13)
        static let appendVerify = Self(rawValue: 1 << 14)

        /// The flags that a protocol knows.
        static func known(_ protocolVersion: Int32) -> Self {
            Self(rawValue: protocolVersion >= 30 ? 0x7FFF : protocolVersion >= 29 ? 0x1FF : 0x7F)
        }
    }

    var flags: StreamFlags
    var protocolVersion: Int32
    var compatibility: CompatibilityFlags
    var checksumSeed: Int32

    func write(to writer: WireWriter) throws(TransferFailure) {
        try writer.int32(flags.rawValue)
        try writeOutcome(to: writer)
    }

    /// What follows the flags: the outcome of the set-up.
    func writeOutcome(to writer: WireWriter) throws(TransferFailure) {
        try writer.int32(protocolVersion)
        if protocolVersion >= 30 { try writer.varint(compatibility.rawValue) }
        try writer.int32(checksumSeed)
    }
}

extension BatchHeader.StreamFlags {
    init(_ options: TransferOptions, protocolVersion: Int32) {
        var flags: Self = []
        for row in Self.rows where row.isOn(options) { flags.insert(row.flag) }
        if options.iconv != nil { flags.insert(.iconv) }
        self = flags.intersection(.known(protocolVersion))
    }

    /// One flag, its name in messages, and the option behind it.
    private struct Row {
        let flag: BatchHeader.StreamFlags
        let name: String
        let isOn: (TransferOptions) -> Bool
        let set: (inout TransferOptions, Bool) -> Void
    }

    private static var rows: [Row] {
        [
            Row(flag: .recursive, name: "--recurse (-r)", isOn: { $0.recursive }, set: { $0.recursive = $1 }),
            Row(flag: .owner, name: "--owner (-o)", isOn: { $0.owner }, set: { $0.owner = $1 }),
            Row(flag: .group, name: "--group (-g)", isOn: { $0.group }, set: { $0.group = $1 }),
            Row(flag: .links, name: "--links (-l)", isOn: { $0.links }, set: { $0.links = $1 }),
            Row(flag: .devices, name: "--devices (-D)", isOn: { $0.devices }, set: { $0.devices = $1 }),
            Row(
                flag: .hardLinks, name: "--hard-links (-H)", isOn: { $0.hardLinks > 0 },
                set: { $0.hardLinks = $1 ? 1 : 0 }),
            Row(flag: .checksum, name: "--checksum (-c)", isOn: { $0.checksum }, set: { $0.checksum = $1 }),
            Row(flag: .dirs, name: "--dirs (-d)", isOn: { $0.dirs }, set: { $0.dirs = $1 }),
            Row(flag: .compress, name: "--compress (-z)", isOn: { $0.compress }, set: { $0.compress = $1 }),
            Row(flag: .acls, name: "--acls (-A)", isOn: { $0.acls }, set: { $0.acls = $1 }),
            Row(flag: .xattrs, name: "--xattrs (-X)", isOn: { $0.xattrs > 0 }, set: { $0.xattrs = $1 ? 1 : 0 }),
            Row(flag: .inplace, name: "--inplace", isOn: { $0.inplace }, set: { $0.inplace = $1 }),
            Row(
                flag: .append, name: "--append", isOn: { $0.append == .append },
                set: { $0.append = $1 ? .append : .off }),
            Row(
                flag: .appendVerify, name: "--append-verify", isOn: { $0.append == .verify },
                set: { options, isOn in
                    if isOn { options.append = .verify } else if options.append == .verify { options.append = .off }
                }),
        ]
    }

    /// Makes `options` those of the batch.
    ///
    /// - Returns: a line for each option that had to change.
    func adopt(
        into options: inout TransferOptions, protocolVersion: Int32
    ) throws(TransferFailure) -> [String] {
        let known = Self.known(protocolVersion)
        var lines: [String] = []
        for row in Self.rows where known.contains(row.flag) && row.isOn(options) != contains(row.flag) {
            let isOn = contains(row.flag)
            row.set(&options, isOn)
            lines.append("\(isOn ? "Setting" : "Clearing") the \(row.name) option to match the batchfile.")
        }
        if !known.contains(.dirs) { options.dirs = options.recursive }
        if known.contains(.iconv) && contains(.iconv) != (options.iconv != nil) {
            let text =
                contains(.iconv)
                ? "Please specify the --iconv option to use this batch file."
                : "Do not specify the --iconv option to use this batch file."
            throw TransferFailure(.syntax, text, role: .unsplitReceiver)
        }
        return lines
    }
}
