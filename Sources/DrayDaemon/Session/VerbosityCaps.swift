// Dray — `max verbosity`: how much of its own running a daemon shows to clients.
// Layer: Daemon. Behaviour: chapter 07 §1.1.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// Lowers info and debug levels to what a given number of `-v` would set.
public enum VerbosityCaps {
    typealias Info = InfoLevels.Flag
    typealias Debug = DebugLevels.Flag
    private static let info: [[(Info, Int)]] = [
        [(.nonreg, 1)],
        [(.copy, 1), (.del, 1), (.flist, 1), (.misc, 1), (.name, 1), (.stats, 1), (.symsafe, 1)],
        [(.backup, 1), (.misc, 2), (.mount, 1), (.name, 2), (.remove, 1), (.skip, 1)],
    ]
    private static let debug: [[(Debug, Int)]] = [
        [], [],
        [
            (.bind, 1), (.cmd, 1), (.connect, 1), (.del, 1), (.deltasum, 1), (.dup, 1), (.filter, 1), (.flist, 1),
            (.iconv, 1),
        ],
        [
            (.acl, 1), (.backup, 1), (.connect, 2), (.deltasum, 2), (.del, 2), (.exit, 1), (.filter, 2), (.flist, 2),
            (.fuzzy, 1), (.genr, 1), (.own, 1), (.recv, 1), (.send, 1), (.time, 1),
        ],
        [
            (.cmd, 2), (.deltasum, 3), (.del, 3), (.exit, 2), (.flist, 3), (.iconv, 2), (.own, 2), (.proto, 1),
            (.time, 2),
        ],
        [(.chdir, 1), (.deltasum, 4), (.flist, 4), (.fuzzy, 2), (.hash, 1), (.hlink, 1)],
    ]

    /// Applies `max verbosity` to the options of a client.
    public static func apply(_ limit: Int, to options: inout TransferOptions) {
        if limit > 5 { return }
        var infoCaps = InfoLevels()
        infoCaps[.nonreg] = 0
        var debugCaps = DebugLevels()
        for level in 0...5 where level <= limit {
            if level < info.count { for (flag, value) in info[level] { infoCaps[flag] = value } }
            for (flag, value) in debug[level] { debugCaps[flag] = value }
        }
        for flag in Info.allCases { options.info[flag] = min(options.info[flag], infoCaps[flag]) }
        for flag in Debug.allCases { options.debug[flag] = min(options.debug[flag], debugCaps[flag]) }
        options.verbosity = min(options.verbosity, max(0, limit))
    }
}
