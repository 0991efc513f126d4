#include "plan/calibrate/refine.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { RUNS_MAX = 8 };

/* Two kinds; a step is nearly all of them. */
static struct tr_kernel_rates calibrated(void)
{
    struct tr_kernel_rates r = {.threads = 1, .step_error = .1, .between_s = 1e-6, .refined = {"", ""}};
    r.price[TR_OP_LINEAR][0] = (struct tr_kernel_price){.unit_s = {1e-9, 2e-9}, .error = .2, .known = true};
    r.price[TR_OP_NORM][0] = (struct tr_kernel_price){.unit_s = {3e-9}, .error = .2, .known = true};
    return r;
}

/* A run whose linear took `slow` times what was predicted; `size`: how long its step is predicted to take. */
static struct tr_run_seen run_of(double size_s, double slow, double all_s)
{
    struct tr_run_seen run = {.between_said_s = .01 * size_s, .between_took_s = .01 * size_s};
    run.said_s[TR_OP_LINEAR][0] = .8 * size_s, run.said_s[TR_OP_NORM][0] = .19 * size_s;
    run.took_s[TR_OP_LINEAR][0] = .8 * size_s * slow, run.took_s[TR_OP_NORM][0] = .19 * size_s;
    run.all_s[TR_OP_LINEAR][0] = run.all_s[TR_OP_NORM][0] = all_s;
    run.step_took_s = run.took_s[TR_OP_LINEAR][0] + run.took_s[TR_OP_NORM][0] + run.between_took_s;
    return run;
}

/* How many times as long linear takes now. */
static double times(const struct tr_kernel_rates *r) { return r->price[TR_OP_LINEAR][0].unit_s[0] / 1e-9; }
static double error_of(const struct tr_kernel_rates *r) { return r->price[TR_OP_LINEAR][0].error; }

static void a_slower_kind_is_predicted_better_and_its_interval_is_smaller(void **state)
{
    (void)state;
    double off = .2, error = .2;
    struct tr_run_seen run[RUNS_MAX];
    for (int i = 0; i < RUNS_MAX; i++)
        run[i] = run_of(.1 * (i + 1), 1.2, 1e9);
    for (int count = 1; count <= RUNS_MAX; count++) {
        struct tr_kernel_rates r = calibrated();
        tr_kernel_refine(run, count, &r);
        assert_true(times(&r) > 1 && times(&r) < 1.2);
        assert_true(fabs(log(times(&r)) - log(1.2) * count / (count + 1)) < 1e-9);
        assert_true(fabs(r.price[TR_OP_LINEAR][0].unit_s[1] / 2e-9 / times(&r) - 1) < 1e-12); /* all terms of the kind */
        assert_true(1.2 / times(&r) - 1 < off);
        assert_true(error_of(&r) < error);
        off = 1.2 / times(&r) - 1, error = error_of(&r);
        assert_true(off < error); /* the interval covers what the next run takes */
        assert_true(fabs(r.price[TR_OP_NORM][0].unit_s[0] / 3e-9 - 1) < 1e-12);
        assert_true(r.price[TR_OP_NORM][0].error < error);
    }
}

static void runs_at_odds_keep_the_interval_wide(void **state)
{
    (void)state;
    struct tr_kernel_rates alike = calibrated(), odd = calibrated();
    struct tr_run_seen agree[2] = {run_of(.1, 1.2, 1e9), run_of(.2, 1.2, 1e9)}, differ[2] = {run_of(.1, .8, 1e9), run_of(.2, 1.8, 1e9)};
    tr_kernel_refine(agree, 2, &alike);
    tr_kernel_refine(differ, 2, &odd);
    assert_true(error_of(&odd) > error_of(&alike));
    assert_true(error_of(&odd) > .2); /* wider than it was */
    assert_true(odd.step_error > alike.step_error && odd.step_error > .1);
}

/* Far outside of the calibration's interval: it moves, and does not pretend to be sure. */
static void a_conflict_with_the_calibration_widens_the_interval(void **state)
{
    (void)state;
    struct tr_kernel_rates r = calibrated();
    struct tr_run_seen run[2] = {run_of(.1, 2, 1e9), run_of(.2, 2, 1e9)};
    r.price[TR_OP_LINEAR][0].error = .05;
    tr_kernel_refine(run, 2, &r);
    assert_true(times(&r) > 1.5 && times(&r) < 2);
    assert_true(2 / times(&r) - 1 < error_of(&r));
}

