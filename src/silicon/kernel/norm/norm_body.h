/* NORM and NORM_BWD in vector words.
 *
 * A row is summed in 16 strided partial sums (FOLD16), which are the lanes of TR_VFOLD vectors. The lanes that a row's
 * end leaves over keep their sum by a select: + 0 would turn -0 into +0.
 *
 * The gains' gradients: a block of tokens (reduce.h) is the unit of work of a thread. It makes dx of its rows and, in
 * the same pass over x and dy, the chains of dgain and dbias of the block, in the workspace; afterwards the blocks are
 * added to the accumulators in their order, threads over columns.
 */
#ifndef TR_SILICON_KERNEL_NORM_BODY_H
#define TR_SILICON_KERNEL_NORM_BODY_H

#include "base/num.h"
#include "silicon/kernel/norm/norm.h"
#include "silicon/kernel/simd.h"

#include <omp.h>

/* `sum` where there is an element, `before` in the lanes behind the row's end. */
static inline tr_v row_keep(tr_v sum, tr_v before, int64_t n)
{
    return n >= TR_VLEN ? sum : v_select(v_first(n), sum, before);
}

struct norm_row {
    float mean, rstd;
};

TR_V_INLINE float row_sum(const void *x, int64_t first, int64_t width, const enum tr_dtype type)
{
    tr_v sum[TR_VFOLD];
    for (int i = 0; i < TR_VFOLD; i++)
        sum[i] = v_zero();
    for (int64_t at = 0; at < width; at += TR_FOLD)
        for (int i = 0; i < TR_VFOLD && at + i * TR_VLEN < width; i++) /* +0 in the lanes left over: no sum is -0 */
            sum[i] = v_add(sum[i], v_loadn_at(x, type, first + at + i * TR_VLEN, width - at - i * TR_VLEN));
    return v_fold16(sum);
}

/* fold16 of (x - mean)^2 */
TR_V_INLINE float row_square_sum(const void *x, int64_t first, float mean, int64_t width, const enum tr_dtype type)
{
    tr_v sum[TR_VFOLD];
    const tr_v center = v_set1(mean);
    for (int i = 0; i < TR_VFOLD; i++)
        sum[i] = v_zero();
    for (int64_t at = 0; at < width; at += TR_FOLD) {
        for (int i = 0; i < TR_VFOLD && at + i * TR_VLEN < width; i++) {
            int64_t n = width - at - i * TR_VLEN;
            tr_v d = v_sub(v_loadn_at(x, type, first + at + i * TR_VLEN, n), center);
            sum[i] = row_keep(v_fma(d, d, sum[i]), sum[i], n);
        }
    }
    return v_fold16(sum);
}

/* Of the row that begins at element `first` of x. */
TR_V_INLINE struct norm_row norm_row_of(const void *x, int64_t first, int64_t width, bool rms, float eps,
                                        const enum tr_dtype type)
{
    struct norm_row row = {.mean = rms ? 0.0f : row_sum(x, first, width, type) / (float)width};
    /* RMS: x - 0 is x, but for the sign of a zero, whose square it is */
    row.rstd = 1.0f / sqrtf(row_square_sum(x, first, row.mean, width, type) / (float)width + eps);
    return row;
}

static inline tr_v norm_xhat(tr_v x, bool rms, tr_v mean, tr_v rstd)
{
    return v_mul(rms ? x : v_sub(x, mean), rstd);
}

TR_V_INLINE void norm_row(const struct tr_call *call, int64_t r, const enum tr_dtype type)
{
    const void *x = call->operand[TR_NORM_X], *gain = call->operand[TR_NORM_GAIN];
    const void *bias = call->operand[TR_NORM_BIAS];
    float *stats = call->operand[TR_NORM_STATS];
    const int64_t width = call->op->width, first = r * width;
    const bool rms = (call->op->flags & TR_OP_RMS) != 0;
    const struct norm_row row = norm_row_of(x, first, width, rms, call->op->eps, type);
    stats[2 * r] = row.mean;
    stats[2 * r + 1] = row.rstd;
    const tr_v mean = v_set1(row.mean), rstd = v_set1(row.rstd);
    for (int64_t at = 0; at < width; at += TR_VLEN) {
        int64_t n = width - at;
        tr_v xhat = norm_xhat(v_loadn_at(x, type, first + at, n), rms, mean, rstd);
        tr_v factor = v_loadn_at(gain, type, at, n);
        tr_v y = bias ? v_fma(xhat, factor, v_loadn_at(bias, type, at, n)) : v_mul(xhat, factor);
        v_storen_at(call->operand[TR_NORM_Y], type, first + at, y, n);
    }
}

static void norm_rows(const struct tr_call *call, int64_t first, int64_t last)
{
    const struct tr_op *op = call->op;
    const int64_t bytes = tr_dtype_bytes(op->act), done = last - first;
    for (int64_t r = first; r < last; r++) {
        if (op->act == TR_BF16)
            norm_row(call, r, TR_BF16);
        else
            norm_row(call, r, TR_F32);
    }
    tr_count_add(call->count, 0, bytes * done * op->width, done * (bytes * op->width + 8));
}

