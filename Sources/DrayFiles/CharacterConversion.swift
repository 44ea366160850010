// Dray — file names between the local character set and the UTF-8 of the wire.
// Layer: Files. Behaviour: chapter 02 §13; chapter 05 §8.3.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc

/// Both directions of `--iconv` on one side. Thread-safe.
public final class CharacterConversion: @unchecked Sendable {
    // Safe: the conversion descriptors are only used under the lock.
    /// Why a text has no form in the other character set.
    public struct Failure: Error, Equatable, Sendable {
        /// EILSEQ or EINVAL.
        public let code: Int32
    }

    private let lock = Monitor(())
    private let toWireDescriptor: iconv_t
    private let fromWireDescriptor: iconv_t
    private static let wire = "UTF-8"
    /// The local character set.
    public let localName: String

    /// - Parameter local: name of the local character set; empty or `.` is that of the locale.
    /// - Throws: exit 4 when the system does not know it.
    public init(local: Bytes) throws(TransferFailure) {
        let name = local.isEmpty || local == Bytes(".") ? Self.localeSet() : local.displayText
        localName = name
        toWireDescriptor = try Self.open(to: Self.wire, from: name)
        do throws(TransferFailure) { fromWireDescriptor = try Self.open(to: name, from: Self.wire) } catch {
            iconv_close(toWireDescriptor)
            throw error
        }
    }

    deinit {
        iconv_close(toWireDescriptor)
        iconv_close(fromWireDescriptor)
    }

    private static func localeSet() -> String {
        setlocale(LC_CTYPE, "")
        return String(cString: nl_langinfo(Int32(CODESET)))
    }

    private static func open(to: String, from: String) throws(TransferFailure) -> iconv_t {
        guard let descriptor = iconv_open(to, from), Int(bitPattern: descriptor) != -1 else {
            throw TransferFailure(.unsupported, "iconv_open(\"\(to)\", \"\(from)\") failed")
        }
        return descriptor
    }

    /// Local bytes as they travel.
    public func toWire(_ text: Bytes) throws(Failure) -> Bytes {
        try convert(text, toWireDescriptor, keepsInvalid: false)
    }

    /// Received bytes in the local character set.
    /// A name ends where a system call would end it, so that what is judged is what is used.
    public func fromWire(_ text: Bytes) throws(Failure) -> Bytes {
        let local = try convert(text, fromWireDescriptor, keepsInvalid: false)
        return local.firstIndex(of: 0).map { Bytes(local[..<$0]) } ?? local
    }

    /// Texts for people: bytes without a form in the other set stay as they are.
    public func toWire(message: Bytes) -> Bytes {
        (try? convert(message, toWireDescriptor, keepsInvalid: true)) ?? message
    }
    public func fromWire(message: Bytes) -> Bytes {
        (try? convert(message, fromWireDescriptor, keepsInvalid: true)) ?? message
    }

    private func convert(_ text: Bytes, _ descriptor: iconv_t, keepsInvalid: Bool) throws(Failure) -> Bytes {
        let result = lock.withLock { _ -> Result<Bytes, Failure> in
            var input = text.map { CChar(bitPattern: $0) }
            // Four bytes of UTF-8 are the most that one byte becomes.
            var output = [CChar](repeating: 0, count: 4 * text.count + 16)
            _ = iconv(descriptor, nil, nil, nil, nil)
            return input.withUnsafeMutableBufferPointer { source in
                output.withUnsafeMutableBufferPointer { target in
                    var from: UnsafeMutablePointer<CChar>? = source.baseAddress
                    var fromLeft = text.count
                    var to: UnsafeMutablePointer<CChar>? = target.baseAddress
                    var toLeft = target.count
                    while fromLeft > 0 {
                        if iconv(descriptor, &from, &fromLeft, &to, &toLeft) != -1 { break }
                        let code = errno
                        guard keepsInvalid, fromLeft > 0, toLeft > 0, let place = from, let end = to else {
                            return .failure(Failure(code: code))
                        }
                        end.pointee = place.pointee
                        from = place + 1
                        to = end + 1
                        fromLeft -= 1
                        toLeft -= 1
                    }
                    _ = iconv(descriptor, nil, nil, &to, &toLeft)
                    let count = target.count - toLeft
                    return .success(Bytes(UnsafeRawBufferPointer(start: target.baseAddress, count: count)))
                }
            }
        }
        return try result.get()
    }
}
