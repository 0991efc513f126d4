/* lab/train/schedule: the learning rate of each step. */
#include "lab/train/schedule.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void close_to(double got, double expected)
{
    if (!(fabs(got - expected) <= 1e-15 * fabs(expected)))
        fail_msg("got %.17g, expected %.17g", got, expected);
}

static void warm_up_rises_to_the_highest_rate_in_equal_steps(void **state)
{
    (void)state;
    struct tr_schedule s = {.kind = TR_SCHEDULE_COSINE, .lr = 0.5, .min_ratio = 0.1, .warmup = 4, .steps = 20};
    for (int64_t step = 0; step < 4; step++)
        close_to(tr_schedule_lr(&s, step), 0.5 * (double)(step + 1) / 4);
    close_to(tr_schedule_lr(&s, 4), 0.5);
}

static void cosine_falls_along_half_a_wave_to_the_lowest_rate(void **state)
{
    (void)state;
    struct tr_schedule s = {.kind = TR_SCHEDULE_COSINE, .lr = 2, .min_ratio = 0.25, .warmup = 0, .steps = 100};
    for (int64_t step = 0; step < 100; step++)
        close_to(tr_schedule_lr(&s, step), 2 * (0.25 + 0.75 * 0.5 * (1 + cos(acos(-1) * (double)step / 100))));
    close_to(tr_schedule_lr(&s, 50), 2 * (0.25 + 0.375));
    close_to(tr_schedule_lr(&s, 100), 0.5);
    close_to(tr_schedule_lr(&s, 1000000), 0.5);
}

static void wsd_stays_and_then_falls_in_a_line(void **state)
{
    (void)state;
    struct tr_schedule s = {.kind = TR_SCHEDULE_WSD, .lr = 1, .min_ratio = 0.2, .warmup = 2, .decay_steps = 4,
                            .steps = 10};
    const double expected[] = {0.5, 1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0.2};
    for (int64_t step = 0; step < 12; step++)
        close_to(tr_schedule_lr(&s, step), expected[step]);
}

static void constant_stays(void **state)
{
    (void)state;
    struct tr_schedule s = {.kind = TR_SCHEDULE_CONSTANT, .lr = 0.125, .steps = 10};
    for (int64_t step = 0; step < 30; step++)
        assert_true(tr_schedule_lr(&s, step) == 0.125);
}

static void extremes_divide_by_nothing(void **state)
{
    (void)state;
    for (int kind = TR_SCHEDULE_COSINE; kind <= TR_SCHEDULE_CONSTANT; kind++) {
        struct tr_schedule all_warm = {.kind = kind, .lr = 1, .warmup = 3, .decay_steps = 3, .steps = 3};
        struct tr_schedule one = {.kind = kind, .lr = 1, .min_ratio = 0, .decay_steps = 0, .steps = 1};
        for (int64_t step = 0; step < 5; step++) {
            assert_true(isfinite(tr_schedule_lr(&all_warm, step)));
            assert_true(isfinite(tr_schedule_lr(&one, step)));
        }
        assert_true(tr_schedule_lr(&one, 0) == 1);
    }
}

/* The bits reach the weights, so they are written down: a change here changes every hash. */
static void the_bits_are_these(void **state)
{
    (void)state;
    struct tr_schedule s = {.kind = TR_SCHEDULE_COSINE, .lr = 0.001, .min_ratio = 0.1, .warmup = 10, .steps = 1000};
    assert_true(tr_schedule_lr(&s, 0) == 0x1.a36e2eb1c432dp-14);
    assert_true(tr_schedule_lr(&s, 333) == 0x1.9ad515db24e77p-11);
    assert_true(tr_schedule_lr(&s, 777) == 0x1.b44f9ab3ab4a8p-13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warm_up_rises_to_the_highest_rate_in_equal_steps),
        cmocka_unit_test(cosine_falls_along_half_a_wave_to_the_lowest_rate),
        cmocka_unit_test(wsd_stays_and_then_falls_in_a_line),
        cmocka_unit_test(constant_stays),
        cmocka_unit_test(extremes_divide_by_nothing),
        cmocka_unit_test(the_bits_are_these),
    };
    return cmocka_run_group_tests_name("lab/train/schedule", tests, NULL, NULL);
}
