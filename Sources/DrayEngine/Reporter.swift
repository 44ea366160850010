// Dray — messages of the roles: to the user, or through the connection to the client's user.
// Layer: Engine. Behaviour: chapter 01 §6.4, chapter 05 §3.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayFiles
import DrayWire
import Synchronization

/// Routes texts and events of one side and remembers what decides the exit code. Thread-safe.
public final class Reporter: Sendable {
    private let sink: any TransferEventSink
    private let amServer: Bool
    private let isLocal: Bool
    private let quiet: Bool
    private let errorsThroughConnection: Bool
    private let allToOwnError: Bool
    private struct State {
        /// Set once framing has begun on a server.
        var writer: WireWriter?
        /// Clients of protocol 28 and older read no standard error beside the connection.
        var throughConnection = false
        var conversion: CharacterConversion?
    }
    private let state = Monitor(State())
    private let ioErrorBits = Atomic<Int32>(0)
    private let transferError = Atomic<Bool>(false)
    /// Something has gone wrong beyond the process that rsync's client is: it learns that by the code of another one.
    private let otherTrouble = Atomic<Bool>(false)

    /// - Parameter isDaemonSocket: the client is at the other end of a socket; otherwise a remote shell carries
    ///   standard error to it.
    public init(sink: any TransferEventSink, options: TransferOptions, isDaemonSocket: Bool = false) {
        self.sink = sink
        amServer = options.amServer
        isLocal = options.isLocal
        quiet = options.quiet
        // A daemon on a socket has no standard error that anybody reads.
        let isAlone = options.amServer && options.amDaemon && isDaemonSocket
        errorsThroughConnection =
            isAlone || options.amServer && (options.isLocal || options.standardErrorMode == .client)
        allToOwnError = options.standardErrorMode == .all && !isAlone
    }

    /// Framing has begun: a server's texts may travel through `writer` from now on.
    func attach(_ writer: WireWriter?, throughConnection: Bool = false) {
        if amServer {
            state.withLock {
                $0.writer = writer
                $0.throughConnection = throughConnection
            }
        }
    }

    /// Texts of a server travel in the character set of the wire.
    func convert(with conversion: CharacterConversion) {
        if amServer && !isLocal { state.withLock { $0.conversion = conversion } }
    }

    /// A path as it travels in a message.
    func wireText(_ text: Bytes) -> Bytes { state.withLock { $0.conversion }?.toWire(message: text) ?? text }

    // MARK: - Exit code state

    public var ioError: IOErrorBits { IOErrorBits(rawValue: ioErrorBits.load(ordering: .relaxed)) }

    /// Adds bits that a peer or this side reported.
    public func noteIOError(_ bits: IOErrorBits, fromPeer: Bool = false) {
        if fromPeer && bits.contains(.general) { noteOtherTrouble() }
        _ = ioErrorBits.bitwiseOr(bits.intersection(.mask).rawValue, ordering: .relaxed)
    }

    func noteOtherTrouble() { otherTrouble.store(true, ordering: .relaxed) }
    /// Whether a failure was the sender's or the receiver's, not the generator's.
    var hasOtherTrouble: Bool { otherTrouble.load(ordering: .relaxed) }

    public func noteTransferError() { transferError.store(true, ordering: .relaxed) }

    /// Exit code of a run that reached its end.
    public var finalCode: ExitCode {
        let bits = ioError
        if bits.contains(.general) || transferError.load(ordering: .relaxed) { return .partial }
        if bits.contains(.vanished) { return .vanished }
        if bits.contains(.deleteLimit) { return .deleteLimit }
        return .ok
    }

    // MARK: - Texts

    /// Reports one line (without its newline).
    public func message(_ level: MessageLevel, _ line: Bytes) {
        if level == .errorTransfer { noteTransferError() }
        var text = line
        text.append(0x0a)
        if amServer && !allToOwnError {
            let (connection, through) = state.withLock { ($0.writer, $0.throughConnection) }
            let isInfo = level == .info || level == .notice
            if let writer = connection, isInfo || errorsThroughConnection || through,
                let code = frameCode(level, writer.protocolVersion)
            {
                if isInfo && quiet { return }
                // Longer texts would be refused by the peer as an overflow.
                writer.queueMessage(code, wireText(text).prefix(Limits.lineBuffer - 1))
                if level != .notice { sink.handle(.message(.log, text)) }
                return
            }
        }
        sink.handle(.message(level, text))
    }

    private func frameCode(_ level: MessageLevel, _ protocolVersion: Int32) -> MessageCode? {
        switch level {
        case .info, .notice: .info
        case .warning: protocolVersion < 30 && (!isLocal || protocolVersion < 29) ? .info : .warning
        case .error: protocolVersion < 30 && (!isLocal || protocolVersion < 29) ? .errorTransfer : .error
        case .errorTransfer: .errorTransfer
        case .log: nil
        }
    }

    public func info(_ line: String) { message(.info, Bytes(text: line)) }
    public func info(_ line: Bytes) { message(.info, line) }
    public func warning(_ line: Bytes) { message(.warning, line) }
    public func error(_ line: Bytes) { message(.error, line) }
    public func errorTransfer(_ line: Bytes) { message(.errorTransfer, line) }

    /// `rsync: [ROLE] TEXT: STRERROR (ERRNO)`; the run will end with code 23.
    public func systemError(_ role: RoleName, _ text: Bytes, _ code: Int32, level: MessageLevel = .errorTransfer) {
        var line = Bytes(text: "rsync: [\(role.rawValue)] ")
        line.append(contentsOf: text)
        line.append(contentsOf: ": \(errnoText(code)) (\(code))".utf8)
        if level == .errorTransfer && role == .receiver { noteOtherTrouble() }
        message(level, line)
    }

    /// An event that is no text.
    public func event(_ event: TransferEvent) { sink.handle(event) }
    public var wantsProgress: Bool { !amServer && sink.wantsProgress }

    /// Prints the lines of a failure and the closing `rsync error:` line.
    ///
    /// - Parameter isForLog: the closing line is for this side's log only.
    func failure(_ failure: TransferFailure, role: RoleName, isForLog: Bool = false) {
        for line in failure.lines { message(.error, line) }
        if failure.quiet || failure.cameFromPeer || failure.code == .ok { return }
        message(isForLog ? .log : .error, Self.errorLine(failure.code, role: failure.role ?? role))
    }

    /// `rsync error: TEXT (code N) at FILE(LINE) [ROLE=VERSION]`
    public static func errorLine(_ code: ExitCode, role: RoleName, file: StaticString = #fileID, line: Int = #line)
        -> Bytes
    {
        let name = file.description.split(separator: "/").last.map(String.init) ?? "dray"
        let kind = code == .vanished ? "warning" : "error"
        return Bytes(
            text:
                "rsync \(kind): \(code.text) (code \(code.rawValue)) at \(name)(\(line)) [\(role.rawValue)=\(DrayVersion.rsync)]"
        )
    }
}
