// Dray — texts of system errors in rsync's form.
// Layer: Core.
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The operating system's text for an errno value.
public func errnoText(_ code: Int32) -> String {
    String(cString: strerror(code))
}

/// `TEXT: STRERROR (ERRNO)`, the tail of every system-error line.
public func withErrno(_ text: String, _ code: Int32) -> String {
    "\(text): \(errnoText(code)) (\(code))"
}
