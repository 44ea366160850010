// Dray — the command line of the controller shim.
// Layer: Migrate.
// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

/// `dray-migrate`: thin shim between the migration controller and the engine.
public struct MigrateCommand: ParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "dray-migrate",
        abstract: "Maps a MigrationController's rsync settings onto the engine and runs volume migrations.",
        version: "0.1.0",
        subcommands: [FlagsCommand.self, RunCommand.self, DemoCommand.self])
    public init() {}
}

/// Where the settings come from.
struct SettingsOptions: ParsableArguments {
    @Option(
        name: .long,
        help:
            "MigrationController resource, YAML or JSON (\"-\" reads standard input); default: the RSYNC_OPT_* environment."
    )
    var resource: String?

    func settings() throws -> ControllerSettings {
        do {
            guard let resource else {
                return try ControllerSettings(environment: ProcessInfo.processInfo.environment)
            }
            let data: Data
            if resource == "-" {
                data = FileHandle.standardInput.readDataToEndOfFile()
            } else {
                guard let read = FileManager.default.contents(atPath: resource) else {
                    throw SettingsError("cannot read \(resource)")
                }
                data = read
            }
            return try ControllerSettings(resource: String(decoding: data, as: UTF8.self))
        } catch let error as SettingsError {
            FileHandle.standardError.write(Data("dray-migrate: \(error)\n".utf8))
            throw ExitCode(1)
        }
    }
}

/// Per-volume switches of both commands.
struct VolumeSwitches: ParsableArguments {
    @Flag(help: "The plan asks for verification: compare by checksum.") var verify = false
    @Flag(help: "Sparse files were found on the volume.") var sparse = false
    @Flag(help: "The pods do not run as root.") var nonRoot = false

    var options: VolumeOptions {
        var volume = VolumeOptions()
        volume.verify = verify
        volume.sparse = sparse
        volume.asRoot = !nonRoot
        return volume
    }
}

struct FlagsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flags", abstract: "Prints the engine's arguments for the given settings, one per line.")
    @OptionGroup var source: SettingsOptions
    @OptionGroup var volume: VolumeSwitches
    @Flag(help: "Print one JSON object with arguments and limits.") var json = false

    func run() throws {
        let settings = try source.settings()
        for warning in settings.warnings { FileHandle.standardError.write(Data("dray-migrate: \(warning)\n".utf8)) }
        let words = settings.arguments(for: volume.options)
        guard json else { return print(words.joined(separator: "\n")) }
        let quoted = words.map { ProgressTracker.quoted($0) }.joined(separator: ",")
        let groups = { (list: [Int64]) in list.map(String.init).joined(separator: ",") }
        print(
            "{\"arguments\":[\(quoted)],\"backoffLimit\":\(settings.backoffLimit),"
                + "\"sourceSupplementalGroups\":[\(groups(settings.sourceSupplementalGroups))],"
                + "\"targetSupplementalGroups\":[\(groups(settings.targetSupplementalGroups))]}")
    }
}

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Copies one volume with the given settings, attempt after attempt.")
    @OptionGroup var source: SettingsOptions
    @OptionGroup var volume: VolumeSwitches
    @Argument(help: "Source directory; its contents are sent.") var directory: String
    @Argument(help: "Target, e.g. rsyncs://root@host:port/module") var target: String
    @Option(help: "CA certificate for the target.") var tlsCa: String?
    @Option(help: "Client certificate.") var tlsCert: String?
    @Option(help: "Key of the client certificate.") var tlsKey: String?
    @Option(help: "Port of the target.") var port: Int?
    @Option(help: "Write one JSON object per event to this file (\"-\": standard output instead of the log lines).")
    var json: String?
    @Option(help: "Seconds between attempts.") var delay = 3.0
    @Option(help: .hidden) var client: String?

    func run() throws {
        let settings = try source.settings()
        for warning in settings.warnings { FileHandle.standardError.write(Data("dray-migrate: \(warning)\n".utf8)) }
        var run = VolumeRun(settings: settings, source: directory, target: target)
        run.volume = volume.options
        run.client = client
        run.delaySeconds = delay
        if let tlsCa { run.clientArguments += ["--tls-ca", tlsCa] }
        if let tlsCert { run.clientArguments += ["--tls-cert", tlsCert] }
        if let tlsKey { run.clientArguments += ["--tls-key", tlsKey] }
        if let port { run.clientArguments.append("--port=\(port)") }
        var events: FileHandle?
        if let json, json != "-" {
            guard FileManager.default.createFile(atPath: json, contents: nil),
                let handle = FileHandle(forWritingAtPath: json)
            else {
                FileHandle.standardError.write(Data("dray-migrate: cannot write \(json)\n".utf8))
                throw ExitCode(1)
            }
            events = handle
        }
        let onlyJSON = json == "-"
        let out = FileHandle.standardOutput
        let code: Int32
        do {
            code = try run.run { line in
                if !onlyJSON { out.write(Data((line + "\n").utf8)) }
            } onJSON: { object in
                let bytes = Data((object + "\n").utf8)
                if onlyJSON { out.write(bytes) } else { events?.write(bytes) }
            }
        } catch {
            FileHandle.standardError.write(Data("dray-migrate: \(error)\n".utf8))
            throw ExitCode(1)
        }
        if code != 0 { throw ExitCode(code) }
    }
}

struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo", abstract: "Migrates a real tree over mutual TLS on this machine and verifies it.")
    @Argument(help: "Tree to migrate; default: parts of /usr.") var directory: String?
    @Flag(help: "Keep the temporary files.") var keep = false

    func run() throws {
        do {
            let code = try Demo(directory: directory, keepsFiles: keep).run()
            if code != 0 { throw ExitCode(code) }
        } catch let error where !(error is ExitCode) {
            FileHandle.standardError.write(Data("dray-migrate: \(error)\n".utf8))
            throw ExitCode(1)
        }
    }
}

/// Entry point of the program.
public func migrateMain() { MigrateCommand.main() }
