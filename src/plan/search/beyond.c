/* The second walk: layouts that are legal, many, and seldom the fastest. Stages of which the first or the last has another number of
 * layers than the rule gives it (first_layers, last_layers), and parts of the replicas other than a node that share what zero shares out.
 *
 * Those that no bound shows to be as slow as the fastest that is known, or too big, are priced, all of them, and kept as others are, but
 * not counted. While nothing is known that fits, or surely fits, bounds of memory alone leave some out, so what fits only so is found too.
 * Bounds of time: the mean of all stages; the quickest of the model's layers times layers of one stage; sums of the layers of one stage; the
 * slowest stage itself; a schedule without messages between replicas. Of memory: the lightest layer times layers of one stage, with the
 * activations of the schedule that holds the fewest; sums of the layers of one stage; the stages themselves; each where all is shared out
 * among all, and nothing gathered. */
#include "plan/search/space_walk.h"

#include "base/num.h"

#include <math.h>

/* ---- how much a stage may have --------------------------------------------------------------------------------------- */

/* Both passes of layers: of the quickest and the slowest kind, and how much less all layers take than if they were of the slowest. So n
 * neighbours take n quickest at least, and n slowest less that. */
struct passes {
    double quickest_s, slowest_s, less_s;
};

/* What one stage may take of a microbatch, and the least that layers take; of a pipe on a number of chips. */
struct bound {
    double limit_s, bytes;      /* beyond these none is looked for */
    double fits_s, sure_bytes;  /* and what takes longer than the one only within the other */
    double last_waits; /* of all microbatches one, 1 / how many, or 0 where a schedule does not wait: for all other stages (stage.h) */
    double embed_s, head_s;
    double dense, expert;           /* bytes a weight, where all is shared out among all */
    struct passes plain, selective; /* of a layer without what is computed again; with what selective recompute does */
    double forward_s, weights, kept, kept_selective, kept_full; /* each the least of any kind of layer */
    const double *in_flight; /* by stage: microbatches whose activations it holds, of the schedule with the fewest */
};

static struct tr_held lightest(const struct tr_space_walk *w)
{
    struct tr_layout l = w->layout;
    struct tr_held held;
    l.zero = 3, l.shard = 0;
    tr_held_make(&held, w->site, w->task, &l);
    held.gathered = 0;
    return held;
}

static struct passes passes_of(const struct tr_blocks *b, int32_t layers, bool selective)
{
    struct passes p = {INFINITY, 0, 0};
    double kind_s[TR_LAYER_KINDS_MAX];
    for (int k = 0; k < b->kinds.count; k++) {
        kind_s[k] = tr_space_both_s(&b->layer[k]) + (selective ? b->layer[k].again_pass_s : 0);
        p.quickest_s = tr_smaller(p.quickest_s, kind_s[k]);
        p.slowest_s = tr_larger(p.slowest_s, kind_s[k]);
    }
    for (int32_t l = 0; l < layers; l++)
        p.less_s += p.slowest_s - kind_s[b->kinds.of[l]];
    return p;
}

static void take_least(struct bound *bound, const struct tr_block_price *layer)
{
    double weights = (layer->weights.cut + layer->weights.whole) * bound->dense + layer->weights.expert * bound->expert;
    bound->forward_s = tr_smaller(bound->forward_s, layer->forward_pass_s);
    bound->weights = tr_smaller(bound->weights, weights);
    bound->kept = tr_smaller(bound->kept, layer->kept.all);
    bound->kept_selective = tr_smaller(bound->kept_selective, layer->kept.selective);
    bound->kept_full = tr_smaller(bound->kept_full, layer->kept.full);
}

static void hold_fewest(const struct tr_space_walk *w, const struct tr_space_pipe *pipe, double in_flight[TR_LAYERS_MAX])
{
    struct tr_layout l = w->layout;
    const int64_t m = tr_layout_micro_count(&l, &w->task->batch);
    for (int32_t i = 0; i < l.pp; i++) {
        in_flight[i] = INFINITY;
        for (int s = 0; s < pipe->schedules; s++) {
            l.pipeline = pipe->schedule[s];
            in_flight[i] = tr_smaller(in_flight[i], tr_layout_in_flight(&l, m, i));
        }
    }
}

