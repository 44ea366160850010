// Dray — runs one side of a transfer from set-up to goodbye.
// Layer: Engine. Behaviour: chapter 01 §5.3, §7; chapter 03 §1.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayDelta
import DrayFiles
import DrayFilters
import DrayWire
import Glibc
import Synchronization

/// The client's side of an established connection.
public enum EngineClient {
    /// Pushes `sources` or pulls into `destination`. Failures are reported through the sink.
    ///
    /// - Parameters:
    ///   - sources: local paths when sending; the remote paths as typed when receiving (for name checks).
    ///   - destination: nil only lists.
    /// - Returns: rsync's exit code.
    public static func run(_ session: Session, sources: [Bytes], destination: Bytes?) -> ExitCode {
        SideRun(session).run { run throws(TransferFailure) in
            try session.exchangeVersions()
            try session.negotiate()
            try run.sendFilterList()
            try session.assumeCopyIdentity()
            try session.startRecording()
            if session.options.amSender {
                try run.send(sources)
            } else {
                try run.receive(destination, requested: sources)
            }
        }
    }
}

/// The server's side: `--server` on standard streams, or a daemon connection after its handshake.
public enum EngineServer {
    /// Serves one transfer.
    ///
    /// - Parameter paths: sources when sending (the first word of the vector, the start directory, is already removed);
    ///   the destination when receiving.
    public static func run(_ session: Session, paths: [Bytes]) -> ExitCode {
        SideRun(session).run { run throws(TransferFailure) in
            // rsync has said nothing yet when it finds this.
            if session.options.amSender && !session.options.amDaemon && session.options.filesFrom == nil {
                for path in paths where session.options.relative { try SourceWalk.checkRelative(path) }
            }
            try session.exchangeVersions()
            try session.negotiate()
            if let failure = run.moduleRefusal() {
                // A daemon that sends has begun to read by then.
                run.refuses = !session.options.amSender
                throw failure
            }
            if !session.options.amSender { try session.assumeCopyIdentity() }
            try run.receiveFilterList()
            if session.options.amSender {
                try session.assumeCopyIdentity()
                if paths.isEmpty && !session.options.transfersDirectories {
                    throw session.fail(.syntax, "ERROR: do_server_sender called without args")
                }
                try run.send(paths.isEmpty ? [Bytes(".")] : paths)
            } else {
                try run.receive(paths.first ?? Bytes("."), requested: [])
            }
        }
    }

    /// Completes the set-up only to tell the client why nothing will be transferred (chapter 01 §3.6).
    public static func refuse(
        _ session: Session, _ failure: TransferFailure, hearsOut: Bool = false
    ) -> ExitCode {
        SideRun(session).run { run throws(TransferFailure) in
            try session.exchangeVersions()
            try session.negotiate()
            run.refuses = !hearsOut
            throw failure
        }
    }
}

/// Both halves of a local copy in this process, joined by `channels`.
public enum EngineLocal {
    /// Copies `sources` to `destination` through the same roles as a remote transfer.
    ///
    /// - Parameters:
    ///   - client: session of the sending half (`amSender`, not `amServer`).
    ///   - server: session of the receiving half (`amServer`), on the other end of the client's channel.
    public static func run(client: Session, server: Session, sources: [Bytes], destination: Bytes?) -> ExitCode {
        // Compatibility: both halves of rsync's local copy take on the identity; here they are one process.
        let refusal = SideRun(server).prepare { () throws(TransferFailure) in try client.assumeCopyIdentity() }
        if refusal != nil {
            return SideRun(client).prepare { () throws(TransferFailure) in try client.assumeCopyIdentity() } ?? .ok
        }
        client.companion = server
        let offers = FileOffers()
        (client.offers, server.offers) = (offers, offers)
        let serverCode = Monitor(ExitCode.ok)
        let thread = RoleThread {
            let code = SideRun(server).run { run throws(TransferFailure) in
                try server.exchangeVersions()
                try server.negotiate()
                try run.completeLocalFilters()
                try run.receive(destination ?? Bytes("."), requested: [])
            }
            serverCode.withLock { $0 = code }
            server.channel.closeWriting()
        }
        guard let thread else { return .ipc }
        let code = SideRun(client).run { run throws(TransferFailure) in
            try client.exchangeVersions()
            try client.negotiate()
            try run.completeLocalFilters()
            try client.startRecording()
            try run.send(sources)
        }
        client.channel.closeWriting()
        if code != .ok { client.channel.cancel() }
        thread.join()
        let other = serverCode.withLock { $0 }
        client.givenExit = other
        // Why this half has failed says more than that the other one was stopped or lost its connection.
        if code != .ok && (other == .protocolStream || other == .userSignal1) { return code }
        if server.hasFailed.load(ordering: .acquiring) { return other }
        return ExitCode(rawValue: max(code.rawValue, other.rawValue))
    }
}

