#include "silicon/kernel/rope/rope.h"

const struct tr_kernel tr_rope_kernels[] = {
    {.kind = TR_OP_ROPE, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_rope_ref},
    {.kind = TR_OP_ROPE, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_rope_ref},
#if defined(__x86_64__)
    {.kind = TR_OP_ROPE, .isa = TR_ISA_AVX2, .act = TR_F32, .run = tr_rope_avx2, .workspace = tr_rope_workspace_avx2},
    {.kind = TR_OP_ROPE, .isa = TR_ISA_AVX2, .act = TR_BF16, .run = tr_rope_avx2, .workspace = tr_rope_workspace_avx2},
    {.kind = TR_OP_ROPE, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_rope_avx512,
     .workspace = tr_rope_workspace_avx512},
    {.kind = TR_OP_ROPE, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_rope_avx512,
     .workspace = tr_rope_workspace_avx512},
#endif
    {.run = NULL},
};
