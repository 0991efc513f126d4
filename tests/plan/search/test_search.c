#include "plan/search/search.h"

#include "base/num.h"
#include "lib/catalog.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tr_system system_of;
static struct tr_stack stack;
static struct tr_site site;

static int open_site(void **state)
{
    struct tr_err err = {""};
    if (tr_catalog_setup(state) || tr_system_find(catalog, "dgx-a100", &system_of, &err) ||
        tr_stack_find(catalog, "megatron-core", &stack, &err) ||
        tr_site_make(&site, &system_of, &stack, TR_FORMAT_BF16, &err))
        fprintf(stderr, "%s\n", err.text);
    return site.system == NULL;
}

static const struct tr_model_shape dense = {.name = "dense", .layers = 10, .width = 2048, .heads = 12, .kv_heads = 4,
                                            .head_dim = 128, .value_dim = 128, .ffn = 8192, .vocab = 51200,
                                            .positions = 4096, .gated = true, .rope = true, .tied = true};
static const struct tr_model_shape experts = {.name = "experts", .layers = 7, .width = 1024, .heads = 8, .kv_heads = 8,
                                              .head_dim = 128, .value_dim = 128, .ffn = 4096, .vocab = 51200,
                                              .positions = 4096, .experts = 6, .top_k = 2, .expert_ffn = 1408,
                                              .dense_layers = 1, .moe_every = 2, .window = 512, .window_every = 3,
                                              .gated = true, .rope = true};

static struct tr_task task_of(const struct tr_model_shape *model, int64_t seq_len, int64_t global_batch)
{
    return (struct tr_task){.model = model, .batch = {.seq_len = seq_len, .global_batch = global_batch}};
}

/* ---- all that goes by -------------------------------------------------------------------------------------------- */

struct seen {
    struct tr_layout layout;
    double time_s, bytes;
};

struct visitor {
    const struct tr_task *task;
    int64_t each, count; /* each: of so many one is looked at */
    uint64_t random;
    struct seen *seen; /* NULL: not kept */
    int64_t seen_count, seen_max;
    double worst;
};

static void assert_near(double a, double b, double share, const struct tr_layout *layout)
{
    char text[TR_LAYOUT_TEXT_BYTES];
    if (!(fabs(a - b) <= share * fabs(b)))
        fail_msg("%s: %.17g is not within %g of %.17g", tr_layout_print(layout, text), a, share, b);
}

