import DrayTestSupport
import Glibc
import Testing

extension Interop {
    /// Round trips and refusals around ACLs, extended attributes and owners that the matrix does not reach.
    @Suite(.enabled(if: Interop.isRoot, "needs root: owners and devices are made for real")) struct MetadataTests {
        private static let pairs: [(Cell.Program, Cell.Program)] = [
            (.dray, .rsync), (.rsync, .dray), (.dray, .dray),
        ]

        private struct Place {
            let scratch: ScratchDirectory
            let peers: MatrixPeers
            var source: String { scratch.path + "/source" }
            var middle: String { scratch.path + "/middle" }
            var result: String { scratch.path + "/result" }

            init() throws {
                scratch = try ScratchDirectory(inMemory: false)
                peers = try MatrixPeers(in: scratch.path)
                try FileTree.odd(source)
                try FileTree(source).addMetadata()
            }

            func run(_ words: [String]) throws -> ProcessResult {
                try DrayTestSupport.run(words, in: scratch.path, seconds: 60)
            }
        }

        /// Stored as an ordinary user's attributes by one program, restored from them by the other.
        @Test(arguments: pairs)
        func fakeSuperRoundTrip(_ writer: Cell.Program, _ reader: Cell.Program) throws {
            let place = try Place()
            let start = Int64(time(nil))
            let store = Cell(client: writer, server: writer, direction: .push)
            // Attributes and ACLs in two steps: rsync loses ACLs of directories that get long values as well.
            for letters in ["-aHX", "-aHAX"] {
                let result = try place.run(
                    store.words(
                        [letters, "-M--fake-super"], peers: place.peers, source: place.source + "/",
                        destination: place.middle + "/"))
                #expect(result.exitCode == 0, "\(result.errorText)")
            }
            let stored = TreeSnapshot(place.middle)
            let node = try #require(TreeSnapshot(place.source).items["null"])
            #expect(stored.items["null"]?.mode == S_IFREG | (node.mode & 0o777))
            let text = "\(String(node.mode, radix: 8)) 1,3 0:0"
            #expect(stored.items["null"]?.attributes["user.rsync.%stat"] == Array(text.utf8))
            #expect(stored.items["link"]?.attributes["user.rsync.%stat"] == Array("120777 0,0 77:88".utf8))
            let restore = Cell(client: reader, server: reader, direction: .pull)
            let result = try place.run(
                restore.words(
                    ["-aHAX", "-M--fake-super"], peers: place.peers, source: place.middle + "/",
                    destination: place.result + "/"))
            #expect(result.exitCode == 0, "\(result.errorText)")
            #expect(TreeSnapshot(place.result).differences(from: TreeSnapshot(place.source), now: start) == [])
        }

        /// A second run over the same tree finds nothing to do, whichever program looks.
        @Test(arguments: pairs)
        func secondRunIsSilent(_ first: Cell.Program, _ second: Cell.Program) throws {
            let place = try Place()
            for (program, silent) in [(first, false), (second, true)] {
                let cell = Cell(client: program, server: program, direction: .push)
                let result = try place.run(
                    cell.words(
                        ["-aHAXi", "--delete"], peers: place.peers, source: place.source + "/",
                        destination: place.result + "/"))
                #expect(result.exitCode == 0, "\(result.errorText)")
                if silent { #expect(result.outputText.isEmpty, "\(result.outputText)") }
            }
        }

        @Test(arguments: [
            "--usermap=x", "--usermap=a:", "--usermap=1x:2", "--usermap=1-x:2", "--groupmap=x", "--usermap=1:2,",
            "--usermap=1:2x", "--chown=nosuch", "--chown=:", "--usermap=1:2 --chown=3", "--fake-super -XX",
            "--usermap=99999999999:1", "--usermap=1:99999999999", "-N",
        ])
        func ownerMapErrorsAreRsyncs(_ options: String) throws {
            let place = try Place()
            let words =
                ["-rt"] + options.split(separator: " ").map(String.init) + [
                    place.source + "/dir/", place.result,
                ]
            func outcome(_ program: Cell.Program) throws -> [String] {
                removeTree(place.result)
                let result = try place.run([program.path] + words)
                let lines = result.errorText.split(separator: "\n").map { line in
                    line.firstRange(of: ") at ").map { String(line[..<$0.lowerBound]) } ?? String(line)
                }
                return ["\(result.exitCode)"] + lines
            }
            #expect(try outcome(.dray) == outcome(.rsync))
        }
    }
}
