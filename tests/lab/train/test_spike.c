/* lab/train/spike, roll_back: steps that are finite and wrong. The oracle is the hash. */
#include "lab/train/spike.h"

#include "lab/train/train.h"
#include "lib/faults.h"
#include "lib/scratch.h"
#include "lib/tiny_run.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS = 24, BATCHES = 64 };

static struct tr_train_result result;
static struct tr_err err;
static atomic_int stop;

/* What the hook does, and what it saw. */
static struct {
    int64_t bad[4];        /* batches whose loss jumps; -1: none */
    int64_t not_finite;    /* this one's is not even finite; -1: none */
    int64_t stop_at;       /* batch after which SIGTERM comes, once; -1: never */
    int64_t batch[BATCHES];
    int64_t count;
} hook;

static void strike(void *context, struct tr_exec *exec, int64_t batch, struct tr_step_result *seen)
{
    (void)context, (void)exec;
    if (hook.count < BATCHES)
        hook.batch[hook.count++] = batch;
    for (int i = 0; i < 4; i++)
        if (batch == hook.bad[i])
            seen->loss *= 10;
    seen->finite = batch != hook.not_finite;
    if (batch == hook.stop_at) {
        hook.stop_at = -1;
        stop = SIGTERM;
    }
}

static struct tr_train_options options_of_hook(int64_t bad0, int64_t bad1)
{
    struct tr_train_options options = tr_tiny_options();
    memset(&hook, 0, sizeof hook);
    for (int i = 0; i < 4; i++)
        hook.bad[i] = i == 0 ? bad0 : i == 1 ? bad1 : -1;
    hook.stop_at = hook.not_finite = -1;
    stop = 0;
    options.fault = strike;
    options.stop = &stop;
    return options;
}

static enum tr_status train_with(const struct tr_run_config *config, const struct tr_train_options *options)
{
    tr_text_free(&result.last_sample);
    return tr_train(config, options, &result, &err);
}

#define SPIKE_CONFIG(out, action) tr_tiny_config(out, "train.steps=24", "checkpoint.every=5", "spike.window=8", action, NULL)

static int count_of(const char *file, const char *part)
{
    struct tr_bytes bytes = tr_scratch_read(file);
    int count = 0;
    for (const char *at = bytes.at; (at = strstr(at, part)) != NULL; at++)
        count++;
    tr_bytes_free(&bytes);
    return count;
}

/* ---- the rule ---------------------------------------------------------------------------------------------------- */

static void a_spike_stands_out_by_so_many_deviations_of_a_full_window(void **unused)
{
    (void)unused;
    static const double values[] = {100, 4, 6, 4, 6, 4, 6, 4, 6};
    assert_true(isinf(tr_spike_bar(values, 7, 8, 6)));
    assert_true(tr_spike_bar(values + 1, 8, 8, 6) == 5 + 6 * 1.0);
    assert_true(tr_spike_bar(values, 9, 8, 6) == 5 + 6 * 1.0); /* the oldest is out of the window */
    static const double flat[] = {5, 5, 5, 5, 5, 5, 5, 5};
    assert_true(tr_spike_bar(flat, 8, 8, 6) == 5 + 6 * 0.05); /* a deviation of a hundredth at least */
}

static void the_window_holds_the_newest_in_order(void **unused)
{
    (void)unused;
    struct tr_spike_window seen = {0};
    for (int i = 0; i < 20; i++)
        tr_spike_note(&seen, 8, i, 100 + i);
    assert_int_equal(seen.count, 8);
    for (int i = 0; i < 8; i++) {
        assert_true(seen.loss[i] == 12 + i);
        assert_true(seen.grad_norm[i] == 112 + i);
    }
}

/* ---- runs -------------------------------------------------------------------------------------------------------- */

static void without_a_spike_nothing_changes(void **unused)
{
    (void)unused;
    struct tr_run_config take = SPIKE_CONFIG("take", "spike.action=take"), back = SPIKE_CONFIG("back", "spike.action=roll_back");
    struct tr_tiny_hash plain = tr_tiny_train(&take), watched = tr_tiny_train(&back);
    assert_string_equal(plain.hex, watched.hex);
}

