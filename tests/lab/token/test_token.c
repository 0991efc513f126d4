/* lab/token: tokenizers made from memory; any bytes come back; what cannot be a tokenizer is refused. */
#include "base/rng.h"
#include "lab/token/token.h"
#include "lib/scratch.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t draw(uint64_t seed, uint64_t index, uint64_t count)
{
    return tr_rng_below(tr_rng_key(seed, "test", 0), index, count);
}

#define STRING(text) ((struct tr_string){text, (int64_t)strlen(text)})
#define ADDED(text, number, ...) ((struct tr_added_token){.content = STRING(text), .id = number, __VA_ARGS__})

enum { LETTERS = 256, ALPHABET_BYTES = 3 };

/* All 256 bytes, in the alphabet, and some merges. */
static struct tr_token_spec byte_spec(struct tr_merge *merges, int merge_count)
{
    static char letters[LETTERS][ALPHABET_BYTES], made[32][64];
    static struct tr_string vocab[LETTERS + 32];
    int other = 0;
    for (int i = 0; i < LETTERS; i++) {
        bool itself = (i >= '!' && i <= '~') || (i >= 0xA1 && i <= 0xAC) || i >= 0xAE;
        int c = itself ? i : 0x100 + other++;
        int count = c < 0x80 ? snprintf(letters[i], ALPHABET_BYTES, "%c", c)
                             : snprintf(letters[i], ALPHABET_BYTES, "%c%c", 0xC0 | c >> 6, 0x80 | (c & 0x3F));
        vocab[i] = (struct tr_string){letters[i], count};
    }
    for (int i = 0; i < merge_count; i++) {
        snprintf(made[i], sizeof made[i], "%.*s%.*s", (int)merges[i].left.bytes, merges[i].left.at,
                 (int)merges[i].right.bytes, merges[i].right.at);
        vocab[LETTERS + i] = STRING(made[i]);
    }
    return (struct tr_token_spec){.source = "made", .vocab = vocab, .vocab_count = LETTERS + merge_count,
                                  .merges = merges, .merge_count = merge_count, .splits = {TR_SPLIT_GPT2},
                                  .split_count = 1};
}

static struct tr_token *make(const struct tr_token_spec *spec)
{
    struct tr_token *token;
    struct tr_err err = {""};
    if (tr_token_make(spec, &token, &err) != TR_OK)
        fail_msg("%s", err.text);
    return token;
}

static struct tr_ids encode(const struct tr_token *token, const void *text, size_t bytes, int flags)
{
    struct tr_encoder *encoder;
    struct tr_ids ids = {0};
    struct tr_err err = {""};
    assert_int_equal(tr_encoder_make(token, &encoder, &err), TR_OK);
    if (tr_encode(encoder, text, bytes, flags, &ids, &err) != TR_OK)
        fail_msg("%s", err.text);
    tr_encoder_free(encoder);
    return ids;
}

static void expect(const struct tr_token *token, const char *text, int flags, const char *wanted)
{
    struct tr_ids ids = encode(token, text, strlen(text), flags);
    struct tr_text have = {0};
    for (int64_t i = 0; i < ids.count; i++)
        tr_text_printf(&have, "%s%d", i ? " " : "", ids.at[i]);
    assert_string_equal(tr_text_str(&have), wanted);
    tr_text_free(&have);
    tr_ids_free(&ids);
}

static void comes_back(const struct tr_token *token, const void *text, size_t bytes)
{
    struct tr_ids ids = encode(token, text, bytes, 0);
    struct tr_text back = {0};
    struct tr_err err;
    assert_int_equal(tr_decode(token, ids.at, ids.count, 0, &back, &err), TR_OK);
    assert_int_equal(back.len, bytes);
    assert_memory_equal(tr_text_str(&back), text, bytes);
    tr_text_free(&back);
    tr_ids_free(&ids);
}

