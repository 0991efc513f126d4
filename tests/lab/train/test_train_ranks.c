/* Runs on several ranks: the hash of one rank, whatever the layout, and also where the layout changes on the way. */
#include "base/num.h"
#include "lab/train/manifest.h"
#include "lab/train/pace.h"
#include "lab/train/profile.h"
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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct tr_train_result result;
static struct tr_err err;

static enum tr_status train(const struct tr_run_config *config, const struct tr_train_options *options)
{
    err.text[0] = 0;
    tr_text_free(&result.last_sample);
    return tr_train(config, options, &result, &err);
}

static int teardown(void **state)
{
    tr_text_free(&result.last_sample);
    return tr_scratch_teardown(state);
}

/* Degrees: so many ranks share the lanes; and so many stages of so many chunks the layers. */
#define DP(n, z) {.ranks = {[TR_GROUP_DATA] = (n)}, .zero = (z)}
#define PP(p, v, n, z) {.ranks = {[TR_GROUP_DATA] = (n), [TR_GROUP_PIPE] = (p)}, .chunks = (v), .zero = (z)}

#define TP(t, p, v, n, z) {.ranks = {[TR_GROUP_TENSOR] = (t), [TR_GROUP_DATA] = (n), [TR_GROUP_PIPE] = (p)}, .chunks = (v), .zero = (z)}

static struct tr_train_options options_of(struct tr_degrees layout)
{
    struct tr_train_options options = tr_tiny_options();
    options.layout = layout;
    return options;
}

static const struct tr_degrees layouts[] = {DP(2, 0), DP(3, 0), DP(4, 0), DP(8, 0), DP(2, 1), DP(3, 1), DP(8, 1),
                                            DP(2, 2), DP(8, 2), DP(3, 2), DP(4, 3), DP(8, 3), DP(5, 3),
                                            PP(2, 1, 1, 0), PP(2, 1, 2, 0), PP(2, 1, 3, 1),
                                            TP(2, 1, 1, 1, 0), TP(2, 1, 1, 2, 0), TP(2, 1, 1, 2, 1), TP(2, 1, 1, 3, 3), TP(2, 2, 1, 2, 1)};
enum { LAYOUTS = sizeof layouts / sizeof *layouts, LAYOUTS_OF_WHOLE_MATRICES = LAYOUTS - 5 };

static struct tr_run_config config_of(const char *model, const char *dtype, const char *more)
{
    return tr_tiny_config("run", model, dtype, more, "layout.lanes=8", "layout.tensor=2", "train.micro_batch=1", "train.steps=4", "eval.every=2",
                          "eval.windows=5", "checkpoint.every=3", NULL);
}

/* Everything that a run does between steps too: evaluations, saves, samples. */
static void one_hash_whatever_the_layout(const char *dtype, const char *more)
{
    static const char *const models[] = {"model.name=tiny-gpt2", "model.name=tiny-llama"};
    int count = strstr(more, "muon") ? LAYOUTS_OF_WHOLE_MATRICES : LAYOUTS;
    for (int m = 0; m < 2; m++) {
        struct tr_tiny_hash one;
        double val_loss = 0;
        for (int i = -1; i < count; i++) {
            struct tr_run_config config = config_of(models[m], dtype, more);
            struct tr_train_options options = options_of(i < 0 ? (struct tr_degrees){0} : layouts[i]);
            struct tr_hash saved;
            if (train(&config, &options) != TR_OK)
                fail_msg("%s", err.text);
            if (i < 0) {
                memcpy(one.hex, result.hash, sizeof one.hex);
                val_loss = result.state.val_loss;
            }
            assert_string_equal(result.hash, one.hex);
            assert_true(result.state.val_loss == val_loss);
            assert_int_equal(result.ranks, tr_degrees_ranks(&options.layout));
            assert_int_equal(tr_hash_path(config.out, &saved, &err), TR_OK); /* the checkpoint is of the whole state */
            assert_string_equal(saved.hex, one.hex);
            if (i >= 0)
                assert_int_equal(result.sent_bytes, result.sent_steps * result.sent_planned_bytes);
            if (i >= 0)
                assert_true(result.coll.exposed_s > 0 && result.coll.busy_s >= result.coll.exposed_s);
            assert_int_equal(tr_folder_remove(config.out, &err), TR_OK);
        }
    }
}