static bool has_schedule(const struct tr_space_pipe *pipe, enum tr_pipeline schedule)
{
    for (int s = 0; s < pipe->schedules; s++)
        if (pipe->schedule[s] == schedule)
            return true;
    return false;
}

/* What is seen of messages between stages where all that the stack hides is hidden. */
static double sends_least_s(const struct tr_space_walk *w)
{
    const struct tr_layout *l = &w->layout;
    double each_pass = (double)tr_layout_micro_count(l, &w->task->batch) * l->vpp;
    return l->pp > 1 ? 2 * w->beyond->place.send_s * (each_pass * (1 - w->site->stack->p2p_hidden.value) + (l->pp - 1)) : 0;
}

static void make_bound(struct bound *bound, const struct tr_space_walk *w, const struct tr_space_pipe *pipe, const struct tr_keep *keep,
                       const double *in_flight)
{
    const struct tr_blocks *b = &w->blocks;
    const struct tr_held held = lightest(w);
    const int32_t layers = w->task->model->layers;
    double micro_count = (double)tr_layout_micro_count(&w->layout, &w->task->batch);
    double once_s = w->site->stack->host_step_s.value + sends_least_s(w), in_a_step = (1 + 1e-12) / (1 + w->beyond->place.straggle);
    bound->limit_s = (w->beyond->than_s * in_a_step - once_s) / micro_count;
    bound->fits_s = (w->beyond->fits_s * in_a_step - once_s) / micro_count;
    bool fills = has_schedule(pipe, TR_PIPELINE_ZERO_BUBBLE) || has_schedule(pipe, TR_PIPELINE_ZERO_BUBBLE_2P);
    bound->last_waits = fills ? 0 : 1 / micro_count;
    bound->bytes = (keep->fits.limit_bytes - held.buffers - held.context) / held.loosened;
    bound->sure_bytes = (keep->sure.limit_bytes - held.buffers - held.context) / held.loosened;
    bound->embed_s = tr_space_both_s(&b->embed), bound->head_s = tr_space_both_s(&b->head);
    bound->dense = held.weight + held.gradient + held.optimizer;
    bound->expert = held.weight_expert + held.gradient_expert + held.optimizer_expert;
    bound->plain = passes_of(b, layers, false), bound->selective = passes_of(b, layers, true);
    bound->forward_s = bound->weights = bound->kept = bound->kept_selective = bound->kept_full = INFINITY;
    for (int k = 0; k < b->kinds.count; k++)
        take_least(bound, &b->layer[k]);
    bound->in_flight = in_flight;
}

/* ---- by numbers of layers alone -------------------------------------------------------------------------------------- */

/* Layers that a stage has at most. From the second on it is no less from stage to stage, up to the one before the last, as fewer
 * microbatches are in flight: so all between the ends together have no more than `before_last` each. */
struct caps {
    int32_t first, second, before_last, last;
};

/* The most of n for which n each + min(n, some) more are within the limit, up to `most`. */
static int32_t most_within(double limit, double each, double more, double some, int32_t most)
{
    double n = limit / (each + more);
    if (n > some)
        n = tr_larger(some, (limit - some * more) / each);
    return limit < 0 ? -1 : n < most ? (int32_t)(n * (1 + 1e-9)) : most;
}

/* By time and by memory. Of layers that are computed again a chunk has rerun_layers at most, and a stage of all its chunks. */
static int32_t cap_of(const struct tr_space_walk *w, const struct bound *bound, int32_t stage)
{
    const struct tr_layout *l = &w->layout;
    const int32_t layers = w->task->model->layers;
    const bool full = l->rerun == TR_RERUN_FULL, selective = l->rerun == TR_RERUN_SELECTIVE;
    const struct passes *passes = selective ? &bound->selective : &bound->plain;
    double again = l->rerun_layers ? l->rerun_layers : layers, forward_s = full ? bound->forward_s : 0;
    double limit_s = bound->limit_s - (stage == 0 ? bound->embed_s : 0) - (stage == l->pp - 1 ? bound->head_s : 0);
    double kept = selective ? bound->kept_selective : bound->kept, fewer = full ? tr_larger(0, kept - bound->kept_full) : 0;
    int32_t most = most_within(limit_s, passes->quickest_s, forward_s, again, layers);
    most = most_within(limit_s + passes->less_s, passes->slowest_s, forward_s, again, most);
    return most_within(bound->bytes, bound->weights + bound->in_flight[stage] * kept, -bound->in_flight[stage] * fewer, again * l->vpp, most);
}

