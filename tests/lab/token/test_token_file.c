/* lab/token: what a tokenizer.json may hold, and the sentence for what it may not. */
#include "base/os.h"
#include "lab/token/token.h"
#include "lib/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"
#define MODEL "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}"

/* A small file of these parts; NULL: as it should be. */
static const char *file(const char *normalizer, const char *pre_tokenizer, const char *model, const char *more)
{
    static char text[4096];
    snprintf(text, sizeof text, "{\"normalizer\":%s,\"pre_tokenizer\":%s,\"model\":%s%s%s}",
             normalizer ? normalizer : "null", pre_tokenizer ? pre_tokenizer : BYTE_LEVEL, model ? model : MODEL,
             more ? "," : "", more ? more : "");
    return text;
}

static void refused(const char *json, const char *sentence)
{
    struct tr_token *token;
    struct tr_err err = {""};
    enum tr_status status = tr_token_parse("t.json", json, strlen(json), &token, &err);
    if (status == TR_OK)
        fail_msg("accepted: %s", json);
    assert_int_equal(status, TR_BAD_INPUT);
    tr_assert_says(err.text, "t.json");
    tr_assert_says(err.text, sentence);
}

static void taken(const char *json, const char *text, int32_t first)
{
    struct tr_token *token;
    struct tr_encoder *encoder;
    struct tr_ids ids = {0};
    struct tr_err err = {""};
    if (tr_token_parse("t.json", json, strlen(json), &token, &err) != TR_OK)
        fail_msg("%s: %s", err.text, json);
    assert_int_equal(tr_encoder_make(token, &encoder, &err), TR_OK);
    assert_int_equal(tr_encode(encoder, text, strlen(text), TR_ENCODE_AROUND, &ids, &err), TR_OK);
    assert_true(ids.count > 0);
    assert_int_equal(ids.at[0], first);
    tr_ids_free(&ids);
    tr_encoder_free(encoder);
    tr_token_free(token);
}

static void what_changes_no_token_is_taken(void **state)
{
    (void)state;
    taken(file(NULL, NULL, NULL, NULL), "ab", 2);
    taken(file("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"}]}", NULL, NULL, NULL), "ab", 2);
    taken(file(NULL, "{\"type\":\"Sequence\",\"pretokenizers\":[" BYTE_LEVEL "]}", NULL, NULL), "ab", 2);
    taken(file(NULL, NULL, "{\"vocab\":{\"a\":0,\"b\":1,\"ab\":9},\"merges\":[[\"a\",\"b\"]],\"unk_token\":\"\","
               "\"dropout\":null,\"continuing_subword_prefix\":\"\",\"byte_fallback\":false}", NULL), "ab", 9);
    taken(file(NULL, NULL, NULL, "\"truncation\":{\"max_length\":1},\"padding\":null,\"decoder\":" BYTE_LEVEL), "ab", 2);
    taken(file(NULL, NULL, NULL, "\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"special\":true}],\"post_processor\":"
               "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}},{\"Sequence\":{}}],"
               "\"special_tokens\":{\"<s>\":{\"ids\":[3]}}}"), "ab", 3);
    taken(file(NULL, NULL, NULL, "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"b\",1],\"cls\":[\"b\",1]}"),
          "ab", 1);
}

static void what_trine_does_not_do_is_named(void **state)
{
    (void)state;
    refused(file("{\"type\":\"Lowercase\"}", NULL, NULL, NULL), "normalizer: the normalizer \"Lowercase\" is not supported");
    refused(file("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"}]}", NULL, NULL, NULL),
            "normalizer.normalizers[0]: the normalizer \"NFKC\"");
    refused(file(NULL, "{\"type\":\"Metaspace\"}", NULL, NULL), "the pre-tokenizer \"Metaspace\" is not supported");
    refused(file(NULL, "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a+)+$\"},\"behavior\":\"Isolated\"}", NULL, NULL),
            "this expression is not supported: \"(a+)+$\"; supported are those of GPT-2, Llama 3 and Qwen 2");
    refused(file(NULL, "{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"Isolated\"}", NULL, NULL),
            "Regex");
    refused(file(NULL, "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"x\"},\"behavior\":\"MergedWithNext\"}", NULL, NULL),
            "Split with behavior \"MergedWithNext\" and invert false is not supported");
    refused(file(NULL, "{\"type\":\"Digits\",\"individual_digits\":true}", NULL, NULL), "expected ByteLevel at the end");
    refused(file(NULL, "{\"type\":\"Sequence\",\"pretokenizers\":[" BYTE_LEVEL ",{\"type\":\"Digits\"}]}", NULL, NULL),
            "behind ByteLevel");
    refused(file(NULL, NULL, "{\"type\":\"WordPiece\",\"vocab\":{}}", NULL), "model: the model \"WordPiece\"");
    refused(file(NULL, NULL, "{\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.1}", NULL), "dropout");
    refused(file(NULL, NULL, "{\"vocab\":{\"a\":0},\"merges\":[],\"byte_fallback\":true}", NULL), "SentencePiece");
    refused(file(NULL, NULL, "{\"vocab\":{\"a\":0},\"merges\":[],\"end_of_word_suffix\":\"</w>\"}", NULL), "\"</w>\"");
    refused(file(NULL, NULL, NULL, "\"decoder\":{\"type\":\"WordPiece\"}"), "the decoder \"WordPiece\"");
    refused(file(NULL, NULL, NULL, "\"post_processor\":{\"type\":\"Other\"}"), "the post-processor \"Other\"");
    refused(file(NULL, NULL, NULL, "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{}},"
                 "{\"Sequence\":{}}],\"special_tokens\":{}}"), "special tokens around one Sequence");
}