static void fp32_runs_have_one_hash_on_any_number_of_ranks(void **state)
{
    (void)state;
    one_hash_whatever_the_layout("train.dtype=f32", "sample.tokens=5");
}

static void so_have_bf16_runs(void **state)
{
    (void)state;
    one_hash_whatever_the_layout("train.dtype=bf16", "sample.tokens=5");
}

static void so_have_runs_with_muon(void **state)
{
    (void)state;
    one_hash_whatever_the_layout("train.dtype=f32", "optimizer.kind=muon");
}

static void so_have_runs_of_documents_apart(void **state)
{
    (void)state;
    one_hash_whatever_the_layout("train.dtype=f32", "data.documents=apart");
}

/* Five layers, or four. */
static const char *put_deep_model(bool llama)
{
    static const char gpt2[] = "{\"architectures\": [\"GPT2LMHeadModel\"], \"model_type\": \"gpt2\", \"vocab_size\": 257, \"n_embd\": 32, "
                               "\"n_layer\": 5, \"n_head\": 4, \"n_positions\": 64, \"activation_function\": \"gelu_new\"}";
    static const char llama3[] = "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"vocab_size\": 257, "
                                 "\"hidden_size\": 32, \"intermediate_size\": 64, \"num_hidden_layers\": 4, \"num_attention_heads\": 4, "
                                 "\"num_key_value_heads\": 2, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-5, "
                                 "\"rope_theta\": 10000.0, \"tie_word_embeddings\": false, \"hidden_act\": \"silu\"}";
    tr_scratch_put_text("deep.json", llama ? llama3 : gpt2);
    return tr_scratch("deep.json");
}

