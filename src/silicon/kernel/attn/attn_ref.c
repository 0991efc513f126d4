/* The meaning of ATTN. */
#include "silicon/kernel/attn/attn.h"
#include "silicon/kernel/ref.h"
#include "silicon/op/fn.h"

#include <omp.h>

static float score_scale(const struct tr_op *op) { return 1.0f / sqrtf((float)op->head_dim); }

static float score(const struct tr_op *op, const void *q, const void *k, int64_t key_index)
{
    int64_t stride = tr_attn_kv_stride(op);
    struct tr_line key = tr_line_of(k, op->act, key_index * stride, 1);
    float dot = tr_chain(0.0f, tr_line_of(q, op->act, 0, 1), key, op->head_dim, tr_pairs(op->act, op->act));
    return dot * score_scale(op);
}

/* ---- forward ---------------------------------------------------------------------------------------------------- */

/* Two lines that begin at an odd position of a pair chain: the partner of their first element is not there. */
static float chain_from(float acc, struct tr_line a, struct tr_line b, int64_t position, int64_t n, bool pairs)
{
    if (!pairs || position % 2 == 0)
        return tr_chain(acc, a, b, n, pairs);
    acc = tr_dp_bf16(acc, 0, tr_line_bf16(a, 0, n), 0, tr_line_bf16(b, 0, n));
    a.first += a.stride;
    b.first += b.stride;
    return tr_chain(acc, a, b, n - 1, true);
}

/* Takes in n keys of one key block, the first at `position` and at index `first` of k and v. */
static void add_block(const struct tr_op *op, const void *q, const void *k, const void *v, int64_t position,
                      int64_t first, int64_t n, struct tr_attn_sums *sums)
{
    float p[TR_KEY_BLOCK];
    float max = sums->max;
    for (int64_t j = 0; j < n; j++) {
        p[j] = score(op, q, k, first + j);
        max = p[j] > max ? p[j] : max;
    }
    float scale_old = sums->keys == 0 ? 0.0f : tr_expf(sums->max - max);
    float partial[TR_FOLD] = {0};
    for (int64_t j = 0; j < n; j++) {
        p[j] = tr_expf(p[j] - max);
        partial[(position + j) % TR_FOLD] += p[j]; /* blocks begin at multiples of TR_FOLD */
    }
    sums->sum = fmaf(sums->sum, scale_old, tr_fold16(partial));
    sums->max = max;
    int64_t stride = tr_attn_kv_stride(op);
    for (int64_t d = 0; d < op->head_dim; d++) {
        struct tr_line value = tr_line_of(v, op->act, first * stride + d, stride);
        sums->o[d] = chain_from(sums->o[d] * scale_old, tr_line_of(p, TR_F32, 0, 1), value, position, n,
                                tr_pairs(op->act, op->act));
    }
    sums->keys += n;
}

void tr_attn_ref_part(const struct tr_op *op, const void *q, const void *k, const void *v, struct tr_range keys,
                      int64_t query, struct tr_attn_sums *sums)
{
    sums->keys = 0;
    sums->max = -INFINITY;
    sums->sum = 0.0f;
    for (int64_t d = 0; d < op->head_dim; d++)
        sums->o[d] = 0.0f;
    int64_t last = query + 1 < keys.last ? query + 1 : keys.last;
    for (int64_t j = keys.first; j < last;) {
        int64_t block_end = (j / TR_KEY_BLOCK + 1) * TR_KEY_BLOCK;
        int64_t end = last < block_end ? last : block_end;
        add_block(op, q, k, v, j, j - keys.first, end - j, sums);
        j = end;
    }
}

void tr_attn_ref_join(const struct tr_op *op, struct tr_attn_sums *left, const struct tr_attn_sums *right)
{
    if (right->keys == 0)
        return;
    if (left->keys == 0) {
        left->keys = right->keys;
        left->max = right->max;
        left->sum = right->sum;
        for (int64_t d = 0; d < op->head_dim; d++)
            left->o[d] = right->o[d];
        return;
    }
    float max = right->max > left->max ? right->max : left->max;
    float scale_left = tr_expf(left->max - max), scale_right = tr_expf(right->max - max);
    left->keys += right->keys;
    left->max = max;
    left->sum = fmaf(right->sum, scale_right, left->sum * scale_left);
    for (int64_t d = 0; d < op->head_dim; d++)
        left->o[d] = fmaf(right->o[d], scale_right, left->o[d] * scale_left);
}

void tr_attn_ref_finish(const struct tr_op *op, const struct tr_attn_sums *sums, void *o, float *stats)
{
    float inverse = 1.0f / sums->sum;
    for (int64_t d = 0; d < op->head_dim; d++)
        tr_store(o, op->act, d, sums->o[d] * inverse);
    stats[0] = sums->max + 0.0f; /* +0 also where the largest score is -0: which zero came first is no promise */
    stats[1] = sums->sum;
}

/* The row of one query and head, where its keys begin in memory, and the first one that it may see. */
struct row {
    const struct tr_call *call;
    const char *q, *k, *v;
    int64_t query, start;
};

