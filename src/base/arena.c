#include "base/arena.h"

#include "base/num.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct tr_arena_chunk {
    struct tr_arena_chunk *older;
    int64_t bytes; /* behind the header */
    int64_t used;
};

/* The header takes one alignment unit, so that what follows it is aligned as the chunk is. */
enum { HEADER_BYTES = TR_ARENA_ALIGN };
_Static_assert(sizeof(struct tr_arena_chunk) <= HEADER_BYTES, "the chunk's header outgrew its place");

static char *chunk_data(struct tr_arena_chunk *chunk)
{
    return (char *)chunk + HEADER_BYTES;
}

void tr_arena_init(struct tr_arena *arena, const char *name, int64_t max_bytes)
{
    TR_ASSERT(name && max_bytes >= 0);
    *arena = (struct tr_arena){.name = name, .max_bytes = max_bytes};
}

static struct tr_arena_chunk *chunk_new(struct tr_arena *arena, int64_t bytes, struct tr_err *err)
{
    int64_t room = arena->max_bytes - arena->reserved_bytes - HEADER_BYTES;
    if (bytes > room) {
        tr_fail(err, TR_FAILED, "the memory for one %s is full: %lld bytes more are needed, %lld of %lld are in use",
                arena->name, (long long)bytes, (long long)arena->used_bytes, (long long)arena->max_bytes);
        return NULL;
    }
    /* Doubling keeps the number of chunks small; the last chunk takes what the maximum leaves. */
    int64_t wanted = tr_max_i64(bytes, tr_max_i64(TR_ARENA_CHUNK_BYTES, arena->reserved_bytes));
    wanted = tr_min_i64(wanted, tr_max_i64(bytes, room / TR_ARENA_ALIGN * TR_ARENA_ALIGN));
    struct tr_arena_chunk *chunk = aligned_alloc(TR_ARENA_ALIGN, (size_t)(wanted + HEADER_BYTES));
    if (!chunk) {
        tr_fail(err, TR_FAILED, "out of memory: %lld bytes for one %s", (long long)wanted, arena->name);
        return NULL;
    }
    *chunk = (struct tr_arena_chunk){.older = arena->chunk, .bytes = wanted};
    arena->chunk = chunk;
    arena->reserved_bytes += wanted + HEADER_BYTES;
    return chunk;
}

void *tr_arena_alloc(struct tr_arena *arena, int64_t bytes, struct tr_err *err)
{
    TR_ASSERT(bytes >= 0 && arena->name);
    if (bytes > arena->max_bytes) {
        tr_fail(err, TR_FAILED, "%lld bytes for one %s: more than the limit of %lld", (long long)bytes, arena->name,
                (long long)arena->max_bytes);
        return NULL;
    }
    /* 0 bytes take a unit too: every pointer is a different one. bytes <= max_bytes, so this fits unless the maximum
     * itself is at the end of int64, which is no maximum that we set. */
    int64_t rounded = tr_round_up(tr_max_i64(bytes, 1), TR_ARENA_ALIGN);
    struct tr_arena_chunk *chunk = arena->chunk;
    if (!chunk || chunk->bytes - chunk->used < rounded)
        chunk = chunk_new(arena, rounded, err);
    if (!chunk)
        return NULL;
    char *at = chunk_data(chunk) + chunk->used;
    chunk->used += rounded;
    arena->used_bytes += rounded;
    return memset(at, 0, (size_t)rounded);
}

void *tr_arena_array(struct tr_arena *arena, int64_t count, int64_t item_bytes, struct tr_err *err)
{
    int64_t bytes;
    if (count < 0 || item_bytes < 0 || !tr_mul_i64(count, item_bytes, &bytes)) {
        tr_fail(err, TR_FAILED, "%lld items of %lld bytes for one %s: not a size", (long long)count,
                (long long)item_bytes, arena->name);
        return NULL;
    }
    return tr_arena_alloc(arena, bytes, err);
}

char *tr_arena_copy(struct tr_arena *arena, const void *data, int64_t bytes, struct tr_err *err)
{
    TR_ASSERT(bytes >= 0 && bytes < INT64_MAX);
    char *copy = tr_arena_alloc(arena, bytes + 1, err);
    if (copy && bytes)
        memcpy(copy, data, (size_t)bytes);
    return copy;
}

char *tr_arena_strdup(struct tr_arena *arena, const char *text, struct tr_err *err)
{
    return tr_arena_copy(arena, text, (int64_t)strlen(text), err);
}

char *tr_arena_printf(struct tr_arena *arena, struct tr_err *err, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    TR_ASSERT(len >= 0);
    char *text = tr_arena_alloc(arena, (int64_t)len + 1, err);
    if (text)
        vsnprintf(text, (size_t)len + 1, fmt, again);
    va_end(again);
    return text;
}

void tr_arena_free(struct tr_arena *arena)
{
    for (struct tr_arena_chunk *chunk = arena->chunk, *older; chunk; chunk = older) {
        older = chunk->older;
        free(chunk);
    }
    arena->chunk = NULL;
    arena->used_bytes = 0;
    arena->reserved_bytes = 0;
}

/* The size of a huge page on x86 and on most Arm systems. A mapping that is not a multiple of it has a tail of small
 * pages, which is all right; one that does not start at a multiple loses its first huge page. */
enum { HUGE_PAGE_BYTES = 2 << 20 };

enum tr_status tr_slab_map(int64_t bytes, struct tr_slab *slab, struct tr_err *err)
{
    TR_ASSERT(bytes > 0);
    /* One huge page more than asked for, to be able to start at a multiple of it: untouched pages cost nothing. */
    int64_t mapped_bytes;
    if (!tr_add_i64(bytes, 2 * (int64_t)HUGE_PAGE_BYTES - 1, &mapped_bytes))
        return tr_fail(err, TR_FAILED, "a slab of %lld bytes: not a size", (long long)bytes);
    mapped_bytes -= mapped_bytes % HUGE_PAGE_BYTES;
    char *at = mmap(NULL, (size_t)mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return tr_fail(err, TR_FAILED, "out of memory: the system refuses a slab of %lld bytes (%s)",
                       (long long)bytes, strerror(errno));
    int64_t skip = (int64_t)(-(uintptr_t)at % HUGE_PAGE_BYTES);
    if (skip) {
        munmap(at, (size_t)skip);
        at += skip;
        mapped_bytes -= skip;
    }
    madvise(at, (size_t)mapped_bytes, MADV_HUGEPAGE); /* a wish: where it is refused, small pages serve */
    *slab = (struct tr_slab){.at = at, .bytes = bytes, .mapped_bytes = mapped_bytes};
    return TR_OK;
}

void tr_slab_touch(struct tr_slab *slab)
{
    int64_t page = sysconf(_SC_PAGESIZE);
    volatile char *at = slab->at;
    for (int64_t i = 0; i < slab->bytes; i += page)
        at[i] = at[i];
}

void tr_slab_unmap(struct tr_slab *slab)
{
    if (slab->at)
        munmap(slab->at, (size_t)slab->mapped_bytes);
    *slab = (struct tr_slab){0};
}

/* From the page that malloc's own header is in to the end of the last one: a mapping of its own is marked as a whole, so that realloc can
 * still move it without a copy. */
void tr_memory_wish_huge(void *at, int64_t bytes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)at - (uintptr_t)at % page, end = (uintptr_t)at + (uintptr_t)bytes;
    if (bytes >= 2 * HUGE_PAGE_BYTES)
        madvise((void *)begin, (end - begin + page - 1) / page * page, MADV_HUGEPAGE);
}