/* Legal, and priced as if it were alone. */
static void look(void *context, const struct tr_layout *layout, double time_s, double bytes)
{
    struct visitor *v = context;
    v->count++;
    if (v->seen) {
        assert_true(v->seen_count < v->seen_max);
        v->seen[v->seen_count++] = (struct seen){*layout, time_s, bytes};
    }
    v->random = v->random * 6364136223846793005u + 1442695040888963407u;
    if ((int64_t)(v->random >> 33) % v->each)
        return;
    struct tr_step step;
    struct tr_err err = {""};
    if (tr_step_price(&site, v->task, layout, &step, &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_near(time_s, step.time_s, 1e-9, layout);
    assert_near(bytes, step.memory_bytes, 1e-9, layout);
}

static struct tr_search search(const struct tr_task *task, const struct tr_space *space, enum tr_status expected,
                               struct tr_err *err)
{
    struct tr_search found = {0};
    enum tr_status status = tr_search(&site, task, space, &found, err);
    if (status != expected)
        fail_msg("status %d: %s", status, err->text);
    return found;
}

/* ---- a plain enumeration, by the list of rules alone --------------------------------------------------------------- */

static int by_layout(const void *a, const void *b)
{
    return memcmp(&((const struct seen *)a)->layout, &((const struct seen *)b)->layout, sizeof(struct tr_layout));
}

/* What the search calls one layout: search.h. */
static bool is_canonical(const struct tr_layout *l, const struct tr_model_shape *model, int32_t longest, int32_t node)
{
    int32_t replicas = l->dp * l->cp;
    bool alone = replicas == 1 && (!model->experts || tr_layout_expert_dp(l) == 1);
    return !(l->pp == 1 && l->pipeline != TR_PIPELINE_1F1B) && !(l->cp == 1 && l->context != TR_CONTEXT_RING) &&
           !(l->rerun_layers && (l->rerun != TR_RERUN_FULL || l->rerun_layers >= longest)) && !(alone && l->zero) &&
           !(l->shard && (l->shard != node || l->shard == 1 || l->shard == replicas));
}

struct plain {
    const struct tr_task *task;
    struct seen *seen;
    int64_t count, max;
};

/* All of one mesh and pipe that has been found legal. */
static void enumerate_rest(struct plain *p, struct tr_layout l)
{
    int32_t layers = p->task->model->layers, longest = tr_layout_longest_chunk(&l, layers), node = 8 / l.tp;
    if (tr_layout_is_ragged(&l, layers))
        return;
    for (l.zero = 0; l.zero <= 3; l.zero++)
        for (l.shard = 0; l.shard <= (node > 1 ? node : 0); l.shard += node > 1 ? node : 1)
            for (int rerun = 0; rerun < TR_RERUN_COUNT; rerun++)
                for (l.rerun_layers = 0; l.rerun_layers <= longest; l.rerun_layers++) {
                    struct tr_err why;
                    l.rerun = (enum tr_rerun)rerun;
                    if (!is_canonical(&l, p->task->model, longest, node) ||
                        tr_layout_check(&l, p->task->model, &p->task->batch, &why) != TR_OK)
                        continue;
                    assert_true(p->count < p->max);
                    p->seen[p->count].layout = l;
                    p->count++;
                }
}

static void enumerate(struct plain *p, int32_t chips)
{
    const struct tr_model_shape *model = p->task->model;
    for (int32_t tp = 1; tp <= 8; tp++)
        for (int32_t cp = 1; cp <= chips; cp++)
            for (int32_t pp = 1; pp <= chips; pp++)
                for (int32_t vpp = 1; vpp <= model->layers; vpp++)
                    for (int32_t ep = 1; ep <= (model->experts ? model->experts : 1); ep++)
                        for (int32_t etp = 1; etp <= (model->experts ? tp : 1); etp++)
                            for (int64_t mb = 1; mb <= p->task->batch.global_batch; mb++)
                                for (int other = 0; other < 2 * TR_CONTEXT_COUNT * TR_PIPELINE_COUNT; other++) {
                                    struct tr_layout l;
                                    struct tr_err why;
                                    memset(&l, 0, sizeof l); /* compared as bytes */
                                    if (chips % (tp * cp * pp) || tp % etp)
                                        continue;
                                    l.tp = tp, l.cp = cp, l.pp = pp, l.vpp = vpp, l.ep = ep, l.etp = etp;
                                    l.dp = chips / (tp * cp * pp), l.micro_batch = mb, l.sp = other & 1;
                                    l.context = (enum tr_context)(other / 2 % TR_CONTEXT_COUNT);
                                    l.pipeline = (enum tr_pipeline)(other / (2 * TR_CONTEXT_COUNT));
                                    if (tr_layout_check(&l, model, &p->task->batch, &why) == TR_OK)
                                        enumerate_rest(p, l);
                                }
}

static void compare_with_plain(const struct tr_model_shape *model, int64_t seq_len, int64_t batch, int64_t chips)
{
    enum { MAX = 1 << 16 };
    struct tr_task task = task_of(model, seq_len, batch);
    struct plain plain = {.task = &task, .seen = calloc(MAX, sizeof *plain.seen), .max = MAX};
    struct visitor v = {.task = &task, .each = 7, .random = 1, .seen = calloc(MAX, sizeof *v.seen), .seen_max = MAX};
    struct tr_space space = {.chips = &chips, .chips_count = 1, .top = 3, .even = true, .visit = look, .context = &v};
    struct tr_err err = {""};
    assert_non_null(plain.seen);
    assert_non_null(v.seen);
    struct tr_search found = search(&task, &space, TR_OK, &err);
    enumerate(&plain, (int32_t)chips);
    for (int64_t i = 0; i < v.count; i++) { /* padding of the struct is nobody's */
        struct tr_layout l = v.seen[i].layout, *to = &v.seen[i].layout;
        memset(to, 0, sizeof *to);
        to->dp = l.dp, to->tp = l.tp, to->cp = l.cp, to->pp = l.pp, to->ep = l.ep, to->etp = l.etp, to->vpp = l.vpp;
        to->zero = l.zero, to->shard = l.shard, to->sp = l.sp, to->context = l.context, to->pipeline = l.pipeline;
        to->rerun = l.rerun, to->rerun_layers = l.rerun_layers, to->micro_batch = l.micro_batch;
    }
    qsort(plain.seen, (size_t)plain.count, sizeof *plain.seen, by_layout);
    qsort(v.seen, (size_t)v.count, sizeof *v.seen, by_layout);
    print_message("%s on %d chips: %d layouts\n", model->name, (int)chips, (int)plain.count);
    for (int64_t i = 0; i < plain.count && i < v.count; i++)
        if (by_layout(&plain.seen[i], &v.seen[i]) != 0) {
            char a[TR_LAYOUT_TEXT_BYTES], b[TR_LAYOUT_TEXT_BYTES];
            fail_msg("enumerated %s, searched %s", tr_layout_print(&plain.seen[i].layout, a),
                     tr_layout_print(&v.seen[i].layout, b));
        }
    assert_int_equal(v.count, plain.count);
    assert_int_equal(found.legal, plain.count);
    tr_search_free(&found);
    free(plain.seen);
    free(v.seen);
}

static void all_legal_layouts_are_searched_each_once_and_no_others(void **state)
{
    (void)state;
    compare_with_plain(&dense, 64, 12, 16);
    compare_with_plain(&dense, 24, 6, 12);
    compare_with_plain(&experts, 16, 4, 8);
}

/* ---- prices -------------------------------------------------------------------------------------------------------- */

static void prices_are_those_of_one_layout_alone(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        int64_t chips, seq_len, batch, each;
        int32_t lora_rank;
    } jobs[] = {{"gpt3-175b", 1024, 2048, 1536, 2000, 0},
                {"llama3-8b", 128, 131072, 16, 400, 0},
                {"llama2-70b", 64, 4096, 64, 400, 16},
                {"gpt-oss-120b", 64, 8192, 64, 10000, 0}};
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        struct tr_model_shape model;
        struct tr_err err = {""};
        if (tr_shape_find(catalog, jobs[i].model, &model, &err))
            fail_msg("%s", err.text);
        struct tr_task task = task_of(&model, jobs[i].seq_len, jobs[i].batch);
        task.lora_rank = jobs[i].lora_rank;
        struct visitor v = {.task = &task, .each = jobs[i].each, .random = 7};
        struct tr_space space = {
            .chips = &jobs[i].chips, .chips_count = 1, .top = 1, .visit = look, .context = &v};
        struct tr_search found = search(&task, &space, TR_OK, &err);
        print_message("%s: %lld layouts, about %lld of them priced alone\n", jobs[i].model, (long long)v.count,
                      (long long)(v.count / v.each));
        assert_int_equal(v.count, found.legal + found.at[0].beyond);
        tr_search_free(&found);
    }
}

