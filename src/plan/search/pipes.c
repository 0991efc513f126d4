/* The pipelines of a space: stages and chunks, schedules, ways to recompute. */
#include "plan/search/space_walk.h"

/* The layout of its chunks, and no more. */
static struct tr_layout chunks_of(const struct tr_space_walk *w, const struct tr_space_pipe *pipe)
{
    struct tr_layout l = tr_layout_single();
    l.pp = pipe->pp, l.vpp = pipe->vpp, l.pipeline = pipe->schedule[0];
    l.first_layers = w->space->first_layers, l.last_layers = w->space->last_layers;
    return l;
}

static void add_schedules(const struct tr_space_walk *w, struct tr_space_pipe *pipe)
{
    static const enum tr_pipeline flat[] = {TR_PIPELINE_1F1B, TR_PIPELINE_GPIPE, TR_PIPELINE_ZERO_BUBBLE,
                                            TR_PIPELINE_ZERO_BUBBLE_2P};
    if (pipe->vpp > 1 || pipe->pp == 1) {
        if (pipe->pp == 1 || tr_mask_has(w->space->pipelines, TR_PIPELINE_INTERLEAVED))
            pipe->schedule[pipe->schedules++] = pipe->vpp > 1 ? TR_PIPELINE_INTERLEAVED : TR_PIPELINE_1F1B;
        return;
    }
    for (size_t i = 0; i < sizeof flat / sizeof *flat; i++)
        if (tr_mask_has(w->space->pipelines, flat[i]))
            pipe->schedule[pipe->schedules++] = flat[i];
}

bool tr_space_pipe_make(const struct tr_space_walk *w, struct tr_space_pipe *pipe, int32_t pp, int32_t vpp)
{
    const struct tr_model_shape *model = w->task->model;
    const struct tr_batch batch = {.seq_len = w->task->batch.seq_len, .global_batch = (int64_t)pp};
    const bool fixed = w->space->vpp.min && w->space->vpp.min == w->space->vpp.max;
    struct tr_err why;
    *pipe = (struct tr_space_pipe){.pp = pp, .vpp = vpp};
    if (!tr_span_has(w->space->pp, pp) || !tr_span_has(w->space->vpp, vpp) || (vpp > 1 && pp == 1))
        return false;
    add_schedules(w, pipe);
    const struct tr_layout l = chunks_of(w, pipe);
    if (pipe->schedules == 0 || tr_layout_check(&l, model, &batch, &why) != TR_OK)
        return false;
    pipe->equal = fixed || !tr_layout_is_ragged(&l, model->layers);
    return true;
}

static enum tr_status add_split(struct tr_space_walk *w, struct tr_space_pipe *pipe, enum tr_rerun rerun,
                                int32_t rerun_layers)
{
    struct tr_split_class of[TR_LAYERS_MAX];
    struct tr_split *split = &pipe->split[pipe->splits];
    struct tr_layout l = chunks_of(w, pipe);
    l.rerun = rerun, l.rerun_layers = rerun_layers;
    if (!tr_mask_has(w->space->reruns, (int)rerun))
        return TR_OK;
    tr_split_make(split, of, w->task->model, &w->kinds, &l, w->task->mtp);
    void *kept = tr_arena_copy(&w->arena, of, (int64_t)((size_t)split->classes * sizeof *of), w->err);
    if (!kept)
        return TR_FAILED;
    split->of = kept;
    pipe->rerun_layers[pipe->splits++] = rerun_layers;
    return TR_OK;
}

/* Full recompute of all layers is written rerun_layers 0. */
static enum tr_status add_splits(struct tr_space_walk *w, struct tr_space_pipe *pipe)
{
    const struct tr_layout chunks = chunks_of(w, pipe);
    const int32_t longest = tr_layout_longest_chunk(&chunks, w->task->model->layers);
    pipe->split = tr_arena_array(&w->arena, longest + 2, sizeof *pipe->split, w->err);
    pipe->rerun_layers = tr_arena_array(&w->arena, longest + 2, sizeof *pipe->rerun_layers, w->err);
    if (!pipe->split || !pipe->rerun_layers)
        return TR_FAILED;
    enum tr_status status = add_split(w, pipe, TR_RERUN_NONE, 0);
    if (status == TR_OK)
        status = add_split(w, pipe, TR_RERUN_SELECTIVE, 0);
    struct tr_span k = w->space->rerun_layers;
    for (int32_t layers = 1; layers <= longest && status == TR_OK; layers++)
        if (layers == longest ? k.max == 0 || k.max >= layers : tr_span_has(k, layers))
            status = add_split(w, pipe, TR_RERUN_FULL, layers == longest ? 0 : layers);
    return status;
}

enum tr_status tr_space_place_make(struct tr_space_walk *w, struct tr_space_place *place, int count, int sharings, int variants)
{
    struct tr_space_variant *variant = tr_arena_array(&w->arena, (int64_t)count * variants, sizeof *variant, w->err);
    int32_t *ends_of = tr_arena_array(&w->arena, (int64_t)count * sharings, sizeof *ends_of, w->err);
    struct tr_ends *ends = tr_arena_array(&w->arena, (int64_t)count * sharings, sizeof *ends, w->err);
    for (int i = 0; i < count && variant && ends_of && ends; i++)
        place[i] = (struct tr_space_place){.variant = variant + (int64_t)i * variants, .ends_of = ends_of + (int64_t)i * sharings,
                                           .ends = ends + (int64_t)i * sharings};
    return variant && ends_of && ends ? TR_OK : TR_FAILED;
}

static enum tr_status fill_pipe(struct tr_space_walk *w, struct tr_space_pipe *pipe)
{
    pipe->place = tr_arena_array(&w->arena, w->space->chips_count, sizeof *pipe->place, w->err);
    if (!pipe->place)
        return TR_FAILED;
    enum tr_status status = tr_space_place_make(w, pipe->place, w->space->chips_count, TR_SPACE_SHARINGS, TR_SPACE_VARIANTS);
    return status == TR_OK ? add_splits(w, pipe) : status;
}

enum tr_status tr_space_make_pipes(struct tr_space_walk *w)
{
    int32_t layers = w->task->model->layers;
    int64_t most = 0;
    enum tr_status status = TR_OK;
    for (int32_t pp = 1; pp <= layers; pp++)
        most += layers / pp;
    w->pipe = tr_arena_array(&w->arena, most, sizeof *w->pipe, w->err);
    if (!w->pipe)
        return TR_FAILED;
    for (int32_t pp = 1; pp <= layers; pp++)
        for (int32_t vpp = 1; vpp <= layers / pp && status == TR_OK && tr_space_some_chips_divide_by(w, pp); vpp++) {
            struct tr_space_pipe *pipe = &w->pipe[w->pipes];
            if (!tr_space_pipe_make(w, pipe, pp, vpp))
                continue;
            w->pipes++;
            if (pipe->equal)
                status = fill_pipe(w, pipe);
        }
    return status;
}
