// Dray — vocabulary that users of the library meet.
// Layer: Dray (public library).
// SPDX-License-Identifier: Apache-2.0

@_exported public import DrayCore
