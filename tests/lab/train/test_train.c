/* lab/train/train: a run, its folder, and everything that may come between. The oracle is the hash. */
#include "lab/train/run.h"
#include "lab/train/train.h"

#include "base/doc.h"
#include "lab/train/profile.h"
#include "lib/faults.h"
#include "lib/faulty_disk.h"
#include "lib/one_core.h"
#include "lib/sanitized.h"
#include "lib/scratch.h"
#include "lib/tiny_run.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tr_train_result result;
static struct tr_err err;
static struct tr_tiny_hash whole; /* of the tiny run, undisturbed */

static enum tr_status train_with(const struct tr_run_config *config, const struct tr_train_options *options)
{
    err.text[0] = 0;
    tr_text_free(&result.last_sample);
    return tr_train(config, options, &result, &err);
}

static int setup(void **state)
{
    if (tr_scratch_setup(state) != 0)
        return -1;
    struct tr_run_config config = tr_tiny_config("whole", NULL);
    whole = tr_tiny_train(&config);
    return 0;
}

static int teardown(void **state)
{
    tr_text_free(&result.last_sample);
    return tr_scratch_teardown(state);
}

/* ---- hooks ------------------------------------------------------------------------------------------------------- */

static atomic_int stop;
static int64_t stop_after;

static void stop_hook(void *context, struct tr_exec *exec, int64_t step, struct tr_step_result *step_result)
{
    (void)context, (void)exec, (void)step_result;
    if (step + 1 == stop_after)
        stop = SIGTERM;
}

static void bad_steps(void *context, struct tr_exec *exec, int64_t step, struct tr_step_result *step_result)
{
    (void)exec;
    if (strchr(context, 'a' + (int)step)) {
        step_result->loss = NAN;
        step_result->finite = false;
    }
}

/* From step 6 on the model forgets: validation loss rises, as it does when a model learns its text by heart. */
static void spoil_weights(void *context, struct tr_exec *exec, int64_t step, struct tr_step_result *step_result)
{
    (void)context, (void)step_result;
    for (int64_t i = 0; step >= 6 && i < exec->program->weights.weight[0].count; i++)
        tr_exec_weight(exec, 0)[i] += 0.5f * (float)(i * 7 % 5 - 2);
}

static void spoil_weights_and_stop(void *context, struct tr_exec *exec, int64_t step, struct tr_step_result *seen)
{
    spoil_weights(context, exec, step, seen);
    stop = SIGTERM;
}

/* Other programs come and go: 1, 2, 3, 1, 2 ... of three threads. */
static void other_programs(void *context, struct tr_exec *exec, int64_t step, struct tr_step_result *step_result)
{
    (void)context, (void)step_result;
    *exec->crowd = (struct tr_crowd){.threads = 1 + (int)(step % 3), .looked_s = 1e30}; /* it does not look by itself */
}

/* The writer of step 3 is held back until steps 4 and 5 are done. */
static void release_writer(void *context, struct tr_exec *exec, int64_t step, struct tr_step_result *step_result)
{
    (void)context, (void)exec, (void)step_result;
    if (step == 4) /* the fifth */
        held = false;
}

/* ---- what a run leaves ------------------------------------------------------------------------------------------- */

static int count_of(const char *file, const char *part)
{
    struct tr_bytes bytes = tr_scratch_read(file);
    int count = 0;
    for (const char *at = bytes.at; (at = strstr(at, part)) != NULL; at++)
        count++;
    tr_bytes_free(&bytes);
    return count;
}

/* Steps 1..last in order, once each, every line a JSON object with all columns. */
static void metrics_must_be_whole(const char *path, int64_t last)
{
    static const char *const columns[] = {"steps", "tokens",  "loss",         "grad_norm", "lr", "step_s",
                                          "tok_s", "mfu",     "memory_bytes", "skipped",   "eta_s"};
    struct tr_bytes bytes = tr_scratch_read(path);
    int64_t expected = 0;
    for (char *line = bytes.at, *end; line < bytes.at + bytes.len; line = end + 1) {
        struct tr_doc *doc;
        const char *kind;
        int64_t step;
        end = memchr(line, '\n', (size_t)(bytes.at + bytes.len - line));
        assert_non_null(end);
        assert_int_equal(tr_doc_parse("line", TR_DOC_JSON, line, (size_t)(end - line), &doc, &err), TR_OK);
        assert_int_equal(tr_doc_string(tr_doc_root(doc), "kind", TR_REQUIRED, &kind, &err), TR_OK);
        assert_int_equal(tr_doc_int(tr_doc_root(doc), "step", TR_REQUIRED, 0, 1000, &step, &err), TR_OK);
        if (strcmp(kind, "step") == 0) {
            assert_int_equal(step, ++expected);
            for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
                assert_non_null(tr_doc_find(tr_doc_root(doc), columns[i]));
        } else {
            assert_int_equal(step, expected);
        }
        tr_doc_free(doc);
    }
    assert_int_equal(expected, last);
    tr_bytes_free(&bytes);
}

