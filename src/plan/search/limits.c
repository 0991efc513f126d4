/* Which limit is the tightest: a search without each. */
#include "plan/search/search.h"

/* Opens the i-th limit of the space. NULL: it is open. *end: there is no i-th. */
static const char *open_limit(struct tr_space *s, const struct tr_task *task, int i, bool *end)
{
    static const char *const span_names[] = {"cp", "pp", "vpp", "dp", "ep", "etp", "micro_batch", "recompute_layers"};
    static const char *const mask_names[] = {"context", "schedule", "zero", "recompute", "sp"};
    enum { SPANS = sizeof span_names / sizeof *span_names, MASKS = sizeof mask_names / sizeof *mask_names };
    struct tr_span *const span[SPANS] = {&s->cp, &s->pp,  &s->vpp,         &s->dp,
                                         &s->ep, &s->etp, &s->micro_batch, &s->rerun_layers};
    uint32_t *const mask[MASKS] = {&s->contexts, &s->pipelines, &s->zeros, &s->reruns, &s->sp};
    *end = false;
    if (i == 0) {
        s->tp = (struct tr_span){1, task->model->heads};
        return "tp";
    }
    i--;
    if (i < SPANS) {
        bool limited = span[i]->min > 1 || span[i]->max;
        *span[i] = (struct tr_span){0};
        return limited ? span_names[i] : NULL;
    }
    i -= SPANS;
    if (i < MASKS) {
        bool limited = *mask[i] != 0;
        *mask[i] = 0;
        return limited ? mask_names[i] : NULL;
    }
    i -= MASKS;
    bool limited = i == 0 ? s->shares || s->shard : s->first_layers || s->last_layers;
    if (i == 0)
        s->shares = 0, s->shard = 0;
    else
        s->first_layers = s->last_layers = 0;
    *end = i > 1;
    return limited ? (i == 0 ? "shard" : "first_layers and last_layers") : NULL;
}

static enum tr_status search_one(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space,
                                 struct tr_found *fastest, struct tr_found *unlimited, bool *fits, struct tr_err *err)
{
    struct tr_search search;
    enum tr_status status = tr_search(site, task, space, &search, err);
    *fits = status == TR_OK;
    if (status != TR_OK && status != TR_NO)
        return status;
    if (*fits)
        *fastest = search.at[0].top[0];
    if (search.legal)
        *unlimited = search.at[0].unlimited;
    tr_search_free(&search);
    return TR_OK;
}

/* Keeps what is gained, in order. */
static void add(struct tr_limit *limits, int *count, const char *name, const struct tr_found *found, double time_s)
{
    struct tr_limit limit = {name, time_s > 0 ? 1 - found->step.time_s / time_s : 1, *found};
    int at = *count;
    if (limit.gain <= 1e-9)
        return;
    TR_ASSERT(*count < TR_LIMITS_MAX);
    for (; at > 0 && limits[at - 1].gain < limit.gain; at--)
        limits[at] = limits[at - 1];
    limits[at] = limit;
    ++*count;
}

enum tr_status tr_search_limits(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space,
                                int64_t chips, struct tr_limit *out, int *count, struct tr_err *err)
{
    struct tr_found with = {0}, unlimited = {.step.time_s = -1}, without, ignored;
    struct tr_space one = *space;
    bool fits, end = false;
    one.chips = &chips, one.chips_count = 1, one.top = 1, one.brief = true, one.visit = NULL;
    *count = 0;
    enum tr_status status = search_one(site, task, &one, &with, &unlimited, &fits, err);
    if (status != TR_OK)
        return status;
    double time_s = fits ? with.step.time_s : 0;
    if (unlimited.step.time_s > 0)
        add(out, count, "memory", &unlimited, time_s);
    for (int i = 0; !end; i++) {
        struct tr_space open = one;
        const char *name = open_limit(&open, task, i, &end);
        if (!name || end)
            continue;
        status = search_one(site, task, &open, &without, &ignored, &fits, err);
        if (status != TR_OK)
            return status;
        if (fits)
            add(out, count, name, &without, time_s);
    }
    return TR_OK;
}
