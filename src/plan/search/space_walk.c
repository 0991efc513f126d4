/* The walk over all layouts: space_walk.h says what is where. */
#include "plan/search/space_walk.h"

#include "base/num.h"

#include <math.h>
#include <stdlib.h>

bool tr_space_some_chips_divide_by(const struct tr_space_walk *w, int64_t parts)
{
    for (int i = 0; i < w->space->chips_count; i++)
        if (w->space->chips[i] % parts == 0)
            return true;
    return false;
}

/* ---- the innermost: one recompute of one pipe, on one number of chips ------------------------------------------------ */

static struct tr_layout layout_of(const struct tr_space_walk *w, const struct tr_space_variant *v,
                                  enum tr_pipeline pipeline)
{
    struct tr_layout l = w->layout;
    l.zero = v->zero, l.shard = v->shard, l.pipeline = pipeline;
    return l;
}

static enum tr_status keep_layout(struct tr_space_walk *w, struct tr_keep *keep, const struct tr_space_variant *v,
                                  enum tr_pipeline pipeline, double time_s, double bytes)
{
    struct tr_seen seen = {time_s, bytes, layout_of(w, v, pipeline), .beyond = w->beyond != NULL};
    w->found |= bytes <= keep->fits.limit_bytes;
    return tr_keep_add(keep, &seen, w->err);
}

/* The messages of this stage's weights among replicas, and the update. */
static const struct tr_ends *ends_of(struct tr_space_walk *w, struct tr_space_place *place,
                                     const struct tr_space_variant *v)
{
    int32_t slowest = w->stages.slowest_class->first;
    if (place->ends_of[v->sharing] != slowest) {
        struct tr_layout l = layout_of(w, v, w->layout.pipeline);
        tr_ends_make(&place->ends[v->sharing], w->site, w->task, &l, &w->stages.slowest);
        place->ends_of[v->sharing] = slowest;
    }
    return &place->ends[v->sharing];
}

static void make_variants(const struct tr_space_walk *w, struct tr_space_place *place);

static inline void count(const struct tr_space_walk *w, struct tr_keep *keep, double bytes)
{
    if (w->beyond) {
        keep->beyond++;
    } else {
        keep->legal++;
        keep->too_big += bytes > keep->fits.limit_bytes;
    }
}

/* Of the variants those that the walk is for: the second leaves out what the first has been at. */
static int first_variant(const struct tr_space_walk *w, const struct tr_space_place *place)
{
    return w->beyond && w->beyond->again ? place->others : 0;
}

enum tr_status tr_space_price_variants(struct tr_space_walk *w, const struct tr_space_pipe *pipe, const struct tr_split *split,
                                       struct tr_space_place *place, struct tr_keep *keep)
{
    const struct tr_stack *stack = w->site->stack;
    const struct tr_stages *stages = &w->stages;
    int64_t m = tr_layout_micro_count(&w->layout, &w->task->batch);
    double all_s = (double)m * (stages->slowest.forward_s + stages->slowest.backward_s) + stack->host_step_s.value +
                   tr_sends_s(stack, split, &stages->slowest, place->send_s, (double)m);
    double schedule_s[TR_SPACE_SCHEDULES_MAX], least_s = INFINITY;
    for (int s = 0; s < pipe->schedules; s++) {
        schedule_s[s] = all_s + tr_bubble_s(stages, split, pipe->schedule[s], m);
        least_s = tr_smaller(least_s, schedule_s[s]);
    }
    if (w->beyond && least_s * (1 + place->straggle) >= w->beyond->than_s * (1 + 1e-12))
        return TR_OK;
    if (!place->variants)
        make_variants(w, place);
    for (int s = 0; s < pipe->schedules; s++) {
        struct tr_layout l = w->layout;
        l.pipeline = pipe->schedule[s];
        for (int i = 0; i < stages->load_count; i++)
            w->waiting[s][i] = tr_waiting_bytes(&place->variant[0].held, &stages->load[i],
                                                tr_layout_in_flight(&l, m, stages->load[i].index));
    }
    tr_keep_turn(keep, &w->layout);
    for (int k = first_variant(w, place); k < place->variants; k++) {
        const struct tr_space_variant *v = &place->variant[k];
        const struct tr_ends *ends = ends_of(w, place, v);
        double replicas_s =
            tr_replicas_s(stack, w->task, split, v->zero, ends, &stages->slowest, (double)m) + ends->update_s;
        double bytes[TR_SPACE_SCHEDULES_MAX] = {0};
        for (int i = 0; i < stages->load_count; i++) {
            double held = tr_held_bytes(&v->held, &stages->load[i]);
            for (int s = 0; s < pipe->schedules; s++)
                bytes[s] = tr_larger(bytes[s], held + w->waiting[s][i]);
        }
        for (int s = 0; s < pipe->schedules; s++) {
            double time_s = (schedule_s[s] + replicas_s) * (1 + place->straggle);
            if (w->space->visit) {
                struct tr_layout l = layout_of(w, v, pipe->schedule[s]);
                w->space->visit(w->space->context, &l, time_s, bytes[s]);
            }
            count(w, keep, bytes[s]);
            if (!tr_keep_wants(keep, time_s, bytes[s]))
                continue;
            enum tr_status status = keep_layout(w, keep, v, pipe->schedule[s], time_s, bytes[s]);
            if (status != TR_OK)
                return status;
        }
    }
    return TR_OK;
}

