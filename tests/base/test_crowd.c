#define _GNU_SOURCE /* sched_setaffinity */
#include "base/crowd.h"

#include "base/os.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

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

static void omp_dynamic_false_keeps_the_number_that_is_wanted(void **state)
{
    (void)state;
    assert_int_equal(setenv("OMP_DYNAMIC", "false", 1), 0);
    struct tr_crowd stays = {0};
    assert_int_equal(tr_crowd_threads(&stays, 8, 1), 8);
    stays.threads = 1;
    assert_int_equal(tr_crowd_threads(&stays, 8, 2), 8);
    unsetenv("OMP_DYNAMIC");
    struct tr_crowd crowd = {0};
    assert_int_equal(tr_crowd_threads(&crowd, 8, 1), 8);
    crowd.threads = 1;
    assert_int_equal(tr_crowd_threads(&crowd, 8, 1.001), 1);
    assert_int_equal(tr_crowd_threads(&crowd, 1, 1.002), 1);
}

static void *spin(void *context)
{
    const double *until_s = context;
    while (tr_clock_s() < *until_s) {
    }
    return NULL;
}

/* Two threads that must share one core wait for it half of the time. */
static void the_time_that_threads_wait_for_a_core_is_seen(void **state)
{
    (void)state;
    if (tr_threads_waited_s() == 0) /* this thread alone has waited some microseconds since it began */
        skip();
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    int core = 0;
    while (!CPU_ISSET(core, &before))
        core++;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    const double begin_s = tr_threads_waited_s(), until_s = tr_clock_s() + .3;
    pthread_t other;
    assert_int_equal(tr_thread_start(&other, spin, (void *)&until_s), 0);
    spin((void *)&until_s);
    const double waited_s = tr_threads_waited_s() - begin_s; /* the other may have ended: its own waiting is gone then */
    pthread_join(other, NULL);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_true(waited_s > .05);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_changes_while_every_thread_has_its_core),
        cmocka_unit_test(a_core_that_is_missed_once_may_be_chance),
        cmocka_unit_test(one_core_that_is_missed_is_one_thread_less_and_three_are_three),
        cmocka_unit_test(one_more_is_tried_more_and_more_seldom),
        cmocka_unit_test(all_threads_come_back_one_after_the_other),
        cmocka_unit_test(omp_dynamic_false_keeps_the_number_that_is_wanted),
        cmocka_unit_test(the_time_that_threads_wait_for_a_core_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
