/* The linear layers as products of the engine, written once for every vector length. */
#ifndef TR_SILICON_KERNEL_LINEAR_LINEAR_BODY_H
#define TR_SILICON_KERNEL_LINEAR_LINEAR_BODY_H

#include "silicon/kernel/linear/gemm_body.h"
#include "silicon/kernel/linear/linear.h"

static int64_t tokens_of(const struct tr_op *op) { return op->seqs * op->seq_len; }

static int64_t total_out(const struct tr_op *op) { return total(op->out, op->segments); }

static bool is_row_parallel(const struct tr_op *op) { return (op->flags & TR_OP_ROW_PARALLEL) != 0; }

/* Whether the axis that LINEAR or LINEAR_DX sums is cut in parts. */
static bool sums_parts(const struct tr_op *op) { return is_row_parallel(op) == (op->kind == TR_OP_LINEAR); }

/* ---- workspace: the list of runs, then the engine's -------------------------------------------------------------- */

static int64_t chain_runs(const struct tr_op *op)
{
    int64_t leaves = sums_parts(op) ? tr_parts_owned(op->part) : 1;
    return leaves * (op->kind == TR_OP_LINEAR ? 1 : op->segments);
}

static int chain_levels(const struct tr_op *op) { return tr_tree_depth(sums_parts(op) ? tr_parts_owned(op->part) : 1); }

static int64_t block_runs(const struct tr_op *op)
{
    int64_t runs = 0;
    for (int64_t leaf = 0; leaf < tr_op_leaves(op, TR_LINEAR_DW_DW); leaf++)
        runs += tr_gemm_token_blocks(NULL, op, (int)leaf, tr_op_leaf_tokens(op, TR_LINEAR_DW_DW, leaf));
    return runs;
}

/* The longest chain, each segment's share of it rounded up to an even number. */
static int64_t chain_k(const struct tr_op *op)
{
    int64_t k = 0;
    for (int i = 0; i < (op->kind == TR_OP_LINEAR ? 1 : op->segments); i++)
        k += tr_round_up(op->kind == TR_OP_LINEAR ? op->in : op->out[i], 2);
    return k;
}

/* Type of y or dx: partial sums stay fp32. */
static enum tr_dtype chain_c_type(const struct tr_op *op)
{
    return tr_op_operand_dtype(op, op->kind == TR_OP_LINEAR ? TR_LINEAR_Y : TR_LINEAR_DX_DX);
}

int64_t TR_SIMD_NAME(tr_linear_workspace)(const struct tr_op *op, int threads)
{
    if (op->kind == TR_OP_LINEAR_DW) {
        const struct tr_gemm_size size = {.m = total_out(op), .n = op->in, .levels = 1};
        return tr_gemm_run_bytes(block_runs(op)) + TR_SIMD_NAME(tr_gemm_workspace)(&size, threads);
    }
    const struct tr_gemm_size size = {.m = tokens_of(op),
                                      .n = op->kind == TR_OP_LINEAR ? total_out(op) : op->in,
                                      .k = chain_k(op),
                                      .levels = chain_levels(op),
                                      .c_type = chain_c_type(op)};
    return tr_gemm_run_bytes(chain_runs(op)) + TR_SIMD_NAME(tr_gemm_workspace)(&size, threads);
}

static void run_gemm(const struct tr_call *call, struct tr_gemm *g, struct tr_gemm_run *run, int64_t runs)
{
    TR_ASSERT(call->op->kind == TR_OP_LINEAR_DW || call->op->weight == call->op->act);
    g->run = run;
    g->run_count = runs;
    g->type = call->op->act;
    g->count_a = g->count_b = g->count_c = true;
    TR_SIMD_NAME(tr_gemm)(g, (char *)call->workspace + tr_gemm_run_bytes(runs), call->count, call->threads);
}

/* ---- forward and gradient of the input: chains over in or out, joined by the tree -------------------------------- */

