/* lab/token/utf8_stream: bytes become whole characters. */
#include "base/text.h"
#include "lab/token/utf8_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Pushes all bytes; every single output must be whole valid characters. */
static void push_all(const char *bytes, size_t count, struct tr_text *out)
{
    struct tr_utf8_stream stream = {0};
    char piece[TR_UTF8_OUT_BYTES];
    for (size_t i = 0; i <= count; i++) {
        int n = i < count ? tr_utf8_push(&stream, (uint8_t)bytes[i], piece) : tr_utf8_end(&stream, piece);
        assert_in_range(n, 0, 6);
        for (int at = 0; at < n;) {
            int length = tr_utf8_length(piece + at, (size_t)(n - at));
            assert_int_not_equal(length, 0);
            at += length;
        }
        tr_text_append_bytes(out, piece, (size_t)n);
    }
}

static void check(const char *bytes, size_t count, const char *expected)
{
    struct tr_text out = {0};
    push_all(bytes, count, &out);
    assert_string_equal(tr_text_str(&out), expected);
    tr_text_free(&out);
}

static void valid_text_comes_out_as_it_went_in(void **state)
{
    (void)state;
    const char *text = "Az \xc3\xa9 \xe2\x82\xac \xed\x9f\xbf \xee\x80\x80 \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf end";
    check(text, strlen(text), text);
}

static void an_incomplete_character_is_held_back(void **state)
{
    (void)state;
    struct tr_utf8_stream stream = {0};
    char out[TR_UTF8_OUT_BYTES];
    assert_int_equal(tr_utf8_push(&stream, 0xf0, out), 0);
    assert_int_equal(tr_utf8_push(&stream, 0x9f, out), 0);
    assert_int_equal(tr_utf8_push(&stream, 0x98, out), 0);
    assert_int_equal(tr_utf8_push(&stream, 0x80, out), 4);
    assert_memory_equal(out, "\xf0\x9f\x98\x80", 4);
    assert_int_equal(tr_utf8_end(&stream, out), 0);
}

static void what_can_be_no_character_becomes_a_replacement_as_soon_as_that_is_certain(void **state)
{
    (void)state;
    struct tr_utf8_stream stream = {0};
    char out[TR_UTF8_OUT_BYTES];
    assert_int_equal(tr_utf8_push(&stream, 0x80, out), 3);   /* a continuation without a beginning */
    assert_int_equal(tr_utf8_push(&stream, 0xe2, out), 0);
    assert_int_equal(tr_utf8_push(&stream, 'A', out), 4);    /* U+FFFD and A */
    assert_memory_equal(out, "\xef\xbf\xbd" "A", 4);
    assert_int_equal(tr_utf8_push(&stream, 0xe2, out), 0);
    assert_int_equal(tr_utf8_push(&stream, 0xff, out), 6);   /* two of them */
}

static void surrogates_overlong_forms_and_beyond_the_last_character_are_not_characters(void **state)
{
    (void)state;
    const char *r = "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd";
    check("\xed\xa0\x80", 3, r + 3);             /* surrogate: three bytes, none of which fits */
    check("\xc0\xaf", 2, r + 6);                 /* overlong */
    check("\xe0\x80\xaf", 3, r + 3);
    check("\xf0\x80\x80\xaf", 4, r);
    check("\xf4\x90\x80\x80", 4, r);             /* U+110000 */
    check("\xf5\x80\x80\x80", 4, r);
    check("\xe2\x82", 2, r + 9);                 /* cut off: one maximal beginning */
    check("\xf0\x9f\x98", 3, r + 9);
    check("\xe2\x82" "x", 3, "\xef\xbf\xbdx");
}

static void every_pair_and_triple_around_the_borders_gives_valid_text(void **state)
{
    (void)state;
    static const uint8_t edge[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1,
                                   0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff};
    enum { EDGES = sizeof edge };
    for (int i = 0; i < EDGES * EDGES * EDGES * EDGES; i++) {
        char bytes[4] = {(char)edge[i % EDGES], (char)edge[i / EDGES % EDGES], (char)edge[i / EDGES / EDGES % EDGES],
                         (char)edge[i / EDGES / EDGES / EDGES]};
        struct tr_text out = {0};
        push_all(bytes, sizeof bytes, &out);
        tr_text_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_text_comes_out_as_it_went_in),
        cmocka_unit_test(an_incomplete_character_is_held_back),
        cmocka_unit_test(what_can_be_no_character_becomes_a_replacement_as_soon_as_that_is_certain),
        cmocka_unit_test(surrogates_overlong_forms_and_beyond_the_last_character_are_not_characters),
        cmocka_unit_test(every_pair_and_triple_around_the_borders_gives_valid_text),
    };
    return cmocka_run_group_tests_name("lab/token/utf8_stream", tests, NULL, NULL);
}
