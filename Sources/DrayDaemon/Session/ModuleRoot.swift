// Dray — the directory of a module: where it is, how it is entered, and with which identity.
// Layer: Daemon. Behaviour: chapter 07 §9.3 – §9.5, §12.1.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayFiles
import Glibc

/// A refusal of this phase: what the client and what the log are told.
struct ModuleRefusal: Error, Equatable {
    var client: Bytes
    var log: Bytes
    /// The errno value that goes with the log line.
    var code: Int32?
}

/// Where a module's files are.
struct ModuleRoot: Equatable, Sendable {
    /// Full path as seen outside of any chroot.
    var outerPath: Bytes
    /// New root directory; nil without a chroot.
    var chroot: Bytes?
    /// The module's directory after the chroot.
    var directory: Bytes

    /// Whether client paths must be kept inside by more than the root directory of the process.
    var hasInnerBoundary: Bool { directory != Bytes("/") }
    var isChrooted: Bool { chroot != nil }

    /// Decides from `path` and `use chroot` (chapter 07 §9.5).
    ///
    /// - Parameters:
    ///   - probe: tries a harmless chroot; nil if that is permitted, else an errno value.
    static func decide(
        path: Bytes, useChroot: Bool?, startDirectory: Bytes, probe: () -> Int32?, log: (Bytes) -> Void
    ) -> Self {
        let absolute = path.first == UInt8(ascii: "/") ? path : startDirectory.appendingComponent(path)
        let split = position(of: Bytes("/./"), in: absolute)
        var chroots = useChroot
        if chroots == nil {
            if split != nil {
                chroots = true
            } else if let code = probe() {
                log(
                    Bytes(text: "chroot test failed: \(errnoText(code)) (\(code)). ")
                        + Bytes("Switching 'use chroot' from unset to false."))
                chroots = false
            } else {
                chroots = true
            }
        }
        let full = absolute.collapsed()
        guard chroots == true else { return Self(outerPath: full, chroot: nil, directory: full) }
        guard let split else { return Self(outerPath: full, chroot: full, directory: Bytes("/")) }
        return Self(
            outerPath: full, chroot: Bytes(absolute[..<split]).collapsed(),
            directory: Bytes(absolute[(split + 2)...]).collapsed())
    }

    private static func position(of needle: Bytes, in text: Bytes) -> Int? {
        guard text.count >= needle.count else { return nil }
        return (0...(text.count - needle.count)).first { text[$0..<($0 + needle.count)].elementsEqual(needle) }
    }

    /// Changes root and working directory and pins the module's directory while still privileged.
    ///
    /// - Returns: a descriptor of the directory; it stays open for the life of the process.
    func enter(insecureLinks: Bool) throws(ModuleRefusal) -> Int32 {
        if let chroot {
            guard chroot.withCString({ dray_chroot($0) }) == 0 else {
                throw ModuleRefusal(
                    client: Bytes("chroot failed"), log: Bytes("chroot(\"") + chroot + Bytes("\") failed"), code: errno)
            }
            guard chdir("/") == 0 else { throw chdirFailure(errno) }
        }
        if directory != Bytes("/") || chroot == nil {
            if insecureLinks || chroot != nil {
                guard directory.withCString({ chdir($0) }) == 0 else { throw chdirFailure(errno) }
            } else {
                let opened = OperatorFile.open(directory, flags: O_RDONLY | O_DIRECTORY)
                if opened < 0 { throw chdirFailure(-opened) }
                guard fchdir(opened) == 0 else { throw chdirFailure(errno) }
                return opened
            }
        }
        let pinned = Bytes(".").withCString { dray_open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0) }
        if pinned < 0 { throw chdirFailure(errno) }
        return pinned
    }

    private func chdirFailure(_ code: Int32) -> ModuleRefusal {
        ModuleRefusal(client: Bytes("chdir failed"), log: Bytes("chdir ") + directory + Bytes(" failed"), code: code)
    }
}

/// The user and groups that a session runs as; nil members stay as they are.
struct SessionIdentity: Equatable, Sendable {
    var user: uid_t?
    /// Primary first.
    var groups: [gid_t] = []

    /// Resolves the `uid` and `gid` of a module (already expanded).
    static func resolve(uid: Bytes, gid: Bytes, isRoot: Bool) throws(ModuleRefusal) -> Self {
        var identity = Self()
        let userName = uid.isEmpty && isRoot ? Bytes("nobody") : uid
        if !userName.isEmpty {
            guard let user = SystemAccounts.user(userName) else {
                throw ModuleRefusal(client: Bytes("invalid uid ") + userName, log: Bytes("Invalid uid ") + userName)
            }
            identity.user = user
        }
        var names = AuthorizedUsers.tokens(gid)
        if names.isEmpty && isRoot { names = [defaultGroup] }
        for (index, name) in names.enumerated() {
            if name == Bytes("*") {
                guard index == 0, let user = identity.user ?? Optional(getuid()), let entry = getpwuid(user),
                    let text = entry.pointee.pw_name
                else { throw ModuleRefusal(client: Bytes("invalid gid setting."), log: Bytes("Invalid gid setting.")) }
                let account = Bytes(UnsafeRawBufferPointer(start: text, count: strlen(text)))
                identity.groups += SystemAccounts.groupList(account, primary: entry.pointee.pw_gid)
                continue
            }
            guard let group = SystemAccounts.group(name) else {
                throw ModuleRefusal(client: Bytes("invalid gid ") + name, log: Bytes("Invalid gid ") + name)
            }
            identity.groups.append(group)
        }
        return identity
    }

    private static var defaultGroup: Bytes {
        SystemAccounts.group(Bytes("nogroup")) != nil ? Bytes("nogroup") : Bytes("nobody")
    }

    /// Takes the identity on, for good. Groups come first: afterwards nothing may change them.
    func assume() throws(ModuleRefusal) {
        if let first = groups.first {
            guard dray_setresgid(first) == 0 else {
                throw ModuleRefusal(
                    client: Bytes("setgid failed"), log: Bytes(text: "setgid \(first) failed"), code: errno)
            }
            // A user without privileges may not set them, and has nothing to give up either.
            guard dray_setgroups(groups.count, groups) == 0 || geteuid() != 0 && groups.count == 1 else {
                throw ModuleRefusal(client: Bytes("setgroups failed"), log: Bytes("setgroups failed"), code: errno)
            }
        }
        if let user {
            guard dray_setresuid(user) == 0 else {
                throw ModuleRefusal(
                    client: Bytes("setuid failed"), log: Bytes(text: "setuid \(user) failed"), code: errno)
            }
        }
    }
}
