#include "silicon/kernel/update/update.h"

void tr_zero_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}

void tr_fold_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}

void tr_join_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}

void tr_loss_sum_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}

void tr_grad_sq_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}

void tr_clip_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}

void tr_adamw_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}
