// Dray — the migration controller's settings: what an administrator writes, typed.
// Layer: Migrate. Contract: chapter 09 §1, §3.
// SPDX-License-Identifier: Apache-2.0

import Foundation
import Yams

/// A setting that cannot be used; the text is the controller's.
public struct SettingsError: Error, Equatable, CustomStringConvertible {
    public var description: String
    init(_ text: String) { description = text }
}

/// The `rsync_opt_*` settings of a MigrationController resource, or the environment a controller gets from it.
public struct ControllerSettings: Equatable, Sendable {
    /// KiB per second; nil leaves the option out.
    public var bandwidthLimit: Int?
    public var archive = true
    public var partial = true
    public var delete = true
    public var hardLinks = true
    public var info = ControllerSettings.defaultInfo
    public var extras: [String] = []
    /// Attempts per volume.
    public var backoffLimit = 20
    public var sourceSupplementalGroups: [Int64] = []
    public var targetSupplementalGroups: [Int64] = []
    /// What was dropped or replaced, for the log.
    public var warnings: [String] = []

    public static let defaultInfo = "COPY2,DEL2,REMOVE2,SKIP2,FLIST2,PROGRESS2,STATS2"

    public init() {}

    // MARK: - Sources

    /// Reads a MigrationController resource, YAML or JSON.
    ///
    /// - Throws: `SettingsError` with one line when the text is no such resource or a value is out of range.
    public init(resource text: String) throws(SettingsError) {
        let document: Any?
        do {
            // JSON is a subset of YAML, so that one parser serves both.
            document = try Yams.load(yaml: text)
        } catch {
            let line = "\(error)".split(separator: "\n").first.map(String.init) ?? "syntax error"
            throw SettingsError("malformed resource: \(line)")
        }
        guard let map = document as? [String: Any] else {
            throw SettingsError("malformed resource: the document is not a mapping")
        }
        guard let kind = map["kind"] as? String, kind == "MigrationController" else {
            throw SettingsError("malformed resource: kind is \"\(map["kind"] ?? "")\", not \"MigrationController\"")
        }
        guard let version = map["apiVersion"] as? String, version.hasPrefix("migration.openshift.io/") else {
            throw SettingsError(
                "malformed resource: apiVersion is \"\(map["apiVersion"] ?? "")\", not \"migration.openshift.io/v1alpha1\""
            )
        }
        guard let spec = map["spec"] as? [String: Any] else {
            throw SettingsError("malformed resource: spec is missing or not a mapping")
        }
        var values: [String: String] = [:]
        for (key, value) in spec {
            guard Self.names[key] != nil else { continue }
            switch value {
            case let text as String: values[key] = text
            case let flag as Bool: values[key] = flag ? "true" : "false"
            case let number as Int: values[key] = String(number)
            case is NSNull: continue
            default: throw SettingsError("malformed resource: spec.\(key) is not a plain value")
            }
        }
        try self.init(values: values)
    }

    /// Reads the environment variables that the operator renders for its controller.
    public init(environment: [String: String]) throws(SettingsError) {
        var values: [String: String] = [:]
        for (key, variable) in Self.names {
            if let value = environment[variable] { values[key] = value }
        }
        try self.init(values: values)
    }

    /// Resource key → environment variable.
    static let names = [
        "rsync_opt_bwlimit": "RSYNC_OPT_BWLIMIT", "rsync_opt_archive": "RSYNC_OPT_ARCHIVE",
        "rsync_opt_partial": "RSYNC_OPT_PARTIAL", "rsync_opt_delete": "RSYNC_OPT_DELETE",
        "rsync_opt_hardlinks": "RSYNC_OPT_HARDLINKS", "rsync_opt_info": "RSYNC_OPT_INFO",
        "rsync_opt_extras": "RSYNC_OPT_EXTRAS", "rsync_backoff_limit": "RSYNC_BACKOFF_LIMIT",
        "src_supplemental_groups": "SOURCE_SUPPLEMENTAL_GROUPS",
        "target_supplemental_groups": "TARGET_SUPPLEMENTAL_GROUPS",
    ]

