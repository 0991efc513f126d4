/* Charts: well-formed SVG whatever the values, thinned, with sensible ticks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/chart.h"

static int occurrences(const char *text, const char *word)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word))
        n++;
    return n;
}

static void ticks_are_1_2_or_5_times_a_power_of_ten(void **state)
{
    (void)state;
    assert_true(fabs(tr_chart_tick(10.0, 5) - 2.0) < 1e-12);
    assert_true(fabs(tr_chart_tick(0.7, 5) - 0.2) < 1e-12);
    assert_true(fabs(tr_chart_tick(4e6, 5) - 1e6) < 1e-3);
    assert_true(fabs(tr_chart_tick(1e-9, 1) - 1e-9) < 1e-20);
    assert_true(tr_chart_tick(0.0, 5) == 1.0 && tr_chart_tick((double)NAN, 5) == 1.0);
}

static void a_long_series_is_thinned_and_a_gap_stays_a_gap(void **state)
{
    (void)state;
    enum { N = 100000 };
    double *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    assert_non_null(x);
    assert_non_null(y);
    for (int i = 0; i < N; i++) {
        x[i] = i;
        y[i] = i > N / 2 && i < N / 2 + 2000 ? (double)NAN : sin(i * 1e-3);
    }
    struct tr_text out = {0};
    struct tr_series s = {.name = "a<b", .x = x, .y = y, .count = N};
    tr_chart_lines(
        &out, &(struct tr_chart){.title = "T & t", .x_label = "step", .y_label = "", .series = &s, .series_count = 1});
    const char *html = tr_text_str(&out);
    assert_true(out.len < 20000);
    assert_non_null(strstr(html, "<figcaption>T &amp; t"));
    assert_non_null(strstr(html, "aria-label=\"T &amp; t\"")); /* for those who cannot see it */
    const char *path = strstr(html, " d=\"M");
    assert_non_null(path);
    int moves = 0, lines = 0;
    for (const char *at = path + 4; *at != '"'; at++) {
        moves += *at == 'M';
        lines += *at == 'L';
    }
    assert_int_equal(moves, 2);
    assert_true(lines <= TR_CHART_POINTS && lines > TR_CHART_POINTS - 30);
    assert_null(strstr(html, "nan"));
    tr_text_free(&out);
    free(x);
    free(y);
}

static void values_that_are_all_equal_or_absent_still_make_a_chart(void **state)
{
    (void)state;
    const double x[3] = {1, 2, 3}, same[3] = {7, 7, 7}, none[3] = {(double)NAN, INFINITY, (double)NAN};
    struct tr_text out = {0};
    struct tr_series s[2] = {{.name = "same", .x = x, .y = same, .count = 3, .points = true},
                             {.name = "none", .x = x, .y = none, .count = 3}};
    tr_chart_lines(&out, &(struct tr_chart){.title = "", .x_label = "", .y_label = "", .series = s, .series_count = 2});
    assert_int_equal(occurrences(tr_text_str(&out), "<circle"), 3);
    assert_int_equal(occurrences(tr_text_str(&out), "class=\"legend\""), 1);
    assert_null(strstr(tr_text_str(&out), "nan"));
    assert_null(strstr(tr_text_str(&out), "inf"));
    tr_text_clear(&out);
    tr_chart_lines(&out,
                   &(struct tr_chart){.title = "", .x_label = "", .y_label = "", .series = s + 1, .series_count = 1});
    assert_non_null(strstr(tr_text_str(&out), "no values"));
    tr_text_free(&out);
}

/* The percentages of the widths of elements of a class, in order. */
static int widths(const char *html, const char *class, double *width, int max)
{
    int n = 0;
    for (const char *at = html; n < max && (at = strstr(at, class)) != NULL; at += strlen(class)) {
        const char *style = strstr(at, "width:");
        assert_non_null(style);
        width[n++] = strtod(style + 6, NULL);
    }
    return n;
}

static void bars_are_as_long_as_their_values(void **state)
{
    (void)state;
    struct tr_text out = {0};
    const struct tr_bar bars[] = {{"all", 10.0, "10 s"}, {"half", 5.0, NULL}, {"zero", 0.0, NULL}};
    double width[3];
    tr_chart_bars(&out, "Time", bars, 3);
    assert_int_equal(widths(tr_text_str(&out), "class=\"bar\"", width, 3), 3);
    assert_true(width[0] == 100.0 && width[1] == 50.0 && width[2] == 0.0);
    tr_text_free(&out);
}

