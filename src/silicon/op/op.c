#include "silicon/op/op.h"

#include "base/num.h"

#define ACT TR_TYPE_ACT
#define WEIGHT TR_TYPE_WEIGHT
#define F32 TR_TYPE_F32
#define I32 TR_TYPE_I32
#define PANELS TR_TYPE_PANELS

/* name, direction, type, optional */
static const struct tr_op_info op_info[TR_OP_KIND_COUNT] = {
    [TR_OP_EMBED] = {"embed", "y[t] = wte[token[t]] (+ wpe[position of t])", 5,
        {{"tokens", TR_IN, I32, false}, {"wte", TR_IN, WEIGHT, false}, {"wpe", TR_IN, WEIGHT, true},
         {"y", TR_OUT, ACT, false}, {"start", TR_IN, I32, true}}},
    [TR_OP_EMBED_BWD] = {"embed_bwd", "dwte[token[t]] += dy[t], dwpe[position] += dy[t]", 5,
        {{"tokens", TR_IN, I32, false}, {"dy", TR_IN, ACT, false}, {"dwte", TR_ACC, F32, false},
         {"dwpe", TR_ACC, F32, true}, {"start", TR_IN, I32, true}}},
    [TR_OP_NORM] = {"norm", "y = (x - mean) / sqrt(var + eps) * gain + bias; RMSNorm: x / sqrt(mean x^2 + eps) * gain",
        5,
        {{"x", TR_IN, ACT, false}, {"gain", TR_IN, WEIGHT, false}, {"bias", TR_IN, WEIGHT, true},
         {"y", TR_OUT, ACT, false}, {"stats", TR_OUT, F32, false}}},
    [TR_OP_NORM_BWD] = {"norm_bwd", "dx from dy; dgain += dy * xhat, dbias += dy", 7,
        {{"x", TR_IN, ACT, false}, {"gain", TR_IN, WEIGHT, false}, {"stats", TR_IN, F32, false},
         {"dy", TR_IN, ACT, false}, {"dx", TR_INOUT, ACT, false}, {"dgain", TR_ACC, F32, true},
         {"dbias", TR_ACC, F32, true}}},
    [TR_OP_LINEAR] = {"linear", "y_i = x w_i^T (+ b_i) (+ residual)", 11,
        {{"x", TR_IN, ACT, false}, {"w0", TR_IN, WEIGHT, false}, {"w1", TR_IN, WEIGHT, true},
         {"w2", TR_IN, WEIGHT, true}, {"b0", TR_IN, WEIGHT, true}, {"b1", TR_IN, WEIGHT, true},
         {"b2", TR_IN, WEIGHT, true}, {"y0", TR_OUT, ACT, false}, {"y1", TR_OUT, ACT, true},
         {"y2", TR_OUT, ACT, true}, {"residual", TR_IN, ACT, true}}},
    [TR_OP_LINEAR_PACKED] = {"linear_packed", "y_i = x w_i^T (+ b_i) (+ residual), w_i in panels", 11,
        {{"x", TR_IN, ACT, false}, {"w0", TR_IN, PANELS, false}, {"w1", TR_IN, PANELS, true},
         {"w2", TR_IN, PANELS, true}, {"b0", TR_IN, ACT, true}, {"b1", TR_IN, ACT, true},
         {"b2", TR_IN, ACT, true}, {"y0", TR_OUT, ACT, false}, {"y1", TR_OUT, ACT, true},
         {"y2", TR_OUT, ACT, true}, {"residual", TR_IN, ACT, true}}},
    [TR_OP_LINEAR_DX] = {"linear_dx", "dx = sum_i dy_i w_i", 7,
        {{"dy0", TR_IN, ACT, false}, {"dy1", TR_IN, ACT, true}, {"dy2", TR_IN, ACT, true},
         {"w0", TR_IN, WEIGHT, false}, {"w1", TR_IN, WEIGHT, true}, {"w2", TR_IN, WEIGHT, true},
         {"dx", TR_OUT, ACT, false}}},
    [TR_OP_LINEAR_DW] = {"linear_dw", "dw_i += dy_i^T x, db_i += sum over t of dy_i[t]", 10,
        {{"x", TR_IN, ACT, false}, {"dy0", TR_IN, ACT, false}, {"dy1", TR_IN, ACT, true}, {"dy2", TR_IN, ACT, true},
         {"dw0", TR_ACC, F32, false}, {"dw1", TR_ACC, F32, true}, {"dw2", TR_ACC, F32, true},
         {"db0", TR_ACC, F32, true}, {"db1", TR_ACC, F32, true}, {"db2", TR_ACC, F32, true}}},
    [TR_OP_LINEAR_END] = {"linear_end", "y = sum (+ bias) (+ residual)", 4,
        {{"sum", TR_IN, F32, false}, {"bias", TR_IN, WEIGHT, true}, {"residual", TR_IN, ACT, true},
         {"y", TR_OUT, ACT, false}}},
    [TR_OP_ROPE] = {"rope", "x[d], x[d + D/2] = rotation of that pair by the angle of its position", 3,
        {{"x", TR_INOUT, ACT, false}, {"table", TR_IN, F32, false}, {"start", TR_IN, I32, true}}},
    [TR_OP_ATTN] = {"attn", "o = softmax(q k^T / sqrt(D), causal) v; stats = (max, sum of exponentials)", 6,
        {{"q", TR_IN, ACT, false}, {"k", TR_IN, ACT, false}, {"v", TR_IN, ACT, false}, {"o", TR_OUT, ACT, false},
         {"stats", TR_OUT, F32, false}, {"start", TR_IN, I32, true}}},
    [TR_OP_ATTN_BWD] = {"attn_bwd", "dq, dk, dv from do", 10,
        {{"q", TR_IN, ACT, false}, {"k", TR_IN, ACT, false}, {"v", TR_IN, ACT, false}, {"o", TR_IN, ACT, false},
         {"stats", TR_IN, F32, false}, {"do", TR_IN, ACT, false}, {"dq", TR_OUT, ACT, false},
         {"dk", TR_OUT, ACT, false}, {"dv", TR_OUT, ACT, false}, {"start", TR_IN, I32, true}}},
    [TR_OP_GELU] = {"gelu", "y = gelu(x), tanh form", 2, {{"x", TR_IN, ACT, false}, {"y", TR_OUT, ACT, false}}},
    [TR_OP_GELU_BWD] = {"gelu_bwd", "dx = dy gelu'(x)", 3,
        {{"x", TR_IN, ACT, false}, {"dy", TR_IN, ACT, false}, {"dx", TR_OUT, ACT, false}}},
    [TR_OP_SWIGLU] = {"swiglu", "y = silu(gate) up", 3,
        {{"gate", TR_IN, ACT, false}, {"up", TR_IN, ACT, false}, {"y", TR_OUT, ACT, false}}},
    [TR_OP_SWIGLU_BWD] = {"swiglu_bwd", "dgate = dy up silu'(gate), dup = dy silu(gate)", 5,
        {{"gate", TR_IN, ACT, false}, {"up", TR_IN, ACT, false}, {"dy", TR_IN, ACT, false},
         {"dgate", TR_OUT, ACT, false}, {"dup", TR_OUT, ACT, false}}},
    [TR_OP_HEAD] = {"head", "loss[t] = log sum exp(x w^T) - logit of the target; dx, dw of loss_scale * sum of losses",
        6,
        {{"x", TR_IN, ACT, false}, {"w", TR_IN, WEIGHT, false}, {"targets", TR_IN, I32, false},
         {"loss", TR_OUT, F32, false}, {"dx", TR_OUT, ACT, true}, {"dw", TR_ACC, F32, true}}},
    [TR_OP_LOSS] = {"loss", "loss[t] = log sum exp(logits[t]) - logit of the target", 3,
        {{"logits", TR_IN, F32, false}, {"targets", TR_IN, I32, false}, {"loss", TR_OUT, F32, false}}},
    [TR_OP_LAST] = {"last", "y[s] = x[last token of sequence s]", 2,
        {{"x", TR_IN, ACT, false}, {"y", TR_OUT, ACT, false}}},
    [TR_OP_KV_APPEND] = {"kv_append", "cache[s, g, position + t] = x[s, t, g]", 2,
        {{"x", TR_IN, ACT, false}, {"cache", TR_OUT, ACT, false}}},
    [TR_OP_SPLIT] = {"split", "dst = parts of src, tokens or heads, one after the other", 2,
        {{"src", TR_IN, ACT, false}, {"dst", TR_OUT, ACT, false}}},
    [TR_OP_TAKE] = {"take", "y = the tokens of x that are in the op's sequence parts", 2,
        {{"x", TR_IN, ACT, false}, {"y", TR_OUT, ACT, false}}},
    [TR_OP_ZERO] = {"zero", "dst = +0", 1, {{"dst", TR_OUT, F32, false}}},
    [TR_OP_FOLD] = {"fold", "leaf 0 = the tree over context parts of the trees over parts", 1,
        {{"leaves", TR_INOUT, F32, false}}},
    [TR_OP_JOIN] = {"join", "dst = dst + src", 2, {{"dst", TR_INOUT, F32, false}, {"src", TR_IN, F32, false}}},
    [TR_OP_LOSS_SUM] = {"loss_sum", "loss_sum += exact sum of loss", 1, {{"loss", TR_IN, F32, false}}},
    [TR_OP_GRAD_SQ] = {"grad_sq", "grad_sq += exact sum of grad^2", 1, {{"grad", TR_IN, F32, false}}},
    [TR_OP_CLIP] = {"clip", "factor = min(1, clip_norm / norm)", 0, {{0}}},
    [TR_OP_ADAMW] = {"adamw", "w, m, v from grad (Loshchilov and Hutter 2019); copy = w", 5,
        {{"w", TR_INOUT, F32, false}, {"grad", TR_IN, F32, false}, {"m", TR_INOUT, F32, false},
         {"v", TR_INOUT, F32, false}, {"copy", TR_OUT, WEIGHT, true}}},
    [TR_OP_MUON_MOMENT] = {"muon_moment", "m = momentum m + (1 - momentum) grad; y = its Nesterov step / norm", 3,
        {{"grad", TR_IN, F32, false}, {"m", TR_INOUT, F32, false}, {"y", TR_OUT, F32, false}}},
    [TR_OP_MIX] = {"mix", "dst = alpha dst (+ beta src)", 2,
        {{"dst", TR_INOUT, ACT, false}, {"src", TR_IN, ACT, true}}},
    [TR_OP_MUON] = {"muon", "w = w (1 - lr weight_decay) - lr alpha x; copy = w", 3,
        {{"w", TR_INOUT, F32, false}, {"x", TR_IN, F32, false}, {"copy", TR_OUT, WEIGHT, true}}},
    [TR_OP_CAST] = {"cast", "dst = src, rounded to the weights' type", 2,
        {{"src", TR_IN, F32, false}, {"dst", TR_OUT, WEIGHT, false}}},
    [TR_OP_PACK] = {"pack", "dst = the panels of src; error = sums of squares of what rounding changes, and of src", 3,
        {{"src", TR_IN, F32, false}, {"dst", TR_OUT, PANELS, false}, {"error", TR_OUT, F32, true}}},
};