/* The runs of part p, one for each segment along k, or of everything when the axis is not cut. */
static int leaf_runs(const struct tr_op *op, int64_t p, struct tr_gemm_run *run)
{
    const bool forward = op->kind == TR_OP_LINEAR;
    const int segments = forward ? 1 : op->segments;
    for (int i = 0; i < segments; i++) {
        struct tr_range k = {0, forward ? op->in : op->out[i]};
        if (sums_parts(op))
            k = tr_op_part(op, i, p);
        run[i] = (struct tr_gemm_run){.k0 = k.first, .k = k.last - k.first, .segment = i};
    }
    return segments;
}

/* An output for each whole subtree of the parts that this operation has. */
static int64_t make_chains(const struct tr_op *op, struct tr_gemm_run *run)
{
    struct tr_range root[TR_TREE_ROOTS_MAX] = {{0, 1}};
    int roots = sums_parts(op) ? tr_tree_roots(op->part.parts, op->part.first, op->part.last, root) : 1;
    int64_t runs = 0;
    for (int r = 0; r < roots; r++) {
        for (int64_t p = root[r].first; p < root[r].last; p++) {
            int count = leaf_runs(op, p, run + runs);
            tr_gemm_place_leaf(run + runs, count, r, p - root[r].first, root[r].last - root[r].first);
            runs += count;
        }
    }
    return runs;
}

static void run_chains(const struct tr_call *call, struct tr_gemm *g)
{
    struct tr_gemm_run *run = call->workspace;
    g->join = TR_GEMM_TREE;
    g->segments = call->op->segments;
    g->levels = chain_levels(call->op);
    g->c_type = chain_c_type(call->op);
    run_gemm(call, g, run, make_chains(call->op, run));
}

void TR_SIMD_NAME(tr_linear)(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    const bool whole = !is_row_parallel(op) || tr_parts_owned(op->part) == op->part.parts;
    struct tr_gemm g = {.segment_axis = TR_GEMM_N, .m = {tokens_of(op)}};
    g.a[0] = (struct tr_gemm_view){call->operand[TR_LINEAR_X], op->in};
    g.residual = call->operand[TR_LINEAR_RESIDUAL];
    TR_ASSERT(g.residual == NULL || !(op->flags & TR_OP_Y_F32)); /* it is of the type of y */
    TR_ASSERT(g.residual == NULL || (op->segments == 1 && whole));
    for (int i = 0; i < op->segments; i++) {
        g.n[i] = op->out[i];
        g.b[i] = (struct tr_gemm_view){call->operand[TR_LINEAR_W + i], op->in};
        g.bias[i] = call->operand[TR_LINEAR_B + i];
        g.c[i] = call->operand[TR_LINEAR_Y + i];
        g.c_stride[i] = op->out[i];
        TR_ASSERT(g.bias[i] == NULL || whole);
    }
    run_chains(call, &g);
}

void TR_SIMD_NAME(tr_linear_dx)(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    struct tr_gemm g = {.segment_axis = TR_GEMM_K, .m = {tokens_of(op)}, .n = {op->in}, .b_k_slow = true};
    g.c[0] = call->operand[TR_LINEAR_DX_DX];
    g.c_stride[0] = op->in;
    for (int i = 0; i < op->segments; i++) {
        g.a[i] = (struct tr_gemm_view){call->operand[TR_LINEAR_DX_DY + i], op->out[i]};
        g.b[i] = (struct tr_gemm_view){call->operand[TR_LINEAR_DX_W + i], op->in};
    }
    run_chains(call, &g);
}

/* ---- gradients of the weights: blocks of tokens ------------------------------------------------------------------ */

enum { DB_VECTORS = 8, DB_COLUMNS = DB_VECTORS * TR_VLEN };

