import DrayWire

/// One row of the matrix: options, and what about the output is comparable.
struct OptionSet: Sendable, CustomStringConvertible {
    var options: [String]
    /// Below the source root: what is copied; "" is the whole tree with a trailing slash.
    var source = ""
    /// The order of output lines depends on timing.
    var isUnordered = false
    /// Runs by default, not only in the whole matrix.
    var isQuick = true
    /// The trees have ACLs and extended attributes.
    var hasMetadata = false

    var description: String { options.joined(separator: " ") + (source.isEmpty ? "" : " (\(source))") }

    /// Protocol versions that the set runs with: all of them in the whole matrix, unless it names one itself.
    var protocols: [Int] {
        if options.contains(where: { $0.hasPrefix("--protocol") }) || !Interop.isFull { return [32] }
        return Interop.protocols
    }

    /// The protocol that a run with `--protocol=version` speaks.
    func version(_ version: Int) -> Int {
        options.compactMap { $0.hasPrefix("--protocol=") ? Int($0.dropFirst(11)) : nil }.first ?? version
    }

    init(_ text: String, source: String = "", unordered: Bool = false, quick: Bool = false, metadata: Bool = false) {
        options = text.split(separator: " ").map(String.init)
        self.source = source
        isUnordered = unordered
        isQuick = quick
        hasMetadata = metadata
    }

    static let all = (plain + metadata).filter(\.isPossible)

    /// Whether this build has the compressor that is named.
    private var isPossible: Bool {
        options.allSatisfy { word in
            guard word.hasPrefix("--zc="), let method = CompressionMethod(rawValue: String(word.dropFirst(5))) else {
                return true
            }
            return method.isAvailable
        }
    }