#undef ACT
#undef WEIGHT
#undef F32
#undef I32
#undef PANELS

const struct tr_op_info *tr_op_operands(enum tr_op_kind kind)
{
    TR_ASSERT((int)kind >= 0 && kind < TR_OP_KIND_COUNT);
    return &op_info[kind];
}

static struct tr_shape shape1(int64_t a) { return (struct tr_shape){1, {a}}; }
static struct tr_shape shape2(int64_t a, int64_t b) { return (struct tr_shape){2, {a, b}}; }
static struct tr_shape shape3(int64_t a, int64_t b, int64_t c) { return (struct tr_shape){3, {a, b, c}}; }
static struct tr_shape no_shape(void) { return (struct tr_shape){0, {0}}; }

/* The partial sums of a range of parts: an extra leading axis, unless the range is whole and so a single node. */
static struct tr_shape with_roots(const struct tr_op *op, struct tr_shape shape)
{
    struct tr_range root[TR_TREE_ROOTS_MAX];
    int roots = tr_tree_roots(op->part.parts, op->part.first, op->part.last, root);
    return roots == 1 ? shape : shape3(roots, shape.dim[0], shape.dim[1]);
}

static struct tr_shape linear_shape(const struct tr_op *op, int i, int64_t tokens)
{
    if (i == TR_LINEAR_X)
        return shape2(tokens, op->in);
    if (i == TR_LINEAR_RESIDUAL)
        return shape2(tokens, op->out[0]);
    int segment = (i - TR_LINEAR_W) % TR_OP_SEGMENTS_MAX;
    if (segment >= op->segments)
        return no_shape();
    if (i < TR_LINEAR_B && op->kind == TR_OP_LINEAR_PACKED)
        return shape1(tr_panels_bytes(op->weight, op->out[segment], op->in));
    if (i < TR_LINEAR_B)
        return shape2(op->out[segment], op->in);
    if (i < TR_LINEAR_Y)
        return shape1(op->out[segment]);
    struct tr_shape y = shape2(tokens, op->out[segment]);
    return op->flags & TR_OP_ROW_PARALLEL ? with_roots(op, y) : y;
}

