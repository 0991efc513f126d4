#include "silicon/kernel/norm/norm.h"

const struct tr_kernel tr_norm_kernels[] = {
    {.kind = TR_OP_NORM, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_norm_ref},
    {.kind = TR_OP_NORM, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_norm_ref},
    {.kind = TR_OP_NORM_BWD, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_norm_bwd_ref},
    {.kind = TR_OP_NORM_BWD, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_norm_bwd_ref},
    {.run = NULL},
};
