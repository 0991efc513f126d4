/* Memory by lifetime: small things in arenas, big things in slabs. Nothing is freed one by one.
 *
 * An arena hands out zeroed memory until it is freed as a whole. It is named for how long it lives ("command",
 * "request", "document"), because that is what a reader must know about a pointer. It grows by chunks up to a maximum.
 *
 *     struct tr_arena scratch;
 *     tr_arena_init(&scratch, "request", 64 << 20);
 *     float *row = tr_arena_array(&scratch, width, sizeof *row, err);
 *     if (!row)
 *         return TR_FAILED;                    (err already holds the sentence)
 *     ...
 *     tr_arena_free(&scratch);
 *
 * Out of memory, beyond the maximum, or count * bytes that overflows: NULL, and *err says which arena and how much.
 * There is one way to ask and one way to fail; the caller of a NULL returns TR_FAILED.
 *
 * A slab is one big mapping for tensors: 64-byte (in fact page) aligned, zero, on huge pages where the system has them.
 * First touch of a page is expensive on virtual machines (10 us per 4 KiB is seen), so a slab is mapped once at
 * start-up and used until the end. tr_slab_touch() pays for all pages at once, before anybody times anything. */
#ifndef TR_BASE_ARENA_H
#define TR_BASE_ARENA_H

#include "base/err.h"

#include <stdarg.h>
#include <stdint.h>

enum { TR_ARENA_ALIGN = 64, TR_ARENA_CHUNK_BYTES = 64 * 1024 };

struct tr_arena_chunk;

struct tr_arena {
    const char *name;             /* the lifetime; shown in errors and memory reports; not owned */
    int64_t max_bytes;            /* never more than this is asked of the system */
    int64_t reserved_bytes;       /* asked of the system now */
    int64_t used_bytes;           /* handed out, with alignment */
    struct tr_arena_chunk *chunk; /* newest; older ones behind it */
};

/* Makes an empty arena; takes no memory yet, cannot fail. */
void tr_arena_init(struct tr_arena *arena, const char *name, int64_t max_bytes);

/* Zeroed memory aligned to TR_ARENA_ALIGN; bytes >= 0, and 0 bytes is a valid pointer too. NULL and *err on failure. */
void *tr_arena_alloc(struct tr_arena *arena, int64_t bytes, struct tr_err *err);

/* count * item_bytes, checked for overflow: for counts from outside. Negative counts fail too. */
void *tr_arena_array(struct tr_arena *arena, int64_t count, int64_t item_bytes, struct tr_err *err);

char *tr_arena_strdup(struct tr_arena *arena, const char *text, struct tr_err *err);

/* Copies `bytes` bytes and puts a 0 behind them. */
char *tr_arena_copy(struct tr_arena *arena, const void *data, int64_t bytes, struct tr_err *err);

char *tr_arena_printf(struct tr_arena *arena, struct tr_err *err, const char *fmt, ...) TR_PRINTF(3, 4);

/* Gives everything back. The arena is empty and may be used again. Also right on a zeroed struct. */
void tr_arena_free(struct tr_arena *arena);

struct tr_slab {
    void *at;      /* NULL when not mapped */
    int64_t bytes; /* as asked for */
    int64_t mapped_bytes;
};

/* Maps `bytes` > 0 zero bytes. TR_FAILED with the sizes when the system refuses. */
TR_MUST_CHECK enum tr_status tr_slab_map(int64_t bytes, struct tr_slab *slab, struct tr_err *err);

/* Writes one byte to every page, so that later use never waits for the kernel. */
void tr_slab_touch(struct tr_slab *slab);

/* Also right on a zeroed struct. */
void tr_slab_unmap(struct tr_slab *slab);

/* For what malloc or realloc gave, before it is touched: where it is some megabytes, the system may give it huge pages, as a slab has
 * them, and one first touch in 512 is left. Only a wish; nothing else changes. */
void tr_memory_wish_huge(void *at, int64_t bytes);

#endif