static struct tr_shape linear_dx_shape(const struct tr_op *op, int i, int64_t tokens)
{
    if (i == TR_LINEAR_DX_DX)
        return op->flags & TR_OP_ROW_PARALLEL ? shape2(tokens, op->in) : with_roots(op, shape2(tokens, op->in));
    int segment = i % TR_OP_SEGMENTS_MAX;
    if (segment >= op->segments)
        return no_shape();
    return i < TR_LINEAR_DX_W ? shape2(tokens, op->out[segment]) : shape2(op->out[segment], op->in);
}

static struct tr_shape linear_dw_shape(const struct tr_op *op, int i, int64_t tokens)
{
    if (i == TR_LINEAR_DW_X)
        return shape2(tokens, op->in);
    int segment = (i - TR_LINEAR_DW_DY) % TR_OP_SEGMENTS_MAX;
    if (segment >= op->segments)
        return no_shape();
    if (i < TR_LINEAR_DW_DW)
        return shape2(tokens, op->out[segment]);
    if (i < TR_LINEAR_DW_DB)
        return shape3(tr_op_leaves(op, i), op->out[segment], op->in);
    return shape2(tr_op_leaves(op, i), op->out[segment]);
}

static struct tr_shape norm_shape(const struct tr_op *op, int i, int64_t tokens)
{
    int64_t rows = tokens * op->heads;
    bool backward = op->kind == TR_OP_NORM_BWD;
    if (i == (backward ? TR_NORM_BWD_STATS : TR_NORM_STATS))
        return shape2(rows, 2);
    if (backward && (i == TR_NORM_BWD_DGAIN || i == TR_NORM_BWD_DBIAS))
        return shape2(tr_op_leaves(op, i), op->width);
    bool parameter = i == TR_NORM_GAIN || (!backward && i == TR_NORM_BIAS);
    return parameter ? shape1(op->width) : shape2(rows, op->width);
}

