/* What the planner says about a run: what its row leaves open is chosen as whoever ran it would have. */
#include "base/num.h"
#include "plan/search/search.h"
#include "plan/validate/validate.h"

#include <math.h>

/* ---- open parts of a layout ------------------------------------------------------------------------------------------ */

/* Whether `a` is the better guess than `b`: fits before what does not, then the faster (or, of those that do not fit, the
 * smaller). */
static bool better(const struct tr_step *a, const struct tr_step *b, double memory_bytes)
{
    bool fits_a = a->memory_bytes <= memory_bytes, fits_b = b->memory_bytes <= memory_bytes;
    if (fits_a != fits_b)
        return fits_a;
    return fits_a ? a->time_s < b->time_s : a->memory_bytes < b->memory_bytes;
}

/* What is found of a run with open parts. */
struct choice {
    const struct tr_run *run;
    double memory_bytes;
    bool found;
    struct tr_step step;
    struct tr_layout layout;
    struct tr_err why;
};

/* Whether it fits. */
static bool try_layout(struct choice *c, const struct tr_layout *layout)
{
    struct tr_step step;
    struct tr_err why;
    if (tr_step_price(&c->run->where->site, &c->run->task, layout, &step, &why) != TR_OK) {
        if (!c->found)
            c->why = why;
        return false;
    }
    if (!c->found || better(&step, &c->step, c->memory_bytes))
        c->step = step, c->layout = *layout, c->found = true;
    return step.memory_bytes <= c->memory_bytes;
}

/* Nothing is computed again that need not be: of each chunk's layers as few as make it fit. */
static void try_recompute(struct choice *c, struct tr_layout layout)
{
    int32_t layers = tr_layout_stage_layers(&layout, c->run->model.layers, 0) / layout.vpp;
    if (!c->run->rerun_open) {
        try_layout(c, &layout);
        return;
    }
    layout.rerun = TR_RERUN_NONE;
    if (try_layout(c, &layout))
        return;
    layout.rerun = TR_RERUN_FULL;
    int32_t low = 1, high = layers > 1 ? layers : 1;
    while (low < high) {
        layout.rerun_layers = low + (high - low) / 2;
        if (try_layout(c, &layout))
            high = layout.rerun_layers;
        else
            low = layout.rerun_layers + 1;
    }
    layout.rerun_layers = low;
    try_layout(c, &layout);
}

static void try_chunks(struct choice *c, struct tr_layout layout)
{
    int32_t layers = c->run->model.layers, most = c->run->chunks_open ? (layers + 2) / layout.pp : layout.vpp;
    for (layout.vpp = c->run->chunks_open ? 1 : most; layout.vpp <= most; layout.vpp++) {
        /* equal, or with the embedding and the head as a layer each (tr_layout_chunk_layers) */
        int32_t chunks = layout.pp * layout.vpp;
        if (c->run->chunks_open && layers % chunks && (layers + 2) % chunks && layout.vpp > 1)
            continue;
        if (c->run->chunks_open)
            layout.pipeline = layout.vpp > 1 ? TR_PIPELINE_INTERLEAVED : TR_PIPELINE_1F1B;
        try_recompute(c, layout);
    }
}

/* ---- an open layout: the best of all that the row allows -------------------------------------------------------------- */

static struct tr_span only(int64_t value) { return (struct tr_span){value, value}; }
static struct tr_span unless_said(int64_t value) { return value == 1 ? (struct tr_span){0} : only(value); }

/* Schedules and stages that most software has; contexts, zero and sharing as the row says or its stack does. */
static struct tr_space space_of(const struct tr_run *run, const int64_t *chips)
{
    enum { MICRO_MAX = 64 };
    const struct tr_layout *l = &run->layout;
    bool chunks = l->pipeline == TR_PIPELINE_1F1B && !tr_stack_is_like(&run->where->stack, "megatron-2021");
    struct tr_space s = {.chips = chips, .chips_count = 1, .top = 1, .brief = true, .even = true};
    s.tp = unless_said(l->tp), s.cp = run->cp_said ? only(l->cp) : unless_said(l->cp), s.pp = unless_said(l->pp), s.ep = unless_said(l->ep);
    s.etp = only(l->etp);
    s.vpp = chunks ? unless_said(l->vpp) : only(1);
    s.pipelines = 1u << l->pipeline | (chunks ? 1u << TR_PIPELINE_INTERLEAVED : 0);
    s.micro_batch = run->micro_open ? (struct tr_span){1, MICRO_MAX} : only(l->micro_batch);
    s.contexts = 1u << l->context;
    s.sp = l->sp || tr_stack_is_like(&run->where->stack, "megatron-core") ? TR_SP_ON : TR_SP_OFF;
    s.zeros = 1u << l->zero;
    s.shares = TR_SHARE_ALL, s.shard = l->shard;
    s.reruns = run->rerun_open ? 1u << TR_RERUN_NONE | 1u << TR_RERUN_FULL : 1u << l->rerun;
    s.rerun_layers = run->rerun_open ? (struct tr_span){0} : only(TR_LAYERS_MAX); /* whole chunks */
    return s;
}

