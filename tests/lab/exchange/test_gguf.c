/* lab/exchange: GGUF files. What we write reads back; whatever is not exactly right is refused by a sentence, among it
 * every mistake that made other readers of GGUF unsafe. */
#define _GNU_SOURCE /* memmem */
#include "lab/exchange/exchange.h"
#include "lab/exchange/gguf.h"
#include "lab/exchange/gguf_model.h"
#include "lib/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tr_err err;

static void must(enum tr_status status)
{
    if (status != TR_OK)
        fail_msg("%s", err.text);
}

/* ---- a small file, and what can be wrong with it ----------------------------------------------------------------- */

/* A header with one key of each kind and two tensors, and room for their data. */
static struct tr_text small;

static void make_small(void)
{
    static struct tr_gguf_tensor tensors[2];
    tensors[0] = (struct tr_gguf_tensor){.name = "first", .type = TR_ELEMENT_F32, .rank = 2, .dim = {3, 5, 1, 1},
                                         .bytes = 60};
    tensors[1] = (struct tr_gguf_tensor){.name = "second", .type = TR_ELEMENT_Q8_0, .rank = 1, .dim = {64, 1, 1, 1},
                                         .bytes = 68};
    tr_text_free(&small);
    tr_gguf_put_start(&small, 2);
    tr_gguf_put_u32(&small, "a.whole", 7);
    tr_gguf_put_f32(&small, "a.real", 0.5f);
    tr_gguf_put_bool(&small, "a.bool", true);
    tr_gguf_put_string(&small, "a.string", "word", 4);
    tr_gguf_put_array(&small, "a.strings", TR_GGUF_STRING, 2);
    tr_gguf_put_item_string(&small, "x", 1);
    tr_gguf_put_item_string(&small, "", 0);
    tr_gguf_put_array(&small, "a.ints", TR_GGUF_I32, 2);
    tr_gguf_put_item_i32(&small, -3);
    tr_gguf_put_item_i32(&small, 4);
    tr_gguf_put_u32(&small, "general.alignment", 32);
    tr_gguf_put_tensors(&small, tensors, 2);
    while ((int64_t)small.len < tensors[1].begin + 68)
        tr_text_char(&small, 0);
    assert_false(small.failed);
}

/* Where `part` stands in the file, behind its end: a value follows its name. */
static char *behind(const char *part)
{
    char *at = memmem(small.at, small.len, part, strlen(part));
    assert_non_null(at);
    return at + strlen(part);
}

static void put(char *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (char)(value >> (8 * i));
}

