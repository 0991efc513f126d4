#include "silicon/kernel/head/head.h"

const struct tr_kernel tr_head_kernels[] = {
    {.kind = TR_OP_HEAD, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_head_ref, .workspace = tr_head_ref_workspace},
    {.kind = TR_OP_HEAD, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_head_ref, .workspace = tr_head_ref_workspace},
    {.run = NULL},
};
