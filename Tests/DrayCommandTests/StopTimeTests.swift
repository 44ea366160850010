// Dray — tests of the times that --stop-at takes.
// Layer: Tests.
// SPDX-License-Identifier: Apache-2.0

import DrayCore
import Glibc
import Testing

@testable import DrayCommand

/// Origin: which forms rsync 3.5.0 accepts.
@Suite struct StopTimeTests {
    /// 2027-06-15 12:34:56 local time.
    static let now: Int64 = {
        var fields = tm()
        fields.tm_year = 127
        fields.tm_mon = 5
        fields.tm_mday = 15
        fields.tm_hour = 12
        fields.tm_min = 34
        fields.tm_sec = 56
        fields.tm_isdst = -1
        return Int64(mktime(&fields))
    }()

    private func shown(_ text: String) -> String? {
        guard let moment = StopTime.parse(Bytes(text: text), now: Self.now) else { return nil }
        var instant = time_t(moment)
        var fields = tm()
        localtime_r(&instant, &fields)
        let date = [fields.tm_year + 1900, fields.tm_mon + 1, fields.tm_mday].map(String.init)
        return date.joined(separator: "-") + " \(fields.tm_hour):\(fields.tm_min)"
    }

    @Test(arguments: [
        ("2030-1-1", "2030-1-1 0:0"), ("2030/1/1T5:6", "2030-1-1 5:6"), ("30-1-1T", "2030-1-1 0:0"),
        ("20-1-1", "2120-1-1 0:0"), ("2030-02-30", "2030-3-2 0:0"), ("12/31", "2027-12-31 0:0"),
        ("1-1", "2028-1-1 0:0"), ("2-29", "2028-2-29 0:0"), ("31", "2027-7-31 0:0"), ("15", "2027-7-15 0:0"),
        ("16t1:3", "2027-6-16 1:3"), ("13:00", "2027-6-15 13:0"), ("T1:30", "2027-6-16 1:30"),
        (":40", "2027-6-15 12:40"), (":30", "2027-6-15 13:30"),
    ])
    func fillsWithTheNextMomentThatFits(_ text: String, _ expected: String) { #expect(shown(text) == expected) }

    @Test(arguments: [
        "", "T", "T12", "T:30", "99", "0", "2030-13-1", "2030-1-99", "25:00", "1:60", ":60", "2030-1-1T24:00",
        "2030-1-1T:", "2030-1-1T01:30:00", "2030-1-1-1", "x", "1:", "-1", "2030-1",
    ])
    func rejectsWhatIsNoTime(_ text: String) { #expect(shown(text) == nil) }
}
