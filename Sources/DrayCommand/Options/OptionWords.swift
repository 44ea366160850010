// Dray — the words of a command line while aliases put others in their place.
// Layer: Command. Behaviour: chapter 05 §1; popt(3) on alias files.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

/// The words still to be read: those of the command line, and on top of them those of aliases.
struct OptionWords: Sendable {
    private struct Frame: Sendable {
        var words: ArraySlice<Bytes>
        /// The alias that stands for these words.
        var alias: Bytes?
        /// The last word is the value that the alias was given.
        var hasValue = false
        /// Letters of a bundle that are still to be read as options, with a dash in front.
        var letters: Bytes?
    }
    /// Aliases inside of aliases.
    private static let mostFrames = 10
    /// In the value of an option: the next word of the line.
    private static let nextWordMark = Bytes("!#:+")
    private var frames: [Frame]
    /// The last word taken from the command line itself: what an error names.
    private(set) var current: Bytes = []

    init(_ words: [Bytes]) { frames = [Frame(words: words[...])] }

    /// Takes the next word.
    mutating func next() -> Bytes? {
        while let top = frames.last {
            if let letters = top.letters {
                frames[frames.count - 1].letters = nil
                return letters
            }
            if let word = take() { return word }
            if frames.count == 1 { return nil }
            frames.removeLast()
        }
        return nil
    }

    private mutating func take() -> Bytes? {
        guard let word = frames[frames.count - 1].words.popFirst() else { return nil }
        if frames.count == 1 { current = word }
        return word
    }

    /// Takes the next word as the value of an option, with the first mark in it replaced.
    mutating func value() -> Bytes? { nextValue().map { replacingMark($0) } }

    /// Letters that wait are options, never values.
    private mutating func nextValue() -> Bytes? {
        while true {
            if let word = take() { return word }
            if frames.count == 1 { return nil }
            // What is left of a bundle above is read afterwards.
            let letters = frames.removeLast().letters
            if let letters { frames[frames.count - 1].letters = letters + (frames.last?.letters ?? []).dropFirst() }
        }
    }

    /// Puts the next word of the line in the place of the mark, if there is one.
    mutating func replacingMark(_ value: Bytes) -> Bytes {
        let mark = Self.nextWordMark
        guard value.contains(mark[0]) else { return value }
        for start in value.indices where value[start...].starts(with: mark) {
            guard let word = wordForMark() else { return value }
            return value[..<start] + word + value[(start + mark.count)...]
        }
        return value
    }

    /// The value that the alias was given, else the next word behind it.
    private mutating func wordForMark() -> Bytes? {
        if frames[frames.count - 1].hasValue {
            frames[frames.count - 1].hasValue = false
            return frames[frames.count - 1].words.popLast()
        }
        guard let word = frames[0].words.popFirst() else { return nil }
        current = word
        return word
    }

    /// Puts the words of an alias on top.
    ///
    /// - Parameters:
    ///   - value: what follows the name and an equals sign.
    ///   - rest: letters of a bundle that follow the alias.
    /// - Returns: false if the name stands in its own alias and so means the option; nil if too many are nested.
    mutating func push(_ alias: Bytes, _ words: [Bytes], value: Bytes?, rest: Bytes) -> Bool? {
        if frames.last?.alias == alias { return false }
        if frames.count >= Self.mostFrames { return nil }
        if !rest.isEmpty { frames[frames.count - 1].letters = Bytes("-") + rest }
        let all = value.map { words + [$0] } ?? words
        frames.append(Frame(words: all[...], alias: alias, hasValue: value != nil))
        return true
    }
}