    private init(values: [String: String]) throws(SettingsError) {
        if let text = values["rsync_opt_bwlimit"] {
            // The operator leaves the variable out unless it is positive; a resource may say 0 for "off".
            let limit = try Self.integer(text, "RSYNC_OPT_BWLIMIT", minimum: 0)
            bandwidthLimit = limit > 0 ? limit : nil
        }
        archive = Self.boolean(values["rsync_opt_archive"], default: true)
        partial = Self.boolean(values["rsync_opt_partial"], default: true)
        delete = Self.boolean(values["rsync_opt_delete"], default: true)
        hardLinks = Self.boolean(values["rsync_opt_hardlinks"], default: true)
        if let text = values["rsync_opt_info"], !text.isEmpty {
            if text.split(separator: ",", omittingEmptySubsequences: false).allSatisfy({ Self.isInfoItem($0) }) {
                info = text
            } else {
                warnings.append("invalid value \(text) for Rsync option --info: using the default")
            }
        }
        if let text = values["rsync_opt_extras"] {
            for word in text.split(whereSeparator: \.isWhitespace).map(String.init) {
                if Self.isExtraOption(word) {
                    extras.append(word)
                } else {
                    warnings.append("Invalid Rsync extra option passed: \(word)")
                }
            }
        }
        if let text = values["rsync_backoff_limit"] {
            backoffLimit = try Self.integer(text, "RSYNC_BACKOFF_LIMIT", minimum: 1)
        }
        sourceSupplementalGroups = try Self.groups(values["src_supplemental_groups"], "source")
        targetSupplementalGroups = try Self.groups(values["target_supplemental_groups"], "target")
    }

    // MARK: - Values

    private static func integer(_ text: String, _ name: String, minimum: Int) throws(SettingsError) -> Int {
        guard let value = Int(text), text.first != "+" else { throw SettingsError("\(name) must be an integer") }
        if value < minimum { throw SettingsError("\(name) must be >= \(max(1, minimum))") }
        return value
    }

    private static func boolean(_ text: String?, default value: Bool) -> Bool {
        switch text {
        case "1", "t", "T", "TRUE", "true", "True": true
        case "0", "f", "F", "FALSE", "false", "False": false
        default: value
        }
    }

    private static func groups(_ text: String?, _ side: String) throws(SettingsError) -> [Int64] {
        var groups: [Int64] = []
        for item in (text ?? "").split(separator: ",") {
            guard let group = Int64(item) else { throw SettingsError("failed to parse \(side) supplemental groups") }
            groups.append(group)
        }
        return groups
    }

    /// `^[A-Z]+\d?$`
    static func isInfoItem(_ item: Substring) -> Bool {
        var letters = Array(item.utf8)
        if let last = letters.last, (0x30...0x39).contains(last) { letters.removeLast() }
        return !letters.isEmpty && letters.allSatisfy { (0x41...0x5A).contains($0) }
    }

    /// `^\-{1,2}([a-z0-9]+\-){0,}?[a-z0-9]+(=.*)?$`
    static func isExtraOption(_ word: String) -> Bool {
        var name = Substring(word)
        guard name.hasPrefix("-") else { return false }
        name = name.dropFirst()
        if name.hasPrefix("-") { name = name.dropFirst() }
        if let equals = name.firstIndex(of: "=") { name = name[..<equals] }
        let parts = name.split(separator: "-", omittingEmptySubsequences: false)
        return !parts.isEmpty
            && parts.allSatisfy { part in
                !part.isEmpty && part.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) }
            }
    }
}

/// What differs from volume to volume.
public struct VolumeOptions: Equatable, Sendable {
    /// `selection.verify`: compare by checksum.
    public var verify = false
    /// Sparse files were found on the volume.
    public var sparse = false
    /// The pods run as root; otherwise directory times of foreign directories cannot be set.
    public var asRoot = true
    public init() {}
}

extension ControllerSettings {
    /// The engine's option words, in the controller's order (chapter 09 §3.2); operands follow.
    public func arguments(for volume: VolumeOptions = VolumeOptions()) -> [String] {
        var words: [String] = []
        if archive {
            words += [
                "--recursive", "--links", "--perms", "--devices", "--specials", "--times", "--owner", "--group",
            ]
        } else if delete {
            // Deletion needs recursion; without it every attempt would end with a syntax error.
            words.append("--recursive")
        }
        if hardLinks { words.append("--hard-links") }
        if delete { words.append("--delete") }
        if partial { words.append("--partial") }
        if let bandwidthLimit { words.append("--bwlimit=\(bandwidthLimit)") }
        words += ["--human-readable", "--log-file=/dev/stdout", "--info=\(info)"]
        words += extras
        if volume.verify { words.append("--checksum") }
        if volume.sparse { words += ["--sparse", "--no-inplace"] }
        if !volume.asRoot { words.append("--omit-dir-times") }
        words.append("--exclude=lost+found")
        return words
    }
}
