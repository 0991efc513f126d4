/* The meaning of NORM and NORM_BWD. */
#include "silicon/kernel/norm/norm.h"
#include "silicon/kernel/ref.h"

/* ---- forward ---------------------------------------------------------------------------------------------------- */

static float row_mean(const struct tr_op *op, const void *x, int64_t row)
{
    float partial[TR_FOLD] = {0};
    for (int64_t c = 0; c < op->width; c++)
        partial[c % TR_FOLD] += tr_load(x, op->act, row * op->width + c);
    return tr_fold16(partial) / (float)op->width;
}

static float row_rstd(const struct tr_op *op, const void *x, int64_t row, float mean)
{
    float partial[TR_FOLD] = {0};
    for (int64_t c = 0; c < op->width; c++) {
        float value = tr_load(x, op->act, row * op->width + c);
        float d = op->flags & TR_OP_RMS ? value : value - mean;
        partial[c % TR_FOLD] = fmaf(d, d, partial[c % TR_FOLD]);
    }
    float mean_square = tr_fold16(partial) / (float)op->width;
    return 1.0f / sqrtf(mean_square + op->eps);
}

static float normalized(const struct tr_op *op, float x, const float stats[2])
{
    return op->flags & TR_OP_RMS ? x * stats[1] : (x - stats[0]) * stats[1];
}

static void norm_row(const struct tr_call *call, int64_t row)
{
    const struct tr_op *op = call->op;
    const void *x = call->operand[TR_NORM_X], *bias = call->operand[TR_NORM_BIAS];
    float *stats = (float *)call->operand[TR_NORM_STATS] + row * 2;
    struct tr_tally tally = {.write_bytes = 2 * (int64_t)sizeof *stats};
    stats[0] = op->flags & TR_OP_RMS ? 0.0f : row_mean(op, x, row);
    stats[1] = row_rstd(op, x, row, stats[0]);
    for (int64_t c = 0; c < op->width; c++) {
        float xhat = normalized(op, tr_load(x, op->act, row * op->width + c), stats);
        float gain = tr_load(call->operand[TR_NORM_GAIN], op->weight, c);
        float y = bias != NULL ? fmaf(xhat, gain, tr_load(bias, op->weight, c)) : xhat * gain;
        tr_store(call->operand[TR_NORM_Y], op->act, row * op->width + c, y);
        tally.read_bytes += tr_dtype_bytes(op->act);
        tally.write_bytes += tr_dtype_bytes(op->act);
        if (row == 0)
            tally.read_bytes += (bias != NULL ? 2 : 1) * tr_dtype_bytes(op->weight);
    }
    tr_tally_add(call, &tally);
}

void tr_norm_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
#pragma omp parallel for num_threads(call->threads)
    for (int64_t row = 0; row < op->seqs * op->seq_len * op->heads; row++)
        norm_row(call, row);
}

/* ---- backward --------------------------------------------------------------------------------------------------- */

/* dy and xhat of one element. */
struct element {
    float dy, xhat;
};

static struct element element_at(const struct tr_call *call, int64_t row, int64_t c)
{
    const struct tr_op *op = call->op;
    const float *stats = (const float *)call->operand[TR_NORM_BWD_STATS] + row * 2;
    float x = tr_load(call->operand[TR_NORM_BWD_X], op->act, row * op->width + c);
    return (struct element){.dy = tr_load(call->operand[TR_NORM_BWD_DY], op->act, row * op->width + c),
                            .xhat = normalized(op, x, stats)};
}

