/* The truth for whole models: GPT-2 and Llama in plain double, written from the textbook, one loop after the other,
 * sharing nothing with trine but the config and the list of tensors. No kernel, no program, no logical parts.
 *
 * It is slow (it allocates as it goes and forms every matrix) and meant for tiny shapes: some 10^5 parameters, some 10
 * tokens. Its own error is that of double arithmetic, about 1e-14 of the loss, so a central difference of step h of it
 * is the derivative within about h^2 f'''/6 + 1e-14 / h. */
#ifndef TR_TESTS_LIB_MODEL64_H
#define TR_TESTS_LIB_MODEL64_H

#include "lab/model/weights.h"

/* Mean cross-entropy in nats over the targets that are not -1 (0 when there are none).
 *     weight[i]  values of tensor i of `weights`, in its shape [out, in]
 *     tokens, targets  [seqs][seq_len]
 *     logits     NULL, or [seqs][seq_len][vocab] to fill */
double model64_loss(const struct tr_model_config *config, const struct tr_weights *weights, double *const *weight,
                    int seqs, int seq_len, const int32_t *tokens, const int32_t *targets, double *logits);

/* Arrays for all tensors, to be filled by the caller; freed by model64_free. */
double **model64_new(const struct tr_weights *weights);
void model64_free(const struct tr_weights *weights, double **weight);

#endif
