#include "base/progress.h"
#include "base/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_table_lines_up_its_columns(void **state)
{
    (void)state;
    struct tr_table table = {0};
    struct tr_text text = {0};
    tr_table_column(&table, "layer", TR_LEFT);
    tr_table_column(&table, "ms", TR_RIGHT);
    tr_table_column(&table, "note", TR_LEFT);
    tr_table_cell(&table, "attention");
    tr_table_cell(&table, "%.2f", 1.25);
    tr_table_cell(&table, "%s", "");
    tr_table_cell(&table, "na\xc3\xafve\n");
    tr_table_cell(&table, "%.2f", 100.5);
    tr_table_cell(&table, "x");
    tr_table_rule(&table);
    tr_table_cell(&table, "all");
    tr_table_cell(&table, "%s", "");
    tr_table_cell(&table, "y");
    tr_table_text(&table, &text);
    assert_string_equal(tr_text_str(&text), "layer          ms  note\n"
                                            "---------  ------  ----\n"
                                            "attention    1.25\n"
                                            "na\xc3\xafve      100.50  x\n"
                                            "---------  ------  ----\n"
                                            "all                y\n");
    tr_text_free(&text);
    tr_table_free(&table);
}

static void a_table_without_rows_is_its_header(void **state)
{
    (void)state;
    struct tr_table table = {0};
    struct tr_text text = {0};
    tr_table_column(&table, "a", TR_RIGHT);
    tr_table_text(&table, &text);
    assert_string_equal(tr_text_str(&text), "a\n-\n");
    tr_text_free(&text);
    tr_table_free(&table);
}

/* A bar as if on a terminal of so many columns, started at second 0. */
static struct tr_progress made_up_bar(int64_t total, int columns)
{
    struct tr_progress bar;
    tr_progress_start(&bar, NULL, "train", "step", total);
    bar.terminal = columns > 0;
    bar.columns = columns;
    bar.start_s = bar.mark_s = 0;
    return bar;
}

static void the_line_shows_share_rate_and_time_left(void **state)
{
    (void)state;
    struct tr_progress bar = made_up_bar(500, 200);
    char line[TR_PROGRESS_LINE_BYTES];
    tr_progress_line(&bar, 0, line);
    assert_string_equal(line, "train  0/500 step   0% [>                   ]  00:00");
    tr_progress_advance(&bar, 250, 10);
    strcpy(bar.extra, "loss 1.5");
    tr_progress_line(&bar, 10, line);
    assert_string_equal(line, "train  250/500 step  50% [==========>         ]  25.0 step/s  ETA 00:10  loss 1.5");
    tr_progress_advance(&bar, 500, 14);
    tr_progress_line(&bar, 14, line);
    assert_string_equal(line, "train  500/500 step 100% [====================]  35.7 step/s  00:14  loss 1.5");
}

static void on_a_narrow_terminal_the_rate_and_the_bar_give_way_to_what_is_said_of_the_job(void **state)
{
    (void)state;
    struct tr_progress bar = made_up_bar(850, 80);
    char line[TR_PROGRESS_LINE_BYTES];
    tr_progress_advance(&bar, 420, 60);
    strcpy(bar.extra, "loss 1.3761  28.84 k tok/s  MFU 48.8%");
    tr_progress_line(&bar, 60, line);
    assert_string_equal(line, "train  420/850  49% [===>   ]  ETA 01:01  loss 1.3761  28.84 k tok/s  MFU 48.8%");
    assert_int_equal(strlen(line), 79);
    bar.columns = 76; /* no room for a bar worth the name */
    tr_progress_line(&bar, 60, line);
    assert_string_equal(line, "train  420/850  49%  ETA 01:01  loss 1.3761  28.84 k tok/s  MFU 48.8%");
}

