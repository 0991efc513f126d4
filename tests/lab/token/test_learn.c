/* lab/token: a vocabulary is trained as Hugging Face trains it, by a rule that names every tie, in bounded memory. */
#include "base/os.h"
#include "lab/token/learn.h"
#include "lab/token/pairs.h"
#include "lib/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void must(enum tr_status status, const struct tr_err *err)
{
    if (status != TR_OK)
        fail_msg("%s", err->text);
}

static struct tr_token_spec form_of(const char *pre)
{
    struct tr_token_spec form = {.source = "form"};
    struct tr_err err = {""};
    must(tr_token_spec_pre(&form, pre, &err), &err);
    return form;
}

static const char *const end_of_text[] = {"<|endoftext|>"};

static struct tr_token *learn(const struct tr_learn_config *config, const char *const *texts, int count)
{
    struct tr_learner *learner;
    struct tr_token *token;
    struct tr_err err = {""};
    must(tr_learner_make(config, &learner, &err), &err);
    for (int i = 0; i < count; i++)
        must(tr_learner_add(learner, texts[i], strlen(texts[i]), &err), &err);
    must(tr_learner_finish(learner, NULL, &token, &err), &err);
    tr_learner_free(learner);
    return token;
}

static const char *golden(const char *file)
{
    static char path[TR_PATH_BYTES];
    snprintf(path, sizeof path, "%s/tests/lab/token/golden/%s", getenv("TRINE_SOURCE_DIR"), file);
    return path;
}

/* The golden tokenizers were trained on corpus.txt; all of what is trained is in them, id by id. */
static void is_that_of(const char *name, const char *pre, int64_t vocab, const char *const *special, int special_count,
                       bool whole)
{
    struct tr_token_spec form = form_of(pre);
    struct tr_learn_config config = {.vocab = vocab, .form = &form, .special = special, .special_count = special_count};
    struct tr_bytes corpus = tr_scratch_read(golden("corpus.txt"));
    const char *text = corpus.at;
    struct tr_token *mine = learn(&config, &text, 1), *theirs;
    struct tr_err err = {""};
    must(tr_token_read(golden(name), &theirs, &err), &err);
    if (whole)
        assert_string_equal(tr_token_sha256(mine), tr_token_sha256(theirs));
    assert_true(tr_token_vocab(mine) > 1000);
    assert_int_equal(tr_token_merge_count(mine), tr_token_merge_count(theirs));
    for (int64_t id = 0; id < tr_token_vocab(mine); id++) {
        struct tr_string a = tr_token_bytes(mine, id), b = tr_token_bytes(theirs, id);
        assert_int_equal(a.bytes, b.bytes);
        assert_memory_equal(a.at, b.at, (size_t)a.bytes);
    }
    tr_token_free(mine);
    tr_token_free(theirs);
    tr_bytes_free(&corpus);
}