static void a_run_learns_and_leaves_its_files(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("learn", "train.steps=40", "eval.every=20", "sample.tokens=30",
                                                 "sample.every=20", "checkpoint.every=15", "sample.prompt=the ", NULL);
    struct tr_train_options options = tr_tiny_options();
    if (train_with(&config, &options) != TR_OK)
        fail_msg("%s", err.text);
    assert_true(result.state.first_val_loss > 5.3 && result.state.first_val_loss < 5.8); /* ln 257 = 5.55 */
    assert_true(result.state.val_loss < result.state.first_val_loss - 1.5);
    assert_true(result.state.val_bpb < result.state.first_val_bpb - 2);
    assert_int_equal(result.state.step, 40);
    assert_int_equal(result.state.tokens, 40 * 8 * 16);
    assert_true(result.mfu > 0 && result.tok_s > 0);
    assert_int_equal(memcmp(tr_text_str(&result.last_sample), "the ", 4), 0);
    metrics_must_be_whole(tr_scratch("learn/metrics.jsonl"), 40);
    assert_int_equal(count_of(tr_scratch("learn/metrics.jsonl"), "\"eval\""), 3);
    assert_int_equal(count_of(tr_scratch("learn/samples.txt"), "== step "), 2);
    assert_int_equal(count_of(tr_scratch("learn/events.jsonl"), "\"save\""), 3);
    assert_int_equal(count_of(tr_scratch("learn/events.jsonl"), "\"finish\""), 1);
    assert_true(tr_file_exists(tr_scratch("learn/report.html")));
    assert_true(tr_file_exists(tr_scratch("learn/profile.json")));
    assert_false(tr_file_exists(tr_scratch("learn/step-00000015"))); /* keep_last 2 */
    assert_true(tr_file_exists(tr_scratch("learn/step-00000030")));
    struct tr_hash hash;
    assert_int_equal(tr_hash_path(tr_scratch("learn"), &hash, &err), TR_OK);
    assert_string_equal(hash.hex, result.hash);
}

static void the_saved_config_makes_the_same_run(void **unused)
{
    (void)unused;
    static struct tr_run_config config;
    if (tr_run_config_read(&config, tr_scratch("whole/config.yaml"), NULL, 0, &err) != TR_OK)
        fail_msg("%s", err.text);
    strcpy(config.out, tr_scratch("same"));
    struct tr_tiny_hash hash = tr_tiny_train(&config);
    assert_string_equal(hash.hex, whole.hex);
}

static void evaluations_samples_and_saves_change_no_bit(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("busy", "eval.every=1", "eval.windows=3", "sample.every=5",
                                                 "sample.tokens=5", "checkpoint.every=4", NULL);
    struct tr_tiny_hash hash = tr_tiny_train(&config);
    assert_string_equal(hash.hex, whole.hex);
}

static void threads_that_come_and_go_change_no_bit_and_are_noted(void **unused)
{
    (void)unused;
    struct tr_run_profile profile;
    struct tr_run_config config = tr_tiny_config("crowd", "run.threads=3", NULL);
    struct tr_train_options options = tr_tiny_options();
    options.fault = other_programs;
    assert_int_equal(train_with(&config, &options), TR_OK);
    assert_string_equal(result.hash, whole.hex);
    assert_int_equal(count_of(tr_scratch("crowd/metrics.jsonl"), "\"threads\":1,"), TR_TINY_STEPS / 3);
    assert_int_equal(count_of(tr_scratch("crowd/metrics.jsonl"), "\"threads\":"), 2 * TR_TINY_STEPS / 3);
    assert_int_equal(tr_run_profile_read(tr_scratch("crowd"), 0, &profile, &err), TR_OK);
    assert_true(profile.threads == 3 && profile.crowded_s > 0 && profile.crowded_s < profile.steps_s);
    assert_true(tr_run_profile_crowded(&profile) == profile.crowded_s / profile.steps_s);
}

static void *train_on_one_core(void *out)
{
    struct tr_run_config config = tr_tiny_config("beside", "run.threads=1", TR_SANITIZED ? "train.steps=20" : "train.steps=200", "train.batch=64", NULL);
    struct tr_train_options options = tr_tiny_options();
    enum tr_status *status = out;
    tr_to_one_core();
    *status = train_with(&config, &options);
    return NULL;
}

/* There are no fewer threads than one. */
static void one_thread_that_has_no_core_notes_it(void **unused)
{
    (void)unused;
    struct tr_run_profile profile;
    struct tr_busy_core others;
    pthread_t one;
    enum tr_status status = TR_FAILED;
    tr_busy_core_begin(&others, 3);
    assert_int_equal(tr_thread_start(&one, train_on_one_core, &status), 0);
    pthread_join(one, NULL);
    tr_busy_core_end(&others);
    assert_int_equal(status, TR_OK);
    assert_int_equal(tr_run_profile_read(tr_scratch("beside"), 0, &profile, &err), TR_OK);
    assert_true(profile.crowded_s <= profile.steps_s);
    if (tr_thread_waited_s() > 0) { /* the system counts */
        assert_true(tr_run_profile_crowded(&profile) > .2);
        assert_true(count_of(tr_scratch("beside/metrics.jsonl"), "\"crowded\":") > 0);
    }
}

static void another_seed_gives_another_hash(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("seed", "train.seed=2", NULL);
    struct tr_tiny_hash hash = tr_tiny_train(&config);
    assert_string_not_equal(hash.hex, whole.hex);
}

/* ---- interrupts and resuming ------------------------------------------------------------------------------------- */

