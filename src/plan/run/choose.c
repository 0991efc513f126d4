/* Which layout, and how many chips. */
#include "plan/run/inside.h"

#include "base/num.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the space --------------------------------------------------------------------------------------------------- */

static void fix(struct tr_span *span, uint32_t said, enum tr_layout_key key, int64_t value)
{
    if (said & 1u << key)
        *span = (struct tr_span){value, value};
}

static void fix_bit(uint32_t *bits, uint32_t said, enum tr_layout_key key, int value)
{
    if (said & 1u << key)
        *bits = 1u << value;
}

/* What the stack does not do is left out where nobody asked for it. */
static void leave_out(struct tr_space *space, const struct tr_stack *stack, uint32_t said)
{
    const struct {
        uint32_t *bits;
        enum tr_layout_key key;
        enum tr_ability first;
        int count;
    } of[] = {{&space->zeros, TR_LAYOUT_ZERO, TR_ABILITY_ZERO0, 4},
              {&space->pipelines, TR_LAYOUT_SCHEDULE, TR_ABILITY_GPIPE, TR_PIPELINE_COUNT},
              {&space->contexts, TR_LAYOUT_CONTEXT, TR_ABILITY_RING, TR_CONTEXT_COUNT}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        uint32_t all = (1u << of[i].count) - 1, does = ~(stack->cannot >> of[i].first) & all;
        if (!(said & 1u << of[i].key) && does != all && does)
            *of[i].bits = does;
    }
    bool no_ring = stack->cannot & 1u << TR_ABILITY_RING, no_exchange = stack->cannot & 1u << TR_ABILITY_ALL_TO_ALL;
    if (no_ring && no_exchange && !(said & (1u << TR_LAYOUT_CP | 1u << TR_LAYOUT_CONTEXT)))
        space->cp = (struct tr_span){1, 1};
    if (stack->cannot & 1u << TR_ABILITY_SP && !(said & 1u << TR_LAYOUT_SP))
        space->sp = TR_SP_OFF;
}