/* What is said of waiting for other stages is what the ranks' sums have: of the whole step, with the update. */
static void check_bubble(const char *run_folder)
{
    static struct tr_run_profile ran;
    if (tr_run_profile_read(run_folder, 0, &ran, &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_true(result.bubble > 0 && result.bubble < 1 && result.bubble_planned > 0);
    assert_true(fabs(result.bubble / (ran.each[0].stage_s / ran.each[0].steps_s) - 1) < 1e-9);
}

static void so_have_runs_of_interleaved_pipelines(void **state)
{
    (void)state;
    static const struct tr_degrees deep[] = {{.zero = 0}, PP(2, 2, 1, 0), PP(4, 1, 1, 0), PP(2, 2, 2, 1)};
    for (int llama = 0; llama < 2; llama++) {
        struct tr_tiny_hash one;
        char name[TR_PATH_BYTES + 16];
        snprintf(name, sizeof name, "model.name=%s", put_deep_model(llama));
        for (int i = 0; i < 4; i++) {
            struct tr_run_config config = config_of(name, llama ? "train.dtype=bf16" : "train.dtype=f32", "sample.tokens=5");
            struct tr_train_options options = options_of(deep[i]);
            if (train(&config, &options) != TR_OK)
                fail_msg("%s", err.text);
            if (i == 0)
                memcpy(one.hex, result.hash, sizeof one.hex);
            assert_string_equal(result.hash, one.hex);
            assert_int_equal(result.stages, i ? deep[i].ranks[TR_GROUP_PIPE] : 1);
            if (i > 0)
                check_bubble(config.out);
            assert_int_equal(result.sent_bytes, result.sent_steps * result.sent_planned_bytes);
            assert_int_equal(tr_folder_remove(config.out, &err), TR_OK);
        }
    }
}

static void a_pipeline_takes_microbatches_that_fill_it_unless_told(void **state)
{
    (void)state;
    static const struct {
        const char *given;
        int64_t stages, taken;
    } cases[] = {{"train.micro_batch=auto", 1, 8}, {"train.micro_batch=auto", 2, 2}, {"train.micro_batch=4", 2, 4}};
    for (int i = 0; i < 3; i++) {
        struct tr_run_config config = tr_tiny_config("run", "model.name=tiny-gpt2", "layout.lanes=2", "train.batch=16", cases[i].given,
                                                     "train.steps=2", NULL);
        struct tr_train_options options = options_of((struct tr_degrees)PP((int32_t)cases[i].stages, 1, 1, 0));
        if (train(&config, &options) != TR_OK)
            fail_msg("%s", err.text);
        assert_int_equal(result.state.config.micro_batch, cases[i].taken);
        assert_int_equal(tr_folder_remove(config.out, &err), TR_OK);
    }
}

static void so_have_runs_that_save_in_the_background(void **state)
{
    (void)state;
    one_hash_whatever_the_layout("train.dtype=bf16", "checkpoint.write=background");
}

static int64_t largest_tensor_bytes(const char *checkpoint)
{
    struct tr_model_config model;
    struct tr_weights weights;
    int64_t most = 0;
    assert_int_equal(tr_checkpoint_read_model(checkpoint, &model, &err), TR_OK);
    assert_int_equal(tr_weights_make(&weights, &model, &err), TR_OK);
    for (int32_t i = 0; i < weights.count; i++)
        most = tr_max_i64(most, weights.weight[i].count * (int64_t)sizeof(float));
    tr_weights_free(&weights);
    return most;
}

/* No shard is larger than the mean by more than the largest tensor, and the hash of the files is that of the run. */
static void each_rank_writes_its_share_of_a_checkpoint(void **state)
{
    (void)state;
    static const struct tr_degrees some[] = {DP(4, 0), DP(3, 3), TP(2, 1, 1, 2, 1), PP(2, 1, 2, 1)};
    struct tr_run_config config = config_of("model.name=tiny-gpt2", "train.dtype=f32", "eval.every=0");
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        struct tr_train_options options = options_of(some[i]);
        struct tr_manifest manifest;
        struct tr_hash hash;
        if (train(&config, &options) != TR_OK)
            fail_msg("%s", err.text);
        assert_int_equal(tr_manifest_read(result.checkpoint, &manifest, &err), TR_OK);
        assert_int_equal(manifest.shards, tr_degrees_ranks(&some[i]));
        int64_t most = 0, all = 0;
        for (int32_t shard = 0; shard < manifest.shards; shard++) {
            int64_t bytes = tr_manifest_file(&manifest, TR_FILE_MODEL, shard)->bytes;
            most = tr_max_i64(most, bytes);
            all += bytes;
        }
        assert_true(most <= all / manifest.shards + largest_tensor_bytes(result.checkpoint));
        assert_int_equal(tr_hash_path(result.checkpoint, &hash, &err), TR_OK);
        assert_string_equal(hash.hex, result.hash);
        tr_manifest_free(&manifest);
        assert_int_equal(tr_folder_remove(config.out, &err), TR_OK);
    }
}

/* ---- on with another layout --------------------------------------------------------------------------------------- */

static atomic_int stop;
static int64_t stop_after;
static int64_t strange = -1; /* the batch that is a spike */

static void hook(void *context, struct tr_exec *exec, int64_t batch, struct tr_step_result *seen)
{
    (void)context, (void)exec;
    if (batch + 1 == stop_after)
        stop = SIGTERM;
    if (batch == strange)
        seen->loss *= 10;
}

/* A run that fails because of its course, on all ranks alike, while a save is under way: that save is there. */
static void a_save_under_way_is_finished_before_ranks_fail_together(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= 2; ranks++) {
        struct tr_run_config config = tr_tiny_config("run", "layout.lanes=2", "train.batch=8", "train.micro_batch=1", "train.steps=40", "eval.every=0",
                                                     "spike.action=skip", "spike.window=8", "spike.deviations=3", "train.max_skipped=1",
                                                     "checkpoint.write=background", "checkpoint.every=8", NULL);
        struct tr_train_options options = options_of((struct tr_degrees)DP(ranks, 0));
        options.fault = hook;
        strange = 8; /* the step after the save began */
        assert_int_equal(train(&config, &options), TR_FAILED);
        strange = -1;
        tr_assert_says(err.text, "the last checkpoint is of step 8");
        assert_true(tr_folder_exists(tr_scratch("run/step-00000008")));
        assert_int_equal(tr_folder_remove(config.out, &err), TR_OK);
    }
}