static void a_run_that_is_stopped_after_any_step_goes_on_to_the_same_hash(void **unused)
{
    (void)unused;
    for (int64_t at = 1; at < TR_TINY_STEPS; at++) {
        struct tr_run_config config = tr_tiny_config("stopped", "eval.every=4", "eval.windows=2", NULL);
        struct tr_train_options options = tr_tiny_options();
        options.stop = &stop;
        options.fault = stop_hook;
        stop_after = at;
        stop = 0;
        assert_int_equal(train_with(&config, &options), TR_FAILED);
        char expected[64];
        snprintf(expected, sizeof expected, "interrupted by SIGTERM after step %lld of 12", (long long)at);
        tr_assert_says(err.text, expected);
        assert_int_equal(result.state.step, at);
        stop = 0;
        if (train_with(&config, &options) != TR_OK)
            fail_msg("%s", err.text);
        assert_int_equal(result.resumed_at, at);
        assert_string_equal(result.hash, whole.hex);
        metrics_must_be_whole(tr_scratch("stopped/metrics.jsonl"), TR_TINY_STEPS);
        assert_int_equal(tr_folder_remove(tr_scratch("stopped"), &err), TR_OK);
    }
    fault_row("14", "SIGTERM during each step", "the step's own hook", TR_TINY_STEPS - 1, TR_TINY_STEPS - 1,
              "`interrupted by SIGTERM after step 3 of 12, which is saved in RUN/step-00000003`, exit status 3");
}

static void a_run_that_is_stopped_again_and_again_arrives(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("again", NULL);
    struct tr_train_options options = tr_tiny_options();
    options.stop = &stop;
    options.fault = stop_hook;
    for (int64_t at = 1; at <= TR_TINY_STEPS; at++) {
        stop_after = at;
        stop = 0;
        assert_int_equal(train_with(&config, &options), at < TR_TINY_STEPS ? TR_FAILED : TR_OK);
    }
    assert_string_equal(result.hash, whole.hex);
    stop = 0;
    assert_int_equal(train_with(&config, &options), TR_OK); /* finished: nothing to do, the same answer */
    assert_string_equal(result.hash, whole.hex);
}

static void a_stop_before_the_first_step_saves_nothing(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("early", NULL);
    struct tr_train_options options = tr_tiny_options();
    options.stop = &stop;
    stop = SIGINT;
    assert_int_equal(train_with(&config, &options), TR_FAILED);
    tr_assert_says(err.text, "interrupted by SIGINT before the first step");
    assert_string_equal(result.checkpoint, "");
    stop = 0;
    assert_int_equal(train_with(&config, &options), TR_OK);
    assert_string_equal(result.hash, whole.hex);
}

static void a_damaged_checkpoint_is_passed_over_and_named(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("damaged", "checkpoint.every=3", NULL);
    struct tr_train_options options = tr_tiny_options();
    assert_int_equal(train_with(&config, &options), TR_OK);
    const char *path = tr_scratch("damaged/step-00000012/optimizer.safetensors");
    struct tr_bytes bytes = tr_scratch_read(path);
    bytes.at[bytes.len / 2] ^= 4;
    assert_int_equal(tr_file_write(path, bytes.at, bytes.len, &err), TR_OK);
    tr_bytes_free(&bytes);
    assert_int_equal(train_with(&config, &options), TR_OK);
    assert_int_equal(result.resumed_at, 9);
    assert_string_equal(result.hash, whole.hex);
    assert_int_equal(count_of(tr_scratch("damaged/events.jsonl"), "bad_checkpoint"), 1);
    assert_true(
        count_of(tr_scratch("damaged/events.jsonl"), "step-00000012/optimizer.safetensors: damaged in tensor") == 1);
    assert_int_equal(tr_checkpoint_verify(tr_scratch("damaged/step-00000012"), &err), TR_OK); /* made anew */
}

static void nothing_good_left_is_refused_not_started_over(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("lost", NULL);
    struct tr_train_options options = tr_tiny_options();
    assert_int_equal(train_with(&config, &options), TR_OK);
    assert_int_equal(unlink(tr_scratch("lost/step-00000012/state.json")), 0);
    assert_int_equal(train_with(&config, &options), TR_BAD_INPUT);
    tr_assert_says(err.text, "none of the 1 checkpoints is whole");
    tr_assert_says(err.text, "state.json");
}

static void resume_never_overwrites_nothing(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("never", NULL);
    struct tr_train_options options = tr_tiny_options();
    options.resume = TR_RESUME_NEVER;
    assert_int_equal(train_with(&config, &options), TR_OK);
    assert_int_equal(train_with(&config, &options), TR_BAD_INPUT);
    tr_assert_says(err.text, "never: holds a checkpoint of step 12 already");
}

