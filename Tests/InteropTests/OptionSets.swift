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

    var description: String { options.joined(separator: " ") + (source.isEmpty ? "" : " (\(source))") }

    init(_ text: String, source: String = "", unordered: Bool = false, quick: Bool = false) {
        options = text.split(separator: " ").map(String.init)
        self.source = source
        isUnordered = unordered
        isQuick = quick
    }

    static let all = everything.filter(\.isPossible)

    /// Whether this build has the compressor that is named.
    private var isPossible: Bool {
        options.allSatisfy { word in
            guard word.hasPrefix("--zc="), let method = CompressionMethod(rawValue: String(word.dropFirst(5))) else {
                return true
            }
            return method.isAvailable
        }
    }

    private static let everything: [OptionSet] = [
        OptionSet("-a", quick: true),
        OptionSet("-aH", unordered: true, quick: true),
        OptionSet("-aH --no-i-r", unordered: true, quick: true),
        OptionSet("-aHn --delete", unordered: true),
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
        OptionSet("-aH --max-size=4000", unordered: true),
        OptionSet("-a --delay-updates", quick: true),
        OptionSet("-aH --delay-updates --delete", unordered: true),
        OptionSet("-a --remove-source-files", unordered: true, quick: true),
        OptionSet("-aH --remove-source-files", unordered: true),
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
        OptionSet("-a --protocol=30 --no-W", quick: true),
        OptionSet("-a --protocol=31 --no-W"),
        OptionSet("-aH --protocol=30 --delete", unordered: true),
        OptionSet("-aH --no-i-r --inplace --no-W", unordered: true),
        OptionSet("-aH --delete -I --no-W", unordered: true),
        OptionSet("-aHc", unordered: true),
        OptionSet("-aHR", source: "./dir", unordered: true),
        OptionSet("-aHu --existing", unordered: true),
        OptionSet("-aHb", unordered: true),
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
        OptionSet("-aH --zl=1 -I --no-W", unordered: true),
        OptionSet("-az --inplace --no-W"),
        OptionSet("-azS --no-W"),
        OptionSet("-az --append"),
        OptionSet("-az --append-verify", unordered: true),
        OptionSet("-az --skip-compress=gz/o"),
        OptionSet("-azv --debug=nstr"),
        OptionSet("-a --no-o --no-g --no-p --no-t"),
        OptionSet("-a --temp-dir=/tmp"),
        OptionSet("-as --delete"),
        OptionSet("-aq"),
        OptionSet("-av --delete", quick: true),
        OptionSet("-a --out-format=%o_%i_%n_%L_%l_%B_%M"),
    ]
}
