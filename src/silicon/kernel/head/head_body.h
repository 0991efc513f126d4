/* The head, written once for every vector length: three products of the engine and one pass over rows, for each tile of
 * rows. A tile is some whole blocks of tokens (reduce.h) that lie behind one another, HEAD_ROWS at most. */
#ifndef TR_SILICON_KERNEL_HEAD_BODY_H
#define TR_SILICON_KERNEL_HEAD_BODY_H

#include "base/fmath.h"
#include "base/num.h"
#include "silicon/kernel/head/head.h"
#include "silicon/kernel/linear/gemm.h"
#include "silicon/kernel/simd.h"

enum { HEAD_ROWS = 2 * TR_TOKEN_BLOCK }; /* of a tile: more share the packed weights and one pass over dw */

/* What lies in the workspace, one behind the other. */
struct buffers {
    struct tr_gemm_run *blocks; /* of all tokens, by leaf */
    struct tr_gemm_run *tile;   /* those of one tile */
    struct tr_gemm_run *chain;  /* of one product over width or vocabulary */
    float *z;                   /* logits of a tile, then their gradients (bf16 at the beginning of the same row when
                                   activations are bf16): [rows, z_stride] */
    void *gemm;
    int64_t block_count, z_stride;
};

static int64_t all_blocks(const struct tr_op *op, struct tr_gemm_run *run)
{
    int64_t count = 0;
    for (int64_t leaf = 0; leaf < tr_op_leaves(op, TR_HEAD_DW); leaf++) {
        struct tr_range tokens = tr_op_leaf_tokens(op, TR_HEAD_DW, leaf);
        count += tr_gemm_token_blocks(run == NULL ? NULL : run + count, op, (int)leaf, tokens);
    }
    return count;
}

/* Rows begin on a cache line, and not all on the same lines of a page. */
static int64_t z_stride_of(const struct tr_op *op)
{
    int64_t stride = (op->vocab + 15) / 16 * 16;
    return stride % 256 == 0 ? stride + 16 : stride;
}

static int64_t tile_rows_max(const struct tr_op *op) { return tr_min_i64(op->seqs * op->seq_len, HEAD_ROWS); }

static int64_t gemm_bytes(const struct tr_op *op, int threads)
{
    int64_t rows = tile_rows_max(op);
    const struct tr_gemm_size logits_size = {
        .m = rows, .n = op->vocab, .k = tr_round_up(op->width, 2), .levels = 1};
    const struct tr_gemm_size dx_size = {.m = rows, .n = op->width, .k = tr_round_up(op->vocab, 2),
                                         .levels = tr_tree_depth(op->part.parts), .c_type = op->act};
    const struct tr_gemm_size dw_size = {.m = op->vocab, .n = op->width, .levels = 1};
    int64_t logits = TR_SIMD_NAME(tr_gemm_workspace)(&logits_size, threads);
    int64_t dx = TR_SIMD_NAME(tr_gemm_workspace)(&dx_size, threads);
    int64_t dw = TR_SIMD_NAME(tr_gemm_workspace)(&dw_size, threads);
    return tr_max_i64(logits, tr_max_i64(dx, dw));
}

int64_t TR_SIMD_NAME(tr_head_workspace)(const struct tr_op *op, int threads)
{
    int64_t z_bytes = tile_rows_max(op) * z_stride_of(op) * (int64_t)sizeof(float);
    return tr_gemm_run_bytes(all_blocks(op, NULL)) + tr_gemm_run_bytes(tile_rows_max(op)) + tr_gemm_run_bytes(op->part.parts) +
           z_bytes + gemm_bytes(op, threads);
}

static struct buffers place_buffers(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    struct buffers b = {.blocks = call->workspace, .z_stride = z_stride_of(op)};
    b.block_count = all_blocks(op, b.blocks);
    b.tile = (void *)((char *)b.blocks + tr_gemm_run_bytes(b.block_count));
    b.chain = (void *)((char *)b.tile + tr_gemm_run_bytes(tile_rows_max(op)));
    b.z = (void *)((char *)b.chain + tr_gemm_run_bytes(op->part.parts));
    b.gemm = b.z + tile_rows_max(op) * b.z_stride;
    return b;
}

/* ---- the rows of a tile: loss, and the gradient of the logits ---------------------------------------------------- */

static float row_max(const float *z, int64_t n)
{
    tr_v max = v_set1(-INFINITY);
    int64_t j = 0;
    for (; j + TR_VLEN <= n; j += TR_VLEN)
        max = v_max(v_load(z + j), max);
    if (j < n)
        max = v_max(v_select(v_first(n - j), v_loadn(z + j, n - j), max), max);
    return v_row_max(max);
}

