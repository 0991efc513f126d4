/* The head: logits, cross-entropy and their gradients, fused over a tile of rows. */
#ifndef TR_SILICON_KERNEL_HEAD_H
#define TR_SILICON_KERNEL_HEAD_H

#include "silicon/kernel/kernel.h"

void tr_head_ref(const struct tr_call *call);
int64_t tr_head_ref_workspace(const struct tr_op *op, int threads);

#endif
