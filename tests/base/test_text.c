#include "base/json.h"
#include "base/text.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void an_empty_text_reads_as_the_empty_string(void **state)
{
    (void)state;
    struct tr_text text = {0};
    struct tr_err err;
    assert_string_equal(tr_text_str(&text), "");
    tr_text_append(&text, "");
    assert_string_equal(tr_text_str(&text), "");
    assert_false(tr_text_failed(&text, &err));
    tr_text_free(&text);
}

static void what_is_appended_stands_there_in_order(void **state)
{
    (void)state;
    struct tr_text text = {0};
    for (int i = 0; i < 1000; i++)
        tr_text_printf(&text, "%d,", i);
    tr_text_char(&text, '!');
    tr_text_fill(&text, '-', 3);
    assert_int_equal(text.len, 10 * 2 + 90 * 3 + 900 * 4 + 4);
    assert_int_equal(strlen(tr_text_str(&text)), text.len);
    assert_string_equal(tr_text_str(&text) + text.len - 8, "999,!---");
    tr_text_clear(&text);
    assert_string_equal(tr_text_str(&text), "");
    tr_text_free(&text);
}

static void growing_beyond_the_limit_sticks_and_is_told(void **state)
{
    (void)state;
    struct tr_text text = {0};
    struct tr_err err;
    tr_text_append(&text, "kept");
    tr_text_fill(&text, 'x', TR_TEXT_MAX_BYTES);
    tr_text_append(&text, "lost");
    assert_true(tr_text_failed(&text, &err));
    assert_string_equal(tr_text_str(&text), "kept");
    tr_text_fill(&text, 'x', SIZE_MAX);
    assert_string_equal(tr_text_str(&text), "kept");
    tr_text_free(&text);
}

static void html_has_no_live_characters_and_no_broken_utf8(void **state)
{
    (void)state;
    struct tr_text text = {0};
    tr_text_append_html(&text, "<a href=\"x\">'&\xff\xc3\xa9</a>");
    assert_string_equal(tr_text_str(&text), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;\xef\xbf\xbd\xc3\xa9&lt;/a&gt;");
    tr_text_free(&text);
}

static void a_number_and_its_unit_stay_on_one_line(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"6.4 s ± 16 % (80 % interval)", "6.4_s ±_16_% (80_% interval)"},
        {"layout tp8 pp4 mb3 sp zero1 is 0.14 % faster", "layout tp8 pp4 mb3 sp zero1 is 0.14_% faster"},
        {"-7.6 %, $15.98 a chip, 5,665 tokens.", "-7.6_%, $15.98_a chip, 5,665_tokens."},
        {"in 2 h 05 min. 3 ", "in 2_h_05_min. 3_"},
        {"39 min 31 s, a min 5", "39_min_31_s, a min 5"},
        {"7.2 days +- 16 %", "7.2_days ±_16_%"},
        {"v1.2 is, a. b", "v1.2 is, a. b"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tr_text text = {0}, expected = {0};
        for (const char *c = cases[i][1]; *c; c++)
            tr_text_append_bytes(&expected, *c == '_' ? "\u00a0" : c, *c == '_' ? 2 : 1);
        tr_text_append_words(&text, cases[i][0]);
        assert_string_equal(tr_text_str(&text), tr_text_str(&expected));
        tr_text_free(&expected);
        tr_text_free(&text);
    }
    struct tr_text text = {0};
    tr_text_append_words(&text, "<2 & 3>");
    assert_string_equal(tr_text_str(&text), "&lt;2 &amp; 3&gt;");
    tr_text_free(&text);
}

