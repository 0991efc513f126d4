/* Adapters into the matrices that they belong to: afterwards the model without them is the same model. */
#ifndef TR_LAB_MODEL_MERGE_H
#define TR_LAB_MODEL_MERGE_H

#include "lab/model/weights.h"

/* w[i], the values of tensor i of `weights` (which has adapters: made from `config`): W = W + (alpha / rank) B A for
 * every target, each element one chain over the rank and one multiply-add. Adapters stay as they are. The merged
 * model's logits equal those with adapters but for rounding. */
void tr_lora_merge(const struct tr_model_config *config, const struct tr_weights *weights, float *const *w);

#endif