/* ---- the answer ------------------------------------------------------------------------------------------------------ */

static double fastest_within(const struct visitor *v, double bytes)
{
    double s = INFINITY;
    for (int64_t k = 0; k < v->count; k++)
        s = v->seen[k].bytes <= bytes ? fmin(s, v->seen[k].time_s) : s;
    return s;
}

/* So many that were seen are faster; of those that divide the chips apart each counts once. */
static int count_faster(const struct visitor *v, double bytes, double time_s, bool apart)
{
    struct tr_layout met[64];
    int count = 0;
    for (int64_t k = 0; k < v->count; k++) {
        bool again = false;
        if (v->seen[k].bytes > bytes || v->seen[k].time_s >= time_s * (1 - 1e-9))
            continue;
        for (int i = 0; i < count && apart && !again; i++)
            again = tr_layout_divides_alike(&met[i], &v->seen[k].layout);
        assert_true(count < 64);
        met[count] = v->seen[k].layout;
        count += !again;
    }
    return count;
}

/* Each is the fastest of those that do not stand before it. */
static void check_list(const struct visitor *v, const struct tr_found *found, int count, double bytes, bool apart)
{
    for (int i = 0; i < count; i++) {
        const struct tr_step *step = &found[i].step;
        assert_true(step->memory_bytes <= bytes * (1 + 1e-9));
        assert_true(i == 0 || step->time_s >= found[i - 1].step.time_s * (1 - 1e-9));
        assert_true(count_faster(v, bytes, step->time_s, apart) <= i);
        for (int k = 0; k < i && apart; k++)
            assert_false(tr_layout_divides_alike(&found[i].layout, &found[k].layout));
    }
}

static void check_fastest(const struct visitor *v, const struct tr_fastest *f, double bytes)
{
    assert_true(f->top_count == 50 && f->apart_count == 8);
    check_list(v, f->top, f->top_count, bytes, false);
    check_list(v, f->apart, f->apart_count, bytes, true);
    assert_near(f->top[0].step.time_s, fastest_within(v, bytes), 1e-9, &f->top[0].layout);
    assert_near(f->roomier.step.time_s, fastest_within(v, 1.1 * bytes), 1e-9, &f->roomier.layout);
    assert_memory_equal(&f->apart[0], &f->top[0], sizeof f->top[0]);
}

/* By the definition, of all that were seen. */
static void what_is_reported_is_the_best_of_all_that_was_seen(void **state)
{
    enum { MAX = 1 << 16 };
    const int64_t chips = 16;
    struct tr_task task = task_of(&dense, 4096, 48);
    struct visitor v = {.task = &task, .each = INT32_MAX, .seen = calloc(MAX, sizeof *v.seen), .seen_max = MAX};
    struct tr_space space = {.chips = &chips, .chips_count = 1, .top = 50, .apart = 8, .even = true, .visit = look, .context = &v};
    struct tr_err err = {""};
    (void)state;
    assert_non_null(v.seen);
    space.memory_bytes = 24e9, space.reserve_bytes = 2e9;
    struct tr_search found = search(&task, &space, TR_OK, &err);
    const struct tr_search_count *c = found.best;
    int64_t too_big = 0, front = 0;
    double least = INFINITY;
    for (int64_t i = 0; i < v.count; i++) {
        const struct seen *a = &v.seen[i];
        bool dominated = false;
        least = fmin(least, a->bytes);
        too_big += a->bytes > 22e9;
        for (int64_t k = 0; k < v.count && a->bytes <= 22e9 && !dominated; k++)
            dominated = v.seen[k].bytes <= a->bytes && v.seen[k].time_s <= a->time_s &&
                        (v.seen[k].bytes < a->bytes || v.seen[k].time_s < a->time_s || k < i);
        front += a->bytes <= 22e9 && !dominated;
    }
    assert_true(too_big > 0 && too_big < v.count && front > 3);
    assert_int_equal(c->too_big, too_big);
    assert_int_equal(c->front_count, front);
    assert_int_equal(c->legal, c->too_big + c->dominated + c->front_count);
    assert_near(c->lightest.step.memory_bytes, least, 1e-9, &c->lightest.layout);
    assert_near(c->unlimited.step.time_s, fastest_within(&v, INFINITY), 1e-9, &c->unlimited.layout);
    check_fastest(&v, &c->fits, 22e9);
    check_fastest(&v, &c->sure, 22e9 / (1 + stack.memory_error.value));
    assert_memory_equal(&c->front[0].step, &c->fits.top[0].step, sizeof c->fits.top[0].step);
    for (int i = 1; i < c->front_count; i++)
        assert_true(c->front[i].step.time_s > c->front[i - 1].step.time_s &&
                    c->front[i].step.memory_bytes < c->front[i - 1].step.memory_bytes);
    tr_search_free(&found);
    free(v.seen);
}

