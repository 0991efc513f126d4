/* The fastest, the front, the lightest. */
#include "plan/search/keep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FRONT_FIRST = 256 };

enum tr_status tr_keep_make(struct tr_keep *keep, double limit_bytes, int top, struct tr_err *err)
{
    *keep = (struct tr_keep){.limit_bytes = limit_bytes,
                             .lightest = {.bytes = INFINITY},
                             .unlimited = {.time_s = INFINITY, .bytes = INFINITY},
                             .top_max = top,
                             .top_worst_s = INFINITY,
                             .front_max = FRONT_FIRST};
    for (int i = 0; i <= TR_KEEP_BINS; i++)
        keep->bin_s[i] = INFINITY;
    keep->top = malloc((size_t)top * sizeof *keep->top);
    keep->front = malloc(FRONT_FIRST * sizeof *keep->front);
    return keep->top && keep->front ? TR_OK : tr_fail(err, TR_FAILED, "out of memory for %d layouts", top);
}

void tr_keep_free(struct tr_keep *keep)
{
    free(keep->top);
    free(keep->front);
    keep->top = keep->front = NULL;
}

static bool faster(const struct tr_seen *a, const struct tr_seen *b)
{
    return a->time_s != b->time_s ? a->time_s < b->time_s : a->bytes < b->bytes;
}

static void add_top(struct tr_keep *keep, const struct tr_seen *seen)
{
    int at = keep->top_count;
    if (at == keep->top_max && !faster(seen, &keep->top[at - 1]))
        return;
    while (at > 0 && faster(seen, &keep->top[at - 1]))
        at--;
    int moved = (keep->top_count < keep->top_max ? keep->top_count++ : keep->top_max - 1) - at;
    memmove(&keep->top[at + 1], &keep->top[at], (size_t)moved * sizeof *keep->top);
    keep->top[at] = *seen;
    if (keep->top_count == keep->top_max)
        keep->top_worst_s = keep->top[keep->top_max - 1].time_s;
}

/* The first of the front that takes more bytes. */
static int above(const struct tr_keep *keep, double bytes)
{
    int low = 0, high = keep->front_count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (keep->front[middle].bytes > bytes)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static enum tr_status add_front(struct tr_keep *keep, const struct tr_seen *seen, struct tr_err *err)
{
    int end = above(keep, seen->bytes);
    if (end > 0 && keep->front[end - 1].time_s <= seen->time_s)
        return TR_OK; /* dominated */
    /* Those that it dominates: as many bytes or more, and not faster. */
    int from = end > 0 && keep->front[end - 1].bytes == seen->bytes ? end - 1 : end;
    while (end < keep->front_count && keep->front[end].time_s >= seen->time_s)
        end++;
    if (from == end && keep->front_count == keep->front_max) {
        if (keep->front_max == TR_KEEP_FRONT_MAX)
            return tr_fail(err, TR_FAILED, "more than %d layouts of which none is better than another", keep->front_max);
        struct tr_seen *more = realloc(keep->front, 2 * (size_t)keep->front_max * sizeof *more);
        if (!more)
            return tr_fail(err, TR_FAILED, "out of memory for %d layouts", 2 * keep->front_max);
        keep->front = more;
        keep->front_max *= 2;
    }
    memmove(&keep->front[from + 1], &keep->front[end], (size_t)(keep->front_count - end) * sizeof *keep->front);
    keep->front[from] = *seen;
    keep->front_count += 1 - (end - from);
    for (int i = (int)(seen->bytes / keep->limit_bytes * TR_KEEP_BINS) + 1;
         i <= TR_KEEP_BINS && keep->bin_s[i] > seen->time_s; i++)
        keep->bin_s[i] = seen->time_s;
    return TR_OK;
}

enum tr_status tr_keep_add(struct tr_keep *keep, const struct tr_seen *seen, struct tr_err *err)
{
    if (seen->bytes < keep->lightest.bytes || (seen->bytes == keep->lightest.bytes && faster(seen, &keep->lightest)))
        keep->lightest = *seen;
    if (faster(seen, &keep->unlimited))
        keep->unlimited = *seen;
    if (seen->bytes > keep->limit_bytes)
        return TR_OK;
    add_top(keep, seen);
    return add_front(keep, seen, err);
}
