/* LayerNorm and RMSNorm (TR_OP_RMS) of rows of `width` elements; a token has `heads` rows: 1 for an ordinary norm, the
 * heads for norms of queries and keys.
 *
 *     NORM      y = (x - mean) * rstd * gain + bias, stats [rows, 2] = (mean, rstd); RMS: x * rstd * gain, mean 0
 *     NORM_BWD  dx from dy (added to dx with TR_OP_ADD_DX); dgain += dy * xhat, dbias += dy, accumulators
 *               [leaves, width] in fp32
 *
 * Accuracy of fp32, against double, as a share of the largest element: y 1.7e-7, dx 1.8e-7 up to
 * width 4096; dgain 3.4e-7, dbias 3.9e-7 over 1,024 tokens (chains over tokens grow with their number).
 *
 * Leaves are context parts (outer) times parts (inner); `part` cuts the tokens of a context part (heads = 1: sequence
 * parts) or the heads. bias, dbias and (for a norm that is not
 * trained) dgain are optional; no dbias without dgain. */
#ifndef TR_SILICON_KERNEL_NORM_H
#define TR_SILICON_KERNEL_NORM_H

#include "silicon/kernel/kernel.h"

void tr_norm_ref(const struct tr_call *call);
void tr_norm_bwd_ref(const struct tr_call *call);

void tr_norm_avx2(const struct tr_call *call);
void tr_norm_bwd_avx2(const struct tr_call *call);
int64_t tr_norm_bwd_workspace_avx2(const struct tr_op *op, int threads);

void tr_norm_avx512(const struct tr_call *call);
void tr_norm_bwd_avx512(const struct tr_call *call);
int64_t tr_norm_bwd_workspace_avx512(const struct tr_op *op, int threads);

#endif
