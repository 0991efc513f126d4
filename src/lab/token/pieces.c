#include "lab/token/pieces.h"

#include "base/num.h"
#include "lab/token/vocab.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 1024 };

static enum tr_status no_memory(struct tr_err *err, int64_t bytes)
{
    return tr_fail(err, TR_FAILED, "out of memory for the pieces of the text: %lld bytes more were asked for",
                   (long long)bytes);
}

/* The slot of a piece, or the empty one where it belongs. */
static int64_t *find(const struct tr_pieces *p, const char *piece, size_t bytes)
{
    for (uint64_t at = tr_hash_bytes(piece, bytes);; at++) {
        int64_t *slot = &p->slot[at & p->mask];
        if (*slot < 0)
            return slot;
        const struct tr_piece *have = &p->piece[*slot];
        if (have->bytes == (int64_t)bytes && memcmp(p->pool + have->begin, piece, bytes) == 0)
            return slot;
    }
}

static void index_all(struct tr_pieces *p)
{
    memset(p->slot, 0xFF, ((size_t)p->mask + 1) * sizeof *p->slot);
    for (int64_t i = 0; i < p->count; i++)
        *find(p, p->pool + p->piece[i].begin, (size_t)p->piece[i].bytes) = i;
}

static enum tr_status grow(struct tr_pieces *p, struct tr_err *err)
{
    int64_t room = p->room ? 2 * p->room : FIRST_ROOM;
    struct tr_piece *piece = realloc(p->piece, (size_t)room * sizeof *piece);
    p->piece = piece ? piece : p->piece;
    int64_t *slot = piece ? realloc(p->slot, 2 * (size_t)room * sizeof *slot) : NULL;
    if (!slot)
        return no_memory(err, room * (int64_t)(sizeof *piece + 2 * sizeof *slot));
    p->slot = slot;
    p->mask = 2 * (uint64_t)room - 1;
    p->room = room;
    index_all(p);
    return TR_OK;
}

static enum tr_status grow_pool(struct tr_pieces *p, int64_t bytes, struct tr_err *err)
{
    int64_t room = tr_max_i64(p->pool_room, FIRST_ROOM);
    while (room < p->pool_bytes + bytes)
        room *= 2;
    char *pool = realloc(p->pool, (size_t)room);
    if (!pool)
        return no_memory(err, room);
    p->pool = pool;
    p->pool_room = room;
    return TR_OK;
}

/* Drops the rarest pieces until both limits are at most half used. */
static void drop_rare(struct tr_pieces *p)
{
    for (int64_t rare = 1; p->count > 0 && (p->count > p->max_count / 2 || p->pool_bytes > p->max_bytes / 2); rare++) {
        int64_t kept = 0, bytes = 0;
        for (int64_t i = 0; i < p->count; i++) {
            struct tr_piece piece = p->piece[i];
            if (piece.count <= rare) {
                p->dropped += piece.count;
                continue;
            }
            memmove(p->pool + bytes, p->pool + piece.begin, (size_t)piece.bytes);
            piece.begin = bytes;
            bytes += piece.bytes;
            p->piece[kept++] = piece;
        }
        p->count = kept;
        p->pool_bytes = bytes;
    }
    index_all(p);
}

enum tr_status tr_pieces_add(struct tr_pieces *p, const char *piece, size_t bytes, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    if (p->room == 0 && (status = grow(p, err)) != TR_OK)
        return status;
    int64_t *slot = find(p, piece, bytes);
    if (*slot >= 0) {
        p->piece[*slot].count++;
        return TR_OK;
    }
    if ((int64_t)bytes > p->max_bytes / 2) { /* it could not be kept with anything else */
        p->dropped++;
        return TR_OK;
    }
    if (p->count == p->max_count || p->pool_bytes + (int64_t)bytes > p->max_bytes)
        drop_rare(p);
    if (p->count == p->room)
        status = grow(p, err);
    if (status == TR_OK && p->pool_bytes + (int64_t)bytes > p->pool_room)
        status = grow_pool(p, (int64_t)bytes, err);
    if (status != TR_OK)
        return status;
    *find(p, piece, bytes) = p->count;
    p->piece[p->count++] = (struct tr_piece){p->pool_bytes, (int64_t)bytes, 1};
    memcpy(p->pool + p->pool_bytes, piece, bytes);
    p->pool_bytes += (int64_t)bytes;
    return TR_OK;
}

void tr_pieces_free(struct tr_pieces *pieces)
{
    free(pieces->piece);
    free(pieces->pool);
    free(pieces->slot);
    *pieces = (struct tr_pieces){0};
}
