#include "silicon/kernel/rope/rope.h"

const struct tr_kernel tr_rope_kernels[] = {
    {.kind = TR_OP_ROPE, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_rope_ref},
    {.kind = TR_OP_ROPE, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_rope_ref},
    {.run = NULL},
};