/// One side from start to end; turns every failure into messages and an exit code.
final class SideRun {
    let session: Session
    private(set) var receiverThread: RoleThread?
    private(set) var role: RoleName
    /// A daemon's refusal comes before the client's rules have been read.
    var refuses = false

    init(_ session: Session) {
        self.session = session
        role = session.role
    }

    func run(_ body: (SideRun) throws(TransferFailure) -> Void) -> ExitCode {
        let writer = session.writer
        session.startStopClock()
        if session.options.debug[.filter] > 0 {
            let role = session.options.amSender ? "[sender] " : "[generator] "
            session.filters.onMatch = { [reporter = session.reporter] match in
                reporter.info(Bytes(text: role) + match.line)
            }
        }
        session.reader.beforeWaiting = { () throws(TransferFailure) in try writer.flush() }
        do throws(TransferFailure) {
            try body(self)
            try writer.flush()
            try session.recorder?.flush()
            finishStatistics()
            let code = session.reporter.finalCode
            if !session.options.amSender && session.reporter.hasOtherTrouble { session.givenExit = code }
            return code
        } catch {
            return end(error)
        }
    }

    /// Does what comes before the connection is used; returns the exit code of a failure.
    func prepare(_ body: () throws(TransferFailure) -> Void) -> ExitCode? {
        do throws(TransferFailure) { try body() } catch { return end(error) }
        return nil
    }

    private func finishStatistics() {
        let statistics = session.statistics.withLock { all -> TransferStatistics in
            if all.bytesRead == 0 && all.bytesWritten == 0 {
                all.bytesRead = session.reader.bytesReceived
                all.bytesWritten = session.writer.bytesSent
            }
            all.protocolVersion = session.protocolVersion
            return all
        }
        session.reporter.event(.statistics(statistics))
    }

    // MARK: - Filter lists

    private var listIsExchanged: Bool {
        let options = session.options
        let clientIsSender = options.amServer ? !options.amSender : options.amSender
        return FilterList.listIsExchanged(
            clientIsSender: clientIsSender, pruneEmptyDirs: options.pruneEmptyDirs, deletes: options.deletes,
            deleteExcluded: options.deleteExcluded, protocolVersion: session.protocolVersion)
    }

    private func prepareFilters() {
        session.filters.settings.role = session.role
        if session.options.debug[.filter] >= 2 {
            // A server's connection is no place for messages yet.
            let level: MessageLevel = session.options.amServer ? .warning : .info
            session.filters.onTrace = { [reporter = session.reporter] in reporter.message(level, $0) }
        }
        defer {
            if session.filters.onTrace != nil {
                session.filters.onTrace = { [reporter = session.reporter] in reporter.info($0) }
            }
        }
        session.filters.settings.protocolVersion = session.protocolVersion
        if let directory = session.options.partialDirectory ?? (session.options.delayUpdates ? Bytes(".~tmp~") : nil),
            !session.options.amServer || session.options.isLocal
        {
            session.filters.addPartialDirectory(directory)
        }
    }

