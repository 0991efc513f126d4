/* Which limit is the tightest: a search without each, of what it alone keeps out. */
#include "plan/search/space_walk.h"

/* All that a range does not have, where that is a range too; else all. False: the range is open. */
static bool open_span(struct tr_span *span)
{
    const struct tr_span has = *span;
    const bool limited = has.min > 1 || has.max;
    *span = (struct tr_span){0};
    if (limited && has.min <= 1)
        span->min = has.max + 1;
    else if (limited && !has.max)
        span->max = has.min - 1;
    return limited;
}

/* The choices of a mask that are not in it. False: all are. */
static bool open_mask(uint32_t *mask, int choices)
{
    const uint32_t has = *mask;
    *mask = ~has & ((1u << choices) - 1);
    return has != 0 && *mask != 0;
}

static void open_tp(struct tr_space *s, const struct tr_site *site, const struct tr_task *task)
{
    if (s->tp.min <= 1)
        s->tp = (struct tr_span){tr_space_most_tp(site, task, s) + 1, task->model->heads};
    else
        s->tp = (struct tr_span){1, task->model->heads};
}

/* Turns the space to what its i-th limit keeps out, or to more. NULL: it is open. *end: there is no i-th. */
static const char *open_limit(struct tr_space *s, const struct tr_site *site, const struct tr_task *task, int i, bool *end)
{
    const struct {
        const char *name;
        struct tr_span *span;
    } spans[] = {{"cp", &s->cp}, {"pp", &s->pp}, {"vpp", &s->vpp}, {"dp", &s->dp}, {"ep", &s->ep}, {"etp", &s->etp},
                 {"micro_batch", &s->micro_batch}, {"recompute_layers", &s->rerun_layers}};
    const struct {
        const char *name;
        uint32_t *mask;
        int choices;
    } masks[] = {{"context", &s->contexts, TR_CONTEXT_COUNT}, {"schedule", &s->pipelines, TR_PIPELINE_COUNT}, {"zero", &s->zeros, 4},
                 {"recompute", &s->reruns, TR_RERUN_COUNT},   {"sp", &s->sp, 2}};
    enum { SPANS = sizeof spans / sizeof *spans, MASKS = sizeof masks / sizeof *masks };
    *end = false;
    if (i == 0) {
        open_tp(s, site, task);
        return s->tp.min <= s->tp.max ? "tp" : NULL;
    }
    i--;
    if (i < SPANS)
        return open_span(spans[i].span) ? spans[i].name : NULL;
    i -= SPANS;
    if (i < MASKS)
        return open_mask(masks[i].mask, masks[i].choices) ? masks[i].name : NULL;
    i -= MASKS;
    *end = i > 1;
    bool limited = i == 0 ? s->shares || s->shard : s->first_layers || s->last_layers;
    if (i == 0)
        s->shares = 0, s->shard = 0;
    else
        s->first_layers = s->last_layers = 0;
    return limited && !*end ? (i == 0 ? "shard" : "first_layers and last_layers") : NULL;
}

enum tr_status tr_search_faster(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space, int64_t chips,
                                double than_s, struct tr_found *fastest, struct tr_err *err)
{
    struct tr_search search;
    struct tr_space one = *space;
    one.chips = &chips, one.chips_count = 1, one.top = 1, one.apart = 0, one.brief = one.even = true, one.visit = NULL;
    one.faster_than_s = than_s;
    enum tr_status status = tr_search(site, task, &one, &search, err);
    if (status == TR_OK)
        *fastest = search.best->fits.top[0];
    if (status == TR_OK && fastest->step.time_s >= than_s) /* what was looked at anyway */
        status = tr_fail(err, TR_NO, "no layout takes less than %.4g s", than_s);
    if (status == TR_OK || status == TR_NO)
        tr_search_free(&search);
    return status;
}

void tr_limit_add(struct tr_limit *limits, int *count, const char *name, const struct tr_found *found, double gain)
{
    int at = *count;
    if (gain <= 1e-9)
        return;
    TR_ASSERT(*count < TR_LIMITS_MAX);
    for (; at > 0 && limits[at - 1].gain < gain; at--)
        limits[at] = limits[at - 1];
    limits[at] = (struct tr_limit){name, gain, *found};
    ++*count;
}

enum tr_status tr_search_limits(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space, int64_t chips,
                                const struct tr_found *with, const struct tr_found *unlimited, struct tr_limit *out, int *count,
                                struct tr_err *err)
{
    const double time_s = with ? with->step.time_s : INFINITY;
    bool end = false;
    *count = 0;
    tr_limit_add(out, count, "memory", unlimited, 1 - unlimited->step.time_s / time_s);
    for (int i = 0; !end; i++) {
        struct tr_space open = *space;
        struct tr_found without;
        const char *name = open_limit(&open, site, task, i, &end);
        if (!name)
            continue;
        enum tr_status status = tr_search_faster(site, task, &open, chips, time_s, &without, err);
        if (status == TR_OK)
            tr_limit_add(out, count, name, &without, 1 - without.step.time_s / time_s);
        else if (status != TR_NO)
            return status;
    }
    return TR_OK;
}