void TR_SIMD_NAME(tr_norm)(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    const int64_t rows = op->seqs * op->seq_len * op->heads, bytes = tr_dtype_bytes(op->act);
    TR_ASSERT(op->act == op->weight);
    tr_count_add(call->count, 0, bytes * op->width * (call->operand[TR_NORM_BIAS] ? 2 : 1), 0);
    if (rows == 1) /* done before other threads have been called */
        return norm_rows(call, 0, 1);
#pragma omp parallel num_threads(call->threads)
    {
        const int64_t team = omp_get_num_threads(), thread = omp_get_thread_num();
        norm_rows(call, rows * thread / team, rows * (thread + 1) / team);
    }
}

/* ---- backward --------------------------------------------------------------------------------------------------- */

struct norm_bwd {
    const struct tr_op *op;
    const void *x, *gain, *dy; /* of op->act */
    const float *stats;
    void *dx;
    float *dgain, *dbias;
    float *blocks;         /* [block][inner][2][width]: the chains of dgain and dbias of every block */
    int64_t width, padded; /* a row of `blocks` */
    int64_t inner;         /* leaves that share the tokens of a block: parts of the heads; 1 for an ordinary norm */
    int64_t token_leaves;  /* groups of tokens: leaves / inner */
    bool rms, add;
};

static struct norm_bwd norm_bwd_of(const struct tr_op *op)
{
    struct norm_bwd n = {.op = op, .width = op->width, .padded = tr_round_up(op->width, 16)};
    n.inner = op->heads > 1 ? tr_parts_owned(op->part) : 1;
    n.token_leaves = tr_op_leaves(op, TR_NORM_BWD_DGAIN) / n.inner;
    n.rms = (op->flags & TR_OP_RMS) != 0;
    n.add = (op->flags & TR_OP_ADD_DX) != 0;
    return n;
}

/* The tokens of each sequence that leaf group `leaf` sums, and the blocks they make. */
static struct tr_range norm_bwd_tokens(const struct norm_bwd *n, int64_t leaf)
{
    return tr_op_leaf_tokens(n->op, TR_NORM_BWD_DGAIN, leaf * n->inner);
}

static int64_t norm_bwd_blocks(struct tr_range tokens)
{
    return tr_ceil_div(tokens.last - tokens.first, TR_TOKEN_BLOCK);
}

static int64_t norm_bwd_block_count(const struct norm_bwd *n)
{
    int64_t blocks = 0;
    for (int64_t leaf = 0; leaf < n->token_leaves; leaf++)
        blocks += norm_bwd_blocks(norm_bwd_tokens(n, leaf));
    return blocks * n->op->seqs;
}

static int64_t norm_bwd_block_floats(const struct norm_bwd *n) { return n->inner * 2 * n->padded; }

int64_t TR_SIMD_NAME(tr_norm_bwd_workspace)(const struct tr_op *op, int threads)
{
    (void)threads;
    const struct norm_bwd n = norm_bwd_of(op);
    return norm_bwd_block_count(&n) * norm_bwd_block_floats(&n) * (int64_t)sizeof(float);
}

/* dx of one row, and its terms in the chains of dgain and dbias. */
TR_V_INLINE void norm_bwd_row_of(const struct norm_bwd *n, int64_t r, float *dgain, float *dbias,
                                 const enum tr_dtype type)
{
    const int64_t row = r * n->width;
    const tr_v mean = v_set1(n->stats[2 * r]), rstd = v_set1(n->stats[2 * r + 1]);
    tr_v sum[TR_VFOLD], dot[TR_VFOLD];
    for (int i = 0; i < TR_VFOLD; i++)
        sum[i] = dot[i] = v_zero();
    for (int64_t block = 0; block < n->width; block += TR_FOLD) {
        for (int i = 0; i < TR_VFOLD && block + i * TR_VLEN < n->width; i++) {
            int64_t at = block + i * TR_VLEN, rest = n->width - at;
            tr_v grad = v_loadn_at(n->dy, type, row + at, rest);
            tr_v xhat = norm_xhat(v_loadn_at(n->x, type, row + at, rest), n->rms, mean, rstd);
            tr_v g = v_mul(grad, v_loadn_at(n->gain, type, at, rest));
            sum[i] = row_keep(v_add(sum[i], g), sum[i], rest);
            dot[i] = row_keep(v_fma(g, xhat, dot[i]), dot[i], rest);
            if (n->dgain != NULL)
                v_store(dgain + at, v_fma(grad, xhat, v_load(dgain + at)));
            if (n->dbias != NULL)
                v_store(dbias + at, v_add(v_load(dbias + at), grad));
        }
    }
    const tr_v a = v_set1(v_fold16(sum) / (float)n->width), b = v_set1(v_fold16(dot) / (float)n->width);
    for (int64_t at = 0; at < n->width; at += TR_VLEN) {
        int64_t rest = n->width - at;
        tr_v xhat = norm_xhat(v_loadn_at(n->x, type, row + at, rest), n->rms, mean, rstd);
        tr_v g = v_mul(v_loadn_at(n->dy, type, row + at, rest), v_loadn_at(n->gain, type, at, rest));
        tr_v d = v_mul(rstd, v_fma(v_neg(xhat), b, n->rms ? g : v_sub(g, a)));
        if (n->add)
            d = v_add(v_loadn_at(n->dx, type, row + at, rest), d);
        v_storen_at(n->dx, type, row + at, d, rest);
    }
}