/* ---- who shares what ------------------------------------------------------------------------------------------------- */

/* Ranks of dp * cp within the first tier's domain; 0: that is no part of them. */
static int32_t node_shard(const struct tr_space_walk *w)
{
    const struct tr_layout *l = &w->layout;
    int64_t domain = w->site->system->tier[0].domain_chips, replicas = (int64_t)l->dp * l->cp, part = domain / l->tp;
    return part > 1 && part < replicas && replicas % part == 0 ? (int32_t)part : 0;
}

static void add_variant(const struct tr_space_walk *w, struct tr_space_place *place, int32_t zero, int32_t shard, int sharing)
{
    if (!tr_mask_has(w->space->zeros, zero))
        return;
    struct tr_space_variant *v = &place->variant[place->variants++];
    *v = (struct tr_space_variant){.zero = zero, .shard = shard, .sharing = sharing};
    struct tr_layout l = layout_of(w, v, w->layout.pipeline);
    tr_held_make(&v->held, w->site, w->task, &l);
}

void tr_space_place_turn(const struct tr_space_walk *w, struct tr_space_place *place)
{
    place->mesh = w->mesh;
    place->dp = w->layout.dp;
    place->straggle = tr_straggle_share(w->site, tr_layout_chips(&w->layout));
    place->variants = place->others = 0;
}

/* By any part of the replicas but a node's. */
static void add_parts(const struct tr_space_walk *w, struct tr_space_place *place)
{
    const int32_t replicas = w->layout.dp * w->layout.cp, node = node_shard(w);
    int sharing = TR_SPACE_SHARINGS;
    for (int32_t part = 2; part <= replicas / 2; part++) {
        if (replicas % part || part == node)
            continue;
        TR_ASSERT(sharing < TR_SPACE_SHARINGS_BEYOND);
        for (int32_t zero = 1; zero <= 3; zero++)
            add_variant(w, place, zero, part, sharing);
        sharing++;
    }
}

/* With one replica there is nothing to share out: zero 0 alone, but for experts, whose replicas may be among tp too. */
static void make_variants(const struct tr_space_walk *w, struct tr_space_place *place)
{
    const struct tr_space *space = w->space;
    int32_t replicas = w->layout.dp * w->layout.cp, node = node_shard(w);
    bool alone = replicas == 1 && (!w->task->model->experts || tr_layout_expert_dp(&w->layout) == 1);
    if (alone && space->shard > 1)
        return;
    if (alone) { /* what zero asks for is there already, whichever is allowed */
        uint32_t zeros = space->zeros;
        int32_t least = 0;
        while (zeros && !(zeros >> least & 1))
            least++;
        add_variant(w, place, least, 0, least > 0);
        place->others = 1;
        return;
    }
    add_variant(w, place, 0, 0, 0);
    int32_t part = space->shard ? space->shard : node;
    bool parted = space->shard ? part < replicas && replicas % part == 0 : part > 0 && tr_mask_has(space->shares, 1);
    bool whole = space->shard ? space->shard == replicas : tr_mask_has(space->shares, 0);
    for (int32_t zero = 1; zero <= 3; zero++) {
        if (whole)
            add_variant(w, place, zero, 0, 1);
        if (parted)
            add_variant(w, place, zero, part, 2);
    }
    place->others = place->variants;
    if (w->beyond && !space->shard && !space->shares)
        add_parts(w, place);
}