static void a_broken_file_is_refused_where_it_is_broken(void **state)
{
    (void)state;
    refused("", "empty");
    refused("[1]", "expected a group of keys, got a list");
    refused("{\"model\":", "");
    refused(file(NULL, "null", NULL, NULL), "pre_tokenizer");
    refused(file(NULL, NULL, "{\"vocab\":[],\"merges\":[]}", NULL), "model.vocab");
    refused(file(NULL, NULL, "{\"vocab\":{\"a\":-1},\"merges\":[]}", NULL), "model.vocab.a");
    refused(file(NULL, NULL, "{\"vocab\":{\"a\":1048576},\"merges\":[]}", NULL), "from 0 to 1048575");
    refused(file(NULL, NULL, "{\"vocab\":{\"a\":99999999999999999999},\"merges\":[]}", NULL), "");
    refused(file(NULL, NULL, "{\"vocab\":{\"a\":1.5},\"merges\":[]}", NULL), "model.vocab.a");
    refused(file(NULL, NULL, "{\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]}", NULL), "");
    refused(file(NULL, NULL, "{\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}", NULL), "id 0 is that of \"a\" too");
    refused(file(NULL, NULL, "{\"vocab\":{},\"merges\":[]}", NULL), "the vocabulary is empty");
    refused(file(NULL, NULL, "{\"vocab\":{\"a\":0},\"merges\":[\"a\"]}", NULL), "model.merges[0]: a merge is two tokens");
    refused(file(NULL, NULL, "{\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}", NULL), "model.merges[0]: expected a merge");
    refused(file(NULL, NULL, "{\"vocab\":{\"a\":0},\"merges\":[\"a a\"]}", NULL), "merge 0 makes a token that is not");
    refused(file(NULL, NULL, "{\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"u\"}", NULL), "\"u\" is not in the");
    refused(file(NULL, NULL, NULL, "\"added_tokens\":[{\"id\":0,\"content\":\"<s>\"}]"), "id 0 is the added token");
    refused(file(NULL, NULL, NULL, "\"added_tokens\":[{\"id\":7,\"content\":\"ab\"}]"), "has id 7, and 2 in the vocabulary");
    refused(file(NULL, NULL, NULL, "\"added_tokens\":[{\"id\":7,\"content\":\"\"}]"), "has 0 bytes");
    refused(file(NULL, NULL, NULL, "\"added_tokens\":[{\"content\":\"x\"}]"), "added_tokens[0]");
    refused(file(NULL, NULL, NULL, "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"b\",9],\"cls\":[\"b\",1]}"),
            "the token behind a text is id 9, which is no token");
    struct tr_token *token;
    struct tr_err err = {""};
    assert_int_equal(tr_token_read(tr_scratch("nowhere.json"), &token, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "nowhere.json");
}

/* Sequences inside sequences: deeper than the readers go, and deeper than a document may be. */
static void nesting_is_bounded(void **state)
{
    (void)state;
    for (int depth = 9; depth < 2000; depth = depth * 3) {
        struct tr_text json = {0};
        tr_text_append(&json, "{\"model\":" MODEL ",\"pre_tokenizer\":");
        for (int i = 0; i < depth; i++)
            tr_text_append(&json, "{\"type\":\"Sequence\",\"pretokenizers\":[");
        tr_text_append(&json, BYTE_LEVEL);
        for (int i = 0; i < depth; i++)
            tr_text_append(&json, "]}");
        tr_text_append(&json, "}");
        refused(tr_text_str(&json), "");
        tr_text_free(&json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_changes_no_token_is_taken),
        cmocka_unit_test(what_trine_does_not_do_is_named),
        cmocka_unit_test(a_broken_file_is_refused_where_it_is_broken),
        cmocka_unit_test(nesting_is_bounded),
    };
    return cmocka_run_group_tests_name("lab/token files", tests, tr_scratch_setup, tr_scratch_teardown);
}