/* Under one layout after the other, each of which is stopped two steps later but the last. */
static void train_in_turns(const struct tr_run_config *config, const struct tr_degrees *layouts_in_turn, int count)
{
    for (int i = 0; i < count; i++) {
        struct tr_train_options options = options_of(layouts_in_turn[i]);
        bool last = i == count - 1;
        stop = 0;
        stop_after = last ? -1 : 2 + 2 * i;
        options.stop = &stop;
        options.fault = hook;
        assert_int_equal(train(config, &options), last ? TR_OK : TR_FAILED);
        if (!last)
            tr_assert_says(err.text, "the same command goes on from there");
    }
    assert_int_equal(result.resumed_at, 2 * (count - 1));
}

#define CP(c, t, n, z) {.ranks = {[TR_GROUP_TENSOR] = (t), [TR_GROUP_CONTEXT] = (c), [TR_GROUP_DATA] = (n)}, .zero = (z)}

/* One layout after the other, each from where the one before has stopped. */
static void ranks_that_share_sequences_do_too(void **state)
{
    (void)state;
    static const struct tr_degrees attempts[] = {CP(2, 1, 1, 0), CP(1, 2, 2, 1), CP(2, 1, 2, 3), {.ranks = {[TR_GROUP_TENSOR] = 2}, .sequence = true},
                                                 CP(1, 1, 1, 0), CP(2, 1, 2, 1), CP(2, 1, 1, 0)};
    enum { ATTEMPTS = sizeof attempts / sizeof *attempts };
    static const char *const models[] = {
        "{\"architectures\": [\"GPT2LMHeadModel\"], \"model_type\": \"gpt2\", \"vocab_size\": 257, \"n_embd\": 24, \"n_layer\": 2, \"n_head\": 3,"
        " \"n_positions\": 150, \"activation_function\": \"gelu_new\"}",
        "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"vocab_size\": 257, \"hidden_size\": 24,"
        " \"intermediate_size\": 40, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"num_key_value_heads\": 2,"
        " \"max_position_embeddings\": 150, \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, \"tie_word_embeddings\": true,"
        " \"hidden_act\": \"silu\"}"};
    for (int m = 0; m < 2; m++) {
        char model[256];
        const char *dtype = m ? "train.dtype=bf16" : "train.dtype=f32";
        tr_scratch_put_text("model.json", models[m]);
        snprintf(model, sizeof model, "model.name=%s", tr_scratch("model.json"));
        struct tr_run_config run = tr_tiny_config("run", model, dtype, "data.seq_len=130", "layout.lanes=2", "layout.context=2", "layout.tensor=2",
                                                  "train.batch=4", "train.micro_batch=2", "train.steps=14", "eval.every=2", NULL);
        struct tr_train_options alone = tr_tiny_options();
        assert_int_equal(train(&run, &alone), TR_OK);
        char hash[sizeof result.hash];
        memcpy(hash, result.hash, sizeof hash);
        double val_loss = result.state.val_loss;
        assert_int_equal(tr_folder_remove(run.out, &err), TR_OK);
        train_in_turns(&run, attempts, ATTEMPTS);
        assert_string_equal(result.hash, hash);
        assert_true(result.state.val_loss == val_loss);
        assert_int_equal(tr_folder_remove(run.out, &err), TR_OK);
    }
}

