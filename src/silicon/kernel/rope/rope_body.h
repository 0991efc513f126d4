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

static inline void rope_vector(float *low, float *high, const float *cosine, const float *sine, int64_t n)
{
    tr_v c = v_load(cosine), s = v_load(sine);
    tr_v a = n >= TR_VLEN ? v_load(low) : v_loadn(low, n), b = n >= TR_VLEN ? v_load(high) : v_loadn(high, n);
    tr_v new_low = v_fma(a, c, v_neg(v_mul(b, s))), new_high = v_fma(b, c, v_mul(a, s));
    if (n >= TR_VLEN) {
        v_store(low, new_low);
        v_store(high, new_high);
    } else {
        v_storen(low, new_low, n);
        v_storen(high, new_high, n);
    }
}

void TR_SIMD_NAME(tr_rope)(const struct tr_call *call)
{
    const struct tr_op *op = call->op;
    const float *table = call->operand[TR_ROPE_TABLE];
    int64_t half = op->head_dim / 2, padded = tr_round_up(half, 16), tokens = op->seqs * op->seq_len;
    bool inverse = (op->flags & TR_OP_INVERSE) != 0;
    TR_ASSERT(op->act == TR_F32 && op->head_dim % 2 == 0);
    TR_ASSERT(call->values->position >= 0 && call->values->position + op->seq_len <= op->positions);
    bool apart = (op->flags & TR_OP_APART) != 0;
#pragma omp parallel num_threads(call->threads)
    {
        float *cosine = (float *)call->workspace + omp_get_thread_num() * rope_scratch_floats(op);
        float *sine = cosine + padded;
        int64_t done = 0, rows = 0;
        for (int64_t i = half; i < padded; i++)
            cosine[i] = sine[i] = 0.0f;
#pragma omp for schedule(static)
        for (int64_t t = 0; t < tokens; t++) {
            int64_t position = call->values->position + t % op->seq_len - tr_call_start(call, TR_ROPE_START, t);
            TR_ASSERT(position >= 0 && position < op->positions);
            const float *angle = table + position * op->head_dim;
            for (int64_t i = 0; i < half; i++) {
                cosine[i] = angle[2 * i];
                sine[i] = inverse ? -angle[2 * i + 1] : angle[2 * i + 1];
            }
            for (int64_t h = 0; h < op->heads; h++) {
                float *x = (float *)call->operand[TR_ROPE_X] + (t * op->heads + h) * op->head_dim;
                for (int64_t i = 0; i < half; i += TR_VLEN)
                    rope_vector(x + i, x + half + i, cosine + i, sine + i, half - i);
            }
            done++;
            rows += apart || t < op->seq_len; /* the rows of the table are the same for every sequence */
        }
        int64_t bytes = 4 * done * op->heads * op->head_dim;
        tr_count_add(call->count, 0, bytes + 4 * rows * op->head_dim + (apart ? 4 * done : 0), bytes);
    }
}

#endif