static struct caps caps_of(const struct tr_space_walk *w, const struct bound *bound)
{
    const int32_t pp = w->layout.pp;
    struct caps caps = {.first = cap_of(w, bound, 0)};
    caps.second = pp > 2 ? cap_of(w, bound, 1) : 0;
    caps.before_last = pp > 2 ? cap_of(w, bound, pp - 2) : 0;
    caps.last = pp > 1 ? cap_of(w, bound, pp - 1) : 0;
    return caps;
}

/* ---- sums of neighbouring layers --------------------------------------------------------------------------------------- */

static void make_sums(struct tr_space_walk *w)
{
    struct tr_space_sums *sum = w->beyond->sum;
    const struct tr_blocks *b = &w->blocks;
    sum[0] = (struct tr_space_sums){0};
    for (int32_t l = 0; l < w->task->model->layers; l++) {
        const struct tr_block_price *layer = &b->layer[b->kinds.of[l]];
        sum[l + 1] = sum[l];
        sum[l + 1].both_s += tr_space_both_s(layer);
        sum[l + 1].again_s += layer->again_pass_s;
        sum[l + 1].forward_s += layer->forward_pass_s;
        sum[l + 1].dense += layer->weights.cut + layer->weights.whole;
        sum[l + 1].expert += layer->weights.expert;
        sum[l + 1].kept += layer->kept.all;
        sum[l + 1].selective += layer->kept.selective;
        sum[l + 1].full += layer->kept.full;
    }
    w->beyond->summed = true;
}

/* What a stage has. */
struct having {
    double s, bytes;
};

static void have_chunk(struct having *has, const struct tr_space_walk *w, const struct bound *bound, int32_t stage, int32_t from, int32_t to)
{
    const struct tr_layout *l = &w->layout;
    const struct tr_space_sums *a = &w->beyond->sum[from], *b = &w->beyond->sum[to], *m = a;
    if (l->rerun == TR_RERUN_FULL)
        m = l->rerun_layers && from + l->rerun_layers < to ? &w->beyond->sum[from + l->rerun_layers] : b;
    double kept = m->full - a->full + (b->kept - m->kept);
    has->s += b->both_s - a->both_s + (m->forward_s - a->forward_s);
    if (l->rerun == TR_RERUN_SELECTIVE)
        has->s += b->again_s - a->again_s, kept = b->selective - a->selective;
    has->bytes += (b->dense - a->dense) * bound->dense + (b->expert - a->expert) * bound->expert + bound->in_flight[stage] * kept;
}

static bool is_within(const struct tr_space_walk *w, const struct bound *bound, int32_t stage, const struct having *has)
{
    double ends_s = (stage == 0 ? bound->embed_s : 0) + (stage == w->layout.pp - 1 ? bound->head_s : 0);
    double s = has->s + ends_s;
    return s <= bound->limit_s && has->bytes <= (s <= bound->fits_s ? bound->bytes : bound->sure_bytes);
}

/* Whether a stage of one chunk with the layers [from, to), and what stands at the ends, is too slow or too big. No step is shorter than the
 * last stage's microbatches and one through all others, by GPIPE and by 1F1B (tr_bubble_s), nor than any other stage's microbatches. */
static bool is_too_much(const struct tr_space_walk *w, const struct bound *bound, int32_t stage, int32_t from, int32_t to)
{
    struct having has = {0};
    if (stage == w->layout.pp - 1)
        has.s = bound->last_waits * (w->beyond->sum[from].both_s + bound->embed_s);
    have_chunk(&has, w, bound, stage, from, to);
    return !is_within(w, bound, stage, &has);
}

/* The same of a stage of several chunks of `each` layers, where the first and the last of the model have others. */
static bool chunks_are_too_much(const struct tr_space_walk *w, const struct bound *bound, int32_t stage, int32_t first, int32_t each)
{
    const int32_t pp = w->layout.pp, chunks = pp * w->layout.vpp, layers = w->task->model->layers;
    struct having has = {0};
    for (int32_t c = stage; c < chunks; c += pp)
        have_chunk(&has, w, bound, stage, c ? first + (c - 1) * each : 0, c < chunks - 1 ? first + c * each : layers);
    return !is_within(w, bound, stage, &has);
}

