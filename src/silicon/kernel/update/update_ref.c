/* The meaning of ZERO, FOLD, JOIN, LOSS_SUM, GRAD_SQ, CLIP, ADAMW, MUON_MOMENT, MIX, MUON and CAST. */
#include "silicon/kernel/ref.h"
#include "silicon/kernel/update/update.h"
#include "silicon/op/exact.h"

static const int64_t float_bytes = (int64_t)sizeof(float);

void tr_zero_ref(const struct tr_call *call)
{
    struct tr_tally tally = {0};
    for (int64_t i = 0; i < call->op->count; i++) {
        ((float *)call->operand[TR_ZERO_DST])[i] = 0.0f;
        tally.write_bytes += float_bytes;
    }
    tr_tally_add(call, &tally);
}

/* Element i of the leaves: the tree over context parts of the trees over parts. */
struct fold {
    const struct tr_call *call;
    int64_t element, context;
    struct tr_tally tally;
};

static float fold_leaf(void *context, int64_t part)
{
    struct fold *fold = context;
    const struct tr_op *op = fold->call->op;
    int64_t leaf = (fold->context - op->context.first) * op->part.parts + part;
    fold->tally.read_bytes += float_bytes;
    return ((const float *)fold->call->operand[TR_FOLD_LEAVES])[leaf * op->count + fold->element];
}

static float fold_context(void *context, int64_t context_part)
{
    struct fold *fold = context;
    fold->context = context_part;
    return tr_tree_of(fold_leaf, fold, 0, fold->call->op->part.parts);
}

/* One subtree of context parts. */
static void fold_root(const struct tr_call *call, struct tr_range root)
{
    const struct tr_op *op = call->op;
    struct fold fold = {.call = call};
    float *first = (float *)call->operand[TR_FOLD_LEAVES] + (root.first - op->context.first) * op->part.parts * op->count;
    if ((root.last - root.first) * op->part.parts == 1)
        return;
    for (fold.element = 0; fold.element < op->count; fold.element++) {
        first[fold.element] = tr_tree_of(fold_context, &fold, root.first, root.last);
        fold.tally.write_bytes += float_bytes;
    }
    tr_tally_add(call, &fold.tally);
}

void tr_fold_ref(const struct tr_call *call)
{
    struct tr_range root[TR_TREE_ROOTS_MAX];
    const struct tr_parts context = call->op->context;
    int roots = tr_tree_roots(context.parts, context.first, context.last, root);
    for (int k = 0; k < roots; k++)
        fold_root(call, root[k]);
}

void tr_join_ref(const struct tr_call *call)
{
    float *dst = call->operand[TR_JOIN_DST];
    const float *src = call->operand[TR_JOIN_SRC];
    struct tr_tally tally = {0};
    for (int64_t i = 0; i < call->op->count; i++) {
        dst[i] = dst[i] + src[i];
        tally.read_bytes += 2 * float_bytes;
        tally.write_bytes += float_bytes;
    }
    tr_tally_add(call, &tally);
}

static void add_exact(const struct tr_call *call, struct tr_exact *sum, const float *x, int64_t n)
{
    tr_exact_add(sum, x, n);
    tr_count_add(call->count, 0, n * float_bytes, 0);
}

void tr_loss_sum_ref(const struct tr_call *call)
{
    TR_ASSERT(call->values->loss_sum->kind == TR_EXACT_VALUES);
    add_exact(call, call->values->loss_sum, call->operand[TR_LOSS_SUM_LOSS], call->op->seqs * call->op->seq_len);
}

void tr_grad_sq_ref(const struct tr_call *call)
{
    TR_ASSERT(call->values->grad_sq->kind == TR_EXACT_SQUARES);
    add_exact(call, call->values->grad_sq, call->operand[TR_GRAD_SQ_GRAD], call->op->count);
}

void tr_clip_ref(const struct tr_call *call)
{
    struct tr_step_values *values = call->values;
    double norm = sqrt(tr_exact_value(values->grad_sq));
    double limit = (double)values->clip_norm;
    values->grad_norm = norm;
    values->clip_factor = limit == 0.0 || norm <= limit ? 1.0f : (float)(limit / norm);
}

/* Element i of the copy of a weight; NULL: there is none. */
static void store_copy(const struct tr_call *call, void *copy, int64_t i, float w, struct tr_tally *tally)
{
    if (copy == NULL)
        return;
    tr_store(copy, call->op->weight, i, w);
    tally->write_bytes += tr_dtype_bytes(call->op->weight);
}

