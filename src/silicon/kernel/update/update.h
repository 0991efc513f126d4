/* What happens to gradients once a step: joins, norm, clipping, AdamW; and the loss. */
#ifndef TR_SILICON_KERNEL_UPDATE_H
#define TR_SILICON_KERNEL_UPDATE_H

#include "silicon/kernel/kernel.h"

void tr_zero_ref(const struct tr_call *call);
void tr_fold_ref(const struct tr_call *call);
void tr_join_ref(const struct tr_call *call);
void tr_loss_sum_ref(const struct tr_call *call);
void tr_grad_sq_ref(const struct tr_call *call);
void tr_clip_ref(const struct tr_call *call);
void tr_adamw_ref(const struct tr_call *call);

#endif
