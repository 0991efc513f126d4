/* The element-wise activations: GELU and SwiGLU. */
#ifndef TR_SILICON_KERNEL_ACT_H
#define TR_SILICON_KERNEL_ACT_H

#include "silicon/kernel/kernel.h"

void tr_gelu_ref(const struct tr_call *call);
void tr_gelu_bwd_ref(const struct tr_call *call);
void tr_swiglu_ref(const struct tr_call *call);
void tr_swiglu_bwd_ref(const struct tr_call *call);

#endif