static void refused(const struct tr_token_spec *spec, const char *sentence)
{
    struct tr_token *token;
    struct tr_err err = {""};
    assert_int_equal(tr_token_make(spec, &token, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, sentence);
}

static struct tr_merge ab_merges[] = {
    {{"a", 1}, {"b", 1}}, {{"ab", 2}, {"ab", 2}}, {{"b", 1}, {"c", 1}}, {{"a", 1}, {"a", 1}}, {{"aa", 2}, {"aa", 2}},
};
enum { AB_COUNT = sizeof ab_merges / sizeof *ab_merges };

static void merges_are_done_by_rank_then_from_the_left(void **state)
{
    (void)state;
    struct tr_token_spec spec = byte_spec(ab_merges, AB_COUNT);
    struct tr_token *token = make(&spec);
    expect(token, "ab", 0, "256");
    expect(token, "abc", 0, "256 99"); /* ab before bc */
    expect(token, "bc", 0, "258");
    expect(token, "ababab", 0, "257 256");
    expect(token, "aaa", 0, "259 97");
    expect(token, "aaaaaaa", 0, "260 259 97");
    expect(token, "aaab", 0, "259 256");
    expect(token, "", 0, "");
    tr_token_free(token);
}

static void long_pieces_are_merged_as_short_ones_are(void **state)
{
    (void)state;
    enum { BYTES = 3000 };
    struct tr_token_spec spec = byte_spec(ab_merges, AB_COUNT);
    struct tr_token *token = make(&spec);
    char text[BYTES];
    struct tr_ids all = {0};
    struct tr_err err;
    /* "d" joins with nothing, so the parts between are merged alike alone and together. */
    for (int i = 0; i < BYTES; i++)
        text[i] = "aabbcab"[draw(1, (uint64_t)i, 7)];
    for (int i = 30; i < BYTES; i += 31)
        text[i] = 'd';
    for (int i = 0; i < BYTES; i += 31) {
        struct tr_ids part = encode(token, text + i, (size_t)(BYTES - i < 31 ? BYTES - i : 31), 0);
        for (int64_t k = 0; k < part.count; k++)
            assert_int_equal(tr_ids_add(&all, part.at[k], &err), TR_OK);
        tr_ids_free(&part);
    }
    struct tr_ids whole = encode(token, text, BYTES, 0);
    assert_int_equal(whole.count, all.count);
    assert_memory_equal(whole.at, all.at, (size_t)all.count * sizeof *all.at);
    tr_ids_free(&whole);
    tr_ids_free(&all);
    tr_token_free(token);
}

/* ---- merges against the rule, done as it is said ----------------------------------------------------------------- */

enum { RULES = 24, WORD_MAX = 2000, RULE_BYTES_MAX = 200 };

/* Merges of a and b, of tokens that others make, in any order: some can never be done, some make what another makes too. */
struct rules {
    char word[2 + RULES][RULE_BYTES_MAX + 1]; /* what there is to merge; 0 and 1 are a and b */
    int words;
    int left[RULES], right[RULES], made[RULES]; /* words, by rank */
};

static int word_of(struct rules *r, const char *text)
{
    int i = 0;
    while (i < r->words && strcmp(r->word[i], text) != 0)
        i++;
    if (i == r->words)
        strcpy(r->word[r->words++], text);
    return i;
}

static void draw_rules(struct rules *r, uint64_t seed)
{
    *r = (struct rules){.word = {"a", "b"}, .words = 2};
    for (int i = 0; i < RULES; i++) {
        char text[2 * RULE_BYTES_MAX + 1];
        bool known = true;
        for (uint64_t try = 0; known; try++) { /* no pair twice */
            uint64_t index = (uint64_t)i << 32 | try << 2;
            int recent = r->words < 6 ? 0 : (int)draw(seed, index, 3) * (r->words - 4) / 2; /* long ones come of long ones */
            r->left[i] = recent + (int)draw(seed, index + 1, (uint64_t)(r->words - recent));
            r->right[i] = (int)draw(seed, index + 2, (uint64_t)r->words);
            snprintf(text, sizeof text, "%s%s", r->word[r->left[i]], r->word[r->right[i]]);
            known = strlen(text) > RULE_BYTES_MAX;
            for (int k = 0; k < i && !known; k++)
                known = r->left[k] == r->left[i] && r->right[k] == r->right[i];
        }
        r->made[i] = word_of(r, text);
    }
    for (int i = RULES - 1; i > 0 && seed / 3 % 2 > 0; i--) {
        int other = (int)draw(seed, 1000 + (uint64_t)i, (uint64_t)i + 1), left = r->left[i], right = r->right[i], made = r->made[i];
        r->left[i] = r->left[other], r->right[i] = r->right[other], r->made[i] = r->made[other];
        r->left[other] = left, r->right[other] = right, r->made[other] = made;
    }
}

static struct tr_token *token_of(const struct rules *r)
{
    static struct tr_string vocab[LETTERS + RULES];
    struct tr_merge merges[RULES];
    struct tr_token_spec spec = byte_spec(NULL, 0);
    memcpy(vocab, spec.vocab, LETTERS * sizeof *vocab);
    for (int i = 2; i < r->words; i++)
        vocab[LETTERS - 2 + i] = STRING(r->word[i]);
    for (int i = 0; i < RULES; i++)
        merges[i] = (struct tr_merge){STRING(r->word[r->left[i]]), STRING(r->word[r->right[i]])};
    spec.vocab = vocab;
    spec.vocab_count = LETTERS - 2 + r->words;
    spec.merges = merges;
    spec.merge_count = RULES;
    return make(&spec);
}

/* The pair of lowest rank, of these the leftmost, until there is none. Returns how many are left in `word`. */
static int merge_by_the_rule(const struct rules *r, int *word, int count)
{
    for (;;) {
        int best = RULES, at = 0;
        for (int i = 0; i + 1 < count; i++)
            for (int rank = 0; rank < best; rank++)
                if (word[i] == r->left[rank] && word[i + 1] == r->right[rank])
                    best = rank, at = i;
        if (best == RULES)
            return count;
        word[at] = r->made[best];
        memmove(word + at + 1, word + at + 2, (size_t)(count - at - 2) * sizeof *word);
        count--;
    }
}

/* Letters at random; with a period; or what the merges make, which is longer than a window where they make long words. */
static void draw_text(const struct rules *r, uint64_t seed, uint64_t which, char *text, int length)
{
    uint64_t period = 1 + draw(seed, 2000 + which, 40), next = 3000;
    for (int i = 0; i < length;) {
        if (seed % 3 < 2) {
            uint64_t from = seed % 3 ? (uint64_t)i : (uint64_t)i % period;
            text[i++] = draw(seed, 5000 + from, 8) < 3 + seed % 4 ? 'a' : 'b';
            continue;
        }
        const char *word = r->word[draw(seed, next++ + which * 10000, (uint64_t)r->words)];
        while (*word && i < length)
            text[i++] = *word++;
    }
}

/* Words of up to 64 letters are scanned, longer ones go window by window. */
static void every_piece_is_merged_by_the_rule(void **state)
{
    (void)state;
    static const int lengths[] = {1, 2, 3, 17, 63, 64, 65, 90, 200, 500, WORD_MAX};
    for (uint64_t seed = 0; seed < 120; seed++) {
        struct rules rules;
        draw_rules(&rules, seed);
        struct tr_token *token = token_of(&rules);
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            char text[WORD_MAX];
            int word[WORD_MAX], length = lengths[l];
            draw_text(&rules, seed, l, text, length);
            for (int i = 0; i < length; i++)
                word[i] = text[i] - 'a';
            int count = merge_by_the_rule(&rules, word, length);
            struct tr_ids ids = encode(token, text, (size_t)length, 0);
            assert_int_equal(ids.count, count);
            for (int i = 0; i < count; i++)
                assert_int_equal(ids.at[i], word[i] < 2 ? 'a' + word[i] : LETTERS - 2 + word[i]);
            tr_ids_free(&ids);
        }
        tr_token_free(token);
    }
}