static void the_line_is_cut_to_the_terminal_between_characters(void **state)
{
    (void)state;
    struct tr_progress bar = made_up_bar(0, 30);
    char line[TR_PROGRESS_LINE_BYTES];
    strcpy(bar.extra, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9");
    tr_progress_line(&bar, 5, line);
    assert_string_equal(line, "train  0 step  00:05  \xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9");
}

static void a_terminal_is_redrawn_at_most_ten_times_a_second(void **state)
{
    (void)state;
    struct tr_progress bar = made_up_bar(100000, 80);
    int drawn = 0;
    for (int i = 0; i < 10000; i++) /* ten seconds at 1000 updates a second */
        drawn += tr_progress_advance(&bar, i, i * 0.001);
    assert_true(drawn >= 90 && drawn <= 101);
}

static void a_log_gets_a_handful_of_lines_and_then_one_a_minute(void **state)
{
    (void)state;
    struct tr_progress bar = made_up_bar(100000, 0);
    double when[20];
    int drawn = 0;
    for (int i = 0; i < 2500; i++) /* 250 seconds */
        if (tr_progress_advance(&bar, i, i * 0.1) && drawn < 20)
            when[drawn++] = i * 0.1;
    const double expected[] = {1, 2, 5, 10, 20, 60, 120, 180, 240};
    assert_int_equal(drawn, 9);
    for (int i = 0; i < 9; i++)
        assert_true(when[i] >= expected[i] && when[i] < expected[i] + 0.15);
}

static void the_rate_follows_a_change_and_ignores_what_a_resumed_run_had_done(void **state)
{
    (void)state;
    struct tr_progress bar = made_up_bar(100000, 80);
    tr_progress_resume(&bar, 5000);
    int64_t done = 5000;
    for (int second = 1; second <= 30; second++)
        tr_progress_advance(&bar, done += 10, second);
    assert_true(bar.rate > 9.9 && bar.rate < 10.1);
    for (int second = 31; second <= 100; second++)
        tr_progress_advance(&bar, done += 20, second);
    assert_true(bar.rate > 19.5 && bar.rate <= 20);
    tr_progress_advance(&bar, done += 20, 101.5); /* a short pause moves it a little only */
    assert_true(bar.rate > 18.5);
}

static void the_end_is_always_drawn_and_notes_stand_on_their_own_lines(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    struct tr_progress bar;
    tr_progress_start(&bar, out, "load", "file", 3);
    for (int i = 0; i <= 3; i++)
        tr_progress_update(&bar, i, "name %d", i);
    tr_progress_note(&bar, "half way");
    tr_progress_end(&bar);
    tr_progress_end(&bar); /* again: nothing */
    fclose(out);
    assert_memory_equal(text, "half way\nload  3/3 file 100%", 28);
    assert_string_equal(text + len - 8, " name 3\n");
    free(text);
}

static void a_silent_bar_says_nothing(void **state)
{
    (void)state;
    struct tr_progress bar;
    tr_progress_start(&bar, NULL, "load", "file", 3);
    tr_progress_update(&bar, 1, "x");
    tr_progress_note(&bar, "y");
    tr_progress_end(&bar);
    assert_int_equal(bar.drawn, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_lines_up_its_columns),
        cmocka_unit_test(a_table_without_rows_is_its_header),
        cmocka_unit_test(the_line_shows_share_rate_and_time_left),
        cmocka_unit_test(on_a_narrow_terminal_the_rate_and_the_bar_give_way_to_what_is_said_of_the_job),
        cmocka_unit_test(the_line_is_cut_to_the_terminal_between_characters),
        cmocka_unit_test(a_terminal_is_redrawn_at_most_ten_times_a_second),
        cmocka_unit_test(a_log_gets_a_handful_of_lines_and_then_one_a_minute),
        cmocka_unit_test(the_rate_follows_a_change_and_ignores_what_a_resumed_run_had_done),
        cmocka_unit_test(the_end_is_always_drawn_and_notes_stand_on_their_own_lines),
        cmocka_unit_test(a_silent_bar_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