static void a_run_goes_on_under_any_other_layout(void **state)
{
    (void)state;
    static const char *const models[] = {"model.name=tiny-gpt2", "model.name=tiny-llama"};
    static const struct tr_degrees attempts[] = {PP(2, 1, 2, 1), DP(4, 3), TP(2, 1, 1, 2, 1), DP(1, 0), TP(2, 1, 1, 3, 2), DP(8, 3)};
    enum { ATTEMPTS = sizeof attempts / sizeof *attempts };
    for (int m = 0; m < 2; m++) {
        const char *dtype = m ? "train.dtype=bf16" : "train.dtype=f32";
        struct tr_run_config alone = tr_tiny_config("alone", models[m], dtype, "layout.lanes=8", "layout.tensor=2", "train.micro_batch=1",
                                                     "train.steps=14", NULL);
        struct tr_tiny_hash one = tr_tiny_train(&alone);
        struct tr_run_config config = tr_tiny_config("run", models[m], dtype, "layout.lanes=8", "layout.tensor=2", "train.micro_batch=1",
                                                      "train.steps=14", NULL);
        train_in_turns(&config, attempts, ATTEMPTS);
        assert_string_equal(result.hash, one.hex);
        assert_int_equal(tr_folder_remove(config.out, &err), TR_OK);
        assert_int_equal(tr_folder_remove(alone.out, &err), TR_OK);
    }
}

/* Stopped under one layout after two steps, and on to the end under another: all to all. */
static void any_layout_goes_on_from_any_other(void **state)
{
    (void)state;
    struct tr_run_config config = tr_tiny_config("run", "model.name=tiny-gpt2", "layout.lanes=8", "layout.tensor=2", "train.micro_batch=1",
                                                 "train.steps=3", NULL);
    struct tr_run_config alone = config;
    snprintf(alone.out, sizeof alone.out, "%s", tr_scratch("alone"));
    struct tr_tiny_hash one = tr_tiny_train(&alone);
    int tried = 0;
    for (int pair = 0; pair < LAYOUTS * LAYOUTS; pair += fault_tries(41, 1), tried++) {
        train_in_turns(&config, (struct tr_degrees[]){layouts[pair / LAYOUTS], layouts[pair % LAYOUTS]}, 2);
        assert_string_equal(result.hash, one.hex);
        assert_int_equal(tr_folder_remove(config.out, &err), TR_OK);
    }
    assert_int_equal(tr_folder_remove(alone.out, &err), TR_OK);
    fault_row("9", "another layout of ranks at resume, all to all",
              "1 to 8 ranks (data, tensor, pipeline parallel, zero 0 to 3): stopped under each, on under each", tried, tried, "nothing");
}

static void a_spike_sends_all_ranks_back_together(void **state)
{
    (void)state;
    static const struct tr_degrees attempts[] = {DP(1, 0), DP(2, 1), DP(3, 2), DP(4, 3), PP(2, 1, 1, 0), PP(2, 1, 2, 1), TP(2, 1, 1, 2, 1)};
    struct tr_tiny_hash one;
    for (int i = 0; i < 7; i++) {
        struct tr_run_config config = tr_tiny_config("run", "model.name=tiny-gpt2", "layout.lanes=8", "layout.tensor=2", "train.micro_batch=1",
                                                     "train.steps=16", "spike.window=8", "spike.deviations=20",
                                                     "spike.action=roll_back", "checkpoint.every=4", NULL);
        struct tr_train_options options = options_of(attempts[i]);
        options.fault = hook;
        stop_after = -1;
        strange = 13;
        enum tr_status status = train(&config, &options);
        strange = -1;
        if (status != TR_OK)
            fail_msg("%s", err.text);
        assert_int_equal(result.state.roll_backs, 1);
        if (i == 0)
            memcpy(one.hex, result.hash, sizeof one.hex);
        assert_string_equal(result.hash, one.hex);
        assert_int_equal(tr_folder_remove(config.out, &err), TR_OK);
    }
}

