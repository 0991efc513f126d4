/* Any JSON as a model's config.json for the planner: refused with a sentence, or a shape that keeps every rule and whose
 * counts are finite and fit together. */
#include "base/doc.h"
#include "plan/shape/shape.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_counts(const struct tr_model_shape *shape)
{
    struct tr_shape_params p = tr_shape_params(shape);
    TR_ASSERT(isfinite(p.total) && p.matmul > 0 && p.matmul <= p.active && p.active <= p.total && p.expert >= 0);
    double flop = tr_shape_flop_per_token(shape, shape->positions);
    TR_ASSERT(isfinite(flop) && flop >= 6 * p.matmul && tr_shape_kv_elements(shape) >= 0);
    int32_t attention = 0, ssm = 0, dense = 0, experts = 0, windows = 0;
    for (int32_t l = 0; l < shape->layers; l++) {
        struct tr_shape_layer layer = tr_shape_layer(shape, l);
        attention += layer.attention, ssm += layer.ssm, dense += layer.dense, experts += layer.experts;
        windows += layer.window > 0;
    }
    TR_ASSERT(attention == tr_shape_attention_layers(shape) && ssm == tr_shape_ssm_layers(shape));
    TR_ASSERT(dense == tr_shape_dense_layers(shape) && experts == tr_shape_moe_layers(shape));
    TR_ASSERT(windows == tr_shape_window_layers(shape));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct tr_doc *doc = NULL;
    struct tr_model_shape shape;
    struct tr_err err = {""};
    if (tr_doc_parse_limited("input", TR_DOC_JSON, (const char *)data, bytes, 1 << 20, 100000, &doc, &err))
        return 0;
    enum tr_status status = tr_shape_from_hf(doc, &shape, &err);
    TR_ASSERT(status == TR_OK || (status == TR_BAD_INPUT && err.text[0]));
    if (status == TR_OK) {
        TR_ASSERT(tr_shape_check(&shape, "input", &err) == TR_OK);
        check_counts(&shape);
    }
    tr_doc_free(doc);
    return 0;
}
