#include "silicon/kernel/rope/rope.h"

void tr_rope_ref(const struct tr_call *call)
{
    TR_ASSERT(call == NULL); /* not written yet */
}
