/* ATTN_BWD in vector words: dq, dk, dv in one pass.
 *
 * A task is one sequence and one kv head. For each key block, ascending, and each query head of the group it walks the
 * tiles of queries that see the block, ascending: scores and probabilities again, ds, then the three products. dk and
 * dv of the block gather in scratch, one chain for each head (and context part of the queries), joined by the trees;
 * dq of a query goes on in memory from key block to key block, which is its chain over keys (one for each context part
 * of the keys, joined by the tree). No sum is shared between tasks, so nothing is atomic and no order depends on
 * threads. Where documents stand apart, a tile of queries ends with its document, and a block is met by the queries of
 * the documents that have keys in it.
 *
 * In bf16 the probabilities and ds of a tile are kept rounded, ds by rows for dq and both by pairs of queries for dk and
 * dv. Nothing is added to after it is rounded, so dq gathers in scratch.
 */
#ifndef TR_SILICON_KERNEL_ATTN_BWD_BODY_H
#define TR_SILICON_KERNEL_ATTN_BWD_BODY_H

#include "silicon/kernel/attn/attn.h"
#include "silicon/kernel/attn/attn_tile.h"

#include <omp.h>

enum {
    BWD_QUERIES = 48, /* a tile of queries: its q, do, p and ds take 12 KiB each at D = 64 */
    BWD_PAIRS = BWD_QUERIES / 2 /* pairs of positions that they may lie in */
};

struct bwd_shape {
    enum tr_dtype type;
    int64_t seqs, seq_len, heads, kv_heads, group, d, padded;
    int64_t words;               /* of a packed row of q */
    int64_t q_stride, kv_stride; /* elements from token to token */
    bool dq_direct;              /* dq gathers in the operand itself */
    float scale;
};

struct bwd_scratch {
    float *kt, *vt;         /* [words of d][TR_KEY_BLOCK] */
    float *k;               /* [words of TR_KEY_BLOCK][padded] */
    float *q, *grad;        /* [BWD_QUERIES][words]: the tile's rows of q and of do */
    float *q_steps, *grad_steps; /* [words of the tile][padded]: the same as steps of dk and dv; fp32: q and grad */
    float *score, *dp;      /* [TR_ATTN_ROWS][TR_KEY_BLOCK] */
    float *p, *ds;          /* [BWD_QUERIES][words of TR_KEY_BLOCK] */
    float *p_steps, *ds_steps; /* [words of the tile][TR_KEY_BLOCK]; fp32: p and ds */
    float *m, *inverse, *delta; /* [group][seq_len]: the row's maximum, 1 / l, delta */
    float *dkv;             /* slots of dk [TR_KEY_BLOCK][padded], dv likewise: heads and parts of the queries */
    float *dq;              /* slots of [group][seq_len][padded]: parts of the keys; none with dq_direct */
    int64_t dkv_half, dkv_slot, dq_slot;
};

static bool bwd_dq_direct(const struct tr_op *op)
{
    return op->act == TR_F32 && op->context.parts == 1 && op->head_dim % TR_ATTN_PANEL == 0;
}

/* Lays the scratch memory of one thread out from `base`; returns its floats. */
static int64_t bwd_scratch_at(struct bwd_scratch *s, float *base, const struct tr_op *op)
{
    int64_t padded = tr_round_up(op->head_dim, TR_ATTN_PANEL), group = op->heads / op->kv_heads, used = 0;
    int64_t rows = tr_round_up(group * op->seq_len, 16);
    int parts_depth = tr_tree_depth(op->context.parts);
    const bool pairs = op->act == TR_BF16;
    int64_t words = attn_words(op->act, padded), key_words = attn_words(op->act, TR_KEY_BLOCK);
    s->kt = carve(base, &used, words * TR_KEY_BLOCK);
    s->vt = carve(base, &used, words * TR_KEY_BLOCK);
    s->k = carve(base, &used, padded * key_words);
    s->q = carve(base, &used, words * BWD_QUERIES);
    s->grad = carve(base, &used, words * BWD_QUERIES);
    s->q_steps = pairs ? carve(base, &used, padded * BWD_PAIRS) : s->q;
    s->grad_steps = pairs ? carve(base, &used, padded * BWD_PAIRS) : s->grad;
    s->score = carve(base, &used, TR_ATTN_ROWS * TR_KEY_BLOCK);
    s->dp = carve(base, &used, TR_ATTN_ROWS * TR_KEY_BLOCK);
    s->p = carve(base, &used, key_words * BWD_QUERIES);
    s->ds = carve(base, &used, key_words * BWD_QUERIES);
    s->p_steps = pairs ? carve(base, &used, TR_KEY_BLOCK * BWD_PAIRS) : s->p;
    s->ds_steps = pairs ? carve(base, &used, TR_KEY_BLOCK * BWD_PAIRS) : s->ds;
    s->m = carve(base, &used, rows);
    s->inverse = carve(base, &used, rows);
    s->delta = carve(base, &used, rows);
    s->dkv_half = padded * TR_KEY_BLOCK;
    s->dkv_slot = 2 * s->dkv_half;
    s->dkv = carve(base, &used, s->dkv_slot * (parts_depth + tr_tree_depth(group) - 1));
    s->dq_slot = bwd_dq_direct(op) ? 0 : rows * padded;
    s->dq = carve(base, &used, s->dq_slot * parts_depth);
    return used;
}