static void pairs_are_to_one_scale_with_the_interval_of_what_was_expected(void **state)
{
    (void)state;
    struct tr_text out = {0};
    const struct tr_pair pair[] = {{"a<b", 8.0, .25, 9.0, "+12.5 %"}, {"new", 2.0, (double)NAN, 4.0, NULL}};
    double expected[2], found[2], whisker[2];
    tr_chart_pairs(&out, &(struct tr_pairs){.title = "T", .expected = "predicted", .found = "measured", .pair = pair, .count = 2});
    const char *html = tr_text_str(&out);
    assert_int_equal(widths(html, "class=\"b0\" style", expected, 2), 2);
    assert_int_equal(widths(html, "class=\"b1\" style", found, 2), 2);
    assert_int_equal(widths(html, "class=\"whisker\"", whisker, 2), 1); /* none where the error is not known */
    assert_true(expected[0] == 80.0 && expected[1] == 20.0 && found[0] == 90.0 && found[1] == 40.0); /* 10 = 8 + 25 % is all */
    assert_true(whisker[0] == 40.0);
    assert_non_null(strstr(html, "left:60.00%"));
    assert_non_null(strstr(html, "a&lt;b"));
    tr_text_free(&out);
}

static void what_was_expected_of_a_curve_is_in_its_frame(void **state)
{
    (void)state;
    const double x[2] = {1, 2}, y[2] = {5, 5};
    const struct tr_series s = {.name = "s", .x = x, .y = y, .count = 2};
    const struct tr_band band = {.low = 8, .middle = 10, .high = 12, .name = "predicted <"};
    struct tr_text out = {0};
    double top = -1, height = -1;
    tr_chart_lines(&out, &(struct tr_chart){.title = "", .x_label = "", .y_label = "", .series = &s, .series_count = 1,
                                            .from_zero = true, .band = &band});
    assert_non_null(strstr(tr_text_str(&out), "<i class=\"band\"></i>predicted &lt;</span></div>")); /* where no curve is */
    const char *at = strstr(tr_text_str(&out), "<rect class=\"band\"");
    assert_non_null(at);
    assert_int_equal(sscanf(strstr(at, " y="), " y=\"%lf\" height=\"%lf", &top, &height), 2);
    assert_true(top >= 0 && fabs(height / (208 - top - height) - .5) < .01); /* 4 of the interval above 8 */
    tr_text_free(&out);
}

static const char *print_plain(char buf[32], double value)
{
    snprintf(buf, 32, "%.1f", value);
    return buf;
}

static void stacks_are_to_one_scale_with_the_limit_across(void **state)
{
    (void)state;
    const char *const names[] = {"a<", "b"};
    const double one[] = {1, 3}, two[] = {0, 2};
    const struct tr_stack_row rows[] = {{"first", one, "4"}, {"second", two, NULL}};
    struct tr_text out = {0};
    tr_chart_stacks(&out, &(struct tr_stacks){.title = "T", .names = names, .part_count = 2, .rows = rows, .row_count = 2,
                                              .limit = 8, .limit_name = "8 <", .error = .5, .print = print_plain});
    const char *html = tr_text_str(&out);
    double wide[2] = {0}, narrow = 0, interval[2] = {0};
    assert_int_equal(widths(html, "class=\"b0\" style", &narrow, 1), 1); /* parts of no width are not drawn */
    assert_int_equal(widths(html, "class=\"b1\" style", wide, 2), 2);
    assert_true(narrow == 12.5 && wide[0] == 37.5 && wide[1] == 25.0);
    assert_int_equal(occurrences(html, "class=\"limit\" style=\"left:100.00%"), 2);
    assert_non_null(strstr(html, "title=\"a&lt;: 1.0\""));
    assert_non_null(strstr(html, "<b style=\"right:0.00%\">8\u00a0&lt;</b>")); /* where the limit is */
    assert_int_equal(widths(html, "class=\"whisker\"", interval, 2), 2);
    assert_true(interval[0] == 50.0 && interval[1] == 25.0); /* 4 and 2, half of it to either side */
    tr_text_free(&out);
}

