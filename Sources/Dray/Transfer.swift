// Dray — the public face: a transfer as a stream of events and a result.
// Layer: Dray (public library).
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayEngine
import DrayFilters
import DrayTransport

/// How a transfer ended.
public struct TransferResult: Sendable, Equatable {
    /// rsync's exit code; `.ok` is success.
    public var code: ExitCode
    /// Counters, if the transfer got as far as having any.
    public var statistics: TransferStatistics?
    /// Warnings and errors in rsync's words, without line ends.
    public var messages: [String]

    public var succeeded: Bool { code == .ok }
}

/// A running transfer.
///
/// ```swift
/// let transfer = Transfer.copy(["src/"], to: "dst/", options: .archive)
/// for await event in transfer.events { … }
/// let result = await transfer.result
/// ```
/// The work runs on threads of its own: nothing blocks Swift's cooperative pool. Not reading `events` is fine; at most
/// `eventBufferLimit` of them are kept, the oldest are dropped.
public final class Transfer: Sendable {
    public static let eventBufferLimit = 4096

    /// What happens, in order. Ends when the transfer does.
    public let events: AsyncStream<TransferEvent>
    private let sink: Sink
    private struct State {
        var result: TransferResult?
        var waiters: [CheckedContinuation<TransferResult, Never>] = []
        var sessions: [Session] = []
        var cancelled = false
    }
    private let state = Monitor(State())

    private final class Sink: TransferEventSink {
        let continuation: AsyncStream<TransferEvent>.Continuation
        let kept = Monitor((statistics: TransferStatistics?.none, messages: [String]()))

        init(_ continuation: AsyncStream<TransferEvent>.Continuation) { self.continuation = continuation }

        var wantsProgress: Bool { true }

        func handle(_ event: TransferEvent) {
            switch event {
            case .statistics(let statistics): kept.withLock { $0.statistics = statistics }
            case .message(let level, let text) where level != .info && level != .log: keep(text)
            case .remoteMessage(let code, let text) where code != .info: keep(text)
            default: break
            }
            continuation.yield(event)
        }

        private func keep(_ text: Bytes) {
            kept.withLock { state in
                if state.messages.count < 1000 {
                    state.messages.append((text.last == 0x0a ? Bytes(text.dropLast()) : text).displayText)
                }
            }
        }
    }

    private init() {
        let (stream, continuation) = AsyncStream.makeStream(
            of: TransferEvent.self, bufferingPolicy: .bufferingNewest(Self.eventBufferLimit))
        events = stream
        sink = Sink(continuation)
    }

    /// Waits for the end.
    public var result: TransferResult {
        get async {
            await withCheckedContinuation { continuation in
                let ready = state.withLock { state -> TransferResult? in
                    if state.result == nil { state.waiters.append(continuation) }
                    return state.result
                }
                if let ready { continuation.resume(returning: ready) }
            }
        }
    }

    /// Ends the transfer as an interruption would: partial files are kept as the options say, exit code 20.
    public func cancel() {
        let sessions = state.withLock { state in
            state.cancelled = true
            return state.sessions
        }
        for session in sessions { session.interrupt(.signal) }
    }

    // MARK: - Starting

    /// Copies local `sources` into `destination` with rsync's rules for trailing slashes.
    public static func copy(
        _ sources: [String], to destination: String, options: TransferOptions = .archive, filters rules: [String] = []
    ) -> Transfer {
        let transfer = Transfer()
        transfer.start { transfer throws(TransferFailure) in
            let (near, far) = MemoryChannel.pair()
            var clientOptions = options
            clientOptions.isLocal = true
            clientOptions.amSender = true
            var serverOptions = options
            serverOptions.isLocal = true
            serverOptions.amServer = true
            let incremental = Session.allowsIncremental(clientOptions) ? "i" : ""
            serverOptions.clientInfo = Bytes(text: ".\(incremental)LsfxCIvu")
            let client = try transfer.session(clientOptions, near, rules)
            let server = try transfer.session(serverOptions, far, rules)
            return EngineLocal.run(
                client: client, server: server, sources: sources.map { Bytes(text: $0) },
                destination: Bytes(text: destination))
        }
        return transfer
    }

    /// Runs the client's side of rsync's protocol over a channel whose other end is a started server
    /// (`rsync --server …`, its arguments matching `options`).
    ///
    /// - Parameter handshakeVersion: protocol version agreed in a daemon handshake; nil exchanges it now.
    public static func client(
        over channel: any ByteChannel, options: TransferOptions, sources: [String], destination: String?,
        handshakeVersion: Int32? = nil, filters rules: [String] = []
    ) -> Transfer {
        let transfer = Transfer()
        transfer.start { transfer throws(TransferFailure) in
            var environment = SessionEnvironment()
            environment.handshakeVersion = handshakeVersion
            environment.isDaemonSocket = handshakeVersion != nil
            let session = try transfer.session(options, channel, rules, environment)
            return EngineClient.run(
                session, sources: sources.map { Bytes(text: $0) }, destination: destination.map { Bytes(text: $0) })
        }
        return transfer
    }

    private func session(
        _ options: TransferOptions, _ channel: any ByteChannel, _ rules: [String],
        _ environment: SessionEnvironment = SessionEnvironment()
    ) throws(TransferFailure) -> Session {
        var settings = FilterList.Settings()
        settings.side = options.amSender ? .sender : .receiver
        settings.amServer = options.amServer
        settings.isLocal = options.isLocal
        settings.deleteExcluded = options.deleteExcluded
        let filters = FilterList(settings: settings, reader: FilterFiles())
        for rule in rules { try filters.addFilter(Bytes(text: rule)) }
        let session = Session(
            options: options, channel: channel, filters: filters, environment: environment, sink: sink)
        let cancelled = state.withLock { state in
            state.sessions.append(session)
            return state.cancelled
        }
        if cancelled { session.interrupt(.signal) }
        return session
    }

    private func start(_ body: @escaping @Sendable (Transfer) throws(TransferFailure) -> ExitCode) {
        let thread = RoleThread {
            var code: ExitCode
            do throws(TransferFailure) {
                code = try body(self)
            } catch {
                for line in error.lines { self.sink.handle(.message(.error, line)) }
                code = error.code
            }
            self.finish(code)
        }
        if thread == nil { finish(.ipc) }
    }

    private func finish(_ code: ExitCode) {
        let (statistics, messages) = sink.kept.withLock { ($0.statistics, $0.messages) }
        let result = TransferResult(code: code, statistics: statistics, messages: messages)
        let waiters = state.withLock { state in
            state.result = result
            state.sessions.removeAll()
            let waiting = state.waiters
            state.waiters.removeAll()
            return waiting
        }
        sink.continuation.finish()
        for waiter in waiters { waiter.resume(returning: result) }
    }
}

extension TransferOptions {
    /// `-a`: recursion, links, permissions, times, owner, group, devices and specials.
    public static var archive: TransferOptions {
        var options = TransferOptions()
        options.recursive = true
        options.links = true
        options.perms = true
        options.times = true
        options.owner = true
        options.group = true
        options.devices = true
        options.specials = true
        return options
    }
}
