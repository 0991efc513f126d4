/* The head: logits, cross-entropy and their gradients in one operation, a tile of rows at a time, so that the logits
 * [T, V] are never stored.
 *
 *     z = x w^T, loss[t] = log(sum over v of exp(z[v] - m)) - (z[target] - m),  m = max z
 *     GRAD: dz = (softmax(z) - [target]) * loss_scale, dx = dz w, dw += dz^T x (accumulators [leaves, V, C]);
 *           without dw, for a head that is not trained, dx alone
 *
 * Accuracy of fp32: logits as LINEAR's; exp within 1.1 ULP (fn.h); the sum over the vocabulary is 16 strided chains of V / 16
 * positive terms, so at most V / 16 + 4 roundings of 2^-24 each. Against double the loss of whole models is within 3e-7
 * of itself (tests/lab/exchange/test_torch.c), dx and dw within the bounds of tests/lib/ref64.h (test_truth.c).
 *
 * Shapes: x, dx [T, C]; w [V, C]; targets, loss [T]. A target of -1 (padding) has loss 0 and a dz row of +0.
 * `part` cuts the vocabulary (quantum 2) and must be whole here: one rank has all of it.
 * Workspace of the reference: TR_TOKEN_BLOCK rows of logits.
 *
 * The pieces of the sums over the vocabulary are functions, so that a test can evaluate the parts apart, on several
 * owners, in any order, and join them by the tree. */
#ifndef TR_SILICON_KERNEL_HEAD_H
#define TR_SILICON_KERNEL_HEAD_H

#include "silicon/kernel/kernel.h"

void tr_head_ref(const struct tr_call *call);
int64_t tr_head_ref_workspace(const struct tr_op *op, int threads);

/* LOSS: the loss of logits [T, V] that are there, one vocabulary part. */
void tr_loss_ref(const struct tr_call *call);
void tr_loss_avx2(const struct tr_call *call);
void tr_loss_avx512(const struct tr_call *call);

/* The fast ones. Workspace: 2 TR_TOKEN_BLOCK rows of logits at most, and packed panels (gemm.h). */
void tr_head_avx2(const struct tr_call *call);
int64_t tr_head_workspace_avx2(const struct tr_op *op, int threads);
void tr_head_avx512(const struct tr_call *call);
int64_t tr_head_workspace_avx512(const struct tr_op *op, int threads);
void tr_head_avx512bf16(const struct tr_call *call); /* bf16 only */
int64_t tr_head_workspace_avx512bf16(const struct tr_op *op, int threads);

/* Sum of exp(z[v] - max) over the n logits of one vocabulary part; z points at its first. */
float tr_head_ref_part_sum(const float *z, int64_t n, float max);

/* dx[c] of one vocabulary part: the chain of dz[v] w[v, c]; dz and w [n, width] point at the part's first row. */
float tr_head_ref_part_dx(const struct tr_op *op, const float *dz, const void *w, int64_t n, int64_t c);

#endif
