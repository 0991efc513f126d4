#include "silicon/kernel/packed/packed.h"

const struct tr_kernel tr_packed_kernels[] = {
    {.kind = TR_OP_PACK, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_pack_ref},
    {.kind = TR_OP_PACK, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_pack_ref},
    {.kind = TR_OP_LINEAR_PACKED, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_linear_packed_ref},
    {.kind = TR_OP_LINEAR_PACKED, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_linear_packed_ref},
#if defined(__x86_64__)
    {.kind = TR_OP_LINEAR_PACKED, .isa = TR_ISA_AVX2, .act = TR_F32, .run = tr_linear_packed_avx2,
     .workspace = tr_linear_packed_workspace_avx2},
    {.kind = TR_OP_LINEAR_PACKED, .isa = TR_ISA_AVX2, .act = TR_BF16, .run = tr_linear_packed_avx2,
     .workspace = tr_linear_packed_workspace_avx2},
    {.kind = TR_OP_LINEAR_PACKED, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_linear_packed_avx512,
     .workspace = tr_linear_packed_workspace_avx512},
    {.kind = TR_OP_LINEAR_PACKED, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_linear_packed_avx512,
     .workspace = tr_linear_packed_workspace_avx512},
    {.kind = TR_OP_LINEAR_PACKED, .isa = TR_ISA_AVX512_BF16, .act = TR_F32, .run = tr_linear_packed_avx512bf16,
     .workspace = tr_linear_packed_workspace_avx512bf16},
    {.kind = TR_OP_LINEAR_PACKED, .isa = TR_ISA_AVX512_BF16, .act = TR_BF16, .run = tr_linear_packed_avx512bf16,
     .workspace = tr_linear_packed_workspace_avx512bf16},
#endif
    {.run = NULL},
};
