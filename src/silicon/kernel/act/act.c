#include "silicon/kernel/act/act.h"

const struct tr_kernel tr_act_kernels[] = {
    {.kind = TR_OP_GELU, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_gelu_ref},
    {.kind = TR_OP_GELU, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_gelu_ref},
    {.kind = TR_OP_GELU_BWD, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_gelu_bwd_ref},
    {.kind = TR_OP_GELU_BWD, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_gelu_bwd_ref},
    {.kind = TR_OP_SWIGLU, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_swiglu_ref},
    {.kind = TR_OP_SWIGLU, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_swiglu_ref},
    {.kind = TR_OP_SWIGLU_BWD, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_swiglu_bwd_ref},
    {.kind = TR_OP_SWIGLU_BWD, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_swiglu_bwd_ref},
#if defined(__x86_64__)
    {.kind = TR_OP_GELU, .isa = TR_ISA_AVX2, .act = TR_F32, .run = tr_gelu_avx2},
    {.kind = TR_OP_GELU_BWD, .isa = TR_ISA_AVX2, .act = TR_F32, .run = tr_gelu_bwd_avx2},
    {.kind = TR_OP_SWIGLU, .isa = TR_ISA_AVX2, .act = TR_F32, .run = tr_swiglu_avx2},
    {.kind = TR_OP_SWIGLU_BWD, .isa = TR_ISA_AVX2, .act = TR_F32, .run = tr_swiglu_bwd_avx2},
    {.kind = TR_OP_GELU, .isa = TR_ISA_AVX2, .act = TR_BF16, .run = tr_gelu_avx2},
    {.kind = TR_OP_GELU_BWD, .isa = TR_ISA_AVX2, .act = TR_BF16, .run = tr_gelu_bwd_avx2},
    {.kind = TR_OP_SWIGLU, .isa = TR_ISA_AVX2, .act = TR_BF16, .run = tr_swiglu_avx2},
    {.kind = TR_OP_SWIGLU_BWD, .isa = TR_ISA_AVX2, .act = TR_BF16, .run = tr_swiglu_bwd_avx2},
    {.kind = TR_OP_GELU, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_gelu_avx512},
    {.kind = TR_OP_GELU_BWD, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_gelu_bwd_avx512},
    {.kind = TR_OP_SWIGLU, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_swiglu_avx512},
    {.kind = TR_OP_SWIGLU_BWD, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_swiglu_bwd_avx512},
    {.kind = TR_OP_GELU, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_gelu_avx512},
    {.kind = TR_OP_GELU_BWD, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_gelu_bwd_avx512},
    {.kind = TR_OP_SWIGLU, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_swiglu_avx512},
    {.kind = TR_OP_SWIGLU_BWD, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_swiglu_bwd_avx512},
#endif
    {.run = NULL},
};
