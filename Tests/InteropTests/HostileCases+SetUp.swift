// Dray — hostile peers: set-up and frames.
// SPDX-License-Identifier: Apache-2.0

enum HostileCases {
    /// Version, flags, algorithm lists, filter rules.
    static let setUp = HostileCase.table(
        #"""
        version too low | pull -r | 2 | protocol version mismatch -- is your shell clean?
            i:19
        version too high | pull -r | 2 | protocol version mismatch -- is your shell clean?
            i:41
        version garbage | pull -r | 2 | protocol version mismatch -- is your shell clean?
            "Welcome" 20 "to" 20 "this" 20 "machine"
        version low server | receiver -re.LsfxCIvu | 2 | protocol version mismatch -- is your shell clean?
            i:13
        version low sender | sender -re.LsfxCIvu | 2 | protocol version mismatch -- is your shell clean?
            i:13
        eof before version | pull -r | 12 | rsync: connection unexpectedly closed (N bytes received so far) [Receiver]
            2000
        compat overflow | pull -r | 12 | Overflow in read_varint()
            i:32 fc00000000000000
        compat overflow push | push -r | 12 | Overflow in read_varint()
            i:32 f8000000000000
        inc not asked | pull -r --no-i-r | 1 | Incompatible options specified for inc-recursive connection.
            i:32 81ff 03 "md5" i:1
        checksum none in common | pull -r | 4 | Failed to negotiate a checksum choice.
            i:32 81fe 03 "foo" i:1
        checksum overlong | pull -r | 4 | over-long vstring received (256 > 255)
            i:32 81fe 8100 "a"*256 i:1
        checksum overlong sender | sender -re.LsfxCIvu | 4 | over-long vstring received (256 > 255)
            i:32 8100 "a"*256
        compress none in common | pull -rz | 4 | Failed to negotiate a compress choice.
            i:32 81fe 03 "md5" 03 "foo" i:1
        no common sender | sender -re.LsfxCIvu | 4 | -
            i:32 03 "foo"
        filter too long | sender -re.LsfxCIvu | 22 | [sender] buffer overflow: recv_rules (SITE)
            $C { i:5120 "a"*5120 }
        filter negative length | sender -re.LsfxCIvu | 22 | [sender] buffer overflow: recv_rules (SITE)
            $C { i:-1 }
        filter garbage | sender -re.LsfxCIvu | 1 | Unknown filter rule: zzz
            $C { i:3 "zzz" i:0 }
        checksum empty list | pull -r | 4 | Failed to negotiate a checksum choice.
            i:32 81fe 00 i:1
        """#)

    /// The multiplex layer: tags, lengths, messages of the wrong kind.
    static let frames = HostileCase.table(
        #"""
        unknown tag | pull -r | 12 | unexpected tag 92 [Receiver]
            $S 04000063 00000000
        unknown tag sender | sender -re.LsfxCIvu | 12 | unexpected tag 92 [sender]
            $C 04000063 00000000
        unknown tag push | push -r | 12 | unexpected tag 92 [sender]
            $S 04000063 00000000
        tag below seven | pull -r | 12 | unexpected tag -6 [Receiver]
            $S 04000001 00000000
        negative tag | pull -r | 12 | unexpected tag -4 [Receiver]
            $S 00000003
        unknown tag inc | pull -r | 12 | unexpected tag 92 [Receiver/inc]
            $Si 04000063 00000000
        io error length | pull -r | 12 | invalid multi-message 22:3 [Receiver]
            $S 22{ 000000 }
        io timeout length | pull -r | 12 | invalid multi-message 33:3 [Receiver]
            $S 33{ 000000 }
        io timeout to server | sender -re.LsfxCIvu | 12 | invalid multi-message 33:4 [sender]
            $C 33{ i:5 }
        io timeout ignored | pull -r | 12 | rsync: connection unexpectedly closed (N bytes received so far) [receiver]
            $S 33{ i:-1 } $list
        text too long | pull -r | 12 | multiplexing overflow 3:5120 [Receiver]
            $S 3{ "a"*5120 }
        deleted too long | push -r | 12 | multiplexing overflow 101:5120 [sender]
            $S 101{ "a"*5120 }
        error utf8 | pull -r | 12 | invalid multi-message 8:3 [Receiver]
            $S 8{ "abc" }
        error utf8 sender | sender -re.LsfxCIvu | 12 | invalid multi-message 8:3 [sender]
            $C 8{ "abc" }
        redo from peer | pull -r | 12 | invalid multi-message 9:4 [Receiver]
            $S 9{ i:1 }
        stats from peer | pull -r | 12 | invalid multi-message 10:8 [Receiver]
            $S 10{ 0000000000000000 }
        log from peer | pull -r | 12 | invalid multi-message 6:1 [Receiver]
            $S 6{ "x" }
        client message from peer | pull -r | 12 | invalid multi-message 7:1 [Receiver]
            $S 7{ "x" }
        socket error from peer | pull -r | 12 | invalid multi-message 5:1 [Receiver]
            $S 5{ "x" }
        noop with data | pull -r | 12 | invalid multi-message 42:1 [Receiver]
            $S 42{ 00 }
        no send length | pull -r | 12 | invalid multi-message 102:1 [Receiver]
            $S 102{ 00 }
        success length | push -r | 12 | invalid multi-message 100:2 [sender]
            $S 100{ 0000 }
        success unknown index | push -r --remove-source-files | 2 | File-list index 77 not in -1 - 3 (successful_send) [sender]
            $S 100{ i:77 }
        error exit length | pull -r | 12 | invalid multi-message 86:2 [Receiver]
            $S 86{ 0000 }
        error exit code | pull -r | 3 | -
            $S 86{ i:3 }
        error exit empty | pull -r | 0 | -
            $S 86{ }
        tag with the top bit | pull -r | 12 | unexpected tag -135 [Receiver]
            $S 00000080
        tag minus eight | pull -r | 12 | unexpected tag -8 [Receiver]
            $S ffffffff
        text without newline | pull -r | 12 | abrsync: connection unexpectedly closed (N bytes received so far) [receiver]
            $S 3{ "ab" } $list
        deleted longest to receiver | pull -r | 12 | multiplexing overflow 101:5120 [Receiver]
            $S 101{ "a"*5120 }
        success unasked | push -r | 12 | rsync: connection unexpectedly closed (N bytes received so far) [sender]
            $S 100{ i:77 }
        success below | push -r --remove-source-files | 2 | File-list index -7 not in -1 - 3 (successful_send) [sender]
            $S 100{ i:-7 }
        no send unknown | pull -r +linger | 2 | File-list index 99 not in -1 - 1 (got_flist_entry_status) [generator]
            $S $list 102{ i:99 }
        no send negative | pull -r +linger | 2 | File-list index -7 not in -1 - 1 (got_flist_entry_status) [generator]
            $S $list 102{ i:-7 }
        no send below | pull -r +linger | 2 | -
            $S $list 102{ i:-1 }
        no send to sender | push -r | 12 | rsync: connection unexpectedly closed (N bytes received so far) [sender]
            $S 102{ i:99 }
        """#)
}