static int64_t bwd_scratch_floats(const struct tr_op *op)
{
    struct bwd_scratch unused;
    return bwd_scratch_at(&unused, NULL, op);
}

int64_t TR_SIMD_NAME(tr_attn_bwd_workspace)(const struct tr_op *op, int threads)
{
    return threads * bwd_scratch_floats(op) * (int64_t)sizeof(float);
}

/* The operands of one task: pointers to the first token's part. */
struct bwd_task {
    const void *q, *k, *v, *o, *grad;
    const float *stats;
    void *dq, *dk, *dv;
    const int32_t *start; /* of the sequence; NULL: one document */
};

/* m, 1 / l and delta = fold16 of do o for every row. */
static void bwd_prepare(const struct bwd_shape *b, const struct bwd_scratch *s, const struct bwd_task *task)
{
    const enum tr_dtype type = attn_type(b->type);
    for (int64_t i = 0; i < b->seq_len; i++) {
        for (int64_t h = 0; h < b->group; h++) {
            const int64_t first = i * b->q_stride + h * b->d;
            const float *stats = task->stats + (i * b->heads + h) * 2;
            tr_v sum[TR_VFOLD];
            for (int part = 0; part < TR_VFOLD; part++)
                sum[part] = v_zero();
            for (int64_t x = 0; x < b->d; x += TR_FOLD) {
                for (int part = 0; part < TR_VFOLD; part++) {
                    const int64_t at = x + part * TR_VLEN, n = b->d - at;
                    if (n <= 0)
                        continue;
                    tr_v grad = v_loadn_at(task->grad, type, first + at, n);
                    tr_v next = v_fma(grad, v_loadn_at(task->o, type, first + at, n), sum[part]);
                    sum[part] = n >= TR_VLEN ? next : v_select(v_first(n), next, sum[part]); /* else -0 might go */
                }
            }
            int64_t row = h * b->seq_len + i;
            s->delta[row] = v_fold16(sum);
            s->m[row] = stats[0];
            s->inverse[row] = 1.0f / stats[1];
        }
    }
}

/* What turns scores of a row into probabilities. */
struct bwd_factors {
    tr_v scale, max, inverse, delta;
};

/* `together` vectors from column j on. */
TR_V_INLINE void bwd_exps(const float *score, const float *dp, void *p, void *ds, const enum tr_dtype type, int64_t j,
                          const struct bwd_factors *by, const int together)
{
    tr_v e[V_TOGETHER];
    for (int i = 0; i < together; i++)
        e[i] = v_sub(v_mul(v_load(score + j + i * TR_VLEN), by->scale), by->max);
    v_exps(e, together);
    for (int i = 0; i < together; i++) {
        int64_t at = j + i * TR_VLEN;
        tr_v probability = v_mul(e[i], by->inverse);
        v_store_at(p, type, at, probability);
        v_store_at(ds, type, at, v_mul(v_mul(probability, v_sub(v_load(dp + at), by->delta)), by->scale));
    }
}