static void a_spike_is_left_out_and_the_run_goes_on(void **unused)
{
    (void)unused;
    struct tr_run_config config = SPIKE_CONFIG("skip", "spike.action=skip");
    struct tr_train_options options = options_of_hook(3, 13); /* the window is not full at batch 3 */
    assert_int_equal(train_with(&config, &options), TR_OK);
    assert_int_equal(result.state.skipped, 1);
    assert_int_equal(count_of(tr_scratch("skip/events.jsonl"), "step 14 left out: a spike: loss"), 1);
    char expected[TR_SHA256_HEX_BYTES];
    strcpy(expected, result.hash);

    /* The same as leaving it out for another reason. */
    struct tr_run_config nan = SPIKE_CONFIG("nan", "spike.action=take");
    options = options_of_hook(-1, -1);
    hook.not_finite = 13;
    assert_int_equal(train_with(&nan, &options), TR_OK);
    assert_string_equal(result.hash, expected);

    for (int attempt = 0; attempt < 2; attempt++) { /* stopped behind the window, and resumed */
        struct tr_run_config again = SPIKE_CONFIG("skip2", "spike.action=skip");
        options = options_of_hook(3, 13);
        hook.stop_at = attempt == 0 ? 11 : -1;
        assert_int_equal(train_with(&again, &options), attempt == 0 ? TR_FAILED : TR_OK);
    }
    assert_string_equal(result.hash, expected);
}

/* Steps 11 to 13 are done, batch 13 is a spike: from step 10 the run goes on with batch 14. */
static void must_have_gone_back(const char *name)
{
    char path[TR_PATH_BYTES];
    snprintf(path, sizeof path, "%s/metrics.jsonl", name);
    assert_int_equal(count_of(tr_scratch(path), "\"kind\":\"step\""), STEPS);
    assert_int_equal(count_of(tr_scratch(path), "\"kind\":\"step\",\"step\":11,"), 1);
    snprintf(path, sizeof path, "%s/events.jsonl", name);
    assert_true(count_of(tr_scratch(path), "back to step 10, and on with batch 14") >= 1);
    assert_int_equal(result.state.step, STEPS);
    assert_int_equal(result.state.passed_over, 4);
    assert_int_equal(result.state.roll_backs, 1);
    assert_int_equal(result.state.skipped, 0);
}

/* Copies a checkpoint into the run folder `out`, its state changed: the batches of a spike are passed over. */
static void copy_passing_over(const char *from, const char *out, int64_t passed_over)
{
    struct tr_model_config model;
    struct tr_weights weights;
    struct tr_train_state state;
    assert_int_equal(tr_checkpoint_read_state(from, &state, &err), TR_OK);
    assert_int_equal(tr_checkpoint_read_model(from, &model, &err), TR_OK);
    assert_int_equal(tr_weights_make(&weights, &model, &err), TR_OK);
    float **at[3];
    for (int k = 0; k < 3; k++) {
        at[k] = calloc((size_t)weights.count, sizeof *at[k]);
        assert_non_null(at[k]);
        for (int32_t i = 0; i < weights.count; i++)
            assert_non_null(at[k][i] = calloc((size_t)weights.weight[i].count, sizeof(float)));
    }
    struct tr_tensors tensors = {.weights = &weights, .w = at[0], .m = at[1], .v = at[2]};
    assert_int_equal(tr_checkpoint_read(from, &tensors, &err), TR_OK);
    state.passed_over = passed_over;
    assert_int_equal(tr_folder_make(out, &err), TR_OK);
    assert_int_equal(tr_checkpoint_write(out, &model, &tensors, &state, &(struct tr_keep){.step = {-1, -1, -1}}, &err), TR_OK);
    for (int k = 0; k < 3; k++) {
        for (int32_t i = 0; i < weights.count; i++)
            free(at[k][i]);
        free(at[k]);
    }
    tr_weights_free(&weights);
}