static void a_run_begins_with_another_models_weights_on_any_rank(void **state)
{
    (void)state;
    struct tr_tiny_hash one;
    struct tr_run_config base = tr_tiny_config("base", "model.name=tiny-llama", "train.steps=3", NULL);
    char init[TR_PATH_BYTES + 16];
    tr_tiny_train(&base);
    snprintf(init, sizeof init, "model.init=%s", base.out);
    static const struct tr_degrees attempts[] = {DP(1, 0), DP(2, 3), DP(3, 2), PP(2, 1, 2, 1)};
    for (int i = 0; i < 4; i++) {
        struct tr_run_config config = tr_tiny_config("run", init, "layout.lanes=4", "train.micro_batch=1",
                                                     "train.steps=3", "train.dtype=bf16", "lora.rank=2", NULL);
        struct tr_train_options options = options_of(attempts[i]);
        if (train(&config, &options) != TR_OK)
            fail_msg("%s", err.text);
        if (i == 0)
            memcpy(one.hex, result.hash, sizeof one.hex);
        assert_string_equal(result.hash, one.hex);
        assert_int_equal(tr_folder_remove(config.out, &err), TR_OK);
    }
    assert_int_equal(tr_folder_remove(base.out, &err), TR_OK);
}

/* ---- side by side -------------------------------------------------------------------------------------------------- */

static void the_slowest_rank_is_a_straggler_by_its_time_for_the_same_work(void **state)
{
    (void)state;
    double scratch[4], factor = 0;
    struct tr_pace even[] = {{2, 200}, {1, 100}, {1.1, 100}, {1, 100}}; /* the first has two lanes */
    assert_int_equal(tr_pace_straggler(even, 4, scratch, &factor), -1);
    struct tr_pace slow[] = {{2, 200}, {1, 100}, {3, 100}, {1, 100}};
    assert_int_equal(tr_pace_straggler(slow, 4, scratch, &factor), 2);
    assert_true(factor == 3);
    struct tr_pace two[] = {{3, 100}, {1, 100}};
    assert_int_equal(tr_pace_straggler(two, 2, scratch, &factor), 0);
    struct tr_pace idle[] = {{0, 0}, {1, 100}, {0, 0}};
    assert_int_equal(tr_pace_straggler(idle, 3, scratch, &factor), -1);
}

static void slow_rank(void *context, struct tr_exec *exec, int64_t batch, struct tr_step_result *seen)
{
    (void)context, (void)batch, (void)seen;
    if (exec->program->step.place.rank == 2)
        usleep(300 * 1000);
}

static void a_straggler_is_named_with_its_factor(void **state)
{
    (void)state;
    struct tr_run_config config = tr_tiny_config("run", "layout.lanes=4", "train.micro_batch=1", "train.steps=4", "run.log_every=2", NULL);
    struct tr_train_options options = options_of((struct tr_degrees){.ranks = {[TR_GROUP_DATA] = 4}});
    options.fault = slow_rank;
    if (train(&config, &options) != TR_OK)
        fail_msg("%s", err.text);
    struct tr_bytes events = tr_scratch_read(tr_scratch("run/events.jsonl"));
    tr_assert_says(events.at, "\"event\":\"straggler\",\"text\":\"rank 2 is slow: its work takes ");
    tr_bytes_free(&events);
}

/* ---- what cannot be ------------------------------------------------------------------------------------------------ */

static void end_before_it_begins(struct tr_run_config config, struct tr_train_options options, enum tr_status status, const char *words)
{
    assert_int_equal(train(&config, &options), status);
    tr_assert_says(err.text, words);
    assert_false(tr_file_exists(config.out));
}

static void refuse(struct tr_run_config config, struct tr_train_options options, const char *words)
{
    end_before_it_begins(config, options, TR_BAD_INPUT, words);
}

