// Dray — version numbers.
// Layer: Core.
// SPDX-License-Identifier: Apache-2.0

/// Versions that programs print.
public enum DrayVersion {
    /// Version of this software.
    public static let text = "0.1.0"
    /// The rsync release whose behaviour is reproduced; stands where rsync prints its own version.
    public static let rsync = "3.5.0"
}
