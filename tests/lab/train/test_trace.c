/* What ranks did when: their files are valid traces, as whole as the steps that they have; what is not one is refused. */
#include "lab/train/trace.h"

#include "lab/train/train.h"
#include "lib/scratch.h"
#include "lib/tiny_run.h"
#include "lib/trace_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tr_err err;

/* SCRATCH/run of some steps, the second and third of them traced; the hash. */
static struct tr_tiny_hash trace_run(struct tr_degrees layout, int64_t trace_steps)
{
    struct tr_run_config config = tr_tiny_config("run", "model.name=tiny-llama", "layout.lanes=4", "layout.tensor=2", "train.micro_batch=1",
                                                 "train.steps=4", "eval.every=2", "eval.windows=3", NULL);
    struct tr_train_options options = tr_tiny_options();
    struct tr_train_result result;
    struct tr_tiny_hash hash;
    options.layout = layout;
    options.trace_steps = trace_steps;
    assert_int_equal(tr_folder_remove(tr_scratch("run"), &err), TR_OK);
    if (tr_train(&config, &options, &result, &err) != TR_OK)
        fail_msg("%s", err.text);
    memcpy(hash.hex, result.hash, sizeof hash.hex);
    tr_text_free(&result.last_sample);
    return hash;
}

static struct tr_trace read_rank(int rank)
{
    char path[TR_PATH_BYTES];
    struct tr_trace trace;
    assert_int_equal(tr_trace_path(path, tr_scratch("run"), rank, &err), TR_OK);
    if (tr_trace_read(path, &trace, &err) != TR_OK)
        fail_msg("%s", err.text);
    return trace;
}