/* Scores s and dp of one row become p = exp(s - m) / l and ds = p (dp - delta) scale, rounded to `type`. */
TR_V_INLINE void bwd_row_of(const struct bwd_shape *b, const float *score, const float *dp, void *p, void *ds,
                            const enum tr_dtype type, int64_t width, float m, float inverse, float delta)
{
    const struct bwd_factors by = {v_set1(b->scale), v_set1(m), v_set1(inverse), v_set1(delta)};
    int64_t j = 0;
    for (; j + V_TOGETHER * TR_VLEN <= width; j += V_TOGETHER * TR_VLEN)
        bwd_exps(score, dp, p, ds, type, j, &by, V_TOGETHER);
    const int64_t rest = (width - j) / TR_VLEN;
    if (rest == 3)
        bwd_exps(score, dp, p, ds, type, j, &by, 3);
    else if (rest == 2)
        bwd_exps(score, dp, p, ds, type, j, &by, 2);
    else if (rest == 1)
        bwd_exps(score, dp, p, ds, type, j, &by, 1);
}

/* Number `row` of the tile; `at`: keys from here on, counted in the block. */
static void bwd_row(const struct bwd_shape *b, const struct bwd_scratch *s, int64_t row, int64_t row_of_six, int64_t at,
                    int64_t width, int64_t head_row)
{
    const float *score = s->score + row_of_six * TR_KEY_BLOCK + at, *dp = s->dp + row_of_six * TR_KEY_BLOCK + at;
    const float m = s->m[head_row], inverse = s->inverse[head_row], delta = s->delta[head_row];
    const int64_t to = row * TR_KEY_BLOCK + at;
    if (!TR_SIMD_DP && b->type == TR_F32)
        bwd_row_of(b, score, dp, s->p + to, s->ds + to, TR_F32, width, m, inverse, delta);
    else
        bwd_row_of(b, score, dp, (tr_bf16 *)s->p + to, (tr_bf16 *)s->ds + to, TR_BF16, width, m, inverse, delta);
}

/* A packed key block: keys [first, first + count), and where dq, dk and dv gather. */
struct bwd_block {
    int64_t first, count;
    float *dq; /* row of query 0 */
    int64_t dq_stride;
    bool first_of_part;   /* the chains of dq begin */
    int64_t queries_last; /* the queries that see a key of the block end here */
    float *dk, *dv;
};

/* A tile of queries of one document: what of the block they see. */
struct bwd_queries {
    int64_t first, count;
    int64_t hidden; /* keys of the block that stand before the document */
    bool begin;     /* no block of this part before has a key for them */
};

/* dk += ds^T q, dv += p^T do for the keys of the block and the queries of the tile, one step a query or, in bf16, a pair of
 * positions. Key j is met first by query j, and not at all by a tile that ends before it. */
static void bwd_keys(const struct bwd_shape *b, const struct bwd_scratch *s, const struct bwd_block *block,
                     const struct bwd_queries *tile)
{
    const bool pairs = b->type == TR_BF16;
    const int64_t base = pairs ? tile->first - tile->first % 2 : tile->first, last = tile->first + tile->count;
    const int64_t seen = tr_min_i64(block->count, last - block->first);
    for (int64_t j = tile->hidden; j < seen; j += TR_ATTN_ROWS) {
        int rows = (int)tr_min_i64(TR_ATTN_ROWS, seen - j);
        struct chain_share share;
        for (int r = 0; r < rows; r++) {
            share.first[r] = tr_max_i64(tile->first, block->first + j + r) - base;
            share.last[r] = last - base;
        }
        for (int which = 0; which < 2; which++) {
            struct chain chain = {.start = CHAIN_GO_ON, .pairs = pairs,
                                  .c = (which ? block->dv : block->dk) + j * b->padded, .c_stride = b->padded,
                                  .a = (which ? s->p_steps : s->ds_steps) + j, .a_stride = TR_KEY_BLOCK,
                                  .a_by_columns = true, .b = which ? s->grad_steps : s->q_steps,
                                  .b_stride = b->padded, .share = &share};
            chain_run(&chain, rows, b->padded);
        }
    }
}

/* The words of two rows of bf16 in a key block; NULL: zeros. */
static void bwd_pair_rows(float *dst, const tr_bf16 *even, const tr_bf16 *odd)
{
    static const tr_bf16 none[TR_KEY_BLOCK];
    even = even == NULL ? none : even;
    odd = odd == NULL ? none : odd;
    for (int64_t j = 0; j < TR_KEY_BLOCK; j += TR_VLEN)
        v_store(dst + j, v_pair(even + j, odd + j));
}

