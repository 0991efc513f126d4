/* The merges of one piece: again and again the pair of lowest rank, of these the leftmost. Short pieces are scanned;
 * long ones have a heap of pairs and a list of symbols, n log n whatever they hold. */
#include "lab/token/vocab.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT_MAX = 40 };

static uint32_t rank_of(const struct tr_token *token, uint32_t left, uint32_t right)
{
    return tr_merge_find(&token->merges, left, right)->rank;
}

/* ---- short ------------------------------------------------------------------------------------------------------- */

static size_t merge_short(const struct tr_token *token, uint32_t *symbol, size_t count)
{
    uint32_t rank[SHORT_MAX];
    for (size_t i = 0; i + 1 < count; i++)
        rank[i] = rank_of(token, symbol[i], symbol[i + 1]);
    while (count > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < count; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == TR_NO_RANK)
            break;
        symbol[best] = tr_merge_find(&token->merges, symbol[best], symbol[best + 1])->made;
        memmove(symbol + best + 1, symbol + best + 2, (count - best - 2) * sizeof *symbol);
        count--;
        if (best + 1 < count)
            memmove(rank + best + 1, rank + best + 2, (count - best - 2) * sizeof *rank);
        if (best > 0)
            rank[best - 1] = rank_of(token, symbol[best - 1], symbol[best]);
        if (best + 1 < count)
            rank[best] = rank_of(token, symbol[best], symbol[best + 1]);
    }
    return count;
}

/* ---- long -------------------------------------------------------------------------------------------------------- */

/* A symbol that was taken by its left neighbour has no id. The neighbour of the last one is `count`. */
#define TAKEN UINT32_MAX

struct heap {
    uint64_t *item; /* rank << 32 | place of the left symbol; the smallest first */
    size_t count;
};

static void heap_push(struct heap *heap, uint64_t item)
{
    size_t at = heap->count++;
    while (at > 0 && heap->item[(at - 1) / 2] > item) {
        heap->item[at] = heap->item[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap->item[at] = item;
}

static uint64_t heap_pop(struct heap *heap)
{
    uint64_t first = heap->item[0], item = heap->item[--heap->count];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < heap->count) {
        if (child + 1 < heap->count && heap->item[child + 1] < heap->item[child])
            child++;
        if (item <= heap->item[child])
            break;
        heap->item[at] = heap->item[child];
        at = child;
    }
    heap->item[at] = item;
    return first;
}

static void push_pair(const struct tr_token *token, struct heap *heap, const uint32_t *symbol, uint32_t left,
                      uint32_t right)
{
    uint32_t rank = rank_of(token, symbol[left], symbol[right]);
    if (rank != TR_NO_RANK)
        heap_push(heap, (uint64_t)rank << 32 | left);
}

/* Each merge takes an item off the heap and puts at most two on it, so it never holds more than 2 count. */
static size_t merge_long(const struct tr_token *token, uint32_t *symbol, uint32_t count, uint32_t *links,
                         uint64_t *items)
{
    uint32_t *before = links, *after = links + count;
    struct heap heap = {items, 0};
    for (uint32_t i = 0; i < count; i++) {
        before[i] = i - 1;
        after[i] = i + 1;
    }
    for (uint32_t i = 0; i + 1 < count; i++)
        push_pair(token, &heap, symbol, i, i + 1);
    while (heap.count > 0) {
        uint64_t item = heap_pop(&heap);
        uint32_t left = (uint32_t)item, right = after[left];
        if (symbol[left] == TAKEN || right == count)
            continue;
        const struct tr_merge_slot *slot = tr_merge_find(&token->merges, symbol[left], symbol[right]);
        if (slot->rank != (uint32_t)(item >> 32)) /* the pair that stood here has changed */
            continue;
        symbol[left] = slot->made;
        symbol[right] = TAKEN;
        after[left] = after[right];
        if (after[left] < count) {
            before[after[left]] = left;
            push_pair(token, &heap, symbol, left, after[left]);
        }
        if (left > 0)
            push_pair(token, &heap, symbol, before[left], left);
    }
    size_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (symbol[i] != TAKEN)
            symbol[kept++] = symbol[i];
    return kept;
}

/* ---- a piece ----------------------------------------------------------------------------------------------------- */

/* count symbols, then 2 count links, then 2 count items of two words each */
static uint32_t *work_for(struct tr_bpe_work *work, size_t bytes, struct tr_err *err)
{
    size_t words = bytes <= SHORT_MAX ? SHORT_MAX : 7 * bytes + 2;
    if (work->words < words) {
        uint32_t *at = aligned_alloc(64, (words * sizeof *at + 63) / 64 * 64);
        if (!at) {
            (void)tr_fail(err, TR_FAILED, "out of memory for a piece of %zu bytes without a border", bytes);
            return NULL;
        }
        free(work->at);
        work->at = at;
        work->words = words;
    }
    return work->at;
}

static uint32_t first_symbols(const struct tr_token *token, const uint8_t *piece, size_t bytes, uint32_t *symbol)
{
    uint32_t count = 0;
    bool unknown_before = false;
    for (size_t i = 0; i < bytes; i++) {
        int32_t id = token->byte_id[piece[i]];
        bool unknown = id < 0;
        if (unknown)
            id = unknown_before && token->fuse_unknown ? -1 : token->unknown;
        if (id >= 0)
            symbol[count++] = (uint32_t)id;
        unknown_before = unknown;
    }
    return count;
}

enum tr_status tr_bpe_piece(const struct tr_token *token, struct tr_bpe_work *work, const uint8_t *piece, size_t bytes,
                            struct tr_ids *ids, struct tr_err *err)
{
    if (token->ignore_merges) {
        int32_t whole = tr_vocab_find(token, piece, bytes);
        if (whole >= 0)
            return tr_ids_add(ids, whole, err);
    }
    uint32_t *symbol = work_for(work, bytes, err);
    if (!symbol)
        return TR_FAILED;
    size_t count = first_symbols(token, piece, bytes, symbol);
    if (count <= SHORT_MAX) {
        count = merge_short(token, symbol, count);
    } else {
        size_t items = (3 * bytes + 1) / 2 * 2;
        count = merge_long(token, symbol, (uint32_t)count, symbol + bytes, (uint64_t *)(symbol + items));
    }
    for (size_t i = 0; i < count; i++) {
        enum tr_status status = tr_ids_add(ids, (int32_t)symbol[i], err);
        if (status != TR_OK)
            return status;
    }
    return TR_OK;
}
