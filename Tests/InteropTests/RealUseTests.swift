import DrayTestSupport
import Glibc
import Testing

extension Interop {
    /// Scripts as people run them, with `rsync` and with Dray in its place.
    @Suite(.enabled(if: Interop.isRoot, "needs root for owners and devices")) struct RealUseTests {
        let scratch: ScratchDirectory

        init() throws {
            scratch = try ScratchDirectory()
        }

        /// Runs a script in the scratch directory; it must end well and in time.
        private func shell(_ script: String, _ variables: [String: String] = [:], seconds: Int = 120) throws -> String {
            let result = try run(
                ["/bin/bash", "-euc", script], in: scratch.path, environment: variables, seconds: seconds)
            #expect(!result.timedOut && result.exitCode == 0, "\(script): \(result.exitCode) \(result.errorText)")
            return result.outputText
        }

        private func expectEqualTrees(_ mine: String, _ theirs: String) {
            let differences = TreeSnapshot(scratch.path + "/" + mine)
                .differences(from: TreeSnapshot(scratch.path + "/" + theirs), now: .max)
            #expect(differences == [], "\(mine) and \(theirs)")
        }

        // MARK: - The other end of a connection

        /// Dray is what `--rsync-path` names for a client that knows nothing of it, and rsync for Dray.
        @Test(arguments: [(Cell.Program.rsync, Cell.Program.dray), (.dray, .rsync)], ["push", "pull"])
        func programNamedByRsyncPath(_ programs: (client: Cell.Program, server: Cell.Program), _ way: String) throws {
            try FileTree.small(scratch.path + "/src")
            try FileTree(scratch.path + "/src").addMetadata()
            let remote = try makeShell(in: scratch.path)
            let script = """
                copy() { "$1" -aHAX -e "$REMOTE" --rsync-path="$2" --delete ${3:-} $FROM/src/ $TO/$4/; }
                copy "$CLIENT" "$SERVER" -z mine
                copy "$PLAIN" "$PLAIN" -z theirs
                # What has changed since, was deleted, or is not needed any more.
                echo more >>src/big; rm src/alpha; chmod 600 src/run.sh; echo new >src/dir/new
                find . -newermt @1600000000 -exec touch -hd @1550000000 {} +
                copy "$CLIENT" "$SERVER" '' mine
                copy "$PLAIN" "$PLAIN" '' theirs
                """
            let here = scratch.path
            _ = try shell(
                script,
                [
                    "CLIENT": programs.client.path, "SERVER": programs.server.path, "PLAIN": PeerRsync.path!,
                    "REMOTE": remote, "FROM": way == "pull" ? "host:" + here : here,
                    "TO": way == "push" ? "host:" + here : here,
                ])
            expectEqualTrees("mine", "theirs")
            #expect(TreeSnapshot(here + "/mine").items["dir/new"] != nil)
        }

        // MARK: - Backups

        /// One day's work on the tree that is backed up; all times are those of the day.
        private static let change = """
            cd live; day=$((1500000000 + $1 * 86400))
            echo "day $1" >>log; echo "report $1" >report.$1; rm -f report.$(($1 - 5))
            mkdir -p projects/p$(($1 % 4)); echo "$1" >projects/p$(($1 % 4))/state
            head -c $(($1 * 1000)) /dev/zero | tr '\\0' "$(($1 % 10))" >projects/data
            if [ $(($1 % 3)) = 0 ]; then ln -f big twin.$1; chmod $((600 + $1 % 8)) beta.txt; fi
            if [ $(($1 % 4)) = 0 ]; then ln -sfn report.$1 latest; chown $1:$((1000 + $1)) log; fi
            if [ $(($1 % 6)) = 0 ]; then mv dir dir.$1; cp -a dir.$1 dir; rm -rf dir.$(($1 - 6)) hollow; fi
            if [ $(($1 % 7)) = 0 ]; then mkdir -p hollow; rm -rf swap1; mkdir swap1; fi
            if [ $(($1 % 7)) = 3 ]; then rm -rf swap1; echo file >swap1; fi
            find . -newermt @1700000000 -exec touch -hd @$day {} +
            """

        /// The backup script; `RSYNC` says by what, `STORE` where.
        private static let backup = """
            last=; [ -d $STORE/day.$(($1 - 1)) ] && last=--link-dest=../day.$(($1 - 1))
            mkdir -p $STORE
            $RSYNC -aHAX --numeric-ids --delete $last live/ $STORE/day.$1/
            rm -rf $STORE/day.$(($1 - 7))
            """

        @Test func thirtyDaysOfBackups() throws {
            try FileTree.small(scratch.path + "/live")
            try FileTree(scratch.path + "/live").addMetadata()
            let files = try FileTree(scratch.path)
            try files.file("change", Array(Self.change.utf8))
            try files.file("backup", Array(Self.backup.utf8))
            _ = try shell(
                """
                for day in $(seq 30); do
                    (. ./change $day)
                    RSYNC="$PEER" STORE=theirs; set -- $day; . ./backup
                    RSYNC="$DRAY" STORE=mine; . ./backup
                done
                """, ["PEER": PeerRsync.path!, "DRAY": DrayPrograms.dray])
            let kept = TreeSnapshot(scratch.path + "/mine")
            var theirs = TreeSnapshot(scratch.path + "/theirs")
            // The store itself is changed by each day, at another moment.
            theirs.items["."] = kept.items["."]
            #expect(kept.differences(from: theirs) == [])
            // Seven days are left, and what has not changed between them is there once.
            #expect(kept.items.keys.filter { $0.hasPrefix("day.") && !$0.contains("/") }.count == 7)
            #expect(kept.items["day.30/alpha"]?.linkedTo == "day.24/alpha")
            #expect(kept.items["day.30/log"]?.linkedTo == nil)
        }

        // MARK: - A mirror

        /// The list of a tree that can be compared: kinds, modes, owners, sizes, times, links and their groups.
        private static let list = """
            list() {
                (cd $1; find . -printf '%P %y %m %U %G %s %T@ %n %l\\n' | sed -E 's/^(\\S* d .* )[0-9]+ (\\S+ [0-9]+ )$/\\1\\2/' | sort
                find . ! -type d -links +1 -printf '%i %P\\n' | sort -k2 | awk '{ if (!($1 in first)) first[$1] = $2; print $2, first[$1] }')
            }
            """

        /// Dray under the name of rsync mirrors fifty thousand files twice, with changes in between.
        @Test func mirrorOfFiftyThousandFiles() throws {
            _ = try FileTree(scratch.path + "/src")
            try FileTree.small(scratch.path + "/src/base")
            try FileTree(scratch.path + "/src/base").addMetadata()
            try FileTree(scratch.path + "/bin").symlink("rsync", to: DrayPrograms.dray)
            let count = try shell(
                """
                cd src; for i in $(seq 530); do echo "file $i" >base/f$i; done
                chmod 600 base/f5; chown 3:4 base/f6; ln base/f7 base/twin; find base -exec touch -hd @1500000000 {} +
                for i in $(seq 94); do cp -a base d$i; done
                find . -type f | wc -l
                """)
            #expect((Int(count.dropLast()) ?? 0) >= 50_000, "\(count)")
            let mirror = "rsync -aHAX --delete-delay --delay-updates src/"
            let own = ["PATH": scratch.path + "/bin:/usr/bin:/bin"]
            _ = try shell("\(mirror) mine/", own)
            _ = try shell("$PEER\(mirror.dropFirst(5)) theirs/", ["PEER": PeerRsync.path!])
            _ = try shell(
                """
                cd src; rm -rf d1; rm d*/f8; for i in $(seq 2 94); do echo changed >d$i/f9; echo new >d$i/new; done
                mv d2 moved; chmod 640 d3/f*; ln -f d4/f10 d4/f11; ln -sfn f1 d5/link; echo more >>d6/big
                find . -newermt @1600000000 -exec touch -hd @1550000000 {} +
                """)
            let mine = try shell("\(mirror) mine/ --stats | grep -E '^Number of (deleted|regular)'", own)
            let theirs = try shell(
                "$PEER\(mirror.dropFirst(5)) theirs/ --stats | grep -E '^Number of (deleted|regular)'",
                ["PEER": PeerRsync.path!])
            #expect(mine == theirs)
            _ = try shell("\(Self.list); list mine >mine.list; list theirs >theirs.list; cmp mine.list theirs.list")
            _ = try shell(
                "diff -r --no-dereference -x null -x fifo src/moved mine/moved; diff -rq --no-dereference src/d9 mine/d9 -x null -x fifo"
            )
            for name in ["moved", "d3", "d4", "d5", "d6", "d94"] { expectEqualTrees("mine/\(name)", "theirs/\(name)") }
        }
    }
}