/* p and ds of the tile as steps of the chains of dk and dv. */
static void bwd_pair_queries(const struct bwd_scratch *s, const struct bwd_queries *tile)
{
    float *p_step = s->p_steps, *ds_step = s->ds_steps;
    for (int64_t row = -(tile->first % 2); row < tile->count; row += 2) {
        const int64_t even = row * TR_KEY_BLOCK, odd = even + TR_KEY_BLOCK;
        const bool has_even = row >= 0, has_odd = row + 1 < tile->count;
        const tr_bf16 *p = (const tr_bf16 *)s->p, *ds = (const tr_bf16 *)s->ds;
        bwd_pair_rows(p_step, has_even ? p + even : NULL, has_odd ? p + odd : NULL);
        bwd_pair_rows(ds_step, has_even ? ds + even : NULL, has_odd ? ds + odd : NULL);
        p_step += TR_KEY_BLOCK;
        ds_step += TR_KEY_BLOCK;
    }
}

/* What will be packed after this tile: the next rows of up to three tensors, `stride` elements apart. */
struct bwd_ahead {
    const void *at[3];
    int64_t stride, rows;
};

static void bwd_look_ahead(const struct bwd_shape *b, const struct bwd_ahead *ahead, int64_t first, int64_t rows)
{
    rows = tr_min_i64(rows, ahead->rows - first);
    for (int i = 0; i < 3; i++)
        if (ahead->at[i] != NULL)
            prefetch_rows(attn_at(ahead->at[i], b->type, first * ahead->stride), b->type, ahead->stride, rows, b->d);
}

/* One tile of queries of one head, whose row of s->m etc. begins at `row`, against one key block. Returns the pairs that
 * were there. */
static int64_t bwd_tile(const struct bwd_shape *b, const struct bwd_scratch *s, const struct bwd_block *block,
                        const struct bwd_queries *tile, int64_t row, const struct bwd_ahead *ahead)
{
    int64_t first = tile->first, count = tile->count, base = tile->hidden - tile->hidden % TR_ATTN_SOFTMAX;
    int64_t pairs = 0, step = tr_ceil_div(ahead->rows, tr_ceil_div(count, TR_ATTN_ROWS));
    for (int64_t i = 0; i < count; i += TR_ATTN_ROWS) {
        bwd_look_ahead(b, ahead, i / TR_ATTN_ROWS * step, step);
        int rows = (int)tr_min_i64(TR_ATTN_ROWS, count - i);
        struct chain_share keys;
        for (int r = 0; r < rows; r++) {
            keys.first[r] = tile->hidden;
            keys.last[r] = tr_min_i64(block->count, first + i + r - block->first + 1);
            pairs += keys.last[r] - keys.first[r];
        }
        int64_t width = tr_round_up(keys.last[rows - 1], TR_ATTN_SOFTMAX) - base;
        struct chain chain = {.start = CHAIN_ZERO, .pairs = b->type == TR_BF16, .c = s->score + base,
                              .c_stride = TR_KEY_BLOCK, .a = s->q + i * b->words, .a_stride = b->words,
                              .b = s->kt + base, .b_stride = TR_KEY_BLOCK, .steps = attn_words(b->type, b->d)};
        chain_run(&chain, rows, width);
        chain.start = CHAIN_ZERO;
        chain.c = s->dp + base;
        chain.a = s->grad + i * b->words;
        chain.b = s->vt + base;
        chain_run(&chain, rows, width);
        for (int r = 0; r < rows; r++)
            bwd_row(b, s, i + r, r, base, width, row + first + i + r);
        const int64_t key_words = attn_words(b->type, TR_KEY_BLOCK);
        struct chain dq = {.start = tile->begin ? CHAIN_ZERO : CHAIN_GO_ON, .pairs = b->type == TR_BF16,
                           .c = block->dq + (first + i) * block->dq_stride, .c_stride = block->dq_stride,
                           .a = s->ds + i * key_words, .a_stride = key_words, .b = s->k, .b_stride = b->padded,
                           .steps = key_words, .share = chain_is_whole(&keys, rows) ? NULL : &keys};
        chain_run(&dq, rows, b->padded);
    }
    if (b->type == TR_BF16)
        bwd_pair_queries(s, tile);
    bwd_keys(b, s, block, tile);
    return pairs;
}

