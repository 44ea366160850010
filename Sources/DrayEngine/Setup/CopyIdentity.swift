// Dray — the user and group that --copy-as names.
// Layer: Engine. Behaviour: chapter 04 §17; chapter 05 §8.6.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayFiles
import Glibc

extension Session {
    /// Takes on the identity of `--copy-as`, for the whole process and for good.
    ///
    /// - Throws: exit 1 if user or group is unknown, or may not be taken on.
    func assumeCopyIdentity() throws(TransferFailure) {
        guard let text = options.copyAs else { return }
        let colon = text.firstIndex(of: UInt8(ascii: ":"))
        let userText = Bytes(text[..<(colon ?? text.endIndex)])
        guard let user = try Self.number(userText) ?? IDNames.userID(userText) else {
            throw TransferFailure(.syntax, lines: [Bytes("Invalid copy-as user: ") + userText])
        }
        var group: gid_t
        var groups: [gid_t]
        if let colon {
            let groupText = Bytes(text[(colon + 1)...])
            guard let found = try Self.number(groupText) ?? IDNames.groupID(groupText) else {
                throw TransferFailure(.syntax, lines: [Bytes("Invalid copy-as group: ") + groupText])
            }
            group = found
            groups = [found]
        } else {
            errno = 0
            guard let name = IDNames.userName(user), let primary = IDNames.primaryGroup(user) else {
                throw identityFailure("getpwuid failed", errno)
            }
            group = primary
            groups = IDNames.groups(ofUser: name, primary: primary)
        }
        if dray_setresgid(group) != 0 { throw identityFailure("setgid failed", errno) }
        if dray_setgroups(groups.count, groups) != 0 { throw identityFailure("setgroups failed", errno) }
        if dray_setresuid(user) != 0 { throw identityFailure("setuid failed", errno) }
    }

    private static func number(_ text: Bytes) throws(TransferFailure) -> UInt32? {
        guard !text.isEmpty, text.allSatisfy(\.isASCIIDigit) else { return nil }
        guard let number = parseDecimal(text).flatMap({ UInt32(exactly: $0) }) else {
            throw TransferFailure(.syntax, lines: [Bytes("Invalid ID number: ") + text])
        }
        return number
    }

    private func identityFailure(_ text: StaticString, _ code: Int32) -> TransferFailure {
        let who = role == .client ? RoleName.sender : role
        return TransferFailure(
            .syntax,
            lines: [
                Bytes(text: "rsync: [\(who.rawValue)] ") + Bytes(text) + Bytes(text: ": \(errnoText(code)) (\(code))")
            ], role: who)
    }
}
