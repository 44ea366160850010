// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that nobody who builds Dray fetches what only measuring needs.
let package = Package(
    name: "dray-benchmarks",
    platforms: [.macOS(.v14)],
    dependencies: [
        .package(name: "dray", path: "../"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
    ],
    targets: [
        .executableTarget(
            name: "Kernels",
            dependencies: [
                .product(name: "Benchmark", package: "benchmark"),
                .product(name: "_DrayInternals", package: "dray"),
            ],
            path: "Benchmarks/Kernels",
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
        .executableTarget(name: "Launcher"),
        .executableTarget(
            name: "TransferHarness",
            dependencies: [
                "Launcher",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "_DrayInternals", package: "dray"),
            ]),
    ]
)