/* ---- one cut --------------------------------------------------------------------------------------------------------- */

static bool is_too_big(const struct tr_space_walk *w, const struct bound *bound, double limit_bytes)
{
    const struct tr_held held = lightest(w);
    for (int i = 0; i < w->stages.load_count; i++) {
        const struct tr_load *load = &w->stages.load[i];
        if (tr_held_bytes(&held, load) + tr_waiting_bytes(&held, load, bound->in_flight[load->index]) > limit_bytes)
            return true;
    }
    return false;
}

/* So many layers of each chunk, where some chunk has more: as many as the longest has are all, which is said without a number, and which a
 * range has that reaches as far. */
static bool is_computed_again(const struct tr_space *space, const struct tr_layout *l, int32_t layers)
{
    if (l->rerun != TR_RERUN_FULL)
        return true;
    const int32_t longest = tr_layout_longest_chunk(l, layers);
    return l->rerun_layers ? l->rerun_layers < longest : space->rerun_layers.max == 0 || space->rerun_layers.max >= longest;
}

static bool same_chunks(const struct tr_layout *a, const struct tr_layout *b, int32_t layers)
{
    for (int32_t c = 0; c < a->pp * a->vpp; c++)
        if (tr_layout_chunk_layers(a, layers, c) != tr_layout_chunk_layers(b, layers, c))
            return false;
    return true;
}

/* Numbers of layers at the ends that fewer words say, which are met where those are said, or were by the first walk. */
static bool is_said_shorter(const struct tr_space *space, const struct tr_layout *l, bool equal, int32_t layers)
{
    const bool first_said = l->first_layers != space->first_layers, last_said = l->last_layers != space->last_layers;
    struct tr_layout none = *l, first = *l, last = *l;
    none.first_layers = last.first_layers = space->first_layers;
    none.last_layers = first.last_layers = space->last_layers;
    if (!first_said && !last_said)
        return false;
    if (equal && same_chunks(l, &none, layers))
        return true;
    return first_said && last_said && (same_chunks(l, &first, layers) || same_chunks(l, &last, layers));
}

static enum tr_status price_cut(struct tr_space_walk *w, const struct tr_space_pipe *pipe, const struct bound *bound, struct tr_keep *keep)
{
    struct tr_split split;
    struct tr_split_class of[TR_LAYERS_MAX];
    struct tr_space_beyond *b = w->beyond;
    const int32_t layers = w->task->model->layers;
    if ((w->first_fit && w->found) || !is_computed_again(w->space, &w->layout, layers) ||
        is_said_shorter(w->space, &w->layout, pipe->equal, layers))
        return TR_OK;
    tr_split_make(&split, of, w->task->model, &w->kinds, &w->layout, w->task->mtp);
    tr_stages_make(&w->stages, w->load, &w->blocks, &split);
    const double slowest_s = w->stages.slowest.forward_s + w->stages.slowest.backward_s;
    bool sure_alone = tr_space_is_slow(w, &b->place, slowest_s, b->fits_s); /* it counts only if it surely fits */
    if (tr_space_is_slow(w, &b->place, slowest_s, b->than_s) ||
        is_too_big(w, bound, sure_alone ? keep->sure.limit_bytes : keep->fits.limit_bytes))
        return TR_OK;
    for (int i = 0; i < TR_SPACE_SHARINGS_BEYOND; i++)
        b->place.ends_of[i] = -1;
    return tr_space_price_variants(w, pipe, &split, &b->place, keep);
}

static enum tr_status price_uneven(struct tr_space_walk *w, const struct tr_space_pipe *pipe, const struct bound *bound, int32_t first, int32_t last,
                                   struct tr_keep *keep)
{
    w->layout.first_layers = first, w->layout.last_layers = last;
    enum tr_status status = price_cut(w, pipe, bound, keep);
    w->layout.first_layers = w->space->first_layers, w->layout.last_layers = w->space->last_layers;
    return status;
}

/* A number of layers at an end that the space has: it may be said there. */
static bool may_have(int32_t said, int32_t layers) { return said == 0 || said == layers; }

/* ---- all cuts of a pipe and a way to recompute ------------------------------------------------------------------------ */

