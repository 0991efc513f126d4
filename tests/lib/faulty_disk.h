/* A disk that fails, or a program that dies, at the n-th call that changes the disk. Include it in one file of a test
 * program: it defines libc's write, fsync, rename, mkdir and unlinkat in front of libc's own.
 *
 *     fault = FAULT_ERROR; fault_error = ENOSPC; fault_at = 3; calls_seen = 0;      the third call fails
 *     fault = FAULT_KILL; ...                                                       the third call is not made: SIGKILL
 *     fault = FAULT_FULL; ...                                                       the third write and all later fail
 *     fault = FAULT_COUNT;                                                          calls_seen counts
 *     fault = FAULT_SHORT;                                                          each write takes a part only
 *     fault = FAULT_HOLD; held = true;              calls of other threads than the first wait until held is false
 */
#ifndef TR_TESTS_LIB_FAULTY_DISK_H
#define TR_TESTS_LIB_FAULTY_DISK_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum fault { FAULT_NONE, FAULT_COUNT, FAULT_ERROR, FAULT_FULL, FAULT_KILL, FAULT_SHORT, FAULT_HOLD };
static enum fault fault;
static int fault_error, fault_at;
static atomic_int calls_seen; /* a save may have a thread of its own */
static atomic_bool held;

/* Before each call that changes the disk. Returns true when this call must fail, with errno set. */
static bool strike(bool is_write)
{
    if (fault == FAULT_NONE)
        return false;
    int call = ++calls_seen;
    while (fault == FAULT_HOLD && held && syscall(SYS_gettid) != getpid())
        usleep(500);
    if (fault == FAULT_FULL && is_write && call >= fault_at) {
        errno = ENOSPC;
        return true;
    }
    if (call != fault_at)
        return false;
    if (fault == FAULT_KILL)
        raise(SIGKILL);
    errno = fault_error;
    return fault == FAULT_ERROR;
}

ssize_t write(int fd, const void *data, size_t bytes);
ssize_t write(int fd, const void *data, size_t bytes)
{
    if (fd > 2 && strike(true))
        return -1;
    if (fd > 2 && fault == FAULT_SHORT && bytes > 1)
        bytes = bytes / 3 + 1;
    return syscall(SYS_write, fd, data, bytes);
}

int fsync(int fd);
int fsync(int fd) { return strike(false) ? -1 : (int)syscall(SYS_fsync, fd); }

int rename(const char *from, const char *to);
int rename(const char *from, const char *to)
{
    return strike(false) ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int mkdir(const char *path, mode_t mode);
int mkdir(const char *path, mode_t mode)
{
    return strike(false) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int unlinkat(int folder, const char *path, int flags);
int unlinkat(int folder, const char *path, int flags)
{
    return strike(false) ? -1 : (int)syscall(SYS_unlinkat, folder, path, flags);
}

#endif
