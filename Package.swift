// swift-tools-version: 6.2
import PackageDescription

let swiftSettings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// One library module of the engine; arrows in `dependencies` only point down (checked by `.ci/check-imports`).
func module(_ name: String, _ dependencies: [Target.Dependency], path: String? = nil) -> Target {
    .target(name: name, dependencies: dependencies, path: path, swiftSettings: swiftSettings)
}

/// A sanitizer replaces the allocator of the C library, which a program with the runtime inside hides from it: builds with
/// `--sanitize` set this variable.
let hasSharedRuntime = Context.environment["DRAY_SHARED_RUNTIME"] != nil

/// One program: its `main.swift` makes one call.
///
/// Those of the engine carry the Swift runtime, so that they start fast and run where no toolchain is; nobody who embeds
/// the library meets these flags. With Foundation in it a program would only grow.
func program(_ name: String, _ dependencies: [Target.Dependency], carriesRuntime: Bool = true) -> Target {
    .executableTarget(
        name: name, dependencies: dependencies, path: "Sources/Executables/\(name)", swiftSettings: swiftSettings,
        linkerSettings: carriesRuntime && !hasSharedRuntime ? [.unsafeFlags(["-static-stdlib"])] : [])
}

/// One test target; all of them may use the shared support module.
func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies + ["DrayTestSupport"], swiftSettings: swiftSettings)
}

let package = Package(
    name: "dray",
    products: [
        .library(name: "Dray", targets: ["Dray"]),
        .library(
            name: "_DrayInternals", targets: ["DrayCore", "DrayWire", "DrayDelta", "DrayFilters", "DrayTransport"]),
        .executable(name: "dray", targets: ["DrayMain"]),
        .executable(name: "rsync-server", targets: ["RsyncServerMain"]),
        .executable(name: "rsync-client", targets: ["RsyncClientMain"]),
        .executable(name: "dray-migrate", targets: ["DrayMigrateMain"]),
    ],
    traits: [
        .trait(name: "Zstd", description: "zstd compression of the token stream (needs libzstd-dev)"),
        .trait(name: "LZ4", description: "lz4 compression of the token stream (needs liblz4-dev)"),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // MARK: C
        .target(name: "CDraySystem"),
        .target(name: "CXXHash"),
        .systemLibrary(name: "COpenSSL", path: "Sources/CLibraries/COpenSSL", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CZlib", path: "Sources/CLibraries/CZlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CZstd", path: "Sources/CLibraries/CZstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CLZ4", path: "Sources/CLibraries/CLZ4", providers: [.apt(["liblz4-dev"])]),

        // MARK: Engine
        module("DrayCore", []),
        module(
            "DrayWire",
            [
                "DrayCore", "CZlib",
                .target(name: "CZstd", condition: .when(traits: ["Zstd"])),
                .target(name: "CLZ4", condition: .when(traits: ["LZ4"])),
            ]),
        module("DrayDelta", ["DrayCore", "CXXHash", "COpenSSL"]),
        module("DrayFilters", ["DrayCore"]),
        module("DrayFiles", ["DrayCore", "CDraySystem"]),
        module("DrayTransport", ["DrayCore", "CDraySystem", "COpenSSL"]),
        module("DrayEngine", ["DrayCore", "DrayWire", "DrayDelta", "DrayFilters", "DrayFiles"]),
        module(
            "DrayDaemon",
            [
                "DrayCore", "DrayWire", "DrayDelta", "DrayFilters", "DrayFiles", "DrayTransport", "DrayEngine",
                "CDraySystem",
            ]),
        module("Dray", ["DrayCore", "DrayFilters", "DrayTransport", "DrayEngine"]),

        // MARK: Outer layer
        module(
            "DrayCommand",
            [
                "Dray", "DrayCore", "DrayWire", "DrayDelta", "DrayFilters", "DrayFiles", "DrayTransport", "DrayEngine",
                "DrayDaemon", "CDraySystem",
            ]),
        module(
            "DrayMigrate",
            [
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Yams", package: "Yams"),
                "DrayCore", "DrayTransport",
            ]),
        program("DrayMain", ["DrayCommand"]),
        program("RsyncServerMain", ["DrayCommand"]),
        program("RsyncClientMain", ["DrayCommand"]),
        program("DrayMigrateMain", ["DrayMigrate"], carriesRuntime: false),

        // MARK: Tests
        .target(
            name: "DrayTestSupport", dependencies: ["DrayCore", "CDraySystem"], path: "Tests/DrayTestSupport",
            swiftSettings: swiftSettings),
        tests("DrayCoreTests", ["DrayCore"]),
        tests("DrayWireTests", ["DrayCore", "DrayWire"]),
        tests("DrayDeltaTests", ["DrayCore", "DrayDelta"]),
        tests("DrayFiltersTests", ["DrayCore", "DrayFilters"]),
        tests("DrayFilesTests", ["DrayCore", "DrayFiles"]),
        tests("DrayTransportTests", ["DrayCore", "DrayTransport"]),
        tests("DrayDaemonTests", ["DrayCore", "DrayDaemon", "DrayDelta", "DrayFiles", "DrayTransport", "CDraySystem"]),
        tests("DrayCommandTests", ["DrayCore", "DrayWire", "DrayCommand"]),
        tests("DrayMigrateTests", ["DrayMigrate"]),
        tests("DrayTests", ["Dray"]),
        tests("InteropTests", ["DrayCore", "DrayWire", "DrayCommand"]),
    ],
    swiftLanguageModes: [.v6]
)
