/* Distinct pieces of a text and how often each occurs: internal to lab/token. */
#ifndef TR_LAB_TOKEN_PIECES_H
#define TR_LAB_TOKEN_PIECES_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct tr_piece {
    int64_t begin; /* in pool */
    int64_t bytes;
    int64_t count;
};

struct tr_pieces {
    int64_t max_count, max_bytes;
    struct tr_piece *piece;
    int64_t count, room;
    char *pool;
    int64_t pool_bytes, pool_room;
    int64_t *slot; /* indices of pieces, -1: empty; `mask` + 1 of them */
    uint64_t mask;
    int64_t dropped; /* occurrences */
};

TR_MUST_CHECK enum tr_status tr_pieces_add(struct tr_pieces *pieces, const char *piece, size_t bytes,
                                           struct tr_err *err);
void tr_pieces_free(struct tr_pieces *pieces);

#endif