static void one_after_the_other_is_as_at_once(void **state)
{
    (void)state;
    const double slow[] = {1.3, .9, 1.1};
    struct tr_kernel_rates once = calibrated(), each = calibrated();
    struct tr_run_seen run[3];
    static const char *const by[] = {"", "1", "1 2"};
    for (int i = 0; i < 3; i++)
        run[i] = run_of(.1, slow[i], .05 * (i + 1));
    tr_kernel_refine(run, 3, &once);
    for (int i = 0; i < 3; i++) {
        struct tr_run_seen now = run_of(.1, slow[i] / times(&each), .05 * (i + 1));
        each.refined.by = by[i];
        tr_kernel_refine(&now, 1, &each);
    }
    assert_true(fabs(times(&once) / times(&each) - 1) < 1e-9);
    assert_true(fabs(error_of(&once) / error_of(&each) - 1) < 1e-9);
    assert_true(fabs(once.price[TR_OP_LINEAR][0].runs - each.price[TR_OP_LINEAR][0].runs) < 1e-12);
}

static void a_kind_that_took_little_time_says_little(void **state)
{
    (void)state;
    struct tr_kernel_rates shortly = calibrated(), longer = calibrated(), none = calibrated();
    struct tr_run_seen little = run_of(.1, 1.2, .001), much = run_of(.1, 1.2, 10), nothing = run_of(.1, 0, 10);
    tr_kernel_refine(&little, 1, &shortly);
    tr_kernel_refine(&much, 1, &longer);
    tr_kernel_refine(&nothing, 1, &none);
    assert_true(times(&shortly) < 1.01 && times(&longer) > 1.08);
    assert_true(error_of(&shortly) > error_of(&longer) && error_of(&shortly) < .2);
    assert_true(times(&none) == 1 && error_of(&none) == .2 && none.price[TR_OP_LINEAR][0].runs == 0);
}

static void no_interval_is_narrower_than_the_noise_unless_it_was(void **state)
{
    (void)state;
    struct tr_run_seen run[32];
    struct tr_kernel_rates r = calibrated();
    for (int i = 0; i < 32; i++)
        run[i] = run_of(.1, 1, 1e9);
    r.price[TR_OP_NORM][0].error = .01;
    r.step_error = .021;
    tr_kernel_refine(run, 32, &r);
    tr_kernel_refine(run, 32, &r);
    assert_true(r.price[TR_OP_NORM][0].error == .01);
    assert_true(error_of(&r) >= TR_REFINE_NOISE && error_of(&r) < .1);
    assert_true(r.step_error == TR_REFINE_NOISE);
}

/* A ratio of files from elsewhere is bounded before it moves anything. */
static void nothing_moves_by_more_than_the_largest_ratio(void **state)
{
    (void)state;
    struct tr_kernel_rates r = calibrated();
    struct tr_run_seen run[8];
    for (int i = 0; i < 8; i++)
        run[i] = run_of(.1, i % 2 ? 1e300 : INFINITY, 1e9);
    tr_kernel_refine(run, 8, &r);
    assert_true(times(&r) > 1 && times(&r) <= TR_REFINE_RATIO_MAX);
    assert_true(isfinite(error_of(&r)) && isfinite(r.step_error));
}

/* ---- ranks ------------------------------------------------------------------------------------------------------- */

static struct tr_exchange_rates record(void)
{
    struct tr_exchange_rates x = {.ranks = 2, .shared = 1.1};
    for (int i = 0; i < TR_EXCHANGE_SIZES; i++)
        x.time_s[TR_COLL_ALL_GATHER][i] = 1e-5 * (i + 1);
    return x;
}

/* Adamw and calls of 64 KiB take so many times what the record says, in so many seconds; the step as said. */
static struct tr_ranks_seen ranks_of(double times, double seconds)
{
    struct tr_ranks_seen seen = {.step_took_s = 1, .step_said_s = 1};
    seen.said_s[TR_OP_ADAMW] = seconds / times;
    seen.took_s[TR_OP_ADAMW] = seconds;
    seen.moves_s[TR_COLL_ALL_GATHER][1] = seconds / times;
    seen.moved_s[TR_COLL_ALL_GATHER][1] = seconds;
    return seen;
}

