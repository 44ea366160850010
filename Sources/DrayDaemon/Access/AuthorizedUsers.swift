// Dray — who may log in to a module, and with which secret.
// Layer: Daemon. Behaviour: chapter 07 §10.1, §10.4, §10.5.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayFilters
import Glibc

/// `auth users` and `secrets file` of a module.
struct AuthorizedUsers {
    /// Result of a login.
    enum Outcome: Equatable {
        /// `readOnly` overrides the module's setting.
        case accepted(readOnly: Bool?)
        /// The tail of the log line.
        case refused(StaticStringBox)
    }

    private enum Option { case none, deny, readOnly, readWrite }

    var users: Bytes
    var secretsFile: Bytes
    var strictModes: Bool
    var log: (Bytes) -> Void = { _ in }
    /// Groups of a user, nil if there is no such user; replaced in tests.
    var groups: (Bytes) -> [Bytes]? = SystemAccounts.groupNames

    /// Words of a list: separated by commas alone if it begins with one, else by blanks and commas.
    static func tokens(_ list: Bytes) -> [Bytes] {
        let text = Bytes(list.drop(while: \.isASCIISpace))
        guard text.first == UInt8(ascii: ",") else {
            let separators = Bytes(" ,\t\r\n")
            return text.fields { separators.contains($0) }
        }
        return text.fields { $0 == UInt8(ascii: ",") }.map { field in
            var trimmed = Bytes(field.drop(while: \.isASCIISpace))
            while let last = trimmed.last, last.isASCIISpace { trimmed.removeLast() }
            return trimmed
        }.filter { !$0.isEmpty }
    }

    /// Checks a user and the response to `challenge`.
    func check(user: Bytes, response: Bytes, challenge: Bytes, scheme: AuthenticationScheme) -> Outcome {
        var userGroups: [Bytes]??
        for token in Self.tokens(users) {
            let colon = token.firstIndex(of: UInt8(ascii: ":"))
            let pattern = Bytes(token[..<(colon ?? token.count)])
            var group: Bytes?
            if pattern.first == UInt8(ascii: "@") {
                if userGroups == nil { userGroups = .some(groups(user)) }
                let groupPattern = Bytes(pattern.dropFirst())
                group = (userGroups ?? nil)?.first { WildcardMatcher.matches(groupPattern, $0) }
                if group == nil { continue }
            } else if !WildcardMatcher.matches(pattern, user) {
                continue
            }
            let option = Self.option(colon.map { Bytes(token[($0 + 1)...]) } ?? [])
            if option == .deny { return .refused("denied by rule") }
            if let problem = checkSecret(user, group, response, challenge, scheme) { return .refused(problem) }
            return .accepted(readOnly: option == .readOnly ? true : (option == .readWrite ? false : nil))
        }
        return .refused("no matching rule")
    }

    private static func option(_ text: Bytes) -> Option {
        let lower = text.map(\.asciiLowercased)
        if lower.first == UInt8(ascii: "d") { return .deny }
        if lower.hasPrefix(Bytes("ro")) { return .readOnly }
        return lower.hasPrefix(Bytes("rw")) ? .readWrite : .none
    }

    // MARK: - Secrets

    private func checkSecret(
        _ user: Bytes, _ group: Bytes?, _ response: Bytes, _ challenge: Bytes, _ scheme: AuthenticationScheme
    ) -> StaticStringBox? {
        if secretsFile.isEmpty { return "no secrets file" }
        if user.first == UInt8(ascii: "#") { return "invalid username" }
        let descriptor = OperatorFile.open(secretsFile, flags: O_RDONLY)
        if descriptor < 0 { return "no secrets file" }
        defer { close(descriptor) }
        var status = stat()
        if fstat(descriptor, &status) != 0 {
            let code = errno
            log(Bytes("rsync: [Receiver] fstat(") + secretsFile + Bytes(text: "): \(errnoText(code)) (\(code))"))
            return "ignoring secrets file"
        }
        if strictModes {
            if status.st_mode & 0o006 != 0 {
                log(Bytes("secrets file must not be other-accessible (see strict modes option)"))
                return "ignoring secrets file"
            }
            if getuid() == 0 && status.st_uid != 0 {
                log(Bytes("secrets file must be owned by root when running as root (see strict modes)"))
                return "ignoring secrets file"
            }
        }
        var code: Int32 = 0
        guard let text = OperatorFile.readAll(descriptor, limit: 64 << 20, code: &code) else {
            return "no secrets file"
        }
        return Self.verify(text, user, group) { secret in
            constantTimeEqual(scheme.response(secret: secret, challenge: challenge), response)
        }
    }

    /// Looks for the first line of the user and the first of the group; nil if one of them satisfies `verifies`.
    static func verify(_ text: Bytes, _ user: Bytes, _ group: Bytes?, _ verifies: (Bytes) -> Bool) -> StaticStringBox? {
        let colon = [UInt8(ascii: ":")]
        var pending = [user + colon]
        if let group { pending.append([UInt8(ascii: "@")] + group + colon) }
        var problem: StaticStringBox = "secret not found"
        for line in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: true) {
            let line = Bytes(line.prefix(1023).prefix { $0 != UInt8(ascii: "\r") })
            guard line.first != UInt8(ascii: "#"), let found = pending.firstIndex(where: { line.hasPrefix($0) }) else {
                continue
            }
            let prefix = pending.remove(at: found)
            if verifies(Bytes(line[prefix.count...])) { return nil }
            problem = "password mismatch"
            if pending.isEmpty { break }
        }
        return problem
    }
}

/// Users and groups of the system.
enum SystemAccounts {
    /// The names of all groups of a user, primary first; nil if there is no such user.
    static func groupNames(_ user: Bytes) -> [Bytes]? {
        guard let entry = user.withCString({ getpwnam($0) }) else { return nil }
        return groupList(user, primary: entry.pointee.pw_gid).compactMap { id in
            guard let group = getgrgid(id), let name = group.pointee.gr_name else { return nil }
            return Bytes(UnsafeRawBufferPointer(start: name, count: strlen(name)))
        }
    }

    /// All groups of a user in the order of the system.
    static func groupList(_ user: Bytes, primary: gid_t) -> [gid_t] {
        var count: Int32 = 64
        while true {
            var groups = [gid_t](repeating: 0, count: Int(count))
            let capacity = count
            let status = user.withCString { getgrouplist($0, primary, &groups, &count) }
            if status >= 0 { return Array(groups.prefix(Int(count))) }
            if count <= capacity { return [primary] }
        }
    }

    /// A user by name or decimal number.
    static func user(_ text: Bytes) -> uid_t? {
        if let entry = text.withCString({ getpwnam($0) }) { return entry.pointee.pw_uid }
        return number(text)
    }

    /// A group by name or decimal number.
    static func group(_ text: Bytes) -> gid_t? {
        if let entry = text.withCString({ getgrnam($0) }) { return entry.pointee.gr_gid }
        return number(text)
    }

    private static func number(_ text: Bytes) -> UInt32? {
        guard !text.isEmpty, text.allSatisfy(\.isASCIIDigit), let value = parseDecimal(text) else { return nil }
        return UInt32(exactly: value)
    }
}