static void check_fixed(void *context, const struct tr_layout *l, double time_s, double bytes)
{
    ++*(int64_t *)context;
    assert_true(time_s > 0 && bytes > 0);
    assert_true(l->tp == 2 && l->pp >= 2 && l->zero == 1 && l->sp && l->pipeline == TR_PIPELINE_INTERLEAVED);
    assert_true(l->vpp == 5 && l->rerun == TR_RERUN_FULL && l->rerun_layers == 0 && l->cp == 1);
    assert_int_equal(l->dp == 4 ? 4 : l->shard, 4); /* shared by all of them is written 0 */
}

static void what_is_fixed_stays(void **state)
{
    const int64_t chips = 32;
    int64_t count = 0;
    struct tr_task task = task_of(&dense, 1024, 48);
    struct tr_err err = {""};
    struct tr_space space = {.chips = &chips, .chips_count = 1, .top = 1, .visit = check_fixed, .context = &count,
                             .tp = {2, 2}, .pp = {2, 0}, .vpp = {5, 5}, .cp = {0, 1}, .rerun_layers = {64, 64},
                             .zeros = 1u << 1, .sp = TR_SP_ON, .pipelines = 1u << TR_PIPELINE_INTERLEAVED,
                             .reruns = 1u << TR_RERUN_FULL, .shard = 4};
    (void)state;
    struct tr_search found = search(&task, &space, TR_OK, &err);
    assert_true(count > 0 && count == found.legal);
    tr_search_free(&found);
}

static void more_chips_are_reported_where_they_are_faster(void **state)
{
    const int64_t chips[] = {8, 16, 24, 25, 64};
    struct tr_task task = task_of(&dense, 2048, 48);
    struct tr_space space = {.chips = chips, .chips_count = 5, .top = 1};
    struct tr_err err = {""};
    (void)state;
    struct tr_search found = search(&task, &space, TR_OK, &err);
    int64_t legal = 0;
    for (int i = 0; i < found.count; i++) {
        struct tr_space one = {.chips = &chips[i], .chips_count = 1, .top = 1};
        const struct tr_search_count *c = &found.at[i];
        bool dominated = false;
        legal += c->legal;
        if (c->legal == 0) {
            assert_int_equal(chips[i], 25); /* no divisor of heads, layers and batch goes with it */
            continue;
        }
        struct tr_search alone = search(&task, &one, TR_OK, &err);
        assert_int_equal(alone.legal, c->legal);
        assert_memory_equal(&alone.best->fits.top[0].step, &c->fits.top[0].step, sizeof c->fits.top[0].step);
        for (int k = 0; k < i; k++)
            dominated |= found.at[k].legal && found.at[k].fits.top[0].step.time_s <= c->fits.top[0].step.time_s;
        assert_int_equal(c->dominated_count, dominated);
        assert_true((double)c->chips * c->fits.top[0].step.time_s >=
                    (double)found.cheapest->chips * found.cheapest->fits.top[0].step.time_s);
        assert_true(c->fits.top[0].step.time_s >= found.best->fits.top[0].step.time_s);
        tr_search_free(&alone);
    }
    assert_int_equal(found.legal, legal);
    tr_search_free(&found);
}

static void the_tightest_limit_is_named_with_what_it_costs(void **state)
{
    const int64_t chips = 16;
    struct tr_task task = task_of(&dense, 4096, 48);
    struct tr_space space = {.chips = &chips, .chips_count = 1, .top = 1, .memory_bytes = 5e9, .even = true, .pp = {4, 4},
                             .zeros = 1u << 0, .sp = TR_SP_OFF};
    struct tr_limit limits[TR_LIMITS_MAX];
    struct tr_err err = {""};
    int count = 0;
    (void)state;
    struct tr_search with = search(&task, &space, TR_OK, &err);
    double time_s = with.best->fits.top[0].step.time_s;
    assert_int_equal(tr_search_limits(&site, &task, &space, chips, &with.best->fits.top[0], &with.best->unlimited, limits, &count, &err), TR_OK);
    assert_true(count >= 3);
    for (int i = 0; i < count; i++) {
        struct tr_space open = space;
        print_message("without %s: %.1f %% faster\n", limits[i].name, 100 * limits[i].gain);
        if (strcmp(limits[i].name, "memory") == 0)
            open.memory_bytes = 1e15;
        else if (strcmp(limits[i].name, "pp") == 0)
            open.pp = (struct tr_span){0};
        else if (strcmp(limits[i].name, "zero") == 0)
            open.zeros = 0;
        else if (strcmp(limits[i].name, "tp") == 0)
            open.tp = (struct tr_span){1, 12};
        else
            open.sp = 0;
        struct tr_search without = search(&task, &open, TR_OK, &err);
        assert_near(limits[i].gain, 1 - without.best->fits.top[0].step.time_s / time_s, 1e-9, &limits[i].found.layout);
        assert_true(i == 0 || limits[i].gain <= limits[i - 1].gain);
        tr_search_free(&without);
    }
    tr_search_free(&with);
    space.memory_bytes = 3e9; /* nothing fits: what would have to give */
    struct tr_search none = search(&task, &space, TR_NO, &err);
    assert_int_equal(tr_search_limits(&site, &task, &space, chips, NULL, &none.at[0].unlimited, limits, &count, &err), TR_OK);
    assert_true(count >= 1 && limits[0].gain == 1);
    tr_search_free(&none);
}

/* ---- beyond even stages ---------------------------------------------------------------------------------------------- */

