/* What becomes of gradients between the backward passes and the update: leaves are folded, lanes are joined. */
#include "lab/model/build.h"

static bool is_of_chunk(const struct tr_builder *b, int32_t index, int32_t chunk)
{
    const struct tr_program *p = b->program;
    int32_t of = index < p->weights.count ? p->chunk_of[index] / p->pipe.stages : p->pipe.chunks - 1;
    return of == chunk && p->buffer[b->first_sum + index].bytes > 0;
}

/* The leaves of this rank's context parts, `inner` to each, and then of all. */
static void build_fold_of(struct tr_builder *b, int32_t leaves, int32_t inner, int64_t count)
{
    const struct tr_parts context = b->program->context;
    if (tr_parts_owned(context) * inner > 1) {
        struct tr_program_op *fold = tr_build_counted(b, TR_OP_FOLD, leaves, count);
        fold->op.context = context;
        fold->op.part = tr_all_parts(inner);
    }
    tr_build_join_context(b, leaves, inner, count, false);
}

/* Leaves of tensor or sequence parts that ranks share: each gets all of them. */
static void build_fold_of_ranks(struct tr_builder *b, int32_t sum, int64_t count)
{
    int32_t all = tr_build_gather_leaves(b, sum, count);
    build_fold_of(b, all, b->program->tensor.parts, count);
    tr_build_counted(b, TR_OP_CAST, all, count)->buffer[TR_CAST_DST] = sum;
}

void tr_build_fold(struct tr_builder *b, int32_t index)
{
    const struct tr_program *p = b->program;
    enum tr_weight_role role = p->own[tr_build_weight_of(b, index)].role;
    int32_t sum = b->first_sum + index;
    if (b->out_of_memory)
        return;
    int64_t leaves = p->buffer[sum].shape.dim[0], count = tr_shape_count(p->buffer[sum].shape) / leaves;
    if (role == TR_W_WPE && !p->step.apart) /* each position is in one context part */
        tr_build_join_context(b, sum, 1, count, true);
    else if (tr_build_shares_leaves(p, role))
        build_fold_of_ranks(b, sum, count);
    else
        build_fold_of(b, sum, (int32_t)(leaves / tr_parts_owned(p->context)), count);
}

void tr_build_lane_join(struct tr_builder *b, int32_t index)
{
    const struct tr_program *p = b->program;
    int32_t grad = p->first_grad + index;
    const struct tr_shape shape = p->buffer[grad].shape;
    if (b->out_of_memory || p->buffer[grad].bytes == 0)
        return;
    struct tr_program_op *join = tr_build_counted(b, TR_OP_JOIN, grad, tr_shape_count(shape) / shape.dim[0]);
    join->buffer[TR_JOIN_SRC] = grad;
    join->src_slot = 1;
}

static void build_lane_begin(struct tr_builder *b, int32_t chunk)
{
    const struct tr_program *p = b->program;
    tr_build_begin_section(b, tr_section_of(TR_SECTION_LANE_BEGIN, chunk), TR_PHASE_REDUCE);
    for (int32_t i = 0; i < b->slot_buffers && !tr_build_sums_in_work(p) && !b->out_of_memory; i++)
        if (is_of_chunk(b, i, chunk))
            tr_build_counted(b, TR_OP_ZERO, b->first_sum + i, tr_shape_count(p->buffer[b->first_sum + i].shape));
    tr_build_end_section(b, tr_section_of(TR_SECTION_LANE_BEGIN, chunk));
}

/* Of a lane that is not the last of the backward pass that STARTs what follows. */
static void build_lane_end(struct tr_builder *b, int32_t chunk)
{
    const struct tr_program *p = b->program;
    bool early = p->has_grad_slices && p->sends_early;
    tr_build_begin_section(b, tr_section_of(TR_SECTION_LANE_END, chunk), TR_PHASE_REDUCE);
    for (int32_t i = 0; i < b->slot_buffers && !early && !b->out_of_memory; i++)
        if (is_of_chunk(b, i, chunk))
            tr_build_fold(b, i);
    tr_build_end_section(b, tr_section_of(TR_SECTION_LANE_END, chunk));
}

static void build_round(struct tr_builder *b, int32_t chunk)
{
    const struct tr_program *p = b->program;
    tr_build_begin_section(b, tr_section_of(TR_SECTION_ROUND, chunk), TR_PHASE_REDUCE);
    for (int32_t i = 0; i < b->slot_buffers && p->has_grad_slices && !p->sends_early && !b->out_of_memory; i++)
        if (is_of_chunk(b, i, chunk))
            tr_build_join_gradient(b, i, TR_COLL_NOW);
    tr_build_end_section(b, tr_section_of(TR_SECTION_ROUND, chunk));
}

static void build_join(struct tr_builder *b, int32_t chunk)
{
    const struct tr_program *p = b->program;
    tr_build_begin_section(b, tr_section_of(TR_SECTION_JOIN, chunk), TR_PHASE_REDUCE);
    for (int32_t i = 0; i < b->slot_buffers && p->grad_slots > 1 && !b->out_of_memory; i++)
        if (is_of_chunk(b, i, chunk))
            tr_build_lane_join(b, i);
    tr_build_end_section(b, tr_section_of(TR_SECTION_JOIN, chunk));
}

void tr_build_reductions(struct tr_builder *b)
{
    for (int32_t chunk = 0; chunk < b->program->pipe.chunks; chunk++) {
        build_lane_begin(b, chunk);
        build_lane_end(b, chunk);
        build_round(b, chunk);
        build_join(b, chunk);
    }
}
