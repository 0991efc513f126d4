/* Rotary position embedding (Su and others 2021), in place: turns the pairs (x[d], x[d + D/2]) of each of `heads` heads
 * of x [T, heads * D] by the angle of the token's position, values->position + its index in the sequence, with
 * TR_OP_APART less start[t].
 * TR_OP_INVERSE turns back: the backward pass.
 *
 * table [positions, D/2, 2] = (cos, sin) of the angle of row's position and pair d, fp32 (lab/model fills it).
 * Accuracy: 1.5 * 2^-24 of the pair's length, the table taken as exact. */
#ifndef TR_SILICON_KERNEL_ROPE_H
#define TR_SILICON_KERNEL_ROPE_H

#include "silicon/kernel/kernel.h"

void tr_rope_ref(const struct tr_call *call);

void tr_rope_avx2(const struct tr_call *call);
int64_t tr_rope_workspace_avx2(const struct tr_op *op, int threads);

void tr_rope_avx512(const struct tr_call *call);
int64_t tr_rope_workspace_avx512(const struct tr_op *op, int threads);

#endif
