#include "base/memory.h"

#include "base/cgroup.h"
#include "base/num.h"
#include "base/quantity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_BYTES = 8192, DIGITS_MAX = 18, UNLIMITED = -1 };

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
    bool there = tr_proc_read(root, "/proc/meminfo", text, sizeof text);
    int64_t total = there ? of_kib(field(text, "MemTotal:", pages / 1024)) : pages;
    int64_t available = there ? of_kib(field(text, "MemAvailable:", total / 1024)) : total;
    *out = (struct tr_memory){.free_bytes = available < total ? available : total, .total_bytes = total, .usable_bytes = total};
}

static int64_t read_bytes_of(const struct tr_cgroup *group, const char *name)
{
    char text[TEXT_BYTES];
    return tr_cgroup_read(group, name, text, sizeof text) ? read_number(text) : UNLIMITED;
}

/* Beyond memory.high the kernel takes memory back as fast as it is asked for, until nothing else goes on: no less a limit. */
static int64_t limit_of(const struct tr_cgroup *group)
{
    if (group->version == 1)
        return read_bytes_of(group, "memory.limit_in_bytes");
    const int64_t most = read_bytes_of(group, "memory.max"), high = read_bytes_of(group, "memory.high");
    return most == UNLIMITED || (high != UNLIMITED && high < most) ? high : most;
}

static void look_at_group(const struct tr_cgroup *group, void *to)
{
    const bool second = group->version == 2;
    struct tr_memory *out = to;
    char text[TEXT_BYTES];
    const int64_t limit = limit_of(group);
    if (limit == UNLIMITED)
        return;
    int64_t used = tr_max_i64(0, read_bytes_of(group, second ? "memory.current" : "memory.usage_in_bytes"));
    bool there = tr_cgroup_read(group, "memory.stat", text, sizeof text);
    int64_t dropped = there ? field(text, second ? "inactive_file" : "total_inactive_file", 0) : 0;
    int64_t left = tr_max_i64(0, limit - tr_max_i64(0, used - dropped));
    out->usable_bytes = tr_min_i64(limit, out->usable_bytes);
    if (left < out->free_bytes)
        *out = (struct tr_memory){.free_bytes = left, .total_bytes = limit, .usable_bytes = out->usable_bytes, .of_group = true};
}

void tr_memory_read(const char *root, struct tr_memory *out)
{
    read_machine(root, out);
    tr_cgroup_walk(root, "memory", look_at_group, out);
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