static void resume_from_a_path_goes_on_in_another_folder(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("from_a", "checkpoint.every=5", NULL);
    struct tr_train_options options = tr_tiny_options();
    assert_int_equal(train_with(&config, &options), TR_OK);
    struct tr_run_config other = tr_tiny_config("from_b", NULL);
    options.resume = TR_RESUME_FROM;
    options.resume_path = tr_scratch("from_a/step-00000010");
    if (train_with(&other, &options) != TR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(result.resumed_at, 10);
    assert_string_equal(result.hash, whole.hex);
    assert_int_equal(train_with(&config, &options), TR_BAD_INPUT);
    tr_assert_says(err.text, "holds a checkpoint of step 12, later than step 10");
    options.resume_path = tr_scratch("nowhere");
    struct tr_run_config unborn = tr_tiny_config("from_nowhere", NULL);
    assert_int_equal(train_with(&unborn, &options), TR_BAD_INPUT);
    assert_false(tr_file_exists(tr_scratch("from_nowhere")));
    options.resume_path = tr_scratch("from_a/step-00000010");
    struct tr_run_config another = tr_tiny_config("from_another", "train.steps=20", "train.seed=9", NULL);
    assert_int_equal(train_with(&another, &options), TR_BAD_INPUT); /* after the folder was made and locked */
    tr_assert_says(err.text, "was made with train.seed 1, this run has 9");
    assert_false(tr_file_exists(tr_scratch("from_another")));
}

static void what_would_be_another_run_is_refused(void **unused)
{
    (void)unused;
    struct tr_train_options options = tr_tiny_options();
    struct tr_run_config seed = tr_tiny_config("whole", "train.seed=9", NULL);
    assert_int_equal(train_with(&seed, &options), TR_BAD_INPUT);
    tr_assert_says(err.text, "was made with train.seed 1, this run has 9: it is another run");
    struct tr_run_config lanes = tr_tiny_config("whole", "layout.lanes=2", NULL);
    assert_int_equal(train_with(&lanes, &options), TR_BAD_INPUT);
    tr_assert_says(err.text, "lanes=2");
    struct tr_run_config depth = tr_tiny_config("whole", "model.depth=2", NULL);
    assert_int_equal(train_with(&depth, &options), TR_BAD_INPUT);
    tr_assert_says(err.text, "model.depth 1, this run has 2");
    struct tr_run_config fewer = tr_tiny_config("whole", "train.steps=3", NULL);
    assert_int_equal(train_with(&fewer, &options), TR_BAD_INPUT);
    tr_assert_says(err.text, "step-00000012: has done 12 steps, and train.steps is 3");
    tr_scratch_put_text("other.txt",
                        "quite another text, long enough for a window of sixteen tokens\nand more of it\n");
    struct tr_run_config data = tr_tiny_config("whole", NULL);
    strcpy(data.data, tr_scratch("other.txt"));
    assert_int_equal(train_with(&data, &options), TR_BAD_INPUT);
    tr_assert_says(err.text, "was trained on other text");
}

static void what_changes_the_course_is_taken_and_noted(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("longer", NULL);
    struct tr_train_options options = tr_tiny_options();
    assert_int_equal(train_with(&config, &options), TR_OK);
    struct tr_run_config more = tr_tiny_config("longer", "train.steps=15", NULL);
    if (train_with(&more, &options) != TR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(result.state.step, 15);
    assert_int_equal(count_of(tr_scratch("longer/events.jsonl"), "train.steps was 12, is now 15"), 1);
}

static void a_run_stops_early_and_keeps_its_best(void **unused)
{
    (void)unused;
    struct tr_run_config config =
        tr_tiny_config("patience", "train.steps=40", "eval.every=2", "eval.patience=3", "checkpoint.best=keep",
                       "checkpoint.keep_last=1", "checkpoint.keep_every=4", "checkpoint.every=4", NULL);
    struct tr_train_options options = tr_tiny_options();
    options.fault = spoil_weights;
    if (train_with(&config, &options) != TR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(result.state.best_step, 6);
    assert_int_equal(result.state.step, 12); /* 8, 10 and 12 were worse */
    assert_int_equal(count_of(tr_scratch("patience/events.jsonl"), "\"early_stop\""), 1);
    assert_int_equal(count_of(tr_scratch("patience/events.jsonl"), "the lowest was"), 1);
    static const int kept[] = {4, 6, 8, 12}, gone[] = {2, 10};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        char path[TR_PATH_BYTES];
        assert_int_equal(tr_checkpoint_path(tr_scratch("patience"), kept[i], path, &err), TR_OK);
        assert_true(tr_file_exists(path));
    }
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
        char path[TR_PATH_BYTES];
        assert_int_equal(tr_checkpoint_path(tr_scratch("patience"), gone[i], path, &err), TR_OK);
        assert_false(tr_file_exists(path));
    }
    struct tr_hash best, sixth;
    assert_int_equal(tr_hash_path(tr_scratch("patience/best"), &best, &err), TR_OK);
    assert_int_equal(tr_hash_path(tr_scratch("patience/step-00000006"), &sixth, &err), TR_OK);
    assert_string_equal(best.hex, sixth.hex);

    char whole_hash[TR_SHA256_HEX_BYTES]; /* the same command again finds that all is done */
    strcpy(whole_hash, result.hash);
    assert_int_equal(train_with(&config, &options), TR_OK);
    assert_int_equal(result.state.step, 12);
    assert_string_equal(result.hash, whole_hash);
}

/* Interrupted in its first step, in the second, ...: each attempt does one step, and every evaluation is interrupted. */
static void an_early_stop_comes_at_the_same_step_after_any_interrupts(void **unused)
{
    (void)unused;
    char expected[TR_SHA256_HEX_BYTES];
    struct tr_train_options options = tr_tiny_options();
    options.fault = spoil_weights;
    struct tr_run_config config = tr_tiny_config("calm", "train.steps=40", "eval.every=2", "eval.patience=3",
                                                 "checkpoint.best=keep", NULL);
    assert_int_equal(train_with(&config, &options), TR_OK);
    strcpy(expected, result.hash);
    strcpy(config.out, tr_scratch("restless"));
    options.stop = &stop;
    options.fault = spoil_weights_and_stop;
    int attempts = 1;
    for (stop = 0; train_with(&config, &options) != TR_OK; stop = 0)
        assert_true(result.state.step == attempts++ && attempts < 40);
    assert_int_equal(attempts, 13);
    assert_int_equal(result.state.step, 12);
    assert_string_equal(result.hash, expected);
    assert_true(tr_file_exists(tr_scratch("restless/best/manifest.json")));
}

/* Muon keeps no second moment of the matrices: checkpoints and hashes have as many arrays as there are. */
static void a_run_with_muon_learns_is_resumed_and_has_one_hash(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("muon", "optimizer.kind=muon", "eval.every=6", NULL);
    struct tr_train_options options = tr_tiny_options();
    if (train_with(&config, &options) != TR_OK)
        fail_msg("%s", err.text);
    char expected[TR_SHA256_HEX_BYTES];
    strcpy(expected, result.hash);
    assert_string_not_equal(expected, whole.hex);
    assert_true(result.state.val_loss < result.state.first_val_loss - 0.5);
    struct tr_hash hash;
    assert_int_equal(tr_hash_path(tr_scratch("muon"), &hash, &err), TR_OK);
    assert_string_equal(hash.hex, expected);
    assert_int_equal(count_of(tr_scratch("muon/step-00000012/manifest.json"), "\"m.model.layers.0.mlp.up_proj"), 1);
    assert_int_equal(count_of(tr_scratch("muon/step-00000012/manifest.json"), "\"v.model.layers.0.mlp.up_proj"), 0);
    assert_int_equal(count_of(tr_scratch("muon/step-00000012/manifest.json"), "\"v.model.embed_tokens"), 1);

    strcpy(config.out, tr_scratch("muon2"));
    config.save_where = TR_SAVE_BACKGROUND;
    options.stop = &stop;
    options.fault = stop_hook;
    stop_after = 5;
    stop = 0;
    assert_int_equal(train_with(&config, &options), TR_FAILED);
    stop = 0;
    stop_after = 0;
    assert_int_equal(train_with(&config, &options), TR_OK);
    assert_string_equal(result.hash, expected);

    config.optimizer = TR_OPTIMIZER_ADAMW;
    assert_int_equal(train_with(&config, &options), TR_BAD_INPUT);
    tr_assert_says(err.text, "was made with optimizer.kind \"muon\", this run has \"adamw\"");
}

/* Muon's own products are fp32: profile.json says so, and what the machine can do of those. */
static void a_profile_says_of_which_numbers_operations_are(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("mixed", "optimizer.kind=muon", "train.dtype=bf16", NULL);
    struct tr_train_options options = {.peak_flop_s = 0}; /* measured */
    if (train_with(&config, &options) != TR_OK)
        fail_msg("%s", err.text);
    const char *profile = tr_scratch("mixed/profile.json");
    assert_int_equal(count_of(profile, "\"peak_f32_flop_s\""), 1);
    assert_int_equal(count_of(profile, "\"op\": \"linear\",\n      \"type\": \"bf16\""), 1); /* forward */
    assert_int_equal(count_of(profile, "\"op\": \"linear\",\n      \"type\": \"f32\""), 1);  /* update */
}

static void adapters_are_saved_resumed_and_used_like_any_weight(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("lora", "lora.rank=4", "lora.alpha=8", "eval.every=6",
                                                 "sample.tokens=5", "model.depth=2", NULL);
    struct tr_train_options options = tr_tiny_options();
    if (train_with(&config, &options) != TR_OK)
        fail_msg("%s", err.text);
    char expected[TR_SHA256_HEX_BYTES];
    strcpy(expected, result.hash);
    assert_true(result.state.val_loss < result.state.first_val_loss - 0.02);
    struct tr_hash hash;
    assert_int_equal(tr_hash_path(tr_scratch("lora"), &hash, &err), TR_OK);
    assert_string_equal(hash.hex, expected);
    const char *manifest = tr_scratch("lora/step-00000012/manifest.json");
    assert_int_equal(count_of(manifest, "\"model.layers.1.self_attn.q_proj.lora_A.weight"), 1);
    assert_int_equal(count_of(manifest, "\"v.model.layers.1.self_attn.q_proj.lora_A.weight"), 1);
    assert_int_equal(count_of(manifest, "\"m.model.embed_tokens.weight"), 0);

    strcpy(config.out, tr_scratch("lora2"));
    config.save_where = TR_SAVE_BACKGROUND;
    options.stop = &stop;
    options.fault = stop_hook;
    stop_after = 7;
    stop = 0;
    assert_int_equal(train_with(&config, &options), TR_FAILED);
    stop = 0;
    stop_after = 0;
    assert_int_equal(train_with(&config, &options), TR_OK);
    assert_string_equal(result.hash, expected);
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

static void steps_that_are_not_finite_are_left_out_and_counted(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("skip", "checkpoint.every=1", "checkpoint.keep_last=0", NULL);
    struct tr_train_options options = tr_tiny_options();
    char bad[] = "deh"; /* steps 3, 4 and 7, counted from 0 */
    options.fault = bad_steps;
    options.fault_context = bad;
    assert_int_equal(train_with(&config, &options), TR_OK);
    assert_int_equal(result.state.skipped, 3);
    assert_int_equal(result.state.skipped_in_row, 0);
    assert_string_not_equal(result.hash, whole.hex);
    struct tr_hash before, after, next;
    assert_int_equal(tr_hash_path(tr_scratch("skip/step-00000003"), &before, &err), TR_OK);
    assert_int_equal(tr_hash_path(tr_scratch("skip/step-00000005"), &after, &err), TR_OK);
    assert_int_equal(tr_hash_path(tr_scratch("skip/step-00000006"), &next, &err), TR_OK);
    assert_string_equal(before.hex, after.hex);
    assert_string_not_equal(next.hex, after.hex);
    assert_int_equal(count_of(tr_scratch("skip/metrics.jsonl"), "\"skipped_now\":true"), 3);
    assert_int_equal(count_of(tr_scratch("skip/metrics.jsonl"), "\"loss\":null"), 3);
    assert_int_equal(count_of(tr_scratch("skip/events.jsonl"), "\"skip\""), 3);
    fault_row("15", "loss or gradient is NaN or Inf", "the step's own hook", 3, 3,
              "`skipped` counts; the step leaves weights and moments as they were, a line in events.jsonl");
}

static void too_many_of_them_in_a_row_end_the_run_with_a_sentence(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("worse", "checkpoint.every=2", "train.max_skipped=3", NULL);
    struct tr_train_options options = tr_tiny_options();
    char bad[] = "acdfgh";
    options.fault = bad_steps;
    options.fault_context = bad;
    assert_int_equal(train_with(&config, &options), TR_FAILED);
    tr_assert_says(err.text, "was not finite in 3 steps in a row, the last of them step 8");
    tr_assert_says(err.text, "the last checkpoint is of step 6");
    assert_int_equal(train_with(&config, &options), TR_FAILED); /* the count goes on where it was: deterministic */
    tr_assert_says(err.text, "in 3 steps in a row, the last of them step 8");
    fault_row("15", "too many of them in a row, then started again", "the step's own hook", 2, 2,
              "`... was not finite in 3 steps in a row, the last of them step 8; the last checkpoint is of step 6`, exit "
              "status 3, both times at the same step");
}

static void a_full_disk_at_any_moment(const char *where)
{
    int failures = 0;
    for (int at = 1; at < 400; at += fault_tries(13, 1)) {
        struct tr_run_config config = tr_tiny_config("full", "checkpoint.every=4", where, NULL);
        struct tr_train_options options = tr_tiny_options();
        fault = FAULT_FULL;
        fault_at = at;
        calls_seen = 0;
        enum tr_status status = train_with(&config, &options);
        fault = FAULT_NONE;
        if (status == TR_OK)
            break;
        failures++;
        assert_int_equal(status, TR_FAILED);
        tr_assert_says(err.text, "No space left on device");
        if (train_with(&config, &options) != TR_OK)
            fail_msg("%s", err.text);
        assert_string_equal(result.hash, whole.hex);
        metrics_must_be_whole(tr_scratch("full/metrics.jsonl"), TR_TINY_STEPS);
        assert_int_equal(tr_folder_remove(tr_scratch("full"), &err), TR_OK);
    }
    assert_true(failures > 3);
    fault_row("3", strstr(where, "background") ? "the same, saves in the background" : "disk full from any write of a run on",
              "a shim around write", failures, failures, "`... No space left on device`, exit status 3");
}

static void a_full_disk_at_any_moment_ends_with_a_sentence_and_loses_nothing(void **unused)
{
    (void)unused;
    a_full_disk_at_any_moment("checkpoint.write=foreground");
}

static void nor_does_it_with_saves_in_the_background(void **unused)
{
    (void)unused;
    a_full_disk_at_any_moment("checkpoint.write=background");
}

/* The next steps change the weights before the writer begins: what it writes is the step boundary still. */
static void a_save_in_the_background_is_the_step_boundary(void **unused)
{
    (void)unused;
    struct tr_run_config now = tr_tiny_config("at_once", "checkpoint.every=1", "checkpoint.keep_last=0", NULL);
    struct tr_run_config later = tr_tiny_config("later", "checkpoint.every=3", "checkpoint.keep_last=0",
                                                "checkpoint.write=background", NULL);
    struct tr_train_options options = tr_tiny_options();
    assert_int_equal(train_with(&now, &options), TR_OK);
    options.fault = release_writer;
    fault = FAULT_HOLD;
    held = true;
    enum tr_status status = train_with(&later, &options);
    fault = FAULT_NONE;
    assert_int_equal(status, TR_OK);
    assert_string_equal(result.hash, whole.hex);
    for (int64_t step = 3; step <= TR_TINY_STEPS; step += 3) {
        struct tr_hash a, b;
        char path[TR_PATH_BYTES];
        assert_int_equal(tr_checkpoint_path(now.out, step, path, &err), TR_OK);
        assert_int_equal(tr_hash_path(path, &a, &err), TR_OK);
        assert_int_equal(tr_checkpoint_path(later.out, step, path, &err), TR_OK);
        assert_int_equal(tr_hash_path(path, &b, &err), TR_OK);
        assert_string_equal(a.hex, b.hex);
    }
    assert_int_equal(count_of(tr_scratch("later/events.jsonl"), "\"save\""), 4);
    fault_row("20", "the writer of a background save is held back until the next steps are done", "a shim around write", 4,
              4, "nothing; the checkpoint is the step boundary");
}

static void after_an_interrupt_a_save_in_the_background_is_whole(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("awaited", "checkpoint.every=2", "checkpoint.write=background", NULL);
    struct tr_train_options options = tr_tiny_options();
    options.stop = &stop;
    options.fault = stop_hook;
    stop_after = 5;
    stop = 0;
    assert_int_equal(train_with(&config, &options), TR_FAILED);
    tr_assert_says(err.text, "after step 5 of 12, which is saved");
    assert_int_equal(tr_checkpoint_verify(tr_scratch("awaited/step-00000004"), &err), TR_OK);
    assert_int_equal(tr_checkpoint_verify(tr_scratch("awaited/step-00000005"), &err), TR_OK);
    stop = 0;
    options.stop = NULL;
    options.fault = NULL;
    assert_int_equal(train_with(&config, &options), TR_OK);
    assert_string_equal(result.hash, whole.hex);
}

static void a_second_trainer_on_one_folder_is_refused(void **unused)
{
    (void)unused;
    struct tr_lock lock;
    assert_int_equal(tr_lock_take(&lock, tr_scratch("whole/lock"), &err), TR_OK);
    struct tr_run_config config = tr_tiny_config("whole", NULL);
    struct tr_train_options options = tr_tiny_options();
    assert_int_equal(train_with(&config, &options), TR_BAD_INPUT);
    tr_assert_says(err.text, "another trainer works in ");
    tr_lock_drop(&lock);
    assert_int_equal(train_with(&config, &options), TR_OK);
    fault_row("21", "two trainers on one run folder", "the lock is held by another", 1, 1,
              "`another trainer works in RUN`, exit status 2");
}

/* A step takes longer the further its microbatch is from `context`: another machine's taste. */
static double price_by_distance(void *context, const struct tr_program *program, int threads, double hand_s)
{
    (void)threads, (void)hand_s;
    int64_t off = program->step.micro_batch - *(const int64_t *)context;
    return *(const int64_t *)context ? 1 + .1 * (double)(off < 0 ? -off : off) : 0;
}

static int64_t chosen_for(struct tr_run_config *config, int64_t best)
{
    struct tr_train_options options = tr_tiny_options();
    options.price = price_by_distance;
    options.price_context = &best;
    options.dry_run = true;
    if (train_with(config, &options) != TR_OK)
        fail_msg("%s", err.text);
    return result.state.config.micro_batch;
}

static void a_microbatch_that_is_left_to_us_is_the_fastest(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("priced", "train.batch=24", "train.micro_batch=auto", NULL);
    assert_int_equal(chosen_for(&config, 0), 24); /* no price: the rule */
    assert_int_equal(chosen_for(&config, 8), 8);
    assert_int_equal(chosen_for(&config, 5), 4); /* 5 does not divide 24; 6 is as fast and later */
    config.micro_batch = 12; /* what the user says stands */
    assert_int_equal(chosen_for(&config, 8), 12);
}

static double price_by_cores(void *context, const struct tr_program *program, int threads, double hand_s)
{
    (void)threads;
    int64_t best = hand_s > 1e-7 ? 3 : 8; /* of cores that are apart another one is the fastest */
    return price_by_distance(context ? context : &best, program, threads, hand_s);
}

static void ask_by_cores(void *context, const struct tr_train_ahead *ahead, struct tr_train_predicted *out, struct tr_text *say)
{
    int64_t *chosen = context;
    (void)out, (void)say;
    for (int apart = 0; apart < 2; apart++) {
        struct tr_run_config config = *ahead->config;
        struct tr_fit fit = ahead->fit;
        fit.hand_s = apart ? 1.9e-7 : 4e-8;
        tr_fit_fastest(&fit, &config, INT64_MAX, price_by_cores, NULL);
        chosen[apart] = config.micro_batch;
    }
}

static void a_microbatch_is_the_fastest_of_cores_as_they_are(void **unused)
{
    (void)unused;
    int64_t chosen[2] = {0};
    struct tr_run_config config = tr_tiny_config("cores", "train.batch=24", "train.micro_batch=auto", NULL);
    struct tr_train_options options = tr_tiny_options();
    options.planned = ask_by_cores;
    options.planned_context = chosen;
    options.dry_run = true;
    if (train_with(&config, &options) != TR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(chosen[0], 8);
    assert_int_equal(chosen[1], 3);
}

static void a_refusal_names_a_sequence_that_fits(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("long", "train.batch=4", "data.seq_len=256", NULL);
    struct tr_train_options options = tr_tiny_options();
    struct tr_run_config nearest = tr_tiny_config("long", "train.batch=4", "data.seq_len=128", "train.micro_batch=1",
                                                  "train.recompute=full", NULL);
    options.dry_run = true;
    assert_int_equal(train_with(&nearest, &options), TR_OK);
    options.memory_bytes = result.memory_planned_bytes + (64 << 20) + 20000; /* the process, and the text */
    assert_int_equal(train_with(&config, &options), TR_NO);
    tr_assert_says(err.text, "with data.seq_len 128 besides, ");
    assert_int_equal(train_with(&nearest, &options), TR_OK);
    options.memory_bytes = 1 << 20;
    assert_int_equal(train_with(&config, &options), TR_NO);
    tr_assert_says(err.text, ": no model of the dial fits");
    config = tr_tiny_config("deep", "model.depth=40", NULL);
    options.memory_bytes = (int64_t)1 << 30;
    assert_int_equal(train_with(&config, &options), TR_NO);
    const char *depth = strstr(err.text, "the largest model of the dial that fits is model.depth ");
    assert_non_null(depth);
    config = tr_tiny_config("deep", "train.micro_batch=1", "train.recompute=full", NULL);
    config.depth = atoi(depth + strlen("the largest model of the dial that fits is model.depth "));
    assert_true(config.depth > 2 && config.depth < 40);
    assert_int_equal(train_with(&config, &options), TR_OK);
    config.depth++;
    assert_int_equal(train_with(&config, &options), TR_NO);
    options.memory_bytes = 0;
    config.depth = 128; /* more than any machine that tests run on has */
    assert_int_equal(train_with(&config, &options), TR_NO);
    tr_assert_says(err.text, " are free, of which a run may take ");
}

static void what_does_not_fit_is_refused_before_anything_is_written(void **unused)
{
    (void)unused;
    struct tr_run_config config = tr_tiny_config("big", "train.batch=64", "train.micro_batch=64", NULL);
    struct tr_train_options options = tr_tiny_options();
    options.memory_bytes = 1 << 20;
    assert_int_equal(train_with(&config, &options), TR_NO);
    tr_assert_says(err.text, "training depth-1 needs ");
    tr_assert_says(err.text, "of memory, there are 1 MiB; even with train.micro_batch 1");
    assert_false(tr_file_exists(tr_scratch("big")));
    options.memory_bytes = 0;
    options.dry_run = true;
    assert_int_equal(train_with(&config, &options), TR_OK);
    int64_t fits = result.memory_planned_bytes + (64 << 20) + 6000;
    options.memory_bytes = fits - 1000;
    assert_int_equal(train_with(&config, &options), TR_NO);
    tr_assert_says(err.text, "with train.micro_batch 1 and train.recompute full it would need ");
    tr_assert_says(err.text, "and give the same bits");
    config.micro_batch = TR_AUTO; /* left to us: a smaller one is taken */
    if (train_with(&config, &options) != TR_OK)
        fail_msg("%s", err.text);
    assert_true(result.state.config.micro_batch < 64 && result.state.config.micro_batch > 0);
    config = tr_tiny_config("deep", "model.depth=4", "train.micro_batch=8", "train.recompute=full", NULL);
    options.memory_bytes = 0;
    assert_int_equal(train_with(&config, &options), TR_OK);
    options.memory_bytes = result.memory_planned_bytes + (64 << 20) + 6000;
    config.recompute = TR_RECOMPUTE_NONE + 1;
    assert_int_equal(train_with(&config, &options), TR_NO);
    config.recompute = 0; /* left to us too */
    if (train_with(&config, &options) != TR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(result.state.config.recompute, TR_RECOMPUTE_FULL + 1);
    assert_false(tr_file_exists(tr_scratch("big"))); /* a dry run writes nothing */
}

static void what_lies_ahead_is_more_than_steps(void **unused)
{
    (void)unused;
    struct tr_run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    run->config.steps = 10;
    run->config.eval_every = 3, run->config.sample_tokens = 8, run->config.save_every = 5; /* a sample at the end */
    run->state.step = 4;
    run->attempt_steps = 4, run->attempt_s = 8;
    assert_true(tr_run_eta_s(run) == 6 * 2.);
    run->aside[TR_ASIDE_EVALUATION].count = 2, run->aside[TR_ASIDE_EVALUATION].time_s = 6; /* due after 6, 9 and 10 */
    run->aside[TR_ASIDE_SAMPLE].count = 1, run->aside[TR_ASIDE_SAMPLE].time_s = 5;
    assert_true(tr_run_eta_s(run) == 6 * 2. + 3 * 3. + 5);
    run->aside[TR_ASIDE_SAVE].count = 2, run->aside[TR_ASIDE_SAVE].time_s = 1;
    assert_true(tr_run_eta_s(run) == 6 * 2. + 3 * 3. + 5 + 2 * .5);
    run->config.eval_every = 0, run->config.sample_tokens = 0;
    assert_true(tr_run_eta_s(run) == 6 * 2. + 2 * .5);
    free(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_learns_and_leaves_its_files),
        cmocka_unit_test(the_saved_config_makes_the_same_run),
        cmocka_unit_test(evaluations_samples_and_saves_change_no_bit),
        cmocka_unit_test(threads_that_come_and_go_change_no_bit_and_are_noted),
        cmocka_unit_test(one_thread_that_has_no_core_notes_it),
        cmocka_unit_test(what_lies_ahead_is_more_than_steps),
        cmocka_unit_test(another_seed_gives_another_hash),
        cmocka_unit_test(a_run_that_is_stopped_after_any_step_goes_on_to_the_same_hash),
        cmocka_unit_test(a_run_that_is_stopped_again_and_again_arrives),
        cmocka_unit_test(a_stop_before_the_first_step_saves_nothing),
        cmocka_unit_test(a_damaged_checkpoint_is_passed_over_and_named),
        cmocka_unit_test(nothing_good_left_is_refused_not_started_over),
        cmocka_unit_test(resume_never_overwrites_nothing),
        cmocka_unit_test(resume_from_a_path_goes_on_in_another_folder),
        cmocka_unit_test(what_would_be_another_run_is_refused),
        cmocka_unit_test(what_changes_the_course_is_taken_and_noted),
        cmocka_unit_test(a_run_stops_early_and_keeps_its_best),
        cmocka_unit_test(an_early_stop_comes_at_the_same_step_after_any_interrupts),
        cmocka_unit_test(a_run_with_muon_learns_is_resumed_and_has_one_hash),
        cmocka_unit_test(a_profile_says_of_which_numbers_operations_are),
        cmocka_unit_test(adapters_are_saved_resumed_and_used_like_any_weight),
        cmocka_unit_test(steps_that_are_not_finite_are_left_out_and_counted),
        cmocka_unit_test(too_many_of_them_in_a_row_end_the_run_with_a_sentence),
        cmocka_unit_test(a_full_disk_at_any_moment_ends_with_a_sentence_and_loses_nothing),
        cmocka_unit_test(nor_does_it_with_saves_in_the_background),
        cmocka_unit_test(a_save_in_the_background_is_the_step_boundary),
        cmocka_unit_test(after_an_interrupt_a_save_in_the_background_is_whole),
        cmocka_unit_test(a_second_trainer_on_one_folder_is_refused),
        cmocka_unit_test(a_microbatch_that_is_left_to_us_is_the_fastest),
        cmocka_unit_test(a_microbatch_is_the_fastest_of_cores_as_they_are),
        cmocka_unit_test(what_does_not_fit_is_refused_before_anything_is_written),
        cmocka_unit_test(a_refusal_names_a_sequence_that_fits),
    };
    return cmocka_run_group_tests_name("lab/train", tests, setup, teardown);
}
