#include "base/csv.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static enum tr_status parse(const char *text, struct tr_csv *csv, struct tr_err *err)
{
    return tr_csv_parse("t.csv", text, strlen(text), csv, err);
}

static void cells_may_hold_commas_quotes_and_line_breaks(void **state)
{
    struct tr_csv csv;
    struct tr_err err = {""};
    (void)state;
    assert_int_equal(parse("\xEF\xBB\xBF" "a,b\r\n1,\"x, \"\"y\"\"\nz\"\r\n\r\n,3", &csv, &err), TR_OK);
    assert_int_equal(csv.rows, 2);
    assert_int_equal(csv.columns, 2);
    assert_int_equal(tr_csv_column(&csv, "b"), 1);
    assert_int_equal(tr_csv_column(&csv, "c"), -1);
    assert_int_equal(tr_csv_column(&csv, "a"), 0);
    assert_string_equal(tr_csv_cell(&csv, 0, 0), "1");
    assert_string_equal(tr_csv_cell(&csv, 0, 1), "x, \"y\"\nz");
    assert_string_equal(tr_csv_cell(&csv, 1, 0), "");
    assert_string_equal(tr_csv_cell(&csv, 1, 1), "3");
    assert_int_equal(csv.line[0], 2);
    assert_int_equal(csv.line[1], 5);
    tr_csv_free(&csv);
}

static void a_table_that_is_broken_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "empty table"},         {"\n\n", "empty table"},        {"a,b\n1\n", "t.csv:2: 1 cells"},
        {"a,b\n1,2,3\n", "t.csv:2"}, {"a,b\n\n1,\"2\n", "t.csv:4"},  {"a,a\n", "two columns"},
        {"a\nx\"y\n", "t.csv:2"},    {"a\n\"x\"y\n", "closing quote"}, {"a\nx\ry\n", "carriage return"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_csv csv;
        struct tr_err err = {""};
        assert_int_equal(parse(cases[i].text, &csv, &err), TR_BAD_INPUT);
        if (!strstr(err.text, cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].says);
    }
}

static void what_is_appended_reads_back(void **state)
{
    struct tr_text text = {0};
    struct tr_csv csv;
    struct tr_err err = {""};
    (void)state;
    tr_text_append(&text, "a,b\n");
    tr_csv_append(&text, "x,\"y\"\n");
    tr_text_char(&text, ',');
    tr_csv_append(&text, "plain");
    assert_int_equal(parse(tr_text_str(&text), &csv, &err), TR_OK);
    assert_string_equal(tr_csv_cell(&csv, 0, 0), "x,\"y\"\n");
    assert_string_equal(tr_csv_cell(&csv, 0, 1), "plain");
    tr_csv_free(&csv);
    tr_text_clear(&text);
    tr_csv_append(&text, "\xEF\xBB\xBFname"); /* else it would be taken for the mark of the file */
    assert_int_equal(parse(tr_text_str(&text), &csv, &err), TR_OK);
    assert_int_equal(tr_csv_column(&csv, "\xEF\xBB\xBFname"), 0);
    tr_csv_free(&csv);
    tr_text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_may_hold_commas_quotes_and_line_breaks),
        cmocka_unit_test(a_table_that_is_broken_is_refused_with_its_line),
        cmocka_unit_test(what_is_appended_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
