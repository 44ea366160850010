// Dray — source files that the halves of a local copy share instead of sending their data.
// Layer: Engine.
// SPDX-License-Identifier: Apache-2.0

import CDraySystem
import DrayCore
import DrayFiles
import DrayWire
import Glibc

/// Open source files on their way from the sending half of a local copy to the receiving one.
///
/// On a file system that can share extents (FICLONE of ioctl_ficlone(2)) a copy needs no data: the sender answers a
/// request for a whole file with an empty stream and puts the open file here, the receiver clones it. What cannot be
/// cloned after all, the receiver reads itself. The counts of both halves are those of the data.
final class FileOffers: Sendable {
    private struct State {
        var isOn = false
        var open: [Int32: Int32] = [:]
        var failures = 0
    }

    private let state = Monitor(State())
    /// Descriptors that may wait at a time, 16…512: the sender may be hundreds of empty streams ahead, and what finds
    /// no room is sent as data. A quarter of what the process may open leaves room for everything else.
    private let capacity: Int = {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 16 }
        return Int(min(max(limit.rlim_cur / 4, 16), 512))
    }()
    /// Clones that may fail in a row before it is given up.
    private static let patience = 4
    /// Smaller files are not worth it: they are copied in one piece.
    static let smallest: Int64 = 32 * 1024

    deinit {
        state.withLock { state in
            for descriptor in state.open.values { _ = FileSystem.close(descriptor) }
        }
    }

    /// Switches offers on if the file system of `directory` shares extents.
    func watch(destination directory: Int32) {
        let isAble = dray_shares_extents(directory) != 0
        state.withLock { $0.isOn = isAble }
    }

    /// Hands over the open file of entry `ndx`; false if its data must be sent.
    func offer(_ ndx: Int32, _ descriptor: Int32) -> Bool {
        state.withLock { state in
            guard state.isOn, state.open.count < capacity, state.open[ndx] == nil else { return false }
            let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
            if copy >= 0 { state.open[ndx] = copy }
            return copy >= 0
        }
    }

    /// The file that was offered for `ndx`; the caller closes it.
    func take(_ ndx: Int32) -> Int32? { state.withLock { $0.open.removeValue(forKey: ndx) } }

    /// Tells how a clone went.
    func note(cloned: Bool) {
        state.withLock { state in
            state.failures = cloned ? 0 : state.failures + 1
            if state.failures >= Self.patience { state.isOn = false }
        }
    }
}

extension Session {
    /// Whether this run can do without the data of files: nobody records, limits, checks or looks at it.
    var mayShareFiles: Bool {
        options.isLocal && !options.sparse && !options.preallocate && !options.updatesInPlace && !options.copyDevices
            && options.append == .off && !options.showsSums && options.remoteOptions.isEmpty
            && options.bandwidthLimit == 0 && options.debug[.deltasum] == 0 && recorder == nil
            && compression.method == .none
    }
}

extension Receiver {
    /// Makes the target a clone of the file that the sending half has open, or copies it; false if it cannot be read.
    func takeOffered(
        _ source: Int32, _ descriptor: Int32, inPlace: Bool, _ list: FileSegment, _ entry: FileEntry
    ) throws(TransferFailure) -> Bool {
        if !inPlace {
            let isCloned = dray_reflink(descriptor, source) == 0
            session.offers?.note(cloned: isCloned)
            if isCloned {
                statistics.literalData += entry.length
                return true
            }
        }
        // The descriptor is a copy of the sender's, which reads nothing of a file that it has handed over.
        return try FileCopy.pieces(of: source) { (bytes) throws(TransferFailure) in
            statistics.literalData += Int64(bytes.count)
            let code = output.write(bytes)
            if code != 0 { throw writeFailure(list, entry, code) }
            progress.advance(output.offset)
            return 0
        } == 0
    }
}
