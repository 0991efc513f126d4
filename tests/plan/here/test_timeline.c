/* Traces of ranks become one timeline, with the predicted step below; a prediction is the step programs of all ranks, as they wait for
 * each other; what does not belong together is refused. */
#include "plan/here/timeline.h"

#include "lab/train/trace.h"
#include "lib/made_up_profile.h"
#include "lib/scratch.h"
#include "lib/tiny_run.h"
#include "lib/trace_rules.h"
#include "plan/here/choose.h"
#include "plan/here/explain_run.h"
#include "plan/here/together.h"

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
static struct tr_timeline line;

/* Of the widest: 4 lanes, 2 tensor parts, 4 layers in 2 stages. */
static const struct tr_degrees layouts[] = {
    {.zero = 0},
    {.ranks = {[TR_GROUP_DATA] = 3}},
    {.ranks = {[TR_GROUP_DATA] = 4}, .zero = 2},
    {.ranks = {[TR_GROUP_DATA] = 2}, .zero = 3},
    {.ranks = {[TR_GROUP_PIPE] = 2}},
    {.ranks = {[TR_GROUP_PIPE] = 2}, .chunks = 2},
    {.ranks = {[TR_GROUP_TENSOR] = 2, [TR_GROUP_PIPE] = 2}, .sequence = true},
    {.ranks = {[TR_GROUP_PIPE] = 2, [TR_GROUP_DATA] = 2}, .zero = 3},
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

static void trace_run(const char *out, struct tr_degrees layout, const char *more)
{
    char name[128];
    tr_scratch_put_text("model.json", "{\"architectures\": [\"GPT2LMHeadModel\"], \"model_type\": \"gpt2\", \"vocab_size\": 257, \"n_embd\": 32,"
                                      " \"n_layer\": 4, \"n_head\": 4, \"n_positions\": 16, \"activation_function\": \"gelu_new\"}");
    snprintf(name, sizeof name, "model.name=%s", tr_scratch("model.json"));
    struct tr_run_config config = tr_tiny_config(out, name, "layout.lanes=4", "layout.tensor=2", "train.micro_batch=1", "train.steps=3", more, NULL);
    struct tr_train_options options = tr_tiny_options();
    struct tr_train_result result;
    options.layout = layout;
    options.trace_steps = 2;
    assert_int_equal(tr_folder_remove(tr_scratch(out), &err), TR_OK);
    if (tr_train(&config, &options, &result, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_text_free(&result.last_sample);
}

static void ranks_and_what_was_predicted_of_them_are_processes_of_one_trace(void **state)
{
    (void)state;
    static const int few[] = {0, 3, 5, 6};
    struct tr_catalog *profile = tr_made_up_profile(1e9, 1e10);
    for (size_t i = 0; i < sizeof few / sizeof *few; i++) {
        int l = few[i], ranks = (int)tr_degrees_ranks(&layouts[l]);
        trace_run("run", layouts[l], "optimizer.lr=0.001");
        if (tr_run_timeline(tr_scratch("run"), profile, tr_scratch("timeline.json"), &line, &err) != TR_OK)
            fail_msg("%s", err.text);
        tr_assert_trace(tr_scratch("timeline.json"), 2 * ranks);
        struct tr_bytes file = tr_scratch_read(tr_scratch("timeline.json"));
        assert_int_equal(strstr(file.at, "\"ph\":\"f\"") != NULL, layouts[l].ranks[TR_GROUP_PIPE] > 1); /* arrows between stages */
        tr_bytes_free(&file);
        assert_int_equal(line.ranks, ranks);
        assert_int_equal(line.first_step, 2);
        assert_int_equal(line.steps, 2);
        assert_true(line.measured_s > 0 && line.predicted_s > 0 && line.clock_error_s == 0);
        if (tr_run_timeline(tr_scratch("run"), NULL, tr_scratch("timeline.json"), &line, &err) != TR_OK)
            fail_msg("%s", err.text);
        tr_assert_trace(tr_scratch("timeline.json"), ranks);
        assert_true(line.predicted_s == 0);
        tr_assert_says(line.unpredicted.text, "no profile");
    }
    tr_catalog_free(profile);
}

/* In a file of the run, which is put back as a whole by tracing it again. */
static void replace(const char *name, const char *was, const char *is)
{
    char path[64];
    struct tr_text text = {0};
    snprintf(path, sizeof path, "run/%s", name);
    struct tr_bytes file = tr_scratch_read(tr_scratch(path));
    const char *at = strstr(file.at, was);
    if (!at)
        fail_msg("%s has no %s", name, was);
    tr_text_append_bytes(&text, file.at, (size_t)(at - file.at));
    tr_text_append(&text, is);
    tr_text_append_bytes(&text, at + strlen(was), file.len - (size_t)(at - file.at) - strlen(was));
    tr_scratch_put_text(path, tr_text_str(&text));
    tr_text_free(&text);
    tr_bytes_free(&file);
}

/* What `trine train` says beforehand, `explain` and the timeline say afterwards, the same for ranks that moved their bytes so. */
static double said_by_all(const struct tr_catalog *profile, const struct tr_degrees *layout, const char *transport)
{
    static struct tr_run_explained run;
    struct tr_run_programs ran;
    struct tr_ranks_price before;
    if (tr_run_explain(tr_scratch("run"), profile, 0, &run, &err) != TR_OK ||
        tr_run_timeline(tr_scratch("run"), profile, tr_scratch("timeline.json"), &line, &err) != TR_OK ||
        tr_run_programs_of(tr_scratch("run"), layout, (struct tr_machine){tr_kernel_set(run.ran.isa), 1}, &ran, &err) != TR_OK ||
        tr_here_price_ranks(profile, transport, run.ran.hand_s, &ran, 0, &before, &err) != TR_OK)
        fail_msg("%s", err.text);
    assert_true(fabs(run.predicted_s / before.step_s - 1) < 1e-9);
    assert_true(fabs(line.predicted_s / before.step_s - 1) < 1e-9);
    tr_run_programs_free(&ran);
    return before.step_s;
}

static void all_predict_a_run_by_the_record_of_what_moved_its_bytes(void **state)
{
    (void)state;
    static const int pairs[] = {3, 4}; /* in pipelines the last stage has the head, and ends last */
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const struct tr_degrees *layout = &layouts[pairs[i]];
        trace_run("run", *layout, "optimizer.lr=0.001");
        tr_catalog_free(tr_made_up_profile(1e9, 1e10));
        tr_catalog_free(tr_made_up_exchange("threads", 1e-6));
        struct tr_catalog *profile = tr_made_up_exchange("mpi", 1e-2);
        double threads_s = said_by_all(profile, layout, "threads");
        replace("trace/rank-0.json", "\"transport\":\"threads\"", "\"transport\":\"mpi\"");
        assert_int_equal(tr_run_timeline(tr_scratch("run"), profile, tr_scratch("timeline.json"), &line, &err), TR_BAD_INPUT);
        tr_assert_says(err.text, "rank-1.json: a trace of another attempt");
        replace("trace/rank-1.json", "\"transport\":\"threads\"", "\"transport\":\"mpi\"");
        replace("profile.json", "\"transport\": \"threads\"", "\"transport\": \"mpi\"");
        double near_s = said_by_all(profile, layout, "mpi");
        assert_true(near_s > threads_s + 1e-2);
        replace("profile.json", "\"hand_s\": 0", "\"hand_s\": 1.6e-07"); /* of cores that were apart when it began */
        replace("trace/rank-0.json", "\"hand_s\":0", "\"hand_s\":1.6e-07");
        assert_true(said_by_all(profile, layout, "mpi") > near_s);
        tr_catalog_free(profile);
    }
}

/* ---- the prediction ---------------------------------------------------------------------------------------------- */

static struct tr_run_programs programs;
static struct tr_rank_time rank_time[8];

static void predict(struct tr_degrees layout)
{
    struct tr_kernel_rates rates;
    struct tr_catalog *profile = tr_made_up_profile(1e9, 1e10);
    struct tr_machine machine = {tr_kernel_set(TR_ISA_REF), 1};
    assert_int_equal(tr_kernel_rates_find(profile, 1, &rates, &err), TR_OK);
    if (tr_run_programs_of(tr_scratch("run"), &layout, machine, &programs, &err) != TR_OK ||
        tr_here_together(&rates, NULL, &programs, NULL, NULL, rank_time, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_catalog_free(profile);
}

static double sum_of(const double *x, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += x[i];
    return sum;
}

static double waits_of(int rank) { return sum_of(rank_time[rank].wait_s[0], TR_PHASE_COUNT * TR_COLL_KIND_COUNT); }

/* At no time a rank does something that is not said. */
static void work_and_waits_of_a_rank_sum_to_its_step(void **state)
{
    (void)state;
    for (int l = 0; l < LAYOUTS; l++) {
        predict(layouts[l]);
        for (int rank = 0; rank < programs.ranks; rank++) {
            const struct tr_rank_time *t = &rank_time[rank];
            double sum_s = sum_of(t->op_s[0], TR_PHASE_COUNT * TR_OP_KIND_COUNT) + waits_of(rank) + t->between_s;
            assert_true(t->step_s > 0 && fabs(sum_s / t->step_s - 1) < 1e-9);
        }
        tr_run_programs_free(&programs);
    }
}

static void one_rank_takes_what_its_program_takes(void **state)
{
    (void)state;
    struct tr_kernel_rates rates;
    struct tr_here_time alone;
    struct tr_catalog *profile = tr_made_up_profile(1e9, 1e10);
    assert_int_equal(tr_kernel_rates_find(profile, 1, &rates, &err), TR_OK);
    predict(layouts[0]);
    tr_here_step(&rates, &programs.program[0], &alone);
    assert_true(fabs(rank_time[0].step_s / alone.step_s - 1) < 1e-9 && waits_of(0) == 0);
    tr_run_programs_free(&programs);
    tr_catalog_free(profile);
}

static double passes(struct tr_degrees layout, int64_t count)
{
    struct tr_kernel_rates rates;
    double time_s = 0;
    struct tr_catalog *profile = tr_made_up_profile(1e9, 1e10);
    assert_int_equal(tr_kernel_rates_find(profile, 1, &rates, &err), TR_OK);
    predict(layout);
    if (tr_here_passes(&rates, NULL, &programs, count, &time_s, &err) != TR_OK)
        fail_msg("%s", err.text);
    if (programs.ranks == 1)
        assert_true(fabs(time_s - tr_here_passes_alone(&rates, &programs.program[0], count)) < 1e-12);
    tr_run_programs_free(&programs);
    tr_catalog_free(profile);
    return time_s;
}

/* Made-up machines have a core: two ranks take turns on it, so that a pass of both is two of one. */
static void passes_of_an_evaluation_are_walked_as_steps_are(void **state)
{
    (void)state;
    struct tr_degrees data = {.ranks = {[TR_GROUP_DATA] = 2}}, pipe = {.ranks = {[TR_GROUP_PIPE] = 2}};
    double one_s = passes(layouts[0], 1);
    assert_true(one_s > 0 && passes(layouts[0], 0) == 0);
    assert_true(fabs(passes(layouts[0], 1000) / (1000 * one_s) - 1) < 1e-9);
    assert_true(fabs(passes(data, 7) / (14 * one_s) - 1) < 1e-6);
    assert_true(passes(pipe, 3) > 2.9 * one_s && fabs(passes(pipe, 100) - passes(pipe, 99) - (passes(pipe, 4) - passes(pipe, 3))) < 1e-9);
}

/* Three ranks share four lanes: the one that has two of them holds the others up by a lane. */
static void ranks_with_less_to_do_wait_for_those_with_more(void **state)
{
    (void)state;
    int longest = 0;
    predict(layouts[1]);
    for (int rank = 1; rank < 3; rank++)
        longest = programs.program[rank].lanes.count > programs.program[longest].lanes.count ? rank : longest;
    for (int rank = 0; rank < 3; rank++) {
        if (rank == longest)
            assert_true(waits_of(rank) < .05 * rank_time[rank].step_s);
        else
            assert_true(waits_of(rank) > .3 * rank_time[rank].step_s && waits_of(rank) < .55 * rank_time[rank].step_s);
    }
    tr_run_programs_free(&programs);
}

/* A stage waits at least the share of its step that it would if all stages took the same time, but for the update, and chunks that
 * take turns make that less. */
static void stages_wait_for_each_other(void **state)
{
    (void)state;
    double wait_s[2];
    for (int l = 0; l < 2; l++) {
        predict(layouts[4 + l]);
        wait_s[l] = fmin(waits_of(0), waits_of(1));
        assert_true(fmax(waits_of(0), waits_of(1)) > .5 * tr_pipe_bubble(programs.program[0].pipe, 8) * rank_time[0].step_s);
        tr_run_programs_free(&programs);
    }
    assert_true(wait_s[1] < wait_s[0]);
}

/* ---- what does not belong together ------------------------------------------------------------------------------- */

static void refuse(const char *sentence)
{
    if (tr_run_timeline(tr_scratch("run"), NULL, tr_scratch("refused.json"), &line, &err) != TR_BAD_INPUT)
        fail_msg("taken: what should say %s", sentence);
    tr_assert_says(err.text, sentence);
    assert_false(tr_file_exists(tr_scratch("refused.json")));
}

static void put(const char *to, const char *from)
{
    struct tr_bytes file = tr_scratch_read(tr_scratch(from));
    tr_scratch_put(to, file.at, file.len);
    tr_bytes_free(&file);
}

/* rank-1.json with its first `was` become `is`, and another number of events. */
static void edit(const char *was, const char *is, int events)
{
    char path[TR_PATH_BYTES];
    struct tr_trace trace;
    struct tr_text text = {0};
    struct tr_bytes file = tr_scratch_read(tr_scratch("kept-1.json"));
    assert_int_equal(tr_trace_path(path, tr_scratch("run"), 1, &err), TR_OK);
    assert_int_equal(tr_trace_read(tr_scratch("kept-1.json"), &trace, &err), TR_OK);
    char before[64], after[64];
    snprintf(before, sizeof before, "\"events\":%lld", (long long)trace.count);
    snprintf(after, sizeof after, "\"events\":%lld", (long long)trace.count + events);
    const char *at = strstr(file.at, before), *then = strstr(file.at, was);
    assert_true(at && then && then > at);
    tr_text_printf(&text, "%.*s%s%.*s%s%s", (int)(at - file.at), file.at, after, (int)(then - at - (ptrdiff_t)strlen(before)),
                   at + strlen(before), is, then + strlen(was));
    tr_scratch_put_text("run/trace/rank-1.json", tr_text_str(&text));
    tr_text_free(&text);
    tr_trace_free(&trace);
    tr_bytes_free(&file);
}

static void traces_that_do_not_belong_together_are_refused(void **state)
{
    (void)state;
    trace_run("run", layouts[3], "optimizer.lr=0.001");
    put("kept-0.json", "run/trace/rank-0.json");
    put("kept-1.json", "run/trace/rank-1.json");
    put("kept.yaml", "run/config.yaml");

    put("run/trace/rank-1.json", "kept-0.json");
    refuse("a trace of rank 0");
    struct tr_bytes file = tr_scratch_read(tr_scratch("kept-1.json"));
    tr_scratch_put("run/trace/rank-1.json", file.at, file.len / 2);
    tr_bytes_free(&file);
    refuse("rank-1.json");
    edit("{\"name\":\"norm\"", "{\"name\":\"rope\"", 0);
    refuse("step 2 has another operation than the step program");
    edit("\"step\":2", "\"step\":7", 0);
    refuse("has step 7 where rank 0 has step 2");

    trace_run("run", layouts[2], "optimizer.lr=0.001"); /* four ranks where there were two */
    put("run/trace/rank-1.json", "kept-1.json");
    refuse("a trace of another attempt than that of rank 0");
    trace_run("run", layouts[3], "optimizer.lr=0.002");
    put("run/config.yaml", "kept.yaml");
    refuse("of another run than");
    assert_int_equal(tr_folder_remove(tr_scratch("run/trace"), &err), TR_OK);
    refuse("trine train --trace-steps");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_and_what_was_predicted_of_them_are_processes_of_one_trace),
        cmocka_unit_test(all_predict_a_run_by_the_record_of_what_moved_its_bytes),
        cmocka_unit_test(work_and_waits_of_a_rank_sum_to_its_step),
        cmocka_unit_test(one_rank_takes_what_its_program_takes),
        cmocka_unit_test(passes_of_an_evaluation_are_walked_as_steps_are),
        cmocka_unit_test(ranks_with_less_to_do_wait_for_those_with_more),
        cmocka_unit_test(stages_wait_for_each_other),
        cmocka_unit_test(traces_that_do_not_belong_together_are_refused),
    };
    return cmocka_run_group_tests_name("plan/here/timeline", tests, tr_scratch_setup, tr_scratch_teardown);
}
