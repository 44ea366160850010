// Dray — names in another character set.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import Testing

@Suite struct CharacterConversionTests {
    /// System calls stop at a zero byte, so what is judged must stop there as well.
    @Test func nameEndsAtZeroByte() throws {
        let conversion = try CharacterConversion(local: Bytes("utf-16le"))
        #expect(try conversion.fromWire(Bytes("\u{2e2e}\u{6100}")) == Bytes(".."))
        #expect(try conversion.fromWire(Bytes("\u{6161}")) == Bytes("aa"))
    }
}
