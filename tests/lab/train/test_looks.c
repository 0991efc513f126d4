#include "lab/train/looks.h"

#include "base/doc.h"
#include "base/json.h"
#include "base/text.h"
#include "lib/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct tr_err err;

/* As a run does that has a step each second, and at each of them a hand-over that takes as many ns as seconds have gone. */
static void hands_of_any_time_are_equally_far_from_each_other(void **state)
{
    (void)state;
    struct tr_hands h = {.count = 0};
    for (int second = 1; second <= 100000; second++) {
        if (second >= h.next_s)
            tr_hands_add(&h, 1e-9 * second, second);
        assert_true(h.count <= TR_HANDS_MAX && (h.count < 3 || h.count > TR_HANDS_MAX / 2 || h.every_s == TR_LOOKS_EVERY_S));
    }
    double first = h.at[1] - h.at[0];
    assert_true(h.count > TR_HANDS_MAX / 2 && h.at[0] == 1e-9 && h.every_s > 1000);
    for (int i = 1; i < h.count; i++)
        assert_true(h.at[i] - h.at[i - 1] > .99 * first && h.at[i] - h.at[i - 1] < 1.01 * first);
}

static void what_nobody_knows_is_not_kept_and_asked_again_later(void **state)
{
    (void)state;
    struct tr_hands h = {.count = 0};
    tr_hands_add(&h, 0, 5);
    assert_true(h.count == 0 && h.next_s == 5 + TR_LOOKS_EVERY_S);
}

static enum tr_status read(const char *json, struct tr_looks *out)
{
    struct tr_doc *doc = NULL;
    tr_scratch_put_text("looks.json", json);
    enum tr_status status = tr_doc_read(tr_scratch("looks.json"), TR_DOC_JSON, &doc, &err);
    if (status == TR_OK)
        status = tr_looks_read(tr_doc_root(doc), out, &err);
    tr_doc_free(doc);
    return status;
}

static void write(const struct tr_looks *looks, struct tr_text *out)
{
    struct tr_json json = tr_json_start(out, TR_JSON_LINE);
    tr_json_object(&json, NULL);
    tr_looks_write(looks, &json);
    tr_json_end(&json);
}

static void looks_read_back_as_they_were_written(void **state)
{
    (void)state;
    const struct tr_looks was = {.read_bytes = 12 << 20, .first_read_byte_s = 5e10, .last = {31.5, 9e11, 4e10, 1.9e-7},
                                 .hands = {.at = {4e-8, 1.9e-7}, .count = 2}};
    struct tr_looks is = {.read_bytes = 7};
    struct tr_text text = {0}, again = {0};
    assert_int_equal(read("{}", &is), TR_OK); /* an older run's */
    assert_int_equal(is.read_bytes, 7);
    write(&was, &text);
    assert_int_equal(read(tr_text_str(&text), &is), TR_OK);
    assert_true(is.hands.count == 2 && is.last.after_s == 31.5);
    write(&is, &again);
    assert_string_equal(tr_text_str(&again), tr_text_str(&text));
    tr_text_free(&again);
    tr_text_free(&text);
    assert_int_equal(read("{\"looks\": {\"read_bytes\": -1}}", &is), TR_BAD_INPUT);
    assert_int_equal(read("{\"looks\": {\"read_bytes\": 1, \"first_read_byte_s\": 1,"
                          " \"hands_s\": [\"x\"]}}", &is), TR_BAD_INPUT);
    tr_assert_says(err.text, "hands_s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hands_of_any_time_are_equally_far_from_each_other),
        cmocka_unit_test(what_nobody_knows_is_not_kept_and_asked_again_later),
        cmocka_unit_test(looks_read_back_as_they_were_written),
    };
    return cmocka_run_group_tests_name("lab/train/looks", tests, tr_scratch_setup, tr_scratch_teardown);
}
