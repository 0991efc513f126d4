/* LayerNorm and RMSNorm, over the width of a token or of each of its heads. */
#ifndef TR_SILICON_KERNEL_NORM_H
#define TR_SILICON_KERNEL_NORM_H

#include "silicon/kernel/kernel.h"

void tr_norm_ref(const struct tr_call *call);
void tr_norm_bwd_ref(const struct tr_call *call);

#endif
