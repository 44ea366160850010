// Dray — command lines: effects of options that no other table uses.
// SPDX-License-Identifier: Apache-2.0

extension DifferentialLine {
    static let optionEffects: [DifferentialLine] = []
}
