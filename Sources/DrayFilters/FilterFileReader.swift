// Dray — how filter lists get at files: through their owner, never themselves.
// Layer: Filters. Rules: chapter 06 §3, §14.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Why a file of rules is read; decides how it may be opened.
public enum FilterFileKind: Sendable, Equatable {
    /// `--exclude-from`, `--include-from`.
    case option
    /// A `.` merge rule.
    case merge
    /// A per-directory file, or one found by the scan of parent directories.
    case perDirectory
    /// `$HOME/.cvsignore`.
    case home
    /// Named by a daemon module parameter.
    case daemonParameter
    /// Standard input (client only); the path is `-`.
    case standardInput
}

/// Why a file of rules could not be read.
public struct FilterFileError: Error, Equatable, Sendable {
    /// The errno value.
    public var code: Int32
    /// A component is a symlink of somebody who is not trusted.
    public var isUntrustedLink: Bool
    /// The daemon's own list forbids this file to the client.
    public var isRejectedByDaemon: Bool

    public init(code: Int32, isUntrustedLink: Bool = false, isRejectedByDaemon: Bool = false) {
        self.code = code
        self.isUntrustedLink = isUntrustedLink
        self.isRejectedByDaemon = isRejectedByDaemon
    }
}

/// Reads whole files of rules. Relative paths count from the process's current directory (the transfer root).
public protocol FilterFileReader: AnyObject {
    /// Returns the contents; nil if the file is hidden by a daemon list and is to be ignored without a word.
    func read(path: Bytes, kind: FilterFileKind) throws(FilterFileError) -> Bytes?
}

/// A reader that has no files: for lists that only get rules over the wire and in tests.
public final class NoFilterFiles: FilterFileReader {
    public init() {}
    public func read(path: Bytes, kind: FilterFileKind) throws(FilterFileError) -> Bytes? {
        throw FilterFileError(code: 2)
    }
}