    /// Both halves of a local copy have the same rules already: only the implied ones are added.
    func completeLocalFilters() throws(TransferFailure) {
        prepareFilters()
        let hasCVSRules = session.options.cvsExclude
        if hasCVSRules { try session.filters.addCVSExclude(.beforeExchange) }
        // They must be fit for sending all the same.
        if !session.options.amServer { _ = try encodedFilters() }
        if hasCVSRules { try session.filters.addCVSExclude(.afterExchange) }
    }

    /// What the other side would be sent; a client's rules must fit even if the list is not exchanged.
    private func encodedFilters() throws(TransferFailure) -> [Bytes] {
        try session.filters.encodeForWire(
            protocolVersion: session.protocolVersion, amSender: session.options.amSender)
    }

    func sendFilterList() throws(TransferFailure) {
        prepareFilters()
        if session.options.cvsExclude { try session.filters.addCVSExclude(.beforeExchange) }
        let rules = try encodedFilters()
        if listIsExchanged {
            for text in rules {
                try session.writer.int32(Int32(text.count))
                try session.writer.bytes(text)
            }
            try session.writer.int32(0)
        }
        if session.options.cvsExclude { try session.filters.addCVSExclude(.afterExchange) }
    }

    func receiveFilterList() throws(TransferFailure) {
        prepareFilters()
        if listIsExchanged {
            while true {
                let length = UInt32(bitPattern: try session.reader.int32())
                if length == 0 { break }
                if length >= UInt32(Limits.lineBuffer) {
                    throw TransferFailure(
                        .outOfMemory, "[\(role.rawValue)] buffer overflow: recv_rules (file=\(#fileID), line=\(#line))",
                        role: role)
                }
                let rule = try session.reader.bytes(Int(length))
                try session.filters.addFromWire(rule, protocolVersion: session.protocolVersion)
            }
        }
        if session.options.cvsExclude { try session.filters.addCVSExclude(.afterExchange) }
    }

    /// Read-only and write-only modules (chapter 07 §12.7).
    func moduleRefusal() -> TransferFailure? {
        let options = session.options
        if options.amSender {
            if session.environment.writeOnly { return session.fail(.syntax, "ERROR: module is write only") }
            if session.environment.readOnly && options.removeSourceFiles > 0 {
                let word = options.removeSourceFiles == 1 ? "--remove-source-files" : "--remove-sent-files"
                return session.fail(.syntax, "ERROR: \(word) cannot be used with a read-only module")
            }
        } else if session.environment.readOnly {
            return session.fail(.syntax, "ERROR: module is read only")
        }
        return nil
    }

    // MARK: - Roles

    func send(_ sources: [Bytes]) throws(TransferFailure) {
        role = .sender
        if session.options.amServer { session.debug(.send, words: "server_sender starting pid=\(getpid())") }
        let walk = SourceWalk(session: session)
        let base = sources.first ?? Bytes(".")
        if session.takesNamesFromPeer || session.environment.filesFrom != nil {
            if !session.options.amServer { session.reporter.event(.fileListStarted(incremental: session.incremental)) }
            try checkBase(base)
        }
        if session.takesNamesFromPeer {
            try walk.sendFirstList(NameSource(session.reader, session.nameListConversion), base: base)
            if session.protocolVersion < 31 && (!session.options.amServer || session.clientFrames) {
                session.reader.startFraming()
            }
        } else if let list = session.environment.filesFrom {
            try walk.sendFirstList(NameSource(list), base: base)
        } else {
            try walk.sendFirstList(sources)
        }
        // A server with nothing to send ends here, and so does its client; a pushing client goes through all phases.
        if walk.lists.knownCount == 0 && session.options.amServer { return try session.writer.flush() }
        try Sender(session: session, walk: walk).run()
    }

