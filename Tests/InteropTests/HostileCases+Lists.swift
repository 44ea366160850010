// Dray — hostile peers: file lists.
// SPDX-License-Identifier: Apache-2.0

extension HostileCases {
    /// Entries of the first file list.
    static let entries = HostileCase.table(
        #"""
        name length max | pull -r | 22 | overflow: xflags=0x58 l1=0 l2=4096 lastname=. [Receiver]
            $S { $D 58 v:4096 "a"*4096 }
        name length negative | pull -r | 22 | overflow: xflags=0x58 l1=0 l2=-1 lastname=. [Receiver]
            $S { $D 58 v:-1 }
        name prefix too long | pull -r | 22 | overflow: xflags=0x78 l1=5 l2=4095 lastname=. [Receiver]
            $S { $D 78 05 v:4095 "a"*4095 }
        unsafe name | pull -r | 4 | ABORTING due to unsafe pathname from sender: ../x
            $S { $D 18 04 "../x" 000500 65257d93 a4810000 $E }
        absolute name | pull -r | 4 | ABORTING due to unsafe pathname from sender: /etc
            $S { $D 18 04 "/etc" 000500 65257d93 a4810000 $E }
        dotdot inside | pull -r | 4 | ABORTING due to unsafe pathname from sender: a/../b
            $S { $D 18 06 "a/../b" 000500 65257d93 a4810000 $E }
        length negative | pull -r | 4 | Offset underflow: file-length is negative
            $S { $D 18 01 66 fcffffffffffffffff 65257d93 a4810000 $E }
        length overflow | pull -r | 12 | Overflow in read_varlong()
            $S { $D 18 01 66 feffffffffffffffffff 65257d93 a4810000 $E }
        name varint overflow | pull -r | 12 | Overflow in read_varint()
            $S { $D 58 f8ffffffffffffff }
        nsec too big | pull -r | 2 | wire value modtime_nsec out of range: 1000000000 not in [0,999999999] [Receiver]
            $S { $D a018 01 66 000500 65257d93 v:1000000000 a4810000 $E }
        nsec negative | pull -r | 2 | wire value modtime_nsec out of range: -1 not in [0,999999999] [Receiver]
            $S { $D a018 01 66 000500 65257d93 v:-1 a4810000 $E }
        mode without type | pull -r | 2 | invalid file mode 0644 for f [Receiver]
            $S { $D 18 01 66 000500 65257d93 a4010000 $E }
        mode zero | pull -r | 2 | invalid file mode 00 for f [Receiver]
            $S { $D 18 01 66 000500 65257d93 00000000 $E }
        mode bad type | pull -r | 2 | invalid file mode 0170644 for f [Receiver]
            $S { $D 18 01 66 000500 65257d93 a4f10000 $E }
        root not a directory | pull -r | 2 | ERROR: rejecting non-directory transfer-root entry: .
            $S { 18 01 2e 000500 65257d93 a4810000 $E }
        symlink too long | pull -rl | 22 | overflow: linkname_len=4096
            $S { $D 18 01 66 000500 65257d93 ffa10000 v:4096 "a"*4096 $E }
        symlink negative | pull -rl | 22 | overflow: linkname_len=-1
            $S { $D 18 01 66 000500 65257d93 ffa10000 v:-1 $E }
        symlink empty | pull -rl +linger | 12 | rsync: [generator] symlink "TEST/destination/f" -> "" failed: No such file or directory (2)
            $S { $D 18 01 66 000500 65257d93 ffa10000 00 $E }
        hard link forward | pull -rH | 2 | hard-link reference out of range: 5 (1)
            $S { $D 8218 01 66 05 $E }
        hard link self | pull -rH | 2 | hard-link reference out of range: 1 (1)
            $S { $D 8218 01 66 01 $E }
        hard link negative | pull -rH | 2 | hard-link reference out of range: -1 (1)
            $S { $D 8218 01 66 v:-1 $E }
        hard link without -H | pull -r | 2 | hard-link reference out of range: 9 (1)
            $S { $D 8218 01 66 09 $E }
        flag word not negotiated | pull -r --protocol=30 | 2 | Invalid flist flag: 1004
            i:30 06 i:1 { 0410 }
        excluded name | pull -r --exclude=f | 4 | ERROR: rejecting excluded file-list name: f
            $S $list
        missing parent | pull -r +linger | 2 | ABORTING due to invalid path from sender: x/f
            $S { $D 18 03 "x/f" 000500 65257d93 a4810000 $E }
            # may add that its receiver found the connection closed
        io error bits | pull -r | 12 | rsync: connection unexpectedly closed (N bytes received so far) [receiver]
            $S { $D $F 00 7f }
        eof in list | pull -r | 12 | rsync: connection unexpectedly closed (N bytes received so far) [Receiver]
            $S { $D 18 }
        hard link group of nobody | pull -rH +linger | 2 | hard-link gnum 1 precedes flist start 4
            $Si { $D $dir $E } { ff65 8218 03 "d/f" 01 000500 65257d93 a4810000 $E }
        mtime extreme | pull -rt | 12 | rsync: connection unexpectedly closed (N bytes received so far) [receiver]
            $S { $D 18 01 66 000500 f8ffffffffffffff7f a4810000 $E }
        rdev negative | pull -rD | 12 | rsync: [generator] mknod "TEST/destination/f" failed: Invalid argument (22)
            $S { $D 18 01 66 000000 65257d93 a4210000 v:-1 v:-1 $E }
        name prefix beyond the last name | pull -r | 2 | ERROR: rejecting non-directory transfer-root entry: .
            $S { $D 38 ff 01 66 000500 65257d93 a4810000 $E }
        hard link group zero | pull -rH +linger | 2 | hard-link gnum 0 precedes flist start 4
            $Si { $D $dir $E } { ff65 8218 03 "d/f" 00 000500 65257d93 a4810000 $E }
            # ends with 13, "Internal hashtable error: illegal key supplied!"
        """#)

    /// Lists of incremental recursion.
    static let segments = HostileCase.table(
        #"""
        inc wrong directory | pull -r | 4 | ABORTING due to invalid path from sender: x/f
            $Si { $D 18 03 "x/f" 000500 65257d93 a4810000 $E }
        inc sub wrong directory | pull -r | 4 | ABORTING due to invalid path from sender: x/f
            $Si { $D $dir $E ff65 18 03 "x/f" 000500 65257d93 a4810000 $E }
        inc bad directory | pull -r | 2 | Invalid dir index: -106 (-101 - -102) [receiver]
            $Si { $D $dir $E ff69 }
        inc duplicate list | pull -r | 2 | rsync: refusing malicious duplicate flist for dir 1
            $Si { $D $dir $E ff65 0000 fffe80660000 }
        inc cleared directory | pull -r +linger | 2 | rsync: refusing flist for cleared dir_ndx 2
            $Si { $D $dir $dir $E } { ff66 0000 }
        inc list after the final one | pull -r +linger | 2 | rsync: refusing sub-flist after final flist was freed
            $Si { $D $dir $E ff65 0000 ff fe80020000 00 00 ff fe80650000 }
        inc list early | pull -r +linger | 12 | rsync: connection unexpectedly closed (N bytes received so far) [receiver]
            $Si { $D $dir $E ff65 0000 ff fe80020000 00 00 00 00 00 }
        inc bad directory one entry | pull -r +linger | 2 | [Receiver] Invalid dir index: -106 (-101 - -101)
            $Si { $D $E ff69 }
        inc negative index | pull -r +linger | 2 | Invalid dir index: -4 (-101 - -101) [receiver]
            $Si { $D $F $E ff03 }
        inc first list without root | pull -r +linger | 2 | -
            $Si { $F $E ff01 01 0000 }
        inc first list index zero | pull -r +linger | 2 | -
            $Si { $F 18 01 67 000500 65257d93 a4810000 $E ff01 01 0000 }
        inc list for the root | pull -r +linger | 12 | rsync: connection unexpectedly closed (N bytes received so far) [receiver]
            $Si { $D $dir $E ff64 0000 }
        """#)

    /// ACLs and extended attributes.
    static let metadata = HostileCase.table(
        #"""
        acl index | pull -rA | 12 | recv_acl_index: ACL_TYPE_ACCESS ACL index 5 > 0
            $S { $D 05 }
        acl index negative | pull -rA | 12 | recv_acl_index: ACL_TYPE_ACCESS ACL index -1 > 0
            $S { $D v:-1 }
        default acl index | pull -rA | 12 | recv_acl_index: ACL_TYPE_DEFAULT ACL index 5 > 0
            $S { $D 00 00 05 }
        acl value | pull -rA | 12 | recv_acl_access: value out of range: 8
            $S { $D 00 01 08 }
        acl name value | pull -rA | 12 | recv_acl_access: value out of range: 10
            $S { $D 00 10 01 00 v:64 }
        acl count | pull -rA | 2 | wire value ACL count out of range: 65537 not in [0,65536] [Receiver]
            $S { $D 00 10 v:65537 }
        acl count negative | pull -rA | 2 | wire value ACL count out of range: -1 not in [0,65536] [Receiver]
            $S { $D 00 10 v:-1 }
        xattr index | pull -rX | 12 | receive_xattr: xa index 5 out of range for .
            $S { $D 05 }
        xattr index negative | pull -rX | 12 | receive_xattr: xa index -2 out of range for .
            $S { $D v:-2 }
        xattr count | pull -rX | 2 | wire value xattr count out of range: 65537 not in [0,65536] [Receiver]
            $S { $D 00 v:65537 }
        xattr count negative | pull -rX | 2 | wire value xattr count out of range: -1 not in [0,65536] [Receiver]
            $S { $D 00 v:-1 }
        xattr name length | pull -rX | 2 | wire size xattr name_len out of range: 4097 > 4096 [Receiver]
            $S { $D 00 01 v:4097 01 }
        xattr name negative | pull -rX | 2 | wire size xattr name_len out of range: -1 > 4096 [Receiver]
            $S { $D 00 01 v:-1 01 }
        xattr value negative | pull -rX | 2 | wire size xattr datum_len out of range: -1 > 2147483647 [Receiver]
            $S { $D 00 01 07 v:-1 }
        xattr value limit | pull -rX | 2 | xattr datum_len exceeds per-value limit [Receiver]
            $S { $D 00 01 07 v:134217729 }
        xattr list total | pull -rX | 2 | xattr list exceeds per-file limit [Receiver]
            $S { $D 00 05 07 v:134217728 "user.a" 00 00*16 07 v:134217728 "user.b" 00 00*16 }
            { 07 v:134217728 "user.c" 00 00*16 07 v:134217728 "user.d" 00 00*16 07 }
        xattr no terminator | pull -rX | 11 | Invalid xattr name received (missing trailing \0).
            $S { $D 00 01 06 01 "user.x" 61 }
        xattr empty name | pull -rX | 11 | Invalid xattr name received (missing trailing \0).
            $S { $D 00 01 00 01 61 }
        """#)
}