static void runs_of_ranks_move_what_they_have_and_leave_the_rest(void **state)
{
    (void)state;
    struct tr_exchange_rates is = record(), was = record(), others = record();
    struct tr_ranks_seen run[3] = {ranks_of(1.5, 1e9), ranks_of(1.5, 1e9), ranks_of(1.5, 1e9)};
    tr_exchange_refine(run, 3, -1, &is);
    double wanted = pow(1.5, 3. / 4);
    assert_true(fabs(is.work_times[TR_OP_ADAMW] / wanted - 1) < 1e-6 && fabs(is.work_runs[TR_OP_ADAMW] - 3) < 1e-6);
    assert_true(fabs(tr_exchange_shared(&is, TR_OP_ADAMW) / (1.1 * wanted) - 1) < 1e-6);
    assert_true(tr_exchange_shared(&is, TR_OP_LINEAR) == 1.1 && is.work_runs[TR_OP_LINEAR] == 0);
    assert_true(fabs(is.time_s[TR_COLL_ALL_GATHER][1] / (2e-5 * wanted) - 1) < 1e-6);
    assert_true(is.time_s[TR_COLL_ALL_GATHER][0] == was.time_s[TR_COLL_ALL_GATHER][0] && is.time_runs[TR_COLL_ALL_GATHER][0] == 0);
    tr_exchange_refine(run, 3, 1, &others);
    assert_true(fabs(others.work_times[TR_OP_ADAMW] / pow(1.5, 2. / 3) - 1) < 1e-6);
}

static void runs_of_ranks_one_after_the_other_are_as_at_once(void **state)
{
    (void)state;
    struct tr_exchange_rates once = record(), each = record();
    struct tr_ranks_seen first = ranks_of(1.5, 2), second = ranks_of(.8, .1), both[2] = {first, second};
    tr_exchange_refine(both, 2, -1, &once);
    tr_exchange_refine(&first, 1, -1, &each);
    second.said_s[TR_OP_ADAMW] *= each.work_times[TR_OP_ADAMW];
    second.moves_s[TR_COLL_ALL_GATHER][1] *= each.time_s[TR_COLL_ALL_GATHER][1] / 2e-5;
    tr_exchange_refine(&second, 1, -1, &each);
    assert_true(fabs(once.work_times[TR_OP_ADAMW] / each.work_times[TR_OP_ADAMW] - 1) < 1e-9);
    assert_true(fabs(once.time_s[TR_COLL_ALL_GATHER][1] / each.time_s[TR_COLL_ALL_GATHER][1] - 1) < 1e-9);
    assert_true(fabs(once.time_runs[TR_COLL_ALL_GATHER][1] - each.time_runs[TR_COLL_ALL_GATHER][1]) < 1e-12);
}

static void the_interval_of_ranks_follows_how_far_off_runs_were(void **state)
{
    (void)state;
    struct tr_ranks_seen right[4] = {ranks_of(1, 1), ranks_of(1, 1), ranks_of(1, 1), ranks_of(1, 1)}, wrong = ranks_of(1, 1);
    wrong.step_took_s = 2;
    double narrow = tr_exchange_refined_error(right, 4, .2, 0), wide = tr_exchange_refined_error(&wrong, 1, .2, 0);
    assert_true(narrow < .15 && narrow > .1 && wide > .3);
    assert_true(tr_exchange_refined_error(right, 4, .03, 64) >= TR_REFINE_NOISE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slower_kind_is_predicted_better_and_its_interval_is_smaller),
        cmocka_unit_test(runs_at_odds_keep_the_interval_wide),
        cmocka_unit_test(a_conflict_with_the_calibration_widens_the_interval),
        cmocka_unit_test(one_after_the_other_is_as_at_once),
        cmocka_unit_test(a_kind_that_took_little_time_says_little),
        cmocka_unit_test(no_interval_is_narrower_than_the_noise_unless_it_was),
        cmocka_unit_test(nothing_moves_by_more_than_the_largest_ratio),
        cmocka_unit_test(runs_of_ranks_move_what_they_have_and_leave_the_rest),
        cmocka_unit_test(runs_of_ranks_one_after_the_other_are_as_at_once),
        cmocka_unit_test(the_interval_of_ranks_follows_how_far_off_runs_were),
    };
    return cmocka_run_group_tests_name("plan/calibrate/refine", tests, NULL, NULL);
}
