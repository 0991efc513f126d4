/* Pairs of neighbouring symbols, how often each occurs and where: what training a vocabulary asks again and again.
 * Internal to lab/token. */
#ifndef TR_LAB_TOKEN_PAIRS_H
#define TR_LAB_TOKEN_PAIRS_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define TR_NOWHERE UINT32_MAX

struct tr_pair {
    uint32_t left, right;
    int64_t count; /* 0: does not occur now */
    uint32_t head; /* the place of one occurrence; the others by tr_pairs.later */
    bool used;     /* the slot is taken */
    bool fresh;    /* it is in tr_pairs.fresh */
};

struct tr_heap_item {
    int64_t count;
    uint32_t left, right;
};

struct tr_pairs {
    struct tr_pair *pair; /* open addressing */
    uint64_t mask;
    int64_t used;
    /* Of each place, the place before and after it in the list of its pair. */
    uint32_t *earlier, *later;
    /* The most frequent first, of equals the smaller pair. Counts may be out of date: they are looked up when it comes
     * to the top. */
    struct tr_heap_item *heap;
    int64_t heap_count, heap_room;
    struct tr_heap_item *fresh; /* pairs that occur more often than the heap knows */
    int64_t fresh_count, fresh_room;
};

TR_MUST_CHECK enum tr_status tr_pairs_make(struct tr_pairs *pairs, int64_t places, struct tr_err *err);
void tr_pairs_free(struct tr_pairs *pairs);

/* `count` more occurrences of the pair, at `place`. */
TR_MUST_CHECK enum tr_status tr_pairs_add(struct tr_pairs *pairs, uint32_t left, uint32_t right, uint32_t place,
                                          int64_t count, struct tr_err *err);
/* Takes back what was added at `place`. */
void tr_pairs_remove(struct tr_pairs *pairs, uint32_t left, uint32_t right, uint32_t place, int64_t count);

/* Puts the pairs that were added to since the last time on the heap. */
TR_MUST_CHECK enum tr_status tr_pairs_settle(struct tr_pairs *pairs, struct tr_err *err);

/* The most frequent pair, taken off the heap; NULL when none occurs. */
struct tr_pair *tr_pairs_best(struct tr_pairs *pairs);

#endif
