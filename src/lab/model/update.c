/* The end of a step: tied gradients, norm, clip, and each weight by AdamW or by Muon.
 *
 * Muon (Jordan and others 2024, kellerjordan.github.io/posts/muon) moves a matrix by the nearest orthogonal matrix to
 * its momentum, found by five Newton-Schulz steps on X, the momentum over its Frobenius norm:
 *
 *     A = X X^T,  B = b A + c A A,  X = a X + B X          with (a, b, c) = (3.4445, -4.7750, 2.0315)
 *
 * for the side that is shorter: a tall X has A = X^T X and X = a X + X B. These products are the operations LINEAR,
 * LINEAR_DX and LINEAR_DW of the model itself, so they run, are counted and are priced as those. A is symmetric to the
 * bit (its two halves are the same chains), and so is A A, so that "times transposed" is "times".
 *
 * The step is scaled by 0.2 sqrt(max(out, in)), which gives it the size that AdamW's has (Liu and others 2025,
 * arXiv 2502.16982): one learning rate serves both. All of it is fp32 and uncut by logical parts. */
#include "lab/model/build.h"

#include "base/num.h"

#include <math.h>

enum { NEWTON_SCHULZ_STEPS = 5 };
static const float coefficient_a = 3.4445f, coefficient_b = -4.7750f, coefficient_c = 2.0315f;
static const double muon_scale = 0.2;

/* A LINEAR* op on whole fp32 matrices: `rows` tokens, x [rows, in], w [out, in]. */
static struct tr_op product(const struct tr_builder *b, enum tr_op_kind kind, int64_t rows, int64_t in, int64_t out)
{
    struct tr_op op = tr_build_template(b, kind);
    op.act = op.weight = TR_F32;
    op.context = tr_all_parts(1);
    op.whole_seq_len = 0;
    op.seqs = 1;
    op.seq_len = rows;
    op.in = in;
    op.segments = 1;
    op.out[0] = out;
    op.quantum[0] = 1;
    return op;
}

static void build_mix(struct tr_builder *b, int32_t dst, float alpha, int32_t src, float beta, int64_t count)
{
    struct tr_program_op *mix = tr_build_counted(b, TR_OP_MIX, dst, count);
    mix->op.alpha = alpha;
    mix->op.beta = beta;
    mix->buffer[TR_MIX_SRC] = src;
}

static int32_t matrix(struct tr_builder *b, int64_t rows, int64_t columns, const char *name)
{
    return tr_build_buffer(b, TR_BUF_WORKSPACE, TR_REGION_WORK, TR_F32, (struct tr_shape){2, {rows, columns}}, "muon.%s",
                           name);
}

/* y = x w^T: x [rows, in], w [out, in], y [rows, out] */
static void build_times_transposed(struct tr_builder *b, int32_t x, int32_t w, int32_t y, int64_t rows, int64_t in,
                                   int64_t out)
{
    struct tr_program_op *o = tr_build_op(b, product(b, TR_OP_LINEAR, rows, in, out));
    o->buffer[TR_LINEAR_X] = x;
    o->buffer[TR_LINEAR_W] = w;
    o->buffer[TR_LINEAR_Y] = y;
}

/* gram = X X^T when X is wide, X^T X when it is tall. */
static void build_gram(struct tr_builder *b, int32_t x, int32_t gram, int64_t rows, int64_t columns)
{
    if (rows <= columns) {
        build_times_transposed(b, x, x, gram, rows, columns, rows);
        return;
    }
    tr_build_counted(b, TR_OP_ZERO, gram, columns * columns);
    struct tr_program_op *o = tr_build_op(b, product(b, TR_OP_LINEAR_DW, rows, columns, columns));
    o->buffer[TR_LINEAR_DW_X] = x;
    o->buffer[TR_LINEAR_DW_DY] = x;
    o->buffer[TR_LINEAR_DW_DW] = gram;
}

/* y = B X when X is wide, X B when it is tall; B is symmetric. */
static void build_times_symmetric(struct tr_builder *b, int32_t x, int32_t symmetric, int32_t y, int64_t rows,
                                  int64_t columns)
{
    if (rows > columns) {
        build_times_transposed(b, x, symmetric, y, rows, columns, columns);
        return;
    }
    struct tr_program_op *o = tr_build_op(b, product(b, TR_OP_LINEAR_DX, rows, columns, rows));
    o->buffer[TR_LINEAR_DX_DY] = symmetric;
    o->buffer[TR_LINEAR_DX_W] = x;
    o->buffer[TR_LINEAR_DX_DX] = y;
}

