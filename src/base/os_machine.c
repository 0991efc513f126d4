/* Clocks, terminals, and what this machine lets us have. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "base/os.h"

#include "base/cgroup.h"
#include "base/num.h"

#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double seconds(clockid_t clock)
{
    struct timespec now;
    int failed = clock_gettime(clock, &now);
    TR_ASSERT(!failed);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double tr_clock_s(void)
{
    return seconds(CLOCK_MONOTONIC);
}

double tr_wall_s(void)
{
    return seconds(CLOCK_REALTIME);
}

double tr_thread_cpu_s(void)
{
    return seconds(CLOCK_THREAD_CPUTIME_ID);
}

const char *tr_date(double wall_s, char buf[TR_DATE_BYTES])
{
    /* Years 1 to 9999: what fits the form, and what gmtime can do. */
    if (!(wall_s >= -62135596800.0 && wall_s < 253402300800.0)) {
        strcpy(buf, "unknown");
        return buf;
    }
    time_t whole = (time_t)wall_s;
    if ((double)whole > wall_s)
        whole--;
    struct tm utc;
    gmtime_r(&whole, &utc);
    strftime(buf, TR_DATE_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return buf;
}

int tr_thread_start(pthread_t *thread, void *(*run)(void *context), void *context)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int reason = pthread_create(thread, NULL, run, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return reason;
}

const char *tr_signal_name(int number)
{
    switch (number) {
    case SIGINT: return "SIGINT";
    case SIGTERM: return "SIGTERM";
    case SIGUSR1: return "SIGUSR1";
    default: return "a signal";
    }
}

bool tr_is_terminal(int fd)
{
    const char *kind = getenv("TERM");
    return isatty(fd) && (!kind || strcmp(kind, "dumb") != 0);
}

int tr_terminal_columns(int fd)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

double tr_cores_quota(void) { return tr_cgroup_cores(""); }

void tr_cores_allowed(struct tr_core_set *set)
{
    memset(set, 0, sizeof *set);
    (void)sched_getaffinity(0, sizeof *set, (cpu_set_t *)(void *)set->bit); /* fails on a larger machine: then none is seen */
}

bool tr_core_in(const struct tr_core_set *set, int core)
{
    return set->bit[core / 64] >> core % 64 & 1;
}

void tr_thread_pin(int core)
{
    struct tr_core_set one = {{0}};
    one.bit[core / 64] = UINT64_C(1) << core % 64;
    (void)sched_setaffinity(0, sizeof one, (const cpu_set_t *)(const void *)one.bit); /* 0: this thread */
}

int tr_cores_share(const struct tr_core_set *sets, int count, int index, double quota, int *all)
{
    double share = 0;
    *all = 0;
    for (int core = 0; core < TR_CORES_MAX; core++) {
        int word = core / 64, users = 0;
        uint64_t bit = UINT64_C(1) << core % 64;
        for (int i = 0; i < count; i++)
            users += (sets[i].bit[word] & bit) != 0;
        *all += users > 0;
        share += sets[index].bit[word] & bit ? 1.0 / users : 0;
    }
    if (*all > quota)
        share *= quota / *all;
    return share < 1 ? 1 : (int)(share + 1e-9);
}

int tr_cores_usable(void)
{
    double cores = 1;
    cpu_set_t *set = NULL;
    /* More than CPU_SETSIZE cores need a larger set; the kernel says EINVAL until it is large enough. */
    for (int room = CPU_SETSIZE; room <= 64 * CPU_SETSIZE; room *= 2) {
        set = CPU_ALLOC((size_t)room);
        if (!set)
            break;
        if (sched_getaffinity(0, CPU_ALLOC_SIZE((size_t)room), set) == 0) {
            cores = CPU_COUNT_S(CPU_ALLOC_SIZE((size_t)room), set);
            CPU_FREE(set);
            break;
        }
        CPU_FREE(set);
    }
    cores = fmin(cores, tr_cores_quota());
    int whole = (int)cores;
    whole += whole < cores;
    return whole < 1 ? 1 : whole;
}

double tr_thread_waited_s(void)
{
    char text[128];
    long long waited_ns;
    tr_proc_read("", "/proc/thread-self/schedstat", text, sizeof text); /* "on a core, waited for one, times": nanoseconds twice */
    return sscanf(text, "%*d %lld", &waited_ns) == 1 ? 1e-9 * (double)waited_ns : 0;
}

void tr_processor_name(char *name, size_t bytes)
{
    static const char key[] = "model name";
    char text[4096];
    tr_proc_read("", "/proc/cpuinfo", text, sizeof text);
    const char *line = strstr(text, key);
    line = line ? strchr(line, ':') : NULL;
    if (line)
        line += strspn(line, ": \t");
    snprintf(name, bytes, "%.*s", line ? (int)strcspn(line, "\n") : 17, line ? line : "unknown processor");
}

int64_t tr_memory_peak_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : (int64_t)usage.ru_maxrss * 1024;
}
