#include "silicon/kernel/linear/linear.h"

void tr_linear_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}

void tr_linear_dx_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}

void tr_linear_dw_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}