struct best {
    double limit_bytes, time_s;
    double least_bytes; /* that any needs */
    struct tr_layout layout;
    int32_t least_tp, least_pp, most_vpp, least_zero;
    int32_t first_layers, last_layers; /* as of struct tr_space */
    struct tr_span rerun_layers;       /* of a chunk, of full recompute; max beyond the chunk's: all */
};

static void take_better(struct best *best, const struct tr_layout *l, const struct tr_step *step)
{
    best->least_bytes = fmin(best->least_bytes, step->memory_bytes);
    if (step->memory_bytes > best->limit_bytes || step->time_s >= best->time_s)
        return;
    best->time_s = step->time_s;
    best->layout = *l;
}

static void price_sharings(const struct tr_task *task, const struct tr_blocks *blocks, struct tr_layout l, struct best *fits, struct best *sure)
{
    for (l.zero = fits->least_zero; l.zero <= 3; l.zero++)
        for (l.shard = 0; l.shard < (l.zero ? l.dp * l.cp : 1); l.shard++) {
            struct tr_step step;
            struct tr_err why;
            if (l.shard == 1 || tr_layout_check(&l, task->model, &task->batch, &why) != TR_OK)
                continue;
            tr_step_compose(blocks, &site, task, &l, &step);
            take_better(fits, &l, &step);
            take_better(sure, &l, &step);
        }
}

/* As many as the longest chunk has, or more, are all. */
static bool has_rerun_layers(const struct tr_span *range, const struct tr_layout *l, int32_t layers)
{
    int32_t longest = tr_layout_longest_chunk(l, layers);
    bool all = l->rerun_layers == 0 || l->rerun_layers >= longest;
    return all ? range->max == 0 || range->max >= longest : l->rerun_layers >= range->min && (range->max == 0 || l->rerun_layers <= range->max);
}

/* All ends, all ways to recompute, all sharings of a mesh and a pipe. */
static void price_all_ends(const struct tr_task *task, struct tr_layout l, struct best *fits, struct best *sure)
{
    const int32_t layers = task->model->layers;
    struct tr_blocks blocks;
    tr_blocks_make(&blocks, &site, task, &l);
    for (l.first_layers = 0; l.first_layers <= layers; l.first_layers++)
        for (l.last_layers = 0; l.first_layers + l.last_layers <= layers; l.last_layers++) {
            struct tr_err why;
            if ((fits->first_layers && l.first_layers != fits->first_layers) || (fits->last_layers && l.last_layers != fits->last_layers) ||
                tr_layout_check(&l, task->model, &task->batch, &why) != TR_OK || tr_layout_is_ragged(&l, layers))
                continue;
            for (int rerun = 0; rerun < TR_RERUN_COUNT; rerun++)
                for (l.rerun_layers = 0; l.rerun_layers < (rerun == TR_RERUN_FULL ? layers : 1); l.rerun_layers++) {
                    l.rerun = (enum tr_rerun)rerun;
                    if (rerun == TR_RERUN_FULL && !has_rerun_layers(&fits->rerun_layers, &l, layers))
                        continue;
                    price_sharings(task, &blocks, l, fits, sure);
                }
            l.rerun = TR_RERUN_NONE;
        }
}

static void price_all(const struct tr_task *task, int32_t chips, struct best *fits, struct best *sure)
{
    const struct tr_model_shape *model = task->model;
    for (int32_t tp = fits->least_tp; tp <= 8; tp++)
        for (int32_t cp = 1; cp <= chips / tp; cp++)
            for (int32_t pp = fits->least_pp; pp <= chips / tp / cp; pp++)
                for (int32_t vpp = 1; vpp <= tr_min_i64(fits->most_vpp, model->layers / pp); vpp++)
                    for (int32_t ep = 1; ep <= (model->experts ? model->experts : 1); ep++)
                        for (int64_t mb = 1; mb <= task->batch.global_batch; mb++)
                            for (int other = 0; other < 2 * TR_CONTEXT_COUNT * TR_PIPELINE_COUNT; other++) {
                                struct tr_layout l = tr_layout_single();
                                struct tr_err why;
                                if (chips % (tp * cp * pp))
                                    continue;
                                l.tp = tp, l.cp = cp, l.pp = pp, l.vpp = vpp, l.ep = ep, l.dp = chips / (tp * cp * pp);
                                l.micro_batch = mb, l.sp = other & 1, l.context = (enum tr_context)(other / 2 % TR_CONTEXT_COUNT);
                                l.pipeline = (enum tr_pipeline)(other / (2 * TR_CONTEXT_COUNT));
                                if (tr_layout_check(&l, model, &task->batch, &why) == TR_OK)
                                    price_all_ends(task, l, fits, sure);
                            }
}

static void assert_best(const struct tr_found *found, const struct best *best)
{
    char is[TR_LAYOUT_TEXT_BYTES], was[TR_LAYOUT_TEXT_BYTES];
    tr_layout_print(&found->layout, is), tr_layout_print(&best->layout, was);
    print_message("%s, %.5g s\n", is, found->step.time_s);
    if (fabs(found->step.time_s / best->time_s - 1) > 1e-9)
        fail_msg("found %s of %.9g s, and %s takes %.9g s", is, found->step.time_s, was, best->time_s);
}

