/* The walk over all layouts. From outside to inside, each loop with what is priced there once:
 *
 *     mesh (tp, sp, cp, context, ep, etp), micro_batch      blocks
 *     pipe (pp, vpp), recompute                             stages
 *     chips, so dp; zero and who shares                     ends, held (kept while the mesh stays)
 *     schedule                                              a layout: two sums and a maximum */
#include "plan/search/search.h"

#include "base/num.h"
#include "base/quantity.h"
#include "plan/search/keep.h"
#include "plan/step/stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* zero 0; zero 1 to 3 shared by all; by a part. */
enum { SHARINGS = 3, VARIANTS = 1 + 3 * 2, SCHEDULES_MAX = 4, DIVISORS_MAX = 4096, SEARCH_BYTES_MAX = 1 << 30 };

/* One way to share out what zero shares out. */
struct variant {
    int32_t zero, shard;
    int sharing; /* which of `ends` */
    struct tr_held held;
};

/* A pipeline on a number of chips: what stays while tp, cp, ep and etp stay. */
struct place {
    uint64_t mesh; /* for which the rest holds */
    int32_t dp;
    double straggle;
    struct variant variant[VARIANTS];
    int variants;
    int32_t ends_of[SHARINGS]; /* the slowest stage that `ends` are of; -1: not made */
    struct tr_ends ends[SHARINGS];
};

struct pipe {
    int32_t pp, vpp;
    enum tr_pipeline schedule[SCHEDULES_MAX];
    int schedules;
    struct tr_split *split; /* one a way to recompute */
    int32_t *rerun_layers;  /* of each */
    int splits;
    struct place *place; /* by number of chips */
};

struct walk {
    const struct tr_site *site;
    struct tr_site remembering; /* the site, with a memory of products: what the walk prices by */
    const struct tr_task *task;
    const struct tr_space *space;
    struct tr_err *err;
    struct tr_arena arena;
    struct tr_layer_kinds kinds;
    struct pipe *pipe;
    int pipes;
    struct tr_keep *keep; /* by number of chips */
    bool first_fit;       /* stop when anything fits */
    bool found;

    /* Where the walk is. */
    struct tr_layout layout;
    uint64_t mesh;
    bool priced; /* blocks are of this mesh and micro_batch */
    struct tr_blocks blocks;
    struct tr_stages stages;
    struct tr_load load[TR_LAYERS_MAX];
    double waiting[SCHEDULES_MAX][TR_LAYERS_MAX]; /* bytes of activations, by schedule and load */
    int64_t divisor[DIVISORS_MAX];                /* of the global batch */
    int divisors;
};

static bool within(struct tr_span range, int64_t value)
{
    return value >= range.min && (range.max == 0 || value <= range.max);
}

static bool allows(uint32_t mask, int value) { return mask == 0 || mask >> value & 1; }

/* ---- the innermost: one recompute of one pipe, on one number of chips ------------------------------------------------ */

static struct tr_layout layout_of(const struct walk *w, const struct variant *v, enum tr_pipeline pipeline)
{
    struct tr_layout l = w->layout;
    l.zero = v->zero, l.shard = v->shard, l.pipeline = pipeline;
    return l;
}

static enum tr_status keep_layout(struct walk *w, struct tr_keep *keep, const struct variant *v,
                                  enum tr_pipeline pipeline, double time_s, double bytes)
{
    struct tr_seen seen = {time_s, bytes, layout_of(w, v, pipeline)};
    w->found |= bytes <= keep->limit_bytes;
    return tr_keep_add(keep, &seen, w->err);
}

/* The messages of this stage's weights among replicas, and the update. */
static const struct tr_ends *ends_of(struct walk *w, struct place *place, const struct variant *v)
{
    int32_t slowest = w->stages.slowest_class->first;
    if (place->ends_of[v->sharing] != slowest) {
        struct tr_layout l = layout_of(w, v, w->layout.pipeline);
        tr_ends_make(&place->ends[v->sharing], w->site, w->task, &l, &w->stages.slowest);
        place->ends_of[v->sharing] = slowest;
    }
    return &place->ends[v->sharing];
}