/* Returns the buffer that the orthogonalised x ends in. */
static int32_t build_newton_schulz(struct tr_builder *b, int32_t x, int64_t rows, int64_t columns)
{
    int64_t side = tr_min_i64(rows, columns);
    int32_t next = matrix(b, rows, columns, "next"), gram = matrix(b, side, side, "gram");
    int32_t square = matrix(b, side, side, "square");
    for (int step = 0; step < NEWTON_SCHULZ_STEPS; step++) {
        build_gram(b, x, gram, rows, columns);
        build_times_transposed(b, gram, gram, square, side, side, side);
        build_mix(b, square, coefficient_c, gram, coefficient_b, side * side);
        build_times_symmetric(b, x, square, next, rows, columns);
        build_mix(b, next, 1.0f, x, coefficient_a, rows * columns);
        int32_t old = x;
        x = next;
        next = old;
    }
    return x;
}

static int64_t slice_count(const struct tr_program *p, int32_t index)
{
    struct tr_range slice = tr_program_slice(p, index);
    return slice.last - slice.first;
}

/* The rounded copy of the weight, -1 for none. */
static int32_t copy_slice(struct tr_builder *b, int32_t index)
{
    const struct tr_program *p = b->program;
    return p->first_copy < 0 ? -1 : tr_build_slice(b, p->first_copy + index, index);
}

/* What all lanes together have of gradient `index`: this rank's share. */
static int32_t grad_slice(struct tr_builder *b, int32_t index)
{
    return tr_build_slice(b, b->program->first_grad + index, tr_build_weight_of(b, index));
}

/* The new weight is rounded where it is made. */
static void add_copy(const struct tr_builder *b, struct tr_program_op *o, int operand, int32_t copy)
{
    if (copy < 0)
        return;
    o->op.weight = b->program->step.dtype;
    o->buffer[operand] = copy;
}

static void build_muon(struct tr_builder *b, int32_t index)
{
    struct tr_program *p = b->program;
    const struct tr_weight *w = &p->own[index];
    struct tr_program_op *moment = tr_build_counted(b, TR_OP_MUON_MOMENT, p->first_grad + index, w->count);
    int32_t op = (int32_t)(moment - p->op), x = matrix(b, w->dim[0], w->dim[1], "direction");
    p->op[op].buffer[TR_MUON_MOMENT_M] = p->first_m + index;
    p->op[op].buffer[TR_MUON_MOMENT_Y] = x;
    x = build_newton_schulz(b, x, w->dim[0], w->dim[1]);
    struct tr_program_op *muon = tr_build_counted(b, TR_OP_MUON, p->first_weight + index, w->count);
    muon->op.alpha = (float)(muon_scale * sqrt((double)tr_max_i64(w->dim[0], w->dim[1])));
    muon->op.flags = w->decay ? TR_OP_DECAY : 0;
    muon->buffer[TR_MUON_X] = x;
    add_copy(b, muon, TR_MUON_COPY, p->first_copy < 0 ? -1 : p->first_copy + index); /* a matrix of Muon is whole */
}

static void build_adamw(struct tr_builder *b, int32_t index)
{
    struct tr_program *p = b->program;
    const struct tr_weight *w = &p->own[index];
    int32_t weight = tr_build_slice(b, p->first_weight + index, index), grad = grad_slice(b, index), copy = copy_slice(b, index);
    struct tr_program_op *adamw = tr_build_counted(b, TR_OP_ADAMW, weight, slice_count(p, index));
    adamw->op.flags = w->decay ? TR_OP_DECAY : 0;
    adamw->buffer[TR_ADAMW_GRAD] = grad;
    adamw->buffer[TR_ADAMW_M] = p->first_m + index;
    adamw->buffer[TR_ADAMW_V] = p->first_v + index;
    add_copy(b, adamw, TR_ADAMW_COPY, copy);
}

/* Whether this rank trains weight `index`, or a slice of it. */
static bool is_trained(const struct tr_program *p, int32_t index)
{
    return tr_program_has(p, index) && !p->own[index].frozen;
}

/* The norm has once what all tensor parallel ranks have. */
static bool is_counted(const struct tr_program *p, int32_t index)
{
    return tr_program_portion(p, index).axis >= 0 || tr_rank_index(&p->step.place, TR_GROUP_TENSOR) == 0;
}

bool tr_build_has_tied_gradient(const struct tr_builder *b)
{
    return b->program->model.tied && b->program->model.lora.rank == 0;
}

/* From here on gradient `index` is that of all lanes: with zero = 2 it is already. */
static void build_joined(struct tr_builder *b, int32_t index)
{
    if (!b->program->has_grad_slices)
        tr_build_wait(b, b->sent[index]);
}

