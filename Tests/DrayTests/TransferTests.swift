import Dray
import Glibc
import Testing

/// The library as another program uses it.
@Suite struct TransferTests {
    private func scratch() throws -> String {
        var template = Array("/tmp/dray-library.XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private func write(_ text: String, _ path: String) throws {
        let file = try #require(fopen(path, "w"))
        fputs(text, file)
        fclose(file)
    }

    private func read(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var buffer = [UInt8](repeating: 0, count: 1000)
        let count = fread(&buffer, 1, buffer.count, file)
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    @Test func copiesATreeAndCounts() async throws {
        let work = try scratch()
        mkdir("\(work)/src", 0o755)
        mkdir("\(work)/src/sub", 0o750)
        try write("hello\n", "\(work)/src/a")
        try write("world\n", "\(work)/src/sub/b")
        try write("secret\n", "\(work)/src/skipped.o")
        let transfer = Transfer.copy(["\(work)/src/"], to: "\(work)/dst", filters: ["- *.o"])
        let result = await transfer.result
        #expect(result.succeeded, "\(result.messages)")
        #expect(result.statistics?.transferredFiles == 2)
        #expect(read("\(work)/dst/a") == "hello\n")
        #expect(read("\(work)/dst/sub/b") == "world\n")
        #expect(read("\(work)/dst/skipped.o") == nil)
        var status = stat()
        #expect(stat("\(work)/dst/sub", &status) == 0 && status.st_mode & 0o777 == 0o750)
        let again = await Transfer.copy(["\(work)/src/"], to: "\(work)/dst").result
        #expect(again.statistics?.transferredFiles == 1)
    }

    @Test func reportsWhatFails() async throws {
        let work = try scratch()
        let result = await Transfer.copy(["\(work)/nothing"], to: "\(work)/dst").result
        #expect(result.code == .partial)
        #expect(result.messages.contains { $0.contains("link_stat") && $0.contains("No such file or directory (2)") })
    }

    @Test func eventsEndWithTheTransfer() async throws {
        let work = try scratch()
        try write("x", "\(work)/file")
        let transfer = Transfer.copy(["\(work)/file"], to: "\(work)/copy")
        var sawStatistics = false
        for await event in transfer.events {
            if case .statistics = event { sawStatistics = true }
        }
        #expect(sawStatistics)
        #expect(await transfer.result.succeeded)
        #expect(read("\(work)/copy") == "x")
    }
}
