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
    {.run = NULL},
};
