/* Products with weights in panels (silicon/op/panel.h), for generation: LINEAR_PACKED. And how weights get there: PACK.
 *
 * fp32 and bf16 weights are of the activations' type, and y has the bits of LINEAR; `part` may cut `in` (ROW_PARALLEL) in
 * all its parts, for bf16 at even places. int8 and int4 go with activations of either type, which are rounded to 8 bits a
 * block of 32 on the way; parts do not cut them.
 *
 * Accuracy of int8 and int4, beside the rounding of the weights: |y - truth| <= sum over blocks of max |x| / 254 * sum |w|
 * of the block, and what a chain of as many terms as there are blocks may lose (linear.h). */
#ifndef TR_SILICON_KERNEL_PACKED_PACKED_H
#define TR_SILICON_KERNEL_PACKED_PACKED_H

#include "silicon/kernel/kernel.h"

void tr_pack_ref(const struct tr_call *call);
void tr_linear_packed_ref(const struct tr_call *call);

/* The fast ones. Workspace: with int8 and int4 the rounded activations. avx512bf16 uses VNNI too. */
int64_t tr_linear_packed_workspace_avx2(const struct tr_op *op, int threads);
void tr_linear_packed_avx2(const struct tr_call *call);
int64_t tr_linear_packed_workspace_avx512(const struct tr_op *op, int threads);
void tr_linear_packed_avx512(const struct tr_call *call);
int64_t tr_linear_packed_workspace_avx512bf16(const struct tr_op *op, int threads);
void tr_linear_packed_avx512bf16(const struct tr_call *call);

#endif
