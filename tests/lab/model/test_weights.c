/* The canonical list of tensors and their initial values. */
#include "lab/model/weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct expected {
    const char *name;
    int64_t out, in; /* in = 0: a vector */
};

static struct tr_weights make(const struct tr_model_config *config)
{
    struct tr_weights weights;
    struct tr_err err = {""};
    assert_int_equal(tr_model_check(config, "test", &err), TR_OK);
    assert_int_equal(tr_weights_make(&weights, config, &err), TR_OK);
    return weights;
}

static void assert_list(const struct tr_model_config *config, const struct expected *expected, int count)
{
    struct tr_weights weights = make(config);
    for (int i = 0; i < count && i < weights.count; i++) {
        const struct tr_weight *w = &weights.weight[i];
        assert_string_equal(w->name, expected[i].name);
        assert_int_equal(w->rank, expected[i].in ? 2 : 1);
        assert_int_equal(w->dim[0], expected[i].out);
        assert_int_equal(w->dim[1], expected[i].in ? expected[i].in : 1);
        assert_int_equal(w->count, w->dim[0] * w->dim[1]);
        assert_int_equal(w->decay, expected[i].in != 0);
        assert_int_equal(tr_weight_find(&weights, w->role, w->layer), i);
        assert_int_equal(tr_weight_by_name(&weights, w->name), i);
    }
    assert_int_equal(weights.count, count);
    assert_int_equal(tr_weight_by_name(&weights, "no.such.tensor"), -1);
    tr_weights_free(&weights);
}

#define COUNT(list) ((int)(sizeof(list) / sizeof(list)[0]))

static const struct tr_model_config small_gpt2 = {
    .name = "small-gpt2", .family = TR_GPT2, .vocab = 11, .width = 6, .layers = 2, .heads = 3, .kv_heads = 3,
    .head_dim = 2, .ffn = 24, .positions = 5, .norm_eps = 1e-5f, .tied = true, .qkv_bias = true, .init_std = 0.02f};

static const struct tr_model_config small_llama = {
    .name = "small-llama", .family = TR_LLAMA, .vocab = 11, .width = 6, .layers = 1, .heads = 4, .kv_heads = 2,
    .head_dim = 2, .ffn = 10, .positions = 5, .norm_eps = 1e-5f, .rope_theta = 10000, .init_std = 0.02f};

static void gpt2_has_the_tensors_of_hugging_face_with_c_attn_in_three(void **state)
{
    (void)state;
    static const struct expected list[] = {
        {"wte.weight", 11, 6}, {"wpe.weight", 5, 6},
        {"h.0.ln_1.weight", 6, 0}, {"h.0.ln_1.bias", 6, 0},
        {"h.0.attn.q.weight", 6, 6}, {"h.0.attn.k.weight", 6, 6}, {"h.0.attn.v.weight", 6, 6},
        {"h.0.attn.q.bias", 6, 0}, {"h.0.attn.k.bias", 6, 0}, {"h.0.attn.v.bias", 6, 0},
        {"h.0.attn.c_proj.weight", 6, 6}, {"h.0.attn.c_proj.bias", 6, 0},
        {"h.0.ln_2.weight", 6, 0}, {"h.0.ln_2.bias", 6, 0},
        {"h.0.mlp.c_fc.weight", 24, 6}, {"h.0.mlp.c_fc.bias", 24, 0},
        {"h.0.mlp.c_proj.weight", 6, 24}, {"h.0.mlp.c_proj.bias", 6, 0},
        {"h.1.ln_1.weight", 6, 0}, {"h.1.ln_1.bias", 6, 0},
        {"h.1.attn.q.weight", 6, 6}, {"h.1.attn.k.weight", 6, 6}, {"h.1.attn.v.weight", 6, 6},
        {"h.1.attn.q.bias", 6, 0}, {"h.1.attn.k.bias", 6, 0}, {"h.1.attn.v.bias", 6, 0},
        {"h.1.attn.c_proj.weight", 6, 6}, {"h.1.attn.c_proj.bias", 6, 0},
        {"h.1.ln_2.weight", 6, 0}, {"h.1.ln_2.bias", 6, 0},
        {"h.1.mlp.c_fc.weight", 24, 6}, {"h.1.mlp.c_fc.bias", 24, 0},
        {"h.1.mlp.c_proj.weight", 6, 24}, {"h.1.mlp.c_proj.bias", 6, 0},
        {"ln_f.weight", 6, 0}, {"ln_f.bias", 6, 0},
    };
    assert_list(&small_gpt2, list, COUNT(list));
}

