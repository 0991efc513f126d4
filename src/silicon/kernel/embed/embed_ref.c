#include "silicon/kernel/embed/embed.h"

void tr_embed_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}

void tr_embed_bwd_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}

void tr_last_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}

void tr_kv_append_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}