    private static let plain: [OptionSet] = [
        OptionSet("-a", quick: true),
        OptionSet("-aH", quick: true),
        OptionSet("-aH --no-i-r", quick: true),
        OptionSet("-aHn --delete"),
        OptionSet("-rt"),
        OptionSet("-r"),
        OptionSet("-rlpt"),
        OptionSet("-rlptgoD --no-i-r"),
        OptionSet("-a --no-i-r"),
        OptionSet("-aii", quick: true),
        OptionSet("-aii --no-i-r"),
        OptionSet("-ac", quick: true),
        OptionSet("-aI", quick: true),
        OptionSet("-aI --no-W", quick: true),
        OptionSet("-a --size-only"),
        OptionSet("-au"),
        OptionSet("-a --existing", quick: true),
        OptionSet("-a --existing --no-i-r"),
        OptionSet("-a --ignore-existing"),
        OptionSet("-aW"),
        OptionSet("-a --no-W", quick: true),
        OptionSet("-a --inplace --no-W", quick: true),
        OptionSet("-a --append", quick: true),
        OptionSet("-a --append-verify", unordered: true),
        OptionSet("-a --partial-dir=.part"),
        OptionSet("-a --partial-dir=.part --delete"),
        OptionSet("-aS", quick: true),
        OptionSet("-aS --inplace --no-W"),
        OptionSet("-a --preallocate"),
        OptionSet("-a --delete", quick: true),
        OptionSet("-a --delete-before"),
        OptionSet("-a --delete-during"),
        OptionSet("-a --delete-delay", quick: true),
        OptionSet("-a --delete-after", quick: true),
        OptionSet("-a --delete-excluded --exclude=*.o", quick: true),
        OptionSet("-a --delete --exclude=*.o", quick: true),
        OptionSet("-a --delete --filter=P_*.o --filter=-_sub/"),
        OptionSet("-a --delete-after --filter=H_first --include=*/ --include=*.o --exclude=*"),
        OptionSet("-a --delete --max-delete=3"),
        OptionSet("-a --force --exclude=/size-699"),
        OptionSet("-aR", source: "dir/./sub", quick: true),
        OptionSet("-aR", source: "./deep/level-0/level-1"),
        OptionSet("-aR", source: "./dir/up"),
        OptionSet("-aRc", source: "./dir/first"),
        OptionSet("-aR --no-implied-dirs", source: "./deep/level-0/level-1"),
        OptionSet("-aR --delete", source: "./dir/sub"),
        OptionSet("-d"),
        OptionSet("-dlt"),
        OptionSet("-d --delete"),
        OptionSet("-lptgoD -d"),
        OptionSet("-a", source: "dir", quick: true),
        OptionSet("-a", source: "large", quick: true),
        OptionSet("-a", source: "group-a"),
        OptionSet("-l", source: "link"),
        OptionSet("-t", source: "dir"),
        OptionSet("-ax"),
        OptionSet("-ab", quick: true),
        OptionSet("-ab --delete --suffix=.bak"),
        OptionSet("-ab --backup-dir=../backup --delete", quick: true),
        OptionSet("-ab --inplace --no-W"),
        OptionSet("-a --numeric-ids"),
        OptionSet("-an --delete", quick: true),
        OptionSet("-anii --no-i-r"),
        OptionSet("-a --chmod=Dg+s,ugo+w,Fo-w,+X"),
        OptionSet("-a --chmod=D711,F640"),
        OptionSet("-aO"),
        OptionSet("-aJ"),
        OptionSet("-rtE"),
        OptionSet("-rE"),
        OptionSet("-aK"),
        OptionSet("-aL", quick: true),
        OptionSet("-ak"),
        OptionSet("-a --copy-unsafe-links", quick: true),
        OptionSet("-a --safe-links"),
        OptionSet("-am --include=*/ --include=*.o --exclude=*", quick: true),
        OptionSet("-am --delete --include=*/ --include=*.o --exclude=*"),
        OptionSet("-a --max-size=4000"),
        OptionSet("-a --min-size=4k --delete"),
        OptionSet("-aH --max-size=4000"),
        OptionSet("-a --delay-updates", quick: true),
        OptionSet("-aH --delay-updates --delete"),
        OptionSet("-a --remove-source-files", unordered: true, quick: true),
        OptionSet("-aH --remove-source-files"),
        OptionSet("-a --mkpath"),
        OptionSet("-aU"),
        OptionSet("-a --modify-window=2"),
        OptionSet("-a -@-1"),
        OptionSet("-aC --delete", quick: true),
        OptionSet("-a --checksum-choice=md5 --no-W", quick: true),
        OptionSet("-a --checksum-choice=md4 --no-W"),
        OptionSet("-a --checksum-choice=sha1 --no-W"),
        OptionSet("-a --checksum-choice=xxh64 --no-W"),
        OptionSet("-a --checksum-choice=xxh3 --no-W"),
        OptionSet("-a --checksum-choice=xxh128 --no-W"),
        OptionSet("-a --checksum-choice=none"),
        OptionSet("-ac --checksum-choice=xxh64,md5"),
        OptionSet("-a --block-size=1000 --no-W"),
        OptionSet("-a --protocol=27 --no-W", quick: true),
        OptionSet("-aH --protocol=28 --delete", quick: true),
        OptionSet("-aH --protocol=29 --delete", quick: true),
        OptionSet("-a --protocol=30 --no-W", quick: true),
        OptionSet("-a --protocol=31 --no-W"),
        OptionSet("-aH --protocol=30 --delete"),
        OptionSet("-aH --no-i-r --inplace --no-W"),
        OptionSet("-aH --delete -I --no-W"),
        OptionSet("-aHc"),
        OptionSet("-aHR", source: "./dir"),
        OptionSet("-aHu --existing"),
        OptionSet("-aHb"),
        OptionSet("-az", quick: true),
        OptionSet("-az --no-W"),
        OptionSet("-azz --no-W", quick: true),
        OptionSet("-az --no-i-r --no-W --zl=9"),
        OptionSet("-a --zc=zlib --no-W", quick: true),
        OptionSet("-a --zc=zlib --no-W --protocol=30 -B100000"),
        OptionSet("-a --zc=zlib --zl=1 --inplace --no-W"),
        OptionSet("-a --zc=zlib --zl=0"),
        OptionSet("-a --zc=lz4 --no-W", quick: true),
        OptionSet("-a --zc=zstd --zl=19 --no-W"),
        OptionSet("-a --zc=zstd --zt=2"),
        OptionSet("-a --zc=none --no-W"),
        OptionSet("-aH --zl=1 -I --no-W"),
        OptionSet("-az --inplace --no-W"),
        OptionSet("-azS --no-W"),
        OptionSet("-az --append"),
        OptionSet("-az --append-verify", unordered: true),
        OptionSet("-az --skip-compress=gz/o"),
        OptionSet("-azv --debug=nstr"),
        OptionSet("-a --no-o --no-g --no-p --no-t"),
        OptionSet("-a --temp-dir=/tmp"),
        OptionSet("-a --link-dest=../../source", quick: true),
        OptionSet("-aii --link-dest=../../source"),
        OptionSet("-a --copy-dest=../../source --no-W", quick: true),
        OptionSet("-aii --copy-dest=../../source"),
        OptionSet("-a --compare-dest=../../source", quick: true),
        OptionSet("-aii --compare-dest=../../source --delete"),
        OptionSet("-an --link-dest=../../source"),
        OptionSet("-rc --link-dest=../../source/dir --link-dest=../../source"),
        OptionSet("-ay --no-W --delete-after"),
        OptionSet("-a --open-noatime"),
        OptionSet("-a --drop-D"),
        OptionSet("-axx"),
        OptionSet("-as --delete"),
        OptionSet("-aq"),
        OptionSet("-av --delete", quick: true),
        OptionSet("-a --out-format=%o_%i_%n_%L_%l_%B_%M"),
    ]

