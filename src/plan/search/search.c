/* What a search is asked and what it answers. */
#include "plan/search/search.h"

#include "base/num.h"
#include "base/quantity.h"
#include "plan/search/space_walk.h"

#include <stdio.h>

/* ---- the space ------------------------------------------------------------------------------------------------------- */

double tr_search_capacity(const struct tr_site *site, const struct tr_space *space)
{
    const struct tr_chip *chip = &site->system->chip;
    double all = space->memory_bytes > 0 ? space->memory_bytes
                                         : tr_fact_or(&chip->memory_visible_bytes, chip->memory_bytes.value);
    return all - space->reserve_bytes;
}

double tr_search_sure_bytes(const struct tr_site *site, const struct tr_space *space)
{
    return tr_search_capacity(site, space) / (1 + site->stack->memory_error.value);
}

static enum tr_status check_range(const char *name, struct tr_span range, struct tr_err *err)
{
    if (range.min >= 0 && range.max >= 0 && (range.max == 0 || range.min <= range.max))
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "%s from %lld to %lld: expected a range from 1 on that has something in it", name,
                   (long long)range.min, (long long)range.max);
}

enum tr_status tr_space_check(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space,
                              struct tr_err *err)
{
    const struct {
        const char *name;
        struct tr_span range;
    } ranges[] = {{"tp", space->tp},
                  {"cp", space->cp},
                  {"pp", space->pp},
                  {"vpp", space->vpp},
                  {"dp", space->dp},
                  {"ep", space->ep},
                  {"etp", space->etp},
                  {"micro_batch", space->micro_batch},
                  {"recompute_layers", space->rerun_layers}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        enum tr_status status = check_range(ranges[i].name, ranges[i].range, err);
        if (status != TR_OK)
            return status;
    }
    if (space->chips_count < 1 || space->chips_count > TR_SPACE_CHIPS_MAX)
        return tr_fail(err, TR_BAD_INPUT, "expected 1 to %d numbers of chips, got %d", TR_SPACE_CHIPS_MAX,
                       space->chips_count);
    for (int i = 0; i < space->chips_count; i++)
        if (space->chips[i] < 1 || space->chips[i] > TR_CHIPS_MAX || (i && space->chips[i] <= space->chips[i - 1]))
            return tr_fail(err, TR_BAD_INPUT,
                           "%lld chips: expected numbers from 1 to %d, each larger than the one before",
                           (long long)space->chips[i], TR_CHIPS_MAX);
    if (space->top < 1 || space->top > TR_SEARCH_TOP_MAX)
        return tr_fail(err, TR_BAD_INPUT, "the best %d layouts: expected 1 to %d", space->top, TR_SEARCH_TOP_MAX);
    if (space->shard < 0 || space->first_layers < 0 || space->last_layers < 0)
        return tr_fail(err, TR_BAD_INPUT, "shard, first_layers and last_layers must not be negative");
    if (task->batch.global_batch < 1 || task->batch.seq_len < 1)
        return tr_fail(err, TR_BAD_INPUT, "a batch of %lld sequences of %lld tokens: both must be 1 or more",
                       (long long)task->batch.global_batch, (long long)task->batch.seq_len);
    if (!(tr_search_capacity(site, space) > 0))
        return tr_fail(err, TR_BAD_INPUT, "a reserve of %.4g bytes leaves nothing of the memory of a chip",
                       space->reserve_bytes);
    return TR_OK;
}

/* ---- the answer ------------------------------------------------------------------------------------------------------ */

static enum tr_status found_of(const struct tr_space_walk *w, const struct tr_seen *seen, struct tr_found *out)
{
    out->layout = seen->layout;
    return tr_step_price(w->site, w->task, &seen->layout, &out->step, w->err);
}

static enum tr_status found_all(const struct tr_space_walk *w, struct tr_arena *arena, const struct tr_seen *seen,
                                int count, struct tr_found **out)
{
    enum tr_status status = TR_OK;
    *out = tr_arena_array(arena, count, sizeof **out, w->err);
    if (!*out)
        return TR_FAILED;
    for (int i = 0; i < count && status == TR_OK; i++)
        status = found_of(w, &seen[i], &(*out)[i]);
    return status;
}