static enum tr_status price_variants(struct walk *w, const struct pipe *pipe, const struct tr_split *split,
                                     struct place *place, struct tr_keep *keep)
{
    const struct tr_stack *stack = w->site->stack;
    const struct tr_stages *stages = &w->stages;
    int64_t m = tr_layout_micro_count(&w->layout, &w->task->batch);
    double send_s = tr_mesh_send(w->site, &w->layout, TR_MESH_PP, w->blocks.send_bytes, 1).time_s;
    double all_s = (double)m * (stages->slowest.forward_s + stages->slowest.backward_s) + stack->host_step_s.value +
                   tr_sends_s(stack, split, send_s, (double)m);
    double schedule_s[SCHEDULES_MAX];
    for (int s = 0; s < pipe->schedules; s++) {
        struct tr_layout l = w->layout;
        l.pipeline = pipe->schedule[s];
        schedule_s[s] = all_s + tr_bubble_s(stages, split, l.pipeline, m);
        for (int i = 0; i < stages->load_count; i++)
            w->waiting[s][i] = tr_waiting_bytes(&place->variant[0].held, &stages->load[i],
                                                tr_layout_in_flight(&l, m, stages->load[i].index));
    }
    for (int k = 0; k < place->variants; k++) {
        const struct variant *v = &place->variant[k];
        const struct tr_ends *ends = ends_of(w, place, v);
        double replicas_s =
            tr_replicas_s(stack, w->task, split, v->zero, ends, &stages->slowest, (double)m) + ends->update_s;
        double bytes[SCHEDULES_MAX] = {0};
        for (int i = 0; i < stages->load_count; i++) {
            double held = tr_held_bytes(&v->held, &stages->load[i]);
            for (int s = 0; s < pipe->schedules; s++)
                bytes[s] = fmax(bytes[s], held + w->waiting[s][i]);
        }
        for (int s = 0; s < pipe->schedules; s++) {
            double time_s = (schedule_s[s] + replicas_s) * (1 + place->straggle);
            if (w->space->visit) {
                struct tr_layout l = layout_of(w, v, pipe->schedule[s]);
                w->space->visit(w->space->context, &l, time_s, bytes[s]);
            }
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
static int32_t node_shard(const struct walk *w)
{
    const struct tr_layout *l = &w->layout;
    int64_t domain = w->site->system->tier[0].domain_chips, replicas = (int64_t)l->dp * l->cp, part = domain / l->tp;
    return part > 1 && part < replicas && replicas % part == 0 ? (int32_t)part : 0;
}

static void add_variant(struct walk *w, struct place *place, int32_t zero, int32_t shard, int sharing)
{
    if (!allows(w->space->zeros, zero))
        return;
    struct variant *v = &place->variant[place->variants++];
    *v = (struct variant){.zero = zero, .shard = shard, .sharing = sharing};
    struct tr_layout l = layout_of(w, v, w->layout.pipeline);
    tr_held_make(&v->held, w->site, w->task, &l);
}

/* With one replica there is nothing to share out: zero 0 alone, but for experts, whose replicas may be among tp too. */
static void make_place(struct walk *w, struct place *place)
{
    const struct tr_space *space = w->space;
    int32_t replicas = w->layout.dp * w->layout.cp, node = node_shard(w);
    if (place->mesh == w->mesh)
        return;
    *place = (struct place){.mesh = w->mesh,
                            .dp = w->layout.dp,
                            .straggle = tr_straggle_share(w->site, tr_layout_chips(&w->layout)),
                            .ends_of = {-1, -1, -1}};
    bool alone = replicas == 1 && (!w->task->model->experts || tr_layout_expert_dp(&w->layout) == 1);
    if (alone) { /* what zero asks for is there already, whichever is allowed */
        uint32_t zeros = space->zeros;
        int32_t least = 0;
        while (zeros && !(zeros >> least & 1))
            least++;
        add_variant(w, place, least, 0, least > 0);
        return;
    }
    add_variant(w, place, 0, 0, 0);
    int32_t part = space->shard ? space->shard : node;
    bool parted = space->shard ? part < replicas && replicas % part == 0 : part > 0 && allows(space->shares, 1);
    bool whole = space->shard ? space->shard == replicas : allows(space->shares, 0);
    for (int32_t zero = 1; zero <= 3; zero++) {
        if (whole)
            add_variant(w, place, zero, 0, 1);
        if (parted)
            add_variant(w, place, zero, part, 2);
    }
}

/* ---- one pipe on all numbers of chips -------------------------------------------------------------------------------- */

/* Whether the walk's mesh and micro_batch go with the pipe on so many chips; then the layout has its dp. */
static bool place_on(struct walk *w, const struct pipe *pipe, int64_t chips)
{
    struct tr_layout *l = &w->layout;
    int64_t parts = (int64_t)l->tp * l->cp * pipe->pp, batch = w->task->batch.global_batch;
    if (chips % parts)
        return false;
    int64_t dp = chips / parts;
    if (!within(w->space->dp, dp) || batch % (dp * l->micro_batch) || dp * l->cp * l->tp % ((int64_t)l->ep * l->etp))
        return false;
    if (pipe->vpp > 1 && batch / (dp * l->micro_batch) < pipe->pp)
        return false;
    l->dp = (int32_t)dp;
    return true;
}

static enum tr_status walk_pipe(struct walk *w, struct pipe *pipe)
{
    struct tr_layout *l = &w->layout;
    bool placed[TR_SPACE_CHIPS_MAX], any = false;
    l->pp = pipe->pp, l->vpp = pipe->vpp;
    l->pipeline = pipe->schedule[0];
    for (int i = 0; i < w->space->chips_count; i++) {
        placed[i] = place_on(w, pipe, w->space->chips[i]);
        if (placed[i])
            make_place(w, &pipe->place[i]);
        any |= placed[i];
    }
    if (!any)
        return TR_OK;
    if (!w->priced)
        tr_blocks_make(&w->blocks, w->site, w->task, l);
    w->priced = true;
    for (int r = 0; r < pipe->splits; r++) {
        const struct tr_split *split = &pipe->split[r];
        tr_stages_make(&w->stages, w->load, &w->blocks, split);
        l->rerun = split->rerun, l->rerun_layers = pipe->rerun_layers[r];
        for (int i = 0; i < w->space->chips_count; i++) {
            if (!placed[i])
                continue;
            l->dp = pipe->place[i].dp;
            enum tr_status status = price_variants(w, pipe, split, &pipe->place[i], &w->keep[i]);
            if (status != TR_OK || (w->first_fit && w->found))
                return status;
        }
    }
    return TR_OK;
}

static enum tr_status walk_pipes(struct walk *w)
{
    enum tr_status status = TR_OK;
    for (int d = 0; status == TR_OK && d < w->divisors && !(w->first_fit && w->found); d++) {
        w->layout.micro_batch = w->divisor[d];
        w->priced = false;
        for (int i = 0; status == TR_OK && i < w->pipes && within(w->space->micro_batch, w->layout.micro_batch); i++)
            status = walk_pipe(w, &w->pipe[i]);
    }
    return status;
}

/* ---- meshes ---------------------------------------------------------------------------------------------------------- */

static int64_t common_divisor(int64_t a, int64_t b) { return b ? common_divisor(b, a % b) : a; }

/* Whether the rules of layouts allow it as far as tp, sp, cp, context, ep, etp are concerned, with the least dp that goes
 * with them. */
static bool mesh_is_legal(const struct walk *w)
{
    struct tr_layout l = w->layout;
    struct tr_batch batch = {.seq_len = w->task->batch.seq_len};
    struct tr_err why;
    l.pp = l.vpp = 1, l.micro_batch = 1, l.pipeline = TR_PIPELINE_1F1B, l.rerun_layers = 0;
    l.first_layers = l.last_layers = 0;
    int64_t experts = (int64_t)l.ep * l.etp;
    l.dp = (int32_t)(experts / common_divisor(experts, (int64_t)l.cp * l.tp));
    batch.global_batch = l.dp;
    return tr_layout_check(&l, w->task->model, &batch, &why) == TR_OK;
}

static bool some_chips_divide_by(const struct walk *w, int64_t parts)
{
    for (int i = 0; i < w->space->chips_count; i++)
        if (w->space->chips[i] % parts == 0)
            return true;
    return false;
}

static enum tr_status walk_experts(struct walk *w)
{
    const struct tr_model_shape *model = w->task->model;
    struct tr_layout *l = &w->layout;
    enum tr_status status = TR_OK;
    int64_t experts = tr_max_i64(1, model->experts), parts = model->experts ? l->tp : 1;
    for (l->ep = 1; l->ep <= experts; l->ep++)
        for (l->etp = 1; l->etp <= parts && experts % l->ep == 0; l->etp++) {
            if (parts % l->etp || !within(w->space->ep, l->ep) || !within(w->space->etp, l->etp) || !mesh_is_legal(w))
                continue;
            w->mesh++;
            status = walk_pipes(w);
            if (status != TR_OK || (w->first_fit && w->found))
                return status;
        }
    return status;
}

static enum tr_status walk_context(struct walk *w)
{
    struct tr_layout *l = &w->layout;
    enum tr_status status = TR_OK;
    for (int sp = 0; sp <= (l->tp > 1) && status == TR_OK; sp++)
        for (int context = 0; context < (l->cp > 1 ? TR_CONTEXT_COUNT : 1) && status == TR_OK; context++) {
            if ((l->tp > 1 && !allows(w->space->sp, sp)) || (l->cp > 1 && !allows(w->space->contexts, context)))
                continue;
            l->sp = sp, l->context = (enum tr_context)context;
            l->ep = l->etp = 1;
            if (mesh_is_legal(w))
                status = walk_experts(w);
        }
    return status;
}

static enum tr_status walk_meshes(struct walk *w)
{
    const struct tr_task *task = w->task;
    struct tr_layout *l = &w->layout;
    int64_t domain = w->site->system->tier[0].domain_chips, most_tp = w->space->tp.max;
    if (!most_tp)
        most_tp = domain ? domain : w->site->system->chips_per_node;
    enum tr_status status = TR_OK;
    for (l->tp = 1; l->tp <= tr_min_i64(most_tp, task->model->heads) && status == TR_OK; l->tp++) {
        if (task->model->heads % l->tp || !within(w->space->tp, l->tp) || !some_chips_divide_by(w, l->tp))
            continue;
        int64_t most_cp = tr_min_i64(task->batch.seq_len, w->space->chips[w->space->chips_count - 1]);
        for (l->cp = 1; l->cp <= most_cp && status == TR_OK; l->cp++)
            if (task->batch.seq_len % l->cp == 0 && within(w->space->cp, l->cp) &&
                some_chips_divide_by(w, (int64_t)l->tp * l->cp))
                status = walk_context(w);
    }
    return status;
}

/* ---- pipes ----------------------------------------------------------------------------------------------------------- */

static bool pipe_is_legal(const struct walk *w, const struct pipe *pipe)
{
    struct tr_layout l = tr_layout_single();
    struct tr_batch batch = {.seq_len = w->task->batch.seq_len, .global_batch = (int64_t)pipe->pp};
    struct tr_err why;
    l.pp = pipe->pp, l.vpp = pipe->vpp, l.pipeline = pipe->schedule[0];
    l.first_layers = w->space->first_layers, l.last_layers = w->space->last_layers;
    return tr_layout_check(&l, w->task->model, &batch, &why) == TR_OK;
}

static void add_schedules(const struct walk *w, struct pipe *pipe)
{
    static const enum tr_pipeline flat[] = {TR_PIPELINE_1F1B, TR_PIPELINE_GPIPE, TR_PIPELINE_ZERO_BUBBLE,
                                            TR_PIPELINE_ZERO_BUBBLE_2P};
    if (pipe->vpp > 1 || pipe->pp == 1) {
        if (pipe->pp == 1 || allows(w->space->pipelines, TR_PIPELINE_INTERLEAVED))
            pipe->schedule[pipe->schedules++] = pipe->vpp > 1 ? TR_PIPELINE_INTERLEAVED : TR_PIPELINE_1F1B;
        return;
    }
    for (size_t i = 0; i < sizeof flat / sizeof *flat; i++)
        if (allows(w->space->pipelines, flat[i]))
            pipe->schedule[pipe->schedules++] = flat[i];
}

/* Chunks of a stage: what makes equal ones, or what is asked for. */
static bool wants_chunks(const struct walk *w, int32_t pp, int32_t vpp)
{
    int64_t layers = w->task->model->layers, chunks = (int64_t)pp * vpp;
    if (!within(w->space->vpp, vpp) || chunks > layers || (vpp > 1 && pp == 1))
        return false;
    bool fixed = w->space->vpp.min && w->space->vpp.min == w->space->vpp.max;
    return vpp == 1 || fixed || layers % chunks == 0 || (layers + 2) % chunks == 0;
}

static enum tr_status add_split(struct walk *w, struct pipe *pipe, enum tr_rerun rerun, int32_t rerun_layers)
{
    struct tr_split_class of[TR_LAYERS_MAX];
    struct tr_split *split = &pipe->split[pipe->splits];
    struct tr_layout l = tr_layout_single();
    l.pp = pipe->pp, l.vpp = pipe->vpp, l.rerun = rerun, l.rerun_layers = rerun_layers;
    l.first_layers = w->space->first_layers, l.last_layers = w->space->last_layers;
    if (!allows(w->space->reruns, (int)rerun))
        return TR_OK;
    tr_split_make(split, of, w->task->model, &w->kinds, &l, w->task->mtp);
    void *kept = tr_arena_copy(&w->arena, of, (int64_t)((size_t)split->classes * sizeof *of), w->err);
    if (!kept)
        return TR_FAILED;
    split->of = kept;
    pipe->rerun_layers[pipe->splits++] = rerun_layers;
    return TR_OK;
}

static int32_t longest_chunk(const struct walk *w, const struct pipe *pipe)
{
    struct tr_layout l = tr_layout_single();
    int32_t longest = 0;
    l.pp = pipe->pp, l.vpp = pipe->vpp;
    l.first_layers = w->space->first_layers, l.last_layers = w->space->last_layers;
    for (int32_t c = 0; c < l.pp * l.vpp; c++) {
        int32_t layers = tr_layout_chunk_layers(&l, w->task->model->layers, c);
        longest = layers > longest ? layers : longest;
    }
    return longest;
}

/* Full recompute of all layers is written rerun_layers 0. */
static enum tr_status add_splits(struct walk *w, struct pipe *pipe)
{
    int32_t longest = longest_chunk(w, pipe);
    pipe->split = tr_arena_array(&w->arena, longest + 2, sizeof *pipe->split, w->err);
    pipe->rerun_layers = tr_arena_array(&w->arena, longest + 2, sizeof *pipe->rerun_layers, w->err);
    if (!pipe->split || !pipe->rerun_layers)
        return TR_FAILED;
    enum tr_status status = add_split(w, pipe, TR_RERUN_NONE, 0);
    if (status == TR_OK)
        status = add_split(w, pipe, TR_RERUN_SELECTIVE, 0);
    struct tr_span k = w->space->rerun_layers;
    for (int32_t layers = 1; layers <= longest && status == TR_OK; layers++)
        if (layers == longest ? k.max == 0 || k.max >= layers : within(k, layers))
            status = add_split(w, pipe, TR_RERUN_FULL, layers == longest ? 0 : layers);
    return status;
}

static enum tr_status add_pipe(struct walk *w, int32_t pp, int32_t vpp)
{
    struct pipe *pipe = &w->pipe[w->pipes];
    *pipe = (struct pipe){.pp = pp, .vpp = vpp};
    add_schedules(w, pipe);
    if (pipe->schedules == 0 || !pipe_is_legal(w, pipe))
        return TR_OK;
    pipe->place = tr_arena_array(&w->arena, w->space->chips_count, sizeof *pipe->place, w->err);
    if (!pipe->place)
        return TR_FAILED;
    w->pipes++;
    return add_splits(w, pipe);
}

static enum tr_status make_pipes(struct walk *w)
{
    int32_t layers = w->task->model->layers;
    int64_t count = 0;
    enum tr_status status = TR_OK;
    for (int pass = 0; pass < 2; pass++) { /* counts, then makes */
        for (int32_t pp = 1; pp <= layers && status == TR_OK; pp++) {
            if (!within(w->space->pp, pp) || !some_chips_divide_by(w, pp))
                continue;
            for (int32_t vpp = 1; (int64_t)pp * vpp <= layers && status == TR_OK; vpp++)
                if (wants_chunks(w, pp, vpp)) {
                    count += pass == 0;
                    status = pass ? add_pipe(w, pp, vpp) : TR_OK;
                }
        }
        if (pass == 0) {
            w->pipe = tr_arena_array(&w->arena, count, sizeof *w->pipe, w->err);
            if (!w->pipe)
                return TR_FAILED;
        }
    }
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------- */

double tr_search_capacity(const struct tr_site *site, const struct tr_space *space)
{
    const struct tr_chip *chip = &site->system->chip;
    double all = space->memory_bytes > 0 ? space->memory_bytes
                                         : tr_fact_or(&chip->memory_visible_bytes, chip->memory_bytes.value);
    return all - space->reserve_bytes;
}

static enum tr_status check_range(const char *name, struct tr_span range, struct tr_err *err)
{
    if (range.min >= 0 && range.max >= 0 && (range.max == 0 || range.min <= range.max))
        return TR_OK;
    return tr_fail(err, TR_BAD_INPUT, "%s from %lld to %lld: expected a range from 1 on that has something in it", name,
                   (long long)range.min, (long long)range.max);
}

static enum tr_status check_space(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space,
                                  struct tr_err *err)
{
    const struct {
        const char *name;
        struct tr_span range;
    } ranges[] = {{"tp", space->tp},   {"cp", space->cp}, {"pp", space->pp},
                  {"vpp", space->vpp}, {"dp", space->dp}, {"ep", space->ep},
                  {"etp", space->etp}, {"micro_batch", space->micro_batch}, {"recompute_layers", space->rerun_layers}};
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
            return tr_fail(err, TR_BAD_INPUT, "%lld chips: expected numbers from 1 to %d, each larger than the one before",
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

static enum tr_status list_divisors(struct walk *w)
{
    int64_t batch = w->task->batch.global_batch;
    for (int64_t d = 1; d <= batch / d; d++)
        if (batch % d == 0) {
            if (w->divisors > DIVISORS_MAX - 2)
                return tr_fail(w->err, TR_BAD_INPUT, "a global batch with more than %d divisors", DIVISORS_MAX);
            w->divisor[w->divisors++] = d;
            if (d != batch / d)
                w->divisor[w->divisors++] = batch / d;
        }
    return TR_OK;
}

static void free_walk(struct walk *w)
{
    for (int i = 0; w && w->keep && i < w->space->chips_count; i++)
        tr_keep_free(&w->keep[i]);
    if (w)
        tr_arena_free(&w->arena), free(w->remembering.products);
    free(w);
}

/* Walks it all; *out is to be freed, also when it fails. */
static enum tr_status make_walk(struct walk **out, const struct tr_site *site, const struct tr_task *task,
                                const struct tr_space *space, bool first_fit, struct tr_err *err)
{
    struct walk *w = *out = calloc(1, sizeof *w);
    if (!w)
        return tr_fail(err, TR_FAILED, "out of memory for a search");
    w->remembering = *site;
    w->remembering.products = calloc(1, sizeof *w->remembering.products);
    if (!w->remembering.products)
        return tr_fail(err, TR_FAILED, "out of memory for a search");
    w->site = &w->remembering, w->task = task, w->space = space, w->err = err, w->first_fit = first_fit;
    w->layout = tr_layout_single();
    w->layout.first_layers = space->first_layers, w->layout.last_layers = space->last_layers;
    tr_arena_init(&w->arena, "search", SEARCH_BYTES_MAX);
    tr_layer_kinds_make(&w->kinds, task->model);
    w->keep = tr_arena_array(&w->arena, space->chips_count, sizeof *w->keep, err);
    if (!w->keep)
        return TR_FAILED;
    enum tr_status status = list_divisors(w);
    for (int i = 0; i < space->chips_count && status == TR_OK; i++)
        status = tr_keep_make(&w->keep[i], tr_search_capacity(site, space), space->top, err);
    if (status == TR_OK)
        status = make_pipes(w);
    return status == TR_OK ? walk_meshes(w) : status;
}

/* ---- the answer ------------------------------------------------------------------------------------------------------ */

static enum tr_status found_of(const struct walk *w, const struct tr_seen *seen, struct tr_found *out)
{
    out->layout = seen->layout;
    return tr_step_price(w->site, w->task, &seen->layout, &out->step, w->err);
}

static enum tr_status found_all(const struct walk *w, struct tr_arena *arena, const struct tr_seen *seen, int count,
                                struct tr_found **out)
{
    enum tr_status status = TR_OK;
    *out = tr_arena_array(arena, count, sizeof **out, w->err);
    if (!*out)
        return TR_FAILED;
    for (int i = 0; i < count && status == TR_OK; i++)
        status = found_of(w, &seen[i], &(*out)[i]);
    return status;
}

static enum tr_status report_count(const struct walk *w, int i, struct tr_search *out)
{
    const struct tr_keep *keep = &w->keep[i];
    struct tr_search_count *c = &out->at[i];
    enum tr_status status = TR_OK;
    *c = (struct tr_search_count){.chips = w->space->chips[i], .legal = keep->legal, .too_big = keep->too_big};
    c->top_count = keep->top_count;
    c->front_count = keep->front_count;
    c->dominated = keep->legal - keep->too_big - keep->front_count;
    out->legal += c->legal;
    out->too_big += c->too_big;
    if (keep->legal == 0)
        return TR_OK;
    status = found_all(w, &out->arena, keep->top, keep->top_count, &c->top);
    if (status == TR_OK)
        status = found_all(w, &out->arena, keep->front, keep->front_count, &c->front);
    for (int k = 0; k < c->front_count / 2 && status == TR_OK; k++) { /* the fastest first */
        struct tr_found other = c->front[k];
        c->front[k] = c->front[c->front_count - 1 - k];
        c->front[c->front_count - 1 - k] = other;
    }
    if (status == TR_OK)
        status = found_of(w, &keep->lightest, &c->lightest);
    return status == TR_OK ? found_of(w, &keep->unlimited, &c->unlimited) : status;
}

/* Counts ascend: each is held against the fastest of fewer chips. */
static void choose_counts(struct tr_search *out)
{
    double fastest_s = INFINITY, fewest = INFINITY;
    for (int i = 0; i < out->count; i++) {
        struct tr_search_count *c = &out->at[i];
        if (c->top_count == 0)
            continue;
        double s = c->top[0].step.time_s, chip_s = s * (double)c->chips;
        c->dominated_count = s >= fastest_s;
        if (s < fastest_s)
            fastest_s = s, out->best = c;
        if (chip_s < fewest)
            fewest = chip_s, out->cheapest = c;
    }
}

/* Why nothing is legal: what the list of rules says of the layout that the fixed parts make, or of the batch. */
static enum tr_status none_legal(const struct walk *w)
{
    const struct tr_space *s = w->space;
    int64_t chips = s->chips[s->chips_count - 1], parts;
    struct tr_layout l = tr_layout_single();
    const struct tr_span *range[] = {&s->tp, &s->cp, &s->pp, &s->vpp, &s->ep, &s->etp};
    int32_t *at[] = {&l.tp, &l.cp, &l.pp, &l.vpp, &l.ep, &l.etp};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        *at[i] = (int32_t)tr_min_i64(TR_CHIPS_MAX, tr_max_i64(1, range[i]->min));
    l.micro_batch = tr_max_i64(1, s->micro_batch.min);
    l.first_layers = s->first_layers, l.last_layers = s->last_layers;
    if (l.vpp > 1)
        l.pipeline = TR_PIPELINE_INTERLEAVED;
    parts = (int64_t)l.tp * l.cp * l.pp;
    if (chips % parts)
        return tr_fail(w->err, TR_NO, "no layout is legal: tp %d x cp %d x pp %d does not divide %lld chips", l.tp, l.cp,
                       l.pp, (long long)chips);
    if (s->dp.min > chips / parts)
        return tr_fail(w->err, TR_NO, "no layout is legal: tp %d x cp %d x pp %d x dp %lld is more than %lld chips", l.tp,
                       l.cp, l.pp, (long long)s->dp.min, (long long)chips);
    l.dp = (int32_t)(chips / parts);
    struct tr_err why;
    if (tr_layout_check(&l, w->task->model, &w->task->batch, &why) != TR_OK)
        return tr_fail(w->err, TR_NO, "no layout of %lld chips is legal; of the simplest: %s", (long long)chips, why.text);
    return tr_fail(w->err, TR_NO, "no layout of %lld chips is within the limits that were given", (long long)chips);
}

/* "; 64 chips are the fewest that fit" */
static enum tr_status say_fewest(const struct walk *w, int64_t above, char fewest[96])
{
    int64_t chips = 0;
    bool exact = false;
    struct tr_err why;
    enum tr_status status = tr_search_fewest(w->site, w->task, w->space, above, &chips, &exact, &why);
    if (status == TR_OK)
        snprintf(fewest, 96, exact ? "; %lld chips are the fewest that fit" : "; %lld chips would do", (long long)chips);
    else if (status == TR_NO)
        snprintf(fewest, 96, "; no number of chips fits");
    else
        *w->err = why;
    return status == TR_NO ? TR_OK : status;
}

static enum tr_status none_fits(const struct walk *w, const struct tr_search *out)
{
    const struct tr_search_count *least = NULL;
    char has[TR_QUANTITY_BYTES], needs[TR_QUANTITY_BYTES], layout[TR_LAYOUT_TEXT_BYTES], fewest[96] = "";
    for (int i = 0; i < out->count; i++)
        if (out->at[i].legal &&
            (!least || out->at[i].lightest.step.memory_bytes < least->lightest.step.memory_bytes))
            least = &out->at[i];
    enum tr_status status = w->space->brief ? TR_OK : say_fewest(w, out->at[out->count - 1].chips, fewest);
    if (status != TR_OK)
        return status;
    return tr_fail(w->err, TR_NO, "%s needs %s a chip on %lld chips of %s (%s), has %s%s%s", w->task->model->name,
                   tr_print_bytes(needs, (int64_t)least->lightest.step.memory_bytes), (long long)least->chips,
                   w->site->system->name, tr_layout_print(&least->lightest.layout, layout),
                   tr_print_bytes(has, (int64_t)out->memory_bytes),
                   w->space->reserve_bytes > 0 ? " without the reserve" : "", fewest);
}

static enum tr_status report(const struct walk *w, struct tr_search *out)
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
    struct walk *w = NULL;
    struct tr_search search = {0};
    enum tr_status status = check_space(site, task, space, err);
    if (status != TR_OK)
        return status;
    tr_arena_init(&search.arena, "search", SEARCH_BYTES_MAX);
    status = make_walk(&w, site, task, space, false, err);
    if (status == TR_OK)
        status = report(w, &search);
    free_walk(w);
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

/* ---- the fewest chips ------------------------------------------------------------------------------------------------ */

static enum tr_status fits_on(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space,
                              int64_t chips, bool *fits, struct tr_err *err)
{
    struct tr_space one = *space;
    struct walk *w = NULL;
    one.chips = &chips, one.chips_count = 1, one.top = 1, one.visit = NULL;
    enum tr_status status = check_space(site, task, &one, err);
    if (status == TR_OK)
        status = make_walk(&w, site, task, &one, true, err);
    *fits = status == TR_OK && w->found;
    free_walk(w);
    return status;
}

/* Every weight with its gradient and optimiser state is held by one chip at least, so the heaviest chip holds no less than
 * the mean: fewer than these chips cannot do. Weights as the planner counts them may be a hundredth less than the model's. */
static int64_t fewest_bound(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space)
{
    const struct tr_stack *stack = site->stack;
    double trained = task->lora_rank ? 0 : stack->grad_bytes.value + stack->master_bytes.value;
    double bytes = .99 * tr_shape_params(task->model).total * (2 + trained);
    return (int64_t)fmin(TR_CHIPS_MAX, bytes / tr_search_capacity(site, space));
}

enum tr_status tr_search_fewest(const struct tr_site *site, const struct tr_task *task, const struct tr_space *space,
                                int64_t above, int64_t *chips, bool *exact, struct tr_err *err)
{
    enum { ONE_BY_ONE = 64 };
    int64_t node = site->system->chips_per_node, most = tr_system_max_chips(site->system);
    int64_t from = tr_max_i64(fewest_bound(site, task, space), above + 1);
    int64_t nodes = tr_max_i64(1, tr_ceil_div(tr_max_i64(1, from), node));
    if (most == 0 || most > TR_CHIPS_MAX)
        most = TR_CHIPS_MAX;
    for (int tried = 0; nodes * node <= most; nodes = tried < ONE_BY_ONE ? nodes + 1 : 2 * nodes, tried++) {
        bool fits;
        enum tr_status status = fits_on(site, task, space, nodes * node, &fits, err);
        if (status != TR_OK)
            return status;
        if (!fits)
            continue;
        *chips = nodes * node;
        *exact = tried <= ONE_BY_ONE;
        return TR_OK;
    }
    return tr_fail(err, TR_NO, "%s fits on no number of chips of %s up to %lld", task->model->name, site->system->name,
                   (long long)most);
}