static void add_floats(float *sum, const float *part, int64_t n) /* n: a multiple of 16 */
{
    for (int64_t i = 0; i < n; i += TR_VLEN)
        v_store(sum + i, v_add(v_load(sum + i), v_load(part + i)));
}

/* The chains of one head over the queries of one context part. */
static int64_t bwd_part(const struct bwd_shape *b, const struct bwd_scratch *s, const struct bwd_task *task,
                           struct bwd_block *block, struct tr_range queries, int64_t head)
{
    int64_t pairs = 0;
    memset(block->dk, 0, (size_t)s->dkv_half * sizeof(float));
    memset(block->dv, 0, (size_t)s->dkv_half * sizeof(float));
    struct bwd_queries tile;
    for (int64_t first = queries.first; first < queries.last; first += tile.count) {
        int64_t start = attn_start(task->start, first), limit = BWD_QUERIES - first % 2; /* so that no pair is torn */
        int64_t count = attn_together(task->start, first, tr_min_i64(limit, queries.last - first));
        tile = (struct bwd_queries){.first = first, .count = count, .hidden = tr_max_i64(0, start - block->first),
                                    .begin = block->first_of_part || start >= block->first};
        const int64_t row = first * b->q_stride + head * b->d;
        const void *q = attn_at(task->q, b->type, row), *grad = attn_at(task->grad, b->type, row);
        pack_rows(s->q, b->words, q, b->type, b->q_stride, count, b->d);
        pack_rows(s->grad, b->words, grad, b->type, b->q_stride, count, b->d);
        if (b->type == TR_BF16) {
            pack_pairs(s->q_steps, b->padded, q, b->q_stride, first, count, b->d);
            pack_pairs(s->grad_steps, b->padded, grad, b->q_stride, first, count, b->d);
        }
        struct bwd_ahead ahead = {.stride = b->q_stride};
        int64_t next = first + count, next_row = next * b->q_stride + head * b->d;
        if (next < queries.last) {
            ahead.rows = tr_min_i64(BWD_QUERIES, queries.last - next);
            ahead.at[0] = attn_at(task->q, b->type, next_row);
            ahead.at[1] = attn_at(task->grad, b->type, next_row);
            ahead.at[2] = b->dq_direct ? attn_at(task->dq, b->type, next_row) : NULL;
        } else if (head == b->group - 1) { /* the next key block */
            int64_t key = block->first + TR_KEY_BLOCK;
            ahead.stride = b->kv_stride;
            ahead.rows = tr_max_i64(0, tr_min_i64(TR_KEY_BLOCK, b->seq_len - key));
            ahead.at[0] = attn_at(task->k, b->type, key * b->kv_stride);
            ahead.at[1] = attn_at(task->v, b->type, key * b->kv_stride);
        }
        pairs += bwd_tile(b, s, block, &tile, head * b->seq_len, &ahead);
    }
    return pairs;
}

/* Joins dk and dv of two subtrees of the queries for the keys from number `from` of the block on: those before have no
 * query in the right one. */
static void bwd_join_dkv(const struct bwd_shape *b, const struct bwd_scratch *s, int left, int right, int64_t from)
{
    float *to = s->dkv + left * s->dkv_slot + from * b->padded;
    const float *part = s->dkv + right * s->dkv_slot + from * b->padded;
    add_floats(to, part, s->dkv_half - from * b->padded);
    add_floats(to + s->dkv_half, part + s->dkv_half, s->dkv_half - from * b->padded);
}

