#include "silicon/kernel/attn/attn.h"

const struct tr_kernel tr_attn_kernels[] = {
    {.kind = TR_OP_ATTN, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_attn_ref, .workspace = tr_attn_ref_workspace},
    {.kind = TR_OP_ATTN, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_attn_ref, .workspace = tr_attn_ref_workspace},
    {.kind = TR_OP_ATTN_BWD, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_attn_bwd_ref,
     .workspace = tr_attn_bwd_ref_workspace},
    {.kind = TR_OP_ATTN_BWD, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_attn_bwd_ref,
     .workspace = tr_attn_bwd_ref_workspace},
#if defined(__x86_64__)
    {.kind = TR_OP_ATTN, .isa = TR_ISA_AVX2, .act = TR_F32, .run = tr_attn_avx2,
     .workspace = tr_attn_workspace_avx2},
    {.kind = TR_OP_ATTN_BWD, .isa = TR_ISA_AVX2, .act = TR_F32, .run = tr_attn_bwd_avx2,
     .workspace = tr_attn_bwd_workspace_avx2},
    {.kind = TR_OP_ATTN, .isa = TR_ISA_AVX2, .act = TR_BF16, .run = tr_attn_avx2,
     .workspace = tr_attn_workspace_avx2},
    {.kind = TR_OP_ATTN_BWD, .isa = TR_ISA_AVX2, .act = TR_BF16, .run = tr_attn_bwd_avx2,
     .workspace = tr_attn_bwd_workspace_avx2},
    {.kind = TR_OP_ATTN, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_attn_avx512,
     .workspace = tr_attn_workspace_avx512},
    {.kind = TR_OP_ATTN_BWD, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_attn_bwd_avx512,
     .workspace = tr_attn_bwd_workspace_avx512},
    {.kind = TR_OP_ATTN, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_attn_avx512,
     .workspace = tr_attn_workspace_avx512},
    {.kind = TR_OP_ATTN_BWD, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_attn_bwd_avx512,
     .workspace = tr_attn_bwd_workspace_avx512},
    {.kind = TR_OP_ATTN, .isa = TR_ISA_AVX512_BF16, .act = TR_BF16, .run = tr_attn_avx512bf16,
     .workspace = tr_attn_workspace_avx512bf16},
    {.kind = TR_OP_ATTN_BWD, .isa = TR_ISA_AVX512_BF16, .act = TR_BF16, .run = tr_attn_bwd_avx512bf16,
     .workspace = tr_attn_bwd_workspace_avx512bf16},
#endif
    {.run = NULL},
};
