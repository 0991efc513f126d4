#include "lab/token/pairs.h"

#include "lab/token/vocab.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 1 << 14 };

static enum tr_status no_memory(struct tr_err *err)
{
    return tr_fail(err, TR_FAILED, "out of memory for the pairs of the text: fewer pieces need less");
}

enum tr_status tr_pairs_make(struct tr_pairs *pairs, int64_t places, struct tr_err *err)
{
    *pairs = (struct tr_pairs){.mask = FIRST_SLOTS - 1};
    pairs->pair = calloc(FIRST_SLOTS, sizeof *pairs->pair);
    pairs->earlier = malloc((size_t)(places ? places : 1) * sizeof *pairs->earlier);
    pairs->later = malloc((size_t)(places ? places : 1) * sizeof *pairs->later);
    return pairs->pair && pairs->earlier && pairs->later ? TR_OK : no_memory(err);
}

void tr_pairs_free(struct tr_pairs *pairs)
{
    free(pairs->pair);
    free(pairs->earlier);
    free(pairs->later);
    free(pairs->heap);
    free(pairs->fresh);
    *pairs = (struct tr_pairs){0};
}

static struct tr_pair *find(const struct tr_pairs *pairs, uint32_t left, uint32_t right)
{
    for (uint64_t at = tr_mix64((uint64_t)left << 32 | right);; at++) {
        struct tr_pair *pair = &pairs->pair[at & pairs->mask];
        if (!pair->used || (pair->left == left && pair->right == right))
            return pair;
    }
}

/* Twice the slots; pairs that do not occur any more are left behind. */
static enum tr_status grow(struct tr_pairs *pairs, struct tr_err *err)
{
    struct tr_pairs new = *pairs;
    new.mask = 2 * pairs->mask + 1;
    new.used = 0;
    new.pair = calloc(new.mask + 1, sizeof *new.pair);
    if (!new.pair)
        return no_memory(err);
    for (uint64_t i = 0; i <= pairs->mask; i++)
        if (pairs->pair[i].used && pairs->pair[i].count > 0) {
            *find(&new, pairs->pair[i].left, pairs->pair[i].right) = pairs->pair[i];
            new.used++;
        }
    free(pairs->pair);
    *pairs = new;
    return TR_OK;
}

static enum tr_status make_room(struct tr_heap_item **items, int64_t count, int64_t *room, struct tr_err *err)
{
    if (count < *room)
        return TR_OK;
    int64_t more = *room ? 2 * *room : 1024;
    struct tr_heap_item *new = realloc(*items, (size_t)more * sizeof *new);
    if (!new)
        return no_memory(err);
    *items = new;
    *room = more;
    return TR_OK;
}

/* The pair's slot, made when there is none. */
static enum tr_status enter(struct tr_pairs *pairs, uint32_t left, uint32_t right, struct tr_pair **out,
                            struct tr_err *err)
{
    struct tr_pair *pair = find(pairs, left, right);
    if (!pair->used && 2 * pairs->used > (int64_t)pairs->mask) {
        enum tr_status status = grow(pairs, err);
        if (status != TR_OK)
            return status;
        pair = find(pairs, left, right);
    }
    if (!pair->used) {
        *pair = (struct tr_pair){.left = left, .right = right, .head = TR_NOWHERE, .used = true};
        pairs->used++;
    }
    *out = pair;
    return TR_OK;
}

enum tr_status tr_pairs_add(struct tr_pairs *pairs, uint32_t left, uint32_t right, uint32_t place, int64_t count,
                            struct tr_err *err)
{
    struct tr_pair *pair;
    enum tr_status status = enter(pairs, left, right, &pair, err);
    if (status == TR_OK && !pair->fresh)
        status = make_room(&pairs->fresh, pairs->fresh_count, &pairs->fresh_room, err);
    if (status != TR_OK)
        return status;
    if (!pair->fresh)
        pairs->fresh[pairs->fresh_count++] = (struct tr_heap_item){0, left, right};
    pair->fresh = true;
    pair->count += count;
    pairs->earlier[place] = TR_NOWHERE;
    pairs->later[place] = pair->head;
    if (pair->head != TR_NOWHERE)
        pairs->earlier[pair->head] = place;
    pair->head = place;
    return TR_OK;
}

void tr_pairs_remove(struct tr_pairs *pairs, uint32_t left, uint32_t right, uint32_t place, int64_t count)
{
    struct tr_pair *pair = find(pairs, left, right);
    uint32_t earlier = pairs->earlier[place], later = pairs->later[place];
    TR_ASSERT(pair->used && pair->count >= count);
    pair->count -= count;
    if (earlier != TR_NOWHERE)
        pairs->later[earlier] = later;
    else
        pair->head = later;
    if (later != TR_NOWHERE)
        pairs->earlier[later] = earlier;
}

/* ---- the heap ---------------------------------------------------------------------------------------------------- */

static int comes_before(const struct tr_heap_item *a, const struct tr_heap_item *b)
{
    if (a->count != b->count)
        return a->count > b->count;
    return a->left != b->left ? a->left < b->left : a->right < b->right;
}

static enum tr_status push(struct tr_pairs *pairs, struct tr_heap_item item, struct tr_err *err)
{
    enum tr_status status = make_room(&pairs->heap, pairs->heap_count, &pairs->heap_room, err);
    if (status != TR_OK)
        return status;
    int64_t at = pairs->heap_count++;
    while (at > 0 && comes_before(&item, &pairs->heap[(at - 1) / 2])) {
        pairs->heap[at] = pairs->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    pairs->heap[at] = item;
    return TR_OK;
}

/* Puts `item` in the place of the first one. */
static void replace_first(struct tr_pairs *pairs, struct tr_heap_item item)
{
    int64_t at = 0, child;
    while ((child = 2 * at + 1) < pairs->heap_count) {
        if (child + 1 < pairs->heap_count && comes_before(&pairs->heap[child + 1], &pairs->heap[child]))
            child++;
        if (!comes_before(&pairs->heap[child], &item))
            break;
        pairs->heap[at] = pairs->heap[child];
        at = child;
    }
    pairs->heap[at] = item;
}

static void drop_first(struct tr_pairs *pairs)
{
    pairs->heap_count--;
    if (pairs->heap_count > 0)
        replace_first(pairs, pairs->heap[pairs->heap_count]);
}

enum tr_status tr_pairs_settle(struct tr_pairs *pairs, struct tr_err *err)
{
    enum tr_status status = TR_OK;
    for (int64_t i = 0; i < pairs->fresh_count && status == TR_OK; i++) {
        struct tr_heap_item item = pairs->fresh[i];
        struct tr_pair *pair = find(pairs, item.left, item.right);
        if (!pair->used || !pair->fresh)
            continue;
        pair->fresh = false;
        item.count = pair->count;
        if (item.count > 0)
            status = push(pairs, item, err);
    }
    pairs->fresh_count = 0;
    return status;
}

struct tr_pair *tr_pairs_best(struct tr_pairs *pairs)
{
    while (pairs->heap_count > 0) {
        struct tr_heap_item first = pairs->heap[0];
        struct tr_pair *pair = find(pairs, first.left, first.right);
        if (!pair->used || pair->count == 0) {
            drop_first(pairs);
        } else if (pair->count != first.count) {
            first.count = pair->count;
            replace_first(pairs, first);
        } else {
            drop_first(pairs);
            return pair;
        }
    }
    return NULL;
}
