/* lab/train/run_config: one table of keys; what is not in it is refused with a name that is. */
#include "lab/data/data.h"
#include "lab/train/run_config.h"
#include "lib/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct tr_run_config config, again;

static enum tr_status read_text(const char *yaml, struct tr_err *err)
{
    tr_scratch_put_text("run.yaml", yaml);
    *err = (struct tr_err){{0}};
    return tr_run_config_read(&config, tr_scratch("run.yaml"), NULL, 0, err);
}

static void refuse(const char *yaml, const char *sentence)
{
    struct tr_err err;
    assert_int_equal(read_text(yaml, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, sentence);
}

static void without_a_file_all_keys_have_their_defaults(void **state)
{
    (void)state;
    struct tr_err err;
    tr_run_config_default(&again);
    assert_int_equal(tr_run_config_read(&config, NULL, NULL, 0, &err), TR_OK);
    assert_memory_equal(&config, &again, sizeof config);
    assert_int_equal(config.seq_len, 256);
    assert_int_equal(config.batch, TR_AUTO);
    assert_true(config.lr == TR_AUTO);
    assert_true(config.eps == 1e-8 && config.beta2 == 0.95 && config.clip == 1);
    assert_int_equal(config.schedule, TR_SCHEDULE_COSINE);
}

static void the_table_is_sound(void **state)
{
    (void)state;
    int count;
    const struct tr_run_key *keys = tr_run_keys(&count);
    for (int i = 0; i < count; i++) {
        assert_non_null(strchr(keys[i].name, '.'));
        assert_true(strlen(keys[i].help) > 0);
        assert_true(keys[i].min <= keys[i].max);
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(keys[i].name, keys[j].name);
            assert_int_not_equal(keys[i].offset, keys[j].offset);
        }
    }
}

static void a_file_and_overrides_in_order_decide(void **state)
{
    (void)state;
    struct tr_err err = {{0}};
    tr_scratch_put_text("run.yaml", "model:\n  depth: 6\ntrain:\n  steps: 10k   # of them\n  recompute: full\n"
                                    "optimizer: {lr: 0.002, beta1: 0.8}\neval:\n");
    struct tr_override overrides[] = {{"train.steps", "500"},       {"optimizer.lr", "auto"},
                                      {"run.out", "2024"},          {"sample.prompt", "In the: beginning"},
                                      {"train.steps", "1.5k"},      {"schedule.kind", "wsd"}};
    assert_int_equal(tr_run_config_read(&config, tr_scratch("run.yaml"), overrides, 6, &err), TR_OK);
    assert_int_equal(config.depth, 6);
    assert_int_equal(config.steps, 1500);
    assert_int_equal(config.recompute, TR_RECOMPUTE_FULL + 1);
    assert_true(config.lr == TR_AUTO && config.beta1 == 0.8);
    assert_string_equal(config.out, "2024");
    assert_string_equal(config.sample_prompt, "In the: beginning");
    assert_int_equal(config.schedule, TR_SCHEDULE_WSD);
}

