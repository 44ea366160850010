// Dray — plots as SVG text: bars for ratios, lines for curves.
// SPDX-License-Identifier: Apache-2.0

import Foundation

enum Plot {
    private static let style =
        "<style>text{font:12px sans-serif;fill:#222}.t{font-weight:bold;font-size:14px}.g{stroke:#ddd}.a{stroke:#222}</style>"

    private static func escape(_ text: String) -> String {
        text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
    }

    private static func text(_ x: Double, _ y: Double, _ value: String, anchor: String = "start", kind: String = "")
        -> String
    {
        "<text x=\"\(Int(x))\" y=\"\(Int(y))\" text-anchor=\"\(anchor)\" class=\"\(kind)\">\(escape(value))</text>\n"
    }

    /// One horizontal bar per name; a vertical line marks 1.
    static func bars(_ title: String, _ rows: [(name: String, value: Double)]) -> String {
        let left = 330.0
        let width = 480.0
        let scale = width / max(1.2, rows.map(\.value).max() ?? 1)
        let height = 50 + rows.count * 20
        var svg =
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(Int(left + width) + 70)\" height=\"\(height)\">\(style)\n"
            + "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n" + text(10, 20, title, kind: "t")
        for (index, row) in rows.enumerated() {
            let y = Double(35 + index * 20)
            svg += text(left - 8, y + 12, row.name, anchor: "end")
            svg +=
                "<rect x=\"\(Int(left))\" y=\"\(Int(y))\" width=\"\(Int(row.value * scale))\" height=\"15\" fill=\"\(row.value >= 1 ? "#3b7dd8" : "#d8703b")\"/>\n"
            svg += text(left + row.value * scale + 5, y + 12, String(format: "%.2f×", row.value))
        }
        let one = Int(left + scale)
        svg += "<line x1=\"\(one)\" x2=\"\(one)\" y1=\"30\" y2=\"\(height - 10)\" class=\"a\"/>\n</svg>\n"
        return svg
    }

    struct Line {
        var name: String
        var points: [(x: Double, y: Double)]
    }

    /// Lines with one mark per point; both axes logarithmic, but one with a zero on it linear.
    static func lines(_ title: String, x: String, y: String, _ lines: [Line]) -> String {
        let colours = ["#3b7dd8", "#d8703b", "#4a9a4a", "#8a5ab8", "#888888", "#b8a03b"]
        let points = lines.flatMap(\.points)
        let (linearX, linearY) = (points.contains { $0.x <= 0 }, points.contains { $0.y <= 0 })
        func mapX(_ value: Double) -> Double { linearX ? value : log10(value) }
        func mapY(_ value: Double) -> Double { linearY ? value : log10(value) }
        guard let lowX = points.map({ mapX($0.x) }).min(), let highX = points.map({ mapX($0.x) }).max(),
            let lowY = points.map({ mapY($0.y) }).min(), let highY = points.map({ mapY($0.y) }).max()
        else { return "" }
        let (left, top, width, height) = (80.0, 40.0, 520.0, 300.0)
        func placeX(_ value: Double) -> Double { left + (mapX(value) - lowX) / max(highX - lowX, 1e-9) * width }
        func placeY(_ value: Double) -> Double {
            top + height - (mapY(value) - lowY) / max(highY - lowY, 1e-9) * height
        }
        var svg =
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"800\" height=\"400\">\(style)\n"
            + "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n" + text(10, 20, title, kind: "t")
            + "<line x1=\"80\" x2=\"80\" y1=\"40\" y2=\"340\" class=\"a\"/><line x1=\"80\" x2=\"600\" y1=\"340\" y2=\"340\" class=\"a\"/>\n"
            + text(340, 385, x, anchor: "middle") + text(10, 35, y)
        for value in Set(points.map(\.x)).sorted() {
            svg += text(placeX(value), 358, short(value), anchor: "middle")
        }
        let marks = [points.map(\.y).min()!, points.map(\.y).max()!]
        for value in marks { svg += text(75, placeY(value) + 4, short(value), anchor: "end") }
        for (index, line) in lines.enumerated() {
            let colour = colours[index % colours.count]
            let path = line.points.map { "\(Int(placeX($0.x))),\(Int(placeY($0.y)))" }
            svg +=
                "<polyline points=\"\(path.joined(separator: " "))\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"2\"/>\n"
            for point in line.points {
                svg +=
                    "<circle cx=\"\(Int(placeX(point.x)))\" cy=\"\(Int(placeY(point.y)))\" r=\"3\" fill=\"\(colour)\"/>\n"
            }
            svg +=
                "<rect x=\"615\" y=\"\(45 + index * 20)\" width=\"12\" height=\"12\" fill=\"\(colour)\"/>"
                + text(632, Double(56 + index * 20), line.name)
        }
        return svg + "</svg>\n"
    }

    /// 1500 as "1.5k".
    private static func short(_ value: Double) -> String {
        for (unit, factor) in [("G", 1e9), ("M", 1e6), ("k", 1e3)] where value >= factor {
            return String(format: "%g", (value / factor * 10).rounded() / 10) + unit
        }
        return String(format: "%.3g", value)
    }
}