void tr_adamw_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    const struct tr_step_values *v = call->values;
    float *weight = call->operand[TR_ADAMW_W], *moment1 = call->operand[TR_ADAMW_M];
    float *moment2 = call->operand[TR_ADAMW_V];
    const float *grad = call->operand[TR_ADAMW_GRAD];
    float rest1 = 1.0f - v->beta1, rest2 = 1.0f - v->beta2;
    float keep = 1.0f - v->lr * v->weight_decay;
    struct tr_tally tally = {0};
    for (int64_t i = 0; i < op->count; i++) {
        float g = grad[i] * v->clip_factor;
        float m = fmaf(v->beta1, moment1[i], rest1 * g);
        float s = fmaf(v->beta2, moment2[i], rest2 * (g * g));
        float u = (m * v->bias1) / (sqrtf(s * v->bias2) + v->eps);
        weight[i] = fmaf(-v->lr, u, op->flags & TR_OP_DECAY ? weight[i] * keep : weight[i]);
        moment1[i] = m;
        moment2[i] = s;
        store_copy(call, call->operand[TR_ADAMW_COPY], i, weight[i], &tally);
        tally.read_bytes += 4 * float_bytes;
        tally.write_bytes += 3 * float_bytes;
    }
    tr_tally_add(call, &tally);
}

static void muon_direction(const struct tr_call *call, float *y, struct tr_exact *squares)
{
    const struct tr_step_values *v = call->values;
    const float *grad = call->operand[TR_MUON_MOMENT_GRAD];
    float *moment = call->operand[TR_MUON_MOMENT_M];
    float rest = 1.0f - v->momentum;
    struct tr_tally tally = {0};
    for (int64_t i = 0; i < call->op->count; i++) {
        float g = grad[i] * v->clip_factor;
        moment[i] = fmaf(v->momentum, moment[i], rest * g);
        y[i] = fmaf(v->momentum, moment[i], rest * g);
        tr_exact_add(squares, &y[i], 1);
        tally.read_bytes += 2 * float_bytes;
        tally.write_bytes += float_bytes;
    }
    tr_tally_add(call, &tally);
}

void tr_muon_moment_ref(const struct tr_call *call)
{
    float *y = call->operand[TR_MUON_MOMENT_Y];
    struct tr_exact squares;
    struct tr_tally tally = {0};
    tr_exact_clear(&squares, TR_EXACT_SQUARES);
    muon_direction(call, y, &squares);
    double norm = sqrt(tr_exact_value(&squares));
    float scale = (float)(1.0 / (norm > TR_MUON_NORM_MIN ? norm : TR_MUON_NORM_MIN));
    for (int64_t i = 0; i < call->op->count; i++) {
        y[i] = y[i] * scale;
        tally.write_bytes += float_bytes;
    }
    tr_tally_add(call, &tally);
}

void tr_mix_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    void *dst = call->operand[TR_MIX_DST];
    const void *src = call->operand[TR_MIX_SRC];
    struct tr_tally tally = {0};
    for (int64_t i = 0; i < op->count; i++) {
        float x = tr_load(dst, op->act, i);
        float mixed = src == NULL ? op->alpha * x : fmaf(op->alpha, x, op->beta * tr_load(src, op->act, i));
        tr_store(dst, op->act, i, mixed);
        tally.read_bytes += (src == NULL ? 1 : 2) * tr_dtype_bytes(op->act);
        tally.write_bytes += tr_dtype_bytes(op->act);
    }
    tr_tally_add(call, &tally);
}

void tr_muon_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    const struct tr_step_values *v = call->values;
    float *weight = call->operand[TR_MUON_W];
    const float *x = call->operand[TR_MUON_X];
    float keep = 1.0f - v->lr * v->weight_decay, rate = v->lr * op->alpha;
    struct tr_tally tally = {0};
    for (int64_t i = 0; i < op->count; i++) {
        weight[i] = fmaf(-rate, x[i], op->flags & TR_OP_DECAY ? weight[i] * keep : weight[i]);
        store_copy(call, call->operand[TR_MUON_COPY], i, weight[i], &tally);
        tally.read_bytes += 2 * float_bytes;
        tally.write_bytes += float_bytes;
    }
    tr_tally_add(call, &tally);
}

void tr_cast_ref(const struct tr_call *call)
{
    struct tr_tally tally = {0};
    for (int64_t i = 0; i < call->op->count; i++) {
        store_copy(call, call->operand[TR_CAST_DST], i, ((const float *)call->operand[TR_CAST_SRC])[i], &tally);
        tally.read_bytes += float_bytes;
    }
    tr_tally_add(call, &tally);
}
