// Dray — command lines that fail: messages, exit codes, and what is left behind.
// SPDX-License-Identifier: Apache-2.0

extension DifferentialLine {
    static let failures: [DifferentialLine] = [
        DifferentialLine("rsync -a src/missing dst/"),
        DifferentialLine("rsync -a --delete src/ nowhere/at/all/", .same),
        DifferentialLine("rsync -a host:src/missing dst/"),
        DifferentialLine("rsync -av src/ dst/", prepare: "chmod 0 src/dir/one", unprivileged: true),
    ]
}
