#include "silicon/kernel/head/head.h"

const struct tr_kernel tr_head_kernels[] = {
    {.kind = TR_OP_HEAD, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_head_ref, .workspace = tr_head_ref_workspace},
    {.kind = TR_OP_HEAD, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_head_ref, .workspace = tr_head_ref_workspace},
    {.kind = TR_OP_LOSS, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_loss_ref},
    {.kind = TR_OP_LOSS, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_loss_ref},
#if defined(__x86_64__)
    {.kind = TR_OP_LOSS, .isa = TR_ISA_AVX2, .act = TR_F32, .run = tr_loss_avx2},
    {.kind = TR_OP_LOSS, .isa = TR_ISA_AVX2, .act = TR_BF16, .run = tr_loss_avx2},
    {.kind = TR_OP_LOSS, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_loss_avx512},
    {.kind = TR_OP_LOSS, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_loss_avx512},
    {.kind = TR_OP_HEAD, .isa = TR_ISA_AVX2, .act = TR_F32, .run = tr_head_avx2, .workspace = tr_head_workspace_avx2},
    {.kind = TR_OP_HEAD, .isa = TR_ISA_AVX2, .act = TR_BF16, .run = tr_head_avx2, .workspace = tr_head_workspace_avx2},
    {.kind = TR_OP_HEAD, .isa = TR_ISA_AVX512, .act = TR_F32, .run = tr_head_avx512,
     .workspace = tr_head_workspace_avx512},
    {.kind = TR_OP_HEAD, .isa = TR_ISA_AVX512, .act = TR_BF16, .run = tr_head_avx512,
     .workspace = tr_head_workspace_avx512},
    {.kind = TR_OP_HEAD, .isa = TR_ISA_AVX512_BF16, .act = TR_BF16, .run = tr_head_avx512bf16,
     .workspace = tr_head_workspace_avx512bf16},
#endif
    {.run = NULL},
};
