/* Rotary position embedding. */
#ifndef TR_SILICON_KERNEL_ROPE_H
#define TR_SILICON_KERNEL_ROPE_H

#include "silicon/kernel/kernel.h"

void tr_rope_ref(const struct tr_call *call);

#endif
