/* Causal attention with grouped heads: query head h reads the keys and values of head h / (H / G).
 *
 *     ATTN      o = softmax(q k^T / sqrt(D)) v, stats [T, H, 2] = (m, l): the largest score, the sum of exponentials
 *     ATTN_BWD  dq, dk, dv from do, with q, k, v, o and stats of the forward pass
 *
 * Shapes: q, o [seqs * seq_len, H, D]; k, v [seqs * positions, G, D], in generation (TR_OP_BY_HEAD, ATTN only)
 * [seqs * G, positions, D]. The query at index s of its sequence stands at absolute position values->position + s and sees
 * the keys 0 .. that position (APART: from start[t] on); rows of k and v after it are never read, whatever they hold. What
 * other keys of the sequence hold never shows. ATTN_BWD is for training: position 0, positions = seq_len.
 * `context` cuts keys and queries at absolute positions, in whole key blocks; it must be whole here.
 *
 * Pair chains (bf16) along keys and queries: pairs are (even, odd) absolute positions; a member that causality or the
 * end leaves out counts as zero times zero.
 *
 * Accuracy of fp32, head_dim 64, normal random operands, against double, as a share of the largest element: o 2.4e-7,
 * dq 3.6e-7, dk 1.8e-6, dv 8.4e-7 up to 1024 tokens (chains over queries grow the error of dk and dv with the length).
 *
 * Workspace of the reference: a few rows of o a thread; backward: the probabilities and score gradients of one group of
 * heads, 2 * H / G * seq_len^2 floats.
 *
 * The pieces are functions, so that a test can evaluate the parts apart, on several owners, in any order of arrival,
 * and join them along the tree. Their pointers are those of one head: q, o, dout at its row, k and v at the row of the
 * first key of `keys` (rows are tr_attn_kv_stride elements apart). */
#ifndef TR_SILICON_KERNEL_ATTN_H
#define TR_SILICON_KERNEL_ATTN_H

#include "silicon/kernel/kernel.h"

/* Elements from one key or value to that of the next position, and to the same of the next kv head. */
static inline int64_t tr_attn_kv_stride(const struct tr_op *op)
{
    return op->flags & TR_OP_BY_HEAD ? op->head_dim : (int64_t)op->kv_heads * op->head_dim;
}
static inline int64_t tr_attn_head_stride(const struct tr_op *op)
{
    return op->flags & TR_OP_BY_HEAD ? op->positions * op->head_dim : op->head_dim;
}

void tr_attn_ref(const struct tr_call *call);
int64_t tr_attn_ref_workspace(const struct tr_op *op, int threads);
void tr_attn_bwd_ref(const struct tr_call *call);
int64_t tr_attn_bwd_ref_workspace(const struct tr_op *op, int threads);

/* The softmax sums of one query and head over some keys. */
struct tr_attn_sums {
    int64_t keys; /* how many; 0: nothing else in here counts */
    float max, sum;
    float *o; /* [head_dim], the caller's */
};

/* What is left of `keys` for a query whose document begins at `start`; never less than nothing. */
static inline struct tr_range tr_attn_ref_seen(struct tr_range keys, int64_t start)
{
    keys.first = start < keys.first ? keys.first : start < keys.last ? start : keys.last;
    return keys;
}

/* One context part: the keys of `keys` (absolute positions, from the query's document on) that the query at position
 * `query` may see. */
void tr_attn_ref_part(const struct tr_op *op, const void *q, const void *k, const void *v, struct tr_range keys,
                      int64_t query, struct tr_attn_sums *sums);

/* left = left and right together, two subtrees in this order. */
void tr_attn_ref_join(const struct tr_op *op, struct tr_attn_sums *left, const struct tr_attn_sums *right);

/* Rounds the whole sum: o [head_dim], stats [2]. */
void tr_attn_ref_finish(const struct tr_op *op, const struct tr_attn_sums *sums, void *o, float *stats);

float tr_attn_ref_delta(const struct tr_op *op, const void *o, const void *dout);

/* p and ds (unrounded) of the keys that `query` may see; returns how many. p[0], ds[0] are those of keys.first. */
int64_t tr_attn_ref_scores(const struct tr_op *op, const void *q, const void *k, const void *v, const void *dout,
                           const float stats[2], float delta, struct tr_range keys, int64_t query, float *p, float *ds);

/* dq[d] of one context part of the keys: the chain over `keys`, all of them seen, of which ds and k have the first. */
float tr_attn_ref_dq(const struct tr_op *op, const float *ds, const void *k, struct tr_range keys, int64_t d);

/* dk[d] (of ds and q) or dv[d] (of p and do) of one key, query head and context part: the chain over the queries of
 * `queries` from `key` on, of which there must be one; `queries` ends with the key's document. factor[i * stride] and row i of `rows` (heads * head_dim
 * elements apart) belong to query queries.first + i. */
float tr_attn_ref_dkv(const struct tr_op *op, const float *factor, int64_t stride, const void *rows,
                      struct tr_range queries, int64_t key, int64_t d);

void tr_attn_avx2(const struct tr_call *call);
int64_t tr_attn_workspace_avx2(const struct tr_op *op, int threads);
void tr_attn_bwd_avx2(const struct tr_call *call);
int64_t tr_attn_bwd_workspace_avx2(const struct tr_op *op, int threads);

void tr_attn_avx512(const struct tr_call *call);
int64_t tr_attn_workspace_avx512(const struct tr_op *op, int threads);
void tr_attn_bwd_avx512(const struct tr_call *call);
int64_t tr_attn_bwd_workspace_avx512(const struct tr_op *op, int threads);

void tr_attn_avx512bf16(const struct tr_call *call);
int64_t tr_attn_workspace_avx512bf16(const struct tr_op *op, int threads);
void tr_attn_bwd_avx512bf16(const struct tr_call *call);
int64_t tr_attn_bwd_workspace_avx512bf16(const struct tr_op *op, int threads);

#endif
