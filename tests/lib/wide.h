/* The kernels of 16 lanes on a machine that has no AVX-512: the bodies of src/silicon/kernel compiled with 16 lanes made
 * of two AVX2 registers (simd.h). They are slow, and only tests have them: an instruction set "wide" beside those of
 * kernel.h, so that every edge of the 16-lane shapes is compared with the reference. What they cannot show is whether
 * the AVX-512 instructions themselves do what their words say; that is checked where the processor has them. */
#ifndef TR_TESTS_LIB_WIDE_H
#define TR_TESTS_LIB_WIDE_H

#include "silicon/kernel/kernel.h"
#include "silicon/kernel/linear/gemm.h"

/* The kernels of "wide", with the reference where there is none. Valid for ever. */
const struct tr_kernel_set *tr_wide_kernel_set(void);

/* Whether this processor and this build can run them. */
bool tr_wide_runs(void);

void tr_embed_wide(const struct tr_call *call);
void tr_embed_bwd_wide(const struct tr_call *call);
void tr_norm_wide(const struct tr_call *call);
void tr_norm_bwd_wide(const struct tr_call *call);
void tr_linear_wide(const struct tr_call *call);
void tr_linear_packed_wide(const struct tr_call *call);
void tr_loss_wide(const struct tr_call *call);
void tr_linear_dx_wide(const struct tr_call *call);
void tr_linear_dw_wide(const struct tr_call *call);
void tr_rope_wide(const struct tr_call *call);
void tr_attn_wide(const struct tr_call *call);
void tr_attn_bwd_wide(const struct tr_call *call);
void tr_gelu_wide(const struct tr_call *call);
void tr_gelu_bwd_wide(const struct tr_call *call);
void tr_swiglu_wide(const struct tr_call *call);
void tr_swiglu_bwd_wide(const struct tr_call *call);
void tr_linear_end_wide(const struct tr_call *call);
void tr_head_wide(const struct tr_call *call);
void tr_zero_wide(const struct tr_call *call);
void tr_fold_wide(const struct tr_call *call);
void tr_join_wide(const struct tr_call *call);
void tr_grad_sq_wide(const struct tr_call *call);
void tr_adamw_wide(const struct tr_call *call);
void tr_muon_moment_wide(const struct tr_call *call);
int64_t tr_muon_moment_workspace_wide(const struct tr_op *op, int threads);
void tr_mix_wide(const struct tr_call *call);
void tr_muon_wide(const struct tr_call *call);
void tr_cast_wide(const struct tr_call *call);

int64_t tr_attn_workspace_wide(const struct tr_op *op, int threads);
int64_t tr_attn_bwd_workspace_wide(const struct tr_op *op, int threads);
int64_t tr_grad_sq_workspace_wide(const struct tr_op *op, int threads);
int64_t tr_head_workspace_wide(const struct tr_op *op, int threads);
int64_t tr_linear_workspace_wide(const struct tr_op *op, int threads);
int64_t tr_linear_packed_workspace_wide(const struct tr_op *op, int threads);
int64_t tr_norm_bwd_workspace_wide(const struct tr_op *op, int threads);
int64_t tr_rope_workspace_wide(const struct tr_op *op, int threads);

void tr_gemm_wide(const struct tr_gemm *gemm, void *workspace, struct tr_count *count, int threads);
int64_t tr_gemm_workspace_wide(const struct tr_gemm_size *size, int threads);

#endif
