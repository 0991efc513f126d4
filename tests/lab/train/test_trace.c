/* What ranks did when: their files are valid traces, as whole as the steps that they have; what is not one is refused. */
#include "lab/train/trace.h"

#include "base/doc.h"
#include "base/json.h"
#include "lab/train/train.h"
#include "lib/scratch.h"
#include "lib/tiny_run.h"

#include <math.h>
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

/* ---- the format, by its own rules -------------------------------------------------------------------------------- */

static double number(const struct tr_node *node, const char *key)
{
    double value;
    assert_int_equal(tr_doc_double(node, key, TR_REQUIRED, 0, INFINITY, &value, &err), TR_OK);
    return value;
}

/* Chrome's trace event format: complete events have a name, a category, a beginning and a duration; each process and each row in
 * use has a name; within a row events follow or enclose one another. */
static void check_format(const char *path, int rank)
{
    struct tr_doc *doc;
    const struct tr_node *events;
    bool named[16] = {false}, used[16] = {false};
    double inside_of[16][8]; /* ends of the events that are open */
    int open[16] = {0};
    assert_int_equal(tr_doc_read(path, TR_DOC_JSON, &doc, &err), TR_OK);
    assert_int_equal(tr_doc_array(tr_doc_root(doc), "traceEvents", TR_REQUIRED, 1, INT32_MAX, &events, &err), TR_OK);
    for (int64_t i = 0; i < events->count; i++) {
        const struct tr_node *e = &events->children[i];
        const char *ph, *name;
        int tid = (int)number(e, "tid");
        assert_int_equal(tr_doc_string(e, "ph", TR_REQUIRED, &ph, &err), TR_OK);
        assert_int_equal(tr_doc_string(e, "name", TR_REQUIRED, &name, &err), TR_OK);
        assert_int_equal(number(e, "pid"), rank);
        assert_in_range(tid, 0, 15);
        if (strcmp(ph, "M") == 0) {
            named[tid] = named[tid] || strcmp(name, "thread_name") == 0;
            continue;
        }
        assert_string_equal(ph, "X");
        assert_non_null(tr_doc_find(e, "cat"));
        used[tid] = true;
        if (tid > 2) /* beside: in the order in which they were waited for */
            continue;
        double begin = number(e, "ts"), end = begin + number(e, "dur");
        while (open[tid] > 0 && inside_of[tid][open[tid] - 1] <= begin + 1e-4)
            open[tid]--;
        if (open[tid] > 0)
            assert_true(end <= inside_of[tid][open[tid] - 1] + 1e-4);
        assert_true(open[tid] < 8);
        inside_of[tid][open[tid]++] = end;
    }
    for (int tid = 1; tid < 16; tid++)
        assert_int_equal(named[tid], used[tid]);
    tr_doc_free(doc);
}

static void files_of_all_ranks_keep_to_the_format(void **state)
{
    (void)state;
    char path[TR_PATH_BYTES];
    for (int l = 0; l < LAYOUTS; l++) {
        trace_run(layouts[l], 2);
        for (int rank = 0; rank < tr_degrees_ranks(&layouts[l]); rank++) {
            assert_int_equal(tr_trace_path(path, tr_scratch("run"), rank, &err), TR_OK);
            check_format(path, rank);
        }
    }
}

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
            assert_true(before->when == TR_COLL_WAIT && e->end_s <= before->end_s + 1e-9 && e->bytes == before->bytes);
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
    refuse(whole.at, "rank.json");
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
        cmocka_unit_test(files_of_all_ranks_keep_to_the_format),
        cmocka_unit_test(steps_are_the_second_and_third_on_all_ranks),
        cmocka_unit_test(a_short_run_has_the_steps_that_there_were),
        cmocka_unit_test(what_is_cut_or_edited_is_refused),
        cmocka_unit_test(more_than_a_trace_holds_is_refused_before_anything_is_written),
    };
    return cmocka_run_group_tests_name("lab/train/trace", tests, tr_scratch_setup, tr_scratch_teardown);
}