/* ---- one pipe on all numbers of chips -------------------------------------------------------------------------------- */

bool tr_space_place_on(struct tr_space_walk *w, const struct tr_space_pipe *pipe, int64_t chips)
{
    struct tr_layout *l = &w->layout;
    int64_t parts = (int64_t)l->tp * l->cp * pipe->pp, batch = w->task->batch.global_batch;
    if (chips % parts)
        return false;
    int64_t dp = chips / parts;
    if (!tr_span_has(w->space->dp, dp) || batch % (dp * l->micro_batch) ||
        dp * l->cp * l->tp % ((int64_t)l->ep * l->etp))
        return false;
    if (pipe->vpp > 1 && batch / (dp * l->micro_batch) < pipe->pp)
        return false;
    l->dp = (int32_t)dp;
    return true;
}

static void turn_to_mesh(const struct tr_space_walk *w, struct tr_space_place *place)
{
    tr_space_place_turn(w, place);
    for (int i = 0; i < TR_SPACE_SHARINGS; i++)
        place->ends_of[i] = -1;
}

/* The numbers of chips that the pipe goes with; false: none. */
static bool place_pipe(struct tr_space_walk *w, struct tr_space_pipe *pipe, bool placed[TR_SPACE_CHIPS_MAX])
{
    bool any = false;
    for (int i = w->from; i < w->to; i++) {
        placed[i] = tr_space_place_on(w, pipe, w->space->chips[i]);
        if (placed[i] && pipe->place[i].mesh != w->mesh)
            turn_to_mesh(w, &pipe->place[i]);
        any |= placed[i];
    }
    return any;
}

/* To the next stage, on each number of chips. */
static void price_sends(struct tr_space_walk *w, struct tr_space_pipe *pipe, const bool placed[TR_SPACE_CHIPS_MAX])
{
    for (int i = w->from; i < w->to; i++) {
        if (!placed[i])
            continue;
        w->layout.dp = pipe->place[i].dp;
        pipe->place[i].send_s = tr_mesh_send(w->site, &w->layout, TR_MESH_PP, w->blocks.send_bytes, 1).time_s;
    }
}

void tr_space_price_blocks(struct tr_space_walk *w)
{
    const struct tr_blocks *b = &w->blocks;
    tr_blocks_make(&w->blocks, w->site, w->task, &w->layout);
    w->passes_s = tr_space_both_s(&b->embed) + tr_space_both_s(&b->head) + w->task->mtp * tr_space_both_s(&b->further);
    for (int32_t l = 0; l < w->task->model->layers; l++)
        w->passes_s += tr_space_both_s(&b->layer[b->kinds.of[l]]);
    w->priced = true;
    tr_passes_keep(w);
}

void tr_space_know_passes(struct tr_space_walk *w)
{
    if (!w->priced && !tr_passes_recall(w))
        tr_space_price_blocks(w);
}

bool tr_space_is_slow(const struct tr_space_walk *w, const struct tr_space_place *place, double slowest_s, double than_s)
{
    double micro_count = (double)(w->task->batch.global_batch / (place->dp * w->layout.micro_batch));
    return micro_count * slowest_s * (1 + place->straggle) >= than_s * (1 + 1e-12);
}

/* Whether all layouts of the pipe take as long as need not be looked at: the slowest stage has no less than the mean of all, of each
 * microbatch, and what is computed again, bubbles, messages between stages and replicas, the update, the host and stragglers only add. */
static bool is_too_slow(const struct tr_space_walk *w, const struct tr_space_pipe *pipe, const struct tr_space_place *place,
                        const struct tr_keep *keep)
{
    double than_s = w->space->faster_than_s;
    if (than_s == 0)
        return false;
    if (keep->fits.all.count)
        than_s = tr_smaller(than_s, keep->fits.all.at[0].time_s);
    return tr_space_is_slow(w, place, w->passes_s / pipe->pp, than_s);
}

/* Leaves the numbers of chips on which the pipe need not be looked at; false: all of them. */
static bool leave_slow(struct tr_space_walk *w, const struct tr_space_pipe *pipe, bool placed[TR_SPACE_CHIPS_MAX])
{
    bool any = false;
    if (w->space->faster_than_s > 0)
        tr_space_know_passes(w);
    for (int i = w->from; i < w->to; i++)
        any |= placed[i] = placed[i] && !is_too_slow(w, pipe, &pipe->place[i], &w->keep[i]);
    return any;
}

