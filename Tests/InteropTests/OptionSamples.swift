// Dray — typical values of every option that takes one, for the table of option coverage.
// SPDX-License-Identifier: Apache-2.0

@testable import DrayCommand

enum OptionSamples {
    /// Values to try with an option; the first one is also tried with every spelling.
    static func values(_ row: OptionRow) -> [String] { row.argument == .none ? [] : values[row.id] ?? [] }

    private static let values: [OptionID: [String]] = [
        .info: ["name0", "all0", "stats2,misc", "NONE", "flist0", "help", "bogus"],
        .debug: ["none", "all0", "bogus", "help"],
        .stderrMode: ["errors", "e", "all", "client", "x", ""],
        .backupDir: ["../bak", "./x/", "bak//", ".", ""],
        .suffix: [".bak", "~", "", "a/b", "a b*"],
        .confineRoot: ["/", "/tmp", "relative", ""],
        .chmod: ["u+x", "D755,F644", "bogus", ""],
        .checksumChoice: ["md5", "auto", "xxh3,md5", "none", "md4,none", "bogus", "", "AUTO", "auto,auto", "md5,auto"],
        .blockSize: ["1000", "0", "131072", "131073", "1k", "x", ""],
        .rsyncPath: ["program", "a b"],
        .maxDelete: ["0", "7", "-1", "x", ""],
        .maxSize: ["1k", "0", "1.5M", "-1", "-0", "+1", "1bb", "1kib+1", "1mb-1", "1K+2", "x", ""],
        .minSize: ["1k", "0", "1", "b"],
        .maxAlloc: ["1m", "0", "1g", "1023k", "2G", "x", ""],
        .partialDir: [".p", "/nowhere/at", ".", "", "p/"],
        .userMap: ["*:0", "a:b,1-5:3", "nosuch:0", ""],
        .groupMap: ["*:0", "a:b", ""],
        .chown: ["0:0", "a", ":b", ""],
        .timeout: ["50", "0", "-3", "0x10", "010", "x", "", "99999999999"],
        .contimeout: ["0", "", "x"],
        .modifyWindow: ["0", "2", "-1", "x", ""],
        .tempDir: ["/nowhere", ".", "nowhere", "list"],
        .compareDest: ["../cd", "/nowhere", "../list"],
        .copyDest: ["../cd", "/nowhere"],
        .linkDest: ["../cd", "/nowhere"],
        .compressChoice: ["zlib", "zlibx", "none", "auto", "ZLIB", "bogus", ""],
        .compressLevel: ["3", "0", "9", "22", "-5", "99", "x", ""],
        .compressThreads: ["0", "2", "-1", "x"],
        .skipCompress: ["gz/jpg", "", "[ab]c"],
        .filter: ["- *.o", "+ x", "bogus", ". nofile", ""],
        .exclude: ["*.o", ""],
        .excludeFrom: ["rules", "nofile", "-"],
        .include: ["x", ""],
        .includeFrom: ["rules"],
        .filesFrom: ["list", ":list", "host:list", "nofile", "-", "/dev/null", "", ":", "other:list"],
        .copyAs: ["0", "root", "root:root"],
        .address: ["127.0.0.1", "bogus"],
        .port: ["1", "0", "x"],
        .sockopts: ["SO_KEEPALIVE", "bogus", ""],
        .outbuf: ["N", "l", "B", "f", "u", "x", ""],
        .remoteOption: ["--no-v", "-v", "foo", "", "--log-file=x y"],
        .outFormat: ["%n", "%i", "%o", "%i%I", "", "%i %n%L"],
        .logFile: ["log", "/nowhere/x", ""],
        .logFileFormat: ["%n", ""],
        .passwordFile: ["secret"],
        .earlyInput: ["rules"],
        .bwlimit: ["0", "1.5m", "100000", "1000000b", "511b", "x", "", "-1"],
        .stopAfter: ["1", "0", "x", "", "5x"],
        .stopAt: ["2099-01-01", "x", "2000-01-01"],
        .writeBatch: ["batch"],
        .onlyWriteBatch: ["batch"],
        .readBatch: ["nofile"],
        .protocolVersion: ["29", "30", "31", "32", "27", "28", "x"],
        .iconv: [".", "utf8", "utf8,latin1", "-"],
        .checksumSeed: ["5", "0", "-1", "x"],
        .rsh: ["nothing"],
        .config: ["rules"],
        .dparam: ["port=1", "x=y", "x"],
    ]

    /// Names of the options in the manual, negations as they are spelt.
    static let documented = """
        8-bit-output acls address append append-verify archive atimes backup backup-dir blocking-io block-size bwlimit cc
        checksum checksum-choice checksum-seed chmod chown compare-dest compress compress-choice compress-level
        compress-threads config confine-root contimeout copy-as copy-dest copy-devices copy-dirlinks copy-links
        copy-unsafe-links crtimes cvs-exclude daemon debug del delay-updates delete delete-after delete-before
        delete-delay delete-during delete-excluded delete-missing-args detach devices dirs dparam drop-D dry-run
        early-input exclude exclude-from executability existing fake-super files-from filter force from0 fsync fuzzy group
        groupmap hard-links help human-readable iconv ignore-errors ignore-existing ignore-missing-args
        ignore-non-existing ignore-times implied-dirs include include-from inc-recursive info inplace insecure-links ipv4
        ipv6 i-d i-r itemize-changes keep-dirlinks link-dest links list-only log-file log-file-format log-format
        max-alloc max-delete max-size min-size mkpath modify-window motd msgs2stderr munge-links new-compress
        no-8 no-8-bit-output no-A no-acls no-append no-atimes no-backup no-blocking-io no-bwlimit no-c no-checksum
        no-compress no-contimeout no-crtimes no-D no-d no-delay-updates no-detach no-devices no-dirs no-drop-D no-force
        no-from0 no-fuzzy no-g no-group no-H no-h no-hard-links no-human-readable no-i no-iconv no-i-d no-ignore-errors
        no-implied-dirs no-inc-recursive no-inplace no-insecure-links no-i-r no-itemize-changes no-J no-l no-links no-m
        no-mkpath no-motd no-msgs2stderr no-munge-links no-N no-numeric-ids no-O no-o no-old-args no-omit-dir-times
        no-omit-link-times no-one-file-system no-open-noatime no-owner no-p no-partial no-perms no-progress
        no-protect-args no-prune-empty-dirs no-R no-r no-recursive no-relative no-S no-s no-secluded-args no-sparse
        no-specials no-super no-t no-timeout no-times no-U no-v no-verbose no-W no-whole-file no-write-devices no-X no-x
        no-xattrs no-y no-z numeric-ids old-args old-compress old-d old-dirs omit-dir-times omit-link-times
        one-file-system only-write-batch open-noatime outbuf out-format owner partial partial-dir password-file perms
        port preallocate progress protect-args protocol prune-empty-dirs qsort quiet read-batch recursive relative
        remote-option remove-sent-files remove-source-files rsh rsync-path safe-links secluded-args sender server
        size-only skip-compress sockopts sparse specials stats stderr stop-after stop-at suffix super temp-dir
        time-limit timeout times trust-sender update usermap verbose version whole-file write-batch write-devices xattrs
        zc zl zt
        """.split(whereSeparator: \.isWhitespace).map(String.init)
}
