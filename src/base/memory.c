#include "base/memory.h"

#include "base/os.h"
#include "base/quantity.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_BYTES = 8192, DIGITS_MAX = 18, UNLIMITED = -1 };

/* The beginning of a small file of the kernel; false when there is none. */
static bool read_text(const char *root, const char *path, char text[TEXT_BYTES])
{
    char full[TR_PATH_BYTES];
    size_t len = 0;
    ssize_t got = 0;
    if (snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full)
        return false;
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    while (len < TEXT_BYTES - 1 && (got = read(fd, text + len, TEXT_BYTES - 1 - len)) > 0)
        len += (size_t)got;
    close(fd);
    text[len] = 0;
    return len > 0;
}

/* UNLIMITED: it is no number ("max"), or a larger one than any machine has. */
static int64_t read_number(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits == 0 || digits > DIGITS_MAX ? UNLIMITED : strtoll(text, NULL, 10);
}

/* The number behind a word at the beginning of a line; `missing` where there is none. */
static int64_t field(const char *text, const char *word, int64_t missing)
{
    size_t len = strlen(word);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, word, len) != 0)
            continue;
        int64_t value = read_number(line + len + strspn(line + len, " \t"));
        return value == UNLIMITED ? missing : value;
    }
    return missing;
}

static int64_t of_kib(int64_t kib) { return kib < INT64_MAX / 1024 ? 1024 * kib : INT64_MAX; }

static void read_machine(const char *root, struct tr_memory *out)
{
    char text[TEXT_BYTES];
    int64_t pages = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    bool there = read_text(root, "/proc/meminfo", text);
    int64_t total = there ? of_kib(field(text, "MemTotal:", pages / 1024)) : pages;
    int64_t available = there ? of_kib(field(text, "MemAvailable:", total / 1024)) : total;
    *out = (struct tr_memory){.free_bytes = available < total ? available : total, .total_bytes = total, .usable_bytes = total};
}

/* ---- control groups ---------------------------------------------------------------------------------------------- */

/* What the two versions call things. */
struct version {
    const char *folder, *limit, *used, *dropped;
};
static const struct version versions[] = {
    {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"},
    {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"},
};

static bool read_file_of(const char *root, const struct version *v, const char *group, const char *name, char text[TEXT_BYTES])
{
    char path[TR_PATH_BYTES];
    return snprintf(path, sizeof path, "%s%s/%s", v->folder, group, name) < (int)sizeof path && read_text(root, path, text);
}

static void look_at_group(const char *root, const struct version *v, const char *group, struct tr_memory *out)
{
    char text[TEXT_BYTES];
    int64_t limit = read_file_of(root, v, group, v->limit, text) ? read_number(text) : UNLIMITED;
    if (limit == UNLIMITED)
        return;
    int64_t used = read_file_of(root, v, group, v->used, text) ? read_number(text) : 0;
    int64_t dropped = read_file_of(root, v, group, "memory.stat", text) ? field(text, v->dropped, 0) : 0;
    used = used > dropped ? used - dropped : 0;
    int64_t left = limit > used ? limit - used : 0;
    if (limit < out->usable_bytes)
        out->usable_bytes = limit;
    if (left < out->free_bytes)
        *out = (struct tr_memory){.free_bytes = left, .total_bytes = limit, .usable_bytes = out->usable_bytes, .of_group = true};
}

/* A limit stands in a group's folder and in all folders above; inside a container the root is often already ours. `group` is cut off. */
static void look_at_groups(const char *root, const struct version *v, char *group, struct tr_memory *out)
{
    for (;;) {
        char *slash = strrchr(group, '/');
        look_at_group(root, v, strcmp(group, "/") == 0 ? "" : group, out);
        if (!slash || !group[0] || strcmp(group, "/") == 0)
            return;
        slash[slash == group] = 0; /* the slash of the root stays */
    }
}

/* A line is "0::/path" in version 2; "4:cpu,memory:/path" in version 1, where memory is a version by itself. */
static const struct version *version_of(const char *line, const char **group)
{
    const char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
    if (!path || path[1] != '/')
        return NULL;
    *group = path + 1;
    if (path == names + 1)
        return &versions[0];
    for (const char *name = names + 1; name < path; name += strcspn(name, ",:") + 1)
        if (strcspn(name, ",:") == strlen("memory") && strncmp(name, "memory", strlen("memory")) == 0)
            return &versions[1];
    return NULL;
}

void tr_memory_read(const char *root, struct tr_memory *out)
{
    char text[TEXT_BYTES], *next;
    read_machine(root, out);
    if (!read_text(root, "/proc/self/cgroup", text))
        return;
    for (char *line = text; line && *line; line = next) {
        const char *group;
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        const struct version *v = version_of(line, &group);
        if (v)
            look_at_groups(root, v, line + (group - line), out);
    }
}

const char *tr_memory_words(const struct tr_memory *memory, char words[TR_MEMORY_WORDS_BYTES])
{
    char left[TR_QUANTITY_BYTES], total[TR_QUANTITY_BYTES];
    snprintf(words, TR_MEMORY_WORDS_BYTES, "%s of the %s's %s are free", tr_print_bytes(left, memory->free_bytes),
             memory->of_group ? "control group" : "machine", tr_print_bytes(total, memory->total_bytes));
    return words;
}

int64_t tr_memory_usable_bytes(void)
{
    struct tr_memory memory;
    tr_memory_read("", &memory);
    return memory.usable_bytes;
}