static enum tr_status walk_pipe(struct tr_space_walk *w, struct tr_space_pipe *pipe)
{
    struct tr_layout *l = &w->layout;
    bool placed[TR_SPACE_CHIPS_MAX];
    l->pp = pipe->pp, l->vpp = pipe->vpp;
    l->pipeline = pipe->schedule[0];
    if (!place_pipe(w, pipe, placed) || !leave_slow(w, pipe, placed))
        return TR_OK;
    if (!w->priced)
        tr_space_price_blocks(w);
    price_sends(w, pipe, placed);
    for (int r = 0; r < pipe->splits; r++) {
        const struct tr_split *split = &pipe->split[r];
        tr_stages_make(&w->stages, w->load, &w->blocks, split);
        l->rerun = split->rerun, l->rerun_layers = pipe->rerun_layers[r];
        for (int i = w->from; i < w->to; i++) {
            if (!placed[i])
                continue;
            l->dp = pipe->place[i].dp;
            enum tr_status status = tr_space_price_variants(w, pipe, split, &pipe->place[i], &w->keep[i]);
            if (status != TR_OK || (w->first_fit && w->found))
                return status;
        }
    }
    return TR_OK;
}

static enum tr_status walk_pipes(struct tr_space_walk *w)
{
    enum tr_status status = TR_OK;
    for (int d = 0; status == TR_OK && d < w->divisors && !(w->first_fit && w->found); d++) {
        w->layout.micro_batch = w->divisor[d];
        w->priced = false;
        if (!tr_span_has(w->space->micro_batch, w->layout.micro_batch))
            continue;
        if (w->beyond)
            status = tr_space_walk_beyond(w);
        for (int i = 0; !w->beyond && status == TR_OK && i < w->pipes; i++)
            status = w->pipe[i].equal ? walk_pipe(w, &w->pipe[i]) : TR_OK;
    }
    return status;
}

/* ---- meshes ---------------------------------------------------------------------------------------------------------- */

/* Whether the rules of layouts allow it as far as tp, sp, cp, context, ep, etp are concerned. */
static bool mesh_is_legal(const struct tr_space_walk *w)
{
    struct tr_layout l = w->layout;
    struct tr_err why;
    l.pp = l.vpp = 1, l.micro_batch = 1, l.pipeline = TR_PIPELINE_1F1B, l.rerun_layers = 0;
    l.first_layers = l.last_layers = 0;
    return tr_layout_check_parts(&l, w->task->model, w->task->batch.seq_len, &why) == TR_OK;
}

static enum tr_status walk_experts(struct tr_space_walk *w)
{
    const struct tr_model_shape *model = w->task->model;
    struct tr_layout *l = &w->layout;
    enum tr_status status = TR_OK;
    int64_t experts = tr_max_i64(1, model->experts), parts = model->experts ? l->tp : 1;
    for (l->ep = 1; l->ep <= experts; l->ep++)
        for (l->etp = 1; l->etp <= parts && experts % l->ep == 0; l->etp++) {
            if (parts % l->etp || !tr_span_has(w->space->ep, l->ep) || !tr_span_has(w->space->etp, l->etp) ||
                !mesh_is_legal(w))
                continue;
            w->mesh++;
            status = walk_pipes(w);
            if (status != TR_OK || (w->first_fit && w->found))
                return status;
        }
    return status;
}

static enum tr_status walk_context(struct tr_space_walk *w)
{
    struct tr_layout *l = &w->layout;
    enum tr_status status = TR_OK;
    for (int sp = 0; sp <= (l->tp > 1) && status == TR_OK; sp++)
        for (int context = 0; context < (l->cp > 1 ? TR_CONTEXT_COUNT : 1) && status == TR_OK; context++) {
            if ((l->tp > 1 && !tr_mask_has(w->space->sp, sp)) ||
                (l->cp > 1 && !tr_mask_has(w->space->contexts, context)))
                continue;
            l->sp = sp, l->context = (enum tr_context)context;
            l->ep = l->etp = 1;
            if (mesh_is_legal(w))
                status = walk_experts(w);
        }
    return status;
}

int64_t tr_space_most_tp(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space)
{
    int64_t domain = site->system->tier[0].domain_chips, most = space->tp.max;
    if (!most)
        most = domain ? domain : site->system->chips_per_node;
    return tr_min_i64(most, task->model->heads);
}

