// Dray — the prefix that disarms symlinks stored by a daemon.
// Layer: Core. Behaviour: chapter 07 §12.4.
// SPDX-License-Identifier: Apache-2.0

/// Munging of symlink targets.
public enum SymlinkMunging {
    public static let prefix = Bytes("/rsyncd-munged/")

    public static func munged(_ target: Bytes) -> Bytes { prefix + target }

    public static func unmunged(_ target: Bytes) -> Bytes {
        target.count > prefix.count && target.hasPrefix(prefix) ? Bytes(target[prefix.count...]) : target
    }
}
