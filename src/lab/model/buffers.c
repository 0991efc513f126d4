/* Buffers that live as long as the program: weights with the copies that operations read, moments, gradients, batches. */
#include "lab/model/build.h"

#include <stdio.h>

static struct tr_shape weight_shape(const struct tr_weight *w)
{
    return w->rank == 1 ? (struct tr_shape){1, {w->dim[0]}} : (struct tr_shape){2, {w->dim[0], w->dim[1]}};
}

static struct tr_shape no_shape(void) { return (struct tr_shape){1, {0}}; }

/* Whether operations of this rank read the weight: its own, and on the last stage the table that is the head too. */
static bool is_read(const struct tr_program *p, int32_t index)
{
    bool head = p->model.tied && p->own[index].role == TR_W_WTE && p->stage == p->pipe.stages - 1;
    return head || tr_program_has(p, index);
}

static struct tr_shape range_shape(const struct tr_program *p, int32_t index, struct tr_range range)
{
    int64_t count = range.last - range.first;
    return count == p->own[index].count ? weight_shape(&p->own[index]) : (struct tr_shape){1, {count}};
}

/* Of a weight that operations read: the whole, or the slice that is gathered before they do. */
static struct tr_shape read_shape(const struct tr_program *p, int32_t index)
{
    return p->has_read_slices ? range_shape(p, index, tr_build_slice_of(p, index)) : weight_shape(&p->own[index]);
}

static void add_copy(struct tr_builder *b, int32_t index)
{
    const struct tr_program *p = b->program;
    const struct tr_weight *w = &p->own[index];
    tr_build_buffer(b, TR_BUF_COPY, TR_REGION_COPIES, p->step.dtype, is_read(p, index) ? read_shape(p, index) : no_shape(), "copy.%s",
                    w->name);
}

/* Whether products read it in panels, where the program's weights are. */
static bool is_in_panels(const struct tr_weight *w)
{
    switch (w->role) {
    case TR_W_Q:
    case TR_W_K:
    case TR_W_V:
    case TR_W_ATTN_OUT:
    case TR_W_FC:
    case TR_W_GATE:
    case TR_W_UP:
    case TR_W_DOWN:
    case TR_W_HEAD:
        return true;
    default:
        return false;
    }
}

/* What makes the panels of a weight. */
static struct tr_op pack_op(const struct tr_builder *b, const struct tr_weight *w)
{
    struct tr_op op = tr_build_in_panels(b, tr_build_template(b, TR_OP_LINEAR));
    op.kind = TR_OP_PACK;
    op.context = tr_all_parts(1);
    op.in = w->dim[1];
    op.segments = 1;
    op.out[0] = w->dim[0];
    op.quantum[0] = 1;
    return op;
}

static int32_t add_panels_of(struct tr_builder *b, const struct tr_weight *w, const char *name)
{
    struct tr_op op = pack_op(b, w);
    return tr_build_buffer(b, TR_BUF_COPY, TR_REGION_COPIES, TR_BYTE, tr_op_operand_shape(&op, TR_PACK_DST), "panels.%s", name);
}

static void add_panels(struct tr_builder *b)
{
    struct tr_program *p = b->program;
    p->first_copy = p->buffer_count;
    for (int32_t i = 0; i < p->weights.count; i++) {
        if (is_in_panels(&p->own[i]))
            add_panels_of(b, &p->own[i], p->own[i].name);
        else
            add_copy(b, i);
    }
    if (p->model.tied)
        p->head_panels = add_panels_of(b, &p->own[tr_weight_find(&p->weights, TR_W_WTE, -1)], "head");
}

/* What is not this rank's is read from WEIGHTS too where there are no copies. */
static struct tr_shape fp32_shape(const struct tr_program *p, int32_t index)
{
    bool as_read = p->step.dtype == TR_F32 && is_read(p, index);
    return as_read ? read_shape(p, index) : range_shape(p, index, tr_program_held(p, index));
}

void tr_build_weight_buffers(struct tr_builder *b)
{
    struct tr_program *p = b->program;
    p->first_weight = p->buffer_count;
    for (int32_t i = 0; i < p->weights.count; i++)
        tr_build_buffer(b, TR_BUF_WEIGHT, TR_REGION_WEIGHTS, TR_F32, fp32_shape(p, i), "%s", p->own[i].name);
    if (p->step.form != TR_FORM_ROWS) {
        add_panels(b);
        return;
    }
    if (p->step.dtype == TR_F32)
        return;
    p->first_copy = p->buffer_count;
    for (int32_t i = 0; i < p->weights.count; i++)
        add_copy(b, i);
}

