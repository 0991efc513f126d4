/* The table of rotary position embeddings (Su and others 2021) that operation TR_OP_ROPE reads.
 *
 *     table [positions][head_dim / 2][2] = (cos a, sin a),   a = position * frequency(d),   d < head_dim / 2
 *     frequency(d) = rope_theta ^ (-2 d / head_dim), changed by the config's rope_scaling
 *
 * Element d turns the pair (x[d], x[d + head_dim/2]) of every query and key head: the layout of Hugging Face Llama.
 *
 * Accuracy: angles, sines and cosines in double by base/fmath.h, so the same bits on every machine; each entry is
 * rounded to fp32 once. An angle carries a few roundings of double, so even at position 2^22, the largest allowed, an
 * entry is within 2^-25 + 2^-28 of the real number. (Angles in fp32, as PyTorch has them, are off by about
 * position * 2^-24: 0.008 at position 131,071. A comparison with it must allow for that.) */
#ifndef TR_LAB_MODEL_ROPE_H
#define TR_LAB_MODEL_ROPE_H

#include "lab/model/config.h"

/* The angle of element d at position 1. d < head_dim / 2. */
double tr_rope_frequency(const struct tr_model_config *config, int32_t d);

/* Floats of a table for `positions` positions. */
static inline int64_t tr_rope_table_count(const struct tr_model_config *config, int64_t positions)
{
    return positions * config->head_dim;
}

/* Fills the rows of positions first_position .. first_position + positions - 1; row 0 of `table` is first_position. */
void tr_rope_table(const struct tr_model_config *config, int64_t first_position, int64_t positions, float *table);

#endif
