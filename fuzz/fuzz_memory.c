/* Any text as what the kernel says of memory and control groups: what is free is no more than there is. */
#include "base/memory.h"
#include "folder.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void put_folder(const char *name)
{
    char path[128];
    struct tr_err err;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    TR_ASSERT(tr_folder_make(path, &err) == TR_OK);
}

static void begin(void)
{
    static const char *const folders[] = {"proc", "proc/self", "sys", "sys/fs", "sys/fs/cgroup", "sys/fs/cgroup/a", "sys/fs/cgroup/memory"};
    folder_make();
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        put_folder(folders[i]);
}

/* The same text in all places but one: there it is right. */
static void look(const uint8_t *data, size_t bytes, const char *right, const char *text)
{
    static const char *const files[] = {"proc/meminfo", "proc/self/cgroup", "sys/fs/cgroup/a/memory.max", "sys/fs/cgroup/a/memory.current",
                                        "sys/fs/cgroup/a/memory.stat", "sys/fs/cgroup/memory/memory.limit_in_bytes",
                                        "sys/fs/cgroup/memory/memory.usage_in_bytes", "sys/fs/cgroup/memory/memory.stat"};
    struct tr_memory memory;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        folder_put(files[i], data, bytes);
    folder_put(right, text, strlen(text));
    tr_memory_read(folder, &memory);
    TR_ASSERT(memory.free_bytes >= 0 && memory.free_bytes <= memory.total_bytes && memory.usable_bytes >= 0);
    TR_ASSERT(memory.usable_bytes <= memory.total_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (!folder[0])
        begin();
    look(data, bytes, "proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 500000 kB\n");
    look(data, bytes, "proc/self/cgroup", "4:memory:/\n0::/a\n");
    return 0;
}
