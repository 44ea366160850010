// Dray — TLS in front of modules: own, and with stunnel on either side.
// SPDX-License-Identifier: Apache-2.0

import DrayTestSupport
import Glibc
import Testing

/// Certificates in a directory of their own, made once.
final class TLSLab: Sendable {
    static let shared = TLSLab()
    let directory: String

    init() {
        var template = Array("/tmp/dray-daemon-tls.XXXXXX".utf8CString)
        precondition(mkdtemp(&template) != nil)
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let lab = DaemonLab()
        lab.shell(
            """
            cd \(directory)
            key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
            for ca in ca other; do
              openssl req -x509 $key -keyout $ca.key -out $ca.pem -subj "/CN=$ca" -days 2 \
                -addext basicConstraints=critical,CA:TRUE
            done
            issue() { # name, authority, alternative name, further options
              name=$1; ca=$2; alt=$3; shift 3
              openssl req $key -keyout $name.key -out $name.csr -subj "/CN=$name"
              printf 'subjectAltName=%s\\n' "$alt" > $name.ext
              openssl x509 -req -in $name.csr -CA $ca.pem -CAkey $ca.key -CAcreateserial -out $name.pem \
                -extfile $name.ext "$@"
            }
            issue server ca DNS:localhost,IP:127.0.0.1 -days 2
            issue elsewhere ca DNS:example.org -days 2
            issue client ca DNS:client.example -days 2
            issue stranger other DNS:client.example -days 2
            issue expired ca DNS:localhost -not_before 20200101000000Z -not_after 20200102000000Z ||
              openssl ca -version > /dev/null 2>&1 || true
            if ! test -s expired.pem; then
              openssl req -x509 -key expired.key -out expired.pem -subj /CN=localhost -days -1 || true
            fi
            """)
    }

    func file(_ name: String) -> String { directory + "/" + name }

    func server(_ name: String = "server", mutual: Bool = false) -> [String] {
        ["--tls-cert=\(file(name)).pem", "--tls-key=\(file(name)).key"]
            + (mutual ? ["--tls-client-ca=\(file("ca.pem"))"] : [])
    }

    func client(_ name: String? = nil, ca: String = "ca") -> [String] {
        ["--tls-ca=\(file(ca)).pem"] + (name.map { ["--tls-cert=\(file($0)).pem", "--tls-key=\(file($0)).key"] } ?? [])
    }
}

