// Dray — hostile peers: requests to a sender and the end of a run.
// SPDX-License-Identifier: Apache-2.0

extension HostileCases {
    /// Indices, records, sum heads and attribute requests that reach a sender.
    static let requests = HostileCase.table(
        #"""
        success unknown index sender | sender -re.LsfxCIvu --remove-source-files | 2 | File-list index 77 not in -1 - 3 (successful_send) [sender]
            $C $q 100{ i:77 }
        success negative index sender | sender -re.LsfxCIvu --remove-source-files | 2 | -
            $C $q 100{ i:-1 }
        index too large | sender -re.LsfxCIvu | 2 | File-list index 2147483647 not in -1 - 3 (read_ndx_and_attrs) [sender]
            $C $q { feffffffff fdff }
        index special | sender -re.LsfxCIvu | 2 | Invalid file index: -2 (-1 - 3) [sender]
            $C $q { ff01 }
        index flist | sender -re.LsfxCIvu | 2 | Invalid file index: -101 (-1 - 3) [sender]
            $C $q { ff64 }
        not regular | sender -re.LsfxCIvu | 2 | received request to transfer non-regular file: 0 [sender]
            $C $q { 01 0080 $none }
        not regular link | sender -rle.LsfxCIvu | 2 | received request to transfer non-regular file: 2 [sender]
            $C $q { 03 0080 $none }
        phase two | sender -re.LsfxCIvu | 2 | got transfer request in phase 2 [sender]
            $C $q { 00 00 02 0080 $none }
        basis overlong | sender -re.LsfxCIvu | 2 | over-long vstring received (4096 > 4095)
            $C $q { 02 0090 9000 "a"*4096 }
        delete files | sender -re.LsfxCIvu | 2 | wire value deleted_files out of range: 268435457 not in [0,268435456] [sender]
            $C $q { ff02 v:268435457 00 00 00 00 }
        delete dirs | sender -re.LsfxCIvu | 2 | wire value deleted_dirs out of range: -1 not in [0,268435456] [sender]
            $C $q { ff02 00 v:-1 00 00 00 }
        delete symlinks | sender -re.LsfxCIvu | 2 | wire value deleted_symlinks out of range: 268435457 not in [0,268435456] [sender]
            $C $q { ff02 00 00 v:268435457 00 00 }
        delete devices | sender -re.LsfxCIvu | 2 | wire value deleted_devices out of range: 268435457 not in [0,268435456] [sender]
            $C $q { ff02 00 00 00 v:268435457 00 }
        delete specials | sender -re.LsfxCIvu | 2 | wire value deleted_specials out of range: 268435457 not in [0,268435456] [sender]
            $C $q { ff02 00 00 00 00 v:268435457 }
        sum count negative | sender -re.LsfxCIvu | 2 | Invalid checksum count -1 [sender]
            $C $q { 02 0080 i:-1 i:700 i:16 i:0 }
        sum block length | sender -re.LsfxCIvu | 2 | Invalid block length 131073 [sender]
            $C $q { 02 0080 i:1 i:131073 i:16 i:0 }
        sum block length negative | sender -re.LsfxCIvu | 2 | Invalid block length -1 [sender]
            $C $q { 02 0080 i:1 i:-1 i:16 i:0 }
        sum block length zero | sender -re.LsfxCIvu | 2 | Invalid zero block length [sender]
            $C $q { 02 0080 i:1 i:0 i:16 i:0 }
        sum length | sender -re.LsfxCIvu | 2 | Invalid checksum length 65 [sender]
            $C $q { 02 0080 i:1 i:700 i:65 i:0 }
        sum length negative | sender -re.LsfxCIvu | 2 | Invalid checksum length -1 [sender]
            $C $q { 02 0080 i:1 i:700 i:-1 i:0 }
        sum remainder | sender -re.LsfxCIvu | 2 | Invalid remainder length 701 [sender]
            $C $q { 02 0080 i:1 i:700 i:16 i:701 }
        sum remainder negative | sender -re.LsfxCIvu | 2 | Invalid remainder length -1 [sender]
            $C $q { 02 0080 i:1 i:700 i:16 i:-1 }
        sum count huge | sender -re.LsfxCIvu | 22 | [sender] exceeded --max-alloc=1073741824 setting (SITE)
            $C $q { 02 0080 i:2147483647 i:700 i:16 i:0 }
        sum count limit | sender -re.LsfxCIvu | 22 | [sender] exceeded --max-alloc=1073741824 setting (SITE)
            $C $q { 02 0080 i:44739242 i:700 i:16 i:0 }
        sum count below limit | sender -re.LsfxCIvu | 12 | rsync: connection unexpectedly closed (N bytes received so far) [sender]
            $C $q { 02 0080 i:44739241 i:700 i:16 i:0 }
        sum count push | push -r | 2 | Invalid checksum count -1 [sender]
            $S { 02 0080 i:-1 i:700 i:16 i:0 }
        sum count huge push | push -r | 22 | [sender] exceeded --max-alloc=1073741824 setting (SITE)
            $S { 02 0080 i:2147483647 i:700 i:16 i:0 }
        sum old block length | sender -r --protocol=29 | 2 | Invalid block length 536870913 [sender]
            i:29 i:0 i:1 0080 i:1 i:536870913 i:16 i:0
        sum length none | sender -re.LsfxCIvu --checksum-choice=none | 2 | Invalid checksum length 2 [sender]
            i:32 $q { 02 0080 i:1 i:700 i:2 i:0 }
        request xattr unknown | sender -rXe.LsfxCIvu | 2 | [sender] could not find xattr #5 for f
            $C $q { 02 00a1 05 00 $none }
        request xattr overflow | sender -rXe.LsfxCIvu | 2 | [sender] could not find xattr #2147483647 for f
            $C $q { 02 00a1 v:2147483647 v:2147483647 00 }
        inc index overflow | sender -re.iLsfxCIvu | 2 | File-list index 2147483647 not in 0 - 5 (read_ndx_and_attrs) [sender]
            $C $q { feffffffff fe7fff 0000 0000 }
        inc index unknown | sender -re.iLsfxCIvu +linger | 2 | File-list index 125 not in 0 - 5 (read_ndx_and_attrs) [sender]
            $C $q { 7e 0000 }
        inc index special | sender -re.iLsfxCIvu +linger | 2 | Invalid file index: -101 (-1 - 5) [sender]
            $C $q { ff64 }
        inc bounded | sender -re.iLsfxCIvu | 2 | wire value deleted_files out of range: 268435457 not in [0,268435456] [sender]
            $C $q { ff02 v:268435457 00 00 00 00 }
        index unknown with flags | sender -re.LsfxCIvu | 2 | File-list index 125 not in -1 - 3 (read_ndx_and_attrs) [sender]
            $C $q { 7e 0000 }
        index unknown push | push -r | 2 | File-list index 125 not in -1 - 3 (read_ndx_and_attrs) [sender]
            $S { 7e 0000 }
        index int32 | sender -r --protocol=29 | 2 | File-list index 2147483647 not in -1 - 3 (read_ndx_and_attrs) [sender]
            i:29 i:0 i:2147483647 0000
        index int32 negative | sender -r --protocol=29 | 2 | Invalid file index: -5 (-1 - 3) [sender]
            i:29 i:0 i:-5 0000
        request xattr minimum | sender -rXe.LsfxCIvu | 2 | [sender] could not find xattr #-2147483648 for f
            $C $q { 02 00a1 v:-2147483648 00 }
        request xattr short | sender -rXe.LsfxCIvu | 2 | [sender] could not find xattr #1 for f
            $C $q { 02 00a1 01 00 $none }
        request xattr short value | sender -rXe.LsfxCIvu +xattrs | 2 | [sender] internal abbrev error on f (user.a, len=3)!
            $C $q { 02 00a1 01 00 $none }
        request xattr twice | sender -rXe.LsfxCIvu +xattrs | 2 | [sender] internal abbrev error on f (user.b, len=40)!
            $C $q { 02 00a1 02 00 $none fe0000 00a1 02 00 $none }
        request xattr overflow | sender -rXe.LsfxCIvu +xattrs | 2 | xattr rel_pos accumulation overflow [sender]
            $C $q { 02 00a1 02 v:2147483647 00 $none }
        request data of a parent | sender -re.iLsfxCIvu | 2 | received request to transfer non-regular file: 0 [sender]
            $C $q { 01 0080 $none }
        max-alloc small | sender -re.LsfxCIvu --max-alloc=1048576 | 22 | [sender] exceeded --max-alloc=1048576 setting (SITE)
            $C $q { 02 0080 i:43690 i:700 i:16 i:0 }
        max-alloc below | sender -re.LsfxCIvu --max-alloc=1048576 | 12 | rsync: connection unexpectedly closed (N bytes received so far) [sender]
            $C $q { 02 0080 i:43689 i:700 i:16 i:0 }
        index absolute overflow | sender -re.LsfxCIvu | 2 | File-list index 2147483392 not in -1 - 3 (read_ndx_and_attrs) [sender]
            $C $q { feff00ffff fd 0000 }
        index sum overflow | sender -re.LsfxCIvu +linger | 2 | File-list index 2147483647 not in -1 - 3 (read_ndx_and_attrs) [sender]
            $C $q { feffffffff 0000 }
        index difference overflow | push -r +linger | 2 | File-list index 2147483647 not in -1 - 3 (read_ndx_and_attrs) [sender]
            $S { feffffffff 0000 fe7fff }
        negative number overflow | sender -re.LsfxCIvu | 2 | Invalid file index: -256 (-1 - 3) [sender]
            $C $q { ffff ff }
        """#)

    /// What stands in place of the last NDX_DONE.
    static let endings = HostileCase.table(
        #"""
        goodbye index four | sender -re.LsfxCIvu +linger | 2 | Invalid packet at end of run (0) [sender]
            $C $q { 00 00 00 00 01 0000 }
        goodbye unknown | sender -re.LsfxCIvu +linger | 2 | File-list index 125 not in -1 - 3 (read_ndx_and_attrs) [sender]
            $C $q { 00 00 00 7e 0000 }
        goodbye special | sender -re.LsfxCIvu +linger | 2 | Invalid file index: -4 (-1 - 3) [sender]
            $C $q { 00 00 00 ff03 }
        goodbye push | push -r +linger | 2 | Invalid packet at end of run (0) [sender]
            $S { 00 00 00 01 0000 }
        goodbye push inc | push -r +linger | 2 | File-list index 1 not in 0 - -1 (read_ndx_and_attrs) [sender]
            $Si { 00 00 00 00 02 0000 }
        goodbye thirty | push -r --protocol=30 +linger | 2 | Invalid packet at end of run (0) [sender]
            i:30 46 i:1 { 00 00 00 01 0000 }
        goodbye reply | pull -r +linger | 12 | rsync: connection unexpectedly closed (N bytes received so far) [receiver]
            $S $list { 00 00 00 000000 000000 000000 000000 000000 05 }
        goodbye reply record | pull -r +linger | 2 | Invalid packet at end of run (1) [receiver]
            $S $list { 00 00 00 000000 000000 000000 000000 000000 02 0000 }
            # says the same, but its generator ends first, with 12
        goodbye reply unknown | pull -r +linger | 2 | File-list index 4 not in -1 - 1 (read_ndx_and_attrs) [receiver]
            $S $list { 00 00 00 000000 000000 000000 000000 000000 05 0000 }
            # says the same, but its generator ends first, with 12
        goodbye reply special | pull -r +linger | 2 | Invalid file index: -5 (-1 - 1) [receiver]
            $S $list { 00 00 00 000000 000000 000000 000000 000000 ff04 }
            # says the same, but its generator ends first, with 12
        goodbye old protocol | sender -r --protocol=28 +linger | 2 | -
            i:28 i:0 i:-1 i:-1 i:3
        """#)
}
