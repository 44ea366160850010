// Dray — capabilities that two Drays agree on beyond rsync's protocol.
// Layer: Engine.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayWire

// How it works. A client that wants extensions adds the letter `Y` to its info string (`-e.iLsfxCIvuY`); rsync ignores
// letters that it does not know. A Dray server that sees it sets the compat flag 0x10000; rsync never does. Only when
// that bit is set, each side writes one vstring after the algorithm lists: the names of its extensions, separated by
// spaces. What both name is in force. So a peer that is not Dray, or an older one, sees nothing but one letter, and a
// later feature needs a name, not a protocol version.

extension Session {
    /// Exchanges the names of extensions if both sides have said that they know how.
    func agreeOnExtensions() throws(TransferFailure) {
        guard flags.contains(.extensions) else { return }
        if !options.amServer && !options.announcesExtensions {
            throw fail(.protocolIncompatible, "Extensions were offered that nobody asked for.")
        }
        let own = options.extensions
        try writer.vstring(Bytes(own.joined(separator: [0x20])))
        try writer.flush()
        let peer = try reader.vstring(bufferSize: Limits.extensionList)
        let names = Set(peer.fields { $0.isASCIISpace })
        extensions = Set(own).intersection(names)
    }
}