static void a_trained_vocabulary_is_that_of_hugging_face(void **state)
{
    (void)state;
    static const char *const chat[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    static const char *const llama[] = {"<|begin_of_text|>", "<|end_of_text|>"};
    is_that_of("gpt2.tokenizer.json", "gpt-2", 1500, end_of_text, 1, true);
    is_that_of("smollm.tokenizer.json", "smollm", 1500, chat, 3, true);
    is_that_of("llama3.tokenizer.json", "llama-bpe", 1500, llama, 2, false);
    is_that_of("qwen2.tokenizer.json", "qwen2", 1500, NULL, 0, false);
}

static int64_t first_merge(const char *text, const char *wanted)
{
    struct tr_token_spec form = form_of("gpt-2");
    struct tr_learn_config config = {.vocab = 257, .form = &form};
    struct tr_token *token = learn(&config, &text, 1);
    int64_t id = tr_token_find(token, wanted, strlen(wanted));
    tr_token_free(token);
    return id;
}

static void of_pairs_as_frequent_the_smaller_ids_come_first(void **state)
{
    (void)state;
    assert_int_equal(first_merge("cd,ab", "ab"), 256);
    assert_int_equal(first_merge("ac,ab", "ab"), 256);
    assert_int_equal(first_merge("cd,cd,ab", "cd"), 256);
    /* In the alphabet of GPT-2 a space is behind all letters: by that order, not by bytes. */
    assert_int_equal(first_merge(" a zb", "zb"), 256);
    assert_int_equal(first_merge("aaa,bc,bc", "aa"), 256); /* overlapping pairs count each */
}

static void overlapping_pairs_are_merged_from_the_left(void **state)
{
    (void)state;
    struct tr_token_spec form = form_of("gpt-2");
    struct tr_learn_config config = {.vocab = 258, .form = &form};
    const char *text = "aaaaa"; /* aa aa a, then aa aa before aa a, both once: aa is 256, a less */
    struct tr_token *token = learn(&config, &text, 1);
    assert_int_equal(tr_token_find(token, "aa", 2), 256);
    assert_int_equal(tr_token_find(token, "aaa", 3), 257);
    tr_token_free(token);
}

static void the_order_of_the_texts_changes_nothing(void **state)
{
    (void)state;
    struct tr_token_spec form = form_of("qwen2");
    struct tr_learn_config config = {.vocab = 300, .form = &form, .special = end_of_text, .special_count = 1};
    const char *texts[] = {"the cat sat on the mat", "a hat that the rat had", "caf\xC3\xA9 \xFF\xFE thesis"};
    const char *turned[] = {texts[2], texts[0], texts[1]};
    struct tr_token *a = learn(&config, texts, 3), *b = learn(&config, turned, 3);
    assert_string_equal(tr_token_sha256(a), tr_token_sha256(b));
    assert_int_equal(tr_token_end_id(a), 0);
    tr_token_free(a);
    tr_token_free(b);
}

static void the_vocabulary_ends_where_pairs_are_too_rare(void **state)
{
    (void)state;
    struct tr_token_spec form = form_of("gpt-2");
    struct tr_learn_config config = {.vocab = 1000, .form = &form, .min_count = 3};
    const char *text = "ab ab ab cd cd";
    struct tr_token *token = learn(&config, &text, 1);
    assert_int_equal(tr_token_vocab(token), 257); /* ab; " ab" occurs twice */
    tr_token_free(token);
}

static void special_tokens_may_be_what_merges_make(void **state)
{
    (void)state;
    static const char *const special[] = {"ab", "a"};
    struct tr_token_spec form = form_of("gpt-2");
    struct tr_learn_config config = {.vocab = 300, .form = &form, .special = special, .special_count = 2};
    const char *text = "ab ab ab abc abc";
    struct tr_token *token = learn(&config, &text, 1);
    assert_int_equal(tr_token_find(token, "ab", 2), 0);
    assert_int_equal(tr_token_find(token, "a", 1), 1);
    assert_int_equal(tr_token_missing_bytes(token), 0);
    tr_token_free(token);
}

static void memory_is_bounded_by_dropping_the_rarest_pieces(void **state)
{
    (void)state;
    struct tr_token_spec form = form_of("gpt-2");
    struct tr_learn_config config = {.vocab = 258, .form = &form, .max_pieces = 100, .max_piece_bytes = 1000};
    struct tr_learner *learner;
    struct tr_token *token;
    struct tr_err err = {""};
    must(tr_learner_make(&config, &learner, &err), &err);
    for (int i = 0; i < 5000; i++) {
        char text[64];
        snprintf(text, sizeof text, " often %c%c%cQ", 'A' + i % 26, 'A' + i / 26 % 26, 'A' + i / 676 % 20);
        must(tr_learner_add(learner, text, strlen(text), &err), &err);
        assert_true(tr_learner_pieces(learner) <= 100);
    }
    char *huge = malloc(2000);
    assert_non_null(huge);
    memset(huge, 'x', 2000);
    must(tr_learner_add(learner, huge, 2000, &err), &err);
    assert_true(tr_learner_dropped(learner) > 4000);
    must(tr_learner_finish(learner, NULL, &token, &err), &err);
    assert_int_equal(tr_token_find(token, "en", 2), 256); /* of " often", which stays; by ids e+n comes first ... */
    assert_int_equal(tr_token_find(token, "ft", 2), 257); /* ... then f+t */
    free(huge);
    tr_token_free(token);
    tr_learner_free(learner);
}

static void counts_are_64_bits(void **state)
{
    (void)state;
    struct tr_pairs pairs;
    struct tr_err err = {""};
    int64_t many = (int64_t)1 << 40;
    must(tr_pairs_make(&pairs, 4, &err), &err);
    must(tr_pairs_add(&pairs, 1, 2, 0, many, &err), &err);
    must(tr_pairs_add(&pairs, 1, 2, 1, many, &err), &err);
    must(tr_pairs_add(&pairs, 3, 4, 2, many + 5, &err), &err);
    must(tr_pairs_add(&pairs, 0, 0, 3, INT32_MAX, &err), &err);
    must(tr_pairs_settle(&pairs, &err), &err);
    const struct tr_pair *best = tr_pairs_best(&pairs);
    assert_int_equal(best->count, 2 * many);
    tr_pairs_remove(&pairs, 3, 4, 2, many + 5);
    best = tr_pairs_best(&pairs);
    assert_int_equal(best->count, INT32_MAX);
    assert_null(tr_pairs_best(&pairs));
    tr_pairs_free(&pairs);
}

static void a_long_piece_is_trained_on_in_bounded_time(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    struct tr_token_spec form = form_of("gpt-2");
    struct tr_learn_config config = {.vocab = 2000, .form = &form};
    char *text = malloc(BYTES + 1);
    assert_non_null(text);
    uint32_t state32 = 1;
    for (int i = 0; i < BYTES; i++) {
        state32 = state32 * 1664525u + 1013904223u;
        text[i] = "acgt"[state32 >> 30];
    }
    text[BYTES] = 0;
    const char *one = text;
    struct tr_token *token = learn(&config, &one, 1);
    assert_int_equal(tr_token_vocab(token), 2000);
    tr_token_free(token);
    memset(text, 'a', BYTES); /* doubles at each merge until a token would be too long */
    token = learn(&config, &one, 1);
    assert_true(tr_token_vocab(token) < 300);
    tr_token_free(token);
    memset(text, ' ', BYTES); /* a byte that tokenizer.json spells with two */
    token = learn(&config, &one, 1);
    assert_in_range(tr_token_vocab(token), 256 + 15, 300);
    tr_token_free(token);
    free(text);
}

static void what_cannot_be_trained_is_refused(void **state)
{
    (void)state;
    static const char *const twice[] = {"<a>", "<a>"};
    struct tr_token_spec form = form_of("gpt-2");
    struct tr_learn_config config = {.vocab = 255, .form = &form};
    struct tr_learner *learner;
    struct tr_token *token;
    struct tr_err err = {""};
    assert_int_equal(tr_learner_make(&config, &learner, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "a vocabulary of 255 tokens; expected 256 (256 bytes and the special tokens) to 1048576");
    config = (struct tr_learn_config){.vocab = 300, .form = &form, .special = twice, .special_count = 2};
    assert_int_equal(tr_learner_make(&config, &learner, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "the special token \"<a>\" is given twice");
    config.special_count = 1;
    must(tr_learner_make(&config, &learner, &err), &err);
    assert_int_equal(tr_learner_finish(learner, NULL, &token, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "there is no text");
    tr_learner_free(learner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trained_vocabulary_is_that_of_hugging_face),
        cmocka_unit_test(of_pairs_as_frequent_the_smaller_ids_come_first),
        cmocka_unit_test(overlapping_pairs_are_merged_from_the_left),
        cmocka_unit_test(the_order_of_the_texts_changes_nothing),
        cmocka_unit_test(the_vocabulary_ends_where_pairs_are_too_rare),
        cmocka_unit_test(special_tokens_may_be_what_merges_make),
        cmocka_unit_test(memory_is_bounded_by_dropping_the_rarest_pieces),
        cmocka_unit_test(counts_are_64_bits),
        cmocka_unit_test(a_long_piece_is_trained_on_in_bounded_time),
        cmocka_unit_test(what_cannot_be_trained_is_refused),
    };
    return cmocka_run_group_tests_name("lab/token training", tests, tr_scratch_setup, tr_scratch_teardown);
}