static void any_bytes_come_back(void **state)
{
    (void)state;
    struct tr_token_spec spec = byte_spec(ab_merges, AB_COUNT);
    static const enum tr_split splits[] = {TR_SPLIT_GPT2, TR_SPLIT_LLAMA3, TR_SPLIT_QWEN2, TR_SPLIT_DIGITS};
    for (size_t s = 0; s < sizeof splits / sizeof *splits; s++) {
        spec.splits[0] = splits[s];
        struct tr_token *token = make(&spec);
        uint8_t text[512];
        for (int i = 0; i < 512; i++)
            text[i] = (uint8_t)i;
        comes_back(token, text, sizeof text);
        for (uint64_t seed = 0; seed < 300; seed++) {
            for (uint64_t i = 0; i < sizeof text; i++)
                text[i] = seed % 2 ? (uint8_t)draw(seed, i, 256)
                                   : (uint8_t)"\xF0\x9F\x98\x80\xE2\x82\xAC\xED\xA0\x80 \xC3""a"[draw(seed, i, 13)];
            comes_back(token, text, (size_t)draw(seed, 999, sizeof text));
        }
        tr_token_free(token);
    }
}

static void a_megabyte_of_one_letter_comes_back(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    struct tr_token_spec spec = byte_spec(ab_merges, AB_COUNT);
    struct tr_token *token = make(&spec);
    char *text = malloc(BYTES);
    assert_non_null(text);
    for (const char *letter = "a \n1!\xC3"; *letter; letter++) {
        memset(text, *letter, BYTES);
        comes_back(token, text, BYTES);
    }
    memset(text, 'a', BYTES);
    struct tr_ids ids = encode(token, text, BYTES, 0);
    assert_int_equal(ids.count, BYTES / 4);
    tr_ids_free(&ids);
    free(text);
    tr_token_free(token);
}