static void an_untied_model_ends_with_its_head(void **state)
{
    (void)state;
    struct tr_model_config config = small_gpt2;
    struct tr_weights tied = make(&config);
    config.tied = false;
    struct tr_weights untied = make(&config);
    assert_int_equal(untied.count, tied.count + 1);
    assert_int_equal(untied.element_count, tied.element_count + 11 * 6);
    assert_string_equal(untied.weight[tied.count].name, "lm_head.weight");
    assert_int_equal(tr_weight_find(&untied, TR_W_HEAD, -1), tied.count);
    assert_int_equal(tr_weight_find(&tied, TR_W_HEAD, -1), -1);
    assert_int_equal(tr_weight_find(&tied, TR_W_GATE, 0), -1);
    tr_weights_free(&tied);
    tr_weights_free(&untied);
}

static void llama_has_the_tensors_of_hugging_face(void **state)
{
    (void)state;
    static const struct expected list[] = {
        {"model.embed_tokens.weight", 11, 6},
        {"model.layers.0.input_layernorm.weight", 6, 0},
        {"model.layers.0.self_attn.q_proj.weight", 8, 6},
        {"model.layers.0.self_attn.k_proj.weight", 4, 6},
        {"model.layers.0.self_attn.v_proj.weight", 4, 6},
        {"model.layers.0.self_attn.o_proj.weight", 6, 8},
        {"model.layers.0.post_attention_layernorm.weight", 6, 0},
        {"model.layers.0.mlp.gate_proj.weight", 10, 6},
        {"model.layers.0.mlp.up_proj.weight", 10, 6},
        {"model.layers.0.mlp.down_proj.weight", 6, 10},
        {"model.norm.weight", 6, 0},
        {"lm_head.weight", 11, 6},
    };
    assert_list(&small_llama, list, COUNT(list));
}

static void qwen_adds_biases_and_norms_of_queries_and_keys(void **state)
{
    (void)state;
    static const struct expected list[] = {
        {"model.embed_tokens.weight", 11, 6},
        {"model.layers.0.input_layernorm.weight", 6, 0},
        {"model.layers.0.self_attn.q_proj.weight", 8, 6},
        {"model.layers.0.self_attn.k_proj.weight", 4, 6},
        {"model.layers.0.self_attn.v_proj.weight", 4, 6},
        {"model.layers.0.self_attn.q_proj.bias", 8, 0},
        {"model.layers.0.self_attn.k_proj.bias", 4, 0},
        {"model.layers.0.self_attn.v_proj.bias", 4, 0},
        {"model.layers.0.self_attn.q_norm.weight", 2, 0},
        {"model.layers.0.self_attn.k_norm.weight", 2, 0},
        {"model.layers.0.self_attn.o_proj.weight", 6, 8},
        {"model.layers.0.post_attention_layernorm.weight", 6, 0},
        {"model.layers.0.mlp.gate_proj.weight", 10, 6},
        {"model.layers.0.mlp.up_proj.weight", 10, 6},
        {"model.layers.0.mlp.down_proj.weight", 6, 10},
        {"model.norm.weight", 6, 0},
    };
    struct tr_model_config config = small_llama;
    config.tied = config.qkv_bias = config.qk_norm = true;
    assert_list(&config, list, COUNT(list));
}

static void names_of_the_deepest_model_fit(void **state)
{
    (void)state;
    struct tr_model_config config = small_llama;
    config.layers = TR_LAYERS_MAX;
    config.qk_norm = config.qkv_bias = true;
    struct tr_weights weights = make(&config);
    int32_t last = tr_weight_find(&weights, TR_W_NORM2_GAIN, TR_LAYERS_MAX - 1);
    assert_string_equal(weights.weight[last].name, "model.layers.1023.post_attention_layernorm.weight");
    assert_int_equal(weights.count, 3 + 14 * TR_LAYERS_MAX);
    tr_weights_free(&weights);
}

struct moments {
    double mean, deviation, skew, kurtosis;
};

static struct moments moments_of(const float *x, int64_t count)
{
    double mean = 0, m2 = 0, m3 = 0, m4 = 0;
    for (int64_t i = 0; i < count; i++)
        mean += x[i];
    mean /= count;
    for (int64_t i = 0; i < count; i++) {
        double d = x[i] - mean;
        m2 += d * d, m3 += d * d * d, m4 += d * d * d * d;
    }
    m2 /= count, m3 /= count, m4 /= count;
    return (struct moments){mean, sqrt(m2), m3 / pow(m2, 1.5), m4 / (m2 * m2)};
}

/* The bounds are five standard errors of n independent normal numbers: of the mean s/sqrt(n), of the deviation
 * s/sqrt(2n), of skewness sqrt(6/n), of kurtosis sqrt(24/n). The seed is fixed, so the test cannot fail by chance. */