/* Bounds leave out nothing that would be the fastest: of all that is legal none is faster, and of all that surely fits. */
static void no_stages_and_no_sharing_are_faster(void **state)
{
    struct tr_model_shape headed = dense, thin = dense;
    headed.vocab = 200000, thin.vocab = 400000, thin.width = 1024, thin.ffn = 2048;
    const struct {
        const struct tr_model_shape *model;
        int64_t chips, seq_len, batch;
        double memory_bytes;
        int32_t least_tp, least_pp, most_vpp, least_zero, first, last;
        struct tr_span rerun_layers;
    } cases[] = {{&dense, 8, 4096, 8, 40e9, 1, 1, 10, 0, 0, 0, {0}},   {&dense, 8, 4096, 8, 9e9, 1, 1, 10, 0, 0, 0, {0}},
                 {&experts, 8, 4096, 8, 20e9, 1, 1, 7, 0, 0, 0, {0}},  {&experts, 8, 4096, 16, 5e9, 1, 1, 7, 0, 0, 0, {0}},
                 {&headed, 8, 4096, 16, 40e9, 1, 2, 1, 0, 0, 0, {0}},  {&headed, 8, 4096, 16, 40e9, 1, 2, 10, 0, 0, 0, {0}},
                 {&headed, 8, 4096, 12, 11e9, 1, 4, 10, 0, 0, 0, {0}}, {&experts, 8, 4096, 8, 20e9, 1, 4, 7, 0, 0, 0, {0}},
                 {&dense, 8, 4096, 12, 12e9, 1, 3, 1, 0, 0, 0, {0}},   {&dense, 32, 2048, 8, 3.6e9, 4, 1, 1, 3, 0, 0, {0}},
                 {&thin, 8, 2048, 8, 40e9, 1, 4, 1, 0, 0, 0, {0}},     {&thin, 4, 2048, 8, 40e9, 1, 2, 1, 0, 0, 0, {0}},
                 {&headed, 8, 4096, 8, 40e9, 1, 2, 10, 0, 3, 0, {0}},  {&headed, 8, 4096, 8, 40e9, 1, 2, 10, 0, 0, 1, {0}},
                 {&dense, 8, 4096, 8, 40e9, 1, 2, 10, 0, 2, 2, {0}},   {&dense, 8, 4096, 8, 9e9, 1, 2, 10, 0, 0, 0, {2, 2}},
                 {&headed, 8, 4096, 8, 12e9, 1, 4, 1, 0, 0, 0, {3, 3}}};
    int ends = 0, alone = 0;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_task task = task_of(cases[i].model, cases[i].seq_len, cases[i].batch);
        struct tr_space space = {.chips = &cases[i].chips, .chips_count = 1, .top = 1, .memory_bytes = cases[i].memory_bytes,
                                 .tp = {cases[i].least_tp, 0}, .pp = {cases[i].least_pp, 0}, .vpp = {0, cases[i].most_vpp}, .etp = {1, 1},
                                 .zeros = 0xFu & ~((1u << cases[i].least_zero) - 1), .first_layers = cases[i].first,
                                 .last_layers = cases[i].last, .rerun_layers = cases[i].rerun_layers};
        struct best fits = {.limit_bytes = cases[i].memory_bytes, .time_s = INFINITY, .least_bytes = INFINITY, .least_tp = cases[i].least_tp,
                            .least_pp = cases[i].least_pp, .most_vpp = cases[i].most_vpp, .least_zero = cases[i].least_zero,
                            .first_layers = cases[i].first, .last_layers = cases[i].last, .rerun_layers = cases[i].rerun_layers};
        struct best sure = fits;
        struct tr_err err = {""};
        sure.limit_bytes = tr_search_sure_bytes(&site, &space);
        struct tr_search found = search(&task, &space, TR_OK, &err);
        price_all(&task, (int32_t)cases[i].chips, &fits, &sure);
        assert_best(&found.best->fits.top[0], &fits);
        if (sure.time_s < INFINITY)
            assert_best(&found.best->sure.top[0], &sure);
        ends += fits.layout.first_layers || fits.layout.last_layers;
        tr_search_free(&found);
        space.memory_bytes = fits.least_bytes * (1 + 1e-6); /* what needs least is found, though even stages may all be too big */
        found = search(&task, &space, TR_OK, &err);
        assert_near(found.best->fits.top[0].step.memory_bytes, fits.least_bytes, 1e-6, &found.best->fits.top[0].layout);
        alone += found.best->legal == found.best->too_big;
        tr_search_free(&found);
    }
    print_message("%d of uneven stages, %d where nothing else fits\n", ends, alone);
    assert_true(ends >= 6 && alone >= 2);
}

/* Over some hundred replicas neither a node's share nor all of them is the best: weights are gathered by some nodes together. */
static void some_nodes_share_where_that_is_faster(void **state)
{
    static struct tr_system h100;
    static struct tr_site there;
    struct tr_model_shape model;
    struct tr_err err = {""};
    const int64_t chips = 1024;
    (void)state;
    if (tr_shape_find(catalog, "gpt3-175b", &model, &err) || tr_system_find(catalog, "dgx-h100", &h100, &err) ||
        tr_site_make(&there, &h100, &stack, TR_FORMAT_BF16, &err))
        fail_msg("%s", err.text);
    struct tr_task task = task_of(&model, 2048, 1536);
    struct tr_space space = {.chips = &chips, .chips_count = 1, .top = 1, .pp = {1, 1}, .zeros = 1u << 3, .even = true};
    struct tr_search even, all;
    assert_int_equal(tr_search(&there, &task, &space, &even, &err), TR_OK);
    space.even = false;
    assert_int_equal(tr_search(&there, &task, &space, &all, &err), TR_OK);
    const struct tr_found *best = &all.best->fits.top[0];
    struct tr_layout l = best->layout;
    assert_true(l.shard > 8 / l.tp && l.shard < l.dp * l.cp && best->step.time_s < even.best->fits.top[0].step.time_s);
    for (l.shard = 0; l.shard < l.dp * l.cp; l.shard++) {
        struct tr_step step;
        if (l.shard != 1 && (l.dp * l.cp) % tr_max_i64(1, l.shard) == 0) {
            assert_int_equal(tr_step_price(&there, &task, &l, &step, &err), TR_OK);
            assert_true(step.time_s >= best->step.time_s || step.memory_bytes > all.memory_bytes);
        }
    }
    tr_search_free(&even);
    tr_search_free(&all);
}

