/* Matrix products of the linear layers. Shapes as in op.h: x [T, in], w_i [out_i, in], y_i [T, out_i]; up to three
 * weights share x (q/k/v, gate/up), so that the gradient of x is one sum.
 *
 *     LINEAR     y_i = x w_i^T (+ b_i) (+ residual)
 *     LINEAR_DX  dx = sum_i dy_i w_i
 *     LINEAR_DW  dw_i += dy_i^T x,  db_i += sum of dy_i over tokens; accumulators [leaves, ...] in fp32
 *
 * An operation that does a sub-range of the parts that cut the axis it sums (LINEAR row parallel, LINEAR_DX column
 * parallel) writes partial sums, fp32, one slab [T, out] for each node of tr_tree_roots, without bias and residual
 * (which must be NULL); tr_tree_join_roots makes the sum of all owners' slabs.
 *
 * Accuracy of fp32: a sum of k products is one chain, so its error is at most k 2^-24 sum |x w| (Higham, Accuracy and
 * Stability, 3.5). With normally distributed factors the error is 1.8e-8 sqrt(k) of the result's root mean square at
 * k = 64 to 12,288, and the largest of 2,000 results 1.1e-7 sqrt(k) (5e-7 and 3e-6 at k = 768). LINEAR_DW sums tokens in
 * blocks of TR_TOKEN_BLOCK, so there k is 256 plus the number of blocks. tests/silicon/kernel/test_truth.c holds every
 * element to the bound.
 *
 * Pair chains (reduce.h) when both factors are stored as bf16; a segment's share of a chain over `out` is padded to an
 * even count by itself. */
#ifndef TR_SILICON_KERNEL_LINEAR_H
#define TR_SILICON_KERNEL_LINEAR_H

#include "silicon/kernel/kernel.h"

void tr_linear_ref(const struct tr_call *call);
void tr_linear_dx_ref(const struct tr_call *call);
void tr_linear_dw_ref(const struct tr_call *call);

/* The fast ones: gemm.h. Weights are of the type of the activations. Workspace: packed panels of some 2 MiB, and sums when
 * the axis is cut or y is rounded to bf16 after more than one panel of k. */
int64_t tr_linear_workspace_avx2(const struct tr_op *op, int threads);
void tr_linear_avx2(const struct tr_call *call);
void tr_linear_dx_avx2(const struct tr_call *call);
void tr_linear_dw_avx2(const struct tr_call *call);
int64_t tr_linear_workspace_avx512(const struct tr_op *op, int threads);
void tr_linear_avx512(const struct tr_call *call);
void tr_linear_dx_avx512(const struct tr_call *call);
void tr_linear_dw_avx512(const struct tr_call *call);
int64_t tr_linear_workspace_avx512bf16(const struct tr_op *op, int threads); /* bf16 only */
void tr_linear_avx512bf16(const struct tr_call *call);
void tr_linear_dx_avx512bf16(const struct tr_call *call);
void tr_linear_dw_avx512bf16(const struct tr_call *call);

#endif