/* Where each token's document begins: there when documents stand apart. */
static struct tr_shape start_shape(const struct tr_op *op, int64_t tokens)
{
    return op->flags & TR_OP_APART ? shape1(tokens) : no_shape();
}

/* Keys or values of generation. */
static struct tr_shape cache_shape(const struct tr_op *op)
{
    return shape3(op->seqs * op->kv_heads, op->positions, op->head_dim);
}

static struct tr_shape attn_shape(const struct tr_op *op, int i, int64_t tokens)
{
    int64_t q_width = (int64_t)op->heads * op->head_dim;
    int64_t kv_width = (int64_t)op->kv_heads * op->head_dim;
    bool backward = op->kind == TR_OP_ATTN_BWD;
    if (i == (backward ? TR_ATTN_BWD_STATS : TR_ATTN_STATS))
        return shape3(tokens, op->heads, 2);
    bool is_kv = i == TR_ATTN_K || i == TR_ATTN_V || (backward && (i == TR_ATTN_BWD_DK || i == TR_ATTN_BWD_DV));
    if (is_kv && op->flags & TR_OP_BY_HEAD)
        return cache_shape(op);
    return is_kv ? shape2(op->seqs * op->positions, kv_width) : shape2(tokens, q_width);
}

static struct tr_shape embed_shape(const struct tr_op *op, int i, int64_t tokens)
{
    bool backward = op->kind == TR_OP_EMBED_BWD;
    if (i == TR_EMBED_TOKENS)
        return shape1(tokens);
    if (i == (backward ? TR_EMBED_BWD_DWTE : TR_EMBED_WTE))
        return backward ? shape3(tr_op_leaves(op, i), op->vocab, op->width) : shape2(op->vocab, op->width);
    if (i == (backward ? TR_EMBED_BWD_DWPE : TR_EMBED_WPE))
        return backward ? shape3(tr_op_leaves(op, i), op->positions, op->width) : shape2(op->positions, op->width);
    return shape2(tokens, op->width);
}

static struct tr_shape head_shape(const struct tr_op *op, int i, int64_t tokens)
{
    switch (i) {
    case TR_HEAD_X:
    case TR_HEAD_DX:
        return shape2(tokens, op->width);
    case TR_HEAD_W:
        return shape2(op->vocab, op->width);
    case TR_HEAD_DW:
        return shape3(tr_op_leaves(op, i), op->vocab, op->width);
    default:
        return shape1(tokens);
    }
}

/* Either the whole, or the parts of it. */
static struct tr_shape split_shape(const struct tr_op *op, int i, int64_t tokens)
{
    int64_t elements = 0;
    if ((i == TR_SPLIT_SRC) != ((op->flags & TR_OP_INVERSE) != 0))
        return shape2(tokens, (int64_t)op->heads * op->head_dim);
    for (int64_t p = op->part.first; p < op->part.last; p++) {
        struct tr_op_box box = tr_op_split_part(op, p);
        elements += op->seqs * (box.tokens.last - box.tokens.first) * (box.heads.last - box.heads.first) * op->head_dim;
    }
    return shape1(elements);
}

int tr_op_start_operand(enum tr_op_kind kind)
{
    switch (kind) {
    case TR_OP_EMBED:
        return TR_EMBED_START;
    case TR_OP_EMBED_BWD:
        return TR_EMBED_BWD_START;
    case TR_OP_ROPE:
        return TR_ROPE_START;
    case TR_OP_ATTN:
        return TR_ATTN_START;
    case TR_OP_ATTN_BWD:
        return TR_ATTN_BWD_START;
    default:
        return -1;
    }
}

