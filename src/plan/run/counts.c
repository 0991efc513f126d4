/* How many chips: which numbers are tried, and which is the best. */
#include "plan/run/inside.h"

#include "base/num.h"

#include <math.h>
#include <stdlib.h>

int tr_plan_doublings(int64_t first, int64_t last, int64_t out[TR_PLAN_COUNTS_MAX])
{
    int count = 0;
    out[count++] = first;
    for (int64_t value = first * 2; value < last; value *= 2)
        out[count++] = value;
    if (last > first)
        out[count++] = last;
    TR_ASSERT(count <= TR_PLAN_COUNTS_MAX);
    return count;
}

/* ---- candidates -------------------------------------------------------------------------------------------------- */

/* By how much it misses the wish that it misses most; up to 1: it keeps them. */
static double miss(const struct tr_plan_request *r, const struct tr_plan_candidate *c)
{
    double most = isfinite(c->wall_s) ? 0 : INFINITY;
    if (r->deadline_s > 0)
        most = fmax(most, c->wall_s / r->deadline_s);
    return r->budget_usd > 0 ? fmax(most, c->usd / r->budget_usd) : most;
}

static void set_layout(const struct tr_plan *p, const struct tr_found *found, struct tr_plan_candidate *c)
{
    struct tr_job_cost cost = tr_plan_job(p, p->request.commitment, c->chips, found->step.time_s);
    c->layout = found->layout;
    c->step = found->step;
    c->wall_s = cost.wall_s, c->chip_hours = cost.chip_hours, c->usd = cost.usd;
    c->kept = c->found && miss(&p->request, c) <= 1;
}

/* Among layouts that are alike in time the one that surely fits; not where the fastest alone keeps a wish. */
static void make_candidate(const struct tr_plan *p, const struct tr_search_count *from, struct tr_plan_candidate *c)
{
    *c = (struct tr_plan_candidate){.chips = from->chips,
                                    .global_batch = p->task.batch.global_batch,
                                    .found = from->fits.top_count > 0,
                                    .legal = from->legal,
                                    .too_big = from->too_big,
                                    .dominated = from->dominated,
                                    .beyond = from->beyond};
    if (!from->legal && !from->beyond)
        return;
    const struct tr_found *best = c->found ? &from->fits.top[0] : &from->lightest;
    set_layout(p, best, c);
    if (!from->sure.top_count || from->sure.top[0].step.time_s > best->step.time_s * (1 + TR_PLAN_ALIKE))
        return;
    const bool fastest_keeps = c->kept;
    set_layout(p, &from->sure.top[0], c);
    if (fastest_keeps && !c->kept)
        set_layout(p, best, c);
}

static double money(const struct tr_plan_candidate *c) { return isnan(c->usd) ? c->chip_hours : c->usd; }

/* With a deadline the cheapest that keeps it, else the fastest; where no wish is kept the one that misses least, and what does not
 * fit only when nothing fits (then the one that needs least memory). */
static bool better(const struct tr_plan_request *r, const struct tr_plan_candidate *a,
                   const struct tr_plan_candidate *b)
{
    if (a->kept != b->kept)
        return a->kept;
    if (a->found != b->found)
        return a->found;
    if (!a->found)
        return a->legal && (!b->legal || a->step.memory_bytes < b->step.memory_bytes);
    if (!a->kept)
        return miss(r, a) < miss(r, b);
    return r->deadline_s > 0 ? money(a) < money(b) : a->wall_s < b->wall_s;
}

void tr_plan_add_candidates(struct tr_plan *p, const struct tr_search *found)
{
    struct tr_plan_search *to = &p->search;
    for (int i = 0; i < found->count; i++) {
        TR_ASSERT(to->count < TR_PLAN_CANDIDATES_MAX);
        struct tr_plan_candidate *c = &to->at[to->count];
        make_candidate(p, &found->at[i], c);
        if (to->count && better(&p->request, c, &to->at[to->chosen]))
            to->chosen = to->count;
        to->count++;
    }
}

static bool dominates(const struct tr_plan_candidate *a, const struct tr_plan_candidate *b)
{
    return a->found && a->wall_s <= b->wall_s && money(a) <= money(b) && (a->wall_s < b->wall_s || money(a) < money(b));
}

static int by_batch_and_chips(const void *a, const void *b)
{
    const struct tr_plan_candidate *x = a, *y = b;
    return x->global_batch != y->global_batch ? (x->global_batch > y->global_batch) - (x->global_batch < y->global_batch)
                                              : (x->chips > y->chips) - (x->chips < y->chips);
}