static void after_a_spike_the_run_goes_back_and_passes_its_batches_over(void **unused)
{
    (void)unused;
    struct tr_run_config config = SPIKE_CONFIG("back1", "spike.action=roll_back");
    struct tr_train_options options = options_of_hook(13, -1);
    if (train_with(&config, &options) != TR_OK)
        fail_msg("%s", err.text);
    must_have_gone_back("back1");
    for (int64_t i = 0; i < hook.count; i++) /* every batch once, in order: 0 to 13, 14 to 27 */
        assert_int_equal(hook.batch[i], i);
    assert_int_equal(hook.count, STEPS + 4);
    char expected[TR_SHA256_HEX_BYTES];
    strcpy(expected, result.hash);

    /* A run without a spike, set back to its step 10 and told to go on with batch 14, arrives at the same. */
    struct tr_run_config clean = SPIKE_CONFIG("clean", "checkpoint.keep_last=0"), told = SPIKE_CONFIG("told", "spike.action=take");
    options = options_of_hook(-1, -1);
    assert_int_equal(train_with(&clean, &options), TR_OK);
    copy_passing_over(tr_scratch("clean/step-00000010"), told.out, 4);
    options = options_of_hook(-1, -1);
    assert_int_equal(train_with(&told, &options), TR_OK);
    assert_int_equal(hook.batch[0], 14);
    assert_string_equal(result.hash, expected);
}

static void whenever_it_is_interrupted_a_run_that_went_back_arrives_at_the_same_hash(void **unused)
{
    (void)unused;
    struct tr_run_config whole = SPIKE_CONFIG("whole", "spike.action=roll_back");
    struct tr_train_options options = options_of_hook(13, -1);
    assert_int_equal(train_with(&whole, &options), TR_OK);
    char expected[TR_SHA256_HEX_BYTES];
    strcpy(expected, result.hash);
    int right = 0, tried = 0;
    for (int64_t at = 8; at <= 20; at += fault_tries(3, 1), tried++) {
        struct tr_run_config config = SPIKE_CONFIG("broken", at % 2 ? "checkpoint.write=background" : "checkpoint.keep_last=1");
        config.spike_action = TR_SPIKE_ROLL_BACK;
        options = options_of_hook(13, -1);
        hook.stop_at = at;
        assert_int_equal(train_with(&config, &options), TR_FAILED);
        stop = 0;
        if (train_with(&config, &options) != TR_OK)
            fail_msg("stopped at batch %d: %s", (int)at, err.text);
        must_have_gone_back("broken");
        right += strcmp(result.hash, expected) == 0;
        assert_string_equal(result.hash, expected);
        assert_int_equal(tr_folder_remove(tr_scratch("broken"), &err), TR_OK);
    }
    fault_row("15", "a loss that jumps, and a roll-back to the checkpoint before; interrupted at each step around it",
              "the step's own hook", tried, right,
              "`step 14: a spike: loss L, gradient norm G, where the last 8 steps allow ...; back to step 10, and on with batch 14`");
}

/* In bf16 operations read copies of the weights, which go back with them. */
static void in_bf16_a_run_goes_back_to_the_same_hash_too(void **unused)
{
    (void)unused;
    char hash[2][TR_SHA256_HEX_BYTES];
    for (int resumed = 0; resumed < 2; resumed++) {
        struct tr_run_config config = SPIKE_CONFIG(resumed ? "bf16b" : "bf16a", "train.dtype=bf16");
        config.spike_action = TR_SPIKE_ROLL_BACK;
        struct tr_train_options options = options_of_hook(13, -1);
        hook.stop_at = resumed ? 9 : -1; /* saved after step 10, the anchor: the way back begins with a file that was read */
        enum tr_status status = train_with(&config, &options);
        stop = 0;
        if (resumed)
            status = train_with(&config, &options);
        assert_int_equal(status, TR_OK);
        assert_int_equal(result.state.roll_backs, 1);
        strcpy(hash[resumed], result.hash);
    }
    assert_string_equal(hash[0], hash[1]);
    struct tr_run_config told = SPIKE_CONFIG("bf16c", "train.dtype=bf16");
    struct tr_run_config clean = SPIKE_CONFIG("bf16d", "train.dtype=bf16");
    clean.keep_last = 0;
    struct tr_train_options options = options_of_hook(-1, -1);
    assert_int_equal(train_with(&clean, &options), TR_OK);
    copy_passing_over(tr_scratch("bf16d/step-00000010"), told.out, 4);
    assert_int_equal(train_with(&told, &options), TR_OK);
    assert_string_equal(result.hash, hash[0]);
}

