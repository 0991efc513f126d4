#include "lab/model/rope.h"

#include "base/fmath.h"

static const double pi = 0x1.921fb54442d18p+1;

/* Llama 3.1: a frequency is judged by how often its wave fits into the positions of the original training. Waves that
 * fit high_freq times or more stay; those that fit low_freq times or fewer are stretched by `factor`; between, the two
 * frequencies are mixed linearly in that number of turns. */
static double scale_frequency(const struct tr_rope_scaling *scaling, double frequency)
{
    double turns = (double)scaling->original_positions * frequency / (2.0 * pi);
    if (turns >= scaling->high_freq)
        return frequency;
    double stretched = frequency / scaling->factor;
    if (turns <= scaling->low_freq)
        return stretched;
    double keep = (turns - scaling->low_freq) / (scaling->high_freq - scaling->low_freq);
    return (1.0 - keep) * stretched + keep * frequency;
}

double tr_rope_frequency(const struct tr_model_config *config, int32_t d)
{
    TR_ASSERT(tr_has_rope(config) && d >= 0 && d < config->head_dim / 2);
    double frequency = tr_pow(config->rope_theta, -2.0 * d / config->head_dim);
    return config->rope_scaling.factor > 0 ? scale_frequency(&config->rope_scaling, frequency) : frequency;
}

void tr_rope_table(const struct tr_model_config *config, int64_t first_position, int64_t positions, float *table)
{
    TR_ASSERT(first_position >= 0 && positions >= 0 && first_position + positions <= TR_POSITIONS_MAX);
    int32_t half = config->head_dim / 2;
    double frequency[TR_HEAD_DIM_MAX / 2];
    TR_ASSERT(half <= TR_HEAD_DIM_MAX / 2);
    for (int32_t d = 0; d < half; d++)
        frequency[d] = tr_rope_frequency(config, d);
    for (int64_t p = 0; p < positions; p++)
        for (int32_t d = 0; d < half; d++) {
            double sin_a, cos_a;
            tr_sincos((double)(first_position + p) * frequency[d], &sin_a, &cos_a);
            *table++ = (float)cos_a;
            *table++ = (float)sin_a;
        }
}
