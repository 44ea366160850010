// Dray — runs a program and writes what it cost to a file: launcher FILE PROGRAM WORDS…
// A small process of its own, because the kernel lets a child begin with the peak memory of the process that started it.
// SPDX-License-Identifier: Apache-2.0

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t child;

static void pass_on(int number) {
    if (child > 0) kill(child, number);
}

int main(int count, char **words) {
    if (count < 3) return 125;
    signal(SIGTERM, pass_on);
    child = fork();
    if (child < 0) return 125;
    if (child == 0) {
        signal(SIGTERM, SIG_DFL);
        execvp(words[2], words + 2);
        _exit(127);
    }
    int status = 0;
    struct rusage usage;
    while (wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    FILE *file = fopen(words[1], "w");
    if (file) {
        double cpu = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
        fprintf(file, "%.6f %ld\n", cpu, usage.ru_maxrss);
        fclose(file);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
