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

/* y = a + b, n elements */
static void embed_add(float *y, const float *a, const float *b, int64_t n)
{
    int64_t i = 0;
    for (; i + TR_VLEN <= n; i += TR_VLEN)
        v_store(y + i, v_add(v_load(a + i), v_load(b + i)));
    if (i < n)
        v_storen(y + i, v_add(v_loadn(a + i, n - i), v_loadn(b + i, n - i)), n - i);
}

void TR_SIMD_NAME(tr_embed)(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    const int32_t *tokens = call->operand[TR_EMBED_TOKENS];
    const float *wte = call->operand[TR_EMBED_WTE], *wpe = call->operand[TR_EMBED_WPE];
    float *y = call->operand[TR_EMBED_Y];
    int64_t width = op->width, first = call->values->position;
    bool apart = (op->flags & TR_OP_APART) != 0;
    TR_ASSERT(op->act == TR_F32 && op->weight == TR_F32);
    TR_ASSERT(wpe == NULL || (first >= 0 && first + op->seq_len <= op->positions));
#pragma omp parallel num_threads(call->threads)
    {
        int64_t done = 0, rows = 0;
#pragma omp for schedule(static)
        for (int64_t t = 0; t < op->seqs * op->seq_len; t++) {
            const float *row = wte + embed_token(tokens, t, op->vocab) * width;
            int64_t position = first + t % op->seq_len - tr_call_start(call, TR_EMBED_START, t);
            TR_ASSERT(wpe == NULL || position >= 0);
            if (wpe != NULL)
                embed_add(y + t * width, row, wpe + position * width, width);
            else
                memcpy(y + t * width, row, (size_t)width * sizeof(float));
            done++;
            rows += wpe != NULL && (apart || t < op->seq_len); /* every sequence has the same positions */
        }
        tr_count_add(call->count, 0, 4 * ((apart ? 2 : 1) * done + (done + rows) * width), 4 * done * width);
    }
}

/* The columns [at, at + n) of every token, in the order leaf, sequence, position. */
static void embed_bwd_columns(const struct tr_call *call, int64_t at, int64_t n)
{
    const struct tr_op *op = call->op;
    const int32_t *tokens = call->operand[TR_EMBED_BWD_TOKENS];
    const float *dy = (const float *)call->operand[TR_EMBED_BWD_DY] + at;
    float *dwte = (float *)call->operand[TR_EMBED_BWD_DWTE] + at, *dwpe = call->operand[TR_EMBED_BWD_DWPE];
    int64_t width = op->width, first = call->values->position, done = 0, read = 0, written = 0;
    bool apart = (op->flags & TR_OP_APART) != 0;
    for (int64_t leaf = 0; leaf < tr_op_leaves(op, TR_EMBED_BWD_DWTE); leaf++) {
        struct tr_range range = tr_op_leaf_tokens(op, TR_EMBED_BWD_DWTE, leaf);
        for (int64_t s = 0; s < op->seqs; s++) {
            for (int64_t i = range.first; i < range.last; i++) {
                int64_t t = s * op->seq_len + i;
                float *row = dwte + (leaf * op->vocab + embed_token(tokens, t, op->vocab)) * width;
                embed_add(row, row, dy + t * width, n);
                done++;
                if (dwpe == NULL)
                    continue;
                int64_t position = first + i - tr_call_start(call, TR_EMBED_BWD_START, t);
                TR_ASSERT(position >= 0 && position < op->positions);
                row = dwpe + ((apart ? leaf : 0) * op->positions + position) * width + at;
                embed_add(row, row, dy + t * width, n);
                read += apart || s == 0;
                written += apart || s == op->seqs - 1;
            }
        }
    }
    int64_t index_bytes = at == 0 ? 4 * (apart ? 2 : 1) * done : 0;
    tr_count_add(call->count, 0, 4 * (2 * done + read) * n + index_bytes, 4 * (done + written) * n);
}

void TR_SIMD_NAME(tr_embed_bwd)(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    TR_ASSERT(op->act == TR_F32);
    TR_ASSERT(call->operand[TR_EMBED_BWD_DWPE] == NULL ||
              (call->values->position >= 0 && call->values->position + op->seq_len <= op->positions));
    int64_t columns = tr_round_up(tr_ceil_div(op->width, call->threads), 16); /* whole cache lines, long runs */
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t at = 0; at < op->width; at += columns)
        embed_bwd_columns(call, at, tr_min_i64(columns, op->width - at));
}

#endif