/* Of a sequence. */
static int64_t taken_tokens(const struct tr_op *op)
{
    int64_t sum = 0;
    for (int64_t c = op->context.first; c < op->context.last; c++)
        sum += tr_op_taken(op, c).last - tr_op_taken(op, c).first;
    return sum;
}

struct tr_shape tr_op_operand_shape(const struct tr_op *op, int i)
{
    TR_ASSERT(i >= 0 && i < op_info[op->kind].operand_count);
    int64_t tokens = op->seqs * op->seq_len;
    if (i == tr_op_start_operand(op->kind))
        return start_shape(op, tokens);
    switch (op->kind) {
    case TR_OP_EMBED:
    case TR_OP_EMBED_BWD:
        return embed_shape(op, i, tokens);
    case TR_OP_NORM:
    case TR_OP_NORM_BWD:
        return norm_shape(op, i, tokens);
    case TR_OP_LINEAR:
    case TR_OP_LINEAR_PACKED:
        return linear_shape(op, i, tokens);
    case TR_OP_LINEAR_DX:
        return linear_dx_shape(op, i, tokens);
    case TR_OP_LINEAR_DW:
        return linear_dw_shape(op, i, tokens);
    case TR_OP_LINEAR_END:
        return i == TR_LINEAR_END_B ? shape1(op->width) : shape2(tokens, op->width);
    case TR_OP_ROPE:
        return i == TR_ROPE_X ? shape2(tokens, (int64_t)op->heads * op->head_dim)
                              : shape3(op->positions, op->head_dim / 2, 2);
    case TR_OP_ATTN:
    case TR_OP_ATTN_BWD:
        return attn_shape(op, i, tokens);
    case TR_OP_GELU:
    case TR_OP_GELU_BWD:
    case TR_OP_SWIGLU:
    case TR_OP_SWIGLU_BWD:
        return shape2(tokens, op->width);
    case TR_OP_HEAD:
        return head_shape(op, i, tokens);
    case TR_OP_LOSS:
        return i == TR_LOSS_LOGITS ? shape2(tokens, op->vocab) : shape1(tokens);
    case TR_OP_LAST:
        return shape2(i == TR_LAST_X ? tokens : op->seqs, op->width);
    case TR_OP_KV_APPEND:
        return i == TR_KV_APPEND_X ? shape2(tokens, (int64_t)op->kv_heads * op->head_dim) : cache_shape(op);
    case TR_OP_SPLIT:
        return split_shape(op, i, tokens);
    case TR_OP_TAKE:
        return shape2(i == TR_TAKE_X ? tokens : op->seqs * taken_tokens(op), op->width);
    case TR_OP_FOLD:
        return shape2((int64_t)tr_parts_owned(op->context) * op->part.parts, op->count);
    case TR_OP_LOSS_SUM:
        return shape1(tokens);
    case TR_OP_ZERO:
    case TR_OP_JOIN:
    case TR_OP_GRAD_SQ:
    case TR_OP_ADAMW:
    case TR_OP_MUON_MOMENT:
    case TR_OP_MIX:
    case TR_OP_MUON:
    case TR_OP_CAST:
        return shape1(op->count);
    case TR_OP_PACK:
        return i == TR_PACK_SRC   ? shape2(op->out[0], op->in)
               : i == TR_PACK_DST ? shape1(tr_panels_bytes(op->weight, op->out[0], op->in))
                                  : shape2(tr_panels(op->out[0]), 2);
    case TR_OP_CLIP:
    case TR_OP_KIND_COUNT:
        break;
    }
    return no_shape();
}

/* Partial sums of a sub-range of the parts stay in fp32; rounding is for the whole. */
static bool is_partial_sum(const struct tr_op *op, int i)
{
    bool row_parallel = (op->flags & TR_OP_ROW_PARALLEL) != 0;
    bool sums_parts = (op->kind == TR_OP_LINEAR && row_parallel && i >= TR_LINEAR_Y && i < TR_LINEAR_RESIDUAL) ||
                      (op->kind == TR_OP_LINEAR_DX && !row_parallel && i == TR_LINEAR_DX_DX);
    return sums_parts && tr_parts_owned(op->part) < op->part.parts;
}

enum tr_dtype tr_op_operand_dtype(const struct tr_op *op, int i)
{
    TR_ASSERT(i >= 0 && i < op_info[op->kind].operand_count);
    bool forward = op->kind == TR_OP_LINEAR || op->kind == TR_OP_LINEAR_PACKED;
    bool y = forward && i >= TR_LINEAR_Y && i < TR_LINEAR_RESIDUAL;
    if (is_partial_sum(op, i) || (y && op->flags & TR_OP_Y_F32))
        return TR_F32;
    switch (op_info[op->kind].operand[i].type) {
    case TR_TYPE_ACT:
        return op->act;
    case TR_TYPE_WEIGHT:
        return op->weight;
    case TR_TYPE_I32:
        return TR_I32;
    case TR_TYPE_PANELS:
        return TR_BYTE;
    case TR_TYPE_F32:
        break;
    }
    return TR_F32;
}