    private static let metadata: [OptionSet] = [
        OptionSet("-aAX", quick: true, metadata: true),
        OptionSet("-aA --no-i-r", metadata: true),
        OptionSet("-aX --no-i-r", metadata: true),
        OptionSet("-aAXH", metadata: true),
        OptionSet("-aAXH --no-i-r", quick: true, metadata: true),
        OptionSet("-aAXii --delete", metadata: true),
        OptionSet("-aAXn", metadata: true),
        OptionSet("-aAXI --no-W", metadata: true),
        OptionSet("-aAXc", metadata: true),
        OptionSet("-aAX --inplace --no-W", metadata: true),
        OptionSet("-aAX --delay-updates", metadata: true),
        OptionSet("-aAXb --backup-dir=../backup", metadata: true),
        OptionSet("-aXX", metadata: true),
        OptionSet("-aX --filter=-x_user.s*", metadata: true),
        OptionSet("-aAX --chmod=Fg-w", metadata: true),
        OptionSet("-rlt", metadata: true),
        OptionSet("-aA --numeric-ids", metadata: true),
        OptionSet("-aAX --protocol=30", metadata: true),
        OptionSet("-aAX --protocol=31", metadata: true),
        OptionSet("-aAX --fake-super", metadata: true),
        OptionSet("-aAX -M--fake-super", quick: true, metadata: true),
        OptionSet("-a --usermap=1234:77,root:5 --groupmap=*:9", quick: true),
        OptionSet("-a --usermap=1000-2000:daemon --groupmap=nogroup:bin --no-i-r"),
        OptionSet("-aA --usermap=1:8,daemon:9 --groupmap=2-3:nogroup", metadata: true),
        OptionSet("-a --chown=daemon:bin"),
        OptionSet("-rt --chown=:1"),
        OptionSet("-a --numeric-ids --usermap=root:5"),
        OptionSet("-a --usermap=nosuch:nosuch,*:3"),
    ]
}
