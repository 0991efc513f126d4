/* What happens to gradients once a lane and once a step, and the loss. All fp32.
 *
 *     ZERO      dst = +0
 *     FOLD      leaves [context parts * parts, count] -> leaf 0, the tree over context parts of the trees over parts; of a sub-range
 *               of the context parts each subtree into the first of its leaves;
 *               the other leaves are undefined after it
 *     JOIN      dst = dst + src
 *     LOSS_SUM  values->loss_sum += exact sum of loss [T]     GRAD_SQ  values->grad_sq += exact sum of grad^2
 *     CLIP      values->grad_norm and values->clip_factor from values->grad_sq and values->clip_norm
 *     ADAMW     w, m, v from grad * values->clip_factor (Loshchilov and Hutter 2019); decay with TR_OP_DECAY
 *     MUON_MOMENT, MUON   Muon (Jordan and others 2024) before and after the orthogonalisation, which lab/model makes of
 *               LINEAR* and MIX; alpha, the learning rate's factor, is lab/model's too
 *     MIX       dst = alpha dst (+ beta src), of activation type
 *     CAST      dst = src, rounded to the weights' type. ADAMW and MUON write such a copy of the new w on the way
 *
 * Accuracy: GRAD_SQ and LOSS_SUM round nothing; the others are the fp32 operations of docs/contract.md, each rounded
 * once, and the norm in MUON_MOMENT is exact before its root.
 *
 * GRAD_SQ, CLIP and LOSS_SUM write to call->values: one at a time. */
#ifndef TR_SILICON_KERNEL_UPDATE_H
#define TR_SILICON_KERNEL_UPDATE_H

#include "silicon/kernel/kernel.h"

#define TR_MUON_NORM_MIN 1e-7 /* a direction of less norm is not blown up to 1 */

void tr_zero_ref(const struct tr_call *call);
void tr_fold_ref(const struct tr_call *call);
void tr_join_ref(const struct tr_call *call);
void tr_loss_sum_ref(const struct tr_call *call);
void tr_grad_sq_ref(const struct tr_call *call);
void tr_clip_ref(const struct tr_call *call);
void tr_adamw_ref(const struct tr_call *call);
void tr_muon_moment_ref(const struct tr_call *call);
void tr_mix_ref(const struct tr_call *call);
void tr_muon_ref(const struct tr_call *call);
void tr_cast_ref(const struct tr_call *call);

void tr_zero_avx2(const struct tr_call *call);
void tr_fold_avx2(const struct tr_call *call);
void tr_join_avx2(const struct tr_call *call);
void tr_grad_sq_avx2(const struct tr_call *call);
int64_t tr_grad_sq_workspace_avx2(const struct tr_op *op, int threads);
void tr_adamw_avx2(const struct tr_call *call);
void tr_muon_moment_avx2(const struct tr_call *call);
int64_t tr_muon_moment_workspace_avx2(const struct tr_op *op, int threads);
void tr_mix_avx2(const struct tr_call *call);
void tr_muon_avx2(const struct tr_call *call);
void tr_cast_avx2(const struct tr_call *call);

void tr_zero_avx512(const struct tr_call *call);
void tr_fold_avx512(const struct tr_call *call);
void tr_join_avx512(const struct tr_call *call);
void tr_grad_sq_avx512(const struct tr_call *call);
int64_t tr_grad_sq_workspace_avx512(const struct tr_op *op, int threads);
void tr_adamw_avx512(const struct tr_call *call);
void tr_muon_moment_avx512(const struct tr_call *call);
int64_t tr_muon_moment_workspace_avx512(const struct tr_op *op, int threads);
void tr_mix_avx512(const struct tr_call *call);
void tr_muon_avx512(const struct tr_call *call);
void tr_cast_avx512(const struct tr_call *call);

#endif