static void the_best_checkpoint_is_still_there_after_a_roll_back(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("best", "train.steps=24", "checkpoint.every=5", "checkpoint.keep_last=1",
                                                 "spike.window=8", "spike.action=roll_back", "checkpoint.best=keep",
                                                 "eval.every=1", NULL);
    struct tr_train_options options = options_of_hook(13, -1);
    hook.stop_at = 14; /* just behind the roll-back */
    assert_int_equal(train_with(&config, &options), TR_FAILED);
    assert_int_equal(result.state.roll_backs, 1);
    assert_int_equal(tr_checkpoint_verify(tr_scratch("best/best"), &err), TR_OK);
    stop = 0;
    assert_int_equal(train_with(&config, &options), TR_OK);
    assert_int_equal(tr_checkpoint_verify(tr_scratch("best/best"), &err), TR_OK);
}

static void before_the_first_checkpoint_a_spike_is_left_out(void **unused)
{
    (void)unused;
    struct tr_run_config config = SPIKE_CONFIG("early", "spike.action=roll_back");
    config.save_every = 20;
    struct tr_train_options options = options_of_hook(13, -1);
    assert_int_equal(train_with(&config, &options), TR_OK);
    assert_int_equal(result.state.skipped, 1);
    assert_int_equal(result.state.roll_backs, 0);
}

static void too_many_roll_backs_and_a_missing_way_back_end_the_run_with_a_sentence(void **unused)
{
    (void)unused;
    struct tr_run_config config = SPIKE_CONFIG("often", "spike.action=roll_back");
    config.spike_roll_backs = 1;
    struct tr_train_options options = options_of_hook(13, 16);
    assert_int_equal(train_with(&config, &options), TR_FAILED);
    tr_assert_says(err.text, "the run went back 1 times already (spike.roll_backs)");
    assert_int_equal(count_of(tr_scratch("often/events.jsonl"), "\"fail\""), 1);

    struct tr_run_config gone = SPIKE_CONFIG("gone", "spike.action=roll_back");
    options = options_of_hook(13, -1);
    hook.stop_at = 12;
    assert_int_equal(train_with(&gone, &options), TR_FAILED);
    stop = 0;
    assert_int_equal(tr_file_write(tr_scratch("gone/step-00000010/model.safetensors"), "x", 1, &err), TR_OK);
    assert_int_equal(train_with(&gone, &options), TR_BAD_INPUT);
    tr_assert_says(err.text, "and there is no way back");
    tr_assert_says(err.text, "step-00000010/model.safetensors: damaged");
}

static int teardown(void **state)
{
    tr_text_free(&result.last_sample);
    return tr_scratch_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spike_stands_out_by_so_many_deviations_of_a_full_window),
        cmocka_unit_test(the_window_holds_the_newest_in_order),
        cmocka_unit_test(without_a_spike_nothing_changes),
        cmocka_unit_test(a_spike_is_left_out_and_the_run_goes_on),
        cmocka_unit_test(after_a_spike_the_run_goes_back_and_passes_its_batches_over),
        cmocka_unit_test(whenever_it_is_interrupted_a_run_that_went_back_arrives_at_the_same_hash),
        cmocka_unit_test(in_bf16_a_run_goes_back_to_the_same_hash_too),
        cmocka_unit_test(the_best_checkpoint_is_still_there_after_a_roll_back),
        cmocka_unit_test(before_the_first_checkpoint_a_spike_is_left_out),
        cmocka_unit_test(too_many_roll_backs_and_a_missing_way_back_end_the_run_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, tr_scratch_setup, teardown);
}