/* db of up to DB_COLUMNS columns of dy, the first of which is element `first`, for the tokens of one leaf. */
TR_V_INLINE void add_bias_grad_of(const struct tr_op *op, float *db, const void *dy, int64_t first, int64_t out,
                                  int64_t columns, struct tr_range tokens, const enum tr_dtype type)
{
    for (int64_t s = 0; s < op->seqs; s++) {
        for (int64_t block = tokens.first; block < tokens.last; block += TR_TOKEN_BLOCK) {
            int64_t end = tr_min_i64(block + TR_TOKEN_BLOCK, tokens.last);
            tr_v sum[DB_VECTORS];
            for (int v = 0; v < DB_VECTORS; v++)
                sum[v] = v_zero();
            for (int64_t t = block; t < end; t++) {
                const int64_t row = first + (s * op->seq_len + t) * out;
                if (columns == DB_COLUMNS) {
                    for (int v = 0; v < DB_VECTORS; v++)
                        sum[v] = v_add(sum[v], v_load_at(dy, type, row + v * TR_VLEN));
                } else {
                    for (int64_t j = 0; j < columns; j += TR_VLEN)
                        sum[j / TR_VLEN] = v_add(sum[j / TR_VLEN], v_loadn_at(dy, type, row + j, columns - j));
                }
            }
            for (int64_t j = 0; j < columns; j += TR_VLEN) {
                int64_t n = tr_min_i64(columns - j, TR_VLEN);
                v_storen(db + j, v_add(v_loadn(db + j, n), sum[j / TR_VLEN]), n);
            }
        }
    }
}

static void add_bias_grad(const struct tr_op *op, float *db, const void *dy, int64_t first, int64_t out, int64_t columns,
                          struct tr_range tokens)
{
    if (op->act == TR_BF16)
        add_bias_grad_of(op, db, dy, first, out, columns, tokens, TR_BF16);
    else
        add_bias_grad_of(op, db, dy, first, out, columns, tokens, TR_F32);
}

static void run_bias_grad(const struct tr_call *call, int segment)
{
    const struct tr_op *op = call->op;
    const int index = TR_LINEAR_DW_DB + segment;
    const int64_t out = op->out[segment], leaves = tr_op_leaves(op, index),
                  chunks = (out + DB_COLUMNS - 1) / DB_COLUMNS;
    float *db = call->operand[index];
    const void *dy = call->operand[TR_LINEAR_DW_DY + segment];
    if (db == NULL)
        return;
#pragma omp parallel for num_threads(call->threads)
    for (int64_t i = 0; i < leaves * chunks; i++) {
        int64_t leaf = i / chunks, column = i % chunks * DB_COLUMNS, columns = tr_min_i64(DB_COLUMNS, out - column);
        add_bias_grad(op, db + leaf * out + column, dy, column, out, columns, tr_op_leaf_tokens(op, index, leaf));
        tr_count_add(call->count, 0, columns * (int64_t)sizeof *db, columns * (int64_t)sizeof *db);
    }
}

void TR_SIMD_NAME(tr_linear_dw)(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    struct tr_gemm g = {.join = TR_GEMM_BLOCKS, .segment_axis = TR_GEMM_M, .segments = op->segments, .levels = 1,
                        .n = {op->in}, .a_k_slow = true, .b_k_slow = true};
    g.b[0] = (struct tr_gemm_view){call->operand[TR_LINEAR_DW_X], op->in};
    for (int i = 0; i < op->segments; i++) {
        g.m[i] = op->out[i];
        g.a[i] = (struct tr_gemm_view){call->operand[TR_LINEAR_DW_DY + i], op->out[i]};
        g.c[i] = call->operand[TR_LINEAR_DW_DW + i];
        g.c_stride[i] = op->in;
    }
    struct tr_gemm_run *run = call->workspace;
    int64_t runs = 0;
    for (int64_t leaf = 0; leaf < tr_op_leaves(op, TR_LINEAR_DW_DW); leaf++)
        runs += tr_gemm_token_blocks(run + runs, op, (int)leaf, tr_op_leaf_tokens(op, TR_LINEAR_DW_DW, leaf));
    run_gemm(call, &g, run, runs);
    for (int i = 0; i < op->segments; i++)
        run_bias_grad(call, i);
}

#endif
