/* The meaning of LINEAR, LINEAR_DX and LINEAR_DW: one output element at a time. */
#include "silicon/kernel/linear/linear.h"
#include "silicon/kernel/ref.h"

/* Which partial sums a product writes: one, the whole, unless it sums a sub-range of the parts. */
struct slabs {
    int count;
    bool whole;
    struct tr_range node[TR_TREE_ROOTS_MAX];
};

static struct slabs slabs_of(const struct tr_op *op, bool sums_parts)
{
    struct slabs slabs = {.count = 1, .whole = true, .node = {{op->part.first, op->part.first + 1}}};
    if (sums_parts) {
        slabs.count = tr_tree_roots(op->part.parts, op->part.first, op->part.last, slabs.node);
        slabs.whole = tr_parts_owned(op->part) == op->part.parts;
    }
    return slabs;
}

/* ---- forward ---------------------------------------------------------------------------------------------------- */

struct forward {
    const struct tr_call *call;
    int segment;
    int64_t token, out;
    struct tr_tally tally;
};

/* The product over part p of `in`, or over all of it when it is not cut. */
static float forward_part(void *context, int64_t p)
{
    struct forward *at = context;
    const struct tr_op *op = at->call->op;
    bool row_parallel = (op->flags & TR_OP_ROW_PARALLEL) != 0;
    struct tr_range in = row_parallel ? tr_op_part(op, 0, p) : (struct tr_range){0, op->in};
    int64_t n = in.last - in.first;
    struct tr_line x = tr_line_of(at->call->operand[TR_LINEAR_X], op->act, at->token * op->in + in.first, 1);
    struct tr_line w =
        tr_line_of(at->call->operand[TR_LINEAR_W + at->segment], op->weight, at->out * op->in + in.first, 1);
    at->tally.flop += 2 * n;
    if (at->segment == 0 && at->out == 0)
        at->tally.read_bytes += n * tr_dtype_bytes(op->act);
    if (at->token == 0)
        at->tally.read_bytes += n * tr_dtype_bytes(op->weight);
    return tr_chain(0.0f, x, w, n, tr_pairs(op->act, op->weight));
}

static float add_bias_and_residual(struct forward *at, float y)
{
    const struct tr_op *op = at->call->op;
    const void *bias = at->call->operand[TR_LINEAR_B + at->segment];
    const void *residual = at->call->operand[TR_LINEAR_RESIDUAL];
    if (bias != NULL) {
        y = y + tr_load(bias, op->weight, at->out);
        at->tally.read_bytes += at->token == 0 ? tr_dtype_bytes(op->weight) : 0;
    }
    if (residual != NULL) {
        y = tr_load(residual, op->act, at->token * op->out[0] + at->out) + y;
        at->tally.read_bytes += tr_dtype_bytes(op->act);
    }
    return y;
}

static void forward_element(struct forward *at, const struct slabs *slabs)
{
    const struct tr_op *op = at->call->op;
    int64_t tokens = op->seqs * op->seq_len;
    enum tr_dtype type = tr_op_operand_dtype(op, TR_LINEAR_Y + at->segment);
    for (int s = 0; s < slabs->count; s++) {
        float y = tr_tree_of(forward_part, at, slabs->node[s].first, slabs->node[s].last);
        if (slabs->whole)
            y = add_bias_and_residual(at, y);
        int64_t index = (s * tokens + at->token) * op->out[at->segment] + at->out;
        tr_store(at->call->operand[TR_LINEAR_Y + at->segment], type, index, y);
        at->tally.write_bytes += tr_dtype_bytes(type);
    }
}

void tr_linear_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    const struct slabs slabs = slabs_of(op, (op->flags & TR_OP_ROW_PARALLEL) != 0);
    TR_ASSERT(call->operand[TR_LINEAR_RESIDUAL] == NULL || (op->segments == 1 && slabs.whole));
    for (int i = 0; i < op->segments; i++)
        TR_ASSERT(slabs.whole || call->operand[TR_LINEAR_B + i] == NULL);
#pragma omp parallel for num_threads(call->threads)
    for (int64_t t = 0; t < op->seqs * op->seq_len; t++) {
        struct forward at = {.call = call, .token = t};
        for (at.segment = 0; at.segment < op->segments; at.segment++)
            for (at.out = 0; at.out < op->out[at.segment]; at.out++)
                forward_element(&at, &slabs);
        tr_tally_add(call, &at.tally);
    }
}

/* ---- gradient of the input -------------------------------------------------------------------------------------- */

struct input_grad {
    const struct tr_call *call;
    int64_t token, in;
    struct tr_tally tally;
};

/* One chain over part p of every segment, or over all of them when `out` is not cut. */
static float input_grad_part(void *context, int64_t p)
{
    struct input_grad *at = context;
    const struct tr_op *op = at->call->op;
    float acc = 0.0f;
    for (int i = 0; i < op->segments; i++) {
        bool row_parallel = (op->flags & TR_OP_ROW_PARALLEL) != 0;
        struct tr_range out = row_parallel ? (struct tr_range){0, op->out[i]} : tr_op_part(op, i, p);
        int64_t n = out.last - out.first;
        struct tr_line dy =
            tr_line_of(at->call->operand[TR_LINEAR_DX_DY + i], op->act, at->token * op->out[i] + out.first, 1);
        struct tr_line w =
            tr_line_of(at->call->operand[TR_LINEAR_DX_W + i], op->weight, out.first * op->in + at->in, op->in);
        acc = tr_chain(acc, dy, w, n, tr_pairs(op->act, op->weight));
        at->tally.flop += 2 * n;
        if (at->in == 0)
            at->tally.read_bytes += n * tr_dtype_bytes(op->act);
        if (at->token == 0)
            at->tally.read_bytes += n * tr_dtype_bytes(op->weight);
    }
    return acc;
}