/* What the first stage gets from the last one, which is somebody else. */
static int32_t build_received_head(struct tr_builder *b, int64_t count)
{
    int32_t head = tr_build_buffer(b, TR_BUF_WORKSPACE, TR_REGION_WORK, TR_F32, (struct tr_shape){1, {count}}, "grad.head");
    tr_build_receive(b, TR_WAY_TIED, head);
    return head;
}

/* The two shares of a tied table become one, where the table is trained: the first stage. */
static void build_tied_gradient(struct tr_builder *b)
{
    struct tr_program *p = b->program;
    int32_t wte = tr_weight_find(&p->weights, TR_W_WTE, -1), head = -1;
    struct tr_range slice = tr_build_slice_of(p, wte);
    bool has_head = b->has_tied_head, has_table = tr_program_has(p, wte);
    if (!tr_build_has_tied_gradient(b) || (!has_head && !has_table))
        return;
    if (has_head) {
        build_joined(b, p->weights.count);
        head = grad_slice(b, p->weights.count);
    }
    if (slice.last == slice.first)
        return;
    if (has_head && !has_table) {
        head = tr_build_part(b, head, 0, slice.last - slice.first); /* without the other leaves */
        tr_build_send(b, TR_WAY_TIED, head);
        tr_build_sent(b, TR_WAY_TIED, head);
        return;
    }
    if (!has_head)
        head = build_received_head(b, slice.last - slice.first);
    int32_t grad = grad_slice(b, wte);
    tr_build_counted(b, TR_OP_JOIN, grad, slice.last - slice.first)->buffer[TR_JOIN_SRC] = head;
}

void tr_build_share_table(struct tr_builder *b)
{
    const struct tr_program *p = b->program;
    if (!p->model.tied || p->pipe.stages == 1)
        return;
    int32_t table = (p->first_copy >= 0 ? p->first_copy : p->first_weight) + tr_weight_find(&p->weights, TR_W_WTE, -1);
    if (p->buffer[table].bytes == 0) /* stages between, and slices of nothing */
        return;
    if (p->stage == p->pipe.stages - 1)
        tr_build_receive(b, TR_WAY_TIED, table);
    if (p->stage > 0)
        return;
    tr_build_send(b, TR_WAY_TIED, table);
    tr_build_sent(b, TR_WAY_TIED, table);
}

/* The sums over all lanes. */
static void build_joined_gradients(struct tr_builder *b)
{
    struct tr_program *p = b->program;
    for (int32_t i = 0; i < p->weights.count; i++)
        if (is_trained(p, i))
            build_joined(b, i);
    build_tied_gradient(b);
}

void tr_build_update(struct tr_builder *b)
{
    struct tr_program *p = b->program;
    tr_build_begin_section(b, TR_SECTION_UPDATE, TR_PHASE_UPDATE);
    build_joined_gradients(b);
    tr_build_merge(b, TR_SCALAR_LOSS, TR_GROUP_CONTEXT);
    tr_build_merge(b, TR_SCALAR_LOSS, TR_GROUP_DATA);
    tr_build_merge(b, TR_SCALAR_LOSS, TR_GROUP_PIPE); /* of the last stage; the others' sums are empty */
    for (int32_t i = 0; i < p->weights.count; i++)
        if (is_trained(p, i) && is_counted(p, i) && slice_count(p, i) > 0)
            tr_build_counted(b, TR_OP_GRAD_SQ, grad_slice(b, i), slice_count(p, i));
    if (p->has_slices)
        tr_build_merge(b, TR_SCALAR_GRAD_SQ, TR_GROUP_DATA);
    tr_build_merge(b, TR_SCALAR_GRAD_SQ, TR_GROUP_TENSOR);
    tr_build_merge(b, TR_SCALAR_GRAD_SQ, TR_GROUP_PIPE);
    tr_build_op(b, tr_build_template(b, TR_OP_CLIP));
    for (int32_t i = 0; i < p->weights.count && !b->out_of_memory; i++) {
        if (!is_trained(p, i))
            continue;
        if (slice_count(p, i) > 0 && p->own[i].moments == 1)
            build_muon(b, i);
        else if (slice_count(p, i) > 0)
            build_adamw(b, i);
        if (p->has_slices && !p->has_read_slices)
            b->sent[i] = tr_build_gather(b, i, -1, (p->first_copy < 0 ? p->first_weight : p->first_copy) + i, TR_COLL_START);
    }
    for (int32_t i = 0; i < p->weights.count && p->has_slices && !p->has_read_slices; i++)
        if (is_trained(p, i))
            tr_build_wait(b, b->sent[i]);
    if (tr_build_has_tied_gradient(b))
        tr_build_share_table(b);
    tr_build_end_section(b, TR_SECTION_UPDATE);
}
