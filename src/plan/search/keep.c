/* The fastest, one of each way to divide the chips, the front. */
#include "plan/search/keep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FRONT_FIRST = 256 };

static enum tr_status make_list(struct tr_keep_list *list, int max, struct tr_err *err)
{
    *list = (struct tr_keep_list){.at = malloc(((size_t)max + 1) * sizeof *list->at), .max = max};
    return list->at ? TR_OK : tr_fail(err, TR_FAILED, "out of memory for %d layouts", max);
}

static enum tr_status make_fastest(struct tr_keep_fastest *f, double limit_bytes, int top, int apart, struct tr_err *err)
{
    f->limit_bytes = limit_bytes;
    f->wanted_s = INFINITY;
    enum tr_status status = make_list(&f->all, top, err);
    return status == TR_OK ? make_list(&f->apart, apart, err) : status;
}

enum tr_status tr_keep_make(struct tr_keep *keep, double limit_bytes, double sure_bytes, int top, int apart, struct tr_err *err)
{
    *keep = (struct tr_keep){.bins_a_byte = TR_KEEP_BINS / limit_bytes, .front_max = FRONT_FIRST};
    for (int i = 0; i <= TR_KEEP_BINS_ALL; i++)
        keep->bin_s[i] = INFINITY;
    keep->front = malloc(FRONT_FIRST * sizeof *keep->front);
    enum tr_status status = keep->front ? TR_OK : tr_fail(err, TR_FAILED, "out of memory for %d layouts", FRONT_FIRST);
    if (status == TR_OK)
        status = make_fastest(&keep->fits, limit_bytes, top, apart, err);
    return status == TR_OK ? make_fastest(&keep->sure, sure_bytes, top, apart, err) : status;
}

void tr_keep_free(struct tr_keep *keep)
{
    free(keep->fits.all.at), free(keep->fits.apart.at);
    free(keep->sure.all.at), free(keep->sure.apart.at);
    free(keep->front);
    *keep = (struct tr_keep){0};
}

/* ---- the fastest ------------------------------------------------------------------------------------------------- */

static bool faster(const struct tr_seen *a, const struct tr_seen *b)
{
    return a->time_s != b->time_s ? a->time_s < b->time_s : a->bytes < b->bytes;
}

static int find_alike(const struct tr_keep_list *list, const struct tr_layout *layout)
{
    int i = 0;
    while (i < list->count && !tr_layout_divides_alike(&list->at[i].layout, layout))
        i++;
    return i;
}

/* What is slower is not taken into a list that has no room for more. */
static double worst_s(const struct tr_keep_list *list)
{
    return list->count < list->max ? INFINITY : list->max ? list->at[list->max - 1].time_s : -INFINITY;
}

/* A way to divide the chips that has a place keeps it with its fastest. */
static void turn(struct tr_keep_fastest *f, const struct tr_layout *layout)
{
    int own = find_alike(&f->apart, layout);
    f->wanted_s = fmax(worst_s(&f->all), own < f->apart.count ? f->apart.at[own].time_s : worst_s(&f->apart));
}

double tr_keep_last_s(const struct tr_keep_fastest *f, const struct tr_layout *layout)
{
    int own = find_alike(&f->apart, layout), last = f->apart.max - 1;
    if (own < f->apart.count)
        return f->apart.at[own].time_s;
    return f->apart.count && f->apart.count == f->apart.max ? f->apart.at[last].time_s : f->all.at[0].time_s;
}

void tr_keep_turn(struct tr_keep *keep, const struct tr_layout *layout)
{
    turn(&keep->fits, layout);
    turn(&keep->sure, layout);
}

/* In its place; `gone`: whose place is given up for it, or the end of the list. */
static void insert(struct tr_keep_list *list, const struct tr_seen *seen, int gone)
{
    int at = gone;
    if (gone == list->count && list->count == list->max)
        at = --gone;
    else
        list->count += gone == list->count;
    while (at > 0 && faster(seen, &list->at[at - 1]))
        at--;
    memmove(&list->at[at + 1], &list->at[at], (size_t)(gone - at) * sizeof *list->at);
    list->at[at] = *seen;
}

static void add_fastest(struct tr_keep_fastest *f, const struct tr_seen *seen)
{
    const struct tr_keep_list *all = &f->all;
    int own = find_alike(&f->apart, &seen->layout), last = f->apart.max - 1;
    if (all->count < all->max || faster(seen, &all->at[all->max - 1]))
        insert(&f->all, seen, all->count);
    if (own < f->apart.count ? faster(seen, &f->apart.at[own]) : own <= last || (last >= 0 && faster(seen, &f->apart.at[last])))
        insert(&f->apart, seen, own);
    turn(f, &seen->layout);
}

/* ---- the front --------------------------------------------------------------------------------------------------- */

int tr_keep_within(const struct tr_keep *keep, double bytes)
{
    int low = 0, high = keep->front_count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (keep->front[middle].bytes > bytes)
            high = middle;
        else
            low = middle + 1;
    }
    return low - 1;
}

static enum tr_status grow_front(struct tr_keep *keep, struct tr_err *err)
{
    if (keep->front_max == TR_KEEP_FRONT_MAX)
        return tr_fail(err, TR_FAILED, "more than %d layouts of which none is better than another", keep->front_max);
    struct tr_seen *more = realloc(keep->front, 2 * (size_t)keep->front_max * sizeof *more);
    if (!more)
        return tr_fail(err, TR_FAILED, "out of memory for %d layouts", 2 * keep->front_max);
    keep->front = more;
    keep->front_max *= 2;
    return TR_OK;
}

static enum tr_status add_front(struct tr_keep *keep, const struct tr_seen *seen, struct tr_err *err)
{
    int end = tr_keep_within(keep, seen->bytes) + 1;
    if (end > 0 && keep->front[end - 1].time_s <= seen->time_s)
        return TR_OK; /* dominated */
    /* Those that it dominates: as many bytes or more, and not faster. */
    int from = end > 0 && keep->front[end - 1].bytes == seen->bytes ? end - 1 : end;
    while (end < keep->front_count && keep->front[end].time_s >= seen->time_s)
        end++;
    if (from == end && keep->front_count == keep->front_max) {
        enum tr_status status = grow_front(keep, err);
        if (status != TR_OK)
            return status;
    }
    memmove(&keep->front[from + 1], &keep->front[end], (size_t)(keep->front_count - end) * sizeof *keep->front);
    keep->front[from] = *seen;
    keep->front_count += 1 - (end - from);
    for (int i = tr_keep_bin(keep, seen->bytes) + 1; i <= TR_KEEP_BINS_ALL && keep->bin_s[i] > seen->time_s; i++)
        keep->bin_s[i] = seen->time_s;
    return TR_OK;
}

enum tr_status tr_keep_add(struct tr_keep *keep, const struct tr_seen *seen, struct tr_err *err)
{
    if (seen->bytes <= keep->fits.limit_bytes)
        add_fastest(&keep->fits, seen);
    if (seen->bytes <= keep->sure.limit_bytes)
        add_fastest(&keep->sure, seen);
    return add_front(keep, seen, err);
}