@Suite(.enabled(if: DaemonLab.isUsable)) struct DaemonTLSTests {
    static let client = [DaemonLab.built("rsync-client"), "--retries=0"]
    static let config = "uid = 0\ngid = 0\nuse chroot = yes\nread only = no\n[m]\npath = @/module\n"
    let tls = TLSLab.shared

    @Test(arguments: [false, true]) func treesTravelBothWays(_ mutual: Bool) {
        let lab = DaemonLab()
        let source = lab.sampleTree("source")
        let module = lab.make("module")
        let target = lab.make("target")
        let daemon = lab.daemon(.rsyncServer, Self.config, tls: tls.server(mutual: mutual))
        let options = Self.client + ["-aH", "--numeric-ids", "--delete"] + tls.client(mutual ? "client" : nil)
        let push = lab.run(options + [source + "/", daemon.url("m/", scheme: "rsyncs")])
        #expect(push.code == 0 && push.err.isEmpty, "\(push)\n\(daemon.log)")
        let pull = lab.run(options + [daemon.url("m/", scheme: "rsyncs"), target])
        #expect(pull.code == 0 && pull.err.isEmpty, "\(pull)\n\(daemon.log)")
        #expect(DaemonLab.difference(source, module) == [])
        #expect(DaemonLab.difference(source, target) == [])
    }

    /// What is wrong, the server's certificate, the client's options, whether the server wants a certificate.
    static let refusals: [(String, String, String, String, Bool)] = [
        ("wrong CA", "server", "other", "", false), ("expired", "expired", "ca", "", false),
        ("host name", "elsewhere", "ca", "", false), ("no client certificate", "server", "ca", "", true),
        ("foreign client certificate", "server", "ca", "stranger", true),
    ]

    @Test(arguments: refusals) func refusalsAreOneLine(
        _ what: String, _ server: String, _ ca: String, _ own: String, _ mutual: Bool
    ) {
        let lab = DaemonLab()
        let module = lab.make("module")
        let source = lab.make("source")
        lab.write("source/f", "data")
        let daemon = lab.daemon(.rsyncServer, Self.config, tls: tls.server(server, mutual: mutual))
        let options = Self.client + ["-a"] + tls.client(own.isEmpty ? nil : own, ca: ca)
        let result = lab.run(options + [source + "/", daemon.url("m/", scheme: "rsyncs")], seconds: 6)
        #expect(result.code == 10 && !result.timedOut, "\(what): \(result)\n\(daemon.log)")
        // The reason, then the line that rsync ends with.
        let lines = result.err.split(separator: "\n")
        #expect(lines.count == 2 && lines[0].contains("TLS") && lines[1].contains("(code 10)"), "\(what): \(result)")
        #expect(DaemonLab.names(module).isEmpty)
        #expect(daemon.isAlive)
    }

    @Test func plainClientAtATLSPort() {
        let lab = DaemonLab()
        _ = lab.make("module")
        let daemon = lab.daemon(.rsyncServer, Self.config, tls: tls.server())
        for program in [DaemonLab.built("dray"), DaemonLab.rsync] {
            let result = lab.run([program, "--contimeout=3", "--timeout=3", daemon.url("m/")], seconds: 8)
            #expect(result.code != 0 && !result.timedOut, "\(result)")
        }
        let garbage = DaemonLab.talk(daemon.port, Array("GET / HTTP/1.0\r\n\r\n".utf8))
        #expect(!garbage.contains("@RSYNCD"))
        #expect(daemon.isAlive)
    }

    @Test func tlsClientAtAPlainPort() {
        let lab = DaemonLab()
        _ = lab.make("module")
        for kind in [DaemonKind.rsyncServer, .rsync] {
            let daemon = lab.daemon(kind, Self.config)
            let result = lab.run(
                Self.client + tls.client() + [daemon.url("m/", scheme: "rsyncs")], seconds: 8)
            #expect(result.code == 10 && !result.timedOut, "\(result)")
        }
    }

    private func stunnel(_ lab: DaemonLab, _ text: String, _ port: Int) -> LabProcess {
        let file = lab.write("stunnel\(port).conf", "foreground = yes\npid =\nsyslog = no\ndebug = 4\n" + text)
        let process = lab.start(["/usr/bin/stunnel", file])
        _ = DaemonLab.eventually(5) { DaemonLab.answers(port) || !process.isRunning }
        return process
    }

    @Test(arguments: ["TLSv1.2", "TLSv1.3"]) func stunnelInFrontOfRsyncDaemon(_ version: String) {
        let lab = DaemonLab()
        let source = lab.sampleTree("source")
        let module = lab.make("module")
        let target = lab.make("target")
        let daemon = lab.daemon(.rsync, Self.config)
        let port = DaemonLab.freePort()
        let tunnel = stunnel(
            lab,
            """
            socket = l:TCP_NODELAY=1
            socket = r:TCP_NODELAY=1
            sslVersion = \(version)
            [rsync]
            accept = 127.0.0.1:\(port)
            connect = 127.0.0.1:\(daemon.port)
            cert = \(tls.file("server.pem"))
            key = \(tls.file("server.key"))
            CAfile = \(tls.file("ca.pem"))
            verify = 2
            TIMEOUTclose = 0
            """, port)
        let options = Self.client + ["-aH", "--numeric-ids"] + tls.client("client")
        let push = lab.run(options + [source + "/", "rsyncs://localhost:\(port)/m"])
        #expect(push.code == 0 && push.err.isEmpty, "\(push)\n\(tunnel.err)")
        let pull = lab.run(options + ["rsyncs://localhost:\(port)/m/", target])
        #expect(pull.code == 0 && pull.err.isEmpty, "\(pull)\n\(tunnel.err)")
        #expect(DaemonLab.difference(source, module) == [])
        #expect(DaemonLab.difference(source, target) == [])
        let stranger = lab.run(
            Self.client + ["-a"] + tls.client("stranger") + [source + "/", "rsyncs://localhost:\(port)/m"], seconds: 8)
        #expect(stranger.code == 10 && !stranger.timedOut, "\(stranger)")
    }

    @Test(arguments: [("TLSv1.2", DaemonClient.rsync), ("TLSv1.3", .rsync), ("TLSv1.2", .dray)])
    func stunnelClientAtOurServer(_ version: String, _ client: DaemonClient) {
        let lab = DaemonLab()
        let source = lab.sampleTree("source")
        let module = lab.make("module")
        let target = lab.make("target")
        let daemon = lab.daemon(.rsyncServer, Self.config, tls: tls.server(mutual: true))
        let port = DaemonLab.freePort()
        let tunnel = stunnel(
            lab,
            """
            [rsync]
            client = yes
            sslVersion = \(version)
            accept = 127.0.0.1:\(port)
            connect = 127.0.0.1:\(daemon.port)
            cert = \(tls.file("client.pem"))
            key = \(tls.file("client.key"))
            CAfile = \(tls.file("ca.pem"))
            verifyChain = yes
            checkHost = localhost
            """, port)
        let options = [client.program, "-aH", "--numeric-ids", "--port=\(port)"]
        let push = lab.run(options + [source + "/", "localhost::m"])
        #expect(push.code == 0 && push.err.isEmpty, "\(push)\n\(tunnel.err)\n\(daemon.log)")
        let pull = lab.run(options + ["localhost::m/", target])
        #expect(pull.code == 0 && pull.err.isEmpty, "\(pull)\n\(tunnel.err)\n\(daemon.log)")
        #expect(DaemonLab.difference(source, module) == [])
        #expect(DaemonLab.difference(source, target) == [])
    }
}