/* The tree over the context parts [begin, end); sums->o is followed by scratch rows of head_dim. */
static void tree_of_parts(const struct row *row, int64_t begin, int64_t end, struct tr_attn_sums *sums)
{
    const struct tr_op *op = row->call->op;
    if (end - begin == 1) {
        struct tr_range keys = tr_attn_ref_seen(tr_op_keys(op, begin), row->start);
        int64_t offset = keys.first * tr_attn_kv_stride(op) * tr_dtype_bytes(op->act);
        tr_attn_ref_part(op, row->q, row->k + offset, row->v + offset, keys, row->query, sums);
        return;
    }
    struct tr_attn_sums right = {.o = sums->o + op->head_dim};
    int64_t middle = begin + tr_tree_split(end - begin);
    tree_of_parts(row, begin, middle, sums);
    tree_of_parts(row, middle, end, &right);
    tr_attn_ref_join(op, sums, &right);
}

int64_t tr_attn_ref_workspace(const struct tr_op *op, int threads)
{
    return threads * (int64_t)TR_TREE_DEPTH_MAX * op->head_dim * (int64_t)sizeof(float);
}

static void attn_row(const struct tr_call *call, int64_t token, int64_t head, float *scratch)
{
    const struct tr_op *op = call->op;
    int64_t group = op->heads / op->kv_heads, bytes = tr_dtype_bytes(op->act);
    int64_t seq = token / op->seq_len, index = token % op->seq_len;
    int64_t q_offset = (token * op->heads + head) * op->head_dim * bytes;
    int64_t kv_offset = (seq * op->positions * op->kv_heads * op->head_dim + head / group * tr_attn_head_stride(op)) * bytes;
    struct row row = {.call = call,
                      .q = (const char *)call->operand[TR_ATTN_Q] + q_offset,
                      .k = (const char *)call->operand[TR_ATTN_K] + kv_offset,
                      .v = (const char *)call->operand[TR_ATTN_V] + kv_offset,
                      .query = call->values->position + index,
                      .start = tr_call_start(call, TR_ATTN_START, token)};
    TR_ASSERT(row.query >= 0 && row.query < op->positions && row.start <= row.query);
    struct tr_attn_sums sums = {.o = scratch};
    tree_of_parts(&row, 0, op->context.parts, &sums);
    tr_attn_ref_finish(op, &sums, (char *)call->operand[TR_ATTN_O] + q_offset,
                       (float *)call->operand[TR_ATTN_STATS] + (token * op->heads + head) * 2);
    int64_t first_seen = head % group != 0 ? 0 : index == 0 ? sums.keys : 1; /* keys that no row read before */
    int64_t start_bytes = head == 0 && op->flags & TR_OP_APART ? (int64_t)sizeof(int32_t) : 0;
    tr_count_add(call->count, 4 * op->head_dim * sums.keys, (1 + 2 * first_seen) * op->head_dim * bytes + start_bytes,
                 op->head_dim * bytes + 2 * (int64_t)sizeof(float));
}

void tr_attn_ref(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    TR_ASSERT(op->kv_heads > 0 && op->heads % op->kv_heads == 0);
#pragma omp parallel for num_threads(call->threads)
    for (int64_t t = 0; t < op->seqs * op->seq_len; t++) {
        float *scratch = (float *)call->workspace + omp_get_thread_num() * (int64_t)TR_TREE_DEPTH_MAX * op->head_dim;
        for (int64_t h = 0; h < op->heads; h++)
            attn_row(call, t, h, scratch);
    }
}

/* ---- the pieces of the backward pass (attn_bwd_ref.c) ------------------------------------------------------------ */

float tr_attn_ref_delta(const struct tr_op *op, const void *o, const void *dout)
{
    float partial[TR_FOLD] = {0};
    for (int64_t d = 0; d < op->head_dim; d++)
        partial[d % TR_FOLD] = fmaf(tr_load(dout, op->act, d), tr_load(o, op->act, d), partial[d % TR_FOLD]);
    return tr_fold16(partial);
}

int64_t tr_attn_ref_scores(const struct tr_op *op, const void *q, const void *k, const void *v, const void *dout,
                           const float stats[2], float delta, struct tr_range keys, int64_t query, float *p, float *ds)
{
    int64_t stride = tr_attn_kv_stride(op);
    int64_t last = query + 1 < keys.last ? query + 1 : keys.last;
    float inverse = 1.0f / stats[1];
    int64_t count = 0;
    for (int64_t j = keys.first; j < last; j++, count++) {
        p[count] = tr_expf(score(op, q, k, count) - stats[0]) * inverse;
        struct tr_line value = tr_line_of(v, op->act, count * stride, 1);
        float dp = tr_chain(0.0f, tr_line_of(dout, op->act, 0, 1), value, op->head_dim, tr_pairs(op->act, op->act));
        ds[count] = p[count] * (dp - delta) * score_scale(op);
    }
    return count;
}

float tr_attn_ref_dq(const struct tr_op *op, const float *ds, const void *k, struct tr_range keys, int64_t d)
{
    int64_t stride = tr_attn_kv_stride(op);
    return chain_from(0.0f, tr_line_of(ds, TR_F32, 0, 1), tr_line_of(k, op->act, d, stride), keys.first,
                      keys.last - keys.first, tr_pairs(op->act, op->act));
}

float tr_attn_ref_dkv(const struct tr_op *op, const float *factor, int64_t stride, const void *rows,
                      struct tr_range queries, int64_t key, int64_t d)
{
    int64_t row_stride = (int64_t)op->heads * op->head_dim;
    int64_t first = key > queries.first ? key : queries.first;
    TR_ASSERT(first < queries.last);
    int64_t i = first - queries.first;
    return chain_from(0.0f, tr_line_of(factor, TR_F32, i * stride, stride),
                      tr_line_of(rows, op->act, i * row_stride + d, row_stride), first, queries.last - first,
                      tr_pairs(op->act, op->act));
}
