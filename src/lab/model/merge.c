#include "lab/model/merge.h"

#include <math.h>

/* w [out, in] += scale * b [out, rank] a [rank, in] */
static void merge_matrix(float *w, const float *a, const float *b, int64_t out, int64_t in, int64_t rank, float scale)
{
    for (int64_t o = 0; o < out; o++) {
        for (int64_t i = 0; i < in; i++) {
            float sum = 0.0f;
            for (int64_t r = 0; r < rank; r++)
                sum = fmaf(b[o * rank + r], a[r * in + i], sum);
            w[o * in + i] = fmaf(scale, sum, w[o * in + i]);
        }
    }
}

void tr_lora_merge(const struct tr_model_config *config, const struct tr_weights *weights, float *const *w)
{
    float scale = (float)(config->lora.alpha / config->lora.rank);
    for (int32_t layer = 0; layer < config->layers; layer++) {
        for (int target = 0; target < TR_LORA_TARGETS; target++) {
            int32_t a = tr_weight_find(weights, (enum tr_weight_role)(TR_W_LORA_A + target), layer);
            int32_t b = tr_weight_find(weights, (enum tr_weight_role)(TR_W_LORA_B + target), layer);
            int32_t base = tr_weight_find(weights, tr_lora_base((enum tr_lora_target)target), layer);
            if (a >= 0)
                merge_matrix(w[base], w[a], w[b], weights->weight[base].dim[0], weights->weight[base].dim[1],
                             config->lora.rank, scale);
        }
    }
}