/* So many stages from one on, that share the layers [from, to): the first and the last of them, and the first of those in the middle that
 * have one more. */
static bool some_is_too_much(const struct tr_space_walk *w, const struct bound *bound, int32_t stage, int32_t stages, int32_t from, int32_t to)
{
    int32_t each = (to - from) / stages, more = (to - from) % stages, before = (stages - more) / 2;
    return is_too_much(w, bound, stage, from, from + each) || is_too_much(w, bound, stage + stages - 1, to - each, to) ||
           (more && is_too_much(w, bound, stage + before, from + before * each, from + before * each + each + 1));
}

/* Both ends said, of three stages or more. */
static enum tr_status walk_firsts(struct tr_space_walk *w, const struct tr_space_pipe *pipe, const struct bound *bound, const struct caps *caps,
                                  int32_t last, struct tr_keep *keep)
{
    const int32_t layers = w->task->model->layers, between = pipe->pp - 2, left = layers - last;
    const int64_t most = tr_min_i64((int64_t)between * caps->before_last, (int64_t)between * (caps->second + 1) - 1);
    const int32_t from = (int32_t)tr_max_i64(1, left - most), to = (int32_t)tr_min_i64(caps->first, left - between);
    enum tr_status status = TR_OK;
    for (int32_t first = from; first <= to && status == TR_OK && !is_too_much(w, bound, 0, 0, first); first++)
        if (may_have(w->space->first_layers, first) && !some_is_too_much(w, bound, 1, between, first, left))
            status = price_uneven(w, pipe, bound, first, last, keep);
    return status;
}

/* The first end said alone: the rest is shared by all others, of which the last may be left none. Of two stages that is where it has all;
 * else the other end says the same. */
static enum tr_status walk_firsts_alone(struct tr_space_walk *w, const struct tr_space_pipe *pipe, const struct bound *bound, const struct caps *caps,
                                        struct tr_keep *keep)
{
    const int32_t layers = w->task->model->layers, others = pipe->pp - 1;
    enum tr_status status = TR_OK;
    for (int32_t first = others > 1 ? 1 : layers; first <= caps->first && status == TR_OK && !is_too_much(w, bound, 0, 0, first); first++)
        if (may_have(w->space->first_layers, first) && layers - first >= others - 1 && !some_is_too_much(w, bound, 1, others, first, layers))
            status = price_uneven(w, pipe, bound, first, w->space->last_layers, keep);
    return status;
}

/* Of one chunk a stage. With one layer more the last may take less time where other layers are computed again then, of another kind. */
static enum tr_status walk_stages(struct tr_space_walk *w, const struct tr_space_pipe *pipe, const struct bound *bound, const struct caps *caps,
                                  struct tr_keep *keep)
{
    const int32_t layers = w->task->model->layers, others = pipe->pp - 1;
    const bool grows = w->layout.rerun_layers == 0 || w->kinds.count == 1;
    enum tr_status status = TR_OK;
    for (int32_t last = 1; last <= caps->last && status == TR_OK; last++) {
        const int32_t left = layers - last;
        const bool too_much = is_too_much(w, bound, others, left, layers);
        if (too_much && grows)
            break;
        if (too_much || !may_have(w->space->last_layers, last))
            continue;
        if (others > 1)
            status = walk_firsts(w, pipe, bound, caps, last, keep);
        if (status == TR_OK && !w->space->first_layers && left >= (others > 1 ? others : 0) && !some_is_too_much(w, bound, 0, others, 0, left))
            status = price_uneven(w, pipe, bound, 0, last, keep);
    }
    return status == TR_OK && !w->space->last_layers ? walk_firsts_alone(w, pipe, bound, caps, keep) : status;
}

/* The bound of interleaved stages: beyond its microbatches the slowest waits for one chunk of each other stage (tr_bubble_chunks_s), and all
 * stages together have all layers, of each chunk those that are computed again twice. */
