#include "base/crowd.h"

#include "base/os.h"
#include "lib/one_core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void nothing_changes_while_every_thread_has_its_core(void **state)
{
    (void)state;
    struct tr_crowd crowd = {.threads = 8};
    for (int i = 1; i <= 1000; i++)
        assert_int_equal(tr_crowd_decide(&crowd, 8, .2, .02 * i), 8);
}

static void a_core_that_is_missed_once_may_be_chance(void **state)
{
    (void)state;
    struct tr_crowd crowd = {.threads = 8};
    for (int i = 1; i <= 1000; i++)
        assert_int_equal(tr_crowd_decide(&crowd, 8, i % 2 ? 5 : .2, .02 * i), 8);
}

static void one_core_that_is_missed_is_one_thread_less_and_three_are_three(void **state)
{
    (void)state;
    struct tr_crowd crowd = {.threads = 8};
    assert_int_equal(tr_crowd_decide(&crowd, 8, .4, 1), 8);
    assert_int_equal(tr_crowd_decide(&crowd, 8, 3.1, 1.02), 7);
    assert_int_equal(tr_crowd_decide(&crowd, 8, 100, 1.04), 4);
    assert_int_equal(tr_crowd_decide(&crowd, 8, 100, 1.06), 1);
    assert_int_equal(tr_crowd_decide(&crowd, 8, 100, 1.08), 1);
}

/* Tries of ten simulated seconds on two cores of which another program has one throughout. */
static void one_more_is_tried_more_and_more_seldom(void **state)
{
    (void)state;
    struct tr_crowd crowd = {.threads = 2};
    assert_int_equal(tr_crowd_decide(&crowd, 2, .6, .01), 2);
    int tries = 0, threads = 2;
    for (int i = 1; i <= 500; i++) {
        int before = threads;
        threads = tr_crowd_decide(&crowd, 2, threads == 2 ? .6 : 0, .02 * i);
        tries += threads > before;
        assert_true(before == 1 || threads == 1);
    }
    assert_in_range(tries, 4, 8);
    int back = 0;
    for (int i = 501; i <= 1000 && back == 0; i++) /* the other program ends */
        back = tr_crowd_decide(&crowd, 2, 0, .02 * i) == 2 ? i : 0;
    assert_in_range(back, 501, 500 + 8 * 50);
    for (int i = back; i <= 1000; i++)
        assert_int_equal(tr_crowd_decide(&crowd, 2, 0, .02 * i), 2);
}

static void all_threads_come_back_one_after_the_other(void **state)
{
    (void)state;
    struct tr_crowd crowd = {.threads = 8};
    assert_int_equal(tr_crowd_decide(&crowd, 8, 4, 1), 8);
    assert_int_equal(tr_crowd_decide(&crowd, 8, 4, 1.02), 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(tr_crowd_decide(&crowd, 8, 0, 2 + .02 * i), 5 + i);
}

/* Whether a crowd that begins with such an OMP_DYNAMIC (NULL: none) keeps the number that is wanted. */
static bool stays_by(const char *dynamic)
{
    struct tr_crowd crowd = {0};
    assert_int_equal(dynamic ? setenv("OMP_DYNAMIC", dynamic, 1) : unsetenv("OMP_DYNAMIC"), 0);
    assert_int_equal(tr_crowd_threads(&crowd, 8, 1), 8);
    crowd.threads = 1;
    const int then = tr_crowd_threads(&crowd, 8, 1.001);
    assert_true(then == 1 || then == 8);
    assert_int_equal(unsetenv("OMP_DYNAMIC"), 0);
    return then == 8;
}

static void omp_dynamic_false_keeps_the_number_that_is_wanted(void **state)
{
    (void)state;
    static const char *const off[] = {"false", "FALSE", "False", " false\t"}, *const on[] = {"true", "", "falsely", "false true", "0"};
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        assert_true(stays_by(off[i]));
    for (size_t i = 0; i < sizeof on / sizeof *on; i++)
        assert_false(stays_by(on[i]));
    assert_false(stays_by(NULL));
}

static void never_more_than_are_wanted_now(void **state)
{
    (void)state;
    struct tr_crowd crowd = {.threads = 8};
    assert_int_equal(tr_crowd_threads(&crowd, 1, 0), 1);
    assert_int_equal(tr_crowd_threads(&crowd, 3, 0), 3);
}

static bool system_counts(void) { return tr_thread_waited_s() > 0; } /* every thread has waited some microseconds since it began */

/* Another rank of this process, say, of whose threads each has a quarter of a core: they wait for three, and that is for their own
 * crowd to see. Here nobody waits but for a pause to end. */
static void that_other_threads_of_the_process_wait_is_not_this_teams_affair(void **state)
{
    (void)state;
    struct tr_busy_core others;
    struct tr_crowd crowd = {.threads = 1, .again_s = 1000}; /* a thread more would wait in a loop, and for a core at that */
    tr_busy_core_begin(&others, 4);
    for (int i = 0; i <= 5; i++) {
        assert_int_equal(tr_crowd_threads(&crowd, 2, 1 + .3 * i), 1);
        assert_true(crowd.waiting < .25);
        usleep(100000);
    }
    tr_busy_core_end(&others);
}

static void spin_for(double time_s)
{
    for (double end_s = tr_clock_s() + time_s; tr_clock_s() < end_s;) {
    }
}

/* A team of two on one core. Returns how many threads there are in the end. */
static void *work_on_one_core(void *out)
{
    struct tr_crowd crowd = {0};
    int *threads = out;
    tr_to_one_core();
    *threads = tr_crowd_threads(&crowd, 2, tr_clock_s());
    for (int i = 0; i < 100 && *threads == 2; i++) {
#pragma omp parallel num_threads(2)
        spin_for(.03);
        *threads = tr_crowd_threads(&crowd, 2, tr_clock_s());
    }
    return NULL;
}

static void two_threads_that_share_a_core_become_one(void **state)
{
    (void)state;
    pthread_t master; /* so that its team begins where it may run */
    int threads = 0;
    if (!system_counts())
        skip();
    assert_int_equal(tr_thread_start(&master, work_on_one_core, &threads), 0);
    pthread_join(master, NULL);
    assert_int_equal(threads, 1);
}

int main(void)
{
    unsetenv("OMP_DYNAMIC"); /* which tests are told to keep */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_changes_while_every_thread_has_its_core),
        cmocka_unit_test(a_core_that_is_missed_once_may_be_chance),
        cmocka_unit_test(one_core_that_is_missed_is_one_thread_less_and_three_are_three),
        cmocka_unit_test(one_more_is_tried_more_and_more_seldom),
        cmocka_unit_test(all_threads_come_back_one_after_the_other),
        cmocka_unit_test(omp_dynamic_false_keeps_the_number_that_is_wanted),
        cmocka_unit_test(never_more_than_are_wanted_now),
        cmocka_unit_test(that_other_threads_of_the_process_wait_is_not_this_teams_affair),
        cmocka_unit_test(two_threads_that_share_a_core_become_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
