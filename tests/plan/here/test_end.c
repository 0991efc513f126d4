/* The end of a run, as it is predicted: what lies between steps, and how wrong all of it can be. */
#include "plan/here/here.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct tr_train_ahead ahead = {.steps = 10, .evaluations = 2, .saves = 5, .save_bytes = 2000000000};

static struct tr_train_predicted end_by(const struct tr_kernel_machine *machine)
{
    const struct tr_kernel_rates rates = {.machine = *machine};
    struct tr_train_predicted said = {.step_s = 1, .error = .1};
    tr_here_end(&rates, &ahead, 1.5, &said);
    return said;
}

static void near(double is, double wanted)
{
    if (!(fabs(is / wanted - 1) < 1e-9))
        fail_msg("%.12g instead of %.12g", is, wanted);
}

/* Steps and evaluations take 13 s and are wrong together; five checkpoints take 2.01 s each by a disk on which one of three equal files took
 * 1 / .64 of another. */
static void the_disk_has_an_interval_of_its_own(void **state)
{
    (void)state;
    const struct tr_kernel_machine disk = {.disk_byte_s = 1e9, .disk_sync_s = .01, .noise_disk = .36};
    const struct tr_train_predicted said = end_by(&disk);
    assert_int_equal(said.steps, 10);
    near(said.run_s, 23.05);
    near(said.run_error, hypot(13 * .1, 10.05 * .36 / .8) / 23.05);
}

static void a_disk_that_is_always_as_fast_makes_the_end_surer_than_a_step(void **state)
{
    (void)state;
    const struct tr_kernel_machine disk = {.disk_byte_s = 1e9, .disk_sync_s = .01};
    near(end_by(&disk).run_error, 1.3 / 23.05);
}

static void without_a_disk_the_end_is_as_sure_as_a_step(void **state)
{
    (void)state;
    const struct tr_kernel_machine none = {.disk_byte_s = 0};
    near(end_by(&none).run_s, 13);
    near(end_by(&none).run_error, .1);
}

static void what_became_of_a_time_is_said_with_its_interval(void **state)
{
    (void)state;
    char words[TR_MET_WORDS_BYTES];
    assert_string_equal(tr_here_met(2, .1, 2.1, words), "took 2.1 s, +5.0 %, inside the interval");
    assert_string_equal(tr_here_met(2, .1, 1.5, words), "took 1.5 s, -25.0 %, outside of the interval");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_disk_has_an_interval_of_its_own),
        cmocka_unit_test(a_disk_that_is_always_as_fast_makes_the_end_surer_than_a_step),
        cmocka_unit_test(without_a_disk_the_end_is_as_sure_as_a_step),
        cmocka_unit_test(what_became_of_a_time_is_said_with_its_interval),
    };
    return cmocka_run_group_tests_name("plan/end", tests, NULL, NULL);
}
