// Dray — the compressors of the token stream: names, levels and which of them this build has.
// Layer: Wire. Wire format: chapter 01 §5.4, chapter 03 §9.
// SPDX-License-Identifier: Apache-2.0

import DrayCore

#if Zstd
    import CZstd
#endif

/// How literal data is coded between sender and receiver.
public enum CompressionMethod: String, Sendable, Equatable, CaseIterable {
    case zstd, lz4, zlibx, zlib, none

    /// The methods of this build in rsync's order, strongest first; `none` is the last one.
    public static let available: [CompressionMethod] = allCases.filter(\.isAvailable)

    /// Whether the library behind the method is part of this build (package traits `Zstd` and `LZ4`).
    public var isAvailable: Bool {
        switch self {
        case .zlibx, .zlib, .none: return true
        case .zstd:
            #if Zstd
                return true
            #else
                return false
            #endif
        case .lz4:
            #if LZ4
                return true
            #else
                return false
            #endif
        }
    }

    /// Finds an available method by its name, whatever its case.
    public init?(name: Bytes) {
        let lower = String(decoding: name.map(\.asciiLowercased), as: UTF8.self)
        guard let method = CompressionMethod(rawValue: lower), method.isAvailable else { return nil }
        self = method
    }

    /// The level that is used when `wanted` was asked for (nil: nothing was); out-of-range values are clamped.
    ///
    /// - Returns: nil if that level means no compression at all (level 0 of zlib and zlibx).
    public func level(wanted: Int?) -> Int? {
        switch self {
        case .zlib, .zlibx:
            guard let wanted, wanted != -1 else { return 6 }
            return wanted == 0 ? nil : min(9, max(1, wanted))
        case .zstd:
            #if Zstd
                guard let wanted, wanted != 0 else { return Int(ZSTD_CLEVEL_DEFAULT) }
                return min(Int(ZSTD_maxCLevel()), max(Int(ZSTD_minCLevel()), wanted))
            #else
                return nil
            #endif
        case .lz4, .none: return 0
        }
    }

    /// The level that costs least (`dont compress = *`): stored blocks for zlib.
    public var leastLevel: Int {
        #if Zstd
            if self == .zstd { return Int(ZSTD_minCLevel()) }
        #endif
        return 0
    }
}

/// A method with its parameters.
public struct Compression: Sendable, Equatable {
    public var method: CompressionMethod
    public var level: Int
    /// zstd worker threads.
    public var threads: Int
    /// zlib: takes matched blocks into its dictionary as rsync does, by compressing them, so that a recorded stream has
    /// rsync's bytes. Every receiver reads the streams of both ways; this one is several times slower.
    public var compressesMatches = false

    public init(_ method: CompressionMethod = .none, level: Int = 0, threads: Int = 0) {
        self.method = method
        self.level = level
        self.threads = threads
    }
}
