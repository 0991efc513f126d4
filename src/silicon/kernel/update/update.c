#include "silicon/kernel/update/update.h"

const struct tr_kernel tr_update_kernels[] = {
    {.kind = TR_OP_ZERO, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_zero_ref},
    {.kind = TR_OP_ZERO, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_zero_ref},
    {.kind = TR_OP_FOLD, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_fold_ref},
    {.kind = TR_OP_FOLD, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_fold_ref},
    {.kind = TR_OP_JOIN, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_join_ref},
    {.kind = TR_OP_JOIN, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_join_ref},
    {.kind = TR_OP_LOSS_SUM, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_loss_sum_ref},
    {.kind = TR_OP_LOSS_SUM, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_loss_sum_ref},
    {.kind = TR_OP_GRAD_SQ, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_grad_sq_ref},
    {.kind = TR_OP_GRAD_SQ, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_grad_sq_ref},
    {.kind = TR_OP_CLIP, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_clip_ref},
    {.kind = TR_OP_CLIP, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_clip_ref},
    {.kind = TR_OP_ADAMW, .isa = TR_ISA_REF, .act = TR_F32, .run = tr_adamw_ref},
    {.kind = TR_OP_ADAMW, .isa = TR_ISA_REF, .act = TR_BF16, .run = tr_adamw_ref},
    {.run = NULL},
};
