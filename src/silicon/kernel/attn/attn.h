/* Causal attention with grouped heads. */
#ifndef TR_SILICON_KERNEL_ATTN_H
#define TR_SILICON_KERNEL_ATTN_H

#include "silicon/kernel/kernel.h"

void tr_attn_ref(const struct tr_call *call);
void tr_attn_bwd_ref(const struct tr_call *call);
int64_t tr_attn_bwd_ref_workspace(const struct tr_op *op, int threads);

#endif