static struct bound with_bubble(const struct tr_space_walk *w, const struct bound *bound, int32_t each)
{
    const struct tr_layout *l = &w->layout;
    const struct tr_space_sums *all = &w->beyond->sum[w->task->model->layers];
    struct bound with = *bound;
    double m = (double)tr_layout_micro_count(l, &w->task->batch), one = 1. / l->vpp, all_s = all->both_s + bound->embed_s + bound->head_s;
    if (l->rerun == TR_RERUN_SELECTIVE)
        all_s += all->again_s;
    else if (l->rerun == TR_RERUN_FULL)
        all_s += l->rerun_layers ? (l->pp * l->vpp - 2.0) * tr_min_i64(l->rerun_layers, each) * bound->forward_s : all->forward_s;
    with.limit_s = (m * bound->limit_s - one * all_s) / (m - one);
    with.fits_s = (m * bound->fits_s - one * all_s) / (m - one);
    return with;
}

/* Interleaved: all chunks have as many layers, the ends that or fewer. (One of more would hold up all others, which a price by stages does
 * not say: by up to a quarter of the step, plan/step/walk.h. With fewer it errs upwards.) */
static enum tr_status walk_chunks(struct tr_space_walk *w, const struct tr_space_pipe *pipe, const struct bound *bound, const struct caps *caps,
                                  struct tr_keep *keep)
{
    const int32_t layers = w->task->model->layers, pp = pipe->pp, vpp = pipe->vpp, between = pp * vpp - 2;
    enum tr_status status = TR_OK;
    for (int32_t each = (int32_t)tr_ceil_div(layers, between + 2); each * between <= layers - 2 && status == TR_OK; each++) {
        const struct bound with = with_bubble(w, bound, each);
        const int32_t ends = layers - each * between, others = (vpp - 1) * each;
        if (pp > 2 && vpp * each > tr_min_i64(caps->second, caps->before_last))
            break;
        int32_t from = (int32_t)tr_max_i64(tr_max_i64(1, ends - each), ends - (caps->last - others));
        int32_t to = (int32_t)tr_min_i64(tr_min_i64(ends - 1, each), caps->first - others);
        for (int32_t first = from; first <= to && status == TR_OK; first++) {
            const int32_t last = ends - first;
            if (!may_have(w->space->first_layers, first) || !may_have(w->space->last_layers, last) ||
                chunks_are_too_much(w, &with, 0, first, each) || chunks_are_too_much(w, &with, pp - 1, first, each) ||
                (pp > 2 && chunks_are_too_much(w, &with, pp - 2, first, each)))
                continue;
            const bool as_others = first == each && last != each && !w->space->first_layers; /* so the other end is said alone */
            const bool last_as_others = last == each && first != each && !w->space->last_layers;
            status = price_uneven(w, pipe, bound, as_others ? 0 : first, last_as_others ? 0 : last, keep);
        }
    }
    return status;
}

/* Stages as the first walk had them, for other sharings. */
static enum tr_status walk_again(struct tr_space_walk *w, const struct tr_space_pipe *pipe, const struct bound *bound, const struct caps *caps,
                                  struct tr_keep *keep)
{
    const int32_t layers = w->task->model->layers;
    const struct tr_layout *l = &w->layout;
    if (!pipe->equal || tr_layout_stage_layers(l, layers, 0) > caps->first ||
        (l->pp > 1 && tr_layout_stage_layers(l, layers, l->pp - 1) > caps->last) ||
        (l->pp > 2 && tr_layout_stage_layers(l, layers, 1) > caps->second))
        return TR_OK;
    w->beyond->again = true;
    enum tr_status status = price_cut(w, pipe, bound, keep);
    w->beyond->again = false;
    return status;
}

static enum tr_status walk_rerun(struct tr_space_walk *w, const struct tr_space_pipe *pipe, const struct bound *bound, struct tr_keep *keep)
{
    const struct caps caps = caps_of(w, bound);
    enum tr_status status = TR_OK;
    const int64_t longest = tr_max_i64(tr_max_i64(caps.first, caps.second), tr_max_i64(caps.before_last, caps.last));
    if (w->layout.rerun_layers && w->layout.rerun_layers >= longest)
        return TR_OK;
    if ((int64_t)caps.first + caps.last + (int64_t)(pipe->pp - 2) * caps.before_last < w->task->model->layers && pipe->pp > 1)
        return TR_OK;
    if (!w->space->shard && !w->space->shares)
        status = walk_again(w, pipe, bound, &caps, keep);
    if (status != TR_OK || pipe->pp == 1 || (w->space->first_layers && w->space->last_layers))
        return status;
    return pipe->vpp > 1 ? walk_chunks(w, pipe, bound, &caps, keep) : walk_stages(w, pipe, bound, &caps, keep);
}