/* z = exp(z - max) over one vocabulary part, kept in `exps` unless that is NULL; returns the sum. */
TR_V_INLINE float exp_part(const float *z, float *exps, int64_t n, float max)
{
    tr_v sum[TR_VFOLD];
    const tr_v shift = v_set1(max);
    for (int v = 0; v < TR_VFOLD; v++)
        sum[v] = v_zero();
    int64_t j = 0;
    for (; j + TR_FOLD <= n; j += TR_FOLD) {
        for (int v = 0; v < TR_VFOLD; v++) {
            tr_v e = v_exp(v_sub(v_load(z + j + v * TR_VLEN), shift));
            if (exps != NULL)
                v_store(exps + j + v * TR_VLEN, e);
            sum[v] = v_add(sum[v], e);
        }
    }
    for (int v = 0; v < TR_VFOLD && j + v * TR_VLEN < n; v++) {
        int64_t at = j + v * TR_VLEN, left = tr_min_i64(n - j - v * TR_VLEN, TR_VLEN);
        tr_v e = v_select(v_first(left), v_exp(v_sub(v_loadn(z + at, left), shift)), v_zero());
        if (exps != NULL)
            v_storen(exps + at, e, left);
        sum[v] = v_add(sum[v], e);
    }
    return v_fold16(sum);
}

static float exp_tree(const struct tr_op *op, float *z, float max, int64_t begin, int64_t end)
{
    if (end - begin == 1) {
        struct tr_range part = tr_op_part(op, 0, begin);
        return exp_part(z + part.first, z + part.first, part.last - part.first, max);
    }
    int64_t middle = begin + tr_tree_split(end - begin);
    float left = exp_tree(op, z, max, begin, middle);
    return left + exp_tree(op, z, max, middle, end);
}

/* dz = z * inverse * scale, in place: the gradient of every logit but the target's. bf16 takes the first half of the
 * row: an element is written where only elements lie that have been read. */
TR_V_INLINE void scale_row(float *z, int64_t n, float inverse, float scale, const enum tr_dtype type)
{
    const tr_v i = v_set1(inverse), s = v_set1(scale);
    for (int64_t j = 0; j < n; j += TR_VLEN)
        v_storen_at(z, type, j, v_mul(v_mul(v_loadn_at(z, TR_F32, j, n - j), i), s), n - j);
}

/* Logits in, loss out; with GRAD the gradient of the logits takes their place. */
static void do_row(const struct tr_call *call, int64_t token, float *z)
{
    const struct tr_op *op = call->op;
    const int32_t target = ((const int32_t *)call->operand[TR_HEAD_TARGETS])[token];
    float *loss = (float *)call->operand[TR_HEAD_LOSS] + token;
    TR_ASSERT(target >= -1 && target < op->vocab);
    if (target < 0) {
        *loss = 0.0f;
        if (op->flags & TR_OP_GRAD)
            memset(z, 0, (size_t)(op->vocab * tr_dtype_bytes(op->act)));
        return;
    }
    const float max = row_max(z, op->vocab), of_target = z[target] - max;
    const float sum = exp_tree(op, z, max, 0, op->part.parts);
    *loss = (float)tr_log((double)sum) - of_target;
    if (op->flags & TR_OP_GRAD) {
        const float inverse = 1.0f / sum, scale = call->values->loss_scale;
        const float dz = (z[target] * inverse - 1.0f) * scale;
        if (op->act == TR_BF16)
            scale_row(z, op->vocab, inverse, scale, TR_BF16);
        else
            scale_row(z, op->vocab, inverse, scale, TR_F32);
        tr_store(z, op->act, target, dz);
    }
}

static void do_rows(const struct tr_call *call, const struct buffers *b, int64_t first_token, int64_t rows)
{
#pragma omp parallel for num_threads(call->threads)
    for (int64_t r = 0; r < rows; r++)
        do_row(call, first_token + r, b->z + r * b->z_stride);
    tr_count_add(call->count, 0, rows * (int64_t)sizeof(int32_t), rows * (int64_t)sizeof(float));
}

/* ---- the products of a tile -------------------------------------------------------------------------------------- */

static void tile_product(const struct tr_call *call, const struct buffers *b, struct tr_gemm *g)
{
    TR_ASSERT(call->op->weight == call->op->act);
    g->segments = 1;
    g->type = call->op->act;
    TR_SIMD_NAME(tr_gemm)(g, b->gemm, call->count, call->threads);
}

/* Row `token` of x or dx. */
static void *row_of(const struct tr_call *call, int operand, int64_t token)
{
    return (char *)call->operand[operand] + token * call->op->width * tr_dtype_bytes(call->op->act);
}

/* The gradients of the logits, whose rows are as far apart as those of fp32. */
static struct tr_gemm_view dz_view(const struct tr_call *call, const struct buffers *b)
{
    return (struct tr_gemm_view){b->z, b->z_stride * (tr_dtype_bytes(TR_F32) / tr_dtype_bytes(call->op->act))};
}