/* One key block, of context part `part`, against every query of the group. */
static int64_t bwd_block(const struct tr_call *call, const struct bwd_shape *b, const struct bwd_scratch *s,
                         const struct bwd_task *task, struct bwd_block *block, int64_t part, float *dq_slot)
{
    int64_t pairs = 0, parts = call->op->context.parts, first = block->first;
    const void *k = attn_at(task->k, b->type, first * b->kv_stride);
    const void *v = attn_at(task->v, b->type, first * b->kv_stride);
    pack_transposed(s->kt, k, b->type, b->kv_stride, block->count, b->d);
    pack_transposed(s->vt, v, b->type, b->kv_stride, block->count, b->d);
    if (b->type == TR_BF16)
        pack_pairs(s->k, b->padded, k, b->kv_stride, 0, block->count, b->d);
    else
        pack_rows(s->k, b->padded, k, TR_F32, b->kv_stride, block->count, b->d);
    struct part_stack stack = part_stack_new();
    int64_t stack_first[TR_ATTN_STACK_MAX]; /* the first query of each node */
    int below, top;
    for (int64_t h = 0; h < b->group; h++) {
        block->dq = b->dq_direct ? (float *)task->dq + h * b->d : dq_slot + h * b->seq_len * b->padded;
        for (int64_t c = 0; c < parts; c++) {
            struct tr_range queries = tr_op_keys(call->op, c); /* queries are cut as keys are */
            stack_first[stack.depth] = queries.first;
            queries.first = tr_max_i64(queries.first, first);
            queries.last = tr_min_i64(queries.last, block->queries_last);
            bool present = c >= part && queries.first < queries.last;
            if (present) {
                block->dk = s->dkv + part_stack_next(&stack) * s->dkv_slot;
                block->dv = block->dk + s->dkv_half;
                pairs += bwd_part(b, s, task, block, queries, h);
            }
            part_stack_push(&stack, present);
            for (int joins = tr_tree_joins_after(c, parts); joins > 0; joins--) {
                int64_t query = stack_first[stack.depth - 1];
                if (part_stack_pop(&stack, &below, &top))
                    bwd_join_dkv(b, s, below, top, tr_max_i64(0, attn_start(task->start, query) - first));
            }
        }
        for (int joins = tr_tree_joins_after(h, b->group); joins > 0; joins--)
            if (part_stack_pop(&stack, &below, &top))
                bwd_join_dkv(b, s, below, top, 0);
    }
    const float *dk = s->dkv + stack.slot[0] * s->dkv_slot, *dv = dk + s->dkv_half;
    for (int64_t j = 0; j < block->count; j++) {
        for (int64_t i = 0; i < b->d; i += TR_VLEN) {
            int64_t at = (first + j) * b->kv_stride + i;
            v_storen_at(task->dk, attn_type(b->type), at, v_load(dk + j * b->padded + i), b->d - i);
            v_storen_at(task->dv, attn_type(b->type), at, v_load(dv + j * b->padded + i), b->d - i);
        }
    }
    return pairs;
}

/* Joins dq of two subtrees of the keys for the queries from `from` on, which have keys in the right one, the first of
 * whose keys that is as well. Those whose document begins there have none in the left one. */
static void bwd_join_dq(const struct bwd_shape *b, const int32_t *start, float *left, const float *right, int64_t from)
{
    int64_t only_right = attn_reach(start, from, b->seq_len, from);
    for (int64_t h = 0; h < b->group; h++) {
        int64_t at = (h * b->seq_len + from) * b->padded, there = (h * b->seq_len + only_right) * b->padded;
        add_floats(left + at, right + at, there - at);
        memcpy(left + there, right + there, (size_t)((b->seq_len - only_right) * b->padded) * sizeof *left);
    }
}

static int64_t bwd_run_task(const struct tr_call *call, const struct bwd_shape *b, const struct bwd_scratch *s,
                            const struct bwd_task *task)
{
    int64_t pairs = 0, parts = call->op->context.parts;
    struct part_stack stack = part_stack_new();
    int64_t stack_first[TR_ATTN_STACK_MAX]; /* the first key of each node */
    bwd_prepare(b, s, task);
    for (int64_t p = 0; p < parts; p++) {
        struct tr_range keys = tr_op_keys(call->op, p);
        float *dq_slot = s->dq + part_stack_next(&stack) * s->dq_slot;
        for (int64_t key = keys.first; key < keys.last; key += TR_KEY_BLOCK) {
            struct bwd_block block = {.first = key, .count = tr_min_i64(TR_KEY_BLOCK, keys.last - key),
                                      .dq_stride = b->dq_direct ? b->q_stride : b->padded,
                                      .first_of_part = key == keys.first};
            block.queries_last = attn_reach(task->start, key, b->seq_len, key + block.count);
            pairs += bwd_block(call, b, s, task, &block, p, dq_slot);
        }
        stack_first[stack.depth] = keys.first;
        part_stack_push(&stack, keys.first < keys.last);
        for (int joins = tr_tree_joins_after(p, parts); joins > 0; joins--) {
            int left, right;
            int64_t key = stack_first[stack.depth - 1];
            if (part_stack_pop(&stack, &left, &right))
                bwd_join_dq(b, task->start, s->dq + left * s->dq_slot, s->dq + right * s->dq_slot, key);
        }
    }
    if (b->dq_direct)
        return pairs;
    const float *dq = s->dq + stack.slot[0] * s->dq_slot;
    for (int64_t h = 0; h < b->group; h++)
        for (int64_t i = 0; i < b->seq_len; i++)
            for (int64_t x = 0; x < b->d; x += TR_VLEN)
                v_storen_at(task->dq, attn_type(b->type), i * b->q_stride + h * b->d + x,
                            v_load(dq + (h * b->seq_len + i) * b->padded + x), b->d - x);
    return pairs;
}