static void how_much_of_a_text_is_utf8_is_told_wherever_it_ends(void **state)
{
    (void)state;
    static const struct { const char *bytes; size_t count, good; } cases[] = {
        {"", 0, 0}, {"\xff", 1, 0}, {"abc", 3, 3}, {"abcdefgh\xff", 9, 8}, {"abcdefg\xc3\xa9", 9, 9},
        {"abcdefg\xc3", 8, 7}, {"\xf0\x9f\x98\x80\xf0\x9f\x98", 7, 4}, {"a\0b\x80", 4, 3}, {"\xed\xa0\x80", 3, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(tr_utf8_prefix(cases[i].bytes, cases[i].count), cases[i].good);
    char long_one[40];
    memset(long_one, 'x', sizeof long_one);
    for (size_t at = 0; at < sizeof long_one; at++) {
        long_one[at] = (char)0x80;
        assert_int_equal(tr_utf8_prefix(long_one, sizeof long_one), at);
        long_one[at] = 'x';
    }
    assert_int_equal(tr_utf8_prefix(long_one, sizeof long_one), sizeof long_one);
}

static void utf8_is_told_from_what_only_looks_like_it(void **state)
{
    (void)state;
    assert_int_equal(tr_utf8_length("a", 1), 1);
    assert_int_equal(tr_utf8_length("\xc3\xa9", 2), 2);
    assert_int_equal(tr_utf8_length("\xe2\x82\xac", 3), 3);
    assert_int_equal(tr_utf8_length("\xf0\x9f\x98\x80", 4), 4);
    assert_int_equal(tr_utf8_length("\xc3", 1), 0);              /* cut */
    assert_int_equal(tr_utf8_length("\xc0\x80", 2), 0);          /* overlong */
    assert_int_equal(tr_utf8_length("\xe0\x80\x80", 3), 0);      /* overlong */
    assert_int_equal(tr_utf8_length("\xed\xa0\x80", 3), 0);      /* surrogate */
    assert_int_equal(tr_utf8_length("\xf4\x90\x80\x80", 4), 0);  /* beyond U+10FFFF */
    assert_int_equal(tr_utf8_length("\x80", 1), 0);
    assert_int_equal(tr_utf8_length("", 0), 0);
    assert_int_equal(tr_text_columns("na\xc3\xafve"), 5);
}

static void words_wrap_at_the_columns_given(void **state)
{
    (void)state;
    struct tr_text text = {0};
    tr_text_append_wrapped(&text, "one two three four", 0, 2, 10);
    assert_string_equal(tr_text_str(&text), "one two\n  three\n  four");
    tr_text_clear(&text);
    tr_text_append_wrapped(&text, "a\n\nb averylongword c", 0, 0, 6);
    assert_string_equal(tr_text_str(&text), "a\n\nb\naverylongword\nc");
    tr_text_free(&text);
}

static void the_nearest_name_is_found_and_far_ones_are_not_guessed(void **state)
{
    (void)state;
    const char *const names[] = {"steps", "batch-tokens", "learning-rate", "seed", "warmup-steps"};
    assert_int_equal(tr_nearest("step", names, 5), 0);
    assert_int_equal(tr_nearest("setps", names, 5), 0); /* a swap is one edit */
    assert_int_equal(tr_nearest("batch_tokens", names, 5), 1);
    assert_int_equal(tr_nearest("Learning-Rate", names, 5), 2);
    assert_int_equal(tr_nearest("lerning-rat", names, 5), 2);
    assert_int_equal(tr_nearest("learn", names, 5), 2); /* the beginning of one name only */
    assert_int_equal(tr_nearest("sead", names, 5), 3);
    assert_int_equal(tr_nearest("colour", names, 5), -1);
    assert_int_equal(tr_nearest("x", names, 5), -1);
    assert_int_equal(tr_nearest("", names, 5), -1);
    assert_int_equal(tr_nearest("steps", names, 0), -1);
    char longest[5000];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(tr_nearest(longest, names, 5), -1);
}

static void json_is_written_with_its_commas_and_escapes(void **state)
{
    (void)state;
    struct tr_text text = {0};
    struct tr_json json = tr_json_start(&text, TR_JSON_LINE);
    tr_json_object(&json, NULL);
    tr_json_int(&json, "step", -5);
    tr_json_string(&json, "te\"xt", "a\n\t\\\x01\xff");
    tr_json_bytes(&json, "cut", "ab\0c", 4);
    tr_json_array(&json, "list");
    tr_json_bool(&json, NULL, true);
    tr_json_null(&json, NULL);
    tr_json_object(&json, NULL);
    tr_json_end(&json);
    tr_json_end(&json);
    tr_json_double(&json, "nan", NAN);
    tr_json_double(&json, "inf", -INFINITY);
    tr_json_float(&json, "third", 1.0f / 3);
    tr_json_string(&json, "none", NULL);
    tr_json_raw(&json, "raw", "[1]");
    tr_json_end(&json);
    assert_string_equal(tr_text_str(&text),
                        "{\"step\":-5,\"te\\\"xt\":\"a\\n\\t\\\\\\u0001\xef\xbf\xbd\",\"cut\":\"ab\\u0000c\","
                        "\"list\":[true,null,{}],\"nan\":null,\"inf\":null,\"third\":0.33333334,\"none\":null,"
                        "\"raw\":[1]}");
    tr_text_free(&text);
}

static void pretty_json_indents_objects_and_keeps_short_arrays_on_a_line(void **state)
{
    (void)state;
    struct tr_text text = {0};
    struct tr_json json = tr_json_start(&text, TR_JSON_PRETTY);
    tr_json_object(&json, NULL);
    tr_json_array(&json, "shape");
    tr_json_int(&json, NULL, 2);
    tr_json_int(&json, NULL, 3);
    tr_json_end(&json);
    tr_json_object(&json, "empty");
    tr_json_end(&json);
    tr_json_array(&json, "runs");
    tr_json_object(&json, NULL);
    tr_json_bool(&json, "ok", false);
    tr_json_end(&json);
    tr_json_end(&json);
    tr_json_end(&json);
    assert_string_equal(tr_text_str(&text), "{\n  \"shape\": [2, 3],\n  \"empty\": {},\n  \"runs\": [\n    {\n"
                                            "      \"ok\": false\n    }\n  ]\n}");
    tr_text_free(&text);
}

static void a_double_is_written_with_the_fewest_digits_that_read_back(void **state)
{
    (void)state;
    char buf[32];
    assert_string_equal(tr_print_shortest(0.1, buf), "0.1");
    assert_string_equal(tr_print_shortest(1e300, buf), "1e+300");
    assert_string_equal(tr_print_shortest(-5000, buf), "-5000");
    assert_string_equal(tr_print_shortest(1e-7, buf), "1e-07");
    assert_string_equal(tr_print_shortest(-0.0, buf), "-0");
    assert_string_equal(tr_print_shortest(1.0 / 3, buf), "0.3333333333333333");
    assert_string_equal(tr_print_shortest(0.1 + 0.2, buf), "0.30000000000000004");
    assert_string_equal(tr_print_shortest(NAN, buf), "nan");
    uint64_t bits = 1;
    for (int i = 0; i < 20000; i++) {
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value))
            assert_true(strtod(tr_print_shortest(value, buf), NULL) == value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_text_reads_as_the_empty_string),
        cmocka_unit_test(what_is_appended_stands_there_in_order),
        cmocka_unit_test(growing_beyond_the_limit_sticks_and_is_told),
        cmocka_unit_test(html_has_no_live_characters_and_no_broken_utf8),
        cmocka_unit_test(a_number_and_its_unit_stay_on_one_line),
        cmocka_unit_test(how_much_of_a_text_is_utf8_is_told_wherever_it_ends),
        cmocka_unit_test(utf8_is_told_from_what_only_looks_like_it),
        cmocka_unit_test(words_wrap_at_the_columns_given),
        cmocka_unit_test(the_nearest_name_is_found_and_far_ones_are_not_guessed),
        cmocka_unit_test(json_is_written_with_its_commas_and_escapes),
        cmocka_unit_test(pretty_json_indents_objects_and_keeps_short_arrays_on_a_line),
        cmocka_unit_test(a_double_is_written_with_the_fewest_digits_that_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
