#include "silicon/kernel/attn/attn.h"

void tr_attn_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}

int64_t tr_attn_bwd_ref_workspace(const struct tr_op *op, int threads)
{
    (void)op;
    (void)threads;
    return 0;
}

void tr_attn_bwd_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}