static enum tr_status report_fastest(const struct tr_space_walk *w, struct tr_arena *arena, const struct tr_keep *keep,
                                     const struct tr_keep_fastest *from, struct tr_fastest *out)
{
    int within = w->space->brief ? -1 : tr_keep_within(keep, 1.1 * from->limit_bytes);
    out->top_count = from->all.count;
    out->apart_count = from->apart.count;
    enum tr_status status = found_all(w, arena, from->all.at, from->all.count, &out->top);
    if (status == TR_OK)
        status = found_all(w, arena, from->apart.at, from->apart.count, &out->apart);
    return status == TR_OK && within >= 0 ? found_of(w, &keep->front[within], &out->roomier) : status;
}

/* The fastest first. */
static enum tr_status report_front(const struct tr_space_walk *w, struct tr_arena *arena, const struct tr_keep *keep,
                                   struct tr_search_count *c)
{
    enum tr_status status = found_all(w, arena, keep->front, c->front_count, &c->front);
    for (int k = 0; k < c->front_count / 2 && status == TR_OK; k++) {
        struct tr_found other = c->front[k];
        c->front[k] = c->front[c->front_count - 1 - k];
        c->front[c->front_count - 1 - k] = other;
    }
    return status;
}

static enum tr_status report_count(const struct tr_space_walk *w, int i, struct tr_search *out)
{
    const struct tr_keep *keep = &w->keep[i];
    struct tr_search_count *c = &out->at[i];
    *c = (struct tr_search_count){.chips = w->space->chips[i], .legal = keep->legal, .too_big = keep->too_big, .beyond = keep->beyond};
    c->front_count = tr_keep_within(keep, keep->fits.limit_bytes) + 1;
    c->dominated = keep->legal - keep->too_big;
    for (int k = 0; k < c->front_count; k++)
        c->dominated -= !keep->front[k].beyond;
    out->legal += c->legal;
    out->too_big += c->too_big;
    if (keep->front_count == 0)
        return TR_OK;
    enum tr_status status = report_fastest(w, &out->arena, keep, &keep->fits, &c->fits);
    if (status == TR_OK)
        status = report_fastest(w, &out->arena, keep, &keep->sure, &c->sure);
    if (status == TR_OK && !w->space->brief)
        status = report_front(w, &out->arena, keep, c);
    if (status == TR_OK)
        status = found_of(w, &keep->front[0], &c->lightest);
    return status == TR_OK ? found_of(w, &keep->front[keep->front_count - 1], &c->unlimited) : status;
}

/* Counts ascend: each is held against the fastest of fewer chips. */
static void choose_counts(struct tr_search *out)
{
    double fastest_s = INFINITY, fewest = INFINITY;
    for (int i = 0; i < out->count; i++) {
        struct tr_search_count *c = &out->at[i];
        if (c->fits.top_count == 0)
            continue;
        double s = c->fits.top[0].step.time_s, chip_s = s * (double)c->chips;
        c->dominated_count = s >= fastest_s;
        if (s < fastest_s)
            fastest_s = s, out->best = c;
        if (chip_s < fewest)
            fewest = chip_s, out->cheapest = c;
    }
}

enum { WHY_BYTES = 320 };

/* The layout of the fixed parts with the least of all else, dp apart. */
static struct tr_layout least_layout(const struct tr_space *s)
{
    struct tr_layout l = tr_layout_single();
    const struct tr_span *range[] = {&s->tp, &s->cp, &s->pp, &s->vpp, &s->ep, &s->etp};
    int32_t *at[] = {&l.tp, &l.cp, &l.pp, &l.vpp, &l.ep, &l.etp};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        *at[i] = (int32_t)tr_min_i64(TR_CHIPS_MAX, tr_max_i64(1, range[i]->min));
    l.micro_batch = tr_max_i64(1, s->micro_batch.min);
    l.first_layers = s->first_layers, l.last_layers = s->last_layers;
    l.sp = s->sp == TR_SP_ON;
    if (s->contexts == 1u << TR_CONTEXT_ALL_TO_ALL)
        l.context = TR_CONTEXT_ALL_TO_ALL;
    if (s->pipelines == 1u << TR_PIPELINE_INTERLEAVED && !s->vpp.min)
        l.vpp = 2;
    if (l.vpp > 1)
        l.pipeline = TR_PIPELINE_INTERLEAVED;
    for (int i = 0; i < TR_PIPELINE_COUNT; i++)
        if (s->pipelines == 1u << i)
            l.pipeline = (enum tr_pipeline)i;
    return l;
}

/* So many of what is said: the chips that are left, and the batch. */
struct to_divide {
    int64_t chips, batch, micro_batch;
};

