/* The named models and the one dial. Parameter counts are the published ones, or added up by hand beside the preset. */
#include "lab/model/weights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static struct tr_model_config by_name(const char *name)
{
    const struct tr_model_config *preset;
    for (int i = 0; (preset = tr_model_preset(i)); i++)
        if (strcmp(preset->name, name) == 0)
            return *preset;
    fail_msg("no preset %s", name);
    return (struct tr_model_config){0};
}

static int64_t parameters(const struct tr_model_config *config)
{
    struct tr_weights weights;
    struct tr_err err;
    assert_int_equal(tr_weights_make(&weights, config, &err), TR_OK);
    int64_t sum = 0;
    for (int32_t i = 0; i < weights.count; i++)
        sum += weights.weight[i].count;
    assert_int_equal(sum, weights.element_count);
    tr_weights_free(&weights);
    return sum;
}

static void presets_have_the_published_parameter_counts(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t parameters;
    } published[] = {
        {"gpt2", 124439808},           {"gpt2-medium", 354823168},    {"gpt2-large", 774030080},
        {"gpt2-xl", 1557611200},       {"llama3-8b", 8030261248},     {"llama3-70b", 70553706496},
        {"llama3-405b", 405853388800}, {"smollm2-135m", 134515008}, {"qwen3-0.6b", 596049920},
        /* embedding 257 C, layer 4 C^2 + 3 C F + 2 C, final norm C */
        {"book-1m", 257 * 128 + 5 * (4 * 128 * 128 + 3 * 128 * 384 + 2 * 128) + 128},
        {"book-5m", 257 * 256 + 6 * (4 * 256 * 256 + 3 * 256 * 704 + 2 * 256) + 256},
    };
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        struct tr_model_config config = by_name(published[i].name);
        int64_t count = parameters(&config);
        if (count != published[i].parameters)
            fail_msg("%s has %lld parameters, published are %lld", config.name, (long long)count,
                     (long long)published[i].parameters);
    }
}

static void every_preset_passes_the_check_and_has_its_own_name(void **state)
{
    (void)state;
    int count = 0;
    const struct tr_model_config *a, *b;
    for (; (a = tr_model_preset(count)); count++) {
        struct tr_err err = {""};
        if (tr_model_check(a, a->name, &err) != TR_OK)
            fail_msg("%s", err.text);
        for (int other = 0; other < count && (b = tr_model_preset(other)); other++)
            assert_string_not_equal(a->name, b->name);
    }
    assert_true(count >= 11);
    assert_null(tr_model_preset(-1));
    assert_null(tr_model_preset(count));
}

static void matmul_parameters_and_flop_per_token_are_those_worked_out_by_hand(void **state)
{
    (void)state;
    /* GPT-2 124M: 12 layers of 12 * 768^2, the head 50257 * 768 (though tied). */
    struct tr_model_config gpt2 = by_name("gpt2");
    int64_t matmul = 12LL * 12 * 768 * 768 + 50257LL * 768;
    assert_int_equal(tr_model_matmul_params(&gpt2), matmul);
    assert_int_equal(matmul, 123532032); /* nanoGPT's 124,439,808 without wpe, gains and biases */
    assert_int_equal(tr_model_flop_per_token(&gpt2, 1024), 6 * matmul + 6LL * 12 * 768 * 1025);

    /* Qwen3-0.6B: heads * head_dim = 2048 is not the width; keys and values 1024. */
    struct tr_model_config qwen = by_name("qwen3-0.6b");
    int64_t layer = 2LL * 1024 * 2048 + 2LL * 1024 * 1024 + 3LL * 1024 * 3072;
    assert_int_equal(tr_model_matmul_params(&qwen), 28 * layer + 151936LL * 1024);
    assert_int_equal(tr_model_flop_per_token(&qwen, 1),
                     6 * tr_model_matmul_params(&qwen) + 6LL * 28 * 2048 * 2);
}

static void depth_derives_a_model_that_passes_the_check(void **state)
{
    (void)state;
    for (int depth = 1; depth <= 128; depth++) {
        struct tr_model_config config;
        struct tr_err err = {""};
        assert_int_equal(tr_model_from_depth(&config, depth, 257, 512, &err), TR_OK);
        assert_int_equal(config.width, 64 * depth);
        assert_int_equal(config.layers, depth);
        assert_int_equal(config.heads * config.head_dim, config.width);
        assert_true(config.ffn % 64 == 0 && 3 * config.ffn >= 8 * config.width &&
                    3 * (config.ffn - 64) < 8 * config.width);
        assert_int_equal(config.positions, 512);
        assert_true(config.tied && config.family == TR_LLAMA);
    }
}

static void a_depth_or_a_vocabulary_that_cannot_be_is_refused_and_nothing_is_written(void **state)
{
    (void)state;
    struct tr_model_config config = {.width = 7};
    struct tr_err err;
    assert_int_equal(tr_model_from_depth(&config, 0, 257, 512, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "--depth 0: expected 1 to 128");
    assert_int_equal(tr_model_from_depth(&config, 129, 257, 512, &err), TR_BAD_INPUT);
    assert_int_equal(tr_model_from_depth(&config, 4, 0, 512, &err), TR_BAD_INPUT);
    assert_string_equal(err.text, "--depth: vocab_size 0: expected 1 to 1048576");
    assert_int_equal(tr_model_from_depth(&config, 4, 257, 0, &err), TR_BAD_INPUT);
    assert_int_equal(config.width, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_have_the_published_parameter_counts),
        cmocka_unit_test(every_preset_passes_the_check_and_has_its_own_name),
        cmocka_unit_test(matmul_parameters_and_flop_per_token_are_those_worked_out_by_hand),
        cmocka_unit_test(depth_derives_a_model_that_passes_the_check),
        cmocka_unit_test(a_depth_or_a_vocabulary_that_cannot_be_is_refused_and_nothing_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