/* Bounds leave nothing out: what is looked for as faster than the best is not there, and the best is, with what earlier searches
 * remember and without. */
static void what_is_faster_than_a_time_is_found_or_is_not_there(void **state)
{
    const struct tr_model_shape *const models[] = {&dense, &experts};
    const int64_t chips = 16;
    (void)state;
    for (int m = 0; m < 2; m++) {
        struct tr_task task = task_of(models[m], 2048, 48);
        struct tr_space space = {.chips = &chips, .chips_count = 1, .top = 1, .memory_bytes = 12e9, .even = true, .passes = tr_passes_make()};
        struct tr_found faster;
        struct tr_err err = {""};
        char is[TR_LAYOUT_TEXT_BYTES], was[TR_LAYOUT_TEXT_BYTES];
        assert_non_null(space.passes);
        for (int turn = 0; turn < 4; turn++) { /* of some words, and of others, which remember the former */
            space.zeros = turn % 2 ? 1u << 0 : 0;
            space.pp = turn / 2 ? (struct tr_span){2, 0} : (struct tr_span){0};
            struct tr_search all = search(&task, &space, TR_OK, &err);
            const struct tr_found *best = &all.best->fits.top[0];
            assert_int_equal(tr_search_faster(&site, &task, &space, chips, best->step.time_s * 1.001, &faster, &err), TR_OK);
            assert_true(faster.step.time_s == best->step.time_s);
            assert_int_equal(tr_search_faster(&site, &task, &space, chips, INFINITY, &faster, &err), TR_OK);
            assert_string_equal(tr_layout_print(&faster.layout, is), tr_layout_print(&best->layout, was));
            assert_int_equal(tr_search_faster(&site, &task, &space, chips, best->step.time_s, &faster, &err), TR_NO);
            tr_search_free(&all);
        }
        tr_passes_free(space.passes);
    }
}

/* Experts over 20 chips, which do not divide the 64 that are linked: they stay among these only when the whole job does. */
static void numbers_of_chips_between_other_tiers_have_prices_of_their_own(void **state)
{
    const struct tr_site usual = site;
    const int64_t chips[] = {60, 120};
    struct tr_system linked;
    struct tr_model_shape twenty = experts;
    struct tr_task task = task_of(&twenty, 2048, 120);
    struct visitor v = {.task = &task, .each = 1};
    struct tr_space space = {.chips = chips, .chips_count = 2, .top = 1, .tp = {1, 1}, .cp = {1, 1}, .pp = {1, 1}, .ep = {20, 20},
                             .visit = look, .context = &v};
    struct tr_err err = {""};
    (void)state;
    twenty.experts = 20;
    assert_int_equal(tr_system_find(catalog, "aws-trn2-ultra", &linked, &err), TR_OK);
    assert_int_equal(tr_site_make(&site, &linked, &stack, TR_FORMAT_BF16, &err), TR_OK);
    assert_true(tr_site_tiers_around(&site, chips[0]) > tr_site_tiers_around(&site, chips[1]));
    struct tr_search found = search(&task, &space, TR_OK, &err);
    assert_true(found.at[0].legal > 0 && found.at[1].legal > 0);
    tr_search_free(&found);
    site = usual;
}

/* ---- no -------------------------------------------------------------------------------------------------------------- */

static void what_does_not_fit_says_what_it_needs_and_where_it_would_fit(void **state)
{
    const int64_t chips[] = {8, 16};
    struct tr_model_shape model;
    struct tr_err err = {""};
    (void)state;
    assert_int_equal(tr_shape_find(catalog, "gpt3-175b", &model, &err), TR_OK);
    struct tr_task task = task_of(&model, 2048, 1536);
    struct tr_space space = {.chips = chips, .chips_count = 2, .top = 1};
    struct tr_search found = search(&task, &space, TR_NO, &err);
    print_message("%s\n", err.text);
    assert_null(found.best);
    assert_true(found.at[1].lightest.step.memory_bytes > found.memory_bytes);
    assert_non_null(strstr(err.text, "gpt3-175b needs "));
    assert_non_null(strstr(err.text, " a chip on 16 chips of "));
    assert_non_null(strstr(err.text, " chips are the fewest that fit"));
    tr_search_free(&found);
    int64_t fewest = 0;
    bool exact = false;
    assert_int_equal(tr_search_fewest(&site, &task, &space, 16, &fewest, &exact, &err), TR_OK);
    assert_true(exact && fewest > 16);
    for (int64_t n = 8; n <= fewest; n += 8) {
        space = (struct tr_space){.chips = &n, .chips_count = 1, .top = 1};
        enum tr_status status = tr_search(&site, &task, &space, &found, &err);
        assert_int_equal(status, n < fewest ? TR_NO : TR_OK);
        tr_search_free(&found);
    }
}

