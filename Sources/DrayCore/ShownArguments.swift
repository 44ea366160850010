// Dray — how messages show the words of a command.
// Layer: Core. Behaviour: chapter 05 §5.
// SPDX-License-Identifier: Apache-2.0

extension [Bytes] {
    /// `WORD WORD  (2 args)`: words with characters that mean something to a shell stand in quotes.
    public var shownAsArguments: Bytes {
        let plain = Bytes("+,-./=@_")
        var line: Bytes = []
        for word in self {
            let isPlain = word.allSatisfy { byte in
                byte.isASCIIDigit || (0x61...0x7a).contains(byte.asciiLowercased) || plain.contains(byte)
            }
            line += isPlain ? word + [0x20] : Bytes("\"") + word + Bytes("\" ")
        }
        return line + Bytes(text: " (\(count) args)")
    }
}
