#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Socket, pipe and process calls of the transport layer. All descriptors made here are close-on-exec. Calls return
   what the system call returns, leave errno, and never retry. */

int dray_eventfd(void);
int dray_pipe(int fds[_Nonnull 2]);
int dray_set_pipe_size(int fd, int bytes);
int dray_socketpair(int fds[_Nonnull 2]);
/* The same over the loopback interface. */
int dray_tcp_pair(int fds[_Nonnull 2]);
int dray_stream_socket(int family, int type, int protocol);
int dray_accept(int fd, struct sockaddr_storage *_Nonnull address, socklen_t *_Nonnull length);

/* Never blocks and never raises SIGPIPE. */
ssize_t dray_recv_nowait(int fd, void *_Nonnull buffer, size_t count);
ssize_t dray_sendv_nowait(int fd, const struct iovec *_Nonnull vectors, int count);
int dray_bind(int fd, const struct sockaddr *_Nonnull address, socklen_t length);
int dray_connect(int fd, const struct sockaddr *_Nonnull address, socklen_t length);
int dray_getsockname(int fd, struct sockaddr_storage *_Nonnull address, socklen_t *_Nonnull length);
int dray_getpeername(int fd, struct sockaddr_storage *_Nonnull address, socklen_t *_Nonnull length);
/* Numeric text of an address without scope rewriting; IPv4-mapped IPv6 becomes IPv4. Port in *port. 0 or a gai code. */
int dray_numeric_address(
    const struct sockaddr_storage *_Nonnull address, socklen_t length, char *_Nonnull text, size_t capacity,
    uint16_t *_Nonnull port);

/* Starts a program found along PATH with the given standard input and output (-1: none) and the caller's standard
   error; signal mask and ignored signals are reset. Returns 0 or an errno value. */
int dray_spawn(
    char *_Nullable const *_Nonnull argv, char *_Nullable const *_Nonnull envp, int input, int output,
    pid_t *_Nonnull pid);
int dray_wait_exited(int status);
int dray_wait_exit_status(int status);
int dray_wait_signal(int status);
int dray_wait_core(int status);
/* Starts this very program again with the given standard input and its caller's standard output and error; signal mask
   and dispositions are reset. Returns 0 or an errno value. */
int dray_spawn_self(
    char *_Nullable const *_Nonnull argv, char *_Nullable const *_Nonnull envp, int input, pid_t *_Nonnull pid);
/* Blocks SIGTERM, SIGINT and SIGHUP in this thread and all it starts. */
int dray_block_stop_signals(void);
/* Waits for one of them; returns its number. */
int dray_wait_stop_signal(void);
