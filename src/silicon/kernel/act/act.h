/* What is done element by element: the activations, functions of fn.h on fp32, rounded at the store. Operands are [T, width], a
 * bias [width].
 *
 *     GELU        y = gelu(x), the tanh form            GELU_BWD    dx = dy * gelu'(x)
 *     SWIGLU      y = silu(gate) * up                   SWIGLU_BWD  dgate = dy up silu'(gate), dup = dy silu(gate)
 *
 *     LINEAR_END  y = sum (+ bias) (+ residual): sum in fp32; after products whose parts ranks share
 *
 * Outputs may be the buffers of inputs (the same element is read before it is written).
 *
 * Accuracy, seen over 2e7 points of [-20, 20] against double: |error of gelu or silu| <= 2.5 * 2^-24 |x|; slopes within
 * 2.0e-6 (gelu') and 1.0e-6 (silu'). */
#ifndef TR_SILICON_KERNEL_ACT_H
#define TR_SILICON_KERNEL_ACT_H

#include "silicon/kernel/kernel.h"

void tr_gelu_ref(const struct tr_call *call);
void tr_gelu_bwd_ref(const struct tr_call *call);
void tr_swiglu_ref(const struct tr_call *call);
void tr_swiglu_bwd_ref(const struct tr_call *call);
void tr_linear_end_ref(const struct tr_call *call);

void tr_gelu_avx2(const struct tr_call *call);
void tr_gelu_bwd_avx2(const struct tr_call *call);
void tr_swiglu_avx2(const struct tr_call *call);
void tr_swiglu_bwd_avx2(const struct tr_call *call);
void tr_linear_end_avx2(const struct tr_call *call);

void tr_gelu_avx512(const struct tr_call *call);
void tr_gelu_bwd_avx512(const struct tr_call *call);
void tr_swiglu_avx512(const struct tr_call *call);
void tr_swiglu_bwd_avx512(const struct tr_call *call);
void tr_linear_end_avx512(const struct tr_call *call);

#endif
