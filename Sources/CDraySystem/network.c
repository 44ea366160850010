#define _GNU_SOURCE
#include "DrayNetwork.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

int dray_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }
int dray_pipe(int fds[2]) { return pipe2(fds, O_CLOEXEC); }
int dray_set_pipe_size(int fd, int bytes) { return fcntl(fd, F_SETPIPE_SZ, bytes); }
int dray_socketpair(int fds[2]) { return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds); }

/* Nobody else may have connected in between: the accepted end must be the one that this process has made. */
static int is_end_of(int fd, int other) {
    struct sockaddr_in peer, own;
    socklen_t peer_size = sizeof peer, own_size = sizeof own;
    return getpeername(fd, (struct sockaddr *)&peer, &peer_size) == 0 &&
           getsockname(other, (struct sockaddr *)&own, &own_size) == 0 && peer.sin_port == own.sin_port &&
           peer.sin_addr.s_addr == own.sin_addr.s_addr;
}

int dray_tcp_pair(int fds[2]) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fds[0] = fds[1] = -1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0) return -1;
    if (bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 1) == 0 &&
        getsockname(listener, (struct sockaddr *)&address, &size) == 0 &&
        (fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0 &&
        connect(fds[0], (struct sockaddr *)&address, sizeof address) == 0)
        fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    int code = errno;
    close(listener);
    if (fds[1] >= 0 && is_end_of(fds[1], fds[0])) return 0;
    if (fds[1] >= 0) {
        close(fds[1]);
        code = ECONNABORTED;
    }
    if (fds[0] >= 0) close(fds[0]);
    errno = code;
    return -1;
}

int dray_stream_socket(int family, int type, int protocol) { return socket(family, type | SOCK_CLOEXEC, protocol); }

int dray_accept(int fd, struct sockaddr_storage *address, socklen_t *length) {
    return accept4(fd, (struct sockaddr *)address, length, SOCK_CLOEXEC);
}

ssize_t dray_recv_nowait(int fd, void *buffer, size_t count) { return recv(fd, buffer, count, MSG_DONTWAIT); }

ssize_t dray_sendv_nowait(int fd, const struct iovec *vectors, int count) {
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = (struct iovec *)vectors;
    message.msg_iovlen = (size_t)count;
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int dray_bind(int fd, const struct sockaddr *address, socklen_t length) { return bind(fd, address, length); }
int dray_connect(int fd, const struct sockaddr *address, socklen_t length) { return connect(fd, address, length); }
int dray_getsockname(int fd, struct sockaddr_storage *address, socklen_t *length) {
    return getsockname(fd, (struct sockaddr *)address, length);
}
int dray_getpeername(int fd, struct sockaddr_storage *address, socklen_t *length) {
    return getpeername(fd, (struct sockaddr *)address, length);
}

int dray_numeric_address(
    const struct sockaddr_storage *address, socklen_t length, char *text, size_t capacity, uint16_t *port) {
    struct sockaddr_in mapped;
    const struct sockaddr *shown = (const struct sockaddr *)address;
    *port = 0;
    if (address->ss_family == AF_INET) {
        *port = ntohs(((const struct sockaddr_in *)address)->sin_port);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
        *port = ntohs(six->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
            memset(&mapped, 0, sizeof mapped);
            mapped.sin_family = AF_INET;
            mapped.sin_port = six->sin6_port;
            memcpy(&mapped.sin_addr, six->sin6_addr.s6_addr + 12, 4);
            shown = (const struct sockaddr *)&mapped;
            length = sizeof mapped;
        }
    }
    return getnameinfo(shown, length, text, (socklen_t)capacity, NULL, 0, NI_NUMERICHOST);
}

int dray_spawn(char *const *argv, char *const *envp, int input, int output, pid_t *pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, ignored;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return error;
    error = posix_spawnattr_init(&attributes);
    if (error) {
        posix_spawn_file_actions_destroy(&actions);
        return error;
    }
    sigemptyset(&none);
    sigemptyset(&ignored);
    sigaddset(&ignored, SIGPIPE);
    sigaddset(&ignored, SIGXFSZ);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &ignored);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    error = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    if (!error && output >= 0) error = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    if (!error && output < 0) error = posix_spawn_file_actions_addclose(&actions, STDOUT_FILENO);
    if (!error) error = posix_spawnp(pid, argv[0], &actions, &attributes, argv, envp);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

int dray_wait_exited(int status) { return WIFEXITED(status); }
int dray_wait_exit_status(int status) { return WEXITSTATUS(status); }
int dray_wait_signal(int status) { return WIFSIGNALED(status) ? WTERMSIG(status) : 0; }
int dray_wait_core(int status) { return WIFSIGNALED(status) && WCOREDUMP(status); }

int dray_spawn_self(char *const *argv, char *const *envp, int input, pid_t *pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, reset;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return error;
    error = posix_spawnattr_init(&attributes);
    if (error) {
        posix_spawn_file_actions_destroy(&actions);
        return error;
    }
    sigemptyset(&none);
    sigemptyset(&reset);
    sigaddset(&reset, SIGCHLD);
    sigaddset(&reset, SIGPIPE);
    sigaddset(&reset, SIGXFSZ);
    sigaddset(&reset, SIGTERM);
    sigaddset(&reset, SIGINT);
    sigaddset(&reset, SIGHUP);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &reset);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    error = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    if (!error) error = posix_spawn(pid, "/proc/self/exe", &actions, &attributes, argv, envp);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static void dray_stop_signals(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

int dray_block_stop_signals(void) {
    sigset_t set;
    dray_stop_signals(&set);
    return pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int dray_wait_stop_signal(void) {
    sigset_t set;
    int number = 0;
    dray_stop_signals(&set);
    while (sigwait(&set, &number) != 0) {
    }
    return number;
}
