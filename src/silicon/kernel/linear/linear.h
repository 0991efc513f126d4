/* Matrix products of the linear layers: forward, gradient of the input, gradient of the weights. */
#ifndef TR_SILICON_KERNEL_LINEAR_H
#define TR_SILICON_KERNEL_LINEAR_H

#include "silicon/kernel/kernel.h"

void tr_linear_ref(const struct tr_call *call);
void tr_linear_dx_ref(const struct tr_call *call);
void tr_linear_dw_ref(const struct tr_call *call);

#endif