/* Moment number `moment` of every weight that has so many; else the buffer is empty. */
int32_t tr_build_moment_buffers(struct tr_builder *b, int32_t moment, const char *letter)
{
    struct tr_program *p = b->program;
    int32_t first = p->buffer_count;
    for (int32_t i = 0; i < p->weights.count; i++) {
        const struct tr_weight *w = &p->own[i];
        struct tr_shape shape = moment <= w->moments ? range_shape(p, i, tr_program_slice(p, i)) : no_shape();
        tr_build_buffer(b, TR_BUF_MOMENT, TR_REGION_MOMENTS, TR_F32, shape, "%s.%s", letter, w->name);
    }
    return first;
}

/* How many accumulators the gradient of a weight keeps apart: what the contract says for the operation that makes it
 * (tr_op_leaves), asked of a template of that operation. */
static int64_t weight_leaves(const struct tr_builder *b, enum tr_weight_role role)
{
    switch (role) {
    case TR_W_WPE: {
        struct tr_op op = tr_build_template(b, TR_OP_EMBED_BWD);
        return tr_op_leaves(&op, TR_EMBED_BWD_DWPE);
    }
    case TR_W_NORM1_GAIN:
    case TR_W_NORM1_BIAS:
    case TR_W_NORM2_GAIN:
    case TR_W_NORM2_BIAS:
    case TR_W_NORM_GAIN:
    case TR_W_NORM_BIAS: {
        struct tr_op op = tr_build_norm_op(b, TR_OP_NORM_BWD);
        return tr_op_leaves(&op, TR_NORM_BWD_DGAIN);
    }
    case TR_W_Q_NORM:
    case TR_W_K_NORM: {
        struct tr_op op = tr_build_head_norm_op(b, TR_OP_NORM_BWD, role == TR_W_K_NORM);
        return tr_op_leaves(&op, TR_NORM_BWD_DGAIN);
    }
    case TR_W_ATTN_OUT_BIAS:
    case TR_W_DOWN_BIAS: {
        struct tr_op op = tr_build_ffn_out_op(b, TR_OP_LINEAR_DW);
        return tr_op_leaves(&op, TR_LINEAR_DW_DB);
    }
    default: {
        struct tr_op op = tr_build_template(b, TR_OP_LINEAR_DW);
        return tr_op_leaves(&op, TR_LINEAR_DW_DW);
    }
    }
}

int32_t tr_build_weight_of(const struct tr_builder *b, int32_t index)
{
    const struct tr_weights *weights = &b->program->weights;
    return index < weights->count ? index : tr_weight_find(weights, TR_W_WTE, -1);
}

static struct tr_shape sum_shape(const struct tr_builder *b, const struct tr_weight *w)
{
    int64_t leaves = weight_leaves(b, w->role);
    return w->rank == 1 ? (struct tr_shape){2, {leaves, w->dim[0]}} : (struct tr_shape){3, {leaves, w->dim[0], w->dim[1]}};
}

static struct tr_shape grad_slice_shape(const struct tr_program *p, int32_t weight)
{
    struct tr_range slice = tr_build_slice_of(p, weight);
    return (struct tr_shape){2, {1, slice.last - slice.first}};
}

/* One of each weight, and of a tied head: all leaves, or the slice that this rank has. Empty for what is not trained, or not
 * here. Returns the first. */
static int32_t add_gradients_of(struct tr_builder *b, enum tr_region region, bool sums, const char *of)
{
    const struct tr_program *p = b->program;
    int32_t first = p->buffer_count;
    for (int32_t i = 0; i < b->slot_buffers; i++) {
        int32_t index = tr_build_weight_of(b, i);
        const struct tr_weight *w = &p->own[index];
        bool head = i == p->weights.count, here = !w->frozen && (head || tr_program_has(p, index));
        struct tr_shape shape = !here ? no_shape() : sums ? sum_shape(b, w) : grad_slice_shape(p, index);
        tr_build_buffer(b, TR_BUF_GRADIENT, region, TR_F32, shape, "grad.%s%s.%s", of, head ? ".head" : "", w->name);
    }
    return first;
}

bool tr_build_sums_in_work(const struct tr_program *p)
{
    return p->has_grad_slices && p->sends_early && p->step.batch / p->step.widths.lanes == p->step.micro_batch;
}

/* Of one round the slice takes the place of what the lane had of it. */
static void put_slices_into_sums(struct tr_builder *b)
{
    struct tr_program *p = b->program;
    for (int32_t i = 0; i < b->slot_buffers && !b->out_of_memory; i++) {
        struct tr_buffer *slice = &p->buffer[p->first_grad + i];
        slice->part_of = b->first_sum + i;
        slice->offset = tr_build_slice_of(p, tr_build_weight_of(b, i)).first * tr_dtype_bytes(TR_F32);
    }
}

