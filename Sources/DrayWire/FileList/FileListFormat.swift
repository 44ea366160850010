// Dray — which fields a file list carries; both peers must agree on all of it.
// Layer: Wire. Wire format: chapter 02 §2, §3.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Flag bits of an entry on the wire.
enum Xmit {
    static let topDirectory: UInt32 = 0x0001
    static let sameMode: UInt32 = 0x0002
    /// Below protocol 28: same device number; from 28: a second flag byte follows.
    static let sameRdevOld: UInt32 = 0x0004
    static let extendedFlags: UInt32 = 0x0004
    static let sameUID: UInt32 = 0x0008
    static let sameGID: UInt32 = 0x0010
    static let sameName: UInt32 = 0x0020
    static let longName: UInt32 = 0x0040
    static let sameTime: UInt32 = 0x0080
    static let sameRdevMajor: UInt32 = 0x0100
    static let noContentDirectory: UInt32 = 0x0100
    static let hardLinked: UInt32 = 0x0200
    static let sameDevOld: UInt32 = 0x0400
    static let userNameFollows: UInt32 = 0x0400
    static let rdevMinor8Old: UInt32 = 0x0800
    static let groupNameFollows: UInt32 = 0x0800
    static let hardLinkFirst: UInt32 = 0x1000
    static let ioErrorEndList: UInt32 = 0x1000
    static let modNanoseconds: UInt32 = 0x2000
    static let sameAtime: UInt32 = 0x4000
}

/// The agreed shape of the file list of one connection.
public struct FileListFormat: Sendable {
    public var protocolVersion: Int32
    /// Flags as one varint (compat flag 0x080).
    public var varintFlags = false
    /// An I/O error may stand at the end of a list.
    public var safeList = false
    public var idZeroNames = false
    public var incremental = false
    public var preserveUID = false
    public var preserveGID = false
    public var preserveLinks = false
    public var preserveDevices = false
    public var preserveSpecials = false
    public var preserveHardLinks = false
    public var preserveAtimes = false
    public var preserveACLs = false
    public var preserveXattrs = false
    public var numericIDs = false
    /// Digest bytes per regular file; 0 without `--checksum`.
    public var checksumLength = 0
    public var relativeNames = false
    /// An entry of mode 0 is legal (`--delete-missing-args`).
    public var allowsMissingMode = false

    public init(protocolVersion: Int32) { self.protocolVersion = protocolVersion }

    /// The format that `options` imply, before compat flags are applied.
    public init(options: TransferOptions, protocolVersion: Int32, flags: CompatibilityFlags, checksumLength: Int) {
        self.protocolVersion = protocolVersion
        varintFlags = flags.contains(.varintFlistFlags)
        safeList = flags.contains(.safeFileList) || protocolVersion >= 31
        idZeroNames = flags.contains(.idZeroNames)
        incremental = flags.contains(.incrementalRecursion)
        preserveUID = options.owner
        preserveGID = options.group
        preserveLinks = options.links
        preserveDevices = options.devices
        preserveSpecials = options.specials
        preserveHardLinks = options.hardLinks > 0
        preserveAtimes = options.atimes > 0
        preserveACLs = options.acls
        preserveXattrs = options.xattrs > 0
        numericIDs = options.numericIDs
        self.checksumLength = options.checksum ? checksumLength : 0
        relativeNames = options.relative
        allowsMissingMode = options.missingArgs == .delete
    }

    /// Whether id lists with names follow the only list.
    public var hasIDLists: Bool { !incremental && !numericIDs }

    /// ACLs have ids too.
    var hasUserList: Bool { preserveUID || preserveACLs }
    var hasGroupList: Bool { preserveGID || preserveACLs }

    /// Whether an entry of this type carries a device number.
    func hasDeviceNumber(_ mode: UInt32) -> Bool {
        switch mode & FileType.mask {
        case FileType.characterDevice, FileType.blockDevice: preserveDevices
        case FileType.fifo, FileType.socket: preserveSpecials && protocolVersion < 31
        default: false
        }
    }

    /// Whether an entry of this type carries a digest.
    func hasChecksum(_ mode: UInt32) -> Bool {
        checksumLength > 0 && (mode & FileType.mask == FileType.regular || protocolVersion < 28)
    }

    static func isSpecial(_ mode: UInt32) -> Bool {
        let type = mode & FileType.mask
        return type == FileType.fifo || type == FileType.socket
    }
}
