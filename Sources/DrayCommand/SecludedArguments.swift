// Dray — arguments and names that do not come from the command line itself.
// Layer: Command. Behaviour: chapter 01 §4; chapter 05 §7.4.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayEngine
import DrayFiles
import Glibc

/// The server's side of `--secluded-args`.
enum SecludedArguments {
    private static let bufferSize = 4096

    /// Reads NUL-terminated words up to an empty one; the program name is dropped.
    static func read(from channel: any ByteChannel) throws(TransferFailure) -> [Bytes] {
        var words: [Bytes] = []
        var word: Bytes = []
        while true {
            guard let byte = readByte(channel) else {
                throw TransferFailure(
                    .protocolStream,
                    lines: [Bytes("rsync: connection unexpectedly closed (0 bytes received so far) [server]")],
                    role: .server)
            }
            if byte != 0 {
                // Longer words lose their tail, as with rsync's fixed buffer.
                if word.count < bufferSize - 1 { word.append(byte) }
                continue
            }
            if word.isEmpty { break }
            words.append(word)
            word = []
            if words.count > Limits.daemonArguments { break }
        }
        return Array(words.dropFirst())
    }

    private static func readByte(_ channel: any ByteChannel) -> UInt8? {
        var byte: UInt8 = 0
        let count = withUnsafeMutableBytes(of: &byte) { raw in
            (try? channel.read(into: raw, timeoutMilliseconds: -1)) ?? 0
        }
        return count == 1 ? byte : nil
    }

    /// Takes `NAME/..` out of the paths (all words but the first) by text alone: no such directory has to be there.
    static func cleaned(_ operands: [Bytes]) -> [Bytes] {
        guard let first = operands.first else { return [] }
        return [first] + operands.dropFirst().map(cleaned)
    }

    private static func cleaned(_ path: Bytes) -> Bytes {
        let slash = UInt8(ascii: "/")
        let (dot, dots) = (Bytes("."), Bytes(".."))
        let isAbsolute = path.first == slash
        var parts: [Bytes] = []
        var isUp = false
        for part in path.fields(separatedBy: { $0 == slash }) {
            isUp = part == dots
            if !isUp {
                parts.append(part)
            } else if let last = parts.last, last != dots, last != dot {
                parts.removeLast()
            } else if !isAbsolute || !parts.isEmpty {
                parts.append(part)
            }
        }
        // Without a way up nothing changes, not even superfluous slashes.
        guard parts.count < path.fields(separatedBy: { $0 == slash }).count else { return path }
        let joined = (isAbsolute ? [slash] : []) + Bytes(parts.joined(separator: [slash]))
        // What ended in a way up, or in a slash, means a directory's content.
        guard isUp || path.last == slash else { return joined }
        return parts.isEmpty ? (isAbsolute ? [slash] : Bytes("./")) : joined + [slash]
    }

    /// Expands wildcards in the sources (all words but the first), as a shell would have done.
    static func expanded(_ operands: [Bytes]) -> [Bytes] {
        guard let first = operands.first else { return [] }
        var result = [first]
        for operand in operands.dropFirst() {
            var found = glob_t()
            defer { globfree(&found) }
            if operand.withCString({ glob($0, 0, nil, &found) }) == 0, found.gl_pathc > 0, let paths = found.gl_pathv {
                for index in 0..<Int(found.gl_pathc) {
                    if let path = paths[index] {
                        result.append(Bytes(UnsafeRawBufferPointer(start: path, count: strlen(path))))
                    }
                }
            } else {
                result.append(operand)
            }
        }
        return result
    }
}

/// The names of `--files-from`, read by the sending side.
enum FilesFromList {
    /// The whole list, as it stands in the file.
    ///
    /// - Parameter forPeer: it is passed on: what cannot be read is an empty list then.
    static func read(_ path: Bytes, _ options: TransferOptions, forPeer: Bool) throws(TransferFailure) -> Bytes {
        let descriptor = path == Bytes("-") ? STDIN_FILENO : open(path, options)
        if descriptor < 0 { throw refusal(path, -descriptor, options) }
        defer { if descriptor != STDIN_FILENO { close(descriptor) } }
        switch FileSystem.readAll(descriptor, limit: .max) {
        case .success(let text): return text
        case .failure(let failure):
            if forPeer { return [] }
            let reason = "\(errnoText(failure.code)) (\(failure.code))"
            let line = Bytes(text: "rsync: [sender] safe_read failed to read 1 bytes: " + reason)
            guard options.isLocal else { throw TransferFailure(.protocolStream, lines: [line], role: .sender) }
            // The other half is stopped.
            let lines = [Reporter.errorLine(.userSignal1, role: .unsplitReceiver), line]
            throw TransferFailure(.protocolStream, lines: lines, role: .sender)
        }
    }

    /// Opens a list; −errno on failure.
    static func open(_ path: Bytes, _ options: TransferOptions) -> Int32 {
        OperatorFile.open(
            path, flags: O_RDONLY, trusting: options.insecureLinks, confineRoot: options.confinement)
    }

    static func refusal(_ path: Bytes, _ code: Int32, _ options: TransferOptions) -> TransferFailure {
        var lines = [Bytes("rsync: failed to open files-from file ") + path + Bytes(text: ": \(errnoText(code))")]
        if code == ELOOP && !options.insecureLinks && options.confinement == nil {
            lines.insert(Bytes(untrustedLinkText), at: 0)
        }
        return TransferFailure(.syntax, lines: lines, role: options.amServer ? .server : .client)
    }
}