/* z = x w^T */
static void make_logits(const struct tr_call *call, const struct buffers *b, int64_t first_token, int64_t rows)
{
    const struct tr_op *op = call->op;
    const int64_t width = op->width;
    b->chain[0] = (struct tr_gemm_run){.k = width};
    tr_gemm_place_leaf(b->chain, 1, 0, 0, 1);
    struct tr_gemm g = {
        .join = TR_GEMM_TREE, .m = {rows}, .n = {op->vocab}, .run = b->chain, .run_count = 1, .levels = 1};
    g.a[0] = (struct tr_gemm_view){row_of(call, TR_HEAD_X, first_token), width};
    g.b[0] = (struct tr_gemm_view){call->operand[TR_HEAD_W], width};
    g.c[0] = b->z;
    g.c_stride[0] = b->z_stride;
    g.count_a = true;
    g.count_b = first_token == 0;
    tile_product(call, b, &g);
}

/* dx = dz w: a chain for each vocabulary part. */
static void make_dx(const struct tr_call *call, const struct buffers *b, int64_t first_token, int64_t rows)
{
    const struct tr_op *op = call->op;
    const int64_t width = op->width, parts = op->part.parts;
    for (int64_t p = 0; p < parts; p++) {
        struct tr_range part = tr_op_part(op, 0, p);
        b->chain[p] = (struct tr_gemm_run){.k0 = part.first, .k = part.last - part.first};
        tr_gemm_place_leaf(&b->chain[p], 1, 0, p, parts);
    }
    struct tr_gemm g = {.join = TR_GEMM_TREE, .m = {rows}, .n = {width}, .run = b->chain, .run_count = parts,
                        .levels = tr_tree_depth(parts), .c_type = op->act, .b_k_slow = true, .count_c = true};
    g.a[0] = dz_view(call, b);
    g.b[0] = (struct tr_gemm_view){call->operand[TR_HEAD_W], width};
    g.c[0] = row_of(call, TR_HEAD_DX, first_token);
    g.c_stride[0] = width;
    tile_product(call, b, &g);
}

/* dw += dz^T x, block after block. */
static void add_dw(const struct tr_call *call, const struct buffers *b, int64_t first_token, int64_t blocks)
{
    const struct tr_op *op = call->op;
    const int64_t width = op->width;
    struct tr_gemm g = {.join = TR_GEMM_BLOCKS, .m = {op->vocab}, .n = {width}, .run = b->tile, .run_count = blocks,
                        .levels = 1, .a_k_slow = true, .b_k_slow = true, .count_c = true};
    g.a[0] = dz_view(call, b);
    g.b[0] = (struct tr_gemm_view){row_of(call, TR_HEAD_X, first_token), width};
    g.c[0] = call->operand[TR_HEAD_DW];
    g.c_stride[0] = width;
    tile_product(call, b, &g);
}

/* The blocks from number `first` on that make one tile; copied with tokens counted from the tile's first. */
static int64_t next_tile(const struct buffers *b, int64_t first, int64_t *rows)
{
    const struct tr_gemm_run *run = b->blocks + first;
    int64_t blocks = 0;
    *rows = 0;
    while (first + blocks < b->block_count && run[blocks].output == run->output &&
           run[blocks].k0 == run->k0 + *rows && *rows + run[blocks].k <= HEAD_ROWS) {
        b->tile[blocks] = run[blocks];
        b->tile[blocks].k0 = *rows;
        *rows += run[blocks].k;
        blocks++;
    }
    return blocks;
}

void TR_SIMD_NAME(tr_head)(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    const struct buffers b = place_buffers(call);
    TR_ASSERT(tr_parts_owned(op->part) == op->part.parts);
    TR_ASSERT(!(op->flags & TR_OP_GRAD) || call->operand[TR_HEAD_DX] != NULL);
    int64_t rows, blocks;
    for (int64_t block = 0; block < b.block_count; block += blocks) {
        blocks = next_tile(&b, block, &rows);
        const int64_t first_token = b.blocks[block].k0;
        make_logits(call, &b, first_token, rows);
        do_rows(call, &b, first_token, rows);
        if (op->flags & TR_OP_GRAD)
            make_dx(call, &b, first_token, rows);
        if ((op->flags & TR_OP_GRAD) && call->operand[TR_HEAD_DW] != NULL)
            add_dw(call, &b, first_token, blocks);
    }
}

/* ---- LOSS -------------------------------------------------------------------------------------------------------- */

#if !TR_SIMD_DP /* of fp32 numbers: nothing in it is a pair of bf16 */
void TR_SIMD_NAME(tr_loss)(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t t = 0; t < op->seqs * op->seq_len; t++) {
        const float *z = (const float *)call->operand[TR_LOSS_LOGITS] + t * op->vocab;
        const int32_t target = ((const int32_t *)call->operand[TR_LOSS_TARGETS])[t];
        float loss = 0.0f;
        TR_ASSERT(target >= -1 && target < op->vocab);
        if (target >= 0) {
            const float max = row_max(z, op->vocab);
            loss = (float)tr_log((double)exp_part(z, NULL, op->vocab, max)) - (z[target] - max);
        }
        ((float *)call->operand[TR_LOSS_LOSS])[t] = loss;
        tr_count_add(call->count, 0, (int64_t)sizeof *z * op->vocab + (int64_t)sizeof target, (int64_t)sizeof loss);
    }
}
#endif

#endif
