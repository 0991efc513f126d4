/* Control groups of Linux: what limits the cores and the memory of this process beside the machine itself.
 *
 * A limit stands in the folder of the group and of all groups above it, below /sys/fs/cgroup; which group it is says
 * /proc/self/cgroup. Version 2 has one tree ("0::/job"), version 1 one for each controller ("4:cpu,cpuacct:/job"); a machine may have
 * both. Inside a container the root is often our own group already. Where something is not there or is no number, it limits nothing.
 * No memory is allocated. `root` stands before all paths: "" for this machine, a folder for tests. */
#ifndef TR_BASE_CGROUP_H
#define TR_BASE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

struct tr_cgroup {
    const char *root, *tree; /* "/sys/fs/cgroup", "/sys/fs/cgroup/memory" */
    const char *path;        /* of the group in its tree: "", "/job", "/job/step" */
    int version;             /* 1 or 2 */
};

/* Calls `visit` with each group that may limit `controller` ("cpu", "memory"), in each tree the innermost first. */
void tr_cgroup_walk(const char *root, const char *controller, void (*visit)(const struct tr_cgroup *group, void *to), void *to);

/* The beginning of a file of the group; false when there is none, or nothing in it. */
bool tr_cgroup_read(const struct tr_cgroup *group, const char *name, char *text, size_t bytes);

/* The same of any small file of the kernel, such as "/proc/meminfo". */
bool tr_proc_read(const char *root, const char *path, char *text, size_t bytes);

/* How many cores' time the groups leave us (cpu.max; cpu.cfs_quota_us over cpu.cfs_period_us); INFINITY where they limit nothing. */
double tr_cgroup_cores(const char *root);

#endif