static const struct tr_degrees layouts[] = {
    {.zero = 0},
    {.ranks = {[TR_GROUP_DATA] = 2}, .zero = 1},
    {.ranks = {[TR_GROUP_DATA] = 4}, .zero = 3},
    {.ranks = {[TR_GROUP_TENSOR] = 2, [TR_GROUP_PIPE] = 2}, .sequence = true},
    {.ranks = {[TR_GROUP_PIPE] = 2}, .chunks = 1},
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

/* ---- what is in it ----------------------------------------------------------------------------------------------- */

/* What is done one after the other does not overlap, and lies within its step; what ran beside ended before it had been waited for. */
static void check_times(const struct tr_trace *trace)
{
    const struct tr_trace_event *step = NULL, *before = NULL;
    for (int64_t i = 0; i < trace->count; i++) {
        const struct tr_trace_event *e = &trace->event[i];
        assert_true(e->end_s >= e->begin_s && e->begin_s >= 0);
        if (e->what == TR_TRACE_STEP) {
            assert_true(!step || e->begin_s >= step->end_s);
            step = e;
        }
        assert_true(e->begin_s >= step->begin_s - 1e-9 && e->end_s <= step->end_s + 1e-9);
        if (e->what == TR_TRACE_BESIDE)
            assert_true(before->when == TR_COLL_WAIT && e->end_s <= before->end_s + 1e-9);
        if (e->what != TR_TRACE_OP && e->what != TR_TRACE_COLL)
            continue;
        assert_true(!before || e->begin_s >= before->end_s - 1e-9);
        before = e;
    }
}

static void steps_are_the_second_and_third_on_all_ranks(void **state)
{
    (void)state;
    for (int l = 0; l < LAYOUTS; l++) {
        int ranks = (int)tr_degrees_ranks(&layouts[l]);
        struct tr_tiny_hash traced = trace_run(layouts[l], 2), plain;
        int64_t attempt = 0;
        for (int rank = 0; rank < ranks; rank++) {
            struct tr_trace trace = read_rank(rank);
            int64_t step = 2, sent = 0;
            attempt = rank == 0 ? trace.head.attempt : attempt;
            assert_int_equal(trace.head.rank, rank);
            assert_int_equal(trace.head.ranks, ranks);
            assert_int_equal(trace.head.attempt, attempt);
            assert_int_equal(trace.head.layout.zero, layouts[l].zero);
            assert_true(trace.head.clock_error_s == 0);
            assert_int_equal(trace.steps, 2);
            check_times(&trace);
            for (int64_t i = 0; i < trace.count; i++) {
                sent += trace.event[i].what == TR_TRACE_COLL ? trace.event[i].bytes : 0;
                if (trace.event[i].what == TR_TRACE_STEP)
                    assert_int_equal(trace.event[i].step, step++);
            }
            assert_int_equal(sent > 0, ranks > 1);
            tr_trace_free(&trace);
        }
        plain = trace_run(layouts[l], 0);
        assert_string_equal(traced.hex, plain.hex);
        assert_false(tr_folder_exists(tr_scratch("run/trace")));
    }
}

static void a_file_keeps_to_the_format(void **state)
{
    (void)state;
    for (int l = 0; l < LAYOUTS; l++) {
        trace_run(layouts[l], 2);
        tr_assert_trace(tr_scratch("run/trace/rank-0.json"), 1);
    }
}

static void a_short_run_has_the_steps_that_there_were(void **state)
{
    (void)state;
    trace_run(layouts[1], 100);
    struct tr_trace trace = read_rank(1);
    assert_int_equal(trace.steps, 3);
    tr_trace_free(&trace);
}

/* ---- what is not a trace ----------------------------------------------------------------------------------------- */

static void refuse(const char *text, const char *sentence)
{
    struct tr_trace trace;
    tr_scratch_put_text("rank.json", text);
    if (tr_trace_read(tr_scratch("rank.json"), &trace, &err) != TR_BAD_INPUT)
        fail_msg("taken: what should say %s", sentence);
    tr_assert_says(err.text, sentence);
}

/* The trace with the first `was` become `is`. */
static void refuse_changed(const char *whole, const char *was, const char *is, const char *sentence)
{
    const char *at = strstr(whole, was);
    struct tr_text text = {0};
    assert_non_null(at);
    tr_text_printf(&text, "%.*s%s%s", (int)(at - whole), whole, is, at + strlen(was));
    refuse(tr_text_str(&text), sentence);
    tr_text_free(&text);
}

static void what_is_cut_or_edited_is_refused(void **state)
{
    (void)state;
    struct tr_trace trace;
    trace_run(layouts[1], 1);
    struct tr_bytes whole = tr_scratch_read(tr_scratch("run/trace/rank-0.json"));
    whole.at[whole.len / 2] = 0;
    refuse(whole.at, "the file is cut short; `trine train --trace-steps N` writes another");
    tr_bytes_free(&whole);
    whole = tr_scratch_read(tr_scratch("run/trace/rank-0.json"));
    refuse("{}", "otherData");
    refuse_changed(whole.at, "trine-trace-1", "trine-trace-0", "trine train --trace-steps");
    refuse_changed(whole.at, "\"events\":", "\"events\":1", "traceEvents");
    refuse_changed(whole.at, "{\"name\":\"step 2\"", "{\"ph\":\"B\"},{\"name\":\"step 2\"", "ph");
    refuse_changed(whole.at, "\"ranks\":2", "\"ranks\":3", "the layout beside it is of 2");
    refuse_changed(whole.at, "\"rank\":0", "\"rank\":2", "rank");
    refuse_changed(whole.at, "\"cat\":\"step\"", "\"cat\":\"stop\"", "step");
    refuse_changed(whole.at, "\"name\":\"embed\"", "\"name\":\"embet\"", "embed");
    refuse_changed(whole.at, "\"dur\":", "\"dur\":-", "dur");
    tr_bytes_free(&whole);
    assert_int_equal(tr_trace_read(tr_scratch("absent.json"), &trace, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "no such file");
    assert_int_equal(tr_folder_make(tr_scratch("trace"), &err), TR_OK); /* of a run that was killed */
    assert_int_equal(tr_trace_read(tr_scratch("trace/rank-0.json"), &trace, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "the run ended before the steps to be traced were done");
    tr_assert_says(err.text, "give the same command again, or fewer `--trace-steps`");
}

static void more_than_a_trace_holds_is_refused_before_anything_is_written(void **state)
{
    (void)state;
    struct tr_run_config config = tr_tiny_config("large", "train.steps=4", NULL);
    struct tr_train_options options = tr_tiny_options();
    struct tr_train_result result;
    options.trace_steps = 100000;
    assert_int_equal(tr_train(&config, &options, &result, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "a trace at most 200000");
    config.replay_every = 2;
    options.trace_steps = 1;
    assert_int_equal(tr_train(&config, &options, &result, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "replay.every 2");
    assert_false(tr_folder_exists(tr_scratch("large")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_keeps_to_the_format),
        cmocka_unit_test(steps_are_the_second_and_third_on_all_ranks),
        cmocka_unit_test(a_short_run_has_the_steps_that_there_were),
        cmocka_unit_test(what_is_cut_or_edited_is_refused),
        cmocka_unit_test(more_than_a_trace_holds_is_refused_before_anything_is_written),
    };
    return cmocka_run_group_tests_name("lab/train/trace", tests, tr_scratch_setup, tr_scratch_teardown);
}