static void matrices_begin_normal_and_residual_projections_are_scaled_by_depth(void **state)
{
    (void)state;
    struct tr_model_config config = small_gpt2;
    config.width = 96, config.heads = 3, config.kv_heads = 3, config.head_dim = 32, config.ffn = 384;
    config.layers = 8, config.init_std = 0.02f;
    struct tr_weights weights = make(&config);
    float *values = malloc(96 * 384 * sizeof *values);
    int matrices = 0, scaled = 0;
    for (int32_t i = 0; i < weights.count; i++) {
        const struct tr_weight *w = &weights.weight[i];
        if (w->count < 96 * 96)
            continue;
        matrices++;
        bool residual = w->role == TR_W_ATTN_OUT || w->role == TR_W_DOWN;
        double expected = residual ? 0.02 / 4 : 0.02; /* sqrt(2 * 8) = 4 */
        scaled += residual;
        tr_weight_init_values(w, i, 42, values);
        struct moments m = moments_of(values, w->count);
        double n = (double)w->count;
        assert_true(fabs(m.mean) < 5 * expected / sqrt(n));
        assert_true(fabs(m.deviation - expected) < 5 * expected / sqrt(2 * n));
        assert_true(fabs(m.skew) < 5 * sqrt(6 / n));
        assert_true(fabs(m.kurtosis - 3) < 5 * sqrt(24 / n));
    }
    assert_int_equal(matrices, 8 * 6);
    assert_int_equal(scaled, 8 * 2);
    free(values);
    tr_weights_free(&weights);
}

static void gains_begin_at_one_and_biases_at_zero(void **state)
{
    (void)state;
    struct tr_weights weights = make(&small_gpt2);
    float values[24];
    int gains = 0, biases = 0;
    for (int32_t i = 0; i < weights.count; i++) {
        const struct tr_weight *w = &weights.weight[i];
        if (w->rank == 2)
            continue;
        bool gain = w->role == TR_W_NORM1_GAIN || w->role == TR_W_NORM2_GAIN || w->role == TR_W_NORM_GAIN;
        gain ? gains++ : biases++;
        tr_weight_init_values(w, i, 42, values);
        for (int64_t k = 0; k < w->count; k++)
            assert_true(values[k] == (gain ? 1.0f : 0.0f));
    }
    assert_int_equal(gains, 2 * 2 + 1);
    assert_int_equal(biases, 2 * 8 + 1);
    tr_weights_free(&weights);
}

static void any_slice_equals_the_whole(void **state)
{
    (void)state;
    struct tr_weights weights = make(&small_gpt2);
    float whole[24 * 6], slice[24 * 6];
    for (int32_t i = 0; i < weights.count; i++) {
        const struct tr_weight *w = &weights.weight[i];
        tr_weight_init_values(w, i, 7, whole);
        for (int64_t first = 0; first <= w->count; first++)
            for (int64_t count = 0; count <= w->count - first; count = count * 2 + 1) {
                tr_weight_init_slice(w, i, 7, first, count, slice);
                assert_memory_equal(slice, whole + first, (size_t)count * sizeof *slice);
            }
    }
    tr_weights_free(&weights);
}

static void tensors_and_seeds_have_their_own_numbers(void **state)
{
    (void)state;
    struct tr_weights weights = make(&small_gpt2);
    int32_t q = tr_weight_find(&weights, TR_W_Q, 0), k = tr_weight_find(&weights, TR_W_K, 0);
    float a[36], b[36], c[36], again[36];
    tr_weight_init_values(&weights.weight[q], q, 1, a);
    tr_weight_init_values(&weights.weight[k], k, 1, b);
    tr_weight_init_values(&weights.weight[q], q, 2, c);
    tr_weight_init_values(&weights.weight[q], q, 1, again);
    int same_tensor = 0, same_seed = 0;
    for (int i = 0; i < 36; i++)
        same_tensor += a[i] == b[i], same_seed += a[i] == c[i];
    assert_true(same_tensor < 3 && same_seed < 3);
    assert_memory_equal(a, again, sizeof a);
    tr_weights_free(&weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2_has_the_tensors_of_hugging_face_with_c_attn_in_three),
        cmocka_unit_test(an_untied_model_ends_with_its_head),
        cmocka_unit_test(llama_has_the_tensors_of_hugging_face),
        cmocka_unit_test(qwen_adds_biases_and_norms_of_queries_and_keys),
        cmocka_unit_test(names_of_the_deepest_model_fit),
        cmocka_unit_test(matrices_begin_normal_and_residual_projections_are_scaled_by_depth),
        cmocka_unit_test(gains_begin_at_one_and_biases_at_zero),
        cmocka_unit_test(any_slice_equals_the_whole),
        cmocka_unit_test(tensors_and_seeds_have_their_own_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
