#include "base/err.h"
#include "base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void a_failure_returns_its_status_and_writes_the_sentence(void **state)
{
    (void)state;
    struct tr_err err;
    assert_int_equal(tr_fail(&err, TR_BAD_INPUT, "%s: %d bytes", "a.txt", 7), TR_BAD_INPUT);
    assert_string_equal(err.text, "a.txt: 7 bytes");
}

static void the_old_sentence_may_be_part_of_the_new_one(void **state)
{
    (void)state;
    struct tr_err err;
    tr_fail(&err, TR_FAILED, "no space");
    tr_fail(&err, TR_FAILED, "run 3: %s", err.text);
    assert_string_equal(err.text, "run 3: no space");
}

static void a_prefix_stands_in_front(void **state)
{
    (void)state;
    struct tr_err err;
    tr_fail(&err, TR_FAILED, "no space");
    tr_err_prefix(&err, "step %d", 12);
    assert_string_equal(err.text, "step 12: no space");
}

static void a_sentence_that_is_too_long_ends_with_three_points(void **state)
{
    (void)state;
    char longer[3 * TR_ERR_BYTES];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    struct tr_err err;
    tr_fail(&err, TR_FAILED, "%s", longer);
    assert_int_equal(strlen(err.text), TR_ERR_BYTES - 1);
    assert_string_equal(err.text + TR_ERR_BYTES - 5, "x...");

    longer[TR_ERR_BYTES - 1] = 0; /* fits to the byte: not cut */
    tr_fail(&err, TR_FAILED, "%s", longer);
    assert_string_equal(err.text, longer);

    tr_err_prefix(&err, "p");
    assert_int_equal(strlen(err.text), TR_ERR_BYTES - 1);
    assert_string_equal(err.text + TR_ERR_BYTES - 5, "x...");
    assert_memory_equal(err.text, "p: x", 4);
}

static void newlines_and_escape_sequences_in_values_are_blanked(void **state)
{
    (void)state;
    struct tr_err err;
    tr_fail(&err, TR_BAD_INPUT, "got \"%s\"", "a\nb\x1b[31m\x7f");
    assert_string_equal(err.text, "got \"a b [31m \"");
}

static void a_broken_assertion_kills_the_program_by_abort(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(2);
        TR_ASSERT(1 + 1 == 3);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == 6);
}

static void sums_and_products_that_do_not_fit_are_refused_and_leave_the_result_alone(void **state)
{
    (void)state;
    int64_t out = 7;
    assert_false(tr_add_i64(INT64_MAX, 1, &out));
    assert_false(tr_add_i64(INT64_MIN, -1, &out));
    assert_false(tr_mul_i64(INT64_MAX / 2 + 1, 2, &out));
    assert_false(tr_mul_i64(INT64_MIN, -1, &out));
    assert_int_equal(out, 7);
    assert_true(tr_add_i64(INT64_MAX - 1, 1, &out));
    assert_true(out == INT64_MAX);
    assert_true(tr_mul_i64(1 << 20, 1 << 20, &out));
    assert_true(out == (int64_t)1 << 40);
}

static void rounding_up_reaches_the_next_multiple(void **state)
{
    (void)state;
    assert_int_equal(tr_ceil_div(0, 4), 0);
    assert_int_equal(tr_ceil_div(1, 4), 1);
    assert_int_equal(tr_ceil_div(4, 4), 1);
    assert_int_equal(tr_round_up(65, 64), 128);
    assert_int_equal(tr_round_up(64, 64), 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_returns_its_status_and_writes_the_sentence),
        cmocka_unit_test(the_old_sentence_may_be_part_of_the_new_one),
        cmocka_unit_test(a_prefix_stands_in_front),
        cmocka_unit_test(a_sentence_that_is_too_long_ends_with_three_points),
        cmocka_unit_test(newlines_and_escape_sequences_in_values_are_blanked),
        cmocka_unit_test(a_broken_assertion_kills_the_program_by_abort),
        cmocka_unit_test(sums_and_products_that_do_not_fit_are_refused_and_leave_the_result_alone),
        cmocka_unit_test(rounding_up_reaches_the_next_multiple),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
