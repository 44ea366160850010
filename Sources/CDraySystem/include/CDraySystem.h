#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "DrayNetwork.h"

/* Thin wrappers for calls that Swift cannot import: variadics, raw system calls, and calls that glibc declares only
   under _GNU_SOURCE (which must not be defined in a header). All return what the system call returns and leave errno. */

int dray_open(const char *_Nonnull path, int flags, mode_t mode);
int dray_openat(int dirfd, const char *_Nonnull path, int flags, mode_t mode);
/* openat2 with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS; -1/ENOSYS where the kernel or a filter lacks it. */
int dray_openat_beneath(int dirfd, const char *_Nonnull path, int flags, mode_t mode);
int dray_fcntl_int(int fd, int command, int argument);
/* Advisory write lock on [start, start+length); non-blocking. 0 or -1/errno. */
int dray_try_lock_range(int fd, off_t start, off_t length);
/* Advisory whole-file lock that ends with the process; non-blocking. 0 or -1/errno. */
int dray_try_flock(int fd);
int dray_o_tmpfile(void);
int dray_o_noatime(void);
int dray_o_path(void);
/* 1 for a directory of /proc, whose links are the kernel's own. */
int dray_is_process_directory(int directory);

ssize_t dray_getdents64(int fd, void *_Nonnull buffer, size_t count);
int dray_fallocate(int fd, int mode, off_t offset, off_t length);
ssize_t dray_copy_file_range(int in, int out, size_t length);
int dray_reflink(int out, int in);
/* Whether the file system that a descriptor lies on is of a kind whose files can share extents. */
int dray_shares_extents(int fd);
int dray_renameat2_noreplace(int from_dir, const char *_Nonnull from, int to_dir, const char *_Nonnull to);
int dray_fchmodat_nofollow(int dirfd, const char *_Nonnull name, mode_t mode);

int dray_setgroups(size_t count, const gid_t *_Nullable groups);
int dray_setresuid(uid_t uid);
int dray_setresgid(gid_t gid);
int dray_chroot(const char *_Nonnull path);
uint32_t dray_dev_major(uint64_t device);
uint32_t dray_dev_minor(uint64_t device);
uint64_t dray_make_dev(uint32_t major, uint32_t minor);

/* Processors that this process may run on; -1/errno. */
int dray_processor_count(void);

/* Milliseconds and nanoseconds of CLOCK_MONOTONIC. */
uint64_t dray_monotonic_ns(void);
/* errno text without the thread-safety warning of strerror. */
const char *_Nonnull dray_strerror(int error);

/* Extended attributes of a name below a directory descriptor, never following it. -1/ENOSYS where the kernel lacks
   these calls (before Linux 6.13). */
ssize_t dray_listxattrat(int dirfd, const char *_Nonnull path, void *_Nullable list, size_t size);
ssize_t dray_getxattrat(
    int dirfd, const char *_Nonnull path, const char *_Nonnull name, void *_Nullable value, size_t size);
int dray_setxattrat(
    int dirfd, const char *_Nonnull path, const char *_Nonnull name, const void *_Nullable value, size_t size);
int dray_removexattrat(int dirfd, const char *_Nonnull path, const char *_Nonnull name);
/* The same by path (last component not followed) and by open descriptor. */
ssize_t dray_llistxattr(const char *_Nonnull path, void *_Nullable list, size_t size);
ssize_t dray_lgetxattr(const char *_Nonnull path, const char *_Nonnull name, void *_Nullable value, size_t size);
int dray_lsetxattr(const char *_Nonnull path, const char *_Nonnull name, const void *_Nullable value, size_t size);
int dray_lremovexattr(const char *_Nonnull path, const char *_Nonnull name);
ssize_t dray_flistxattr(int fd, void *_Nullable list, size_t size);
ssize_t dray_fgetxattr(int fd, const char *_Nonnull name, void *_Nullable value, size_t size);
int dray_fsetxattr(int fd, const char *_Nonnull name, const void *_Nullable value, size_t size);
int dray_fremovexattr(int fd, const char *_Nonnull name);
/* What mallinfo2 tells of the process's heap. */
struct dray_heap_numbers {
    unsigned long arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};
void dray_heap(struct dray_heap_numbers *_Nonnull numbers);