void tr_plan_mark_candidates(struct tr_plan *p)
{
    struct tr_plan_search *s = &p->search;
    const struct tr_plan_candidate chosen = s->at[s->chosen];
    for (int i = 0; i < s->count; i++) {
        struct tr_plan_candidate *c = &s->at[i];
        c->front = c->found;
        for (int k = 0; k < s->count && c->front; k++)
            c->front = !dominates(&s->at[k], c);
    }
    qsort(s->at, (size_t)s->count, sizeof *s->at, by_batch_and_chips);
    for (int i = 0; i < s->count; i++)
        if (by_batch_and_chips(&s->at[i], &chosen) == 0)
            s->chosen = i;
}

/* ---- which are tried --------------------------------------------------------------------------------------------- */

static enum tr_status try_chips(struct tr_plan *p, const struct tr_space *space, const int64_t *chips, int count, struct tr_err *err)
{
    struct tr_search found = {0};
    struct tr_err why;
    struct tr_space these = *space;
    these.chips = chips, these.chips_count = count, these.top = 1, these.brief = true;
    enum tr_status status = tr_search(&p->site, &p->task, &these, &found, &why);
    if (status == TR_OK || status == TR_NO)
        tr_plan_add_candidates(p, &found);
    else
        *err = why;
    tr_search_free(&found);
    return status == TR_NO ? TR_OK : status;
}

/* The candidate of the chosen one's batch that is next to it, below (-1) or above (1); NULL: none. */
static const struct tr_plan_candidate *neighbour(const struct tr_plan_search *s, int side)
{
    const struct tr_plan_candidate *chosen = &s->at[s->chosen], *nearest = NULL;
    for (int i = 0; i < s->count; i++) {
        const struct tr_plan_candidate *c = &s->at[i];
        if (c->global_batch == chosen->global_batch && side * (c->chips - chosen->chips) > 0 &&
            (!nearest || side * (nearest->chips - c->chips) > 0))
            nearest = c;
    }
    return nearest;
}

/* Numbers of chips above `low` and below `high`, fewer than `most`: the multiples of a node that is doubled as often as it takes (of
 * less than a node: of a chip). Layouts like such numbers, which divide by much. */
static int between(const struct tr_plan *p, int64_t low, int64_t high, int most, int64_t *out)
{
    int64_t step = high > p->system.chips_per_node ? p->system.chips_per_node : 1;
    int count = 0;
    while ((high - low) / step >= most)
        step *= 2;
    for (int64_t chips = (low / step + 1) * step; chips < high; chips += step)
        out[count++] = chips;
    return count;
}

/* Between the best and those next to it, ever nearer, until there is no whole node between them or enough was priced. */
static enum tr_status come_nearer(struct tr_plan *p, const struct tr_space *space, struct tr_err *err)
{
    enum { FEW = 4, MANY = 32 };
    struct tr_plan_search *s = &p->search;
    int64_t priced = 0;
    int room = s->count + TR_PLAN_NEARER_MAX - 2 * MANY;
    while (s->at[s->chosen].found && priced < TR_PLAN_NEARER_LAYOUTS && s->count <= room) {
        int64_t chips[2 * MANY], now = s->at[s->chosen].chips;
        const struct tr_plan_candidate *below = neighbour(s, -1), *above = neighbour(s, 1);
        int most = (int)tr_max_i64(FEW, tr_min_i64(MANY, TR_PLAN_NEARER_LAYOUTS / s->at[s->chosen].legal));
        int before = s->count, count = below ? between(p, below->chips, now, most, chips) : 0;
        count += above ? between(p, now, above->chips, most, chips + count) : 0;
        if (!count)
            return TR_OK;
        enum tr_status status = try_chips(p, space, chips, count, err);
        if (status != TR_OK)
            return status;
        for (int i = before; i < s->count; i++)
            priced += s->at[i].legal;
    }
    return TR_OK;
}

