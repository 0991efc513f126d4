#include "base/cgroup.h"

#include "base/os.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LIST_BYTES = 8192, NUMBER_BYTES = 128 };
static const char mount[] = "/sys/fs/cgroup";

bool tr_proc_read(const char *root, const char *path, char *text, size_t bytes)
{
    char full[TR_PATH_BYTES];
    size_t len = 0;
    ssize_t got = 0;
    text[0] = 0;
    if (snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full)
        return false;
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    while (len < bytes - 1 && (got = read(fd, text + len, bytes - 1 - len)) > 0)
        len += (size_t)got;
    close(fd);
    text[len] = 0;
    return len > 0;
}

bool tr_cgroup_read(const struct tr_cgroup *group, const char *name, char *text, size_t bytes)
{
    char path[TR_PATH_BYTES];
    text[0] = 0;
    return snprintf(path, sizeof path, "%s%s/%s", group->tree, group->path, name) < (int)sizeof path &&
           tr_proc_read(group->root, path, text, bytes);
}

/* Whether `name` is one of "cpu,cpuacct". */
static bool is_among(const char *name, const char *list, const char *end)
{
    size_t len = strlen(name);
    for (; list < end; list += strcspn(list, ",:") + 1)
        if (strcspn(list, ",:") == len && strncmp(list, name, len) == 0)
            return true;
    return false;
}

/* The version of the tree that a line is of, and where in it the path of our group begins; 0: not of this controller. */
static int version_of(const char *line, const char *controller, size_t *path_at)
{
    const char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
    if (!path || path[1] != '/')
        return 0;
    *path_at = (size_t)(path + 1 - line);
    if (path == names + 1)
        return 2;
    return is_among(controller, names + 1, path) ? 1 : 0;
}

/* The group, the ones above it, the top. `path` is cut off. */
static void walk_up(struct tr_cgroup *group, char *path, void (*visit)(const struct tr_cgroup *group, void *to), void *to)
{
    for (char *slash = strrchr(path, '/'); slash; slash = strrchr(path, '/')) {
        if (slash[1]) { /* not that of "/", nor one too many */
            group->path = path;
            visit(group, to);
        }
        *slash = 0;
    }
    group->path = "";
    visit(group, to);
}

void tr_cgroup_walk(const char *root, const char *controller, void (*visit)(const struct tr_cgroup *group, void *to), void *to)
{
    char list[LIST_BYTES], own_tree[sizeof mount + 32], *next;
    snprintf(own_tree, sizeof own_tree, "%s/%s", mount, controller);
    tr_proc_read(root, "/proc/self/cgroup", list, sizeof list);
    for (char *line = list; line && *line; line = next) {
        size_t path_at;
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        int version = version_of(line, controller, &path_at);
        if (version)
            walk_up(&(struct tr_cgroup){.root = root, .tree = version == 1 ? own_tree : mount, .version = version}, line + path_at, visit, to);
    }
}

/* ---- cores ------------------------------------------------------------------------------------------------------- */

static bool read_quota(const struct tr_cgroup *group, double *quota, double *period)
{
    char text[NUMBER_BYTES];
    if (group->version == 2) /* "max 100000": no number, no limit */
        return tr_cgroup_read(group, "cpu.max", text, sizeof text) && sscanf(text, "%lf %lf", quota, period) == 2;
    return tr_cgroup_read(group, "cpu.cfs_quota_us", text, sizeof text) && sscanf(text, "%lf", quota) == 1 &&
           tr_cgroup_read(group, "cpu.cfs_period_us", text, sizeof text) && sscanf(text, "%lf", period) == 1;
}

static void look_at_cores(const struct tr_cgroup *group, void *to)
{
    double quota, period, *cores = to;
    if (read_quota(group, &quota, &period) && quota > 0 && period > 0) /* -1: no limit */
        *cores = fmin(*cores, quota / period);
}

double tr_cgroup_cores(const char *root)
{
    double cores = INFINITY;
    tr_cgroup_walk(root, "cpu", look_at_cores, &cores);
    return cores;
}