/* None, selective, full of so many layers of each chunk, of all. */
static enum tr_status walk_reruns(struct tr_space_walk *w, const struct tr_space_pipe *pipe, struct tr_keep *keep)
{
    struct tr_layout *l = &w->layout;
    const struct tr_span k = w->space->rerun_layers;
    struct bound bound;
    double in_flight[TR_LAYERS_MAX];
    const int32_t most = w->task->model->layers - pipe->pp * pipe->vpp + 1; /* of a chunk */
    enum tr_status status = TR_OK;
    hold_fewest(w, pipe, in_flight);
    make_bound(&bound, w, pipe, keep, in_flight);
    const struct tr_space_sums *all = &w->beyond->sum[w->task->model->layers];
    if (all->dense * bound.dense + all->expert * bound.expert > pipe->pp * bound.bytes) /* the mean of all stages, without activations */
        return TR_OK;
    for (int32_t i = -2; i < most && status == TR_OK; i++) {
        l->rerun = i == -2 ? TR_RERUN_NONE : i == -1 ? TR_RERUN_SELECTIVE : TR_RERUN_FULL;
        l->rerun_layers = i > 0 ? i : 0;
        if (tr_mask_has(w->space->reruns, (int)l->rerun) && (i <= 0 || tr_span_has(k, i)))
            status = walk_rerun(w, pipe, &bound, keep);
    }
    return status;
}

/* ---- all of a mesh and a micro_batch --------------------------------------------------------------------------------- */

/* What is as slow as the fastest is not looked for, and of what surely fits as the fastest of that; of a way to divide the chips that has a
 * place in a list as its own fastest, of another as the last. Where none is known all are looked for. */
static void look_for(struct tr_space_walk *w, const struct tr_keep *keep)
{
    struct tr_space_beyond *b = w->beyond;
    const double limit_s = w->space->faster_than_s > 0 ? w->space->faster_than_s : INFINITY;
    b->fits_s = keep->fits.all.count ? tr_smaller(limit_s, tr_keep_last_s(&keep->fits, &w->layout)) : limit_s;
    b->than_s = keep->sure.all.count ? tr_larger(b->fits_s, tr_keep_last_s(&keep->sure, &w->layout)) : INFINITY;
    if (w->space->faster_than_s > 0)
        b->than_s = b->fits_s;
}

static enum tr_status walk_pipe(struct tr_space_walk *w, const struct tr_space_pipe *pipe, int i)
{
    struct tr_space_beyond *b = w->beyond;
    struct tr_layout *l = &w->layout;
    l->pp = pipe->pp, l->vpp = pipe->vpp, l->pipeline = pipe->schedule[0];
    if (!tr_space_place_on(w, pipe, w->space->chips[i]))
        return TR_OK;
    look_for(w, &w->keep[i]);
    tr_space_place_turn(w, &b->place);
    tr_space_know_passes(w);
    if (tr_space_is_slow(w, &b->place, w->passes_s / l->pp, b->than_s))
        return TR_OK;
    if (!w->priced)
        tr_space_price_blocks(w);
    if (!b->summed)
        make_sums(w);
    b->place.send_s = tr_mesh_send(w->site, l, TR_MESH_PP, w->blocks.send_bytes, 1).time_s;
    tr_keep_turn(&w->keep[i], l);
    return walk_reruns(w, pipe, &w->keep[i]);
}

enum tr_status tr_space_walk_beyond(struct tr_space_walk *w)
{
    enum tr_status status = TR_OK;
    w->beyond->summed = false;
    for (int p = 0; p < w->pipes && status == TR_OK; p++)
        for (int i = w->from; i < w->to && status == TR_OK; i++)
            status = walk_pipe(w, &w->pipe[p], i);
    return status;
}

enum tr_status tr_space_beyond_make(struct tr_space_walk *w)
{
    struct tr_space_beyond *b = tr_arena_array(&w->arena, 1, sizeof *b, w->err);
    if (!b)
        return TR_FAILED;
    *b = (struct tr_space_beyond){0};
    w->beyond = b;
    return tr_space_place_make(w, &b->place, 1, TR_SPACE_SHARINGS_BEYOND, TR_SPACE_VARIANTS_BEYOND);
}
