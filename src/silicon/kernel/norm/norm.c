#include "silicon/kernel/norm/norm.h"

const struct tr_kernel tr_norm_kernels[] = {
    {.kind = TR_OP_NORM, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_norm_ref},
    {.kind = TR_OP_NORM, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_norm_ref},
    {.kind = TR_OP_NORM_BWD, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_norm_bwd_ref},
    {.kind = TR_OP_NORM_BWD, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_norm_bwd_ref},
#if defined(__x86_64__)
    {.kind = TR_OP_NORM, .isa = TR_ISA_AVX2, .act = TR_F32, .run = tr_norm_avx2},
    {.kind = TR_OP_NORM_BWD, .isa = TR_ISA_AVX2, .act = TR_F32, .run = tr_norm_bwd_avx2,
     .workspace = tr_norm_bwd_workspace_avx2},
    {.kind = TR_OP_NORM, .isa = TR_ISA_AVX2, .act = TR_BF16, .run = tr_norm_avx2},
    {.kind = TR_OP_NORM_BWD, .isa = TR_ISA_AVX2, .act = TR_BF16, .run = tr_norm_bwd_avx2,
     .workspace = tr_norm_bwd_workspace_avx2},
    {.kind = TR_OP_NORM, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_norm_avx512},
    {.kind = TR_OP_NORM_BWD, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_norm_bwd_avx512,
     .workspace = tr_norm_bwd_workspace_avx512},
    {.kind = TR_OP_NORM, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_norm_avx512},
    {.kind = TR_OP_NORM_BWD, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_norm_bwd_avx512,
     .workspace = tr_norm_bwd_workspace_avx512},
#endif
    {.run = NULL},
};
