#include "silicon/kernel/linear/linear.h"

const struct tr_kernel tr_linear_kernels[] = {
    {.kind = TR_OP_LINEAR, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_linear_ref},
    {.kind = TR_OP_LINEAR, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_linear_ref},
    {.kind = TR_OP_LINEAR_DX, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_linear_dx_ref},
    {.kind = TR_OP_LINEAR_DX, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_linear_dx_ref},
    {.kind = TR_OP_LINEAR_DW, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_linear_dw_ref},
    {.kind = TR_OP_LINEAR_DW, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_linear_dw_ref},
#if defined(__x86_64__)
    {.kind = TR_OP_LINEAR, .isa = TR_ISA_AVX2, .act = TR_F32, .run = tr_linear_avx2,
     .workspace = tr_linear_workspace_avx2},
    {.kind = TR_OP_LINEAR_DX, .isa = TR_ISA_AVX2, .act = TR_F32, .run = tr_linear_dx_avx2,
     .workspace = tr_linear_workspace_avx2},
    {.kind = TR_OP_LINEAR_DW, .isa = TR_ISA_AVX2, .act = TR_F32, .run = tr_linear_dw_avx2,
     .workspace = tr_linear_workspace_avx2},
    {.kind = TR_OP_LINEAR, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_linear_avx512,
     .workspace = tr_linear_workspace_avx512},
    {.kind = TR_OP_LINEAR_DX, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_linear_dx_avx512,
     .workspace = tr_linear_workspace_avx512},
    {.kind = TR_OP_LINEAR_DW, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_linear_dw_avx512,
     .workspace = tr_linear_workspace_avx512},
#endif
    {.run = NULL},
};
