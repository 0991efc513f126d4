#include "plan/here/explain_run.h"

#include "base/quantity.h"
#include "lib/made_up_profile.h"
#include "lib/scratch.h"
#include "lib/tiny_run.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tr_err err;
static struct tr_run_explained run;

static void explain(double peak_flop_s, double memory_byte_s)
{
    struct tr_catalog *catalog = tr_made_up_profile(peak_flop_s, memory_byte_s);
    if (tr_run_explain(tr_scratch("run"), catalog, 0, &run, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_catalog_free(catalog);
}

static int make_run(void **state)
{
    int failed = tr_scratch_setup(state);
    struct tr_run_config config = tr_tiny_config("run", "train.micro_batch=2", "eval.every=4", NULL);
    tr_tiny_train(&config);
    return failed;
}

static void rows_sum_to_the_step_on_both_sides(void **state)
{
    (void)state;
    explain(1e9, 1e10);
    double measured_s = run.between_measured_s, predicted_s = run.between_predicted_s;
    assert_true(run.rows > 10);
    for (int i = 0; i < run.rows; i++) {
        assert_true(tr_phase_is_of_step(run.row[i].phase));
        measured_s += run.row[i].measured_s;
        predicted_s += run.row[i].predicted_s;
    }
    assert_true(fabs(measured_s / run.measured_s - 1) < 1e-9);
    assert_true(fabs(predicted_s / run.predicted_s - 1) < 1e-9);
    for (int i = 1; i < run.rows; i++)
        assert_true(fabs(run.row[i].measured_s - run.row[i].predicted_s) <=
                    fabs(run.row[i - 1].measured_s - run.row[i - 1].predicted_s));
}

/* What `trine train` says before it starts is what it is held against. */
static void the_prediction_is_that_of_the_step_program(void **state)
{
    (void)state;
    struct tr_kernel_rates rates;
    struct tr_program program;
    struct tr_here_time time;
    struct tr_run_config config = tr_tiny_config("other", "train.micro_batch=2", NULL);
    struct tr_model_config model;
    struct tr_catalog *catalog = tr_made_up_profile(1e9, 1e10);
    assert_int_equal(tr_run_config_resolve(&config, 257, &model, &err), TR_OK);
    explain(1e9, 1e10);
    struct tr_step_config step = tr_run_step_config(&config);
    assert_int_equal(tr_kernel_rates_find(catalog, 1, &rates, &err), TR_OK);
    if (tr_program_train(&program, &model, &step, (struct tr_machine){tr_kernel_set(TR_ISA_REF), 1}, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_here_step(&rates, &program, &time);
    assert_true(fabs(time.step_s / run.predicted_s - 1) < 1e-6);
    tr_program_free(&program);
    tr_catalog_free(catalog);
}

/* The copies that operations read are made before the first step, and are of none. */
static void a_run_in_bf16_is_explained(void **state)
{
    (void)state;
    struct tr_run_config config = tr_tiny_config("bf16", "train.dtype=bf16", "train.steps=2", NULL);
    struct tr_catalog *catalog = tr_made_up_profile(1e9, 1e10);
    tr_tiny_train(&config);
    if (tr_run_explain(tr_scratch("bf16"), catalog, 0, &run, &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_true(run.ran.op[TR_PHASE_LOAD][TR_OP_CAST].calls > 0);
    tr_catalog_free(catalog);
}

/* ---- several ranks ----------------------------------------------------------------------------------------------- */

static const struct tr_degrees layouts[] = {
    {.ranks = {[TR_GROUP_DATA] = 3}, .zero = 1},
    {.ranks = {[TR_GROUP_DATA] = 2}, .zero = 3},
    {.ranks = {[TR_GROUP_PIPE] = 2, [TR_GROUP_DATA] = 2}, .zero = 2},
    {.ranks = {[TR_GROUP_TENSOR] = 2}, .sequence = true},
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

static void explain_shared(struct tr_degrees layout)
{
    struct tr_run_config config = tr_tiny_config("shared", "model.name=tiny-gpt2", "layout.lanes=4", "layout.tensor=2", "train.micro_batch=1",
                                                 "train.steps=3", "eval.every=2", NULL);
    struct tr_train_options options = tr_tiny_options();
    struct tr_train_result result;
    struct tr_catalog *catalog = tr_made_up_profile(1e9, 1e10);
    options.layout = layout;
    assert_int_equal(tr_folder_remove(tr_scratch("shared"), &err), TR_OK);
    if (tr_train(&config, &options, &result, &err) != TR_OK || tr_run_explain(tr_scratch("shared"), catalog, 0, &run, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_text_free(&result.last_sample);
    tr_catalog_free(catalog);
}

static void check_sums(void)
{
    double measured_s = run.between_measured_s, predicted_s = run.between_predicted_s, waited_s = 0;
    for (int i = 0; i < run.rows; i++)
        measured_s += run.row[i].measured_s, predicted_s += run.row[i].predicted_s;
    for (int i = 0; i < run.colls; i++)
        measured_s += run.coll[i].measured_s, predicted_s += run.coll[i].predicted_s, waited_s += run.coll[i].measured_s;
    assert_true(fabs(measured_s / run.measured_s - 1) < 1e-9);
    assert_true(fabs(predicted_s / run.predicted_s - 1) < 1e-9);
    assert_true(fabs(waited_s / run.rank[run.ran.rank].wait_s - 1) < 1e-9); /* all ranks side by side are of the same steps */
    assert_true(run.between_measured_s >= 0);
}

static void collectives_of_ranks_have_the_bytes_of_their_programs(void **state)
{
    (void)state;
    for (int l = 0; l < LAYOUTS; l++) {
        struct tr_run_programs programs;
        int64_t by_kind[TR_COLL_KIND_COUNT];
        double sent = 0;
        explain_shared(layouts[l]);
        check_sums();
        assert_int_equal(run.ran.ranks, tr_degrees_ranks(&layouts[l]));
        assert_int_equal(run.ran.each_count, run.ran.ranks);
        assert_int_equal(tr_run_programs_of(tr_scratch("shared"), &layouts[l], (struct tr_machine){tr_kernel_set(run.ran.isa), 1}, &programs, &err), TR_OK);
        for (int i = 0; i < run.colls; i++)
            sent += run.coll[i].bytes;
        assert_true(sent > 0 && sent == (double)tr_program_sent_bytes(&programs.program[0], by_kind));
        for (int i = 0; i < run.ran.ranks; i++) {
            assert_true(run.rank[i].bytes == (double)tr_program_sent_bytes(&programs.program[i], by_kind));
            assert_true(run.rank[i].work_s > 0 && run.rank[i].work_s + run.rank[i].wait_s <= run.rank[i].step_s);
            assert_int_equal(run.rank[i].stage_s > 0, layouts[l].ranks[TR_GROUP_PIPE] > 1);
        }
        assert_int_equal(run.bubble_planned > 0, layouts[l].ranks[TR_GROUP_PIPE] > 1);
        tr_run_programs_free(&programs);
    }
}

/* What is there in a phase of the step; NULL: nothing. */
static const struct tr_run_row *row_of(enum tr_op_kind kind)
{
    for (int i = 0; i < run.rows; i++)
        if (run.row[i].kind == kind && tr_phase_is_of_step(run.row[i].phase))
            return &run.row[i];
    return NULL;
}

static enum tr_status explain_rank(int rank)
{
    struct tr_catalog *catalog = tr_made_up_profile(1e9, 1e10);
    enum tr_status status = tr_run_explain(tr_scratch("shared"), catalog, rank, &run, &err);
    tr_catalog_free(catalog);
    return status;
}

static void every_stage_is_held_against_its_own_program(void **state)
{
    (void)state;
    static const struct tr_degrees stages = {.ranks = {[TR_GROUP_PIPE] = 2}};
    explain_shared(stages);
    assert_true(row_of(TR_OP_EMBED) && !row_of(TR_OP_HEAD));
    assert_int_equal(explain_rank(1), TR_OK);
    check_sums();
    assert_true(!row_of(TR_OP_EMBED) && row_of(TR_OP_HEAD)->measured_s > 0 && row_of(TR_OP_HEAD)->predicted_s > 0);
    double work_s = 0;
    for (int i = 0; i < run.rows; i++)
        work_s += run.row[i].measured_s;
    assert_true(fabs(work_s / run.rank[1].work_s - 1) < 1e-9);
    int slowest = run.rank[1].work_s > run.rank[0].work_s;
    assert_int_equal(explain_rank(TR_RANK_SLOWEST), TR_OK);
    assert_int_equal(run.ran.rank, slowest);
    assert_int_equal(explain_rank(2), TR_BAD_INPUT);
    tr_assert_says(err.text, "rank 2: the run had 2 ranks, counted from 0");
}

/* The process has all ranks that are threads of it, and what they need besides their programs. */
static void memory_of_the_process_is_beside_what_was_reckoned_for_it(void **state)
{
    (void)state;
    char words[TR_RUN_MEMORY_WORDS_BYTES];
    explain_shared(layouts[0]);
    assert_true(run.ran.needed_bytes >= 2 * run.planned_bytes + ((int64_t)64 << 20) && run.ran.needed_bytes < ((int64_t)128 << 20));
    tr_assert_says(tr_run_memory_words(&run, words), " by the step program of rank 0; ");
    tr_assert_says(words, " were reckoned for the process of all 3 ranks, which had ");
    run.ran.needed_bytes = 0; /* an older profile */
    tr_assert_says(tr_run_memory_words(&run, words), " by the step program of rank 0; the process of all 3 ranks had ");
    explain(1e9, 1e10);
    assert_true(run.ran.needed_bytes >= run.planned_bytes + ((int64_t)64 << 20));
    tr_assert_says(tr_run_memory_words(&run, words), " by the step program; ");
}

static void a_wait_for_others_has_a_reason(void **state)
{
    (void)state;
    char why[TR_RUN_WHY_BYTES];
    explain_shared(layouts[1]);
    struct tr_run_coll_row row = {.measured_s = .5, .predicted_s = 1, .bytes = 1e6};
    tr_run_coll_why(&run, &row, why);
    tr_assert_says(why, "sooner than predicted");
    run.rank[0].work_s = run.rank[0].predicted_work_s = 1;
    run.rank[1].work_s = 2, run.rank[1].predicted_work_s = 1;
    row.measured_s = 1.9, row.predicted_s = .2;
    tr_run_coll_why(&run, &row, why);
    tr_assert_says(why, "rank 1 works 1 s a step longer than predicted");
    row.measured_s = 2.5, row.predicted_s = 1.5;
    tr_run_coll_why(&run, &row, why);
    tr_assert_says(why, "other ranks work 100 % longer than predicted");
    row.predicted_s = 1;
    run.rank[1].work_s = 1.1;
    row.measured_s = 2;
    tr_run_coll_why(&run, &row, why);
    tr_assert_says(why, "not priced; 1 MB/s if all of it were that");
    row.bytes = 0;
    tr_run_coll_why(&run, &row, why);
    tr_assert_says(why, "sends nothing");
}

static void a_wait_for_what_began_in_another_phase_says_where_its_bytes_are(void **state)
{
    (void)state;
    char why[TR_RUN_WHY_BYTES];
    run = (struct tr_run_explained){.colls = 2, .coll = {{.phase = TR_PHASE_UPDATE, .kind = TR_COLL_ALL_REDUCE, .measured_s = 7, .predicted_s = 1},
                                                         {.phase = TR_PHASE_BACKWARD, .kind = TR_COLL_ALL_REDUCE, .calls = 3, .bytes = 1 << 20}}};
    for (int priced = 0; priced < 2; priced++) {
        run.exchanges = priced;
        tr_run_coll_why(&run, &run.coll[0], why);
        tr_assert_says(why, "began in backward, where its 1 MiB are: ");
        tr_assert_says(why, priced ? "6 s more than when calibrated" : "not priced; 6 s more than the waits");
    }
    run.coll[0].calls = 1; /* one that began here, and sends nothing: its own */
    tr_run_coll_why(&run, &run.coll[0], why);
    tr_assert_says(why, "sends nothing");
}

/* The run of explain_shared as if a number of its profile were this one. */
static void explain_shared_with(const char *key, int number)
{
    struct tr_catalog *catalog = tr_made_up_profile(1e9, 1e10), *exchanges = tr_made_up_exchange("threads", 1e-5);
    struct tr_bytes file = tr_scratch_read(tr_scratch("shared/profile.json"));
    struct tr_text text = {0};
    const char *at = strstr(file.at, key);
    assert_non_null(at);
    tr_text_append_bytes(&text, file.at, (size_t)(at - file.at));
    tr_text_printf(&text, "%s: %d%s", key, number, at + strcspn(at, ","));
    tr_scratch_put_text("shared/profile.json", tr_text_str(&text));
    if (tr_run_explain(tr_scratch("shared"), exchanges, 0, &run, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_scratch_put("shared/profile.json", file.at, file.len);
    tr_text_free(&text);
    tr_bytes_free(&file);
    tr_catalog_free(exchanges);
    tr_catalog_free(catalog);
}

/* All ranks have 1 GFLOP/s together. That four take turns on two cores is in what was predicted, and makes no core slower. */
static void ranks_that_take_turns_have_no_slower_cores(void **state)
{
    (void)state;
    explain_shared(layouts[2]);
    for (int cores = 1; cores <= 8; cores *= 2) {
        explain_shared_with("\"cores\"", cores);
        assert_true(fabs(run.peak_now_flop_s / (1e9 / (cores < 4 ? cores : 4)) - 1) < 1e-9);
    }
}

/* The made-up machine has one core: on four of them each of the four ranks has its own. */
static void of_several_hosts_the_profile_says_what_each_one_does(void **state)
{
    (void)state;
    explain_shared(layouts[2]);
    explain_shared_with("\"hosts\"", 1);
    assert_true(run.exchanges && run.turns > 2);
    explain_shared_with("\"hosts\"", 4);
    assert_true(!run.exchanges && run.turns == 1);
}

static void a_run_on_ranks_is_printed_in_words_and_json(void **state)
{
    (void)state;
    struct tr_text text = {0};
    explain_shared(layouts[2]);
    tr_run_explain_text(&run, &text);
    tr_assert_says(tr_text_str(&text), "3 steps by 4 ranks (dp=2,pp=2,zero=2) of 1 thread, ");
    tr_assert_says(tr_text_str(&text), "held up by collectives");
    tr_assert_says(tr_text_str(&text), "reduce_scatter, ");
    tr_assert_says(tr_text_str(&text), "rank 0 waits ");
    tr_text_clear(&text);
    tr_run_explain_json(&run, "", &text);
    tr_assert_says(tr_text_str(&text), "\"predicted_stage_wait_s\": ");
    tr_assert_says(tr_text_str(&text), "\"pp\": 2");
    tr_assert_says(tr_text_str(&text), "\"rank\": 0");
    assert_null(strstr(tr_text_str(&text), "inside_interval")); /* without a record of exchanges a step of ranks has none */
    tr_text_free(&text);
}

/* ---- one rank ---------------------------------------------------------------------------------------------------- */

static void a_slower_machine_explains_longer_times(void **state)
{
    (void)state;
    explain(1e9, 1e10); /* the tiny run says that its peak was 1e9 */
    assert_true(fabs(run.now_s / run.predicted_s - 1) < 1e-9);
    double same_s = run.predicted_s;
    explain(2e9, 1e10); /* calibrated with twice that: arithmetic takes twice as long now */
    assert_true(fabs(run.predicted_s / same_s - 1) < 1e-9);
    assert_true(run.now_s > 1.5 * same_s && run.now_s <= 2 * same_s);

    struct tr_run_row row = run.row[0];
    char why[TR_RUN_WHY_BYTES];
    run.ran.crowded_s = 0; /* whatever ran beside this test */
    row.predicted_s = 1, row.now_s = 2, row.error = .1, row.start = 0;
    run.measured_s = run.now_s; /* the run was as slow as the machine that was seen */
    assert_true(tr_run_looks_tell(&run));
    row.measured_s = 1.05;
    tr_run_why(&run, &row, why);
    tr_assert_says(why, "within +- 10 %");
    row.measured_s = 1.9;
    tr_run_why(&run, &row, why);
    tr_assert_says(why, "the cores had 50 % of the calibrated rate: +100 %");
    run.read_memory = true, run.memory_then_byte_s = 1e10, run.memory_now_byte_s = 5e10; /* further off, but in the other direction */
    tr_run_why(&run, &row, why);
    tr_assert_says(why, "the cores had 50 % of the calibrated rate: +100 %");
    run.measured_s = run.predicted_s; /* it was not: that was of moments, and explains nothing */
    assert_false(tr_run_looks_tell(&run));
    tr_run_why(&run, &row, why);
    tr_assert_says(why, "not explained");
    struct tr_text text = {0};
    tr_run_explain_text(&run, &text);
    tr_assert_says(tr_text_str(&text), "so that was of moments");
    tr_text_free(&text);
    run.error = run.now_s / run.predicted_s; /* as good as the prediction claims to be: not ruled out */
    assert_true(tr_run_looks_tell(&run));
    run.error = 0, run.measured_s = run.now_s;
    row.measured_s = .5;
    tr_run_why(&run, &row, why);
    tr_assert_says(why, "not explained");
    row.now_s = .4;
    tr_run_why(&run, &row, why);
    tr_assert_says(why, "memory had 500 % of the calibrated rate: -60 %");
    row.now_s = 2;
    row.start = .5;
    tr_run_why(&run, &row, why);
    tr_assert_says(why, "small calls: 50 %");
    row.measured_s = 10; /* nine times more than predicted, in a run that was crowded for most of its time */
    run.ran.crowded_s = .8 * run.ran.steps_s;
    tr_run_why(&run, &row, why);
    tr_assert_says(why, "other programs had cores that it wanted in 80 % of its time");
    row.measured_s = .5;
    tr_run_why(&run, &row, why);
    tr_assert_says(why, "small calls: 50 %");
    run.ran.crowded_s = 0;
    row.error = NAN;
    tr_run_why(&run, &row, why);
    tr_assert_says(why, "not calibrated");
}

static void cores_that_are_apart_are_said(void **state)
{
    (void)state;
    explain(1e9, 1e10);
    run.ran.threads = 2, run.ran.hand_s = 190e-9;
    for (int known = 0; known < 2; known++) {
        struct tr_text text = {0};
        run.apart = known;
        tr_run_explain_text(&run, &text);
        tr_assert_says(tr_text_str(&text), "a line of a cache took 190 ns from core to core when the run began, 40 ns when calibrated: ");
        tr_assert_says(tr_text_str(&text), known ? "prices are those of cores that far apart" : "has no prices of cores that far apart");
        tr_text_free(&text);
    }
}

/* The run with these looks at the machine; its folder is as before afterwards. */
static void explain_with(const char *looks)
{
    struct tr_bytes file = tr_scratch_read(tr_scratch("run/profile.json"));
    struct tr_text text = {0};
    tr_text_printf(&text, "{\"looks\": %s,\n", looks);
    tr_text_append_bytes(&text, file.at + 1, file.len - 1);
    tr_scratch_put_text("run/profile.json", tr_text_str(&text));
    explain(1e9, 1e10);
    tr_scratch_put("run/profile.json", file.at, file.len);
    tr_text_free(&text);
    tr_bytes_free(&file);
}

static void a_run_whose_cores_moved_is_explained_by_how_long_they_were_apart(void **state)
{
    (void)state;
    struct tr_text text = {0};
    char why[TR_RUN_WHY_BYTES];
    explain_with("{\"read_bytes\": 0, \"first_read_byte_s\": 0,"
                 " \"last\": {\"after_s\": 30, \"peak_flop_s\": 1e9, \"read_byte_s\": 0, \"hand_s\": 1.6e-7},"
                 " \"hands_s\": [4e-8, 1.6e-7, 1.5e-7, 1.7e-7]}");
    double ops_s = run.predicted_s - run.between_predicted_s;
    assert_true(!run.apart && run.moved == .75 && run.apart_share == .75);
    assert_true(fabs((run.now_s - run.predicted_s) / ops_s - .75 * (TR_MADE_UP_APART - 1)) < 1e-3);
    struct tr_run_row row = run.row[0];
    row.measured_s = 1.3 * row.predicted_s, row.error = .1;
    tr_run_why(&run, &row, why);
    tr_assert_says(why, "cores were apart in 75 % of its time: +3");
    run.ran.threads = 2, run.ran.hand_s = 40e-9;
    tr_run_explain_text(&run, &text);
    tr_assert_says(tr_text_str(&text), "40 ns from core to core when the run began, 160 ns when it ended, 40 ns when calibrated: prices are those of cores that are near; "
                                       "they were apart in 75 % of its time");
    tr_text_free(&text);
}

/* 5 GB/s of a cache that was calibrated with 100 GB/s say nothing of memory. */
static void only_reading_of_as_many_bytes_is_compared(void **state)
{
    (void)state;
    char looks[256], bytes_read[TR_QUANTITY_BYTES], line[128];
    struct tr_text text = {0};
    for (int level = 0; level <= TR_READ_LEVELS; level++) {
        int64_t bytes = level < TR_READ_LEVELS ? tr_read_bytes[level] : 23 << 20;
        snprintf(looks, sizeof looks, "{\"read_bytes\": %lld, \"first_read_byte_s\": 5e9,"
                 " \"hands_s\": []}", (long long)bytes);
        explain_with(looks);
        assert_int_equal(run.read_memory, level == TR_READ_MEMORY);
        assert_true(run.memory_then_byte_s == (level == TR_READ_MEMORY ? 1e10 : level < TR_READ_LEVELS ? 1e11 : 0));
        if (level != TR_READ_MEMORY)
            assert_true(fabs(run.now_s / run.predicted_s - 1) < 1e-9);
        snprintf(line, sizeof line, "  %s   5 GB/s of %s when the run began, %s when calibrated", level == TR_READ_MEMORY ? "memory" : "caches",
                 tr_print_bytes(bytes_read, bytes), level == TR_READ_MEMORY ? "10 GB/s" : "100 GB/s");
        tr_text_clear(&text);
        tr_run_explain_text(&run, &text);
        assert_int_equal(strstr(tr_text_str(&text), line) != NULL, level < TR_READ_LEVELS);
    }
    tr_text_free(&text);
}

static const char *folder; /* whose profile is changed */

static void refuse(const char *profile, const char *sentence)
{
    char path[TR_PATH_BYTES];
    struct tr_catalog *catalog = tr_made_up_profile(1e9, 1e10);
    snprintf(path, sizeof path, "%s/profile.json", folder);
    tr_scratch_put_text(path, profile);
    assert_int_equal(tr_run_explain(tr_scratch(folder), catalog, 0, &run, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, sentence);
    tr_catalog_free(catalog);
}

/* The profile with the first `was` become `is`. */
static void refuse_changed(const char *profile, const char *was, const char *is, const char *sentence)
{
    char changed[1 << 16];
    const char *at = strstr(profile, was);
    assert_non_null(at);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - profile), profile, is, at + strlen(was));
    refuse(changed, sentence);
}

static void files_of_another_run_are_refused(void **state)
{
    (void)state;
    folder = "run";
    struct tr_bytes whole = tr_scratch_read(tr_scratch("run/profile.json"));
    char *profile = strndup(whole.at, whole.len), *half = strndup(whole.at, whole.len / 2);
    refuse(half, "profile.json");
    refuse("{}", "steps_computed");
    refuse_changed(profile, "\"flop\": 0", "\"flop\": 7", "it is of another run, or another version of trine made it");
    refuse_changed(profile, "\"op\": \"norm\"", "\"op\": \"gnorm\"", "norm");
    refuse_changed(profile, "\"threads\": 1", "\"threads\": 3", "3");
    refuse_changed(profile, "\"steps_computed\": 12", "\"steps_computed\": 0", "no step yet");
    refuse_changed(profile, "\"threads\": 1", "\"threads\": 1, \"ranks\": 2", "the key \"layout\" is missing");
    tr_scratch_put_text("run/profile.json", profile);
    tr_bytes_free(&whole);
    free(profile);
    free(half);
}

static void ranks_that_sent_something_else_are_refused(void **state)
{
    (void)state;
    folder = "shared";
    explain_shared(layouts[1]);
    struct tr_bytes whole = tr_scratch_read(tr_scratch("shared/profile.json"));
    char *profile = strndup(whole.at, whole.len);
    refuse_changed(profile, "\"sent_bytes\": ", "\"sent_bytes\": 1", "it is of another run, or another version of trine made it");
    refuse_changed(profile, "\"planned_bytes\": ", "\"planned_byte\": ", "planned_bytes");
    char *each = strstr(profile, "\"each_rank\"");
    assert_non_null(each);
    char *planned = strstr(each, "\"planned_bytes\": ");
    assert_non_null(planned);
    planned[strlen("\"planned_bytes\": ")] ^= 1; /* another digit */
    refuse(profile, "rank 0 sent ");
    planned[strlen("\"planned_bytes\": ")] ^= 1;
    refuse_changed(profile, "\"dp\": 2", "\"dp\": 3", "the layout beside it is of 3");
    refuse_changed(profile, "\"zero\": 3", "\"zero\": 2", "it is of another run, or another version of trine made it");
    tr_bytes_free(&whole);
    free(profile);
}

static void it_prints_words_and_json(void **state)
{
    (void)state;
    struct tr_text text = {0};
    explain(1e9, 1e10);
    tr_run_explain_text(&run, &text);
    tr_assert_says(tr_text_str(&text), "12 steps by 1 thread, ");
    run.ran.resumed_at = 40;
    tr_text_clear(&text);
    tr_run_explain_text(&run, &text);
    tr_assert_says(tr_text_str(&text), "12 steps of the newest attempt, which went on from step 40, by 1 thread, ");
    run.ran.resumed_at = 0;
    tr_assert_says(tr_text_str(&text), "stage of a step");
    tr_text_clear(&text);
    tr_run_explain_json(&run, "", &text);
    tr_assert_says(tr_text_str(&text), "\"why\": ");
    tr_assert_says(tr_text_str(&text), "\"inside_interval\": ");
    tr_assert_says(tr_text_str(&text), "\"phase\": \"forward\",\n      \"measured_s\": ");
    tr_text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_sum_to_the_step_on_both_sides),
        cmocka_unit_test(the_prediction_is_that_of_the_step_program),
        cmocka_unit_test(a_run_in_bf16_is_explained),
        cmocka_unit_test(cores_that_are_apart_are_said),
        cmocka_unit_test(a_slower_machine_explains_longer_times),
        cmocka_unit_test(a_run_whose_cores_moved_is_explained_by_how_long_they_were_apart),
        cmocka_unit_test(only_reading_of_as_many_bytes_is_compared),
        cmocka_unit_test(files_of_another_run_are_refused),
        cmocka_unit_test(it_prints_words_and_json),
        cmocka_unit_test(collectives_of_ranks_have_the_bytes_of_their_programs),
        cmocka_unit_test(every_stage_is_held_against_its_own_program),
        cmocka_unit_test(memory_of_the_process_is_beside_what_was_reckoned_for_it),
        cmocka_unit_test(a_wait_for_others_has_a_reason),
        cmocka_unit_test(a_wait_for_what_began_in_another_phase_says_where_its_bytes_are),
        cmocka_unit_test(ranks_that_take_turns_have_no_slower_cores),
        cmocka_unit_test(of_several_hosts_the_profile_says_what_each_one_does),
        cmocka_unit_test(a_run_on_ranks_is_printed_in_words_and_json),
        cmocka_unit_test(ranks_that_sent_something_else_are_refused),
    };
    return cmocka_run_group_tests_name("plan/here/explain_run", tests, make_run, tr_scratch_teardown);
}