/* The fastest that fits; when none does, the smallest. */
static enum tr_status price_open(const struct tr_run *run, struct tr_step *step, struct tr_layout *layout,
                                 struct tr_err *err)
{
    struct tr_search search;
    int64_t chips = tr_layout_chips(&run->layout);
    struct tr_space space = space_of(run, &chips);
    enum tr_status status = tr_search(&run->where->site, &run->task, &space, &search, err);
    if (status != TR_OK && status != TR_NO)
        return status;
    bool found = search.legal > 0;
    if (found) {
        const struct tr_found *best = search.best ? &search.best->fits.top[0] : &search.at[0].lightest;
        *step = best->step;
        if (layout)
            *layout = best->layout;
    }
    tr_search_free(&search);
    return found ? TR_OK : TR_NO;
}

/* Experts where nobody says how they are spread: not at all, or over 2, 4, 8 ... ranks. */
static void try_experts(struct choice *c, struct tr_layout layout)
{
    int64_t ranks = (int64_t)layout.dp * layout.cp * layout.tp;
    for (layout.ep = c->run->ep_open ? 1 : layout.ep;; layout.ep *= 2) {
        if (ranks % layout.ep == 0 && (!c->run->ep_open || c->run->model.experts % layout.ep == 0))
            try_chunks(c, layout);
        if (!c->run->ep_open || 2 * (int64_t)layout.ep > tr_min_i64(ranks, c->run->model.experts))
            break;
    }
}

static void try_microbatches(struct choice *c, struct tr_layout layout)
{
    int64_t most = c->run->micro_open ? 64 : layout.micro_batch;
    for (int64_t micro = c->run->micro_open ? 1 : most; micro <= most; micro *= 2) {
        layout.micro_batch = micro;
        try_experts(c, layout);
    }
}

static void try_contexts(struct choice *c, struct tr_layout layout)
{
    try_microbatches(c, layout);
    if (!c->run->context_open)
        return;
    layout.context = TR_CONTEXT_ALL_TO_ALL;
    try_microbatches(c, layout);
}

static bool fits(const struct choice *c) { return c->found && c->step.memory_bytes <= c->memory_bytes; }

/* Whether what does not depend on the batch is too much already: then it was shared out, whatever the row says. */
static bool cannot_be(const struct choice *c)
{
    const double *m = c->step.memory;
    return c->found && m[TR_MEM_WEIGHTS] + m[TR_MEM_GRADIENTS] + m[TR_MEM_OPTIMIZER] > c->memory_bytes;
}

/* The run was run: where nothing fits, weights were shared out though nobody says so, or less memory was taken than is
 * predicted, within what such predictions err. */
static void try_said(struct choice *c)
{
    const double memory_error = .2;
    const struct tr_run *run = c->run;
    struct tr_layout layout = run->layout;
    try_contexts(c, layout);
    layout.zero = 3;
    if (!fits(c) && run->layout.zero < 3 && layout.pp == 1 && (run->zero_open || cannot_be(c)))
        try_contexts(c, layout);
    if (!c->found || fits(c))
        return;
    struct choice wider = {.run = run, .memory_bytes = c->memory_bytes / (1 - memory_error)};
    layout.zero = c->layout.zero;
    try_contexts(&wider, layout);
    if (fits(&wider))
        *c = wider;
}

static enum tr_status price_said(const struct tr_run *run, struct tr_step *step, struct tr_layout *layout,
                                 struct tr_err *err)
{
    const struct tr_chip *chip = &run->where->system.chip;
    struct choice c = {.run = run, .memory_bytes = tr_fact_or(&chip->memory_visible_bytes, chip->memory_bytes.value),
                       .why = {"no microbatch divides its batch"}};
    try_said(&c);
    if (!c.found) {
        *err = c.why;
        return TR_NO;
    }
    *step = c.step;
    if (layout)
        *layout = c.layout;
    return TR_OK;
}

/* What is guessed about a run, the layout that whoever ran it chose included, adds to how wrong its price may be. */
enum tr_status tr_run_price(const struct tr_run *run, struct tr_step *step, struct tr_layout *layout, struct tr_err *err)
{
    const double guessed = .25;
    TR_ASSERT(!run->reason[0]);
    enum tr_status status = run->layout_open ? price_open(run, step, layout, err) : price_said(run, step, layout, err);
    if (status == TR_OK && (run->assumed || run->layout_open)) {
        step->error = sqrt(step->error * step->error + guessed * guessed);
        step->grade = TR_GRADE_ASSUMED;
    }
    return status;
}