static void a_timeline_draws_what_lies_in_its_window(void **state)
{
    (void)state;
    const char *const rows[] = {"r0", "r1"}, *const colors[] = {"forward", NULL, "backward"};
    const struct tr_span_of spans[] = {{.row = 0, .color = 0, .begin = 0, .end = 1},
                                       {.row = 1, .color = 0, .begin = 2, .end = 3},
                                       {.row = 1, .color = 2, .begin = 8, .end = 12},
                                       {.row = 0, .color = 2, .begin = 20, .end = 30},
                                       {.row = 0, .color = 2, .begin = 4, .end = 5, .low = .5, .high = 1, .faint = true}};
    struct tr_text out = {0};
    tr_chart_timeline(&out, &(struct tr_timeline){.title = "T", .unit = "ms", .begin = 0, .end = 10, .scale = 1e3,
                                                  .row_names = rows, .row_count = 2, .color_names = colors, .color_count = 3,
                                                  .spans = spans, .span_count = 5, .note = "1 ms <"});
    const char *html = tr_text_str(&out);
    assert_int_equal(occurrences(html, "<path"), 3); /* one a colour, and what is faint */
    assert_int_equal(occurrences(html, "<i class=\"b"), 2); /* the colour without a name is not in the legend */
    assert_int_equal(occurrences(html, "v14h-"), 3); /* the last span is outside */
    assert_int_equal(occurrences(html, "M400.0 3h99.4v7h-"), 1); /* the upper half of its row */
    assert_non_null(strstr(html, "class=\"f2 faint\""));
    assert_non_null(strstr(html, ">10000</text>"));
    assert_non_null(strstr(html, "<p class=\"none\">1\u00a0ms &lt;</p>"));
    tr_text_free(&out);
}

static void a_roof_has_a_dot_for_each_point_that_is_positive(void **state)
{
    (void)state;
    const struct tr_roof_point points[] = {{"a<b", 100.0, 2e11, 0.5},  {"near", 101.0, 2e11, 0.5},
                                           {"low", 0.01, 1e8, 0.0},    {"none", 0.0, 1e9, 0.5},
                                           {"odd", (double)NAN, 1e9, 0.5}, {"far", 1e300, (double)INFINITY, 0.5}};
    struct tr_roof roof = {.title = "T & t", .x_label = "x", .y_label = "y", .slope = 5e10, .flat = 4e11,
                           .slope_label = "slow", .flat_label = "fast", .points = points, .count = 6};
    struct tr_text out = {0};
    tr_chart_roof(&out, &roof);
    const char *html = tr_text_str(&out);
    assert_int_equal(occurrences(html, "<circle"), 3);
    assert_int_equal(occurrences(html, "<path"), 1);
    assert_non_null(strstr(html, "a&lt;b"));
    assert_null(strstr(html, "nan"));
    assert_null(strstr(html, "inf"));
    assert_null(strstr(html, "lower"));
    tr_text_free(&out);
    roof.lower_flat = 2e11, roof.lower_label = "lower<";
    tr_chart_roof(&out, &roof);
    assert_non_null(strstr(tr_text_str(&out), "lower&lt;</text>"));
    tr_text_free(&out);
    roof.count = 0;
    tr_chart_roof(&out, &roof);
    roof.count = 6;
    roof.slope = 0.0;
    tr_chart_roof(&out, &roof);
    roof.slope = 1e-300, roof.flat = 1e308; /* their ridge is no number */
    tr_chart_roof(&out, &roof);
    assert_int_equal(out.len, 0);
    tr_text_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_are_1_2_or_5_times_a_power_of_ten),
        cmocka_unit_test(a_long_series_is_thinned_and_a_gap_stays_a_gap),
        cmocka_unit_test(values_that_are_all_equal_or_absent_still_make_a_chart),
        cmocka_unit_test(bars_are_as_long_as_their_values),
        cmocka_unit_test(pairs_are_to_one_scale_with_the_interval_of_what_was_expected),
        cmocka_unit_test(what_was_expected_of_a_curve_is_in_its_frame),
        cmocka_unit_test(stacks_are_to_one_scale_with_the_limit_across),
        cmocka_unit_test(a_timeline_draws_what_lies_in_its_window),
        cmocka_unit_test(a_roof_has_a_dot_for_each_point_that_is_positive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