/* Each maximal beginning of a character, in the text as it is and as U+FFFD. */
struct borders {
    int64_t at[256], count;
};

static enum tr_status note_border(void *context, const char *piece, size_t bytes, struct tr_err *err)
{
    struct borders *borders = context;
    struct tr_utf8_stream stream = {0};
    char out[TR_UTF8_OUT_BYTES];
    int64_t clean = 0;
    (void)err;
    for (size_t i = 0; i < bytes; i++)
        clean += tr_utf8_push(&stream, (uint8_t)piece[i], out);
    clean += tr_utf8_end(&stream, out);
    borders->at[borders->count++] = clean;
    return TR_OK;
}

static void bytes_that_are_no_text_are_split_as_the_replacement_character_is(void **state)
{
    (void)state;
    static const char *const parts[] = {"\xE2\x82", "\xF0\x9F\x98", "\xC3", "\x80", "\xED\xA0\x80", "\xFF", "a", "1",
                                        " ", "\n", "'s", "\xEF\xBF\xBD", "\xCC\x81", "!"};
    struct tr_token_spec spec = byte_spec(ab_merges, AB_COUNT);
    struct tr_err err;
    for (uint64_t seed = 0; seed < 4000; seed++) {
        static const enum tr_split splits[] = {TR_SPLIT_GPT2, TR_SPLIT_LLAMA3, TR_SPLIT_QWEN2, TR_SPLIT_DIGITS};
        struct tr_text raw = {0}, clean = {0};
        struct tr_utf8_stream stream = {0};
        struct borders a = {.count = 0}, b = {.count = 0};
        struct tr_encoder *encoder;
        char out[TR_UTF8_OUT_BYTES];
        spec.splits[0] = splits[seed % 4];
        spec.normalizer = seed % 8 < 4 ? TR_NORMALIZER_NFC : TR_NORMALIZER_NONE;
        struct tr_token *token = make(&spec);
        for (uint64_t i = 0; i < 12; i++)
            tr_text_append(&raw, parts[draw(seed, i, sizeof parts / sizeof *parts)]);
        for (size_t i = 0; i < raw.len; i++)
            tr_text_append_bytes(&clean, out, (size_t)tr_utf8_push(&stream, (uint8_t)raw.at[i], out));
        tr_text_append_bytes(&clean, out, (size_t)tr_utf8_end(&stream, out));
        assert_int_equal(tr_encoder_make(token, &encoder, &err), TR_OK);
        assert_int_equal(tr_encoder_pieces(encoder, raw.at, raw.len, note_border, &a, &err), TR_OK);
        assert_int_equal(tr_encoder_pieces(encoder, clean.at, clean.len, note_border, &b, &err), TR_OK);
        assert_int_equal(a.count, b.count);
        assert_memory_equal(a.at, b.at, (size_t)a.count * sizeof *a.at);
        tr_encoder_free(encoder);
        tr_token_free(token);
        tr_text_free(&raw);
        tr_text_free(&clean);
    }
}