void tr_linear_dx_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    int64_t tokens = op->seqs * op->seq_len;
    const struct slabs slabs = slabs_of(op, !(op->flags & TR_OP_ROW_PARALLEL));
    enum tr_dtype type = tr_op_operand_dtype(op, TR_LINEAR_DX_DX);
#pragma omp parallel for num_threads(call->threads)
    for (int64_t t = 0; t < tokens; t++) {
        struct input_grad at = {.call = call, .token = t};
        for (at.in = 0; at.in < op->in; at.in++) {
            for (int s = 0; s < slabs.count; s++) {
                float dx = tr_tree_of(input_grad_part, &at, slabs.node[s].first, slabs.node[s].last);
                tr_store(call->operand[TR_LINEAR_DX_DX], type, (s * tokens + t) * op->in + at.in, dx);
                at.tally.write_bytes += tr_dtype_bytes(type);
            }
        }
        tr_tally_add(call, &at.tally);
    }
}

/* ---- gradients of the weights ----------------------------------------------------------------------------------- */

/* BLOCKS of dy[t, o] x[t, i] over the tokens of a leaf, going on from acc. */
static float weight_grad(const struct tr_call *call, int segment, int64_t o, int64_t i, struct tr_range tokens,
                         float acc, struct tr_tally *tally)
{
    const struct tr_op *op = call->op;
    int64_t out = op->out[segment];
    for (int64_t s = 0; s < op->seqs; s++) {
        for (int64_t t = tokens.first; t < tokens.last; t += TR_TOKEN_BLOCK) {
            int64_t n = tokens.last - t < TR_TOKEN_BLOCK ? tokens.last - t : TR_TOKEN_BLOCK;
            int64_t row = s * op->seq_len + t;
            struct tr_line dy = tr_line_of(call->operand[TR_LINEAR_DW_DY + segment], op->act, row * out + o, out);
            struct tr_line x = tr_line_of(call->operand[TR_LINEAR_DW_X], op->act, row * op->in + i, op->in);
            acc = acc + tr_chain(0.0f, dy, x, n, tr_pairs(op->act, op->act));
            tally->flop += 2 * n;
            tally->read_bytes += i == 0 ? n * tr_dtype_bytes(op->act) : 0;
            tally->read_bytes += segment == 0 && o == 0 ? n * tr_dtype_bytes(op->act) : 0;
        }
    }
    return acc;
}

/* BLOCKS of dy[t, o]. Its elements were counted by the products. */
static float bias_grad(const struct tr_call *call, int segment, int64_t o, struct tr_range tokens, float acc)
{
    const struct tr_op *op = call->op;
    for (int64_t s = 0; s < op->seqs; s++) {
        for (int64_t block = tokens.first; block < tokens.last; block += TR_TOKEN_BLOCK) {
            float sum = 0.0f;
            for (int64_t t = block; t < tokens.last && t < block + TR_TOKEN_BLOCK; t++) {
                int64_t row = s * op->seq_len + t;
                sum = sum + tr_load(call->operand[TR_LINEAR_DW_DY + segment], op->act, row * op->out[segment] + o);
            }
            acc = acc + sum;
        }
    }
    return acc;
}

/* Row o of dw and db of one segment, all leaves. */
static void weight_grad_row(const struct tr_call *call, int segment, int64_t o)
{
    const struct tr_op *op = call->op;
    struct tr_tally tally = {0};
    int dw_index = TR_LINEAR_DW_DW + segment, db_index = TR_LINEAR_DW_DB + segment;
    float *dw = call->operand[dw_index], *db = call->operand[db_index];
    for (int64_t leaf = 0; leaf < tr_op_leaves(op, dw_index); leaf++) {
        struct tr_range tokens = tr_op_leaf_tokens(op, dw_index, leaf);
        float *row = dw + (leaf * op->out[segment] + o) * op->in;
        for (int64_t i = 0; i < op->in; i++) {
            row[i] = weight_grad(call, segment, o, i, tokens, row[i], &tally);
            tally.read_bytes += (int64_t)sizeof row[i];
            tally.write_bytes += (int64_t)sizeof row[i];
        }
    }
    for (int64_t leaf = 0; db != NULL && leaf < tr_op_leaves(op, db_index); leaf++) {
        float *sum = db + leaf * op->out[segment] + o;
        *sum = bias_grad(call, segment, o, tr_op_leaf_tokens(op, db_index, leaf), *sum);
        tally.read_bytes += (int64_t)sizeof *sum;
        tally.write_bytes += (int64_t)sizeof *sum;
    }
    tr_tally_add(call, &tally);
}

void tr_linear_dw_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    for (int segment = 0; segment < op->segments; segment++) {
#pragma omp parallel for num_threads(call->threads)
        for (int64_t o = 0; o < op->out[segment]; o++)
            weight_grad_row(call, segment, o);
    }
}