int64_t tr_shape_count(struct tr_shape shape)
{
    int64_t count = shape.rank > 0;
    for (int i = 0; i < shape.rank; i++)
        count *= shape.dim[i];
    return count;
}

int64_t tr_op_operand_bytes(const struct tr_op *op, int i)
{
    return tr_shape_count(tr_op_operand_shape(op, i)) * tr_dtype_bytes(tr_op_operand_dtype(op, i));
}

int64_t tr_op_leaves(const struct tr_op *op, int i)
{
    int64_t context = tr_parts_owned(op->context);
    switch (op->kind) {
    case TR_OP_NORM_BWD:
        return context * tr_parts_owned(op->part);
    case TR_OP_LINEAR_DW:
        if (i >= TR_LINEAR_DW_DB && (op->flags & TR_OP_ROW_PARALLEL))
            return context * tr_parts_owned(op->part);
        return context;
    case TR_OP_EMBED_BWD:
        return i == TR_EMBED_BWD_DWPE && !(op->flags & TR_OP_APART) ? 1 : context;
    default:
        return context;
    }
}

/* ---- where the cuts lie ------------------------------------------------------------------------------------------ */

/* Part p of an axis of `whole` elements (0: those that are here), of which the owned parts, n elements, are here; counted from
 * the first of these. */
static struct tr_range owned_part(struct tr_parts cut, int64_t n, int64_t whole, int64_t quantum, int64_t p)
{
    int64_t owned = tr_parts_owned(cut);
    TR_ASSERT(0 <= cut.first && cut.first <= p && p < cut.last && cut.last <= cut.parts);
    if (owned == 1)
        return (struct tr_range){0, n};
    TR_ASSERT(owned == cut.parts || whole > 0); /* parts may differ: which of these are the larger ones? */
    whole = owned == cut.parts ? n : whole;
    int64_t before = tr_cut(whole, quantum, cut.parts, cut.first);
    TR_ASSERT(tr_cut(whole, quantum, cut.parts, cut.last) - before == n);
    return (struct tr_range){tr_cut(whole, quantum, cut.parts, p) - before, tr_cut(whole, quantum, cut.parts, p + 1) - before};
}

/* Where in a context part of n tokens the sequence parts from number p on begin. */
static int64_t sequence_cut(const struct tr_op *op, int64_t n, int64_t p) { return tr_cut(n, 1, op->part.parts, p); }

struct tr_range tr_op_taken(const struct tr_op *op, int64_t c)
{
    const struct tr_parts context = op->context;
    TR_ASSERT(op->whole_seq_len > 0 && context.first <= c && c < context.last);
    int64_t begin = tr_cut(op->whole_seq_len, TR_CONTEXT_QUANTUM, context.parts, c);
    int64_t n = tr_cut(op->whole_seq_len, TR_CONTEXT_QUANTUM, context.parts, c + 1) - begin;
    begin -= tr_cut(op->whole_seq_len, TR_CONTEXT_QUANTUM, context.parts, context.first);
    return (struct tr_range){begin + sequence_cut(op, n, op->part.first), begin + sequence_cut(op, n, op->part.last)};
}

/* The tokens in sequence part p of context part c, for a rank that has a range of sequence parts of each of its context parts:
 * these ranges lie one after the other. */
static struct tr_range shared_tokens(const struct tr_op *op, int64_t c, int64_t p)
{
    if (tr_parts_owned(op->context) * tr_parts_owned(op->part) == 1)
        return (struct tr_range){0, op->seq_len};
    struct tr_op one = *op;
    one.part.first = (int32_t)p;
    one.part.last = (int32_t)p + 1;
    int64_t here = 0, first = 0;
    for (int64_t i = op->context.first; i < op->context.last; i++) {
        struct tr_range taken = tr_op_taken(op, i);
        if (i == c)
            first = here - taken.first;
        here += taken.last - taken.first;
    }
    TR_ASSERT(here == op->seq_len);
    return (struct tr_range){first + tr_op_taken(&one, c).first, first + tr_op_taken(&one, c).last};
}

