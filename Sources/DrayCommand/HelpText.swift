// Dray — the texts of `--help` and `--version`.
// Layer: Command. Behaviour: chapter 05 §6.9.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayWire

/// `--version`: first line and lists keep rsync's shape, because scripts read them.
enum VersionText {
    private static let capabilities: [(text: String, key: String, value: String)] = [
        ("64-bit files", "file_bits", "64"), ("64-bit inums", "inum_bits", "64"),
        ("64-bit timestamps", "timestamp_bits", "64"), ("64-bit long ints", "long_int_bits", "64"),
        ("socketpairs", "socketpairs", "true"), ("symlinks", "symlinks", "true"), ("symtimes", "symtimes", "true"),
        ("hardlinks", "hardlinks", "true"), ("hardlink-specials", "hardlink_specials", "true"),
        ("hardlink-symlinks", "hardlink_symlinks", "true"), ("IPv6", "IPv6", "true"), ("atimes", "atimes", "true"),
        ("batchfiles", "batchfiles", "true"), ("inplace", "inplace", "true"), ("append", "append", "true"),
        ("ACLs", "ACLs", "true"), ("ACL-at", "ACL_at", "true"), ("xattrs", "xattrs", "true"),
        ("optional secluded-args", "secluded_args", "\"optional\""), ("iconv", "iconv", "true"),
        ("prealloc", "prealloc", "true"), ("stop-at", "stop_at", "true"), ("no crtimes", "crtimes", "false"),
    ]
    private static let checksums = ["xxh128", "xxh3", "xxh64", "md5", "md4", "sha1", "none"]
    private static let compressors = CompressionMethod.available.map(\.rawValue)
    private static let authentication = ["sha512", "sha256", "sha1", "md5", "md4"]
    private static let copyright = "(C) 2026 the Dray authors"

    static let plain: Bytes = {
        var text = """
            rsync  version \(DrayVersion.rsync)  protocol version \(ProtocolVersion.newest)
            dray \(DrayVersion.text), Copyright \(copyright)
            Capabilities:

            """
        var line = "   "
        for (index, capability) in capabilities.enumerated() {
            let word = " " + capability.text + (index + 1 < capabilities.count ? "," : "")
            if line.utf8.count + word.utf8.count > 78 {
                text += line + "\n"
                line = "   "
            }
            line += word
        }
        text += line + "\nOptimizations:\n    SIMD-roll, no asm-roll, openssl-crypto, no asm-MD5\n"
        text +=
            "Checksum list:\n    " + checksums.joined(separator: " ").replacingFirst("xxh64", "xxh64 (xxhash)") + "\n"
        text += "Compress list:\n    " + compressors.joined(separator: " ") + "\n"
        text += "Daemon auth list:\n    " + authentication.joined(separator: " ") + "\n"
        text += "\ndray comes without any warranty; see the licence (Apache-2.0) for details.\n"
        return Bytes(text: text)
    }()

    static let json: Bytes = {
        func list(_ words: [String]) -> String {
            "[\n    " + words.map { "\"\($0)\"" }.joined(separator: ", ") + "\n  ]"
        }
        let flags = capabilities.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ", ")
        let text = """
            {
              "program": "rsync",
              "version": "\(DrayVersion.rsync)",
              "protocol": "\(ProtocolVersion.newest).0",
              "copyright": "\(copyright)",
              "url": "",
              "capabilities": {
                \(flags)
              },
              "optimizations": {
                "SIMD_roll": true, "asm_roll": false, "openssl_crypto": true, "asm_MD5": false
              },
              "checksum_list": \(list(checksums)),
              "compress_list": \(list(compressors)),
              "daemon_auth_list": \(list(authentication)),
              "license": "Apache-2.0",
              "caveat": "dray comes without any warranty"
            }

            """
        return Bytes(text: text)
    }()
}

extension String {
    fileprivate func replacingFirst(_ word: String, _ replacement: String) -> String {
        split(separator: " ").map { $0 == word ? replacement : String($0) }.joined(separator: " ")
    }
}

/// `--help`, also shown for usage errors.
enum HelpText {
    static let usage: Bytes = {
        var text = VersionText.plain.displayText
        text += """

            Copies files to, from or between machines and sends only what differs.

            Usage: rsync [OPTION]... SRC [SRC]... DEST
              or   rsync [OPTION]... SRC [SRC]... [USER@]HOST:DEST
              or   rsync [OPTION]... SRC [SRC]... [USER@]HOST::DEST
              or   rsync [OPTION]... SRC [SRC]... rsync://[USER@]HOST[:PORT]/DEST
              or   rsync [OPTION]... [USER@]HOST:SRC [DEST]
              or   rsync [OPTION]... [USER@]HOST::SRC [DEST]
              or   rsync [OPTION]... rsync://[USER@]HOST[:PORT]/SRC [DEST]
            One colon means a remote shell, two colons or rsync:// a daemon.

            Options

            """
        text += (OptionTable.transfer + OptionTable.own).compactMap(line).joined()
        text += "\nThe daemon's options are shown by \"rsync --daemon --help\".\n"
        return Bytes(text: text)
    }()

    static let daemonUsage: Bytes = {
        var text = VersionText.plain.displayText
        text += "\nUsage: rsync --daemon [OPTION]...\n\nOptions\n"
        text += OptionTable.daemon.compactMap(line).joined()
        return Bytes(text: text)
    }()

    private static func line(_ row: OptionRow) -> String? {
        guard let help = row.help else { return nil }
        var label = row.names.first.map { "--" + $0 } ?? ""
        if let word = row.helpArgument { label += "=" + word }
        if let short = row.short {
            let letter = "-" + String(Unicode.Scalar(short))
            label += label.isEmpty ? letter : ", " + letter
        }
        return label + String(repeating: " ", count: max(1, 25 - label.utf8.count)) + help + "\n"
    }
}
