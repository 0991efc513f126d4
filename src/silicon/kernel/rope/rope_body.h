/* ROPE in vector words: lanes run along the pairs of a head. The (cos, sin) of a position are parted once for all its
 * heads, in the workspace. */
#ifndef TR_SILICON_KERNEL_ROPE_BODY_H
#define TR_SILICON_KERNEL_ROPE_BODY_H

#include "base/num.h"
#include "silicon/kernel/rope/rope.h"
#include "silicon/kernel/simd.h"

#include <omp.h>

static int64_t rope_scratch_floats(const struct tr_op *op) { return 2 * tr_round_up(op->head_dim / 2, 16); }

int64_t TR_SIMD_NAME(tr_rope_workspace)(const struct tr_op *op, int threads)
{
    return threads * rope_scratch_floats(op) * (int64_t)sizeof(float);
}

/* The n pairs whose first elements begin at element `low` of x, the second ones at `high`. */
TR_V_INLINE void rope_vector(void *x, int64_t low, int64_t high, const float *cosine, const float *sine, int64_t n,
                             const enum tr_dtype type)
{
    tr_v c = v_load(cosine), s = v_load(sine);
    tr_v a = v_loadn_at(x, type, low, n), b = v_loadn_at(x, type, high, n);
    v_storen_at(x, type, low, v_fma(a, c, v_neg(v_mul(b, s))), n);
    v_storen_at(x, type, high, v_fma(b, c, v_mul(a, s)), n);
}

/* The heads of one token, whose first element is number `first` of x. */
TR_V_INLINE void rope_token(void *x, int64_t first, const struct tr_op *op, const float *cosine, const float *sine,
                            const enum tr_dtype type)
{
    const int64_t half = op->head_dim / 2;
    for (int64_t h = 0; h < op->heads; h++, first += op->head_dim)
        for (int64_t i = 0; i < half; i += TR_VLEN)
            rope_vector(x, first + i, first + half + i, cosine + i, sine + i, half - i, type);
}

/* Tokens [first, last), by one thread. */
static void rope_tokens(const struct tr_call *call, int64_t first, int64_t last, float *cosine)
{
    const struct tr_op *op = call->op;
    const float *table = call->operand[TR_ROPE_TABLE];
    const int64_t half = op->head_dim / 2, padded = tr_round_up(half, 16);
    const bool inverse = (op->flags & TR_OP_INVERSE) != 0, apart = (op->flags & TR_OP_APART) != 0;
    float *sine = cosine + padded;
    int64_t rows = 0;
    for (int64_t i = half; i < padded; i++)
        cosine[i] = sine[i] = 0.0f;
    for (int64_t t = first; t < last; t++) {
        int64_t position = call->values->position + t % op->seq_len - tr_call_start(call, TR_ROPE_START, t);
        TR_ASSERT(position >= 0 && position < op->positions);
        const float *angle = table + position * op->head_dim;
        for (int64_t i = 0; i < half; i++) {
            cosine[i] = angle[2 * i];
            sine[i] = inverse ? -angle[2 * i + 1] : angle[2 * i + 1];
        }
        const int64_t at = t * op->heads * op->head_dim;
        if (op->act == TR_BF16)
            rope_token(call->operand[TR_ROPE_X], at, op, cosine, sine, TR_BF16);
        else
            rope_token(call->operand[TR_ROPE_X], at, op, cosine, sine, TR_F32);
        rows += apart || t < op->seq_len; /* the rows of the table are the same for every sequence */
    }
    const int64_t done = last - first, bytes = tr_dtype_bytes(op->act) * done * op->heads * op->head_dim;
    tr_count_add(call->count, 0, bytes + 4 * rows * op->head_dim + (apart ? 4 * done : 0), bytes);
}

void TR_SIMD_NAME(tr_rope)(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    const int64_t tokens = op->seqs * op->seq_len;
    TR_ASSERT(op->head_dim % 2 == 0);
    TR_ASSERT(call->values->position >= 0 && call->values->position + op->seq_len <= op->positions);
    if (tokens == 1) /* done before other threads have been called */
        return rope_tokens(call, 0, 1, call->workspace);
#pragma omp parallel num_threads(call->threads)
    {
        const int64_t team = omp_get_num_threads(), thread = omp_get_thread_num();
        rope_tokens(call, tokens * thread / team, tokens * (thread + 1) / team,
                    (float *)call->workspace + thread * rope_scratch_floats(op));
    }
}

#endif