struct tr_range tr_op_leaf_tokens(const struct tr_op *op, int operand, int64_t leaf)
{
    bool row_db = op->kind == TR_OP_LINEAR_DW && operand >= TR_LINEAR_DW_DB && (op->flags & TR_OP_ROW_PARALLEL);
    bool token_norm = op->kind == TR_OP_NORM_BWD && op->heads == 1;
    bool has_parts = row_db || op->kind == TR_OP_NORM_BWD;
    int64_t inner = has_parts ? tr_parts_owned(op->part) : 1;
    TR_ASSERT(leaf >= 0 && leaf < tr_op_leaves(op, operand));
    if (op->kind == TR_OP_EMBED_BWD && operand == TR_EMBED_BWD_DWPE && !(op->flags & TR_OP_APART))
        return (struct tr_range){0, op->seq_len};
    int64_t c = op->context.first + leaf / inner, p = op->part.first + leaf % inner;
    if (token_norm && tr_parts_owned(op->part) < op->part.parts)
        return shared_tokens(op, c, p);
    struct tr_range tokens = owned_part(op->context, op->seq_len, op->whole_seq_len, TR_CONTEXT_QUANTUM, c);
    if (!row_db && !token_norm)
        return tokens;
    int64_t n = tokens.last - tokens.first;
    return (struct tr_range){tokens.first + sequence_cut(op, n, p), tokens.first + sequence_cut(op, n, p + 1)};
}

struct tr_range tr_op_part(const struct tr_op *op, int segment, int64_t p)
{
    TR_ASSERT(segment >= 0 && segment < TR_OP_SEGMENTS_MAX);
    switch (op->kind) {
    case TR_OP_LINEAR:
    case TR_OP_LINEAR_PACKED:
    case TR_OP_LINEAR_DX:
    case TR_OP_LINEAR_DW:
        if (op->flags & TR_OP_ROW_PARALLEL)
            return owned_part(op->part, op->in, op->whole[0], op->quantum[0], p);
        return owned_part(op->part, op->out[segment], op->whole[segment], op->quantum[segment], p);
    case TR_OP_NORM_BWD:
        return owned_part(op->part, op->heads, op->whole[0], 1, p);
    case TR_OP_HEAD:
        return owned_part(op->part, op->vocab, op->whole[0], TR_VOCAB_QUANTUM, p);
    default:
        TR_ASSERT(op->kind == TR_OP_LINEAR); /* the other kinds cut no such axis */
        return (struct tr_range){0, 0};
    }
}

struct tr_range tr_op_keys(const struct tr_op *op, int64_t p)
{
    TR_ASSERT(tr_parts_owned(op->context) == op->context.parts);
    return owned_part(op->context, op->positions, 0, TR_CONTEXT_QUANTUM, p);
}

int64_t tr_op_first_token(const struct tr_op *op)
{
    TR_ASSERT(op->whole_seq_len > 0 || tr_parts_owned(op->context) == op->context.parts);
    return tr_cut(op->whole_seq_len, TR_CONTEXT_QUANTUM, op->context.parts, op->context.first);
}

struct tr_op_box tr_op_split_part(const struct tr_op *op, int64_t p)
{
    struct tr_op_box box = {{0, op->seq_len}, {0, op->heads}};
    int64_t members = op->part.parts, parts = op->context.parts;
    TR_ASSERT(op->part.first <= p && p < op->part.last);
    if (op->flags & TR_OP_BY_HEAD)
        box.heads = (struct tr_range){tr_cut(op->heads, 1, members, p), tr_cut(op->heads, 1, members, p + 1)};
    else
        box.tokens = (struct tr_range){tr_cut(op->seq_len, TR_CONTEXT_QUANTUM, parts, tr_cut(parts, 1, members, p)),
                                       tr_cut(op->seq_len, TR_CONTEXT_QUANTUM, parts, tr_cut(parts, 1, members, p + 1))};
    return box;
}

const char *tr_dtype_name(enum tr_dtype type)
{
    static const char *const name[TR_DTYPE_COUNT] = {[TR_F32] = "f32", [TR_BF16] = "bf16", [TR_I32] = "i32",
                                                     [TR_BYTE] = "byte", [TR_INT8] = "int8", [TR_INT4] = "int4"};
    TR_ASSERT((int)type >= 0 && type < TR_DTYPE_COUNT);
    return name[type];
}

/* ---- price ------------------------------------------------------------------------------------------------------ */

static int64_t linear_flop(const struct tr_op *op)
{
    int64_t out = 0;
    for (int i = 0; i < op->segments; i++)
        out += op->out[i];
    return 2 * op->seqs * op->seq_len * op->in * out;
}

/* Pairs (query, key) that causality, and `start` where there is one, allow. */
static int64_t attn_pairs(const struct tr_op *op, int64_t position, const int32_t *start)
{
    int64_t keys_of_all = op->seqs * (op->seq_len * position + op->seq_len * (op->seq_len + 1) / 2);
    for (int64_t t = 0; start != NULL && t < op->seqs * op->seq_len; t++)
        keys_of_all -= start[t];
    return op->heads * keys_of_all;
}