static void norm_bwd_row(const struct norm_bwd *n, int64_t r, float *dgain, float *dbias)
{
    if (n->op->act == TR_BF16)
        norm_bwd_row_of(n, r, dgain, dbias, TR_BF16);
    else
        norm_bwd_row_of(n, r, dgain, dbias, TR_F32);
}

/* One block of tokens: [first, last) of the rows' tokens. Returns the rows done. */
static int64_t norm_bwd_block(const struct norm_bwd *n, struct tr_range tokens, float *sums)
{
    memset(sums, 0, (size_t)norm_bwd_block_floats(n) * sizeof(float));
    for (int64_t t = tokens.first; t < tokens.last; t++) {
        if (n->op->heads == 1) {
            norm_bwd_row(n, t, sums, sums + n->padded);
            continue;
        }
        for (int64_t p = 0; p < n->inner; p++) {
            struct tr_range heads = tr_op_part(n->op, 0, n->op->part.first + p);
            float *mine = sums + p * 2 * n->padded;
            for (int64_t h = heads.first; h < heads.last; h++)
                norm_bwd_row(n, t * n->op->heads + h, mine, mine + n->padded);
        }
    }
    return (tokens.last - tokens.first) * n->op->heads;
}

/* The rows of block number `index`, in the order leaf group, sequence, block. */
static struct tr_range norm_bwd_block_tokens(const struct norm_bwd *n, int64_t index)
{
    for (int64_t leaf = 0; leaf < n->token_leaves; leaf++) {
        struct tr_range tokens = norm_bwd_tokens(n, leaf);
        int64_t blocks = norm_bwd_blocks(tokens);
        if (index >= blocks * n->op->seqs) {
            index -= blocks * n->op->seqs;
            continue;
        }
        int64_t offset = index / blocks * n->op->seq_len;
        int64_t first = tokens.first + index % blocks * TR_TOKEN_BLOCK;
        return (struct tr_range){offset + first, offset + tr_min_i64(first + TR_TOKEN_BLOCK, tokens.last)};
    }
    TR_ASSERT(index < 0); /* there is no such block */
    return (struct tr_range){0, 0};
}

/* acc = acc + block, blocks ascending, for 16 columns from `at`. */
static void norm_bwd_add_blocks(const struct norm_bwd *n, int64_t at)
{
    const float *block = n->blocks;
    int64_t width = tr_min_i64(16, n->width - at);
    for (int64_t leaf = 0; leaf < n->token_leaves; leaf++) {
        int64_t blocks = norm_bwd_blocks(norm_bwd_tokens(n, leaf)) * n->op->seqs;
        for (int64_t b = 0; b < blocks; b++) {
            for (int64_t p = 0; p < n->inner; p++, block += 2 * n->padded) {
                int64_t acc = (leaf * n->inner + p) * n->width + at;
                for (int64_t c = 0; c < width; c++) {
                    n->dgain[acc + c] += block[at + c];
                    if (n->dbias != NULL)
                        n->dbias[acc + c] += block[n->padded + at + c];
                }
            }
        }
    }
}

void TR_SIMD_NAME(tr_norm_bwd)(const struct tr_call *call)
{
    struct norm_bwd n = norm_bwd_of(call->op);
    void *const *operand = call->operand;
    const int64_t bytes = tr_dtype_bytes(n.op->act);
    TR_ASSERT(n.op->act == n.op->weight);
    n.x = operand[TR_NORM_BWD_X];
    n.gain = operand[TR_NORM_BWD_GAIN];
    n.stats = operand[TR_NORM_BWD_STATS];
    n.dy = operand[TR_NORM_BWD_DY];
    n.dx = operand[TR_NORM_BWD_DX];
    n.dgain = operand[TR_NORM_BWD_DGAIN];
    n.dbias = operand[TR_NORM_BWD_DBIAS];
    n.blocks = call->workspace;
    TR_ASSERT(n.dgain != NULL || n.dbias == NULL);
    int64_t blocks = norm_bwd_block_count(&n);
#pragma omp parallel num_threads(call->threads)
    {
        int64_t rows = 0;
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < blocks; i++)
            rows += norm_bwd_block(&n, norm_bwd_block_tokens(&n, i), n.blocks + i * norm_bwd_block_floats(&n));
        tr_count_add(call->count, 0, rows * (bytes * n.width * (n.add ? 3 : 2) + 8), bytes * rows * n.width);
#pragma omp for schedule(static)
        for (int64_t at = 0; at < (n.dgain ? n.width : 0); at += 16)
            norm_bwd_add_blocks(&n, at);
    }
    int64_t sums = n.token_leaves * n.inner * n.width * ((n.dgain ? 1 : 0) + (n.dbias ? 1 : 0));
    tr_count_add(call->count, 0, bytes * n.width + 4 * sums, 4 * sums);
}

#endif
