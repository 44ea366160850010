// Dray — distance between two ends of one machine: passes a TCP stream on, every byte a fixed time later.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// Listens on one port of this machine and passes connections on to another, `milliseconds` later in each direction.
///
/// It needs no privileges and no kernel support, and counts for neither side. Each direction holds at most 64 MiB.
final class Relay: Sendable {
    private let target: UInt16
    private let nanoseconds: UInt64
    private let listener: Int32

    init(listen port: Int, to target: Int, milliseconds: Double) throws {
        self.target = UInt16(target)
        nanoseconds = UInt64(milliseconds * 1e6)
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var yes: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
        var address = Self.address(UInt16(port))
        let code = Self.withAddress(&address) { bind(listener, $0, $1) }
        guard code == 0, Glibc.listen(listener, 16) == 0 else { throw HarnessError("cannot listen on port \(port)") }
        _ = RoleThread { [self] in accept() }
    }

    func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    private static func address(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        address.sin_port = port.bigEndian
        return address
    }

    private static func withAddress(
        _ address: inout sockaddr_in, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }

    /// Two ends of one TCP connection of this machine.
    static func connectedPair() throws -> (Int32, Int32) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var address = Self.address(0)
        guard withAddress(&address, { bind(listener, $0, $1) }) == 0, Glibc.listen(listener, 1) == 0 else {
            throw HarnessError("cannot listen")
        }
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(listener, $0, &length) }
        }
        let near = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard withAddress(&address, { connect(near, $0, $1) }) == 0 else { throw HarnessError("cannot connect") }
        let far = Glibc.accept(listener, nil, nil)
        guard far >= 0 else { throw HarnessError("cannot accept") }
        return (near, far)
    }

    private func accept() {
        while true {
            let near = Glibc.accept(listener, nil, nil)
            if near < 0 { return }
            let far = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = Self.address(target)
            guard Self.withAddress(&address, { connect(far, $0, $1) }) == 0 else {
                close(near)
                close(far)
                continue
            }
            pass(from: near, to: far)
            pass(from: far, to: near)
        }
    }

    private struct Queue {
        var pieces: [(due: UInt64, bytes: [UInt8])] = []
        var size = 0
        var isEnded = false
    }

    private func pass(from source: Int32, to destination: Int32) {
        let queue = Monitor(Queue())
        let delay = nanoseconds
        var yes: Int32 = 1
        setsockopt(destination, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, 4)
        _ = RoleThread {
            var buffer = [UInt8](repeating: 0, count: 1 << 18)
            while true {
                let count = read(source, &buffer, buffer.count)
                let due = monotonicNanoseconds() + delay
                let piece = count > 0 ? Array(buffer[..<count]) : []
                _ = queue.wait(until: { $0.size < 64 << 20 ? true : nil })
                queue.notifying { state in
                    if piece.isEmpty { state.isEnded = true } else { state.pieces.append((due, piece)) }
                    state.size += piece.count
                }
                if piece.isEmpty { return }
            }
        }
        _ = RoleThread {
            while true {
                let batch = queue.wait(until: { state -> [(due: UInt64, bytes: [UInt8])]? in
                    if state.pieces.isEmpty { return state.isEnded ? [] : nil }
                    defer { state.pieces = [] }
                    return state.pieces
                })
                if batch.isEmpty {
                    shutdown(destination, Int32(SHUT_WR))
                    return
                }
                for piece in batch {
                    let now = monotonicNanoseconds()
                    if piece.due > now {
                        var time = timespec(
                            tv_sec: Int((piece.due - now) / 1_000_000_000),
                            tv_nsec: Int((piece.due - now) % 1_000_000_000))
                        nanosleep(&time, nil)
                    }
                    var offset = 0
                    while offset < piece.bytes.count {
                        let count = piece.bytes.withUnsafeBytes {
                            send(
                                destination, $0.baseAddress! + offset, piece.bytes.count - offset,
                                Int32(MSG_NOSIGNAL))
                        }
                        if count <= 0 { break }
                        offset += count
                    }
                    queue.notifying { $0.size -= piece.bytes.count }
                }
            }
        }
    }
}
