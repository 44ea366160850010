// Dray — the command line of rsync-server.
// Layer: Daemon.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import DrayTransport
import Glibc

extension DaemonSettings {
    private static let serverHelp = """
        Usage: rsync-server --config=FILE [OPTION]...
        Serves the modules of an rsyncd.conf to rsync clients.

         --config=FILE            the configuration (default: /etc/rsyncd.conf)
         --listen=ADDR:PORT       listen there; with a certificate, with TLS (repeatable; default port 873, TLS 874)
         --listen-plain=ADDR:PORT listen there without TLS (repeatable)
         --tls-cert=FILE          certificate chain (PEM); read again for every connection
         --tls-key=FILE           private key (PEM; default: in the certificate file)
         --tls-client-ca=FILE     require client certificates of this authority
         --dparam=NAME=VALUE, -M  override a parameter of the configuration
         --log-file=FILE          override the "log file" setting
         --log-file-format=FMT    override the "log format" setting
         --bwlimit=RATE           limit socket I/O bandwidth, KiB per second
         --ipv4, -4, --ipv6, -6   use only this address family
         --detach                 go to the background
         --no-detach              stay in the foreground (the default)
         --verbose, -v            increase the verbosity of connections
         --help, -h               show this help
        """

    /// Parses the options of `rsync-server`.
    ///
    /// - Throws: exit 1 with texts in rsync's form; exit 0 with the help text.
    public static func parseServer(_ arguments: [Bytes]) throws(TransferFailure) -> Self {
        var settings = Self()
        settings.detaches = false
        var words = DaemonWords(arguments)
        var addresses: [(Bytes, Bool)] = []
        while let word = try words.next() {
            switch word.name {
            case "--config": settings.configFile = try words.value(word)
            case "--listen": addresses.append((try words.value(word), true))
            case "--listen-plain": addresses.append((try words.value(word), false))
            case "--tls-cert": settings.certificateFile = try words.value(word)
            case "--tls-key": settings.keyFile = try words.value(word)
            case "--tls-client-ca": settings.clientAuthorityFile = try words.value(word)
            case "--dparam", "-M": try settings.addOverride(try words.value(word))
            case "--log-file": settings.logFile = try words.value(word)
            case "--log-file-format": settings.logFormat = try words.value(word)
            case "--bwlimit": settings.bandwidthLimit = try words.integer(word)
            case "--ipv4", "-4": settings.family = .ipv4
            case "--ipv6", "-6": settings.family = .ipv6
            case "--detach": settings.detaches = true
            case "--no-detach": settings.detaches = false
            case "--verbose", "-v": settings.verbosity += 1
            case "--help", "-h": throw TransferFailure(.ok, lines: [Bytes(text: serverHelp)])
            default: throw serverFailure(word.text + Bytes(": unknown option"))
            }
        }
        if settings.certificateFile == nil && (settings.keyFile != nil || settings.clientAuthorityFile != nil) {
            throw serverFailure(Bytes("--tls-key and --tls-client-ca need --tls-cert"))
        }
        for (text, wantsTLS) in addresses {
            guard let place = DaemonListener(text, usesTLS: wantsTLS && settings.certificateFile != nil) else {
                throw serverFailure(text + Bytes(": not an ADDRESS:PORT"))
            }
            settings.listeners.append(place)
        }
        return settings
    }

    private static func serverFailure(_ line: Bytes) -> TransferFailure {
        TransferFailure(.syntax, lines: [Bytes("rsync: ") + line])
    }
}