    /// Names from a file are looked for below one directory: without it there is nothing to do.
    private func checkBase(_ base: Bytes) throws(TransferFailure) {
        let isConfined = session.environment.sanitizesPaths
        let isBelowModule = isConfined || session.options.amDaemon
        let relative = isBelowModule ? Bytes(base.drop { $0 == UInt8(ascii: "/") }) : base
        let anchor = session.environment.workingDirectory
        let directory = (relative.isEmpty ? Bytes(".") : relative).withCString {
            isConfined
                ? ConfinedPath.openDirectory(anchor, $0) : FileSystem.open(anchor, $0, O_RDONLY | O_DIRECTORY)
        }
        if directory >= 0 {
            _ = FileSystem.close(directory)
            return
        }
        let reason = Bytes(text: " failed: \(errnoText(-directory)) (\(-directory))")
        let line = Bytes("rsync: [sender] change_dir ") + session.fullName(base) + reason
        throw TransferFailure(.fileSelection, lines: [line])
    }

    func receive(_ destinationArgument: Bytes?, requested: [Bytes]) throws(TransferFailure) {
        if session.options.amServer {
            session.debug(.recv, words: "server_recv(2) starting pid=\(getpid())")
        }
        let judge = ReceivedNames.judge(session, requested: requested)
        let listReceiver = try ListReceiver(session: session, judge: judge)
        if let names = session.environment.filesFromForPeer {
            let stream = NameStream(
                session,
                NameStream.wireForm(
                    session.nameListConversion?.toWire(message: names) ?? names,
                    nulSeparated: session.options.fromZero))
            session.reader.beforeWaiting = nil
            try stream.start()
            do throws(TransferFailure) { try listReceiver.receiveFirst() } catch {
                // A peer that is gone is noticed by who writes before it is by who reads.
                let lost = stream.failure(milliseconds: error.code == .protocolStream ? 200 : 0)
                session.channel.cancel()
                try? stream.finish()
                throw lost?.code == .socketIO ? lost! : error
            }
            try stream.finish()
        } else {
            try listReceiver.receiveFirst()
        }
        if listReceiver.lists.knownCount == 0 && !session.options.amServer { return }
        let destination = Destination(
            session: session, lists: listReceiver.lists, paths: listReceiver.paths, received: listReceiver.received)
        try destination.choose(session.options.listOnly ? nil : destinationArgument)
        try destination.check()
        session.offers?.watch(destination: destination.root)
        role = .generator
        session.writer.role = .generator
        session.reader.role = .receiver
        session.reader.beforeWaiting = nil
        session.reader.whileIdle = nil
        session.reader.idleMilliseconds = -1
        if session.options.timeoutSeconds > 0 {
            session.reader.idleMilliseconds = 1000
            session.reader.whileIdle = { [session] () throws(TransferFailure) in try session.checkReceiverTimeout() }
        }
        let events = ReceiverEvents()
        let generator = Generator(session: session, destination: destination, lists: listReceiver.lists, events: events)
        // Safe: the receiver is handed to its thread and not touched here until the thread was joined.
        nonisolated(unsafe) let receiver = Receiver(
            session: session, destination: destination, listReceiver: listReceiver, events: events)
        guard let thread = RoleThread({ receiver.run() }) else { throw TransferFailure(.ipc) }
        receiverThread = thread
        try generator.run()
        thread.join()
        receiverThread = nil
        // Before protocol 31 nothing after the last phase is waited for: the statistics may have failed to come.
        for case .ended(let failure) in events.take() { throw failure }
    }
}

extension Session {
    /// Silence in both directions ends the receiving side.
    func checkReceiverTimeout() throws(TransferFailure) {
        let seconds = options.timeoutSeconds
        let silent = (monotonicNanoseconds() &- reader.lastReadNanoseconds) / 1_000_000_000
        if seconds > 0 && silent >= UInt64(seconds) {
            throw TransferFailure(.timeout, "[receiver] io timeout after \(silent) seconds -- exiting", role: .receiver)
        }
    }
}