static void a_sequence_that_fits_nowhere_is_said_to(void **state)
{
    const int64_t chips = 8;
    struct tr_task task = task_of(&dense, 4096, 8);
    struct tr_space space = {.chips = &chips, .chips_count = 1, .top = 1, .memory_bytes = 1e9};
    struct tr_err err = {""};
    (void)state;
    struct tr_search found = search(&task, &space, TR_NO, &err);
    assert_non_null(strstr(err.text, "no number of chips fits"));
    tr_search_free(&found);
}

static void a_space_with_nothing_legal_says_which_rule(void **state)
{
    struct tr_task task = task_of(&dense, 1024, 48);
    const struct {
        struct tr_space space;
        int64_t chips;
        const char *words;
    } cases[] = {{{.tp = {8, 8}}, 16, "no layout is legal: tp 8 does not divide the 12 heads; 6 or 12 would"},
                 {{.pp = {3, 3}}, 16, "tp 1 x cp 1 x pp 3 does not divide 16 chips"},
                 {{.tp = {4, 4}}, 18, "tp 4 x cp 1 x pp 1 does not divide 18 chips; 16 or 24 chips would do"},
                 {{.tp = {0}}, 11, "no layout of 11 chips is legal: none divides the global batch of 48 sequences; 8 or 16 chips would "
                                  "do, or 44 or 55 sequences"},
                 {{.pp = {1, 1}}, 7, "48 sequences; 6 or 8 chips would do, or 42 or 49 sequences"},
                 {{.pp = {16, 16}}, 16, "no layout is legal: pp 16 x vpp 1 is 16 chunks, more than the 10 layers of dense"},
                 {{.ep = {2, 2}, .tp = {4, 4}}, 18, "no layout is legal: ep 2: dense has no experts"},
                 {{.dp = {5, 5}}, 16, "dp 5 does not divide 16 chips; dp 4 or 8 would"},
                 {{.dp = {16, 16}, .micro_batch = {2, 2}}, 16, "dp 16 does not divide the global batch of 48 sequences in microbatches of 2; dp 8 would"},
                 {{.shard = 5, .zeros = 0xE}, 16, "shard 5 divides no dp x cp of 16 chips; 4 or 8 would"},
                 {{.dp = {5, 7}}, 16, "within the limits that were given"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_space space = cases[i].space;
        struct tr_err err = {""};
        space.chips = &cases[i].chips, space.chips_count = 1, space.top = 1;
        struct tr_search found = search(&task, &space, TR_NO, &err);
        if (!strstr(err.text, cases[i].words))
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].words);
        tr_search_free(&found);
    }
}

static void limits_that_contradict_are_refused(void **state)
{
    static const int64_t up[] = {8, 16}, down[] = {16, 8}, none[] = {0}, many[] = {1 << 21};
    struct tr_task task = task_of(&dense, 1024, 48);
    const struct {
        struct tr_space space;
        const char *words;
    } cases[] = {{{.chips = up, .chips_count = 2, .top = 1, .tp = {4, 2}}, "tp from 4 to 2"},
                 {{.chips = up, .chips_count = 2, .top = 1, .dp = {-1, 2}}, "dp from -1 to 2"},
                 {{.chips = down, .chips_count = 2, .top = 1}, "8 chips: expected numbers"},
                 {{.chips = none, .chips_count = 1, .top = 1}, "0 chips: expected numbers"},
                 {{.chips = many, .chips_count = 1, .top = 1}, "2097152 chips: expected numbers from 1 to 1048576"},
                 {{.chips = up, .chips_count = 0, .top = 1}, "1024 numbers of chips, got 0"},
                 {{.chips = up, .chips_count = 2, .top = 0}, "expected 1 to 1000"},
                 {{.chips = up, .chips_count = 2, .top = 1, .shard = -1}, "must not be negative"},
                 {{.chips = up, .chips_count = 2, .top = 1, .reserve_bytes = 1e12}, "leaves nothing"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_search found;
        struct tr_err err = {""};
        assert_int_equal(tr_search(&site, &task, &cases[i].space, &found, &err), TR_BAD_INPUT);
        if (!strstr(err.text, cases[i].words))
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_legal_layouts_are_searched_each_once_and_no_others),
        cmocka_unit_test(prices_are_those_of_one_layout_alone),
        cmocka_unit_test(what_is_reported_is_the_best_of_all_that_was_seen),
        cmocka_unit_test(what_is_fixed_stays),
        cmocka_unit_test(more_chips_are_reported_where_they_are_faster),
        cmocka_unit_test(no_stages_and_no_sharing_are_faster),
        cmocka_unit_test(some_nodes_share_where_that_is_faster),
        cmocka_unit_test(what_is_faster_than_a_time_is_found_or_is_not_there),
        cmocka_unit_test(numbers_of_chips_between_other_tiers_have_prices_of_their_own),
        cmocka_unit_test(the_tightest_limit_is_named_with_what_it_costs),
        cmocka_unit_test(what_does_not_fit_says_what_it_needs_and_where_it_would_fit),
        cmocka_unit_test(a_sequence_that_fits_nowhere_is_said_to),
        cmocka_unit_test(a_space_with_nothing_legal_says_which_rule),
        cmocka_unit_test(limits_that_contradict_are_refused),
    };
    return cmocka_run_group_tests(tests, open_site, tr_catalog_teardown);
}
