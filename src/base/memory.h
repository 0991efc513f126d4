/* How much memory this process can have: what the machine has free, or what a control group allows it, whichever is less.
 *
 * Read as Linux says it, below /proc and /sys/fs/cgroup: MemAvailable of the machine, which counts what the kernel would drop; of each
 * control group that the process is in, version 2 (the lower of memory.max and memory.high, memory.current) and 1
 * (memory.limit_in_bytes, memory.usage_in_bytes), what is left of the limit, where files that nobody has used for a while
 * (inactive_file) count as free. Where something is not there, it limits nothing. No memory is allocated. */
#ifndef TR_BASE_MEMORY_H
#define TR_BASE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct tr_memory {
    int64_t free_bytes;   /* what can be had now, without what others have */
    int64_t total_bytes;  /* of which that is what is left: the machine's, or a group's limit */
    int64_t usable_bytes; /* what could be had if nobody else were here: the machine's, or the lowest limit */
    bool of_group;        /* it is a group that leaves the least */
};

enum { TR_MEMORY_WORDS_BYTES = 96 };
/* "20 GiB of the machine's 23.5 GiB are free". */
const char *tr_memory_words(const struct tr_memory *memory, char words[TR_MEMORY_WORDS_BYTES]);

/* `root` stands before all paths: "" for this machine, a folder for tests. */
void tr_memory_read(const char *root, struct tr_memory *out);

/* Of this machine, as it is now. */
int64_t tr_memory_usable_bytes(void);

#endif
