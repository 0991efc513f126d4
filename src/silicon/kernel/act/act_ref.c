#include "silicon/kernel/act/act.h"

void tr_gelu_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}

void tr_gelu_bwd_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}

void tr_swiglu_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}

void tr_swiglu_bwd_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}