void TR_SIMD_NAME(tr_attn_bwd)(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    TR_ASSERT((op->act == TR_BF16 || !TR_SIMD_DP) && op->heads % op->kv_heads == 0 && op->positions == op->seq_len);
    TR_ASSERT(!(op->flags & TR_OP_BY_HEAD));
    struct bwd_shape b = {.type = op->act, .seqs = op->seqs, .seq_len = op->seq_len, .heads = op->heads,
                          .kv_heads = op->kv_heads, .group = op->heads / op->kv_heads, .d = op->head_dim,
                          .padded = tr_round_up(op->head_dim, TR_ATTN_PANEL),
                          .q_stride = (int64_t)op->heads * op->head_dim,
                          .kv_stride = (int64_t)op->kv_heads * op->head_dim, .dq_direct = bwd_dq_direct(op),
                          .scale = 1.0f / sqrtf((float)op->head_dim)};
    b.words = attn_words(b.type, b.padded);
#pragma omp parallel num_threads(call->threads)
    {
        struct bwd_scratch scratch;
        bwd_scratch_at(&scratch, (float *)call->workspace + omp_get_thread_num() * bwd_scratch_floats(op), op);
#pragma omp for schedule(dynamic, 1)
        for (int64_t head = 0; head < b.seqs * b.kv_heads; head++) {
            int64_t seq = head / b.kv_heads, kv_head = head % b.kv_heads;
            int64_t token_head = seq * b.seq_len * b.heads + kv_head * b.group;
            int64_t q_at = token_head * b.d, kv_at = (seq * b.seq_len * b.kv_heads + kv_head) * b.d;
            void *const *operand = call->operand;
            struct bwd_task task = {.q = attn_at(operand[TR_ATTN_BWD_Q], b.type, q_at),
                                    .k = attn_at(operand[TR_ATTN_BWD_K], b.type, kv_at),
                                    .v = attn_at(operand[TR_ATTN_BWD_V], b.type, kv_at),
                                    .o = attn_at(operand[TR_ATTN_BWD_O], b.type, q_at),
                                    .stats = (const float *)operand[TR_ATTN_BWD_STATS] + token_head * 2,
                                    .grad = attn_at(operand[TR_ATTN_BWD_DO], b.type, q_at),
                                    .dq = attn_to(operand[TR_ATTN_BWD_DQ], b.type, q_at),
                                    .dk = attn_to(operand[TR_ATTN_BWD_DK], b.type, kv_at),
                                    .dv = attn_to(operand[TR_ATTN_BWD_DV], b.type, kv_at)};
            if (op->flags & TR_OP_APART)
                task.start = (const int32_t *)call->operand[TR_ATTN_BWD_START] + seq * b.seq_len;
            int64_t pairs = bwd_run_task(call, &b, &scratch, &task);
            int64_t q_bytes = b.seq_len * b.group * b.d * tr_dtype_bytes(b.type), kv_bytes = q_bytes / b.group;
            int64_t stats = b.seq_len * b.group * 2, starts = task.start != NULL && kv_head == 0 ? b.seq_len : 0;
            tr_count_add(call->count, 10 * b.d * pairs, 3 * q_bytes + 2 * kv_bytes + 4 * (stats + starts),
                         q_bytes + 2 * kv_bytes);
        }
    }
}

#endif