static enum tr_status walk_meshes(struct tr_space_walk *w)
{
    const struct tr_task *task = w->task;
    struct tr_layout *l = &w->layout;
    int64_t most_tp = tr_space_most_tp(w->site, task, w->space);
    enum tr_status status = TR_OK;
    for (l->tp = 1; l->tp <= most_tp && status == TR_OK; l->tp++) {
        if (task->model->heads % l->tp || !tr_span_has(w->space->tp, l->tp) || !tr_space_some_chips_divide_by(w, l->tp))
            continue;
        int64_t most_cp = tr_min_i64(task->batch.seq_len, w->space->chips[w->space->chips_count - 1]);
        for (l->cp = 1; l->cp <= most_cp && status == TR_OK; l->cp++)
            if (task->batch.seq_len % l->cp == 0 && tr_span_has(w->space->cp, l->cp) &&
                tr_space_some_chips_divide_by(w, (int64_t)l->tp * l->cp))
                status = walk_context(w);
    }
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------- */

static enum tr_status list_divisors(struct tr_space_walk *w)
{
    int64_t batch = w->task->batch.global_batch;
    for (int64_t d = 1; d <= batch / d; d++)
        if (batch % d == 0) {
            if (w->divisors > TR_SPACE_DIVISORS_MAX - 2)
                return tr_fail(w->err, TR_BAD_INPUT, "a global batch with more than %d divisors",
                               TR_SPACE_DIVISORS_MAX);
            w->divisor[w->divisors++] = d;
            if (d != batch / d)
                w->divisor[w->divisors++] = batch / d;
        }
    return TR_OK;
}

void tr_space_walk_free(struct tr_space_walk *w)
{
    for (int i = 0; w && w->keep && i < w->space->chips_count; i++)
        tr_keep_free(&w->keep[i]);
    if (w)
        tr_arena_free(&w->arena), free(w->own);
    free(w);
}

/* All numbers of chips, those together that are between the same tiers. */
static enum tr_status walk_counts(struct tr_space_walk *w)
{
    const struct tr_space *space = w->space;
    enum tr_status status = TR_OK;
    for (w->from = 0; w->from < space->chips_count && status == TR_OK && !(w->first_fit && w->found); w->from = w->to) {
        w->to = w->from + 1;
        while (w->to < space->chips_count &&
               tr_site_tiers_around(w->site, space->chips[w->to]) == tr_site_tiers_around(w->site, space->chips[w->from]))
            w->to++;
        status = walk_meshes(w);
    }
    return status;
}

enum tr_status tr_space_walk_all(struct tr_space_walk **out, const struct tr_site *site, const struct tr_task *task,
                                 const struct tr_space *space, bool first_fit, struct tr_err *err)
{
    struct tr_space_walk *w = *out = calloc(1, sizeof *w);
    if (!w)
        return tr_fail(err, TR_FAILED, "out of memory for a search");
    w->own = site->products ? NULL : calloc(1, sizeof *w->own);
    if (!site->products && !w->own)
        return tr_fail(err, TR_FAILED, "out of memory for a search");
    w->remembering = *site;
    w->remembering.products = site->products ? site->products : w->own;
    w->site = &w->remembering, w->task = task, w->space = space, w->err = err, w->first_fit = first_fit;
    w->layout = tr_layout_single();
    w->layout.first_layers = space->first_layers, w->layout.last_layers = space->last_layers;
    tr_arena_init(&w->arena, "search", TR_SEARCH_BYTES_MAX);
    tr_layer_kinds_make(&w->kinds, task->model);
    w->keep = tr_arena_array(&w->arena, space->chips_count, sizeof *w->keep, err);
    if (!w->keep)
        return TR_FAILED;
    enum tr_status status = list_divisors(w);
    for (int i = 0; i < space->chips_count && status == TR_OK; i++)
        status = tr_keep_make(&w->keep[i], tr_search_capacity(site, space), tr_search_sure_bytes(site, space), space->top,
                              space->apart, err);
    if (status == TR_OK)
        status = tr_space_make_pipes(w);
    if (status == TR_OK)
        status = walk_counts(w);
    if (status == TR_OK && !(first_fit && w->found) && !space->even)
        status = tr_space_beyond_make(w);
    return status == TR_OK && w->beyond ? walk_counts(w) : status;
}
