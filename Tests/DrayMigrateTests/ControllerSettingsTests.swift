import Testing

@testable import DrayMigrate

/// Contract of chapter 09 §1.1 and §3.
@Suite struct ControllerSettingsTests {
    private let defaultWords = [
        "--recursive", "--links", "--perms", "--devices", "--specials", "--times", "--owner", "--group", "--hard-links",
        "--delete", "--partial", "--human-readable", "--log-file=/dev/stdout",
        "--info=COPY2,DEL2,REMOVE2,SKIP2,FLIST2,PROGRESS2,STATS2", "--exclude=lost+found",
    ]

    private func resource(_ spec: String) throws -> ControllerSettings {
        try ControllerSettings(
            resource: """
                apiVersion: migration.openshift.io/v1alpha1
                kind: MigrationController
                metadata:
                  name: migration-controller
                  namespace: openshift-migration
                spec:
                \(spec.split(separator: "\n").map { "  " + $0 }.joined(separator: "\n"))
                """)
    }

    @Test func defaultsGiveTheControllersCommand() throws {
        #expect(ControllerSettings().arguments() == defaultWords)
        #expect(try ControllerSettings(environment: [:]).arguments() == defaultWords)
        #expect(try resource("azure_resource_group: x").backoffLimit == 20)
    }

    @Test func everySettingHasItsPlace() throws {
        let settings = try resource(
            """
            rsync_opt_bwlimit: 10000
            rsync_opt_hardlinks: false
            rsync_opt_partial: "False"
            rsync_opt_info: "STATS2,PROGRESS2"
            rsync_opt_extras: "--compress  --acls --xattrs -H --a_b ssh"
            rsync_backoff_limit: 3
            src_supplemental_groups: "1000,,2000"
            """)
        var volume = VolumeOptions()
        volume.verify = true
        volume.sparse = true
        volume.asRoot = false
        #expect(
            settings.arguments(for: volume) == [
                "--recursive", "--links", "--perms", "--devices", "--specials", "--times", "--owner", "--group",
                "--delete",
                "--bwlimit=10000", "--human-readable", "--log-file=/dev/stdout", "--info=STATS2,PROGRESS2",
                "--compress", "--acls",
                "--xattrs", "--checksum", "--sparse", "--no-inplace", "--omit-dir-times", "--exclude=lost+found",
            ])
        #expect(settings.backoffLimit == 3)
        #expect(settings.sourceSupplementalGroups == [1000, 2000])
        #expect(settings.warnings == ["-H", "--a_b", "ssh"].map { "Invalid Rsync extra option passed: \($0)" })
    }

    @Test func deletionWithoutArchiveKeepsRecursion() throws {
        let words = try resource("rsync_opt_archive: false").arguments()
        #expect(words.first == "--recursive")
        #expect(!words.contains("--links"))
        #expect(try resource("rsync_opt_archive: false\nrsync_opt_delete: false").arguments().first == "--hard-links")
    }

    @Test(arguments: ["progress2", "STATS10", "A, B", "COPY2,"])
    func badInfoFallsBackToTheDefault(info: String) throws {
        let settings = try ControllerSettings(environment: ["RSYNC_OPT_INFO": info])
        #expect(settings.info == ControllerSettings.defaultInfo)
        #expect(settings.warnings.count == 1)
    }

    @Test(arguments: [
        ("--bwlimit=100", true), ("-z", true), ("-avz", true), ("--acls", true), ("--no-perms", true),
        ("--chmod=D2775,F664", true), ("--usermap=0-99:nobody,*:normal", true), ("--iconv=utf-8,latin1", true),
        ("--exclude=*.tmp", true), ("-0", true), ("-e", true), ("--rsync-path=a;b", true), ("-H", false),
        ("-aHAX", false),
        ("-T", false), ("--OPT", false), ("--a_b", false), ("--", false), ("-", false), ("ssh", false), ("foo'", false),
    ])
    func extrasFollowTheTruthTable(word: String, accepted: Bool) {
        #expect(ControllerSettings.isExtraOption(word) == accepted)
    }

    @Test func badValuesAreRefusedInOneLine() {
        func text(_ environment: [String: String]) -> String? {
            do {
                _ = try ControllerSettings(environment: environment)
                return nil
            } catch {
                return error.description
            }
        }
        #expect(text(["RSYNC_BACKOFF_LIMIT": "x"]) == "RSYNC_BACKOFF_LIMIT must be an integer")
        #expect(text(["RSYNC_BACKOFF_LIMIT": "0"]) == "RSYNC_BACKOFF_LIMIT must be >= 1")
        #expect(text(["RSYNC_OPT_BWLIMIT": "1k"]) == "RSYNC_OPT_BWLIMIT must be an integer")
        #expect(text(["SOURCE_SUPPLEMENTAL_GROUPS": "1000, 2000"]) == "failed to parse source supplemental groups")
        #expect(text(["RSYNC_OPT_DELETE": "maybe"]) == nil)
    }

    @Test(arguments: [
        "", "[1]", "kind: Pod", "kind: MigrationController", "a: [",
        "{\"kind\":\"MigrationController\",\"apiVersion\":\"v1\",\"spec\":{}}",
    ])
    func malformedResourcesAreRefused(text: String) {
        #expect(throws: SettingsError.self) { try ControllerSettings(resource: text) }
    }

    @Test func jsonResourcesAreReadToo() throws {
        let settings = try ControllerSettings(
            resource:
                #"{"apiVersion":"migration.openshift.io/v1alpha1","kind":"MigrationController","spec":{"rsync_opt_delete":false}}"#
        )
        #expect(!settings.delete)
    }
}

/// Records of chapter 09 §8.
@Suite struct ProgressReportTests {
    @Test func recordsAreParsedAndPrintedForTheController() throws {
        let record = try #require(ProgressRecord(line: "         15.93M  10%   14.53MB/s    0:00:09"))
        #expect(record.percent == 10)
        #expect(record.rate == "14.53MB/s")
        #expect(record.controllerLine.utf8.count < 60)
        let last = try #require(
            ProgressRecord(
                line:
                    "\r         32.77K   0%    0.00kB/s    0:00:00  \r  1,048,576 100%  113.48MB/s    0:00:09 (xfr#3, to-chk=0/5)"
            ))
        #expect(last.percent == 100)
        #expect(ProgressRecord(line: "100% done") == nil)
        #expect(ProgressRecord(line: "sending incremental file list") == nil)
    }

    @Test func percentNeverGoesDownAcrossAttempts() throws {
        var tracker = ProgressTracker()
        tracker.begin(attempt: 1)
        tracker.note(try #require(ProgressRecord(line: "1 60% 1.0MB/s 0:00:01")))
        tracker.begin(attempt: 2)
        tracker.note(try #require(ProgressRecord(line: "1 20% 2.0MB/s 0:00:01")))
        #expect(tracker.percent == 60)
        #expect(
            tracker.json(event: "progress", extra: ["name": "a\"b"])
                == #"{"attempt":2,"event":"progress","name":"a\"b","percent":60,"rate":"2.0MB/s"}"#)
    }
}