void tr_build_gradient_buffers(struct tr_builder *b)
{
    struct tr_program *p = b->program;
    b->has_tied_head = tr_build_has_tied_gradient(b) && p->stage == p->pipe.stages - 1; /* the table has one as head too */
    b->slot_buffers = p->weights.count + (b->has_tied_head ? 1 : 0);
    p->grad_slots = tr_build_slots(p);
    p->first_grad = p->buffer_count;
    for (int32_t slot = 0; slot < p->grad_slots; slot++) {
        char of[16];
        snprintf(of, sizeof of, "%d", slot);
        add_gradients_of(b, TR_REGION_GRADIENTS, !p->has_grad_slices, of);
    }
    for (int32_t i = p->first_grad; i < p->buffer_count && !b->out_of_memory; i++)
        p->buffer[i].slot_stride = b->slot_buffers;
    b->first_sum = p->first_grad;
    if (!p->has_grad_slices)
        return;
    b->first_sum = add_gradients_of(b, tr_build_sums_in_work(p) ? TR_REGION_WORK : TR_REGION_GRADIENTS, true, "lane");
    if (p->grad_slots == 1 && !tr_build_sums_in_work(p))
        put_slices_into_sums(b);
}

void tr_build_rope_buffer(struct tr_builder *b, int64_t positions)
{
    struct tr_program *p = b->program;
    p->rope_table = -1;
    if (tr_has_rope(&p->model))
        p->rope_table = tr_build_buffer(b, TR_BUF_CONSTANT, TR_REGION_CONSTANTS, TR_F32,
                                        (struct tr_shape){3, {positions, p->model.head_dim / 2, 2}}, "rope");
}

int32_t tr_build_batch_buffer(struct tr_builder *b, int64_t sequences, const char *name)
{
    struct tr_program *p = b->program;
    int32_t id = tr_build_buffer(b, TR_BUF_BATCH, TR_REGION_BATCH, TR_I32,
                                 (struct tr_shape){2, {sequences, p->seq_len}}, "%s", name);
    if (!b->out_of_memory)
        p->buffer[id].bytes_per_sequence = p->seq_len * tr_dtype_bytes(TR_I32);
    return id;
}


static void build_pack(struct tr_builder *b, int32_t index, int32_t panels)
{
    struct tr_program *p = b->program;
    struct tr_op op = pack_op(b, &p->own[index]);
    int32_t error = tr_build_buffer(b, TR_BUF_COPY, TR_REGION_COPIES, TR_F32, tr_op_operand_shape(&op, TR_PACK_ERROR), "error.%s",
                                    p->own[index].name);
    struct tr_program_op *pack = tr_build_op(b, op);
    pack->buffer[TR_PACK_SRC] = p->first_weight + index;
    pack->buffer[TR_PACK_DST] = panels;
    pack->buffer[TR_PACK_ERROR] = error;
}

/* From the weights to the copies that operations read. */
void tr_build_cast(struct tr_builder *b)
{
    struct tr_program *p = b->program;
    tr_build_begin_section(b, TR_SECTION_CAST, TR_PHASE_LOAD);
    if (p->head_panels >= 0)
        build_pack(b, tr_weight_find(&p->weights, TR_W_WTE, -1), p->head_panels);
    for (int32_t i = 0; i < p->weights.count && p->first_copy >= 0 && !b->out_of_memory; i++) {
        if (p->step.form != TR_FORM_ROWS && is_in_panels(&p->own[i])) {
            build_pack(b, i, p->first_copy + i);
            continue;
        }
        if (!tr_program_has(p, i))
            continue;
        struct tr_range slice = tr_program_slice(p, i);
        int32_t copy = tr_build_slice(b, p->first_copy + i, i);
        if (slice.last > slice.first) {
            struct tr_program_op *cast = tr_build_counted(b, TR_OP_CAST, p->first_weight + i, slice.last - slice.first);
            cast->op.weight = p->step.dtype;
            cast->buffer[TR_CAST_DST] = copy;
        }
        if (p->has_weight_slices && !p->has_read_slices)
            tr_build_gather(b, i, -1, p->first_copy + i, TR_COLL_NOW);
    }
    tr_build_share_table(b);
    tr_build_end_section(b, TR_SECTION_CAST);
}

int32_t tr_build_cache_buffers(struct tr_builder *b, int64_t capacity, const char *letter)
{
    struct tr_program *p = b->program;
    int32_t first = p->buffer_count;
    const struct tr_shape shape = {3, {p->seqs * p->kv_heads, capacity, p->model.head_dim}};
    for (int32_t layer = 0; layer < p->model.layers; layer++)
        tr_build_buffer(b, TR_BUF_CACHE, TR_REGION_CACHE, p->step.dtype, shape, "h.%d.%s_cache", layer, letter);
    return first;
}