static void refused(const char *sentence)
{
    struct tr_gguf file;
    err = (struct tr_err){{0}};
    assert_int_equal(tr_gguf_parse("f.gguf", small.at, small.len, &file, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "f.gguf");
    tr_assert_says(err.text, sentence);
    make_small();
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct tr_gguf file;
    const struct tr_gguf_value *ints;
    const struct tr_string *strings;
    struct tr_string word;
    struct tr_arena arena;
    int64_t whole, count;
    double real;
    bool truth;
    make_small();
    must(tr_gguf_parse("f.gguf", small.at, small.len, &file, &err));
    assert_int_equal(file.key_count, 7);
    assert_int_equal(file.tensor_count, 2);
    must(tr_gguf_int(&file, "a.whole", TR_REQUIRED, 0, 10, &whole, &err));
    must(tr_gguf_double(&file, "a.real", TR_REQUIRED, 0, 1, &real, &err));
    must(tr_gguf_bool(&file, "a.bool", TR_REQUIRED, &truth, &err));
    must(tr_gguf_string(&file, "a.string", TR_REQUIRED, &word, &err));
    must(tr_gguf_int_array(&file, "a.ints", TR_REQUIRED, &ints, &err));
    assert_true(whole == 7 && real == 0.5 && truth && word.bytes == 4 && memcmp(word.at, "word", 4) == 0);
    assert_true(tr_gguf_item_int(ints, 0) == -3 && tr_gguf_item_int(ints, 1) == 4);
    tr_arena_init(&arena, "test", 1 << 16);
    must(tr_gguf_strings(&file, "a.strings", TR_REQUIRED, &arena, &strings, &count, &err));
    assert_true(count == 2 && strings[0].bytes == 1 && strings[1].bytes == 0);
    tr_arena_free(&arena);
    assert_string_equal(file.tensor[1].name, "second");
    assert_int_equal(file.tensor[0].dim[1], 5);
    assert_int_equal(file.tensor[1].begin, file.data_begin + 64);
    tr_gguf_free(&file);
}

static void values_are_read_as_what_they_are(void **state)
{
    (void)state;
    struct tr_gguf file;
    const struct tr_gguf_value *ints;
    const struct tr_string *strings;
    struct tr_string word;
    struct tr_arena arena;
    int64_t whole, count;
    double real;
    bool truth;
    make_small();
    must(tr_gguf_parse("f.gguf", small.at, small.len, &file, &err));
    tr_arena_init(&arena, "test", 1 << 16);
    assert_int_equal(tr_gguf_int(&file, "a.string", TR_REQUIRED, 0, 9, &whole, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "f.gguf: a.string: expected a whole number, got a string");
    assert_int_equal(tr_gguf_int(&file, "a.whole", TR_REQUIRED, 0, 6, &whole, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "a.whole: 7: expected 0 to 6");
    assert_int_equal(tr_gguf_string(&file, "a.ints", TR_REQUIRED, &word, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "expected a string, got an array of a number i32");
    assert_int_equal(tr_gguf_strings(&file, "a.ints", TR_REQUIRED, &arena, &strings, &count, &err), TR_BAD_INPUT);
    assert_int_equal(tr_gguf_int_array(&file, "a.strings", TR_REQUIRED, &ints, &err), TR_BAD_INPUT);
    assert_int_equal(tr_gguf_double(&file, "a.whole", TR_REQUIRED, 0, 9, &real, &err), TR_BAD_INPUT);
    assert_int_equal(tr_gguf_bool(&file, "a.whole", TR_REQUIRED, &truth, &err), TR_BAD_INPUT);
    assert_int_equal(tr_gguf_int(&file, "b", TR_REQUIRED, 0, 9, &whole, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "has no b");
    tr_arena_free(&arena);
    tr_gguf_free(&file);
}

static void every_mistake_that_made_other_readers_unsafe_is_refused(void **state)
{
    (void)state;
    enum { TENSORS_AT = 8, KEYS_AT = 16 };
    make_small();
    put(small.at, 0, 1), refused("it does not begin with \"GGUF\"");
    put(small.at + 4, 1, 4), refused("GGUF version 1");
    put(small.at + 4, 3 << 24, 4), refused("a big-endian file");
    put(small.at + TENSORS_AT, UINT64_MAX, 8), refused("the number of tensors");
    put(small.at + TENSORS_AT, 100000, 8), refused("the number of tensors: 100000 do not fit");
    put(small.at + KEYS_AT, UINT64_C(1) << 61, 8), refused("the number of keys");
    put(behind("a.string") + 4, UINT64_MAX, 8), refused("a.string");           /* a length that wraps */
    put(behind("a.strings") + 8, UINT64_C(1) << 60, 8), refused("a.strings");  /* a count that wraps when multiplied */
    put(behind("a.ints") + 8, (UINT64_C(1) << 62) + 2, 8), refused("a.ints");
    put(behind("a.ints"), 99, 4), refused("a.ints: a value of type 99");
    put(behind("a.ints") + 4, TR_GGUF_ARRAY, 4), refused("an array of arrays"); /* nothing nests */
    put(behind("general.alignment") + 4, 0x80000000u, 4), refused("general.alignment: 2147483648: expected 8 to 65536");
    put(behind("general.alignment") + 4, 0, 4), refused("general.alignment: 0: expected");
    put(behind("general.alignment") + 4, 48, 4), refused("general.alignment: 48 is no power of two");
    put(behind("general.alignment") + 4, 64, 4), refused("the file is cut off");
    put(behind("first"), 0, 4), refused("has 0 dimensions");
    put(behind("first"), 5, 4), refused("has 5 dimensions");
    put(behind("first") + 4, 0, 8), refused("a dimension of 0");
    put(behind("first") + 4, UINT64_MAX, 8), refused("a dimension of 18446744073709551615");
    put(behind("first") + 4, UINT64_C(1) << 61, 8), refused("more bytes than the file's"); /* x 4 is 2^63, x 3 wraps */
    put(behind("first") + 12, UINT64_C(1) << 62, 8), refused("more bytes than the file's");
    put(behind("first") + 20, 4, 4), refused("is of type 4 (not one of ggml's)");
    put(behind("first") + 20, 12, 4), refused("is of type 12 (Q4_K); trine reads F32");
    put(behind("first") + 24, UINT64_MAX, 8), refused("begins at byte");
    put(behind("first") + 24, 32, 8), refused("begins at byte 32 of the data; the next free one is 0");
    put(behind("second") + 4, 63, 8), refused("rows of 63, which is no multiple of the 32 of Q8_0");
    put(behind("second") + 4, 96, 8), refused("the file is cut off");
    put(behind("second") + 16, 32, 8), refused("begins at byte 32 of the data; the next free one is 64");
    behind("a.bool")[-1] = 0, refused("other characters than printable ASCII");
    small.len--, refused("the file is cut off");
    small.len = 40, refused("the number of tensors: 2 do not fit into the 24 bytes");
    small.len = 3, refused("the magic number needs 4 bytes");
}

static void names_are_there_once(void **state)
{
    (void)state;
    make_small();
    memcpy(behind("a.real") - 4, "bool", 4), refused("a.bool is there twice");
    tr_text_free(&small);
    static struct tr_gguf_tensor twins[2];
    for (int i = 0; i < 2; i++)
        twins[i] = (struct tr_gguf_tensor){.name = "same", .type = TR_ELEMENT_F32, .rank = 1, .dim = {8, 1, 1, 1},
                                           .bytes = 32};
    tr_gguf_put_start(&small, 2);
    tr_gguf_put_tensors(&small, twins, 2);
    for (int i = 0; i < 64; i++)
        tr_text_char(&small, 0);
    refused("tensor same is there twice");
    tr_text_free(&small);
}

/* ---- models ------------------------------------------------------------------------------------------------------ */

struct held {
    struct tr_model_config model;
    struct tr_weights weights;
    float **w;
};

static void hold(struct held *h, const char *path, const struct tr_model_config *as)
{
    struct tr_import import;
    must(tr_import_open(&import, path, &err));
    h->model = as ? *as : import.model;
    must(tr_weights_make(&h->weights, &h->model, &err));
    h->w = calloc((size_t)h->weights.count, sizeof *h->w);
    assert_non_null(h->w);
    for (int32_t i = 0; i < h->weights.count; i++) {
        h->w[i] = malloc((size_t)h->weights.weight[i].count * sizeof(float));
        assert_non_null(h->w[i]);
    }
    must(tr_import_weights(&import, &h->weights, h->w, &err));
    tr_import_close(&import);
}

static void let_go(struct held *h)
{
    for (int32_t i = 0; i < h->weights.count; i++)
        free(h->w[i]);
    free(h->w);
    tr_weights_free(&h->weights);
}

static void same_shape(const struct tr_model_config *a, const struct tr_model_config *b)
{
    assert_true(a->family == b->family && a->vocab == b->vocab && a->width == b->width && a->layers == b->layers);
    assert_true(a->heads == b->heads && a->kv_heads == b->kv_heads && a->head_dim == b->head_dim && a->ffn == b->ffn);
    assert_true(a->positions == b->positions && a->norm_eps == b->norm_eps && a->tied == b->tied);
    assert_true(a->qk_norm == b->qk_norm && (a->family == TR_GPT2 || a->qkv_bias == b->qkv_bias));
    assert_true(a->family == TR_GPT2 || a->rope_theta == b->rope_theta);
    assert_true(fabs(a->rope_scaling.factor - b->rope_scaling.factor) < 1e-6 * fabs(b->rope_scaling.factor) + 1e-12);
    assert_true(a->rope_scaling.original_positions == b->rope_scaling.original_positions);
}

/* The most by which a number may differ: nothing, half a place of bf16, or half a step of its block. */
static void same_numbers(const struct held *a, const struct held *b, enum tr_element type)
{
    for (int32_t i = 0; i < a->weights.count; i++) {
        const struct tr_weight *weight = &a->weights.weight[i];
        double largest = 0;
        for (int64_t k = 0; k < weight->count; k++)
            largest = fmax(largest, fabs((double)a->w[i][k]));
        for (int64_t k = 0; k < weight->count; k++) {
            double x = a->w[i][k], y = b->w[i][k];
            double bound = type == TR_ELEMENT_F32    ? 0
                           : type == TR_ELEMENT_BF16 ? fabs(x) / 256
                                                     : largest * (0.5 / 127 + 1.0 / 1024);
            if (!(fabs(x - y) <= bound))
                fail_msg("%s[%lld] was %.9g and came back as %.9g", weight->name, (long long)k, x, y);
        }
    }
}

static const char *golden(const char *model)
{
    static char path[TR_PATH_BYTES];
    snprintf(path, sizeof path, "%s/tests/torch/%s", getenv("TRINE_SOURCE_DIR"), model);
    return path;
}

static const char *const models[] = {"gpt2", "llama", "mistral", "qwen2", "qwen3"};

static void models_come_back_in_every_type(void **state)
{
    (void)state;
    static const enum tr_element types[] = {TR_ELEMENT_F32, TR_ELEMENT_BF16, TR_ELEMENT_Q8_0};
    for (int m = 0; m < 5; m++)
        for (int t = 0; t < 3; t++) {
            struct held before, after;
            struct tr_export_options how = {.type = types[t]};
            hold(&before, golden(models[m]), NULL);
            must(tr_export_gguf(&before.model, &before.weights, before.w, tr_scratch("m.gguf"), &how, &err));
            hold(&after, tr_scratch("m.gguf"), NULL);
            same_shape(&after.model, &before.model);
            same_numbers(&before, &after, types[t]);
            let_go(&before);
            let_go(&after);
        }
}

static void the_scaling_of_rope_comes_back_out_of_its_factors(void **state)
{
    (void)state;
    struct held before, after;
    struct tr_export_options how = {.type = TR_ELEMENT_F32};
    hold(&before, golden("llama"), NULL);
    before.model.rope_theta = 500000;
    before.model.rope_scaling =
        (struct tr_rope_scaling){.factor = 32, .low_freq = 1, .high_freq = 4, .original_positions = 8192};
    must(tr_export_gguf(&before.model, &before.weights, before.w, tr_scratch("r.gguf"), &how, &err));
    hold(&after, tr_scratch("r.gguf"), NULL);
    same_shape(&after.model, &before.model);
    let_go(&after);

    /* Factors that the rule does not give. */
    struct tr_bytes file = tr_scratch_read(tr_scratch("r.gguf"));
    struct tr_gguf header;
    struct tr_import import;
    must(tr_gguf_parse("r.gguf", file.at, file.len, &header, &err));
    for (int64_t i = 0; i < header.tensor_count; i++)
        if (strcmp(header.tensor[i].name, "rope_freqs.weight") == 0)
            memcpy((char *)file.at + header.tensor[i].begin, &(float){1.5f}, sizeof(float));
    tr_gguf_free(&header);
    tr_scratch_put("w.gguf", file.at, file.len);
    tr_bytes_free(&file);
    assert_int_equal(tr_import_open(&import, tr_scratch("w.gguf"), &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "rope_freqs.weight: factor 0 is 1.5");
    let_go(&before);
}

static void what_llama_cpp_cannot_compute_is_refused(void **state)
{
    (void)state;
    struct held h;
    struct tr_export_options how = {.type = TR_ELEMENT_F32};
    hold(&h, golden("qwen2"), NULL);
    h.model.rope_scaling =
        (struct tr_rope_scaling){.factor = 8, .low_freq = 1, .high_freq = 4, .original_positions = 8192};
    assert_int_equal(tr_export_gguf(&h.model, &h.weights, h.w, tr_scratch("no.gguf"), &how, &err), TR_BAD_INPUT);
    tr_assert_says(err.text, "llama.cpp has no architecture for this model");
    assert_false(tr_file_exists(tr_scratch("no.gguf")));
    let_go(&h);
}

/* The same file with one string in it changed for another of the same length. */
static void refused_with(const char *from, const char *to, const char *sentence)
{
    struct tr_bytes file = tr_scratch_read(tr_scratch("q.gguf"));
    struct tr_import import;
    char *at = memmem(file.at, file.len, from, strlen(from));
    assert_true(at != NULL && strlen(from) == strlen(to));
    memcpy(at, to, strlen(to));
    tr_scratch_put("changed.gguf", file.at, file.len);
    tr_bytes_free(&file);
    enum tr_status status = tr_import_open(&import, tr_scratch("changed.gguf"), &err);
    if (status == TR_OK) {
        struct tr_weights weights;
        must(tr_weights_make(&weights, &import.model, &err));
        float **w = calloc((size_t)weights.count, sizeof *w);
        for (int32_t i = 0; i < weights.count; i++)
            w[i] = malloc((size_t)weights.weight[i].count * sizeof(float));
        status = tr_import_weights(&import, &weights, w, &err);
        for (int32_t i = 0; i < weights.count; i++)
            free(w[i]);
        free(w);
        tr_weights_free(&weights);
        tr_import_close(&import);
    }
    assert_int_equal(status, TR_BAD_INPUT);
    tr_assert_says(err.text, "changed.gguf");
    tr_assert_says(err.text, sentence);
}

static void a_model_that_is_something_else_is_refused_by_name(void **state)
{
    (void)state;
    struct held h;
    struct tr_export_options how = {.type = TR_ELEMENT_F32};
    hold(&h, golden("qwen3"), NULL);
    must(tr_export_gguf(&h.model, &h.weights, h.w, tr_scratch("q.gguf"), &how, &err));
    let_go(&h);
    refused_with("qwen3", "gemma", "the architecture \"gemma\" is not supported; supported are llama, qwen2, qwen3 and gpt2");
    refused_with("qwen3.block_count", "qwen3.block_kount", "has no qwen3.block_count");
    refused_with("token_embd.weight", "token_embd.wait..", "has no table token_embd.weight");
    refused_with("blk.1.ffn_up.weight", "blk.1.ffn_up.mass..", "has no tensor blk.1.ffn_up.weight, which the model needs");
}

/* ---- tokenizers -------------------------------------------------------------------------------------------------- */

static void same_tokens(const struct tr_token *a, const struct tr_token *b)
{
    assert_int_equal(tr_token_vocab(a), tr_token_vocab(b));
    for (int64_t id = 0; id < tr_token_vocab(a); id++) {
        struct tr_string x = tr_token_bytes(a, id), y = tr_token_bytes(b, id);
        assert_true(x.bytes == y.bytes && memcmp(x.at, y.at, (size_t)x.bytes) == 0);
        assert_true(tr_token_is_special(a, id) == tr_token_is_special(b, id));
    }
}

static void encode(const struct tr_token *token, struct tr_ids *ids)
{
    char path[TR_PATH_BYTES];
    struct tr_encoder *encoder = NULL;
    snprintf(path, sizeof path, "%s/tests/lab/token/golden/corpus.txt", getenv("TRINE_SOURCE_DIR"));
    struct tr_bytes text = tr_scratch_read(path);
    must(tr_encoder_make(token, &encoder, &err));
    must(tr_encode(encoder, text.at, (int64_t)text.len, TR_ENCODE_BEFORE | TR_ENCODE_AFTER, ids, &err));
    tr_encoder_free(encoder);
    tr_bytes_free(&text);
}

static void same_encoding(const struct tr_token *a, const struct tr_token *b)
{
    struct tr_ids x = {0}, y = {0};
    encode(a, &x);
    encode(b, &y);
    assert_true(x.count > 1000 && x.count == y.count);
    assert_memory_equal(x.at, y.at, (size_t)x.count * sizeof *x.at);
    tr_ids_free(&x);
    tr_ids_free(&y);
}

static void tokenizers_come_back(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2", "llama3", "qwen2", "smollm"};
    for (int i = 0; i < 4; i++) {
        struct tr_token *before, *after;
        struct tr_text header = {0};
        struct tr_gguf file;
        char path[TR_PATH_BYTES];
        snprintf(path, sizeof path, "%s/tests/lab/token/golden/%s.tokenizer.json", getenv("TRINE_SOURCE_DIR"), names[i]);
        must(tr_token_read(path, &before, &err));
        tr_gguf_put_start(&header, 0);
        must(tr_gguf_put_token(before, NULL, tr_token_vocab(before) + 3, &header, &err));
        tr_gguf_put_tensors(&header, NULL, 0);
        must(tr_gguf_parse("t.gguf", header.at, header.len, &file, &err));
        must(tr_gguf_token(&file, &after, &err));
        assert_int_equal(tr_token_vocab(after), tr_token_vocab(before));
        same_tokens(before, after);
        same_encoding(before, after);
        tr_text_free(&header);
        tr_gguf_free(&file);
        tr_token_free(before);
        tr_token_free(after);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(values_are_read_as_what_they_are),
        cmocka_unit_test(every_mistake_that_made_other_readers_unsafe_is_refused),
        cmocka_unit_test(names_are_there_once),
        cmocka_unit_test(models_come_back_in_every_type),
        cmocka_unit_test(the_scaling_of_rope_comes_back_out_of_its_factors),
        cmocka_unit_test(what_llama_cpp_cannot_compute_is_refused),
        cmocka_unit_test(a_model_that_is_something_else_is_refused_by_name),
        cmocka_unit_test(tokenizers_come_back),
    };
    return cmocka_run_group_tests_name("lab/gguf", tests, tr_scratch_setup, tr_scratch_teardown);
}
