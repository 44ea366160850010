#define _GNU_SOURCE
#include "CDraySystem.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

int dray_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }
int dray_openat(int dirfd, const char *path, int flags, mode_t mode) { return openat(dirfd, path, flags, mode); }

int dray_openat_beneath(int dirfd, const char *path, int flags, mode_t mode) {
    struct open_how how;
    memset(&how, 0, sizeof how);
    how.flags = (uint64_t)(unsigned)flags;
    how.mode = (flags & (O_CREAT | __O_TMPFILE)) ? mode : 0;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
}

int dray_fcntl_int(int fd, int command, int argument) { return fcntl(fd, command, argument); }

int dray_try_lock_range(int fd, off_t start, off_t length) {
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = start;
    lock.l_len = length;
    return fcntl(fd, F_SETLK, &lock);
}

int dray_try_flock(int fd) { return flock(fd, LOCK_EX | LOCK_NB); }

int dray_o_tmpfile(void) { return O_TMPFILE; }
int dray_o_noatime(void) { return O_NOATIME; }
int dray_o_path(void) { return O_PATH; }

int dray_is_process_directory(int directory) {
    struct statfs status;
    return fstatfs(directory, &status) == 0 && status.f_type == PROC_SUPER_MAGIC;
}

ssize_t dray_getdents64(int fd, void *buffer, size_t count) { return syscall(SYS_getdents64, fd, buffer, count); }
int dray_fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate(fd, mode, offset, length); }
ssize_t dray_copy_file_range(int in, int out, size_t length) {
    return copy_file_range(in, NULL, out, NULL, length, 0);
}
int dray_reflink(int out, int in) { return ioctl(out, FICLONE, in); }

int dray_shares_extents(int fd) {
    struct statfs status;
    if (fstatfs(fd, &status) != 0) return 0;
    switch ((unsigned long)status.f_type) {
    case 0x9123683E: /* btrfs */
    case 0x58465342: /* xfs */
    case 0xCA451A4E: /* bcachefs */
    case 0x7461636F: /* ocfs2 */
    case 0x2FC12FC1: /* zfs */
        return 1;
    default: return 0;
    }
}
int dray_renameat2_noreplace(int from_dir, const char *from, int to_dir, const char *to) {
    return renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE);
}

int dray_fchmodat_nofollow(int dirfd, const char *name, mode_t mode) {
    return fchmodat(dirfd, name, mode, AT_SYMLINK_NOFOLLOW);
}

int dray_setgroups(size_t count, const gid_t *groups) { return setgroups(count, groups); }
int dray_setresuid(uid_t uid) { return setresuid(uid, uid, uid); }
int dray_setresgid(gid_t gid) { return setresgid(gid, gid, gid); }
int dray_chroot(const char *path) { return chroot(path); }
uint32_t dray_dev_major(uint64_t device) { return major(device); }
uint32_t dray_dev_minor(uint64_t device) { return minor(device); }
uint64_t dray_make_dev(uint32_t ma, uint32_t mi) { return makedev(ma, mi); }

uint64_t dray_monotonic_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

const char *dray_strerror(int error) {
    /* The message table is constant; unknown numbers need a buffer of their own per thread. */
    static __thread char buffer[64];
    return strerror_r(error, buffer, sizeof buffer);
}

int dray_processor_count(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return -1;
    return CPU_COUNT(&set);
}
