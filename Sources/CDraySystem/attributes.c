#define _GNU_SOURCE
#include "CDraySystem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

/* The numbers are the same on every architecture. */
#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#define SYS_getxattrat 464
#define SYS_listxattrat 465
#define SYS_removexattrat 466
#endif

struct dray_xattr_args {
    uint64_t __attribute__((aligned(8))) value;
    uint32_t size;
    uint32_t flags;
};

ssize_t dray_listxattrat(int dirfd, const char *path, void *list, size_t size) {
    return syscall(SYS_listxattrat, dirfd, path, AT_SYMLINK_NOFOLLOW, list, size);
}

ssize_t dray_getxattrat(int dirfd, const char *path, const char *name, void *value, size_t size) {
    struct dray_xattr_args arguments = {(uint64_t)(uintptr_t)value, (uint32_t)size, 0};
    return syscall(SYS_getxattrat, dirfd, path, AT_SYMLINK_NOFOLLOW, name, &arguments, sizeof arguments);
}

int dray_setxattrat(int dirfd, const char *path, const char *name, const void *value, size_t size) {
    struct dray_xattr_args arguments = {(uint64_t)(uintptr_t)value, (uint32_t)size, 0};
    return (int)syscall(SYS_setxattrat, dirfd, path, AT_SYMLINK_NOFOLLOW, name, &arguments, sizeof arguments);
}

int dray_removexattrat(int dirfd, const char *path, const char *name) {
    return (int)syscall(SYS_removexattrat, dirfd, path, AT_SYMLINK_NOFOLLOW, name);
}

ssize_t dray_llistxattr(const char *path, void *list, size_t size) { return llistxattr(path, list, size); }
ssize_t dray_lgetxattr(const char *path, const char *name, void *value, size_t size) {
    return lgetxattr(path, name, value, size);
}
int dray_lsetxattr(const char *path, const char *name, const void *value, size_t size) {
    return lsetxattr(path, name, value, size, 0);
}
int dray_lremovexattr(const char *path, const char *name) { return lremovexattr(path, name); }
ssize_t dray_flistxattr(int fd, void *list, size_t size) { return flistxattr(fd, list, size); }
ssize_t dray_fgetxattr(int fd, const char *name, void *value, size_t size) { return fgetxattr(fd, name, value, size); }
int dray_fsetxattr(int fd, const char *name, const void *value, size_t size) {
    return fsetxattr(fd, name, value, size, 0);
}
int dray_fremovexattr(int fd, const char *name) { return fremovexattr(fd, name); }