static bool replicas_divide(const void *what, int64_t dp)
{
    const struct to_divide *d = what;
    return d->chips % dp == 0 && d->batch % (dp * d->micro_batch) == 0;
}

/* "dp 33 does not divide 1024 chips; dp 32 or 64 would" */
static void say_replicas(const struct to_divide *d, int64_t dp, char why[WHY_BYTES])
{
    char near[TR_LAYOUT_NEAR_BYTES], not_by[160];
    if (d->chips % dp)
        snprintf(not_by, sizeof not_by, "%lld chips", (long long)d->chips);
    else
        snprintf(not_by, sizeof not_by, "the global batch of %lld sequences in microbatches of %lld", (long long)d->batch, (long long)d->micro_batch);
    tr_layout_near(replicas_divide, d, dp, d->chips, 1, near);
    snprintf(why, WHY_BYTES, "dp %lld does not divide %s%s%s%s", (long long)dp, not_by, near[0] ? "; dp " : "", near, near[0] ? " would" : "");
}

static bool shard_divides(const void *chips, int64_t shard) { return shard > 1 && *(const int64_t *)chips % shard == 0; }

/* "shard 5 divides no dp x cp of 64 chips; 4 or 8 would" */
static void say_shard(int64_t shard, int64_t chips, char why[WHY_BYTES])
{
    char near[TR_LAYOUT_NEAR_BYTES];
    tr_layout_near(shard_divides, &chips, shard, chips, 1, near);
    snprintf(why, WHY_BYTES, "shard %lld divides no dp x cp of %lld chips%s%s%s", (long long)shard, (long long)chips, near[0] ? "; " : "", near,
             near[0] ? " would" : "");
}

/* Of a layout whose parts are legal: what chips or batch do not go with. */
static void say_rule(const struct tr_space_walk *w, struct tr_layout l, int64_t chips, char why[WHY_BYTES])
{
    const struct tr_space *s = w->space;
    const struct tr_batch *batch = &w->task->batch;
    int64_t parts = (int64_t)l.tp * l.cp * l.pp;
    struct tr_err rule;
    l.dp = (int32_t)(chips / parts);
    struct tr_batch divisible = {.seq_len = batch->seq_len, .global_batch = l.dp * l.micro_batch * l.pp};
    const struct to_divide left = {chips / parts, batch->global_batch, l.micro_batch};
    if (chips % parts)
        snprintf(why, WHY_BYTES, "tp %d x cp %d x pp %d does not divide %lld chips", l.tp, l.cp, l.pp, (long long)chips);
    else if (s->dp.min && s->dp.min == s->dp.max && !replicas_divide(&left, s->dp.min))
        say_replicas(&left, s->dp.min, why);
    else if (s->shard && chips % s->shard)
        say_shard(s->shard, chips, why);
    else if (batch->global_batch % l.micro_batch)
        snprintf(why, WHY_BYTES, "mb %lld does not divide the global batch of %lld sequences", (long long)l.micro_batch,
                 (long long)batch->global_batch);
    else if (s->dp.min > chips / parts)
        snprintf(why, WHY_BYTES, "tp %d x cp %d x pp %d x dp %lld is more than %lld chips", l.tp, l.cp, l.pp,
                 (long long)s->dp.min, (long long)chips);
    else if (tr_layout_check(&l, w->task->model, &divisible, &rule) != TR_OK)
        snprintf(why, WHY_BYTES, "of the simplest, %.250s", rule.text);
    else if (tr_layout_check(&l, w->task->model, batch, &rule) != TR_OK)
        snprintf(why, WHY_BYTES, "none divides the global batch of %lld sequences", (long long)batch->global_batch);
    else
        snprintf(why, WHY_BYTES, "none is within the limits that were given");
}

/* "; 992 or 1024 chips would do, or 1535 or 1540 sequences"; "": nothing that is near. */
static void say_nearest(const struct tr_space_walk *w, char out[WHY_BYTES])
{
    char chips[TR_LAYOUT_NEAR_BYTES], batches[TR_LAYOUT_NEAR_BYTES];
    out[0] = 0;
    if (w->space->brief)
        return;
    tr_space_nearest(w->site, w->task, w->space, chips, batches);
    if (chips[0])
        snprintf(out, WHY_BYTES, "; %s chips would do%s%s%s", chips, batches[0] ? ", or " : "", batches,
                 batches[0] ? " sequences" : "");
    else if (batches[0])
        snprintf(out, WHY_BYTES, "; %s sequences would do", batches);
}