static void dx_row(const struct tr_call *call, int64_t row)
{
    const struct tr_op *op = call->op;
    const void *gain = call->operand[TR_NORM_BWD_GAIN];
    void *dx = call->operand[TR_NORM_BWD_DX];
    const float *stats = (const float *)call->operand[TR_NORM_BWD_STATS] + row * 2;
    struct tr_tally tally = {.read_bytes = 2 * (int64_t)sizeof *stats};
    float partial_g[TR_FOLD] = {0}, partial_gx[TR_FOLD] = {0};
    for (int64_t c = 0; c < op->width; c++) {
        struct element e = element_at(call, row, c);
        float g = e.dy * tr_load(gain, op->weight, c);
        partial_g[c % TR_FOLD] += g;
        partial_gx[c % TR_FOLD] = fmaf(g, e.xhat, partial_gx[c % TR_FOLD]);
        tally.read_bytes += 2 * tr_dtype_bytes(op->act) + (row == 0 ? tr_dtype_bytes(op->weight) : 0);
    }
    float a = tr_fold16(partial_g) / (float)op->width;
    float b = tr_fold16(partial_gx) / (float)op->width;
    for (int64_t c = 0; c < op->width; c++) {
        int64_t i = row * op->width + c;
        struct element e = element_at(call, row, c);
        float g = e.dy * tr_load(gain, op->weight, c);
        float d = stats[1] * fmaf(-e.xhat, b, op->flags & TR_OP_RMS ? g : g - a);
        tally.write_bytes += tr_dtype_bytes(op->act);
        tally.read_bytes += op->flags & TR_OP_ADD_DX ? tr_dtype_bytes(op->act) : 0;
        tr_store(dx, op->act, i, op->flags & TR_OP_ADD_DX ? tr_load(dx, op->act, i) + d : d);
    }
    tr_tally_add(call, &tally);
}

/* The sums of one channel over one block of tokens, and within each token over the heads of the part. */
struct sums {
    float dgain, dbias;
};

static struct sums block_sums(const struct tr_call *call, struct tr_range tokens, struct tr_range heads, int64_t c)
{
    struct sums sums = {0.0f, 0.0f};
    for (int64_t t = tokens.first; t < tokens.last; t++) {
        for (int64_t h = heads.first; h < heads.last; h++) {
            struct element e = element_at(call, t * call->op->heads + h, c);
            sums.dgain = fmaf(e.dy, e.xhat, sums.dgain);
            sums.dbias = sums.dbias + e.dy;
        }
    }
    return sums;
}

static struct tr_range heads_of_leaf(const struct tr_op *op, int64_t leaf)
{
    if (op->heads == 1)
        return (struct tr_range){0, 1};
    return tr_op_part(op, 0, op->part.first + leaf % tr_parts_owned(op->part));
}

static void parameter_grad(const struct tr_call *call, int64_t leaf, int64_t c)
{
    const struct tr_op *op = call->op;
    float *dgain = (float *)call->operand[TR_NORM_BWD_DGAIN] + leaf * op->width + c;
    float *dbias = call->operand[TR_NORM_BWD_DBIAS];
    dbias = dbias == NULL ? NULL : dbias + leaf * op->width + c;
    struct tr_range tokens = tr_op_leaf_tokens(op, TR_NORM_BWD_DGAIN, leaf);
    struct tr_range heads = heads_of_leaf(op, leaf);
    for (int64_t s = 0; s < op->seqs; s++) {
        for (int64_t t = tokens.first; t < tokens.last; t += TR_TOKEN_BLOCK) {
            int64_t last = t + TR_TOKEN_BLOCK < tokens.last ? t + TR_TOKEN_BLOCK : tokens.last;
            struct tr_range block = {s * op->seq_len + t, s * op->seq_len + last};
            struct sums sums = block_sums(call, block, heads, c);
            *dgain = *dgain + sums.dgain;
            if (dbias != NULL)
                *dbias = *dbias + sums.dbias;
        }
    }
    int64_t bytes = (int64_t)sizeof(float) * (dbias != NULL ? 2 : 1);
    tr_count_add(call->count, 0, bytes, bytes);
}

void tr_norm_bwd_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    bool trained = call->operand[TR_NORM_BWD_DGAIN] != NULL;
    TR_ASSERT(trained || call->operand[TR_NORM_BWD_DBIAS] == NULL);
#pragma omp parallel for num_threads(call->threads)
    for (int64_t c = 0; c < (trained ? op->width : 0); c++)
        for (int64_t leaf = 0; leaf < tr_op_leaves(op, TR_NORM_BWD_DGAIN); leaf++)
            parameter_grad(call, leaf, c);
#pragma omp parallel for num_threads(call->threads)
    for (int64_t row = 0; row < op->seqs * op->seq_len * op->heads; row++)
        dx_row(call, row);
}
