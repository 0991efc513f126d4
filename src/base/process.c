#define _GNU_SOURCE /* pipe2 */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What the child does between fork and exec: calls that are safe there, and nothing else. What goes wrong is written to
 * `complain` as errno; a successful exec closes it. */
__attribute__((noreturn)) static void become(const char *const *words, const int to[2], bool looked_after, int complain)
{
    static const int handled[] = {SIGINT, SIGTERM, SIGUSR1, SIGPIPE, SIGXFSZ};
    sigset_t none;
    int null = open("/dev/null", O_RDONLY);
    bool right = null >= 0 && dup2(null, STDIN_FILENO) >= 0;
    for (int i = 0; i < 2 && right; i++)
        right = to[i] < 0 || dup2(to[i], STDOUT_FILENO + i) >= 0;
    if (right && looked_after)
        right = setpgid(0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGTERM) == 0;
    for (int i = 0; i < (int)(sizeof handled / sizeof *handled); i++)
        signal(handled[i], SIG_DFL);
    sigemptyset(&none);
    if (right && sigprocmask(SIG_SETMASK, &none, NULL) == 0)
        execvp(words[0], (char *const *)words); /* which changes no word */
    int reason = errno;
    ssize_t written = write(complain, &reason, sizeof reason);
    _exit(written == (ssize_t)sizeof reason ? 127 : 126);
}

static enum tr_status not_started(const char *name, int reason, struct tr_err *err)
{
    if (reason == ENOENT)
        return tr_fail(err, TR_BAD_INPUT, "there is no program \"%s\" here", name);
    return tr_fail(err, reason == EACCES ? TR_BAD_INPUT : TR_FAILED, "\"%s\" cannot be started: %s", name, strerror(reason));
}

static enum tr_status start(const char *const *words, const int to[2], bool looked_after, int *id, struct tr_err *err)
{
    int complain[2], reason = 0;
    if (pipe2(complain, O_CLOEXEC) != 0)
        return not_started(words[0], errno, err);
    pid_t child = fork();
    if (child == 0)
        become(words, to, looked_after, complain[1]);
    if (child < 0)
        reason = errno;
    close(complain[1]);
    ssize_t got;
    do
        got = child < 0 ? 0 : read(complain[0], &reason, sizeof reason);
    while (got < 0 && errno == EINTR);
    close(complain[0]);
    if (got > 0)
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    if (child < 0 || got > 0)
        return not_started(words[0], reason, err);
    *id = (int)child;
    return TR_OK;
}

static int code_of(int how) { return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how); }

enum tr_status tr_process_start(const char *const *words, struct tr_process *process, struct tr_err *err)
{
    const int ours[2] = {-1, -1};
    int id;
    enum tr_status status = start(words, ours, true, &id, err);
    if (status == TR_OK)
        process->id = id;
    return status;
}

bool tr_process_ended(struct tr_process *process, double seconds, int *code)
{
    double until = tr_clock_s() + seconds;
    for (;;) {
        int how;
        pid_t got = waitpid(process->id, &how, WNOHANG);
        if (got == process->id) {
            process->id = 0;
            *code = code_of(how);
            return true;
        }
        TR_ASSERT(got == 0 || errno == EINTR);
        double left = until - tr_clock_s();
        if (left <= 0)
            return false;
        double nap = left < 0.02 ? left : 0.02;
        struct timespec wait = {.tv_nsec = (long)(nap * 1e9)};
        if (nanosleep(&wait, NULL) != 0)
            return false;
    }
}

void tr_process_signal(const struct tr_process *process, int number)
{
    if (process->id > 0)
        kill(process->id, number);
}

/* Reads both pipes to their ends. False when one of them held too much. */
static bool drain(int from[2], struct tr_text *to[2])
{
    int open_count = 2;
    size_t budget = TR_PROCESS_MAX_BYTES;
    while (open_count > 0) {
        struct pollfd ready[2] = {{from[0], POLLIN, 0}, {from[1], POLLIN, 0}};
        if (poll(ready, 2, -1) < 0)
            continue;
        for (int i = 0; i < 2; i++) {
            char block[4096];
            if (from[i] < 0 || !ready[i].revents)
                continue;
            ssize_t got = read(from[i], block, sizeof block);
            if (got < 0 && errno == EINTR)
                continue;
            if (got <= 0) {
                close(from[i]);
                from[i] = -1;
                open_count--;
                continue;
            }
            if ((size_t)got > budget)
                return false;
            budget -= (size_t)got;
            tr_text_append_bytes(to[i], block, (size_t)got);
        }
    }
    return true;
}

static void close_both(const int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
}

enum tr_status tr_process_run(const char *const *words, struct tr_text *out, struct tr_text *said, int *code,
                              struct tr_err *err)
{
    struct tr_text *to[2] = {out, said};
    int pipe_out[2], pipe_said[2], id, how;
    if (pipe2(pipe_out, O_CLOEXEC) != 0)
        return not_started(words[0], errno, err);
    if (pipe2(pipe_said, O_CLOEXEC) != 0) {
        int reason = errno;
        close_both(pipe_out);
        return not_started(words[0], reason, err);
    }
    int from[2] = {pipe_out[0], pipe_said[0]}, ends[2] = {pipe_out[1], pipe_said[1]};
    enum tr_status status = start(words, ends, false, &id, err);
    close_both(ends);
    if (status != TR_OK) {
        close_both(from);
        return status;
    }
    bool whole = drain(from, to);
    close_both(from);
    if (!whole)
        kill(id, SIGKILL);
    while (waitpid(id, &how, 0) < 0 && errno == EINTR)
        ;
    if (!whole)
        return tr_fail(err, TR_FAILED, "\"%s\" wrote more than %d bytes: it was stopped", words[0], TR_PROCESS_MAX_BYTES);
    if (tr_text_failed(out, err) || tr_text_failed(said, err))
        return TR_FAILED;
    *code = code_of(how);
    return TR_OK;
}

char tr_process_state(int id)
{
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/%d/stat", id);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = 0;
    const char *end = strrchr(text, ')'); /* "17 (name) S ...", and a name may have anything in it */
    return end && end[1] == ' ' ? end[2] : 0;
}

enum tr_status tr_process_own_path(char path[TR_PATH_BYTES], struct tr_err *err)
{
    ssize_t len = readlink("/proc/self/exe", path, TR_PATH_BYTES - 1);
    if (len < 0 || len >= TR_PATH_BYTES - 1)
        return tr_fail(err, TR_FAILED, "where this program stands cannot be found out: %s",
                       len < 0 ? strerror(errno) : "its path is too long");
    path[len] = 0;
    return TR_OK;
}