static int64_t op_flop(const struct tr_op *op, uint32_t present, int64_t position, const int32_t *start)
{
    switch (op->kind) {
    case TR_OP_LINEAR:
    case TR_OP_LINEAR_PACKED:
    case TR_OP_LINEAR_DX:
    case TR_OP_LINEAR_DW:
        return linear_flop(op);
    case TR_OP_ATTN: /* q k^T, p v */
        return 4 * op->head_dim * attn_pairs(op, position, start);
    case TR_OP_ATTN_BWD: /* q k^T again, do v^T, dq, dk, dv */
        return 10 * op->head_dim * attn_pairs(op, position, start);
    case TR_OP_HEAD:
        return 2 * op->seqs * op->seq_len * op->width * op->vocab *
               (1 + (int)(present >> TR_HEAD_DX & 1u) + (int)(present >> TR_HEAD_DW & 1u));
    default:
        return 0;
    }
}

/* How many sums FOLD makes, and of how many leaves in all; a single leaf is folded already. */
static int64_t folded_sums(const struct tr_op *op, int64_t *leaves)
{
    struct tr_range root[TR_TREE_ROOTS_MAX];
    int roots = tr_tree_roots(op->context.parts, op->context.first, op->context.last, root);
    int64_t sums = 0;
    *leaves = 0;
    for (int k = 0; k < roots; k++) {
        int64_t n = (root[k].last - root[k].first) * op->part.parts;
        sums += n > 1;
        *leaves += n > 1 ? n : 0;
    }
    return sums;
}

/* Elements of operand i that the operation needs, where that is less than the whole tensor. */
static int64_t touched_elements(const struct tr_op *op, int i, int64_t position)
{
    int64_t tokens = op->seqs * op->seq_len;
    int64_t whole = tr_shape_count(tr_op_operand_shape(op, i)), leaves;
    /* Rows by position are shared by the sequences; with documents apart they are looked up token by token. */
    int64_t position_rows = op->flags & TR_OP_APART ? tokens : op->seq_len;
    switch (op->kind) {
    case TR_OP_EMBED:
    case TR_OP_EMBED_BWD: /* the row of each token, the row of each position */
        if (i == (op->kind == TR_OP_EMBED ? TR_EMBED_WTE : TR_EMBED_BWD_DWTE))
            return tokens * op->width;
        if (i == (op->kind == TR_OP_EMBED ? TR_EMBED_WPE : TR_EMBED_BWD_DWPE))
            return position_rows * op->width;
        return whole;
    case TR_OP_ROPE:
        return i == TR_ROPE_TABLE ? position_rows * op->head_dim : whole;
    case TR_OP_ATTN:
        return i == TR_ATTN_K || i == TR_ATTN_V
                   ? op->seqs * (position + op->seq_len) * op->kv_heads * op->head_dim
                   : whole;
    case TR_OP_SPLIT: /* of the whole what the parts have */
        return tr_shape_count(split_shape(op, op->flags & TR_OP_INVERSE ? TR_SPLIT_SRC : TR_SPLIT_DST, tokens));
    case TR_OP_FOLD:
        (void)folded_sums(op, &leaves);
        return leaves * op->count;
    case TR_OP_LAST:
        return op->seqs * op->width;
    case TR_OP_TAKE:
        return op->seqs * taken_tokens(op) * op->width;
    case TR_OP_KV_APPEND:
        return tokens * op->kv_heads * op->head_dim;
    default:
        return whole;
    }
}

struct tr_work tr_op_work(const struct tr_op *op, uint32_t present, int64_t position)
{
    return tr_op_work_apart(op, present, position, NULL);
}

struct tr_work tr_op_work_apart(const struct tr_op *op, uint32_t present, int64_t position, const int32_t *start)
{
    const struct tr_op_info *info = tr_op_operands(op->kind);
    TR_ASSERT(start == NULL || op->flags & TR_OP_APART);
    struct tr_work work = {.flop = op_flop(op, present, position, start)};
    int64_t leaves;
    for (int i = 0; i < info->operand_count; i++) {
        if (!(present >> i & 1u))
            continue;
        int64_t bytes = touched_elements(op, i, position) * tr_dtype_bytes(tr_op_operand_dtype(op, i));
        enum tr_direction direction = info->operand[i].direction;
        bool fresh_dx = op->kind == TR_OP_NORM_BWD && i == TR_NORM_BWD_DX && !(op->flags & TR_OP_ADD_DX);
        if (direction != TR_OUT && !fresh_dx)
            work.read_bytes += bytes;
        if (direction != TR_IN)
            work.write_bytes += op->kind == TR_OP_FOLD ? folded_sums(op, &leaves) * op->count * tr_dtype_bytes(TR_F32) : bytes;
    }
    return work;
}