static void added_tokens_are_found_longest_first_and_take_the_white_space_they_ask_for(void **state)
{
    (void)state;
    struct tr_added_token added[] = {
        ADDED("<a>", 300, .special = true), ADDED("<a><b>", 301, .special = true), ADDED("LL", 302, .lstrip = true),
        ADDED("RR", 303, .rstrip = true), ADDED("word", 304, .single_word = true),
    };
    struct tr_token_spec spec = byte_spec(ab_merges, AB_COUNT);
    spec.added = added;
    spec.added_count = 5;
    spec.before[0] = 300;
    spec.before_count = 1;
    struct tr_token *token = make(&spec);
    assert_int_equal(tr_token_vocab(token), 305);
    expect(token, "ab<a><b><a>ab", 0, "256 301 300 256");
    expect(token, "<a><a", 0, "300 60 97");
    expect(token, "a \n LLaRR \t b", 0, "97 302 97 303 98");
    expect(token, "word words a-word", 0, "304 32 119 111 114 100 115 32 97 45 304");
    expect(token, "<a>", TR_ENCODE_PLAIN, "60 97 62");
    expect(token, "<a>ab", TR_ENCODE_AROUND, "300 300 256");
    assert_true(tr_token_is_special(token, 300));
    assert_false(tr_token_is_special(token, 302));
    assert_int_equal(tr_token_find(token, "<a>", 3), 300);
    assert_int_equal(tr_token_find(token, "ab", 2), 256);
    assert_int_equal(tr_token_find(token, "zz", 2), -1);
    struct tr_text text = {0};
    struct tr_err err = {""};
    int32_t ids[] = {300, 97, 302}, none = 290;
    assert_int_equal(tr_decode(token, ids, 3, TR_DECODE_NO_SPECIAL, &text, &err), TR_OK);
    assert_string_equal(tr_text_str(&text), "aLL");
    assert_int_equal(tr_decode(token, &none, 1, 0, &text, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "token 290 at position 0: the vocabulary has no such token (0 to 304)");
    assert_string_equal(tr_text_str(&text), "aLL");
    tr_text_free(&text);
    tr_token_free(token);
}

static void white_space_around_tokens_of_white_space_takes_linear_time(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    struct tr_added_token added[] = {ADDED(" \t", 300, .rstrip = true), ADDED("\t", 301, .special = true)};
    struct tr_token_spec spec = byte_spec(ab_merges, AB_COUNT);
    spec.added = added;
    spec.added_count = 2;
    struct tr_token *token = make(&spec);
    char *text = malloc(BYTES);
    assert_non_null(text);
    for (int i = 0; i < BYTES; i++)
        text[i] = " \t\t"[i % 3];
    struct tr_ids ids = encode(token, text, BYTES, 0);
    assert_true(ids.count >= BYTES / 3 * 2);
    tr_ids_free(&ids);
    free(text);
    tr_token_free(token);
}

static void a_byte_that_is_not_in_the_vocabulary_is_the_unknown_token_or_left_out(void **state)
{
    (void)state;
    struct tr_string vocab[] = {STRING("<unk>"), STRING("a"), STRING("b"), {NULL, 0}, STRING("ab")};
    struct tr_merge merge = {{"a", 1}, {"b", 1}};
    struct tr_token_spec spec = {.source = "made", .vocab = vocab, .vocab_count = 5, .merges = &merge, .merge_count = 1,
                                 .splits = {TR_SPLIT_GPT2}, .split_count = 1};
    struct tr_token *token = make(&spec);
    assert_int_equal(tr_token_missing_bytes(token), 254);
    expect(token, "axxb", 0, "4");
    tr_token_free(token);
    spec.has_unknown = true;
    token = make(&spec);
    expect(token, "axxb", 0, "1 0 0 2");
    tr_token_free(token);
    spec.fuse_unknown = true;
    token = make(&spec);
    expect(token, "axxb", 0, "1 0 2");
    tr_token_free(token);
}

static void what_cannot_be_a_tokenizer_is_refused(void **state)
{
    (void)state;
    struct tr_token_spec good = byte_spec(ab_merges, AB_COUNT), spec = good;
    struct tr_merge unknown = {{"q", 1}, {"zz", 2}}, nothing = {{"q", 1}, {"q", 1}}, empty = {{"", 0}, {"a", 1}};
    spec.merge_count = 1;
    spec.merges = &unknown;
    refused(&spec, "made: merge 0: \"zz\" is not in the vocabulary");
    spec.merges = &nothing;
    refused(&spec, "made: merge 0 makes a token that is not in the vocabulary: \"q\" + \"q\"");
    spec.merges = &empty;
    refused(&spec, "made: merge 0: \"\" is not in the vocabulary");
    struct tr_string twice[] = {STRING("a"), STRING("b"), STRING("a")}, none[] = {{NULL, 0}}, blank[] = {{"", 0}};
    spec = (struct tr_token_spec){.source = "made", .vocab = twice, .vocab_count = 3};
    refused(&spec, "made: tokens 0 and 2 are both \"a\"");
    spec.vocab = none;
    spec.vocab_count = 1;
    refused(&spec, "made: the vocabulary is empty");
    spec.vocab = blank;
    refused(&spec, "made: token 0 has 0 bytes");
    spec.vocab_count = TR_TOKEN_VOCAB_MAX + 1;
    refused(&spec, "a vocabulary of 1048577 tokens; expected at most 1048576");
    struct tr_added_token clash = ADDED("<x>", 5), far = ADDED("<x>", 1 << 20), void_one = ADDED("", 300);
    spec = good;
    spec.added_count = 1;
    spec.added = &clash;
    refused(&spec, "made: id 5 is the added token \"<x>\" and also ");
    spec.added = &far;
    refused(&spec, "added token 0 has id 1048576; expected 0 to 1048575");
    spec.added = &void_one;
    refused(&spec, "added token 0 has 0 bytes; expected 1 to 1024");
    spec = good;
    spec.before_count = 1;
    spec.before[0] = 999;
    refused(&spec, "the token before a text is id 999, which is no token (the vocabulary is 0 to 260)");
    struct tr_merge line;
    struct tr_err err;
    assert_int_equal(tr_merge_from_line(STRING("a b"), &line, &err), TR_OK);
    for (int i = 0; i < 5; i++) {
        static const char *const bad[] = {"", "ab", "a b c", " b", "a "};
        assert_int_equal(tr_merge_from_line(STRING(bad[i]), &line, &err), TR_BAD_INPUT);
        tr_assert_says(err.text, "a merge is two tokens with one space between them");
    }
    assert_int_equal(tr_token_spec_pre(&spec, "llama-bpe", &err), TR_OK);
    assert_int_equal(spec.splits[0], TR_SPLIT_LLAMA3);
    assert_int_equal(tr_token_spec_pre(&spec, "klingon", &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "the pre-tokenizer \"klingon\" is not known; known are gpt-2, llama-bpe");
}

static void the_sum_tells_tokenizers_apart(void **state)
{
    (void)state;
    struct tr_token_spec spec = byte_spec(ab_merges, AB_COUNT);
    struct tr_token *a = make(&spec), *same = make(&spec);
    spec.splits[0] = TR_SPLIT_QWEN2;
    struct tr_token *b = make(&spec);
    spec.splits[0] = TR_SPLIT_GPT2;
    spec.merge_count--;
    struct tr_token *c = make(&spec);
    assert_string_equal(tr_token_sha256(a), tr_token_sha256(same));
    assert_string_not_equal(tr_token_sha256(a), tr_token_sha256(b));
    assert_string_not_equal(tr_token_sha256(a), tr_token_sha256(c));
    tr_token_free(a);
    tr_token_free(same);
    tr_token_free(b);
    tr_token_free(c);
}

struct work {
    const struct tr_token *token;
    const char *text;
    size_t bytes;
    struct tr_ids ids;
};

static void *encode_thread(void *context)
{
    struct work *work = context;
    struct tr_encoder *encoder;
    struct tr_err err;
    if (tr_encoder_make(work->token, &encoder, &err) != TR_OK)
        return NULL;
    for (int i = 0; i < 3; i++) { /* the last time out of a warm cache */
        work->ids.count = 0;
        if (tr_encode(encoder, work->text, work->bytes, 0, &work->ids, &err) != TR_OK)
            work->ids.count = -1;
    }
    tr_encoder_free(encoder);
    return NULL;
}

static void threads_and_caches_change_no_token(void **state)
{
    (void)state;
    enum { BYTES = 100000, THREADS = 4 };
    struct tr_token_spec spec = byte_spec(ab_merges, AB_COUNT);
    struct tr_token *token = make(&spec);
    char *text = malloc(BYTES);
    assert_non_null(text);
    for (uint64_t i = 0; i < BYTES; i++)
        text[i] = "aaabbc  \nd12"[draw(5, i, 12)];
    struct tr_ids once = encode(token, text, BYTES, 0);
    struct work work[THREADS];
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) {
        work[i] = (struct work){.token = token, .text = text, .bytes = BYTES};
        assert_int_equal(pthread_create(&thread[i], NULL, encode_thread, &work[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(work[i].ids.count, once.count);
        assert_memory_equal(work[i].ids.at, once.at, (size_t)once.count * sizeof *once.at);
        tr_ids_free(&work[i].ids);
    }
    tr_ids_free(&once);
    free(text);
    tr_token_free(token);
}

static void a_text_that_is_cut_encodes_as_the_whole(void **state)
{
    (void)state;
    static const char text[] = "It's a test, of  cutting ab ab\n where 12 it is x y safe to cut a text ab c";
    static const enum tr_split splits[] = {TR_SPLIT_GPT2, TR_SPLIT_LLAMA3, TR_SPLIT_QWEN2};
    struct tr_added_token spaced = ADDED("x y", 300, .special = true);
    struct tr_token_spec spec = byte_spec(ab_merges, AB_COUNT);
    for (int s = 0; s < 3; s++) {
        spec.splits[0] = splits[s];
        struct tr_token *token = make(&spec);
        struct tr_ids whole = encode(token, text, strlen(text), 0);
        size_t cuts = 0;
        for (size_t wanted = 2; wanted < strlen(text); wanted++) {
            size_t cut = tr_token_part(token, text, strlen(text), wanted);
            assert_true(cut < wanted || cut == strlen(text));
            struct tr_ids left = encode(token, text, cut, 0), right = encode(token, text + cut, strlen(text) - cut, 0);
            assert_int_equal(left.count + right.count, whole.count);
            assert_true(left.count == 0 || memcmp(left.at, whole.at, (size_t)left.count * 4) == 0);
            assert_true(right.count == 0 || memcmp(right.at, whole.at + left.count, (size_t)right.count * 4) == 0);
            cuts += cut < strlen(text);
            tr_ids_free(&left);
            tr_ids_free(&right);
        }
        assert_true(cuts > 20);
        tr_ids_free(&whole);
        tr_token_free(token);
    }
    spec.added = &spaced;
    spec.added_count = 1;
    struct tr_token *token = make(&spec);
    assert_int_equal(tr_token_part(token, text, strlen(text), strlen(text) - 1), strlen(text));
    tr_token_free(token);
}

static void a_decoder_gives_whole_characters_only(void **state)
{
    (void)state;
    struct tr_token_spec spec = byte_spec(ab_merges, AB_COUNT);
    struct tr_token *token = make(&spec);
    struct tr_ids ids = encode(token, "\xE2\x82\xAC""ab\xF0\x9F", 7, 0);
    struct tr_decoder decoder = {.token = token};
    struct tr_text out = {0};
    static const char *const after[] = {"", "", "\xE2\x82\xAC", "\xE2\x82\xAC""ab", "\xE2\x82\xAC""ab", "\xE2\x82\xAC""ab"};
    assert_int_equal(ids.count, 6);
    for (int i = 0; i < 6; i++) {
        tr_decoder_push(&decoder, ids.at[i], &out);
        assert_string_equal(tr_text_str(&out), after[i]);
    }
    tr_decoder_push(&decoder, 100000, &out); /* no such token */
    tr_decoder_end(&decoder, &out);
    assert_string_equal(tr_text_str(&out), "\xE2\x82\xAC""ab\xEF\xBF\xBD");
    tr_text_free(&out);
    tr_ids_free(&ids);
    tr_token_free(token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_are_done_by_rank_then_from_the_left),
        cmocka_unit_test(long_pieces_are_merged_as_short_ones_are),
        cmocka_unit_test(every_piece_is_merged_by_the_rule),
        cmocka_unit_test(any_bytes_come_back),
        cmocka_unit_test(a_megabyte_of_one_letter_comes_back),
        cmocka_unit_test(bytes_that_are_no_text_are_split_as_the_replacement_character_is),
        cmocka_unit_test(added_tokens_are_found_longest_first_and_take_the_white_space_they_ask_for),
        cmocka_unit_test(white_space_around_tokens_of_white_space_takes_linear_time),
        cmocka_unit_test(a_byte_that_is_not_in_the_vocabulary_is_the_unknown_token_or_left_out),
        cmocka_unit_test(what_cannot_be_a_tokenizer_is_refused),
        cmocka_unit_test(the_sum_tells_tokenizers_apart),
        cmocka_unit_test(threads_and_caches_change_no_token),
        cmocka_unit_test(a_text_that_is_cut_encodes_as_the_whole),
        cmocka_unit_test(a_decoder_gives_whole_characters_only),
    };
    return cmocka_run_group_tests_name("lab/token", tests, tr_scratch_setup, tr_scratch_teardown);
}
