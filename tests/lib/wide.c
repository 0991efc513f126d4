#include "lib/wide.h"

#include <pthread.h>

static const struct tr_kernel wide_kernels[] = {
#if defined(__x86_64__)
    {.kind = TR_OP_EMBED, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_embed_wide},
    {.kind = TR_OP_EMBED, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_embed_wide},
    {.kind = TR_OP_EMBED_BWD, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_embed_bwd_wide},
    {.kind = TR_OP_EMBED_BWD, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_embed_bwd_wide},
    {.kind = TR_OP_NORM, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_norm_wide},
    {.kind = TR_OP_NORM, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_norm_wide},
    {.kind = TR_OP_NORM_BWD, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_norm_bwd_wide,
     .workspace = tr_norm_bwd_workspace_wide},
    {.kind = TR_OP_NORM_BWD, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_norm_bwd_wide,
     .workspace = tr_norm_bwd_workspace_wide},
    {.kind = TR_OP_LINEAR, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_linear_wide,
     .workspace = tr_linear_workspace_wide},
    {.kind = TR_OP_LINEAR, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_linear_wide,
     .workspace = tr_linear_workspace_wide},
    {.kind = TR_OP_LINEAR_PACKED, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_linear_packed_wide,
     .workspace = tr_linear_packed_workspace_wide},
    {.kind = TR_OP_LINEAR_PACKED, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_linear_packed_wide,
     .workspace = tr_linear_packed_workspace_wide},
    {.kind = TR_OP_LOSS, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_loss_wide},
    {.kind = TR_OP_LOSS, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_loss_wide},
    {.kind = TR_OP_LINEAR_DX, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_linear_dx_wide,
     .workspace = tr_linear_workspace_wide},
    {.kind = TR_OP_LINEAR_DX, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_linear_dx_wide,
     .workspace = tr_linear_workspace_wide},
    {.kind = TR_OP_LINEAR_DW, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_linear_dw_wide,
     .workspace = tr_linear_workspace_wide},
    {.kind = TR_OP_LINEAR_DW, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_linear_dw_wide,
     .workspace = tr_linear_workspace_wide},
    {.kind = TR_OP_ROPE, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_rope_wide, .workspace = tr_rope_workspace_wide},
    {.kind = TR_OP_ROPE, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_rope_wide,
     .workspace = tr_rope_workspace_wide},
    {.kind = TR_OP_ATTN, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_attn_wide, .workspace = tr_attn_workspace_wide},
    {.kind = TR_OP_ATTN_BWD, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_attn_bwd_wide,
     .workspace = tr_attn_bwd_workspace_wide},
    {.kind = TR_OP_ATTN, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_attn_wide,
     .workspace = tr_attn_workspace_wide},
    {.kind = TR_OP_ATTN_BWD, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_attn_bwd_wide,
     .workspace = tr_attn_bwd_workspace_wide},
    {.kind = TR_OP_GELU, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_gelu_wide},
    {.kind = TR_OP_GELU, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_gelu_wide},
    {.kind = TR_OP_GELU_BWD, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_gelu_bwd_wide},
    {.kind = TR_OP_GELU_BWD, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_gelu_bwd_wide},
    {.kind = TR_OP_LINEAR_END, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_linear_end_wide},
    {.kind = TR_OP_LINEAR_END, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_linear_end_wide},
    {.kind = TR_OP_SWIGLU, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_swiglu_wide},
    {.kind = TR_OP_SWIGLU, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_swiglu_wide},
    {.kind = TR_OP_SWIGLU_BWD, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_swiglu_bwd_wide},
    {.kind = TR_OP_SWIGLU_BWD, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_swiglu_bwd_wide},
    {.kind = TR_OP_HEAD, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_head_wide, .workspace = tr_head_workspace_wide},
    {.kind = TR_OP_HEAD, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_head_wide,
     .workspace = tr_head_workspace_wide},
    {.kind = TR_OP_ZERO, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_zero_wide},
    {.kind = TR_OP_ZERO, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_zero_wide},
    {.kind = TR_OP_FOLD, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_fold_wide},
    {.kind = TR_OP_FOLD, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_fold_wide},
    {.kind = TR_OP_JOIN, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_join_wide},
    {.kind = TR_OP_JOIN, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_join_wide},
    {.kind = TR_OP_GRAD_SQ, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_grad_sq_wide,
     .workspace = tr_grad_sq_workspace_wide},
    {.kind = TR_OP_GRAD_SQ, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_grad_sq_wide,
     .workspace = tr_grad_sq_workspace_wide},
    {.kind = TR_OP_ADAMW, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_adamw_wide},
    {.kind = TR_OP_ADAMW, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_adamw_wide},
    {.kind = TR_OP_MUON_MOMENT, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_muon_moment_wide,
     .workspace = tr_muon_moment_workspace_wide},
    {.kind = TR_OP_MUON, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_muon_wide},
    {.kind = TR_OP_MUON_MOMENT, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_muon_moment_wide,
     .workspace = tr_muon_moment_workspace_wide},
    {.kind = TR_OP_MUON, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_muon_wide},
    {.kind = TR_OP_MIX, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_mix_wide},
    {.kind = TR_OP_MIX, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_mix_wide},
    {.kind = TR_OP_CAST, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_cast_wide},
    {.kind = TR_OP_CAST, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_cast_wide},
#endif
    {.run = NULL},
};

static struct tr_kernel_set wide_set;
static pthread_once_t wide_set_filled = PTHREAD_ONCE_INIT;

static void fill_wide_set(void)
{
    wide_set = *tr_kernel_set(TR_ISA_REF);
    wide_set.isa = TR_ISA_AVX512; /* the shapes of its bodies */
    for (const struct tr_kernel *k = wide_kernels; k->run != NULL; k++)
        wide_set.kernel[k->kind][k->act == TR_BF16] = *k;
}

const struct tr_kernel_set *tr_wide_kernel_set(void)
{
    TR_ASSERT(pthread_once(&wide_set_filled, fill_wide_set) == 0);
    return &wide_set;
}

bool tr_wide_runs(void) { return tr_isa_runs(TR_ISA_AVX2); }
