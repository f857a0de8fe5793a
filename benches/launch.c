// Runs a command and writes what it took to a file descriptor: exit status, CPU time in
// microseconds, wall time in microseconds, peak resident memory in KiB.
//
//     launch FD COMMAND [ARGUMENT...]
//
// A small program of its own, because a process's peak memory includes what it had before exec:
// started from Python, every command would seem to need as much as Python.

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        errx(2, "usage: launch FD COMMAND [ARGUMENT...]");
    int fd = atoi(argv[1]);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        err(2, "file descriptor %s", argv[1]);

    long long start = microseconds();
    pid_t child = fork();
    if (child < 0)
        err(2, "fork");
    if (child == 0) {
        execvp(argv[2], argv + 2);
        err(127, "%s", argv[2]);
    }
    int status;
    struct rusage usage;
    if (wait4(child, &status, 0, &usage) < 0)
        err(2, "wait4");
    long long wall = microseconds() - start;
    long long cpu = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL
        + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    dprintf(fd, "%d %lld %lld %ld\n", code, cpu, wall, usage.ru_maxrss);
    return 0;
}
