/* A prompt that has been read once: from the generator itself and from a file; the bits are those of reading all of it. */
#include "../model/fixture.h"

#include "base/os.h"
#include "lab/serve/prompt_cache.h"
#include "lib/scratch.h"

#include <stdio.h>
#include <stdlib.h>

enum { PROMPT = 40, MORE = 5 };

struct manner {
    enum tr_dtype dtype;
    enum tr_weight_form form;
};

static void open_as(struct tr_generator *g, struct manner manner, int64_t capacity, uint64_t seed, int threads)
{
    struct tr_err err = {{0}};
    const struct tr_widths one = {1, 1, 1, 1};
    struct tr_model_config model = fixture_llama();
    if (tr_generator_open(g, &model, manner.dtype, manner.form, &one, capacity,
                          fixture_machine(fixture_best_isa(), threads), NULL, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_exec_init(&g->exec, seed);
}

static void make_text(int32_t *tokens, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        tokens[i] = (int32_t)(tr_rng_below(tr_rng_key(4, "text", 0), (uint64_t)i, 48));
}

static void must(enum tr_status status, const struct tr_err *err)
{
    if (status != TR_OK)
        fail_msg("%s", err->text);
}

static void expect_logits_of(const struct tr_generator *g, const int32_t *tokens, int64_t count)
{
    struct tr_generator fresh;
    struct tr_err err;
    open_as(&fresh, (struct manner){g->dtype, g->form}, g->capacity, 42, 1);
    must(tr_generator_read(&fresh, tokens, count, &err), &err);
    assert_int_equal(g->length, count);
    assert_memory_equal(g->history, tokens, (size_t)count * sizeof *tokens);
    assert_memory_equal(g->logits, fresh.logits, (size_t)g->model.vocab * sizeof(float));
    tr_generator_close(&fresh);
}

static void a_prompt_that_begins_like_the_last_one_is_read_from_where_they_part(void **state)
{
    (void)state;
    struct tr_generator g;
    struct tr_err err;
    int32_t text[PROMPT + MORE];
    make_text(text, PROMPT + MORE);
    open_as(&g, (struct manner){TR_BF16, TR_FORM_INT8}, PROMPT + MORE, 42, 2);
    must(tr_generator_read_prompt(&g, text, PROMPT, &err), &err);
    assert_int_equal(g.reused, 0);
    must(tr_generator_read_prompt(&g, text, PROMPT + MORE, &err), &err);
    assert_int_equal(g.reused, PROMPT);
    expect_logits_of(&g, text, PROMPT + MORE);
    must(tr_generator_read_prompt(&g, text, 17, &err), &err);
    assert_int_equal(g.reused, 16); /* the last one's logits are wanted */
    expect_logits_of(&g, text, 17);
    text[9]++;
    must(tr_generator_read_prompt(&g, text, 30, &err), &err);
    assert_int_equal(g.reused, 9);
    expect_logits_of(&g, text, 30);
    tr_generator_close(&g);
}

static void a_prompt_from_a_file_goes_on_to_the_same_bits(void **state)
{
    static const struct manner manners[] = {{TR_F32, TR_FORM_ROWS}, {TR_F32, TR_FORM_PANELS}, {TR_BF16, TR_FORM_ROWS},
                                            {TR_BF16, TR_FORM_PANELS}, {TR_BF16, TR_FORM_INT8}, {TR_F32, TR_FORM_INT4}};
    (void)state;
    for (size_t m = 0; m < sizeof manners / sizeof *manners; m++) {
        char name[32];
        struct tr_err err;
        struct tr_generator first, second;
        int32_t text[PROMPT + MORE];
        make_text(text, PROMPT + MORE);
        snprintf(name, sizeof name, "prompt%zu.cache", m);
        const char *path = tr_scratch(name);
        open_as(&first, manners[m], PROMPT, 42, 1);
        first.prompt_cache = path;
        must(tr_generator_read_prompt(&first, text, PROMPT, &err), &err);
        tr_generator_close(&first);

        open_as(&second, manners[m], PROMPT + MORE, 42, 2); /* room for more, other threads */
        second.prompt_cache = path;
        must(tr_generator_read_prompt(&second, text, PROMPT, &err), &err);
        assert_int_equal(second.reused, PROMPT - 1);
        expect_logits_of(&second, text, PROMPT);
        tr_generator_reset(&second);
        must(tr_generator_read_prompt(&second, text, PROMPT + MORE, &err), &err); /* and writes what it has now */
        assert_int_equal(second.reused, PROMPT);
        expect_logits_of(&second, text, PROMPT + MORE);
        tr_generator_reset(&second);
        must(tr_generator_read_prompt(&second, text, PROMPT + MORE, &err), &err);
        assert_int_equal(second.reused, PROMPT + MORE - 1);
        /* A file that has less than the generator changes nothing. */
        snprintf(name, sizeof name, "less%zu.cache", m);
        second.prompt_cache = tr_scratch(name);
        tr_generator_reset(&second);
        must(tr_generator_read_prompt(&second, text, 9, &err), &err);
        second.prompt_cache = NULL;
        must(tr_generator_read_prompt(&second, text, PROMPT, &err), &err);
        second.prompt_cache = tr_scratch(name);
        must(tr_generator_read_prompt(&second, text, PROMPT + MORE, &err), &err);
        assert_int_equal(second.reused, PROMPT);
        expect_logits_of(&second, text, PROMPT + MORE);
        tr_generator_close(&second);
    }
}

static void a_file_of_another_model_or_manner_is_refused(void **state)
{
    (void)state;
    struct tr_err err;
    struct tr_generator g;
    int32_t text[PROMPT];
    make_text(text, PROMPT);
    const char *path = tr_scratch("prompt.cache");
    remove(path);
    open_as(&g, (struct manner){TR_BF16, TR_FORM_INT8}, PROMPT, 42, 1);
    g.prompt_cache = path;
    must(tr_generator_read_prompt(&g, text, PROMPT, &err), &err);
    tr_generator_close(&g);

    open_as(&g, (struct manner){TR_BF16, TR_FORM_INT8}, PROMPT, 43, 1);
    g.prompt_cache = path;
    assert_int_equal(tr_generator_read_prompt(&g, text, PROMPT, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "prompt.cache: was made by another model"));
    tr_generator_close(&g);
    open_as(&g, (struct manner){TR_BF16, TR_FORM_INT4}, PROMPT, 42, 1);
    g.prompt_cache = path;
    assert_int_equal(tr_generator_read_prompt(&g, text, PROMPT, &err), TR_BAD_INPUT);
    assert_non_null(strstr(err.text, "weights as int8; here they are bf16 and int4"));
    tr_generator_close(&g);
}

static void a_file_that_is_cut_off_or_changed_anywhere_is_refused(void **state)
{
    (void)state;
    struct tr_err err;
    struct tr_generator g;
    struct tr_bytes bytes;
    struct tr_prompt_cache cache;
    int32_t text[3];
    make_text(text, 3);
    const char *path = tr_scratch("prompt.cache");
    remove(path);
    open_as(&g, (struct manner){TR_BF16, TR_FORM_PANELS}, 3, 42, 1);
    g.prompt_cache = path;
    must(tr_generator_read_prompt(&g, text, 3, &err), &err);
    must(tr_file_read(path, 1 << 20, &bytes, &err), &err);
    must(tr_prompt_cache_parse("x", bytes.at, bytes.len, &cache, &err), &err);
    assert_int_equal(cache.tokens, 3);
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.at[i] ^= 0x10;
        err.text[0] = 0;
        assert_int_equal(tr_prompt_cache_parse("x", bytes.at, bytes.len, &cache, &err), TR_BAD_INPUT);
        assert_true(strncmp(err.text, "x: ", 3) == 0);
        bytes.at[i] ^= 0x10;
        assert_int_equal(tr_prompt_cache_parse("x", bytes.at, i, &cache, &err), TR_BAD_INPUT);
    }
    tr_bytes_free(&bytes);
    tr_generator_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_that_begins_like_the_last_one_is_read_from_where_they_part),
        cmocka_unit_test(a_prompt_from_a_file_goes_on_to_the_same_bits),
        cmocka_unit_test(a_file_of_another_model_or_manner_is_refused),
        cmocka_unit_test(a_file_that_is_cut_off_or_changed_anywhere_is_refused),
    };
    return cmocka_run_group_tests(tests, tr_scratch_setup, tr_scratch_teardown);
}