enum tr_status tr_plan_try_counts(struct tr_plan *p, const struct tr_space *space, struct tr_err *err)
{
    int64_t counts[TR_PLAN_COUNTS_MAX], batches[TR_PLAN_COUNTS_MAX];
    int count = tr_plan_doublings(p->request.chips, p->request.chips_max, counts);
    int batch_count = tr_plan_doublings(p->request.global_batch, p->request.global_batch_max, batches);
    enum tr_status status = TR_OK;
    for (int i = 0; i < batch_count && status == TR_OK; i++) {
        tr_plan_set_batch(p, batches[i]);
        status = try_chips(p, space, counts, count, err);
    }
    if (status != TR_OK)
        return status;
    for (int i = 0; i < p->search.count; i++)
        p->search.at[i].asked = true;
    tr_plan_set_batch(p, p->search.at[p->search.chosen].global_batch);
    if (p->search.at[p->search.chosen].found)
        return come_nearer(p, space, err);
    count = between(p, counts[0], counts[count - 1], TR_PLAN_COUNTS_MAX, counts);
    status = count ? try_chips(p, space, counts, count, err) : TR_OK;
    return status == TR_OK ? come_nearer(p, space, err) : status;
}

/* ---- beyond what was asked for ----------------------------------------------------------------------------------- */

/* Round numbers from one to another, in order: powers of two and three halves of them, of chips below a node, of whole nodes above; a layout
 * divides by them, where a multiple of an odd number may have none that is good. */
static int round_numbers(int64_t node, int64_t above, int64_t most, int64_t *out)
{
    int count = 0;
    for (int64_t of = 1; of <= most && count < TR_PLAN_COUNTS_MAX - 2; of = of < node && 2 * of > node ? node : 2 * of) {
        const int64_t numbers[] = {of, of / 2 * 3};
        for (int i = 0; i < 2; i++)
            if (numbers[i] > above && numbers[i] <= most && (numbers[i] < node || numbers[i] % node == 0))
                out[count++] = numbers[i];
    }
    return count;
}

/* Up to eight times the most chips where time is missing, halves below the fewest where money is: whole nodes, and below one any number of its
 * chips. */
static int beyond(const struct tr_plan *p, int64_t low, int64_t high, int64_t *out)
{
    enum { TIMES = 8, FEWER_TIMES = 10 }; /* few chips have few layouts, and how many fit is not known before */
    const struct tr_plan_candidate *chosen = &p->search.at[p->search.chosen];
    int64_t node = p->system.chips_per_node, most = tr_system_max_chips(&p->system);
    bool more = p->request.deadline_s > 0 && chosen->wall_s > p->request.deadline_s;
    bool fewer = !more || (p->request.budget_usd > 0 && chosen->usd > p->request.budget_usd);
    int count = 0;
    if (most == 0 || most > TR_CHIPS_MAX)
        most = TR_CHIPS_MAX;
    for (int i = FEWER_TIMES; fewer && i > 0; i--) {
        int64_t half = low >> i, chips = half > node ? half / node * node : half;
        if (chips > 0 && (!count || chips > out[count - 1]))
            out[count++] = chips;
    }
    return more ? count + round_numbers(node, high, tr_min_i64(most, TIMES * high), out + count) : count;
}

/* Candidates of other batches go. */
static void keep_batch(struct tr_plan_search *s)
{
    const struct tr_plan_candidate chosen = s->at[s->chosen];
    int count = 0;
    for (int i = 0; i < s->count; i++)
        if (s->at[i].global_batch == chosen.global_batch)
            s->at[count++] = s->at[i];
    s->count = count;
    for (int i = 0; i < count; i++)
        if (s->at[i].chips == chosen.chips)
            s->chosen = i;
}

enum tr_status tr_plan_look_beyond(struct tr_plan *p, const struct tr_space *space, struct tr_err *err)
{
    struct tr_plan_search *s = &p->search, *asked = malloc(sizeof *asked);
    int64_t chips[TR_PLAN_COUNTS_MAX], low = INT64_MAX, high = 0;
    if (!asked)
        return tr_fail(err, TR_FAILED, "out of memory for a plan");
    *asked = *s;
    for (int i = 0; i < s->count; i++)
        low = tr_min_i64(low, s->at[i].chips), high = tr_max_i64(high, s->at[i].chips);
    int count = beyond(p, low, high, chips);
    keep_batch(s);
    enum tr_status status = count ? try_chips(p, space, chips, count, err) : TR_OK;
    if (status == TR_OK)
        status = come_nearer(p, space, err);
    asked->instead = s->at[s->chosen];
    asked->instead_low = count ? tr_min_i64(low, chips[0]) : low;
    asked->instead_high = count ? tr_max_i64(high, chips[count - 1]) : high;
    *s = *asked;
    free(asked);
    return status;
}
