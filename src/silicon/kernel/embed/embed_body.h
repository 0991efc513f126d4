/* EMBED and EMBED_BWD in vector words. The forward pass cuts the tokens over threads; the backward pass the columns,
 * so that a token that occurs twice is added in its order by one thread. */
#ifndef TR_SILICON_KERNEL_EMBED_BODY_H
#define TR_SILICON_KERNEL_EMBED_BODY_H

#include "base/num.h"
#include "silicon/kernel/embed/embed.h"
#include "silicon/kernel/simd.h"

static int64_t embed_token(const int32_t *tokens, int64_t t, int64_t vocab)
{
    TR_ASSERT(tokens[t] >= 0 && tokens[t] < vocab);
    return tokens[t];
}

/* n elements of y from y_at on = those of a from a_at on + those of b from b_at on */
TR_V_INLINE void embed_row(void *y, int64_t y_at, const void *a, int64_t a_at, const void *b, int64_t b_at, int64_t n,
                           const enum tr_dtype type)
{
    for (int64_t i = 0; i < n; i += TR_VLEN) {
        tr_v sum = v_add(v_loadn_at(a, type, a_at + i, n - i), v_loadn_at(b, type, b_at + i, n - i));
        v_storen_at(y, type, y_at + i, sum, n - i);
    }
}

void TR_SIMD_NAME(tr_embed)(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    const int32_t *tokens = call->operand[TR_EMBED_TOKENS];
    const char *wte = call->operand[TR_EMBED_WTE];
    const void *wpe = call->operand[TR_EMBED_WPE];
    void *y = call->operand[TR_EMBED_Y];
    int64_t width = op->width, first = call->values->position + tr_op_first_token(op), bytes = tr_dtype_bytes(op->act);
    bool apart = (op->flags & TR_OP_APART) != 0;
    TR_ASSERT(op->act == op->weight);
    TR_ASSERT(wpe == NULL || (first >= 0 && first + op->seq_len <= op->positions));
#pragma omp parallel num_threads(call->threads)
    {
        int64_t done = 0, rows = 0;
#pragma omp for schedule(static)
        for (int64_t t = 0; t < op->seqs * op->seq_len; t++) {
            const int64_t row = embed_token(tokens, t, op->vocab) * width;
            const int64_t position = first + t % op->seq_len - tr_call_start(call, TR_EMBED_START, t);
            TR_ASSERT(wpe == NULL || position >= 0);
            if (wpe == NULL)
                memcpy((char *)y + t * width * bytes, wte + row * bytes, (size_t)(width * bytes));
            else if (op->act == TR_BF16)
                embed_row(y, t * width, wte, row, wpe, position * width, width, TR_BF16);
            else
                embed_row(y, t * width, wte, row, wpe, position * width, width, TR_F32);
            done++;
            rows += wpe != NULL && (apart || t < op->seq_len); /* every sequence has the same positions */
        }
        tr_count_add(call->count, 0, 4 * (apart ? 2 : 1) * done + bytes * (done + rows) * width, bytes * done * width);
    }
}

/* sum += the n elements of dy from element `at` on */
TR_V_INLINE void embed_add(float *sum, const void *dy, int64_t at, int64_t n, const enum tr_dtype type)
{
    for (int64_t i = 0; i < n; i += TR_VLEN)
        v_storen_at(sum, TR_F32, i, v_add(v_loadn_at(sum, TR_F32, i, n - i), v_loadn_at(dy, type, at + i, n - i)), n - i);
}

/* The columns [at, at + n) of every token, in the order leaf, sequence, position. */
TR_V_INLINE void embed_bwd_columns(const struct tr_call *call, int64_t at, int64_t n, const enum tr_dtype type)
{
    const struct tr_op *op = call->op;
    const int32_t *tokens = call->operand[TR_EMBED_BWD_TOKENS];
    const void *dy = call->operand[TR_EMBED_BWD_DY];
    float *dwte = (float *)call->operand[TR_EMBED_BWD_DWTE] + at, *dwpe = call->operand[TR_EMBED_BWD_DWPE];
    int64_t width = op->width, first = call->values->position + tr_op_first_token(op), done = 0, read = 0, written = 0;
    bool apart = (op->flags & TR_OP_APART) != 0;
    for (int64_t leaf = 0; leaf < tr_op_leaves(op, TR_EMBED_BWD_DWTE); leaf++) {
        struct tr_range range = tr_op_leaf_tokens(op, TR_EMBED_BWD_DWTE, leaf);
        for (int64_t s = 0; s < op->seqs; s++) {
            for (int64_t i = range.first; i < range.last; i++) {
                int64_t t = s * op->seq_len + i;
                float *row = dwte + (leaf * op->vocab + embed_token(tokens, t, op->vocab)) * width;
                embed_add(row, dy, t * width + at, n, type);
                done++;
                if (dwpe == NULL)
                    continue;
                int64_t position = first + i - tr_call_start(call, TR_EMBED_BWD_START, t);
                TR_ASSERT(position >= 0 && position < op->positions);
                row = dwpe + ((apart ? leaf : 0) * op->positions + position) * width + at;
                embed_add(row, dy, t * width + at, n, type);
                read += apart || s == 0;
                written += apart || s == op->seqs - 1;
            }
        }
    }
    int64_t index_bytes = at == 0 ? 4 * (apart ? 2 : 1) * done : 0;
    int64_t read_bytes = (4 * (done + read) + tr_dtype_bytes(type) * done) * n + index_bytes;
    tr_count_add(call->count, 0, read_bytes, 4 * (done + written) * n);
}

void TR_SIMD_NAME(tr_embed_bwd)(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    TR_ASSERT(call->operand[TR_EMBED_BWD_DWPE] == NULL ||
              (call->values->position >= 0 &&
               call->values->position + tr_op_first_token(op) + op->seq_len <= op->positions));
    int64_t columns = tr_round_up(tr_ceil_div(op->width, call->threads), 16); /* whole cache lines, long runs */
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t at = 0; at < op->width; at += columns)
        if (op->act == TR_BF16)
            embed_bwd_columns(call, at, tr_min_i64(columns, op->width - at), TR_BF16);
        else
            embed_bwd_columns(call, at, tr_min_i64(columns, op->width - at), TR_F32);
}

#endif