/* What is said must show in the layout: sp needs ranks of tp, and so on. */
static void leave_room(struct tr_space *space, const struct tr_layout *l)
{
    const uint32_t shared = 1u << 1 | 1u << 2 | 1u << 3;
    const struct {
        bool needed;
        struct tr_span *span;
    } of[] = {{l->sp, &space->tp}, {l->context != TR_CONTEXT_RING, &space->cp}, {l->pipeline != TR_PIPELINE_1F1B, &space->pp}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        if (of[i].needed && !of[i].span->max)
            of[i].span->min = 2;
    if (l->shard)
        space->zeros = space->zeros ? space->zeros & shared : shared;
}

/* Words that contradict one another, whatever is chosen for the others. */
static enum tr_status check_said(const struct tr_layout *l, uint32_t said, struct tr_err *err)
{
    if (l->sp && said & 1u << TR_LAYOUT_TP && l->tp == 1)
        return tr_fail(err, TR_BAD_INPUT, "layout: sp cuts tokens over the tp ranks, and tp is 1");
    if (l->shard && said & 1u << TR_LAYOUT_ZERO && l->zero == 0)
        return tr_fail(err, TR_BAD_INPUT, "layout: shard %d needs zero 1, 2 or 3: with zero 0 nothing is shared out", l->shard);
    return TR_OK;
}

static struct tr_space space_of(const struct tr_stack *stack, const struct tr_layout *l, uint32_t said)
{
    struct tr_space space = {
        .top = 1, .first_layers = l->first_layers, .last_layers = l->last_layers, .shard = l->shard};
    fix(&space.tp, said, TR_LAYOUT_TP, l->tp);
    fix(&space.cp, said, TR_LAYOUT_CP, l->cp);
    fix(&space.pp, said, TR_LAYOUT_PP, l->pp);
    fix(&space.vpp, said, TR_LAYOUT_VPP, l->vpp);
    fix(&space.dp, said, TR_LAYOUT_DP, l->dp);
    fix(&space.ep, said, TR_LAYOUT_EP, l->ep);
    fix(&space.etp, said, TR_LAYOUT_ETP, l->etp);
    fix(&space.micro_batch, said, TR_LAYOUT_MB, l->micro_batch);
    fix(&space.rerun_layers, said, TR_LAYOUT_RECOMPUTE_LAYERS, l->rerun_layers);
    fix_bit(&space.contexts, said, TR_LAYOUT_CONTEXT, l->context);
    fix_bit(&space.pipelines, said, TR_LAYOUT_SCHEDULE, l->pipeline);
    fix_bit(&space.reruns, said, TR_LAYOUT_RECOMPUTE, l->rerun);
    fix_bit(&space.zeros, said, TR_LAYOUT_ZERO, l->zero);
    if (said & 1u << TR_LAYOUT_SP)
        space.sp = TR_SP_ON;
    leave_out(&space, stack, said);
    leave_room(&space, l);
    return space;
}

/* ---- what is taken of it ----------------------------------------------------------------------------------------- */

static void keep_next(struct tr_plan_search *to, const struct tr_fastest *from)
{
    to->next_count = from->apart_count;
    memcpy(to->next, from->apart, (size_t)to->next_count * sizeof *to->next);
    to->next_of = from->top_count;
    bool met[TR_PLAN_NEXT_MAX] = {false}; /* the first of a way is the one that is shown */
    for (int i = 0; i < from->top_count; i++)
        for (int k = 0; k < to->next_count; k++)
            if (tr_layout_divides_alike(&from->top[i].layout, &to->next[k].layout))
                to->next_alike += met[k], met[k] = true;
}

static void keep_front(struct tr_plan_search *to, const struct tr_search_count *from)
{
    to->front_all = from->front_count;
    to->front_count = (int)tr_min_i64(from->front_count, TR_PLAN_FRONT_MAX);
    memcpy(to->front, from->front, (size_t)to->front_count * sizeof *to->front);
    if (from->fits.top_count)
        to->fastest = from->fits.top[0];
    if (from->sure.top_count)
        to->sure = from->sure.top[0];
}

static const struct tr_search_count *count_of(const struct tr_search *search, int64_t chips)
{
    int i = 0;
    while (search->at[i].chips != chips)
        i++;
    return &search->at[i];
}

/* What was allowed to the layout that was taken, which is the fastest of it. */
static const struct tr_fastest *allowed(const struct tr_plan *p, const struct tr_search_count *from)
{
    return from->fits.top_count && p->step.time_s > from->fits.top[0].step.time_s ? &from->sure : &from->fits;
}

/* `search`: of the chosen candidate's batch. */
static enum tr_status take(struct tr_plan *p, const struct tr_search_count *from, enum tr_status status, struct tr_err *err)
{
    const struct tr_plan_candidate *chosen = &p->search.at[p->search.chosen];
    if (!chosen->legal)
        return TR_BAD_INPUT; /* err says what divides nothing */
    p->layout = chosen->layout;
    p->step = chosen->step;
    keep_next(&p->search, allowed(p, from));
    keep_front(&p->search, from);
    p->request.chips = chosen->chips;
    if (status == TR_NO) { /* an answer */
        snprintf(p->why, sizeof p->why, "%.*s", TR_PLAN_WHY_BYTES - 1, err->text);
        err->text[0] = 0;
    }
    return TR_OK;
}

/* The layouts among which levers look for a better one. */
static enum tr_status keep_pool(struct tr_plan *p, const struct tr_fastest *from, struct tr_err *err)
{
    p->pool = calloc((size_t)from->top_count + 1, sizeof *p->pool);
    if (!p->pool)
        return tr_fail(err, TR_FAILED, "out of memory for a plan");
    for (int i = 0; i < from->top_count; i++)
        p->pool[p->pool_count++] = from->top[i].layout;
    return TR_OK;
}

/* The batch bounds replicas, and is what fills a pipeline: what as many tokens would take in batches of twice as much. */
static enum tr_status add_batch_limit(struct tr_plan *p, const struct tr_space *space, struct tr_err *err)
{
    struct tr_task task = p->task;
    struct tr_found found;
    task.batch.global_batch *= 2;
    double steps = tr_plan_steps(p, task.batch.global_batch);
    if (steps == p->steps || task.batch.global_batch > TR_PLAN_BATCH_MAX)
        return TR_OK;
    double than_s = p->steps * p->step.time_s / steps;
    enum tr_status status = tr_search_faster(&p->site, &task, space, p->request.chips, than_s, &found, err);
    if (status == TR_OK)
        tr_limit_add(p->search.limit, &p->search.limit_count, TR_PLAN_LIMIT_BATCH, &found, 1 - found.step.time_s / than_s);
    return status == TR_NO ? TR_OK : status;
}

/* What would help, within the memory that was allowed to the layout that was taken. */
static enum tr_status compare(struct tr_plan *p, struct tr_space space, const struct tr_search_count *from, struct tr_err *err)
{
    const struct tr_fastest *these = allowed(p, from);
    double most = these == &from->sure ? tr_search_sure_bytes(&p->site, &space) : tr_search_capacity(&p->site, &space);
    p->more_memory_s = these->roomier.step.time_s;
    enum tr_status status = keep_pool(p, these, err);
    space.memory_bytes = most + space.reserve_bytes;
    if (status != TR_OK || from->legal > TR_PLAN_SEARCH_AGAIN_MAX)
        return status;
    status = tr_search_limits(&p->site, &p->task, &space, from->chips, &these->top[0], &from->unlimited, p->search.limit,
                              &p->search.limit_count, err);
    return status == TR_OK ? add_batch_limit(p, &space, err) : status;
}

/* The chosen number of chips alone, in full; where nothing is legal, all that were asked for, so that the answer says what would be. */
static enum tr_status search_chosen(struct tr_plan *p, struct tr_space *space, int64_t counts[TR_PLAN_COUNTS_MAX], struct tr_search *search,
                                    struct tr_err *err)
{
    const struct tr_plan_candidate *chosen = &p->search.at[p->search.chosen];
    space->top = TR_PLAN_POOL_MAX;
    space->apart = TR_PLAN_NEXT_MAX;
    space->chips = counts;
    space->chips_count = tr_plan_doublings(p->request.chips, p->request.chips_max, counts);
    if (chosen->legal)
        counts[0] = chosen->chips, space->chips_count = 1;
    if (p->search.count)
        tr_plan_set_batch(p, chosen->global_batch);
    return tr_search(&p->site, &p->task, space, search, err);
}

enum tr_status tr_plan_choose(struct tr_plan *p, uint32_t said, struct tr_err *err)
{
    int64_t counts[TR_PLAN_COUNTS_MAX];
    struct tr_space space = space_of(&p->stack, &p->layout, said);
    struct tr_search search = {0};
    bool several = p->request.chips_max || p->request.global_batch_max;
    space.reserve_bytes = (double)p->request.reserve_bytes;
    space.passes = p->passes;
    p->search.done = true;
    enum tr_status status = check_said(&p->layout, said, err);
    if (status == TR_OK && several)
        status = tr_plan_try_counts(p, &space, err);
    if (status == TR_OK)
        status = search_chosen(p, &space, counts, &search, err);
    if ((status == TR_OK || status == TR_NO) && !several)
        tr_plan_add_candidates(p, &search);
    const struct tr_search_count *from = NULL;
    if (status == TR_OK || status == TR_NO) {
        from = count_of(&search, p->search.at[p->search.chosen].chips);
        status = take(p, from, status, err);
    }
    if (status == TR_OK && !p->why[0])
        status = compare(p, space, from, err);
    if (status == TR_OK && !p->why[0] && !p->search.at[p->search.chosen].kept)
        status = tr_plan_look_beyond(p, &space, err);
    if (status == TR_OK)
        tr_plan_mark_candidates(p);
    tr_search_free(&search);
    return status;
}
