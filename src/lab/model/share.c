/* What goes on beside the passes through a model: weights that ranks share out are gathered for the part that comes next, and gradients
 * of the part that has been passed are joined. Both START here and are waited for where they are needed, so that they move while
 * operations of other parts run. */
#include "lab/model/build.h"

static int32_t *no_ops(struct tr_builder *b, int32_t count, struct tr_err *err)
{
    int32_t *list = tr_arena_array(&b->program->arena, count, sizeof *list, err);
    for (int32_t i = 0; list && i < count; i++)
        list[i] = -1;
    return list;
}

enum tr_status tr_build_share(struct tr_builder *b, struct tr_err *err)
{
    const struct tr_program *p = b->program;
    if ((b->sent = no_ops(b, b->slot_buffers, err)) == NULL)
        return TR_FAILED;
    if (!p->has_read_slices)
        return TR_OK;
    b->read = no_ops(b, p->weights.count, err);
    b->ahead = b->read ? no_ops(b, p->weights.count, err) : NULL;
    return b->ahead ? TR_OK : TR_FAILED;
}

static int32_t part_of(const struct tr_program *p, const struct tr_weight *w)
{
    if (w->layer >= 0)
        return w->layer;
    return w->role == TR_W_WTE || w->role == TR_W_WPE ? -1 : p->model.layers;
}

/* ---- weights ----------------------------------------------------------------------------------------------------- */

/* Backwards nothing reads biases of products, and those of norms only where norms are computed again; a layer that runs again
 * reads all. */
static bool is_read_backwards(const struct tr_program *p, enum tr_weight_role role)
{
    if (p->step.recompute == TR_RECOMPUTE_FULL)
        return true;
    switch (role) {
    case TR_W_Q_BIAS:
    case TR_W_K_BIAS:
    case TR_W_V_BIAS:
    case TR_W_ATTN_OUT_BIAS:
    case TR_W_FC_BIAS:
    case TR_W_DOWN_BIAS:
        return false;
    case TR_W_NORM1_BIAS:
    case TR_W_NORM2_BIAS:
        return p->step.recompute == TR_RECOMPUTE_ELEMENTWISE;
    default:
        return true;
    }
}

static bool is_wanted(const struct tr_program *p, int32_t index, int32_t part, bool backward)
{
    const struct tr_weight *w = &p->own[index];
    if (part == p->model.layers && p->model.tied && w->role == TR_W_WTE)
        return true;
    if (part_of(p, w) != part || !tr_program_has(p, index) || (backward && part < 0)) /* the embedding's backward pass reads none */
        return false;
    return !backward || is_read_backwards(p, w->role);
}

static void fetch(struct tr_builder *b, int32_t index)
{
    const struct tr_program *p = b->program;
    const struct tr_weight *w = &p->own[index];
    int32_t from = (p->first_copy < 0 ? p->first_weight : p->first_copy) + index;
    struct tr_shape shape = w->rank == 1 ? (struct tr_shape){1, {w->dim[0]}} : (struct tr_shape){2, {w->dim[0], w->dim[1]}};
    int32_t to = tr_build_buffer(b, p->first_copy < 0 ? TR_BUF_WEIGHT : TR_BUF_COPY, TR_REGION_WORK, p->step.dtype, shape, "whole.%s",
                                 w->name);
    b->ahead[index] = tr_build_gather(b, index, from, to, TR_COLL_START);
}

void tr_build_enter(struct tr_builder *b, int32_t next, bool backward)
{
    const struct tr_program *p = b->program;
    for (int32_t i = 0; b->read != NULL && i < p->weights.count && !b->out_of_memory; i++) {
        b->read[i] = b->ahead[i] < 0 ? -1 : p->op[b->ahead[i]].buffer[0];
        tr_build_wait(b, b->ahead[i]);
        b->ahead[i] = -1;
    }
    for (int32_t i = 0; b->read != NULL && i < p->weights.count && !b->out_of_memory; i++)
        if (is_wanted(p, i, next, backward))
            fetch(b, i);
}

/* ---- gradients --------------------------------------------------------------------------------------------------- */

/* Whether gradient `index` is there and of this part; the one behind the weights' is the head's. */
static bool is_of_part(const struct tr_builder *b, int32_t index, int32_t part)
{
    const struct tr_program *p = b->program;
    int32_t of = index < p->weights.count ? part_of(p, &p->own[index]) : p->model.layers;
    return of == part && !b->out_of_memory && p->buffer[b->first_sum + index].bytes > 0;
}

void tr_build_part_begin(struct tr_builder *b, int32_t part)
{
    const struct tr_program *p = b->program;
    for (int32_t i = 0; i < b->slot_buffers && tr_build_sums_in_work(p); i++)
        if (is_of_part(b, i, part))
            tr_build_counted(b, TR_OP_ZERO, b->first_sum + i, tr_shape_count(p->buffer[b->first_sum + i].shape));
}

/* After this rank's last lane, all that is in the slots of the subtree that it is of becomes one. */
static void build_last_joins(struct tr_builder *b, int32_t index)
{
    struct tr_range root[TR_TREE_ROOTS_MAX];
    const struct tr_program *p = b->program;
    int roots = tr_tree_roots(p->step.widths.lanes, p->lanes.first, p->lanes.first + p->lanes.count, root);
    int64_t lanes = root[roots - 1].last - root[roots - 1].first;
    for (int join = tr_tree_joins_after(lanes - 1, lanes); join > 0; join--) {
        b->slot--;
        tr_build_lane_join(b, index);
    }
    b->slot = 0;
}

static void wait_for(struct tr_builder *b, int32_t part)
{
    for (int32_t i = 0; i < b->slot_buffers; i++)
        if (is_of_part(b, i, part))
            tr_build_wait(b, b->sent[i]);
}

void tr_build_part_end(struct tr_builder *b, int32_t part)
{
    const struct tr_program *p = b->program;
    enum tr_phase phase = b->phase;
    if (!p->sends_early)
        return;
    b->phase = TR_PHASE_REDUCE;
    b->only_last = true;
    for (int32_t i = 0; i < b->slot_buffers; i++) {
        if (!is_of_part(b, i, part))
            continue;
        tr_build_fold(b, i);
        if (!p->has_grad_slices)
            build_last_joins(b, i);
        b->sent[i] = tr_build_join_gradient(b, i, TR_COLL_START);
    }
    if (p->has_grad_slices) /* what it was sent from is then free */
        wait_for(b, part + 1);
    b->only_last = false;
    b->phase = phase;
}

void tr_build_passed(struct tr_builder *b, int32_t part)
{
    enum tr_phase phase = b->phase;
    if (!b->program->sends_early || !b->program->has_grad_slices)
        return;
    b->phase = TR_PHASE_REDUCE;
    b->only_last = true;
    wait_for(b, part);
    b->only_last = false;
    b->phase = phase;
}
