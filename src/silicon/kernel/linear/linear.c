#include "silicon/kernel/linear/linear.h"

const struct tr_kernel tr_linear_kernels[] = {
    {.kind = TR_OP_LINEAR, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_linear_ref},
    {.kind = TR_OP_LINEAR, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_linear_ref},
    {.kind = TR_OP_LINEAR_DX, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_linear_dx_ref},
    {.kind = TR_OP_LINEAR_DX, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_linear_dx_ref},
    {.kind = TR_OP_LINEAR_DW, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_linear_dw_ref},
    {.kind = TR_OP_LINEAR_DW, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_linear_dw_ref},
    {.run = NULL},
};
