#include "plan/calibrate/learn.h"
#include "plan/here/explain_run.h"
#include "plan/show/show.h"

#include "base/json.h"
#include "lib/made_up_profile.h"
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

/* Runs that trained, whose times are made up: as the made-up profile says, but for one kind, and a first step that is thrice as long. */
enum { RUNS = 3, TIMES = 1000 /* the steps that it did, as if so many times as many: they are short */ };
static const char *const names[RUNS] = {"a", "b", "c"};
static const char *const shapes[RUNS] = {"train.micro_batch=2", "train.batch=4", "data.seq_len=32"};

static struct tr_err err;
static struct tr_run_profile ran[RUNS];
static struct tr_run_explained run, said[RUNS]; /* said: by the profile as it was made up */

static struct tr_catalog *profile_now(void)
{
    struct tr_catalog *catalog;
    if (tr_catalog_open_empty(&catalog, &err) != TR_OK || tr_catalog_add(catalog, tr_scratch("profile.yaml"), &err) != TR_OK)
        fail_msg("%s", err.text);
    return catalog;
}

static void explain(const char *name)
{
    struct tr_catalog *catalog = profile_now();
    if (tr_run_explain(tr_scratch(name), catalog, 0, &run, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_catalog_free(catalog);
}

static void put_op(const struct tr_run_row *row, const struct tr_op_time *t, double times, struct tr_json *json)
{
    double steps = (double)(ran[0].steps * TIMES), call_s = row->predicted_s / row->calls * times;
    int64_t calls = t->calls * TIMES, first = (int64_t)((double)calls / steps);
    tr_json_object(json, NULL);
    tr_json_string(json, "phase", tr_phase_name(row->phase));
    tr_json_string(json, "op", tr_op_operands(row->kind)->name);
    tr_json_int(json, "calls", calls);
    tr_json_double(json, "time_s", call_s * (double)(calls + 2 * first));
    tr_json_int(json, "flop", t->flop * TIMES);
    tr_json_int(json, "bytes", t->bytes * TIMES);
    tr_json_int(json, "first_calls", first);
    tr_json_double(json, "first_time_s", 3 * call_s * (double)first);
    tr_json_end(json);
}

/* What a run is said to be of. */
struct of {
    const char *processor, *isa, *program;
    int cores, threads;
    int64_t attempt, steps; /* steps 0: those that it has */
    double crowded;         /* share of its time */
    bool apart;             /* its cores were, so that it took longer */
};
static const struct of same = {.processor = "p", .isa = "ref", .program = "0", .cores = 1, .threads = 1};

/* Makes profile.json of run `i`; linear takes `slow` times as long as in a profile that is as made up. */
static void put_run(int i, double slow, struct of of)
{
    char path[64];
    struct tr_text text = {0};
    struct tr_json json = tr_json_start(&text, TR_JSON_PRETTY);
    const struct tr_run_explained *x = &said[i];
    double step_s = x->between_predicted_s;
    for (int r = 0; r < x->rows; r++)
        step_s += x->row[r].predicted_s * (x->row[r].kind == TR_OP_LINEAR ? slow : 1) * (of.apart ? TR_MADE_UP_APART : 1);
    int64_t steps = of.steps ? of.steps : ran[i].steps * TIMES;
    tr_json_object(&json, NULL);
    tr_json_int(&json, "steps_computed", steps);
    tr_json_double(&json, "steps_s", step_s * (double)(steps + 2));
    tr_json_double(&json, "crowded_s", of.crowded * step_s * (double)(steps + 2));
    tr_json_double(&json, "first_step_s", 3 * step_s);
    tr_json_int(&json, "attempt", of.attempt ? of.attempt : i + 1);
    tr_json_string(&json, "program", of.program);
    tr_json_string(&json, "processor", of.processor);
    tr_json_int(&json, "cores", of.cores);
    tr_json_int(&json, "threads", of.threads);
    tr_json_double(&json, "hand_s", of.apart ? 160e-9 : 40e-9);
    tr_json_string(&json, "isa", of.isa);
    tr_json_object(&json, "memory");
    tr_json_int(&json, "planned_bytes", ran[i].planned_bytes);
    tr_json_int(&json, "peak_bytes", ran[i].peak_bytes);
    tr_json_end(&json);
    tr_json_array(&json, "ops");
    for (int r = 0; r < x->rows; r++)
        put_op(&x->row[r], &ran[i].op[x->row[r].phase][x->row[r].kind], (of.apart ? TR_MADE_UP_APART : 1) *
               (x->row[r].kind == TR_OP_LINEAR ? slow : 1), &json);
    tr_json_end(&json);
    tr_json_end(&json);
    snprintf(path, sizeof path, "%s/profile.json", names[i]);
    tr_scratch_put_text(path, tr_text_str(&text));
    tr_text_free(&text);
}

static void new_profile(void) { tr_catalog_free(tr_made_up_profile(1e9, 1e10)); }

/* A new profile, and runs as it says but for linear. */
static void new_runs(double slow)
{
    new_profile();
    for (int i = 0; i < RUNS; i++)
        put_run(i, slow, same);
}

static void make_run_of_ranks(void)
{
    struct tr_run_config config = tr_tiny_config("ranks", "model.name=tiny-gpt2", "train.steps=4", "layout.lanes=2", "run.threads=1", NULL);
    struct tr_train_options options = tr_tiny_options();
    struct tr_train_result result;
    options.layout = (struct tr_degrees){.ranks = {[TR_GROUP_DATA] = 2}};
    options.trace_steps = 2;
    options.program = "0";
    if (tr_train(&config, &options, &result, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_text_free(&result.last_sample);
    tr_tiny_crowd("ranks/profile.json", 0); /* whatever ran beside this test */
}

static int make_runs(void **state)
{
    int failed = tr_scratch_setup(state);
    setenv("TRINE_ISA", "ref", 1);
    for (int i = 0; i < RUNS; i++) {
        struct tr_run_config config = tr_tiny_config(names[i], "model.name=tiny-gpt2", "train.steps=2", shapes[i], NULL);
        tr_tiny_train(&config);
        new_profile();
        explain(names[i]);
        said[i] = run;
        ran[i] = run.ran;
    }
    make_run_of_ranks();
    return failed;
}

static char left_out[4096];

static enum tr_status learn(const char *first, const char *second, struct tr_learned *learned)
{
    char a[TR_PATH_BYTES], b[TR_PATH_BYTES], *folder[2] = {a, b};
    int entries = 0;
    struct tr_text text = {0};
    snprintf(a, sizeof a, "%s", tr_scratch(first));
    snprintf(b, sizeof b, "%s", tr_scratch(second ? second : first));
    struct tr_learned out[TR_LEARNED_MAX];
    enum tr_status status = tr_learn(tr_scratch("profile.yaml"), folder, second ? 2 : 1, out, &entries, &text, &err);
    snprintf(left_out, sizeof left_out, "%s", tr_text_str(&text));
    tr_text_free(&text);
    if (status == TR_OK)
        assert_int_equal(entries, 1);
    if (status == TR_OK && learned)
        *learned = out[0];
    return status;
}

static double linear_off(double *error)
{
    double measured_s = 0, predicted_s = 0;
    for (int r = 0; r < run.rows; r++)
        if (run.row[r].kind == TR_OP_LINEAR) {
            measured_s += run.row[r].warm_s, predicted_s += run.row[r].predicted_s;
            *error = run.row[r].error;
        }
    return fabs(measured_s / predicted_s - 1);
}

static void two_runs_bring_the_prediction_of_a_third_nearer(void **state)
{
    (void)state;
    struct tr_learned learned;
    double was, is, error_was, error_is;
    new_runs(1.2);
    explain("c");
    was = linear_off(&error_was);
    double step_was = fabs(run.warm_s / run.predicted_s - 1);
    assert_true(fabs(was - .2) < 1e-6); /* the cold step is left out */
    assert_int_equal(run.profile_runs, 0);
    if (learn("a", "b", &learned) != TR_OK)
        fail_msg("%s", err.text);
    explain("c");
    is = linear_off(&error_is);
    assert_true(is < .1 && is > 0);
    assert_true(error_is < error_was && is < error_is);
    assert_true(fabs(run.warm_s / run.predicted_s - 1) < step_was);
    assert_int_equal(learned.runs, 2);
    assert_int_equal(learned.threads, 1);
    assert_true(learned.slowest > 1.1 && learned.slowest < 1.2 && fabs(learned.fastest - 1) < 1e-3);
    assert_true(learned.step_error < learned.step_error_was);
}

static void a_run_whose_cores_were_apart_is_held_against_prices_of_that(void **state)
{
    (void)state;
    struct tr_learned learned;
    struct of apart = same;
    apart.apart = true;
    double error;
    new_runs(1);
    put_run(1, 1, apart);
    explain("b");
    assert_true(run.apart && linear_off(&error) < 1e-3); /* files have four figures */
    assert_int_equal(learn("a", "b", &learned), TR_OK);
    assert_true(fabs(learned.fastest - 1) < 1e-3 && fabs(learned.slowest - 1) < 1e-3); /* not that the kinds are slower */
    put_run(1, 1.2, apart);
    new_profile();
    assert_int_equal(learn("b", NULL, &learned), TR_OK);
    explain("b");
    assert_true(linear_off(&error) < .1); /* both prices have moved */
    explain("a");
    assert_true(!run.apart && linear_off(&error) > .05);
}

/* The source names the runs. */
static void check_source(const char *title)
{
    char a[TR_PATH_BYTES], b[TR_PATH_BYTES], wanted[2 * TR_PATH_BYTES + 32];
    snprintf(a, sizeof a, "%s", tr_scratch("a"));
    snprintf(b, sizeof b, "%s", tr_scratch("b"));
    snprintf(wanted, sizeof wanted, "trine calibrate --from %s %s", a, b);
    assert_string_equal(title, wanted);
}

/* Whether the row of linear products with such numbers has these words. */
static bool row_says(const char *text, const char *type, const char *words)
{
    char row[512];
    for (const char *at = text; (at = strstr(at, "\nlinear ")) != NULL; at++) {
        snprintf(row, sizeof row, "%.*s", (int)strcspn(at + 1, "\n"), at + 1);
        const char *its = row + strlen("linear ");
        if (strncmp(its + strspn(its, " "), type, strlen(type)) == 0 && its[strspn(its, " ") + strlen(type)] == ' ')
            return strstr(row, words) != NULL;
    }
    fail_msg("there is no row of linear products in %s", type);
    return false;
}

/* Each number is shown with where it is from: a kind that runs have, and one that they have not. */
static void check_shown(const struct tr_catalog *catalog, const char *chip)
{
    const struct tr_show_catalog_options how = {.json = false}, json = {.json = true};
    struct tr_text text = {0};
    assert_int_equal(tr_show_catalog(catalog, "chip", chip, &how, &text, &err), TR_OK);
    tr_assert_says(tr_text_str(&text), ", refined by 2 runs to 20");
    tr_assert_says(tr_text_str(&text), ", which began 1970-01-01T00:00:00Z, 1970-01-01T00:00:00Z\n");
    assert_true(row_says(tr_text_str(&text), "f32", "  runs, 20") && row_says(tr_text_str(&text), "f32", " of them)"));
    assert_false(row_says(tr_text_str(&text), "bf16", "runs"));
    tr_assert_says(tr_text_str(&text), "  runs: trine calibrate --from ");
    tr_text_clear(&text);
    assert_int_equal(tr_show_catalog(catalog, "chip", chip, &json, &text, &err), TR_OK);
    tr_assert_says(tr_text_str(&text), "\"source\": \"runs\"");
    tr_text_free(&text);
}

static void the_profile_says_which_runs_it_has_learned_from(void **state)
{
    (void)state;
    struct tr_kernel_rates rates;
    struct tr_text text = {0};
    struct tr_learned learned;
    new_runs(1.2);
    assert_int_equal(learn("a", NULL, NULL), TR_OK);
    assert_int_equal(learn("b", NULL, &learned), TR_OK);
    assert_int_equal(learned.runs_before, 1);
    struct tr_catalog *catalog = profile_now();
    assert_int_equal(tr_kernel_rates_find(catalog, 1, &rates, &err), TR_OK);
    assert_string_equal(rates.refined.by, "1 2");
    assert_int_equal(tr_refined_runs(&rates.refined), 2);
    assert_true(tr_refined_knows(&rates.refined, 2) && !tr_refined_knows(&rates.refined, 12));
    assert_int_equal(tr_catalog_source_count(catalog), 2);
    check_source(tr_catalog_source(catalog, 0)->title);
    check_shown(catalog, rates.chip);
    assert_true(rates.price[TR_OP_LINEAR][0].runs > 1 && rates.price[TR_OP_LINEAR][1].runs == 0);
    explain("c");
    assert_int_equal(run.profile_runs, 2);
    tr_run_explain_text(&run, &text);
    tr_assert_says(tr_text_str(&text), "calibrated, refined by 2 runs to 20");
    tr_text_free(&text);
    tr_catalog_free(catalog);
}

/* Nothing is learned, and the profile is as it was. */
static void change_nothing(const char *first, const char *second, enum tr_status status)
{
    struct tr_bytes before = tr_scratch_read(tr_scratch("profile.yaml"));
    assert_int_equal(learn(first, second, NULL), status);
    struct tr_bytes after = tr_scratch_read(tr_scratch("profile.yaml"));
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.at, after.at, before.len);
    tr_bytes_free(&before);
    tr_bytes_free(&after);
}

static void refuse(const char *first, const char *second, const char *sentence)
{
    change_nothing(first, second, TR_BAD_INPUT);
    tr_assert_says(err.text, sentence);
}

static void edit(const char *name, const char *was, const char *is)
{
    struct tr_bytes file = tr_scratch_read(tr_scratch(name));
    struct tr_text text = {0};
    for (const char *at = file.at, *hit; at; at = hit ? hit + strlen(was) : NULL) {
        hit = strstr(at, was);
        tr_text_append_bytes(&text, at, hit ? (size_t)(hit - at) : strlen(at));
        tr_text_append(&text, hit ? is : "");
    }
    tr_scratch_put_text(name, tr_text_str(&text));
    tr_text_free(&text);
    tr_bytes_free(&file);
}

static void put_value(const char *name, const char *key, const char *value)
{
    char was[256], is[256], start[64];
    struct tr_bytes file = tr_scratch_read(tr_scratch(name));
    snprintf(start, sizeof start, "\"%s\": ", key);
    const char *at = strstr(file.at, start);
    assert_non_null(at);
    snprintf(was, sizeof was, "%.*s", (int)strcspn(at, ","), at);
    snprintf(is, sizeof is, "%s%s", start, value);
    tr_bytes_free(&file);
    edit(name, was, is);
}

static void refuse_of(struct of of, const char *sentence)
{
    put_run(0, 1, of);
    refuse("b", "a", sentence);
}

static void runs_that_say_nothing_of_the_profile_are_refused(void **state)
{
    (void)state;
    struct of of = same;
    new_runs(1);
    of.processor = "q";
    refuse_of(of, "ran on 1 cores of q, and the profile is of 1 of p");
    of = same, of.cores = 2;
    refuse_of(of, "ran on 2 cores of p");
    of = same, of.isa = "avx2";
    refuse_of(of, "its kernels were those of avx2, the profile's are of ref");
    of = same, of.program = "1";
    refuse_of(of, "it is of trine 1, the profile of 0");
    of.crowded = .4; /* both: what it says of another machine is the reason */
    refuse_of(of, "it is of trine 1, the profile of 0");
    of = same, of.threads = 3;
    refuse_of(of, "kernels were measured with 1 threads, not with 3");
    of = same, of.steps = 1;
    refuse_of(of, "has computed 1 step, and the first one is cold");
    put_run(0, 1000, same);
    refuse("b", "a", "times what was predicted: something else was at work");
    put_run(0, 1, same);
    refuse("a", "a", "the profile has learned from this run already");
    refuse("a", "none", "no such file");
    refuse("a", "ranks", "only runs of its own machine can refine it");
    put_value("ranks/profile.json", "processor", "\"p\"");
    put_value("ranks/profile.json", "cores", "1");
    refuse("a", "ranks", "says nothing of 2 ranks that exchange bytes by threads");
    tr_scratch_put_text("a/profile.json", "{\"steps_computed\": 12, ");
    refuse("b", "a", "profile.json");
}

static void runs_that_other_programs_slowed_are_named_and_left_out(void **state)
{
    (void)state;
    struct of crowded = same, hardly = same;
    struct tr_learned learned;
    crowded.crowded = .4, hardly.crowded = .009;
    new_runs(1.2);
    put_run(0, 2, crowded);
    put_run(1, 1.2, hardly);
    if (learn("a", "b", &learned) != TR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(learned.runs, 1);
    assert_true(learned.slowest < 1.2); /* b's 1.2, not a's 2 */
    tr_assert_says(left_out, "/a: left out: 40 % of the time of its steps other programs had cores that it wanted");
    assert_null(strstr(left_out, "/b"));
    put_run(2, 2, crowded);
    change_nothing("a", "c", TR_NO);
    tr_assert_says(left_out, "/c: left out: 40 %");
}

/* Steps of cores as no calibration saw them take another time, which is not the kinds'. */
static void runs_of_cores_that_the_profile_does_not_know_are_left_out(void **state)
{
    (void)state;
    struct of apart = same;
    struct tr_learned learned;
    tr_catalog_free(tr_made_up_profile_near(1e9, 1e10));
    apart.apart = true;
    put_run(0, 1.2, apart);
    put_run(1, 1.2, same);
    if (learn("a", "b", &learned) != TR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(learned.runs, 1);
    tr_assert_says(left_out, "/a: left out: its cores were further apart (a line of a cache took 160 ns from one to another, and 40 in the calibration)");
    assert_null(strstr(left_out, "/b"));
    explain("a");
    struct tr_text why = {0};
    tr_learn_why_not(&run, &why);
    tr_assert_says(tr_text_str(&why), "further apart");
    tr_text_free(&why);
    put_run(2, 1.2, apart);
    change_nothing("a", "c", TR_NO);
}

static void a_run_is_learned_from_once(void **state)
{
    (void)state;
    new_runs(1.1);
    assert_int_equal(learn("a", "b", NULL), TR_OK);
    refuse("b", "c", "the profile has learned from this run already (attempt 2)");
}

static void an_entry_that_was_edited_is_left_alone(void **state)
{
    (void)state;
    new_runs(1);
    struct tr_bytes whole = tr_scratch_read(tr_scratch("profile.yaml"));
    struct tr_text edited = {0};
    tr_text_append_bytes(&edited, whole.at, whole.len);
    const char *at = strstr(tr_text_str(&edited), "    threads: 1\n");
    assert_non_null(at);
    size_t before = (size_t)(at - tr_text_str(&edited));
    struct tr_text file = {0};
    tr_text_append_bytes(&file, whole.at, before);
    tr_text_append(&file, "    note: mine\n");
    tr_text_append(&file, at);
    tr_scratch_put_text("profile.yaml", tr_text_str(&file));
    refuse("a", NULL, "kernels.made-up-1 is not as `trine calibrate` writes it");
    tr_text_free(&edited);
    tr_text_free(&file);
    tr_bytes_free(&whole);
}

/* ---- runs of ranks ------------------------------------------------------------------------------------------------ */

/* `was` becomes `is` in a file of the scratch folder, wherever it stands. */
/* A profile of a machine with so many cores and a record of two ranks, who are in each other's way so much. */
static void profile_of_ranks(int cores, double shared)
{
    char number[32];
    struct tr_text text = {0};
    struct tr_exchange_rates exchange = {.id = "made-up-threads-2", .chip = "made-up", .transport = "threads", .ranks = 2, .shared = shared};
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        for (int i = 0; i < TR_EXCHANGE_SIZES; i++)
            exchange.time_s[kind][i] = 1e-5 * (i + 1);
    new_profile();
    snprintf(number, sizeof number, "cores: %d\n    threads", cores);
    edit("profile.yaml", "cores: 1\n    threads", number);
    struct tr_bytes file = tr_scratch_read(tr_scratch("profile.yaml"));
    tr_text_append_bytes(&text, file.at, file.len);
    tr_text_append(&text, "exchanges:\n");
    tr_exchange_yaml(&exchange, &text);
    tr_scratch_put_text("profile.yaml", tr_text_str(&text));
    tr_bytes_free(&file);
    tr_text_free(&text);
}

static double said_of_linear(void)
{
    double said_s = 0;
    for (int r = 0; r < run.rows; r++)
        if (run.row[r].kind == TR_OP_LINEAR)
            said_s += run.row[r].predicted_s;
    return said_s;
}

/* The first `"key": ...,` of a file. */
/* The run is said to be of the made-up machine with so many cores, and its steps to take 1.5 times what the profile says: on the machine
 * that it was of they took whatever they did. */
static void ranks_on(int cores)
{
    char number[32];
    profile_of_ranks(cores, 1.5);
    put_value("ranks/profile.json", "processor", "\"p\"");
    snprintf(number, sizeof number, "%d", cores);
    put_value("ranks/profile.json", "cores", number);
    explain("ranks");
    snprintf(number, sizeof number, "%.9g", 1.5 * run.predicted_s);
    put_value("ranks/profile.json", "first_step_s", number);
    snprintf(number, sizeof number, "%.9g", 1.5 * run.predicted_s * (double)run.ran.steps);
    put_value("ranks/profile.json", "steps_s", number);
}

static struct tr_exchange_rates record_now(struct tr_catalog **catalog)
{
    struct tr_exchange_rates record;
    *catalog = profile_now();
    assert_int_equal(tr_exchange_find(*catalog, "threads", 2, &record, &err), TR_OK);
    return record;
}

static void a_run_of_ranks_refines_what_they_do_to_each_other(void **state)
{
    (void)state;
    struct tr_learned learned;
    struct tr_catalog *catalog;
    struct tr_kernel_rates rates;
    ranks_on(2);
    explain("ranks");
    double was = said_of_linear();
    if (learn("ranks", NULL, &learned) != TR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(learned.ranks, 2);
    assert_int_equal(learned.runs, 1);
    assert_int_equal(learned.turns + learned.untraced, 0);
    assert_true(learned.moves_slowest > 0 && learned.slowest > 0);
    explain("ranks");
    assert_true(run.refined_ranks[0] && !run.refined[0]);
    struct tr_exchange_rates record = record_now(&catalog);
    assert_true(record.work_times[TR_OP_LINEAR] != 1 && fabs(said_of_linear() / was / record.work_times[TR_OP_LINEAR] - 1) < 1e-3);
    assert_true(fabs(run.error - record.step_error) < 1e-9 && fabs(learned.step_error / run.error - 1) < .01);
    assert_int_equal(tr_refined_runs(&record.refined), 1);
    assert_true(record.work_runs[TR_OP_LINEAR] > 0 && record.time_runs[TR_COLL_REDUCE_SCATTER][0] + record.time_runs[TR_COLL_ALL_GATHER][0] > 0);
    assert_int_equal(tr_kernel_rates_find(catalog, 1, &rates, &err), TR_OK);
    assert_true(tr_refined_runs(&rates.refined) == 0 && rates.price[TR_OP_LINEAR][0].runs == 0); /* prices are those of one rank */
    tr_catalog_free(catalog);
    refuse("ranks", NULL, "the profile has learned from this run already");
}

static void one_slowed_rank_is_enough_to_leave_a_run_out(void **state)
{
    (void)state;
    static const struct tr_run_profile one = {.steps_s = 10, .each_count = 2, .each = {{.steps_s = 9}, {.steps_s = 8, .crowded_s = 2}}};
    assert_true(tr_run_profile_crowded(&one) == .25);
    ranks_on(2);
    explain("ranks");
    assert_true(run.ran.each_count == 2 && tr_run_profile_crowded(&run.ran) == 0);
    tr_tiny_crowd("ranks/profile.json", .5 * fmin(run.ran.steps_s, run.ran.each[1].steps_s));
    explain("ranks");
    assert_true(run.ran.crowded_s > 0 && run.ran.each[1].crowded_s > 0);
    change_nothing("ranks", NULL, TR_NO);
    tr_assert_says(left_out, "ranks: left out: ");
    tr_tiny_crowd("ranks/profile.json", 0);
}

static void of_ranks_that_take_turns_whole_steps_are_learned_alone(void **state)
{
    (void)state;
    struct tr_learned learned;
    struct tr_catalog *catalog;
    ranks_on(1);
    if (learn("ranks", NULL, &learned) != TR_OK)
        fail_msg("%s", err.text);
    assert_true(learned.turns == 1 && learned.untraced == 0 && learned.moves_fastest == 0);
    struct tr_exchange_rates record = record_now(&catalog);
    for (int kind = 0; kind < TR_COLL_KIND_COUNT; kind++)
        for (int i = 0; i < TR_EXCHANGE_SIZES; i++)
            assert_true(record.time_runs[kind][i] == 0);
    tr_catalog_free(catalog);
}

static void a_profile_that_is_wrong_elsewhere_is_left_alone(void **state)
{
    (void)state;
    profile_of_ranks(1, 1.5);
    put_run(0, 1, same);
    edit("profile.yaml", "shared: 1.5", "shared: -3");
    refuse("a", NULL, "exchanges.made-up-threads-2.shared");
}

static void without_traces_collectives_are_left_as_they_are(void **state)
{
    (void)state;
    struct tr_learned learned;
    ranks_on(2);
    edit("ranks/profile.json", "\"attempt\": 1", "\"attempt\": 2"); /* the traces are of another one then */
    if (learn("ranks", NULL, &learned) != TR_OK)
        fail_msg("%s", err.text);
    assert_true(learned.untraced == 1 && learned.moves_fastest == 0 && learned.slowest > 0);
    edit("ranks/profile.json", "\"attempt\": 2", "\"attempt\": 3");
    edit("ranks/config.yaml", "data:", "\ndata:"); /* which the attempt after them changed */
    if (learn("ranks", NULL, &learned) != TR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(learned.untraced, 1);
    edit("ranks/config.yaml", "\ndata:", "data:");
    edit("ranks/profile.json", "\"attempt\": 3", "\"attempt\": 1");
}

static void traces_that_are_not_the_runs_are_refused(void **state)
{
    (void)state;
    ranks_on(2);
    struct tr_bytes whole = tr_scratch_read(tr_scratch("ranks/trace/rank-1.json"));
    for (size_t cut = 0; cut < whole.len - 2; cut += whole.len / 7) { /* the last line feed may be missing */
        tr_scratch_put("ranks/trace/rank-1.json", whole.at, cut);
        refuse("ranks", NULL, "rank-1.json");
    }
    tr_scratch_put("ranks/trace/rank-1.json", whole.at, whole.len);
    edit("ranks/profile.json", "\"hosts\": 1", "\"hosts\": 2");
    refuse("ranks", NULL, "its ranks were on 2 hosts");
    edit("ranks/profile.json", "\"hosts\": 2", "\"hosts\": 1");
    tr_bytes_free(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_runs_bring_the_prediction_of_a_third_nearer),
        cmocka_unit_test(a_run_whose_cores_were_apart_is_held_against_prices_of_that),
        cmocka_unit_test(the_profile_says_which_runs_it_has_learned_from),
        cmocka_unit_test(runs_that_say_nothing_of_the_profile_are_refused),
        cmocka_unit_test(runs_that_other_programs_slowed_are_named_and_left_out),
        cmocka_unit_test(runs_of_cores_that_the_profile_does_not_know_are_left_out),
        cmocka_unit_test(a_run_is_learned_from_once),
        cmocka_unit_test(an_entry_that_was_edited_is_left_alone),
        cmocka_unit_test(a_run_of_ranks_refines_what_they_do_to_each_other),
        cmocka_unit_test(one_slowed_rank_is_enough_to_leave_a_run_out),
        cmocka_unit_test(of_ranks_that_take_turns_whole_steps_are_learned_alone),
        cmocka_unit_test(a_profile_that_is_wrong_elsewhere_is_left_alone),
        cmocka_unit_test(without_traces_collectives_are_left_as_they_are),
        cmocka_unit_test(traces_that_are_not_the_runs_are_refused),
    };
    return cmocka_run_group_tests_name("plan/calibrate/learn", tests, make_runs, tr_scratch_teardown);
}