static enum tr_status none_legal(const struct tr_space_walk *w)
{
    char why[WHY_BYTES], nearest[WHY_BYTES];
    int64_t chips = w->space->chips[w->space->chips_count - 1];
    struct tr_layout least = least_layout(w->space);
    struct tr_err rule;
    if (tr_layout_check_parts(&least, w->task->model, w->task->batch.seq_len, &rule) != TR_OK)
        return tr_fail(w->err, TR_NO, "no layout is legal: %.300s", rule.text);
    say_rule(w, least, chips, why);
    say_nearest(w, nearest);
    if (w->space->chips_count > 1)
        return tr_fail(w->err, TR_NO, "no layout of %lld to %lld chips is legal: %s%s", (long long)w->space->chips[0], (long long)chips, why, nearest);
    return tr_fail(w->err, TR_NO, "no layout of %lld chips is legal: %s%s", (long long)chips, why, nearest);
}

/* "; 64 chips are the fewest that fit, in whole nodes" */
static enum tr_status say_fewest(const struct tr_space_walk *w, int64_t above, char fewest[96])
{
    int64_t chips = 0;
    bool exact = false;
    struct tr_err why;
    enum tr_status status = tr_search_fewest(w->site, w->task, w->space, above, &chips, &exact, &why);
    if (status == TR_OK)
        snprintf(fewest, 96, !exact ? "; %lld chips would do" : w->site->system->chips_per_node > 1 ? "; %lld chips are the fewest that fit, in whole nodes"
                                                                                                    : "; %lld chips are the fewest that fit",
                 (long long)chips);
    else if (status == TR_NO)
        snprintf(fewest, 96, "; no number of chips fits");
    else
        *w->err = why;
    return status == TR_NO ? TR_OK : status;
}

static enum tr_status none_fits(const struct tr_space_walk *w, const struct tr_search *out)
{
    const struct tr_search_count *least = NULL;
    char has[TR_QUANTITY_BYTES], needs[TR_QUANTITY_BYTES], layout[TR_LAYOUT_TEXT_BYTES], fewest[96] = "";
    for (int i = 0; i < out->count; i++)
        if (out->at[i].legal && (!least || out->at[i].lightest.step.memory_bytes < least->lightest.step.memory_bytes))
            least = &out->at[i];
    enum tr_status status = w->space->brief ? TR_OK : say_fewest(w, out->at[out->count - 1].chips, fewest);
    if (status != TR_OK)
        return status;
    return tr_fail(w->err, TR_NO, "%s needs %s a chip on %lld chip%s of %s (%s), has %s%s%s", w->task->model->name,
                   tr_print_bytes(needs, (int64_t)least->lightest.step.memory_bytes), (long long)least->chips,
                   least->chips == 1 ? "" : "s", w->site->system->name, tr_layout_print(&least->lightest.layout, layout),
                   tr_print_bytes(has, (int64_t)out->memory_bytes),
                   w->space->reserve_bytes > 0 ? " without the reserve" : "", fewest);
}

static enum tr_status report(const struct tr_space_walk *w, struct tr_search *out)
{
    enum tr_status status = TR_OK;
    out->memory_bytes = tr_search_capacity(w->site, w->space);
    out->count = w->space->chips_count;
    out->at = tr_arena_array(&out->arena, out->count, sizeof *out->at, w->err);
    if (!out->at)
        return TR_FAILED;
    for (int i = 0; i < out->count && status == TR_OK; i++)
        status = report_count(w, i, out);
    if (status != TR_OK)
        return status;
    choose_counts(out);
    if (out->best)
        return TR_OK;
    return out->legal ? none_fits(w, out) : none_legal(w);
}

enum tr_status tr_search(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space,
                         struct tr_search *out, struct tr_err *err)
{
    struct tr_space_walk *w = NULL;
    struct tr_search search = {0};
    enum tr_status status = tr_space_check(site, task, space, err);
    if (status != TR_OK)
        return status;
    tr_arena_init(&search.arena, "search", TR_SEARCH_BYTES_MAX);
    status = tr_space_walk_all(&w, site, task, space, false, err);
    if (status == TR_OK)
        status = report(w, &search);
    tr_space_walk_free(w);
    if (status == TR_OK || status == TR_NO)
        *out = search;
    else
        tr_search_free(&search);
    return status;
}

void tr_search_free(struct tr_search *search)
{
    tr_arena_free(&search->arena);
    *search = (struct tr_search){0};
}