static void unknown_keys_name_the_nearest(void **state)
{
    (void)state;
    refuse("train:\n  stepz: 5\n", "run.yaml:2:");
    refuse("train:\n  stepz: 5\n", "train.stepz: unknown key; did you mean train.steps?");
    refuse("train:\n  lr: 5\n", "train.lr: unknown key; did you mean optimizer.lr?");
    refuse("trian:\n  steps: 5\n", "trian: unknown section; did you mean train?");
    refuse("lr: 5\n", "lr: unknown key; did you mean optimizer.lr?");
    refuse("optimizer:\n  weightdecay: 1\n", "did you mean optimizer.weight_decay?");
    refuse("train:\n  zzzzqqq: 1\n", "train.zzzzqqq: unknown key");
    struct tr_err err = {{0}};
    struct tr_override override = {"optimiser.lr", "1"};
    assert_int_equal(tr_run_config_read(&config, NULL, &override, 1, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "unknown section; did you mean optimizer?");
}

static void values_out_of_range_or_of_another_kind_are_refused(void **state)
{
    (void)state;
    refuse("train:\n  steps: 0\n", "run.yaml:2:10: train.steps: expected a whole number from 1");
    refuse("train:\n  steps: ten\n", "expected a whole number such as 500 or 10k, or auto, got \"ten\"");
    refuse("train:\n  steps: 1.5\n", "train.steps");
    refuse("train:\n  steps: 2T\n", "expected a whole number from 1 to 1000000000000, got 2000000000000");
    refuse("data:\n  seq_len: auto\n", "data.seq_len");
    refuse("optimizer:\n  lr: 0\n", "optimizer.lr: expected a number above 0");
    refuse("optimizer:\n  lr: -1\n", "optimizer.lr");
    refuse("optimizer:\n  beta1: 1\n", "optimizer.beta1");
    refuse("optimizer:\n  lr: .nan\n", "optimizer.lr");
    refuse("schedule:\n  kind: linear\n", "schedule.kind");
    refuse("train: 5\n", "train: expected keys of this section");
    refuse("- a\n- b\n", "expected sections");
    refuse("train:\n  steps: 5\n  steps: 6\n", "run.yaml:3:");
    refuse("train:\n  steps: [1]\n", "train.steps");
    refuse("train: {steps: 5\n", "run.yaml:");
}

static void a_failed_read_leaves_the_config_as_it_was(void **state)
{
    (void)state;
    tr_run_config_default(&config);
    again = config;
    refuse("model:\n  depth: 9\ntrain:\n  steps: 0\n", "train.steps");
    assert_memory_equal(&config, &again, sizeof config);
}

static void the_effective_config_reads_back_as_itself(void **state)
{
    (void)state;
    struct tr_err err = {{0}};
    struct tr_model_config model;
    struct tr_text yaml = {0};
    struct tr_override overrides[] = {{"data.path", "a \"b\"\\c: #d\n"}, {"optimizer.lr", "0.00123456789012345"},
                                      {"train.tokens", "100k"}};
    assert_int_equal(tr_run_config_read(&config, NULL, overrides, 3, &err), TR_OK);
    for (int resolved = 0; resolved < 2; resolved++) {
        if (resolved)
            assert_int_equal(tr_run_config_resolve(&config, TR_BYTE_VOCAB, &model, &err), TR_OK);
        tr_text_clear(&yaml);
        tr_run_config_yaml(&config, &yaml);
        tr_scratch_put_text("effective.yaml", tr_text_str(&yaml));
        if (tr_run_config_read(&again, tr_scratch("effective.yaml"), NULL, 0, &err) != TR_OK)
            fail_msg("%s", err.text);
        assert_memory_equal(&config, &again, sizeof config);
    }
    struct tr_text json_text = {0};
    struct tr_json json = tr_json_start(&json_text, TR_JSON_PRETTY);
    tr_run_config_json(&config, &json, NULL);
    struct tr_doc *doc;
    assert_int_equal(tr_doc_parse("json", TR_DOC_JSON, tr_text_str(&json_text), json_text.len, &doc, &err), TR_OK);
    tr_run_config_default(&again);
    assert_int_equal(tr_run_config_from_node(&again, tr_doc_root(doc), &err), TR_OK);
    assert_memory_equal(&config, &again, sizeof config);
    tr_doc_free(doc);
    tr_text_free(&json_text);
    tr_text_free(&yaml);
}

static void auto_becomes_a_number(void **state)
{
    (void)state;
    struct tr_err err = {{0}};
    struct tr_model_config model;
    tr_run_config_default(&config);
    strcpy(config.data, "x");
    config.lanes = 3;
    if (tr_run_config_resolve(&config, TR_BYTE_VOCAB, &model, &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(config.batch, 33); /* 8192 / 256, up to a multiple of 3 */
    assert_int_equal(config.batch % (config.lanes * config.micro_batch), 0);
    assert_true(config.steps > 1 && config.lr > 0 && config.warmup >= 0 && config.log_every >= 1);
    assert_string_equal(config.out, "runs/depth-4");
    assert_int_equal(model.vocab, 257);
    struct tr_step_config step = tr_run_step_config(&config);
    assert_int_equal(step.widths.lanes, 3);
    struct tr_schedule schedule = tr_run_schedule(&config);
    assert_int_equal(schedule.steps, config.steps);
}

static void refuse_relation(const char *key, const char *value, const char *key2, const char *value2,
                            const char *sentence)
{
    struct tr_err err = {{0}};
    struct tr_model_config model;
    struct tr_override overrides[] = {{"data.path", "x"}, {key, value}, {key2, value2}};
    assert_int_equal(tr_run_config_read(&config, NULL, overrides, 3, &err), TR_OK);
    assert_int_equal(tr_run_config_resolve(&config, TR_BYTE_VOCAB, &model, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, sentence);
}

static void keys_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    refuse_relation("train.batch", "5", "layout.lanes", "2", "train.batch 5 must be a multiple of layout.lanes 2");
    refuse_relation("train.batch", "6", "train.micro_batch", "4", "train.micro_batch 4 must divide the 6 sequences");
    refuse_relation("train.steps", "6", "train.tokens", "4", "train.steps and train.tokens are both given");
    refuse_relation("train.steps", "6", "schedule.warmup", "7", "schedule.warmup 7 is more than the 6 steps");
    refuse_relation("model.name", "gtp2", "model.depth", "4", "gpt2");
    refuse_relation("model.name", "gpt2", "data.seq_len", "1025", "data.seq_len 1025 is more than the 1024 positions");
    struct tr_err err = {{0}};
    struct tr_model_config model;
    tr_run_config_default(&config);
    assert_int_equal(tr_run_config_resolve(&config, TR_BYTE_VOCAB, &model, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "no data given");
}

static void a_difference_is_found_with_both_values(void **state)
{
    (void)state;
    struct tr_text a = {0}, b = {0};
    int count;
    const struct tr_run_key *keys = tr_run_keys(&count);
    tr_run_config_default(&config);
    again = config;
    assert_int_equal(tr_run_config_difference(&config, &again, 0, &a, &b), -1);
    again.seed = 7;
    strcpy(again.out, "elsewhere");
    int at = tr_run_config_difference(&config, &again, 0, &a, &b);
    assert_string_equal(keys[at].name, "train.seed");
    assert_string_equal(tr_text_str(&a), "1");
    assert_string_equal(tr_text_str(&b), "7");
    at = tr_run_config_difference(&config, &again, at + 1, &a, &b);
    assert_string_equal(keys[at].name, "run.out");
    assert_int_equal(tr_run_config_difference(&config, &again, at + 1, &a, &b), -1);
    tr_text_free(&a);
    tr_text_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_file_all_keys_have_their_defaults),
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(a_file_and_overrides_in_order_decide),
        cmocka_unit_test(unknown_keys_name_the_nearest),
        cmocka_unit_test(values_out_of_range_or_of_another_kind_are_refused),
        cmocka_unit_test(a_failed_read_leaves_the_config_as_it_was),
        cmocka_unit_test(the_effective_config_reads_back_as_itself),
        cmocka_unit_test(auto_becomes_a_number),
        cmocka_unit_test(keys_that_contradict_each_other_are_refused),
        cmocka_unit_test(a_difference_is_found_with_both_values),
    };
    return cmocka_run_group_tests_name("lab/train/run_config", tests, tr_scratch_setup, tr_scratch_teardown);
}
