// Dray — hostile peers: replies to a receiver, and a server that receives.
// SPDX-License-Identifier: Apache-2.0

extension HostileCases {
    /// Records, sum heads and plain tokens that reach a receiver.
    static let replies = HostileCase.table(
        #"""
        reply special | pull -r | 2 | Invalid file index: -101 (-1 - 1) [receiver]
            $S $list { ff64 }
        reply index special | pull -r | 2 | Invalid file index: -2 (-1 - 1) [receiver]
            $S $list { ff01 }
        reply not regular | pull -r | 2 | received request to transfer non-regular file: 0 [receiver]
            $S $list { 01 0080 $none }
        reply sum count | pull -r | 2 | Invalid checksum count -1 [receiver]
            $S $list { 02 00a0 i:-1 i:700 i:16 i:0 }
        reply zero block | pull -r | 2 | Invalid zero block length [receiver]
            $S $list { 02 00a0 i:1 i:0 i:16 i:0 }
        reply block length | pull -r | 2 | Invalid block length 131073 [receiver]
            $S $list { 02 00a0 i:1 i:131073 i:16 i:0 }
        reply sum length | pull -r | 2 | Invalid checksum length 65 [receiver]
            $S $list { 02 00a0 i:1 i:700 i:65 i:0 }
        reply remainder | pull -r | 2 | Invalid remainder length 701 [receiver]
            $S $list { 02 00a0 i:1 i:700 i:16 i:701 }
        reply block index | pull -r +basis | 2 | Invalid block index 1 (count=1) [receiver]
            $S $list { 02 0080 i:1 i:700 i:2 i:0 i:-2 }
        reply block minimum | pull -r +basis | 2 | Invalid block index 2147483647 (count=1) [receiver]
            $S $list { 02 0080 i:1 i:700 i:2 i:0 i:-2147483648 }
        reply block no basis | pull -r | 2 | got a block match with no basis file for "TEST/destination/f" [receiver]
            $S $list { 02 00a0 i:1 i:700 i:2 i:0 i:-1 }
        reply huge count | pull -r | 12 | rsync: connection unexpectedly closed (N bytes received so far) [receiver]
            $S $list { 02 00a0 i:2147483647 i:131072 i:16 i:0 i:0 00*16 }
        reply fuzzy | pull -r | 2 | rsync: refusing malicious fuzzy operation for x
            $S $list { 02 00b8 83 01 78 $none }
        reply basis dir | pull -r | 2 | invalid basis_dir index: 0.
            $S $list { 02 0088 00 $none }
        reply basis dir second | pull -r --copy-dest=/nonexistent | 2 | invalid basis_dir index: 1.
            $S $list { 02 0088 01 $none }
        reply basis fuzzy dir | pull -ry | 2 | invalid basis_dir index: 132.
            $S $list { 02 00b8 84 01 78 $none }
        reply basis name overlong | pull -ry | 2 | over-long vstring received (4096 > 4095)
            $S $list { 02 00b8 83 9000 "a"*4096 }
        reply literal cut | pull -r | 12 | rsync: connection unexpectedly closed (N bytes received so far) [receiver]
            $S $list { 02 00a0 $none i:2147483647 "abc" }
        reply phase two | pull -r | 2 | got transfer request in phase 2 [receiver]
            $S $list { 00 00 02 00a0 $none i:0 00*16 }
        reply xattr unknown | pull -rX | 2 | [receiver] could not find xattr #5 for f
            $S { $D 00 00 $F 01 $E } { 02 00a1 05 01 61 00 }
        reply xattr length | pull -rX | 2 | wire size xattr datum_len out of range: -1 > 2147483647 [receiver]
            $S { $D 00 00 $F 00 01 07 28 "user.x" 00 00*16 $E } { 02 00a1 01 v:-1 }
        eof in reply | pull -r | 12 | rsync: connection unexpectedly closed (N bytes received so far) [receiver]
            $S $list { 02 00a0 $none i:5 61 }
        inc reply index | pull -r +linger | 2 | File-list index 125 not in 0 - 2 (read_ndx_and_attrs) [receiver]
            $Si { $D $F $E 7e 0000 }
        inc reply sum count | pull -r +linger | 2 | Invalid checksum count -1 [receiver]
            $Si { $D $F $E 03 00a0 i:-1 i:700 i:16 i:0 }
        reply index with flags | pull -r +linger | 2 | File-list index 125 not in -1 - 1 (read_ndx_and_attrs) [receiver]
            $S $list { 7e 0000 }
        reply index overflow | pull -r +linger | 2 | File-list index 2147483647 not in -1 - 1 (read_ndx_and_attrs) [receiver]
            $S $list { feffffffff fe7fff }
        reply sum negative remainder | pull -r | 2 | Invalid remainder length -1 [receiver]
            $S $list { 02 00a0 i:1 i:700 i:16 i:-1 }
        reply basis fuzzy dir two | pull -ryy --copy-dest=/nonexistent +linger | 2 | invalid basis_dir index: 136.
            $S $list { 02 00b8 88 01 78 $none }
        reply xattr length limit | pull -rX +linger | 2 | xattr datum_len exceeds per-value limit [receiver]
            $S { $D 00 00 $F 00 01 07 28 "user.x" 00 00*16 $E } { 02 00a1 01 v:134217729 }
        reply xattr overflow | pull -rX +linger | 2 | [receiver] could not find xattr #2147483647 for f
            $S { $D 00 00 $F 00 01 07 28 "user.x" 00 00*16 $E } { 02 00a1 v:2147483647 05 }
        reply xattr list missing | pull -rX +linger | 2 | [receiver] could not find xattr #1 for f
            $S { $D 00 00 $F 01 $E } { 02 0081 01 01 61 00 }
        reply bad sum | pull -r +linger | 12 | rsync: connection unexpectedly closed (N bytes received so far) [receiver]
            $S $list { 02 00a0 $none i:0 00*16 }
        reply in a large frame | pull -rv +linger | 12 | WARNING: f failed verification -- update discarded (will try again).
            $S $list { 02 00a0 $none i:90000 61*90000 i:0 00*16 }
        reply cleared entry | pull -r +linger | 2 | rsync: refusing transfer of cleared file index 2
            $S { $D $F $F $E 03 0200 }
        reply data of a cleared entry | pull -r +linger | 2 | received request to transfer non-regular file: 2 [receiver]
            $S { $D $F $F $E 03 00a0 $none }
        inc reply cleared entry | pull -r +linger | 2 | rsync: refusing transfer of cleared file index 3
            $Si { $D $F $F $E 04 0200 }
        reply xattr numbers overflow | pull -rX +linger | 2 | xattr rel_pos accumulation overflow [receiver]
            $S { $D 00 00 $F 00 01 07 28 "user.x" 00 00*16 $E } { 02 00a1 01 01 61 v:2147483647 }
        data after the end | pull -r +linger | 12 | Invalid packet at end of run [receiver]
            $S $list { 00*20 }
        data after the end in a frame | pull -r +linger | 12 | Invalid packet at end of run [receiver]
            $S $list { 00*19 } { 00 }
        eof before the statistics | pull -r --protocol=30 +linger | 12 | rsync: connection unexpectedly closed (N bytes received so far) [receiver]
            i:30 06 i:1 { $D $F 00 00*15 }
        reply bad sum told | pull -rv +linger | 12 | WARNING: f failed verification -- update discarded (will try again).
            $S $list { 02 00a0 $none i:0 00*16 }
        """#)

    /// Compressed tokens.
    static let tokens = HostileCase.table(
        #"""
        zlib token number | pull -r --zc=zlib | 2 | invalid token number in compressed stream
            $S $list { 02 00a0 i:1 i:700 i:2 i:0 20 i:-1 }
        zlib token out of range | pull -r --zc=zlib +basis | 2 | Invalid block index 1 (count=1) [receiver]
            $S $list { 02 0080 i:1 i:700 i:2 i:0 20 i:1 }
        zlib run zero | pull -r --zc=zlib +basis | 2 | invalid token number in compressed stream
            $S $list { 02 0080 i:1 i:700 i:2 i:0 c0 0000 }
        zlib run overflow | pull -r --zc=zlib +basis | 2 | invalid token number in compressed stream
            $S $list { 02 0080 i:1 i:700 i:2 i:0 21 i:2147483646 ffff }
        zlib token maximum | pull -r --zc=zlib +basis | 2 | invalid token number in compressed stream
            $S $list { 02 0080 i:1 i:700 i:2 i:0 20 i:2147483647 }
        zlib garbage | pull -r --zc=zlib | 12 | inflate returned -3 (0 bytes)
            $S $list { 02 00a0 $none 4005 ffffffffff 00 }
        zlibx garbage | pull -r --zc=zlibx | 12 | inflate returned -3 (0 bytes)
            $S $list { 02 00a0 $none 4005 ffffffffff 00 }
        zlib lost sync | pull -r --zc=zlib | 12 | decompressor lost sync!
            $S $list { 02 00a0 $none 4002 ca48 00 }
        zlib empty piece | pull -r --zc=zlib | 12 | inflate returned -5 (0 bytes)
            $S $list { 02 00a0 $none 4000 00 00*16 }
        zlib unknown flag | pull -r --zc=zlib +basis | 12 | rsync: connection unexpectedly closed (N bytes received so far) [receiver]
            $S $list { 02 0080 i:1 i:700 i:2 i:0 05 i:5 }
        zstd garbage | pull -r --zc=zstd | 12 | ZSTD decomp returned -10 (0 bytes)
            $S $list { 02 00a0 $none 4005 ffffffffff 00 }
        zstd window | pull -r --zc=zstd | 12 | ZSTD decomp returned -16 (0 bytes)
            $S $list { 02 00a0 $none 400a 28b52ffd 00 a8 55 00 00 00 }
        zstd run overflow | pull -r --zc=zstd +basis | 2 | invalid token number in compressed stream
            $S $list { 02 0080 i:1 i:700 i:2 i:0 21 i:2147483646 ffff }
        lz4 garbage | pull -r --zc=lz4 | 12 | uncompress failed: -2
            $S $list { 02 00a0 $none 4005 ffffffffff 00 }
        lz4 run overflow | pull -r --zc=lz4 +basis | 2 | invalid token number in compressed stream
            $S $list { 02 0080 i:1 i:700 i:2 i:0 21 i:2147483646 ffff }
        lz4 bomb | pull -r --zc=lz4 | 12 | uncompress failed: -16381
            $S $list { 02 00a0 $none 7fff 1f 00 0100 ff*16378 00 }
        lz4 empty piece | pull -r --zc=lz4 +linger | 12 | uncompress failed: -1
            $S $list { 02 00a0 $none 4000 00 00*16 }
        lz4 piece of nothing | pull -r --zc=lz4 +basis +linger | 12 | rsync: connection unexpectedly closed (N bytes received so far) [receiver]
            $S $list { 02 0080 i:8 i:700 i:2 i:100 400100 8a 00 00*16 }
        zstd empty piece | pull -r --zc=zstd +linger | 12 | rsync: connection unexpectedly closed (N bytes received so far) [receiver]
            $S $list { 02 00a0 $none 4000 00 00*16 }
        zlib ended stream | pull -r --zc=zlib +linger | 12 | inflate returned 1 (0 bytes)
            $S $list { 02 00a0 $none 4002 0300 00 00*16 }
        """#)

    /// The same from a client that pushes.
    static let receivingServer = HostileCase.table(
        #"""
        unsafe name receiver | receiver -re.LsfxCIvu | 4 | ABORTING due to unsafe pathname from sender: ../x
            $C { $D 18 04 "../x" 000500 65257d93 a4810000 $E }
        server reply sum count | receiver -re.LsfxCIvu | 2 | Invalid checksum count -1 [receiver]
            $C $list { 02 00a0 i:-1 i:700 i:16 i:0 }
        server reply fuzzy | receiver -re.LsfxCIvu | 2 | rsync: refusing malicious fuzzy operation for x
            $C $list { 02 00b8 83 01 78 $none }
        server reply basis dir | receiver -re.LsfxCIvu | 2 | invalid basis_dir index: 0.
            $C $list { 02 0088 00 $none }
        server unknown tag | receiver -re.LsfxCIvu | 12 | unexpected tag 92 [Receiver]
            $C 04000063 00000000
        server unknown tag late | receiver -re.LsfxCIvu | 12 | unexpected tag 92 [receiver]
            $C $list 04000063 00000000
            # exits 12 too, but its receiver's text is lost; so it is for every other text with this code
        server mode | receiver -re.LsfxCIvu | 2 | invalid file mode 0170644 for f [Receiver]
            $C { $D 18 01 66 000500 65257d93 a4f10000 $E }
        server root retyped | receiver -re.LsfxCIvu | 2 | ERROR: rejecting non-directory transfer-root entry: .
            $C { 18 01 2e 000500 65257d93 a4810000 $E }
        server symlink too long | receiver -rle.LsfxCIvu | 22 | overflow: linkname_len=4096
            $C { $D 18 01 66 000500 65257d93 ffa10000 v:4096 "a"*4096 $E }
        server name too long | receiver -re.LsfxCIvu | 22 | overflow: xflags=0x58 l1=0 l2=4096 lastname=. [Receiver]
            $C { $D 58 v:4096 "a"*4096 }
        server length negative | receiver -re.LsfxCIvu | 4 | Offset underflow: file-length is negative
            $C { $D 18 01 66 fcffffffffffffffff 65257d93 a4810000 $E }
        server acl count | receiver -rAe.LsfxCIvu | 2 | wire value ACL count out of range: 65537 not in [0,65536] [Receiver]
            $C { $D 00 10 v:65537 }
        server xattr count | receiver -rXe.LsfxCIvu | 2 | wire value xattr count out of range: 65537 not in [0,65536] [Receiver]
            $C { $D 00 v:65537 }
        server filter too long | receiver -re.LsfxCIvu --delete | 22 | [Receiver] buffer overflow: recv_rules (SITE)
            $C { i:5120 "a"*5120 }
        server block index | receiver -re.LsfxCIvu +basis | 2 | Invalid block index 1 (count=1) [receiver]
            $C $list { 02 0080 i:1 i:700 i:2 i:0 i:-2 }
        server no basis | receiver -re.LsfxCIvu | 2 | got a block match with no basis file for "TEST/destination/f" [receiver]
            $C $list { 02 00a0 i:1 i:700 i:2 i:0 i:-1 }
        server invalid hard link | receiver -rHe.LsfxCIvu | 2 | hard-link reference out of range: 5 (1)
            $C { $D 8218 01 66 05 $E }
        server nsec | receiver -re.LsfxCIvu | 2 | wire value modtime_nsec out of range: -1 not in [0,999999999] [Receiver]
            $C { $D a018 01 66 000500 65257d93 v:-1 a4810000 $E }
        server eof in list | receiver -re.LsfxCIvu | 12 | rsync: connection unexpectedly closed (N bytes received so far) [Receiver]
            $C { $D 18 }
        receiver version eof | receiver -re.LsfxCIvu | 12 | rsync: connection unexpectedly closed (N bytes received so far) [Receiver]
            20
        receiver checksum list | receiver -re.LsfxCIvu | 4 | -
            i:32 03 "foo"
        receiver text overflow | receiver -re.LsfxCIvu | 12 | multiplexing overflow 3:5120 [Receiver]
            $C 3{ "a"*5120 }
        receiver error utf8 | receiver -re.LsfxCIvu | 12 | invalid multi-message 8:3 [Receiver]
            $C 8{ "abc" }
        receiver redo | receiver -re.LsfxCIvu | 12 | invalid multi-message 9:4 [Receiver]
            $C 9{ i:1 }
        receiver no send | receiver -re.LsfxCIvu +linger | 2 | File-list index 99 not in -1 - 1 (got_flist_entry_status) [generator]
            $C $list 102{ i:99 }
        receiver acl value | receiver -rAe.LsfxCIvu | 12 | recv_acl_access: value out of range: 8
            $C { $D 00 01 08 }
        receiver xattr index | receiver -rXe.LsfxCIvu | 12 | receive_xattr: xa index 5 out of range for .
            $C { $D 05 }
        receiver token overflow | receiver -re.LsfxCIvu --compress-choice=zstd +basis | 2 | invalid token number in compressed stream
            $C $list { 02 0080 i:1 i:700 i:2 i:0 21 i:2147483646 ffff }
        receiver phase two | receiver -re.LsfxCIvu | 2 | got transfer request in phase 2 [receiver]
            $C $list { 00 00 02 00a0 $none i:0 00*16 }
        receiver mode thirty | receiver -re.LsfxCIvu | 2 | invalid file mode 0644 for f [Receiver]
            $C { $D 18 01 66 000500 65257d93 a4010000 $E }
        receiver inc duplicate | receiver -re.iLsfxCIvu | 2 | rsync: refusing malicious duplicate flist for dir 1
            $C { $D $dir $E ff65 0000 fffe80660000 }
        messages after the end | receiver -re.LsfxCIvu +linger | 0 | -
            $C { $D $E } { 00*4 } { } 42{ } { }
        data after messages after the end | receiver -re.LsfxCIvu +linger | 12 | Invalid packet at end of run [receiver]
            $C { $D $E } { 00*4 } { } 42{ } { 00 }
            # exits 12 too, but its receiver's text is lost
        receiver cleared entry | receiver -re.LsfxCIvu | 2 | rsync: refusing transfer of cleared file index 2
            $C { $D $F $F $E 03 0200 }
        partial missing | module -re.LsfxCIvu --partial-dir=p | 2 | rsync: refusing unconfined partial basis for f
            03 "md5" $list { 02 0088 81 $none i:0 }
        partial without directory | module -re.LsfxCIvu | 2 | rsync: refusing unconfined partial basis for f
            03 "md5" $list { 02 0088 81 $none i:0 }
        partial below | module -re.LsfxCIvu --delay-updates | 2 | rsync: refusing unconfined partial basis for d/f
            03 "md5" { $D $dir 18 03 "d/f" 000500 65257d93 a4810000 $E } { 03 0088 81 $none i:0 }
        """#)
}