static void what_cannot_be_is_refused_in_one_sentence_and_writes_nothing(void **state)
{
    (void)state;
    refuse(tr_tiny_config("no", "layout.lanes=4", "train.micro_batch=1", NULL), options_of((struct tr_degrees)DP(5, 0)), "which 1 to 4 ranks can share");
    refuse(tr_tiny_config("no", "layout.lanes=4", "train.micro_batch=1", NULL), options_of((struct tr_degrees)DP(200, 0)), "1 to 128");
    refuse(tr_tiny_config("no", NULL), options_of((struct tr_degrees)DP(1, 1)), "no other rank");
    refuse(tr_tiny_config("no", NULL), options_of((struct tr_degrees)PP(2, 1, 1, 0)), "which 1 to 1 stages can share");
    refuse(tr_tiny_config("no", "model.name=tiny-gpt2", NULL), options_of((struct tr_degrees)PP(2, 2, 1, 0)), "1 to 1 chunks");
    refuse(tr_tiny_config("no", NULL), options_of((struct tr_degrees)TP(2, 1, 1, 1, 0)), "the run has 1 tensor part (layout.tensor)");
    refuse(tr_tiny_config("no", "model.name=tiny-gpt2", "layout.tensor=2", "optimizer.kind=muon", NULL),
           options_of((struct tr_degrees)TP(2, 1, 1, 1, 0)), "whole matrices");
    refuse(tr_tiny_config("no", "layout.lanes=4", "train.micro_batch=1", "replay.every=2", NULL), options_of((struct tr_degrees)DP(2, 0)), "replay.every 0");
    struct tr_train_options little = options_of((struct tr_degrees)DP(2, 0));
    little.memory_bytes = 1 << 20;
    end_before_it_begins(tr_tiny_config("no", "layout.lanes=4", "train.micro_batch=1", NULL), little, TR_NO, "on each rank");
}

static void a_lead_that_fails_ends_all_ranks_with_its_sentence(void **state)
{
    (void)state;
    struct tr_run_config config = tr_tiny_config("taken", "layout.lanes=4", "train.micro_batch=1", NULL);
    struct tr_train_options options = options_of((struct tr_degrees)DP(4, 1));
    struct tr_lock lock;
    char path[TR_PATH_BYTES];
    assert_int_equal(tr_folder_make(config.out, &err), TR_OK);
    assert_int_equal(tr_path_join(path, config.out, "lock", &err), TR_OK);
    assert_int_equal(tr_lock_take(&lock, path, &err), TR_OK);
    assert_int_equal(train(&config, &options), TR_BAD_INPUT);
    tr_assert_says(err.text, "another trainer works in");
    tr_lock_drop(&lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp32_runs_have_one_hash_on_any_number_of_ranks),
        cmocka_unit_test(so_have_bf16_runs),
        cmocka_unit_test(so_have_runs_with_muon),
        cmocka_unit_test(so_have_runs_of_documents_apart),
        cmocka_unit_test(so_have_runs_of_interleaved_pipelines),
        cmocka_unit_test(a_pipeline_takes_microbatches_that_fill_it_unless_told),
        cmocka_unit_test(so_have_runs_that_save_in_the_background),
        cmocka_unit_test(each_rank_writes_its_share_of_a_checkpoint),
        cmocka_unit_test(a_save_under_way_is_finished_before_ranks_fail_together),
        cmocka_unit_test(a_run_goes_on_under_any_other_layout),
        cmocka_unit_test(any_layout_goes_on_from_any_other),
        cmocka_unit_test(ranks_that_share_sequences_do_too),
        cmocka_unit_test(a_spike_sends_all_ranks_back_together),
        cmocka_unit_test(a_run_begins_with_another_models_weights_on_any_rank),
        cmocka_unit_test(the_slowest_rank_is_a_straggler_by_its_time_for_the_same_work),
        cmocka_unit_test(a_straggler_is_named_with_its_factor),
        cmocka_unit_test(what_cannot_be_is_refused_in_one_sentence_and_writes_nothing),
        cmocka_unit_test(a_lead_that_fails_ends_all_ranks_with_its_sentence),
    };
    return cmocka_run_group_tests(tests, tr_scratch_setup, teardown);
}
