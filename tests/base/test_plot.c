/* base/plot: curves in a terminal. */
#include "base/plot.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void must_plot(const double *x, const double *y, int64_t count, int columns, int rows, const char *expected)
{
    struct tr_text text = {0};
    tr_plot_curve(x, y, count, columns, rows, &text);
    assert_string_equal(tr_text_str(&text), expected);
    tr_text_free(&text);
}

static void a_falling_line_falls_from_the_upper_left_to_the_lower_right(void **state)
{
    (void)state;
    const double x[] = {0, 1, 2, 3, 4, 5, 6, 7}, y[] = {7, 6, 5, 4, 3, 2, 1, 0};
    must_plot(x, y, 8, 4, 2, "7 ⠑⢄\n0   ⠑⢄\n  0  7\n");
}

static void columns_without_a_value_are_bridged(void **state)
{
    (void)state;
    const double x[] = {0, 7}, y[] = {7, 0};
    must_plot(x, y, 2, 4, 2, "7 ⠑⢄\n0   ⠑⢄\n  0  7\n");
}

static void a_column_shows_the_range_of_its_values(void **state)
{
    (void)state;
    const double x[] = {0, 0, 1, 1}, y[] = {0, 7, 0, 7};
    must_plot(x, y, 4, 1, 2, "7 ⣿\n0 ⣿\n  01\n");
}

static void values_that_are_not_finite_or_nearly_so_are_left_out(void **state)
{
    (void)state;
    const double x[] = {0, 1, 2, 3, 4, 5, 6, 7}, y[] = {7, NAN, INFINITY, -INFINITY, 1e308, -1e308, 1, 0};
    must_plot(x, y, 8, 4, 2, "7 ⠑⢄\n0   ⠑⢄\n  0  7\n");
    must_plot(x, y + 1, 5, 4, 2, "");
    must_plot(x, y, 0, 4, 2, "");
}

static void one_value_is_a_dot_and_equal_ones_a_line(void **state)
{
    (void)state;
    const double x[] = {3, 4, 5, 6}, y[] = {2.5, 2.5, 2.5, 2.5};
    must_plot(x, y, 1, 3, 2, "2.5\n2.5 ⡀\n    3 3\n");
    must_plot(x, y, 4, 2, 2, "2.5\n2.5 ⣀⣀\n    36\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_falling_line_falls_from_the_upper_left_to_the_lower_right),
        cmocka_unit_test(columns_without_a_value_are_bridged),
        cmocka_unit_test(a_column_shows_the_range_of_its_values),
        cmocka_unit_test(values_that_are_not_finite_or_nearly_so_are_left_out),
        cmocka_unit_test(one_value_is_a_dot_and_equal_ones_a_line),
    };
    return cmocka_run_group_tests_name("base/plot", tests, NULL, NULL);
}
